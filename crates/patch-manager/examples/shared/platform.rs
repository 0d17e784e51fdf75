//! The four services with a fleet of model hosts, on a database of their own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use api_types::access::Role;
use cmdb::Cmdb;
use itsm::Itsm;
use local_postgres::LocalPostgres;
use patch_manager::{PatchManager, Settings};
use serde_json::{Value, json};
use service_kit::Clock;
use sim_engine::{SimEngine, SimSettings};
use sqlx::{Connection, PgConnection};
use test_support::{Desk, Http, TestService};
use tokio::net::TcpListener;

/// What a platform is measured with.
pub struct Setup {
    /// Model hosts that its run patches.
    pub hosts: usize,
    /// Hosts in work at once.
    pub parallel: u16,
    /// Hosts whose agents push their inventories.
    pub agents: usize,
    /// `ansible-playbook`, or a program in its place.
    pub ansible: PathBuf,
}

/// `ansible-playbook` as `cargo xtask` names it.
pub fn real_ansible() -> anyhow::Result<PathBuf> {
    let program = std::env::var_os("PATCH_ANSIBLE_PLAYBOOK")
        .context("PATCH_ANSIBLE_PLAYBOOK is not set; start this with `cargo xtask bench`")?;
    Ok(PathBuf::from(program))
}

/// How long the plan of a run may take.
const PLAN_LIMIT: Duration = Duration::from_secs(1800);

pub struct Platform {
    pub patch: TestService,
    pub sim: TestService,
    pub cmdb: TestService,
    itsm: TestService,
    pub desk: Desk,
    url: String,
}

impl Platform {
    /// Starts the services on the new database `name`, and registers hosts without a fix.
    pub async fn start(
        server: &LocalPostgres,
        name: &str,
        folder: &Path,
        setup: &Setup,
    ) -> anyhow::Result<Self> {
        let mut admin = PgConnection::connect(&server.url("postgres")).await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE bench_{name}")))
            .execute(&mut admin)
            .await?;
        let url = server.url(&format!("bench_{name}"));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let patch_url = format!("http://{}", listener.local_addr()?);
        let sim =
            TestService::start::<SimEngine>(&url, SimSettings { laboratory: true, ..SimSettings::default() })
                .await;
        let settings = cmdb::Settings { sim_engine_url: sim.base.clone() };
        let cmdb = TestService::start::<Cmdb>(&url, settings).await;
        let settings = itsm::Settings { patch_manager_url: Some(patch_url.clone()), ..Default::default() };
        let itsm = TestService::start::<Itsm>(&url, settings).await;
        let settings = settings_of(&sim, &cmdb, &itsm, folder.join(name), patch_url, setup);
        let patch = TestService::start_on::<PatchManager>(&url, settings, listener, Clock::system()).await;
        let desk = desk(&patch, &cmdb, &itsm, &sim).await;
        desk.fleet(setup.hosts, 0).await;
        desk.policy(json!({ "max_parallel": setup.parallel })).await;
        for host in 1..=setup.agents {
            let ci = json!({ "id": format!("agent-{host}"), "type": "host", "tags": { "env": "dev", "os": "debian12" } });
            desk.cmdb.post("/cmdb/cis", &ci).await.expect(201);
        }
        Ok(Self { patch, cmdb, itsm, sim, desk, url })
    }

    /// A run that was approved just now.
    pub async fn approved_run(&self) -> anyhow::Result<String> {
        let run = self.desk.run().await;
        let began = tokio::time::Instant::now();
        // The plan of thousands of hosts takes longer than tests wait.
        while self.service_run(&run).await?["state"] == "planning" {
            anyhow::ensure!(began.elapsed() < PLAN_LIMIT, "the run is not planned");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.desk.approve(&run).await;
        Ok(run)
    }

    /// The run, read as a service reads it: beside the clients.
    pub async fn service_run(&self, run: &str) -> anyhow::Result<Value> {
        let service = Http::new(&self.patch.base, Some(self.patch.service_token().to_owned()));
        let answer = service.get(&format!("/patch/runs/{run}")).await;
        anyhow::ensure!(answer.status == 200, "the run cannot be read: {}", answer.text);
        Ok(answer.json)
    }

    /// Seconds from the start of the first host to the end of the run.
    pub async fn seconds_of(&self, run: &str) -> anyhow::Result<f64> {
        let mut conn = PgConnection::connect(&self.url).await?;
        let seconds =
            "SELECT extract(epoch FROM ended_at - started_at)::float8 FROM patch.runs WHERE id::text = $1";
        sqlx::query_scalar(seconds).bind(run).fetch_one(&mut conn).await.context("the times of the run")
    }

    /// It grows whenever another owner takes the run over.
    pub async fn lease_epoch(&self, run: &str) -> anyhow::Result<i64> {
        let mut conn = PgConnection::connect(&self.url).await?;
        let epoch = "SELECT lease_epoch FROM patch.runs WHERE id::text = $1";
        sqlx::query_scalar(epoch).bind(run).fetch_one(&mut conn).await.context("the lease of the run")
    }

    /// Transactions that the database has committed.
    pub async fn transactions(&self) -> anyhow::Result<i64> {
        let mut conn = PgConnection::connect(&self.url).await?;
        let committed = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
        sqlx::query_scalar(committed).fetch_one(&mut conn).await.context("the counters of the database")
    }

    pub async fn stop(self) {
        for service in [self.patch, self.itsm, self.cmdb, self.sim] {
            service.stop().await;
        }
    }
}

fn settings_of(
    sim: &TestService,
    cmdb: &TestService,
    itsm: &TestService,
    work_dir: PathBuf,
    public_url: String,
    setup: &Setup,
) -> Settings {
    Settings {
        compliance: patch_compliance::Settings {
            cmdb_url: cmdb.base.clone(),
            work_dir,
            ..patch_compliance::Settings::default()
        },
        runs: patch_runs::Settings {
            itsm_url: itsm.base.clone(),
            sim_engine_url: sim.base.clone(),
            ansible_playbook: Some(setup.ansible.clone()),
            playbooks: Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../playbooks")),
            forks: setup.parallel,
            public_url,
            ..patch_runs::Settings::default()
        },
        releases: patch_releases::Settings::default(),
    }
}

async fn desk(patch: &TestService, cmdb: &TestService, itsm: &TestService, sim: &TestService) -> Desk {
    let operator = patch.token("olivia", &[Role::Operator]).await;
    let approver = patch.token("arjun", &[Role::Approver]).await;
    let at = |service: &TestService, token: &str| Http::new(&service.base, Some(token.to_owned()));
    Desk {
        patch: at(patch, &operator),
        cmdb: at(cmdb, &operator),
        itsm: at(itsm, &operator),
        sim: at(sim, &operator),
        approver: at(itsm, &approver),
    }
}
