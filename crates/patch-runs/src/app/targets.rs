//! Managed hosts as targets of plans and playbooks: how each is reached, and which CIs cannot be targets.

use std::collections::BTreeMap;

use advisories::OsRelease;
use api_types::cmdb::Ci;
use domain::{
    ids::{CiId, GivenService, ServiceName},
    package::Packaging,
    plan::{Connection, Target},
    selector::Selector,
    workflow::RollbackMode,
};
use patch_compliance::app::hosts::{driver, list_managed};
use serde::Deserialize;
use serde_json::Value;
use service_kit::ApiResult;

use super::playbooks::HOST_KEY;
use crate::App;

/// The managed hosts that a selector matches now, as targets without updates. Hosts with an unknown operating system are
/// left out.
pub(crate) async fn targets(app: &App, selector: &Selector) -> ApiResult<BTreeMap<CiId, Target>> {
    let (targets, refused) = split_targets(list_managed(&app.compliance, selector).await?);
    for (host, reason) in refused {
        tracing::warn!("left out host `{host}`: {reason}");
    }
    Ok(targets)
}

/// Targets, and the CIs that cannot be targets, with the reason.
pub(crate) fn split_targets(cis: Vec<Ci>) -> (BTreeMap<CiId, Target>, BTreeMap<CiId, String>) {
    let mut targets = BTreeMap::new();
    let mut refused = BTreeMap::new();
    for ci in cis {
        let os = ci.tags.get("os").cloned().unwrap_or_default();
        match os.parse::<OsRelease>().map(|os| os.packaging()).ok().or_else(|| Packaging::of_os(&os)) {
            Some(packaging) => {
                let id = ci.id.clone();
                match target(ci, os, packaging) {
                    Ok(target) => drop(targets.insert(id, target)),
                    Err(reason) => drop(refused.insert(id, reason)),
                }
            }
            None => {
                refused.insert(
                    ci.id,
                    format!("its tag `os` is `{os}`, which is not a supported operating system"),
                );
            }
        }
    }
    (targets, refused)
}

/// The CI as a target, or why it cannot be one.
pub(crate) fn target(ci: Ci, os: String, packaging: Packaging) -> Result<Target, String> {
    let services = services(&ci)?;
    let owner_email = ci.attributes.get("owner_email").and_then(Value::as_str).map(str::to_owned);
    Ok(Target {
        os,
        packaging,
        services,
        connection: connection(&ci),
        tags: ci.tags,
        updates: Vec::new(),
        rollback_mode: RollbackMode::None,
        omitted: Vec::new(),
        expected_seconds: 0,
        reboot_pending: false,
        unverified: None,
        transaction: Default::default(),
        bootstrap_python: false,
        owner_email,
    })
}

/// The services that the CMDB names for a host. The CMDB checks them, but may have stored them before it did.
fn services(ci: &Ci) -> Result<Vec<GivenService>, String> {
    let Some(services) = ci.attributes.get("services") else { return Ok(Vec::new()) };
    let names: Vec<ServiceName> = Vec::deserialize(services).map_err(|error| {
        format!("its attribute `services` cannot be used: {error}; correct it in the CMDB")
    })?;
    Ok(names.into_iter().map(GivenService::from).collect())
}

/// Decided by the attribute `driver`. By default a host is reached over SSH, at its `address` or its id.
fn connection(ci: &Ci) -> Connection {
    let text = |name: &str| ci.attributes.get(name).and_then(Value::as_str).map(str::to_owned);
    match driver(ci) {
        "model" => Connection::Model,
        _ => Connection::Ssh {
            address: text("address").unwrap_or_else(|| ci.id.to_string()),
            port: ci.attributes.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok()),
            user: text("user"),
            host_key: text(HOST_KEY),
            jump: ci.attributes.get("jump_host").and_then(|jump| serde_json::from_value(jump.clone()).ok()),
            python: text("python"),
        },
    }
}
