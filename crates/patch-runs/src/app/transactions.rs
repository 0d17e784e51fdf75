//! Foresees the exact package transactions of real hosts: their package managers say what they would do for the planned
//! packages, and the rule of `domain::transaction` decides what is left out.

use std::collections::{BTreeMap, BTreeSet};

use ansible::{Playbook, Variables};
use domain::{
    baseline::PackageGlob,
    ids::CiId,
    package::OmittedUpdate,
    plan::{Connection, Plan, Target},
    policy::Policy,
    transaction::{self, Answer, Foreseen, Next, Selection, Transaction},
};
use serde::Deserialize;
use serde_json::json;
use service_kit::ApiResult;

use super::{
    playbooks,
    questions::{self, Asker, Silence},
};
use crate::App;

/// Left-out updates that the reason of a host names.
const MOST_NAMED: usize = 3;

/// The versions to which hosts are limited, by package.
pub(super) type Pins = BTreeMap<CiId, BTreeMap<String, String>>;

/// About what hosts are asked.
pub(super) struct Question<'a> {
    /// The plan to which the packages are limited.
    pub approved: Option<&'a Plan>,
    pub policy: &'a Policy,
    /// The versions to which hosts are limited; a host that is absent is not.
    pub pins: &'a Pins,
}

/// Puts the transaction of each target into it and moves what its package manager does not install to the left-out updates.
/// Returns the hosts on which nothing can be installed, and why. The transaction of a host that does not answer is unknown, and
/// the plan says so: its updates may come from a pushed inventory. If its transaction is approved already, nothing is done on it.
pub(super) async fn foresee(
    app: &App,
    asker: &Asker<'_>,
    question: &Question<'_>,
    targets: &mut BTreeMap<CiId, Target>,
) -> ApiResult<BTreeMap<CiId, String>> {
    let mut asked: BTreeMap<CiId, Target> = BTreeMap::new();
    for (id, target) in &mut *targets {
        match target.connection {
            _ if target.updates.is_empty() => {}
            Connection::Model => target.transaction = Foreseen::Model,
            Connection::Ssh { .. } if target.bootstrap_python => {
                let reason = "it has no Python yet, so its package manager could not be asked";
                target.transaction = Foreseen::Unknown { reason: reason.to_owned() };
            }
            Connection::Ssh { .. } if !question.policy.workflow.update_commands.is_empty() => {
                target.transaction = Foreseen::OwnCommand;
            }
            Connection::Ssh { .. } => drop(asked.insert(id.clone(), limited(question.approved, id, target))),
        }
    }
    asked.retain(|_, target| !target.updates.is_empty());
    let mut impossible = BTreeMap::new();
    let mut silent = BTreeMap::new();
    asked.retain(|id, target| match playbooks::connection_to(app, id, target, asker.keys) {
        Ok(_) => true,
        Err(error) => {
            silent.insert(id.clone(), error.to_string());
            false
        }
    });
    let limits = Limits::of(question.policy);
    let variables = |id: &CiId, target: &Target| {
        let mut variables = Variables::new();
        variables.set("pm_pinned", json!(question.pins.get(id).cloned().unwrap_or_default()));
        variables.set("pm_revisions", !question.policy.pin.is_none());
        variables.set("pm_updates", json!(target.versions()));
        variables.set("pm_update_groups", json!(transaction::groups(&target.updates)));
        variables.set("pm_allow_removals", limits.allow_removals);
        variables.set("pm_denied", json!(limits.denied));
        variables
    };
    let answers = questions::ask::<Output>(app, asker, Playbook::PlanTransaction, &asked, variables).await?;
    for (id, answer) in answers {
        let (Some(target), Some(limited)) = (targets.get_mut(&id), asked.get(&id)) else { continue };
        let about: BTreeSet<String> = limited.updates.iter().map(|update| update.package.clone()).collect();
        let reboots = target.reboot_pending && question.policy.reboots_later();
        let found = answer.map_err(Silence::reason).and_then(|output| found(output, limited, &limits));
        match found.map(|found| apply(target, &about, found, reboots)) {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => drop(impossible.insert(id, reason)),
            Err(reason) => drop(silent.insert(id, reason)),
        }
    }
    for (id, reason) in silent {
        let reason = format!("its package manager could not be asked: {reason}");
        let approved = question.approved.and_then(|approved| approved.targets.get(&id));
        match (approved.and_then(|approved| approved.transaction.resolved()), targets.get_mut(&id)) {
            (None, Some(target)) => target.transaction = Foreseen::Unknown { reason },
            _ => drop(impossible.insert(id, reason)),
        }
    }
    Ok(impossible)
}

/// What the policy does not let a transaction do.
#[derive(Default)]
struct Limits {
    allow_removals: bool,
    /// Packages that must not come along.
    denied: Vec<PackageGlob>,
}

impl Limits {
    fn of(policy: &Policy) -> Self {
        let denied = policy.baseline.deny.iter().map(|rule| rule.glob.clone()).collect();
        Self { allow_removals: policy.allow_removals, denied }
    }
}

/// The target with those of its updates that the approved plan contains.
fn limited(approved: Option<&Plan>, id: &CiId, target: &Target) -> Target {
    let mut limited = target.clone();
    if let Some(approved) = approved {
        let known = approved.targets.get(id).map(|approved| &approved.updates[..]).unwrap_or_default();
        limited.updates.retain(|update| known.iter().any(|known| known.package == update.package));
    }
    limited
}

/// What is found out about one host.
struct Found {
    selection: Selection,
    transaction: Option<Transaction>,
}

/// What the playbook writes about one host.
#[derive(Deserialize)]
struct Output {
    answers: Vec<Answer>,
    packages: BTreeSet<String>,
    transaction: Option<Foreseen>,
}

/// The decision about a host's answers is made here again: a playbook only carries them.
fn found(output: Output, target: &Target, limits: &Limits) -> Result<Found, String> {
    let groups = transaction::groups(&target.updates);
    match transaction::next(&groups, limits.allow_removals, &limits.denied, &output.answers) {
        Next::Done(selection) if selection.packages == output.packages => {
            let transaction = match output.transaction {
                Some(Foreseen::Resolved(transaction)) => Some(transaction.in_order()),
                _ => None,
            };
            let needs_one = !selection.packages.is_empty() && selection.unknown.is_none();
            if needs_one && transaction.is_none() {
                return Err("its answer has no transaction".to_owned());
            }
            Ok(Found { selection, transaction })
        }
        Next::Done(_) | Next::Ask { .. } => Err("its answers are not complete".to_owned()),
    }
}

/// Puts what is found out about the packages `about` into the target; or returns why nothing can be done on it. A host that
/// only `reboots` has something left to do.
fn apply(target: &mut Target, about: &BTreeSet<String>, found: Found, reboots: bool) -> Result<(), String> {
    let Found { selection, transaction } = found;
    target.transaction = match (selection.unknown, transaction) {
        (Some(reason), _) => Foreseen::Unknown { reason },
        (None, Some(transaction)) => Foreseen::Resolved(transaction),
        (None, None) => Foreseen::NotAsked,
    };
    let is_kept = |package: &String| !about.contains(package) || selection.packages.contains(package);
    target.updates.retain(|update| is_kept(&update.package));
    let reason = nothing_left(&selection.left_out);
    target.omitted.extend(selection.left_out);
    target.omitted.sort();
    if target.updates.is_empty() && !reboots { Err(reason) } else { Ok(()) }
}

pub(super) fn nothing_left(left_out: &[OmittedUpdate]) -> String {
    let named = left_out.iter().take(MOST_NAMED);
    let named: Vec<String> = named.map(|one| format!("`{}` {}", one.package, one.explanation())).collect();
    let more = match left_out.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("none of its updates can be installed: {}{more}", named.join("; "))
}

#[cfg(test)]
mod tests;
