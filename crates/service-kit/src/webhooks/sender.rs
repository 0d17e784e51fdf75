//! Sends one message to one receiver.

use std::{sync::Arc, time::Duration};

use reqwest::Response;
use sqlx::PgPool;
use uuid::Uuid;

use super::{ID, SIGNATURE, Secret, TIMESTAMP, WebhookKey, sign, store};
use crate::{
    clock::Clock,
    error::chain,
    outbound::{Receiver, Receivers, Unresolved},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum Unsent {
    /// No attempt will succeed until somebody changes something.
    #[error("{0}")]
    Never(String),
    /// Another attempt may succeed.
    #[error("{0}")]
    Later(String),
}

impl From<Unresolved> for Unsent {
    fn from(unresolved: Unresolved) -> Self {
        match unresolved {
            Unresolved::Never(reason) => Self::Never(reason),
            Unresolved::Later(reason) => Self::Later(reason),
        }
    }
}

impl From<sqlx::Error> for Unsent {
    fn from(error: sqlx::Error) -> Self {
        tracing::warn!(error.source = chain(&error), "the receiver of a webhook could not be looked up");
        Self::Later("the database was not reachable".to_owned())
    }
}

/// One attempt to send a message.
#[derive(Debug)]
pub struct Message<'a> {
    /// The same at every attempt: the receiver recognises a message that it has already got.
    pub id: &'a str,
    pub url: &'a str,
    /// Whose message it is; it has a secret of its own.
    pub customer: Option<&'a str>,
    pub content_type: &'static str,
    pub body: String,
    /// From the connection to the end of the answer.
    pub timeout: Duration,
}

/// Signs messages and sends them to receivers that are allowed and registered. Cheap to clone.
#[derive(Clone)]
pub struct Sender {
    pool: PgPool,
    clock: Clock,
    key: WebhookKey,
    receivers: Arc<Receivers>,
}

impl Sender {
    pub fn new(pool: PgPool, clock: Clock, key: WebhookKey, receivers: Arc<Receivers>) -> Self {
        Self { pool, clock, key, receivers }
    }

    /// The registered receiver of messages to an address.
    pub async fn find_receiver(&self, url: &str, customer: Option<&str>) -> Result<Uuid, Unsent> {
        let receiver = self.receivers.resolve(url).await?;
        Ok(self.registered(&receiver, customer).await?.0)
    }

    /// Sends a message once. Any answer is a success here: the caller judges its status.
    pub async fn send(&self, message: Message<'_>) -> Result<Response, Unsent> {
        let receiver = self.receivers.resolve(message.url).await?;
        let (_, secrets) = self.registered(&receiver, message.customer).await?;
        // A client for this receiver only: it connects to the addresses that were checked and to no others.
        let client = receiver
            .client(CONNECT_TIMEOUT)
            .map_err(|_| Unsent::Later("no HTTP client could be created".to_owned()))?;
        let now = self.clock.now();
        let sent = client
            .post(receiver.url)
            .header("Content-Type", message.content_type)
            .header(ID, message.id)
            .header(TIMESTAMP, now.timestamp())
            .header(SIGNATURE, sign(&secrets, message.id, now, message.body.as_bytes()))
            .timeout(message.timeout)
            .body(message.body)
            .send()
            .await;
        sent.map_err(|error| {
            // The URL may contain a secret of the receiver.
            Unsent::Later(format!("the receiver could not be reached: {}", chain(&error.without_url())))
        })
    }

    async fn registered(
        &self,
        receiver: &Receiver,
        customer: Option<&str>,
    ) -> Result<(Uuid, Vec<Secret>), Unsent> {
        if !self.key.is_available() {
            return Err(Unsent::Never(
                "no key of webhooks is configured; start with --webhook-key-file or WEBHOOK_KEY_FILE"
                    .to_owned(),
            ));
        }
        let mut conn = self.pool.acquire().await?;
        let id = store::find_receiver_id(&mut conn, receiver.url.as_str(), customer).await?;
        let Some(id) = id else { return Err(Unsent::Never(not_registered(customer))) };
        let ids = store::list_secret_ids(&mut conn, id, self.clock.now()).await?;
        let secrets: Vec<Secret> = ids.into_iter().filter_map(|id| self.key.secret(id)).collect();
        if secrets.is_empty() {
            return Err(Unsent::Never(not_registered(customer)));
        }
        Ok((id, secrets))
    }
}

fn not_registered(customer: Option<&str>) -> String {
    match customer {
        Some(customer) => format!(
            "no receiver is registered at this address for the customer `{customer}`; an administrator registers it with \
             `patchctl webhook create URL --customer {customer}`"
        ),
        None => "no receiver is registered at this address; an administrator registers it with `patchctl webhook create URL`"
            .to_owned(),
    }
}
