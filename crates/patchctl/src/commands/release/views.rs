//! Texts about releases for people.

use api_types::patch::{
    CheckResult, ConfigDiff, CustomerHealthDetail, CustomerWatch, MetricsReport, Release, ReleasePlan,
    ReleaseRun, ReleaseRunStatus, ReleaseStatus, StoredReleasePolicies, WatchState,
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::plan::Wave;
use domain::release::{Figure, Happening, ItemState, Measured, ReleaseKind, ReleaseMetrics, Tier};

use super::super::{spaced_name, wire_name};
use super::timeline;
use terminal::{clean, columns, row};

pub(super) fn release(release: &Release) -> String {
    format!("{}\n\n{}", head(release), checklist(release))
}

/// `v1.0.2  bug fix, medium urgency, based on v1.0.1`
fn head(release: &Release) -> String {
    let kind = spaced_name(release.kind);
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
        let number = name.split('-').next().unwrap_or_default().trim_start_matches('0');
        row![mark, number, clean(&item.text), clean(&who)]
    });
    columns(&["", "item", "text", "who"], rows.collect())
}

fn minute(at: DateTime<Utc>) -> String {
    at.format("%a %Y-%m-%d %H:%M UTC").to_string()
}

pub(super) fn plan(plan: &ReleasePlan) -> String {
    let rows = plan.plan.waves.iter().map(|wave| planned_wave(plan, wave));
    let (starts, ends) = (plan.timeline.began_at, plan.timeline.ended_at);
    let mut lines = vec![
        head(&plan.release),
        format!("plan    {}", &plan.plan_hash[..plan.plan_hash.len().min(12)]),
        columns(&["tier", "starts", "when", "customers", ""], rows.collect()),
        format!("\nall done {} ({})", timeline::offset(ends - starts), minute(ends)),
    ];
    lines.extend(
        plan.left_out.iter().map(|left| format!("left out: {}: {}", left.customer, clean(&left.reason))),
    );
    if !plan.open_items.is_empty() {
        lines.push(format!("\n{} open items of the checklist block it:", plan.open_items.len()));
        lines.extend(plan.open_items.iter().map(|item| format!("  [ ] {}", clean(item))));
    }
    lines.join("\n")
}

fn planned_wave(plan: &ReleasePlan, wave: &Wave) -> Vec<String> {
    let first =
        plan.timeline.rows.iter().find(|row| {
            row.wave == wave.name && matches!(row.what, Happening::Started | Happening::CheckBegan)
        });
    let starts = first.map_or("-".to_owned(), |row| {
        format!("{} {}", timeline::offset(row.at - plan.timeline.began_at), row.at.format("%a %H:%M"))
    });
    let start = wave.start.as_ref();
    let delay = start
        .filter(|start| start.delay_seconds > 0)
        .map(|start| timeline::delay(TimeDelta::seconds(start.delay_seconds.into())) + " after the demo");
    let notice = start
        .and_then(|start| start.notice_seconds)
        .map(|seconds| format!("notice {} h before", seconds / 3600));
    let in_windows = plan.plan.deployment().is_some_and(|deployment| {
        let targets = wave.hosts.iter().filter_map(|id| deployment.customers.get(id));
        targets.into_iter().any(|target| !target.windows.is_empty())
    });
    let windows = in_windows.then(|| "in its windows".to_owned());
    let checks = match wave.checks.len() {
        0 => None,
        1 => Some("1 check".to_owned()),
        more => Some(format!("{more} checks")),
    };
    let conditions: Vec<String> = [checks, delay, notice, windows].into_iter().flatten().collect();
    let names: Vec<&str> = wave.hosts.iter().take(5).map(|id| id.as_str()).collect();
    let names = match wave.hosts.len().saturating_sub(names.len()) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    };
    row![wave.name, starts, conditions.join(", "), wave.hosts.len(), names]
}

pub(super) fn started(run: &ReleaseRun) -> String {
    format!("{} of {} started as run {}", wire_name(run.mode), run.version, run.run.id)
}

/// By the rollout that is in progress, or by a run of its own.
pub(super) fn rolling_back(run: &ReleaseRun) -> String {
    format!("run {} rolls back {}", run.run.id, run.version)
}

pub(super) fn checks(checks: &[CheckResult]) -> String {
    if checks.is_empty() {
        return "no checks are configured".to_owned();
    }
    let rows = checks.iter().map(|check| {
        let took = check
            .ended_at
            .map_or("-".to_owned(), |ended| format!("{} s", (ended - check.started_at).num_seconds()));
        row![check.name, check.result, took, clean(check.log.trim().lines().last().unwrap_or_default())]
    });
    columns(&["check", "result", "took", "log"], rows.collect())
}

pub(super) fn status(status: &ReleaseStatus) -> String {
    let mut lines = vec![head(&status.release)];
    let open = status.release.checklist.open().count();
    if open > 0 {
        lines.push(format!("        {open} items of its checklist are open"));
    }
    for run in status.runs.iter().take(3) {
        lines.push(String::new());
        lines.extend(run_status(run, status.at));
    }
    if status.runs.is_empty() {
        lines.push("\nnot rolled out yet".to_owned());
    }
    let mut customers = status.customers.iter().filter(|customer| customer.state.is_some()).peekable();
    if customers.peek().is_some() {
        let rows = customers.map(|customer| {
            row![
                customer.tier,
                customer.customer,
                customer.current_version,
                customer.state.map_or(String::new(), |state| state.name().replace('_', " ")),
                customer.deployed_at.map_or(String::new(), |at| at.format("%a %H:%M").to_string()),
                customer.watch.as_ref().map_or(String::new(), |watch| watched(watch).trim().to_owned()),
                clean(customer.reason.as_deref().unwrap_or_default()),
            ]
        });
        lines.push(String::new());
        lines.push(columns(&["tier", "customer", "runs", "state", "since", "health", "why"], rows.collect()));
    }
    lines.join("\n")
}

fn run_status(run: &ReleaseRunStatus, at: DateTime<Utc>) -> Vec<String> {
    let summary = &run.run.run;
    let state = summary.state.name().replace('_', " ");
    let reason = summary.reason.as_ref().map_or(String::new(), |reason| format!(": {}", clean(reason)));
    let mut lines = vec![format!("{} {}  {state}{reason}", wire_name(run.run.mode), summary.id)];
    if let Some(waits_for) = &run.waits_for {
        let until = run.waits_until.map_or(String::new(), |until| {
            format!(" (until {}, in {})", minute(until), timeline::span(until - at))
        });
        lines.push(format!("        waits: {}{until}", clean(waits_for)));
    }
    lines.extend(summary.change_id.as_ref().map(|change| format!("        change {change}")));
    let rows = run.waves.iter().map(|wave| {
        let mark = match wave.state.as_str() {
            "done" => "done",
            "running" => "now",
            _ => "",
        };
        let customers = match wave.customers {
            0 => "only checks".to_owned(),
            customers => format!("{} of {customers}", wave.succeeded),
        };
        row![
            wave.name,
            mark,
            bar(wave.succeeded, wave.failed, wave.customers),
            customers,
            if wave.failed > 0 { format!("{} failed", wave.failed) } else { String::new() },
            wave.ended_at.map_or(String::new(), |at| at.format("%a %H:%M").to_string()),
        ]
    });
    lines.push(columns(&["tier", "", "", "customers", "", "ended"], rows.collect()));
    lines
}

/// `█████░░░` with failures as `✗`.
fn bar(succeeded: usize, failed: usize, total: usize) -> String {
    const CELLS: usize = 10;
    if total == 0 {
        return String::new();
    }
    let bad = (failed * CELLS).div_ceil(total).min(CELLS);
    let good = (succeeded * CELLS / total).min(CELLS - bad);
    format!("{}{}{}", "█".repeat(good), "✗".repeat(bad), "░".repeat(CELLS - good - bad))
}

/// The state of the health watch of a customer. Once the watch has ended, its observations are history.
fn watched(watch: &CustomerWatch) -> String {
    let reason = clean(watch.reason.as_deref().unwrap_or_default());
    match watch.state {
        WatchState::Unchecked => "not checked yet".to_owned(),
        WatchState::Healthy => "healthy".to_owned(),
        WatchState::Doubtful => format!("doubtful: {reason}"),
        WatchState::Unhealthy => format!("UNHEALTHY: {reason}"),
        WatchState::Ended => "no longer watched".to_owned(),
    }
}

pub(super) fn health(detail: &CustomerHealthDetail) -> String {
    let now = &detail.now;
    let health =
        now.failure.as_ref().map_or("healthy".to_owned(), |why| format!("UNHEALTHY: {}", clean(why)));
    let number =
        |value: Option<f64>, unit: &str| value.map_or("-".to_owned(), |value| format!("{value:.1} {unit}"));
    let baseline = detail.watch.as_ref().and_then(|watch| watch.baseline);
    let rows = [
        ("error rate", now.error_rate_percent, baseline.and_then(|it| it.error_rate_percent), "%"),
        ("latency", now.latency_ms, baseline.and_then(|it| it.latency_ms), "ms"),
        ("throughput", now.throughput, baseline.and_then(|it| it.throughput), "/s"),
    ];
    let rows = rows.map(|(name, now, baseline, unit)| row![name, number(now, unit), number(baseline, unit)]);
    let mut lines = vec![
        format!(
            "{} ({}, {}) runs {}: {health}\n",
            detail.name, detail.customer, detail.tier, detail.current_version
        ),
        columns(&["", "now", "baseline"], rows.to_vec()),
    ];
    if let Some(watch) = &detail.watch {
        let (since, until) = (minute(watch.since), minute(watch.until));
        lines.push(format!("\nwatched since {since} until {until}: {}", watched(watch)));
    }
    let unhealthy =
        detail.samples.iter().filter_map(|sample| Some((sample.sample.at, sample.reason.as_ref()?)));
    lines.extend(unhealthy.take(10).map(|(at, reason)| format!("  {}  {}", minute(at), clean(reason))));
    lines.extend(detail.reports.iter().map(|report| {
        let (at, summary) = (minute(report.reported_at), clean(&report.summary));
        format!("  {at}  {:?} reported by {}: {summary}", report.severity, report.reported_by)
    }));
    lines.join("\n")
}

pub(crate) fn metrics(report: &MetricsReport) -> String {
    let all = &report.all;
    let verdict = |holds: bool| if holds { "met" } else { "MISSED" };
    let mut rows = vec![
        row![
            "success rate",
            format!("{:.1} % of {}", all.success_percent, all.deployments),
            "99 %",
            verdict(all.success_percent >= all.success_target_percent),
        ],
        row![
            "rollback rate",
            format!("{:.1} %", all.rollback_percent),
            "1 %",
            verdict(all.rollback_percent <= all.rollback_target_percent),
        ],
        row![
            "unplanned downtime",
            format!("{:.0} min", all.unplanned_downtime_seconds / 60.0),
            "0 min",
            verdict(all.unplanned_downtime_seconds == 0.0),
        ],
    ];
    for (urgency, measured) in &all.time_to_deploy {
        rows.push(measured_row(format!("time to deploy, {urgency}"), measured));
    }
    for (kind, measured) in &all.time_to_resolution {
        rows.push(measured_row(format!("time to resolution, {}", spaced_name(kind)), measured));
    }
    for (name, figure, unit, of) in [
        ("issues resolved", &all.issues_resolved, "", "releases"),
        ("new issues", &all.new_issues, "", "deployments"),
        ("latency against the baseline, median", &all.performance_impact_percent, " %", "deployments"),
        ("satisfaction, mean of 1 to 5", &all.satisfaction, "", "ratings"),
    ] {
        let measured = match figure {
            Figure::Known { value, records } => {
                format!("{}{unit} of {records} {of}", (value * 10.0).round() / 10.0)
            }
            Figure::Unknown { reason } => format!("unknown: {reason}"),
        };
        rows.push(row![name, measured, "", ""]);
    }
    let mut text = columns(&["metric", "measured", "target", ""], rows);
    for (name, groups) in
        [("release", &report.by_release), ("quarter", &report.by_quarter), ("tier", &report.by_tier)]
    {
        if !groups.is_empty() {
            let rows = groups.iter().map(|(key, metrics)| group_row(key, metrics)).collect();
            text.push_str("\n\n");
            text.push_str(&columns(&[name, "deployments", "succeeded", "rolled back", "downtime"], rows));
        }
    }
    text
}

fn measured_row(name: String, measured: &Measured) -> Vec<String> {
    let span = |seconds: f64| timeline::span(TimeDelta::seconds(seconds as i64));
    let verdict = match measured.within_percent {
        100.0 => "met".to_owned(),
        within => format!("{within:.0} % within"),
    };
    let spread = format!("median {}, longest {}", span(measured.median), span(measured.longest));
    row![name, spread, span(measured.target), verdict]
}

fn group_row(key: &str, metrics: &ReleaseMetrics) -> Vec<String> {
    row![
        key,
        metrics.deployments,
        format!("{} ({:.1} %)", metrics.succeeded, metrics.success_percent),
        metrics.rolled_back,
        format!("{:.0} min", metrics.unplanned_downtime_seconds / 60.0),
    ]
}

pub(super) fn policies(stored: &StoredReleasePolicies) -> String {
    let policies = &stored.policies;
    let rows = ReleaseKind::ALL.iter().map(|kind| {
        let policy = policies.of(*kind);
        let timing = policy.timing;
        let windows = if timing.in_windows { " in windows" } else { "" };
        let tiers = policy.notice.tiers.iter().copied().filter(|tier| *tier != Tier::Demo).count();
        let notice = match policy.notice.hours {
            0 => spaced_name(policy.notice.when),
            hours => format!("{hours} h {}", spaced_name(policy.notice.when)),
        };
        let rollback = &policy.rollback;
        row![
            kind,
            policy.urgency,
            timing.startup,
            timing.standard,
            format!("{}{windows}", timing.enterprise),
            spaced_name(policy.approval),
            format!("{notice}, {tiers} tiers"),
            format!(
                "{} h, {}, {}",
                rollback.window_hours,
                spaced_name(rollback.trigger),
                spaced_name(rollback.process)
            ),
        ]
    });
    let paces = policies.urgencies.iter().map(|(urgency, pace)| {
        let windows = if pace.in_windows { "in windows" } else { "at any time" };
        row![urgency, pace.startup, pace.standard, pace.enterprise, windows]
    });
    let mut lines = vec![
        columns(
            &["type", "urgency", "startup", "standard", "enterprise", "approval", "notice", "rollback"],
            rows.collect(),
        ),
        "\nthe pace of a release with another urgency than that of its type:".to_owned(),
        columns(&["urgency", "startup", "standard", "enterprise", ""], paces.collect()),
    ];
    for (name, checks) in [("validation", &policies.validation), ("smoke tests", &policies.smoke_tests)] {
        let checks: Vec<String> = checks.iter().map(|check| clean(&check.name)).collect();
        let checks = if checks.is_empty() { "none".to_owned() } else { checks.join(", ") };
        lines.push(format!("\n{name}: {checks}"));
    }
    if let Some(rule) = &policies.evidence {
        lines.push(format!(
            "evidence: a tier starts after {:.0} customer-hours without a failure, or with a sign-off after {} h",
            rule.hours_wanted(),
            rule.time_limit_hours
        ));
    }
    let health = &policies.health;
    lines.push(format!(
        "\nchecked every {} s; rolled back after {} failures in a row, {} points more errors or {} % slower; halts after {}",
        health.poll_seconds,
        health.failures,
        health.error_rate_points,
        health.slower_percent,
        policies.halt_after
    ));
    lines.join("\n")
}

pub(super) fn diff(diff: &ConfigDiff) -> String {
    let mood = if diff.dry_run { "would be " } else { "" };
    let shown = |value: &Option<serde_json::Value>| {
        value.as_ref().map_or("nothing".to_owned(), |value| clean(&value.to_string()))
    };
    let mut lines: Vec<String> = diff.created.iter().map(|slug| format!("+ customer/{slug}")).collect();
    lines.extend(diff.changed.iter().map(|change| {
        let (before, after) = (shown(&change.before), shown(&change.after));
        format!("~ {} {}: {before} -> {after}", change.object, change.field)
    }));
    lines.push(format!(
        "{} {mood}created, {} fields {mood}changed, {} unchanged",
        diff.created.len(),
        diff.changed.len(),
        diff.unchanged
    ));
    lines.join("\n")
}
