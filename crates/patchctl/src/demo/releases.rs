//! The scene of releases: a security patch, a bug fix, a performance patch and an emergency for twenty customers, over
//! weeks of a clock that is moved on whenever everybody waits.

use std::{collections::BTreeMap, time::Duration};

use api_client::{itsm::ItsmClient, releases::ReleasesClient, sim_customers::SimCustomersClient};
use api_types::{
    itsm::Decide,
    patch::{
        ApplyConfig, CreateRelease, DeployRelease, EmergencyRelease, PlanRelease, ReleaseRunStatus,
        ReleaseStatus, RollBackRelease, TickItem, TickState, WatchState,
    },
    sim_customers::{CustomerFault, CustomerFaultKind, PutCustomerFaults, PutSimCustomer},
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    ids::{CiId, RunId},
    release::{Baseline, Customer, ReleaseKind, ReleasePolicies, Version},
    run::{HostState, RunState},
};
use serde::Deserialize;
use service_kit::Clock;
use tokio::time::{Instant, sleep};

use crate::{
    commands::release::{timeline, views},
    failure::Failure,
    output::columns,
};

/// The scene is over by then, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(300);
/// Real time between two looks at what happens.
const LOOK_EVERY: Duration = Duration::from_millis(40);
/// While something is young, the clock goes by minutes, so that nobody's health is looked at too seldom.
const YOUNG: TimeDelta = TimeDelta::minutes(8);
/// The customer that the bug fix does not agree with.
const VICTIM: &str = "freshbyte";

const CUSTOMERS: &str = include_str!("../../../../seeds/releases/customers.yaml");
const POLICIES: &str = include_str!("../../../../seeds/releases/release-policies.yaml");

macro_rules! check_files {
    ($($path:literal),+) => { [$(($path, include_str!(concat!("../../../../seeds/releases/", $path)))),+] };
}

/// What the checks of the validation are, and what they judge; written where the server looks for them.
pub(super) const CHECK_FILES: [(&str, &str); 8] = check_files!(
    "checks/test-suite",
    "checks/vulnerability-scan",
    "checks/performance",
    "checks/compatibility",
    "reports/v1.0.1.txt",
    "reports/v1.0.2.txt",
    "reports/v1.0.3.txt",
    "reports/v1.0.4.txt"
);

pub(super) struct Stage {
    pub clock: Clock,
    /// Asks for the work.
    pub olivia: ReleasesClient,
    pub sim: SimCustomersClient,
    /// Approves what needs it.
    pub arjun: ItsmClient,
    pub began: Instant,
}

#[derive(Deserialize)]
struct Seed {
    #[serde(default)]
    customers: Vec<Customer>,
    #[serde(default)]
    policies: ReleasePolicies,
}

pub(super) async fn play(stage: &Stage) -> Result<(), Failure> {
    println!(
        "The platform's clock stands while there is work to do, and is moved on when everybody waits.\nTimes below are that clock's."
    );
    set_the_stage(stage).await?;
    security(stage).await?;
    bug_fix(stage).await?;
    performance(stage).await?;
    emergency(stage).await?;
    prove(stage).await
}

impl Stage {
    fn chapter(&self, title: &str) {
        println!("\n{title}");
    }

    fn say(&self, text: impl AsRef<str>) {
        println!("   {}  {}", self.clock.now().format("%a %H:%M"), text.as_ref());
    }

    fn show(&self, table: &str) {
        table.lines().for_each(|line| println!("              {line}"));
    }
}

async fn set_the_stage(stage: &Stage) -> Result<(), Failure> {
    stage.chapter("1. Twenty customers in four tiers");
    let customers: Seed = read("customers.yaml", CUSTOMERS)?;
    let policies: Seed = read("release-policies.yaml", POLICIES)?;
    for customer in &customers.customers {
        let health =
            Baseline { error_rate_percent: Some(0.4), latency_ms: Some(120.0), throughput: Some(250.0) };
        let request = PutSimCustomer { version: customer.current_version, health, deploy_seconds: 0 };
        stage.sim.put_customer(&customer.slug, &request).await?;
    }
    let mut tiers: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for customer in &customers.customers {
        tiers.entry(customer.tier).or_default().push(customer.name.as_str());
    }
    let rows = tiers
        .into_iter()
        .map(|(tier, names)| vec![tier.to_string(), names.len().to_string(), names.join(", ")]);
    let table = columns(&["tier", "customers", ""], rows.collect());
    let config = ApplyConfig {
        customers: Some(customers.customers),
        policies: Some(policies.policies),
        dry_run: false,
    };
    let diff = stage.olivia.apply_release_config(&config).await?;
    stage.say(format!(
        "{} customers created, {} fields of the policies changed",
        diff.created.len(),
        diff.changed.len()
    ));
    stage.show(&table);
    Ok(())
}

async fn register(stage: &Stage, version: Version, kind: ReleaseKind, notes: &str) -> Result<(), Failure> {
    let request = CreateRelease {
        version,
        kind,
        urgency: None,
        base_version: None,
        notes: notes.to_owned(),
        artefact: Some(format!("registry.example/product:{version}")),
        rollback_artefact: None,
        identified_at: None,
        allow_gap: false,
    };
    let release = stage.olivia.create_release(&request).await?;
    stage.say(format!(
        "{version} is registered: {} urgency, based on {}",
        release.urgency, release.base_version
    ));
    Ok(())
}

/// Everybody has done what the checklist asks for.
async fn tick(stage: &Stage, version: Version) -> Result<(), Failure> {
    let refused = stage.olivia.deploy_release(version, &DeployRelease::default()).await;
    if refused.is_ok() {
        return Err(Failure::new(format!("{version} could be deployed with an open checklist")));
    }
    let release = stage.olivia.get_release(version).await?;
    for (item, _) in release.checklist.open() {
        let done = TickItem { state: TickState::Done, reason: String::new() };
        stage.olivia.tick_item(version, item, &done).await?;
    }
    stage.say(format!("its checklist held it back; {} items are ticked now", release.checklist.0.len()));
    Ok(())
}

async fn forecast(stage: &Stage, version: Version) -> Result<DateTime<Utc>, Failure> {
    let plan = stage.olivia.plan_release(version, &PlanRelease::default()).await?;
    stage.say(format!(
        "the plan, played before anybody begins: {} waves, done {} from now",
        plan.plan.waves.len(),
        timeline::span(plan.timeline.ended_at - plan.timeline.began_at)
    ));
    Ok(plan.timeline.ended_at)
}

async fn security(stage: &Stage) -> Result<(), Failure> {
    stage.chapter("2. v1.0.1, a security patch: critical, within the hour");
    let version = Version::new(1, 0, 1);
    register(stage, version, ReleaseKind::Security, "Session tokens were accepted after their logout")
        .await?;
    tick(stage, version).await?;
    forecast(stage, version).await?;
    let began = stage.clock.now();
    let run = stage.olivia.deploy_release(version, &DeployRelease::default()).await?;
    let status = until_end(stage, version, run.run.id).await?;
    expect(&status, run.run.id, RunState::Succeeded, 20)?;
    let last = status.customers.iter().filter_map(|customer| customer.deployed_at).max().unwrap_or(began);
    stage.say(format!("all 20 customers run {version}, the last after {}", timeline::span(last - began)));
    Ok(())
}

async fn bug_fix(stage: &Stage) -> Result<(), Failure> {
    stage.chapter("3. v1.0.2, a bug fix, which one customer does not bear");
    let version = Version::new(1, 0, 2);
    register(stage, version, ReleaseKind::BugFix, "Invoices of leap days were a day early").await?;
    tick(stage, version).await?;
    forecast(stage, version).await?;
    let victim = CiId::new(VICTIM).map_err(|error| Failure::new(error.to_string()))?;
    let fault =
        CustomerFault { kind: CustomerFaultKind::ErrorRate, version: Some(version), after_seconds: 240 };
    stage.sim.put_customer_faults(&victim, &PutCustomerFaults { faults: vec![fault] }).await?;
    stage.say(format!(
        "(a fault is injected: at {VICTIM}, {version} will lose one request in ten after four minutes)"
    ));
    let run = stage.olivia.deploy_release(version, &DeployRelease::default()).await?;
    let status = until_end(stage, version, run.run.id).await?;
    expect(&status, run.run.id, RunState::CompletedWithErrors, 19)?;
    let customer = status.customers.iter().find(|customer| customer.customer == victim);
    match customer {
        Some(customer)
            if customer.state == Some(HostState::RolledBack)
                && customer.current_version == Version::new(1, 0, 1) =>
        {
            stage
                .say(format!("{VICTIM} runs {} again; the other 19 run {version}", customer.current_version));
        }
        _ => return Err(Failure::new(format!("{VICTIM} was not taken back by its health"))),
    }
    Ok(())
}

async fn performance(stage: &Stage) -> Result<(), Failure> {
    stage.chapter("4. v1.0.3, a performance patch: told three days before, in everybody's own window");
    let version = Version::new(1, 0, 3);
    register(stage, version, ReleaseKind::Performance, "Searches use the new index").await?;
    tick(stage, version).await?;
    let foretold = forecast(stage, version).await?;
    let run = stage.olivia.deploy_release(version, &DeployRelease::default()).await?;
    let status = until_end(stage, version, run.run.id).await?;
    expect(&status, run.run.id, RunState::Succeeded, 20)?;
    let late = (stage.clock.now() - foretold).num_minutes();
    let word = if late < 0 { "before" } else { "after" };
    stage.say(format!("done {} minutes {word} what the forecast said, weeks ago", late.abs()));
    Ok(())
}

async fn emergency(stage: &Stage) -> Result<(), Failure> {
    stage.chapter("5. v1.0.4, an emergency: everybody at once, on one approver's word");
    let version = Version::new(1, 0, 4);
    register(stage, version, ReleaseKind::Security, "Remote code execution in the upload of avatars").await?;
    let request = EmergencyRelease {
        reason: "exploited in the wild since this morning".to_owned(),
        customers: Vec::new(),
        dry_run: false,
    };
    let run = stage.olivia.deploy_emergency_release(version, &request).await?;
    let release = stage.olivia.get_release(version).await?;
    stage.say(format!(
        "the checklist does not wait: {} items are waived under {}'s name and this reason",
        release.checklist.0.len(),
        run.run.requested_by
    ));
    let change = loop {
        let status = stage.olivia.get_release_status(version).await?;
        match of(&status, run.run.id)?.run.run.change_id.clone() {
            Some(change) if of(&status, run.run.id)?.run.run.state == RunState::AwaitingApproval => {
                break change;
            }
            _ if stage.began.elapsed() > PATIENCE => {
                return Err(Failure::new("the emergency's change was not opened in time"));
            }
            _ => sleep(LOOK_EVERY).await,
        }
    };
    // Submitted right after it is opened.
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let decision = Decide { comment: "go".to_owned(), plan_hash: None };
        match stage.arjun.approve_change(&change, &decision).await {
            Ok(_) => break,
            Err(error) if Instant::now() > until => return Err(error.into()),
            Err(_) => sleep(LOOK_EVERY).await,
        }
    }
    stage.say(format!("arjun approves {change}"));
    let began = stage.clock.now();
    let status = until_end(stage, version, run.run.id).await?;
    expect(&status, run.run.id, RunState::Succeeded, 20)?;
    let last = status.customers.iter().filter_map(|customer| customer.deployed_at).max().unwrap_or(began);
    stage.say(format!("all 20 customers run {version} after {}", timeline::span(last - began)));
    Ok(())
}

async fn prove(stage: &Stage) -> Result<(), Failure> {
    stage.chapter("6. The proof");
    let mut deployments = 0;
    for customer in stage.sim.list_customers().await? {
        let mut seen = BTreeMap::new();
        for deployment in &customer.deployments {
            deployments += 1;
            *seen.entry(deployment.version).or_insert(0) += 1;
        }
        let twice = seen.iter().find(|(version, count)| {
            **count > 1 && !(customer.id.as_str() == VICTIM && **version == Version::new(1, 0, 1))
        });
        if let Some((version, count)) = twice {
            return Err(Failure::new(format!("{} was brought to {version} {count} times", customer.id)));
        }
    }
    stage.say(format!("{deployments} deployments at the customers' own count, none of them twice"));
    let late = RollBackRelease {
        customers: vec!["acme-corp".to_owned()],
        reason: "to see whether it is still possible".to_owned(),
        at_once: true,
    };
    match stage.olivia.roll_back_release(Version::new(1, 0, 1), &late).await {
        Ok(_) => return Err(Failure::new("v1.0.1 could be taken back from a customer that does not run it")),
        Err(error) => stage.say(format!("taking v1.0.1 back now is refused: {error}")),
    }
    stage.say("the success metrics, from the records:");
    stage.show(&views::metrics_text(&stage.olivia.get_metrics().await?));
    stage.say(format!("{:.0} s of real time", stage.began.elapsed().as_secs_f64()));
    println!("\nHow the bug fix went (patchctl release timeline --version v1.0.2):\n");
    println!("{}", timeline::text(&stage.olivia.get_release_timeline(Version::new(1, 0, 2)).await?));
    Ok(())
}

/// Lets the rollout go on, moving the clock whenever everybody waits, and tells what happens.
async fn until_end(stage: &Stage, version: Version, run: RunId) -> Result<ReleaseStatus, Failure> {
    let mut told = 0;
    loop {
        let status = stage.olivia.get_release_status(version).await?;
        let now = of(&status, run)?;
        for line in now.log_tail.iter().filter(|line| line.sequence > told) {
            let text = match &line.ci_id {
                None => Some(line.text.clone()),
                Some(customer) if line.text != "is deployed" => Some(format!("{customer} {}", line.text)),
                Some(_) => None,
            };
            if let Some(text) = text {
                println!("   {}  {text}", line.at.format("%a %H:%M"));
            }
        }
        told = now.log_tail.last().map_or(told, |line| line.sequence);
        let state = now.run.run.state;
        if state == RunState::Paused {
            return Err(Failure::new(format!(
                "the rollout is paused: {}",
                now.run.run.reason.clone().unwrap_or_default()
            )));
        }
        if state.is_final() {
            return Ok(status);
        }
        if stage.began.elapsed() > PATIENCE {
            return Err(Failure::new(format!("the rollout of {version} did not end in time")));
        }
        let step = step(&status, now, stage.clock.now());
        sleep(LOOK_EVERY).await;
        stage.clock.advance(step);
    }
}

/// How far the clock may be moved now without anything being missed.
fn step(status: &ReleaseStatus, run: &ReleaseRunStatus, now: DateTime<Utc>) -> TimeDelta {
    if run.run.run.state != RunState::Executing {
        return TimeDelta::seconds(1);
    }
    let Some(until) = run.waits_until.filter(|until| *until > now) else { return TimeDelta::seconds(1) };
    let is_young = status.customers.iter().any(|customer| {
        let is_unsure = customer
            .watch
            .as_ref()
            .is_some_and(|watch| !matches!(watch.state, WatchState::Well | WatchState::Ended));
        is_unsure || customer.deployed_at.is_some_and(|at| now - at < YOUNG)
    });
    let most = if is_young { TimeDelta::minutes(1) } else { TimeDelta::hours(6) };
    (until - now).min(most)
}

fn of(status: &ReleaseStatus, run: RunId) -> Result<&ReleaseRunStatus, Failure> {
    let found = status.runs.iter().find(|one| one.run.run.id == run);
    found.ok_or_else(|| Failure::new(format!("run {run} is not among those of {}", status.release.version)))
}

/// The scene fails when it did not go as a platform like this must let it go.
fn expect(status: &ReleaseStatus, run: RunId, state: RunState, deployed: usize) -> Result<(), Failure> {
    let found = of(status, run)?;
    let version = status.release.version;
    let there = status.customers.iter().filter(|customer| customer.current_version == version).count();
    if found.run.run.state != state || there != deployed {
        return Err(Failure::new(format!(
            "{version} ended as {} with {there} customers, not as {} with {deployed}: {}",
            found.run.run.state.name(),
            state.name(),
            found.run.run.reason.clone().unwrap_or_default()
        )));
    }
    Ok(())
}

fn read(name: &str, text: &str) -> Result<Seed, Failure> {
    yaml_serde::from_str(text)
        .map_err(|error| Failure::new(format!("the seed `{name}` cannot be read: {error}")))
}
