//! What a run does, from where, and whether a template may approve it.

use api_types::patch::{StartRun, StoredPolicy};
use domain::{
    policy::Policy,
    pre_approval::{NoPreApproval, PreApproval},
};

use crate::store::runs::RunRow;

/// What a run does, who wrote it, and whether a template approves it.
#[derive(Debug, Clone)]
pub struct Work {
    pub policy: Policy,
    /// None of them can approve the change of the run.
    pub editors: Vec<String>,
    pub pre_approval: Option<PreApproval>,
}

impl Work {
    /// The work of an earlier run again, which a person approves: a template has approved that run, not another one.
    pub(super) fn again(row: &RunRow) -> Self {
        let mut policy = row.policy.clone();
        policy.change.standard_template = None;
        let mut editors = row.editors.clone();
        if !editors.contains(&row.requested_by) {
            editors.push(row.requested_by.clone());
        }
        Self { policy, editors, pre_approval: None }
    }

    /// What a stored policy does. Its template approves only what the policy itself says.
    pub(super) fn of_policy(stored: StoredPolicy, request: &StartRun) -> Self {
        let pre_approval =
            stored.policy.change.standard_template.as_ref().map(|_| pre_approval(&stored, request));
        Self { policy: stored.policy, editors: stored.editors, pre_approval }
    }
}

fn pre_approval(stored: &StoredPolicy, request: &StartRun) -> PreApproval {
    let follows_policy = request.advisory.is_none()
        && request.selector.is_none()
        && request.strategy.is_none()
        && request.input.is_none();
    let cause = match (NoPreApproval::of_policy(&stored.policy), &stored.approval) {
        (Some(never), _) => never,
        _ if !follows_policy => NoPreApproval::OtherThanThePolicy,
        (None, Some(approval)) if approval.version == stored.version => {
            return PreApproval::Granted { by: approval.by.clone() };
        }
        _ => NoPreApproval::UnapprovedVersion { policy: stored.policy.id.clone(), version: stored.version },
    };
    PreApproval::Refused { cause }
}
