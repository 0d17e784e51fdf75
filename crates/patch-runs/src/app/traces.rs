//! A run event by event: one play of the plan that a run would have now, or what was recorded of a run that has ended.

mod recorded;

use std::collections::{BTreeMap, BTreeSet};

use api_types::patch::{
    RunTrace, ServiceUp, TraceEdge, TraceEvent, TraceEventKind, TraceFigures, TraceHost, TracePlan,
    TraceService, TraceSource, TraceWave,
};
use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, RunId},
    plan::{Plan, Subject},
    run::HostState,
};
use planner::{HostGraph, host_plan};
use service_kit::{ApiError, ApiResult, problem_types};
use simulator::{
    estimated, forecast,
    trace::{Course, Figures, Happening},
};

use super::{
    change_text::counted,
    host_graph::host_graph,
    plans::{self, Freshness},
    predictions, what_if,
};
use crate::{
    App,
    store::{host_steps, run_hosts, runs},
    upstream_error,
};
use domain::selector::Selector;

/// A page can show no more hosts at once, and the answer stays small.
const MAX_HOSTS: usize = 250;
/// Plays of a forecast.
const MAX_PLAY: u32 = 99_999;

/// Something that happens at a time, with its text for people.
struct Told {
    at_ms: u64,
    what: Happening,
    text: String,
}

/// One play of the plan that a run would have now. Nothing is stored.
pub(crate) async fn trace_plan(app: &App, request: &TracePlan) -> ApiResult<RunTrace> {
    if request.play > MAX_PLAY {
        return Err(ApiError::invalid("/play", format!("must be 0 to {MAX_PLAY}")));
    }
    if let Some(reason) = request.strategy.and_then(|strategy| strategy.refusal_for_hosts()) {
        return Err(ApiError::invalid("/strategy", reason));
    }
    let subject = what_if::Hosts {
        policy_id: request.policy_id.as_ref(),
        advisory: request.advisory.as_deref(),
        selector: request.selector.as_ref(),
    };
    let input =
        what_if::input_of(app, subject, "must have a `policy_id`, an `advisory` or a `selector`").await?;
    let mut gathered = plans::gather(app, &input, Freshness::AsKnown).await?.request;
    if gathered.targets.is_empty() {
        let reason = "no host would be patched, so there is nothing to play";
        return Err(ApiError::new(problem_types::NOTHING_TO_DO, reason));
    }
    if let Some(reason) = too_many(gathered.targets.len()) {
        return Err(ApiError::invalid("/selector", format!("must select fewer: these are {reason}")));
    }
    gathered.strategy = request.strategy.unwrap_or(gathered.strategy);
    let begins_at = app.clock.now();
    let mut conn = app.pool.acquire().await?;
    let (durations, _) = predictions::duration_model(app, &mut conn, &gathered.targets).await?;
    let schedule = plans::schedule(&mut conn, &input.policy, begins_at).await?;
    drop(conn);
    let (seed, play) = (request.seed, u64::from(request.play));
    let traced = tokio::task::spawn_blocking(move || {
        let request = estimated(&gathered, &durations);
        let plan = host_plan(&request);
        let played = forecast::trace(&plan, &request.graph, &durations, schedule.as_ref(), seed, play);
        let told = played.events.into_iter().map(|event| {
            let text = text_of(&plan, &event.what);
            Told { at_ms: event.at_ms, what: event.what, text }
        });
        trace(TraceSource::Simulated, begins_at, &plan, &request.graph, told.collect())
    });
    traced.await.map_err(ApiError::internal)
}

/// What was recorded of a run of hosts that has ended.
pub(crate) async fn get_run_trace(app: &App, id: RunId) -> ApiResult<RunTrace> {
    let mut conn = app.pool.acquire().await?;
    let row = runs::get_run(&mut conn, id).await?;
    if !row.state.is_final() {
        let reason = format!("the run is `{}`; only a run that has ended can be replayed", row.state.name());
        return Err(ApiError::new(problem_types::RUN_STATE, reason));
    }
    let plan = runs::find_plan(&mut conn, id).await?.filter(|plan| plan.subject() == Subject::Host);
    let (Some(plan), Some(started_at)) = (plan, row.started_at) else {
        let reason = "the run worked on no host; there is nothing to replay";
        return Err(ApiError::new(problem_types::RUN_STATE, reason));
    };
    if let Some(reason) = too_many(plan.targets.len()) {
        return Err(ApiError::new(problem_types::RUN_STATE, format!("the run has {reason}")));
    }
    let hosts = run_hosts::list_host_statuses(&mut conn, id).await?;
    let steps = host_steps::list_steps_in_time(&mut conn, id).await?;
    drop(conn);
    let selector = Selector { ids: plan.targets.keys().cloned().collect(), ..Selector::default() };
    let graph = app.cmdb.get_graph(&selector).await.map_err(upstream_error)?;
    let graph = host_graph(&graph, &BTreeMap::new(), &BTreeMap::new());
    let told = recorded::told(&row, &plan, started_at, &hosts, steps);
    Ok(trace(TraceSource::Recorded, started_at, &plan, &graph, told))
}

fn too_many(hosts: usize) -> Option<String> {
    let text = format!("{hosts} hosts, and a replay shows at most {MAX_HOSTS}");
    (hosts > MAX_HOSTS).then_some(text)
}

fn trace(
    source: TraceSource,
    begins_at: DateTime<Utc>,
    plan: &Plan,
    graph: &HostGraph,
    told: Vec<Told>,
) -> RunTrace {
    let mut course = Course::new(plan, graph);
    let services = services(plan, &course);
    let seconds = told.last().map_or(0.0, |last| seconds(last.at_ms));
    let events = told.into_iter().map(|told| event(&mut course, told)).collect();
    let waves = plan.waves.iter().map(|wave| TraceWave {
        name: wave.name.clone(),
        kind: wave.kind,
        hosts: count(wave.hosts.len()),
    });
    RunTrace {
        source,
        strategy: plan.strategy,
        begins_at,
        seconds,
        waves: waves.collect(),
        hosts: hosts(plan),
        services,
        edges: edges(plan, graph),
        events,
    }
}

fn event(course: &mut Course<'_>, told: Told) -> TraceEvent {
    let mut event = TraceEvent {
        at_seconds: seconds(told.at_ms),
        kind: kind_of(&told.what),
        text: told.text,
        host: None,
        state: None,
        wave: None,
        services: Vec::new(),
        figures: TraceFigures::default(),
    };
    match told.what {
        Happening::Host { host, state } => {
            let changed = course.apply(&host, state);
            event.services = changed.into_iter().map(|(id, up)| ServiceUp { id, up }).collect();
            event.state = Some(state);
            event.host = Some(host);
        }
        Happening::WaveBegins(wave) => event.wave = Some(count(wave)),
        _ => {}
    }
    event.figures = wire_figures(course.figures());
    event
}

fn kind_of(what: &Happening) -> TraceEventKind {
    match what {
        Happening::WaveBegins(_) => TraceEventKind::WaveBegins,
        Happening::Snapshots(_) => TraceEventKind::Snapshots,
        Happening::Tests => TraceEventKind::Tests,
        Happening::Soaks { .. } => TraceEventKind::Soaks,
        Happening::Waits { .. } => TraceEventKind::Waits,
        Happening::Verifies => TraceEventKind::Verifies,
        Happening::Host { .. } => TraceEventKind::Host,
        Happening::Ends { .. } => TraceEventKind::Ends,
    }
}

fn text_of(plan: &Plan, what: &Happening) -> String {
    match what {
        Happening::WaveBegins(wave) => wave_text(plan, *wave),
        Happening::Snapshots(hosts) => format!("snapshots of {}", counted(*hosts, "host")),
        Happening::Tests => "tests of the wave".to_owned(),
        Happening::Soaks { seconds } => format!("soaks for {seconds} s"),
        Happening::Waits { .. } => "waits for the next opening".to_owned(),
        Happening::Verifies => "scans and checks the health of the hosts".to_owned(),
        Happening::Host { host, state } => format!("{host}: {}", state_text(*state)),
        Happening::Ends { halted: true } => "the run halts".to_owned(),
        Happening::Ends { halted: false } => "the run ends".to_owned(),
    }
}

fn wave_text(plan: &Plan, wave: usize) -> String {
    plan.waves.get(wave).map_or_else(String::new, |wave| format!("wave {} begins", wave.name))
}

fn state_text(state: HostState) -> String {
    state.name().replace('_', " ")
}

fn hosts(plan: &Plan) -> Vec<TraceHost> {
    let mut services: BTreeMap<&CiId, Vec<CiId>> = BTreeMap::new();
    for (service, budget) in &plan.services {
        for member in &budget.members {
            services.entry(member).or_default().push(service.clone());
        }
    }
    let of_wave = |(wave, host): (usize, &CiId)| TraceHost {
        id: host.clone(),
        wave: count(wave),
        services: services.get(host).cloned().unwrap_or_default(),
    };
    let waves = plan.waves.iter().enumerate();
    waves.flat_map(|(index, wave)| wave.hosts.iter().map(move |host| (index, host))).map(of_wave).collect()
}

fn services(plan: &Plan, course: &Course<'_>) -> Vec<TraceService> {
    let service = |(id, budget): (&CiId, &domain::plan::ServiceBudget)| TraceService {
        id: id.clone(),
        members: count(budget.members.len()),
        min_up: budget.min_up,
        up: course.members_up().get(id).copied().unwrap_or_default(),
    };
    plan.services.iter().map(service).collect()
}

/// Between hosts of the plan, each once.
fn edges(plan: &Plan, graph: &HostGraph) -> Vec<TraceEdge> {
    let known = |host: &CiId| plan.targets.contains_key(host);
    let edges = graph.edges.iter().filter(|edge| known(&edge.source) && known(&edge.target));
    let distinct: BTreeSet<(&CiId, &CiId)> = edges.map(|edge| (&edge.source, &edge.target)).collect();
    distinct
        .into_iter()
        .map(|(source, target)| TraceEdge { source: source.clone(), target: target.clone() })
        .collect()
}

fn wire_figures(figures: Figures) -> TraceFigures {
    let Figures { pending, working, succeeded, failed, left_out, down, services_below } = figures;
    TraceFigures { pending, working, succeeded, failed, left_out, down, services_below }
}

fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
