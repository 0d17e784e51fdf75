//! The routes, one file per resource.

mod changes;
mod cis;
mod graph;
mod import;
mod inventory;
mod maintenance;
mod query;
mod relationships;
mod sync;

use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::App;

/// Schemas that only query parameters use: the router does not collect those.
#[derive(OpenApi)]
#[openapi(components(schemas(crate::app::import::Format, cis::StatusFilter)))]
struct Schemas;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Schemas::openapi())
        .routes(routes!(cis::list_cis, cis::create_ci))
        .routes(routes!(cis::get_ci, cis::update_ci, cis::decommission_ci))
        .routes(routes!(cis::list_history))
        .routes(routes!(changes::list_changes))
        .routes(routes!(relationships::list_relationships))
        .routes(routes!(relationships::create_relationship, relationships::delete_relationship_between))
        .routes(routes!(relationships::delete_relationship))
        .routes(routes!(graph::get_impact))
        .routes(routes!(graph::get_graph, graph::query_graph))
        .routes(routes!(maintenance::set_maintenance))
        .routes(routes!(maintenance::set_patch_state))
        .routes(routes!(sync::start_sync))
        .routes(routes!(sync::get_sync))
        .routes(routes!(inventory::get_ansible_inventory))
        .merge(import::routes())
}
