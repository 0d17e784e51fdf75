//! `/patch/compliance`: roll-ups, one CI, the export.

use ::advisories::os_key;
use api_types::{
    page::Page,
    patch::{
        CiCompliance, ComplianceRow, ComplianceStatus, ComplianceSummary, ReleaseCoverage,
        UnfixedVulnerability,
    },
    problem::Problem,
};
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use domain::{
    ids::{CiId, PolicyId},
    text::inert_cell,
};
use futures::stream;
use serde::Deserialize;
use service_kit::{ApiError, ApiResult, Json, Path, Query, Viewer, page::PageRequest};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    app::{
        compliance::{self, CiWithPatches},
        coverage, unfixed,
    },
    store::compliance::ResultFilter,
};

/// Rows per part of the export.
const BATCH: i64 = 1000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_compliance))
        .routes(routes!(list_coverage))
        .routes(routes!(export_compliance))
        .routes(routes!(get_ci_compliance))
        .routes(routes!(list_unfixed))
}

/// Compliance of the fleet by policy, environment, OS, tier, owner and cluster.
#[utoipa::path(get, path = "/patch/compliance", tag = "compliance",
    responses((status = 200, body = ComplianceSummary), (status = "4XX", body = Problem)))]
async fn get_compliance(State(app): State<App>, _: Viewer) -> ApiResult<Json<ComplianceSummary>> {
    compliance::get_compliance(&app).await.map(Json)
}

/// What the imported feeds know of each release, and up to when: every release with a notice, and every release of a host.
#[utoipa::path(get, path = "/patch/coverage", tag = "compliance", params(PageRequest),
    responses((status = 200, body = Page<ReleaseCoverage>), (status = "4XX", body = Problem)))]
async fn list_coverage(
    State(app): State<App>,
    _: Viewer,
    page: PageRequest,
) -> ApiResult<Json<Page<ReleaseCoverage>>> {
    coverage::list_coverage(&app, &page).await.map(Json)
}

/// The patch state of one CI: status with reason, patch level, and every missing fix.
#[utoipa::path(get, path = "/patch/compliance/{ci_id}", tag = "compliance", params(("ci_id" = String, Path, description = "CI")),
    responses((status = 200, body = CiCompliance), (status = "4XX", body = Problem)))]
async fn get_ci_compliance(
    State(app): State<App>,
    _: Viewer,
    Path(ci_id): Path<CiId>,
) -> ApiResult<Json<CiWithPatches>> {
    compliance::get_ci_compliance(&app, &ci_id).await.map(Json)
}

/// The vulnerabilities of one CI for which its vendor has no fix, and what the vendor says instead.
#[utoipa::path(get, path = "/patch/compliance/{ci_id}/unfixed", tag = "compliance",
    params(("ci_id" = String, Path, description = "CI"), PageRequest),
    responses((status = 200, body = Page<UnfixedVulnerability>), (status = "4XX", body = Problem)))]
async fn list_unfixed(
    State(app): State<App>,
    _: Viewer,
    Path(ci_id): Path<CiId>,
    page: PageRequest,
) -> ApiResult<Json<Page<UnfixedVulnerability>>> {
    unfixed::list_unfixed(&app, &ci_id, &page).await.map(Json)
}

#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ExportFormat {
    #[default]
    Csv,
    Json,
    Ndjson,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ExportParams {
    /// `csv` (default), `json` or `ndjson`.
    #[serde(default)]
    #[param(inline)]
    format: ExportFormat,
    /// Only results of this policy.
    policy_id: Option<PolicyId>,
    /// Only CIs with this `env` tag.
    env: Option<String>,
    /// Only CIs with this OS release, in any spelling.
    os: Option<String>,
    /// Only results with this stored status: `compliant`, `non_compliant` or `unknown`.
    #[param(inline)]
    status: Option<ComplianceStatus>,
}

/// Export all results, a row per CI and policy, streamed in the order of CIs.
#[utoipa::path(get, path = "/patch/compliance/export", tag = "compliance", params(ExportParams),
    responses((status = 200, content((Vec<ComplianceRow> = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"))),
        (status = "4XX", body = Problem)))]
async fn export_compliance(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<ExportParams>,
) -> ApiResult<Response> {
    let filter = ResultFilter {
        policy_id: params.policy_id.map(String::from),
        env: params.env,
        os: params.os.as_deref().map(os_key),
        status: params.status,
    };
    let (content_type, file) = match params.format {
        ExportFormat::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"compliance.csv\""),
        ExportFormat::Json => ("application/json", "attachment; filename=\"compliance.json\""),
        ExportFormat::Ndjson => ("application/x-ndjson", "attachment; filename=\"compliance.ndjson\""),
    };
    // An error on the first page is still an answer; later ones can only end the stream.
    let mut export = Export { app, filter, format: params.format, at: Some(None), is_first: true };
    let first = export.next_piece().await?.unwrap_or_default();
    let rest = stream::try_unfold(export, async |mut export| {
        let piece = export.next_piece().await?;
        Ok::<_, ApiError>(piece.map(|piece| (piece, export)))
    });
    let pieces = futures::StreamExt::chain(stream::once(async { Ok::<_, ApiError>(first) }), rest);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static(file)),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// An export in progress.
struct Export {
    app: App,
    filter: ResultFilter,
    format: ExportFormat,
    /// The row to continue after; `None` when all rows are sent.
    at: Option<Option<(String, i32)>>,
    is_first: bool,
}

impl Export {
    async fn next_piece(&mut self) -> ApiResult<Option<Bytes>> {
        let Some(after) = self.at.take() else { return Ok(None) };
        let mut conn = self.app.pool.acquire().await?;
        let now = self.app.clock.now();
        let (rows, last) =
            compliance::list_results(&mut conn, &self.app.criteria, &self.filter, after, BATCH, now).await?;
        drop(conn);
        let is_last = last.is_none();
        let piece = match self.format {
            ExportFormat::Csv => csv_piece(&rows, self.is_first)?,
            ExportFormat::Json => json_piece(&rows, self.is_first, is_last)?,
            ExportFormat::Ndjson => ndjson_piece(&rows)?,
        };
        self.is_first = false;
        self.at = last.map(Some);
        Ok(Some(piece.into()))
    }
}

fn csv_piece(rows: &[ComplianceRow], with_header: bool) -> ApiResult<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if with_header {
        let columns = [
            "ci_id",
            "policy_id",
            "os_type",
            "env",
            "compliance_status",
            "reason",
            "current_patch_level",
            "target_patch_level",
            "pending",
            "last_scanned",
            "last_patched",
            "unknown_cause",
            "feed_fetched",
            "unread",
        ];
        writer.write_record(columns).map_err(ApiError::internal)?;
    }
    let time = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)).unwrap_or_default()
    };
    for row in rows {
        let cells = [
            row.ci_id.to_string(),
            row.policy_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            row.os_type.clone(),
            row.env.clone(),
            row.compliance_status.to_string(),
            row.reason.clone(),
            row.current_patch_level.clone().unwrap_or_default(),
            row.target_patch_level.clone().unwrap_or_default(),
            row.pending.to_string(),
            time(row.last_scanned),
            time(row.last_patched),
            row.unknown_cause.map(|cause| cause.to_string()).unwrap_or_default(),
            time(row.feed_fetched),
            row.unread.to_string(),
        ];
        writer
            .write_record(cells.iter().map(|cell| inert_cell(cell).into_owned()))
            .map_err(ApiError::internal)?;
    }
    writer.into_inner().map_err(|error| ApiError::internal(error.to_string()))
}

fn json_piece(rows: &[ComplianceRow], is_first: bool, is_last: bool) -> ApiResult<Vec<u8>> {
    let mut piece = Vec::new();
    if is_first {
        piece.push(b'[');
    }
    for (position, row) in rows.iter().enumerate() {
        if !is_first || position > 0 {
            piece.extend(b",\n");
        }
        serde_json::to_writer(&mut piece, row)?;
    }
    if is_last {
        piece.extend(b"]\n");
    }
    Ok(piece)
}

fn ndjson_piece(rows: &[ComplianceRow]) -> ApiResult<Vec<u8>> {
    let mut piece = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut piece, row)?;
        piece.push(b'\n');
    }
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_json_make_one_array() {
        let whole = [json_piece(&[], true, false).unwrap(), json_piece(&[], false, true).unwrap()].concat();
        assert_eq!(String::from_utf8(whole).unwrap().trim(), "[]");
    }
}
