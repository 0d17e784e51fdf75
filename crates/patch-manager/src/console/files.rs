//! The files of the console, built from `console/` by `cargo xtask web` and part of the program.
//!
//! Text is stored compressed. Names of files under `assets/` contain the hash of their content, so a browser keeps them forever.

use std::io::Read;

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use flate2::read::GzDecoder;
use rust_embed::{EmbeddedFile, RustEmbed};
use service_kit::{ApiError, ApiResult, conditional};

/// Allows only files and answers of this service, no script or style in the page itself, and no other page to frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const PAGE: &str = "index.html";
const REVALIDATE: &str = "no-cache";
const FOREVER: &str = "public, max-age=31536000, immutable";

#[derive(RustEmbed)]
#[folder = "../../console/dist"]
struct Files;

pub(super) fn routes() -> Router {
    let page = || get(async |headers: HeaderMap| answer(PAGE, REVALIDATE, &headers));
    Router::new()
        .route("/", page())
        .route("/console", page())
        .route("/console/{*view}", page())
        // Links in messages that were sent before.
        .route("/dashboard/runs/{id}", page())
        .route("/console/assets/{name}", get(get_asset))
}

async fn get_asset(Path(name): Path<String>, headers: HeaderMap) -> ApiResult<Response> {
    answer(&format!("assets/{name}"), FOREVER, &headers)
}

fn answer(name: &str, caching: &'static str, request: &HeaderMap) -> ApiResult<Response> {
    let (file, is_compressed) = find(name).ok_or_else(|| ApiError::not_found(format!("file `{name}`")))?;
    let tag = format!("W/\"{}\"", hex::encode(&file.metadata.sha256_hash()[..16]));
    let tag = HeaderValue::try_from(tag).map_err(ApiError::internal)?;
    let common = [
        (header::CACHE_CONTROL, HeaderValue::from_static(caching)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
        (header::ETAG, tag.clone()),
    ];
    if request.get(header::IF_NONE_MATCH).is_some_and(|known| conditional::names(known, &tag)) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    let content_type = [(header::CONTENT_TYPE, content_type(name))];
    if !is_compressed {
        return Ok((common, content_type, file.data.into_owned()).into_response());
    }
    if accepts_gzip(request) {
        let encoding = [(header::CONTENT_ENCODING, "gzip")];
        return Ok((common, content_type, encoding, file.data.into_owned()).into_response());
    }
    Ok((common, content_type, decompress(&file.data)?).into_response())
}

/// The file, and whether it is stored compressed.
fn find(name: &str) -> Option<(EmbeddedFile, bool)> {
    Files::get(&format!("{name}.gz")).map(|file| (file, true)).or_else(|| Some((Files::get(name)?, false)))
}

fn accepts_gzip(request: &HeaderMap) -> bool {
    let is_gzip = |coding: &str| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        matches!(name.trim(), "gzip" | "*")
            && !matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    };
    let accepted = request.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(is_gzip)
}

fn decompress(stored: &[u8]) -> ApiResult<Vec<u8>> {
    let mut text = Vec::new();
    GzDecoder::new(stored).read_to_end(&mut text).map_err(ApiError::internal)?;
    Ok(text)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_only_to_a_client_that_accepts_it() {
        let of = |text: &str| {
            accepts_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, text.parse().unwrap())]))
        };
        assert!(of("gzip, deflate, br") && of("br;q=1, gzip;q=0.5") && of("*"));
        assert!(!of("br") && !of("gzip;q=0") && !accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn page_names_only_files_that_exist_and_has_nothing_inline() {
        let (page, is_compressed) = find(PAGE).expect("a page");
        let html = if is_compressed { decompress(&page.data).unwrap() } else { page.data.into_owned() };
        let html = String::from_utf8(html).unwrap();
        let mut named = html.split(['"', '\'']).filter_map(|part| part.strip_prefix("/console/")).peekable();
        assert!(named.peek().is_some(), "{html}");
        for name in named {
            assert!(find(name).is_some(), "{name}");
        }
        assert!(
            !html.contains("<style") && !html.contains(" style=") && !html.contains("<script>"),
            "{html}"
        );
    }
}
