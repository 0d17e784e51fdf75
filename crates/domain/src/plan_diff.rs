//! What differs between the plan that was approved and one made for the same run right before its work, and whether the
//! approval still holds.

mod lines;
mod packages;

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use crate::{
    ids::CiId,
    package::Packaging,
    plan::{Connection, Plan, PlanHash, ServiceBudget, Target, WaveKind},
    preflight::failures_text,
    quantity::HostCount,
    workflow::{Reboot, RollbackMode},
};

pub use lines::DiffLine;

/// The order of versions of a package system; `None` if one of them is not a version.
pub type VersionOrder = fn(Packaging, &str, &str) -> Option<Ordering>;

/// How far the plan made at the start may differ from the approved one. A percentage is relative to the hosts of the
/// approved plan. What is approved is what is done: hosts and packages that are new are left for the next run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DriftTolerance {
    /// Hosts that cannot be scanned, are not ready, are no longer selected, or miss nothing any more. The run skips them. Default: 10 %.
    pub hosts_gone: HostCount,
    /// Hosts that the approved plan does not know. The run leaves them alone. Default: 10 %.
    pub hosts_new: HostCount,
    /// Hosts on which an approved update is not due any more, or is due in another version, or on which the package manager
    /// changes other packages along with the approved ones. Default: 0.
    pub changed_versions: HostCount,
    /// Whether a newer version from the origin of the approved one is accepted: it does not count as changed, and the run
    /// installs it. An archive that keeps only the newest version does not offer the approved one any more. Default: `false`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub newer_versions: bool,
    /// Hosts that will be rebooted although the approved plan does not say so. Default: 0.
    pub more_reboots: HostCount,
    /// Hosts that roll back in another way than approved. Default: 0.
    pub changed_ways_back: HostCount,
}

impl Default for DriftTolerance {
    fn default() -> Self {
        Self {
            hosts_gone: HostCount::Percent(10),
            hosts_new: HostCount::Percent(10),
            changed_versions: HostCount::Number(0),
            newer_versions: false,
            more_reboots: HostCount::Number(0),
            changed_ways_back: HostCount::Number(0),
        }
    }
}

/// The differences between two plans of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PlanDiff {
    /// Approved hosts that have no place in the new plan, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts_gone: BTreeMap<CiId, HostGone>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hosts_new: BTreeSet<CiId>,
    /// Packages of hosts in both plans.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub packages: BTreeMap<CiId, Vec<PackageDiff>>,
    /// Packages that the package manager changes along with the updates of the approved plan.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub along: BTreeMap<CiId, Vec<PackageDiff>>,
    /// Packages that the updates would remove now, and whose removal the approved plan does not contain.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub more_removals: BTreeMap<CiId, BTreeSet<String>>,
    /// Hosts whose package manager cannot say any more what it would do.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unknown_transactions: BTreeSet<CiId>,
    /// Hosts that wait for a reboot now and did not when the approved plan was made.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub more_reboots: BTreeSet<CiId>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ways_back: BTreeMap<CiId, WayBackDiff>,
    /// Hosts that the new plan would patch later. They keep their approved place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub later_waves: BTreeMap<CiId, WaveDiff>,
    /// Hosts that are reached at another address, as another user or through another jump host.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ways_in: BTreeSet<CiId>,
    /// Services that can spare fewer of their members than the approved plan takes down.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tighter_services: BTreeSet<CiId>,
    /// Staging and pilot waves of the approved plan without a host that is left: their gates would test nothing.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub empty_gates: BTreeSet<String>,
}

/// Why a host of the approved plan is not patched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum HostGone {
    NotScanned {
        reason: String,
    },
    /// It does not pass preflight.
    NotReady {
        reason: String,
    },
    /// It is no longer selected, or misses none of the updates.
    NotDue,
}

/// A package that one plan updates and the other does not, or to another version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PackageDiff {
    pub package: String,
    /// Approved version; absent: the approved plan leaves the package alone, and so does the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<String>,
    /// Version due now; absent: no update is due any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
    /// The version due now is newer than the approved one and comes from its origin. `false` if an origin is unknown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub newer_of_same_origin: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WayBackDiff {
    pub approved: RollbackMode,
    pub now: RollbackMode,
}

/// Positions of a host's waves; the first is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WaveDiff {
    pub approved: u32,
    pub now: u32,
}

/// A kind of difference that can void an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum DriftKind {
    HostsGone,
    HostsNew,
    ChangedVersions,
    MoreReboots,
    ChangedWaysBack,
    /// Never tolerated: nobody has approved the loss.
    MoreRemovals,
    /// Never tolerated: the host may do what nobody has approved.
    UnknownTransactions,
    /// Never tolerated: the approved plan would reach another machine.
    ChangedWaysIn,
    /// Never tolerated: the approved plan would take down more members than the service can spare.
    TighterServices,
    /// Never tolerated: nothing would protect the waves behind the gate.
    EmptyGates,
    /// Never tolerated: there is nothing left to do.
    NoHostLeft,
}

impl DriftKind {
    fn text(self) -> &'static str {
        match self {
            Self::HostsGone => "hosts gone",
            Self::HostsNew => "new hosts",
            Self::ChangedVersions => "hosts with changed versions",
            Self::MoreReboots => "hosts with a reboot that was not planned",
            Self::ChangedWaysBack => "hosts with another way back",
            Self::MoreRemovals => "hosts that would lose packages which the approved plan keeps",
            Self::UnknownTransactions => "hosts whose package manager cannot say any more what it would do",
            Self::ChangedWaysIn => "hosts with another address, user or jump host",
            Self::TighterServices => "services that can spare fewer members",
            Self::EmptyGates => "staging or pilot waves without a host",
            Self::NoHostLeft => "hosts of the approved plan, all of which are gone",
        }
    }
}

/// A difference beyond the tolerance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Excess {
    pub kind: DriftKind,
    pub found: u32,
    pub tolerated: u32,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({} tolerated)", self.found, self.kind.text(), self.tolerated)
    }
}

/// What follows from a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum DriftVerdict {
    /// Both plans do the same.
    Unchanged,
    /// The approved plan is executed for the hosts that are left.
    Tolerated,
    /// The approval no longer holds.
    Voided,
}

/// The approved plan of a run compared with the one made right before its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PlanDrift {
    /// Hash of the approved plan.
    pub approved: PlanHash,
    /// Hash of the plan made right before the work.
    pub now: PlanHash,
    pub tolerance: DriftTolerance,
    pub diff: PlanDiff,
    /// The differences beyond the tolerance.
    pub excess: Vec<Excess>,
}

impl PlanDrift {
    /// A pin overrides the tolerance for newer versions: nothing but the approved ones is installed.
    pub fn new(approved: &Plan, now: &Plan, tolerance: DriftTolerance, order: VersionOrder) -> Self {
        let newer_versions = tolerance.newer_versions && approved.pin.is_none();
        let tolerance = DriftTolerance { newer_versions, ..tolerance };
        let diff = PlanDiff::between(approved, now, order);
        let excess = diff.beyond(&tolerance, approved.targets.len());
        Self { approved: approved.hash(), now: now.hash(), tolerance, diff, excess }
    }

    pub fn verdict(&self) -> DriftVerdict {
        match (self.excess.is_empty(), self.diff == PlanDiff::default()) {
            (false, _) => DriftVerdict::Voided,
            (true, false) => DriftVerdict::Tolerated,
            (true, true) => DriftVerdict::Unchanged,
        }
    }

    /// The newer versions that a run installs on a host instead of the approved ones, by package.
    pub fn accepted_versions(&self, host: &CiId) -> BTreeMap<&str, &str> {
        let is_accepted = self.tolerance.newer_versions && self.verdict() != DriftVerdict::Voided;
        let packages = self.diff.packages.get(host).filter(|_| is_accepted);
        let newer = packages.into_iter().flatten().filter(|package| package.newer_of_same_origin);
        newer.filter_map(|one| Some((one.package.as_str(), one.now.as_deref()?))).collect()
    }

    /// The differences beyond the tolerance in one line, each with what is tolerated.
    pub fn excess_text(&self) -> String {
        self.excess.iter().map(Excess::to_string).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for HostGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotScanned { reason } => write!(f, "could not be scanned: {reason}"),
            Self::NotReady { reason } => write!(f, "not ready: {reason}"),
            Self::NotDue => f.write_str("no longer selected, or misses none of the updates"),
        }
    }
}

impl PlanDiff {
    pub fn between(approved: &Plan, now: &Plan, order: VersionOrder) -> Self {
        let new = now.targets.keys().filter(|id| !approved.targets.contains_key(*id));
        let mut diff = Self { hosts_new: new.cloned().collect(), ..Self::default() };
        let waves = (waves_of(approved), waves_of(now));
        for (id, before) in &approved.targets {
            let Some(after) = now.targets.get(id) else {
                diff.hosts_gone.insert(id.clone(), gone(now, id));
                continue;
            };
            diff.compare_packages(id, before, after, order);
            diff.compare_target(id, before, after);
            let will_reboot =
                now.reboot == Reboot::Always || now.reboot == Reboot::IfRequired && after.reboot_pending;
            let is_planned = approved.reboot == Reboot::Always || before.reboot_pending;
            if will_reboot && !is_planned {
                diff.more_reboots.insert(id.clone());
            }
            if let (Some(&approved), Some(&now)) = (waves.0.get(id), waves.1.get(id))
                && now > approved
            {
                diff.later_waves.insert(id.clone(), WaveDiff { approved, now });
            }
        }
        let is_left = |id: &CiId| now.targets.contains_key(id);
        diff.tighter_services = tighter_services(approved, now);
        let gates =
            approved.waves.iter().filter(|wave| wave.kind != WaveKind::Batch && !wave.hosts.is_empty());
        let empty = gates.filter(|wave| !wave.hosts.iter().any(is_left));
        diff.empty_gates = empty.map(|wave| wave.name.clone()).collect();
        diff
    }

    fn compare_target(&mut self, id: &CiId, before: &Target, after: &Target) {
        if before.rollback_mode != after.rollback_mode {
            let change = WayBackDiff { approved: before.rollback_mode, now: after.rollback_mode };
            self.ways_back.insert(id.clone(), change);
        }
        if way_in(&before.connection) != way_in(&after.connection) {
            self.ways_in.insert(id.clone());
        }
    }

    /// The differences beyond a tolerance, of an approved plan with `total` hosts.
    pub fn beyond(&self, tolerance: &DriftTolerance, total: usize) -> Vec<Excess> {
        let changed_versions = self.hosts_with_changed_versions(tolerance.newer_versions).len();
        let none_left = if self.hosts_gone.len() == total { total } else { 0 };
        let none = HostCount::Number(0);
        let found = [
            (DriftKind::HostsGone, self.hosts_gone.len(), tolerance.hosts_gone),
            (DriftKind::HostsNew, self.hosts_new.len(), tolerance.hosts_new),
            (DriftKind::ChangedVersions, changed_versions, tolerance.changed_versions),
            (DriftKind::MoreReboots, self.more_reboots.len(), tolerance.more_reboots),
            (DriftKind::ChangedWaysBack, self.ways_back.len(), tolerance.changed_ways_back),
            (DriftKind::MoreRemovals, self.more_removals.len(), none),
            (DriftKind::UnknownTransactions, self.unknown_transactions.len(), none),
            (DriftKind::ChangedWaysIn, self.ways_in.len(), none),
            (DriftKind::TighterServices, self.tighter_services.len(), none),
            (DriftKind::EmptyGates, self.empty_gates.len(), none),
            (DriftKind::NoHostLeft, none_left, none),
        ];
        let excess = found.into_iter().filter_map(|(kind, found, tolerated)| {
            let tolerated = tolerated.of(total);
            (found > tolerated).then(|| Excess { kind, found: count(found), tolerated: count(tolerated) })
        });
        excess.collect()
    }

    /// The differences in one line: `2 hosts gone, 1 hosts with changed versions`; `none`.
    pub fn summary(&self) -> String {
        let changed = self.hosts_with_changed_versions(false);
        let only_added = self.packages.keys().filter(|host| !changed.contains(host)).count();
        let parts = [
            (self.hosts_gone.len(), "hosts gone"),
            (self.hosts_new.len(), "new hosts"),
            (changed.len(), DriftKind::ChangedVersions.text()),
            (only_added, "hosts with further updates, which are left for the next run"),
            (self.more_reboots.len(), DriftKind::MoreReboots.text()),
            (self.ways_back.len(), DriftKind::ChangedWaysBack.text()),
            (self.more_removals.len(), DriftKind::MoreRemovals.text()),
            (self.unknown_transactions.len(), DriftKind::UnknownTransactions.text()),
            (self.ways_in.len(), DriftKind::ChangedWaysIn.text()),
            (self.later_waves.len(), "hosts that would be patched later"),
            (self.tighter_services.len(), DriftKind::TighterServices.text()),
            (self.empty_gates.len(), DriftKind::EmptyGates.text()),
        ];
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        let text = parts.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ");
        if text.is_empty() { "none".to_owned() } else { text }
    }
}

fn gone(now: &Plan, id: &CiId) -> HostGone {
    match (now.unscanned.get(id), now.not_ready.get(id)) {
        (Some(reason), _) => HostGone::NotScanned { reason: reason.clone() },
        (None, Some(failures)) => HostGone::NotReady { reason: failures_text(failures) },
        (None, None) => HostGone::NotDue,
    }
}

/// Where a host is reached, and as whom. Keys and interpreters that were found out since do not count.
fn way_in(connection: &Connection) -> Connection {
    let mut way = connection.clone();
    if let Connection::Ssh { host_key, python, jump, .. } = &mut way {
        *host_key = None;
        *python = None;
        if let Some(jump) = jump {
            jump.host_key = None;
        }
    }
    way
}

fn waves_of(plan: &Plan) -> BTreeMap<&CiId, u32> {
    let waves = (0..).zip(&plan.waves);
    waves.flat_map(|(index, wave)| wave.hosts.iter().map(move |host| (host, index))).collect()
}

/// Services of the new plan that the approved plan does not know, or of which it takes down more members. Only those with a
/// host that the run will patch count.
fn tighter_services(approved: &Plan, now: &Plan) -> BTreeSet<CiId> {
    let can_spare = |service: &ServiceBudget| service.members.len().saturating_sub(service.must_stay_up());
    let is_patched = |id: &CiId| approved.targets.contains_key(id) && now.targets.contains_key(id);
    let tighter = now.services.iter().filter(|(id, service)| {
        let before = approved.services.get(*id);
        let knows_members = before.is_some_and(|before| {
            service.members.iter().filter(|id| is_patched(id)).all(|id| before.members.contains(id))
        });
        let spares_less = before.is_none_or(|before| can_spare(service) < can_spare(before));
        service.members.iter().any(is_patched) && (spares_less || !knows_members)
    });
    tighter.map(|(id, _)| id.clone()).collect()
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod transaction_tests;
