//! Compliance, scans and service levels.

use std::collections::BTreeMap;
use std::time::Duration;

use api_client::patch::PatchClient;
use api_types::patch::{
    CiCompliance, ComplianceCounts, ComplianceSummary, PendingPackage, Scan, ScanState, ServiceLevels,
    StartScan, Timeliness, TimelinessReport,
};
use clap::ValueEnum;

use super::{access::unless_proposed, filter, local::compare_versions};
use crate::arguments::{ComplianceCommand, PackageCommand};
use crate::connect::Connection;
use crate::poll::poll;
use terminal::{Columns, Printer, clean, note, print, row};
use terminal::{CommandResult, ExitStatus, Failure, OK};

/// A scan of a large fleet takes minutes; nobody waits longer than this.
const SCAN_TIMEOUT: Duration = Duration::from_secs(2 * 3600);
const SCAN_POLL: Duration = Duration::from_millis(500);

/// The orders of hosts that the platform knows. They apply to the whole fleet, before the limit.
const SORTED_BY_PLATFORM: [&str; 4] = ["name", "severity", "due", "pending"];

/// More packages than a host has.
const MAX_PACKAGES: usize = 100_000;

const HOSTS: Columns = "host=ci_id status=compliance_status env os level=current_patch_level pending severity=worst_severity \
                        exploited due=next_due scanned=last_scanned reason";
const PACKAGES: Columns = "package installed newest_fix advisories cves severity exploited due state";
const INSTALLED: Columns = "host=ci_id env os package versions candidate scanned=last_scanned";
const DAYS: Columns = "day by=dimension value compliant non-compliant=non_compliant unknown percent";
const PENDING: Columns = "package installed fixed advisory=advisory_id severity exploited due state";
const UNFIXED: Columns =
    "package installed vendor_says=no_fix severity exploited advisory=advisory_id cves=cve_ids";
const POLICIES: Columns = "policy=policy_id status=compliance_status target=target_patch_level \
                           current=current_patch_level pending left_out reason";
const TIMELINESS: [&str; 9] = [
    "by",
    "value",
    "hosts",
    "in breach",
    "fixed",
    "late",
    "days to patch",
    "open CVE-days",
    "closed CVE-days",
];

pub async fn run(
    connection: &Connection,
    command: Option<ComplianceCommand>,
    printer: Printer,
) -> CommandResult {
    let client = connection.patch();
    match command.unwrap_or(ComplianceCommand::Summary) {
        ComplianceCommand::Summary => summary(&client.get_compliance().await?, printer),
        ComplianceCommand::Unfixed { ci, most } => {
            printer.list(&client.list_unfixed(&ci, most.limit).await?, UNFIXED)
        }
        ComplianceCommand::List { status, env, os, severity, kev, most } => {
            let sort = most.sort.filter(|sort| SORTED_BY_PLATFORM.contains(&sort.as_str()));
            let printer = if sort.is_some() { printer.without_sort() } else { printer };
            let filter = filter([
                ("status", status),
                ("env", env),
                ("os", os),
                ("severity", severity),
                ("kev", kev.then(|| "true".to_owned())),
                ("sort", sort),
            ]);
            printer.list(&client.list_host_compliance(&filter, most.limit).await?, HOSTS)
        }
        ComplianceCommand::Show { ci, all } => {
            let compliance = client.get_ci_compliance(&ci).await?;
            if all || printer.is_document() {
                return show(&compliance, printer);
            }
            let packages = client.list_pending_packages(&ci, MAX_PACKAGES).await?;
            show_packages(&compliance, &packages, printer)
        }
        ComplianceCommand::History { days, by, value, most } => {
            let filter = filter([("days", Some(days.to_string())), ("dimension", by), ("value", value)]);
            printer.list(&client.list_compliance_history(&filter, most.limit).await?, DAYS)
        }
        ComplianceCommand::Scan { selection, wait } => {
            let scan = client.start_scan(&StartScan { selector: selection.selector() }).await?;
            let scan = if wait { until_ended(&client, scan).await? } else { scan };
            show_scan(&scan, printer)?;
            if scan.finished_at.is_some() && scan.total == 0 {
                note(scan.error.as_deref().unwrap_or("nothing was scanned"));
                return Ok(ExitStatus::Partial);
            }
            let unmanaged = scan.failures.iter().filter(|one| one.unmanaged).count();
            if unmanaged > 0 {
                note(&format!(
                    "{unmanaged} of the {} hosts are still not managed: set their tag `os`, or correct how they are reached \
                     and scan them again",
                    scan.total
                ));
                return Ok(ExitStatus::Partial);
            }
            Ok(match scan.state {
                ScanState::Queued | ScanState::Running | ScanState::Succeeded => ExitStatus::Ok,
                ScanState::Partial => ExitStatus::Partial,
                ScanState::Failed => ExitStatus::Failed,
            })
        }
        ComplianceCommand::ScanStatus { id } => show_scan(&client.get_scan(id).await?, printer),
        ComplianceCommand::Timeliness { months } => {
            timeliness(&client.get_timeliness(months).await?, printer)
        }
        ComplianceCommand::ServiceLevels { exploited, critical, high, other } => {
            let before = client.get_service_levels().await?;
            let wanted = ServiceLevels {
                exploited_days: exploited.unwrap_or(before.exploited_days),
                critical_days: critical.unwrap_or(before.critical_days),
                high_days: high.unwrap_or(before.high_days),
                other_days: other.unwrap_or(before.other_days),
            };
            if wanted == before {
                return printer.item(&before);
            }
            let outcome = client.set_service_levels(&wanted).await?;
            unless_proposed(outcome, printer, |levels| printer.item(&levels))
        }
        ComplianceCommand::Export { format, policy, env, os, status } => {
            let policy = policy.map(|id| id.to_string());
            let filter = filter([("policy_id", policy), ("env", env), ("os", os), ("status", status)]);
            let format = format.to_possible_value().unwrap_or_default();
            print(&client.export_compliance(format.get_name(), &filter).await?)?;
            OK
        }
    }
}

pub async fn package(
    connect: impl Fn() -> Result<Connection, Failure>,
    command: PackageCommand,
    printer: Printer,
) -> CommandResult {
    match command {
        PackageCommand::Compare(arguments) => compare_versions(arguments),
        PackageCommand::List { name, below, os, most } => {
            let filter = filter([("below", below), ("os", os)]);
            let client = connect()?.patch();
            printer.list(&client.list_installed(&name, &filter, most.limit).await?, INSTALLED)
        }
    }
}

fn summary(summary: &ComplianceSummary, printer: Printer) -> CommandResult {
    let row = |dimension: &str, value: &str, counts: &ComplianceCounts| {
        let percent = format!("{:.1}", counts.percent);
        row![dimension, clean(value), counts.compliant, counts.non_compliant, counts.unknown, percent]
    };
    let dimensions = [
        ("policy", &summary.by_policy),
        ("env", &summary.by_env),
        ("os", &summary.by_os),
        ("tier", &summary.by_tier),
        ("owner", &summary.by_owner),
        ("cluster", &summary.by_cluster),
    ];
    let rows = by_dimension(&summary.total, dimensions, row);
    printer.rows_of(summary, &["by", "value", "compliant", "non-compliant", "unknown", "percent"], rows)?;
    if !printer.is_for_people() {
        return OK;
    }
    if let Some(oldest) = summary.oldest_scan {
        print(&format!("\noldest scan: {}\n", oldest.format("%Y-%m-%dT%H:%M:%SZ")))?;
    }
    print(&coverage_line(summary))?;
    OK
}

/// How much of the fleet the imported advisories say something about, and what they do not.
fn coverage_line(summary: &ComplianceSummary) -> String {
    let gaps: Vec<_> = summary.coverage.iter().filter_map(|one| Some((one, one.reason.as_ref()?))).collect();
    if summary.coverage.is_empty() {
        return "advisories: no host is managed yet\n".to_owned();
    }
    if gaps.is_empty() {
        return format!("advisories: all {} releases of these hosts are covered\n", summary.coverage.len());
    }
    let lines =
        gaps.iter().map(|(one, reason)| format!("advisories: {} ({} hosts)\n", clean(reason), one.hosts));
    lines.chain(["`patchctl advisory coverage` shows the feeds of each release\n".to_owned()]).collect()
}

fn timeliness(report: &TimelinessReport, printer: Printer) -> CommandResult {
    let row = |dimension: &str, value: &str, counts: &Timeliness| {
        let mean = counts.mean_days_to_patch.map_or("-".to_owned(), |days| format!("{days:.1}"));
        row![
            dimension,
            clean(value),
            counts.hosts,
            counts.hosts_in_breach,
            counts.fixes_installed,
            counts.fixes_installed_late,
            mean,
            format!("{:.1}", counts.open_cve_days),
            format!("{:.1}", counts.closed_cve_days),
        ]
    };
    let dimensions = [
        ("policy", &report.by_policy),
        ("env", &report.by_env),
        ("os", &report.by_os),
        ("tier", &report.by_tier),
        ("owner", &report.by_owner),
        ("cluster", &report.by_cluster),
    ];
    printer.rows_of(report, &TIMELINESS, by_dimension(&report.total, dimensions, row))
}

/// A row for the total, then a row for each value of each dimension.
fn by_dimension<T>(
    total: &T,
    dimensions: [(&str, &BTreeMap<String, T>); 6],
    row: impl Fn(&str, &str, &T) -> Vec<String>,
) -> Vec<Vec<String>> {
    let mut rows = vec![row("all", "", total)];
    for (dimension, values) in dimensions {
        rows.extend(values.iter().map(|(value, counts)| row(dimension, value, counts)));
    }
    rows
}

fn show(compliance: &CiCompliance, printer: Printer) -> CommandResult {
    if printer.is_document() {
        return printer.json(compliance);
    }
    if !printer.is_for_people() {
        return printer.list(&compliance.pending_patches, PENDING);
    }
    let bare = CiCompliance { pending_patches: Vec::new(), policies: Vec::new(), ..compliance.clone() };
    printer.item(&bare)?;
    printer.section(&compliance.policies, POLICIES)?;
    printer.section(&compliance.pending_patches, PENDING)?;
    left_out(compliance, printer)?;
    note_unknown_due(compliance.pending_patches.iter().filter(|patch| patch.due.is_none()).count());
    OK
}

/// The fixes that the baselines of policies leave out, or include without knowing enough: one row per package, policy and reason.
fn left_out(compliance: &CiCompliance, printer: Printer) -> CommandResult {
    let notes = compliance.pending_patches.iter().flat_map(|patch| {
        patch.baseline.iter().map(move |note| (&patch.package, &note.policy_id, &note.reason))
    });
    let mut fixes: BTreeMap<_, usize> = BTreeMap::new();
    for note in notes {
        *fixes.entry(note).or_default() += 1;
    }
    if fixes.is_empty() {
        return OK;
    }
    print("\n")?;
    let rows =
        fixes.into_iter().map(|((package, policy, reason), fixes)| row![package, fixes, policy, reason]);
    printer.rows(&["package", "fixes", "policy", "baseline"], rows.collect())
}

/// An empty cell does not say why.
pub(super) fn note_unknown_due(fixes: usize) {
    if fixes > 0 {
        note(&format!("due dates of {fixes} fixes are unknown, because the feed gives no date"));
    }
}

/// The packages of a host instead of its advisories.
fn show_packages(compliance: &CiCompliance, packages: &[PendingPackage], printer: Printer) -> CommandResult {
    if !printer.is_for_people() {
        return printer.list(packages, PACKAGES);
    }
    let advisories = compliance.pending_patches.len();
    let bare = CiCompliance { pending_patches: Vec::new(), policies: Vec::new(), ..compliance.clone() };
    printer.item(&bare)?;
    printer.section(&compliance.policies, POLICIES)?;
    printer.section(packages, PACKAGES)?;
    left_out(compliance, printer)?;
    if advisories > packages.len() {
        note(&format!("{advisories} fixes of {} packages; --all shows each", packages.len()));
    }
    note_unknown_due(compliance.pending_patches.iter().filter(|patch| patch.due.is_none()).count());
    OK
}

async fn until_ended(client: &PatchClient, started: Scan) -> Result<Scan, Failure> {
    let ended = poll(SCAN_TIMEOUT, SCAN_POLL, async || {
        let scan = client.get_scan(started.id).await?;
        Ok(Some(scan).filter(|scan| !matches!(scan.state, ScanState::Queued | ScanState::Running)))
    });
    ended.await?.ok_or_else(|| {
        Failure::new(format!("scan {} has not ended after two hours", started.id))
            .hint(format!("`patchctl compliance scan-status {}` shows its progress", started.id))
    })
}

fn show_scan(scan: &Scan, printer: Printer) -> CommandResult {
    if !printer.is_for_people() {
        return printer.item(scan);
    }
    printer.item(&Scan { failures: Vec::new(), ..scan.clone() })?;
    printer.section(&scan.failures, "host=ci_id reason")
}
