//! The console with a large fleet, in a browser.
//!
//! `cargo xtask bench console [-- --hosts N]`: 100,000 hosts by default, each with an inventory of its own and 20 pending patches. A
//! durable PostgreSQL, a CMDB, an ITSM and a patch-manager on this machine; Chromium reads the pages over HTTP, with all middleware. The
//! program in `console/tests/browser/bench.js` measures.

#[path = "../bench_compliance/fleet.rs"]
#[allow(dead_code, reason = "another benchmark uses the rest")]
mod fleet;

use std::{
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use api_types::access::Role;
use clap::Parser;
use cmdb::Cmdb;
use itsm::Itsm;
use local_postgres::{LocalPostgres, LocalPostgresConfig};
use patch_manager::{PatchManager, Settings};
use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgPoolOptions};
use test_support::{Http, TestService};
use tokio::{io::AsyncWriteExt, process::Command};

#[derive(Parser)]
#[command(name = "cargo xtask bench console")]
struct Arguments {
    /// Hosts of the fleet
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    hosts: u32,
}

#[derive(Parser)]
struct ServiceArguments {
    #[command(flatten)]
    settings: Settings,
}

/// Inventories of one request.
const REQUEST: usize = 1_000;
const MAX_WAIT: Duration = Duration::from_secs(1800);
const BROWSER_LASTS: Duration = Duration::from_secs(600);
/// Targets.
const MAX_FIRST_BYTE_MS: f64 = 100.0;
const MAX_INTERACTION_MS: f64 = 100.0;
const MAX_LIST_MS: f64 = 150.0;
const MAX_ANSWER_KB: f64 = 200.0;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let hosts = Arguments::parse().hosts as usize;
    let folder = tempfile::Builder::new().prefix("bench-console-").tempdir()?;
    let mut config = LocalPostgresConfig::new(folder.path().join("db"));
    config.settings.insert("shared_buffers".to_owned(), "1GB".to_owned());
    config.settings.insert("max_wal_size".to_owned(), "4GB".to_owned());
    let server = tokio::task::spawn_blocking(move || LocalPostgres::start(config)).await??;
    let url = server.url("postgres");
    let pool = PgPoolOptions::new().max_connections(4).acquire_timeout(MAX_WAIT).connect(&url).await?;
    let nowhere = "http://127.0.0.1:9".to_owned();
    let cmdb = TestService::start::<Cmdb>(&url, cmdb::Settings { sim_engine_url: nowhere }).await;
    let itsm = TestService::start::<Itsm>(&url, itsm::Settings::default()).await;
    let work = folder.path().join("work").display().to_string();
    let arguments = [
        "bench",
        "--cmdb-url",
        &cmdb.base,
        "--itsm-url",
        &itsm.base,
        "--work-dir",
        &work,
        "--ansible-playbook",
        "/bin/false",
    ];
    let settings = ServiceArguments::try_parse_from(arguments)?.settings;
    fill_cmdb(&pool, hosts).await?;
    let patch = TestService::start::<PatchManager>(&url, settings).await;
    let operator = patch.operator().await;
    let began = Instant::now();
    fill(&pool, &operator, hosts).await?;
    eprintln!("{hosts} hosts are there after {:.0} s", began.elapsed().as_secs_f64());
    let measured = measure(&patch, hosts).await?;
    report(&measured, hosts)?;
    for service in [patch, itsm, cmdb] {
        service.stop().await;
    }
    Ok(())
}

/// Writes to the table of the CMDB directly: its API is not measured.
async fn fill_cmdb(pool: &PgPool, hosts: usize) -> anyhow::Result<()> {
    let fill = format!(
        "INSERT INTO cmdb.cis (id, ci_type, name, tags, created_at, updated_at)
         SELECT 'host-' || lpad(n::text, 7, '0'), 'vm', 'host-' || n, {}, now(), now() FROM generate_series(0, {hosts} - 1) n",
        fleet::tags_sql()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(fill)).execute(pool).await?;
    Ok(())
}

/// Policies, advisories, and an inventory of each host.
async fn fill(pool: &PgPool, operator: &Http, hosts: usize) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let known: i64 = sqlx::query_scalar("SELECT count(*) FROM patch.cmdb_cursor").fetch_one(pool).await?;
        if known > 0 {
            break;
        }
        ensure!(began.elapsed() < MAX_WAIT, "the hosts were not synchronised in time");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for env in fleet::ENVIRONMENTS {
        let policy =
            json!({ "id": format!("baseline-{env}"), "name": env, "target_ci_tags": { "env": env } });
        operator.post("/patch/policies", &policy).await.expect(201);
    }
    send(operator, "/patch/advisories/import?wait_seconds=20", "application/octet-stream", fleet::feed())
        .await?;
    for first in (0..hosts).step_by(REQUEST) {
        let lines: Vec<String> =
            (first..hosts.min(first + REQUEST)).map(|host| fleet::inventory(host, 0)).collect();
        send(operator, "/patch/inventory", "application/x-ndjson", lines.join("\n")).await?;
    }
    sqlx::raw_sql("VACUUM ANALYZE").execute(pool).await?;
    Ok(())
}

async fn send(operator: &Http, path: &str, kind: &str, body: String) -> anyhow::Result<()> {
    let headers = [("content-type", kind)];
    let answer = operator.send(reqwest::Method::POST, path, &headers, Some(body.into_bytes())).await;
    ensure!(answer.status.is_success(), "{path} is answered with {}: {}", answer.status, answer.text);
    Ok(())
}

async fn measure(patch: &TestService, hosts: usize) -> anyhow::Result<Value> {
    let chromium = std::env::var_os("PATCH_CHROMIUM").context("start this with `cargo xtask bench`")?;
    let node = std::env::var_os("PATCH_NODE").unwrap_or_else(|| "node".into());
    let input = json!({
        "base": patch.base,
        "chromium": PathBuf::from(chromium),
        "token": patch.token("ada", &[Role::Admin]).await,
        "views": {
            "overview": "", "fleet": "/hosts", "fleet map": "/hosts?view=map", "host": format!("/hosts/{}", fleet::ci_id(hosts / 2)),
            "cves": "/cves", "cve": format!("/cves/{}", fleet::COMMON_CVE), "policy": "/policies/baseline-prod",
            "package": format!("/packages/{}", fleet::LIBRARY),
        },
        "lists": {
            "hosts of one environment": "/patch/compliance/hosts?env=prod&limit=100",
            "hosts that lack fixes, by due date": "/patch/compliance/hosts?status=non_compliant&sort=due&limit=100",
            "hosts that miss a CVE": format!("/patch/advisories/{}?limit=100", fleet::COMMON_CVE),
            "hosts with a package": format!("/patch/packages/{}?limit=100", fleet::LIBRARY),
            "search for `host-00`": "/patch/search?text=host-00",
            "search for `cve-2025-5`": "/patch/search?text=cve-2025-5",
            "search for nothing": "/patch/search?text=no-such-thing",
        },
    });
    let mut program = Command::new(node)
        .arg("tests/browser/bench.js")
        .current_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../console"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start Node")?;
    let mut stdin = program.stdin.take().context("Node has no input")?;
    stdin.write_all(input.to_string().as_bytes()).await?;
    drop(stdin);
    let ended = tokio::time::timeout(BROWSER_LASTS, program.wait_with_output()).await??;
    ensure!(ended.status.success(), "the browser failed; see above");
    Ok(serde_json::from_slice(&ended.stdout)?)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn report(measured: &Value, hosts: usize) -> anyhow::Result<()> {
    let build = if cfg!(debug_assertions) { "without optimisation" } else { "release" };
    println!("{hosts} hosts, {} pending patches each, no two alike; services built: {build}", fleet::PENDING);
    println!(
        "{:<12} {:>13} {:>11} {:>9}  largest answer (compressed)",
        "view", "first byte ms", "script ms", "heap MB"
    );
    let (mut first_byte, mut largest) = (0.0_f64, 0.0_f64);
    for (name, view) in measured["pages"].as_object().context("no pages")? {
        let (text, wire) = (number(&view["largest"]["text"]) / 1e3, number(&view["largest"]["wire"]) / 1e3);
        let path = view["largest"]["path"].as_str().unwrap_or_default();
        println!(
            "{name:<12} {:>13.1} {:>11.0} {:>9.1}  {text:.0} kB ({wire:.0} kB) {path}",
            number(&view["first_byte_ms"]),
            number(&view["script_ms"]),
            number(&view["heap_mb"])
        );
        first_byte = first_byte.max(number(&view["first_byte_ms"]));
        largest = largest.max(text);
    }
    let mut list: f64 = 0.0;
    for (name, times) in measured["lists"].as_object().context("no lists")? {
        println!(
            "{name:<36} P50 {:>6.1} ms  P95 {:>6.1} ms",
            number(&times["p50_ms"]),
            number(&times["p95_ms"])
        );
        list = list.max(number(&times["p95_ms"]));
    }
    let interactions = &measured["interactions"];
    println!(
        "{} interactions: P75 {:.0} ms, at most {:.0} ms",
        interactions["count"],
        number(&interactions["p75_ms"]),
        number(&interactions["most_ms"])
    );
    let verdict = |value: f64, limit: f64| if value <= limit { "met" } else { "MISSED" };
    println!("\nfirst byte under {MAX_FIRST_BYTE_MS} ms: {}", verdict(first_byte, MAX_FIRST_BYTE_MS));
    println!(
        "interaction under {MAX_INTERACTION_MS} ms at P75: {}",
        verdict(number(&interactions["p75_ms"]), MAX_INTERACTION_MS)
    );
    println!("first page of every list under {MAX_LIST_MS} ms at P95: {}", verdict(list, MAX_LIST_MS));
    println!("no answer that a view loads over {MAX_ANSWER_KB} kB: {}", verdict(largest, MAX_ANSWER_KB));
    Ok(())
}
