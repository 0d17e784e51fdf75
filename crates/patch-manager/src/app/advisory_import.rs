//! Import of feeds: OSV advisories, known exploited vulnerabilities, exploit predictions. Recognised by content.
//!
//! Records are stored in batches, each in its own transaction: one bad record never loses the others, and an import that
//! is cut off can simply be sent again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufReader, Read, Seek},
    ops::ControlFlow,
    path::Path,
};

use advisories::{
    Advisory, Severity,
    feed::{
        FeedKind, Limits, ReadReport, RecordError, epss, epss::ExploitPrediction, kev, kev::KnownExploited,
        osv, recognise,
    },
    sla::SlaPolicy,
};
use api_types::patch::{AdvisoryImportReport, RefusedAdvisory};
use service_kit::{ApiError, ApiResult, Caller, audit};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use tokio::sync::mpsc;

use super::evaluation;
use crate::{
    service::App,
    store::{self, advisories::NewAdvisory},
};

/// Records stored in one transaction.
const BATCH: usize = 500;
/// Refusals and warnings named in a report; all are counted.
const SHOWN: usize = 100;
/// Bytes by which a feed is recognised.
const PREFIX: u64 = 64 * 1024;

/// One record of whichever feed.
enum Record {
    Advisory(Box<Advisory>),
    Exploited(KnownExploited),
    Prediction(ExploitPrediction),
}

/// Imports the feed in a file.
pub(crate) async fn import_advisories(
    app: &App,
    caller: &Caller,
    file: File,
) -> ApiResult<AdvisoryImportReport> {
    let now = app.clock.now();
    let limits = Limits { now: Some(now), warnings_kept: SHOWN, ..Limits::default() };
    let (sender, mut records) = mpsc::channel::<Result<Record, RecordError>>(2 * BATCH);
    let (kind, file) =
        tokio::task::spawn_blocking(move || recognise_file(file)).await.map_err(ApiError::internal)??;
    let mut only_import = app.pool.begin().await?;
    store::lock_imports(&mut only_import).await?;
    let reading = tokio::task::spawn_blocking(move || read(kind, file, &limits, &sender));

    let mut import = Import {
        report: AdvisoryImportReport { format: format_name(kind).to_owned(), ..Default::default() },
        remarked: 0,
    };
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(record) = records.recv().await {
        match record {
            Ok(record) => batch.push(record),
            Err(error) => import.refuse(error),
        }
        if batch.len() == BATCH {
            import.store(app, std::mem::take(&mut batch)).await?;
        }
    }
    let read = reading.await.map_err(ApiError::internal)?;
    if !batch.is_empty() {
        import.store(app, batch).await?;
    }
    let Import { mut report, remarked } = import;
    match read {
        Ok(read) => conclude(&mut report, read),
        // Records before the fault are stored: the import can be repeated, and says what it could not read.
        Err(error) if report.new + report.changed + report.unchanged > 0 => {
            report.warnings.push(error.to_string())
        }
        Err(error) => return Err(ApiError::invalid("", error.to_string())),
    }
    report.cis_changed = remarked + evaluation::evaluate_due(app).await?;
    let mut transaction = only_import;
    let record =
        audit::Record::new("import_advisories", format!("feed/{}", report.format)).after(&summary(&report));
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    Ok(report)
}

fn recognise_file(mut file: File) -> ApiResult<(FeedKind, File)> {
    let mut prefix = Vec::new();
    file.rewind().map_err(ApiError::internal)?;
    file.by_ref().take(PREFIX).read_to_end(&mut prefix).map_err(ApiError::internal)?;
    file.rewind().map_err(ApiError::internal)?;
    if prefix.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::malformed("the body is empty; a feed is expected"));
    }
    let kind = recognise(&prefix).ok_or_else(|| {
        ApiError::invalid("", "is no feed known here; send OSV (JSON, one record a line, or a zip of them), the KEV catalogue or EPSS scores")
    })?;
    Ok((kind, file))
}

fn read(
    kind: FeedKind,
    file: File,
    limits: &Limits,
    sender: &mpsc::Sender<Result<Record, RecordError>>,
) -> Result<ReadReport, advisories::feed::FeedError> {
    // A receiver that is gone has given the import up.
    let send = |record| match sender.blocking_send(record) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    let mut advisory = |record: Result<Advisory, RecordError>| {
        send(record.map(|advisory| Record::Advisory(Box::new(advisory))))
    };
    match kind {
        FeedKind::OsvArchive => osv::read_archive(BufReader::new(file), limits, &mut advisory),
        FeedKind::Osv => osv::read_text(BufReader::new(file), "record", limits, &mut advisory),
        FeedKind::KevJson | FeedKind::KevCsv => kev::read(file, limits, &mut |record| {
            let _ = send(record.map(Record::Exploited));
        }),
        FeedKind::EpssCsv => epss::read(BufReader::new(file), limits, &mut |record| {
            let _ = send(record.map(Record::Prediction));
        }),
    }
}

fn format_name(kind: FeedKind) -> &'static str {
    match kind {
        FeedKind::OsvArchive => "osv-archive",
        FeedKind::Osv => "osv",
        FeedKind::KevJson => "kev-json",
        FeedKind::KevCsv => "kev-csv",
        FeedKind::EpssCsv => "epss-csv",
    }
}

fn conclude(report: &mut AdvisoryImportReport, read: ReadReport) {
    report.read = read.read;
    report.withdrawn = read.withdrawn;
    report
        .warnings
        .extend(read.warnings.into_iter().map(|warning| format!("{}: {}", warning.name, warning.text)));
    let more = read.warning_count.saturating_sub(report.warnings.len() as u64);
    if more > 0 {
        report.warnings.push(format!("{more} more warnings"));
    }
}

/// The report as the audit log keeps it: counts, no texts from the feed.
fn summary(report: &AdvisoryImportReport) -> serde_json::Value {
    serde_json::json!({
        "format": report.format, "read": report.read, "new": report.new, "changed": report.changed,
        "unchanged": report.unchanged, "refused": report.refused.len() as u64 + report.refused_more,
    })
}

struct Import {
    report: AdvisoryImportReport,
    /// CIs with pending fixes that are now known to be exploited.
    remarked: u64,
}

impl Import {
    fn refuse(&mut self, error: RecordError) {
        match self.report.refused.len() < SHOWN {
            true => self.report.refused.push(RefusedAdvisory { record: error.name, reason: error.reason }),
            false => self.report.refused_more += 1,
        }
    }

    /// Stores one batch; a feed has records of one kind only.
    async fn store(&mut self, app: &App, batch: Vec<Record>) -> ApiResult<()> {
        let (mut advisories, mut exploited, mut predictions) =
            (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let count = batch.len() as u64;
        for record in batch {
            match record {
                Record::Advisory(advisory) => self.keep_newest(&mut advisories, *advisory),
                Record::Exploited(entry) => drop(exploited.insert(entry.cve.clone(), entry)),
                Record::Prediction(entry) => drop(predictions.insert(entry.cve.clone(), entry)),
            }
        }
        let mut transaction = app.pool.begin().await?;
        store::lock_results(&mut transaction).await?;
        if !advisories.is_empty() {
            self.store_advisories(&mut transaction, advisories.into_values().collect()).await?;
        }
        if !exploited.is_empty() {
            let entries: Vec<_> = exploited.into_values().collect();
            let stored = store::feeds::upsert_known_exploited(&mut transaction, &entries).await?;
            self.count(count, stored);
            let cves: Vec<String> = entries.into_iter().map(|entry| entry.cve).collect();
            self.remarked += mark_exploited(&mut transaction, &cves).await?;
        }
        if !predictions.is_empty() {
            let entries: Vec<_> = predictions.into_values().collect();
            let stored = store::feeds::upsert_predictions(&mut transaction, &entries).await?;
            self.count(count, stored);
        }
        transaction.commit().await?;
        Ok(())
    }

    fn count(&mut self, records: u64, stored: store::feeds::Stored) {
        self.report.new += stored.new;
        self.report.changed += stored.changed;
        self.report.unchanged += records.saturating_sub(stored.new + stored.changed);
    }

    fn keep_newest(&mut self, advisories: &mut BTreeMap<String, Advisory>, advisory: Advisory) {
        match advisories.get(&advisory.id) {
            Some(other) if other.modified > advisory.modified => self.report.unchanged += 1,
            Some(_) => {
                self.report.unchanged += 1;
                advisories.insert(advisory.id.clone(), advisory);
            }
            None => drop(advisories.insert(advisory.id.clone(), advisory)),
        }
    }

    async fn store_advisories(
        &mut self,
        conn: &mut PgConnection,
        advisories: Vec<Advisory>,
    ) -> ApiResult<()> {
        let ids: Vec<String> = advisories.iter().map(|advisory| advisory.id.clone()).collect();
        let cves: BTreeSet<String> = advisories.iter().flat_map(|advisory| advisory.cves.clone()).collect();
        let cves: Vec<String> = cves.into_iter().collect();
        let exploited: BTreeSet<String> =
            store::feeds::list_exploited(conn, &cves).await?.into_iter().collect();
        let known: BTreeMap<String, store::advisories::KnownAdvisory> =
            store::advisories::find_known(conn, &ids)
                .await?
                .into_iter()
                .map(|known| (known.id.clone(), known))
                .collect();
        let mut fresh = Vec::new();
        for mut advisory in advisories {
            let digest = Sha256::digest(serde_json::to_vec(&advisory)?).to_vec();
            match known.get(&advisory.id) {
                // An older edition never replaces a newer one.
                Some(known) if known.digest == digest || known.modified > advisory.modified => {
                    self.report.unchanged += 1;
                    continue;
                }
                Some(_) => self.report.changed += 1,
                None => self.report.new += 1,
            }
            advisory.mark_exploited(&exploited);
            let due = SlaPolicy::default().due(advisory.published, advisory.severity, advisory.exploited);
            fresh.push(NewAdvisory { advisory, digest, due });
        }
        if fresh.is_empty() {
            return Ok(());
        }
        // Both what they spoke of and what they speak of now: a fix can move, and go.
        let fresh_ids: Vec<String> = fresh.iter().map(|one| one.advisory.id.clone()).collect();
        let mut places: BTreeSet<(String, String)> =
            store::advisories::list_places(conn, &fresh_ids).await?.into_iter().collect();
        store::advisories::upsert_advisories(conn, &fresh).await?;
        let affected = fresh.iter().flat_map(|one| &one.advisory.affected);
        places.extend(affected.map(|affected| (affected.os.to_string(), affected.package.clone())));
        let mut names_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (release, name) in places {
            names_of.entry(release).or_default().push(name);
        }
        for (release, names) in names_of {
            store::package_sets::mark_due(conn, &[release], &names).await?;
        }
        Ok(())
    }
}

/// Marks advisories for vulnerabilities that are now known to be exploited, and gives how many CIs lack one of them.
async fn mark_exploited(conn: &mut PgConnection, cves: &[String]) -> ApiResult<u64> {
    let unmarked = store::feeds::list_unmarked(conn, cves).await?;
    if unmarked.is_empty() {
        return Ok(0);
    }
    let numbers: Vec<i32> = unmarked.iter().map(|one| one.no).collect();
    let due: Vec<_> = unmarked
        .iter()
        .map(|one| {
            let severity: Severity = one.severity.parse().unwrap_or_default();
            SlaPolicy::default().due(one.published, severity, true)
        })
        .collect();
    store::feeds::mark_exploited(conn, &numbers, &due).await?;
    Ok(u64::try_from(store::advisories::count_affected(conn, &numbers).await?).unwrap_or_default())
}

/// A file that has no name and goes when it is closed.
pub(crate) fn temporary_file(folder: &Path) -> std::io::Result<File> {
    std::fs::create_dir_all(folder)?;
    tempfile::tempfile_in(folder)
}
