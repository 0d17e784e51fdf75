//! What comes after a command that starts something, on standard error.

use indexmap::IndexMap;
use serde_json::Value;

use crate::{cell::text_of, streams::hint};

/// A command, the states of its answer in which the hint is true (empty: all), and the hint. `{id}` is the name of what was
/// answered, `{field}` any field of it.
const NEXT: [(&str, &[&str], &str); 27] = [
    ("advisory remediate", &[], "follow it with `patchctl run watch {id}`"),
    ("calendar create", &[], "`patchctl policy preview POLICY` shows which times it blocks"),
    ("change approve", &["approved"], "the run that waits for it goes on: `patchctl run watch` follows it"),
    ("change create", &[], "request approval with `patchctl change submit {id}`"),
    ("change execute", &[], "close it with `patchctl change complete {id}` or `patchctl change fail {id}`"),
    ("change submit", &["pending_approval"], "somebody else decides with `patchctl change approve {id}`"),
    ("ci create", &[], "`patchctl compliance scan --ci {id} --wait` finds out what is missing on it"),
    ("ci maintenance on", &[], "end it with `patchctl ci maintenance off {id}`"),
    ("ci sync", &["running"], "`patchctl ci sync-status` shows its progress"),
    ("compliance scan", &["queued", "running"], "`patchctl compliance scan-status {id}` shows its progress"),
    ("exception create", &[], "`patchctl exception delete {id}` ends it early"),
    (
        "feed add",
        &[],
        "`patchctl feed fetch {id}` fetches it now, and `patchctl feed show {id}` tells how that ended",
    ),
    ("feed fetch", &[], "`patchctl feed show {id}` tells how it ended"),
    ("incident create", &[], "close it with `patchctl incident resolve {id} --resolution TEXT`"),
    ("person add", &[], "`patchctl person approvers` lists who can approve now"),
    (
        "policy create",
        &[],
        "`patchctl policy preview {id}` shows its hosts and next times, and `patchctl run start --policy {id}` patches them now",
    ),
    ("policy update", &[], "`patchctl policy preview {id}` shows what it means now"),
    ("problem create", &[], "record its cause with `patchctl problem update {id} -f FILE`"),
    ("release deploy", &[], "follow it with `patchctl release status --version {version}`"),
    ("release emergency", &[], "follow it with `patchctl release status --version {version}`"),
    ("release rollback", &[], "follow it with `patchctl release status --version {version}`"),
    ("run cancel", &[], "`patchctl run watch {id}` follows it to its end"),
    ("run pause", &[], "go on with `patchctl run resume {id}`"),
    ("run resume", &[], "follow it with `patchctl run watch {id}`"),
    ("run retry-failed", &[], "follow it with `patchctl run watch {id}`"),
    ("run rollback", &[], "follow it with `patchctl run watch {id}`"),
    ("run start", &[], "follow it with `patchctl run watch {id}`"),
];

/// A command whose answer is not one thing, and what comes next.
const AFTER: [(&str, &str); 3] = [
    (
        "advisory import",
        "`patchctl compliance` shows the fleet with them, and `patchctl advisory coverage` what is still unknown",
    ),
    ("ci import", "`patchctl compliance scan --all --wait` finds out what is missing on the hosts"),
    ("inventory push", "`patchctl compliance list` shows what is missing on the hosts"),
];

/// Prints what comes after this answer of the command, if something does.
pub fn hint_after(command: &str, id: &str, fields: &IndexMap<String, Value>) {
    if let Some(text) = after(command, id, fields) {
        hint(&text);
    }
}

/// Prints what comes after a command as a whole.
pub fn hint_at_end(command: &str) {
    if let Some((_, text)) = AFTER.iter().find(|(one, _)| *one == command) {
        hint(text);
    }
}

fn after(command: &str, id: &str, fields: &IndexMap<String, Value>) -> Option<String> {
    let (_, states, text) = NEXT.iter().find(|(one, ..)| *one == command)?;
    let field = |name: &str| fields.get(name).map(text_of).filter(|text| !text.is_empty());
    let state = ["state", "status"].iter().find_map(|name| field(name)).unwrap_or_default();
    if !states.is_empty() && !states.contains(&state.as_str()) {
        return None;
    }
    let text = text.replace("{id}", id);
    if !text.contains("{version}") {
        return Some(text);
    }
    field("version").map(|version| text.replace("{version}", &version))
}

/// The commands of both tables, which a test looks up.
pub fn commands() -> impl Iterator<Item = &'static str> {
    NEXT.iter().map(|(command, ..)| *command).chain(AFTER.iter().map(|(command, _)| *command))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> IndexMap<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn next_command_names_what_was_started_while_it_is_true() {
        let scan = |state: &str| after("compliance scan", "s-1", &fields(json!({ "state": state })));
        assert!(scan("queued").unwrap().contains("scan-status s-1"));
        assert_eq!(scan("succeeded"), None);
        assert_eq!(after("run show", "r-1", &fields(json!({}))), None);
        let deployed = |answer| after("release deploy", "x", &fields(answer));
        assert!(deployed(json!({ "version": "v1.0.1" })).unwrap().contains("--version v1.0.1"));
        assert_eq!(deployed(json!({})), None);
    }
}
