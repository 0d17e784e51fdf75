//! `/cmdb/import`.

use api_types::{cmdb::ImportReport, problem::Problem};
use axum::{
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, header},
};
use serde::Deserialize;
use service_kit::{
    ApiError, ApiResult,
    auth::Operator,
    extract::{self, Json},
    idempotency::IdempotencyKey,
    problem_types,
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::query::Query;
use crate::{
    app::import::{self, Format},
    state::App,
};

/// A list of ten thousand hosts with their variables has some megabytes.
const BODY_LIMIT: usize = 20 * 1024 * 1024;

/// Accepted content types. The format is recognised by the content.
const CONTENT_TYPES: [&str; 10] = [
    "application/json",
    "application/x-ndjson",
    "application/ndjson",
    "application/yaml",
    "application/x-yaml",
    "application/octet-stream",
    "text/csv",
    "text/plain",
    "text/yaml",
    "text/x-yaml",
];

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(import_cis)).layer(DefaultBodyLimit::max(BODY_LIMIT))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ImportParams {
    /// Store nothing, and report what would be done and refused.
    #[serde(default)]
    dry_run: bool,
    /// The format; by default it is recognised by the content.
    format: Option<Format>,
    /// Store nothing if one record is refused.
    #[serde(default)]
    strict: bool,
    /// Groups of an Ansible inventory that become the values of a tag: `env=prod,staging,dev`. May be repeated.
    #[serde(default)]
    map: Vec<String>,
}

/// Import an existing list: CSV, JSON, NDJSON, an Ansible inventory (JSON, YAML or INI), or an export of NetBox, Foreman,
/// ServiceNow or PatchMon.
///
/// Good records are stored, and the report names every refused one with its place, the reason and what to do. With `strict`,
/// or if no record is good, nothing is stored and the problem names them.
#[utoipa::path(post, path = "/cmdb/import", tag = "inventory", params(ImportParams),
    request_body(content = String, content_type = "application/octet-stream", description = "the list, up to 20 MB"),
    responses((status = 200, body = ImportReport), (status = "4XX", body = Problem)))]
async fn import_cis(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Query(params): Query<ImportParams>,
    request: Request,
) -> ApiResult<Json<ImportReport>> {
    check_content_type(request.headers())?;
    let content = extract::body(request, &()).await?;
    let options = import::Options {
        format: params.format,
        mode: if params.dry_run { import::Mode::DryRun } else { import::Mode::Store },
        strictness: if params.strict {
            import::Strictness::AllOrNothing
        } else {
            import::Strictness::StoreGoodRecords
        },
        map: params.map,
    };
    import::import_cis(&app, &caller, &key, content.to_vec(), options).await.map(Json)
}

fn check_content_type(headers: &HeaderMap) -> ApiResult<()> {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if CONTENT_TYPES.contains(&essence.as_str()) && !headers.contains_key(header::CONTENT_ENCODING) {
        Ok(())
    } else {
        Err(ApiError::new(
            problem_types::UNSUPPORTED_MEDIA_TYPE,
            format!("the list must be sent uncompressed as one of {}", CONTENT_TYPES.join(", ")),
        ))
    }
}
