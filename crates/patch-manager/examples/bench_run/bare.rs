//! The bare `ansible-playbook` command on the hosts of a platform that runs nothing.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use ansible::{AnsibleRunner, Connection, Inventory, Playbook, PlaybookRun, Playbooks, Variables};
use anyhow::ensure;
use domain::ids::CiId;
use serde_json::json;
use test_support::NEW;

use crate::platform::{Platform, real_ansible};

/// Patches the hosts as an operator would type it, and returns the seconds it took.
pub async fn patch(platform: &Platform, folder: &Path, hosts: usize, forks: u16) -> anyhow::Result<f64> {
    let mut inventory = Inventory::new();
    for number in 1..=hosts {
        let id = CiId::new(format!("h-{number}"))?;
        let mut variables = Variables::new();
        variables
            .set("pm_driver", "model")
            .set("pm_vm_id", id.as_str())
            .set("pm_services", json!(["nginx"]))
            .set("pm_updates", json!({ "openssl": NEW }));
        inventory.add_host(id.clone(), Connection::Controller, variables)?;
        inventory.add_to_group("packaging_dpkg", &id)?;
    }
    std::fs::create_dir_all(folder)?;
    let token = folder.join("token");
    std::fs::write(&token, platform.patch.service_token())?;
    let mut run = PlaybookRun::new(Playbook::PatchUbuntu, inventory, folder.join("run"));
    run.forks = forks;
    run.extra_vars
        .set("pm_sim_url", platform.sim.base.as_str())
        .set("pm_cmdb_url", platform.cmdb.base.as_str())
        .set("pm_token_file", token.to_string_lossy().into_owned())
        .set("pm_run_id", "bare");
    // A run that is terminated as soon as it has begun has written the files that both ways read.
    let folder = run.run_dir.clone();
    let runner = AnsibleRunner::new(real_ansible()?, Playbooks::locate()?);
    let mut prepared = runner.start(run).await?;
    prepared.stop_handle().terminate();
    prepared.wait().await;
    std::fs::remove_file(folder.join("stop"))?;
    let playbooks = Playbooks::locate()?;
    let log = std::fs::File::create(folder.join("bare.log"))?;
    let mut command = Command::new(runner.program());
    command
        .arg("-i")
        .arg(folder.join("inventory.json"))
        .arg("-e")
        .arg(format!("@{}", folder.join("variables.json").display()))
        .args(["--forks", &forks.to_string()])
        .arg(playbooks.folder().join("patch-ubuntu.yml"))
        .env("ANSIBLE_COLLECTIONS_PATH", playbooks.folder().join("collections"))
        .env("LC_ALL", "C.UTF-8")
        .stdout(log)
        .stderr(Stdio::null());
    let began = Instant::now();
    let status = tokio::task::spawn_blocking(move || command.status()).await??;
    let seconds = began.elapsed().as_secs_f64();
    let said = || std::fs::read_to_string(folder.join("bare.log")).unwrap_or_default();
    ensure!(status.success(), "the bare command ended with {status}: {}", said());
    Ok(seconds)
}
