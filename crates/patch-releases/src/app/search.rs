//! Search by a few characters: customers.

use api_types::patch::SearchHit;
use service_kit::ApiResult;

use crate::{App, store::customers};

/// By the beginning of their slug or a part of their name.
pub async fn search_customers(app: &App, text: &str, limit: i64) -> ApiResult<Vec<SearchHit>> {
    let mut conn = app.pool.acquire().await?;
    let found = customers::search_customers(&mut conn, &text.to_lowercase(), limit).await?;
    let hit = |customer: customers::CustomerHit| SearchHit {
        id: customer.slug,
        title: customer.name,
        detail: format!("{} customer, runs {}", customer.tier, customer.current_version),
        state: None,
    };
    Ok(found.into_iter().map(hit).collect())
}
