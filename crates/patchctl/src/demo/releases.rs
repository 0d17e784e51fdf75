//! The releases scene: a security patch, a bug fix, a performance patch and an emergency for twenty customers, over weeks
//! on a simulated clock, which advances whenever everything waits.

use std::{collections::BTreeMap, time::Duration};

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
    release::{Baseline, Customer, ReleaseKind, Version},
    run::{HostState, RunState},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::sleep;

use super::cast::{Cast, confirmed};
use crate::{
    commands::release::{new_release, timeline, views},
    poll::poll,
};
use terminal::{Failure, columns, row};

/// Timeout of the scene.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Real time between two status requests.
const POLL: Duration = Duration::from_millis(40);
/// After a deployment the clock advances in steps of minutes, so that health checks are frequent enough.
const RECENT: TimeDelta = TimeDelta::minutes(8);
/// The customer where the bug fix fails.
const VICTIM: &str = "freshbyte";

const CUSTOMERS: &str = include_str!("../../../../seeds/releases/customers.yaml");
const POLICIES: &str = include_str!("../../../../seeds/releases/release-policies.yaml");

macro_rules! check_files {
    ($($path:literal),+) => { [$(($path, include_str!(concat!("../../../../seeds/releases/", $path)))),+] };
}

/// The checks of the validation and the reports that they read.
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

#[derive(Deserialize)]
struct Seed {
    #[serde(default)]
    customers: Vec<Customer>,
    #[serde(default)]
    policies: Map<String, Value>,
}

pub(super) async fn play(cast: &Cast) -> Result<(), Failure> {
    println!(
        "The clock of the platform stops while there is work to do, and advances when everything waits.\nThe times below are of that clock."
    );
    set_up(cast).await?;
    security(cast).await?;
    bug_fix(cast).await?;
    performance(cast).await?;
    emergency(cast).await?;
    prove(cast).await
}

impl Cast {
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

async fn set_up(cast: &Cast) -> Result<(), Failure> {
    cast.chapter("1. Twenty customers in four tiers");
    let customers: Seed = read("customers.yaml", CUSTOMERS)?;
    let policies: Seed = read("release-policies.yaml", POLICIES)?;
    for customer in &customers.customers {
        let health =
            Baseline { error_rate_percent: Some(0.4), latency_ms: Some(120.0), throughput: Some(250.0) };
        let request = PutSimCustomer { version: customer.current_version, health, deploy_seconds: 0 };
        cast.sim_customers.put_customer(&customer.slug, &request).await?;
    }
    let mut tiers: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for customer in &customers.customers {
        tiers.entry(customer.tier).or_default().push(customer.name.as_str());
    }
    let rows = tiers.into_iter().map(|(tier, names)| row![tier, names.len(), names.join(", ")]);
    let table = columns(&["tier", "customers", ""], rows.collect());
    let fields = customers.customers.iter().map(serde_json::to_value).map(|value| match value {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(Failure::new("a customer of the seed cannot be written as JSON")),
    });
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    let config = ApplyConfig { customers: Some(fields), policies: Some(policies.policies), dry_run: false };
    let diff = confirmed(cast.olivia_releases.apply_release_config(&config).await?)?;
    cast.say(format!(
        "{} customers created, {} fields of the policies changed",
        diff.created.len(),
        diff.changed.len()
    ));
    cast.show(&table);
    Ok(())
}

async fn register(cast: &Cast, version: Version, kind: ReleaseKind, notes: &str) -> Result<(), Failure> {
    let request = CreateRelease {
        notes: notes.to_owned(),
        artefact: Some(format!("registry.example/product:{version}")),
        ..new_release(version, kind)
    };
    let release = cast.olivia_releases.create_release(&request).await?;
    cast.say(format!(
        "{version} is registered: {} urgency, based on {}",
        release.urgency, release.base_version
    ));
    Ok(())
}

/// Ticks all items of the checklist, which blocks the deployment first.
async fn tick(cast: &Cast, version: Version) -> Result<(), Failure> {
    let refused = cast.olivia_releases.deploy_release(version, &DeployRelease::default()).await;
    if refused.is_ok() {
        return Err(Failure::new(format!("{version} was deployed with an open checklist")));
    }
    let release = cast.olivia_releases.get_release(version).await?;
    for (item, _) in release.checklist.open() {
        let done = TickItem { state: TickState::Done, reason: String::new() };
        cast.olivia_releases.tick_item(version, item, &done).await?;
    }
    cast.say(format!("its checklist blocked it; {} items are now ticked", release.checklist.0.len()));
    Ok(())
}

async fn forecast(cast: &Cast, version: Version) -> Result<DateTime<Utc>, Failure> {
    let plan = cast.olivia_releases.plan_release(version, &PlanRelease::default()).await?;
    cast.say(format!(
        "the simulated plan: {} waves, done in {}",
        plan.plan.waves.len(),
        timeline::span(plan.timeline.ended_at - plan.timeline.began_at)
    ));
    Ok(plan.timeline.ended_at)
}

/// Rolls out a release and checks how it ends.
async fn deploy(
    cast: &Cast,
    version: Version,
    state: RunState,
    deployed: usize,
) -> Result<ReleaseStatus, Failure> {
    let run = cast.olivia_releases.deploy_release(version, &DeployRelease::default()).await?.run;
    let status = until_end(cast, version, run.id).await?;
    expect(&status, run.id, state, deployed)?;
    Ok(status)
}

/// Prints when the last customer got the release.
fn say_last(cast: &Cast, status: &ReleaseStatus, started: DateTime<Utc>) {
    let deployed = status.customers.iter().filter_map(|customer| customer.deployed_at);
    let took = timeline::span(deployed.max().unwrap_or(started) - started);
    cast.say(format!("all 20 customers run {}, the last after {took}", status.release.version));
}

async fn security(cast: &Cast) -> Result<(), Failure> {
    cast.chapter("2. v1.0.1, a security patch: critical, within the hour");
    let version = Version::new(1, 0, 1);
    register(cast, version, ReleaseKind::Security, "Session tokens were accepted after their logout").await?;
    tick(cast, version).await?;
    forecast(cast, version).await?;
    let started = cast.clock.now();
    let status = deploy(cast, version, RunState::Succeeded, 20).await?;
    say_last(cast, &status, started);
    Ok(())
}

async fn bug_fix(cast: &Cast) -> Result<(), Failure> {
    cast.chapter("3. v1.0.2, a bug fix that fails at one customer");
    let version = Version::new(1, 0, 2);
    register(cast, version, ReleaseKind::BugFix, "Invoices of leap days were a day early").await?;
    tick(cast, version).await?;
    forecast(cast, version).await?;
    let victim = CiId::new(VICTIM).map_err(|error| Failure::new(error.to_string()))?;
    let fault =
        CustomerFault { kind: CustomerFaultKind::ErrorRate, version: Some(version), after_seconds: 240 };
    cast.sim_customers.put_customer_faults(&victim, &PutCustomerFaults { faults: vec![fault] }).await?;
    cast.say(format!(
        "(a fault is injected: at {VICTIM}, {version} will lose one request in ten after four minutes)"
    ));
    let status = deploy(cast, version, RunState::CompletedWithErrors, 19).await?;
    let customer = status.customers.iter().find(|customer| customer.customer == victim);
    match customer {
        Some(customer)
            if customer.state == Some(HostState::RolledBack)
                && customer.current_version == Version::new(1, 0, 1) =>
        {
            cast.say(format!("{VICTIM} runs {} again; the other 19 run {version}", customer.current_version));
        }
        _ => {
            return Err(Failure::new(format!("{VICTIM} was not rolled back after its health checks failed")));
        }
    }
    Ok(())
}

async fn performance(cast: &Cast) -> Result<(), Failure> {
    cast.chapter(
        "4. v1.0.3, a performance patch: announced three days before, in the window of each customer",
    );
    let version = Version::new(1, 0, 3);
    register(cast, version, ReleaseKind::Performance, "Searches use the new index").await?;
    tick(cast, version).await?;
    let forecast = forecast(cast, version).await?;
    deploy(cast, version, RunState::Succeeded, 20).await?;
    let late = (cast.clock.now() - forecast).num_minutes();
    let direction = if late < 0 { "before" } else { "after" };
    cast.say(format!("done {} minutes {direction} the time that was forecast weeks ago", late.abs()));
    Ok(())
}

async fn emergency(cast: &Cast) -> Result<(), Failure> {
    cast.chapter("5. v1.0.4, an emergency: all customers at once, with one approval");
    let version = Version::new(1, 0, 4);
    register(cast, version, ReleaseKind::Security, "Remote code execution in the upload of avatars").await?;
    let request = EmergencyRelease {
        reason: "exploited in the wild since this morning".to_owned(),
        customers: Vec::new(),
        dry_run: false,
    };
    let run = cast.olivia_releases.deploy_emergency_release(version, &request).await?;
    let release = cast.olivia_releases.get_release(version).await?;
    cast.say(format!(
        "the checklist does not block it: {} items are waived by {} with this reason",
        release.checklist.0.len(),
        run.run.requested_by
    ));
    let change = poll(TIMEOUT, POLL, async || {
        let status = cast.olivia_releases.get_release_status(version).await?;
        let summary = &of(&status, run.run.id)?.run.run;
        Ok(summary.change_id.clone().filter(|_| summary.state == RunState::AwaitingApproval))
    });
    let change = change.await?.ok_or_else(|| Failure::new("the emergency change was not opened in time"))?;
    let decision = Decide { comment: "go".to_owned(), plan_hash: None };
    // The change is submitted right after it is opened, so the first attempts may be too early.
    let approved = poll(Duration::from_secs(10), POLL, async || {
        Ok(cast.arjun.approve_change(&change, &decision).await.ok())
    });
    if approved.await?.is_none() {
        cast.arjun.approve_change(&change, &decision).await?;
    }
    cast.say(format!("arjun approves {change}"));
    let started = cast.clock.now();
    let status = until_end(cast, version, run.run.id).await?;
    expect(&status, run.run.id, RunState::Succeeded, 20)?;
    say_last(cast, &status, started);
    Ok(())
}

async fn prove(cast: &Cast) -> Result<(), Failure> {
    cast.chapter("6. The proof");
    let mut deployments = 0;
    for customer in cast.sim_customers.list_customers().await? {
        let mut seen = BTreeMap::new();
        for deployment in &customer.deployments {
            deployments += 1;
            *seen.entry(deployment.version).or_insert(0) += 1;
        }
        let twice = seen.iter().find(|(version, count)| {
            **count > 1 && !(customer.id.as_str() == VICTIM && **version == Version::new(1, 0, 1))
        });
        if let Some((version, count)) = twice {
            return Err(Failure::new(format!("{} received {version} {count} times", customer.id)));
        }
    }
    cast.say(format!("{deployments} deployments as counted by the customers, none of them twice"));
    let late = RollBackRelease {
        customers: vec!["acme-corp".to_owned()],
        reason: "to see whether it is still possible".to_owned(),
        at_once: true,
    };
    match cast.olivia_releases.roll_back_release(Version::new(1, 0, 1), &late).await {
        Ok(_) => return Err(Failure::new("v1.0.1 was rolled back at a customer that does not run it")),
        Err(error) => cast.say(format!("a rollback of v1.0.1 is refused now: {error}")),
    }
    cast.say("the success metrics, from the records:");
    cast.show(&views::metrics(&cast.olivia_releases.get_metrics().await?));
    cast.say(format!("{:.0} s of real time", cast.started.elapsed().as_secs_f64()));
    println!("\nHow the bug fix went (patchctl release timeline --version v1.0.2):\n");
    println!("{}", timeline::text(&cast.olivia_releases.get_release_timeline(Version::new(1, 0, 2)).await?));
    Ok(())
}

/// Follows the rollout until its end, prints its log, and advances the clock whenever everything waits.
async fn until_end(cast: &Cast, version: Version, run: RunId) -> Result<ReleaseStatus, Failure> {
    let mut printed = 0;
    loop {
        let status = cast.olivia_releases.get_release_status(version).await?;
        let now = of(&status, run)?;
        for line in now.log_tail.iter().filter(|line| line.sequence > printed) {
            let text = match &line.ci_id {
                None => Some(line.text.clone()),
                Some(customer) if line.text != "is deployed" => Some(format!("{customer} {}", line.text)),
                Some(_) => None,
            };
            if let Some(text) = text {
                println!("   {}  {text}", line.at.format("%a %H:%M"));
            }
        }
        printed = now.log_tail.last().map_or(printed, |line| line.sequence);
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
        if cast.started.elapsed() > TIMEOUT {
            return Err(Failure::new(format!("the rollout of {version} did not end in time")));
        }
        let advance = safe_advance(&status, now, cast.clock.now());
        sleep(POLL).await;
        cast.clock.advance(advance);
    }
}

/// How far the clock may advance without missing anything.
fn safe_advance(status: &ReleaseStatus, run: &ReleaseRunStatus, now: DateTime<Utc>) -> TimeDelta {
    if run.run.run.state != RunState::Executing {
        return TimeDelta::seconds(1);
    }
    let Some(until) = run.waits_until.filter(|until| *until > now) else { return TimeDelta::seconds(1) };
    let is_recent = status.customers.iter().any(|customer| {
        let is_unsure = customer
            .watch
            .as_ref()
            .is_some_and(|watch| !matches!(watch.state, WatchState::Healthy | WatchState::Ended));
        is_unsure || customer.deployed_at.is_some_and(|at| now - at < RECENT)
    });
    let most = if is_recent { TimeDelta::minutes(1) } else { TimeDelta::hours(6) };
    (until - now).min(most)
}

fn of(status: &ReleaseStatus, run: RunId) -> Result<&ReleaseRunStatus, Failure> {
    let found = status.runs.iter().find(|one| one.run.run.id == run);
    found.ok_or_else(|| Failure::new(format!("run {run} is not among those of {}", status.release.version)))
}

/// Fails the scene if the rollout did not end as expected.
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
