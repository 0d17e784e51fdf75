//! `patchctl release`: product releases to customers.

pub(crate) mod picture;
pub(crate) mod timeline;
pub(crate) mod views;

use std::{collections::BTreeMap, path::Path, time::Duration};

use api_client::releases::ReleasesClient;
use api_types::patch::{
    ApplyConfig, ConfigDiff, CreateRelease, DeployRelease, EmergencyRelease, PlanRelease, RateRelease,
    RegisterLine, Release, ReleasePlan, ReleaseRun, ReleaseTimeline, ReportIssue, RollBackRelease, SignOff,
    TickItem, TickState,
};
use domain::{
    ids::CiId,
    release::{Imagined, ReleaseKind, Version},
    run::RunState,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{access::unless_proposed, filter};
use crate::arguments::{LineCommand, PlanArguments, ReleaseCommand, SimulateRelease, parse_name};
use crate::connect::Connection;
use crate::input;
use crate::poll::poll;
use terminal::{Columns, Printer, done, note, print};
use terminal::{CommandResult, ExitStatus, Failure, OK};

const RELEASES: Columns = "version type urgency base=base_version created=created_at by=created_by notes";
const DEPLOYMENTS: Columns = "requested=requested_at customer from=from_version to=to_version way=direction \
                              state ended=ended_at detail";
const CUSTOMERS: Columns = "customer=slug name tier version=current_version time_zone health=watch/state \
                            pinned_to paused";
const LINES: Columns = "base=base_version created=created_at by=created_by note";
/// A validation may take hours, but not forever.
const VALIDATION_TIMEOUT: Duration = Duration::from_secs(4 * 3600);
const VALIDATION_POLL: Duration = Duration::from_millis(250);

pub async fn run(connection: &Connection, command: ReleaseCommand, printer: Printer) -> CommandResult {
    let client = connection.releases();
    match command {
        ReleaseCommand::List(most) => printer.list(&client.list_releases(most.limit).await?, RELEASES),
        ReleaseCommand::Show(of) => printer.view(&client.get_release(of.version).await?, views::release),
        ReleaseCommand::Plan(arguments) => plan(&client, arguments, printer).await,
        ReleaseCommand::Validate(of) => validate(&client, of.version, printer).await,
        ReleaseCommand::Check { of, item, waive } => check(&client, of.version, item, waive, printer).await,
        ReleaseCommand::Deploy { of, customers, dry_run: true } => {
            let request = PlanRelease { customers: customers.customers, ..PlanRelease::default() };
            let plan = client.plan_release(of.version, &request).await?;
            note("dry run: nothing was changed, and nothing will be");
            show_plan(&plan, printer)
        }
        ReleaseCommand::Deploy { of, customers, dry_run: false } => {
            let request = DeployRelease { customers: customers.customers, dry_run: false };
            show_started(&client.deploy_release(of.version, &request).await?, views::started, printer)
        }
        ReleaseCommand::Emergency { of, kind, customers, reason } => {
            if let Some(kind) = kind {
                register(&client, &new_release(of.version, kind)).await?;
            }
            let request = EmergencyRelease { reason, customers: customers.customers, dry_run: false };
            let run = client.deploy_emergency_release(of.version, &request).await?;
            show_started(&run, views::started, printer)?;
            if printer.is_for_people() {
                note("it starts when one emergency approver approves it: patchctl change approve");
            }
            OK
        }
        ReleaseCommand::Status(of) => {
            printer.view(&client.get_release_status(of.version).await?, views::status)
        }
        ReleaseCommand::Rollback { of, customers, reason, now } => {
            let request = RollBackRelease { customers, reason, at_once: now };
            for run in client.roll_back_release(of.version, &request).await? {
                show_started(&run, views::rolling_back, printer)?;
            }
            OK
        }
        ReleaseCommand::SignOff { of, reason } => {
            printer.item(&client.sign_off_release(of.version, &SignOff { reason }).await?)
        }
        ReleaseCommand::Health { customer } => {
            let detail = client.get_customer_health(&customer).await?;
            let printed = printer.view(&detail, views::health)?;
            Ok(if detail.now.failure.is_some() { ExitStatus::Failed } else { printed })
        }
        ReleaseCommand::Report { customer, severity, summary } => {
            let severity =
                parse_name(&severity).map_err(|error| Failure::usage(format!("--severity {error}")))?;
            printer.item(&client.report_issue(&customer, &ReportIssue { severity, summary }).await?)
        }
        ReleaseCommand::Rate { customer, of, score, comment } => {
            printer.item(&client.rate_release(&customer, of.version, &RateRelease { score, comment }).await?)
        }
        ReleaseCommand::Line(command) => line(&client, command, printer).await,
        ReleaseCommand::Deployments { customer, version, most } => {
            let filter = filter([
                ("customer", customer.map(|customer| customer.to_string())),
                ("version", version.map(|version| version.to_string())),
            ]);
            printer.list(&client.list_deployments(&filter, most.limit).await?, DEPLOYMENTS)
        }
        ReleaseCommand::Timeline { of, forecast, svg } => {
            let timeline = timeline_of(&client, of.version, forecast).await?;
            show_timeline(&timeline, svg.as_deref(), printer)
        }
        ReleaseCommand::Simulate(arguments) => simulate(&client, arguments, printer).await,
        ReleaseCommand::Metrics { version } => {
            let report = match version {
                Some(version) => client.get_release_metrics(version).await?,
                None => client.get_metrics().await?,
            };
            printer.view(&report, views::metrics)
        }
        ReleaseCommand::Customers { tier, most } => {
            printer.list(&client.list_customers(&filter([("tier", tier)]), most.limit).await?, CUSTOMERS)
        }
        ReleaseCommand::Policies => printer.view(&client.get_release_policies().await?, views::policies),
        ReleaseCommand::Apply { file, dry_run } => apply(&client, &file, dry_run, printer).await,
    }
}

async fn line(client: &ReleasesClient, command: LineCommand, printer: Printer) -> CommandResult {
    match command {
        LineCommand::List => printer.list(&client.list_lines().await?, LINES),
        LineCommand::Register { base, note } => {
            printer.item(&client.register_line(base, &RegisterLine { note }).await?)
        }
        LineCommand::Delete { base } => {
            client.delete_line(base).await?;
            done(&format!("the line of {base} is deleted"))
        }
    }
}

fn show_started(run: &ReleaseRun, text: impl Fn(&ReleaseRun) -> String, printer: Printer) -> CommandResult {
    let printed = printer.view(run, text);
    if printer.is_for_people() {
        note(&format!("follow it with: patchctl release status --version {}", run.version));
    }
    printed
}

fn show_plan(plan: &ReleasePlan, printer: Printer) -> CommandResult {
    let printed = printer.view(plan, views::plan);
    if printer.is_for_people() && !plan.open_items.is_empty() {
        let version = plan.release.version;
        note(&format!("tick them with: patchctl release check --version {version} --item NUMBER"));
    }
    printed
}

pub(crate) fn new_release(version: Version, kind: ReleaseKind) -> CreateRelease {
    CreateRelease {
        version,
        kind,
        urgency: None,
        base_version: None,
        notes: String::new(),
        artefact: None,
        rollback_artefact: None,
        identified_at: None,
        allow_gap: false,
        resolves: Vec::new(),
    }
}

/// The release, which is registered if it is new.
async fn register(client: &ReleasesClient, request: &CreateRelease) -> Result<Release, Failure> {
    match client.get_release(request.version).await {
        Ok(known) if known.kind != request.kind => Err(Failure::usage(format!(
            "{} is registered as a {} release, not as {}",
            known.version, known.kind, request.kind
        ))),
        Ok(known) => Ok(known),
        Err(error) if error.is_not_found() => {
            let release = client.create_release(request).await?;
            note(&format!("registered {} as a {} release", release.version, release.kind));
            Ok(release)
        }
        Err(error) => Err(error.into()),
    }
}

async fn plan(client: &ReleasesClient, arguments: PlanArguments, printer: Printer) -> CommandResult {
    let version = arguments.of.version;
    if let Some(kind) = arguments.kind {
        let request = CreateRelease {
            urgency: arguments.urgency,
            base_version: arguments.base,
            notes: arguments.notes,
            artefact: arguments.artefact,
            rollback_artefact: arguments.rollback_artefact,
            identified_at: arguments.identified_at,
            allow_gap: arguments.allow_gap,
            resolves: arguments.resolves,
            ..new_release(version, kind)
        };
        let known = register(client, &request).await?;
        if let Some(urgency) = arguments.urgency.filter(|urgency| *urgency != known.urgency) {
            let changes = api_types::patch::UpdateRelease { urgency: Some(urgency), ..Default::default() };
            client.update_release(version, &changes, None).await?;
            note(&format!("the urgency of {version} is now {urgency}; it was {}", known.urgency));
        }
    }
    let request = PlanRelease { customers: arguments.customers.customers, ..PlanRelease::default() };
    let plan = client.plan_release(version, &request).await.map_err(|error| {
        let is_new = error.is_not_found();
        let failure = Failure::from(error);
        if is_new { failure.hint("pass its type with --type to register it") } else { failure }
    })?;
    show_plan(&plan, printer)
}

async fn validate(client: &ReleasesClient, version: Version, printer: Printer) -> CommandResult {
    let run = client.validate_release(version).await?.run;
    let ended = poll(VALIDATION_TIMEOUT, VALIDATION_POLL, async || {
        let runs = client.get_release_status(version).await?.runs;
        let found = runs.into_iter().find(|one| one.run.run.id == run.id);
        let found = found.ok_or_else(|| Failure::new("the validation no longer exists"))?;
        let state = found.run.run.state;
        Ok(Some(found).filter(|_| state.is_final() || state == RunState::Paused))
    });
    let Some(ended) = ended.await? else {
        return Err(Failure::new(format!("run {} has not ended yet; it continues by itself", run.id)));
    };
    if printer.is_for_people() {
        print(&views::checks(&ended.checks))?;
    } else {
        printer.json(&ended.checks)?;
    }
    if let Some(reason) = &ended.run.run.reason {
        note(reason);
    }
    Ok(if ended.run.run.state == RunState::Succeeded { ExitStatus::Ok } else { ExitStatus::Failed })
}

async fn check(
    client: &ReleasesClient,
    version: Version,
    item: Option<String>,
    waive: Option<String>,
    printer: Printer,
) -> CommandResult {
    let state = if waive.is_some() { TickState::Waived } else { TickState::Done };
    let tick = TickItem { state, reason: waive.unwrap_or_default() };
    let items = match item {
        Some(item) => vec![item],
        None => client.get_release(version).await?.checklist.open().map(|(name, _)| name.clone()).collect(),
    };
    for item in items {
        client.tick_item(version, &item, &tick).await?;
    }
    printer.view(&client.get_release(version).await?, views::checklist)
}

/// What happened, or the forecast when nothing has happened yet.
async fn timeline_of(
    client: &ReleasesClient,
    version: Version,
    forecast: bool,
) -> Result<ReleaseTimeline, Failure> {
    if !forecast {
        match client.get_release_timeline(version).await {
            Ok(timeline) => return Ok(timeline),
            Err(error) if error.status() == Some(409) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(forecast_of(client.plan_release(version, &PlanRelease::default()).await?))
}

fn forecast_of(plan: ReleasePlan) -> ReleaseTimeline {
    ReleaseTimeline {
        version: plan.release.version,
        kind: plan.release.kind,
        is_forecast: true,
        state: plan.timeline.outcome,
        waves: plan.plan.waves.into_iter().map(|wave| (wave.name, wave.hosts)).collect(),
        timeline: plan.timeline,
    }
}

fn show_timeline(timeline: &ReleaseTimeline, svg: Option<&Path>, printer: Printer) -> CommandResult {
    if printer.is_for_people() {
        print(&timeline::text(timeline))?;
    } else {
        printer.json(timeline)?;
    }
    if let Some(file) = svg {
        std::fs::write(file, picture::svg(timeline))
            .map_err(|error| Failure::new(format!("cannot write `{}`: {error}", file.display())))?;
        note(&format!("the picture is in {}", file.display()));
    }
    OK
}

async fn simulate(client: &ReleasesClient, arguments: SimulateRelease, printer: Printer) -> CommandResult {
    let mut unhealthy = BTreeMap::new();
    for (slug, minutes) in arguments.unhealthy {
        let slug = CiId::new(&slug).map_err(|error| Failure::usage(format!("--unhealthy: {error}")))?;
        let minutes: u32 = minutes
            .parse()
            .map_err(|_| Failure::usage(format!("--unhealthy {slug}=... needs a number of minutes")))?;
        unhealthy.insert(slug, minutes.saturating_mul(60));
    }
    let failing = arguments.failing.into_iter().collect();
    let request = PlanRelease {
        customers: arguments.customers.customers,
        emergency: arguments.emergency,
        begin_at: arguments.at,
        imagined: Imagined { unhealthy, failing, ..Imagined::default() },
    };
    let started = Instant::now();
    let plan = client.plan_release(arguments.of.version, &request).await?;
    let took = started.elapsed();
    let virtual_time = plan.timeline.ended_at - plan.timeline.began_at;
    show_timeline(&forecast_of(plan), arguments.svg.as_deref(), printer)?;
    if printer.is_for_people() {
        note(&format!("{} simulated in {} ms", timeline::span(virtual_time), took.as_millis()));
    }
    OK
}

/// A configuration file, which an operator usually keeps in git.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    #[serde(default)]
    customers: Option<Vec<Map<String, Value>>>,
    #[serde(default)]
    policies: Option<Map<String, Value>>,
}

async fn apply(
    client: &ReleasesClient,
    files: &[std::path::PathBuf],
    dry_run: bool,
    printer: Printer,
) -> CommandResult {
    let mut config = ApplyConfig { dry_run, ..ApplyConfig::default() };
    for file in files {
        let read: ConfigFile = input::request(file)?;
        if let Some(customers) = read.customers {
            config.customers.get_or_insert_default().extend(customers);
        }
        if let Some(policies) = read.policies
            && config.policies.replace(policies).is_some()
        {
            return Err(Failure::usage("more than one file has `policies`"));
        }
    }
    let outcome = client.apply_release_config(&config).await?;
    unless_proposed(outcome, printer, |diff| applied(&diff, printer))
}

fn applied(diff: &ConfigDiff, printer: Printer) -> CommandResult {
    let printed = printer.view(diff, views::diff);
    if printer.is_for_people() && diff.dry_run && !diff.weakens.is_empty() {
        note("a second person must confirm this, because it weakens a control:");
        diff.weakens.iter().for_each(|sentence| note(&format!("  {sentence}")));
    }
    if printer.is_for_people() && !diff.not_named.is_empty() {
        let names: Vec<&str> = diff.not_named.iter().take(10).map(|slug| slug.as_str()).collect();
        note(&format!("{} stored customers are not in the file: {}", diff.not_named.len(), names.join(", ")));
    }
    printed
}
