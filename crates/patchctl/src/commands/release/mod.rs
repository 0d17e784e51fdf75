//! `patchctl release`: products to customers.

pub(crate) mod picture;
pub(crate) mod timeline;
pub(crate) mod views;

use std::{collections::BTreeMap, path::Path, time::Duration};

use api_client::releases::ReleasesClient;
use api_types::patch::{
    ApplyConfig, CreateRelease, DeployRelease, EmergencyRelease, PlanRelease, Release, ReleasePlan,
    ReleaseTimeline, ReportIssue, RollBackRelease, SignOff, TickItem, TickState,
};
use domain::{
    ids::CiId,
    release::{Customer, Imagined, ReleaseKind, ReleasePolicies, Version},
    run::RunState,
};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::arguments::{PlanArguments, ReleaseCommand, SimulateRelease, parse_word};
use crate::connect::Connection;
use crate::failure::{ExitStatus, Failure, Outcome};
use crate::input;
use crate::output::{Printer, note, print};

const RELEASES: &[(&str, &str)] = &[
    ("version", "/version"),
    ("type", "/type"),
    ("urgency", "/urgency"),
    ("base", "/base_version"),
    ("created", "/created_at"),
    ("by", "/created_by"),
    ("notes", "/notes"),
];
const DEPLOYMENTS: &[(&str, &str)] = &[
    ("requested", "/requested_at"),
    ("customer", "/customer"),
    ("from", "/from_version"),
    ("to", "/to_version"),
    ("way", "/direction"),
    ("state", "/state"),
    ("ended", "/ended_at"),
    ("detail", "/detail"),
];
const CUSTOMERS: &[(&str, &str)] = &[
    ("customer", "/slug"),
    ("name", "/name"),
    ("tier", "/tier"),
    ("version", "/current_version"),
    ("time zone", "/time_zone"),
    ("health", "/watch/state"),
    ("pinned to", "/pinned_to"),
    ("paused", "/paused"),
];
/// A validation is looked at until it ends, but not for ever.
const PATIENCE: Duration = Duration::from_secs(4 * 3600);
const OK: Outcome = Ok(ExitStatus::Ok);

pub async fn run(connection: &Connection, command: ReleaseCommand, printer: Printer) -> Outcome {
    let client = connection.releases();
    match command {
        ReleaseCommand::List { most } => printer.list(&client.list_releases(most.limit).await?, RELEASES)?,
        ReleaseCommand::Show { of } => show(&client.get_release(of.version).await?, printer)?,
        ReleaseCommand::Plan(arguments) => plan(&client, arguments, printer).await?,
        ReleaseCommand::Validate { of } => return validate(&client, of.version, printer).await,
        ReleaseCommand::Check { of, item, waive } => check(&client, of.version, item, waive, printer).await?,
        ReleaseCommand::Deploy { of, customers, dry_run: true } => {
            let request = PlanRelease { customers: customers.customers, ..PlanRelease::default() };
            let plan = client.plan_release(of.version, &request).await?;
            note("dry run: nothing was touched, and nothing will be");
            views::plan(&plan, printer)?;
        }
        ReleaseCommand::Deploy { of, customers, dry_run: false } => {
            let request = DeployRelease { customers: customers.customers, dry_run: false };
            let run = client.deploy_release(of.version, &request).await?;
            views::started(&run, printer)?;
        }
        ReleaseCommand::Emergency { of, kind, customers, reason } => {
            if let Some(kind) = kind {
                register(&client, &bare(of.version, kind)).await?;
            }
            let request = EmergencyRelease { reason, customers: customers.customers, dry_run: false };
            let run = client.deploy_emergency_release(of.version, &request).await?;
            views::started(&run, printer)?;
            if printer.is_for_people() {
                note("it starts on the word of one emergency approver: patchctl change approve");
            }
        }
        ReleaseCommand::Status { of } => {
            views::status(&client.get_release_status(of.version).await?, printer)?
        }
        ReleaseCommand::Rollback { of, customers, reason, now } => {
            let request = RollBackRelease { customers, reason, at_once: now };
            for run in client.roll_back_release(of.version, &request).await? {
                views::taken_back(&run, printer)?;
            }
        }
        ReleaseCommand::SignOff { of, reason } => {
            printer.item(&client.sign_off_release(of.version, &SignOff { reason }).await?)?;
        }
        ReleaseCommand::Health { customer } => {
            return views::health(&client.get_customer_health(&customer).await?, printer);
        }
        ReleaseCommand::Report { customer, severity, summary } => {
            let severity =
                parse_word(&severity).map_err(|error| Failure::usage(format!("--severity {error}")))?;
            printer.item(&client.report_issue(&customer, &ReportIssue { severity, summary }).await?)?;
        }
        ReleaseCommand::Deployments { customer, version, most } => {
            let mut filter = Vec::new();
            filter.extend(customer.map(|customer| ("customer", customer.to_string())));
            filter.extend(version.map(|version| ("version", version.to_string())));
            printer.list(&client.list_deployments(&filter, most.limit).await?, DEPLOYMENTS)?;
        }
        ReleaseCommand::Timeline { of, forecast, svg } => {
            let timeline = timeline_of(&client, of.version, forecast).await?;
            show_timeline(&timeline, svg.as_deref(), printer)?;
        }
        ReleaseCommand::Simulate(arguments) => simulate(&client, arguments, printer).await?,
        ReleaseCommand::Metrics { version } => {
            let report = match version {
                Some(version) => client.get_release_metrics(version).await?,
                None => client.get_metrics().await?,
            };
            views::metrics(&report, printer)?;
        }
        ReleaseCommand::Customers { tier, most } => {
            let filter: Vec<_> = tier.map(|tier| ("tier", tier)).into_iter().collect();
            printer.list(&client.list_customers(&filter, most.limit).await?, CUSTOMERS)?;
        }
        ReleaseCommand::Policies => views::policies(&client.get_release_policies().await?, printer)?,
        ReleaseCommand::Apply { file, dry_run } => apply(&client, &file, dry_run, printer).await?,
    }
    OK
}

fn show(release: &Release, printer: Printer) -> Result<(), Failure> {
    if !printer.is_for_people() {
        return printer.item(release);
    }
    print(&views::head(release))?;
    print("\n")?;
    print(&views::checklist(release))
}

fn bare(version: Version, kind: ReleaseKind) -> CreateRelease {
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
    }
}

/// The release, registered now unless it is known.
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

async fn plan(client: &ReleasesClient, arguments: PlanArguments, printer: Printer) -> Result<(), Failure> {
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
            ..bare(version, kind)
        };
        let known = register(client, &request).await?;
        if let Some(urgency) = arguments.urgency.filter(|urgency| *urgency != known.urgency) {
            let changes = api_types::patch::UpdateRelease { urgency: Some(urgency), ..Default::default() };
            client.update_release(version, &changes, None).await?;
            note(&format!("the urgency of {version} is {urgency} now, it was {}", known.urgency));
        }
    }
    let request = PlanRelease { customers: arguments.customers.customers, ..PlanRelease::default() };
    let plan = client.plan_release(version, &request).await.map_err(|error| match error.is_not_found() {
        true => Failure::from(error).hint("say its type with --type to register it"),
        false => error.into(),
    })?;
    views::plan(&plan, printer)
}

async fn validate(client: &ReleasesClient, version: Version, printer: Printer) -> Outcome {
    let run = client.validate_release(version).await?;
    let until = Instant::now() + PATIENCE;
    loop {
        let status = client.get_release_status(version).await?;
        let Some(found) = status.runs.iter().find(|one| one.run.run.id == run.run.id) else {
            return Err(Failure::new("the validation has gone"));
        };
        let state = found.run.run.state;
        if state.is_final() || state == RunState::Paused {
            views::checks(&found.checks, printer)?;
            if let Some(reason) = &found.run.run.reason {
                note(reason);
            }
            return Ok(if state == RunState::Succeeded { ExitStatus::Ok } else { ExitStatus::Failed });
        }
        if Instant::now() >= until {
            return Err(Failure::new(format!("run {} has not ended; it goes on by itself", run.run.id)));
        }
        sleep(Duration::from_millis(250)).await;
    }
}

async fn check(
    client: &ReleasesClient,
    version: Version,
    item: Option<String>,
    waive: Option<String>,
    printer: Printer,
) -> Result<(), Failure> {
    let tick = match waive {
        Some(reason) => TickItem { state: TickState::Waived, reason },
        None => TickItem { state: TickState::Done, reason: String::new() },
    };
    let items = match item {
        Some(item) => vec![item],
        None => client.get_release(version).await?.checklist.open().map(|(name, _)| name.clone()).collect(),
    };
    for item in items {
        client.tick_item(version, &item, &tick).await?;
    }
    let release = client.get_release(version).await?;
    match printer.is_for_people() {
        true => print(&views::checklist(&release)),
        false => printer.item(&release),
    }
}

/// As it went; before there is anything to tell, as it would go.
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
    Ok(foretold(client.plan_release(version, &PlanRelease::default()).await?))
}

fn foretold(plan: ReleasePlan) -> ReleaseTimeline {
    ReleaseTimeline {
        version: plan.release.version,
        kind: plan.release.kind,
        is_forecast: true,
        state: plan.timeline.outcome,
        waves: plan.plan.waves.into_iter().map(|wave| (wave.name, wave.hosts)).collect(),
        timeline: plan.timeline,
    }
}

fn show_timeline(timeline: &ReleaseTimeline, svg: Option<&Path>, printer: Printer) -> Result<(), Failure> {
    match printer.is_for_people() {
        true => print(&timeline::text(timeline))?,
        false => printer.json(timeline)?,
    }
    if let Some(file) = svg {
        std::fs::write(file, picture::svg(timeline))
            .map_err(|error| Failure::new(format!("cannot write `{}`: {error}", file.display())))?;
        note(&format!("the picture is in {}", file.display()));
    }
    Ok(())
}

async fn simulate(
    client: &ReleasesClient,
    arguments: SimulateRelease,
    printer: Printer,
) -> Result<(), Failure> {
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
    let began = Instant::now();
    let plan = client.plan_release(arguments.of.version, &request).await?;
    let took = began.elapsed();
    let virtual_time = plan.timeline.ended_at - plan.timeline.began_at;
    show_timeline(&foretold(plan), arguments.svg.as_deref(), printer)?;
    if printer.is_for_people() {
        note(&format!("{} played in {} ms", timeline::span(virtual_time), took.as_millis()));
    }
    Ok(())
}

/// A file an operator keeps in git.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    #[serde(default)]
    customers: Option<Vec<Customer>>,
    #[serde(default)]
    policies: Option<ReleasePolicies>,
}

async fn apply(
    client: &ReleasesClient,
    files: &[std::path::PathBuf],
    dry_run: bool,
    printer: Printer,
) -> Result<(), Failure> {
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
    views::diff(&client.apply_release_config(&config).await?, printer)
}
