//! What all clients share: the base URL, the token, timeouts, retries, and errors that a person can read.

use std::{sync::Arc, time::Duration};

use api_types::{page::Page, problem::Problem};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// One answer is waited for this long.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How often a request is sent again when nobody answered or the service said 502, 503 or 504. Only requests that may be
/// sent twice are: reads, replacements, and POSTs, which carry an `Idempotency-Key` for that very reason.
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
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{service} cannot be reached at {url}")]
    Unreachable {
        service: &'static str,
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{service} refused: {problem}")]
    Refused { service: &'static str, problem: Box<Problem> },
    #[error("{service} gave an answer that cannot be read")]
    Unreadable {
        service: &'static str,
        #[source]
        source: reqwest::Error,
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

/// A service somewhere, and who one is to it. Cheap to clone.
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
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
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
        response.text().await.map_err(|source| ClientError::Unreadable { service: self.service, source })
    }

    /// Opens a stream (server-sent events): the answer's head is waited for, its body is the caller's.
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

    /// Sends a POST under a fresh idempotency key, so that a retry does the work once.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.post_once(path, body, &Uuid::now_v7().to_string()).await
    }

    /// Sends a POST under the caller's own idempotency key: the same key after a crash gives the first answer again.
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

    /// Sends a POST whose body is not JSON, or that answers nothing of interest.
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

    /// Sends a PATCH; `etag` as read makes it fail when somebody was faster.
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

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, ClientError> {
        response.json().await.map_err(|source| ClientError::Unreadable { service: self.service, source })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        build: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, ClientError> {
        let mut wait = self.retry.first_wait;
        let mut attempt = 1;
        loop {
            let request =
                self.http.request(method.clone(), self.url(path)).bearer_auth(&self.token).timeout(TIMEOUT);
            match self.accept(path, build(request).send().await).await {
                Err(error) if error.is_transient() && attempt < self.retry.attempts => {
                    tracing::debug!(service = self.service, attempt, "{error}; trying again");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(5));
                    attempt += 1;
                }
                settled => return settled,
            }
        }
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
