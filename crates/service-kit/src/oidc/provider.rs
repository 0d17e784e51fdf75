//! The configured provider: where people sign in, and who they are according to it.

use std::time::{Duration, Instant};

use api_types::access::{Role, is_address};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use rand::RngCore;
use reqwest::Url;
use secrecy::SecretString;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::{
    ProviderError,
    discovery::Metadata,
    http::{ClientProof, Http},
    id_token::{Claims, Expected, Fault, Unverified},
    keys::{Key, KeySet},
    roles::RoleMap,
};

/// What the provider publishes is read again after this time.
const KNOWN_FOR: Duration = Duration::from_secs(3600);
/// A token with an unknown key makes the keys be read again, but not more often than this: anybody can send one.
const KEYS_AT_MOST_EVERY: Duration = Duration::from_secs(10);
/// After a failure, nobody waits for the provider again for this long.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(3);

/// Names and texts of the settings.
#[derive(Debug)]
pub(super) struct Names {
    pub name: String,
    pub issuer: String,
    pub client_id: String,
    pub device_client_id: Option<String>,
    pub scopes: String,
    pub groups_claim: String,
    pub subject_claim: String,
    pub public_url: String,
}

#[derive(Debug)]
pub struct Provider {
    names: Names,
    secret: Option<SecretString>,
    roles: RoleMap,
    http: Http,
    session: TimeDelta,
    clock_skew: TimeDelta,
    known: Mutex<Known>,
}

/// What was read from the provider.
#[derive(Debug, Default)]
struct Known {
    metadata: Option<(Instant, Metadata)>,
    keys: Option<(Instant, Vec<Key>)>,
    failed: Option<(Instant, String)>,
}

/// Why a sign-in did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum SignInFault {
    #[error("the identity provider cannot be used at present: {0}")]
    Provider(#[from] ProviderError),
    #[error("the ID token is not accepted: {0}")]
    Token(Fault),
}

impl From<Fault> for SignInFault {
    fn from(fault: Fault) -> Self {
        Self::Token(fault)
    }
}

/// An account at the provider, as a verified ID token describes it.
#[derive(Debug, Clone)]
pub struct Account {
    pub sub: String,
    /// How the provider calls the person.
    pub name: Option<String>,
    /// In lower case, and only if the provider has verified it.
    pub email: Option<String>,
    pub roles: Vec<Role>,
    pub token_expires_at: DateTime<Utc>,
}

/// The secrets of one sign-in. The state goes through the browser, the verifier never does.
pub(crate) struct Challenge {
    pub state: String,
    pub nonce: String,
    pub verifier: String,
}

impl Challenge {
    pub fn new() -> Self {
        Self { state: random(), nonce: random(), verifier: random() }
    }
}

/// 256 random bits as text.
pub(crate) fn random() -> String {
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

#[derive(Deserialize)]
struct Tokens {
    id_token: Option<String>,
}

impl Provider {
    pub(super) fn new(names: Names, secret: Option<SecretString>, roles: RoleMap, http: Http) -> Self {
        let (session, clock_skew) = (TimeDelta::hours(1), TimeDelta::zero());
        Self { names, secret, roles, http, session, clock_skew, known: Mutex::default() }
    }

    pub(super) fn lasting(self, minutes: u32) -> Self {
        Self { session: TimeDelta::minutes(minutes.into()), ..self }
    }

    pub(super) fn tolerating(self, seconds: u32) -> Self {
        Self { clock_skew: TimeDelta::seconds(seconds.into()), ..self }
    }

    pub fn name(&self) -> &str {
        &self.names.name
    }

    pub fn issuer(&self) -> &str {
        &self.names.issuer
    }

    pub fn device_client_id(&self) -> Option<&str> {
        self.names.device_client_id.as_deref()
    }

    pub fn scopes(&self) -> &str {
        &self.names.scopes
    }

    /// Who writes what the provider says, in records.
    pub(crate) fn writes_as(&self) -> String {
        let host = Url::parse(&self.names.issuer).ok().and_then(|url| url.host_str().map(str::to_owned));
        format!("oidc:{}", host.unwrap_or_default())
    }

    /// How long a sign-in lasts.
    pub(crate) fn session(&self) -> TimeDelta {
        self.session
    }

    /// By which an expired token may still be accepted.
    pub(crate) fn clock_skew(&self) -> TimeDelta {
        self.clock_skew
    }

    /// Whether cookies of the pages are for TLS only.
    pub(crate) fn is_secure(&self) -> bool {
        self.names.public_url.starts_with("https://")
    }

    fn redirect_uri(&self) -> String {
        format!("{}/access/oidc/callback", self.names.public_url)
    }

    /// The page of the provider at which the person signs in.
    pub(crate) async fn sign_in_page(&self, challenge: &Challenge) -> Result<Url, ProviderError> {
        let mut url = self.metadata().await?.sign_in_page()?;
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(challenge.verifier.as_bytes()));
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", self.names.client_id.as_str()),
            ("redirect_uri", self.redirect_uri().as_str()),
            ("scope", self.names.scopes.as_str()),
            ("state", challenge.state.as_str()),
            ("nonce", challenge.nonce.as_str()),
            ("code_challenge", hash.as_str()),
            ("code_challenge_method", "S256"),
        ]);
        Ok(url)
    }

    /// The page at which the session at the provider ends, if there is one. ID tokens are not kept, so the provider may ask the
    /// person.
    pub(crate) async fn sign_out_page(&self) -> Result<Option<Url>, ProviderError> {
        let Some(mut url) = self.metadata().await?.sign_out_page()? else { return Ok(None) };
        url.query_pairs_mut()
            .append_pair("client_id", &self.names.client_id)
            .append_pair("post_logout_redirect_uri", &format!("{}/", self.names.public_url));
        Ok(Some(url))
    }

    /// The account for which the provider gave the browser this code.
    pub(crate) async fn redeem(
        &self,
        code: &str,
        verifier: &str,
        nonce: &str,
        now: DateTime<Utc>,
    ) -> Result<Account, SignInFault> {
        let metadata = self.metadata().await?;
        let redirect_uri = self.redirect_uri();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri.as_str()),
            ("code_verifier", verifier),
            ("client_id", self.names.client_id.as_str()),
        ];
        let proof = match &self.secret {
            None => ClientProof::None,
            Some(secret) if metadata.wants_secret_in_form() => ClientProof::InForm(secret),
            Some(secret) => ClientProof::Basic(&self.names.client_id, secret),
        };
        let tokens: Tokens = self.http.post("token endpoint", &metadata.token_endpoint, &form, proof).await?;
        let token = tokens.id_token.ok_or(ProviderError::Missing("ID token in its answer"))?;
        self.verify(&token, &self.names.client_id, Some(nonce), now).await
    }

    /// The account of an ID token that `patchctl` got by the device flow.
    pub(crate) async fn account_of_device(
        &self,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<Account, SignInFault> {
        let client_id =
            self.device_client_id().ok_or(ProviderError::Missing("client for `patchctl login`"))?;
        self.verify(token, client_id, None, now).await
    }

    async fn verify(
        &self,
        token: &str,
        client_id: &str,
        nonce: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Account, SignInFault> {
        let unverified = Unverified::read(token)?;
        let expected =
            Expected { issuer: &self.names.issuer, client_id, nonce, now, clock_skew: self.clock_skew };
        let mut known = self.known.lock().await;
        self.refresh_keys(&mut known, |keys| unverified.key(keys).is_ok()).await?;
        let keys = known.keys.as_ref().map(|(_, keys)| keys.as_slice()).unwrap_or_default();
        let key = unverified.key(keys)?;
        let claims = unverified.verify(key, &expected)?;
        Ok(self.account(&claims, now))
    }

    fn account(&self, claims: &Claims, now: DateTime<Utc>) -> Account {
        let groups = claims.texts(&self.names.groups_claim);
        let email = claims
            .text("email")
            .filter(|email| claims.is_true("email_verified") && is_address(email) && email.is_ascii());
        Account {
            sub: claims.text("sub").unwrap_or_default().to_owned(),
            name: claims.text(&self.names.subject_claim).map(str::to_owned),
            email: email.map(str::to_ascii_lowercase),
            roles: self.roles.roles_of(&groups),
            token_expires_at: claims.expires_at().unwrap_or(now),
        }
    }

    async fn metadata(&self) -> Result<Metadata, ProviderError> {
        let mut known = self.known.lock().await;
        self.refresh_metadata(&mut known).await
    }

    async fn refresh_metadata(&self, known: &mut Known) -> Result<Metadata, ProviderError> {
        if let Some((at, metadata)) = &known.metadata
            && at.elapsed() < KNOWN_FOR
        {
            return Ok(metadata.clone());
        }
        known.check_failure()?;
        let metadata = known.note(Metadata::read(&self.http, &self.names.issuer).await)?;
        known.metadata = Some((Instant::now(), metadata.clone()));
        Ok(metadata)
    }

    /// Reads the keys if the present ones are old or not those that are needed.
    async fn refresh_keys(
        &self,
        known: &mut Known,
        suffice: impl Fn(&[Key]) -> bool,
    ) -> Result<(), ProviderError> {
        if let Some((at, keys)) = &known.keys {
            let age = at.elapsed();
            if age < KEYS_AT_MOST_EVERY || (age < KNOWN_FOR && suffice(keys)) {
                return Ok(());
            }
        }
        let metadata = self.refresh_metadata(known).await?;
        known.check_failure()?;
        let read = known.note(self.http.get::<KeySet>("keys", &metadata.jwks_uri).await)?;
        known.keys = Some((Instant::now(), read.read()));
        Ok(())
    }
}

impl Known {
    fn check_failure(&self) -> Result<(), ProviderError> {
        match &self.failed {
            Some((at, error)) if at.elapsed() < REST_AFTER_FAILURE => {
                Err(ProviderError::JustFailed(error.clone()))
            }
            _ => Ok(()),
        }
    }

    fn note<T>(&mut self, read: Result<T, ProviderError>) -> Result<T, ProviderError> {
        self.failed = read.as_ref().err().map(|error| (Instant::now(), error.to_string()));
        read
    }
}
