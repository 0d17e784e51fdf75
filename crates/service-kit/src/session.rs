//! How a browser shows its session: a cookie that scripts cannot read, and a header that another site's form cannot send.

use axum::http::{HeaderMap, HeaderValue, Method, header};

use crate::error::{ApiError, ApiResult};

/// The cookie with the secret of the session.
const COOKIE: &str = "pm_session";
/// A browser sends a header of this kind across origins only after it has asked, and nobody here answers yes.
pub const CONSOLE_HEADER: &str = "x-patch-console";

/// The secret with which a request is signed in: that of its `Authorization`, else that of its session.
pub fn secret_of(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).map(|value| value.to_str().ok());
    let given = match bearer {
        Some(value) => value.and_then(|value| value.strip_prefix("Bearer ")),
        None => cookie(headers),
    };
    given.map(str::trim).filter(|secret| secret.starts_with("pm_") && secret.len() <= 200)
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    cookie_named(headers, COOKIE)
}

/// The value of a cookie of the request.
pub(crate) fn cookie_named<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == wanted).then_some(value))
}

/// Refuses a request with a cookie that another site may have made. A request with a token of its own is not meant: no other
/// site knows the token.
pub(crate) fn check_origin(method: &Method, headers: &HeaderMap) -> ApiResult<()> {
    if headers.contains_key(header::AUTHORIZATION) || cookie(headers).is_none() {
        return Ok(());
    }
    let refused = || ApiError::forbidden("a session is accepted only from the pages of this service");
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    // `none`: a person typed the address.
    if text("sec-fetch-site")
        .is_some_and(|site| site != "same-origin" && (site != "none" || !method.is_safe()))
    {
        return Err(refused());
    }
    if method.is_safe() {
        return Ok(());
    }
    let hosts = [text("host"), text("x-forwarded-host")];
    let is_own = |origin: &str| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_some_and(|authority| hosts.contains(&Some(authority)))
    };
    if text("origin").is_some_and(|origin| !is_own(origin)) {
        return Err(refused());
    }
    if text(CONSOLE_HEADER).is_none() {
        return Err(ApiError::forbidden(format!(
            "a change in a session needs the header `{CONSOLE_HEADER}`"
        )));
    }
    Ok(())
}

/// Gives the browser its session for this many seconds; with 0 it forgets it. A page that came over TLS gets a cookie that is
/// sent only over TLS.
pub(crate) fn set_cookie(headers: &HeaderMap, secret: &str, seconds: i64) -> ApiResult<HeaderValue> {
    let starts = |name: &str, text: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.starts_with(text))
    };
    let is_tls = starts("origin", "https://") || starts("x-forwarded-proto", "https");
    set_cookie_of(is_tls, secret, seconds)
}

/// The same for an answer of which it is known whether its page comes over TLS.
pub(crate) fn set_cookie_of(is_tls: bool, secret: &str, seconds: i64) -> ApiResult<HeaderValue> {
    let secure = if is_tls { "; Secure" } else { "" };
    HeaderValue::try_from(format!(
        "{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}"
    ))
    .map_err(ApiError::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn authorization_goes_before_the_cookie() {
        let cookie = ("cookie", "theme=dark; pm_session=pm_a");
        assert_eq!(secret_of(&headers(&[cookie])), Some("pm_a"));
        assert_eq!(secret_of(&headers(&[cookie, ("authorization", "Bearer pm_b")])), Some("pm_b"));
        assert_eq!(secret_of(&headers(&[cookie, ("authorization", "Basic pm_b")])), None);
        assert_eq!(secret_of(&headers(&[("cookie", "xpm_session=pm_a")])), None);
    }

    #[test]
    fn write_of_a_session_comes_from_our_own_page() {
        let own = [("cookie", "pm_session=pm_a"), ("host", "pm:8080"), (CONSOLE_HEADER, "1")];
        let with =
            |more: &[(&'static str, &str)]| check_origin(&Method::POST, &headers(&[&own[..], more].concat()));
        assert!(with(&[]).is_ok());
        assert!(with(&[("origin", "http://pm:8080"), ("sec-fetch-site", "same-origin")]).is_ok());
        assert!(with(&[("origin", "https://desk"), ("x-forwarded-host", "desk")]).is_ok());
        for wrong in [
            ("origin", "http://pm:8081"),
            ("origin", "null"),
            ("origin", "http://pm:8080.evil.example"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "none"),
        ] {
            assert!(with(&[wrong]).is_err(), "{wrong:?}");
        }
        assert!(check_origin(&Method::POST, &headers(&own[..2])).is_err(), "a form cannot send the header");
    }

    #[test]
    fn read_of_a_session_needs_no_header_and_comes_from_no_other_site() {
        let read = |site| {
            let sent = headers(&[("cookie", "pm_session=pm_a"), ("sec-fetch-site", site)]);
            check_origin(&Method::GET, &sent)
        };
        assert!(read("same-origin").is_ok() && read("none").is_ok());
        assert!(read("same-site").is_err() && read("cross-site").is_err());
    }

    #[test]
    fn request_with_a_token_is_not_asked_where_it_comes_from() {
        let sent = headers(&[("authorization", "Bearer pm_a"), ("origin", "https://other.example")]);
        assert!(check_origin(&Method::POST, &sent).is_ok());
    }

    #[test]
    fn cookie_of_a_page_over_tls_stays_on_tls() {
        let of = |pairs: &[(&'static str, &str)]| {
            set_cookie(&headers(pairs), "pm_a", 60).unwrap().to_str().unwrap().to_owned()
        };
        assert!(of(&[("origin", "https://desk")]).ends_with("; Secure"));
        assert_eq!(of(&[]), "pm_session=pm_a; Path=/; HttpOnly; SameSite=Strict; Max-Age=60");
    }
}
