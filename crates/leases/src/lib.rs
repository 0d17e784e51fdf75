//! Ownership of rows in PostgreSQL by lease and epoch.
//!
//! A process that works on rows registers once as a [`Worker`] and keeps that registration alive by a heartbeat.
//! It [claims](Worker::claim) rows of a product's table. Each claim raises the row's epoch by one and returns a
//! [`Lease`]. When the process dies, its registration lapses within [`LeaseConfig::lease`] and any other worker may
//! claim its rows. If it was only slow or stopped, the raised epoch makes every write of its old leases fail with
//! [`LeaseError::Lost`] and change nothing.
//!
//! This crate knows no product: of the product's tables it only reads and writes `lease_owner` and `lease_epoch`. It
//! never decides what work is, when it is due or whether it has ended.
//!
//! # What a product's table needs
//!
//! ```sql
//! lease_owner uuid,
//! lease_epoch bigint NOT NULL DEFAULT 0,
//! ```
//!
//! No foreign key to `leases.workers`: an owner that is missing there counts as dead. An index for the
//! table's [`claimable`](LeasedTable::claimable) predicate keeps polling cheap.
//!
//! # The loop of a product
//!
//! ```no_run
//! # use leases::*;
//! const RUNS: LeasedTable = LeasedTable {
//!     table: "patch.runs",
//!     key: "id",
//!     claimable: "state_is_open AND wake_at <= now()",
//!     order_by: "wake_at",
//! };
//!
//! # async fn work(_: Lease) {}
//! # async fn example(pool: sqlx::PgPool) -> Result<(), LeaseError> {
//! let worker = Worker::start(pool.clone(), LeaseConfig::named("patch-manager")).await?;
//! let mut wakeups = Wakeups::listen(&pool, "patch_runs");
//! loop {
//!     wakeups.next().await;
//!     match worker.claim(&RUNS, 50).await {
//!         Ok(leases) => leases.into_iter().for_each(|lease| drop(tokio::spawn(work(lease)))),
//!         // Temporary: the next wake-up, at most one poll interval later, tries again.
//!         Err(error) => eprintln!("{error}"),
//!     }
//! }
//! # }
//! ```
//!
//! Write only in a transaction from [`Lease::begin`], or after [`Lease::guard`] in your own transaction, and end the
//! work with [`Lease::finish`]. Side effects outside the database cannot be fenced: commit a record of a side effect
//! before you start it, stop it when [`Lease::lapsed`] is cancelled, and pass the epoch on to what carries it out.
//!
//! # Things that happen once at a scheduled instant
//!
//! They need no lease. The instant is part of a unique key, each replica tries to insert it, and one succeeds:
//!
//! ```sql
//! CREATE TABLE patch.occurrences (policy_id uuid, scheduled_for timestamptz, PRIMARY KEY (policy_id, scheduled_for));
//! INSERT INTO patch.occurrences VALUES ($1, $2) ON CONFLICT DO NOTHING;  -- one row affected: this replica starts it
//! ```
//!
//! Insert what is started (a run, a delivery) in the same transaction.
//!
//! # Clocks
//!
//! Only the server's clock decides whether a registration is alive. A worker checks its own registration with its
//! monotonic clock, from the time before the heartbeat was sent and less a [margin](LeaseConfig::margin), so that it
//! knows before the others.

mod backoff;
mod config;
mod error;
mod heartbeat;
mod lease;
mod registration;
mod schema;
mod table;
mod wakeup;
mod worker;

pub use backoff::Backoff;
pub use config::LeaseConfig;
pub use error::LeaseError;
pub use lease::{Epoch, Lease, LeaseTime};
pub use registration::WorkerId;
pub use schema::{migrate, migrator};
pub use table::{Key, LeasedTable};
pub use wakeup::{Wakeup, Wakeups, notify};
pub use worker::Worker;
