//! Turns targets into runs of Ansible: how each host is reached, which variables it gets, where the run's files lie.

use std::{path::PathBuf, time::Duration};

use ansible::{Connection as Reach, Inventory, Playbook, PlaybookRun, Secret, SshConnection, Variables};
use domain::{
    ids::CiId,
    package::Packaging,
    plan::{Connection, Target},
};
use service_kit::{ApiError, ApiResult};

use super::keys::Keys;
use crate::service::App;

/// A playbook over `targets`; `variables` gives what is particular to each host beside how it is reached.
pub(crate) fn playbook_run<'a>(
    app: &App,
    playbook: Playbook,
    targets: impl IntoIterator<Item = (&'a CiId, &'a Target)>,
    keys: &Keys,
    variables: impl Fn(&CiId, &Target) -> Variables,
    run_dir: PathBuf,
    timeout: Duration,
) -> ApiResult<PlaybookRun> {
    let mut inventory = Inventory::new();
    for (id, target) in targets {
        let mut variables = variables(id, target);
        variables.set("pm_vm_id", id.as_str());
        variables.set("pm_driver", if target.connection == Connection::Model { "model" } else { "ssh" });
        variables.set("pm_services", target.services.clone());
        inventory
            .add_host(id.clone(), reach(app, id, target, keys)?, variables)
            .map_err(ApiError::internal)?;
        let group = match target.packaging {
            Packaging::Rpm => "packaging_rpm",
            Packaging::Dpkg => "packaging_dpkg",
        };
        inventory.add_to_group(group, id).map_err(ApiError::internal)?;
    }
    let mut run = PlaybookRun::new(playbook, inventory, run_dir);
    run.forks = app.settings.forks;
    run.timeout = timeout;
    run.api_token = Some(Secret::new(app.service_token.expose()));
    run.extra_vars.set("pm_sim_url", app.settings.sim_engine_url.as_str());
    run.extra_vars.set("pm_cmdb_url", app.settings.cmdb_url.as_str());
    Ok(run)
}

/// How a target is entered, or why it cannot be.
pub(crate) fn reach(app: &App, id: &CiId, target: &Target, keys: &Keys) -> ApiResult<Reach> {
    let Connection::Ssh { address, port, user } = &target.connection else { return Ok(Reach::Controller) };
    if let Some(trouble) = keys.trouble(id) {
        return Err(ApiError::conflict("no-ssh-key", trouble.to_owned()));
    }
    let (key, user_of_key) = keys.of(id).ok_or_else(|| {
        ApiError::conflict(
            "no-ssh-key",
            "real hosts need a private key to enter them with: start the service with --ssh-key-file or --vault-address",
        )
    })?;
    let address = address
        .parse()
        .map_err(|error: ansible::InvalidInventory| ApiError::conflict("bad-address", error.to_string()))?;
    let user = user.as_deref().or(user_of_key).unwrap_or(&app.settings.ssh_user);
    SshConnection::new(address, port.unwrap_or(22), user, key)
        .map(Reach::Ssh)
        .map_err(|error| ApiError::conflict("bad-address", error.to_string()))
}
