//! The evening itself: a fleet, a critical advisory, a plan, an approval, the rollout with one failure, the proof.

use std::{collections::BTreeMap, time::Duration};

use api_types::{
    itsm::Decide,
    patch::{PlanComparison, Remediate, RunDetail, ScanState, SimulatePlans, StartScan},
    sim::{CreateFault, FaultKind},
};
use domain::{
    ids::{CiId, PolicyId, RunId},
    plan::WaveKind,
    run::{HostState, RunState},
    strategy::Strategy,
};
use tokio::time::{Instant, sleep};

use super::{Cast, real, screen::Screen, seeds};
use crate::{arguments::DemoHosts, failure::Failure};

/// The advisory of the evening.
const CVE: &str = "CVE-2026-90100";
const POLICY: &str = "policy-prod-baseline";
/// The evening is over by then, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(900);

pub(super) async fn play(cast: &Cast) -> Result<(), Failure> {
    let mut screen = Screen::new();
    fleet(cast, &mut screen).await?;
    let affected = advisory(cast, &mut screen).await?;
    let strategy = decide(cast, &mut screen).await?;
    let run = open(cast, &mut screen, strategy).await?;
    let before = real::versions(cast).await?;
    let victim = inject(cast, &mut screen, run).await?;
    approve(cast, &mut screen, run).await?;
    roll_out(cast, &mut screen, run).await?;
    prove(cast, &mut screen, run, affected, &victim).await?;
    real::compare(cast, &screen, &before, &victim).await
}

async fn fleet(cast: &Cast, screen: &mut Screen) -> Result<(), Failure> {
    screen.chapter("The fleet");
    let cis = match cast.hosts {
        DemoHosts::Model => {
            for (os, repository) in seeds::repositories()? {
                cast.olivia_sim.put_repository(&os, &repository).await?;
            }
            let created = cast.olivia_sim.create_vms(&seeds::vms(cast.hosts)?).await?;
            screen.say(format!("{} virtual machines run in the sim-engine", created.created));
            seeds::CIS.to_vec()
        }
        DemoHosts::Real => {
            screen.say("real hosts are made, and their images first, where this machine has none yet");
            let made = real::create(cast).await?;
            screen.say(format!("{} real hosts answer over SSH", made.len()));
            real::cis(&made)?
        }
    };
    let imported = cast.olivia_cmdb.import_cis("application/json", cis, false).await?;
    let relationships = seeds::relationships(cast.hosts)?;
    for relationship in &relationships {
        cast.olivia_cmdb.create_relationship(relationship).await?;
    }
    screen.say(format!(
        "{} CIs imported into the CMDB, {} relationships",
        imported.created,
        relationships.len()
    ));
    for policy in seeds::policies(cast.hosts)? {
        cast.olivia.create_policy(&policy).await?;
    }
    for feed in seeds::ADVISORIES {
        cast.olivia.import_advisories("application/json", feed.to_vec(), |_| {}).await?;
    }
    screen.say(format!(
        "{} policies, {} advisories",
        cast.olivia.list_policies(&[], 1000).await?.len(),
        cast.olivia.list_advisories(&[], 1000).await?.len()
    ));
    scan(cast, screen).await?;
    compliance(cast, screen).await?;
    Ok(())
}

async fn scan(cast: &Cast, screen: &Screen) -> Result<(), Failure> {
    let scan = cast.olivia.start_scan(&StartScan::default()).await?;
    let until = Instant::now() + PATIENCE;
    loop {
        let now = cast.olivia.get_scan(scan.id).await?;
        match now.state {
            ScanState::Succeeded => {
                screen.say(format!("{} hosts scanned by Ansible", now.scanned));
                return Ok(());
            }
            ScanState::Partial | ScanState::Failed => {
                let reason = now
                    .error
                    .or(now.failures.first().map(|failure| failure.reason.clone()))
                    .unwrap_or_default();
                return Err(Failure::new(format!("the scan failed for {} hosts: {reason}", now.failed)));
            }
            ScanState::Queued | ScanState::Running => wait(until, "the scan").await?,
        }
    }
}

/// Shows it, and gives how many hosts lack something.
async fn compliance(cast: &Cast, screen: &Screen) -> Result<i64, Failure> {
    let summary = cast.olivia.get_compliance().await?;
    let rows = summary.by_env.iter().map(|(env, counts)| {
        vec![
            env.clone(),
            format!("{:.1} %", counts.percent),
            counts.compliant.to_string(),
            counts.non_compliant.to_string(),
            counts.unknown.to_string(),
        ]
    });
    screen.table(&["env", "share", "compliant", "lacking", "unknown"], rows);
    Ok(summary.by_env.values().map(|counts| counts.non_compliant).sum())
}

async fn advisory(cast: &Cast, screen: &mut Screen) -> Result<i64, Failure> {
    screen.chapter("A critical advisory arrives");
    if cast.hosts == DemoHosts::Model {
        for (os, repository) in seeds::repositories_after_advisory()? {
            cast.olivia_sim.put_repository(&os, &repository).await?;
        }
    }
    for feed in seeds::INCOMING {
        cast.olivia.import_advisories("application/json", feed.to_vec(), |_| {}).await?;
    }
    let detail = cast.olivia.get_advisory(CVE, None).await?;
    let Some(advisory) = detail.advisories.first() else {
        return Err(Failure::new(format!("{CVE} is not known after its import")));
    };
    let exploited = if advisory.summary.exploited { ", known to be exploited" } else { "" };
    let severity = format!("{:?}", advisory.summary.severity).to_lowercase();
    screen.say(format!("{CVE}: {} ({severity}{exploited})", advisory.summary.summary));
    screen.say(format!(
        "{} hosts are affected: their version is lower than the vendor's fix",
        detail.affected_total
    ));
    let rows = detail.affected.iter().step_by((detail.affected.len() / 4).max(1)).take(4);
    let rows = rows.map(|ci| {
        vec![
            ci.ci_id.to_string(),
            ci.package.clone(),
            ci.installed.clone(),
            ci.fixed.clone(),
            ci.due.format("%Y-%m-%d").to_string(),
        ]
    });
    screen.table(&["for example", "package", "installed", "fixed", "due"], rows);
    compliance(cast, screen).await?;
    Ok(detail.affected_total)
}

async fn decide(cast: &Cast, screen: &mut Screen) -> Result<Strategy, Failure> {
    screen.chapter("The plan is simulated under every strategy");
    let request = SimulatePlans {
        policy_id: Some(policy()?),
        advisory: Some(CVE.to_owned()),
        runs: Some(1000),
        ..SimulatePlans::default()
    };
    let comparison: PlanComparison = cast.olivia.simulate_plans(&request).await?;
    let rows = comparison.outcomes.iter().map(|outcome| {
        vec![
            outcome.strategy.to_string(),
            outcome.waves.to_string(),
            minutes(outcome.duration_p50_seconds),
            minutes(outcome.duration_p95_seconds),
            outcome.max_hosts_down.to_string(),
            format!("{:.0} s", outcome.expected_service_down_seconds),
            format!("{:.1} %", outcome.halt_probability * 100.0),
            format!("{:.0}", outcome.exposure / 3600.0),
        ]
    });
    screen.table(
        &[
            "strategy",
            "waves",
            "P50",
            "P95",
            "down at once",
            "below min_up",
            "P(halt)",
            "exposure (weighted h)",
        ],
        rows,
    );
    let chosen = comparison
        .recommended
        .ok_or_else(|| Failure::new(format!("no strategy can be recommended: {}", comparison.why)))?;
    screen.say(format!("chosen: {chosen}. {}", comparison.why));
    match comparison.outcomes.iter().map(|outcome| outcome.observations).max() {
        Some(observations @ 1..) => {
            screen.say(format!("durations are learnt from {observations} attempts on hosts"))
        }
        _ => screen.say(
            "durations are the prior of hosts nobody has observed yet, which laboratory hosts stay below; each run teaches",
        ),
    }
    Ok(chosen)
}

async fn open(cast: &Cast, screen: &mut Screen, strategy: Strategy) -> Result<RunId, Failure> {
    screen.chapter("A change request for this very plan");
    let request = Remediate { policy_id: Some(policy()?), strategy: Some(strategy), ..Remediate::default() };
    let run = cast.olivia.remediate_advisory(CVE, &request).await?;
    let detail = until_state(cast, run.id, |run| {
        run.summary.state == RunState::AwaitingApproval && run.summary.change_id.is_some()
    })
    .await?;
    let Some(plan) = &detail.plan else { return Err(Failure::new("the run awaits approval without a plan")) };
    screen.say(format!("run {} plans {} hosts in {} waves", run.id, plan.targets.len(), plan.waves.len()));
    let rows = plan.waves.iter().map(|wave| {
        let hosts = wave.hosts.iter().map(CiId::as_str).collect::<Vec<_>>().join(" ");
        vec![wave.name.clone(), wave.hosts.len().to_string(), hosts]
    });
    screen.table(&["wave", "hosts", ""], rows);
    let change = detail.summary.change_id.as_ref().map(ToString::to_string).unwrap_or_default();
    let hash =
        detail.summary.plan_hash.as_ref().map(|hash| hash.as_str()[..12].to_owned()).unwrap_or_default();
    screen.say(format!(
        "change {change} asks for approval of plan {hash}, requested by {}",
        detail.summary.requested_by
    ));
    Ok(run.id)
}

/// Makes the updates of one production host fail, twice: at its first try and after its rollback.
async fn inject(cast: &Cast, screen: &mut Screen, run: RunId) -> Result<CiId, Failure> {
    let detail = cast.olivia.get_run(run).await?;
    let plan = detail.plan.ok_or_else(|| Failure::new("the run has no plan"))?;
    let last =
        plan.waves.iter().rev().find(|wave| wave.kind == WaveKind::Batch).and_then(|wave| wave.hosts.last());
    let victim = last.cloned().ok_or_else(|| Failure::new("the plan has no wave beyond its pilots"))?;
    let fault = CreateFault {
        vm_id: victim.clone(),
        probability: 1.0,
        // In a real host each of its packages meets the fault.
        times: (cast.hosts == DemoHosts::Model).then_some(2),
        service: None,
        delay_seconds: None,
        seed: 0,
    };
    cast.olivia_sim.inject_fault(FaultKind::PatchFailure, &fault).await?;
    screen.say(format!("(a fault is injected: the next updates of {victim} will fail half way)"));
    Ok(victim)
}

async fn approve(cast: &Cast, screen: &mut Screen, run: RunId) -> Result<(), Failure> {
    let detail = cast.olivia.get_run(run).await?;
    let change_id = detail.summary.change_id.ok_or_else(|| Failure::new("the run has no change"))?;
    let decision = Decide {
        comment: "plan and prediction read".to_owned(),
        plan_hash: detail.summary.plan_hash.map(|hash| hash.to_string()),
    };
    if cast.olivia_itsm.approve_change(&change_id, &decision).await.is_ok() {
        return Err(Failure::new("the requester could approve the change"));
    }
    screen.say("olivia, who requested it, cannot approve it");
    let change = cast.arjun.approve_change(&change_id, &decision).await?;
    let approver = change.approvals.last().map_or("nobody", |approval| approval.approver.as_str());
    screen.say(format!("{approver} approves {change_id}"));
    Ok(())
}

async fn roll_out(cast: &Cast, screen: &mut Screen, run: RunId) -> Result<(), Failure> {
    screen.chapter("Staging, pilots, then wave by wave");
    let until = Instant::now() + PATIENCE;
    let mut lines = 0;
    let mut states: BTreeMap<u32, String> = BTreeMap::new();
    loop {
        let detail = cast.olivia.get_run(run).await?;
        for line in detail.log_tail.iter().filter(|line| line.sequence > lines && line.ci_id.is_none()) {
            screen.say(&line.text);
        }
        lines = detail.log_tail.last().map_or(lines, |line| line.sequence);
        for wave in &detail.waves {
            let text = format!(
                "{} of {} patched, {} failed",
                wave.hosts.succeeded, wave.hosts.total, wave.hosts.failed
            );
            if wave.state == "done"
                && states.insert(wave.index, wave.state.clone()).as_deref() != Some("done")
            {
                screen.say(format!("wave `{}`: {text}", wave.name));
            }
        }
        if detail.summary.state == RunState::Paused {
            return Err(Failure::new(format!(
                "the run is paused: {}",
                detail.summary.reason.unwrap_or_default()
            )));
        }
        if detail.summary.state.is_final() {
            return Ok(());
        }
        wait(until, "the rollout").await?;
    }
}

async fn prove(
    cast: &Cast,
    screen: &mut Screen,
    run: RunId,
    affected: i64,
    victim: &CiId,
) -> Result<(), Failure> {
    screen.chapter("The proof");
    let report = cast.olivia.get_run_report(run).await?;
    screen.say(format!(
        "run {}: {}",
        report.run.state.name(),
        report.run.reason.clone().unwrap_or_else(|| "every wave was played".to_owned())
    ));
    screen.say(format!(
        "{} hosts patched, {} failed; {} packages changed; {} reboots",
        report.run.hosts.succeeded, report.run.hosts.failed, report.packages_changed, report.reboots
    ));
    screen.say(format!(
        "staging: {} tests before ({} passed), {} after ({} passed), {} regressions",
        report.tests.before,
        report.tests.before_passed,
        report.tests.after,
        report.tests.after_passed,
        report.tests.regressions
    ));
    let host = report.hosts.iter().find(|host| &host.ci_id == victim);
    if let Some(host) = host {
        screen.say(format!(
            "{}: {} after {} attempts ({})",
            host.ci_id,
            host.state.name(),
            host.attempts,
            host.error.as_deref().unwrap_or("no reason")
        ));
    }
    let lacking = compliance(cast, screen).await?;
    let after = cast.olivia.get_advisory(CVE, None).await?;
    screen.say(format!(
        "{CVE}: {affected} hosts were affected, {} are left: the one that failed{}",
        after.affected_total,
        match cast.hosts {
            DemoHosts::Model => ", and the six of development, whose policies stop at February",
            DemoHosts::Real => "",
        }
    ));
    if lacking > after.affected_total {
        screen.say(format!(
            "{} other hosts lack fixes of other advisories, which this run was not about",
            lacking - after.affected_total
        ));
    }
    if let Some(change_id) = &report.run.change_id {
        let change = cast.olivia_itsm.get_change(change_id).await?;
        screen.say(format!(
            "change {change_id}: {:?}, {}",
            change.state,
            change.close_notes.unwrap_or_default()
        ));
    }
    if let Some(id) = &report.incident_id {
        let incident = cast.olivia_itsm.get_incident(id).await?;
        screen.say(format!("incident {id}: {}", incident.short_description));
    }
    if let Some(prediction) = &report.prediction {
        let actual =
            report.actual.duration_seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.0} s"));
        screen.table(
            &["", "predicted", "actual"],
            [
                vec![
                    "duration".to_owned(),
                    format!(
                        "P50 {:.0} s, P95 {:.0} s",
                        prediction.duration_p50_seconds, prediction.duration_p95_seconds
                    ),
                    actual,
                ],
                vec![
                    "failed hosts".to_owned(),
                    format!("{:.1}", prediction.expected_failed_hosts),
                    report.actual.failed_hosts.to_string(),
                ],
                vec![
                    "down at once".to_owned(),
                    prediction.max_hosts_down.to_string(),
                    report.actual.max_hosts_down.to_string(),
                ],
            ],
        );
    }
    check(&report, victim)
}

/// The demo fails when the evening did not go as a platform like this must let it go.
fn check(report: &api_types::patch::RunReport, victim: &CiId) -> Result<(), Failure> {
    let wrong = |text: &str| Err(Failure::new(format!("the evening went wrong: {text}")));
    let victim_state = report.hosts.iter().find(|host| &host.ci_id == victim).map(|host| host.state);
    match () {
        () if report.tests.regressions != 0 => wrong("a staging test regressed"),
        () if report.tests.before == 0 || report.tests.before != report.tests.after => {
            wrong("the staging tests did not run before and after")
        }
        () if report.run.state != RunState::CompletedWithErrors => {
            wrong("the run did not end as completed with errors")
        }
        () if victim_state != Some(HostState::RolledBack) => {
            wrong("the failing host was not returned to its snapshot")
        }
        () if report.run.hosts.failed != 1 => wrong("more hosts failed than the one that was made to"),
        () if report.incident_id.is_none() => wrong("no incident was opened"),
        () => Ok(()),
    }
}

async fn until_state(
    cast: &Cast,
    run: RunId,
    reached: impl Fn(&RunDetail) -> bool,
) -> Result<RunDetail, Failure> {
    let until = Instant::now() + PATIENCE;
    loop {
        let detail = cast.olivia.get_run(run).await?;
        if reached(&detail) {
            return Ok(detail);
        }
        if detail.summary.state.is_final() || detail.summary.state == RunState::Paused {
            let reason = detail.summary.reason.unwrap_or_default();
            return Err(Failure::new(format!("the run is {}: {reason}", detail.summary.state.name())));
        }
        wait(until, "the run").await?;
    }
}

async fn wait(until: Instant, what: &str) -> Result<(), Failure> {
    if Instant::now() >= until {
        return Err(Failure::new(format!("{what} took longer than {} s", PATIENCE.as_secs())));
    }
    sleep(Duration::from_millis(300)).await;
    Ok(())
}

fn policy() -> Result<PolicyId, Failure> {
    PolicyId::new(POLICY).map_err(|error| Failure::new(error.to_string()))
}

fn minutes(seconds: f64) -> String {
    match seconds < 120.0 {
        true => format!("{seconds:.0} s"),
        false => format!("{:.1} min", seconds / 60.0),
    }
}
