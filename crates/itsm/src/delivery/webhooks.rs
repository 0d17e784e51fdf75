//! Webhooks: CloudEvents in JSON, signed, to receivers that may be reached.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use api_types::itsm::Notification;
use chrono::SecondsFormat;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use service_kit::outbound::Receivers;
use sha2::Sha256;

use super::courier::Undelivered;
use crate::settings::Settings;

/// From the connection to the head of the answer; its body is not read.
const TIMEOUT: Duration = Duration::from_secs(10);
const SECRET_LENGTH: usize = 16;

pub struct Webhooks {
    receivers: Arc<Receivers>,
    secret: Option<SecretString>,
    secret_id: String,
    source: String,
}

impl Webhooks {
    pub fn new(settings: &Settings, receivers: Arc<Receivers>) -> anyhow::Result<Self> {
        let secret = settings.webhook_secret_file.as_ref().map(|file| {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read the webhook secret file `{}`", file.display()))?;
            let secret = text.trim();
            anyhow::ensure!(
                secret.len() >= SECRET_LENGTH,
                "the secret in `{}` is too short; it needs {SECRET_LENGTH} bytes or more",
                file.display()
            );
            Ok(SecretString::from(secret))
        });
        let secret_id = settings.webhook_secret_id.clone();
        anyhow::ensure!(
            (1..=64).contains(&secret_id.len())
                && secret_id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')),
            "`--webhook-secret-id {secret_id}` must be 1 to 64 of `A-Z a-z 0-9 - _ .`"
        );
        let source = format!("{}/itsm", settings.checked_public_url()?);
        Ok(Self { receivers, secret: secret.transpose()?, secret_id, source })
    }

    pub async fn send(&self, notification: &Notification) -> Result<(), Undelivered> {
        let secret = self.secret.as_ref().ok_or_else(|| {
            Undelivered::Never(
                "no webhook secret is configured; start with --webhook-secret-file and resend".to_owned(),
            )
        })?;
        let receiver = self.receivers.resolve(&notification.recipient).await?;
        let body = self.event(notification).to_string();
        // A client for this delivery alone: it connects to the addresses that were checked and to no others.
        let client = receiver
            .client(TIMEOUT)
            .map_err(|_| Undelivered::Later("no HTTP client could be made".to_owned()))?;
        let answer = client
            .post(receiver.url)
            .header("Content-Type", "application/cloudevents+json")
            .header("X-Signature", self.signature(secret, body.as_bytes()))
            .timeout(TIMEOUT)
            .body(body)
            .send()
            .await;
        match answer.map(|answer| answer.status()) {
            Ok(status) if status.is_success() => Ok(()),
            Ok(StatusCode::GONE) => Err(Undelivered::Never("the receiver answered 410 Gone".to_owned())),
            Ok(status) if status.is_redirection() => {
                Err(Undelivered::Later(format!("the receiver answered {status}; redirects are not followed")))
            }
            Ok(status) => Err(Undelivered::Later(format!("the receiver answered {status}"))),
            // The URL may hold a secret of the receiver's.
            Err(error) => Err(Undelivered::Later(format!(
                "the receiver could not be reached: {}",
                service_kit::error::chain(&error.without_url())
            ))),
        }
    }

    /// The CloudEvents 1.0 envelope in structured mode. Its id is the notification's, so that a receiver can drop what
    /// it got before.
    fn event(&self, notification: &Notification) -> serde_json::Value {
        json!({
            "specversion": "1.0",
            "id": notification.id,
            "source": self.source,
            "type": "patch-manager.itsm.notification",
            "time": notification.created_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            "datacontenttype": "application/json",
            "data": { "subject": notification.subject, "body": notification.body },
        })
    }

    /// `a=sha256&id=<secret id>&s=<HMAC of the body in hexadecimal>`.
    fn signature(&self, secret: &SecretString, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        mac.update(body);
        format!("a=sha256&id={}&s={}", self.secret_id, hex::encode(mac.finalize().into_bytes()))
    }
}
