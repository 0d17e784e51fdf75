//! Webhooks as the Standard Webhooks specification (1.0) defines them: each message has an id, which is the same at every attempt, the
//! time of the attempt, and a signature over both and the body. Each receiver and customer has a secret.

mod callback;
mod key;
mod sender;
mod signature;
pub(crate) mod store;

pub use callback::accept_callback;
pub use key::{WebhookConfig, WebhookKey};
pub use sender::{Message, Sender, Unsent};
pub use signature::{ID, SIGNATURE, Secret, SignatureFault, TIMESTAMP, TIMESTAMP_TOLERANCE, sign, verify};
