//! Which CIs are meant: by tags, by id, or both.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ids::CiId;

/// Tags of a CI: `env`, `os`, `tier`, `owner`, `cluster`, `role`, ...
pub type Tags = BTreeMap<String, String>;

/// A CI is selected if it has every named tag and, if `ids` are given, is one of them. An empty selector selects nothing:
/// "everything" must be explicit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Selector {
    pub tags: Tags,
    pub ids: BTreeSet<CiId>,
    /// Selects every managed host; the other fields narrow it.
    pub all: bool,
}

impl Selector {
    pub fn by_tags(tags: Tags) -> Self {
        Self { tags, ..Self::default() }
    }

    pub fn selects(&self, id: &CiId, tags: &Tags) -> bool {
        (self.all || !self.tags.is_empty() || !self.ids.is_empty())
            && (self.ids.is_empty() || self.ids.contains(id))
            && self.tags.iter().all(|(key, value)| tags.get(key) == Some(value))
    }
}
