//! The routes, a module per resource: extract, call `app`, convert.

mod advisories;
mod body_parts;
mod compliance;
mod exceptions;
mod feeds;
mod host_list;
mod installed;
mod inventory;
mod policies;
mod sla;

use utoipa_axum::router::OpenApiRouter;

use crate::App;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(compliance::routes())
        .merge(host_list::routes())
        .merge(installed::routes())
        .merge(sla::routes())
        .merge(inventory::routes())
        .merge(policies::routes())
        .merge(advisories::routes())
        .merge(exceptions::routes())
        .merge(feeds::routes())
}
