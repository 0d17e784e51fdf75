//! Asks real hosts before a change is opened: whether they are ready for their updates, and what their package managers would
//! do. A host that is not ready stays in the plan with the checks that it fails, and nothing is done on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use ansible::{Playbook, Variables};
use domain::{
    ids::CiId,
    plan::{Connection, Plan, Target},
    policy::Policy,
    preflight::{PreflightAnswer, PreflightCheck, PreflightFailure, PreflightNeed, failures_text},
};
use serde_json::json;
use service_kit::ApiResult;

use super::{
    keys::{self, Keys},
    plans::Announce,
    playbooks,
    questions::{self, Asker, Silence},
    scans,
    transactions::{self, Pins, Question},
    transition::LogLines,
};
use crate::{App, store::runs::RunRow};

/// For which run hosts are asked.
pub(super) struct Asking<'a, 'f> {
    pub run: &'a RunRow,
    pub run_dir: &'a Path,
    /// The plan to which questions about packages are limited.
    pub approved: Option<&'a Plan>,
    pub policy: &'a Policy,
    /// Hosts whose scan has just fetched the lists of their repositories.
    pub proven_repositories: &'a BTreeSet<CiId>,
    pub announce: &'a Announce<'f>,
}

/// The hosts on which nothing will be done, and why.
#[derive(Default)]
pub(super) struct Excluded {
    pub not_ready: BTreeMap<CiId, Vec<PreflightFailure>>,
    /// Their package managers install none of the updates.
    pub impossible: BTreeMap<CiId, String>,
    /// What could not be checked.
    pub remarks: LogLines,
}

/// Puts what the package managers of real hosts would do into their targets, and removes the targets on which nothing can be
/// done.
pub(super) async fn ask_hosts(
    app: &App,
    asking: &Asking<'_, '_>,
    targets: &mut BTreeMap<CiId, Target>,
) -> ApiResult<Excluded> {
    let real = targets.values().filter(|target| target.connection != Connection::Model).count();
    let keys = Keys::load(app, Some(asking.run), keys::ssh_hosts(app, &*targets)).await;
    let asker = Asker { run: asking.run, run_dir: asking.run_dir, keys: &keys };
    let mut excluded = Excluded::default();
    if real > 0 {
        (asking.announce)(scans::longest_scan_seconds(real)).await?;
    }
    let answers = check(app, &asker, asking.proven_repositories, targets, &mut excluded.remarks).await?;
    let min_disk_free_percent = asking.policy.workflow.min_disk_free_percent;
    // No further question to a host on which nothing can be read.
    for (id, answer) in &answers {
        let Some(target) = targets.get_mut(id) else { continue };
        target.bootstrap_python = asking.policy.workflow.bootstrap_python && lacks_python(answer);
        if matches!(answer, PreflightAnswer::Refused { .. }) && !target.bootstrap_python {
            let need = PreflightNeed { transaction: None, min_disk_free_percent };
            excluded.not_ready.insert(id.clone(), answer.failures(&need));
        }
    }
    targets.retain(|id, _| !excluded.not_ready.contains_key(id));
    if real > 0 {
        (asking.announce)(scans::longest_scan_seconds(real)).await?;
    }
    let pins = pins_of(asking.approved);
    let question = Question { approved: asking.approved, policy: asking.policy, pins: &pins };
    excluded.impossible = transactions::foresee(app, &asker, &question, targets).await?;
    targets.retain(|id, _| !excluded.impossible.contains_key(id));
    for (id, target) in &*targets {
        let need = PreflightNeed { transaction: target.transaction.resolved(), min_disk_free_percent };
        let Some(PreflightAnswer::Read { facts }) = answers.get(id) else { continue };
        let failures = answers[id].failures(&need);
        if failures.is_empty() {
            let unknown = facts.unknown(&need);
            if !unknown.is_empty() {
                let text = format!("not checked before the change: {}", failures_text(&unknown));
                excluded.remarks.push((Some(id.clone()), text));
            }
        } else {
            excluded.not_ready.insert(id.clone(), failures);
        }
    }
    targets.retain(|id, _| !excluded.not_ready.contains_key(id));
    Ok(excluded)
}

/// Asks hosts again, about what is left of their updates and with only these versions.
pub(super) async fn ask_pinned(
    app: &App,
    asking: &Asking<'_, '_>,
    pins: &Pins,
    targets: &mut BTreeMap<CiId, Target>,
) -> ApiResult<BTreeMap<CiId, String>> {
    let real = targets.values().filter(|target| target.connection != Connection::Model).count();
    if real > 0 {
        (asking.announce)(scans::longest_scan_seconds(real)).await?;
    }
    let keys = Keys::load(app, Some(asking.run), keys::ssh_hosts(app, &*targets)).await;
    let asker = Asker { run: asking.run, run_dir: asking.run_dir, keys: &keys };
    let question = Question { approved: asking.approved, policy: asking.policy, pins };
    transactions::foresee(app, &asker, &question, targets).await
}

/// The versions of an approved plan that pins content.
fn pins_of(approved: Option<&Plan>) -> Pins {
    let plan = approved.filter(|plan| !plan.pin.is_none());
    let targets = plan.into_iter().flat_map(|plan| &plan.targets);
    targets.map(|(id, target)| (id.clone(), target.owned_pins())).collect()
}

fn lacks_python(answer: &PreflightAnswer) -> bool {
    matches!(answer, PreflightAnswer::Refused { check: PreflightCheck::Python, .. })
}

/// The answers of the real hosts among these targets. If the playbook cannot be started, nothing is known about them.
async fn check(
    app: &App,
    asker: &Asker<'_>,
    proven_repositories: &BTreeSet<CiId>,
    targets: &BTreeMap<CiId, Target>,
    remarks: &mut LogLines,
) -> ApiResult<BTreeMap<CiId, PreflightAnswer>> {
    let refused = |check, reason| PreflightAnswer::Refused { check, reason };
    let (mut asked, mut answers) = (BTreeMap::new(), BTreeMap::new());
    let real = targets.iter().filter(|(_, target)| target.connection != Connection::Model);
    for (id, target) in real {
        match playbooks::connection_to(app, id, target, asker.keys) {
            Ok(_) => drop(asked.insert(id.clone(), target.clone())),
            Err(error) => {
                drop(answers.insert(id.clone(), refused(PreflightCheck::Access, error.to_string())))
            }
        }
    }
    let variables = |id: &CiId, target: &Target| {
        let mut variables = Variables::new();
        variables.set("pm_updates", json!(target.versions()));
        variables.set("pm_refresh", !proven_repositories.contains(id));
        variables
    };
    let mut not_asked: Option<(usize, String)> = None;
    for (id, answer) in
        questions::ask::<PreflightAnswer>(app, asker, Playbook::Preflight, &asked, variables).await?
    {
        match answer {
            Ok(answer) => drop(answers.insert(id, answer)),
            Err(Silence::NoAnswer(reason)) => drop(answers.insert(id, refused(PreflightCheck::Host, reason))),
            Err(Silence::NotAsked(reason)) => {
                not_asked.get_or_insert((0, reason)).0 += 1;
            }
        }
    }
    if let Some((count, reason)) = not_asked {
        remarks.push((None, format!("{count} hosts were not checked before the change: {reason}")));
    }
    Ok(answers)
}
