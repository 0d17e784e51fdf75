//! Webhooks: signed CloudEvents in JSON, to receivers that are allowed and registered.

use std::{sync::Arc, time::Duration};

use api_types::itsm::Notification;
use chrono::SecondsFormat;
use reqwest::StatusCode;
use serde_json::json;
use service_kit::{
    outbound::Receivers,
    server::Context,
    webhooks::{Message, Sender, Unsent},
};

use super::delivery_worker::Undelivered;
use crate::settings::Settings;

/// From the connection to the head of the answer; its body is not read.
const TIMEOUT: Duration = Duration::from_secs(10);

pub struct Webhooks {
    sender: Sender,
    source: String,
}

impl Webhooks {
    pub fn new(context: &Context, settings: &Settings, receivers: Arc<Receivers>) -> anyhow::Result<Self> {
        let (pool, clock, key) = (context.pool.clone(), context.clock.clone(), context.webhook_key.clone());
        let source = format!("{}/itsm", settings.checked_public_url()?);
        Ok(Self { sender: Sender::new(pool, clock, key, receivers), source })
    }

    pub async fn send(&self, notification: &Notification) -> Result<(), Undelivered> {
        let id = notification.id.to_string();
        let message = Message {
            id: &id,
            url: &notification.recipient,
            customer: notification.customer.as_ref().map(AsRef::as_ref),
            content_type: "application/cloudevents+json",
            body: self.event(notification).to_string(),
            timeout: TIMEOUT,
        };
        match self.sender.send(message).await?.status() {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => Err(Undelivered::Never("the receiver answered 410 Gone".to_owned())),
            status if status.is_redirection() => {
                Err(Undelivered::Later(format!("the receiver answered {status}; redirects are not followed")))
            }
            status => Err(Undelivered::Later(format!("the receiver answered {status}"))),
        }
    }

    /// The CloudEvents 1.0 envelope in structured mode. Its id is the notification's, so that a receiver can discard
    /// duplicates.
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
}

impl From<Unsent> for Undelivered {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Never(reason) => Self::Never(reason),
            Unsent::Later(reason) => Self::Later(reason),
        }
    }
}
