//! Passes requests on to the other services with the identity of their caller, so that a browser needs one origin only.
//!
//! The patch-manager has authenticated the caller before; the other service does so again and decides what the caller may do.
//! Nothing is repeated here: the caller knows whether a request may be sent twice.

use std::{sync::Arc, time::Duration};

use axum::{
    RequestExt,
    body::{Body, HttpBody},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
    response::Response,
};
use reqwest::{Client, Url, redirect};
use service_kit::{ApiError, ApiResult, problem_types, server::RequestId, session};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A service answers within 30 seconds, or says that it cannot.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(40);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// They concern one connection (RFC 9110, 7.6.1), in addition to those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
/// They are of this service alone, or written again.
const NOT_PASSED_ON: [HeaderName; 4] = [header::HOST, header::COOKIE, header::AUTHORIZATION, header::EXPECT];

/// The services behind this one. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Gateway {
    client: Client,
    services: Arc<[Behind; 3]>,
}

struct Behind {
    name: &'static str,
    /// The first segment of the paths of the service.
    prefix: &'static str,
    base: String,
}

impl Gateway {
    pub fn new(cmdb_url: &str, itsm_url: &str, sim_engine_url: &str) -> anyhow::Result<Self> {
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_TIMEOUT)
            .build()?;
        let behind =
            |name, prefix, base: &str| Behind { name, prefix, base: base.trim_end_matches('/').to_owned() };
        let services = [
            behind("cmdb", "/cmdb/", cmdb_url),
            behind("itsm", "/itsm/", itsm_url),
            behind("sim-engine", "/sim/", sim_engine_url),
        ];
        Ok(Self { client, services: Arc::new(services) })
    }

    /// The service of a path, and the whole address there.
    fn target(&self, path_and_query: &str) -> ApiResult<(&'static str, Url)> {
        let service = self.services.iter().find(|service| path_and_query.starts_with(service.prefix));
        let service = service.ok_or_else(|| ApiError::not_found("service for this path"))?;
        let url = Url::parse(&format!("{}{path_and_query}", service.base)).map_err(ApiError::internal)?;
        // `..`, also when it is encoded, would leave the paths of the service.
        let given = path_and_query.split('?').next().unwrap_or_default();
        if !url.path().ends_with(given) {
            return Err(ApiError::malformed("the path must not contain `.` or `..` as a segment"));
        }
        Ok((service.name, url))
    }
}

pub(super) async fn pass_on(State(gateway): State<Gateway>, request: Request) -> ApiResult<Response> {
    let path_and_query = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let (name, url) = gateway.target(&path_and_query)?;
    let (parts, body) = request.with_limited_body().into_parts();
    let mut passed = gateway.client.request(parts.method.clone(), url).headers(headers_for_service(&parts)?);
    if body.size_hint().exact() != Some(0) {
        passed = passed.body(reqwest::Body::wrap_stream(body.into_data_stream()));
    }
    let answer = passed.send().await.map_err(|error| explain(name, error))?;
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    remove_hop_by_hop(&mut headers);
    let mut response = Response::new(Body::from_stream(answer.bytes_stream()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// What the caller sent, with the caller's identity as a token: a session is a token, too.
fn headers_for_service(parts: &Parts) -> ApiResult<HeaderMap> {
    let mut headers = parts.headers.clone();
    remove_hop_by_hop(&mut headers);
    for name in NOT_PASSED_ON {
        headers.remove(name);
    }
    if let Some(secret) = session::secret_of(&parts.headers) {
        let mut value = HeaderValue::try_from(format!("Bearer {secret}")).map_err(ApiError::internal)?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    // One request has one id in the logs of both services.
    if let Some(RequestId(id)) = parts.extensions.get() {
        headers.insert(REQUEST_ID, HeaderValue::try_from(&**id).map_err(ApiError::internal)?);
    }
    Ok(headers)
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn explain(service: &str, error: reqwest::Error) -> ApiError {
    if error.is_body() {
        return ApiError::new(
            problem_types::TOO_LARGE,
            "the body is larger than this path accepts, or broke off",
        );
    }
    let what = if error.is_timeout() { "does not answer" } else { "cannot be reached" };
    ApiError::new(
        problem_types::DEPENDENCY_UNAVAILABLE,
        format!("the service `{service}` {what}; try again shortly"),
    )
    .with_source(error)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn gateway() -> Gateway {
        Gateway::new("http://c:1/", "http://i:2", "http://s:3/base").unwrap()
    }

    #[test]
    fn path_and_query_stay_as_they_are() {
        let at = |path: &str| gateway().target(path).map(|(name, url)| (name, url.to_string()));
        assert_eq!(
            at("/cmdb/cis?q=a%20b&tag=x").unwrap(),
            ("cmdb", "http://c:1/cmdb/cis?q=a%20b&tag=x".into())
        );
        assert_eq!(at("/itsm/changes/a%2Fb").unwrap(), ("itsm", "http://i:2/itsm/changes/a%2Fb".into()));
        assert_eq!(at("/sim/vms").unwrap(), ("sim-engine", "http://s:3/base/sim/vms".into()));
    }

    #[test]
    fn path_cannot_leave_its_service() {
        for path in ["/cmdb/../access/tokens", "/cmdb/%2e%2e/access/tokens", "/cmdb/./cis", "/patch/runs"] {
            assert!(gateway().target(path).is_err(), "{path}");
        }
    }

    #[test]
    fn headers_of_the_connection_and_the_cookie_are_not_passed_on() {
        let request = Request::builder()
            .header("cookie", "pm_session=pm_a")
            .header("connection", "keep-alive, X-Mine")
            .header("x-mine", "1")
            .header("te", "trailers")
            .header("if-match", "\"3\"")
            .body(())
            .unwrap();
        let passed = headers_for_service(&request.into_parts().0).unwrap();
        let names: BTreeSet<&str> = passed.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, BTreeSet::from(["authorization", "if-match"]));
        assert_eq!(passed["authorization"], "Bearer pm_a");
    }
}
