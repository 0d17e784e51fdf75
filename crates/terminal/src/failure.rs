//! How a command ends: its exit status, and the message when it fails.

use std::process::ExitCode;

use api_client::ClientError;
use api_types::{problem::Problem, problem_types};
use local_postgres::LaunchError;

use crate::colour;

/// The exit statuses of every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    Ok = 0,
    Failed = 1,
    /// The arguments or the input are invalid.
    Usage = 2,
    /// Some of the work was done and some was not.
    Partial = 3,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

/// What failed, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    status: ExitStatus,
    message: String,
    details: Vec<String>,
    hint: Option<String>,
    /// Whether something that was named does not exist.
    is_missing: bool,
}

pub type CommandResult = Result<ExitStatus, Failure>;

pub const OK: CommandResult = Ok(ExitStatus::Ok);

impl Failure {
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            status: ExitStatus::Failed,
            message: message.into(),
            details: Vec::new(),
            hint: None,
            is_missing: false,
        }
    }

    /// Invalid arguments that clap cannot detect by itself.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { status: ExitStatus::Usage, ..Self::new(message) }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn details(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }

    /// The lines below the message.
    pub fn listed(&self) -> &[String] {
        &self.details
    }

    /// Whether the platform does not know a thing of this name.
    pub fn misses(&self, name: &str) -> bool {
        self.is_missing && self.message.contains(name)
    }

    /// Prints to standard error and returns the exit status.
    pub fn report(&self) -> ExitCode {
        eprintln!("{} {}", colour::error_label(), self.message);
        for detail in &self.details {
            eprintln!("  {detail}");
        }
        if let Some(hint) = &self.hint {
            eprintln!("{} {hint}", colour::hint_label());
        }
        self.status.into()
    }
}

pub(crate) fn unprintable(error: impl std::fmt::Display) -> Failure {
    Failure::new(format!("the answer cannot be printed: {error}"))
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Refused { service, problem } => refused(service, problem),
            ClientError::Unreachable { .. } => Self::new(error.to_string()).hint(
                "start the platform with `patchctl up`, or select another one with --server or --port-base",
            ),
            ClientError::Unreadable { source, .. } => Self::new(format!("{error}: {source}"))
                .hint("another program, or another version of this one, may listen on that address"),
        }
    }
}

fn refused(service: &str, problem: &Problem) -> Failure {
    let mut failure = Failure::new(format!("{service} refused: {}", problem.detail));
    let fields = problem.errors.iter();
    failure.details = fields.map(|error| format!("{}: {}", error.pointer, error.detail)).collect();
    failure.details.extend(problem.request_id.as_ref().map(|id| format!("request id: {id}")));
    failure.is_missing = problem.status == 404;
    let hint = match problem.status {
        401 => "pass a valid token with --token-file or the environment variable PATCH_TOKEN",
        403 if problem.kind == problem_types::FORBIDDEN.uri() => {
            "use a token with that role; `patchctl token create` issues tokens"
        }
        412 => "it was changed in the meantime: read it again, then repeat your change",
        429 | 502..=504 => "try again in a moment; `patchctl health` shows which service has a problem",
        500 => "the log of the service contains the cause under this request id",
        _ => return failure,
    };
    failure.hint(hint)
}

impl From<LaunchError> for Failure {
    fn from(error: LaunchError) -> Self {
        match &error {
            LaunchError::Io { source, .. } => Self::new(format!("{error}: {source}")),
            _ => Self::new(error.to_string()),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(format!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use api_types::problem::FieldError;

    use super::*;

    #[test]
    fn refusal_names_fields_and_request() {
        let problem = Problem {
            kind: "/problems/invalid".into(),
            title: "Invalid".into(),
            status: 422,
            detail: "the policy is not valid".into(),
            instance: None,
            request_id: Some("r-1".into()),
            errors: vec![FieldError { pointer: "/schedule".into(), detail: "has four fields".into() }],
        };
        let failure = refused("patch-manager", &problem);
        assert_eq!(failure.message, "patch-manager refused: the policy is not valid");
        assert_eq!(failure.details, ["/schedule: has four fields", "request id: r-1"]);
        assert_eq!(failure.status, ExitStatus::Failed);
    }
}
