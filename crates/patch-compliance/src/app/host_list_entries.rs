//! The entries of the list of hosts, written with the results of the hosts.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::compliance::Severity;
use service_kit::{ApiError, ApiResult, error::chain};
use sqlx::PgConnection;

use crate::{
    App,
    store::{
        self,
        host_list::{CellKey, ListEntry},
        results::HostInput,
    },
};

impl ListEntry {
    /// Nothing is pending so far; the caller sets the status.
    pub(crate) fn new(host: &HostInput) -> Self {
        Self {
            host_id: host.id,
            ci_id: host.ci_id.clone(),
            cell: CellKey {
                env: host.tags.0.get("env").cloned().unwrap_or_default(),
                os_key: host.os_key.clone(),
                status: host.status,
                severity: None,
                exploited: false,
            },
            pending: 0,
            exploited: 0,
            next_due: None,
        }
    }

    /// Adds what one policy requires. The strictest policy decides.
    pub(crate) fn add(
        &mut self,
        pending: i32,
        exploited: i32,
        severity: Option<Severity>,
        next_due: Option<DateTime<Utc>>,
    ) {
        self.pending = self.pending.max(pending);
        self.exploited = self.exploited.max(exploited);
        self.cell.severity = self.cell.severity.max(severity);
        self.cell.exploited = self.exploited > 0;
        self.next_due = [self.next_due, next_due].into_iter().flatten().min();
    }
}

/// Writes the entries of hosts that changed, and deletes those of hosts that are gone. The hosts are locked.
pub(crate) async fn write(conn: &mut PgConnection, entries: Vec<ListEntry>, gone: &[i32]) -> ApiResult<()> {
    store::host_list::delete_entries(conn, gone).await?;
    if entries.is_empty() {
        return Ok(());
    }
    let keys: BTreeSet<CellKey> = entries.iter().map(|entry| entry.cell.clone()).collect();
    let numbers = store::host_list::number_cells(conn, &keys).await?;
    let numbered: Option<Vec<(i32, ListEntry)>> =
        entries.into_iter().map(|entry| Some((*numbers.get(&entry.cell)?, entry))).collect();
    let numbered =
        numbered.ok_or_else(|| ApiError::internal("a combination of the host list has no number"))?;
    store::host_list::upsert_entries(conn, &numbered).await
}

/// Queues the hosts that are not in the list: an earlier version did not write it.
pub(crate) async fn try_mark_missing(app: &App) {
    let marked = async { store::host_list::mark_missing(&mut *app.pool.acquire().await?).await };
    match marked.await {
        Ok(0) => {}
        Ok(hosts) => tracing::info!("{hosts} hosts will be added to the list of hosts"),
        Err(error) => tracing::warn!("cannot complete the list of hosts now: {}", chain(&error)),
    }
}
