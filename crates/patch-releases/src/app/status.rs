//! The state of a release at this moment.

use std::collections::BTreeMap;

use api_types::patch::{
    CustomerStatus, DeploymentState, ReleaseMode, ReleaseRunStatus, ReleaseStatus, ReleaseWave,
};
use domain::{
    ids::{CiId, RunId},
    release::Version,
    run::{Action, HostState, Progress, Stage},
};
use patch_runs::app::records;
use service_kit::ApiResult;
use sqlx::PgConnection;

use super::customers::MAX_CUSTOMERS;
use super::releases::load_release;
use super::rollouts::get_release_run;
use crate::{
    App,
    store::{customers, deployments, health_watches, releases as store},
};

const RUNS_SHOWN: i64 = 10;
const LOG_TAIL: i64 = 20;

pub(crate) async fn get_release_status(app: &App, version: Version) -> ApiResult<ReleaseStatus> {
    let mut conn = app.pool.acquire().await?;
    let release = load_release(&mut conn, version).await?;
    let ids = store::list_release_runs(&mut conn, version, RUNS_SHOWN).await?;
    let mut runs = Vec::new();
    for (id, _) in &ids {
        runs.push(run_status(app, &mut conn, *id).await?);
    }
    let customers = customer_statuses(&mut conn, &ids, version).await?;
    Ok(ReleaseStatus { release, at: app.clock.now(), runs, customers })
}

async fn run_status(app: &App, conn: &mut PgConnection, id: RunId) -> ApiResult<ReleaseRunStatus> {
    let row = records::get_run(&mut *conn, id).await?;
    let plan = records::find_plan(&mut *conn, id).await?;
    let hosts = records::list_machine_hosts(&mut *conn, id).await?;
    let machine = &row.machine;
    let is_executing = matches!(machine.progress, Progress::At(Stage::Executing));
    let wave = |(index, wave): (usize, &domain::plan::Wave)| {
        let of = |wanted: fn(HostState) -> bool| {
            wave.hosts.iter().filter(|id| hosts.get(*id).is_some_and(|host| wanted(host.state))).count()
        };
        let ended_at = machine.waves_ended.get(index).copied();
        let state = match ended_at {
            Some(_) => "done",
            None if is_executing && machine.wave == index => "running",
            None => "pending",
        };
        ReleaseWave {
            name: wave.name.clone(),
            state: state.to_owned(),
            customers: wave.hosts.len(),
            succeeded: of(|state| state == HostState::Succeeded),
            failed: of(HostState::is_failure),
            left_out: of(|state| matches!(state, HostState::Skipped | HostState::Cancelled)),
            ended_at,
        }
    };
    let waves = plan.iter().flat_map(|plan| plan.waves.iter().enumerate()).map(wave).collect();
    let wait_reason = records::find_last_wait_reason(&mut *conn, id).await?;
    let waiting = match &machine.pending {
        Some(pending) if !row.state.is_final() => match &pending.action {
            Action::Admit { .. } if pending.not_before > app.clock.now() => {
                let reason = wait_reason.unwrap_or_else(|| "a tier cannot start yet".to_owned());
                Some((reason, Some(pending.not_before)))
            }
            Action::Soak { until } => {
                Some(("the soak time before the next wave has not passed".to_owned(), Some(*until)))
            }
            Action::CheckChange { change_id } => {
                Some((format!("change {change_id} is not approved yet"), machine.deadline))
            }
            _ => None,
        },
        _ => None,
    };
    let waiting = match &machine.paused {
        Some(pause) => Some((format!("paused: {}", pause.reason), machine.deadline)),
        None => waiting,
    };
    let (waits_for, waits_until) = waiting.map_or((None, None), |(reason, until)| (Some(reason), until));
    let checks = store::list_checks(&mut *conn, id).await?;
    Ok(ReleaseRunStatus {
        run: get_release_run(app, id).await?,
        waves,
        checks,
        waits_for,
        waits_until,
        log_tail: records::list_log_tail(conn, id, LOG_TAIL).await?,
    })
}

/// Each customer, with its state in the latest run that includes it.
async fn customer_statuses(
    conn: &mut PgConnection,
    runs_of_release: &[(RunId, ReleaseMode)],
    version: Version,
) -> ApiResult<Vec<CustomerStatus>> {
    let mut states: BTreeMap<CiId, (HostState, Option<String>)> = BTreeMap::new();
    for (run, _) in runs_of_release {
        for (id, host) in records::list_machine_hosts(&mut *conn, *run).await? {
            states.entry(id).or_insert((host.state, host.error));
        }
    }
    let all = customers::list_customers(&mut *conn, None, None, MAX_CUSTOMERS).await?;
    let slugs: Vec<String> = all.iter().map(|stored| stored.customer.slug.to_string()).collect();
    let watches = health_watches::list_watches(&mut *conn, &slugs).await?;
    let deployed = deployments::list_deployments(&mut *conn, None, Some(version), None, 10_000).await?;
    let mut statuses = Vec::new();
    for stored in all {
        let customer = stored.customer;
        let (state, reason) =
            states.remove(&customer.slug).map_or((None, None), |(state, why)| (Some(state), why));
        let watch = watches.iter().find(|watch| watch.customer == customer.slug && watch.version == version);
        let last = deployed
            .iter()
            .find(|one| one.customer == customer.slug && one.state == DeploymentState::Succeeded);
        statuses.push(CustomerStatus {
            state,
            reason,
            watch: watch.map(health_watches::Watch::shown),
            deployed_at: last.and_then(|one| one.ended_at),
            customer: customer.slug,
            name: customer.name,
            tier: customer.tier,
            current_version: customer.current_version,
        });
    }
    statuses.sort_by(|a, b| (a.tier, &a.customer).cmp(&(b.tier, &b.customer)));
    Ok(statuses)
}
