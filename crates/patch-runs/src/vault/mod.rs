//! Keys of hosts from a Vault: read for one step of work, kept in memory, forgotten after it.
//!
//! Nothing that is read or presented here is stored, logged or shown. Messages name the path that was asked for.

mod error;
mod session;
mod settings;
pub(crate) mod signing;
#[cfg(test)]
mod tests;
pub(crate) mod token_file;

pub(crate) use session::{HostKey, VaultSession};
pub use settings::VaultSettings;
