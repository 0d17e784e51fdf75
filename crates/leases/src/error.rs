use std::time::Duration;

use crate::Epoch;

#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The row has a newer epoch or no longer exists. Final for this lease.
    #[error(
        "row `{key}` of `{table}` is no longer owned at epoch {epoch}: stop working on it, its new owner continues"
    )]
    Lost { table: &'static str, key: String, epoch: Epoch },
    /// Temporary: the worker registers again as soon as the database answers.
    #[error("the lease of this worker has lapsed: try again after it has registered again")]
    Lapsed,
    #[error("lease configuration: `{field}` {problem}")]
    Config { field: &'static str, problem: &'static str },
    #[error("could not {action}: the database refused it or is unavailable")]
    Database { action: &'static str, source: sqlx::Error },
    #[error("could not {action}: the database did not answer within {after:?}")]
    Timeout { action: &'static str, after: Duration },
    #[error("could not migrate schema `leases`: check that this database user may create schemas and tables")]
    Migrate { source: sqlx::migrate::MigrateError },
}

impl LeaseError {
    /// Whether the lease is lost forever. After any other error a later attempt may succeed.
    pub fn is_lost(&self) -> bool {
        matches!(self, LeaseError::Lost { .. })
    }
}

/// Runs one exchange with the database under a timeout. Errors name its `action`.
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
