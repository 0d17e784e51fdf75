use std::collections::BTreeMap;
use std::time::Duration;

use api_client::patch::PatchClient;
use api_types::patch::{
    CiCompliance, ComplianceCounts, ComplianceSummary, Scan, ScanState, ServiceLevels, StartScan, Timeliness,
    TimelinessReport,
};
use tokio::time::Instant;

use super::{OK, filter};
use crate::arguments::{ComplianceCommand, ExportFormat, Format};
use crate::connect::Connection;
use crate::failure::{ExitStatus, Failure, Outcome};
use crate::output::{Column, Printer, clean, print};

/// A scan of a large fleet takes minutes; nobody waits longer than this.
const SCAN_TIMEOUT: Duration = Duration::from_secs(2 * 3600);
const ASK_EVERY: Duration = Duration::from_millis(500);

const PENDING: &[Column] = &[
    ("package", "/package"),
    ("installed", "/installed"),
    ("fixed", "/fixed"),
    ("advisory", "/advisory_id"),
    ("severity", "/severity"),
    ("exploited", "/exploited"),
    ("due", "/due"),
    ("state", "/state"),
];

const POLICIES: &[Column] = &[
    ("policy", "/policy_id"),
    ("status", "/compliance_status"),
    ("target", "/target_patch_level"),
    ("current", "/current_patch_level"),
    ("pending", "/pending"),
    ("reason", "/reason"),
];

const FAILURES: &[Column] = &[("host", "/ci_id"), ("reason", "/reason")];

pub async fn run(connection: &Connection, command: Option<ComplianceCommand>, printer: Printer) -> Outcome {
    let client = connection.patch();
    match command.unwrap_or(ComplianceCommand::Summary) {
        ComplianceCommand::Summary => summary(&client.get_compliance().await?, printer)?,
        ComplianceCommand::Show { ci } => show(&client.get_ci_compliance(&ci).await?, printer)?,
        ComplianceCommand::Scan { selection, wait } => {
            let scan = client.start_scan(&StartScan { selector: selection.selector() }).await?;
            let scan = if wait { until_ended(&client, scan).await? } else { scan };
            tell_scan(&scan, printer)?;
            return Ok(status_of(&scan));
        }
        ComplianceCommand::Timeliness { months } => {
            timeliness(&client.get_timeliness(months).await?, printer)?;
        }
        ComplianceCommand::ServiceLevels { exploited, critical, high, other } => {
            let before = client.get_service_levels().await?;
            let wanted = ServiceLevels {
                exploited_days: exploited.unwrap_or(before.exploited_days),
                critical_days: critical.unwrap_or(before.critical_days),
                high_days: high.unwrap_or(before.high_days),
                other_days: other.unwrap_or(before.other_days),
            };
            let levels = match wanted == before {
                true => before,
                false => client.set_service_levels(&wanted).await?,
            };
            printer.item(&levels)?;
        }
        ComplianceCommand::ScanStatus { id } => tell_scan(&client.get_scan(id).await?, printer)?,
        ComplianceCommand::Export { format, policy, env } => {
            let filter = filter([("policy_id", policy.map(|id| id.to_string())), ("env", env)]);
            let format = match format {
                ExportFormat::Csv => "csv",
                ExportFormat::Json => "json",
                ExportFormat::Ndjson => "ndjson",
            };
            print(&client.export_compliance(format, &filter).await?)?;
        }
    }
    OK
}

fn summary(summary: &ComplianceSummary, printer: Printer) -> Result<(), Failure> {
    if printer.format == Format::Json {
        return printer.json(summary);
    }
    let dimensions = [
        ("policy", &summary.by_policy),
        ("env", &summary.by_env),
        ("os", &summary.by_os),
        ("tier", &summary.by_tier),
        ("owner", &summary.by_owner),
        ("cluster", &summary.by_cluster),
    ];
    let mut rows = vec![counts("all", "", &summary.total)];
    for (dimension, values) in dimensions {
        let values: &BTreeMap<String, ComplianceCounts> = values;
        rows.extend(values.iter().map(|(value, counted)| counts(dimension, value, counted)));
    }
    printer.rows(&["by", "value", "compliant", "non-compliant", "unknown", "percent"], rows)?;
    if let (true, Some(oldest)) = (printer.is_for_people(), summary.oldest_scan) {
        print(&format!("\noldest scan: {}", oldest.format("%Y-%m-%dT%H:%M:%SZ")))?;
    }
    Ok(())
}

fn counts(dimension: &str, value: &str, counts: &ComplianceCounts) -> Vec<String> {
    let numbers = [counts.compliant, counts.non_compliant, counts.unknown].map(|number| number.to_string());
    let mut row = vec![dimension.to_owned(), clean(value)];
    row.extend(numbers);
    row.push(format!("{:.1}", counts.percent));
    row
}

fn timeliness(report: &TimelinessReport, printer: Printer) -> Result<(), Failure> {
    if printer.format == Format::Json {
        return printer.json(report);
    }
    let dimensions = [
        ("policy", &report.by_policy),
        ("env", &report.by_env),
        ("os", &report.by_os),
        ("tier", &report.by_tier),
        ("owner", &report.by_owner),
        ("cluster", &report.by_cluster),
    ];
    let row = |dimension: &str, value: &str, kept: &Timeliness| {
        let mean = kept.mean_days_to_patch.map_or("-".to_owned(), |days| format!("{days:.1}"));
        let counts = [kept.hosts, kept.hosts_in_breach, kept.fixes_installed, kept.fixes_installed_late];
        let mut row = vec![dimension.to_owned(), clean(value)];
        row.extend(counts.map(|count| count.to_string()));
        row.extend([mean, format!("{:.1}", kept.open_cve_days), format!("{:.1}", kept.closed_cve_days)]);
        row
    };
    let mut rows = vec![row("all", "", &report.total)];
    for (dimension, values) in dimensions {
        rows.extend(values.iter().map(|(value, kept)| row(dimension, value, kept)));
    }
    let columns = [
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
    printer.rows(&columns, rows)
}

fn show(compliance: &CiCompliance, printer: Printer) -> Result<(), Failure> {
    if !printer.is_for_people() {
        return match printer.format {
            Format::Json => printer.json(compliance),
            _ => printer.list(&compliance.pending_patches, PENDING),
        };
    }
    let bare = CiCompliance { pending_patches: Vec::new(), policies: Vec::new(), ..compliance.clone() };
    printer.item(&bare)?;
    if !compliance.policies.is_empty() {
        print("\n")?;
        printer.list(&compliance.policies, POLICIES)?;
    }
    if !compliance.pending_patches.is_empty() {
        print("\n")?;
        printer.list(&compliance.pending_patches, PENDING)?;
    }
    Ok(())
}

async fn until_ended(client: &PatchClient, mut scan: Scan) -> Result<Scan, Failure> {
    let deadline = Instant::now() + SCAN_TIMEOUT;
    while matches!(scan.state, ScanState::Queued | ScanState::Running) {
        if Instant::now() >= deadline {
            return Err(Failure::new(format!("scan {} has not ended after two hours", scan.id))
                .hint(format!("`patchctl compliance scan-status {}` tells how it goes", scan.id)));
        }
        tokio::time::sleep(ASK_EVERY).await;
        scan = client.get_scan(scan.id).await?;
    }
    Ok(scan)
}

fn tell_scan(scan: &Scan, printer: Printer) -> Result<(), Failure> {
    if !printer.is_for_people() {
        return printer.item(scan);
    }
    printer.item(&Scan { failures: Vec::new(), ..scan.clone() })?;
    if !scan.failures.is_empty() {
        print("\n")?;
        printer.list(&scan.failures, FAILURES)?;
    }
    Ok(())
}

fn status_of(scan: &Scan) -> ExitStatus {
    match scan.state {
        ScanState::Queued | ScanState::Running | ScanState::Succeeded => ExitStatus::Ok,
        ScanState::Partial => ExitStatus::Partial,
        ScanState::Failed => ExitStatus::Failed,
    }
}
