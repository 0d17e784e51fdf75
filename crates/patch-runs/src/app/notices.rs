//! Notices about runs: stored in the transaction that changes the run, forwarded to ITSM afterwards.
//!
//! Each notice has a key, so ITSM delivers a notice once even if it is forwarded twice.

use std::time::Duration;

use api_types::{
    itsm::{Channel, CreateNotification},
    patch::HostStepState,
};
use domain::{
    ids::CiId,
    policy::{NoticeScope, Notices},
    run::{HostRun, HostState, Run, Stage},
    workflow::WorkflowStep,
};
use service_kit::{ApiResult, error::chain};

use super::transition::{Changes, Evidence};
use crate::{
    App,
    store::{
        notices::{self, Notice},
        runs::RunRow,
    },
};
use patch_compliance::upstream_error;

/// Notices forwarded in one round.
const BATCH: i64 = 100;
const POLL_EVERY: Duration = Duration::from_secs(2);

/// The notices that events cause: `row` is the run after them.
pub(super) fn for_transition(app: &App, row: &RunRow, changes: &Changes, evidence: &Evidence) -> Vec<Notice> {
    let (after, wanted) = (&row.machine, &row.policy.notices);
    if row.policy.notify.is_empty() {
        return Vec::new();
    }
    let mut notices_due: Vec<(String, String, String)> = Vec::new();
    let begins = changes.stage_before != Some(Stage::Executing) && after.stage() == Some(Stage::Executing);
    if begins && wanted.start != NoticeScope::None {
        let text = format!("Work on {} hosts begins.", after.hosts.len());
        notices_due.push(("start".to_owned(), format!("Patching begins: {}", row.policy.name), text));
    }
    notices_due.extend(evidence.steps.iter().filter_map(|record| {
        let passed = record.step == WorkflowStep::Precheck && record.state == HostStepState::Succeeded;
        (passed && wanted.start == NoticeScope::Host).then(|| {
            let host = &record.host;
            let text = format!("{host} has passed its prechecks; its downtime begins.");
            (format!("start:{host}:{}", record.attempt), format!("Patching begins on {host}"), text)
        })
    }));
    let changed = changes.hosts_before.iter().filter_map(|(id, before)| {
        let run = after.hosts.get(id)?;
        (before.as_ref().map(|old| old.state) != Some(run.state)).then_some((id, run))
    });
    notices_due
        .extend(changed.filter_map(|(id, run)| {
            for_host(wanted, changes, after, pending_restart(evidence, id), id, run)
        }));
    let link = format!("\n{}/dashboard/runs/{}\n", app.settings.public_url, row.id);
    let to = |recipient: &String| {
        let notice = |(key, subject, body): &(String, String, String)| Notice {
            key: format!("run:{}:{key}:{recipient}", row.id).chars().take(200).collect(),
            run: row.id,
            recipient: recipient.clone(),
            subject: subject.chars().filter(|c| !c.is_control()).take(200).collect(),
            body: format!("{body}{link}"),
        };
        notices_due.iter().map(notice).collect::<Vec<_>>()
    };
    row.policy.notify.iter().flat_map(to).collect()
}

/// What is left to restart on a host, whose services run replaced code until then.
fn pending_restart(evidence: &Evidence, host: &CiId) -> Option<String> {
    let mut facts = evidence.host_facts.iter().filter(|(id, _)| id == host);
    facts.next_back()?.1.stale_services.as_ref()?.pending_text()
}

fn for_host(
    wanted: &Notices,
    changes: &Changes,
    after: &Run,
    pending_restart: Option<String>,
    id: &CiId,
    run: &HostRun,
) -> Option<(String, String, String)> {
    let attempt = run.attempts;
    match run.state {
        HostState::Succeeded if wanted.success == NoticeScope::Host => Some((
            format!("success:{id}:{attempt}"),
            format!("Patched: {id}"),
            match pending_restart {
                None => format!("{id} is patched and healthy; its maintenance has ended."),
                Some(pending) => format!("{id} is patched; {pending}; its maintenance has ended."),
            },
        )),
        // A host that was rolled back is reported as failed before that.
        HostState::Failed | HostState::Unreachable | HostState::TimedOut | HostState::RollbackFailed
            if wanted.failure == NoticeScope::Host =>
        {
            let step = run.failed_step.map(|step| format!(" at `{}`", step.name())).unwrap_or_default();
            let why = run.error.as_deref().unwrap_or("no reason was given");
            let stop = after.stop.as_ref().filter(|_| !changes.was_stopping);
            let stop =
                stop.map(|stop| format!("\nThe rollout stops: {}.", stop.reason())).unwrap_or_default();
            Some((
                format!("failure:{id}:{attempt}:{}", run.state.name()),
                format!("ALERT: {id} {}", run.state.name().replace('_', " ")),
                format!("{id} is {}{step}: {why}{stop}", run.state.name().replace('_', " ")),
            ))
        }
        _ => None,
    }
}

/// Forwards notices to ITSM until the service stops.
pub(crate) async fn forward_notices(app: App) {
    loop {
        if let Err(error) = forward_due(&app).await {
            tracing::debug!("cannot forward notices to ITSM now: {}", chain(&error));
        }
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(POLL_EVERY) => {}
        }
    }
}

async fn forward_due(app: &App) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let due = notices::list_due(&mut conn, BATCH).await?;
    drop(conn);
    for notice in due {
        let request = CreateNotification {
            channel: if notice.recipient.contains("://") { Channel::Webhook } else { Channel::Email },
            recipient: notice.recipient.clone(),
            subject: notice.subject.clone(),
            body: notice.body.clone(),
            dedupe_key: Some(notice.key.clone()),
            customer: None,
        };
        match app.itsm.create_notification(&request).await {
            Err(error) if error.is_transient() => return Err(upstream_error(error)),
            Err(error) => {
                tracing::warn!(run.id = %notice.run, "ITSM refused a notice of run {}: {error}", notice.run)
            }
            Ok(_) => {}
        }
        let mut conn = app.pool.acquire().await?;
        notices::mark_forwarded(&mut conn, &notice.key, app.clock.now()).await?;
    }
    Ok(())
}
