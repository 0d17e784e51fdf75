use std::path::{Path, PathBuf};

use advisories::feed::{Limits, recognise_feed};
use api_client::patch::PatchClient;
use api_types::patch::{
    AdvisoryDetail, AdvisoryImport, AdvisoryImportReport, CoverageState, ReleaseCoverage, Remediate,
};
use indicatif::{ProgressBar, ProgressStyle};

use super::compliance::note_unknown_due;
use super::run::show_started;
use super::{filter, matching, wire_name};
use crate::arguments::AdvisoryCommand;
use crate::connect::Connection;
use crate::input;
use terminal::{Columns, Printer, clean, note, print, row};
use terminal::{CommandResult, ExitStatus, Failure, OK};

/// Most warnings to print for a file.
const MOST_WARNINGS: usize = 5;

const ADVISORIES: Columns = "id severity exploited affected=affected_cis published cves=cve_ids summary";
const IMPORTS: Columns = "id status origin format=report/format read=report/read new=report/new \
                          changed=report/changed started=started_at problem";
const AFFECTED: Columns = "host=ci_id advisory=advisory_id package installed fixed state due";
const COVERAGE: [&str; 8] =
    ["release", "hosts", "state", "feed", "notices", "newest notice", "fetched", "end of support"];
const REPORT: [&str; 10] = [
    "file",
    "format",
    "read",
    "new",
    "changed",
    "unchanged",
    "withdrawn",
    "superseded",
    "refused",
    "hosts changed",
];

pub async fn run(
    connect: impl Fn() -> Result<Connection, Failure>,
    command: AdvisoryCommand,
    printer: Printer,
) -> CommandResult {
    let client = || connect().map(|connection| connection.patch());
    match command {
        AdvisoryCommand::Match(arguments) => matching::run(&arguments, printer),
        AdvisoryCommand::List { severity, kev, os, package, text, affected, most } => {
            let filter = filter([
                ("severity", severity.map(wire_name)),
                ("kev", kev.then(|| "true".to_owned())),
                ("os", os),
                ("package", package),
                ("text", text),
                ("affected", affected.then(|| "true".to_owned())),
            ]);
            printer.list(&client()?.list_advisories(&filter, most.limit).await?, ADVISORIES)
        }
        AdvisoryCommand::Show { id } => show(&whole(&client()?, &id).await?, printer),
        AdvisoryCommand::History { id, days } => {
            printer.list(&client()?.get_advisory_history(&id, days).await?.days, "day hosts")
        }
        AdvisoryCommand::Imports(most) => {
            printer.list(&client()?.list_imports(&[], most.limit).await?, IMPORTS)
        }
        AdvisoryCommand::Coverage(most) => coverage(&client()?.list_coverage(most.limit).await?, printer),
        AdvisoryCommand::Import { paths } => import(&client()?, &paths, printer).await,
        AdvisoryCommand::Remediate { id, policy, options, watch } => {
            let request = Remediate {
                policy_id: policy,
                strategy: options.strategy,
                change_id: options.change,
                dry_run: options.dry_run,
                emergency: options.emergency,
            };
            let client = client()?;
            let run = client.remediate_advisory(&id, &request).await?;
            show_started(&client, &run, watch, printer).await
        }
    }
}

/// The advisory with all pages of the CIs it affects.
async fn whole(client: &PatchClient, id: &str) -> Result<AdvisoryDetail, Failure> {
    let mut detail = client.get_advisory(id, None).await?;
    while let Some(token) = detail.next_page_token.take() {
        let page = client.get_advisory(id, Some(&token)).await?;
        detail.affected.extend(page.affected);
        detail.next_page_token = page.next_page_token;
    }
    Ok(detail)
}

fn show(detail: &AdvisoryDetail, printer: Printer) -> CommandResult {
    if printer.is_document() {
        return printer.json(detail);
    }
    if !printer.is_for_people() {
        return printer.list(&detail.affected, AFFECTED);
    }
    for advisory in &detail.advisories {
        printer.item(&advisory.summary)?;
        if !advisory.details.is_empty() {
            print("\n")?;
            advisory.details.lines().try_for_each(|line| print(&format!("{}\n", clean(line))))?;
        }
        print("\n")?;
        printer.list(&advisory.packages, "os package fixed")?;
        print("\n")?;
    }
    print(&format!("affected: {}\n", detail.affected_total))?;
    if detail.not_affected_total > 0 {
        print(&format!(
            "not affected: {}, which lack a later fix and have the one for their own minor release\n",
            detail.not_affected_total
        ))?;
    }
    if detail.affected.is_empty() {
        return OK;
    }
    printer.list(&detail.affected, AFFECTED)?;
    note_unknown_due(detail.affected.iter().filter(|ci| ci.due.is_none()).count());
    OK
}

/// Imports each file on its own, so that a refused file does not prevent the others.
async fn import(client: &PatchClient, paths: &[PathBuf], printer: Printer) -> CommandResult {
    let mut rows = Vec::new();
    let (mut done, mut refused) = (0, 0);
    for file in &input::files(paths)? {
        let content = input::read(file)?;
        // A folder may also contain other files; a file that was named is always sent.
        if !paths.contains(file) && !is_feed(&content) {
            note(&format!("skipped: {} is not a feed", file.display()));
            continue;
        }
        let line = progress_line();
        let show = |import: &AdvisoryImport| line.set_message(progress_text(file, import));
        let imported = client.import_advisories(content_type(&content), content, show).await;
        line.finish_and_clear();
        match imported {
            Ok(import) => {
                match import.problem {
                    None => done += 1,
                    Some(problem) => {
                        refused += 1;
                        note(&format!("refused: {}: {}", file.display(), clean(&problem)));
                    }
                }
                refused += import.report.refused.len() as u64 + import.report.refused_more;
                note_refusals(file, &import.report);
                note_warnings(file, &import.report);
                rows.push(report_row(file, &import.report));
            }
            // A service that is down or refuses the token would do the same for every file.
            Err(error) if matches!(error.status(), None | Some(401 | 403)) => return Err(error.into()),
            Err(error) => {
                refused += 1;
                note(&format!("refused: {}: {}", file.display(), Failure::from(error)));
            }
        }
    }
    printer.rows(&REPORT, rows)?;
    Ok(match (done, refused) {
        (0, _) => ExitStatus::Failed,
        (_, 0) => ExitStatus::Ok,
        _ => ExitStatus::Partial,
    })
}

fn is_feed(content: &[u8]) -> bool {
    let kind = recognise_feed(std::io::Cursor::new(content), &Limits::default());
    kind.is_ok_and(|kind| kind.is_some())
}

/// One line of progress on a terminal, nothing elsewhere.
fn progress_line() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::new_spinner().with_style(style)
}

fn progress_text(file: &Path, import: &AdvisoryImport) -> String {
    let percent = 100 * import.bytes_read.max(0) / import.bytes_total.max(1);
    let AdvisoryImportReport { read, new, changed, .. } = &import.report;
    let file = clean(&file.display().to_string());
    format!("{file}: {}% read, {read} records, {new} new, {changed} changed", percent.min(100))
}

fn note_refusals(file: &Path, report: &AdvisoryImportReport) {
    for refused in &report.refused {
        note(&format!("refused: {}: {}: {}", file.display(), clean(&refused.record), clean(&refused.reason)));
    }
    if report.refused_more > 0 {
        note(&format!("refused: {}: {} more", file.display(), report.refused_more));
    }
}

/// Prints the first warnings; the report of the import has the others.
fn note_warnings(file: &Path, report: &AdvisoryImportReport) {
    for warning in report.warnings.iter().take(MOST_WARNINGS) {
        note(&format!("warning: {}: {}", file.display(), clean(warning)));
    }
    if report.warnings.len() > MOST_WARNINGS {
        note(&format!("warning: {}: more, listed by `patchctl advisory imports -o json`", file.display()));
    }
}

fn report_row(file: &Path, report: &AdvisoryImportReport) -> Vec<String> {
    row![
        file.display(),
        report.format,
        report.read,
        report.new,
        report.changed,
        report.unchanged,
        report.withdrawn,
        report.superseded,
        report.refused.len() as u64 + report.refused_more,
        report.cis_changed,
    ]
}

fn content_type(content: &[u8]) -> &'static str {
    match content.trim_ascii_start() {
        [b'P', b'K', ..] => "application/zip",
        [b'{' | b'[', ..] => "application/json",
        [b'<', ..] => "application/xml",
        _ => "application/octet-stream",
    }
}

/// A row for each feed of a release.
fn coverage(releases: &[ReleaseCoverage], printer: Printer) -> CommandResult {
    let rows = releases.iter().flat_map(|release| {
        let ends = release.end_of_support.map(|day| day.to_string()).unwrap_or_default();
        let row = move |feed: &str, notices: String, newest: String, fetched: String| {
            row![release.release, release.hosts, release.state, feed, notices, newest, fetched, ends]
        };
        let mut rows: Vec<Vec<String>> = release
            .feeds
            .iter()
            .map(|feed| {
                let newest = feed.newest_notice.format("%Y-%m-%d").to_string();
                let fetched = feed.fetched_at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
                row(&clean(&feed.feed), feed.notices.to_string(), newest, fetched)
            })
            .collect();
        if rows.is_empty() {
            rows.push(row("-", "0".to_owned(), String::new(), String::new()));
        }
        rows
    });
    printer.rows_of(&releases, &COVERAGE, rows)?;
    let has_gap = releases.iter().any(|one| one.hosts > 0 && one.state != CoverageState::Covered);
    Ok(if has_gap { ExitStatus::Partial } else { ExitStatus::Ok })
}
