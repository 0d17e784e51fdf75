//! What playbooks write about single hosts, and how a scan's part becomes an observation.

use std::path::Path;

use advisories::{
    OsRelease,
    reboot::{self, RebootFacts},
};
use api_types::patch::{Inventory, InventoryPackage, UnreadPackage};
use domain::{ids::CiId, package::RepositoryAnswer, restart::StaleServices};
use patch_compliance::app::observation::{self, Observation};
use serde::{Deserialize, de::DeserializeOwned};

use crate::App;

/// Several times what a host with 10,000 packages returns.
const MOST_HOST_BYTES: u64 = 32 << 20;

/// What the playbook writes about one host.
#[derive(Deserialize)]
struct ScanOutput {
    os: String,
    #[serde(default)]
    kernel: Option<String>,
    #[serde(default)]
    boot_id: Option<String>,
    /// A model host reports this instead of facts.
    #[serde(default)]
    reboot_pending: bool,
    #[serde(default)]
    reboot_facts: Option<RebootFacts>,
    #[serde(default)]
    stale_services: StaleServices,
    /// What the package manager said; a model host has none.
    #[serde(default)]
    repositories: Option<RepositoryAnswer>,
    /// Only real hosts have them.
    #[serde(default)]
    repository_urls: Vec<String>,
    #[serde(default)]
    enabled_modules: Vec<String>,
    packages: Vec<InventoryPackage>,
    #[serde(default)]
    unread: Vec<UnreadPackage>,
}

/// What a playbook wrote about one host.
pub(super) async fn read_host_file<T: DeserializeOwned>(folder: &Path, id: &CiId) -> Result<T, String> {
    let path = folder.join(format!("{id}.json"));
    let most = || format!("the playbook returned more than {} MiB for this host", MOST_HOST_BYTES >> 20);
    match tokio::fs::metadata(&path).await {
        Err(_) => return Err("the playbook returned nothing for this host".to_owned()),
        Ok(file) if file.len() > MOST_HOST_BYTES => return Err(most()),
        Ok(_) => {}
    }
    let bytes = tokio::fs::read(&path).await.map_err(|error| format!("cannot read its result: {error}"))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("cannot read its result: {error}"))
}

/// The observation, and the operating system as the tag `os` names it.
pub(super) async fn read_result(
    app: &App,
    folder: &Path,
    id: &CiId,
    scan_id: &str,
) -> Result<(Observation, String), String> {
    let found: ScanOutput = read_host_file(folder, id).await?;
    let os = found.os.clone();
    let is_container = found.reboot_facts.as_ref().is_some_and(|facts| facts.container.is_some());
    let reboot_pending = match &found.reboot_facts {
        Some(facts) => {
            let release: OsRelease = os.parse().map_err(|error| format!("`/os` {error}"))?;
            reboot::judge(release.packaging(), facts).is_needed()
        }
        None => found.reboot_pending,
    };
    let inventory = Inventory {
        ci_id: id.clone(),
        scan_id: Some(scan_id.to_owned()),
        os: found.os,
        // The default is this machine's clock, with which it is compared.
        collected_at: None,
        boot_id: found.boot_id,
        // The kernel that a container names is that of its host.
        running_kernel: found.kernel.filter(|kernel| !kernel.is_empty() && !is_container),
        reboot_pending,
        stale_services: found.stale_services,
        repositories: found.repositories,
        channels: Vec::new(),
        repository_urls: found.repository_urls,
        enabled_modules: found.enabled_modules,
        packages: found.packages,
        unread: found.unread,
    };
    observation::observe(inventory, app.clock.now())
        .map(|observation| (observation, os))
        .map_err(|(pointer, reason)| format!("`{pointer}` {reason}"))
}
