//! The evening: a fleet, a critical advisory, a plan, an approval, the rollout with one failure, and the proof.

use std::collections::BTreeSet;

use api_types::{
    itsm::Decide,
    patch::{PlanComparison, Remediate, RunDetail, ScanState, SimulatePlans, StartScan, WaveState},
    sim::{CreateFault, FaultKind},
};
use domain::{
    ids::{CiId, PolicyId, RunId},
    plan::WaveKind,
    run::{HostState, RunState},
    strategy::Strategy,
};

use super::{
    cast::{self, Cast, until},
    real,
    screen::Screen,
    seeds,
};
use crate::{
    arguments::DemoHosts,
    commands::simulate::{plan_remark, weighted_hours},
};
use terminal::{Failure, row};

/// The advisory of the evening.
const CVE: &str = "CVE-2026-90100";
const POLICY: &str = "policy-prod-baseline";

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
        DemoHosts::Real | DemoHosts::Brownfield => {
            screen.say("real hosts are created, after their images if this machine has none yet");
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
    let ended = until("the scan", async || {
        let scan = cast.olivia.get_scan(scan.id).await?;
        Ok(Some(scan).filter(|scan| !matches!(scan.state, ScanState::Queued | ScanState::Running)))
    })
    .await?;
    if ended.state != ScanState::Succeeded {
        let reason = ended.error.or(ended.failures.first().map(|failure| failure.reason.clone()));
        let reason = reason.unwrap_or_default();
        return Err(Failure::new(format!("the scan failed for {} hosts: {reason}", ended.failed)));
    }
    screen.say(format!("{} hosts scanned by Ansible", ended.scanned));
    Ok(())
}

/// Prints the compliance, and returns the number of hosts with missing fixes.
async fn compliance(cast: &Cast, screen: &Screen) -> Result<i64, Failure> {
    let summary = cast.olivia.get_compliance().await?;
    let rows = summary.by_env.iter().map(|(env, counts)| {
        let share = format!("{:.1} %", counts.percent);
        row![env, share, counts.compliant, counts.non_compliant, counts.unknown]
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
        return Err(Failure::new(format!("{CVE} is unknown after its import")));
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
        let due = ci.due.map_or_else(|| "unknown".to_owned(), |due| due.format("%Y-%m-%d").to_string());
        row![ci.ci_id, ci.package, ci.installed, ci.fixed, due]
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
        let forecast = &outcome.forecast;
        row![
            forecast.strategy,
            forecast.waves,
            format!("{:.0}", forecast.duration_p50_seconds),
            format!("{:.0}", forecast.duration_p95_seconds),
            forecast.max_hosts_down,
            format!("{:.0}", forecast.expected_service_down_seconds),
            format!("{:.1}", forecast.halt_probability * 100.0),
            weighted_hours(forecast.exposure_p50),
            weighted_hours(forecast.exposure_p95),
            if outcome.pareto { "*" } else { "" },
            plan_remark(outcome),
        ]
    });
    let headings = [
        "strategy",
        "waves",
        "P50 (s)",
        "P95 (s)",
        "down at once (hosts)",
        "below min_up (s)",
        "halts (% of runs)",
        "exposure P50 (weighted h)",
        "P95 (weighted h)",
        "front",
        "plan",
    ];
    screen.table(&headings, rows);
    for refused in &comparison.refused {
        screen.say(&refused.reason);
    }
    let chosen = comparison
        .recommended
        .ok_or_else(|| Failure::new(format!("no strategy is recommended: {}", comparison.why)))?;
    screen.say(format!("chosen: {chosen}. {}", comparison.why));
    match comparison.outcomes.iter().map(|outcome| outcome.forecast.observations).max() {
        Some(observations @ 1..) => {
            screen.say(format!("durations are learned from {observations} attempts on hosts"))
        }
        _ => screen.say(
            "durations are defaults for hosts that were never observed; model hosts are faster, and each run improves them",
        ),
    }
    Ok(chosen)
}

async fn open(cast: &Cast, screen: &mut Screen, strategy: Strategy) -> Result<RunId, Failure> {
    screen.chapter("A change request for exactly this plan");
    let request = Remediate { policy_id: Some(policy()?), strategy: Some(strategy), ..Remediate::default() };
    let run = cast.olivia.remediate_advisory(CVE, &request).await?;
    let detail = until_state(cast, run.id, |run| {
        run.summary.state == RunState::AwaitingApproval && run.summary.change_id.is_some()
    })
    .await?;
    let plan = cast.olivia.get_run_plan(run.id).await?;
    screen.say(format!("run {} plans {} hosts in {} waves", run.id, plan.targets.len(), plan.waves.len()));
    let rows = plan.waves.iter().map(|wave| {
        let hosts = wave.hosts.iter().map(CiId::as_str).collect::<Vec<_>>().join(" ");
        row![wave.name, wave.hosts.len(), hosts]
    });
    screen.table(&["wave", "hosts", ""], rows);
    let change = detail.summary.change_id.as_ref().map(ToString::to_string).unwrap_or_default();
    let hash =
        detail.summary.plan_hash.as_ref().map(|hash| hash.as_str()[..12].to_owned()).unwrap_or_default();
    screen.say(format!(
        "change {change} requests approval of plan {hash}, on behalf of {}",
        detail.summary.requested_by
    ));
    Ok(run.id)
}

/// Makes the updates of one production host fail twice: at its first attempt and after its rollback.
async fn inject(cast: &Cast, screen: &mut Screen, run: RunId) -> Result<CiId, Failure> {
    let plan = cast.olivia.get_run_plan(run).await?;
    let last =
        plan.waves.iter().rev().find(|wave| wave.kind == WaveKind::Batch).and_then(|wave| wave.hosts.last());
    let victim = last.cloned().ok_or_else(|| Failure::new("the plan has no wave after its pilots"))?;
    let fault = CreateFault {
        vm_id: victim.clone(),
        probability: 1.0,
        // On a real host, the fault applies to each of its packages.
        times: (cast.hosts == DemoHosts::Model).then_some(2),
        service: None,
        delay_seconds: None,
        seed: 0,
    };
    cast.olivia_sim.inject_fault(FaultKind::PatchFailure, &fault).await?;
    screen.say(format!("(a fault is injected: the next updates of {victim} will fail halfway)"));
    Ok(victim)
}

async fn approve(cast: &Cast, screen: &mut Screen, run: RunId) -> Result<(), Failure> {
    let detail = cast.olivia.get_run(run).await?;
    let change_id = detail.summary.change_id.ok_or_else(|| Failure::new("the run has no change"))?;
    let decision = Decide {
        comment: "read the plan and the prediction".to_owned(),
        plan_hash: detail.summary.plan_hash.map(|hash| hash.to_string()),
    };
    if cast.olivia_itsm.approve_change(&change_id, &decision).await.is_ok() {
        return Err(Failure::new("the requester was able to approve the change"));
    }
    screen.say("olivia, who requested it, cannot approve it");
    let change = cast.arjun.approve_change(&change_id, &decision).await?;
    let approver = change.approvals.last().map_or("nobody", |approval| approval.approver.as_str());
    screen.say(format!("{approver} approves {change_id}"));
    Ok(())
}

/// Lines of the log that are read at once: more than a run writes between two polls.
const LOG_TAIL: u32 = 200;

async fn roll_out(cast: &Cast, screen: &mut Screen, run: RunId) -> Result<(), Failure> {
    screen.chapter("Staging, pilots, then wave by wave");
    let mut printed = 0;
    let mut done: BTreeSet<u32> = BTreeSet::new();
    until("the rollout", async || {
        // Read first, so that the lines and waves of a run that has ended are complete.
        let summary = cast.olivia.get_run(run).await?.summary;
        let lines = cast.olivia.get_run_log_tail(run, LOG_TAIL).await?;
        for line in lines.iter().filter(|line| line.sequence > printed && line.ci_id.is_none()) {
            screen.say(&line.text);
        }
        printed = lines.last().map_or(printed, |line| line.sequence);
        let waves = cast.olivia.list_run_waves(run, usize::MAX).await?;
        for wave in waves.iter().filter(|wave| wave.state == WaveState::Done && done.insert(wave.index)) {
            let (name, hosts) = (&wave.name, &wave.hosts);
            let (patched, total, failed) = (hosts.succeeded, hosts.total, hosts.failed);
            screen.say(format!("wave `{name}`: {patched} of {total} patched, {failed} failed"));
        }
        if summary.state == RunState::Paused {
            let reason = summary.reason.unwrap_or_default();
            return Err(Failure::new(format!("the run is paused: {reason}")));
        }
        Ok(summary.state.is_final().then_some(()))
    })
    .await
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
        report.run.reason.clone().unwrap_or_else(|| "every wave was executed".to_owned())
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
        "{CVE}: {affected} hosts were affected, {} remain: the one that failed{}",
        after.affected_total,
        match cast.hosts {
            DemoHosts::Model => ", and six development hosts, whose policies stop at February",
            DemoHosts::Real | DemoHosts::Brownfield => "",
        }
    ));
    if lacking > after.affected_total {
        screen.say(format!(
            "{} other hosts lack fixes of other advisories, which were not part of this run",
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
        let (p50, p95) = (prediction.duration_p50_seconds, prediction.duration_p95_seconds);
        let failed = format!("{:.1}", prediction.expected_failed_hosts);
        let rows = [
            row!["duration", format!("P50 {p50:.0} s, P95 {p95:.0} s"), actual],
            row!["failed hosts", failed, report.actual.failed_hosts],
            row!["down at once", prediction.max_hosts_down, report.actual.max_hosts_down],
        ];
        screen.table(&["", "predicted", "actual"], rows);
    }
    check(&report, victim)
}

/// Fails the demo if the evening did not end as expected.
fn check(report: &api_types::patch::RunReport, victim: &CiId) -> Result<(), Failure> {
    let victim_state = report.hosts.iter().find(|host| &host.ci_id == victim).map(|host| host.state);
    let tests = &report.tests;
    let expected = [
        (tests.regressions == 0, "a staging test regressed"),
        (tests.before != 0 && tests.before == tests.after, "the staging tests did not run before and after"),
        (report.run.state == RunState::CompletedWithErrors, "the run did not end as completed with errors"),
        (victim_state == Some(HostState::RolledBack), "the failing host was not reverted to its snapshot"),
        (report.run.hosts.failed == 1, "another host failed than the one with the fault"),
        (report.incident_id.is_some(), "no incident was opened"),
    ];
    cast::check(&expected)
}

async fn until_state(
    cast: &Cast,
    run: RunId,
    reached: impl Fn(&RunDetail) -> bool,
) -> Result<RunDetail, Failure> {
    until("the run", async || {
        let detail = cast.olivia.get_run(run).await?;
        let state = detail.summary.state;
        if !reached(&detail) && (state.is_final() || state == RunState::Paused) {
            let reason = detail.summary.reason.unwrap_or_default();
            return Err(Failure::new(format!("the run is {}: {reason}", state.name())));
        }
        Ok(Some(detail).filter(|detail| reached(detail)))
    })
    .await
}

fn policy() -> Result<PolicyId, Failure> {
    PolicyId::new(POLICY).map_err(|error| Failure::new(error.to_string()))
}
