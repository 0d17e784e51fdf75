//! Sign-in at the identity provider: the pages that a browser goes through, and the exchange of `patchctl`'s ID token.

use api_types::{
    access::{ExchangeIdToken, IssuedToken, SignInProvider, SignInWays, SignedOut},
    problem::Problem,
    problem_types,
};
use axum::{
    Extension,
    body::Body,
    extract::{Query, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use chrono::TimeDelta;
use reqwest::Url;
use serde::Deserialize;

use super::{
    AccessState,
    oidc_store::{self, PendingSignIn},
    sessions,
    sign_in::{self, Way},
};
use crate::{
    auth::{self, Viewer},
    connections::Peer,
    error::{ApiError, ApiResult},
    extract::Json,
    oidc::{Challenge, Provider, SignInFault, plain, random},
    problem::Page,
    rate_limit::network_of,
    session,
};

/// The cookie that binds a sign-in to the browser in which it began.
const COOKIE: &str = "pm_sign_in";
/// Time to sign in at the provider.
const LASTS: TimeDelta = TimeDelta::minutes(10);
/// Where a person goes who began at no page.
const START: &str = "/";
const LONGEST_RETURN: usize = 500;

type Address = Option<Extension<Peer>>;

/// Read how people sign in.
#[utoipa::path(get, path = "/access/oidc", tag = "access",
    responses((status = 200, body = SignInWays), (status = "4XX", body = Problem)))]
pub(super) async fn get_sign_in_ways(State(state): State<AccessState>) -> Json<SignInWays> {
    let provider = state.oidc.provider().map(|provider| SignInProvider {
        name: provider.name().to_owned(),
        issuer: provider.issuer().to_owned(),
        device_client_id: provider.device_client_id().map(str::to_owned),
        scopes: provider.scopes().to_owned(),
    });
    Json(SignInWays { provider })
}

/// Exchange the ID token that the identity provider gave to `patchctl login` for a token of the platform with a short life, whose
/// secret is shown in this answer only. An ID token is accepted once.
#[utoipa::path(post, path = "/access/oidc/token", tag = "access", request_body = ExchangeIdToken,
    responses((status = 201, body = IssuedToken), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
pub(super) async fn exchange_id_token(
    State(state): State<AccessState>,
    address: Address,
    Json(request): Json<ExchangeIdToken>,
) -> ApiResult<(StatusCode, Json<IssuedToken>)> {
    let provider = provider(&state)?;
    if provider.device_client_id().is_none() {
        return Err(ApiError::not_found(
            "sign-in by `patchctl login`: the service has no --oidc-device-client-id",
        ));
    }
    let now = state.clock.now();
    let account = provider.account_of_device(&request.id_token, now).await.map_err(refused)?;
    let forget_at = account.token_expires_at.max(now) + provider.clock_skew() + LASTS;
    let hash = auth::hash(&request.id_token);
    let mut conn = state.pool.acquire().await?;
    if !oidc_store::insert_used_token(&mut conn, &hash, now, forget_at).await? {
        return Err(ApiError::unauthenticated("this ID token was already used; sign in again"));
    }
    drop(conn);
    let signed_in = sign_in::sign_in(&state, provider, &account, Way::program(address_of(&address))).await?;
    Ok((StatusCode::CREATED, Json(signed_in.issued)))
}

/// End the session or token that a sign-in at the identity provider gave; the browser forgets its cookie. The answer names the page
/// at which the session at the provider ends, too.
#[utoipa::path(post, path = "/access/oidc/logout", tag = "access",
    responses((status = 200, body = SignedOut), (status = "4XX", body = Problem)))]
pub(super) async fn sign_out(
    State(state): State<AccessState>,
    caller: Viewer,
    headers: HeaderMap,
) -> ApiResult<Response> {
    sessions::end(&state, &caller).await?;
    let page = match state.oidc.provider() {
        // Signed out here in any case; the person may still be signed in at the provider.
        Some(provider) => provider.sign_out_page().await.unwrap_or_else(|error| {
            tracing::warn!("the page for signing out at the identity provider is not known: {error}");
            None
        }),
        None => None,
    };
    let cookie = session::set_cookie(&headers, "", 0)?;
    let answer = SignedOut { provider_page: page.map(String::from) };
    Ok(([(header::SET_COOKIE, cookie)], Json(answer)).into_response())
}

#[derive(Deserialize)]
pub(super) struct LoginParams {
    return_to: Option<String>,
}

/// Sends the browser to the provider.
pub(super) async fn login(
    State(state): State<AccessState>,
    address: Address,
    Query(params): Query<LoginParams>,
) -> Response {
    let return_to = params.return_to.unwrap_or_else(|| START.to_owned());
    if !is_own_path(&return_to) {
        let error = ApiError::invalid("return_to", "must be a path of this service such as `/console`");
        return failure_page(error, START);
    }
    match begin(&state, &address, &return_to).await {
        Ok(response) => response,
        Err(error) => failure_page(error, &return_to),
    }
}

async fn begin(state: &AccessState, address: &Address, return_to: &str) -> ApiResult<Response> {
    let provider = provider(state)?;
    let (challenge, browser, now) = (Challenge::new(), random(), state.clock.now());
    let page = provider.sign_in_page(&challenge).await.map_err(|error| refused(error.into()))?;
    let pending = PendingSignIn {
        browser_hash: auth::hash(&browser).to_vec(),
        nonce: challenge.nonce,
        verifier: challenge.verifier,
        return_to: return_to.to_owned(),
        expires_at: now + LASTS,
    };
    let network = address_of(address).map(|peer| network_of(peer.0).to_string()).unwrap_or_default();
    let mut tx = state.pool.begin().await?;
    oidc_store::remove_old_pending(&mut tx, &network, now).await?;
    if !oidc_store::insert_pending(&mut tx, &auth::hash(&challenge.state), &pending, &network, now).await? {
        let reason = "too many sign-ins have begun and are not finished; try again in a minute";
        return Err(ApiError::new(problem_types::TOO_MANY_REQUESTS, reason).retry_after(60));
    }
    tx.commit().await?;
    redirect(page.as_str(), [own_cookie(provider, &browser, LASTS.num_seconds())?])
}

/// Where the provider sends the browser back to. Providers add parameters of their own, which are ignored.
#[derive(Deserialize)]
pub(super) struct CallbackParams {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

/// Finishes a sign-in: the browser gets its session and goes back to where it began.
pub(super) async fn callback(
    State(state): State<AccessState>,
    address: Address,
    headers: HeaderMap,
    Query(params): Query<CallbackParams>,
) -> Response {
    let pending = match take_pending(&state, &headers, params.state.as_deref()).await {
        Ok(pending) => pending,
        Err(error) => return failure_page(error, START),
    };
    match finish(&state, &address, &pending, params).await {
        Ok(response) => response,
        Err(error) => failure_page(error, &pending.return_to),
    }
}

/// The sign-in of a state, which is used up by this. It must have begun in the same browser.
async fn take_pending(
    state: &AccessState,
    headers: &HeaderMap,
    given: Option<&str>,
) -> ApiResult<PendingSignIn> {
    let unknown = || {
        ApiError::unauthenticated(
            "this sign-in is not known in this browser, was finished already, or took longer than ten minutes; begin again",
        )
    };
    let browser = session::cookie_named(headers, COOKIE).ok_or_else(unknown)?;
    let hash = auth::hash(given.ok_or_else(unknown)?);
    let mut conn = state.pool.acquire().await?;
    let pending = oidc_store::take_pending(&mut conn, &hash).await?.ok_or_else(unknown)?;
    let is_valid = pending.browser_hash == auth::hash(browser) && pending.expires_at > state.clock.now();
    if is_valid { Ok(pending) } else { Err(unknown()) }
}

async fn finish(
    state: &AccessState,
    address: &Address,
    pending: &PendingSignIn,
    params: CallbackParams,
) -> ApiResult<Response> {
    let provider = provider(state)?;
    if params.iss.is_some_and(|iss| iss != provider.issuer()) {
        return Err(ApiError::unauthenticated("another provider has answered this sign-in; begin again"));
    }
    if let Some(code) = params.error {
        let reason = format!("the identity provider refused the sign-in: `{}`", plain(&code));
        return Err(ApiError::unauthenticated(reason));
    }
    let code = params.code.ok_or_else(|| ApiError::unauthenticated("the provider's answer has no code"))?;
    let now = state.clock.now();
    let account = provider.redeem(&code, &pending.verifier, &pending.nonce, now).await.map_err(refused)?;
    let signed_in = sign_in::sign_in(state, provider, &account, Way::browser(address_of(address))).await?;
    let seconds = (signed_in.issued.expires_at - now).num_seconds();
    let cookie = session::set_cookie_of(provider.is_secure(), &signed_in.issued.token, seconds)?;
    redirect(&pending.return_to, [cookie, own_cookie(provider, "", 0)?])
}

fn provider(state: &AccessState) -> ApiResult<&Provider> {
    state.oidc.provider().ok_or_else(|| {
        ApiError::not_found("identity provider here: the service has no --oidc-issuer; sign in with a token")
    })
}

fn address_of(address: &Address) -> Option<Peer> {
    address.as_ref().map(|Extension(peer)| *peer)
}

/// 503 if the provider is away, 401 if the sign-in is refused. Details that may help an attacker are only in the log.
fn refused(fault: SignInFault) -> ApiError {
    match fault {
        SignInFault::Token(_) => ApiError::unauthenticated(fault.to_string()),
        SignInFault::Provider(ref error) if error.is_refusal() => ApiError::unauthenticated(format!(
            "the identity provider does not confirm this sign-in: {error}; begin again"
        )),
        SignInFault::Provider(error) => ApiError::new(
            problem_types::DEPENDENCY_UNAVAILABLE,
            format!("the identity provider cannot be used at present: {error}"),
        )
        .with_source(error),
    }
}

/// Whether a browser that goes there stays at this service.
fn is_own_path(text: &str) -> bool {
    let is_plain = text.len() <= LONGEST_RETURN && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if !is_plain || !text.starts_with('/') || text.starts_with("//") {
        return false;
    }
    let Ok(base) = Url::parse("http://own.invalid/") else { return false };
    base.join(text).is_ok_and(|url| url.origin() == base.origin() && text.parse::<Uri>().is_ok())
}

fn own_cookie(provider: &Provider, value: &str, seconds: i64) -> ApiResult<HeaderValue> {
    let secure = if provider.is_secure() { "; Secure" } else { "" };
    // Lax: the provider's page sends the browser back, which is another site.
    HeaderValue::try_from(format!(
        "{COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}"
    ))
    .map_err(ApiError::internal)
}

fn redirect<const N: usize>(to: &str, cookies: [HeaderValue; N]) -> ApiResult<Response> {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::try_from(to).map_err(ApiError::internal)?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The address of this page has a code in it.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    for cookie in cookies {
        headers.append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// What a person sees whose sign-in failed.
fn failure_page(error: ApiError, return_to: &str) -> Response {
    let mut response = error.into_response();
    let detail =
        response.extensions().get::<Problem>().map(|problem| problem.detail.clone()).unwrap_or_default();
    let again =
        reqwest::Url::parse_with_params("http://own.invalid/access/oidc/login", [("return_to", return_to)])
            .ok()
            .and_then(|url| url.query().map(str::to_owned))
            .unwrap_or_default();
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Sign-in failed</title>\n</head>\n<body>\n\
         <h1>Sign-in failed</h1>\n<p>{}</p>\n<p><a href=\"login?{}\">Try again</a></p>\n\
         <p><a href=\"{}#token\">Sign in with a token</a></p>\n</body>\n</html>\n",
        escaped(&detail),
        escaped(&again),
        escaped(return_to.split('#').next().unwrap_or(START)),
    );
    *response.body_mut() = Body::from(page);
    response.extensions_mut().insert(Page);
    let headers = response.headers_mut();
    let set: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ];
    for (name, value) in set {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::WWW_AUTHENTICATE);
    response
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browser_returns_only_to_a_path_of_this_service() {
        for path in ["/", "/console", "/console/runs/x?wave=1", "/approve/CHG0000001", "/a:b@c"] {
            assert!(is_own_path(path), "{path}");
        }
        for path in [
            "",
            "console",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/a\r\nset-cookie: x",
            "/\tevil",
            "///evil.example",
            "/\u{e9}",
        ] {
            assert!(!is_own_path(path), "{path:?}");
        }
        assert!(!is_own_path(&format!("/{}", "a".repeat(LONGEST_RETURN))));
    }

    #[test]
    fn page_shows_no_markup_of_others() {
        let page = failure_page(ApiError::unauthenticated("<script>\"'&"), "/a?b='><i>");
        assert_eq!(page.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(escaped("<script>\"'&"), "&lt;script&gt;&quot;&#39;&amp;");
    }
}
