use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use advisories::feed::{Limits, recognise_feed};
use api_client::patch::PatchClient;
use api_types::patch::{AdvisoryDetail, AdvisoryImport, AdvisoryImportReport, Remediate};

use super::{OK, filter, matching, word};
use crate::arguments::{AdvisoryCommand, Format};
use crate::connect::Connection;
use crate::failure::{ExitStatus, Failure, Outcome};
use crate::input;
use crate::output::{Column, Printer, clean, note, print};
use crate::watch;

/// Warnings told for each file.
const WARNINGS_TOLD: usize = 5;

const ADVISORIES: &[Column] = &[
    ("id", "/id"),
    ("severity", "/severity"),
    ("exploited", "/exploited"),
    ("affected", "/affected_cis"),
    ("published", "/published"),
    ("cves", "/cve_ids"),
    ("summary", "/summary"),
];

const IMPORTS: &[Column] = &[
    ("id", "/id"),
    ("status", "/status"),
    ("origin", "/origin"),
    ("format", "/report/format"),
    ("read", "/report/read"),
    ("new", "/report/new"),
    ("changed", "/report/changed"),
    ("started", "/started_at"),
    ("problem", "/problem"),
];

const PACKAGES: &[Column] = &[("os", "/os"), ("package", "/package"), ("fixed", "/fixed")];

const AFFECTED: &[Column] = &[
    ("host", "/ci_id"),
    ("advisory", "/advisory_id"),
    ("package", "/package"),
    ("installed", "/installed"),
    ("fixed", "/fixed"),
    ("state", "/state"),
    ("due", "/due"),
];

pub async fn run(
    connect: impl Fn() -> Result<Connection, Failure>,
    command: AdvisoryCommand,
    printer: Printer,
) -> Outcome {
    let client = || connect().map(|connection| connection.patch());
    match command {
        AdvisoryCommand::Match(arguments) => return matching::run(&arguments, printer),
        AdvisoryCommand::List { severity, kev, os, package, text, affected, most } => {
            let filter = filter([
                ("severity", severity.map(word)),
                ("kev", kev.then(|| "true".to_owned())),
                ("os", os),
                ("package", package),
                ("text", text),
                ("affected", affected.then(|| "true".to_owned())),
            ]);
            printer.list(&client()?.list_advisories(&filter, most.limit).await?, ADVISORIES)?;
        }
        AdvisoryCommand::Show { id } => show(&whole(&client()?, &id).await?, printer)?,
        AdvisoryCommand::Imports { most } => {
            printer.list(&client()?.list_imports(&[], most.limit).await?, IMPORTS)?;
        }
        AdvisoryCommand::Import { paths } => return import(&client()?, &paths, printer).await,
        AdvisoryCommand::Remediate { id, policy, way, watch } => {
            let request = Remediate {
                policy_id: policy,
                strategy: way.strategy,
                change_id: way.change,
                dry_run: way.dry_run,
                emergency: way.emergency,
            };
            let client = client()?;
            let run = client.remediate_advisory(&id, &request).await?;
            if watch {
                note(&format!("run {}", run.id));
                return watch::run(&client, run.id, printer).await;
            }
            printer.item(&run)?;
        }
    }
    OK
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

fn show(detail: &AdvisoryDetail, printer: Printer) -> Result<(), Failure> {
    match printer.format {
        Format::Json => return printer.json(detail),
        Format::Csv | Format::Tsv => return printer.list(&detail.affected, AFFECTED),
        Format::Table => {}
    }
    for advisory in &detail.advisories {
        printer.item(&advisory.summary)?;
        if !advisory.details.is_empty() {
            print("\n")?;
            advisory.details.lines().try_for_each(|line| print(&format!("{}\n", clean(line))))?;
        }
        print("\n")?;
        printer.list(&advisory.packages, PACKAGES)?;
        print("\n")?;
    }
    print(&format!("affected: {}\n", detail.affected_total))?;
    match detail.affected.is_empty() {
        true => Ok(()),
        false => printer.list(&detail.affected, AFFECTED),
    }
}

/// Every file on its own: one that is refused does not keep the others away.
async fn import(client: &PatchClient, paths: &[PathBuf], printer: Printer) -> Outcome {
    let mut rows = Vec::new();
    let (mut done, mut refused) = (0, 0);
    for file in &input::files(paths)? {
        let content = input::read(file)?;
        // A folder of feeds has other things in it, too; a file that was named is always sent.
        if !paths.contains(file) && !is_feed(&content) {
            note(&format!("passed over: {} is no feed", file.display()));
            continue;
        }
        let mut line = ProgressLine::new(file);
        match client.import_advisories(content_type(&content), content, |import| line.tell(import)).await {
            Ok(import) => {
                line.clear();
                match import.problem {
                    None => done += 1,
                    Some(problem) => {
                        refused += 1;
                        note(&format!("refused: {}: {}", file.display(), clean(&problem)));
                    }
                }
                refused += import.report.refused.len() as u64 + import.report.refused_more;
                tell_refusals(file, &import.report);
                tell_warnings(file, &import.report);
                rows.push(row(file, &import.report));
            }
            // Whoever is not there, or lets nobody in, gives the same answer for every file.
            Err(error) if matches!(error.status(), None | Some(401 | 403)) => return Err(error.into()),
            Err(error) => {
                refused += 1;
                note(&format!("refused: {}: {}", file.display(), Failure::from(error)));
            }
        }
    }
    printer.rows(
        &[
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
        ],
        rows,
    )?;
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

/// How far an import is, on one line of a terminal; silent where nobody looks.
struct ProgressLine<'a> {
    file: &'a Path,
    is_shown: bool,
}

impl<'a> ProgressLine<'a> {
    fn new(file: &'a Path) -> Self {
        Self { file, is_shown: false }
    }

    fn tell(&mut self, import: &AdvisoryImport) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        let share = 100 * import.bytes_read.max(0) / import.bytes_total.max(1);
        let report = &import.report;
        let file = clean(&self.file.display().to_string());
        eprint!(
            "\r\x1b[2K{file}: {}% read, {} records, {} new, {} changed",
            share.min(100),
            report.read,
            report.new,
            report.changed
        );
        self.is_shown = true;
    }

    fn clear(&mut self) {
        if self.is_shown {
            eprint!("\r\x1b[2K");
        }
    }
}

fn tell_refusals(file: &Path, report: &AdvisoryImportReport) {
    for refused in &report.refused {
        note(&format!("refused: {}: {}: {}", file.display(), clean(&refused.record), clean(&refused.reason)));
    }
    if report.refused_more > 0 {
        note(&format!("refused: {}: {} more", file.display(), report.refused_more));
    }
}

/// What was kept, but not as it stands; the rest is in the import's report.
fn tell_warnings(file: &Path, report: &AdvisoryImportReport) {
    for warning in report.warnings.iter().take(WARNINGS_TOLD) {
        note(&format!("warning: {}: {}", file.display(), clean(warning)));
    }
    if report.warnings.len() > WARNINGS_TOLD {
        note(&format!("warning: {}: more, listed by `patchctl advisory imports -o json`", file.display()));
    }
}

fn row(file: &Path, report: &AdvisoryImportReport) -> Vec<String> {
    let refused = report.refused.len() as u64 + report.refused_more;
    let numbers = [
        report.read,
        report.new,
        report.changed,
        report.unchanged,
        report.withdrawn,
        report.superseded,
        refused,
        report.cis_changed,
    ];
    let mut row = vec![file.display().to_string(), report.format.clone()];
    row.extend(numbers.map(|number| number.to_string()));
    row
}

fn content_type(content: &[u8]) -> &'static str {
    match content.trim_ascii_start() {
        [b'P', b'K', ..] => "application/zip",
        [b'{' | b'[', ..] => "application/json",
        [b'<', ..] => "application/xml",
        _ => "application/octet-stream",
    }
}
