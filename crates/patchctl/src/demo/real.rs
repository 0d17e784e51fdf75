//! The evening on real hosts: creates them, adds their SSH access to the CMDB, and reads their packages over SSH.

use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};

use api_types::sim::{CreateVm, SshAccess, Vm};
use domain::ids::CiId;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use tokio::{process::Command, time::timeout};

use super::{cast::Cast, screen::Screen, seeds};
use crate::{arguments::DemoHosts, poll::poll};
use terminal::Failure;

/// Enough to build the images, even from a slow mirror.
const FLEET_TIMEOUT: Duration = Duration::from_secs(1800);
const CREATED_AT_ONCE: usize = 6;
const ASKED_AT_ONCE: usize = 6;
const SSH_TIMEOUT: Duration = Duration::from_secs(30);
/// Prints the version of openssl, with the tool of each family.
const VERSION_SCRIPT: &str = "if command -v dpkg-query >/dev/null; then dpkg-query -W -f '${Version}' openssl; \
                    else rpm -qa --qf '%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}' openssl; fi";

pub(super) async fn create(cast: &Cast) -> Result<Vec<Vm>, Failure> {
    let seeds = seeds::vms(DemoHosts::Real)?.vms;
    let created = stream::iter(&seeds).map(|vm| create_host(cast, vm)).buffer_unordered(CREATED_AT_ONCE);
    created.try_collect::<Vec<()>>().await?;
    Ok(cast.olivia_sim.list_vms(&[]).await?)
}

/// Creates a host, or finds that an attempt whose answer was lost has created it. The platform of a demo is new, so no other
/// host has this id.
pub(super) async fn create_host(cast: &Cast, vm: &CreateVm) -> Result<(), Failure> {
    let sim = &cast.olivia_sim;
    let created = poll(FLEET_TIMEOUT, Duration::from_secs(1), async || match sim.create_vm(vm).await {
        Ok(_) => Ok(Some(())),
        Err(error) => match sim.get_vm(&vm.id).await {
            Ok(_) => Ok(Some(())),
            Err(_) if error.is_transient() => Ok(None),
            Err(_) => Err(error.into()),
        },
    });
    created.await?.ok_or_else(|| Failure::new(format!("the real host `{}` was not ready in time", vm.id)))
}

/// The CIs of the seed with the SSH access of each host, as an inventory of real servers would have it.
pub(super) fn cis(hosts: &[Vm]) -> Result<Vec<u8>, Failure> {
    let unreadable =
        |error: serde_json::Error| Failure::new(format!("the seed `fleet/cis.json` cannot be read: {error}"));
    let mut cis: Vec<Value> = serde_json::from_slice(seeds::REAL_CIS).map_err(unreadable)?;
    for ci in &mut cis {
        let vm = hosts.iter().find(|vm| ci["id"] == vm.id.as_str());
        if let (Some(ssh), Some(attributes)) =
            (vm.and_then(|vm| vm.ssh.as_ref()), ci.get_mut("attributes").and_then(Value::as_object_mut))
        {
            attributes.insert("address".to_owned(), ssh.address.as_str().into());
            attributes.insert("port".to_owned(), ssh.port.into());
            attributes.insert("user".to_owned(), ssh.user.as_str().into());
            attributes.insert("host_key".to_owned(), ssh.host_key.as_str().into());
        }
    }
    serde_json::to_vec(&cis).map_err(unreadable)
}

/// The version of openssl on each production host; empty for model hosts.
pub(super) async fn versions(cast: &Cast) -> Result<BTreeMap<CiId, String>, Failure> {
    if cast.hosts == DemoHosts::Model {
        return Ok(BTreeMap::new());
    }
    let vms = cast.olivia_sim.list_vms(&[]).await?;
    let production = vms.into_iter().filter(|vm| vm.tags.get("env").is_some_and(|env| env == "prod"));
    let asked = production.filter_map(|vm| vm.ssh.map(|ssh| read_version(vm.id, ssh)));
    stream::iter(asked).buffered(ASKED_AT_ONCE).collect::<Vec<_>>().await.into_iter().collect()
}

async fn read_version(id: CiId, ssh: SshAccess) -> Result<(CiId, String), Failure> {
    let version = run_command(&id, &ssh, VERSION_SCRIPT).await?;
    Ok((id, version))
}

/// Runs a shell command on a host over SSH, and returns its output.
pub(super) async fn run_command(id: &CiId, ssh: &SshAccess, script: &str) -> Result<String, Failure> {
    let failed = |why: String| Failure::new(format!("cannot run a command on `{id}` over SSH: {why}"));
    let known = Path::new(&ssh.key_file).with_file_name(format!("known_hosts.{id}"));
    std::fs::write(&known, format!("{} {}\n", ssh.address, ssh.host_key))
        .map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new("ssh");
    command.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]);
    command.args(["-o", "ConnectTimeout=10", "-o", &format!("UserKnownHostsFile={}", known.display())]);
    command.args(["-i", &ssh.key_file, "-p", &ssh.port.to_string(), "-l", &ssh.user, &ssh.address, script]);
    let answer = timeout(SSH_TIMEOUT, command.stdin(Stdio::null()).kill_on_drop(true).output()).await;
    let output = match answer {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => return Err(failed(format!("no answer within {} s", SSH_TIMEOUT.as_secs()))),
    };
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Reads the versions on the hosts again: all except the host that failed must have another version than before.
pub(super) async fn compare(
    cast: &Cast,
    screen: &Screen,
    before: &BTreeMap<CiId, String>,
    victim: &CiId,
) -> Result<(), Failure> {
    let after = versions(cast).await?;
    let mut changes: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for (id, old) in before {
        let new = after.get(id).map_or("unknown", String::as_str);
        *changes.entry((old, new)).or_default() += 1;
        if (old == new) != (id == victim) {
            return Err(Failure::new(format!(
                "the demo failed: openssl of `{id}` changed from {old} to {new}"
            )));
        }
    }
    if !changes.is_empty() {
        screen.say("openssl according to dpkg-query and rpm on the hosts, read over SSH:");
        let rows = changes
            .into_iter()
            .map(|((old, new), hosts)| vec![hosts.to_string(), old.to_owned(), new.to_owned()]);
        screen.table(&["hosts", "before", "after"], rows);
    }
    Ok(())
}

/// Deletes all hosts. The next fleet on the machine removes those that cannot be deleted now.
pub(super) async fn delete_hosts(cast: &Cast) {
    let vms = match cast.olivia_sim.list_vms(&[]).await {
        Ok(vms) => vms,
        Err(error) => return eprintln!("cannot list the real hosts to delete them: {error}"),
    };
    for vm in vms {
        if let Err(error) = cast.olivia_sim.delete_vm(&vm.id).await {
            eprintln!("cannot delete `{}`: {error}", vm.id);
        }
    }
}
