//! The pools, and the migrations of one schema per service in one database.

use std::{io, time::Duration};

use sqlx::{
    Connection, PgConnection, PgPool,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// A request waits this long for a connection; then the answer is 503.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// Session settings, whatever the server's defaults are. No statement runs longer than a minute. What services
/// query is found by an index and mostly in memory: a planner that assumes spinning disks would read whole
/// tables, and compiling such short statements takes longer than executing them.
const SESSION: [(&str, &str); 3] =
    [("statement_timeout", "60s"), ("random_page_cost", "1.1"), ("jit", "off")];
/// A connection that was idle for longer is pinged before it is used: the server may be gone.
pub(crate) const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// Schema `platform`: tokens, audit log, idempotency keys.
pub fn platform_migrator() -> Migrator {
    sqlx::migrate!("../../migrations/platform")
}

/// The connections of a service. Readers cannot take those on which runs depend.
#[derive(Debug, Clone)]
pub struct Pools {
    /// Of the engine, background work, orders to runs, and requests of other services.
    pub work: PgPool,
    /// Of all other requests.
    pub requests: PgPool,
}

impl Pools {
    /// Opens two pools with half of the connections each, but at least two.
    pub fn connect(url: &str, service: &'static str, max_connections: u32) -> Result<Self, sqlx::Error> {
        let half = max_connections.div_ceil(2).max(2);
        Ok(Self { work: connect(url, service, half)?, requests: connect(url, service, half)? })
    }

    pub async fn close(&self) {
        self.work.close().await;
        self.requests.close().await;
    }
}

/// Opens a pool. Connections are made when needed, so the database may become reachable later.
pub fn connect(url: &str, service: &'static str, max_connections: u32) -> Result<PgPool, sqlx::Error> {
    let options: PgConnectOptions = url.parse()?;
    let options = options.application_name(service).options(SESSION);
    Ok(PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(Duration::from_secs(300))
        .test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(refuse_read_only(connection)))
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > TRUSTED_FOR {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options))
}

/// A pool of its own to the same database.
pub(crate) fn separate(pool: &PgPool, max_connections: u32) -> PgPool {
    let options = pool.options().clone().max_connections(max_connections);
    options.connect_lazy_with(PgConnectOptions::clone(&pool.connect_options()))
}

/// Refuses a server that takes no writes: a standby, or a primary that was made read-only. A proxy may lead to one while
/// there is no primary, and a connection that was kept would stay with it after the primary is back.
pub(crate) async fn refuse_read_only(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let setting: String =
        sqlx::query_scalar("SHOW transaction_read_only").persistent(false).fetch_one(connection).await?;
    if setting == "off" {
        return Ok(());
    }
    let reason = "the server takes no writes: it is a standby, or it was made read-only";
    Err(io::Error::new(io::ErrorKind::ConnectionRefused, reason).into())
}

/// Brings schema `platform` and the service's own schema to this version. Safe to run from many processes at once:
/// sqlx holds an advisory lock while it migrates.
pub async fn migrate(pool: &PgPool, schema: &'static str, migrator: Migrator) -> Result<(), MigrateError> {
    run(pool, "platform", platform_migrator()).await?;
    run(pool, schema, migrator).await
}

/// Runs one migration folder inside its own schema, its bookkeeping included.
pub async fn run(pool: &PgPool, schema: &'static str, mut migrator: Migrator) -> Result<(), MigrateError> {
    migrator.create_schema(schema);
    migrator.dangerous_set_table_name(format!("{schema}._sqlx_migrations"));
    migrator.run(pool).await
}

/// Explains to an operator why the database cannot be migrated.
pub fn explain(error: &MigrateError) -> String {
    match error {
        MigrateError::VersionMissing(version) => format!(
            "the data was written by a newer version of this program (migration {version} is unknown here); start that version or newer"
        ),
        MigrateError::VersionMismatch(version) => {
            format!(
                "migration {version} was applied with different content; this data does not belong to this build"
            )
        }
        other => format!("the database cannot be brought to this version: {}", crate::error::chain(other)),
    }
}
