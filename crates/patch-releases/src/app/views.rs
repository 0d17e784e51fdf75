//! What became of releases: status, timeline, deployments, health, metrics; and what the outside says of them.

use std::collections::BTreeMap;

use api_types::patch::{
    CustomerDeployment, CustomerHealthDetail, CustomerStatus, DeploymentCallback, DeploymentState,
    IssueReport, IssueSeverity, MetricsReport, ReleaseMode, ReleaseRunStatus, ReleaseStatus, ReleaseTimeline,
    ReleaseWave, ReportIssue,
};
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use domain::{
    ids::{CiId, RunId},
    release::{
        DeploymentFact, Happening, ReleaseKind, ReleaseMetrics, ResolutionFact, Timeline, TimelineRow,
        Version, measure,
    },
    run::{Action, HostState, Progress, Stage},
};
use service_kit::{ApiError, ApiResult, Caller, audit, problem_types};
use sqlx::PgConnection;
use uuid::Uuid;

use super::releases::get_release_run;
use super::watch::{self, health};
use crate::{
    App, SERVICE,
    store::{customers, deployments, releases as store},
};
use patch_runs::app::records;

const RUNS_SHOWN: i64 = 10;
const SAMPLES_SHOWN: i64 = 60;
const LOG_LINES: i64 = 10_000;

pub(crate) async fn get_status(app: &App, version: Version) -> ApiResult<ReleaseStatus> {
    let mut conn = app.pool.acquire().await?;
    let release = store::get_release(&mut conn, version).await?;
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
    let log_tail = records::list_log_tail(&mut *conn, id, 20).await?;
    let waiting = match &machine.pending {
        Some(pending) if !row.state.is_final() => match &pending.action {
            Action::Admit { .. } if pending.not_before > app.clock.now() => {
                let line = log_tail.iter().rev().find_map(|line| line.text.strip_prefix("waiting: "));
                Some((
                    line.map_or_else(|| "a tier may not start yet".to_owned(), str::to_owned),
                    Some(pending.not_before),
                ))
            }
            Action::Soak { until } => Some(("the wave is watched before the next".to_owned(), Some(*until))),
            Action::CheckChange { change_id } => {
                Some((format!("change {change_id} waits for its approval"), machine.deadline))
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
        log_tail,
    })
}

/// Each customer as the latest run that speaks of it sees it.
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
    let all = customers::list_customers(&mut *conn, None, None, super::customers::MOST).await?;
    let slugs: Vec<String> = all.iter().map(|stored| stored.customer.slug.to_string()).collect();
    let watches = deployments::list_watches(&mut *conn, &slugs).await?;
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
            watch: watch.map(deployments::Watch::shown),
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

/// What happened to a release, from its records: the latest rollout, with what was taken back later.
pub(crate) async fn get_timeline(app: &App, version: Version) -> ApiResult<ReleaseTimeline> {
    let mut conn = app.pool.acquire().await?;
    let release = store::get_release(&mut conn, version).await?;
    let ids = store::list_release_runs(&mut conn, version, 1000).await?;
    let rollout = ids.iter().find(|(_, mode)| matches!(mode, ReleaseMode::Deploy | ReleaseMode::Emergency));
    let Some((id, _)) = rollout else {
        return Err(ApiError::new(
            problem_types::NOT_ROLLED_OUT,
            format!("{version} was not rolled out yet; its plan tells when what would happen"),
        ));
    };
    let row = records::get_run(&mut conn, *id).await?;
    let plan = records::find_plan(&mut conn, *id).await?;
    let began_at = row.started_at.unwrap_or(row.created_at);
    let waves: Vec<(String, Vec<CiId>)> = plan
        .iter()
        .flat_map(|plan| &plan.waves)
        .map(|wave| (wave.name.clone(), wave.hosts.clone()))
        .collect();
    let wave_of = |customer: &CiId| {
        waves
            .iter()
            .find(|(_, hosts)| hosts.contains(customer))
            .map(|(name, _)| name.clone())
            .unwrap_or_default()
    };
    let mut rows = Vec::new();
    for check in store::list_checks(&mut conn, *id).await? {
        let wave =
            usize::try_from(check.wave).ok().and_then(|wave| waves.get(wave)).map(|(name, _)| name.clone());
        let row = |at, what, text| TimelineRow {
            at,
            wave: wave.clone().unwrap_or_default(),
            customer: None,
            what,
            text,
        };
        rows.push(row(check.started_at, Happening::CheckBegan, check.name.clone()));
        if let Some(ended_at) = check.ended_at {
            let what = if check.result == "passed" { Happening::CheckPassed } else { Happening::Failed };
            rows.push(row(ended_at, what, format!("{} {}", check.name, check.result)));
        }
    }
    for deployment in deployments::list_deployments(&mut conn, None, Some(version), None, 10_000).await? {
        rows.append(&mut deployment_rows(&deployment, &wave_of(&deployment.customer)));
    }
    for line in records::list_log(&mut conn, *id, 0, LOG_LINES).await? {
        let text = line.text.strip_prefix("waiting: ").map(str::to_owned);
        match (text, &line.ci_id) {
            (Some(text), _) => {
                let wave = waves
                    .iter()
                    .find(|(name, _)| text.contains(&format!("`{name}`")))
                    .map(|(name, _)| name.clone());
                rows.push(TimelineRow {
                    at: line.at,
                    wave: wave.unwrap_or_default(),
                    customer: None,
                    what: Happening::Waiting,
                    text,
                });
            }
            (None, Some(customer))
                if line.text.starts_with("is not well") || line.text.starts_with("is taken back") =>
            {
                let wave = wave_of(customer);
                rows.push(TimelineRow {
                    at: line.at,
                    wave,
                    customer: Some(customer.clone()),
                    what: Happening::Unhealthy,
                    text: line.text,
                });
            }
            (None, Some(customer)) if line.text.starts_with("left out") => {
                let wave = wave_of(customer);
                rows.push(TimelineRow {
                    at: line.at,
                    wave,
                    customer: Some(customer.clone()),
                    what: Happening::LeftOut,
                    text: line.text,
                });
            }
            _ => {}
        }
    }
    let ended_at = row.ended_at.unwrap_or_else(|| app.clock.now());
    if let Some(at) = row.ended_at {
        let reason = row.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        let text = format!("{}{reason}", row.state.name());
        rows.push(TimelineRow { at, wave: String::new(), customer: None, what: Happening::Ended, text });
    }
    rows.sort_by_key(|row| row.at);
    Ok(ReleaseTimeline {
        version,
        kind: release.kind,
        is_forecast: false,
        state: row.state,
        timeline: Timeline { began_at, ended_at, outcome: row.state, reason: row.reason, rows },
        waves,
    })
}

fn deployment_rows(deployment: &CustomerDeployment, wave: &str) -> Vec<TimelineRow> {
    use domain::release::Direction;
    let row = |at, what, text: String| TimelineRow {
        at,
        wave: wave.to_owned(),
        customer: Some(deployment.customer.clone()),
        what,
        text,
    };
    let mut rows = Vec::new();
    if deployment.direction == Direction::Forward {
        rows.push(row(deployment.requested_at, Happening::Begun, "deployment begins".to_owned()));
    }
    let Some(ended_at) = deployment.ended_at else { return rows };
    let detail = deployment.detail.clone().unwrap_or_default();
    rows.push(match (deployment.state, deployment.direction) {
        (DeploymentState::Succeeded, Direction::Forward) => {
            row(ended_at, Happening::Deployed, format!("runs {}", deployment.to_version))
        }
        (DeploymentState::Succeeded, Direction::RollBack) => {
            row(ended_at, Happening::RolledBack, format!("back at {}", deployment.to_version))
        }
        _ => row(ended_at, Happening::Failed, detail),
    });
    rows
}

pub(crate) async fn get_health(app: &App, slug: &CiId) -> ApiResult<CustomerHealthDetail> {
    let mut conn = app.pool.acquire().await?;
    let customer = customers::get_customer(&mut conn, slug).await?.customer;
    let watch = deployments::find_watch(&mut conn, slug).await?;
    let samples = deployments::list_samples(&mut conn, slug, SAMPLES_SHOWN).await?;
    let reports = store::list_reports(&mut conn, slug, 20).await?;
    drop(conn);
    let now = health::look(app, slug, &customer.health).await;
    Ok(CustomerHealthDetail {
        customer: customer.slug,
        name: customer.name,
        tier: customer.tier,
        current_version: customer.current_version,
        now,
        watch: watch.map(|watch| watch.shown()),
        samples,
        reports,
    })
}

/// Takes a customer's report in; a critical one takes the version back that is watched there.
pub(crate) async fn report_issue(
    app: &App,
    caller: &Caller,
    slug: &CiId,
    request: &ReportIssue,
) -> ApiResult<IssueReport> {
    if !(3..=2000).contains(&request.summary.trim().chars().count()) {
        return Err(ApiError::invalid("/summary", "must have 3 to 2000 characters"));
    }
    let report = IssueReport {
        id: Uuid::now_v7(),
        severity: request.severity,
        summary: request.summary.clone(),
        reported_by: caller.subject.clone(),
        reported_at: app.clock.now(),
    };
    let mut transaction = app.pool.begin().await?;
    customers::get_customer(&mut transaction, slug).await?;
    store::insert_report(&mut transaction, slug, &report).await?;
    let record = audit::Record::new("report_issue", format!("customer/{slug}")).after(&report);
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    if report.severity == IssueSeverity::Critical {
        watch::report_critical(app, slug, &report.summary).await?;
    }
    Ok(report)
}

/// Takes in what a deployer says. Said twice, or after the end, it changes nothing.
pub(crate) async fn take_callback(
    app: &App,
    id: Uuid,
    callback: &DeploymentCallback,
) -> ApiResult<CustomerDeployment> {
    let says_an_end = !matches!(callback.state, DeploymentState::Requested | DeploymentState::Unknown);
    if !says_an_end {
        return Err(ApiError::invalid("/state", "must be `running`, `succeeded` or `failed`"));
    }
    if callback.progress_percent.is_some_and(|percent| !(0..=100).contains(&percent)) {
        return Err(ApiError::invalid("/progress_percent", "must be 0 to 100"));
    }
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let before = deployments::find_deployment(&mut transaction, id).await?;
    let before = before.ok_or_else(|| ApiError::not_found(format!("deployment `{id}`")))?;
    let taken = deployments::update_deployment(
        &mut transaction,
        id,
        callback.state,
        callback.progress_percent,
        callback.previous_version,
        callback.detail.as_deref(),
        now,
    )
    .await?;
    if !taken && before.state != callback.state {
        let reason = format!("deployment `{id}` has ended as {:?} already", before.state).to_lowercase();
        return Err(ApiError::new(problem_types::DEPLOYMENT_ENDED, reason));
    }
    let after = deployments::find_deployment(&mut transaction, id).await?.unwrap_or_else(|| before.clone());
    if taken {
        let deployer = Caller::internal(SERVICE, format!("deployer:{}", after.customer));
        let record = audit::Record::new("take_callback", format!("deployment/{id}"));
        audit::record(&mut transaction, &deployer, record.before(&before).after(&after)).await?;
    }
    transaction.commit().await?;
    Ok(after)
}

/// The success metrics of the deployments of the last year.
pub(crate) async fn get_metrics(app: &App, version: Option<Version>) -> ApiResult<MetricsReport> {
    let mut conn = app.pool.acquire().await?;
    if let Some(version) = version {
        store::get_release(&mut conn, version).await?;
    }
    let since = app.clock.now() - TimeDelta::days(366);
    let rows = deployments::list_metric_rows(&mut conn, since).await?;
    let rows: Vec<_> =
        rows.into_iter().filter(|row| version.is_none_or(|only| only == row.release)).collect();
    let grouped = |key: &dyn Fn(&deployments::MetricRow) -> String| {
        let mut groups: BTreeMap<String, Vec<&deployments::MetricRow>> = BTreeMap::new();
        for row in &rows {
            groups.entry(key(row)).or_default().push(row);
        }
        groups.into_iter().map(|(key, rows)| (key, measured(&rows))).collect::<BTreeMap<_, _>>()
    };
    Ok(MetricsReport {
        all: measured(&rows.iter().collect::<Vec<_>>()),
        by_release: grouped(&|row| row.release.to_string()),
        by_quarter: grouped(&|row| format!("{}-Q{}", row.ended_at.year(), row.ended_at.month0() / 3 + 1)),
        by_tier: grouped(&|row| row.tier.to_string()),
    })
}

fn measured(rows: &[&deployments::MetricRow]) -> ReleaseMetrics {
    let facts: Vec<DeploymentFact> = rows
        .iter()
        .map(|row| DeploymentFact {
            urgency: row.urgency,
            rollout_at: row.rollout_at,
            ended_at: row.ended_at,
            succeeded: row.state == DeploymentState::Succeeded,
            rolled_back: row.is_rolled_back,
            downtime_seconds: row.downtime_seconds,
        })
        .collect();
    // A problem is resolved when the last customer has what mends it.
    let mut last: BTreeMap<Version, (ReleaseKind, DateTime<Utc>, DateTime<Utc>)> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.state == DeploymentState::Succeeded && !row.is_rolled_back) {
        let entry = last.entry(row.release).or_insert((row.kind, row.identified_at, row.ended_at));
        entry.2 = entry.2.max(row.ended_at);
    }
    let resolutions: Vec<ResolutionFact> = last
        .into_values()
        .map(|(kind, identified_at, resolved_at)| ResolutionFact { kind, identified_at, resolved_at })
        .collect();
    measure(&facts, &resolutions)
}
