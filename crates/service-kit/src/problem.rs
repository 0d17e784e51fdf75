//! Turns every unsuccessful answer, including those of the framework, into problem+json with path and request id.

use std::sync::Arc;

use api_types::{problem::Problem, problem_types};
use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};

use crate::{drain_body::DrainBody, error::problem_of};

/// The request's id: that of `X-Request-Id` if it is valid, else a new one.
#[derive(Debug, Clone)]
pub struct RequestId(pub Arc<str>);

/// Marks an answer that is a page for a person: it keeps its body, whatever its status is.
#[derive(Debug, Clone)]
pub(crate) struct Page;

pub(crate) const CONTENT_TYPE: &str = "application/problem+json";

pub(crate) async fn render_problems(request: Request, next: Next) -> Response {
    let (request, body_rest) = DrainBody::keep(request);
    let instance = request.uri().path().to_owned();
    let request_id = request.extensions().get::<RequestId>().map(|id| id.0.to_string());
    let mut response = next.run(request).await;
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error()
        || response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == CONTENT_TYPE)
        || response.extensions().get::<Page>().is_some()
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

/// The problem for an answer of the framework, of which only the status is known.
fn of_status(status: StatusCode) -> Problem {
    let (problem, detail) = match status {
        StatusCode::NOT_FOUND => {
            (problem_types::NOT_FOUND, "there is nothing at this path; /docs lists the paths")
        }
        StatusCode::METHOD_NOT_ALLOWED => (
            problem_types::METHOD_NOT_ALLOWED,
            "this path does not accept this method; the Allow header lists those it accepts",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => {
            (problem_types::TOO_LARGE, "the body is larger than this path accepts")
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            (problem_types::UNSUPPORTED_MEDIA_TYPE, "this path does not accept this content type or encoding")
        }
        StatusCode::SERVICE_UNAVAILABLE => (problem_types::TIMED_OUT, "the answer took too long; try again"),
        _ => {
            let detail = status.canonical_reason().unwrap_or("the request failed");
            let problem = problem_of(problem_types::REQUEST_FAILED, detail.to_owned());
            return Problem { status: status.as_u16(), ..problem };
        }
    };
    problem_of(problem, detail.to_owned())
}
