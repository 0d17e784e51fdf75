//! Cursor pages: opaque tokens that hold the key after which the next page begins.

use api_types::page::{DEFAULT_LIMIT, MAX_LIMIT, Page};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::{ApiError, ApiResult};

/// The parameters every list takes. Use the fields in a query struct of its own (`#[serde(flatten)]` and numbers do not
/// go together in query strings) and build this from them.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct PageRequest {
    pub limit: Option<u32>,
    pub page_token: Option<String>,
}

impl PageRequest {
    pub fn new(limit: Option<u32>, page_token: Option<String>) -> Self {
        Self { limit, page_token }
    }

    /// How many items to return: 1 to 1000, 100 when unsaid.
    pub fn limit(&self) -> ApiResult<i64> {
        match self.limit.unwrap_or(DEFAULT_LIMIT) {
            limit @ 1..=MAX_LIMIT => Ok(i64::from(limit)),
            other => Err(ApiError::invalid("limit", format!("must be 1 to {MAX_LIMIT}, not {other}"))),
        }
    }

    /// The key after which to begin; `None` on the first page.
    pub fn after<K: DeserializeOwned>(&self) -> ApiResult<Option<K>> {
        let Some(token) = &self.page_token else { return Ok(None) };
        URL_SAFE_NO_PAD
            .decode(token)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .map(Some)
            .ok_or_else(|| {
                ApiError::malformed("`page_token` is none this list has given; start again without it")
            })
    }
}

/// Makes a page of rows that were fetched with `limit + 1`: the extra row only tells that there is more.
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
