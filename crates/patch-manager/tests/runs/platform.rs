//! A platform of four services in this process, with a small fleet.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use api_types::access::Role;
use cmdb::Cmdb;
use itsm::Itsm;
use patch_manager::PatchManager;
use service_kit::Clock;
use sim_engine::SimEngine;
use sqlx::{Connection, PgConnection};
pub use test_support::ansible_playbook;
use test_support::{Desk, Http, TestDatabase, TestService};
use tokio::net::TcpListener;

pub struct Platform {
    pub database: Option<TestDatabase>,
    pub database_url: String,
    pub cmdb_service: Option<TestService>,
    pub itsm_service: Option<TestService>,
    pub sim_service: Option<TestService>,
    pub patch_service: Option<TestService>,
    pub addresses: Addresses,
    pub clock: Clock,
    /// The setting of the next patch-manager.
    pub playbook_silence_seconds: u32,
    others: OtherClocks,
    work_dir: tempfile::TempDir,
    ansible: PathBuf,
    desk: Option<Desk>,
    /// Kept from the choice of the addresses until the first start of each service, so that nobody else takes them.
    reserved: Vec<TcpListener>,
}

/// The clocks of the other services. `None`: the clock of the platform; for the sim-engine the system's, because what guests
/// do takes real seconds.
#[derive(Default)]
pub struct OtherClocks {
    pub cmdb: Option<Clock>,
    pub itsm: Option<Clock>,
    pub sim: Option<Clock>,
}

#[derive(Clone, Copy)]
pub struct Addresses {
    pub cmdb: SocketAddr,
    pub itsm: SocketAddr,
    pub sim: SocketAddr,
    pub patch: SocketAddr,
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

impl Platform {
    /// Starts everything; `None` if Ansible is not installed.
    pub async fn start() -> Option<Self> {
        let database = TestDatabase::create().await;
        let url = database.url().to_owned();
        let mut platform = Self::start_at(url, Clock::system()).await?;
        platform.database = Some(database);
        Some(platform)
    }

    pub async fn start_at(database_url: String, clock: Clock) -> Option<Self> {
        Self::start_with(database_url, clock, OtherClocks::default()).await
    }

    pub async fn start_with(database_url: String, clock: Clock, others: OtherClocks) -> Option<Self> {
        let ansible = ansible_playbook()?;
        let mut listeners = Vec::new();
        for _ in 0..4 {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let address = |index: usize| listeners[index].local_addr().unwrap();
        let addresses = Addresses { cmdb: address(0), itsm: address(1), sim: address(2), patch: address(3) };
        let mut platform = Self {
            reserved: listeners,
            database: None,
            database_url,
            cmdb_service: None,
            itsm_service: None,
            sim_service: None,
            patch_service: None,
            addresses,
            clock,
            playbook_silence_seconds: 60,
            others,
            work_dir: tempfile::tempdir().unwrap(),
            ansible,
            desk: None,
        };
        platform.start_sim().await;
        platform.start_cmdb().await;
        platform.start_itsm().await;
        platform.start_patch().await;
        platform.desk = Some(platform.new_desk().await);
        Some(platform)
    }

    /// The reserved listener of a first start, or a new one on the same address.
    async fn listener(&mut self, address: SocketAddr) -> TcpListener {
        let of_address = |listener: &TcpListener| listener.local_addr().is_ok_and(|own| own == address);
        match self.reserved.iter().position(of_address) {
            Some(index) => self.reserved.swap_remove(index),
            None => bind_again(address).await,
        }
    }

    pub async fn start_cmdb(&mut self) {
        let settings = cmdb::Settings { sim_engine_url: url(self.addresses.sim) };
        let listener = self.listener(self.addresses.cmdb).await;
        let clock = self.others.cmdb.clone().unwrap_or_else(|| self.clock.clone());
        self.cmdb_service =
            Some(TestService::start_on::<Cmdb>(&self.database_url, settings, listener, clock).await);
    }

    pub async fn start_itsm(&mut self) {
        let listener = self.listener(self.addresses.itsm).await;
        let clock = self.others.itsm.clone().unwrap_or_else(|| self.clock.clone());
        let patch_manager_url = Some(url(self.addresses.patch));
        let settings = itsm::Settings { patch_manager_url, ..itsm::Settings::default() };
        self.itsm_service =
            Some(TestService::start_on::<Itsm>(&self.database_url, settings, listener, clock).await);
    }

    pub async fn start_sim(&mut self) {
        let listener = self.listener(self.addresses.sim).await;
        let clock = self.others.sim.clone().unwrap_or_default();
        let settings = sim_engine::SimSettings { laboratory: true, ..sim_engine::SimSettings::default() };
        self.sim_service =
            Some(TestService::start_on::<SimEngine>(&self.database_url, settings, listener, clock).await);
    }

    pub async fn start_patch(&mut self) {
        let listener = self.listener(self.addresses.patch).await;
        self.patch_service = Some(self.another_patch(listener).await);
    }

    /// One more patch-manager on the same database.
    pub async fn another_patch(&self, listener: TcpListener) -> TestService {
        self.patch_in(&self.database_url, self.work_dir.path(), listener).await
    }

    /// A patch-manager on this database and work folder.
    pub async fn patch_in(&self, database_url: &str, work_dir: &Path, listener: TcpListener) -> TestService {
        let settings = patch_manager::Settings {
            compliance: patch_compliance::Settings {
                cmdb_url: url(self.addresses.cmdb),
                work_dir: work_dir.to_owned(),
                allow_outbound_to: vec!["127.0.0.1".to_owned()],
                update_programs: vec!["/usr/local/sbin/site-update".to_owned()],
                ..patch_compliance::Settings::default()
            },
            runs: patch_runs::Settings {
                itsm_url: url(self.addresses.itsm),
                sim_engine_url: url(self.addresses.sim),
                ansible_playbook: Some(self.ansible.clone()),
                playbooks: Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../playbooks")),
                forks: 8,
                playbook_silence_seconds: self.playbook_silence_seconds,
                never_pre_approved: vec!["guarded".to_owned()],
                public_url: url(self.addresses.patch),
                ..patch_runs::Settings::default()
            },
            releases: patch_releases::Settings::default(),
        };
        TestService::start_on::<PatchManager>(database_url, settings, listener, self.clock.clone()).await
    }

    /// Runs whose Vault token is in a file.
    pub fn token_files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.work_dir.path().join("vault-tokens"));
        let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// Waits until the run has performed an action `more` times in addition to those until now.
    pub async fn until_performed(&self, run: &str, action: &str, more: i64) {
        let mut conn = PgConnection::connect(&self.database_url).await.unwrap();
        let mut count = async || -> i64 {
            sqlx::query_scalar("SELECT count(*) FROM patch.run_steps WHERE run_id::text = $1 AND action = $2 AND ended_at IS NOT NULL")
                .bind(run)
                .bind(action)
                .fetch_one(&mut conn)
                .await
                .unwrap()
        };
        let (wanted, until) = (count().await + more, Instant::now() + Duration::from_secs(60));
        while count().await < wanted {
            assert!(Instant::now() < until, "run {run} does not perform `{action}`");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn new_desk(&self) -> Desk {
        let issuer = self.patch_service.as_ref().unwrap();
        let operator = issuer.as_role("olivia", &[Role::Operator]).await;
        let approver = issuer.as_role("arjun", &[Role::Approver]).await;
        issuer.add_person("foo", "foo@example.com", &[Role::Approver]).await;
        let at =
            |address: SocketAddr, person: &Http| Http::new(&url(address), person.token().map(str::to_owned));
        Desk {
            patch: at(self.addresses.patch, &operator),
            cmdb: at(self.addresses.cmdb, &operator),
            itsm: at(self.addresses.itsm, &operator),
            sim: at(self.addresses.sim, &operator),
            approver: at(self.addresses.itsm, &approver),
        }
    }
}

impl std::ops::Deref for Platform {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        self.desk.as_ref().expect("a started platform has a desk")
    }
}

/// Starts a platform, or ends the test if Ansible is not installed.
macro_rules! platform {
    () => {
        match $crate::platform::Platform::start().await {
            Some(platform) => platform,
            None => return,
        }
    };
}
pub(crate) use platform;

/// While the service was stopped, a connection of another test may have taken its port.
async fn bind_again(address: SocketAddr) -> TcpListener {
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => assert!(tokio::time::Instant::now() < until, "cannot listen on {address}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
