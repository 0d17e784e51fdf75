//! Compliance, scans and service levels.

use std::collections::BTreeMap;
use std::time::Duration;

use api_client::patch::PatchClient;
use api_types::patch::{
    CiCompliance, ComplianceCounts, ComplianceSummary, Scan, ScanFailure, ScanState, ServiceLevels,
    StartScan, Timeliness, TimelinessReport,
};
use clap::ValueEnum;

use super::{filter, poll};
use crate::arguments::{ComplianceCommand, Format};
use crate::connect::Connection;
use crate::failure::{CommandResult, ExitStatus, Failure, OK};
use crate::output::{Columns, Printer, clean, note, print, row};

/// A scan of a large fleet takes minutes; nobody waits longer than this.
const SCAN_TIMEOUT: Duration = Duration::from_secs(2 * 3600);
const SCAN_POLL: Duration = Duration::from_millis(500);

const PENDING: Columns = "package installed fixed advisory=advisory_id severity exploited due state";
const POLICIES: Columns = "policy=policy_id status=compliance_status target=target_patch_level \
                           current=current_patch_level pending reason";
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
        ComplianceCommand::Show { ci } => show(&client.get_ci_compliance(&ci).await?, printer),
        ComplianceCommand::Scan { selection, wait } => {
            let scan = client.start_scan(&StartScan { selector: selection.selector() }).await?;
            let scan = if wait { until_ended(&client, scan).await? } else { scan };
            show_scan(&scan, printer)?;
            if scan.finished_at.is_some() && scan.total == 0 {
                note(scan.error.as_deref().unwrap_or("nothing was scanned"));
                return Ok(ExitStatus::Partial);
            }
            let unmanaged =
                scan.failures.iter().filter(|one| one.reason.starts_with(ScanFailure::NOT_MANAGED)).count();
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
            let levels = if wanted == before { before } else { client.set_service_levels(&wanted).await? };
            printer.item(&levels)
        }
        ComplianceCommand::Export { format, policy, env } => {
            let filter = filter([("policy_id", policy.map(|id| id.to_string())), ("env", env)]);
            let format = format.to_possible_value().unwrap_or_default();
            print(&client.export_compliance(format.get_name(), &filter).await?)?;
            OK
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
    if let (true, Some(oldest)) = (printer.is_for_people(), summary.oldest_scan) {
        print(&format!("\noldest scan: {}", oldest.format("%Y-%m-%dT%H:%M:%SZ")))?;
    }
    OK
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
    match printer.format {
        Format::Json => return printer.json(compliance),
        Format::Csv | Format::Tsv => return printer.list(&compliance.pending_patches, PENDING),
        Format::Table => {}
    }
    let bare = CiCompliance { pending_patches: Vec::new(), policies: Vec::new(), ..compliance.clone() };
    printer.item(&bare)?;
    printer.section(&compliance.policies, POLICIES)?;
    printer.section(&compliance.pending_patches, PENDING)
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
