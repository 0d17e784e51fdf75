//! The preview of a policy, with the freezes that block its occurrences.

use std::collections::{BTreeMap, BTreeSet};

use api_types::patch::{BlockingFreeze, PolicyPreview, StartRun};
use chrono::{DateTime, Utc};
use domain::{ids::PolicyId, selector::Tags, time::FreezeCalendar};
use patch_compliance::app::{baseline_preview, hosts, policies};
use serde_json::{Map, Value};
use service_kit::{ApiResult, Caller, IdempotencyKey};

use super::{calendars, runs};
use crate::App;

pub(crate) async fn preview_policy(app: &App, id: &PolicyId) -> ApiResult<PolicyPreview> {
    let mut preview = policies::preview_policy(&app.compliance, id).await?;
    let mut conn = app.pool.acquire().await?;
    let calendar = calendars::load_freezes(&mut conn).await?;
    if calendar.entries().is_empty() {
        return Ok(preview);
    }
    let ids: Vec<String> = preview.targets.iter().map(ToString::to_string).collect();
    let tags = hosts::find_tags(&mut conn, &ids).await?;
    let groups = group_by_scope(&calendar, ids.iter().map(|id| tags.get(id)));
    for occurrence in &mut preview.occurrences {
        occurrence.blocked_by = blocking(&calendar, occurrence.at, &groups);
    }
    Ok(preview)
}

/// The preview, and what changes of the policy would do to the baselines of its hosts. Nothing is changed.
pub(crate) async fn preview_changes(
    app: &App,
    id: &PolicyId,
    changes: Map<String, Value>,
) -> ApiResult<PolicyPreview> {
    let change = baseline_preview::preview_changes(&app.compliance, id, changes).await?;
    Ok(PolicyPreview { baseline_change: Some(change), ..preview_policy(app, id).await? })
}

/// The preview, and a dry run that checks the hosts of the policy. Nothing is stored if the policy does not exist.
pub(crate) async fn preflight_policy(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    id: &PolicyId,
) -> ApiResult<PolicyPreview> {
    let preview = preview_policy(app, id).await?;
    let request = StartRun { policy_id: Some(id.clone()), dry_run: true, ..StartRun::default() };
    let run = runs::start_run(app, caller, &request, key).await?;
    Ok(PolicyPreview { preflight_run: Some(run.id), ..preview })
}

/// Hosts by those of their tags that some freeze asks for: a freeze treats the hosts of a group alike.
fn group_by_scope<'a>(
    calendar: &FreezeCalendar,
    hosts: impl Iterator<Item = Option<&'a Tags>>,
) -> BTreeMap<Tags, i64> {
    let keys: BTreeSet<&String> = calendar.entries().iter().flat_map(|entry| entry.scope.keys()).collect();
    let mut groups = BTreeMap::new();
    for tags in hosts {
        let asked_for = |key: &&String| Some(((*key).clone(), tags?.get(*key)?.clone()));
        let group: Tags = keys.iter().filter_map(asked_for).collect();
        *groups.entry(group).or_default() += 1;
    }
    groups
}

fn blocking(
    calendar: &FreezeCalendar,
    at: DateTime<Utc>,
    groups: &BTreeMap<Tags, i64>,
) -> Vec<BlockingFreeze> {
    let mut hosts: BTreeMap<String, i64> = BTreeMap::new();
    for (tags, count) in groups {
        for name in calendars::freeze_names(calendar, (at, at), tags) {
            *hosts.entry(name).or_default() += count;
        }
    }
    hosts.into_iter().map(|(name, hosts)| BlockingFreeze { name, hosts }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hosts_that_no_freeze_distinguishes_are_one_group() {
        let calendar: FreezeCalendar = serde_json::from_value(json!([
            { "uid": "a", "name": "sale", "scope": { "env": "prod" }, "starts": "2026-04-10T00:00:00Z", "ends": "2026-04-12T00:00:00Z" },
            { "uid": "b", "name": "audit", "starts": "2026-04-11T00:00:00Z", "ends": "2026-04-13T00:00:00Z" }
        ]))
        .unwrap();
        let tags = |env: &str, owner: &str| {
            Tags::from([("env".to_owned(), env.to_owned()), ("owner".to_owned(), owner.to_owned())])
        };
        let hosts = [tags("prod", "a"), tags("prod", "b"), tags("dev", "a")];
        let groups = group_by_scope(&calendar, hosts.iter().map(Some).chain([None]));
        assert_eq!(groups.values().copied().collect::<Vec<_>>(), [1, 1, 2]);
        let blocked = |at: &str| {
            let found = blocking(&calendar, at.parse().unwrap(), &groups);
            found.into_iter().map(|freeze| (freeze.name, freeze.hosts)).collect::<Vec<_>>()
        };
        assert_eq!(blocked("2026-04-09T00:00:00Z"), []);
        assert_eq!(blocked("2026-04-10T00:00:00Z"), [("sale".to_owned(), 2)]);
        assert_eq!(blocked("2026-04-11T00:00:00Z"), [("audit".to_owned(), 4), ("sale".to_owned(), 2)]);
    }
}
