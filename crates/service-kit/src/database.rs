//! The pool, and the migrations of one schema per service in one database.

use std::time::Duration;

use sqlx::{
    PgPool,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// A request waits this long for a connection, then answers 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// No statement of a service runs longer.
const STATEMENT_TIMEOUT: &str = "60s";

/// What belongs in schema `platform`: tokens, audit log, idempotency keys.
fn platform_migrator() -> Migrator {
    sqlx::migrate!("../../migrations/platform")
}

/// Opens a pool. Connections are made when needed, so a database that is away now may come later.
pub fn connect(url: &str, service: &'static str, max_connections: u32) -> Result<PgPool, sqlx::Error> {
    let options: PgConnectOptions = url.parse()?;
    let options = options.application_name(service).options([("statement_timeout", STATEMENT_TIMEOUT)]);
    Ok(PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(Duration::from_secs(300))
        .connect_lazy_with(options))
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

/// What to tell an operator whose database cannot be migrated.
pub fn explain(error: &MigrateError) -> String {
    match error {
        MigrateError::VersionMissing(version) => format!(
            "the data was written by a newer version of this program (migration {version} is unknown here); start that version or newer"
        ),
        MigrateError::VersionMismatch(version) => {
            format!(
                "migration {version} was applied with another content; this data does not belong to this build"
            )
        }
        other => format!("the database cannot be brought to this version: {}", crate::error::chain(other)),
    }
}
