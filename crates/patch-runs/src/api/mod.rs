//! The routes, a module per resource: extract, call `app`, convert.

mod calendars;
mod diagnosis;
mod installation;
mod plans;
mod predictions;
mod previews;
mod run_diffs;
mod run_parts;
mod run_text;
mod runs;
mod scans;
mod traces;

use utoipa_axum::router::OpenApiRouter;

use crate::App;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(scans::routes())
        .merge(runs::routes())
        .merge(run_parts::routes())
        .merge(run_diffs::routes())
        .merge(plans::routes())
        .merge(traces::routes())
        .merge(predictions::routes())
        .merge(previews::routes())
        .merge(calendars::routes())
        .merge(diagnosis::routes())
        .merge(installation::routes())
}
