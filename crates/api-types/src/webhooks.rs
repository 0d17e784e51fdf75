//! Receivers of webhooks and their secrets, the same at every service.

use chrono::{DateTime, Utc};
use domain::text::without_secrets;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::CiId;

/// A receiver of webhooks, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookReceiver {
    pub id: Uuid,
    /// The address to which messages go. Callers who only read see `https://host/[hidden]`.
    pub url: String,
    /// The customer whose messages it gets; `null` for those that belong to no customer.
    pub customer: Option<CiId>,
    pub created_at: DateTime<Utc>,
    /// The administrator who registered it.
    pub created_by: String,
    /// Those that sign now, newest first: one, or two while one replaces the other.
    pub secrets: Vec<WebhookSecret>,
}

impl WebhookReceiver {
    /// Without the parts of the address that may be a secret of the receiver.
    pub fn hidden(mut self) -> Self {
        self.url = without_secrets(&self.url).into_owned();
        self
    }
}

/// A secret, without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookSecret {
    pub id: Uuid,
    pub created_at: DateTime<Utc>,
    /// Until then it signs next to the secret that replaced it; `null` for the current one.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A receiver to register: one for each address and customer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWebhookReceiver {
    /// Exactly as it is in a policy, a customer or a release policy. Whether it may be reached is checked at each message.
    pub url: String,
    /// The customer whose messages it gets, for deployers and contacts of customers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<CiId>,
}

/// How the secret of a receiver is replaced.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateWebhookSecret {
    /// Hours for which the old secret signs next to the new one, 0 to 720. With 0 it ends at once.
    #[serde(default = "one_day")]
    pub overlap_hours: u32,
}

fn one_day() -> u32 {
    24
}

/// A receiver with a new secret: the only time it is shown.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct IssuedWebhookSecret {
    pub receiver: WebhookReceiver,
    /// `whsec_` and 256 bits in base64.
    pub secret: String,
}
