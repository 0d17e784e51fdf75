//! SQL only: concrete functions on the caller's connection.

pub mod advisories;
pub mod advisory_history;
pub mod affected;
pub mod compliance;
pub mod coverage;
pub mod dictionary;
pub mod exceptions;
pub mod exposure;
pub mod feed_imports;
pub mod feeds;
pub mod fetched_feeds;
pub mod history;
pub mod host_list;
pub mod hosts;
pub mod installed;
pub mod package_sets;
pub mod policies;
pub mod policy_criteria;
pub mod results;
pub mod rollups;
pub mod search;
pub mod sla;
pub mod text_column;
pub mod unfixed;

use chrono::{DateTime, Utc};
use service_kit::ApiError;
use sqlx::PgConnection;

const RESULTS: i64 = 0x7061_7463_6801;

/// For transactions that store inventories. They run concurrently and are ordered by the row locks of their hosts.
pub async fn lock_results_shared(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock_shared($1)", RESULTS).fetch_one(conn).await?;
    Ok(())
}

/// For transactions that change the criteria of compliance (advisories, policies, exceptions), before they read any of
/// it: a transaction that stores inventories sees the whole change or none of it. Hold it briefly; the affected sets and
/// hosts are queued as due.
pub async fn lock_results_for_change(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    lock_results_exclusive(&mut *conn).await?;
    sqlx::query!("UPDATE patch.edition SET number = number + 1").execute(conn).await?;
    Ok(())
}

/// [`lock_results_for_change`] for transactions that do not change the criteria.
pub async fn lock_results_exclusive(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", RESULTS).fetch_one(conn).await?;
    Ok(())
}

/// Plans the statements of this transaction for the current content of the tables. The queues of due work are empty one
/// moment and have a million rows the next; a cached plan for one takes forever on the other.
pub async fn force_custom_plans(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)").fetch_one(conn).await?;
    Ok(())
}

/// Synchronisations with the CMDB run one at a time.
pub async fn lock_synchronisation(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    const KEY: i64 = 0x7061_7463_6803;
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", KEY).fetch_one(conn).await?;
    Ok(())
}

const IMPORTS: i64 = 0x7061_7463_6802;

/// Only one import at a time, and no other process matches the sets that it makes due: its report states how many CIs it
/// changed. The owner of the lock may have a million hosts to match, so that this wait is not limited by the statement
/// timeout.
pub async fn lock_imports(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30min'")
        .execute(&mut *conn)
        .await?;
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", IMPORTS).fetch_one(&mut *conn).await?;
    sqlx::raw_sql("SET LOCAL statement_timeout TO DEFAULT; SET LOCAL lock_timeout TO DEFAULT")
        .execute(conn)
        .await?;
    Ok(())
}

/// [`lock_imports`], unless an import is running.
pub async fn try_lock_imports(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "locked!""#, IMPORTS).fetch_one(conn).await
}

/// The server's time, for callers without the service's clock.
pub async fn database_now(conn: &mut PgConnection) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT now() AS "now!""#).fetch_one(conn).await
}

/// Whether a deadlock ended the transaction. It can be retried as it is.
pub fn is_deadlock(error: &ApiError) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<sqlx::Error>());
    source
        .and_then(sqlx::Error::as_database_error)
        .is_some_and(|error| error.code().as_deref() == Some("40P01"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::{PgPool, postgres::PgConnectOptions};
    use test_support::TestDatabase;

    use super::{lock_imports, try_lock_imports};

    #[tokio::test]
    async fn import_waits_longer_than_the_statement_timeout() {
        let database = TestDatabase::create().await;
        let options: PgConnectOptions = database.url().parse().unwrap();
        let pool = PgPool::connect_with(options.options([("statement_timeout", "200ms")])).await.unwrap();
        let mut at_work = pool.begin().await.unwrap();
        assert!(try_lock_imports(&mut at_work).await.unwrap());
        let waiting = tokio::spawn(async move {
            let mut import = pool.begin().await?;
            lock_imports(&mut import).await?;
            sqlx::query_scalar::<_, String>("SHOW statement_timeout").fetch_one(&mut *import).await
        });
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert!(!waiting.is_finished());
        at_work.commit().await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), "200ms");
    }
}
