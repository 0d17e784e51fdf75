//! Turns every unsuccessful answer, the framework's own among them, into problem+json with path and request id.

use api_types::problem::Problem;
use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};

use crate::{drain_body::DrainBody, server::RequestId};

pub(crate) const CONTENT_TYPE: &str = "application/problem+json";

pub(crate) async fn render_problems(request: Request, next: Next) -> Response {
    let (request, body_rest) = DrainBody::keep(request);
    let instance = request.uri().path().to_owned();
    let request_id = request.extensions().get::<RequestId>().map(|id| id.0.to_string());
    let mut response = next.run(request).await;
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error()
        || response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == CONTENT_TYPE)
    {
        return response;
    }
    let mut problem = response.extensions_mut().remove::<Problem>().unwrap_or_else(|| of_status(status));
    problem.instance = Some(instance);
    problem.request_id = request_id;
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    if !body_rest.drain().await {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(body))
}

/// The problem of an answer made by the framework, which says no more than its status.
fn of_status(status: StatusCode) -> Problem {
    let (kind, detail) = match status {
        StatusCode::NOT_FOUND => ("not-found", "there is nothing at this path; /docs lists what there is"),
        StatusCode::METHOD_NOT_ALLOWED => (
            "method-not-allowed",
            "this path does not take this method; the Allow header lists those it takes",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => ("too-large", "the body is larger than this path takes"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            ("unsupported-media-type", "this path does not take this content type or encoding")
        }
        StatusCode::SERVICE_UNAVAILABLE => ("timed-out", "the answer took too long; try again"),
        _ => ("request-failed", status.canonical_reason().unwrap_or("the request failed")),
    };
    Problem {
        kind: format!("/problems/{kind}"),
        title: kind.replace('-', " "),
        status: status.as_u16(),
        detail: detail.to_owned(),
        instance: None,
        request_id: None,
        errors: Vec::new(),
    }
}
