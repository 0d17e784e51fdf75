//! The rules, each verb in one transaction.

pub(crate) mod customers;
pub(crate) mod releases;
pub(crate) mod rollout;
pub(crate) mod views;
pub(crate) mod watch;
