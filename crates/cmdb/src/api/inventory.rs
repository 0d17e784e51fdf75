//! `/cmdb/ansible/inventory`.

use api_types::problem::Problem;
use axum::extract::State;
use serde::{Deserialize, Deserializer};
use service_kit::{
    ApiError, ApiResult,
    auth::{Operator, Viewer},
    extract::Json,
};
use utoipa::IntoParams;
use uuid::Uuid;

use super::query::{self, Query};
use crate::{
    app::inventory::{self, Freezing, Inventory},
    state::App,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct InventoryParams {
    /// Only hosts and VMs with this tag, as `key:value`; may be repeated; all must match.
    #[serde(default)]
    tag: Vec<String>,
    /// Hosts and groups are those of the first answer for this run, which needs the role `operator`.
    #[serde(default, deserialize_with = "given_uuid")]
    run_id: Option<Uuid>,
}

/// An empty value is refused: read as absent, it would return an inventory that is not fixed.
fn given_uuid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Uuid>, D::Error> {
    Uuid::deserialize(deserializer).map(Some)
}

/// Read the inventory as Ansible's dynamic-inventory JSON, one group per tag and value.
#[utoipa::path(get, path = "/cmdb/ansible/inventory", tag = "inventory", params(InventoryParams),
    responses((status = 200, body = serde_json::Value, description = "groups, and `_meta.hostvars`"),
        (status = "4XX", body = Problem)))]
pub async fn get_ansible_inventory(
    State(app): State<App>,
    _: Viewer,
    operator: Result<Operator, ApiError>,
    Query(params): Query<InventoryParams>,
) -> ApiResult<Json<Inventory>> {
    let freezing = if operator.is_ok() { Freezing::Allowed } else { Freezing::Refused };
    let tags = query::tags(&params.tag)?;
    inventory::get_ansible_inventory(&app, &tags, params.run_id, freezing).await.map(Json)
}
