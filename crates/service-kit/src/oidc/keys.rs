//! The provider's public keys (RFC 7517), and signatures made with them (RFC 7518).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

/// Keys of one provider that are read.
const MOST_KEYS: usize = 100;
/// Bytes of one coordinate of a P-256 key.
const COORDINATE: usize = 32;
/// How an uncompressed point begins.
const UNCOMPRESSED: u8 = 4;

/// The algorithms that are accepted. `none` and those with a shared secret are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Ps256,
    Es256,
    EdDsa,
}

impl Algorithm {
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// As the provider publishes them; entries of other kinds are skipped.
#[derive(Deserialize)]
pub(super) struct KeySet {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    pub fn read(self) -> Vec<Key> {
        let written = self.keys.into_iter().filter_map(|key| serde_json::from_value::<WrittenKey>(key).ok());
        written.filter_map(WrittenKey::read).take(MOST_KEYS).collect()
    }
}

#[derive(Deserialize)]
struct WrittenKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// A key that checks signatures.
#[derive(Debug)]
pub(super) struct Key {
    pub id: Option<String>,
    /// The only algorithm that it is for.
    only: Option<String>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl WrittenKey {
    fn read(self) -> Option<Key> {
        if self.purpose.is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let bytes = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
        let material = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", None) => Material::Rsa { n: bytes(self.n)?, e: bytes(self.e)? },
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes(self.x)?, bytes(self.y)?);
                if x.len() != COORDINATE || y.len() != COORDINATE {
                    return None;
                }
                Material::P256([&[UNCOMPRESSED][..], &x, &y].concat())
            }
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(self.x)?),
            _ => return None,
        };
        Some(Key { id: self.kid, only: self.alg, material })
    }
}

impl Key {
    /// Whether the key can have made a signature of this algorithm: a key never checks one of another kind.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        let is_of_kind = match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => matches!(self.material, Material::Rsa { .. }),
            Algorithm::Es256 => matches!(self.material, Material::P256(_)),
            Algorithm::EdDsa => matches!(self.material, Material::Ed25519(_)),
        };
        is_of_kind && self.only.as_deref().is_none_or(|only| only == algorithm.name())
    }

    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let verified = match (&self.material, algorithm) {
            (Material::Rsa { n, e }, Algorithm::Rs256) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            (Material::Rsa { n, e }, Algorithm::Ps256) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PSS_2048_8192_SHA256, message, signature)
            }
            (Material::P256(point), Algorithm::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            (Material::Ed25519(key), Algorithm::EdDsa) => {
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature)
            }
            _ => return false,
        };
        verified.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
    };
    use serde_json::json;

    use super::*;

    fn keys(keys: serde_json::Value) -> Vec<Key> {
        serde_json::from_value::<KeySet>(json!({ "keys": keys })).unwrap().read()
    }

    fn text(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    #[test]
    fn key_checks_signatures_of_its_own_kind_only() {
        let ed = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = ec.public_key().as_ref();
        let keys = keys(json!([
            { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": text(ed.public_key().as_ref()) },
            { "kty": "EC", "crv": "P-256", "kid": "ec", "x": text(&point[1..33]), "y": text(&point[33..]) },
            { "kty": "oct", "kid": "shared", "k": "AAAA" },
            { "kty": "RSA", "use": "enc", "kid": "other", "n": "AAAA", "e": "AQAB" },
            { "kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA" },
            17,
        ]));
        let ids: Vec<_> = keys.iter().filter_map(|key| key.id.as_deref()).collect();
        assert_eq!((ids, keys.len()), (vec!["ed", "ec"], 2));
        let (ed_key, ec_key) = (&keys[0], &keys[1]);
        let by_ed = ed.sign(b"text");
        let by_ec = ec.sign(&SystemRandom::new(), b"text").unwrap();
        assert!(ed_key.fits(Algorithm::EdDsa) && ed_key.verifies(Algorithm::EdDsa, b"text", by_ed.as_ref()));
        assert!(ec_key.fits(Algorithm::Es256) && ec_key.verifies(Algorithm::Es256, b"text", by_ec.as_ref()));
        assert!(!ed_key.verifies(Algorithm::EdDsa, b"other", by_ed.as_ref()));
        assert!(!ec_key.verifies(Algorithm::Es256, b"text", by_ed.as_ref()));
        assert!(
            !ed_key.fits(Algorithm::Rs256) && !ed_key.verifies(Algorithm::Es256, b"text", by_ed.as_ref())
        );
    }

    #[test]
    fn algorithms_without_a_key_pair_are_not_known() {
        for name in ["none", "None", "HS256", "rs256", ""] {
            assert_eq!(Algorithm::of(name), None, "{name}");
        }
        let keys = keys(json!([{ "kty": "RSA", "alg": "PS256", "n": "AAAA", "e": "AQAB" }]));
        assert!(keys[0].fits(Algorithm::Ps256) && !keys[0].fits(Algorithm::Rs256));
    }
}
