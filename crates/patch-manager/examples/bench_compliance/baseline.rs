//! The baseline: a wide row per host with its pending patches as jsonb, COPY, GROUP BY, GIN, matching host by host.

use std::time::{Duration, Instant};

use advisories::{Advisory, Index, Inventory, OsRelease, match_host};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::{PgPool, types::Json as Column};
use tokio::net::TcpListener;

use crate::measure::median;

pub async fn make_tables(pool: &PgPool) -> anyhow::Result<()> {
    let tables = "CREATE SCHEMA baseline;
        CREATE TABLE baseline.scans (ci_id text COLLATE \"C\" PRIMARY KEY, os text NOT NULL, packages jsonb NOT NULL);
        CREATE TABLE baseline.cis (
            ci_id text COLLATE \"C\" PRIMARY KEY, os_type text NOT NULL, env text NOT NULL, tier text NOT NULL, owner text NOT NULL,
            cluster text NOT NULL, policy_id text, current_level text, target_level text,
            status text NOT NULL CHECK (status IN ('compliant', 'non_compliant', 'unknown')), last_scanned timestamptz,
            pending jsonb NOT NULL)";
    sqlx::raw_sql(tables).execute(pool).await?;
    Ok(())
}

/// Lines of inventories as rows for COPY.
pub fn copy_rows(lines: &[String]) -> Vec<u8> {
    let mut rows = Vec::new();
    for line in lines {
        let ci = line.get(10..22).unwrap_or_default();
        let packages = line.find('[').map(|at| &line[at..line.len() - 1]).unwrap_or("[]");
        rows.extend_from_slice(format!("{ci}\trocky9\t{packages}\n").as_bytes());
    }
    rows
}

pub async fn copy(pool: &PgPool, rows: Vec<u8>) -> anyhow::Result<()> {
    let mut conn = pool.acquire().await?;
    let mut copy = conn.copy_in_raw("COPY baseline.scans FROM STDIN").await?;
    for part in rows.chunks(256 * 1024) {
        copy.send(part).await?;
    }
    copy.finish().await?;
    Ok(())
}

/// The same results in the wide table, with its index.
pub async fn fill(pool: &PgPool) -> anyhow::Result<()> {
    let fill = "INSERT INTO baseline.cis
        SELECT h.ci_id, h.os, h.env, h.tier, h.owner, h.cluster, p.id, c.current_level, c.target_level, c.status, s.last_scanned,
            (SELECT jsonb_agg(jsonb_build_object('cve', a.cves[1], 'package', f.package, 'installed', f.installed, 'fixed', f.fixed,
                 'advisory_id', a.id, 'severity', a.severity, 'exploited', a.exploited, 'published', a.published, 'due', a.due,
                 'state', f.state, 'rule', f.rule))
             FROM unnest(sf.findings) AS n (no) JOIN patch.findings f ON f.no = n.no JOIN patch.advisories a ON a.no = f.advisory_no)
        FROM patch.hosts h JOIN patch.host_scans s ON s.host_id = h.id JOIN patch.set_findings sf ON sf.set_no = s.set_no
        JOIN patch.compliance c ON c.host_id = h.id LEFT JOIN patch.policies p ON p.no = c.policy_no;
        CREATE INDEX cis_pending ON baseline.cis USING gin (pending jsonb_path_ops);";
    sqlx::raw_sql(fill).execute(pool).await?;
    sqlx::raw_sql("VACUUM ANALYZE baseline.cis").execute(pool).await?;
    Ok(())
}

pub async fn group_by(pool: &PgPool, rounds: usize) -> anyhow::Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        sqlx::query("SELECT policy_id, env, os_type, status, count(*) FROM baseline.cis GROUP BY 1, 2, 3, 4")
            .fetch_all(pool)
            .await?;
        times.push(began.elapsed());
    }
    Ok(median(times))
}

/// Times to read the first hundred CIs that are missing a fix of a CVE, and to count them.
pub async fn affected(pool: &PgPool, cve: &str, rounds: usize) -> anyhow::Result<(Duration, Duration)> {
    let (mut pages, mut counts) = (Vec::new(), Vec::new());
    let wanted = format!("[{{\"cve\": \"{cve}\"}}]");
    for _ in 0..rounds {
        let began = Instant::now();
        sqlx::query(
            "SELECT ci_id, pending FROM baseline.cis WHERE pending @> $1::jsonb ORDER BY ci_id LIMIT 100",
        )
        .bind(&wanted)
        .fetch_all(pool)
        .await?;
        pages.push(began.elapsed());
        let began = Instant::now();
        sqlx::query("SELECT count(*) FROM baseline.cis WHERE pending @> $1::jsonb")
            .bind(&wanted)
            .fetch_one(pool)
            .await?;
        counts.push(began.elapsed());
    }
    Ok((median(pages), median(counts)))
}

#[derive(Serialize, sqlx::FromRow)]
struct Ci {
    ci_id: String,
    os_type: String,
    env: String,
    policy_id: Option<String>,
    current_level: Option<String>,
    target_level: Option<String>,
    status: String,
    last_scanned: Option<chrono::DateTime<chrono::Utc>>,
    pending: Column<Box<RawValue>>,
}

/// A server without any middleware, with one query by primary key. Returns its address.
pub async fn serve_bare(pool: PgPool) -> anyhow::Result<String> {
    let read = async |State(pool): State<PgPool>, Path(ci_id): Path<String>| {
        sqlx::query_as::<_, Ci>(
            "SELECT ci_id, os_type, env, policy_id, current_level, target_level, status, last_scanned, pending
             FROM baseline.cis WHERE ci_id = $1",
        )
        .bind(ci_id)
        .fetch_optional(&pool)
        .await
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?
        .map(Json)
        .ok_or(StatusCode::NOT_FOUND)
    };
    let app = Router::new().route("/ci/{ci_id}", get(read)).with_state(pool);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

/// Matches hosts one after the other. Returns the time per host.
pub async fn match_each(pool: &PgPool, hosts: &[String]) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let os: OsRelease = "rocky:9".parse()?;
    for ci_id in hosts {
        let mut transaction = pool.begin().await?;
        let packages: serde_json::Value =
            sqlx::query_scalar("SELECT packages FROM baseline.scans WHERE ci_id = $1")
                .bind(ci_id)
                .fetch_one(&mut *transaction)
                .await?;
        let names: Vec<String> = packages
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|package| package["name"].as_str().map(str::to_owned))
            .collect();
        let bodies: Vec<Column<Advisory>> = sqlx::query_scalar(
            "SELECT DISTINCT a.body FROM patch.advisories a JOIN patch.advisory_packages p ON p.advisory_no = a.no
             WHERE a.in_force AND p.os = 'rocky:9' AND p.package = ANY($1)",
        )
        .bind(&names)
        .fetch_all(&mut *transaction)
        .await?;
        let index = Index::new(bodies.into_iter().map(|body| body.0));
        let facts = advisories::HostFacts::new(os.clone());
        let inventory = Inventory { facts, packages: serde_json::from_value(packages)?, unread: Vec::new() };
        let pending: Vec<serde_json::Value> = match_host(&index, &inventory)
            .iter()
            .map(|found| {
                serde_json::json!({ "cve": found.advisory.cves.first(), "package": found.package_name(),
                    "installed": found.installed(), "fixed": found.fixed(), "advisory_id": found.advisory.id,
                    "published": found.advisory.published, "state": found.state.name(), "rule": found.rule.kind().name() })
            })
            .collect();
        let status = if pending.is_empty() { "compliant" } else { "non_compliant" };
        sqlx::query("UPDATE baseline.cis SET pending = $2, status = $3 WHERE ci_id = $1")
            .bind(ci_id)
            .bind(serde_json::Value::from(pending))
            .bind(status)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
    }
    Ok(began.elapsed() / hosts.len() as u32)
}
