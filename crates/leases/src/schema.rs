use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::{Connection, PgPool};

use crate::LeaseError;

/// Enough for several processes that start at the same time, one after another.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(60);

/// The migrations of schema `leases`. Their records are in that schema as well, so that several crates can migrate one
/// database independently.
pub fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../../migrations/leases");
    migrator.create_schema("leases");
    migrator.dangerous_set_table_name("leases.migrations");
    migrator
}

/// Creates or updates schema `leases`. Safe to run from several processes at once, and repeatedly.
pub async fn migrate(pool: &PgPool) -> Result<(), LeaseError> {
    let migrate = async {
        // A separate connection: closing it always releases the migration lock, also after a failed migration.
        let mut connection = pool.acquire().await?.detach();
        let migrated = migrator().run(&mut connection).await;
        connection.close().await?;
        migrated
    };
    match tokio::time::timeout(MIGRATION_TIMEOUT, migrate).await {
        Ok(migrated) => migrated.map_err(|source| LeaseError::Migrate { source }),
        Err(_) => Err(LeaseError::Timeout { action: "migrate schema `leases`", after: MIGRATION_TIMEOUT }),
    }
}
