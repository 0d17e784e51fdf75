//! `/patch/compliance/hosts`, `/patch/compliance/history`, `/patch/compliance/{ci_id}/packages`.

use ::advisories::os_key;
use api_types::{
    page::Page,
    patch::{ComplianceDay, ComplianceStatus, HostCompliance, HostSort, PendingPackage, Severity},
    problem::Problem,
};
use axum::extract::State;
use domain::ids::CiId;
use serde::Deserialize;
use service_kit::{ApiError, ApiResult, Json, Path, Query, Viewer, page::PageRequest};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    app::{
        history::{self, HistoryFilter},
        host_list, host_packages,
    },
    store::host_list::HostFilter,
};

const DEFAULT_DAYS: u32 = 30;
/// Thirteen months have at most so many days.
const MAX_DAYS: u32 = 400;
const DIMENSIONS: [&str; 7] = ["total", "policy", "env", "os", "tier", "owner", "cluster"];

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_hosts))
        .routes(routes!(list_history))
        .routes(routes!(list_pending_packages))
}

#[derive(Debug, Deserialize, IntoParams)]
struct HostParams {
    /// Comma-separated statuses: `non_compliant,unknown`.
    status: Option<String>,
    /// Only hosts with this `env` tag.
    env: Option<String>,
    /// Only hosts with this OS release, in any spelling: `rocky:9`, `Rocky Linux 9.4`.
    os: Option<String>,
    /// Comma-separated severities: `critical,high`. Only hosts whose worst pending fix has one of them.
    severity: Option<String>,
    /// `true`: only hosts with a pending fix of a CVE that is known to be exploited; `false`: only others.
    kev: Option<bool>,
    /// Order of the list; `name` by default.
    #[serde(default)]
    #[param(inline)]
    sort: HostSort,
}

/// List hosts, one row per host, by status, environment, OS, severity and exploitation.
///
/// Filters compare the stored status, which follows a scan that becomes too old within minutes.
#[utoipa::path(get, path = "/patch/compliance/hosts", tag = "compliance", params(HostParams, PageRequest),
    responses((status = 200, body = Page<HostCompliance>), (status = "4XX", body = Problem)))]
async fn list_hosts(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<HostParams>,
    page: PageRequest,
) -> ApiResult<Json<Page<HostCompliance>>> {
    let filter = HostFilter {
        statuses: list_of::<ComplianceStatus>("status", params.status.as_deref())?,
        env: params.env,
        os: params.os.as_deref().map(os_key),
        severities: list_of::<Severity>("severity", params.severity.as_deref())?,
        exploited: params.kev,
    };
    host_list::list_hosts(&app, &filter, params.sort, &page).await.map(Json)
}

/// Comma-separated names; empty if absent.
fn list_of<T: std::str::FromStr<Err: std::fmt::Display>>(
    name: &str,
    text: Option<&str>,
) -> ApiResult<Vec<T>> {
    let parse = |item: &str| {
        let item = item.trim();
        item.parse().map_err(|error: T::Err| ApiError::invalid(name, format!("`{item}` {error}")))
    };
    text.map_or_else(|| Ok(Vec::new()), |text| text.split(',').map(parse).collect())
}

#[derive(Debug, Deserialize, IntoParams)]
struct HistoryParams {
    /// Number of days, 1 to 400, counted back from today; 30 by default. Days are kept for 13 months.
    days: Option<u32>,
    /// `total` (default), `policy`, `env`, `os`, `tier`, `owner` or `cluster`.
    dimension: Option<String>,
    /// Only this value of the dimension.
    value: Option<String>,
}

/// The days of a history that are asked for.
pub(super) fn days_of(given: Option<u32>) -> ApiResult<u32> {
    match given.unwrap_or(DEFAULT_DAYS) {
        days @ 1..=MAX_DAYS => Ok(days),
        _ => Err(ApiError::invalid("days", format!("must be 1 to {MAX_DAYS}"))),
    }
}

/// List the compliance of each day, newest first, in total or by a dimension. Days without a running platform are missing.
#[utoipa::path(get, path = "/patch/compliance/history", tag = "compliance", params(HistoryParams, PageRequest),
    responses((status = 200, body = Page<ComplianceDay>), (status = "4XX", body = Problem)))]
async fn list_history(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<HistoryParams>,
    page: PageRequest,
) -> ApiResult<Json<Page<ComplianceDay>>> {
    let dimension = params.dimension.unwrap_or_else(|| "total".to_owned());
    if !DIMENSIONS.contains(&dimension.as_str()) {
        let detail = format!("must be one of `{}`", DIMENSIONS.join("`, `"));
        return Err(ApiError::invalid("dimension", detail));
    }
    let filter = HistoryFilter { days: days_of(params.days)?, dimension, value: params.value };
    history::list_history(&app, &filter, &page).await.map(Json)
}

/// List what a host is missing, one row per package with its newest fix: exploited and severe ones first.
#[utoipa::path(get, path = "/patch/compliance/{ci_id}/packages", tag = "compliance",
    params(("ci_id" = String, Path, description = "CI"), PageRequest),
    responses((status = 200, body = Page<PendingPackage>), (status = "4XX", body = Problem)))]
async fn list_pending_packages(
    State(app): State<App>,
    _: Viewer,
    Path(ci_id): Path<CiId>,
    page: PageRequest,
) -> ApiResult<Json<Page<PendingPackage>>> {
    host_packages::list_pending_packages(&app, &ci_id, &page).await.map(Json)
}
