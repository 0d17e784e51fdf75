//! `/patch/search`.

use api_types::{
    patch::{SearchKind, SearchResults},
    problem::Problem,
};
use axum::extract::State;
use serde::Deserialize;
use service_kit::{ApiError, ApiResult, Json, Query, Viewer, text_enum::from_text};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::search, service::App};

const DEFAULT_LIMIT: u32 = 5;
const MAX_LIMIT: u32 = 50;
const LONGEST_TEXT: usize = 200;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(search))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct SearchParams {
    /// At least two characters, at most 200.
    text: String,
    /// Comma-separated kinds: `host,cve`; all by default.
    kinds: Option<String>,
    /// Maximum number of items of each kind, 1 to 50; 5 by default.
    limit: Option<u32>,
}

/// Search hosts, CVEs, packages, runs, changes and customers by a few characters.
///
/// The order of the kinds is always the same. A kind that cannot be searched now says why, and the others are answered.
#[utoipa::path(get, path = "/patch/search", tag = "search", params(SearchParams),
    responses((status = 200, body = SearchResults), (status = "4XX", body = Problem)))]
async fn search(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<SearchParams>,
) -> ApiResult<Json<SearchResults>> {
    let text = params.text.trim();
    if !(2..=LONGEST_TEXT).contains(&text.chars().count()) || text.contains('\0') {
        return Err(ApiError::invalid("text", format!("must be 2 to {LONGEST_TEXT} characters")));
    }
    let limit = params.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("must be 1 to {MAX_LIMIT}")));
    }
    Ok(Json(search::search(&app, text, &kinds(params.kinds.as_deref())?, limit).await))
}

/// In the order of the answer, each once.
fn kinds(text: Option<&str>) -> ApiResult<Vec<SearchKind>> {
    let Some(text) = text else { return Ok(SearchKind::ALL.to_vec()) };
    let parse = |name: &str| {
        let kind: Result<SearchKind, _> = from_text(name.trim());
        kind.map_err(|_| {
            ApiError::invalid(
                "kinds",
                format!(
                    "`{}` is not a kind; known are `host`, `cve`, `package`, `run`, `change`, `customer`",
                    name.trim()
                ),
            )
        })
    };
    let mut kinds = text.split(',').map(parse).collect::<ApiResult<Vec<_>>>()?;
    kinds.sort_unstable();
    kinds.dedup();
    Ok(kinds)
}
