//! `/approve/{change_id}`: the page that links in e-mails open.
//!
//! It is served without a token and therefore contains only the id from its path. The person enters a token,
//! which it keeps in memory, and it reads and decides through the API like every other client. Everything it shows is
//! set as text.

use std::sync::LazyLock;

use axum::{
    http::{HeaderName, header},
    response::{Html, IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::ids::ChangeId;
use service_kit::Path;
use sha2::{Digest, Sha256};

const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");

/// The page runs only its own script and style, and connects only to this service.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        source(SCRIPT),
        source(STYLE)
    )
});

/// The page for a change, whether it exists or not: without a token nobody learns which.
pub async fn approve_page(Path(id): Path<ChangeId>) -> Response {
    // An id is `CHG` and digits, so it needs no escaping.
    let page =
        PAGE.replace("{{style}}", STYLE).replace("{{script}}", SCRIPT).replace("{{change_id}}", id.as_str());
    let headers: [(HeaderName, &str); 4] = [
        (header::CONTENT_SECURITY_POLICY, &POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Html(page)).into_response()
}

/// How a content security policy identifies an inline element: by the hash of its text.
fn source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}
