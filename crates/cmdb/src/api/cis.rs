//! `/cmdb/cis`.

use api_types::{
    cmdb::{Ci, CiStatus, CiType, CreateCi, HistoryEntry, UpdateCi},
    page::Page,
    problem::Problem,
};
use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use serde::Deserialize;
use service_kit::{
    ApiResult,
    auth::{Operator, Viewer},
    extract::{Created, IfMatch, Json, Path, Tagged},
    idempotency::IdempotencyKey,
    page::PageRequest,
};
use utoipa::{IntoParams, ToSchema};

use super::query::{self, Query};
use crate::{app::cis, state::App, store::cis::CiFilter};

#[derive(Debug, Deserialize, IntoParams)]
pub struct CiParams {
    /// Only CIs of this type.
    #[serde(rename = "type")]
    ci_type: Option<CiType>,
    /// Only CIs with this tag, as `key:value`; may be repeated; all must match.
    #[serde(default)]
    tag: Vec<String>,
    /// Short for `tag=os:<value>`. Every spelling of the same release matches.
    os: Option<String>,
    /// Short for `tag=env:<value>`.
    env: Option<String>,
    /// Part of the id, the name or a tag's value, in any case.
    q: Option<String>,
    /// `active` by default.
    status: Option<StatusFilter>,
    /// Only CIs that are in maintenance now.
    #[serde(default)]
    in_maintenance: bool,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StatusFilter {
    #[default]
    Active,
    Decommissioned,
    Any,
}

impl CiParams {
    fn filter(&self, now: DateTime<Utc>) -> ApiResult<CiFilter> {
        let mut tags = query::tags(&self.tag)?;
        for (key, value) in [("os", &self.os), ("env", &self.env)] {
            if let Some(value) = value {
                query::add_tag(&mut tags, key, value)?;
            }
        }
        let status = match self.status.unwrap_or_default() {
            StatusFilter::Active => Some(CiStatus::Active),
            StatusFilter::Decommissioned => Some(CiStatus::Decommissioned),
            StatusFilter::Any => None,
        };
        let text = self.q.clone().filter(|text| !text.is_empty());
        let in_maintenance_at = self.in_maintenance.then_some(now);
        Ok(CiFilter { ci_type: self.ci_type, status, tags, text, in_maintenance_at })
    }
}

/// List configuration items in the order of their ids.
#[utoipa::path(get, path = "/cmdb/cis", tag = "cis", params(CiParams, PageRequest),
    responses((status = 200, body = Page<Ci>), (status = "4XX", body = Problem)))]
pub async fn list_cis(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<CiParams>,
    page: PageRequest,
) -> ApiResult<Json<Page<Ci>>> {
    cis::list_cis(&app, params.filter(app.clock.now())?, page).await.map(Json)
}

/// Create a configuration item.
#[utoipa::path(post, path = "/cmdb/cis", tag = "cis", request_body = CreateCi,
    responses((status = 201, body = Ci), (status = "4XX", body = Problem)))]
pub async fn create_ci(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Json(request): Json<CreateCi>,
) -> ApiResult<Created<Tagged<Ci>>> {
    let ci = cis::create_ci(&app, &caller, &key, request).await?;
    Ok(Created(format!("/cmdb/cis/{}", ci.id), Tagged::of(ci)))
}

/// Read a configuration item.
#[utoipa::path(get, path = "/cmdb/cis/{id}", tag = "cis", params(("id" = CiId, Path, description = "CI")),
    responses((status = 200, body = Ci), (status = "4XX", body = Problem)))]
pub async fn get_ci(State(app): State<App>, _: Viewer, Path(id): Path<CiId>) -> ApiResult<Tagged<Ci>> {
    cis::get_ci(&app, &id).await.map(Tagged::of)
}

/// Change a configuration item; with `If-Match` only if nobody else has changed it.
#[utoipa::path(patch, path = "/cmdb/cis/{id}", tag = "cis", params(("id" = CiId, Path, description = "CI")),
    request_body = UpdateCi, responses((status = 200, body = Ci), (status = "4XX", body = Problem)))]
pub async fn update_ci(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<CiId>,
    if_match: IfMatch,
    Json(request): Json<UpdateCi>,
) -> ApiResult<Tagged<Ci>> {
    cis::update_ci(&app, &caller, &id, &if_match, request).await.map(Tagged::of)
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct DecommissionParams {
    /// Why; kept in the history.
    reason: Option<String>,
}

/// Decommission a configuration item. It and its history stay, but lists and plans omit it.
#[utoipa::path(delete, path = "/cmdb/cis/{id}", tag = "cis",
    params(("id" = CiId, Path, description = "CI"), DecommissionParams),
    responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn decommission_ci(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<CiId>,
    if_match: IfMatch,
    Query(params): Query<DecommissionParams>,
) -> ApiResult<StatusCode> {
    cis::decommission_ci(&app, &caller, &id, &if_match, params.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Read the history of a configuration item, newest first.
#[utoipa::path(get, path = "/cmdb/cis/{id}/history", tag = "cis",
    params(("id" = CiId, Path, description = "CI"), PageRequest),
    responses((status = 200, body = Page<HistoryEntry>), (status = "4XX", body = Problem)))]
pub async fn list_history(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<CiId>,
    page: PageRequest,
) -> ApiResult<Json<Page<HistoryEntry>>> {
    cis::list_history(&app, &id, page).await.map(Json)
}
