//! Search by a few characters: runs, and changes at ITSM.

use api_client::RetryRule;
use api_types::{itsm::Change, patch::SearchHit};
use service_kit::{ApiResult, text_enum::to_text};
use uuid::Uuid;

use crate::{
    App,
    store::search::{self, RunHit},
    upstream_error,
};

/// Fewer characters of an id mean nothing.
const SHORTEST_ID: usize = 4;
const DIGITS: usize = 32;

/// By the beginning of their id or of the id of their policy, newest first.
pub async fn search_runs(app: &App, text: &str, limit: i64) -> ApiResult<Vec<SearchHit>> {
    let text = text.to_lowercase();
    let mut conn = app.pool.acquire().await?;
    let found = search::list_runs(&mut conn, ids_from(&text), &text, limit).await?;
    found.into_iter().map(run).collect()
}

/// The first and the last id that begin with a text.
fn ids_from(text: &str) -> Option<(Uuid, Uuid)> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let is_id =
        (SHORTEST_ID..=DIGITS).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_hexdigit());
    let filled = |digit: char| {
        let all: String = digits.chars().chain(std::iter::repeat(digit)).take(DIGITS).collect();
        Uuid::parse_str(&all).ok()
    };
    is_id.then(|| filled('0').zip(filled('f'))).flatten()
}

fn run(run: RunHit) -> ApiResult<SearchHit> {
    let what = match (run.policy_id, run.advisory) {
        (Some(policy), Some(advisory)) => format!("{advisory} by {policy}"),
        (Some(policy), None) => policy,
        (None, Some(advisory)) => advisory,
        (None, None) => "selected hosts".to_owned(),
    };
    Ok(SearchHit {
        id: run.id.to_string(),
        title: what,
        detail: format!("run {} of {}", run.id, run.created_at.format("%Y-%m-%d %H:%M UTC")),
        state: Some(run.state),
    })
}

/// By a part of their id or short description, newest first.
pub async fn search_changes(app: &App, text: &str, limit: i64) -> ApiResult<Vec<SearchHit>> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    // A person waits: what cannot be asked now is reported, not asked again.
    let itsm = app.itsm.clone().with_retry(RetryRule::NONE);
    let found = itsm.list_changes(&[("text", text.to_owned())], most).await.map_err(upstream_error)?;
    found.into_iter().map(change).collect()
}

fn change(change: Change) -> ApiResult<SearchHit> {
    let state = Some(to_text(&change.state)?);
    Ok(SearchHit {
        id: change.id.to_string(),
        title: change.id.to_string(),
        detail: change.short_description,
        state,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginning_of_an_id_is_a_range_of_ids() {
        let (first, last) = ids_from("019ad3c1-8f").unwrap();
        assert_eq!(first.to_string(), "019ad3c1-8f00-0000-0000-000000000000");
        assert_eq!(last.to_string(), "019ad3c1-8fff-ffff-ffff-ffffffffffff");
        assert_eq!((ids_from("019"), ids_from("web-1"), ids_from("")), (None, None, None));
    }
}
