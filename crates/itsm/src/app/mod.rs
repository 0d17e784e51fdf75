//! The rules; each verb is one transaction.

pub mod changes;
mod checks;
pub mod incidents;
pub mod notifications;
pub mod problems;
pub mod templates;

/// The result of a request that creates something unless it exists.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub enum Made<T> {
    New(T),
    /// It already existed, under the caller's own key.
    Existing(T),
}
