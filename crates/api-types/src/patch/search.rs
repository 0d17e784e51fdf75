//! One search over hosts, CVEs, packages, runs, changes and customers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SearchKind {
    /// By the beginning of its id.
    Host,
    /// A CVE or an advisory: any by its whole id; the 20,000 newest by the beginning of a CVE, a part of the advisory's id or of its
    /// summary.
    Cve,
    /// An installed package, by the beginning of its name.
    Package,
    /// By the beginning of its id (at least four characters), or of the id of its policy.
    Run,
    /// The 20,000 newest, by a part of the id or of the short description.
    Change,
    /// By the beginning of its slug or a part of its name.
    Customer,
}

impl SearchKind {
    /// In the order of the answer.
    pub const ALL: [Self; 6] =
        [Self::Host, Self::Cve, Self::Package, Self::Run, Self::Change, Self::Customer];
}

/// What was found, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SearchResults {
    /// The text without space around it.
    pub text: String,
    /// One for each kind that was searched.
    pub groups: Vec<SearchGroup>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SearchGroup {
    pub kind: SearchKind,
    /// At most `limit`.
    pub items: Vec<SearchHit>,
    /// There are more than these.
    pub has_more: bool,
    /// Why nothing is known of this kind. The other kinds are complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SearchHit {
    /// The id in the paths of the API: of a host, CVE, package, run, change or customer.
    pub id: String,
    pub title: String,
    /// More about it in a few words; may be empty.
    pub detail: String,
    /// Its state on the wire, if it has one: of a host its compliance, of a CVE its severity, of a run and a change their state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}
