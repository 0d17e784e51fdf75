//! Which customers of a wave may be deployed to now. The facts are collected here; the domain decides.

use std::collections::{BTreeMap, BTreeSet};

use api_types::patch::WatchState;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    ids::{CiId, RunId},
    plan::Subject,
    release::{self, Admission, CustomerFacts, Direction, Facts, NoticeTime},
    run::{Answer, HostState, WaitCause},
};
use service_kit::ApiResult;
use sqlx::PgConnection;

use super::{Task, deployment, notices};
use crate::app::customer_events::CustomerEvent;
use crate::store::{customers, deployments, health_watches, releases};
use patch_runs::{
    app::records,
    app::{calendars, transition::Evidence},
};

/// Between two attempts to lock a customer that another rollout has locked.
const LOCK_RETRY: TimeDelta = TimeDelta::minutes(1);

pub(super) async fn admit(
    task: &Task<'_>,
    wave: usize,
    hosts: &BTreeSet<CiId>,
) -> ApiResult<(Answer, Evidence)> {
    let (plan, deployment) = (task.plan()?, deployment(task)?);
    let mut evidence = Evidence::default();
    let is_notified_before = deployment.notice.when == NoticeTime::Before;
    if deployment.direction == Direction::Forward {
        if deployment.emergency {
            evidence.log.extend(notices::send_start(task).await?);
        } else if is_notified_before {
            evidence.log.extend(notices::send_before(task).await?);
        }
    }
    // Earlier waves have ended; their customers do not wait for this one.
    evidence.log.extend(notices::send_after(task, plan.waves.get(..wave).unwrap_or_default()).await?);
    let mut conn = task.app.pool.acquire().await?;
    let facts = facts(task, &mut conn, hosts).await?;
    drop(conn);
    let answer = match release::admit(plan, wave, hosts, &facts) {
        Admission::Admitted { customers, left_out } => {
            let (customers, obstacle) = lock_customers(task, customers).await?;
            if let (true, Some(reason)) = (customers.is_empty(), obstacle) {
                Answer::NotYet { cause: WaitCause::Lock, reason, retry_at: facts.now + LOCK_RETRY }
            } else {
                if !customers.is_empty() {
                    let name = plan.waves.get(wave).map_or("", |wave| wave.name.as_str());
                    let text =
                        format!("`{name}` begins with {} of {} customers", customers.len(), hosts.len());
                    evidence.log.push((None, text));
                }
                for (customer, reason) in &left_out {
                    CustomerEvent::LeftOut.add_to(&mut evidence, customer, reason);
                }
                Answer::Admitted { hosts: customers, left_out, down: BTreeSet::new() }
            }
        }
        Admission::NotYet { reason, retry_at } => {
            Answer::NotYet { cause: WaitCause::Condition, reason, retry_at }
        }
        Admission::Never { reason } => Answer::Invalid { reason },
    };
    match &answer {
        Answer::NotYet { reason, .. } => evidence.log.push((None, format!("waiting: {reason}"))),
        Answer::Invalid { reason } => evidence.log.push((None, reason.clone())),
        _ => {}
    }
    Ok((answer, evidence))
}

/// Locks customers for this rollout until each is deployed to. Returns the locked ones, and why another one is not locked.
async fn lock_customers(
    task: &Task<'_>,
    customers: BTreeSet<CiId>,
) -> ApiResult<(BTreeSet<CiId>, Option<String>)> {
    let (mut locked, mut obstacle) = (BTreeSet::new(), None);
    let mut transaction = task.owned.begin().await?;
    let (run, now) = (task.loaded.row.id, task.app.clock.now());
    for customer in customers {
        match lock_customer(&mut transaction, run, &customer, now).await? {
            None => drop(locked.insert(customer)),
            Some(other) => obstacle = Some(format!("`{customer}` is locked by run {other}")),
        }
    }
    transaction.commit().await?;
    Ok((locked, obstacle))
}

/// Locks one customer for a run. Returns the other run that holds it.
pub(super) async fn lock_customer(
    conn: &mut PgConnection,
    run: RunId,
    customer: &CiId,
    now: DateTime<Utc>,
) -> ApiResult<Option<RunId>> {
    let ids = BTreeSet::from([customer.clone()]);
    let held = records::lock_subjects(conn, run, Subject::Customer, &ids, now).await?;
    Ok(held.first().map(|(_, other)| *other))
}

async fn facts(task: &Task<'_>, conn: &mut PgConnection, hosts: &BTreeSet<CiId>) -> ApiResult<Facts> {
    let (app, row, deployment) = (&task.app, &task.loaded.row, deployment(task)?);
    let now = app.clock.now();
    let began_at = row.started_at.unwrap_or(row.created_at);
    let noticed = releases::list_notices(&mut *conn, row.id, "before").await?;
    let mut known = BTreeMap::new();
    for id in hosts {
        let Some(stored) = customers::find_customer(&mut *conn, id).await? else { continue };
        let customer = stored.customer;
        let pinned = customer.pinned_to.filter(|pin| *pin < deployment.version);
        let held = match (&customer.paused, pinned) {
            _ if deployment.direction == Direction::RollBack => None,
            (Some(why), _) => Some(format!("it is paused: {why}")),
            (None, Some(pin)) => Some(format!("it is pinned to {pin}")),
            (None, None) => None,
        };
        // Freezes do not stop an emergency or a rollback.
        let freezes = if deployment.emergency || deployment.direction == Direction::RollBack {
            Vec::new()
        } else {
            calendars::find_freeze_names(&mut *conn, (now, now), &customer.tags).await?
        };
        let facts = CustomerFacts {
            version: customer.current_version,
            held,
            freezes,
            noticed_at: noticed.get(id).copied(),
        };
        known.insert(id.clone(), facts);
    }
    let done: Vec<String> = row
        .machine
        .hosts
        .iter()
        .filter(|(_, host)| host.state == HostState::Succeeded)
        .map(|(id, _)| id.to_string())
        .collect();
    let watches = health_watches::list_watches(&mut *conn, &done).await?;
    let own = || watches.iter().filter(|watch| watch.run == row.id && watch.state != WatchState::Ended);
    let unhealthy =
        own().filter_map(|watch| Some((watch.customer.clone(), why_not_healthy(watch)?))).collect();
    let healthy_hours = own()
        .filter(|watch| matches!(watch.state, WatchState::Healthy))
        .filter_map(|watch| Some((watch.last_look_at? - watch.since).num_seconds() as f64 / 3600.0))
        .sum();
    let failures = row.machine.hosts.values().filter(|host| host.state.is_failure()).count();
    Ok(Facts {
        now,
        delays_since: delays_since(task, conn, began_at).await?,
        waiting_since: row.machine.waves_ended.last().copied().unwrap_or(began_at),
        customers: known,
        unhealthy,
        healthy_hours,
        failures: u32::try_from(failures).unwrap_or(u32::MAX),
        signed_off: releases::is_signed_off(&mut *conn, deployment.version).await?,
    })
}

/// A wave does not start while an earlier customer is unhealthy or was not checked yet.
fn why_not_healthy(watch: &health_watches::Watch) -> Option<String> {
    match watch.state {
        WatchState::Healthy | WatchState::Ended => None,
        WatchState::Unchecked => Some("its health was not checked yet".to_owned()),
        WatchState::Doubtful | WatchState::Unhealthy => {
            Some(watch.reason.clone().unwrap_or_else(|| "it is unhealthy".to_owned()))
        }
    }
}

/// The end of the demo: in this rollout, otherwise in the one that deployed the release to the demo.
async fn delays_since(
    task: &Task<'_>,
    conn: &mut PgConnection,
    began_at: DateTime<Utc>,
) -> ApiResult<DateTime<Utc>> {
    let plan = task.plan()?;
    let demo = plan.waves.iter().position(|wave| wave.name == "demo");
    let ended = demo.and_then(|demo| task.loaded.row.machine.waves_ended.get(demo).copied());
    match (ended, demo) {
        (Some(ended), _) => Ok(ended),
        (None, Some(_)) => Ok(began_at),
        (None, None) => {
            let version = deployment(task)?.version;
            Ok(deployments::find_demo_ended_at(conn, version).await?.unwrap_or(began_at))
        }
    }
}
