//! Compliance at scale, compared with a plain implementation on the same data in the same run.
//!
//! `cargo xtask bench compliance [--cis N] [--only lists]`: a million CIs by default, which takes some twenty minutes; the lists
//! alone, without a baseline, take half of that. With fewer CIs the baseline is faster, and the targets for a million are reported as missed.
//! It starts its own PostgreSQL (durable, as in production), a CMDB and a patch-manager, and uses their HTTP interfaces with
//! all middleware. CPU seconds are those of the server, the services and the client together.

mod baseline;
mod fleet;
mod measure;
mod reads;
mod table;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Parser;
use cmdb::Cmdb;
use local_postgres::{LocalPostgres, LocalPostgresConfig};
use measure::{Cpu, memory_megabytes};
use patch_manager::{PatchManager, Settings};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgPoolOptions};
use table::Table;
use test_support::{Http, TestService};

#[derive(Parser)]
#[command(name = "cargo xtask bench compliance")]
struct Arguments {
    /// Configuration items; each is missing 20 fixes
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=5_000_000))]
    cis: u64,
    /// Only this part, after the first load
    #[arg(long)]
    only: Option<Part>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Part {
    /// The first page of lists of hosts and of searches for packages
    Lists,
}

#[derive(Parser)]
struct ServiceArguments {
    #[command(flatten)]
    settings: Settings,
}

/// Hosts whose inventories are generated, sent and measured at once.
const CHUNK: usize = 20_000;
/// Inventories of one request.
const REQUEST: usize = 5_000;
const LOAD_LASTS: Duration = Duration::from_secs(5);
/// Maximum duration of a step.
const MAX_WAIT: Duration = Duration::from_secs(1800);

struct Bench {
    cis: usize,
    cpu: Cpu,
    pool: PgPool,
    /// As large as the pool of a service.
    bare_pool: PgPool,
    cmdb: TestService,
    patch: TestService,
    operator: Http,
    viewer_token: String,
    client: reqwest::Client,
    /// How often each host's packages have changed.
    rounds: Vec<u32>,
    table: Table,
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let cis = arguments.cis as usize;
    let folder = tempfile::Builder::new().prefix("bench-compliance-").tempdir()?;
    let config =
        LocalPostgresConfig { settings: settings(), ..LocalPostgresConfig::new(folder.path().join("db")) };
    let server = tokio::task::spawn_blocking(move || LocalPostgres::start(config)).await??;
    let pool = PgPoolOptions::new().max_connections(8).connect(&server.url("postgres")).await?;
    sqlx::raw_sql("CREATE DATABASE bench").execute(&pool).await?;
    let url = server.url("bench");
    let pool = PgPoolOptions::new().max_connections(8).acquire_timeout(MAX_WAIT).connect(&url).await?;
    let cmdb = TestService::start::<Cmdb>(&url, cmdb::Settings { sim_engine_url: nowhere() }).await;
    let work = folder.path().join("work").display().to_string();
    let settings =
        ["bench", "--cmdb-url", &cmdb.base, "--work-dir", &work, "--ansible-playbook", "/bin/false"];
    let settings = ServiceArguments::try_parse_from(settings)?.settings;
    fill_cmdb(&pool, cis).await?;
    let began = Instant::now();
    let patch = TestService::start::<PatchManager>(&url, settings).await;
    let operator = patch.operator().await;
    let viewer_token = patch.token("vera", &[api_types::access::Role::Viewer]).await;
    let mut bench = Bench {
        cis,
        cpu: Cpu::of_server(&folder.path().join("db")),
        pool,
        bare_pool: PgPoolOptions::new().max_connections(10).connect_lazy(&url)?,
        cmdb,
        patch,
        operator,
        viewer_token,
        client: reqwest::Client::new(),
        rounds: vec![0; cis],
        table: Table::default(),
    };
    bench.wait_for_hosts(began).await?;
    bench.prepare().await?;
    match arguments.only {
        None => bench.run().await?,
        Some(Part::Lists) => bench.run_lists().await?,
    }
    println!(
        "\n{cis} CIs, {} pending patches each, no two alike; {}",
        fleet::PENDING,
        bench.version().await?
    );
    bench.table.print();
    bench.patch.stop().await;
    bench.cmdb.stop().await;
    Ok(())
}

fn nowhere() -> String {
    "http://127.0.0.1:9".to_owned()
}

fn settings() -> BTreeMap<String, String> {
    [
        ("shared_buffers", "2GB"),
        ("max_wal_size", "8GB"),
        ("work_mem", "32MB"),
        ("maintenance_work_mem", "512MB"),
        ("checkpoint_timeout", "15min"),
        ("max_connections", "100"),
        ("shared_preload_libraries", "pg_stat_statements"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// Writes to the table of the CMDB directly: its API is not measured.
async fn fill_cmdb(pool: &PgPool, cis: usize) -> anyhow::Result<()> {
    let fill = format!(
        "INSERT INTO cmdb.cis (id, ci_type, name, tags, created_at, updated_at)
         SELECT 'host-' || lpad(n::text, 7, '0'), 'vm', 'host-' || n, {}, now(), now() FROM generate_series(0, {} - 1) n",
        fleet::tags_sql(),
        cis
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(fill)).execute(pool).await?;
    Ok(())
}

impl Bench {
    async fn version(&self) -> anyhow::Result<String> {
        Ok(sqlx::query_scalar("SELECT split_part(version(), ' on ', 1)").fetch_one(&self.pool).await?)
    }

    fn address(&self) -> String {
        self.patch.base.trim_start_matches("http://").to_owned()
    }

    async fn wait_for_hosts(&mut self, began: Instant) -> anyhow::Result<()> {
        loop {
            let known: i64 =
                sqlx::query_scalar("SELECT count(*) FROM patch.cmdb_cursor").fetch_one(&self.pool).await?;
            if known > 0 {
                break;
            }
            ensure!(began.elapsed() < MAX_WAIT, "the hosts were not synchronised in time");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        eprintln!("{} CIs synchronised with the CMDB in {:.0} s", self.cis, began.elapsed().as_secs_f64());
        Ok(())
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        for env in fleet::ENVIRONMENTS {
            let policy =
                json!({ "id": format!("baseline-{env}"), "name": env, "target_ci_tags": { "env": env } });
            self.operator.post("/patch/policies", &policy).await.expect(201);
        }
        eprintln!("advisories");
        self.import(&fleet::feed()).await
    }

    async fn run_lists(&mut self) -> anyhow::Result<()> {
        eprintln!("ingestion");
        let all: Vec<usize> = (0..self.cis).collect();
        self.push(&all, false).await?;
        sqlx::raw_sql("VACUUM ANALYZE").execute(&self.pool).await?;
        self.warm_up().await?;
        self.lists().await
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        sqlx::raw_sql("CREATE EXTENSION pg_stat_statements").execute(&self.pool).await?;
        baseline::make_tables(&self.pool).await?;
        self.ingestion().await?;
        self.expect_exact().await?;
        eprintln!("the wide table");
        sqlx::raw_sql("VACUUM ANALYZE").execute(&self.pool).await?;
        baseline::fill(&self.pool).await?;
        self.warm_up().await?;
        self.roll_ups().await?;
        self.one_ci().await?;
        self.affected().await?;
        self.lists().await?;
        self.export().await?;
        self.late_advisory().await?;
        self.expect_exact().await
    }

    /// Flushes the loaded data and reads all tables into memory, those of the baseline, too: otherwise the following reads would
    /// measure which tables were used last.
    async fn warm_up(&self) -> anyhow::Result<()> {
        sqlx::raw_sql("CHECKPOINT").execute(&self.pool).await?;
        sqlx::raw_sql("CREATE EXTENSION IF NOT EXISTS pg_prewarm").execute(&self.pool).await?;
        let read = "SELECT sum(pg_prewarm(c.oid::regclass, 'read'))::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE c.relkind IN ('r', 'i', 't') AND n.nspname IN ('patch', 'baseline', 'pg_toast')";
        sqlx::query_scalar::<_, i64>(read).fetch_one(&self.pool).await?;
        Ok(())
    }

    /// Imports a feed and waits until it is stored and matched.
    async fn import(&self, feed: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        let path = "/patch/advisories/import?wait_seconds=0";
        let answer = self.operator.send(Method::POST, path, &[], Some(feed.as_bytes().to_vec())).await;
        let started = answer.expect(202);
        let path = format!("/patch/advisories/imports/{}", started["id"].as_str().context("an import's id")?);
        loop {
            let import = self.operator.get(&path).await.expect(200);
            match import["status"].as_str() {
                Some("succeeded") => return Ok(()),
                Some("running") => ensure!(began.elapsed() < MAX_WAIT, "the import took too long"),
                _ => anyhow::bail!("the import failed: {import}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn operator_token(&self) -> String {
        self.patch.token("olivia", &[api_types::access::Role::Operator]).await
    }

    /// Sends the inventories of hosts. Returns CPU and wall seconds, and the CPU seconds of COPY if requested.
    async fn push(&self, hosts: &[usize], with_copy: bool) -> anyhow::Result<(f64, f64, f64)> {
        let token = self.operator_token().await;
        let (mut cpu, mut wall, mut copy) = (0.0, 0.0, 0.0);
        for chunk in hosts.chunks(CHUNK) {
            let lines: Vec<String> =
                chunk.iter().map(|host| fleet::inventory(*host, self.rounds[*host])).collect();
            let bodies: Vec<String> = lines.chunks(REQUEST).map(|lines| lines.join("\n")).collect();
            if with_copy {
                let rows: Vec<Vec<u8>> = lines.chunks(CHUNK / 2).map(baseline::copy_rows).collect();
                let cpu_before = self.cpu.seconds();
                let copies = rows.into_iter().map(|rows| baseline::copy(&self.pool, rows));
                futures::future::try_join_all(copies).await?;
                copy += self.cpu.seconds() - cpu_before;
            }
            let (cpu_before, began) = (self.cpu.seconds(), Instant::now());
            let halves: Vec<Vec<String>> =
                bodies.chunks(bodies.len().div_ceil(2)).map(<[String]>::to_vec).collect();
            let senders = halves.into_iter().map(|bodies| self.send(bodies, &token));
            futures::future::try_join_all(senders).await?;
            cpu += self.cpu.seconds() - cpu_before;
            wall += began.elapsed().as_secs_f64();
        }
        Ok((cpu, wall, copy))
    }

    async fn send(&self, bodies: Vec<String>, token: &str) -> anyhow::Result<()> {
        for body in bodies {
            let request = self
                .client
                .post(format!("{}/patch/inventory", self.patch.base))
                .bearer_auth(token)
                .header("content-type", "application/x-ndjson")
                .body(body);
            let answer = request.send().await?;
            let status = answer.status();
            let report: Value = answer.json().await.context("the report of a push")?;
            ensure!(status.is_success() && report["refused"] == json!([]), "{status}: {report}");
        }
        Ok(())
    }

    async fn ingestion(&mut self) -> anyhow::Result<()> {
        eprintln!("ingestion");
        let all: Vec<usize> = (0..self.cis).collect();
        sqlx::raw_sql("SELECT pg_stat_statements_reset()").execute(&self.pool).await?;
        let before = memory_megabytes();
        let (first, wall, copy) = self.push(&all, true).await?;
        let grown = memory_megabytes() - before;
        let reference = copy / self.cis as f64;
        let roll_ups: f64 = sqlx::query_scalar(
            "SELECT coalesce(sum(total_exec_time), 0) / 1000 FROM pg_stat_statements
             WHERE query ~ 'INSERT INTO patch.(compliance_rollup|advisory_counts)'",
        )
        .fetch_one(&self.pool)
        .await?;
        self.ingested("first load", first, wall, reference, 0.15);
        let share = roll_ups / first;
        let shown = format!("{:.1} % of the load", share * 100.0);
        self.table.add(
            "roll-ups and counters, first load",
            shown,
            String::new(),
            String::new(),
            "<= 10 %",
            Some(share <= 0.10),
        );
        let lists: f64 = sqlx::query_scalar(
            "SELECT coalesce(sum(total_exec_time), 0) / 1000 FROM pg_stat_statements
             WHERE query ~ '(INSERT INTO|FROM|DELETE FROM) patch.host_(list|cells)'",
        )
        .fetch_one(&self.pool)
        .await?;
        let share = lists / first;
        let each = lists * 1e6 / self.cis as f64;
        let shown = format!("{:.1} % of the load, {each:.1} us", share * 100.0);
        self.table.add(
            "list of hosts, first load",
            shown,
            String::new(),
            String::new(),
            "<= 10 %",
            Some(share <= 0.10),
        );
        self.table.add(
            "memory grown by it",
            format!("{grown:.0} MB"),
            String::new(),
            String::new(),
            "bounded",
            Some(grown < 600.0),
        );

        let (same, wall, _) = self.push(&all, false).await?;
        self.ingested("again, nothing changed", same, wall, reference, 1.0);
        for (name, every, target) in [("again, 2 % changed", 50, 0.75), ("again, 20 % changed", 5, 0.40)] {
            (0..self.cis).filter(|host| host % every == 1).for_each(|host| self.rounds[host] += 1);
            let (changed, wall, _) = self.push(&all, false).await?;
            self.ingested(name, changed, wall, reference, target);
        }
        Ok(())
    }

    fn ingested(&mut self, what: &str, cpu: f64, wall: f64, reference: f64, target: f64) {
        let each = cpu / self.cis as f64;
        let ours = format!("{:.1} us CPU, {:.0}/s", each * 1e6, self.cis as f64 / wall);
        let share = reference / each;
        self.table.add(
            &format!("inventories: {what}"),
            ours,
            format!("COPY {:.1} us CPU", reference * 1e6),
            format!("{:.0} %", share * 100.0),
            &format!(">= {:.0} %", target * 100.0),
            Some(share >= target),
        );
    }

    /// The counters must equal a count of the rows.
    async fn expect_exact(&self) -> anyhow::Result<()> {
        let drift: i64 = sqlx::query_scalar(
            "WITH counted AS (
                 SELECT d.dimension, d.value, s.status, count(*) AS hosts
                 FROM patch.hosts h JOIN patch.host_scans s ON s.host_id = h.id CROSS JOIN LATERAL (VALUES ('total', ''), ('env', h.env),
                     ('os', h.os), ('tier', h.tier), ('owner', h.owner), ('cluster', h.cluster)) AS d (dimension, value)
                 WHERE h.active GROUP BY 1, 2, 3
                 UNION ALL
                 SELECT 'policy', policy_no::text, status, count(*) FROM patch.compliance WHERE policy_no > 0 GROUP BY 1, 2, 3
             ), rolled AS (SELECT dimension, value, status, sum(hosts) AS hosts FROM patch.compliance_rollup GROUP BY 1, 2, 3 HAVING sum(hosts) <> 0)
             SELECT (SELECT count(*) FROM counted c FULL JOIN rolled r USING (dimension, value, status) WHERE c.hosts IS DISTINCT FROM r.hosts)
                  + (SELECT count(*) FROM (SELECT advisory_no, count(*) AS hosts FROM patch.affected GROUP BY 1) a
                     FULL JOIN (SELECT advisory_no, sum(hosts) AS hosts FROM patch.advisory_counts GROUP BY 1 HAVING sum(hosts) <> 0) c
                     USING (advisory_no) WHERE a.hosts IS DISTINCT FROM c.hosts)",
        )
        .fetch_one(&self.pool)
        .await?;
        ensure!(drift == 0, "{drift} counters differ from a count of the rows");
        eprintln!("  every counter is exact");
        Ok(())
    }
}
