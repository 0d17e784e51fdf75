//! Typed HTTP clients of the services: one module each, over one [`Client`] that knows timeouts, retries and problems.

mod client;
pub mod cmdb;
pub mod itsm;
pub mod patch;
pub mod sim;

pub use client::{Client, ClientError, RetryRule};
