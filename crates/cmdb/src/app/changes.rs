//! What has changed since a client last asked.
//!
//! A token names the first transaction that was still open then: everything below it has been reported. What was visible
//! above it is reported again next time, so that a change that commits late is never missed.

use std::collections::BTreeSet;

use api_types::{cmdb::CiChanges, page::MAX_LIMIT};
use service_kit::{ApiError, ApiResult, problem_types};

use crate::{
    state::App,
    store::{self, history::ChangeCursor},
};

pub async fn list_changes(app: &App, since: Option<&str>, limit: Option<u32>) -> ApiResult<CiChanges> {
    let limit = limit.unwrap_or(MAX_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("must be 1 to {MAX_LIMIT}")));
    }
    let after = since.map(parse).transpose()?;
    let mut conn = app.pool.acquire().await?;
    let transaction = after.as_ref().map(|after| after.transaction.as_str());
    // Read before the changes: what commits in between is reported now and once more.
    let (horizon, is_known) = store::history::get_horizon(&mut conn, transaction).await?;
    if !is_known {
        return Err(ApiError::new(
            problem_types::UNKNOWN_TOKEN,
            "this token belongs to another database; list the CIs again",
        ));
    }
    let at_horizon = ChangeCursor { transaction: horizon.clone(), sequence: 0 };
    let Some(after) = after else {
        return Ok(CiChanges { items: Vec::new(), next_token: token(&at_horizon), more: false });
    };
    let changed = store::history::list_changes(&mut conn, &after, &horizon, i64::from(limit)).await?;
    let last_final = changed.last().filter(|last| last.is_final && changed.len() == limit as usize);
    let (next, more) = match last_final {
        Some(last) => (ChangeCursor { transaction: last.transaction.clone(), sequence: last.sequence }, true),
        None => (at_horizon, false),
    };
    let ids: BTreeSet<String> = changed.into_iter().map(|change| change.ci_id).collect();
    let items = store::cis::find_cis(&mut conn, &ids.into_iter().collect::<Vec<_>>()).await?;
    Ok(CiChanges { items, next_token: token(&next), more })
}

fn token(cursor: &ChangeCursor) -> String {
    format!("{}-{}", cursor.transaction, cursor.sequence)
}

fn parse(token: &str) -> ApiResult<ChangeCursor> {
    let unreadable = || ApiError::invalid("since", "is not the `next_token` of an answer");
    let (transaction, sequence) = token.split_once('-').ok_or_else(unreadable)?;
    let transaction: u64 = transaction.parse().map_err(|_| unreadable())?;
    let sequence = sequence.parse().map_err(|_| unreadable())?;
    Ok(ChangeCursor { transaction: transaction.to_string(), sequence })
}
