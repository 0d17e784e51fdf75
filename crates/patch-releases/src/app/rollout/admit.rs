//! Who of a wave may be deployed to now. The facts are gathered here; the decision is the domain's.

use std::collections::{BTreeMap, BTreeSet};

use api_types::patch::WatchState;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    ids::{CiId, RunId},
    plan::Subject,
    release::{self, Admission, CustomerFacts, Direction, Facts, NoticeTime},
    run::{Answer, HostState},
};
use service_kit::ApiResult;
use sqlx::PgConnection;

use super::{Task, deployment, notices};
use crate::store::{customers, deployments, releases};
use patch_runs::{
    app::records,
    app::{
        calendars,
        transition::{Evidence, begin_as_owner},
    },
};

/// Between two looks at a customer that another rollout has in hand.
const LOOK_AGAIN: TimeDelta = TimeDelta::minutes(1);

pub(super) async fn admit(
    task: &Task<'_>,
    wave: usize,
    hosts: &BTreeSet<CiId>,
) -> ApiResult<(Answer, Evidence)> {
    let (plan, deployment) = (task.plan()?, deployment(task)?);
    let mut log = Vec::new();
    let is_told_before = deployment.notice.when == NoticeTime::Before;
    if deployment.direction == Direction::Forward && is_told_before && !deployment.emergency {
        log.extend(notices::send_before(task).await?);
    }
    let mut conn = task.app.pool.acquire().await?;
    let facts = facts(task, &mut conn, hosts).await?;
    drop(conn);
    Ok(match release::admit(plan, wave, hosts, &facts) {
        Admission::Admitted { customers, left_out } => {
            let (customers, held) = take(task, customers).await?;
            if let (true, Some(reason)) = (customers.is_empty(), held) {
                log.push((None, format!("waiting: {reason}")));
                let answer = Answer::NotYet { reason, retry_at: facts.now + LOOK_AGAIN };
                return Ok((answer, Evidence { log, ..Evidence::default() }));
            }
            let name = plan.waves.get(wave).map_or("", |wave| wave.name.as_str());
            if !customers.is_empty() {
                log.push((
                    None,
                    format!("`{name}` begins with {} of {} customers", customers.len(), hosts.len()),
                ));
            }
            log.extend(left_out.iter().map(|(id, reason)| (Some(id.clone()), format!("left out: {reason}"))));
            (Answer::Admitted { hosts: customers, left_out }, Evidence { log, ..Evidence::default() })
        }
        Admission::NotYet { reason, retry_at } => {
            log.push((None, format!("waiting: {reason}")));
            (Answer::NotYet { reason, retry_at }, Evidence { log, ..Evidence::default() })
        }
        Admission::Never { reason } => {
            log.push((None, reason.clone()));
            (Answer::Invalid { reason }, Evidence { log, ..Evidence::default() })
        }
    })
}

/// Takes customers for this rollout, until each is deployed to; those that another has in hand come later.
async fn take(task: &Task<'_>, customers: BTreeSet<CiId>) -> ApiResult<(BTreeSet<CiId>, Option<String>)> {
    let (mut taken, mut held) = (BTreeSet::new(), None);
    let mut transaction = begin_as_owner(task.lease).await?;
    let (run, now) = (task.loaded.row.id, task.app.clock.now());
    for customer in customers {
        match lock_customer(&mut transaction, run, &customer, now).await? {
            None => drop(taken.insert(customer)),
            Some(other) => held = Some(format!("`{customer}` is locked by run {other}")),
        }
    }
    transaction.commit().await?;
    Ok((taken, held))
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
        // What is urgent goes through freezes: an emergency, and the way back.
        let freezes = match deployment.emergency || deployment.direction == Direction::RollBack {
            true => Vec::new(),
            false => calendars::find_freeze_names(&mut *conn, (now, now), &customer.tags).await?,
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
    let watches = deployments::list_watches(&mut *conn, &done).await?;
    let own = || watches.iter().filter(|watch| watch.run == row.id && watch.state != WatchState::Ended);
    let unwell = own().filter_map(|watch| Some((watch.customer.clone(), why_unwell(watch)?))).collect();
    let well_hours = own()
        .filter(|watch| matches!(watch.state, WatchState::Well))
        .filter_map(|watch| Some((watch.last_look_at? - watch.since).num_seconds() as f64 / 3600.0))
        .sum();
    let failures = row.machine.hosts.values().filter(|host| host.state.is_failure()).count();
    Ok(Facts {
        now,
        delays_since: delays_since(task, conn, began_at).await?,
        waiting_since: row.machine.waves_ended.last().copied().unwrap_or(began_at),
        customers: known,
        unwell,
        healthy_hours: well_hours,
        failures: u32::try_from(failures).unwrap_or(u32::MAX),
        signed_off: releases::is_signed_off(&mut *conn, deployment.version).await?,
    })
}

/// Nobody goes on over somebody who is not well, or of whom nothing was seen yet.
fn why_unwell(watch: &deployments::Watch) -> Option<String> {
    match watch.state {
        WatchState::Well | WatchState::Ended => None,
        WatchState::Unseen => Some("its health was not seen yet".to_owned()),
        WatchState::Doubtful | WatchState::Unhealthy => {
            Some(watch.reason.clone().unwrap_or_else(|| "it is not well".to_owned()))
        }
    }
}

/// The end of the demo: of this rollout, else of the one that brought the release there.
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
            Ok(deployments::demo_ended_at(conn, version).await?.unwrap_or(began_at))
        }
    }
}
