//! What a provider publishes about itself (OpenID Connect Discovery 1.0).

use reqwest::Url;
use serde::Deserialize;

use super::{
    ProviderError,
    http::{Http, check_scheme},
};

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    pub token_endpoint: String,
    pub jwks_uri: String,
    end_session_endpoint: Option<String>,
    pub device_authorization_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

impl Metadata {
    pub async fn read(http: &Http, issuer: &str) -> Result<Self, ProviderError> {
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let read: Self = http.get("description", &url).await?;
        if read.issuer != issuer {
            let found = read.issuer.chars().filter(|c| c.is_ascii_graphic()).take(200).collect();
            return Err(ProviderError::OtherIssuer { found });
        }
        Ok(read)
    }

    /// The browser goes there, and not this service: only the scheme is checked.
    pub fn sign_in_page(&self) -> Result<Url, ProviderError> {
        check_scheme("sign-in page", &self.authorization_endpoint)
    }

    pub fn sign_out_page(&self) -> Result<Option<Url>, ProviderError> {
        self.end_session_endpoint.as_deref().map(|url| check_scheme("sign-out page", url)).transpose()
    }

    /// Whether a secret goes into the form: the default is HTTP Basic.
    pub fn wants_secret_in_form(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
        let has = |name: &str| methods.iter().any(|method| method == name);
        has("client_secret_post") && !has("client_secret_basic")
    }
}
