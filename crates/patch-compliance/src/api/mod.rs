//! The routes, a module per resource: extract, call `app`, convert.

mod advisories;
mod body_parts;
mod calendars;
mod compliance;
mod customers;
mod dashboard;
mod exceptions;
mod inventory;
mod plans;
mod policies;
mod predictions;
mod releases;
mod run_text;
mod runs;
mod scans;
mod timeliness;

use utoipa_axum::router::OpenApiRouter;

use crate::service::App;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(compliance::routes())
        .merge(timeliness::routes())
        .merge(scans::routes())
        .merge(inventory::routes())
        .merge(policies::routes())
        .merge(runs::routes())
        .merge(plans::routes())
        .merge(predictions::routes())
        .merge(advisories::routes())
        .merge(exceptions::routes())
        .merge(calendars::routes())
        .merge(customers::routes())
        .merge(releases::routes())
        .merge(dashboard::routes())
}
