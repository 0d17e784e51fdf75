//! E-mail over SMTP.

use std::time::Duration;

use anyhow::Context as _;
use api_types::itsm::Notification;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};

use secrecy::ExposeSecret;

use super::courier::Undelivered;
use crate::settings::Settings;

/// One exchange with the mail server.
const TIMEOUT: Duration = Duration::from_secs(20);

pub struct Mailer {
    from: Mailbox,
    transport: Option<AsyncSmtpTransport<Tokio1Executor>>,
}

impl Mailer {
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        let from: Mailbox = settings.mail_from.parse().with_context(|| {
            format!("`--mail-from {}` is no sender; expected `Name <name@example.org>`", settings.mail_from)
        })?;
        let transport = settings.smtp_url.as_ref().map(|url| {
            AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret())
                .map(|builder| builder.timeout(Some(TIMEOUT)).build())
                // Without its cause, which may quote the URL and the password in it.
                .map_err(|_| anyhow::anyhow!("`--smtp-url` cannot be read; expected `smtp://host:port`"))
        });
        Ok(Self { from, transport: transport.transpose()? })
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
            Undelivered::Never(format!("cannot be made into an e-mail: {error}"))
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
