use vaultrs::error::ClientError;

/// Why the Vault gave nothing, in words that say what was asked for and what to do. No answer of the Vault's is repeated
/// in it but its own reasons.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the Vault gave nothing for `{path}`: {why}")]
pub(crate) struct VaultError {
    pub path: String,
    pub why: String,
    /// It may answer when asked again.
    pub is_transient: bool,
}

impl VaultError {
    pub fn new(path: &str, why: impl Into<String>) -> Self {
        Self { path: path.to_owned(), why: why.into(), is_transient: false }
    }

    pub fn of(path: &str, error: &ClientError) -> Self {
        let (why, is_transient) = match error {
            ClientError::APIError { code: 400, errors } => {
                (format!("it refused the request{}", said(errors)), false)
            }
            ClientError::APIError { code: 403, errors } => {
                (format!("the token is not valid or may not read it{}", said(errors)), false)
            }
            ClientError::APIError { code: 404, .. } | ClientError::ResponseDataEmptyError => {
                ("there is nothing at this path".to_owned(), false)
            }
            ClientError::APIError { code: 503, .. } => {
                ("it is sealed or in maintenance; unseal it".to_owned(), true)
            }
            ClientError::APIError { code, errors } => {
                (format!("it answered with status {code}{}", said(errors)), *code == 429 || *code >= 500)
            }
            ClientError::RestClientError { source } => rest(source),
            ClientError::RestClientBuildError { .. }
            | ClientError::FileReadError { .. }
            | ClientError::ParseCertificateError { .. } => (error.to_string(), false),
            // What did not fit may quote a secret: it is not repeated.
            _ => ("its answer cannot be read".to_owned(), false),
        };
        Self { path: path.to_owned(), why, is_transient }
    }
}

fn rest(error: &rustify::errors::ClientError) -> (String, bool) {
    use rustify::errors::ClientError as E;
    match error {
        E::ServerResponseError { code: 503, .. } => {
            ("it is sealed or in maintenance; unseal it".to_owned(), true)
        }
        E::ServerResponseError { code, .. } => (format!("it answered with status {code}"), *code >= 500),
        E::RequestError { .. } => ("it cannot be reached or did not answer in time".to_owned(), true),
        _ => ("its answer cannot be read".to_owned(), false),
    }
}

/// The Vault's own reasons, cut to a line.
fn said(errors: &[String]) -> String {
    let text: String = errors.join("; ").chars().filter(|c| !c.is_control()).take(200).collect();
    if text.is_empty() { text } else { format!(" ({text})") }
}
