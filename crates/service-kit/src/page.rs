//! Cursor pages. A token is opaque and contains the key after which the next page begins.

use api_types::page::{DEFAULT_LIMIT, MAX_LIMIT, Page};
use axum::{extract::FromRequestParts, http::request::Parts};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::IntoParams;

use crate::{
    error::{ApiError, ApiResult},
    extract::Query,
};

/// The parameters of every list, as an extractor of its own: `#[serde(flatten)]` does not work with numbers in query
/// strings.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageRequest {
    /// Maximum number of items on the page, 1 to 1000; 100 by default.
    limit: Option<u32>,
    /// `next_page_token` of the previous page.
    page_token: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for PageRequest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        Query::from_request_parts(parts, state).await.map(|Query(request)| request)
    }
}

impl PageRequest {
    pub fn new(limit: Option<u32>, page_token: Option<String>) -> Self {
        Self { limit, page_token }
    }

    /// Number of items to return: 1 to 1000, 100 by default.
    pub fn limit(&self) -> ApiResult<i64> {
        match self.limit.unwrap_or(DEFAULT_LIMIT) {
            limit @ 1..=MAX_LIMIT => Ok(i64::from(limit)),
            other => Err(ApiError::invalid("limit", format!("must be 1 to {MAX_LIMIT}, not {other}"))),
        }
    }

    /// The key after which the page begins; `None` on the first page.
    pub fn after<K: DeserializeOwned>(&self) -> ApiResult<Option<K>> {
        let Some(token) = &self.page_token else { return Ok(None) };
        URL_SAFE_NO_PAD
            .decode(token)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .map(Some)
            .ok_or_else(|| {
                ApiError::malformed("`page_token` is not a token of this list; start again without it")
            })
    }
}

/// Makes a page of rows that were fetched with `limit + 1`: the extra row only shows that there are more.
pub fn page<T, K: Serialize>(mut items: Vec<T>, limit: i64, key: impl Fn(&T) -> K) -> Page<T> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let next_page_token = match (more, items.last()) {
        (true, Some(last)) => serde_json::to_vec(&key(last)).ok().map(|bytes| URL_SAFE_NO_PAD.encode(bytes)),
        _ => None,
    };
    Page { items, next_page_token }
}
