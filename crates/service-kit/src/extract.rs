//! Extractors whose refusals name the wrong field.

use std::error::Error;

use api_types::{page::Versioned, problem::FieldError, problem_types};
use axum::{
    BoxError,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use tower_http::timeout::TimeoutError;

use crate::{
    error::{ApiError, ApiResult},
    repeated_key, wrong_field,
};

/// Initial capacity of an answer, about one page of a list.
const INITIAL_ANSWER_BYTES: usize = 8 << 10;

/// A JSON body. 415 for another content type, 413 when too large, 400 when it is not JSON, 422 when a field is wrong.
#[derive(Debug, Clone)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(INITIAL_ANSWER_BYTES);
        match serde_json::to_writer(&mut body, &self.0) {
            Ok(()) => {
                ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
            }
            Err(error) => ApiError::internal(error).into_response(),
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> ApiResult<Self> {
        require_json(request.headers())?;
        let body = body(request, state).await?;
        let value = parse_json(&body)?;
        // serde would also accept an array of the fields in order.
        match body.trim_ascii_start().first() {
            Some(b'[') => Err(ApiError::invalid("", "must be an object, not an array")),
            _ => Ok(Self(value)),
        }
    }
}

/// Reads a body within the limit of its route.
pub async fn body<S: Send + Sync>(request: Request, state: &S) -> ApiResult<Bytes> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::new(problem_types::TOO_LARGE, "the body is larger than this path accepts")
        }
        _ => unread(rejection),
    })
}

/// Why a body, or a part of one, could not be read: 408 if it did not arrive in time, else 400.
pub fn unread(error: impl Into<BoxError>) -> ApiError {
    let error = error.into();
    let mut cause: Option<&(dyn Error + 'static)> = Some(&*error);
    while let Some(one) = cause {
        if one.is::<TimeoutError>() {
            return ApiError::new(
                problem_types::SLOW_REQUEST,
                "the body did not arrive in time; send it again",
            )
            .with_source(error);
        }
        cause = one.source();
    }
    ApiError::malformed("the body could not be read to its end: it broke off, or its compression is damaged")
        .with_source(error)
}

fn require_json(headers: &HeaderMap) -> ApiResult<()> {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || essence.ends_with("+json") {
        Ok(())
    } else {
        Err(ApiError::new(
            problem_types::UNSUPPORTED_MEDIA_TYPE,
            "the body must be sent as `Content-Type: application/json`",
        ))
    }
}

/// Parses a JSON document, naming the wrong field by its JSON pointer.
pub fn parse_json<T: DeserializeOwned>(body: &[u8]) -> ApiResult<T> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::malformed("the body is empty; a JSON object is expected"));
    }
    if let Ok(value) = serde_json::from_slice(body) {
        refuse_repeated_keys(body)?;
        refuse_nul(body)?;
        return Ok(value);
    }
    // Parses again, slower, to find the wrong field.
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = wrong_field::pointer_in::<T>(error.path(), body);
        let inner = error.into_inner();
        match inner.classify() {
            serde_json::error::Category::Data => {
                ApiError::invalid_fields(vec![FieldError { pointer, detail: inner.to_string() }])
            }
            // To serde_json, a number instead of the name of a variant is a syntax error although the body is JSON.
            _ if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() => {
                ApiError::invalid(pointer, "is of the wrong type")
            }
            _ => ApiError::malformed(format!("the body is not JSON: {inner}")),
        }
    })?;
    deserializer
        .end()
        .map_err(|error| ApiError::malformed(format!("text after the end of the JSON document: {error}")))?;
    refuse_repeated_keys(body)?;
    refuse_nul(body)?;
    Ok(value)
}

/// Reads a JSON value that was put together from a request. A wrong field is named by its JSON pointer, below `at`.
pub fn from_value<T: DeserializeOwned>(value: serde_json::Value, at: &str) -> ApiResult<T> {
    // The value is read from a copy only if it is wrong, to find the wrong field.
    serde_path_to_error::deserialize(&value).map_err(|error| {
        let pointer = format!("{at}{}", wrong_field::pointer_of::<T>(error.path(), &value));
        ApiError::invalid(pointer, error.into_inner().to_string())
    })
}

/// Maps would keep the last value of a key that is sent twice, while a proxy or a person may have read the first.
fn refuse_repeated_keys(body: &[u8]) -> ApiResult<()> {
    match repeated_key::find(&mut serde_json::Deserializer::from_slice(body)) {
        Ok(Some(pointer)) => Err(ApiError::invalid(pointer, "is there twice; leave one of them out")),
        Ok(None) => Ok(()),
        Err(error) => Err(ApiError::malformed(format!("the body is not JSON: {error}"))),
    }
}

/// U+0000 is valid in JSON, but PostgreSQL cannot store it in a text: it is refused here, with its pointer.
fn refuse_nul(body: &[u8]) -> ApiResult<()> {
    if memchr::memmem::find(body, br"\u0000").is_none() {
        return Ok(());
    }
    fn find(value: &serde_json::Value, at: &str) -> Option<String> {
        use serde_json::Value::*;
        match value {
            String(text) if text.contains('\0') => Some(at.to_owned()),
            Array(items) => items.iter().enumerate().find_map(|(i, item)| find(item, &format!("{at}/{i}"))),
            Object(map) => map.iter().find_map(|(key, item)| {
                let place = format!("{at}/{}", key.replace('\0', "\\u0000"));
                if key.contains('\0') { Some(place) } else { find(item, &place) }
            }),
            _ => None,
        }
    }
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    find(&value, "").map_or(Ok(()), |pointer| {
        Err(ApiError::invalid(pointer, "contains the character U+0000, which cannot be stored"))
    })
}

/// Query parameters. 400 names what is wrong.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(ApiError::malformed("a query parameter contains the character U+0000"));
        }
        axum::extract::Query::try_from_uri(&parts.uri).map(|axum::extract::Query(value)| Self(value)).map_err(
            |rejection| ApiError::malformed(format!("query parameter: {}", crate::error::chain(&rejection))),
        )
    }
}

/// Path segments. If a segment cannot be an id of the expected kind, the answer is 404.
#[derive(Debug, Clone)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        if parts.uri.path().contains("%00") {
            return Err(ApiError::new(
                problem_types::NOT_FOUND,
                "nothing can have this id: it contains the character U+0000",
            ));
        }
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(ApiError::new(
                problem_types::NOT_FOUND,
                format!("nothing can have this id: {}", crate::error::chain(&rejection)),
            )),
        }
    }
}

/// The `If-Match` header of a change: the ETag that was read, `"<version>"`.
#[derive(Debug, Clone, Default)]
pub struct IfMatch(Option<String>);

impl IfMatch {
    /// Compares with the stored version. A missing header is accepted; `*` matches any version.
    pub fn check(&self, version: i64) -> ApiResult<()> {
        let current = etag(version);
        match self.0.as_deref() {
            None | Some("*") => Ok(()),
            Some(given) if given.split(',').any(|one| one.trim() == current) => Ok(()),
            Some(_) => Err(ApiError::stale(&current)),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
        match parts.headers.get(header::IF_MATCH).map(|value| value.to_str()) {
            None => Ok(Self(None)),
            Some(Ok(text)) if text.len() <= 200 => Ok(Self(Some(text.to_owned()))),
            Some(_) => Err(ApiError::malformed("the header If-Match is not an ETag of this service")),
        }
    }
}

/// The strong ETag of a stored version.
pub fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

/// An answer with its ETag.
#[derive(Debug)]
pub struct Tagged<T>(pub i64, pub T);

impl<T: Versioned> Tagged<T> {
    pub fn of(item: T) -> Self {
        Self(item.version(), item)
    }
}

/// 201 with the path of what was created.
#[derive(Debug)]
pub struct Created<T>(pub String, pub T);

impl<T: IntoResponse> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, [(header::LOCATION, self.0)], self.1).into_response()
    }
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        ([(header::ETAG, etag(self.0))], axum::Json(self.1)).into_response()
    }
}
