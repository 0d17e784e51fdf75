//! Turns targets into playbook runs: how each host is reached, its variables, and where the files are.

use std::{path::PathBuf, time::Duration};

use ansible::{
    Connection as Reach, HostKeyRule, InvalidInventory, Inventory, Jump, Playbook, PlaybookRun, Secret,
    SshConnection, Variables,
};
use api_client::ClientError;
use api_types::cmdb::UpdateCi;
use domain::{
    ids::{CiId, GivenService},
    package::Packaging,
    plan::{Connection, JumpHost, Target},
};
use secrecy::ExposeSecret;
use service_kit::{ApiError, ApiResult, problem_types};

use super::keys::Keys;
use crate::App;

const SSH_PORT: u16 = 22;
/// Attribute of a CI.
pub const HOST_KEY: &str = "host_key";

/// A playbook run over `targets`; `variables` returns the variables of each host.
pub fn playbook_run<'a>(
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
        variables.set("pm_services", names_of(&target.services)?);
        inventory
            .add_host(id.clone(), connection_to(app, id, target, keys)?, variables)
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
    run.silent_after = Duration::from_secs(app.settings.playbook_silence_seconds.into());
    run.api_token = Some(Secret::new(app.service_token.expose_secret()));
    run.extra_vars.set("pm_sim_url", app.settings.sim_engine_url.as_str());
    run.extra_vars.set("pm_cmdb_url", app.compliance.settings.cmdb_url.as_str());
    Ok(run)
}

/// The names of services as they are passed to a playbook. A plan that was stored before names were checked may have some that
/// are none.
pub fn names_of<'a>(services: impl IntoIterator<Item = &'a GivenService>) -> ApiResult<Vec<String>> {
    let name = |service: &GivenService| {
        service.name().map(String::from).map_err(|error| {
            ApiError::new(problem_types::NOT_A_SERVICE, format!("{error}; correct it and make a new plan"))
        })
    };
    services.into_iter().map(name).collect()
}

/// How to connect to a target.
pub fn connection_to(app: &App, id: &CiId, target: &Target, keys: &Keys) -> ApiResult<Reach> {
    let Connection::Ssh { address, port, user, host_key, jump, python } = &target.connection else {
        return Ok(Reach::Controller);
    };
    if let Some(reason) = keys.error(id) {
        return Err(ApiError::new(problem_types::NO_SSH_KEY, reason.to_owned()));
    }
    let (key, user_of_key) = keys.of(id).ok_or_else(|| {
        ApiError::new(
            problem_types::NO_SSH_KEY,
            "real hosts need a private key for SSH; start the service with --ssh-key-file or --vault-address",
        )
    })?;
    let user = user.as_deref().or(user_of_key).unwrap_or(&app.settings.ssh_user);
    let connect = || -> Result<SshConnection, InvalidInventory> {
        let host_key = match host_key {
            Some(key) => HostKeyRule::Known(key.parse()?),
            None if app.settings.ssh_learn_host_keys => HostKeyRule::Learn,
            None => HostKeyRule::Refuse,
        };
        let port = port.unwrap_or(SSH_PORT);
        SshConnection::new(address.parse()?, port, user, key.clone(), host_key)?
            .with_become_password(keys.become_password(id))
            .through(jump.as_ref().map(|jump| through(jump, user)).transpose()?)
            .with_python(python.as_deref())
    };
    connect()
        .map(|ssh| Reach::Ssh(Box::new(ssh)))
        .map_err(|error| ApiError::new(problem_types::BAD_CONNECTION, error.to_string()))
}

/// The jump host. Its default user is the user of the target.
fn through(jump: &JumpHost, user: &str) -> Result<Jump, InvalidInventory> {
    let user = jump.user.as_deref().unwrap_or(user);
    // Its key is never learned: no playbook event would report the key, so it could not be pinned.
    let host_key = jump.host_key.as_deref().unwrap_or_default().parse()?;
    Jump::new(jump.address.parse()?, jump.port.unwrap_or(SSH_PORT), user, host_key)
}

/// Pins the first key of a host in the CMDB. A known key is never replaced.
pub async fn pin_host_key(app: &App, host: &CiId, key: &ansible::HostKey) {
    let pin = async {
        let ci = app.cmdb.get_ci(host).await?;
        if ci.attributes.contains_key(HOST_KEY) {
            return Ok(());
        }
        let request = UpdateCi {
            attributes: [(HOST_KEY.to_owned(), key.as_str().into())].into(),
            reason: Some("the key that the host showed on the first connection".to_owned()),
            ..UpdateCi::default()
        };
        // Only if the CI has not changed since it was read.
        app.cmdb.update_ci(host, &request, Some(&format!("\"{}\"", ci.version))).await.map(drop)
    };
    match pin.await {
        Ok(()) => tracing::info!("pinned the host key of `{host}` in the CMDB"),
        Err(error) => {
            let error: ClientError = error;
            tracing::warn!("cannot pin the host key of `{host}` now, so it will be learned again: {error}");
        }
    }
}
