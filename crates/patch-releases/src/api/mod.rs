//! The routes, a module per resource: extract, call `app`, convert.

mod customers;
mod deployments;
mod lines;
mod releases;

use utoipa_axum::router::OpenApiRouter;

use crate::App;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(customers::routes())
        .merge(deployments::routes())
        .merge(lines::routes())
        .merge(releases::routes())
}
