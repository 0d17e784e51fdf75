//! Support for tests: a database per test, and services on free ports of 127.0.0.1.
//!
//! Only a development dependency. Nothing is mocked: the services are the real ones, over real HTTP.

mod browser;
mod database;
mod desk;
mod dumps;
mod fleet;
mod http;
mod identity_provider;
mod service;

pub use browser::{Browser, Shown};
pub use database::TestDatabase;
pub use desk::{Desk, NEW, OLD};
pub use dumps::{dump, restore};
pub use fleet::TestFleet;
pub use http::{Answer, Http};
pub use identity_provider::{CLIENT_SECRET, IdentityProvider};
pub use service::TestService;
pub use test_skip::{Reason, is_full, python_tool, shared_data, skip};

/// `ansible-playbook`; `None` when it is not installed, which is reported.
pub fn ansible_playbook() -> Option<std::path::PathBuf> {
    python_tool("ansible-playbook", "PATCH_ANSIBLE_PLAYBOOK")
}
