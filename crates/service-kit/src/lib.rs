//! What every service is built on: errors, extractors, access, audit, database, serving.
//!
//! It uses no tables outside its own schema `platform` and knows nothing about patching.

pub mod access;
mod answer_headers;
pub mod audit;
mod audit_chain;
pub mod audit_export;
pub mod auth;
pub mod backoff;
pub mod cli;
pub mod clock;
pub mod conditional;
pub mod config;
mod connections;
mod contract;
pub mod database;
mod database_fault;
mod drain_body;
pub mod duties;
pub mod error;
pub mod extract;
pub mod field_changes;
pub mod idempotency;
mod lifetime;
pub mod limits;
mod merged_schemas;
pub mod oidc;
pub mod outbound;
pub mod page;
pub mod people;
mod problem;
mod rate_limit;
pub mod read_pool;
mod refusals;
pub mod repeated_key;
mod rights;
pub mod second_person;
pub mod server;
pub mod session;
pub mod telemetry;
pub mod text_enum;
pub mod tls;
pub mod webhooks;
mod wrong_field;

pub use api_types::problem_types;
pub use auth::{Admin, Agent, Approver, Auditor, Caller, Operator, Viewer};
pub use clock::Clock;
pub use connections::raise_file_limit;
pub use error::{ApiError, ApiResult, FieldErrors};
pub use extract::{IfMatch, Json, Path, Query};
pub use idempotency::IdempotencyKey;
pub use lifetime::Lifetime;
pub use limits::Limits;
