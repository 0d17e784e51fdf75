//! Notifies the owners of hosts before a run begins, and when it is moved or cancelled: one digest per owner and run.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, SecondsFormat, Utc};
use domain::{
    ids::{CiId, RunId},
    owner_notice::{Beginning, OwnerNotice, Told, due_hours, due_notice},
    plan::{Plan, Target},
    policy::Notices,
    run::Stage,
};
use service_kit::{ApiResult, error::chain};

use super::change_text;
use crate::{
    App,
    store::{
        notices::{self, Notice},
        owner_notices,
        runs::{self, RunRow},
    },
};

const POLL_EVERY: Duration = Duration::from_secs(5);

/// Stores the notices that are due until the service stops. They are forwarded like all others.
pub(crate) async fn notify_owners(app: App) {
    loop {
        if let Err(error) = notify_due(&app).await {
            tracing::warn!("cannot notify owners of hosts now: {}", chain(&error));
        }
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(POLL_EVERY) => {}
        }
    }
}

async fn notify_due(app: &App) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let candidates = owner_notices::list_candidates(&mut conn).await?;
    drop(conn);
    for run in candidates {
        notify_of(app, run).await?;
    }
    Ok(())
}

/// Stores what owners are notified of, and that they were, in one transaction. Replicas wait for each other on the run.
async fn notify_of(app: &App, id: RunId) -> ApiResult<()> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    runs::lock_run(&mut transaction, id).await?;
    let row = runs::get_run(&mut transaction, id).await?;
    let told = owner_notices::find_told(&mut transaction, id).await?;
    let beginning = beginning(&row);
    let before_hours = &row.policy.notices.before_hours;
    match due_notice(before_hours, told, beginning, now) {
        Some(notice) => {
            let Some(plan) = runs::find_plan(&mut transaction, id).await? else { return Ok(()) };
            notices::insert_notices(&mut transaction, &digests(app, &row, &plan, notice), now).await?;
            match notice {
                OwnerNotice::Ahead { begins_at, .. } | OwnerNotice::Moved { to: begins_at, .. } => {
                    let told = Told { begins_at, least_hours: due_hours(before_hours, begins_at, now) };
                    owner_notices::upsert_told(&mut transaction, id, told).await?;
                }
                OwnerNotice::Cancelled { .. } => owner_notices::close_told(&mut transaction, id).await?,
            }
        }
        // It has begun, or ended after that: nothing follows.
        None if told.is_some() && (row.started_at.is_some() || row.state.is_final()) => {
            owner_notices::close_told(&mut transaction, id).await?;
        }
        None => return Ok(()),
    }
    transaction.commit().await?;
    Ok(())
}

/// When the run begins, as far as that is known: at the end of a wait for a time, or at the slot that it is planned ahead for.
fn beginning(row: &RunRow) -> Beginning {
    let machine = &row.machine;
    if row.started_at.is_some()
        || machine.stage().is_some_and(|stage| stage > Stage::Validating) && machine.stop.is_none()
    {
        return Beginning::Unknown;
    }
    if row.state.is_final() || machine.stop.is_some() {
        return Beginning::Never;
    }
    let waits_until =
        machine.pending.as_ref().filter(|_| machine.hold().is_some_and(|hold| hold.cause.is_calendar()));
    match waits_until.map(|pending| pending.not_before).or(machine.rules.slot) {
        Some(at) => Beginning::At(at),
        None => Beginning::Unknown,
    }
}

fn digests(app: &App, row: &RunRow, plan: &Plan, notice: OwnerNotice) -> Vec<Notice> {
    let mut of_owner: BTreeMap<&str, BTreeSet<&CiId>> = BTreeMap::new();
    for (host, target) in &plan.targets {
        if let Some(address) = address(&row.policy.notices, target) {
            of_owner.entry(address).or_default().insert(host);
        }
    }
    let address = format!("{}/dashboard/runs/{}", app.settings.public_url, row.id);
    let digest = |(recipient, hosts): (&str, BTreeSet<&CiId>)| {
        let (key, subject, first) = words(row, notice, hosts.len());
        let what = change_text::describe_hosts(plan, &hosts, &address);
        let change = row.machine.change_id.as_ref().map_or_else(String::new, |id| format!("Change: {id}\n"));
        Notice {
            key: format!("run:{}:owner:{key}:{recipient}", row.id).chars().take(200).collect(),
            run: row.id,
            recipient: recipient.to_owned(),
            subject: subject.chars().filter(|c| !c.is_control()).take(200).collect(),
            body: format!("{first}\n{change}{address}\n{what}"),
        }
    };
    of_owner.into_iter().map(digest).collect()
}

/// The key of the notice, its subject and its first sentence.
fn words(row: &RunRow, notice: OwnerNotice, hosts: usize) -> (String, String, String) {
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let policy = &row.policy.name;
    let unless = match row.stage {
        Some(Stage::AwaitingApproval) => ", if the change is approved in time",
        _ => "",
    };
    match notice {
        OwnerNotice::Ahead { begins_at, hours } => (
            format!("{}:{hours}", begins_at.timestamp()),
            format!("Patching of {hosts} of your hosts from {}: {policy}", time(begins_at)),
            format!("{hosts} of your hosts are patched from {} on{unless}.", time(begins_at)),
        ),
        OwnerNotice::Moved { from, to } => (
            format!("{}:moved", to.timestamp()),
            format!("MOVED to {}: patching of {hosts} of your hosts: {policy}", time(to)),
            format!("The patching of {hosts} of your hosts is moved from {} to {}.", time(from), time(to)),
        ),
        OwnerNotice::Cancelled { begins_at } => {
            let reason = row.reason.as_deref().unwrap_or("the run ended without work");
            (
                "cancelled".to_owned(),
                format!("CANCELLED: patching of {hosts} of your hosts from {}: {policy}", time(begins_at)),
                format!(
                    "The patching of {hosts} of your hosts from {} on is cancelled: {reason}.",
                    time(begins_at)
                ),
            )
        }
    }
}

/// Where the owner of a host is reached: an address of its own, or the one that the policy has for the tag `owner`, or the tag
/// itself if it is an address.
fn address<'a>(notices: &'a Notices, target: &'a Target) -> Option<&'a str> {
    let owner = target.tags.get("owner");
    let by_policy = owner.and_then(|owner| notices.owner_addresses.get(owner));
    let is_address = |owner: &&String| owner.contains('@') || owner.contains("://");
    target.owner_email.as_ref().or(by_policy).or(owner.filter(is_address)).map(String::as_str)
}
