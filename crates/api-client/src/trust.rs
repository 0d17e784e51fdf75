//! Whom clients of the platform trust, in addition to the authorities of the machine.

use std::sync::OnceLock;

use reqwest::{Certificate, ClientBuilder};

/// Of a platform that made an authority for itself. A process talks to one platform.
static AUTHORITY: OnceLock<Certificate> = OnceLock::new();

/// Lets clients that are made from now on also trust the authority with this certificate in PEM. The first call counts.
pub fn trust(pem: &[u8]) -> Result<(), reqwest::Error> {
    if AUTHORITY.get().is_none() {
        let _ = AUTHORITY.set(Certificate::from_pem(pem)?);
    }
    Ok(())
}

/// A client of services of the platform, without a proxy.
pub fn builder() -> ClientBuilder {
    let builder = reqwest::Client::builder().no_proxy();
    match AUTHORITY.get() {
        Some(authority) => builder.tls_certs_merge([authority.clone()]),
        None => builder,
    }
}
