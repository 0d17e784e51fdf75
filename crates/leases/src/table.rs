use std::fmt::Debug;
use std::hash::Hash;

use sqlx::postgres::PgHasArrayType;
use sqlx::{Decode, Encode, Postgres, Type};

/// A table whose rows can be owned. Its SQL is put together from these fields, which is safe only because they are
/// part of the program: nothing that comes from outside can become a `&'static str` by accident.
#[derive(Debug, Clone, Copy)]
pub struct LeasedTable {
    /// With its schema: `patch.runs`.
    pub table: &'static str,
    /// The column that identifies a row, its primary key.
    pub key: &'static str,
    /// Which rows have work to do, over the columns of the table: `state_is_open and wake_at <= now()`. Must stay
    /// true while the work is being done, otherwise nobody takes the row over when its owner dies.
    pub claimable: &'static str,
    /// Which rows come first: `wake_at`.
    pub order_by: &'static str,
}

/// What can identify a leased row: `Uuid`, `String`, `i64` or a transparent newtype of them.
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

/// No live worker owns the row: it is unowned, or its owner's lease has passed, or its owner is not registered.
const UNOWNED: &str = "not exists (select from leases.workers as worker \
                       where worker.id = leased.lease_owner and worker.lease_until > clock_timestamp())";

impl LeasedTable {
    /// `$1` limit. Locks the rows it returns, with the lock an ordinary update takes: rows that other tables refer
    /// to stay claimable while something that refers to them is inserted.
    pub(crate) fn select_claimable(&self) -> String {
        let LeasedTable { table, key, claimable, order_by } = self;
        format!(
            "select leased.{key}, leased.lease_epoch from {table} as leased where ({claimable}) and {UNOWNED} \
             order by {order_by} limit $1 for no key update of leased skip locked"
        )
    }

    /// `$1` keys, `$2` new owner. For rows locked by [`Self::select_claimable`] in the same transaction.
    pub(crate) fn take_unowned(&self) -> String {
        let LeasedTable { table, key, .. } = self;
        format!(
            "update {table} as leased set lease_owner = $2, lease_epoch = leased.lease_epoch + 1 \
             where leased.{key} = any($1) and {UNOWNED} returning leased.{key}"
        )
    }

    /// `$1` key, `$2` owner, `$3` epoch. Finds the row by its key alone and compares afterwards: the comparison then
    /// sees the version that the lock was given for, also when somebody else's change had to be waited for.
    pub(crate) fn lock_and_compare(&self) -> String {
        let LeasedTable { table, key, .. } = self;
        format!(
            "select lease_owner is not distinct from $2 and lease_epoch = $3 from {table} where {key} = $1 \
             for no key update"
        )
    }

    /// `$1` key, `$2` owner, `$3` epoch.
    pub(crate) fn clear_owner(&self) -> String {
        let LeasedTable { table, key, .. } = self;
        format!(
            "update {table} set lease_owner = null where {key} = $1 and lease_owner = $2 and lease_epoch = $3"
        )
    }

    /// `$1` key, `$2` new owner. For a row locked by [`Self::lock_and_compare`] in the same transaction.
    pub(crate) fn change_owner(&self) -> String {
        let LeasedTable { table, key, .. } = self;
        format!("update {table} set lease_owner = $2, lease_epoch = lease_epoch + 1 where {key} = $1")
    }
}
