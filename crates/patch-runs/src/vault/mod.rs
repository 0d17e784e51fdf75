//! Keys of hosts from a Vault: read for one action, kept in memory, dropped after it.
//!
//! No secret is stored, logged or shown. Messages name the path of the request.

mod error;
#[cfg(test)]
mod openbao_tests;
mod session;
mod settings;
pub(crate) mod signing;
#[cfg(test)]
mod tests;
pub(crate) mod token_file;

pub(crate) use session::{HostKey, VaultSession};
pub use settings::VaultSettings;
