//! A difference of plans as a table for people.

use serde::{Deserialize, Serialize};

use super::{DriftKind, PackageDiff, PlanDiff};
use crate::workflow::RollbackMode;

/// One difference between the approved plan and the one made later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DiffLine {
    /// The host, service or wave.
    pub subject: String,
    /// What differs.
    pub what: String,
    /// Absent: the approved plan has nothing of this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<String>,
    /// Absent: the later plan has nothing of this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
}

impl PlanDiff {
    /// Every difference, one line each.
    pub fn lines(&self) -> Vec<DiffLine> {
        let mut lines = Vec::new();
        let mut add = |subject: &str, what: &str, approved: Option<String>, now: Option<String>| {
            lines.push(DiffLine { subject: subject.to_owned(), what: what.to_owned(), approved, now });
        };
        let text = |text: &str| Some(text.to_owned());
        for (host, why) in &self.hosts_gone {
            add(host.as_str(), "host gone", text("patched"), Some(why.to_string()));
        }
        for host in &self.hosts_new {
            add(host.as_str(), "new host", None, text("left for the next run"));
        }
        for (host, packages) in &self.packages {
            for PackageDiff { package, approved, now, .. } in packages {
                add(host.as_str(), &format!("package {package}"), approved.clone(), now.clone());
            }
        }
        for (host, packages) in &self.along {
            for PackageDiff { package, approved, now, .. } in packages {
                add(
                    host.as_str(),
                    &format!("package {package}, changed along"),
                    approved.clone(),
                    now.clone(),
                );
            }
        }
        for (host, packages) in &self.more_removals {
            for package in packages {
                add(host.as_str(), &format!("package {package}"), text("kept"), text("removed"));
            }
        }
        for host in &self.unknown_transactions {
            add(host.as_str(), "transaction", text("known"), text("unknown"));
        }
        for host in &self.more_reboots {
            add(host.as_str(), "reboot", None, text("waits for a reboot"));
        }
        for (host, way) in &self.ways_back {
            add(host.as_str(), "way back", text(way_back(way.approved)), text(way_back(way.now)));
        }
        for (host, waves) in &self.later_waves {
            // People count from one.
            let wave = |index: u32| Some(format!("wave {}", index.saturating_add(1)));
            add(host.as_str(), "place", wave(waves.approved), wave(waves.now));
        }
        for host in &self.ways_in {
            add(host.as_str(), "address, user or jump host", None, None);
        }
        for service in &self.tighter_services {
            add(service.as_str(), DriftKind::TighterServices.text(), None, None);
        }
        for wave in &self.empty_gates {
            add(wave, "gate without a host", None, None);
        }
        lines
    }
}

fn way_back(mode: RollbackMode) -> &'static str {
    match mode {
        RollbackMode::Snapshot => "snapshot",
        RollbackMode::Downgrade => "downgrade",
        RollbackMode::None => "none",
    }
}
