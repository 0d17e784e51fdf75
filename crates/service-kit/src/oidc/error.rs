//! Why an identity provider cannot be used.

/// None of the texts contains a secret: addresses come without their query, and answers of the provider without their body.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error("the address of its {what} {reason}")]
    Address { what: &'static str, reason: String },
    #[error("its {what} cannot be reached")]
    Unreachable {
        what: &'static str,
        #[source]
        source: reqwest::Error,
    },
    #[error("its {what} did not answer within {seconds} s")]
    Silent { what: &'static str, seconds: u64 },
    #[error("its {what} answered with status {status}")]
    Status { what: &'static str, status: u16 },
    #[error("the answer of its {what} is larger than {limit} bytes")]
    TooLarge { what: &'static str, limit: usize },
    #[error("the answer of its {what} cannot be read")]
    Unreadable { what: &'static str },
    #[error("it calls itself `{found}` and not as `--oidc-issuer` says")]
    OtherIssuer { found: String },
    #[error("it refused: `{code}`")]
    Refused { code: String },
    #[error("it has no {0}")]
    Missing(&'static str),
    #[error("it could not be used a moment ago: {0}")]
    JustFailed(String),
}

impl ProviderError {
    /// Whether the provider answered and does not confirm this one sign-in. A wrong client is a fault of the settings.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { code } if code != "invalid_client" && code != "unauthorized_client")
    }
}
