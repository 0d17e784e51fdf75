//! SQL, and nothing but SQL: concrete functions over a connection of the caller's.

pub mod advisories;
pub mod calendars;
pub mod compliance;
pub mod exceptions;
pub mod feed_imports;
pub mod feeds;
pub mod hosts;
pub(crate) mod notices;
pub mod package_sets;
pub mod policies;
pub(crate) mod predictions;
pub mod scans;
pub mod words;

pub mod host_steps;
pub(crate) mod reboots;
pub mod run_records;
pub mod runs;
pub mod schedules;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Taken by every transaction that changes hosts, sets, advisories, policies or exceptions, before it reads any of them:
/// results are computed from all of these, so two such transactions side by side could each miss the other's half.
pub async fn lock_results(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    const KEY: i64 = 0x7061_7463_6801;
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", KEY).fetch_one(conn).await?;
    Ok(())
}

const IMPORTS: i64 = 0x7061_7463_6802;

/// One import at a time, and nobody else evaluates what it has made due: its report says how many CIs it changed.
pub async fn lock_imports(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", IMPORTS).fetch_one(conn).await?;
    Ok(())
}

/// [`lock_imports`], unless an import is at work.
pub async fn try_lock_imports(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "locked!""#, IMPORTS).fetch_one(conn).await
}

/// The server's time, where no request brought the service's own along.
pub async fn clock_of(conn: &mut PgConnection) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT now() AS "now!""#).fetch_one(conn).await
}
