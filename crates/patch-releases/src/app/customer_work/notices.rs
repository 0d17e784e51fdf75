//! Customers are notified of a rollout, once each.

use std::collections::BTreeMap;

use domain::{
    ids::CiId,
    plan::Wave,
    release::{CustomerTarget, Deployment, Direction, NoticeTime},
    run::HostState,
};
use patch_runs::app::transition::LogLines;
use service_kit::ApiResult;

use super::{Task, deployment};
use crate::{
    app::{notices::send, rollouts::kind_text},
    store::releases,
};

/// The kind under which the notice of the start of an emergency is recorded.
const START: &str = "start";

/// Notifies customers before their deployment. The notice period starts now, so they are notified as early as possible.
pub(super) async fn send_before(task: &Task<'_>) -> ApiResult<LogLines> {
    let (run, deployment) = (task.loaded.row.id, deployment(task)?);
    let mut conn = task.app.pool.acquire().await?;
    let notified = releases::list_notices(&mut conn, run, "before").await?;
    drop(conn);
    let mut count = 0;
    for (id, target) in recipients(deployment).filter(|(id, _)| !notified.contains_key(*id)) {
        let subject = format!("{} will be updated to {}", target.name, deployment.version);
        let body = format!(
            "A {} release, {}, is planned for {}.\nIt begins in {} h or later{}.\nYou currently run {}.\n",
            kind_text(deployment.release_kind),
            deployment.version,
            target.name,
            deployment.notice.hours,
            if target.windows.is_empty() { "" } else { ", within your maintenance window" },
            target.from
        );
        send(&task.app, run, "before", id, &target.contacts, &subject, &body).await?;
        count += 1;
    }
    let text = format!("{count} customers were notified of {} before it starts", deployment.version);
    Ok(if count == 0 { Vec::new() } else { vec![(None, text)] })
}

/// Notifies every customer of an emergency when its rollout begins: there is no time for a notice period, but nobody should be
/// surprised.
pub(super) async fn send_start(task: &Task<'_>) -> ApiResult<LogLines> {
    let (run, deployment) = (task.loaded.row.id, deployment(task)?);
    let mut conn = task.app.pool.acquire().await?;
    let notified = releases::list_notices(&mut conn, run, START).await?;
    let rollout = releases::get_rollout_request(&mut conn, run).await?;
    drop(conn);
    let mut count = 0;
    for (id, target) in deployment.customers.iter().filter(|(id, _)| !notified.contains_key(*id)) {
        let subject = format!("{} is being updated to {} now", target.name, deployment.version);
        let body = format!(
            "The emergency {} release {} is being deployed to {} now, outside maintenance windows.\nReason: {}.\nYou currently run {}. You will be notified of the outcome.\n",
            kind_text(deployment.release_kind),
            deployment.version,
            target.name,
            rollout.reason.trim(),
            target.from
        );
        send(&task.app, run, START, id, &target.contacts, &subject, &body).await?;
        count += 1;
    }
    let text =
        format!("{count} customers were notified that the emergency release {} begins", deployment.version);
    Ok(if count == 0 { Vec::new() } else { vec![(None, text)] })
}

/// Notifies the customers of these waves after their deployment, and always when it failed or was rolled back. Called at the end
/// of each wave, so that a customer does not wait for the tiers after its own. A customer that was notified of an update is
/// notified again if the update is rolled back.
pub(super) async fn send_after(task: &Task<'_>, waves: &[Wave]) -> ApiResult<LogLines> {
    let (run, deployment) = (task.loaded.row.id, deployment(task)?);
    let mut conn = task.app.pool.acquire().await?;
    let mut notified = BTreeMap::new();
    for outcome in Outcome::ALL {
        notified.insert(outcome, releases::list_notices(&mut conn, run, outcome.notice()).await?);
    }
    drop(conn);
    let mut count = 0;
    for id in waves.iter().flat_map(|wave| &wave.hosts) {
        let (Some(target), Some(host)) =
            (deployment.customers.get(id), task.loaded.row.machine.hosts.get(id))
        else {
            continue;
        };
        let Some(outcome) = Outcome::of(host.state) else { continue };
        if notified[&outcome].contains_key(id)
            || outcome == Outcome::Done && !wants_to_know(deployment, target)
        {
            continue;
        }
        let (subject, what) = outcome.text(deployment, target, host.error.as_deref());
        if send(&task.app, run, outcome.notice(), id, &target.contacts, &subject, &format!("{what}\n"))
            .await?
        {
            count += 1;
        }
    }
    let text = format!("{count} customers were notified of the outcome");
    Ok(if count == 0 { Vec::new() } else { vec![(None, text)] })
}

/// Whether a customer is notified of a deployment that went well.
fn wants_to_know(deployment: &Deployment, target: &CustomerTarget) -> bool {
    let is_named =
        deployment.notice.when == NoticeTime::After && deployment.notice.tiers.contains(&target.tier);
    is_named || deployment.emergency || deployment.direction == Direction::RollBack
}

/// What a customer is notified of, once each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Done,
    RolledBack,
    Failed,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Done, Self::RolledBack, Self::Failed];

    fn of(state: HostState) -> Option<Self> {
        match state {
            HostState::Succeeded => Some(Self::Done),
            HostState::RolledBack => Some(Self::RolledBack),
            state => state.is_failure().then_some(Self::Failed),
        }
    }

    /// The kind under which the notice is recorded.
    fn notice(self) -> &'static str {
        match self {
            Self::Done => "after",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
        }
    }

    /// Subject and text.
    fn text(self, deployment: &Deployment, target: &CustomerTarget, error: Option<&str>) -> (String, String) {
        match self {
            Self::Done if deployment.direction == Direction::RollBack => (
                format!("{} was rolled back to {}", target.name, target.to),
                format!("Release {} was rolled back.", deployment.version),
            ),
            Self::Done => (
                format!("{} was updated to {}", target.name, target.to),
                format!(
                    "The {} release is deployed and is monitored for {} h.",
                    kind_text(deployment.release_kind),
                    deployment.monitoring_hours
                ),
            ),
            Self::RolledBack => (
                format!("{} was rolled back to {}", target.name, target.from),
                format!(
                    "The update to {} was rolled back: {}.",
                    target.to,
                    error.unwrap_or("it was not healthy")
                ),
            ),
            Self::Failed => (
                format!("The update of {} to {} failed", target.name, target.to),
                "Our operators were alerted and will contact you.".to_owned(),
            ),
        }
    }
}

fn recipients(deployment: &Deployment) -> impl Iterator<Item = (&CiId, &CustomerTarget)> {
    deployment.customers.iter().filter(|(_, target)| deployment.notice.tiers.contains(&target.tier))
}
