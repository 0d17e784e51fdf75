//! The input file of the system patching workflow: reads it, checks it, and resolves its token.

use std::env;
use std::fs;
use std::path::Path;

use api_types::patch::SystemPatch;

use crate::input;
use terminal::Failure;

/// Reads and checks the file. The error lists all faults with file, line and field.
pub fn read(path: &Path) -> Result<SystemPatch, Failure> {
    let bytes = input::read(path)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut parsed: SystemPatch = input::parse_request(path, bytes)?;
    if let Some(reference) = &parsed.vault_token {
        parsed.vault_token = Some(token(reference)?);
    }
    let faults = parsed.faults();
    if faults.is_empty() {
        return Ok(parsed);
    }
    let lines = faults.iter().map(|(pointer, reason)| {
        let field = pointer.trim_start_matches('/').replace('/', ".");
        let place = line_of(&text, pointer).map_or(String::new(), |line| format!(":{line}"));
        format!("{}{place}: `{field}` {reason}", path.display())
    });
    Err(Failure::usage(lines.collect::<Vec<_>>().join("\n")))
}

/// The token itself, or from an environment variable or a file.
fn token(reference: &str) -> Result<String, Failure> {
    if let Some(name) = reference.strip_prefix("env:") {
        return env::var(name)
            .map_err(|_| Failure::usage(format!("`vaultToken`: the variable `{name}` is not set")));
    }
    match reference.strip_prefix("file:") {
        Some(path) => match fs::read_to_string(path) {
            Ok(token) => Ok(token.trim().to_owned()),
            Err(error) => Err(Failure::usage(format!("`vaultToken`: `{path}` cannot be read: {error}"))),
        },
        None => Ok(reference.to_owned()),
    }
}

/// The line of a field, in files as people write them: the line of the field, or of its n-th item below it.
fn line_of(text: &str, pointer: &str) -> Option<usize> {
    let mut parts = pointer.trim_start_matches('/').split('/');
    let (field, item) = (parts.next()?, parts.next().and_then(|item| item.parse::<usize>().ok()));
    let begins = |line: &str| {
        line.trim_start_matches([' ', '{', '"', ','])
            .strip_prefix(field)
            .is_some_and(|rest| rest.trim_start_matches('"').trim_start().starts_with(':'))
    };
    let found = text.lines().position(begins)?;
    let items =
        text.lines().enumerate().skip(found + 1).take_while(|(_, line)| line.trim_start().starts_with('-'));
    let line = item.and_then(|item| items.map(|(line, _)| line).nth(item)).unwrap_or(found);
    Some(line + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("system-patch.yaml");
        fs::write(&file, text).unwrap();
        read(&file).unwrap_err().to_string().replace(&format!("{}/", folder.path().display()), "")
    }

    #[test]
    fn faults_name_file_line_and_field() {
        let message = refusal(
            "targetClusters: [cluster-a]\napproverEmails:\n  - foo@example.com\n  - nobody\nvaultAddress: vault\n",
        );
        assert_eq!(
            message,
            "system-patch.yaml:4: `approverEmails.1` is not an e-mail address\n\
             system-patch.yaml:5: `vaultAddress` must be an http or https address"
        );
    }

    #[test]
    fn unknown_and_invalid_fields_are_refused_with_their_line() {
        let message = refusal("targetClusters: [a]\npilotHosts: 2\n");
        assert!(message.contains("unknown field `pilotHosts`") && message.contains("line 2"), "{message}");
        let message = refusal("targetClusters: [a]\npilotHostCount: many\n");
        assert!(message.contains("pilotHostCount") && message.contains("line 2"), "{message}");
    }

    #[test]
    fn token_comes_from_a_file_or_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, "s.secret\n").unwrap();
        assert_eq!(token(&format!("file:{}", file.display())).unwrap(), "s.secret");
        assert!(token("env:PATCH_TEST_NO_SUCH_VARIABLE").is_err());
        assert_eq!(token("s.plain").unwrap(), "s.plain");
    }
}
