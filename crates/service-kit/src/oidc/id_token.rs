//! ID tokens: read, and checked as OpenID Connect Core 3.1.3.7 says. Pure: keys and time are arguments.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::keys::{Algorithm, Key};

/// A token with many groups has a few kilobytes.
const LONGEST: usize = 64 * 1024;
/// A token is exchanged when it is issued; an older one was kept by somebody.
const OLDEST: TimeDelta = TimeDelta::minutes(10);
/// Characters of `sub` (OpenID Connect Core, 2).
const LONGEST_SUB: usize = 255;

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it is not an ID token")]
    Unreadable,
    #[error("it is not signed with RS256, PS256, ES256 or EdDSA")]
    Algorithm,
    #[error("it is signed with a key that the provider does not publish")]
    UnknownKey,
    #[error("its signature does not fit")]
    Signature,
    #[error("another provider has issued it")]
    Issuer,
    #[error("it is for another application")]
    Audience,
    #[error("it has expired")]
    Expired,
    #[error("it is valid only later; compare the clocks")]
    Early,
    #[error("it was issued more than ten minutes ago; sign in again")]
    Old,
    #[error("it belongs to another sign-in")]
    Nonce,
    #[error("its claim `{0}` is missing or has another form")]
    Claim(&'static str),
}

/// A token that was read and not yet verified.
pub(super) struct Unverified<'a> {
    algorithm: Algorithm,
    key_id: Option<String>,
    message: &'a str,
    signature: Vec<u8>,
    claims: Map<String, Value>,
}

/// What a token must say.
pub(super) struct Expected<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    /// That of the sign-in; `None` in the device flow, which has none.
    pub nonce: Option<&'a str>,
    pub now: DateTime<Utc>,
    pub clock_skew: TimeDelta,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that a reader must understand; this one understands none.
    crit: Option<Value>,
}

impl<'a> Unverified<'a> {
    pub fn read(token: &'a str) -> Result<Self, Fault> {
        let parts: Vec<&str> = token.split('.').collect();
        let [header, payload, signature] = parts[..] else { return Err(Fault::Unreadable) };
        if token.len() > LONGEST {
            return Err(Fault::Unreadable);
        }
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Fault::Unreadable);
        let head: Header = serde_json::from_slice(&bytes(header)?).map_err(|_| Fault::Unreadable)?;
        let algorithm = Algorithm::of(&head.alg).ok_or(Fault::Algorithm)?;
        if head.crit.is_some() {
            return Err(Fault::Unreadable);
        }
        Ok(Self {
            algorithm,
            key_id: head.kid,
            message: &token[..header.len() + 1 + payload.len()],
            signature: bytes(signature)?,
            claims: serde_json::from_slice(&bytes(payload)?).map_err(|_| Fault::Unreadable)?,
        })
    }

    /// The key that made the signature: that of the token's key id, or the only one of its kind.
    pub fn key<'k>(&self, keys: &'k [Key]) -> Result<&'k Key, Fault> {
        let mut fitting = keys.iter().filter(|key| key.fits(self.algorithm));
        match &self.key_id {
            Some(id) => fitting.find(|key| key.id.as_ref() == Some(id)).ok_or(Fault::UnknownKey),
            None => match (fitting.next(), fitting.next()) {
                (Some(only), None) => Ok(only),
                _ => Err(Fault::UnknownKey),
            },
        }
    }

    /// The claims, if the signature and every check pass.
    pub fn verify(self, key: &Key, expected: &Expected<'_>) -> Result<Claims, Fault> {
        if !key.verifies(self.algorithm, self.message.as_bytes(), &self.signature) {
            return Err(Fault::Signature);
        }
        let claims = Claims(self.claims);
        if claims.text("iss") != Some(expected.issuer) {
            return Err(Fault::Issuer);
        }
        claims.check_audience(expected.client_id)?;
        claims.check_times(expected.now, expected.clock_skew)?;
        if expected.nonce.is_some_and(|nonce| claims.text("nonce") != Some(nonce)) {
            return Err(Fault::Nonce);
        }
        let is_sub = |sub: &str| {
            (1..=LONGEST_SUB).contains(&sub.len()) && sub.bytes().all(|b| (0x20..0x7f).contains(&b))
        };
        if claims.text("sub").is_some_and(is_sub) { Ok(claims) } else { Err(Fault::Claim("sub")) }
    }
}

/// The claims of a verified token.
#[derive(Debug)]
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    pub fn text(&self, name: &str) -> Option<&str> {
        self.find(name)?.as_str()
    }

    pub fn is_true(&self, name: &str) -> bool {
        self.find(name).and_then(Value::as_bool) == Some(true)
    }

    /// A list of texts, or one text; empty if there is none.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        match self.find(name) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(one)) => vec![one],
            _ => Vec::new(),
        }
    }

    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.time("exp").ok().flatten()
    }

    /// A claim by its name, or inside of others by names with dots: `realm_access.roles`.
    fn find(&self, name: &str) -> Option<&Value> {
        if let Some(found) = self.0.get(name) {
            return Some(found);
        }
        let (first, rest) = name.split_once('.')?;
        rest.split('.').try_fold(self.0.get(first)?, |value, name| value.get(name))
    }

    fn time(&self, name: &'static str) -> Result<Option<DateTime<Utc>>, Fault> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds =
            value.as_i64().or_else(|| value.as_f64().filter(|it| it.abs() < 1e12).map(|it| it as i64));
        let time = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        time.map(Some).ok_or(Fault::Claim(name))
    }

    /// For this application, and issued to it: a token for several names the one it was issued to.
    fn check_audience(&self, client_id: &str) -> Result<(), Fault> {
        let audiences = match self.0.get("aud") {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(all)) => {
                all.iter().map(Value::as_str).collect::<Option<_>>().ok_or(Fault::Claim("aud"))?
            }
            _ => return Err(Fault::Claim("aud")),
        };
        let issued_to = match self.0.get("azp") {
            Some(azp) => Some(azp.as_str().ok_or(Fault::Claim("azp"))?),
            None => None,
        };
        let is_ours = audiences.contains(&client_id)
            && issued_to.is_none_or(|azp| azp == client_id)
            && (audiences.len() == 1 || issued_to.is_some());
        if is_ours { Ok(()) } else { Err(Fault::Audience) }
    }

    fn check_times(&self, now: DateTime<Utc>, clock_skew: TimeDelta) -> Result<(), Fault> {
        let expires = self.time("exp")?.ok_or(Fault::Claim("exp"))?;
        let issued = self.time("iat")?.ok_or(Fault::Claim("iat"))?;
        if expires <= now - clock_skew {
            return Err(Fault::Expired);
        }
        if issued > now + clock_skew || self.time("nbf")?.is_some_and(|from| from > now + clock_skew) {
            return Err(Fault::Early);
        }
        if issued < now - clock_skew - OLDEST { Err(Fault::Old) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use serde_json::json;

    use super::super::keys::KeySet;
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn pair(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
    }

    fn keys() -> Vec<Key> {
        let x = URL_SAFE_NO_PAD.encode(pair(1).public_key().as_ref());
        let keys = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "one", "x": x }] });
        serde_json::from_value::<KeySet>(keys).unwrap().read()
    }

    fn good() -> Value {
        json!({
            "iss": "https://id.example.org", "sub": "0a1", "aud": "console", "nonce": "n-1",
            "iat": NOW - 5, "exp": NOW + 300, "realm": { "groups": ["a", "b"] },
        })
    }

    fn signed(header: &Value, claims: &Value, seed: u8) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(pair(seed).sign(message.as_bytes()).as_ref());
        format!("{message}.{signature}")
    }

    fn check(token: &str) -> Result<Claims, Fault> {
        let unverified = Unverified::read(token)?;
        let keys = keys();
        let key = unverified.key(&keys)?;
        let expected = Expected {
            issuer: "https://id.example.org",
            client_id: "console",
            nonce: Some("n-1"),
            now: DateTime::from_timestamp(NOW, 0).unwrap(),
            clock_skew: TimeDelta::seconds(30),
        };
        unverified.verify(key, &expected)
    }

    fn with(change: Value) -> Result<Claims, Fault> {
        let mut claims = good();
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        check(&signed(&json!({ "alg": "EdDSA", "kid": "one" }), &claims, 1))
    }

    #[test]
    fn good_token_is_accepted() {
        let claims = with(json!({})).unwrap();
        assert_eq!((claims.text("sub"), claims.texts("realm.groups")), (Some("0a1"), vec!["a", "b"]));
        assert!(with(json!({ "aud": ["console", "other"], "azp": "console" })).is_ok());
        assert!(with(json!({ "exp": NOW - 20, "nbf": NOW + 20 })).is_ok(), "clocks differ a little");
        assert!(check(&signed(&json!({ "alg": "EdDSA" }), &good(), 1)).is_ok(), "the only key needs no name");
    }

    #[test]
    fn wrong_claim_is_refused() {
        for (change, fault) in [
            (json!({ "iss": "https://id.example.org/" }), Fault::Issuer),
            (json!({ "aud": "other" }), Fault::Audience),
            (json!({ "aud": ["console", "other"] }), Fault::Audience),
            (json!({ "azp": "other" }), Fault::Audience),
            (json!({ "aud": 7 }), Fault::Claim("aud")),
            (json!({ "exp": NOW - 31 }), Fault::Expired),
            (json!({ "exp": "soon" }), Fault::Claim("exp")),
            (json!({ "iat": NOW + 31 }), Fault::Early),
            (json!({ "nbf": NOW + 31 }), Fault::Early),
            (json!({ "iat": NOW - 631 }), Fault::Old),
            (json!({ "nonce": "n-2" }), Fault::Nonce),
            (json!({ "sub": "" }), Fault::Claim("sub")),
            (json!({ "sub": 5 }), Fault::Claim("sub")),
        ] {
            assert_eq!(with(change.clone()).unwrap_err(), fault, "{change}");
        }
    }

    #[test]
    fn forged_token_is_refused() {
        let header = json!({ "alg": "EdDSA", "kid": "one" });
        assert_eq!(check(&signed(&header, &good(), 2)).unwrap_err(), Fault::Signature);
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let token = signed(&header, &good(), 1);
        let signature = token.rsplit('.').next().unwrap();
        let mut other = good();
        other["sub"] = json!("admin");
        let swapped = format!("{}.{}.{signature}", part(&header), part(&other));
        assert_eq!(check(&swapped).unwrap_err(), Fault::Signature);
        for (alg, fault) in
            [("none", Fault::Algorithm), ("HS256", Fault::Algorithm), ("RS256", Fault::UnknownKey)]
        {
            let header = json!({ "alg": alg, "kid": "one" });
            assert_eq!(check(&signed(&header, &good(), 1)).unwrap_err(), fault, "{alg}");
            let unsigned = format!("{}.{}.", part(&header), part(&good()));
            assert_eq!(check(&unsigned).unwrap_err(), fault, "{alg}");
        }
        let other_key = json!({ "alg": "EdDSA", "kid": "two" });
        assert_eq!(check(&signed(&other_key, &good(), 1)).unwrap_err(), Fault::UnknownKey);
        let critical = json!({ "alg": "EdDSA", "kid": "one", "crit": ["b64"], "b64": false });
        assert_eq!(check(&signed(&critical, &good(), 1)).unwrap_err(), Fault::Unreadable);
        for text in ["", "a.b", "a.b.c.d", "....", "e30.e30.e30"] {
            assert_eq!(check(text).unwrap_err(), Fault::Unreadable, "{text}");
        }
    }
}
