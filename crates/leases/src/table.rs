use std::fmt::Debug;
use std::hash::Hash;

use sqlx::postgres::PgHasArrayType;
use sqlx::{Decode, Encode, Postgres, Type};

/// A table whose rows can be owned. Its SQL is built from these fields. This is safe because they are part of the
/// program: no external input becomes a `&'static str` by accident.
#[derive(Debug, Clone, Copy)]
pub struct LeasedTable {
    /// With its schema: `patch.runs`.
    pub table: &'static str,
    /// The column of the primary key.
    pub key: &'static str,
    /// Condition for rows with work to do: `state_is_open AND wake_at <= now()`. It must stay true during the work,
    /// otherwise no worker takes the row over when its owner dies.
    pub claimable: &'static str,
    /// Order of claims: `wake_at`.
    pub order_by: &'static str,
}

/// A type of primary keys: `Uuid`, `String`, `i64` or a transparent newtype of them.
pub trait Key:
    Clone
    + Debug
    + Eq
    + Hash
    + Send
    + Sync
    + Unpin
    + 'static
    + Type<Postgres>
    + PgHasArrayType
    + for<'q> Encode<'q, Postgres>
    + for<'r> Decode<'r, Postgres>
{
}

impl<T> Key for T where
    T: Clone
        + Debug
        + Eq
        + Hash
        + Send
        + Sync
        + Unpin
        + 'static
        + Type<Postgres>
        + PgHasArrayType
        + for<'q> Encode<'q, Postgres>
        + for<'r> Decode<'r, Postgres>
{
}

/// No live worker owns the row: it has no owner, or the registration of its owner has lapsed or does not exist.
const UNOWNED: &str = "NOT EXISTS (SELECT FROM leases.workers AS worker \
                       WHERE worker.id = leased.lease_owner AND worker.lease_until > clock_timestamp())";

impl LeasedTable {
    /// `$1` limit. Locks the rows it returns, with the lock of an ordinary update: a row stays claimable while rows that
    /// refer to it are inserted.
    pub(crate) fn select_claimable(&self) -> String {
        let LeasedTable { table, key, claimable, order_by } = self;
        format!(
            "SELECT leased.{key}, leased.lease_epoch FROM {table} AS leased WHERE ({claimable}) AND {UNOWNED} \
             ORDER BY {order_by} LIMIT $1 FOR NO KEY UPDATE OF leased SKIP LOCKED"
        )
    }

    /// `$1` keys, `$2` new owner. For rows locked by [`Self::select_claimable`] in the same transaction.
    pub(crate) fn take_unowned(&self) -> String {
        let LeasedTable { table, key, .. } = self;
        format!(
            "UPDATE {table} AS leased SET lease_owner = $2, lease_epoch = leased.lease_epoch + 1 \
             WHERE leased.{key} = ANY($1) AND {UNOWNED} RETURNING leased.{key}"
        )
    }

    /// `$1` key, `$2` owner, `$3` epoch. Finds the row only by its key and compares afterwards: the comparison sees the
    /// locked version, also when the lock had to wait for a change of another transaction.
    pub(crate) fn lock_and_compare(&self) -> String {
        let LeasedTable { table, key, .. } = self;
        format!(
            "SELECT lease_owner IS NOT DISTINCT FROM $2 AND lease_epoch = $3 FROM {table} WHERE {key} = $1 \
             FOR NO KEY UPDATE"
        )
    }

    /// `$1` key, `$2` owner, `$3` epoch.
    pub(crate) fn clear_owner(&self) -> String {
        let LeasedTable { table, key, .. } = self;
        format!(
            "UPDATE {table} SET lease_owner = NULL WHERE {key} = $1 AND lease_owner = $2 AND lease_epoch = $3"
        )
    }

    /// `$1` key, `$2` new owner. For a row locked by [`Self::lock_and_compare`] in the same transaction.
    pub(crate) fn change_owner(&self) -> String {
        let LeasedTable { table, key, .. } = self;
        format!("UPDATE {table} SET lease_owner = $2, lease_epoch = lease_epoch + 1 WHERE {key} = $1")
    }
}
