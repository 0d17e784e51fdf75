//! Ownership of rows in PostgreSQL by lease and epoch.
//!
//! A process that works on rows registers once as a [`Worker`] and keeps that registration alive by a heartbeat.
//! It [claims](Worker::claim) rows of a product's table; each claim raises the row's epoch by one and yields a
//! [`Lease`]. When the process dies, its registration lapses within [`LeaseConfig::lease`] and any other worker may
//! claim its rows. When it was only slow or stopped, the raised epoch makes every write of its old leases fail with
//! [`LeaseError::Lost`] and change nothing.
//!
//! This crate knows no product: it reads and writes `lease_owner` and `lease_epoch` of the tables it is pointed at,
//! and nothing else of them. It never decides what work is, when it is due or whether it has ended.
//!
//! # What a product's table needs
//!
//! ```sql
//! lease_owner uuid,
//! lease_epoch bigint not null default 0,
//! ```
//!
//! No foreign key to `leases.workers`: an owner that is missing there counts as dead. An index that serves the
//! table's [`claimable`](LeasedTable::claimable) predicate keeps polling cheap.
//!
//! # The loop of a product
//!
//! ```no_run
//! # use leases::*;
//! const RUNS: LeasedTable = LeasedTable {
//!     table: "patch.runs",
//!     key: "id",
//!     claimable: "state_is_open and wake_at <= now()",
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
//!         // Goes by itself: the next wake-up, at most a poll interval away, tries again.
//!         Err(error) => eprintln!("{error}"),
//!     }
//! }
//! # }
//! ```
//!
//! Every write happens in a transaction from [`Lease::begin`] (or behind [`Lease::guard`] in a transaction of the
//! caller's), the last one goes through [`Lease::finish`]. Side effects outside the database cannot be fenced: start
//! them only after the step that announces them is committed, end them when [`Lease::lapsed`] trips, and hand the
//! epoch on to whatever carries them out.
//!
//! # Things that happen once at a scheduled instant
//!
//! No lease is needed for those. The instant is part of a unique key, each replica tries to insert it, one succeeds:
//!
//! ```sql
//! create table patch.occurrences (policy_id uuid, scheduled_for timestamptz, primary key (policy_id, scheduled_for));
//! insert into patch.occurrences values ($1, $2) on conflict do nothing;  -- one row affected: it is ours to start
//! ```
//!
//! The insert of what is started (a run, a delivery) belongs in the same transaction.
//!
//! # Clocks
//!
//! Whether a registration is alive is decided by the server's clock alone. A worker judges its own registration by
//! its monotonic clock, counted from before the heartbeat was sent and less a [margin](LeaseConfig::margin), so that
//! it knows before the others do.

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
pub use lease::{Epoch, Lease};
pub use registration::WorkerId;
pub use schema::{migrate, migrator};
pub use table::{Key, LeasedTable};
pub use wakeup::{Wakeup, Wakeups, notify};
pub use worker::Worker;
