//! Requests to the provider: with a timeout and a limit of size, without redirects, over TLS unless the provider is on this machine,
//! and only to addresses that the outbound guard allows.

use std::{net::IpAddr, time::Duration};

use reqwest::{Certificate, Client, RequestBuilder, StatusCode, Url, header};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};

use super::ProviderError;
use crate::outbound::{self, Receivers};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// From the first packet to the last byte of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A set of keys has a few kilobytes.
const LARGEST_ANSWER: usize = 256 * 1024;
/// Characters of an error code of the provider.
const LONGEST_CODE: usize = 60;

#[derive(Debug)]
pub(super) struct Http {
    receivers: Receivers,
    authority: Option<Certificate>,
}

/// An answer with status 400, as OAuth describes errors (RFC 6749, 5.2).
#[derive(Deserialize)]
struct OAuthError {
    error: String,
}

/// How a client proves at the token endpoint who it is.
pub(super) enum ClientProof<'a> {
    /// A public client: its id is in the form, and PKCE or the device code protects the exchange.
    None,
    Basic(&'a str, &'a SecretString),
    InForm(&'a SecretString),
}

impl Http {
    /// The setting names the issuer, and so allows its address.
    pub fn new(issuer: &Url, authority: Option<Certificate>) -> anyhow::Result<Self> {
        let host = issuer.host_str().unwrap_or_default();
        let own = format!("{host}:{}", issuer.port_or_known_default().unwrap_or_default());
        Ok(Self { receivers: Receivers::new(&[own])?, authority })
    }

    pub async fn get<T: DeserializeOwned>(&self, what: &'static str, url: &str) -> Result<T, ProviderError> {
        let (status, body) = self.send(what, url, |client, url| client.get(url)).await?;
        if status != StatusCode::OK {
            return Err(ProviderError::Status { what, status: status.as_u16() });
        }
        serde_json::from_slice(&body).map_err(|_| ProviderError::Unreadable { what })
    }

    /// Posts a form. An error that OAuth describes is [`ProviderError::Refused`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        what: &'static str,
        url: &str,
        pairs: &[(&str, &str)],
        proof: ClientProof<'_>,
    ) -> Result<T, ProviderError> {
        let mut pairs = pairs.to_vec();
        if let ClientProof::InForm(secret) = proof {
            pairs.push(("client_secret", secret.expose_secret()));
        }
        let form = encoded(&pairs);
        let request = |client: &Client, url: Url| {
            let request = client
                .post(url)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header(header::ACCEPT, "application/json");
            match proof {
                // Both parts are encoded before they are joined (RFC 6749, 2.3.1).
                ClientProof::Basic(id, secret) => {
                    request.basic_auth(encoded_part(id), Some(encoded_part(secret.expose_secret())))
                }
                ClientProof::None | ClientProof::InForm(_) => request,
            }
            .body(form)
        };
        let (status, body) = self.send(what, url, request).await?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|_| ProviderError::Unreadable { what });
        }
        match serde_json::from_slice::<OAuthError>(&body) {
            Ok(refused) => Err(ProviderError::Refused { code: plain(&refused.error) }),
            Err(_) => Err(ProviderError::Status { what, status: status.as_u16() }),
        }
    }

    async fn send(
        &self,
        what: &'static str,
        url: &str,
        request: impl FnOnce(&Client, Url) -> RequestBuilder,
    ) -> Result<(StatusCode, Vec<u8>), ProviderError> {
        check_scheme(what, url)?;
        let answered = async {
            let receiver = self.receivers.resolve(url).await.map_err(|refused| ProviderError::Address {
                what,
                reason: format!("cannot be used: {refused}"),
            })?;
            let client = receiver
                .client_trusting(CONNECT_TIMEOUT, self.authority.clone())
                .map_err(|source| ProviderError::Unreachable { what, source })?;
            let unreachable =
                |source: reqwest::Error| ProviderError::Unreachable { what, source: source.without_url() };
            let mut answer = request(&client, receiver.url.clone()).send().await.map_err(unreachable)?;
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
                if body.len() + chunk.len() > LARGEST_ANSWER {
                    return Err(ProviderError::TooLarge { what, limit: LARGEST_ANSWER });
                }
                body.extend_from_slice(&chunk);
            }
            Ok((answer.status(), body))
        };
        tokio::time::timeout(TIMEOUT, answered)
            .await
            .unwrap_or(Err(ProviderError::Silent { what, seconds: TIMEOUT.as_secs() }))
    }
}

/// `https`, or `http` to this machine, where no network can read it.
pub(super) fn check_scheme(what: &'static str, text: &str) -> Result<Url, ProviderError> {
    let wrong = |reason: String| ProviderError::Address { what, reason };
    let url = outbound::parse(text).map_err(|refusal| wrong(refusal.to_string()))?;
    if url.scheme() == "https" || is_loopback(&url) {
        return Ok(url);
    }
    Err(wrong(
        "must begin with `https://`; only a provider on this machine may be reached without TLS".to_owned(),
    ))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// As a form encodes pairs; the rest of the address is not used.
fn encoded(pairs: &[(&str, &str)]) -> String {
    let Ok(mut url) = Url::parse("http://form/") else { return String::new() };
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}

fn encoded_part(text: &str) -> String {
    encoded(&[("", text)]).trim_start_matches('=').to_owned()
}

/// A code of the provider as it may be shown.
pub(crate) fn plain(code: &str) -> String {
    code.chars().filter(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c)).take(LONGEST_CODE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_provider_on_this_machine_is_reached_without_tls() {
        for url in
            ["https://id.example.org/", "http://127.0.0.1:9/", "http://[::1]:9/", "http://localhost:9/"]
        {
            assert!(check_scheme("keys", url).is_ok(), "{url}");
        }
        for url in
            ["http://id.example.org/", "http://10.0.0.1/", "http://localhost.example.org/", "ftp://x/", "x"]
        {
            assert!(check_scheme("keys", url).is_err(), "{url}");
        }
    }

    #[test]
    fn form_is_encoded() {
        assert_eq!(encoded(&[("a b", "c&d=e"), ("f", "\u{e9}")]), "a+b=c%26d%3De&f=%C3%A9");
        assert_eq!(encoded_part("p:a=s"), "p%3Aa%3Ds");
        assert_eq!(plain("access_denied\r\n<b>"), "access_deniedb");
    }

    #[tokio::test]
    async fn inner_address_that_is_not_the_issuers_is_refused() {
        let issuer = Url::parse("https://id.example.org").unwrap();
        let http = Http::new(&issuer, None).unwrap();
        let refused = http.get::<serde_json::Value>("keys", "https://10.0.0.1/keys").await.unwrap_err();
        assert!(matches!(refused, ProviderError::Address { what: "keys", .. }), "{refused}");
    }
}
