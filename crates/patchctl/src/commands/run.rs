use api_client::patch::PatchClient;
use api_types::patch::{Forecast, HostStatus, HostStep, RunDetail, RunSummary, StartRun, Steer};
use domain::ids::{CiId, RunId};
use domain::plan::Plan;
use domain::workflow::WorkflowStep;
use serde::Serialize;

use super::{filter, run_diff, run_logs, system_patch, trace};
use crate::arguments::{OrderArguments, ReportFormat, RunCommand, StartArguments};
use crate::connect::Connection;
use crate::watch;
use terminal::{Columns, Printer, clean, note, print};
use terminal::{CommandResult, Failure, OK};

const RUNS: Columns = "id state policy=policy_id advisory trigger hosts=hosts/total ok=hosts/succeeded \
                       failed=hosts/failed change=change_id by=requested_by created=created_at +strategy +started=started_at +ended=ended_at +reason";
const WAVES: Columns = "wave=index name kind state hosts=hosts/total ok=hosts/succeeded failed=hosts/failed";
const HOSTS: Columns = "host=ci_id wave state step attempts rebooted restart=pending_restarts error";
const STEPS: Columns = "host=ci_id step state tries duration_(s)=seconds detail";

/// A host with its latest step.
#[derive(Serialize)]
struct ShownHost<'a> {
    #[serde(flatten)]
    host: &'a HostStatus,
    step: Option<WorkflowStep>,
    /// Services that wait for a restart.
    pending_restarts: Vec<&'a str>,
}

#[derive(Serialize)]
struct ShownStep<'a> {
    ci_id: &'a CiId,
    #[serde(flatten)]
    step: &'a HostStep,
    seconds: Option<f64>,
}

pub async fn run(connection: &Connection, command: RunCommand, printer: Printer) -> CommandResult {
    let client = connection.patch();
    match command {
        RunCommand::List { policy, state, most } => {
            let filter = filter([("policy_id", policy.map(|id| id.to_string())), ("state", state)]);
            printer.list(&client.list_runs(&filter, most.limit).await?, RUNS)
        }
        RunCommand::Show { id } => show(&client, connection.run_id(id).await?, printer).await,
        RunCommand::Plan { id } => printer.json(&client.get_run_plan(connection.run_id(id).await?).await?),
        RunCommand::Waves { id, most } => {
            let id = connection.run_id(id).await?;
            printer.list(&client.list_run_waves(id, most.limit).await?, WAVES)
        }
        RunCommand::Hosts { id, state, wave, most } => {
            let id = connection.run_id(id).await?;
            let filter = filter([("state", state), ("wave", wave.map(|wave| wave.to_string()))]);
            let hosts = client.list_run_hosts(id, &filter, most.limit).await?;
            printer.list(&shown(&hosts), HOSTS)
        }
        RunCommand::Steps { id, host, most } => {
            let id = connection.run_id(id).await?;
            let hosts = client.list_run_hosts(id, &[], usize::MAX).await?;
            steps(&hosts, host.as_ref(), most.limit, printer)
        }
        RunCommand::Diff { id } => {
            run_diff::show(&client.get_run_diff(connection.run_id(id).await?).await?, printer)
        }
        RunCommand::Trace { id } => {
            trace::show(&client.get_run_trace(connection.run_id(id).await?).await?, printer)
        }
        RunCommand::Start(arguments) => start(&client, arguments, printer).await,
        RunCommand::Watch { id } => {
            let is_named = id.is_some();
            let id = connection.open_run(id).await?;
            if !is_named {
                note(&format!("run {id}"));
            }
            watch::run(&client, id, printer).await
        }
        RunCommand::Cancel(order) => {
            let (id, steer) = ordered(connection, order).await?;
            printer.item(&client.cancel_run(id, &steer).await?)
        }
        RunCommand::Pause(order) => {
            let (id, steer) = ordered(connection, order).await?;
            printer.item(&client.pause_run(id, &steer).await?)
        }
        RunCommand::Resume(order) => {
            let (id, steer) = ordered(connection, order).await?;
            printer.item(&client.resume_run(id, &steer).await?)
        }
        RunCommand::Skip { id, host, reason } => {
            let id = connection.run_id(id).await?;
            printer.item(&client.skip_host(id, &host, &Steer { reason }).await?)
        }
        RunCommand::RetryFailed(order) => {
            let (id, steer) = ordered(connection, order).await?;
            printer.item(&client.retry_failed(id, &steer).await?)
        }
        RunCommand::Rollback(order) => {
            let (id, steer) = ordered(connection, order).await?;
            printer.item(&client.rollback_run(id, &steer).await?)
        }
        RunCommand::Logs { id, host, follow, format } => {
            let id = connection.run_id(id).await?;
            run_logs::run(&client, id, host.as_ref(), follow, format).await
        }
        RunCommand::Report { id, format } => {
            report(&client, connection.run_id(id).await?, format, printer).await
        }
        RunCommand::Events { id, after } => {
            watch::events(&client, connection.run_id(id).await?, &after).await
        }
    }
}

/// The run of an order, and the order.
async fn ordered(connection: &Connection, order: OrderArguments) -> Result<(RunId, Steer), Failure> {
    Ok((connection.run_id(order.id).await?, Steer { reason: order.reason }))
}

async fn start(client: &PatchClient, arguments: StartArguments, printer: Printer) -> CommandResult {
    let StartArguments { policy, input, advisory, selection, options, watch } = arguments;
    let request = StartRun {
        policy_id: policy,
        advisory,
        selector: selection.selector(),
        strategy: options.strategy,
        change_id: options.change,
        dry_run: options.dry_run,
        emergency: options.emergency,
        input: input.as_deref().map(system_patch::read).transpose()?,
    };
    let has_source = request.policy_id.is_some() || request.advisory.is_some() || request.input.is_some();
    if !has_source && request.selector.is_none() {
        return Err(Failure::usage(
            "select what to run: --policy, --advisory, --input, --tag, --ci or --all",
        ));
    }
    show_started(client, &client.start_run(&request).await?, watch, printer).await
}

/// Prints a new run, or follows it until its end.
pub async fn show_started(
    client: &PatchClient,
    run: &RunSummary,
    watch: bool,
    printer: Printer,
) -> CommandResult {
    if !watch {
        return printer.item(run);
    }
    note(&format!("run {}", run.id));
    watch::run(client, run.id, printer).await
}

/// Log lines shown with a run.
const LOG_TAIL: u32 = 50;

/// A run as JSON shows it: with its plan, once it is planned.
#[derive(Serialize)]
struct RunWithPlan {
    #[serde(flatten)]
    run: RunDetail,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Plan>,
}

/// Prints a run with its parts for people. Programs get the run, as JSON with its plan; the other parts have commands of
/// their own.
async fn show(client: &PatchClient, id: RunId, printer: Printer) -> CommandResult {
    let run = client.get_run(id).await?;
    if printer.is_document() {
        let is_planned = run.summary.plan_hash.is_some();
        let plan = if is_planned { Some(client.get_run_plan(id).await?) } else { None };
        return printer.item(&RunWithPlan { run, plan });
    }
    if !printer.is_for_people() {
        return printer.item(&run);
    }
    printer.item(&run.summary)?;
    printer.section(&client.list_run_waves(id, usize::MAX).await?, WAVES)?;
    let hosts = client.list_run_hosts(id, &[], usize::MAX).await?;
    printer.section(&shown(&hosts), HOSTS)?;
    if let Some(prediction) = &run.prediction {
        print(&predicted(prediction))?;
    }
    if run.tests.before + run.tests.after > 0 {
        let tests = &run.tests;
        print(&format!(
            "\ntests: {} of {} passed before, {} of {} after, {} regressions",
            tests.before_passed, tests.before, tests.after_passed, tests.after, tests.regressions
        ))?;
    }
    let lines = client.get_run_log_tail(id, LOG_TAIL).await?;
    if !lines.is_empty() {
        print("\n")?;
    }
    lines.iter().try_for_each(|line| print(&clean(&line.text)))?;
    OK
}

fn shown(hosts: &[HostStatus]) -> Vec<ShownHost<'_>> {
    hosts
        .iter()
        .map(|host| ShownHost {
            host,
            step: host.steps.last().map(|step| step.step),
            pending_restarts: host
                .pending_restart
                .services()
                .iter()
                .map(|service| service.name.as_str())
                .collect(),
        })
        .collect()
}

/// The prediction in one line, under the units of the table of `simulate`.
fn predicted(prediction: &Forecast) -> String {
    let exposure = match (prediction.exposure_p50, prediction.exposure_p95) {
        (Some(p50), Some(p95)) => {
            format!(", exposure P50 {:.1} and P95 {:.1} weighted h", p50 / 3600.0, p95 / 3600.0)
        }
        _ => String::new(),
    };
    format!(
        "\nprediction: done in {:.1} min at P50 and {:.1} min at P95, halts in {:.1} % of runs, {:.2} failed hosts on average, \
         at most {} hosts down at once, {:.0} s of service below min_up{exposure}",
        prediction.duration_p50_seconds / 60.0,
        prediction.duration_p95_seconds / 60.0,
        prediction.halt_probability * 100.0,
        prediction.expected_failed_hosts,
        prediction.max_hosts_down,
        prediction.expected_service_down_seconds,
    )
}

fn steps(hosts: &[HostStatus], host: Option<&CiId>, limit: usize, printer: Printer) -> CommandResult {
    let chosen = hosts.iter().filter(|status| host.is_none_or(|host| *host == status.ci_id));
    let seconds = |step: &HostStep| {
        step.ended_at.map(|ended| (ended - step.started_at).num_milliseconds() as f64 / 1000.0)
    };
    let rows: Vec<_> = chosen
        .flat_map(|status| status.steps.iter().map(|step| (&status.ci_id, step)))
        .map(|(ci_id, step)| ShownStep { ci_id, step, seconds: seconds(step) })
        .take(limit)
        .collect();
    printer.list(&rows, STEPS)
}

async fn report(client: &PatchClient, id: RunId, format: ReportFormat, printer: Printer) -> CommandResult {
    let format = match format {
        // `-o json` means the same as `--format json`.
        ReportFormat::Markdown if !printer.is_document() => "markdown",
        ReportFormat::Csv => "csv",
        _ => return printer.json(&client.get_run_report(id).await?),
    };
    print(&client.get_run_report_as(id, format).await?)?;
    OK
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn prediction_has_units_and_leaves_out_what_was_not_known_when_it_was_made() {
        let mut stored = json!({ "strategy": "rolling", "waves": 3, "duration_p50_seconds": 90.0,
            "duration_p95_seconds": 120.0, "expected_failed_hosts": 0.5, "halt_probability": 0.02, "max_hosts_down": 6,
            "expected_service_down_seconds": 0.0, "exposure": 9000.0, "simulations": 1000 });
        let before = predicted(&serde_json::from_value(stored.clone()).unwrap());
        assert!(
            before.contains("done in 1.5 min at P50 and 2.0 min at P95, halts in 2.0 % of runs"),
            "{before}"
        );
        assert!(!before.contains("exposure"), "{before}");
        stored["exposure_p50"] = json!(3600.0);
        stored["exposure_p95"] = json!(7200.0);
        let now = predicted(&serde_json::from_value(stored).unwrap());
        assert!(now.ends_with("exposure P50 1.0 and P95 2.0 weighted h"), "{now}");
    }
}
