//! The signature of one message, and its check.

use std::fmt;

use axum::http::{HeaderMap, HeaderName};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::clock::TOLERANCE;

pub const ID: HeaderName = HeaderName::from_static("webhook-id");
pub const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
pub const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// How far the timestamp of a message may be from the time of the receiver.
pub const TIMESTAMP_TOLERANCE: TimeDelta = TOLERANCE;

/// The version of the signature: HMAC-SHA256.
const VERSION: &str = "v1,";
const PREFIX: &str = "whsec_";
/// Characters of an id.
const LONGEST_ID: usize = 256;
/// Signatures of one message that are looked at.
const MOST_SIGNATURES: usize = 10;

/// A secret that a receiver shares with the platform.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([hidden])")
    }
}

impl Secret {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Reads `whsec_` and base64; `None` for another text.
    pub fn parse(text: &str) -> Option<Self> {
        STANDARD.decode(text.strip_prefix(PREFIX)?).ok().map(Self)
    }

    /// `whsec_` and the secret in base64. Shown once.
    pub fn text(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    /// HMAC-SHA256 over `id.timestamp.body`.
    fn mac(&self, id: &str, timestamp: i64, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0)
            .unwrap_or_else(|_| unreachable!("HMAC accepts keys of any length"));
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        mac
    }
}

/// The value of `webhook-signature`: one signature for each secret.
pub fn sign(secrets: &[Secret], id: &str, at: DateTime<Utc>, body: &[u8]) -> String {
    let sign = |secret: &Secret| {
        let mac = secret.mac(id, at.timestamp(), body);
        format!("{VERSION}{}", STANDARD.encode(mac.finalize().into_bytes()))
    };
    secrets.iter().map(sign).collect::<Vec<_>>().join(" ")
}

/// Why a message is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    #[error("the header `{0}` is missing or cannot be read")]
    Header(&'static str),
    #[error("the timestamp is more than 5 minutes away from the time of this server")]
    Timestamp,
    #[error("no signature fits the message and the secret that is expected")]
    NoMatch,
}

/// Checks a message against the secrets that its sender may use, and returns its id. Signatures are compared in constant time.
pub fn verify<'a>(
    secrets: &[Secret],
    headers: &'a HeaderMap,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<&'a str, SignatureFault> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let is_id = |id: &&str| (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    let id = text(&ID).filter(is_id).ok_or(SignatureFault::Header("webhook-id"))?;
    let timestamp: i64 = text(&TIMESTAMP)
        .and_then(|text| text.parse().ok())
        .ok_or(SignatureFault::Header("webhook-timestamp"))?;
    let signatures = text(&SIGNATURE).ok_or(SignatureFault::Header("webhook-signature"))?;
    let at = DateTime::from_timestamp(timestamp, 0).ok_or(SignatureFault::Header("webhook-timestamp"))?;
    if (now - at).abs() > TIMESTAMP_TOLERANCE {
        return Err(SignatureFault::Timestamp);
    }
    let given: Vec<Vec<u8>> = signatures
        .split(' ')
        .filter_map(|one| STANDARD.decode(one.strip_prefix(VERSION)?).ok())
        .take(MOST_SIGNATURES)
        .collect();
    let fits = |secret: &Secret| {
        given.iter().any(|given| secret.mac(id, timestamp, body).verify_slice(given).is_ok())
    };
    if secrets.iter().any(fits) { Ok(id) } else { Err(SignatureFault::NoMatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const MESSAGE: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SENT: i64 = 1_614_265_330;

    /// The example of the specification.
    fn secret() -> Secret {
        Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap()
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(SENT + seconds, 0).unwrap()
    }

    fn headers(id: &str, timestamp: &str, signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [(ID, id), (TIMESTAMP, timestamp), (SIGNATURE, signature)] {
            headers.insert(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn example_of_the_specification_has_its_signature() {
        let signature = sign(&[secret()], MESSAGE, at(0), BODY);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let headers = headers(MESSAGE, &SENT.to_string(), &signature);
        assert_eq!(verify(&[secret()], &headers, BODY, at(10)), Ok(MESSAGE));
        assert_eq!(Secret::parse(&secret().text()).unwrap().0, secret().0);
        assert!(Secret::parse("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_none());
    }

    #[test]
    fn whatever_is_changed_does_not_fit() {
        let (sent, right) = (SENT.to_string(), sign(&[secret()], MESSAGE, at(0), BODY));
        let check = |headers: &HeaderMap, body: &[u8]| verify(&[secret()], headers, body, at(0)).map(drop);
        let no_match = Err(SignatureFault::NoMatch);
        assert_eq!(check(&headers("msg_other", &sent, &right), BODY), no_match);
        assert_eq!(check(&headers(MESSAGE, &(SENT + 1).to_string(), &right), BODY), no_match);
        assert_eq!(check(&headers(MESSAGE, &sent, &right), br#"{"test": 2432232315}"#), no_match);
        assert_eq!(check(&headers(MESSAGE, &sent, &right.replace("v1,", "v1a,")), BODY), no_match);
        assert_eq!(check(&headers(MESSAGE, &sent, ""), BODY), no_match);
        let other = sign(&[Secret::new(vec![7; 32])], MESSAGE, at(0), BODY);
        assert_eq!(check(&headers(MESSAGE, &sent, &other), BODY), no_match);
        assert_eq!(verify(&[], &headers(MESSAGE, &sent, &right), BODY, at(0)).map(drop), no_match);
    }

    #[test]
    fn timestamp_must_be_near() {
        let headers = headers(MESSAGE, &SENT.to_string(), &sign(&[secret()], MESSAGE, at(0), BODY));
        for seconds in [-300, 300] {
            assert_eq!(verify(&[secret()], &headers, BODY, at(seconds)), Ok(MESSAGE));
        }
        for seconds in [-301, 301] {
            assert_eq!(verify(&[secret()], &headers, BODY, at(seconds)), Err(SignatureFault::Timestamp));
        }
    }

    #[test]
    fn missing_and_odd_headers_are_named() {
        let right = headers(MESSAGE, &SENT.to_string(), &sign(&[secret()], MESSAGE, at(0), BODY));
        for (name, value) in [(ID, Some("a b")), (ID, None), (TIMESTAMP, Some("soon")), (SIGNATURE, None)] {
            let mut wrong = right.clone();
            wrong.remove(&name);
            value.map(|value| wrong.insert(&name, value.parse().unwrap()));
            let fault = verify(&[secret()], &wrong, BODY, at(0)).unwrap_err();
            assert!(fault.to_string().contains(name.as_str()), "{fault}");
        }
    }

    #[test]
    fn old_and_new_secret_sign_next_to_each_other() {
        let (old, new) = (secret(), Secret::new(vec![7; 32]));
        let both = sign(&[new.clone(), old.clone()], MESSAGE, at(0), BODY);
        assert_eq!(both.split(' ').count(), 2);
        let headers = headers(MESSAGE, &SENT.to_string(), &both);
        for one in [old, new] {
            assert_eq!(verify(&[one], &headers, BODY, at(0)), Ok(MESSAGE));
        }
    }
}
