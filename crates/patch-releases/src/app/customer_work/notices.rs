//! Customers are notified of a rollout, once each.

use std::collections::BTreeSet;

use domain::{
    ids::CiId,
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

/// Notifies customers after their deployment, and always when it failed or was rolled back.
pub(super) async fn send_after(task: &Task<'_>) -> ApiResult<LogLines> {
    let (run, deployment) = (task.loaded.row.id, deployment(task)?);
    let wanted: BTreeSet<&CiId> = match deployment.notice.when {
        NoticeTime::After => recipients(deployment).map(|(id, _)| id).collect(),
        NoticeTime::Before | NoticeTime::Weekly | NoticeTime::Never => BTreeSet::new(),
    };
    let mut count = 0;
    for (id, host) in &task.loaded.row.machine.hosts {
        let Some(target) = deployment.customers.get(id) else { continue };
        let (subject, what) = match host.state {
            HostState::Succeeded if deployment.direction == Direction::RollBack => (
                format!("{} was rolled back to {}", target.name, target.to),
                format!("Release {} was rolled back.", deployment.version),
            ),
            HostState::Succeeded if wanted.contains(id) || deployment.emergency => (
                format!("{} was updated to {}", target.name, target.to),
                format!(
                    "The {} release is deployed and is monitored for {} h.",
                    kind_text(deployment.release_kind),
                    deployment.monitoring_hours
                ),
            ),
            HostState::RolledBack => (
                format!("{} was rolled back to {}", target.name, target.from),
                format!(
                    "The update to {} was rolled back: {}.",
                    target.to,
                    host.error.as_deref().unwrap_or("it was not healthy")
                ),
            ),
            state if state.is_failure() => (
                format!("The update of {} to {} failed", target.name, target.to),
                "Our operators were alerted and will contact you.".to_owned(),
            ),
            _ => continue,
        };
        if send(&task.app, run, "after", id, &target.contacts, &subject, &format!("{what}\n")).await? {
            count += 1;
        }
    }
    let text = format!("{count} customers were notified of the outcome");
    Ok(if count == 0 { Vec::new() } else { vec![(None, text)] })
}

fn recipients(deployment: &Deployment) -> impl Iterator<Item = (&CiId, &CustomerTarget)> {
    deployment.customers.iter().filter(|(_, target)| deployment.notice.tiers.contains(&target.tier))
}
