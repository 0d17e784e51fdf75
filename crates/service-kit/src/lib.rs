//! Product-free glue that every service stands on: errors, extractors, access, audit, database, serving.
//!
//! It knows no table but its own schema `platform`, and no word of patching.

pub mod access;
pub mod audit;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
mod contract;
pub mod database;
pub mod error;
pub mod extract;
pub mod idempotency;
mod merged_schemas;
pub mod outbound;
pub mod page;
mod problem;
pub mod quick_reads;
pub mod server;
pub mod telemetry;
pub mod text_enum;
mod unread;

/// Services live on many small pieces of text that come and go on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub use auth::{Admin, Approver, Caller, Operator, Viewer};
pub use clock::Clock;
pub use error::{ApiError, ApiResult};
pub use extract::{IfMatch, Json, Path, Query};
pub use idempotency::IdempotencyKey;
