//! The device flow (RFC 8628): a program without a browser of its own asks, a person signs in elsewhere.

use std::{path::Path, time::Duration};

use serde::Deserialize;

use super::{
    ProviderError,
    config::read_authority,
    discovery::Metadata,
    http::{ClientProof, Http, check_scheme},
};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// If the provider names none (RFC 8628, 3.2).
const INTERVAL: u64 = 5;
/// What `slow_down` adds to the interval (RFC 8628, 3.5).
const SLOW_DOWN: Duration = Duration::from_secs(5);
const LONGEST_INTERVAL: u64 = 60;
/// A person does not need longer, whatever the provider allows.
const LONGEST_LIFE: u64 = 15 * 60;

/// A sign-in of a program.
pub struct DeviceLogin {
    http: Http,
    token_endpoint: String,
    client_id: String,
    device_code: String,
    interval: Duration,
}

/// What the person does, and for how long it is possible.
pub struct DeviceCode {
    pub page: String,
    pub code: String,
    /// The page with the code in it, if the provider has one.
    pub whole_page: Option<String>,
    pub lasts: Duration,
}

/// The answer to one question.
#[derive(Debug)]
pub enum Poll {
    /// The person has signed in; the ID token.
    Done(String),
    /// Ask again after [`DeviceLogin::interval`].
    Pending,
    /// The person refused.
    Denied,
    Expired,
}

#[derive(Deserialize)]
struct Started {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: Option<String>,
}

impl DeviceLogin {
    pub async fn start(
        issuer: &str,
        client_id: &str,
        scopes: &str,
        authority: Option<&Path>,
    ) -> anyhow::Result<(Self, DeviceCode)> {
        let authority = authority.map(read_authority).transpose()?;
        let http = Http::new(&check_scheme("issuer", issuer)?, authority)?;
        let metadata = Metadata::read(&http, issuer).await?;
        let endpoint = metadata.device_authorization_endpoint.ok_or(ProviderError::Missing("device flow"))?;
        let form = [("client_id", client_id), ("scope", scopes)];
        let started: Started = http.post("device endpoint", &endpoint, &form, ClientProof::None).await?;
        // A person follows these: nothing but an address may be in them.
        check_scheme("page for codes", &started.verification_uri)?;
        let whole_page =
            started.verification_uri_complete.filter(|url| check_scheme("page for codes", url).is_ok());
        let code = DeviceCode {
            page: started.verification_uri,
            code: started.user_code.chars().filter(char::is_ascii_graphic).take(40).collect(),
            whole_page,
            lasts: Duration::from_secs(started.expires_in.min(LONGEST_LIFE)),
        };
        let login = Self {
            http,
            token_endpoint: metadata.token_endpoint,
            client_id: client_id.to_owned(),
            device_code: started.device_code,
            interval: Duration::from_secs(started.interval.unwrap_or(INTERVAL).clamp(1, LONGEST_INTERVAL)),
        };
        Ok((login, code))
    }

    /// How long to wait before each question.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Asks once whether the person has signed in.
    pub async fn poll(&mut self) -> Result<Poll, ProviderError> {
        let form = [
            ("grant_type", GRANT),
            ("device_code", self.device_code.as_str()),
            ("client_id", self.client_id.as_str()),
        ];
        let answer =
            self.http.post::<Tokens>("token endpoint", &self.token_endpoint, &form, ClientProof::None).await;
        match answer {
            Ok(tokens) => {
                tokens.id_token.map(Poll::Done).ok_or(ProviderError::Missing("ID token in its answer"))
            }
            Err(ProviderError::Refused { code }) => self.refused(code),
            // A lost question is asked again, less often (RFC 8628, 3.5); the caller's deadline ends it.
            Err(ProviderError::Unreachable { .. } | ProviderError::Silent { .. }) => {
                self.interval = (self.interval * 2).min(Duration::from_secs(LONGEST_INTERVAL));
                Ok(Poll::Pending)
            }
            Err(error) => Err(error),
        }
    }

    fn refused(&mut self, code: String) -> Result<Poll, ProviderError> {
        match code.as_str() {
            "authorization_pending" => Ok(Poll::Pending),
            "slow_down" => {
                self.interval += SLOW_DOWN;
                Ok(Poll::Pending)
            }
            "access_denied" => Ok(Poll::Denied),
            "expired_token" => Ok(Poll::Expired),
            _ => Err(ProviderError::Refused { code }),
        }
    }
}
