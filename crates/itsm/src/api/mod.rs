//! The HTTP contract: handlers that extract, call `app` and convert.

use axum::routing::get;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::App;

mod approve_page;
mod changes;
mod incidents;
mod notifications;
mod problems;
mod verbs;

/// Every path of the service.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(changes::list_changes, changes::create_change))
        .routes(routes!(changes::get_change, changes::update_change))
        .routes(routes!(changes::list_conflicts))
        .routes(routes!(changes::list_templates))
        .routes(routes!(changes::put_template))
        .routes(routes!(changes::approve_template))
        .routes(routes!(verbs::submit_change))
        .routes(routes!(verbs::approve_change))
        .routes(routes!(verbs::reject_change))
        .routes(routes!(verbs::execute_change))
        .routes(routes!(verbs::complete_change))
        .routes(routes!(verbs::fail_change))
        .routes(routes!(verbs::cancel_change))
        .routes(routes!(verbs::review_change))
        .routes(routes!(verbs::read_by_link))
        .routes(routes!(verbs::decide_by_link))
        .routes(routes!(incidents::list_incidents, incidents::create_incident))
        .routes(routes!(incidents::get_incident, incidents::update_incident))
        .routes(routes!(incidents::resolve_incident))
        .routes(routes!(problems::list_problems, problems::create_problem))
        .routes(routes!(problems::get_problem, problems::update_problem))
        .routes(routes!(notifications::list_notifications, notifications::create_notification))
        .routes(routes!(notifications::get_notification))
        .routes(routes!(notifications::resend_notification))
        .route("/approve/{change_id}", get(approve_page::approve_page))
}
