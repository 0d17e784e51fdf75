use std::time::Duration;

use crate::Epoch;

#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The row has a newer epoch or no such row exists any more. Final for this lease.
    #[error(
        "row `{key}` of `{table}` is no longer held at epoch {epoch}: stop working on it, its new owner goes on"
    )]
    Lost { table: &'static str, key: String, epoch: Epoch },
    /// Passes: the worker registers again as soon as the database answers.
    #[error("this worker's own lease has lapsed: try again once it has registered anew")]
    Lapsed,
    #[error("lease configuration: `{field}` {problem}")]
    Config { field: &'static str, problem: &'static str },
    #[error("could not {action}: the database refused or went away")]
    Database { action: &'static str, source: sqlx::Error },
    #[error("could not {action}: the database did not answer within {after:?}")]
    Timeout { action: &'static str, after: Duration },
    #[error("could not migrate schema `leases`: check that this database user may create schemas and tables")]
    Migrate { source: sqlx::migrate::MigrateError },
}

impl LeaseError {
    /// Whether the lease is gone for good; with every other error a later attempt may succeed.
    pub fn is_lost(&self) -> bool {
        matches!(self, LeaseError::Lost { .. })
    }
}

/// Bounds one exchange with the database and says what it was for when it fails.
pub(crate) async fn within<T>(
    limit: Duration,
    action: &'static str,
    exchange: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, LeaseError> {
    match tokio::time::timeout(limit, exchange).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(LeaseError::Database { action, source }),
        Err(_) => Err(LeaseError::Timeout { action, after: limit }),
    }
}
