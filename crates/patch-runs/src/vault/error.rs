use vaultrs::error::ClientError;

/// Why the Vault returned nothing. Of the Vault's answer it repeats only the reasons, which contain no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the Vault returned nothing for `{path}`: {kind}")]
pub(crate) struct VaultError {
    pub path: String,
    pub kind: VaultErrorKind,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VaultErrorKind {
    /// The Vault was not asked: a setting, a file or a token is missing or wrong.
    #[error("{0}")]
    Setup(String),
    #[error("it refused the request{0}")]
    Refused(String),
    #[error("the token is not valid or has no permission to read it{0}")]
    Forbidden(String),
    #[error("there is nothing at this path")]
    NotFound,
    #[error("it is sealed or in maintenance; unseal it")]
    Sealed,
    #[error("it answered with status {code}{reasons}")]
    Status { code: u16, reasons: String },
    #[error("it cannot be reached or did not answer in time")]
    Unreachable,
    /// The answer may quote a secret, so it is not repeated.
    #[error("its answer cannot be read")]
    Unreadable,
}

impl VaultError {
    pub fn setup(path: &str, reason: impl Into<String>) -> Self {
        Self { path: path.to_owned(), kind: VaultErrorKind::Setup(reason.into()) }
    }

    pub fn of(path: &str, error: &ClientError) -> Self {
        let kind = match error {
            ClientError::APIError { code: 400, errors } => VaultErrorKind::Refused(reasons(errors)),
            ClientError::APIError { code: 403, errors } => VaultErrorKind::Forbidden(reasons(errors)),
            ClientError::APIError { code: 404, .. } | ClientError::ResponseDataEmptyError => {
                VaultErrorKind::NotFound
            }
            ClientError::APIError { code: 503, .. } => VaultErrorKind::Sealed,
            ClientError::APIError { code, errors } => {
                VaultErrorKind::Status { code: *code, reasons: reasons(errors) }
            }
            ClientError::RestClientError { source } => rest(source),
            ClientError::RestClientBuildError { .. }
            | ClientError::FileReadError { .. }
            | ClientError::ParseCertificateError { .. } => VaultErrorKind::Setup(error.to_string()),
            _ => VaultErrorKind::Unreadable,
        };
        Self { path: path.to_owned(), kind }
    }

    /// Whether the Vault may answer when it is asked again.
    pub fn is_transient(&self) -> bool {
        match self.kind {
            VaultErrorKind::Sealed | VaultErrorKind::Unreachable => true,
            VaultErrorKind::Status { code, .. } => code == 429 || code >= 500,
            _ => false,
        }
    }
}

fn rest(error: &rustify::errors::ClientError) -> VaultErrorKind {
    use rustify::errors::ClientError as E;
    match error {
        // An answer without reasons: of a deleted secret there is still its metadata.
        E::ServerResponseError { code: 404, .. } => VaultErrorKind::NotFound,
        E::ServerResponseError { code: 403, .. } => VaultErrorKind::Forbidden(String::new()),
        E::ServerResponseError { code: 503, .. } => VaultErrorKind::Sealed,
        E::ServerResponseError { code, .. } => VaultErrorKind::Status { code: *code, reasons: String::new() },
        E::RequestError { .. } => VaultErrorKind::Unreachable,
        _ => VaultErrorKind::Unreadable,
    }
}

/// The Vault's own reasons, cut to one line.
fn reasons(errors: &[String]) -> String {
    let text: String = errors.join("; ").chars().filter(|c| !c.is_control()).take(200).collect();
    if text.is_empty() { text } else { format!(" ({text})") }
}
