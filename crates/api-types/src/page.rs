//! Cursor pages: `{items, next_page_token}`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Items returned when a request for a list has no `limit`.
pub const DEFAULT_LIMIT: u32 = 100;
/// Most items of one page.
pub const MAX_LIMIT: u32 = 1000;

/// One page of a list. Pass `next_page_token` as `page_token` to get the next; it is absent on the last page.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

impl<T> Page<T> {
    pub fn map<U>(self, convert: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(convert).collect(), next_page_token: self.next_page_token }
    }
}

/// A resource with an ETag.
pub trait Versioned {
    fn version(&self) -> i64;
}
