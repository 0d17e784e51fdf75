//! What an empty list says: that it is empty, and what fills it. On standard error, so that programs still read nothing.

use crate::{
    failure::{CommandResult, OK},
    listing::Listing,
    streams::{hint, note},
};

/// A command, what it would have listed, and what comes before.
const EMPTY: [(&str, &str, &str); 27] = [
    (
        "advisory imports",
        "imports of advisories",
        "`patchctl feed add almalinux:9` or `patchctl advisory import FILE` imports some",
    ),
    (
        "advisory list",
        "advisories",
        "`patchctl feed presets` names feeds, and `patchctl feed add NAME` fetches one",
    ),
    ("audit", "records of the audit log that you may see", "`patchctl token whoami` shows your roles"),
    ("calendar list", "freeze calendars", "`patchctl calendar create --help` shows how to add one"),
    ("change list", "changes", "a run opens its change itself: `patchctl run start --policy ID`"),
    ("ci list", "configuration items", "`patchctl ci import FILE` adds your hosts"),
    (
        "compliance history",
        "days yet",
        "the first day is kept after a scan: `patchctl compliance scan --all`",
    ),
    (
        "compliance list",
        "managed hosts",
        "`patchctl ci import FILE` adds your hosts; only those with the tag `os` are managed",
    ),
    (
        "compliance unfixed",
        "vulnerabilities without a fix",
        "`patchctl compliance show HOST` shows those that have one",
    ),
    ("exception list", "exceptions", "`patchctl exception create --help` shows how to add one"),
    ("fault list", "injected faults", "`patchctl fault inject --help` shows the kinds"),
    ("feed list", "feeds", "`patchctl feed presets` names some, and `patchctl feed add NAME` fetches one"),
    ("incident list", "incidents", "runs open them when hosts fail"),
    ("notification list", "notifications", "policies name who is notified: `patchctl explain policy.notify`"),
    (
        "package list",
        "hosts with this package",
        "`patchctl search TEXT --kind package` finds packages by a part of their name",
    ),
    ("person list", "people", "`patchctl person add --help` shows how to add one"),
    (
        "policy list",
        "policies",
        "`patchctl policy create -f FILE` adds one; `patchctl policy --help` shows a file",
    ),
    (
        "predictions",
        "predictions",
        "each run is predicted before it starts: `patchctl run start --policy ID`",
    ),
    ("problem list", "problems", "`patchctl problem create --help` shows how to record one"),
    ("proposal list", "proposals", "what takes two people waits here"),
    ("relationship list", "relationships", "`patchctl relationship create HOST depends_on OTHER` adds one"),
    ("release customers", "customers", "`patchctl release apply -f customers.yaml` adds them"),
    ("release deployments", "deployments", "`patchctl release deploy --version VERSION` starts them"),
    ("release list", "releases", "`patchctl release plan --version VERSION --type TYPE` registers one"),
    (
        "run list",
        "runs",
        "`patchctl run start --policy ID` starts one; `patchctl policy list` shows the policies",
    ),
    ("vm list", "virtual machines", "`patchctl vm create --help` shows how to add one to a laboratory"),
    ("webhook list", "receivers of webhooks", "`patchctl webhook create URL` registers one"),
];

pub fn report(listing: &Listing) -> CommandResult {
    let known = EMPTY.iter().find(|(command, ..)| *command == listing.command);
    let what = known.map_or("items", |(_, what, _)| what);
    if listing.is_filtered {
        note(&format!("no {what} match"));
        hint("leave out a filter to see more");
    } else {
        note(&format!("no {what}"));
        if let Some((.., next)) = known {
            hint(next);
        }
    }
    OK
}

/// The commands of the table, which a test looks up.
pub fn commands() -> impl Iterator<Item = &'static str> {
    EMPTY.iter().map(|(command, ..)| *command)
}
