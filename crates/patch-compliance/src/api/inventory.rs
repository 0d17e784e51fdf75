//! `/patch/inventory`: packages pushed by agents and other tools.

use std::borrow::Cow;

use advisories::{
    InstalledPackage, OsRelease,
    inventory::{InventoryFormat, read_inventory},
};
use api_types::{
    patch::{Inventory, InventoryPackage, InventoryReport, UnreadPackage},
    problem::Problem,
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, header},
};
use chrono::{DateTime, Utc};
use domain::{ids::CiId, restart::StaleServices};
use serde::Deserialize;
use service_kit::{Agent, ApiError, ApiResult, Caller, Json, Query, extract::parse_json, problem_types};
use tower_http::decompression::RequestDecompressionLayer;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::body_parts::next_part;
use crate::{
    App,
    app::{
        host_os, inventory,
        inventory_push::{InventoryPush, RECORD_BYTES},
    },
};

/// Maximum size of an inventory from another tool: SBOMs list each file, too.
const FOREIGN_BYTES: usize = 32 << 20;
/// Maximum size of all inventories in one request, uncompressed.
const BODY_BYTES: usize = 512 << 20;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(push_inventory)).layer(RequestDecompressionLayer::new())
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct InventoryParams {
    /// The host, for formats that do not name it.
    ci_id: Option<CiId>,
    /// Its OS release, `rocky:9`. By default the one that an SBOM contains, or else the one of the CI.
    os: Option<String>,
    /// The same host and scan id are recorded once.
    scan_id: Option<String>,
    /// When the inventory was collected; now by default.
    collected_at: Option<DateTime<Utc>>,
    /// As `uname -r` prints it.
    running_kernel: Option<String>,
    /// Comma-separated channels that the host is subscribed to: `ubuntu-pro:20.04`, `rhel-eus:9.2`, `ltss`.
    channels: Option<String>,
    /// Comma-separated enabled module streams: `nodejs:20`.
    enabled_modules: Option<String>,
}

/// Push package inventories: one as JSON, or many as `application/x-ndjson`, one per line; gzip is accepted.
///
/// The inventory of one host may also be the output of its package manager (`text/tab-separated-values`), or an SBOM
/// (`application/vnd.cyclonedx+json` or `+xml`, `application/spdx+json`, `text/spdx` for tags and values). These formats do not name the host: give it in the query
/// parameters. The lines are the output of
/// `rpm -qa --qf '%{NAME}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\t%{ARCH}\t%{SOURCERPM}\t%{MODULARITYLABEL}\n'` or
/// `dpkg-query -W -f='${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\t${db:Status-Abbrev}\n'`.
///
/// JSON may also be the rows of osquery's tables `deb_packages` or `rpm_packages`, or Wazuh's answer to
/// `GET /syscollector/{agent}/packages`; a list that is only a part of a host's packages is refused.
///
/// A single invalid inventory is refused (422). Of many, each refused one is listed in the report and the others are
/// recorded; the same holds for lines and components. The same host and scan id are recorded once, and an inventory older
/// than the stored one changes nothing.
///
/// The token of an agent pushes one inventory, of its own host.
#[utoipa::path(post, path = "/patch/inventory", tag = "inventory", params(InventoryParams),
    request_body(content((Inventory = "application/json"), (String = "application/x-ndjson"), (String = "text/tab-separated-values"),
        (String = "application/vnd.cyclonedx+json"), (String = "application/vnd.cyclonedx+xml"), (String = "application/spdx+json"),
        (String = "text/spdx"))),
    responses((status = 200, body = InventoryReport), (status = "4XX", body = Problem)))]
async fn push_inventory(
    State(app): State<App>,
    caller: Agent,
    Query(params): Query<InventoryParams>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<InventoryReport>> {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let foreign = match content_type.as_str() {
        "text/tab-separated-values" | "text/plain" => InventoryFormat::Tsv,
        "application/vnd.cyclonedx+json" => InventoryFormat::CycloneDx,
        "application/vnd.cyclonedx+xml" => InventoryFormat::CycloneDxXml,
        "application/spdx+json" => InventoryFormat::Spdx,
        "text/spdx" => InventoryFormat::SpdxTagValue,
        "application/json" => {
            let whole = receive(body, RECORD_BYTES).await?;
            return push_json(&app, &caller, params, whole).await.map(Json);
        }
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
            refuse_params(&params)?;
            inventory::refuse_many(&caller)?;
            return push_many(&app, &caller, body).await.map(Json);
        }
        _ => {
            return Err(ApiError::new(
                problem_types::UNSUPPORTED_MEDIA_TYPE,
                "send `application/json` for one inventory or `application/x-ndjson` for many; `text/tab-separated-values`, \
                 `application/vnd.cyclonedx+json`, `application/vnd.cyclonedx+xml`, `application/spdx+json` and `text/spdx` for one \
                 host from other tools",
            ));
        }
    };
    let whole = receive(body, FOREIGN_BYTES).await?;
    // SPDX 3.0 has the media type of version 2.
    let foreign = match InventoryFormat::recognise(&whole[..whole.len().min(4096)]) {
        Some(InventoryFormat::Spdx3) if foreign == InventoryFormat::Spdx => InventoryFormat::Spdx3,
        _ => foreign,
    };
    push_foreign(&app, &caller, foreign, params, &whole).await.map(Json)
}

/// An SBOM may be sent as `application/json`; the lists of osquery and Wazuh have no type of their own.
async fn push_json(
    app: &App,
    caller: &Caller,
    params: InventoryParams,
    whole: Vec<u8>,
) -> ApiResult<InventoryReport> {
    match InventoryFormat::recognise(&whole[..whole.len().min(4096)]) {
        Some(
            format @ (InventoryFormat::CycloneDx
            | InventoryFormat::Spdx
            | InventoryFormat::Spdx3
            | InventoryFormat::Osquery
            | InventoryFormat::Wazuh),
        ) => push_foreign(app, caller, format, params, &whole).await,
        _ => {
            refuse_params(&params)?;
            inventory::push_inventory(app, caller, parse_json::<Inventory>(&whole)?).await
        }
    }
}

/// The output of another tool for one host. Lines and components that cannot be read are listed and do not affect others.
async fn push_foreign(
    app: &App,
    caller: &Caller,
    format: InventoryFormat,
    params: InventoryParams,
    whole: &[u8],
) -> ApiResult<InventoryReport> {
    let ci_id = params
        .ci_id
        .ok_or_else(|| ApiError::invalid("ci_id", "must name the host: this format does not contain it"))?;
    inventory::refuse_other_host(caller, &ci_id)?;
    let os = params.os.as_deref().map(str::parse::<OsRelease>).transpose();
    let mut os = os.map_err(|error| ApiError::invalid("os", error.to_string()))?;
    if !format.names_release() && os.is_none() {
        os = Some(host_os::get_release(app, &ci_id).await?);
    }
    let mut read = read_inventory(whole, format, os.as_ref());
    if os.is_none() && read.is_err() {
        // An SBOM that does not name an OS release is of the CI's own.
        if let Ok(of_ci) = host_os::get_release(app, &ci_id).await {
            read = read_inventory(whole, format, Some(&of_ci));
        }
    }
    let read = read.map_err(|error| ApiError::invalid("", format!("cannot be read: {error}")))?;
    let os = read.os.map(|os| os.to_string()).unwrap_or_default();
    let pushed = Inventory {
        ci_id,
        scan_id: params.scan_id,
        os,
        collected_at: params.collected_at,
        boot_id: None,
        running_kernel: params.running_kernel,
        reboot_pending: false,
        stale_services: StaleServices::NotChecked,
        repositories: None,
        channels: comma_separated(params.channels.as_deref()),
        repository_urls: Vec::new(),
        enabled_modules: comma_separated(params.enabled_modules.as_deref()),
        packages: read.packages.into_iter().map(package).collect(),
        unread: read
            .refused
            .iter()
            .map(|one| UnreadPackage { place: one.name.clone(), reason: one.reason.clone() })
            .collect(),
    };
    if pushed.packages.is_empty()
        && let Some(first) = read.refused.first()
    {
        return Err(ApiError::invalid("", format!("has no readable package; {first}")));
    }
    let mut report = inventory::push_inventory(app, caller, pushed).await?;
    for refused in read.refused {
        inventory::refuse(&mut report, 1, refused.to_string());
    }
    Ok(report)
}

fn comma_separated(text: Option<&str>) -> Vec<String> {
    let parts = text.unwrap_or_default().split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

fn package(package: InstalledPackage) -> InventoryPackage {
    InventoryPackage {
        name: package.name,
        version: package.version,
        arch: package.arch,
        source: package.source_name,
        source_version: package.source_version,
        module: package.module.map(|module| module.to_string()),
        held: package.held,
        candidate: package.candidate,
        offered: package.offered,
        candidate_origin: None,
        vendor: package.vendor,
        // These formats do not contain what else the repositories offer.
        returnable: false,
    }
}

fn refuse_params(params: &InventoryParams) -> ApiResult<()> {
    if *params == InventoryParams::default() {
        return Ok(());
    }
    Err(ApiError::malformed(
        "an inventory in the platform's own format contains all of this; omit the query parameters",
    ))
}

async fn receive(body: Body, most: usize) -> ApiResult<Vec<u8>> {
    let mut parts = body.into_data_stream();
    let mut whole = Vec::new();
    while let Some(part) = next_part(&mut parts).await? {
        if whole.len() + part.len() > most {
            return Err(too_large(format!("the inventory is larger than {} MiB", most >> 20)));
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole)
}

async fn push_many(app: &App, caller: &Caller, body: Body) -> ApiResult<InventoryReport> {
    let mut push = InventoryPush::new(app, caller);
    let mut parts = body.into_data_stream();
    let (mut line, mut is_too_long, mut total) = (Vec::new(), false, 0_usize);
    while let Some(part) = next_part(&mut parts).await? {
        total += part.len();
        if total > BODY_BYTES {
            return Err(too_large("the inventories are larger than 512 MiB; send them in several requests"));
        }
        let mut rest: &[u8] = &part;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            push.push_line(std::mem::take(&mut line), std::mem::take(&mut is_too_long)).await?;
        }
        line.extend_from_slice(rest);
        if line.len() > RECORD_BYTES {
            is_too_long = true;
            line.clear();
        }
    }
    push.push_line(line, is_too_long).await?;
    push.finish().await
}

fn too_large(detail: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(problem_types::TOO_LARGE, detail)
}
