//! What the sources' statuses say about whether a record is in use.

/// Whose status it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Plain,
    ServiceNow,
}

/// ServiceNow writes the label or the number. What is repaired or in maintenance is still a host.
const NOT_INSTALLED: [(&str, &str); 6] = [
    ("on order", "2"),
    ("pending install", "4"),
    ("in stock", "6"),
    ("retired", "7"),
    ("stolen", "8"),
    ("absent", "100"),
];
const NOT_OPERATIONAL: [(&str, &str); 2] = [("non-operational", "2"), ("retired", "6")];
/// In an operator's own list, only what cannot mean anything else.
const PLAIN: [&str; 7] =
    ["decommissioned", "decommissioning", "retired", "disposed", "planned", "offline", "absent"];

/// Why a record with this status is left out; `None` if it is in use.
pub fn unused(source: Source, column: &str, status: &str) -> Option<String> {
    let text = status.trim().to_ascii_lowercase();
    let is_one_of = |of: &[(&str, &str)]| of.iter().any(|(label, number)| text == *label || text == *number);
    let is_unused = match (source, column) {
        (Source::ServiceNow, "install_status") => is_one_of(&NOT_INSTALLED),
        (Source::ServiceNow, "operational_status") => is_one_of(&NOT_OPERATIONAL),
        _ => PLAIN.contains(&text.as_str()),
    };
    is_unused.then(|| {
        format!("has the {} `{}`, so it is left out", column.replace('_', " "), super::record::shown(&text))
    })
}
