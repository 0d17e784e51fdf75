//! What a change of a policy would add to the baselines of hosts, and remove from them.

use std::{collections::HashMap, sync::Arc};

use api_types::patch::{BaselineChange, ChangedFix, HostBaselineChange};
use chrono::{DateTime, Utc};
use domain::{
    baseline::{BaselineRules, Exclusion},
    ids::{CiId, PolicyId},
    policy::Policy,
};
use rustc_hash::FxHashMap;
use serde_json::{Map, Value};
use service_kit::{ApiError, ApiResult};

use super::{criteria_cache::CachedFinding, policies};
use crate::{
    App,
    store::{self, dictionary::Finding, results::HostInput},
};

/// Hosts per statement.
const BATCH: i64 = 2000;
/// Hosts that the answer lists.
const MAX_HOSTS: usize = 100;
/// Fixes that it lists of each of them, in each direction.
const MAX_FIXES: usize = 20;

/// Checks the changes like a change of the policy, and stores nothing.
pub async fn preview_changes(
    app: &App,
    id: &PolicyId,
    changes: Map<String, Value>,
) -> ApiResult<BaselineChange> {
    let before = policies::get_policy(app, id).await?.policy;
    let after = policies::merged(&before, changes).map_err(below_changes)?;
    if after.id != *id {
        return Err(ApiError::invalid("/changes/id", "cannot be changed: a preview is of one policy"));
    }
    policies::check(app, &after).map_err(below_changes)?;
    let comparison = Comparison {
        rules: [before.baseline_rules(), after.baseline_rules()],
        policies: [before, after],
        now: app.clock.now(),
    };
    comparison.of_all_hosts(app).await
}

/// The pointers of a change are those of the policy; in the preview it is a part of the request.
fn below_changes(error: ApiError) -> ApiError {
    error.below("/changes")
}

struct Comparison {
    /// Before and after the change.
    policies: [Policy; 2],
    rules: [BaselineRules; 2],
    now: DateTime<Utc>,
}

/// What changes on every host with the same packages and the same selection.
#[derive(Clone, Default)]
struct SetChange {
    added: i64,
    removed: i64,
    added_fixes: Vec<ChangedFix>,
    removed_fixes: Vec<ChangedFix>,
}

impl Comparison {
    async fn of_all_hosts(&self, app: &App) -> ApiResult<BaselineChange> {
        let mut change =
            BaselineChange { hosts: 0, hosts_changed: 0, added: 0, removed: 0, changed: Vec::new() };
        let mut of_sets: HashMap<(Option<i32>, [bool; 2]), SetChange> = HashMap::new();
        let mut after = String::new();
        let mut conn = app.pool.acquire().await?;
        let revision = app.criteria.current(&mut conn).await?;
        loop {
            let [old, new] = &self.policies;
            let selected = store::policies::list_selected(&mut conn, old, new, &after, BATCH).await?;
            let Some((_, last)) = selected.last() else { break };
            after.clone_from(last);
            let numbers: Vec<i32> = selected.iter().map(|(no, _)| *no).collect();
            let mut hosts = store::results::list_host_inputs(&mut conn, &numbers).await?;
            hosts.sort_unstable_by(|a, b| a.ci_id.cmp(&b.ci_id));
            let findings: Vec<i32> = hosts.iter().flat_map(|host| host.findings.iter().copied()).collect();
            let findings = revision.findings(&mut conn, &findings).await?;
            for host in hosts.iter().filter(|host| host.last_scanned.is_some()) {
                let selects = [old, new].map(|policy| policies::selects(policy, &host.tags.0));
                let of_set = of_sets
                    .entry((host.set_no, selects))
                    .or_insert_with(|| self.of_set(host, selects, &findings));
                add(&mut change, host, of_set)?;
            }
            if (selected.len() as i64) < BATCH {
                break;
            }
        }
        Ok(change)
    }

    fn of_set(
        &self,
        host: &HostInput,
        selects: [bool; 2],
        findings: &FxHashMap<i32, Arc<CachedFinding>>,
    ) -> SetChange {
        let mut change = SetChange::default();
        for finding in host.findings.iter().filter_map(|no| findings.get(no)) {
            let left_out = [0, 1].map(|side| self.why_left_out(finding, side, selects[side]));
            match left_out {
                [Some((rule, reason)), None] => {
                    change.added += 1;
                    change.added_fixes.push(changed_fix(finding, rule, reason));
                }
                [None, Some((rule, reason))] => {
                    change.removed += 1;
                    change.removed_fixes.push(changed_fix(finding, rule, reason));
                }
                [None, None] | [Some(_), Some(_)] => {}
            }
        }
        for fixes in [&mut change.added_fixes, &mut change.removed_fixes] {
            fixes.sort_unstable();
            fixes.truncate(MAX_FIXES);
        }
        change
    }

    /// Why a fix is not required on one side of the change; `None` if it is.
    fn why_left_out(
        &self,
        finding: &Finding,
        side: usize,
        is_selected: bool,
    ) -> Option<(Option<Exclusion<'_>>, String)> {
        if !is_selected {
            return Some((None, "the policy does not select the host".to_owned()));
        }
        let exclusion = self.rules[side].judge(&finding.fix(), self.now).exclusion()?;
        Some((Some(exclusion), exclusion.explanation()))
    }
}

fn changed_fix(finding: &Finding, exclusion: Option<Exclusion<'_>>, reason: String) -> ChangedFix {
    ChangedFix {
        package: finding.package.clone(),
        advisory_id: finding.advisory_id.clone(),
        classification: finding.classification,
        severity: finding.severity,
        exploited: finding.exploited,
        rule: exclusion.map(|exclusion| exclusion.rule()),
        reason,
    }
}

fn add(change: &mut BaselineChange, host: &HostInput, of_set: &SetChange) -> ApiResult<()> {
    change.hosts += 1;
    if of_set.added + of_set.removed == 0 {
        return Ok(());
    }
    change.hosts_changed += 1;
    change.added += of_set.added;
    change.removed += of_set.removed;
    if change.changed.len() < MAX_HOSTS {
        let SetChange { added, removed, added_fixes, removed_fixes } = of_set.clone();
        let ci_id = CiId::new(host.ci_id.as_str()).map_err(ApiError::internal)?;
        change.changed.push(HostBaselineChange { ci_id, added, removed, added_fixes, removed_fixes });
    }
    Ok(())
}
