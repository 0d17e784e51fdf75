//! The error of every handler. It becomes RFC 9457 problem+json.

use std::{borrow::Cow, error::Error};

use api_types::text::has_hidden;
use api_types::{
    problem::{FieldError, Problem},
    problem_types::{self, ProblemType},
};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::database_fault::DatabaseFault;

pub type ApiResult<T> = Result<T, ApiError>;

const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("2");
/// Further errors of a request are dropped: a large request may have more than an answer should list.
const MAX_ERRORS: usize = 100;

/// Collects what is wrong with a request, so that one answer names every wrong field.
#[derive(Debug, Default)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// `pointer` is a JSON pointer, or the name of a parameter or header.
    pub fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        if self.0.len() < MAX_ERRORS {
            self.0.push(FieldError { pointer: pointer.into(), detail: detail.into() });
        }
    }

    /// Adds an error unless `holds`.
    pub fn require(&mut self, holds: bool, pointer: impl Into<String>, detail: impl Into<String>) {
        if !holds {
            self.add(pointer, detail);
        }
    }

    /// 1 to `most` characters in one line. Line breaks and control characters would forge headers and log lines.
    pub fn require_line(&mut self, pointer: &str, text: &str, most: usize) {
        let is_line = !text.trim().is_empty() && text.chars().count() <= most && !has_hidden(text);
        if !is_line {
            self.add(
                pointer,
                format!(
                    "must be 1 to {most} characters in one line, without control or bidirectional characters"
                ),
            );
        }
    }

    /// All errors in one line; `None` if there are none.
    pub fn summary(&self) -> Option<String> {
        let parts: Vec<String> =
            self.0.iter().map(|error| format!("`{}` {}", error.pointer, error.detail)).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// 422 with all errors, if there are any.
    pub fn finish(self) -> ApiResult<()> {
        if self.0.is_empty() { Ok(()) } else { Err(ApiError::invalid_fields(self.0)) }
    }
}

/// From pairs of pointer and detail.
impl<P: Into<String>, D: Into<String>> Extend<(P, D)> for FieldErrors {
    fn extend<I: IntoIterator<Item = (P, D)>>(&mut self, errors: I) {
        errors.into_iter().for_each(|(pointer, detail)| self.add(pointer, detail));
    }
}

/// From pairs of pointer and detail.
impl<P: Into<String>, D: Into<String>> FromIterator<(P, D)> for FieldErrors {
    fn from_iter<I: IntoIterator<Item = (P, D)>>(errors: I) -> Self {
        let mut collected = Self::default();
        collected.extend(errors);
        collected
    }
}

/// An answer that is not a success. `detail` is for the client; `source` is only logged.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct ApiError {
    problem: &'static ProblemType,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    retry_after_seconds: Option<u64>,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ApiError {
    pub fn new(problem: &'static ProblemType, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { problem, detail: detail.into(), errors: Vec::new(), retry_after_seconds: None, source: None }
    }

    /// 400: the request cannot be read.
    pub fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(problem_types::MALFORMED_REQUEST, detail)
    }

    /// 422: the request is readable and one field is wrong. `pointer` is a JSON pointer or a parameter name.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid_fields(vec![FieldError { pointer: pointer.into(), detail: detail.into() }])
    }

    /// 422 with all wrong fields at once.
    pub fn invalid_fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] if only.pointer.is_empty() => format!("the body {}", only.detail),
            [only] => format!("`{}` {}", only.pointer, only.detail),
            many => format!("{} fields are wrong", many.len()),
        };
        Self { errors, ..Self::new(problem_types::INVALID_REQUEST, detail) }
    }

    /// The same about a part of the request: the pointers of its wrong fields begin with that of the part.
    pub fn below(self, part: &str) -> Self {
        if self.errors.is_empty() {
            return self;
        }
        let moved = |error: FieldError| FieldError { pointer: format!("{part}{}", error.pointer), ..error };
        Self::invalid_fields(self.errors.into_iter().map(moved).collect())
    }

    /// 404. `what` names what was requested: ``policy `x` ``.
    pub fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(problem_types::NOT_FOUND, format!("there is no {what}"))
    }

    /// 403: the caller is known but may not do this.
    pub fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(problem_types::FORBIDDEN, detail)
    }

    /// 401: the caller is not known.
    pub fn unauthenticated(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(problem_types::UNAUTHENTICATED, detail)
    }

    /// 412: the resource has changed since the client read it.
    pub fn stale(current: &str) -> Self {
        Self::new(
            problem_types::STALE,
            format!("it has changed: its ETag is now {current}; read it again and repeat the change"),
        )
    }

    /// 500: a defect or a broken invariant. The answer contains no internal details.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(problem_types::INTERNAL, "the service failed; its log has the reason under this request id")
            .with_source(source)
    }

    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// When the client may try again.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub fn problem(&self) -> &'static ProblemType {
        self.problem
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        match DatabaseFault::of(&error) {
            DatabaseFault::Away => Self::new(
                problem_types::DATABASE_UNAVAILABLE,
                "the database cannot be reached or takes no writes; try again shortly",
            )
            .with_source(error),
            DatabaseFault::Busy => {
                Self::new(problem_types::BUSY, "other requests are changing the same data; try again")
                    .with_source(error)
            }
            DatabaseFault::Unstorable => {
                Self::invalid("", "contains a character that cannot be stored (U+0000)").with_source(error)
            }
            DatabaseFault::Defect => Self::internal(error),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for ApiError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

impl From<serde_json::Error> for ApiError {
    fn from(error: serde_json::Error) -> Self {
        Self::internal(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, kind) = (self.status(), self.problem.name);
        if status.is_server_error() {
            let source = self.source.as_deref().map(|source| chain(source)).unwrap_or_default();
            if status == StatusCode::INTERNAL_SERVER_ERROR {
                tracing::error!(error.kind = kind, error.source = source, "request failed: {}", self.detail);
            } else {
                tracing::warn!(error.kind = kind, error.source = source, "request refused: {}", self.detail);
            }
        }
        let mut response = status.into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        } else if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
            .extensions_mut()
            .insert(Problem { errors: self.errors, ..problem_of(self.problem, self.detail.into_owned()) });
        response
    }
}

/// A problem without what the border adds: path and request id.
pub(crate) fn problem_of(problem: &ProblemType, detail: String) -> Problem {
    Problem {
        kind: problem.uri(),
        title: problem.title.to_owned(),
        status: problem.status,
        detail,
        instance: None,
        request_id: None,
        errors: Vec::new(),
    }
}

/// An error and its sources in one line, for logs.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
