//! The parts of an OSV record that are read. Everything else is skipped.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::feed::list::List;

#[derive(Deserialize)]
pub(super) struct Record {
    pub id: String,
    pub modified: String,
    pub published: Option<String>,
    pub withdrawn: Option<String>,
    #[serde(default)]
    pub aliases: List<String, 50_000>,
    #[serde(default)]
    pub related: List<String, 50_000>,
    #[serde(default)]
    pub upstream: List<String, 50_000>,
    pub summary: Option<String>,
    pub details: Option<String>,
    #[serde(default)]
    pub severity: List<SeverityEntry, 100>,
    #[serde(default)]
    pub affected: List<Affected, 200_000>,
    #[serde(default)]
    pub references: List<ReferenceEntry, 20_000>,
    /// Free-form; read leniently by [`DatabaseSpecific`].
    pub database_specific: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
pub(super) struct SeverityEntry {
    pub r#type: String,
    pub score: String,
}

#[derive(Deserialize)]
pub(super) struct ReferenceEntry {
    pub r#type: String,
    pub url: String,
}

#[derive(Deserialize)]
pub(super) struct Affected {
    /// Absent in records about repositories only.
    pub package: Option<Package>,
    #[serde(default)]
    pub ranges: List<Range, 10_000>,
    /// Free-form; read leniently by [`EcosystemSpecific`].
    pub ecosystem_specific: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
pub(super) struct Package {
    pub ecosystem: String,
    pub name: String,
}

#[derive(Deserialize)]
pub(super) struct Range {
    pub r#type: String,
    #[serde(default)]
    pub events: List<Event, 10_000>,
}

/// Each event has exactly one of these keys.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    Introduced(String),
    Fixed(String),
    LastAffected(String),
    #[expect(dead_code, reason = "an end without a fix only has to differ from one with a fix")]
    Limit(String),
}

#[derive(Default, Deserialize)]
pub(super) struct DatabaseSpecific {
    pub severity: Option<String>,
    pub kind: Option<String>,
    /// Id of the advisory that replaces this one.
    pub superseded_by: Option<String>,
}

#[derive(Default, Deserialize)]
pub(super) struct EcosystemSpecific {
    pub availability: Option<String>,
    pub ubuntu_priority: Option<String>,
}

/// SUSE and Ubuntu name the binary packages of each source, with their versions.
#[derive(Default, Deserialize)]
pub(super) struct Binaries {
    #[serde(default)]
    binaries: Vec<BTreeMap<String, serde_json::Value>>,
}

impl Binaries {
    /// Name and version: `{"libssl3": "3.0.2"}`, or `{"binary_name": "libssl3", "binary_version": "3.0.2"}`.
    pub(super) fn pairs(self) -> Vec<(String, String)> {
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let pairs = self.binaries.into_iter().flat_map(|entry| {
            match (entry.get("binary_name").and_then(text), entry.get("binary_version").and_then(text)) {
                (Some(name), Some(version)) => vec![(name, version)],
                _ => {
                    entry.iter().filter_map(|(name, version)| Some((name.clone(), text(version)?))).collect()
                }
            }
        });
        pairs.collect()
    }
}

/// Free-form parts differ by vendor and are not a reason to refuse a record: what does not fit counts as absent.
pub(super) fn lenient<T: Default + for<'de> Deserialize<'de>>(raw: Option<&RawValue>) -> T {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}
