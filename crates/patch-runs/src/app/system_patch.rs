//! The system patching workflow as a run: what its input means for the policy and the selection.

use std::collections::BTreeSet;

use api_types::{
    patch::{StartRun, SystemPatch},
    problem::FieldError,
};
use domain::{
    ids::CiId,
    policy::{NoticeScope, Notices, Policy, VaultSource},
    quantity::HostCount,
    selector::{Selector, Tags},
};
use service_kit::{ApiError, ApiResult};

use crate::App;
use patch_compliance::app::hosts;

/// Says what is wrong with the input, each field by its place in the request.
pub(crate) fn check(app: &App, request: &StartRun, input: &SystemPatch) -> ApiResult<()> {
    let has_token = input.vault_token.is_some();
    let mut faults: Vec<FieldError> = input
        .faults()
        .into_iter()
        .map(|(pointer, detail)| FieldError { pointer: format!("/input{pointer}"), detail })
        .collect();
    let mut refuse = |wrong: bool, pointer: &str, detail: &str| {
        if wrong {
            faults.push(FieldError { pointer: pointer.to_owned(), detail: detail.to_owned() });
        }
    };
    refuse(
        request.selector.is_some() || request.advisory.is_some(),
        "/input",
        "says itself which hosts and what; leave `selector` and `advisory` out",
    );
    let is_foreign = input.vault_address.is_some() && input.vault_address != app.settings.vault.address;
    refuse(
        is_foreign && !has_token,
        "/input/vaultToken",
        "must come with the address of a Vault that is not the service's own",
    );
    refuse(
        has_token && input.vault_address.is_none() && app.settings.vault.address.is_none(),
        "/input/vaultAddress",
        "is missing: the service has no Vault of its own that the token could be for",
    );
    match faults.is_empty() {
        true => Ok(()),
        false => Err(ApiError::invalid_fields(faults)),
    }
}

/// The hosts of the clusters, fixed now: what joins a cluster later is not patched by this run.
pub(crate) async fn select(app: &App, input: &SystemPatch) -> ApiResult<Selector> {
    let mut ids: BTreeSet<CiId> = BTreeSet::new();
    for (position, cluster) in input.target_clusters.iter().enumerate() {
        let tags = Tags::from([("cluster".to_owned(), cluster.clone())]);
        let members = hosts::list_managed(&app.compliance, &Selector::by_tags(tags)).await?;
        if members.is_empty() {
            let pointer = format!("/input/targetClusters/{position}");
            return Err(ApiError::invalid(
                pointer,
                format!("has no managed host: none bears the tag `cluster:{cluster}`"),
            ));
        }
        ids.extend(members.into_iter().map(|ci| ci.id));
    }
    Ok(Selector { ids, ..Selector::default() })
}

/// The policy's way with what the input says over it. Any failure stops the rollout, as the workflow has it.
pub(crate) fn apply(input: &SystemPatch, mut policy: Policy) -> Policy {
    policy.pilot_host_count = input.pilot_host_count;
    policy.error_threshold = HostCount::Number(0);
    if !input.approver_emails.is_empty() {
        policy.change.approver_emails.clone_from(&input.approver_emails);
        // People were named to approve it: no template does.
        policy.change.standard_template = None;
    }
    if let Some(requester) = &input.requester_email
        && !policy.notify.contains(requester)
    {
        policy.notify.push(requester.clone());
    }
    policy.notices =
        Notices { start: NoticeScope::Host, success: NoticeScope::Host, failure: NoticeScope::Host };
    if !input.service_list.is_empty() {
        policy.workflow.services.clone_from(&input.service_list);
    }
    let words = |scripts: &[api_types::patch::CommandLine]| -> Vec<Vec<String>> {
        scripts.iter().filter_map(api_types::patch::CommandLine::words).collect()
    };
    if !input.pre_update_scripts.is_empty() {
        policy.workflow.pre_update_commands = words(&input.pre_update_scripts);
    }
    if !input.post_update_scripts.is_empty() {
        policy.workflow.post_update_commands = words(&input.post_update_scripts);
    }
    if input.vault_address.is_some() || input.secret_path_prefix.is_some() {
        policy.vault = Some(VaultSource {
            address: input.vault_address.clone(),
            secret_path_prefix: input.secret_path_prefix.clone(),
        });
    }
    policy
}
