//! The routes that need more than one capability.

mod search;

use utoipa_axum::router::OpenApiRouter;

use crate::service::App;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().merge(search::routes())
}
