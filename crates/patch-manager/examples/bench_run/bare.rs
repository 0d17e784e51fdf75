//! The bare `ansible-playbook` command on the hosts of a platform that runs nothing.

use std::{path::Path, process::Stdio, time::Instant};

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
    let prepared = AnsibleRunner::new(real_ansible()?, Playbooks::locate()?).prepare_by_hand(&run)?;
    let log = prepared.folder().join("bare.log");
    let mut command = prepared.command();
    command.stdout(std::fs::File::create(&log)?).stderr(Stdio::null());
    let began = Instant::now();
    let status = tokio::task::spawn_blocking(move || command.status()).await??;
    let seconds = began.elapsed().as_secs_f64();
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    ensure!(status.success(), "the bare command ended with {status}: {}", said());
    Ok(seconds)
}
