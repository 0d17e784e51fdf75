//! A patch-manager and its CMDB on one clock that the test controls.

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use cmdb::Cmdb;
use patch_manager::{FeedSettings, PatchManager, Settings};
use service_kit::Clock;
use tempfile::TempDir;
use test_support::{Http, TestDatabase, TestService};
use tokio::net::TcpListener;

/// Maximum wait for background work.
const MAX_WAIT: std::time::Duration = std::time::Duration::from_secs(60);

pub struct Platform {
    pub cmdb: TestService,
    pub patch: TestService,
    pub clock: Clock,
    /// An operator of the patch-manager.
    pub operator: Http,
    /// An operator of the CMDB.
    pub librarian: Http,
    pub sim_engine_url: String,
    pub work: TempDir,
    pub database: TestDatabase,
}

/// Early April 2026: the seeded advisories are some weeks old.
pub fn april() -> DateTime<Utc> {
    "2026-04-01T12:00:00Z".parse().unwrap()
}

impl Platform {
    /// Without a sim-engine: nothing is scanned.
    pub async fn start() -> Self {
        Self::start_with("http://127.0.0.1:9", Some("/bin/false".into()), TestDatabase::create().await).await
    }

    /// [`Platform::start`] with settings of feeds.
    pub async fn start_with_feeds(feeds: FeedSettings) -> Self {
        Self::start_with_outbound(feeds, Vec::new()).await
    }

    /// [`Platform::start`] with settings of feeds, and what may be reached although it is on this machine.
    pub async fn start_with_outbound(feeds: FeedSettings, allowed: Vec<String>) -> Self {
        let database = TestDatabase::create().await;
        Self::start_all("http://127.0.0.1:9", Some("/bin/false".into()), database, feeds, allowed).await
    }

    pub async fn start_with(sim_engine_url: &str, ansible: Option<PathBuf>, database: TestDatabase) -> Self {
        let feeds = FeedSettings { feed_max_bytes: 64 << 20, ..FeedSettings::default() };
        Self::start_all(sim_engine_url, ansible, database, feeds, Vec::new()).await
    }

    async fn start_all(
        sim_engine_url: &str,
        ansible: Option<PathBuf>,
        database: TestDatabase,
        feeds: FeedSettings,
        allowed: Vec<String>,
    ) -> Self {
        let clock = Clock::fixed(april());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let of_cmdb = cmdb::Settings { sim_engine_url: sim_engine_url.to_owned() };
        let cmdb = TestService::start_on::<Cmdb>(database.url(), of_cmdb, listener, clock.clone()).await;
        let work = TempDir::new().unwrap();
        let mut settings = settings(&cmdb.base, sim_engine_url, ansible, &work);
        settings.compliance.feeds = feeds;
        settings.compliance.allow_outbound_to = allowed;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let patch =
            TestService::start_on::<PatchManager>(database.url(), settings, listener, clock.clone()).await;
        Self {
            operator: patch.operator().await,
            librarian: cmdb.operator().await,
            sim_engine_url: sim_engine_url.to_owned(),
            cmdb,
            patch,
            clock,
            work,
            database,
        }
    }

    /// Stops the patch-manager and starts another one on the same data.
    pub async fn restart(self, ansible: Option<PathBuf>) -> Self {
        let Self { cmdb, patch, clock, librarian, sim_engine_url, work, database, .. } = self;
        patch.stop().await;
        let settings = settings(&cmdb.base, &sim_engine_url, ansible, &work);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let patch =
            TestService::start_on::<PatchManager>(database.url(), settings, listener, clock.clone()).await;
        Self {
            operator: patch.operator().await,
            cmdb,
            patch,
            clock,
            librarian,
            sim_engine_url,
            work,
            database,
        }
    }

    pub fn advance(&self, hours: i64) {
        self.clock.advance(TimeDelta::hours(hours));
    }
}

pub fn settings(cmdb_url: &str, sim_engine_url: &str, ansible: Option<PathBuf>, work: &TempDir) -> Settings {
    Settings {
        compliance: patch_compliance::Settings {
            cmdb_url: cmdb_url.to_owned(),
            work_dir: work.path().to_owned(),
            feeds: FeedSettings { feed_max_bytes: 64 << 20, ..FeedSettings::default() },
            ..patch_compliance::Settings::default()
        },
        runs: patch_runs::Settings {
            itsm_url: "http://127.0.0.1:9".to_owned(),
            sim_engine_url: sim_engine_url.to_owned(),
            ansible_playbook: ansible,
            forks: 4,
            ..patch_runs::Settings::default()
        },
        ..Settings::default()
    }
}

/// Repeats `ask` until it returns true.
pub async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + MAX_WAIT;
    while !ask().await {
        assert!(tokio::time::Instant::now() < deadline, "timed out waiting until {what}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
