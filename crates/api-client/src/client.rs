//! What all clients share: base URL, token, timeouts, retries and readable errors.

use std::{sync::Arc, time::Duration};

use api_types::{access::Outcome, page::Page, problem::Problem};
use backon::{ExponentialBuilder, Retryable};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// Timeout of one answer.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest wait between two attempts.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// How often a request is repeated when there was no answer, or it was 429, 502, 503 or 504. Only requests that are safe to
/// repeat are: reads, replacements, and POSTs, which have an `Idempotency-Key` for this reason.
#[derive(Debug, Clone, Copy)]
pub struct RetryRule {
    pub attempts: u32,
    /// Wait before the second attempt; doubled each time, up to five seconds.
    pub first_wait: Duration,
}

impl RetryRule {
    pub const NONE: Self = Self { attempts: 1, first_wait: Duration::ZERO };
    /// About ten seconds in all.
    pub const SHORT: Self = Self { attempts: 6, first_wait: Duration::from_millis(200) };

    fn backoff(self) -> ExponentialBuilder {
        ExponentialBuilder::default()
            .with_min_delay(self.first_wait)
            .with_max_delay(MAX_WAIT)
            .with_max_times(self.attempts.saturating_sub(1) as usize)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{service} {} at {url}", unreachable(.source))]
    Unreachable {
        service: &'static str,
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{service} refused: {problem}")]
    Refused { service: &'static str, problem: Box<Problem> },
    #[error("the answer of {service} cannot be read")]
    Unreadable {
        service: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ClientError {
    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { problem, .. } => Some(problem.status),
            _ => None,
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused { problem, .. } => matches!(problem.status, 429 | 502 | 503 | 504),
            Self::Unreachable { .. } | Self::Unreadable { .. } => true,
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }
}

/// A service that was reached and takes too long is not away.
fn unreachable(source: &reqwest::Error) -> &'static str {
    if source.is_timeout() && !source.is_connect() { "did not answer in time" } else { "cannot be reached" }
}

/// The base URL of a service, and the token to use there. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    service: &'static str,
    http: reqwest::Client,
    base: Arc<str>,
    token: Arc<str>,
    retry: RetryRule,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("service", &self.service)
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl Client {
    pub fn new(service: &'static str, base: &str, token: &str) -> Self {
        let http = crate::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .unwrap_or_else(|_| reqwest::Client::new());
        let base = base.trim_end_matches('/').into();
        Self { service, http, base, token: token.into(), retry: RetryRule::SHORT }
    }

    pub fn with_retry(mut self, retry: RetryRule) -> Self {
        self.retry = retry;
        self
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, ClientError> {
        self.read(self.send(Method::GET, path, |request| request.query(query)).await?).await
    }

    /// All pages of a list, up to `most` items.
    pub async fn get_all<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<T>, ClientError> {
        let mut items = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut query = query.to_vec();
            query.push(("limit", "1000".to_owned()));
            query.extend(token.take().map(|token| ("page_token", token)));
            let mut page: Page<T> = self.get(path, &query).await?;
            items.append(&mut page.items);
            token = page.next_page_token;
            if token.is_none() || items.len() >= most {
                items.truncate(most);
                return Ok(items);
            }
        }
    }

    pub async fn get_text(&self, path: &str, query: &[(&str, String)]) -> Result<String, ClientError> {
        let response = self.send(Method::GET, path, |request| request.query(query)).await?;
        response.text().await.map_err(|error| self.unreadable(error))
    }

    /// Reads NDJSON: one item per line.
    pub async fn get_lines<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Vec<T>, ClientError> {
        let text = self.get_text(path, query).await?;
        text.lines().map(|line| serde_json::from_str(line).map_err(|error| self.unreadable(error))).collect()
    }

    /// Opens a stream (server-sent events). Returns when the head of the answer is there; the caller reads the body.
    pub async fn open(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Response, ClientError> {
        let mut request = self.http.get(self.url(path)).bearer_auth(&self.token);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let sent = tokio::time::timeout(TIMEOUT, request.send()).await;
        match sent {
            Ok(answer) => self.accept(path, answer).await,
            Err(_) => self.send(Method::GET, path, |request| request.timeout(Duration::from_millis(1))).await,
        }
    }

    /// Sends a POST under a fresh idempotency key, so that a repeated request does the work once.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.post_once(path, body, &Uuid::now_v7().to_string()).await
    }

    /// Sends a POST under the caller's own idempotency key: the same key after a crash returns the first answer again.
    pub async fn post_once<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        key: &str,
    ) -> Result<T, ClientError> {
        self.read(
            self.send(Method::POST, path, |request| request.header("Idempotency-Key", key).json(body))
                .await?,
        )
        .await
    }

    /// Sends a POST whose body is not JSON.
    pub async fn post_bytes<T: DeserializeOwned>(
        &self,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<T, ClientError> {
        let key = Uuid::now_v7().to_string();
        let build = |request: RequestBuilder| {
            request.header("Idempotency-Key", &key).header("Content-Type", content_type).body(body.clone())
        };
        self.read(self.send(Method::POST, path, build).await?).await
    }

    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.read(self.send(Method::PUT, path, |request| request.json(body)).await?).await
    }

    /// Sends a PATCH; with an `etag`, it fails if the resource has changed since.
    pub async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        etag: Option<&str>,
    ) -> Result<T, ClientError> {
        let build = |request: RequestBuilder| match etag {
            Some(etag) => request.header("If-Match", etag).json(body),
            None => request.json(body),
        };
        self.read(self.send(Method::PATCH, path, build).await?).await
    }

    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.send(Method::DELETE, path, |request| request).await.map(drop)
    }

    /// Deletes what a second person may have to agree on.
    pub async fn delete_or_propose(&self, path: &str) -> Result<Outcome<()>, ClientError> {
        let response = self.send(Method::DELETE, path, |request| request).await?;
        if response.status() == StatusCode::ACCEPTED {
            return Ok(Outcome::Proposed(self.read(response).await?));
        }
        Ok(Outcome::Done(()))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, ClientError> {
        response.json().await.map_err(|error| self.unreadable(error))
    }

    fn unreadable(&self, error: impl std::error::Error + Send + Sync + 'static) -> ClientError {
        ClientError::Unreadable { service: self.service, source: Box::new(error) }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        build: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, ClientError> {
        let attempt = async || {
            let request =
                self.http.request(method.clone(), self.url(path)).bearer_auth(&self.token).timeout(TIMEOUT);
            self.accept(path, build(request).send().await).await
        };
        attempt
            .retry(self.retry.backoff())
            .when(ClientError::is_transient)
            .notify(|error, wait| {
                tracing::debug!(service = self.service, "{error}; trying again in {wait:?}");
            })
            .await
    }

    async fn accept(
        &self,
        path: &str,
        answer: Result<Response, reqwest::Error>,
    ) -> Result<Response, ClientError> {
        let service = self.service;
        let response = answer.map_err(|source| ClientError::Unreachable {
            service,
            url: self.url(path),
            source: source.without_url(),
        })?;
        let status = response.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        let problem = response.json().await.unwrap_or_else(|_| Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("error").to_owned(),
            status: status.as_u16(),
            detail: format!("answered {status} to {path}"),
            instance: None,
            request_id: None,
            errors: Vec::new(),
        });
        Err(ClientError::Refused { service, problem: Box::new(problem) })
    }
}

/// A client of one service, with a method per verb in its `impl`.
macro_rules! service_client {
    ($(#[$doc:meta])* $name:ident, $service:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name($crate::Client);

        impl $name {
            pub fn new(base: &str, token: &str) -> Self {
                Self($crate::Client::new($service, base, token))
            }

            pub fn with_retry(self, retry: $crate::RetryRule) -> Self {
                Self(self.0.with_retry(retry))
            }
        }
    };
}

pub(crate) use service_client;
