//! E-mail over SMTP.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use api_types::itsm::Notification;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::delivery_worker::Undelivered;
use crate::settings::Settings;

/// Timeout of one exchange with the mail server.
const TIMEOUT: Duration = Duration::from_secs(20);

pub struct Mailer {
    from: Mailbox,
    transport: Option<AsyncSmtpTransport<Tokio1Executor>>,
}

impl Mailer {
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        let from: Mailbox = settings.mail_from.parse().with_context(|| {
            format!(
                "`--mail-from {}` is not a sender; expected `Name <name@example.org>`",
                settings.mail_from
            )
        })?;
        let transport = settings.smtp_url.as_ref().map(|url| transport(url, settings)).transpose()?;
        Ok(Self { from, transport })
    }

    pub async fn send(&self, notification: &Notification) -> Result<(), Undelivered> {
        let transport = self.transport.as_ref().ok_or_else(|| {
            Undelivered::Never("no mail server is configured; start with --smtp-url and resend".to_owned())
        })?;
        let message = self.message(notification)?;
        match transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_permanent() => Err(Undelivered::Never(format!("mail server: {error}"))),
            Err(error) => Err(Undelivered::Later(format!("mail server: {error}"))),
        }
    }

    fn message(&self, notification: &Notification) -> Result<Message, Undelivered> {
        let unfit = |error: &dyn std::fmt::Display| {
            Undelivered::Never(format!("cannot be sent as an e-mail: {error}"))
        };
        let recipient: Address = notification.recipient.parse().map_err(|error| unfit(&error))?;
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, recipient))
            .subject(&notification.subject)
            .message_id(Some(format!("<{}@{}>", notification.id, self.from.email.domain())))
            .header(ContentType::TEXT_PLAIN)
            .body(notification.body.clone())
            .map_err(|error| unfit(&error))
    }
}

fn transport(url: &SecretString, settings: &Settings) -> anyhow::Result<AsyncSmtpTransport<Tokio1Executor>> {
    // Without its cause, which may quote the URL and its password.
    let unreadable = || anyhow::anyhow!("`--smtp-url` cannot be read; expected `smtp://host:port`");
    let mut parsed = Url::parse(url.expose_secret()).map_err(|_| unreadable())?;
    if let Some(file) = &settings.smtp_password_file {
        anyhow::ensure!(
            !parsed.username().is_empty() && parsed.password().is_none(),
            "`--smtp-password-file` needs a name without a password in `--smtp-url`, such as `smtps://name@host`"
        );
        let password = read_password(file)?;
        // The URL escapes what its syntax uses, but not the escape itself; the transport decodes it again.
        let escaped = password.expose_secret().replace('%', "%25");
        parsed.set_password(Some(&escaped)).map_err(|()| unreadable())?;
    }
    let builder =
        AsyncSmtpTransport::<Tokio1Executor>::from_url(parsed.as_str()).map_err(|_| unreadable())?;
    Ok(builder.timeout(Some(TIMEOUT)).build())
}

/// The only line of the file.
fn read_password(file: &Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the file of the SMTP password `{}`", file.display()))?;
    let password = text.trim_end_matches(['\n', '\r']);
    anyhow::ensure!(
        !password.is_empty() && !password.contains(char::is_control),
        "`{}` must contain the SMTP password in one line",
        file.display()
    );
    Ok(SecretString::from(password))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn mailer(url: &str, file: &Path) -> anyhow::Result<Mailer> {
        Mailer::new(&Settings {
            smtp_url: Some(SecretString::from(url)),
            smtp_password_file: Some(file.to_owned()),
            ..Settings::default()
        })
    }

    #[test]
    fn password_of_the_mail_server_comes_from_a_file_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("smtp-password");
        let failure = |url: &str| format!("{:#}", mailer(url, &file).err().expect("it is refused"));
        assert!(failure("smtp://desk@mail.example").contains("smtp-password"));
        fs::write(&file, "p@ss:w/%rd \n").unwrap();
        assert!(mailer("smtps://desk@mail.example", &file).is_ok());
        assert!(failure("smtps://mail.example").contains("needs a name"));
        let twice = failure("smtps://desk:hidden@mail.example");
        assert!(
            twice.contains("without a password") && !twice.contains("hidden") && !twice.contains("p@ss"),
            "{twice}"
        );
        fs::write(&file, "\n").unwrap();
        assert!(failure("smtps://desk@mail.example").contains("in one line"));
    }
}
