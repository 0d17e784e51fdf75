//! The system patching workflow as a run: how its input sets the policy and the selection.

use std::collections::BTreeSet;

use api_types::patch::{CommandLine, StartRun, SystemPatch};
use domain::{
    ids::CiId,
    policy::{NoticeScope, Notices, Policy, VaultSource},
    quantity::HostCount,
    selector::{Selector, Tags},
    workflow::HostWorkflow,
};
use service_kit::{
    ApiError, ApiResult, Caller, FieldErrors,
    duties::{self, Part},
};
use sqlx::PgConnection;

use crate::App;
use patch_compliance::app::hosts;

/// Checks the input; errors name each field by its place in the request.
pub(crate) fn check(app: &App, request: &StartRun, input: &SystemPatch) -> ApiResult<()> {
    let has_token = input.vault_token.is_some();
    let mut errors = FieldErrors::default();
    errors.extend(input.faults().into_iter().map(|(pointer, detail)| (format!("/input{pointer}"), detail)));
    let update_commands = input.own_update().unwrap_or_default();
    let own = HostWorkflow { update_commands, ..HostWorkflow::default() };
    if let Some((_, reason)) = own.refused_update(&app.compliance.settings.update_programs) {
        errors.add(
            "/input/updateCommand",
            format!(
                "{reason}; without that it must be an update of all packages, such as `apt-get update && apt-get upgrade -y` or \
                 `dnf upgrade -y`, which the platform does itself"
            ),
        );
    }
    errors.require(
        request.selector.is_none() && request.advisory.is_none(),
        "/input",
        "selects hosts and updates itself; leave out `selector` and `advisory`",
    );
    let is_own = input.vault_address.is_none() || input.vault_address == app.settings.vault.address;
    if let Some(address) = input.vault_address.as_deref().filter(|_| !is_own)
        && let Err(refusal) = app.compliance.outbound.check(address)
    {
        errors.add("/input/vaultAddress", refusal.to_string());
    }
    errors.require(
        is_own || has_token,
        "/input/vaultToken",
        "is required for a Vault that is not the service's own",
    );
    errors.require(
        !has_token || input.vault_address.is_some() || app.settings.vault.address.is_some(),
        "/input/vaultAddress",
        "is required with `vaultToken`, because the service has no Vault of its own",
    );
    errors.finish()
}

/// The request for approval goes only to people who may approve the run.
pub(crate) async fn refuse_wrong_approvers(
    conn: &mut PgConnection,
    caller: &Caller,
    input: &SystemPatch,
    editors: &[String],
) -> ApiResult<()> {
    let editors = editors.iter().map(|editor| Part::new("edited", editor));
    let parts = [Part::new("requested", &caller.subject)].into_iter().chain(editors);
    let wrong = duties::wrong_addresses(conn, &input.approver_emails, parts).await?;
    let errors = wrong.into_iter().map(|(index, reason)| (format!("/input/approverEmails/{index}"), reason));
    errors.collect::<FieldErrors>().finish()
}

/// The hosts that are in the clusters now. A host that joins a cluster later is not patched by this run.
pub(crate) async fn select(app: &App, input: &SystemPatch) -> ApiResult<Selector> {
    let mut ids: BTreeSet<CiId> = BTreeSet::new();
    for (position, cluster) in input.target_clusters.iter().enumerate() {
        let tags = Tags::from([("cluster".to_owned(), cluster.clone())]);
        let members = hosts::list_managed(&app.compliance, &Selector::by_tags(tags)).await?;
        if members.is_empty() {
            let pointer = format!("/input/targetClusters/{position}");
            return Err(ApiError::invalid(
                pointer,
                format!("has no managed host with the tag `cluster:{cluster}`"),
            ));
        }
        ids.extend(members.into_iter().map(|ci| ci.id));
    }
    Ok(Selector { ids, ..Selector::default() })
}

/// The policy with the input applied to it. Any failure stops the rollout, as the workflow requires.
pub(crate) fn apply(input: &SystemPatch, mut policy: Policy) -> Policy {
    policy.pilot_host_count = input.pilot_host_count;
    policy.cluster_by_cluster = true;
    policy.cluster_order.clone_from(&input.target_clusters);
    policy.error_threshold = HostCount::Number(0);
    if !input.approver_emails.is_empty() {
        policy.change.approver_emails.clone_from(&input.approver_emails);
        // The named people must approve it, so no template does.
        policy.change.standard_template = None;
    }
    if let Some(requester) = &input.requester_email
        && !policy.notify.contains(requester)
    {
        policy.notify.push(requester.clone());
    }
    policy.notices = Notices {
        start: NoticeScope::Host,
        success: NoticeScope::Host,
        failure: NoticeScope::Host,
        ..policy.notices
    };
    if !input.service_list.is_empty() {
        policy.workflow.services.clone_from(&input.service_list);
    }
    let words = |scripts: &[CommandLine]| -> Vec<Vec<String>> {
        scripts.iter().filter_map(CommandLine::words).collect()
    };
    if !input.pre_update_scripts.is_empty() {
        policy.workflow.pre_update_commands = words(&input.pre_update_scripts);
    }
    if !input.post_update_scripts.is_empty() {
        policy.workflow.post_update_commands = words(&input.post_update_scripts);
    }
    if let Ok(commands) = input.own_update()
        && !commands.is_empty()
    {
        policy.workflow.update_commands = commands;
        // What nobody knows in advance is approved by a person.
        policy.change.standard_template = None;
    }
    if input.vault_address.is_some() || input.secret_path_prefix.is_some() {
        policy.vault = Some(VaultSource {
            address: input.vault_address.clone(),
            secret_path_prefix: input.secret_path_prefix.clone(),
        });
    }
    policy
}
