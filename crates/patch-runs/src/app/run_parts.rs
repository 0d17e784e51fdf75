//! The parts of a run that clients read apart from it: its plan, its waves and its hosts.

use api_types::{
    page::Page,
    patch::{HostStatus, WaveState, WaveStatus},
};
use domain::{
    ids::RunId,
    plan::Plan,
    run::{Progress, Run, Stage},
};
use service_kit::{
    ApiError, ApiResult,
    page::{PageRequest, page},
    problem_types,
};
use sqlx::PgConnection;

use crate::{
    App,
    store::{
        host_steps,
        run_hosts::{self, HostKey, WaveRow},
        runs,
    },
};

pub(crate) use crate::store::run_hosts::HostFilter;

pub(crate) async fn get_run_plan(app: &App, id: RunId) -> ApiResult<Plan> {
    let mut conn = app.pool.acquire().await?;
    if let Some(plan) = runs::find_plan(&mut conn, id).await? {
        return Ok(plan);
    }
    let state = runs::get_run(&mut conn, id).await?.state;
    let why = if state.is_final() { "ended before it was planned" } else { "is not planned yet" };
    Err(ApiError::new(problem_types::NOT_FOUND, format!("run `{id}` {why}; it is {}", state.name())))
}

pub(crate) async fn list_run_waves(
    app: &App,
    id: RunId,
    request: &PageRequest,
) -> ApiResult<Page<WaveStatus>> {
    let (limit, after) = (request.limit()?, request.after::<u32>()?);
    let mut conn = app.pool.acquire().await?;
    let machine = runs::get_run(&mut conn, id).await?.machine;
    let waves = list_waves(&mut conn, id, &machine, after, limit + 1).await?;
    Ok(page(waves, limit, |wave| wave.index))
}

/// The waves of a run after the wave `after`, as far as they are planned.
pub(crate) async fn list_waves(
    conn: &mut PgConnection,
    id: RunId,
    machine: &Run,
    after: Option<u32>,
    limit: i64,
) -> ApiResult<Vec<WaveStatus>> {
    let waves = run_hosts::list_waves(conn, id, after, limit).await?;
    let (Some(first), Some(last)) = (waves.first(), waves.last()) else { return Ok(Vec::new()) };
    let mut counts = run_hosts::count_wave_hosts(conn, id, first.index, last.index).await?;
    let status = |WaveRow { index, name, kind }| {
        let hosts = counts.remove(&index).unwrap_or_default();
        let is_current =
            machine.wave == index as usize && matches!(machine.progress, Progress::At(Stage::Executing));
        let state = match (is_current, hosts.pending + hosts.working == 0) {
            (true, _) => WaveState::Running,
            (false, true) => WaveState::Done,
            (false, false) => WaveState::Pending,
        };
        WaveStatus { index, name, kind, state, hosts }
    };
    Ok(waves.into_iter().map(status).collect())
}

pub(crate) async fn list_run_hosts(
    app: &App,
    id: RunId,
    filter: HostFilter,
    request: &PageRequest,
) -> ApiResult<Page<HostStatus>> {
    let (limit, after) = (request.limit()?, request.after::<HostKey>()?);
    let mut conn = app.pool.acquire().await?;
    runs::has_ended(&mut conn, id).await?;
    let hosts = run_hosts::list_hosts(&mut conn, id, filter, after.as_ref(), limit + 1).await?;
    let mut page = page(hosts, limit, |host| (host.wave, host.ci_id.clone()));
    let ids: Vec<String> = page.items.iter().map(|host| host.ci_id.to_string()).collect();
    let mut steps = host_steps::list_host_steps(&mut conn, id, &ids).await?;
    for host in &mut page.items {
        host.steps = steps.remove(&host.ci_id).unwrap_or_default();
    }
    Ok(page)
}
