//! Which of the planned packages a package manager installs without removing what it may not remove.
//!
//! All of them together are asked about first. If that does not work, the packages are divided until those are found that
//! do not work, and everything else is kept. Each question contains what was kept before it, so the answer to the last one
//! that worked is the transaction.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Removal;
use crate::{
    baseline::PackageGlob,
    package::{OmitCause, OmittedUpdate, PackageUpdate},
};

/// Questions about one host, after which the undecided packages are left out. Forty packages with six that do not work need
/// about as many.
pub const MOST_QUESTIONS: usize = 60;
/// Removed packages that a cause names.
const MOST_NAMED: usize = 20;

/// What a package manager said about a set of the planned packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub packages: BTreeSet<String>,
    #[serde(flatten)]
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Outcome {
    /// It can install them, and removes these packages for it.
    Resolved {
        removals: Vec<Removal>,
        /// The other packages that get a version with them; only reported if some packages are denied.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        brings: Vec<String>,
    },
    /// It cannot install them, with its own first words.
    Refused { reason: String },
    /// It can only install them together with these, which no pilot has tested: `demo-image 2.0-1`.
    Untested { untested: Vec<String> },
    /// It cannot be asked.
    Unknown { reason: String },
}

/// What follows from the answers so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "next", rename_all = "snake_case")]
pub enum Next {
    Ask { packages: BTreeSet<String> },
    Done(Selection),
}

/// The packages that are installed, and those that are left out and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Selection {
    pub packages: BTreeSet<String>,
    pub left_out: Vec<OmittedUpdate>,
    /// Why the package manager could not be asked. Nothing is left out then.
    pub unknown: Option<String>,
}

/// The updates in groups of those that satisfy the same advisories: usually the packages of one source, which depend on each
/// other.
pub fn groups(updates: &[PackageUpdate]) -> Vec<BTreeSet<String>> {
    let mut groups: BTreeMap<&[String], BTreeSet<String>> = BTreeMap::new();
    for update in updates {
        groups.entry(&update.advisories).or_default().insert(update.package.clone());
    }
    groups.into_values().collect()
}

/// The next question, or the selection. The same answers always lead to the same one. What brings a `denied` package along is left
/// out.
pub fn next(
    groups: &[BTreeSet<String>],
    allow_removals: bool,
    denied: &[PackageGlob],
    answers: &[Answer],
) -> Next {
    if let Some(reason) = answers.iter().find_map(|answer| match &answer.outcome {
        Outcome::Unknown { reason } => Some(reason.clone()),
        Outcome::Resolved { .. } | Outcome::Refused { .. } | Outcome::Untested { .. } => None,
    }) {
        let packages = groups.iter().flatten().cloned().collect();
        return Next::Done(Selection { packages, left_out: Vec::new(), unknown: Some(reason) });
    }
    let known = answers.iter().map(|answer| (&answer.packages, &answer.outcome)).collect();
    let mut search = Search { known, allow_removals, denied, found: Selection::default() };
    match search.add(groups) {
        Ok(()) => {
            search.found.left_out.sort();
            Next::Done(search.found)
        }
        Err(packages) => Next::Ask { packages },
    }
}

struct Search<'a> {
    known: BTreeMap<&'a BTreeSet<String>, &'a Outcome>,
    allow_removals: bool,
    denied: &'a [PackageGlob],
    found: Selection,
}

impl Search<'_> {
    /// Keeps as much of these groups as works. Returns the set whose answer it needs.
    fn add(&mut self, groups: &[BTreeSet<String>]) -> Result<(), BTreeSet<String>> {
        if groups.iter().all(BTreeSet::is_empty) {
            return Ok(());
        }
        let all: BTreeSet<String> =
            self.found.packages.iter().chain(groups.iter().flatten()).cloned().collect();
        let Some(outcome) = self.known.get(&all) else {
            if self.known.len() < MOST_QUESTIONS {
                return Err(all);
            }
            let undecided = groups.iter().flatten();
            let undecided = undecided.map(|package| OmittedUpdate::new(package, OmitCause::NotResolved));
            self.found.left_out.extend(undecided);
            return Ok(());
        };
        let Some(why_not) = self.why_not(outcome) else {
            self.found.packages = all;
            return Ok(());
        };
        match groups {
            [group] if group.len() == 1 => {
                let package = group.first().cloned().unwrap_or_default();
                self.found.left_out.push(OmittedUpdate { package, ..why_not });
                Ok(())
            }
            [group] => {
                let singles: Vec<BTreeSet<String>> =
                    group.iter().map(|package| BTreeSet::from([package.clone()])).collect();
                self.add_halves(&singles)
            }
            groups => self.add_halves(groups),
        }
    }

    fn add_halves(&mut self, groups: &[BTreeSet<String>]) -> Result<(), BTreeSet<String>> {
        let (first, second) = groups.split_at(groups.len() / 2);
        self.add(first)?;
        self.add(second)
    }

    /// Why a set cannot be installed, without the name of a package.
    fn why_not(&self, outcome: &Outcome) -> Option<OmittedUpdate> {
        match outcome {
            Outcome::Refused { reason } | Outcome::Unknown { reason } => Some(OmittedUpdate {
                reason: Some(reason.clone()),
                ..OmittedUpdate::new("", OmitCause::Refused)
            }),
            Outcome::Untested { untested } => Some(OmittedUpdate {
                reason: Some(named(untested)),
                ..OmittedUpdate::new("", OmitCause::NotTested)
            }),
            Outcome::Resolved { removals, brings } => {
                // What its vendor replaces is not lost.
                let lost = removals.iter().filter(|removal| removal.replaced_by.is_none());
                let removes: Vec<String> =
                    lost.map(|removal| removal.package.clone()).take(MOST_NAMED).collect();
                let is_refused = !self.allow_removals && !removes.is_empty();
                let would_remove = is_refused
                    .then(|| OmittedUpdate { removes, ..OmittedUpdate::new("", OmitCause::WouldRemove) });
                would_remove.or_else(|| self.brings_denied(brings))
            }
        }
    }
}

impl Search<'_> {
    fn brings_denied(&self, brings: &[String]) -> Option<OmittedUpdate> {
        let is_denied = |package: &&String| self.denied.iter().any(|glob| glob.matches(package));
        let denied: Vec<String> = brings.iter().filter(is_denied).cloned().collect();
        (!denied.is_empty()).then(|| OmittedUpdate {
            reason: Some(named(&denied)),
            ..OmittedUpdate::new("", OmitCause::NeedsDenied)
        })
    }
}

fn named(packages: &[String]) -> String {
    packages.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ")
}
