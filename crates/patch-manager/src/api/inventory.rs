//! `/patch/inventory`: packages pushed by agents and other tools.

use api_types::{
    patch::{Inventory, InventoryReport},
    problem::Problem,
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use service_kit::{ApiError, ApiResult, Caller, Json, Operator, extract::parse_json};
use tower_http::decompression::RequestDecompressionLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::body_parts::next_part;
use crate::{
    app::inventory::{self, Observation},
    service::App,
};

/// One inventory, unpacked.
const RECORD_BYTES: usize = 8 << 20;
/// All inventories of one request, unpacked.
const BODY_BYTES: usize = 512 << 20;
/// Inventories stored in one transaction.
const BATCH: usize = 200;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(push_inventory)).layer(RequestDecompressionLayer::new())
}

/// Push package inventories: one as JSON, or many as `application/x-ndjson`, one a line; gzip is understood.
///
/// A fault of a single inventory is the answer (422). Of many, each refused one is named in the report and the others
/// are taken. The same host and scan id are taken once, and an inventory older than what is known changes nothing.
#[utoipa::path(post, path = "/patch/inventory", tag = "inventory",
    request_body(content((Inventory = "application/json"), (String = "application/x-ndjson"))),
    responses((status = 200, body = InventoryReport), (status = "4XX", body = Problem)))]
async fn push_inventory(
    State(app): State<App>,
    caller: Operator,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<InventoryReport>> {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let report = match content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str()
    {
        "application/json" => push_one(&app, &caller, body).await?,
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
            push_many(&app, &caller, body).await?
        }
        _ => {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "send `application/json` for one inventory or `application/x-ndjson` for many",
            ));
        }
    };
    Ok(Json(report))
}

async fn push_one(app: &App, caller: &Caller, body: Body) -> ApiResult<InventoryReport> {
    let mut parts = body.into_data_stream();
    let mut whole = Vec::new();
    while let Some(part) = next_part(&mut parts).await? {
        if whole.len() + part.len() > RECORD_BYTES {
            return Err(too_large("the inventory is larger than 8 MiB"));
        }
        whole.extend_from_slice(&part);
    }
    inventory::push_inventory(app, caller, parse_json::<Inventory>(&whole)?).await
}

async fn push_many(app: &App, caller: &Caller, body: Body) -> ApiResult<InventoryReport> {
    let mut push = Push { app, caller, report: InventoryReport::default(), batch: Vec::new() };
    let mut parts = body.into_data_stream();
    let (mut line, mut is_too_long, mut total) = (Vec::new(), false, 0_usize);
    while let Some(part) = next_part(&mut parts).await? {
        total += part.len();
        if total > BODY_BYTES {
            return Err(too_large("the inventories are larger than 512 MiB; send them in several requests"));
        }
        let mut rest: &[u8] = &part;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            push.take(std::mem::take(&mut line), std::mem::take(&mut is_too_long)).await?;
        }
        line.extend_from_slice(rest);
        if line.len() > RECORD_BYTES {
            is_too_long = true;
            line.clear();
        }
    }
    push.take(line, is_too_long).await?;
    push.flush().await?;
    match push.report.read {
        0 => Err(ApiError::malformed("the body is empty; an inventory a line is expected")),
        _ => Ok(push.report),
    }
}

/// Inventories on their way into the store.
struct Push<'a> {
    app: &'a App,
    caller: &'a Caller,
    report: InventoryReport,
    batch: Vec<(u64, Observation)>,
}

impl Push<'_> {
    async fn take(&mut self, line: Vec<u8>, is_too_long: bool) -> ApiResult<()> {
        if line.trim_ascii().is_empty() && !is_too_long {
            return Ok(());
        }
        self.report.read += 1;
        let record = self.report.read;
        let observed = match is_too_long || line.len() > RECORD_BYTES {
            true => Err("the line is longer than 8 MiB".to_owned()),
            false => parse_json::<Inventory>(&line).map_err(|error| error.to_string()).and_then(|pushed| {
                inventory::observe(pushed, self.app.clock.now())
                    .map_err(|(pointer, reason)| format!("`{pointer}` {reason}"))
            }),
        };
        match observed {
            Ok(observation) => self.batch.push((record, observation)),
            Err(reason) => inventory::refuse(&mut self.report, record, reason),
        }
        match self.batch.len() >= BATCH {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    async fn flush(&mut self) -> ApiResult<()> {
        let batch = std::mem::take(&mut self.batch);
        if !batch.is_empty() {
            inventory::push_batch(self.app, self.caller, &batch, &mut self.report).await?;
        }
        Ok(())
    }
}

fn too_large(detail: &'static str) -> ApiError {
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
}
