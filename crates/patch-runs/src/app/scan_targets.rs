//! The hosts of a scan: the managed ones of a selection, and those whose operating system the scan learns.

use std::collections::{BTreeMap, BTreeSet};

use api_types::cmdb::Ci;
use domain::{ids::CiId, package::Packaging, plan::Target, selector::Selector};
use patch_compliance::{app::os_tag, upstream_error};
use service_kit::ApiResult;

use super::targets::{split_targets, target};
use crate::App;

/// Maximum hosts read from the CMDB.
const MAX_HOSTS: usize = 1_000_000;
/// Up to this many CIs are read one by one.
const MAX_SINGLE_READS: usize = 200;

/// Targets, and the selected CIs that cannot be scanned, with the reason. A host without the tag `os` is a target without
/// an operating system.
pub(crate) async fn scan_targets(
    app: &App,
    selector: &Selector,
) -> ApiResult<(BTreeMap<CiId, Target>, BTreeMap<CiId, String>)> {
    let cis = list_selected(app, selector).await?;
    let found: BTreeSet<&CiId> = cis.iter().map(|ci| &ci.id).collect();
    let missing: Vec<CiId> = selector.ids.iter().filter(|id| !found.contains(id)).cloned().collect();
    let (managed, others): (Vec<Ci>, Vec<Ci>) = cis
        .into_iter()
        .filter(|ci| os_tag::selects(selector, &ci.id, &ci.tags))
        .partition(|ci| ci.is_managed() == Some(true));
    let (mut targets, mut refused) = split_targets(managed);
    for ci in others {
        if ci.is_managed() == Some(false) {
            // The packaging only names a group of Ansible's inventory, which a scan does not use.
            let id = ci.id.clone();
            match target(ci, String::new(), Packaging::Rpm) {
                Ok(target) => drop(targets.insert(id, target)),
                Err(reason) => drop(refused.insert(id, reason)),
            }
        } else if selector.ids.contains(&ci.id) {
            refused.insert(ci.id, "is not an active host or VM, so it is never scanned".to_owned());
        }
    }
    refused.extend(missing.into_iter().map(|id| (id, "the CMDB has no CI of this id".to_owned())));
    Ok((targets, refused))
}

async fn list_selected(app: &App, selector: &Selector) -> ApiResult<Vec<Ci>> {
    if selector.ids.is_empty() || selector.ids.len() > MAX_SINGLE_READS {
        let tags: Vec<_> =
            selector.tags.iter().map(|(key, value)| ("tag", format!("{key}:{value}"))).collect();
        return app.cmdb.list_cis(&tags, MAX_HOSTS).await.map_err(upstream_error);
    }
    let mut cis = Vec::new();
    for id in &selector.ids {
        match app.cmdb.get_ci(id).await {
            Ok(ci) => cis.push(ci),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(upstream_error(error)),
        }
    }
    Ok(cis)
}

/// Whether the scan learns the operating system of this target.
pub(crate) fn learns_os(target: &Target) -> bool {
    target.os.is_empty()
}
