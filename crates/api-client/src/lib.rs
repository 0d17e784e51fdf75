//! Typed HTTP clients of the services: one module each, over one [`Client`] that knows timeouts, retries and problems.

pub mod access;
mod client;
pub mod cmdb;
pub mod itsm;
pub mod patch;
pub mod releases;
pub mod sim;
pub mod sim_customers;
mod trust;

pub use client::{Client, ClientError, RetryRule};
pub use trust::{builder, trust};

/// Encodes any text as one path segment, so that it cannot reach another resource.
fn segment(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    text.bytes().fold(String::new(), |path, byte| {
        if is_plain(byte) {
            path + char::from(byte).encode_utf8(&mut [0; 4])
        } else {
            path + &format!("%{byte:02X}")
        }
    })
}
