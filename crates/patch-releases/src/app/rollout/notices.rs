//! Customers are told what happens to them, once each.

use std::collections::BTreeSet;

use api_types::itsm::{Channel, CreateNotification};
use domain::{
    ids::{CiId, RunId},
    release::{CustomerTarget, Deployment, Direction, NoticeTime},
    run::HostState,
};
use service_kit::ApiResult;

use super::Task;
use super::deployment;
use crate::{App, app::releases::kind_text, store::releases};
use patch_compliance::upstream_error;

type Lines = Vec<(Option<CiId>, String)>;

/// Tells those who are to be told before. Their time counts from now, so it is done as early as it may.
pub(super) async fn send_before(task: &Task<'_>) -> ApiResult<Lines> {
    let (run, deployment) = (task.loaded.row.id, deployment(task)?);
    let mut conn = task.app.pool.acquire().await?;
    let told = releases::list_notices(&mut conn, run, "before").await?;
    drop(conn);
    let mut count = 0;
    for (id, target) in to_be_told(deployment).filter(|(id, _)| !told.contains_key(*id)) {
        let subject = format!("{} will be updated to {}", target.name, deployment.version);
        let body = format!(
            "A {} release, {}, is planned for {}.\nIt begins in {} h or later{}.\nYou run {} now.\n",
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
    Ok(match count {
        0 => Vec::new(),
        count => vec![(None, format!("{count} customers were told of {} before", deployment.version))],
    })
}

/// Tells those who are told after, and everybody for whom it went wrong.
pub(super) async fn send_after(task: &Task<'_>) -> ApiResult<Lines> {
    let (run, deployment) = (task.loaded.row.id, deployment(task)?);
    let wanted: BTreeSet<&CiId> = match deployment.notice.when {
        NoticeTime::After => to_be_told(deployment).map(|(id, _)| id).collect(),
        // A weekly summary and notices before say nothing at the end, unless it went wrong.
        NoticeTime::Before | NoticeTime::Weekly | NoticeTime::Never => BTreeSet::new(),
    };
    let mut count = 0;
    for (id, host) in &task.loaded.row.machine.hosts {
        let Some(target) = deployment.customers.get(id) else { continue };
        let (subject, what) = match host.state {
            HostState::Succeeded if deployment.direction == Direction::RollBack => (
                format!("{} was returned to {}", target.name, target.to),
                format!("Release {} was taken back.", deployment.version),
            ),
            HostState::Succeeded if wanted.contains(id) || deployment.emergency => (
                format!("{} was updated to {}", target.name, target.to),
                format!(
                    "The {} release is in place and is watched closely for {} h.",
                    kind_text(deployment.release_kind),
                    deployment.monitoring_hours
                ),
            ),
            HostState::RolledBack => (
                format!("{} was returned to {}", target.name, target.from),
                format!(
                    "The update to {} was taken back: {}.",
                    target.to,
                    host.error.as_deref().unwrap_or("it did not go well")
                ),
            ),
            state if state.is_failure() => (
                format!("The update of {} to {} failed", target.name, target.to),
                "Our operators were alerted and will be in touch.".to_owned(),
            ),
            _ => continue,
        };
        if send(&task.app, run, "after", id, &target.contacts, &subject, &format!("{what}\n")).await? {
            count += 1;
        }
    }
    Ok(match count {
        0 => Vec::new(),
        count => vec![(None, format!("{count} customers were told of the outcome"))],
    })
}

fn to_be_told(deployment: &Deployment) -> impl Iterator<Item = (&CiId, &CustomerTarget)> {
    deployment.customers.iter().filter(|(_, target)| deployment.notice.tiers.contains(&target.tier))
}

/// Queues the notice to each contact; ITSM delivers it once, so a repetition after a crash does no harm.
pub(crate) async fn send(
    app: &App,
    run: RunId,
    kind: &str,
    customer: &CiId,
    contacts: &[String],
    subject: &str,
    body: &str,
) -> ApiResult<bool> {
    for contact in contacts.iter().collect::<BTreeSet<_>>() {
        let request = CreateNotification {
            channel: if contact.contains("://") { Channel::Webhook } else { Channel::Email },
            recipient: contact.clone(),
            subject: subject.chars().take(200).collect(),
            body: body.to_owned(),
            dedupe_key: Some(format!("release:{run}:{kind}:{customer}:{contact}")),
        };
        match app.runs.itsm.create_notification(&request).await {
            Err(error) if error.is_transient() => return Err(upstream_error(error)),
            Err(error) => tracing::warn!(run.id = %run, "`{customer}` cannot be told: {error}"),
            Ok(_) => {}
        }
    }
    let mut conn = app.pool.acquire().await?;
    releases::insert_notice(&mut conn, run, customer, kind, app.clock.now()).await
}
