//! Import of feeds: one thread reads records, and batches of them are stored, each in its own transaction. A bad record
//! does not affect others. After an interrupted import, send the feed again: stored records are unchanged.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::ControlFlow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use advisories::{
    Advisory, OsRelease,
    feed::{FeedError, FeedKind, FeedRecord, Limits, ReadReport, RecordError, is_of, read_feed},
};
use api_types::patch::{AdvisoryImportReport, RefusedAdvisory};
use chrono::{DateTime, Utc};
use service_kit::{ApiError, ApiResult, Caller, audit};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use tokio::sync::mpsc;

use super::{coverage, package_set_matching};
use crate::{
    App,
    store::{self, advisories::NewAdvisory},
};

/// Records per transaction.
const BATCH: usize = 500;
/// Maximum refusals and warnings in a report; all are counted.
const MAX_SHOWN: usize = 1000;

/// Progress of an import.
#[derive(Clone, Default)]
pub(crate) struct Progress {
    bytes_read: Arc<AtomicU64>,
    report: Arc<Mutex<AdvisoryImportReport>>,
}

impl Progress {
    pub(crate) fn new(kind: FeedKind) -> Self {
        let progress = Self::default();
        progress.change(|report| report.format = kind.as_str().to_owned());
        progress
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    pub(crate) fn report(&self) -> AdvisoryImportReport {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut AdvisoryImportReport)) {
        change(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Imports the feed in a file. Records before an error are stored and counted in `progress`.
pub(crate) async fn import_advisories(
    app: &App,
    caller: &Caller,
    kind: FeedKind,
    file: File,
    progress: &Progress,
) -> ApiResult<AdvisoryImportReport> {
    let now = app.clock.now();
    let limits = Limits { now: Some(now), warnings_kept: MAX_SHOWN, ..Limits::default() };
    let mut import_lock = app.pool.begin().await?;
    store::lock_imports(&mut import_lock).await?;
    let (sender, mut records) = mpsc::channel::<Result<FeedRecord, RecordError>>(2 * BATCH);
    let source = CountingReader { file, bytes_read: Arc::clone(&progress.bytes_read) };
    let reading = tokio::task::spawn_blocking(move || read(kind, source, &limits, &sender));

    let mut import = Import { progress: progress.clone(), now, newly_exploited: 0, fetched: BTreeSet::new() };
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(record) = records.recv().await {
        match record {
            Ok(record) => {
                import.count_read(&record);
                batch.push(record);
            }
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
    let Import { newly_exploited, fetched, .. } = import;
    match read {
        Ok(read) => {
            progress.change(|report| add_warnings(report, read));
            coverage::record_fetched(app, &fetched, now).await?;
        }
        // Records before the error are stored: the import can be repeated, and its report states what could not be read.
        Err(error) if progress.report().read > 0 => {
            progress.change(|report| report.warnings.push(input_error(&error)));
        }
        Err(error) => return Err(ApiError::invalid("", format!("cannot be read: {}", input_error(&error)))),
    }
    let cis_changed = newly_exploited + package_set_matching::match_all_due(app).await?;
    package_set_matching::recompute_all_due(app).await?;
    progress.change(|report| report.cis_changed = cis_changed);
    let report = progress.report();
    let mut transaction = import_lock;
    let record =
        audit::Record::new("import_advisories", format!("feed/{}", report.format)).after(&summary(&report));
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    Ok(report)
}

fn read(
    kind: FeedKind,
    source: CountingReader,
    limits: &Limits,
    sender: &mpsc::Sender<Result<FeedRecord, RecordError>>,
) -> Result<ReadReport, FeedError> {
    // The receiver is gone: the import has been cancelled.
    read_feed(kind, source, "record", limits, &mut |record| match sender.blocking_send(record) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    })
}

/// The error of the input as a whole, with its cause if it cannot be unpacked.
fn input_error(error: &FeedError) -> String {
    match error {
        FeedError::Input(cause) => format!("{error}: {cause}"),
        other => other.to_string(),
    }
}

/// A file that counts the bytes read.
struct CountingReader {
    file: File,
    bytes_read: Arc<AtomicU64>,
}

impl Read for CountingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.bytes_read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Seek for CountingReader {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

fn add_warnings(report: &mut AdvisoryImportReport, read: ReadReport) {
    let kept = read.warnings.len() as u64;
    let texts = read.warnings.into_iter().map(|warning| format!("{}: {}", warning.name, warning.text));
    report.warnings.extend(texts);
    let more = read.warning_count.saturating_sub(kept);
    if more > 0 {
        report.warnings.push(format!("{more} more warnings"));
    }
}

/// The report in the audit log: counts, without texts from the feed.
fn summary(report: &AdvisoryImportReport) -> serde_json::Value {
    serde_json::json!({
        "format": report.format, "read": report.read, "new": report.new, "changed": report.changed,
        "unchanged": report.unchanged, "refused": report.refused.len() as u64 + report.refused_more,
    })
}

struct Import {
    progress: Progress,
    now: DateTime<Utc>,
    /// CIs with pending fixes of CVEs that are now known to be exploited.
    newly_exploited: u64,
    /// Releases and publishers of its notices.
    fetched: BTreeSet<(String, String)>,
}

impl Import {
    fn count_read(&mut self, record: &FeedRecord) {
        if let FeedRecord::Advisory(advisory) = record {
            // A feed that only names vulnerabilities does not know which fixes there are.
            for affected in advisory.affected.iter().filter(|affected| affected.fixed.is_some()) {
                let key = (affected.os.to_string(), advisory.source.clone());
                self.fetched.insert(key);
            }
        }
        let (withdrawn, superseded) = match record {
            FeedRecord::Advisory(one) => (one.withdrawn.is_some(), one.superseded_by.is_some()),
            FeedRecord::Note(note) => (note.rejected, false),
            FeedRecord::Exploited(_) | FeedRecord::Prediction(_) => (false, false),
        };
        self.progress.change(|report| {
            report.read += 1;
            report.withdrawn += u64::from(withdrawn);
            report.superseded += u64::from(superseded);
        });
    }

    fn refuse(&self, error: RecordError) {
        self.progress.change(|report| {
            report.read += 1;
            if report.refused.len() < MAX_SHOWN {
                report.refused.push(RefusedAdvisory { record: error.name, reason: error.reason });
            } else {
                report.refused_more += 1;
            }
        });
    }

    /// Refuses a record that was counted when it was read.
    fn refuse_counted(&self, error: RecordError) {
        self.progress.change(|report| report.read = report.read.saturating_sub(1));
        self.refuse(error);
    }

    /// Stores one batch. All records of a feed have the same kind.
    async fn store(&mut self, app: &App, batch: Vec<FeedRecord>) -> ApiResult<()> {
        let count = batch.len() as u64;
        let mut advisories = BTreeMap::new();
        let (mut exploited, mut predictions, mut notes) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for record in batch {
            match record {
                FeedRecord::Advisory(advisory) => self.merge(&mut advisories, *advisory),
                FeedRecord::Exploited(entry) => drop(exploited.insert(entry.cve.clone(), entry)),
                FeedRecord::Prediction(entry) => drop(predictions.insert(entry.cve.clone(), entry)),
                FeedRecord::Note(note) => drop(notes.insert(note.cve.clone(), *note)),
            }
        }
        let mut transaction = app.pool.begin().await?;
        store::lock_results_for_change(&mut transaction).await?;
        if !advisories.is_empty() {
            self.store_advisories(&mut transaction, advisories).await?;
        }
        if !exploited.is_empty() {
            let entries: Vec<_> = exploited.into_values().collect();
            let stored = store::feeds::upsert_known_exploited(&mut transaction, &entries).await?;
            self.count(count, stored);
            let cves: Vec<String> = entries.into_iter().map(|entry| entry.cve).collect();
            self.newly_exploited += mark_exploited(&mut transaction, &cves).await?;
        }
        if !predictions.is_empty() {
            let entries: Vec<_> = predictions.into_values().collect();
            let stored = store::feeds::upsert_predictions(&mut transaction, &entries).await?;
            self.count(count, stored);
        }
        if !notes.is_empty() {
            let notes: Vec<_> = notes.into_values().collect();
            let stored = store::feeds::upsert_notes(&mut transaction, &notes).await?;
            self.count(count, stored);
        }
        transaction.commit().await?;
        Ok(())
    }

    fn count(&self, records: u64, stored: store::feeds::Stored) {
        self.progress.change(|report| {
            report.new += stored.new;
            report.changed += stored.changed;
            report.unchanged += records.saturating_sub(stored.new + stored.changed);
        });
    }

    fn count_unchanged(&self) {
        self.progress.change(|report| report.unchanged += 1);
    }

    /// Keeps the newest version of a notice; parts of a notice are merged.
    fn merge(&self, advisories: &mut BTreeMap<String, Advisory>, advisory: Advisory) {
        match advisories.get_mut(&advisory.id) {
            None => drop(advisories.insert(advisory.id.clone(), advisory)),
            Some(known) if !is_of(known, &advisory.source) => {
                let error = of_other_publisher(&advisory, &known.source);
                self.refuse_counted(error);
            }
            Some(known) => {
                self.count_unchanged();
                if known.is_part && advisory.is_part {
                    known.absorb(advisory);
                } else if known.modified <= advisory.modified {
                    if known.modified == advisory.modified && *known != advisory {
                        let text = format!(
                            "{}: occurs twice with different content; the later one counts",
                            advisory.id
                        );
                        self.progress.change(|report| report.warnings.push(text));
                    }
                    *known = advisory;
                }
            }
        }
    }

    async fn store_advisories(
        &self,
        conn: &mut PgConnection,
        mut advisories: BTreeMap<String, Advisory>,
    ) -> ApiResult<()> {
        let ids: Vec<String> = advisories.keys().cloned().collect();
        let publishers = store::advisories::find_publishers(conn, &ids).await?;
        for (id, publisher) in publishers {
            if let Some(advisory) = advisories.get(&id)
                && !is_of(advisory, &publisher)
            {
                self.refuse_counted(of_other_publisher(advisory, &publisher));
                advisories.remove(&id);
            }
        }
        self.add_to_known_parts(conn, &mut advisories).await?;
        let ids: Vec<String> = advisories.keys().cloned().collect();
        let cves: BTreeSet<&String> = advisories.values().flat_map(|advisory| &advisory.cves).collect();
        let cves: Vec<String> = cves.into_iter().cloned().collect();
        let exploited: BTreeSet<String> =
            store::feeds::list_exploited(conn, &cves).await?.into_iter().collect();
        let known: BTreeMap<String, store::advisories::KnownAdvisory> =
            store::advisories::find_known(conn, &ids)
                .await?
                .into_iter()
                .map(|known| (known.id.clone(), known))
                .collect();
        let levels = store::sla::get_service_levels(conn).await?;
        let mut fresh = Vec::new();
        for mut advisory in advisories.into_values() {
            let digest = digest(&advisory)?;
            match known.get(&advisory.id) {
                Some(known) if known.digest == digest => {
                    self.count_unchanged();
                    continue;
                }
                // An older version never replaces a newer one. A version dated in the future counts as of today. A part is
                // merged with what is known, and replaces nothing.
                Some(known) if !advisory.is_part && known.modified.min(self.now) > advisory.modified => {
                    self.count_unchanged();
                    continue;
                }
                Some(_) => self.progress.change(|report| report.changed += 1),
                None => self.progress.change(|report| report.new += 1),
            }
            advisory.mark_exploited(&exploited);
            let due = levels.due(advisory.published, advisory.severity, advisory.exploited);
            fresh.push(NewAdvisory { advisory, digest, due });
        }
        if fresh.is_empty() {
            return Ok(());
        }
        // The packages before and after: a fix can move or disappear.
        let fresh_ids: Vec<String> = fresh.iter().map(|one| one.advisory.id.clone()).collect();
        let mut affected_packages: BTreeSet<(String, String)> =
            store::advisories::list_affected_packages(conn, &fresh_ids).await?.into_iter().collect();
        store::advisories::upsert_advisories(conn, &fresh).await?;
        let affected = fresh.iter().flat_map(|one| &one.advisory.affected);
        affected_packages
            .extend(affected.map(|affected| (affected.os.to_string(), affected.package.clone())));
        let mut names_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (release, name) in affected_packages {
            let release: OsRelease = release.parse().map_err(ApiError::internal)?;
            for of_hosts in release.releases_of_hosts() {
                names_of.entry(of_hosts.to_string()).or_default().push(name.clone());
            }
        }
        for (release, names) in names_of {
            store::package_sets::mark_due(conn, &[release], &names).await?;
        }
        Ok(())
    }

    /// Merges parts with the stored parts of the same notices.
    async fn add_to_known_parts(
        &self,
        conn: &mut PgConnection,
        advisories: &mut BTreeMap<String, Advisory>,
    ) -> ApiResult<()> {
        let parts = advisories.values().filter(|advisory| advisory.is_part);
        let ids: Vec<String> = parts.map(|advisory| advisory.id.clone()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        for mut known in store::feeds::list_parts(conn, &ids).await? {
            if let Some(part) = advisories.remove(&known.id) {
                known.exploited = false;
                known.absorb(part);
                advisories.insert(known.id.clone(), known);
            }
        }
        Ok(())
    }
}

/// Ids are unique only for each publisher; the first one keeps it.
fn of_other_publisher(advisory: &Advisory, publisher: &str) -> RecordError {
    let reason = format!(
        "`{publisher}` has published a notice with this id, and this one is of `{}`; ask its publisher for an id of its own",
        advisory.source
    );
    RecordError { name: advisory.id.clone(), reason }
}

/// Decides whether a version of an advisory differs. Ignores times of feeds without dates, which are the time of reading,
/// and the mark of exploitation, which comes from other feeds.
fn digest(advisory: &Advisory) -> ApiResult<Vec<u8>> {
    let mut canonical = Cow::Borrowed(advisory);
    if canonical.exploited {
        canonical.to_mut().exploited = false;
    }
    if canonical.is_undated {
        let canonical = canonical.to_mut();
        (canonical.published, canonical.modified) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH);
        canonical.withdrawn = canonical.withdrawn.map(|_| DateTime::UNIX_EPOCH);
    }
    let mut hash = HashWriter(Sha256::new());
    serde_json::to_writer(&mut hash, &*canonical)?;
    Ok(hash.0.finalize().to_vec())
}

/// Hashes what is written, so that a large advisory is not copied in memory.
struct HashWriter(Sha256);

impl io::Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Marks advisories for CVEs that are now known to be exploited. Returns how many CIs are missing one of them.
async fn mark_exploited(conn: &mut PgConnection, cves: &[String]) -> ApiResult<u64> {
    let unmarked = store::feeds::list_unmarked(conn, cves).await?;
    if unmarked.is_empty() {
        return Ok(0);
    }
    let numbers: Vec<i32> = unmarked.iter().map(|one| one.no).collect();
    let levels = store::sla::get_service_levels(conn).await?;
    let due: Vec<_> = unmarked.iter().map(|one| levels.due(one.published, one.severity, true)).collect();
    store::feeds::mark_exploited(conn, &numbers, &due).await?;
    Ok(u64::try_from(store::affected::count_affected(conn, &numbers).await?).unwrap_or_default())
}
