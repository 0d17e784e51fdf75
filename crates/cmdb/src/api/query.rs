//! Query parameters that may be repeated, such as `tag=env:prod&tag=role:web`.

use axum::{extract::FromRequestParts, http::request::Parts};
use domain::{ids::CiId, selector::Tags};
use serde::de::DeserializeOwned;
use service_kit::{ApiError, ApiResult};

/// Like the extractor of `service_kit`, but a parameter may be repeated for a field that is a list.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
        let query = parts.uri.query().unwrap_or_default();
        if query.contains("%00") {
            return Err(ApiError::malformed("a query parameter contains the character U+0000"));
        }
        serde_html_form::from_str(query)
            .map(Self)
            .map_err(|error| ApiError::malformed(format!("query parameter: {error}")))
    }
}

/// Reads `key:value` texts. All must match, so two values for one key would select nothing and are refused.
pub fn tags(texts: &[String]) -> ApiResult<Tags> {
    let mut tags = Tags::new();
    for text in texts {
        let (key, value) = text
            .split_once(':')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| ApiError::invalid("tag", "must be `key:value`, such as `env:prod`"))?;
        add_tag(&mut tags, key, value)?;
    }
    Ok(tags)
}

/// Requires one more tag.
pub fn add_tag(tags: &mut Tags, key: &str, value: &str) -> ApiResult<()> {
    match tags.insert(key.to_owned(), value.to_owned()) {
        Some(other) if other != value => {
            let shown: String = key.chars().take(64).collect();
            Err(ApiError::invalid("tag", format!("requires two values of `{shown}`, which no CI can have")))
        }
        _ => Ok(()),
    }
}

/// Reads comma-separated ids.
pub fn ids(text: Option<&str>) -> ApiResult<std::collections::BTreeSet<CiId>> {
    let parts = text.unwrap_or_default().split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| CiId::new(part).map_err(|error| ApiError::invalid("ids", error.to_string()))).collect()
}
