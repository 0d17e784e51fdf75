//! SQL, and nothing but SQL: concrete functions over a connection, in the caller's transaction.

pub mod approvals;
pub mod changes;
pub mod incidents;
pub mod links;
pub mod notifications;
pub mod problems;

use domain::ids::CiId;
use service_kit::text_enum::from_text;

fn ci_ids(names: Vec<String>) -> sqlx::Result<Vec<CiId>> {
    names.into_iter().map(from_text).collect()
}

fn ci_names(ids: &[CiId]) -> Vec<String> {
    ids.iter().map(|id| id.as_str().to_owned()).collect()
}
