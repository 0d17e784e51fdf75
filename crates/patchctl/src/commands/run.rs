use api_client::patch::PatchClient;
use api_types::patch::{HostStatus, HostStep, RunDetail, StartRun, Steer};
use domain::ids::{CiId, RunId};
use domain::workflow::WorkflowStep;
use serde::Serialize;

use super::{OK, filter, system_patch};
use crate::arguments::{LogFormat, ReportFormat, RunCommand, StartArguments};
use crate::connect::Connection;
use crate::failure::{Failure, Outcome};
use crate::output::{Column, Printer, clean, note, print};
use crate::watch;

const RUNS: &[Column] = &[
    ("id", "/id"),
    ("state", "/state"),
    ("policy", "/policy_id"),
    ("advisory", "/advisory"),
    ("trigger", "/trigger"),
    ("hosts", "/hosts/total"),
    ("ok", "/hosts/succeeded"),
    ("failed", "/hosts/failed"),
    ("change", "/change_id"),
    ("by", "/requested_by"),
    ("created", "/created_at"),
];

const WAVES: &[Column] = &[
    ("wave", "/index"),
    ("name", "/name"),
    ("kind", "/kind"),
    ("state", "/state"),
    ("hosts", "/hosts/total"),
    ("ok", "/hosts/succeeded"),
    ("failed", "/hosts/failed"),
];

const HOSTS: &[Column] = &[
    ("host", "/ci_id"),
    ("wave", "/wave"),
    ("state", "/state"),
    ("step", "/step"),
    ("attempts", "/attempts"),
    ("rebooted", "/rebooted"),
    ("error", "/error"),
];

const STEPS: &[Column] = &[
    ("host", "/ci_id"),
    ("step", "/step"),
    ("state", "/state"),
    ("tries", "/tries"),
    ("seconds", "/seconds"),
    ("detail", "/detail"),
];

/// A host with the step it is at, or came to last.
#[derive(Serialize)]
struct ShownHost<'a> {
    #[serde(flatten)]
    host: &'a HostStatus,
    step: Option<WorkflowStep>,
}

#[derive(Serialize)]
struct ShownStep<'a> {
    ci_id: &'a CiId,
    #[serde(flatten)]
    step: &'a HostStep,
    seconds: Option<f64>,
}

pub async fn run(connection: &Connection, command: RunCommand, printer: Printer) -> Outcome {
    let client = connection.patch();
    match command {
        RunCommand::List { policy, state, most } => {
            let filter = filter([("policy_id", policy.map(|id| id.to_string())), ("state", state)]);
            printer.list(&client.list_runs(&filter, most.limit).await?, RUNS)?;
        }
        RunCommand::Show { id } => show(&client.get_run(id).await?, printer)?,
        RunCommand::Steps { id, host } => steps(&client.get_run(id).await?, host.as_ref(), printer)?,
        RunCommand::Start(arguments) => return start(&client, arguments, printer).await,
        RunCommand::Watch { id } => return watch::run(&client, id, printer).await,
        RunCommand::Cancel { id, reason } => {
            printer.item(&client.cancel_run(id, &Steer { reason }).await?)?
        }
        RunCommand::Pause { id, reason } => printer.item(&client.pause_run(id, &Steer { reason }).await?)?,
        RunCommand::Resume { id, reason } => {
            printer.item(&client.resume_run(id, &Steer { reason }).await?)?
        }
        RunCommand::RetryFailed { id, reason } => {
            printer.item(&client.retry_failed(id, &Steer { reason }).await?)?;
        }
        RunCommand::Rollback { id, reason } => {
            printer.item(&client.rollback_run(id, &Steer { reason }).await?)?;
        }
        RunCommand::Logs { id, format } => print(&client.get_run_logs(id, format.name()).await?)?,
        RunCommand::Report { id, format } => report(&client, id, format, printer).await?,
        RunCommand::Events { id, after } => return watch::events(&client, id, &after).await,
    }
    OK
}

async fn start(client: &PatchClient, arguments: StartArguments, printer: Printer) -> Outcome {
    let StartArguments { policy, input, advisory, selection, way, watch } = arguments;
    let request = StartRun {
        policy_id: policy,
        advisory,
        selector: selection.selector(),
        strategy: way.strategy,
        change_id: way.change,
        dry_run: way.dry_run,
        emergency: way.emergency,
        input: input.as_deref().map(system_patch::read).transpose()?,
    };
    let is_of_something =
        request.policy_id.is_some() || request.advisory.is_some() || request.input.is_some();
    if !is_of_something && request.selector.is_none() {
        return Err(Failure::usage("say what to run: --policy, --advisory, --input, --tag, --ci or --all"));
    }
    let run = client.start_run(&request).await?;
    if !watch {
        printer.item(&run)?;
        return OK;
    }
    note(&format!("run {}", run.id));
    watch::run(client, run.id, printer).await
}

fn show(run: &RunDetail, printer: Printer) -> Result<(), Failure> {
    if !printer.is_for_people() {
        return printer.item(run);
    }
    printer.item(&run.summary)?;
    if !run.waves.is_empty() {
        print("\n")?;
        printer.list(&run.waves, WAVES)?;
    }
    if !run.host_states.is_empty() {
        print("\n")?;
        let step_of = |host: &HostStatus| host.steps.last().map(|step| step.step);
        let hosts: Vec<_> =
            run.host_states.iter().map(|host| ShownHost { host, step: step_of(host) }).collect();
        printer.list(&hosts, HOSTS)?;
    }
    if run.tests.before + run.tests.after > 0 {
        let tests = &run.tests;
        print(&format!(
            "\ntests: {} of {} passed before, {} of {} after, {} regressions",
            tests.before_passed, tests.before, tests.after_passed, tests.after, tests.regressions
        ))?;
    }
    if !run.log_tail.is_empty() {
        print("\n")?;
    }
    run.log_tail.iter().try_for_each(|line| print(&clean(&line.text)))
}

fn steps(run: &RunDetail, host: Option<&CiId>, printer: Printer) -> Result<(), Failure> {
    let chosen = run.host_states.iter().filter(|status| host.is_none_or(|host| *host == status.ci_id));
    let seconds = |step: &HostStep| {
        step.ended_at.map(|ended| (ended - step.started_at).num_milliseconds() as f64 / 1000.0)
    };
    let rows: Vec<_> = chosen
        .flat_map(|status| status.steps.iter().map(|step| (&status.ci_id, step)))
        .map(|(ci_id, step)| ShownStep { ci_id, step, seconds: seconds(step) })
        .collect();
    printer.list(&rows, STEPS)
}

async fn report(
    client: &PatchClient,
    id: RunId,
    format: ReportFormat,
    printer: Printer,
) -> Result<(), Failure> {
    match format {
        ReportFormat::Json => printer.json(&client.get_run_report(id).await?),
        // `-o json` means the same as `--format json`.
        ReportFormat::Markdown if printer.format == crate::arguments::Format::Json => {
            printer.json(&client.get_run_report(id).await?)
        }
        ReportFormat::Markdown => print(&client.get_run_report_as(id, "markdown").await?),
        ReportFormat::Csv => print(&client.get_run_report_as(id, "csv").await?),
    }
}

impl LogFormat {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Ndjson => "ndjson",
        }
    }
}
