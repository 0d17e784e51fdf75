//! What a person reads about releases, at any hour.

use api_types::patch::{
    CheckResult, ConfigDiff, CustomerHealthDetail, CustomerWatch, MetricsReport, Release, ReleasePlan,
    ReleaseRun, ReleaseRunStatus, ReleaseStatus, StoredReleasePolicies, WatchState,
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::release::{ItemState, Measured, ReleaseKind, ReleaseMetrics, Tier};

use super::timeline;
use crate::failure::{ExitStatus, Failure, Outcome};
use crate::output::{Printer, clean, columns, note, print};

/// `v1.0.2 · bug fix · medium · based on v1.0.1`
pub(super) fn head(release: &Release) -> String {
    let kind = release.kind.name().replace('_', " ");
    let mut text = format!(
        "{}  {kind}, {} urgency, based on {}",
        release.version, release.urgency, release.base_version
    );
    if !release.notes.is_empty() {
        text.push_str(&format!("\n        {}", clean(&release.notes)));
    }
    text
}

pub(super) fn checklist(release: &Release) -> String {
    if release.checklist.0.is_empty() {
        return "its type has no checklist".to_owned();
    }
    let rows = release.checklist.0.iter().map(|(name, item)| {
        let (mark, who) = match &item.state {
            ItemState::Open => ("[ ]", String::new()),
            ItemState::Done { by, at } => ("[x]", format!("{by}, {}", minute(*at))),
            ItemState::Waived { by, reason, .. } => ("[-]", format!("waived by {by}: {reason}")),
        };
        let number = name.split('-').next().unwrap_or_default().trim_start_matches('0').to_owned();
        vec![mark.to_owned(), number, clean(&item.text), clean(&who)]
    });
    columns(&["", "item", "text", "who"], rows.collect())
}

fn minute(at: DateTime<Utc>) -> String {
    at.format("%a %Y-%m-%d %H:%M UTC").to_string()
}

pub(super) fn plan(plan: &ReleasePlan, printer: Printer) -> Result<(), Failure> {
    if !printer.is_for_people() {
        return printer.item(plan);
    }
    print(&head(&plan.release))?;
    print(&format!("plan    {}\n", &plan.plan_hash[..plan.plan_hash.len().min(12)]))?;
    let began_at = plan.timeline.began_at;
    let rows = plan.plan.waves.iter().map(|wave| {
        let first = plan.timeline.rows.iter().find(|row| {
            use domain::release::Happening::{Begun, CheckBegan};
            row.wave == wave.name && matches!(row.what, Begun | CheckBegan)
        });
        let starts = first.map_or("-".to_owned(), |row| {
            format!("{} {}", timeline::offset(row.at - began_at), row.at.format("%a %H:%M"))
        });
        let start = wave.start.as_ref();
        let delay = start.filter(|start| start.delay_seconds > 0).map(|start| {
            timeline::delay(TimeDelta::seconds(i64::from(start.delay_seconds))) + " after the demo"
        });
        let notice = start
            .and_then(|start| start.notice_seconds)
            .map(|seconds| format!("told {} h before", seconds / 3600));
        let in_windows = plan.plan.deployment().is_some_and(|deployment| {
            wave.hosts
                .iter()
                .any(|id| deployment.customers.get(id).is_some_and(|target| !target.windows.is_empty()))
        });
        let windows = in_windows.then(|| "in its windows".to_owned());
        let checks = match wave.checks.len() {
            0 => None,
            1 => Some("1 check".to_owned()),
            more => Some(format!("{more} checks")),
        };
        let conditions: Vec<String> = [checks, delay, notice, windows].into_iter().flatten().collect();
        let names: Vec<&str> = wave.hosts.iter().take(5).map(|id| id.as_str()).collect();
        let more = wave.hosts.len().saturating_sub(names.len());
        let who = match more {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        };
        vec![wave.name.clone(), starts, conditions.join(", "), wave.hosts.len().to_string(), who]
    });
    print(&columns(&["tier", "starts", "when", "customers", ""], rows.collect()))?;
    let ends = plan.timeline.ended_at;
    print(&format!("\nall done {} ({})", timeline::offset(ends - began_at), minute(ends)))?;
    for left in &plan.left_out {
        print(&format!("left out: {}: {}", left.customer, clean(&left.reason)))?;
    }
    if !plan.open_items.is_empty() {
        print(&format!("\n{} items of the checklist hold it:", plan.open_items.len()))?;
        plan.open_items.iter().try_for_each(|item| print(&format!("  [ ] {}", clean(item))))?;
        note(&format!(
            "tick them with: patchctl release check --version {} --item NUMBER",
            plan.release.version
        ));
    }
    Ok(())
}

pub(super) fn started(run: &ReleaseRun, printer: Printer) -> Result<(), Failure> {
    if !printer.is_for_people() {
        return printer.item(run);
    }
    let mode = serde_json::to_value(run.mode).unwrap_or_default();
    print(&format!(
        "{} of {} is under way as run {}",
        mode.as_str().unwrap_or("run"),
        run.version,
        run.run.id
    ))?;
    note(&format!("see how it goes: patchctl release status --version {}", run.version));
    Ok(())
}

/// By the rollout that is under way, or by a run of its own.
pub(super) fn taken_back(run: &ReleaseRun, printer: Printer) -> Result<(), Failure> {
    if !printer.is_for_people() {
        return printer.item(run);
    }
    print(&format!("{} is being taken back by run {}", run.version, run.run.id))?;
    note(&format!("see how it goes: patchctl release status --version {}", run.version));
    Ok(())
}

pub(super) fn checks(checks: &[CheckResult], printer: Printer) -> Result<(), Failure> {
    if !printer.is_for_people() {
        return printer.json(checks);
    }
    if checks.is_empty() {
        return print("no checks are configured");
    }
    let rows = checks.iter().map(|check| {
        let took = check
            .ended_at
            .map_or("-".to_owned(), |ended| format!("{} s", (ended - check.started_at).num_seconds()));
        let last = check.log.trim().lines().last().unwrap_or_default();
        vec![check.name.clone(), check.result.clone(), took, clean(last)]
    });
    print(&columns(&["check", "result", "took", "log"], rows.collect()))
}

pub(super) fn status(status: &ReleaseStatus, printer: Printer) -> Result<(), Failure> {
    if !printer.is_for_people() {
        return printer.item(status);
    }
    print(&head(&status.release))?;
    let open = status.release.checklist.open().count();
    if open > 0 {
        print(&format!("        {open} items of its checklist are open"))?;
    }
    for run in status.runs.iter().take(3) {
        print("\n")?;
        of_run(run, status.at)?;
    }
    if status.runs.is_empty() {
        print("\nnot rolled out yet")?;
    }
    let concerned: Vec<_> = status.customers.iter().filter(|customer| customer.state.is_some()).collect();
    if concerned.is_empty() {
        return Ok(());
    }
    print("\n")?;
    let rows = concerned.into_iter().map(|customer| {
        let health = match &customer.watch {
            Some(watch) => watched(watch),
            None => String::new(),
        };
        vec![
            customer.tier.to_string(),
            customer.customer.to_string(),
            customer.current_version.to_string(),
            customer.state.map_or(String::new(), |state| state.name().replace('_', " ")),
            customer.deployed_at.map_or(String::new(), |at| at.format("%a %H:%M").to_string()),
            health.trim().to_owned(),
            clean(customer.reason.as_deref().unwrap_or_default()),
        ]
    });
    print(&columns(&["tier", "customer", "runs", "state", "since", "health", "why"], rows.collect()))
}

fn of_run(run: &ReleaseRunStatus, at: DateTime<Utc>) -> Result<(), Failure> {
    let mode = serde_json::to_value(run.run.mode).unwrap_or_default();
    let summary = &run.run.run;
    let state = summary.state.name().replace('_', " ");
    let reason = summary.reason.as_ref().map_or(String::new(), |reason| format!(": {}", clean(reason)));
    print(&format!("{} {}  {state}{reason}", mode.as_str().unwrap_or("run"), summary.id))?;
    if let Some(waits_for) = &run.waits_for {
        let until = run.waits_until.map_or(String::new(), |until| {
            format!(" (until {}, in {})", minute(until), timeline::span(until - at))
        });
        print(&format!("        waits: {}{until}", clean(waits_for)))?;
    }
    if let Some(change) = &summary.change_id {
        print(&format!("        change {change}"))?;
    }
    let rows = run.waves.iter().map(|wave| {
        let mark = match wave.state.as_str() {
            "done" => "done",
            "running" => "now",
            _ => "",
        };
        vec![
            wave.name.clone(),
            mark.to_owned(),
            bar(wave.succeeded, wave.failed, wave.customers),
            match wave.customers {
                0 => "checks alone".to_owned(),
                customers => format!("{} of {customers}", wave.succeeded),
            },
            if wave.failed > 0 { format!("{} failed", wave.failed) } else { String::new() },
            wave.ended_at.map_or(String::new(), |at| at.format("%a %H:%M").to_string()),
        ]
    });
    print(&columns(&["tier", "", "", "customers", "", "ended"], rows.collect()))
}

/// `█████░░░` with failures as `✗`.
fn bar(succeeded: usize, failed: usize, total: usize) -> String {
    const CELLS: usize = 10;
    if total == 0 {
        return String::new();
    }
    let cells = |count: usize| (count * CELLS).div_ceil(total).min(CELLS);
    let bad = cells(failed);
    let good = (succeeded * CELLS / total).min(CELLS - bad);
    format!("{}{}{}", "█".repeat(good), "✗".repeat(bad), "░".repeat(CELLS - good - bad))
}

/// How the watch over a customer stands. Once it has ended, what it saw is history.
fn watched(watch: &CustomerWatch) -> String {
    let reason = clean(watch.reason.as_deref().unwrap_or_default());
    match watch.state {
        WatchState::Unseen => "not seen yet".to_owned(),
        WatchState::Well => "well".to_owned(),
        WatchState::Doubtful => format!("doubtful: {reason}"),
        WatchState::Unhealthy => format!("UNHEALTHY: {reason}"),
        WatchState::Ended => "no longer watched".to_owned(),
    }
}

/// Exit status 1 when the customer is not well now.
pub(super) fn health(detail: &CustomerHealthDetail, printer: Printer) -> Outcome {
    let is_well = detail.now.failure.is_none();
    let status = if is_well { ExitStatus::Ok } else { ExitStatus::Failed };
    if !printer.is_for_people() {
        printer.item(detail)?;
        return Ok(status);
    }
    let word =
        detail.now.failure.as_ref().map_or("well".to_owned(), |why| format!("NOT WELL: {}", clean(why)));
    print(&format!(
        "{} ({}, {}) runs {}: {word}",
        detail.name, detail.customer, detail.tier, detail.current_version
    ))?;
    let number =
        |value: Option<f64>, unit: &str| value.map_or("-".to_owned(), |value| format!("{value:.1} {unit}"));
    let baseline = detail.watch.as_ref().and_then(|watch| watch.baseline);
    let rows = vec![
        vec![
            "error rate".to_owned(),
            number(detail.now.error_rate_percent, "%"),
            number(baseline.and_then(|b| b.error_rate_percent), "%"),
        ],
        vec![
            "latency".to_owned(),
            number(detail.now.latency_ms, "ms"),
            number(baseline.and_then(|b| b.latency_ms), "ms"),
        ],
        vec![
            "throughput".to_owned(),
            number(detail.now.throughput, "/s"),
            number(baseline.and_then(|b| b.throughput), "/s"),
        ],
    ];
    print("\n")?;
    print(&columns(&["", "now", "baseline"], rows))?;
    if let Some(watch) = &detail.watch {
        let (since, until) = (minute(watch.since), minute(watch.until));
        print(&format!("\nwatched since {since} until {until}: {}", watched(watch)))?;
    }
    for sample in detail.samples.iter().filter(|sample| sample.reason.is_some()).take(10) {
        print(&format!(
            "  {}  {}",
            minute(sample.sample.at),
            clean(sample.reason.as_deref().unwrap_or_default())
        ))?;
    }
    for report in &detail.reports {
        print(&format!(
            "  {}  {:?} reported by {}: {}",
            minute(report.reported_at),
            report.severity,
            report.reported_by,
            clean(&report.summary)
        ))?;
    }
    Ok(status)
}

pub(super) fn metrics(report: &MetricsReport, printer: Printer) -> Result<(), Failure> {
    if !printer.is_for_people() {
        return printer.item(report);
    }
    print(&metrics_text(report))
}

pub(crate) fn metrics_text(report: &MetricsReport) -> String {
    let all = &report.all;
    let verdict = |holds: bool| if holds { "met" } else { "MISSED" }.to_owned();
    let mut rows = vec![
        vec![
            "success rate".to_owned(),
            format!("{:.1} % of {}", all.success_percent, all.deployments),
            "99 %".to_owned(),
            verdict(all.success_percent >= all.success_target_percent),
        ],
        vec![
            "rollback rate".to_owned(),
            format!("{:.1} %", all.rollback_percent),
            "1 %".to_owned(),
            verdict(all.rollback_percent <= all.rollback_target_percent),
        ],
        vec![
            "unplanned downtime".to_owned(),
            format!("{:.0} min", all.unplanned_downtime_seconds / 60.0),
            "0 min".to_owned(),
            verdict(all.unplanned_downtime_seconds == 0.0),
        ],
    ];
    for (urgency, measured) in &all.time_to_deploy {
        rows.push(row(format!("time to deploy, {urgency}"), measured));
    }
    for (kind, measured) in &all.time_to_resolution {
        rows.push(row(format!("time to resolution, {}", kind.name().replace('_', " ")), measured));
    }
    let mut text = columns(&["metric", "measured", "target", ""], rows);
    for (name, groups) in
        [("release", &report.by_release), ("quarter", &report.by_quarter), ("tier", &report.by_tier)]
    {
        if groups.is_empty() {
            continue;
        }
        let rows = groups.iter().map(|(key, metrics)| group(key, metrics)).collect();
        text.push_str("\n\n");
        text.push_str(&columns(&[name, "deployments", "succeeded", "rolled back", "downtime"], rows));
    }
    text
}

fn row(name: String, measured: &Measured) -> Vec<String> {
    let span = |seconds: f64| timeline::span(TimeDelta::seconds(seconds as i64));
    vec![
        name,
        format!("median {}, longest {}", span(measured.median), span(measured.longest)),
        span(measured.target),
        match measured.within_percent {
            100.0 => "met".to_owned(),
            within => format!("{within:.0} % within"),
        },
    ]
}

fn group(key: &str, metrics: &ReleaseMetrics) -> Vec<String> {
    vec![
        key.to_owned(),
        metrics.deployments.to_string(),
        format!("{} ({:.1} %)", metrics.succeeded, metrics.success_percent),
        metrics.rolled_back.to_string(),
        format!("{:.0} min", metrics.unplanned_downtime_seconds / 60.0),
    ]
}

pub(super) fn policies(stored: &StoredReleasePolicies, printer: Printer) -> Result<(), Failure> {
    if !printer.is_for_people() {
        return printer.item(stored);
    }
    let word = |value: &dyn erased::Word| value.word();
    let rows = ReleaseKind::ALL.iter().map(|kind| {
        let policy = stored.policies.of(*kind);
        let timing = policy.timing;
        let windows = if timing.in_windows { " in windows" } else { "" };
        let tiers = policy.notice.tiers.iter().copied().filter(|tier| *tier != Tier::Demo).count();
        let notice = match policy.notice.hours {
            0 => word(&policy.notice.when),
            hours => format!("{hours} h {}", word(&policy.notice.when)),
        };
        vec![
            kind.to_string(),
            policy.urgency.to_string(),
            timing.startup.to_string(),
            timing.standard.to_string(),
            format!("{}{windows}", timing.enterprise),
            word(&policy.approval),
            format!("{notice}, {tiers} tiers"),
            format!(
                "{} h, {}, {}",
                policy.rollback.window_hours,
                word(&policy.rollback.trigger),
                word(&policy.rollback.process)
            ),
        ]
    });
    print(&columns(
        &["type", "urgency", "startup", "standard", "enterprise", "approval", "notice", "rollback"],
        rows.collect(),
    ))?;
    let rows = stored.policies.urgencies.iter().map(|(urgency, pace)| {
        let windows = if pace.in_windows { "in windows" } else { "at any time" };
        let delays = [pace.startup, pace.standard, pace.enterprise].map(|delay| delay.to_string());
        [vec![urgency.to_string()], delays.to_vec(), vec![windows.to_owned()]].concat()
    });
    print("\nthe pace of a release whose urgency is not its type's own:\n")?;
    print(&columns(&["urgency", "startup", "standard", "enterprise", ""], rows.collect()))?;
    for (what, checks) in
        [("validation", &stored.policies.validation), ("smoke tests", &stored.policies.smoke_tests)]
    {
        let names: Vec<String> = checks.iter().map(|check| clean(&check.name)).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        print(&format!("\n{what}: {names}"))?;
    }
    if let Some(rule) = &stored.policies.evidence {
        print(&format!(
            "evidence: a tier starts after {:.0} customer-hours without a failure, or signed off after {} h",
            rule.hours_wanted(),
            rule.time_limit_hours
        ))?;
    }
    let health = &stored.policies.health;
    print(&format!(
        "\nlooked at every {} s; taken back after {} failures in a row, {} points more errors or {} % slower; halts after {}",
        health.poll_seconds,
        health.failures,
        health.error_rate_points,
        health.slower_percent,
        stored.policies.halt_after
    ))
}

/// Words of enums as they travel.
mod erased {
    pub(super) trait Word {
        fn word(&self) -> String;
    }

    impl<T: serde::Serialize> Word for T {
        fn word(&self) -> String {
            let value = serde_json::to_value(self).unwrap_or_default();
            value.as_str().unwrap_or_default().replace('_', " ")
        }
    }
}

pub(super) fn diff(diff: &ConfigDiff, printer: Printer) -> Result<(), Failure> {
    if !printer.is_for_people() {
        return printer.item(diff);
    }
    let word = if diff.dry_run { "would be " } else { "" };
    for slug in &diff.created {
        print(&format!("+ customer/{slug}"))?;
    }
    for change in &diff.changed {
        let shown = |value: &Option<serde_json::Value>| {
            value.as_ref().map_or("nothing".to_owned(), |value| clean(&value.to_string()))
        };
        print(&format!(
            "~ {} {}: {} -> {}",
            change.object,
            change.field,
            shown(&change.before),
            shown(&change.after)
        ))?;
    }
    print(&format!(
        "{} {word}created, {} fields {word}changed, {} unchanged",
        diff.created.len(),
        diff.changed.len(),
        diff.unchanged
    ))?;
    if !diff.not_named.is_empty() {
        let names: Vec<&str> = diff.not_named.iter().take(10).map(|slug| slug.as_str()).collect();
        note(&format!(
            "{} customers are stored and not in the file: {}",
            diff.not_named.len(),
            names.join(", ")
        ));
    }
    Ok(())
}
