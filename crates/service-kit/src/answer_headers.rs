//! Headers of every answer that limit what a browser or a cache does with it.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};

/// For the pages of the API's documentation: only their own files, and requests to this service. The user interface sets styles
/// of single elements and has its icons in its style sheet.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// For everything else that sets no policy of its own: an answer of the API is data, never a page.
const DATA_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// Nobody guesses another content type, and no cache keeps an answer that has no validator of its own.
pub(crate) async fn add_headers(request: Request, next: Next) -> Response {
    let is_docs = request.uri().path().starts_with("/docs");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    add(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    add(headers, header::CONTENT_SECURITY_POLICY, if is_docs { DOCS_POLICY } else { DATA_POLICY });
    if !is_docs && !headers.contains_key(header::ETAG) {
        add(headers, header::CACHE_CONTROL, "no-store");
    }
    response
}

fn add(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.entry(name).or_insert(HeaderValue::from_static(value));
}
