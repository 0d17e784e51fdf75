//! What makes repeated and large answers cheap: ETags on reads, and compression.

use axum::{
    body::{Body, HttpBody, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use tower_http::{CompressionLevel, compression::CompressionLayer};

use crate::ApiError;

/// Larger answers get no ETag: they are exports, which are streamed, or rare.
const MAX_TAGGED: u64 = 4 * 1024 * 1024;

/// Compresses answers for clients that accept gzip. Event streams stay as they are, since each event must arrive at once, and
/// an export is compressed while it is streamed.
pub(crate) fn compression() -> CompressionLayer {
    CompressionLayer::new().quality(CompressionLevel::Fastest)
}

/// Gives each JSON answer to a GET an ETag, unless the resource has one of its own, and answers 304 without a body to a client
/// that has this version already.
pub(crate) async fn answer_conditionally(request: Request, next: Next) -> Response {
    let is_read = request.method() == Method::GET;
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    if !is_read || response.status() != StatusCode::OK || !may_be_tagged(response.headers()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let (tag, body) = match parts.headers.get(header::ETAG) {
        Some(tag) => (tag.clone(), body),
        None if body.size_hint().exact().is_none_or(|length| length > MAX_TAGGED) => {
            return Response::from_parts(parts, body);
        }
        None => match tagged(body).await {
            Ok(tagged) => tagged,
            Err(error) => return error.into_response(),
        },
    };
    let is_known = known.is_some_and(|known| names(&known, &tag));
    parts.headers.insert(header::ETAG, tag);
    if !is_known {
        return Response::from_parts(parts, body);
    }
    parts.status = StatusCode::NOT_MODIFIED;
    for header in [header::CONTENT_LENGTH, header::CONTENT_TYPE] {
        parts.headers.remove(header);
    }
    Response::from_parts(parts, Body::empty())
}

fn may_be_tagged(headers: &HeaderMap) -> bool {
    let has = |name, text: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.starts_with(text))
    };
    has(header::CONTENT_TYPE, "application/json") && !has(header::CACHE_CONTROL, "no-store")
}

/// The tag of a body that is in memory already. It is weak: it names the content, which may be sent compressed or not.
async fn tagged(body: Body) -> Result<(HeaderValue, Body), ApiError> {
    let bytes = to_bytes(body, usize::try_from(MAX_TAGGED).unwrap_or(usize::MAX))
        .await
        .map_err(ApiError::internal)?;
    let digest = hex::encode(&Sha256::digest(&bytes)[..16]);
    let tag = HeaderValue::try_from(format!("W/\"{digest}\"")).map_err(ApiError::internal)?;
    Ok((tag, Body::from(bytes)))
}

/// Whether `If-None-Match` names the tag. Compared weakly, as RFC 9110 says for reads.
pub fn names(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let (Ok(known), Ok(tag)) = (known.to_str(), tag.to_str()) else { return false };
    known.split(',').any(|known| known.trim() == "*" || opaque(known) == opaque(tag))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::{
        Json, Router, middleware,
        response::sse::{Event, Sse},
        routing::get,
    };
    use futures::stream;
    use tower::ServiceExt;

    use super::*;

    fn app() -> Router {
        let page = || Json(serde_json::json!({ "items": vec!["the same text again"; 100] }));
        let parts = || {
            let part = || Ok::<_, Infallible>("a,b,c\n".repeat(50));
            let stream = stream::iter([part(), part(), part()]);
            ([(header::CONTENT_TYPE, "text/csv")], Body::from_stream(stream))
        };
        let event = || stream::iter([Ok::<_, Infallible>(Event::default().data("x".repeat(1000)))]);
        Router::new()
            .route("/page", get(async move || page()))
            .route("/own", get(async move || ([(header::ETAG, "\"7\"")], page())))
            .route("/secret", get(async move || ([(header::CACHE_CONTROL, "no-store")], page())))
            .route("/export", get(async move || parts()))
            .route("/events", get(async move || Sse::new(event())))
            .layer(middleware::from_fn(answer_conditionally))
            .layer(compression())
    }

    async fn ask(path: &str, headers: &[(header::HeaderName, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let response = app().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, to_bytes(body, usize::MAX).await.unwrap().to_vec())
    }

    #[tokio::test]
    async fn client_that_has_an_answer_gets_it_once() {
        let (status, headers, body) = ask("/page", &[]).await;
        assert_eq!((status, body.is_empty()), (StatusCode::OK, false));
        let tag = headers[header::ETAG].to_str().unwrap().to_owned();
        for known in [tag.clone(), format!("\"other\", {tag}"), "*".to_owned()] {
            let (status, headers, body) = ask("/page", &[(header::IF_NONE_MATCH, &known)]).await;
            assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0), "{known}");
            assert_eq!(headers[header::ETAG], tag);
        }
        assert_eq!(ask("/page", &[(header::IF_NONE_MATCH, "W/\"other\"")]).await.0, StatusCode::OK);
        let (status, headers, _) = ask("/own", &[(header::IF_NONE_MATCH, "\"7\"")]).await;
        assert_eq!(
            (status, &headers[header::ETAG]),
            (StatusCode::NOT_MODIFIED, &HeaderValue::from_static("\"7\""))
        );
        for path in ["/secret", "/export", "/events"] {
            assert!(ask(path, &[]).await.1.get(header::ETAG).is_none(), "{path}");
        }
    }

    #[tokio::test]
    async fn answers_are_compressed_for_clients_that_accept_it_but_events_are_not() {
        let gzip = [(header::ACCEPT_ENCODING, "gzip")];
        for path in ["/page", "/export"] {
            let (_, plain, whole) = ask(path, &[]).await;
            assert!(plain.get(header::CONTENT_ENCODING).is_none());
            let (_, headers, body) = ask(path, &gzip).await;
            assert_eq!(headers[header::CONTENT_ENCODING], "gzip", "{path}");
            assert_eq!(headers[header::VARY], "accept-encoding");
            assert!(
                body.starts_with(&[0x1f, 0x8b]) && body.len() < whole.len() / 4,
                "{path}: {}",
                body.len()
            );
        }
        let (_, headers, body) = ask("/events", &gzip).await;
        assert!(headers.get(header::CONTENT_ENCODING).is_none());
        assert!(body.starts_with(b"data: x"));
    }
}
