//! The dashboard: a page without data, which reads the API with the token that its user enters.

use axum::{Router, http::header, response::IntoResponse, routing::get};
use utoipa_axum::router::OpenApiRouter;

const PAGE: &str = include_str!("dashboard/index.html");
const SCRIPT: &str = include_str!("dashboard/app.js");
const STYLE: &str = include_str!("dashboard/app.css");

/// Allows only files and answers of this service; no other page may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> OpenApiRouter {
    let pages = Router::new()
        .route("/", get(async || file("text/html; charset=utf-8", PAGE)))
        .route("/dashboard/runs/{id}", get(async || file("text/html; charset=utf-8", PAGE)))
        .route("/dashboard/app.js", get(async || file("text/javascript; charset=utf-8", SCRIPT)))
        .route("/dashboard/app.css", get(async || file("text/css; charset=utf-8", STYLE)));
    OpenApiRouter::from(pages)
}

fn file(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    (
        [
            (header::CONTENT_TYPE, content_type),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ],
        text,
    )
}
