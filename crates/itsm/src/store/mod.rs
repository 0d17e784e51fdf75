//! All SQL of the ITSM service. Functions take a connection; the caller owns the transaction.

pub mod approvals;
pub mod changes;
pub mod incidents;
pub mod links;
pub mod notifications;
pub mod problems;
pub mod templates;

use domain::ids::CiId;
use service_kit::text_enum::from_text;

/// A row and its place in lists.
#[derive(Debug)]
pub struct Numbered<T> {
    pub number: i64,
    pub item: T,
}

fn ci_ids(names: Vec<String>) -> sqlx::Result<Vec<CiId>> {
    names.into_iter().map(from_text).collect()
}

fn ci_names(ids: &[CiId]) -> Vec<String> {
    ids.iter().map(|id| id.as_str().to_owned()).collect()
}
