//! The rules, each verb in one transaction.

mod customer_events;
mod customer_fields;
pub(crate) mod customer_health;
pub(crate) mod customer_work;
pub(crate) mod customers;
pub(crate) mod deployments;
mod health_check;
pub(crate) mod health_watch;
pub(crate) mod lines;
pub(crate) mod metrics;
mod notices;
pub(crate) mod release_config;
pub(crate) mod releases;
pub(crate) mod rollouts;
pub(crate) mod search;
pub(crate) mod status;
pub(crate) mod timeline;
pub(crate) mod webhooks;
