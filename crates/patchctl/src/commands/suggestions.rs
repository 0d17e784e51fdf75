//! "Did you mean": what exists and resembles a policy or a host that does not.

use crate::arguments::Named;
use crate::connect::Connection;
use terminal::Failure;
use terminal::suggest;

/// Policies and hosts that are compared.
const LOOKED_AT: usize = 1000;

/// The failure with the name that was probably meant, if the command line named something that does not exist.
pub async fn with_suggestion(failure: Failure, connection: &Connection, named: &[Named]) -> Failure {
    for one in named {
        let (kind, name) = match one {
            Named::Policy(name) => ("policy", name),
            Named::Host(name) => ("ci", name),
        };
        if !failure.misses(name) {
            continue;
        }
        let existing = match one {
            Named::Policy(_) => policies(connection).await,
            Named::Host(name) => hosts(connection, name).await,
        };
        return match suggest::closest(name, existing.iter().map(String::as_str)) {
            Some(close) => failure.hint(format!("did you mean `{close}`?")),
            None => failure.hint(format!("`patchctl {kind} list` shows those that exist")),
        };
    }
    failure
}

/// Empty if they cannot be listed now: the failure itself is what counts.
async fn policies(connection: &Connection) -> Vec<String> {
    let policies = connection.patch().list_policies(&[], LOOKED_AT).await.unwrap_or_default();
    policies.into_iter().map(|one| one.policy.id.to_string()).collect()
}

/// A large fleet is searched by the first characters; a slip may also be in those.
async fn hosts(connection: &Connection, name: &str) -> Vec<String> {
    let first: String = name.chars().take(3).collect();
    for query in [vec![("q", first)], Vec::new()] {
        let cis = connection.cmdb().list_cis(&query, LOOKED_AT).await.unwrap_or_default();
        let ids: Vec<String> = cis.into_iter().map(|ci| ci.id.to_string()).collect();
        if suggest::closest(name, ids.iter().map(String::as_str)).is_some() {
            return ids;
        }
    }
    Vec::new()
}
