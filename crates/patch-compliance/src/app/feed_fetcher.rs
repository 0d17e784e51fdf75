//! Fetches feeds when they are due: conditional requests through the outbound guard, a complete and checked file before
//! anything is imported, and back-off after failures.
//!
//! Replicas share the work: a feed is leased while it is fetched.

mod request;

use std::{fs::File, io::Seek, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use service_kit::{ApiError, ApiResult, Caller, backoff, error::chain};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

pub(crate) use self::request::mirrored;
use self::request::{Conditions, Fault, Fetched, Requests};
use super::feed_imports;
use crate::{
    App, SERVICE,
    store::{
        self,
        fetched_feeds::{FetchedFeed, Success},
    },
};

const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Longer than a feed may take to be fetched and imported. Afterwards another replica may fetch it.
const LEASE: TimeDelta = TimeDelta::hours(2);
/// Of an import with its wait for others. It goes on, and the feed is fetched again.
const IMPORT_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// Of all requests for one feed.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// "Nothing has changed" is believed for this long; then the feed is read again, so that its coverage stays young.
const BELIEVED: TimeDelta = TimeDelta::hours(24);
/// Of a checksum file.
const MAX_CHECKSUM_BYTES: u64 = 64 << 10;
const FIRST_RETRY: Duration = Duration::from_secs(60);
const LONGEST_RETRY: Duration = Duration::from_secs(6 * 3600);

pub(crate) fn start(app: &App) {
    let app = app.clone();
    app.tasks.clone().spawn(async move {
        let stop = app.shutdown.clone();
        stop.run_until_cancelled(run(app)).await;
    });
}

async fn run(app: App) {
    loop {
        match fetch_next(&app).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::warn!("cannot fetch feeds now; retrying: {}", chain(&error)),
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

/// Fetches the feed that has been due for longest. Returns whether there was one.
async fn fetch_next(app: &App) -> ApiResult<bool> {
    let now = app.clock.now();
    let mut conn = app.pool.acquire().await?;
    let Some(feed) = store::fetched_feeds::lease_due(&mut conn, now, now + LEASE).await? else {
        return Ok(false);
    };
    drop(conn);
    let ended = match tokio::time::timeout(FETCH_TIMEOUT, fetch(app, &feed, now)).await {
        Ok(Ok(Fetched::Unchanged)) => Ok((None, feed.etag.clone(), feed.last_modified.clone())),
        Ok(Ok(Fetched::New { file, etag, last_modified })) => {
            import(app, &feed, file).await.map(|id| (Some(id), etag, last_modified))
        }
        Ok(Err(fault)) => Err(fault),
        Err(_) => Err(Fault::new(format!(
            "the feed was not complete after {} minutes",
            FETCH_TIMEOUT.as_secs() / 60
        ))),
    };
    let now = app.clock.now();
    let mut conn = app.pool.acquire().await?;
    match ended {
        Ok((import_id, etag, last_modified)) => {
            let success = Success {
                now,
                next_at: now + TimeDelta::minutes(i64::from(feed.every_minutes)),
                import_id,
                etag: etag.as_deref(),
                last_modified: last_modified.as_deref(),
            };
            store::fetched_feeds::record_success(&mut conn, &feed, &success).await?;
        }
        Err(fault) => {
            tracing::warn!("cannot fetch the feed `{}`: {fault}", feed.id);
            let next_at = now + wait_after(&feed, fault.retry_after());
            store::fetched_feeds::record_failure(&mut conn, &feed, now, next_at, &fault.to_string()).await?;
        }
    }
    Ok(true)
}

/// Doubles with every failure, up to the interval of the feed, or to what the server asks for.
fn wait_after(feed: &FetchedFeed, asked: Option<Duration>) -> Duration {
    let failures = feed.failures.max(0).unsigned_abs().saturating_add(1);
    let every = Duration::from_secs(60 * u64::from(feed.every_minutes.unsigned_abs()));
    let wait = backoff::wait_after(failures, FIRST_RETRY, LONGEST_RETRY.min(every));
    wait.max(asked.unwrap_or_default().min(LONGEST_RETRY))
}

/// The feed in a file, complete and with the right checksum.
async fn fetch(app: &App, feed: &FetchedFeed, now: DateTime<Utc>) -> Result<Fetched, Fault> {
    let requests = Requests::new(&app.outbound, &app.settings.feeds);
    let is_young = feed.imported_at.is_some_and(|at| now - at < BELIEVED);
    let conditions = if is_young {
        Conditions { etag: feed.etag.as_deref(), last_modified: feed.last_modified.as_deref() }
    } else {
        Conditions::default()
    };
    let Some(mut answer) = requests.get(&feed.url, &conditions).await? else {
        return Ok(Fetched::Unchanged);
    };
    let expected = match &feed.checksum_url {
        Some(url) => Some(checksum(&requests, url).await?),
        None => None,
    };
    let most = app.settings.feeds.feed_max_bytes;
    answer.check_length(most)?;
    let file = feed_imports::temporary_file(&app.settings.work_dir.join("feeds"))
        .map_err(|error| Fault::new(format!("the feed cannot be stored: {error}")))?;
    let mut file = tokio::fs::File::from_std(file);
    let (mut bytes, mut hash) = (0, Sha256::new());
    while let Some(part) = answer.next_part().await? {
        bytes += part.len() as u64;
        if bytes > most {
            return Err(Fault::new(format!("the feed is larger than {most} bytes")));
        }
        hash.update(&part);
        let unwritable = |error| Fault::new(format!("the feed cannot be stored: {error}"));
        file.write_all(&part).await.map_err(unwritable)?;
    }
    answer.check_end(bytes)?;
    let found = hex::encode(hash.finalize());
    if expected.as_ref().is_some_and(|expected| *expected != found) {
        return Err(Fault::new(
            "the SHA-256 of the feed is not the one of its publisher; nothing was imported",
        ));
    }
    file.flush().await.map_err(|error| Fault::new(format!("the feed cannot be stored: {error}")))?;
    let mut file = file.into_std().await;
    file.rewind().map_err(|error| Fault::new(format!("the feed cannot be read again: {error}")))?;
    Ok(Fetched::New { file, etag: answer.header("etag"), last_modified: answer.header("last-modified") })
}

async fn checksum(requests: &Requests<'_>, url: &str) -> Result<String, Fault> {
    let nothing = || Fault::new("the checksum file has no SHA-256 in hexadecimal");
    let Some(mut answer) = requests.get(url, &Conditions::default()).await? else { return Err(nothing()) };
    answer.check_length(MAX_CHECKSUM_BYTES)?;
    let mut text = Vec::new();
    while let Some(part) = answer.next_part().await? {
        text.extend_from_slice(&part);
        if text.len() as u64 > MAX_CHECKSUM_BYTES {
            return Err(Fault::new(format!("the checksum file is larger than {MAX_CHECKSUM_BYTES} bytes")));
        }
    }
    answer.check_end(text.len() as u64)?;
    let text = String::from_utf8_lossy(&text);
    let word = text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    let is_checksum = word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    if is_checksum { Ok(word) } else { Err(nothing()) }
}

async fn import(app: &App, feed: &FetchedFeed, file: File) -> Result<Uuid, Fault> {
    let caller = Caller::internal(SERVICE, format!("feed:{}", feed.id));
    let failed = |error: ApiError| Fault::new(format!("the feed was not imported: {error}"));
    let started =
        feed_imports::start_import(app, &caller, format!("feed {}", feed.id), file).await.map_err(failed)?;
    let id = started.import.id;
    let minutes = IMPORT_TIMEOUT.as_secs() / 60;
    let ended = tokio::time::timeout(IMPORT_TIMEOUT, started.task).await;
    let ended = ended.map_err(|_| Fault::new(format!("the import did not end within {minutes} minutes")))?;
    let report = ended.map_err(ApiError::internal).map_err(failed)?.map_err(failed)?;
    if report.read == 0 {
        return Err(Fault::new("the feed has no record"));
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(failures: i32, every_minutes: i32) -> FetchedFeed {
        FetchedFeed {
            id: "a".into(),
            url: "https://example.org/a".into(),
            checksum_url: None,
            every_minutes,
            late_after_hours: 48,
            created_by: "olivia".into(),
            created_at: DateTime::UNIX_EPOCH,
            next_at: DateTime::UNIX_EPOCH,
            leased_until: None,
            checked_at: None,
            fetched_at: None,
            imported_at: None,
            import_id: None,
            etag: None,
            last_modified: None,
            failures,
            problem: None,
            incident_id: None,
        }
    }

    #[test]
    fn waits_double_up_to_the_interval_of_the_feed() {
        let minutes = |failures, every| wait_after(&feed(failures, every), None).as_secs() / 60;
        assert_eq!([0, 1, 2, 3].map(|failures| minutes(failures, 360)), [1, 2, 4, 8]);
        assert_eq!((minutes(30, 360), minutes(30, 43_200), minutes(i32::MAX, 5)), (360, 360, 5));
    }

    #[test]
    fn server_that_asks_for_time_gets_it_within_reason() {
        let asked = |hours: u64| wait_after(&feed(0, 360), Some(Duration::from_secs(hours * 3600)));
        assert_eq!((asked(2), asked(1000)), (Duration::from_secs(7200), LONGEST_RETRY));
    }
}
