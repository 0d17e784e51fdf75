//! What happened to a release, from the records of its runs.

use api_types::patch::{CustomerDeployment, DeploymentState, ReleaseMode, ReleaseTimeline};
use chrono::{DateTime, Utc};
use domain::{
    ids::CiId,
    plan::Wave,
    release::{Direction, Happening, Timeline, TimelineRow, Version},
};
use patch_runs::app::records;
use service_kit::{ApiError, ApiResult, problem_types};

use super::customer_events::CustomerEvent;
use crate::{
    App,
    store::{deployments, releases as store},
};

/// Rows of each kind of record.
const MAX_ROWS: i64 = 10_000;

/// The latest rollout, with what was rolled back later.
pub(crate) async fn get_release_timeline(app: &App, version: Version) -> ApiResult<ReleaseTimeline> {
    let mut conn = app.pool.acquire().await?;
    let release = store::get_release(&mut conn, version).await?;
    let ids = store::list_release_runs(&mut conn, version, 1000).await?;
    let rollout = ids.iter().find(|(_, mode)| matches!(mode, ReleaseMode::Deploy | ReleaseMode::Emergency));
    let Some((id, _)) = rollout else {
        return Err(ApiError::new(
            problem_types::NOT_ROLLED_OUT,
            format!("{version} was not rolled out yet; its plan has a forecast"),
        ));
    };
    let run = records::get_run(&mut conn, *id).await?;
    let waves = records::find_plan(&mut conn, *id).await?.map(|plan| plan.waves).unwrap_or_default();
    let mut rows = Vec::new();
    for check in store::list_checks(&mut conn, *id).await? {
        let row = |at, what, text| row(at, name_of(&waves, check.wave), None, what, text);
        rows.push(row(check.started_at, Happening::CheckBegan, check.name.clone()));
        if let Some(ended_at) = check.ended_at {
            let what = if check.result == "passed" { Happening::CheckPassed } else { Happening::Failed };
            rows.push(row(ended_at, what, format!("{} {}", check.name, check.result)));
        }
    }
    for deployment in deployments::list_deployments(&mut conn, None, Some(version), None, MAX_ROWS).await? {
        let wave = wave_of(&waves, &deployment.customer);
        rows.extend(deployment_rows(&deployment, &wave));
    }
    for wait in records::list_waits(&mut conn, *id, MAX_ROWS).await? {
        let wave = wait.wave.map(|wave| name_of(&waves, wave)).unwrap_or_default();
        rows.push(row(wait.at, wave, None, Happening::Waiting, wait.reason));
    }
    let types = CustomerEvent::ALL.map(|event| event.event_type().to_owned());
    for (at, event_type, customer, reason) in
        records::list_subject_events(&mut conn, *id, &types, MAX_ROWS).await?
    {
        let Some(event) = CustomerEvent::ALL.into_iter().find(|event| event.event_type() == event_type)
        else {
            continue;
        };
        let wave = wave_of(&waves, &customer);
        rows.push(row(at, wave, Some(customer), event.happening(), event.text(&reason)));
    }
    if let Some(at) = run.ended_at {
        let reason = run.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        let text = format!("{}{reason}", run.state.name());
        rows.push(row(at, String::new(), None, Happening::Ended, text));
    }
    rows.sort_by_key(|row| row.at);
    let timeline = Timeline {
        began_at: run.started_at.unwrap_or(run.created_at),
        ended_at: run.ended_at.unwrap_or_else(|| app.clock.now()),
        outcome: run.state,
        reason: run.reason,
        rows,
    };
    Ok(ReleaseTimeline {
        version,
        kind: release.kind,
        is_forecast: false,
        state: run.state,
        timeline,
        waves: waves.into_iter().map(|wave| (wave.name, wave.hosts)).collect(),
    })
}

fn row(
    at: DateTime<Utc>,
    wave: String,
    customer: Option<CiId>,
    what: Happening,
    text: String,
) -> TimelineRow {
    TimelineRow { at, wave, customer, what, text }
}

fn name_of(waves: &[Wave], index: i32) -> String {
    let wave = usize::try_from(index).ok().and_then(|index| waves.get(index));
    wave.map(|wave| wave.name.clone()).unwrap_or_default()
}

fn wave_of(waves: &[Wave], customer: &CiId) -> String {
    let wave = waves.iter().find(|wave| wave.hosts.contains(customer));
    wave.map(|wave| wave.name.clone()).unwrap_or_default()
}

fn deployment_rows(deployment: &CustomerDeployment, wave: &str) -> Vec<TimelineRow> {
    let row = |at, what, text| row(at, wave.to_owned(), Some(deployment.customer.clone()), what, text);
    let mut rows = Vec::new();
    if deployment.direction == Direction::Forward {
        rows.push(row(deployment.requested_at, Happening::Started, "deployment begins".to_owned()));
    }
    let Some(ended_at) = deployment.ended_at else { return rows };
    let to = deployment.to_version;
    rows.push(match (deployment.state, deployment.direction) {
        (DeploymentState::Succeeded, Direction::Forward) => {
            row(ended_at, Happening::Deployed, format!("runs {to}"))
        }
        (DeploymentState::Succeeded, Direction::RollBack) => {
            row(ended_at, Happening::RolledBack, format!("rolled back to {to}"))
        }
        _ => row(ended_at, Happening::Failed, deployment.detail.clone().unwrap_or_default()),
    });
    rows
}
