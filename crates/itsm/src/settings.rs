//! The settings of the ITSM service, in addition to those that every service has.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;

#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Address at which people reach this service; links in e-mails begin with it.
    #[arg(long, env = "PUBLIC_URL", default_value = "http://127.0.0.1:8082")]
    pub public_url: String,

    /// Mail server: `smtp://host:port`, with `?tls=required` for STARTTLS, or `smtps://host:port`; the name as
    /// `smtps://name@host`, its password in `--smtp-password-file`. Without it, e-mails fail with that reason and can be sent again later.
    #[arg(long, env = "SMTP_URL", hide_env_values = true)]
    pub smtp_url: Option<SecretString>,

    /// File with the password of the name in `--smtp-url`.
    #[arg(long, env = "SMTP_PASSWORD_FILE", requires = "smtp_url")]
    pub smtp_password_file: Option<PathBuf>,

    /// Sender of e-mails.
    #[arg(long, env = "MAIL_FROM", default_value = "Patch Manager <patch-manager@localhost>")]
    pub mail_from: String,

    /// Receivers that webhooks may reach although they are on a private network or an unusual port: `host` or
    /// `host:port`, comma-separated.
    #[arg(long, env = "ALLOW_WEBHOOK_TO", value_delimiter = ',')]
    pub allow_webhook_to: Vec<String>,

    /// File with the key that signs approval links, 32 bytes or more. Without it, e-mails contain no link that
    /// decides, and approvers need tokens.
    #[arg(long, env = "APPROVAL_KEY_FILE")]
    pub approval_key_file: Option<PathBuf>,

    /// Hours for which an approval link decides; never beyond the span of its change.
    #[arg(long, env = "APPROVAL_LINK_HOURS", default_value_t = 72, value_parser = clap::value_parser!(u32).range(1..=720))]
    pub approval_link_hours: u32,

    /// Base URL of the patch-manager, whose freezes are conflicts of a change. Without it, only changes are.
    #[arg(long, env = "PATCH_MANAGER_URL")]
    pub patch_manager_url: Option<String>,

    /// Milliseconds before the second attempt of a failed delivery; doubled each time. The default spreads the
    /// eight attempts over an hour.
    #[arg(long, env = "FIRST_RETRY_MS", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub first_retry_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            public_url: "http://127.0.0.1:8082".to_owned(),
            smtp_url: None,
            smtp_password_file: None,
            mail_from: "Patch Manager <patch-manager@localhost>".to_owned(),
            allow_webhook_to: Vec::new(),
            approval_key_file: None,
            approval_link_hours: 72,
            patch_manager_url: None,
            first_retry_ms: 30_000,
        }
    }
}

impl Settings {
    pub(crate) fn first_retry(&self) -> Duration {
        Duration::from_millis(self.first_retry_ms)
    }

    /// The public address without a final slash.
    pub(crate) fn checked_public_url(&self) -> anyhow::Result<String> {
        let url =
            reqwest::Url::parse(&self.public_url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        anyhow::ensure!(
            url.is_some(),
            "`--public-url {}` is not an http address; use the one at which people reach this service",
            self.public_url
        );
        Ok(self.public_url.trim_end_matches('/').to_owned())
    }
}
