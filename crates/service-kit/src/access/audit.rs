//! The audit log: read, and checked against its chain.

use api_types::{
    access::{AuditCheck, AuditExport, AuditHash, AuditRecord},
    page::Page,
    problem::Problem,
};
use axum::extract::State;
use serde::Deserialize;

use super::AccessState;
use crate::{
    audit, audit_chain,
    audit_export::store::list_exports as list_recorded,
    auth::Auditor,
    error::{ApiError, ApiResult},
    extract::{Json, Query},
    page::{PageRequest, page},
};

/// Seals that one request checks, unless it asks for fewer.
const CHECK_LIMIT: u32 = 10_000;
/// Positions of one request for hashes.
const MOST_POSITIONS: usize = 100;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditParams {
    /// Only records of this object, such as `policy/policy-rhel9-baseline`.
    object: Option<String>,
    /// Maximum number of items on the page, 1 to 1000; 100 by default.
    limit: Option<u32>,
    /// `next_page_token` of the previous page.
    page_token: Option<String>,
}

/// Read the audit log, newest first.
#[utoipa::path(get, path = "/access/audit", tag = "access", params(AuditParams),
    responses((status = 200, body = Page<AuditRecord>), (status = "4XX", body = Problem)))]
pub(super) async fn list_audit(
    State(state): State<AccessState>,
    _: Auditor,
    Query(params): Query<AuditParams>,
) -> ApiResult<Json<Page<AuditRecord>>> {
    let request = PageRequest::new(params.limit, params.page_token);
    let (limit, after) = (request.limit()?, request.after::<i64>()?);
    let mut conn = state.pool.acquire().await?;
    let records = audit::list_records(&mut conn, params.object.as_deref(), &[], after, limit + 1).await?;
    Ok(Json(page(records, limit, |record: &AuditRecord| record.sequence)))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckParams {
    /// Position after which seals are checked; 0 by default.
    after: Option<u32>,
    /// Number of seals to check, 1 to 10000; 10000 by default.
    limit: Option<u32>,
}

/// Check the audit records of this service against its chain of hashes, from a position on. Continue with `position` until
/// `is_complete`. Note position and hash outside of the database: a later check of that position must have the same hash.
#[utoipa::path(get, path = "/access/audit/check", tag = "access", params(CheckParams),
    responses((status = 200, body = AuditCheck), (status = "4XX", body = Problem)))]
pub(super) async fn check_audit(
    State(state): State<AccessState>,
    caller: Auditor,
    Query(params): Query<CheckParams>,
) -> ApiResult<Json<AuditCheck>> {
    let limit = params.limit.unwrap_or(CHECK_LIMIT);
    if !(1..=CHECK_LIMIT).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("must be 1 to {CHECK_LIMIT}")));
    }
    let mut conn = state.pool.acquire().await?;
    let after = params.after.unwrap_or_default().into();
    audit_chain::check(&mut conn, caller.service, after, limit.into()).await.map(Json)
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct HashParams {
    /// 1 to 100 positions, comma-separated.
    positions: String,
}

/// Read the hashes at positions of the chain of this service, to compare them with ends that were exported. Positions that the chain
/// does not have are left out.
#[utoipa::path(get, path = "/access/audit/hashes", tag = "access", params(HashParams),
    responses((status = 200, body = Vec<AuditHash>), (status = "4XX", body = Problem)))]
pub(super) async fn list_audit_hashes(
    State(state): State<AccessState>,
    caller: Auditor,
    Query(params): Query<HashParams>,
) -> ApiResult<Json<Vec<AuditHash>>> {
    let positions: Option<Vec<i64>> =
        params.positions.split(',').map(|one| one.parse().ok().filter(|position| *position > 0)).collect();
    let positions = positions.filter(|positions| positions.len() <= MOST_POSITIONS).ok_or_else(|| {
        ApiError::invalid("positions", format!("must be 1 to {MOST_POSITIONS} positions, comma-separated"))
    })?;
    let mut conn = state.pool.acquire().await?;
    Ok(Json(audit_chain::list_hashes(&mut conn, caller.service, &positions).await?))
}

/// List where this service exports the end of its chain, and what became of the last one; empty if it exports none.
#[utoipa::path(get, path = "/access/audit/exports", tag = "access",
    responses((status = 200, body = Vec<AuditExport>), (status = "4XX", body = Problem)))]
pub(super) async fn list_audit_exports(
    State(state): State<AccessState>,
    caller: Auditor,
) -> ApiResult<Json<Vec<AuditExport>>> {
    let Some(key) = state.exports.public_key() else { return Ok(Json(Vec::new())) };
    let mut conn = state.pool.acquire().await?;
    let mut exports = list_recorded(&mut conn, caller.service, &key).await?;
    let kinds = state.exports.kinds();
    exports.retain(|export| kinds.contains(&export.destination));
    Ok(Json(exports))
}
