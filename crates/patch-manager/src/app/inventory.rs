//! Package inventories, pushed or scanned: checked, stored once per distinct set, evaluated.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use advisories::{HostFacts, InstalledPackage, Inventory, OsRelease, Version, module_stream::ModuleStream};
use api_types::patch::{Inventory as PushedInventory, InventoryPackage, InventoryReport, RefusedInventory};
use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::CiId;
use service_kit::{ApiError, ApiResult, Caller, audit};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::{evaluation, hosts};
use crate::{
    service::App,
    store::{
        self,
        hosts::HostScan,
        package_sets::{NewSet, StoredSet},
    },
};

/// Packages of one host at most; real ones stay below a tenth of it.
const MOST_PACKAGES: usize = 20_000;
/// How far a collector's clock may be ahead.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(5);
/// Refusals named in one report.
const REFUSALS_SHOWN: usize = 1000;

/// What somebody saw on a host.
#[derive(Debug, Clone)]
pub(crate) struct Observation {
    pub ci_id: CiId,
    pub scan_id: Option<String>,
    pub collected_at: DateTime<Utc>,
    pub reboot_pending: bool,
    pub boot_id: Option<String>,
    /// Packages that the repositories can take back to the installed version.
    pub returnable: Vec<String>,
    pub inventory: Inventory,
}

/// What became of observations.
#[derive(Debug, Default)]
pub(crate) struct Ingested {
    pub changed: u64,
    /// Seen before, or older than what is known.
    pub unchanged: u64,
    /// No active host of the CMDB.
    pub unknown: BTreeSet<CiId>,
}

/// Checks an inventory: JSON pointer and reason of the first fault.
pub(crate) fn observe(pushed: PushedInventory, now: DateTime<Utc>) -> Result<Observation, (String, String)> {
    let fault = |pointer: &str, reason: String| (pointer.to_owned(), reason);
    let os: OsRelease = pushed.os.parse().map_err(|error| fault("/os", format!("{error}")))?;
    let collected_at = pushed.collected_at.unwrap_or(now);
    if collected_at > now + CLOCK_TOLERANCE {
        return Err(fault("/collected_at", "lies in the future; set the collector's clock".to_owned()));
    }
    if pushed.packages.is_empty() {
        return Err(fault("/packages", "is empty; a host without packages was not read".to_owned()));
    }
    if pushed.packages.len() > MOST_PACKAGES {
        return Err(fault(
            "/packages",
            format!("has {} entries, more than {MOST_PACKAGES}", pushed.packages.len()),
        ));
    }
    for (pointer, text) in [
        ("/scan_id", &pushed.scan_id),
        ("/boot_id", &pushed.boot_id),
        ("/running_kernel", &pushed.running_kernel),
    ] {
        if text.as_deref().is_some_and(|text| !is_word(text)) {
            return Err(fault(pointer, "must be 1 to 300 characters without control characters".to_owned()));
        }
    }
    let mut returnable: Vec<String> = pushed
        .packages
        .iter()
        .filter(|package| package.returnable)
        .map(|package| package.name.clone())
        .collect();
    returnable.sort();
    returnable.dedup();
    let mut packages = Vec::with_capacity(pushed.packages.len());
    for (position, package) in pushed.packages.into_iter().enumerate() {
        let package = installed(package, &os)
            .map_err(|(field, reason)| (format!("/packages/{position}/{field}"), reason))?;
        packages.push(package);
    }
    packages.sort_by(|a, b| (&a.name, &a.version, &a.arch).cmp(&(&b.name, &b.version, &b.arch)));
    packages.dedup();
    let mut facts = HostFacts::new(os);
    facts.running_kernel = pushed.running_kernel;
    Ok(Observation {
        ci_id: pushed.ci_id,
        scan_id: pushed.scan_id,
        collected_at: collected_at.min(now),
        reboot_pending: pushed.reboot_pending,
        boot_id: pushed.boot_id,
        returnable,
        inventory: Inventory { facts, packages },
    })
}

fn installed(package: InventoryPackage, os: &OsRelease) -> Result<InstalledPackage, (&'static str, String)> {
    let word = |field, text: &str| match is_word(text) {
        true => Ok(()),
        false => Err((field, "must be 1 to 300 characters without control characters".to_owned())),
    };
    let version = |field, text: &str| {
        Version::parse(os.packaging(), text).map(drop).map_err(|error| (field, error.to_string()))
    };
    word("name", &package.name)?;
    version("version", &package.version)?;
    for (field, text) in [("arch", &package.arch), ("source", &package.source)] {
        text.as_deref().map_or(Ok(()), |text| word(field, text))?;
    }
    for (field, text) in [("source_version", &package.source_version), ("candidate", &package.candidate)] {
        text.as_deref().map_or(Ok(()), |text| version(field, text))?;
    }
    let module = package.module.as_deref().map(str::parse::<ModuleStream>).transpose();
    let module = module.map_err(|error| ("module", error.to_string()))?;
    Ok(InstalledPackage {
        // The same as the package's own says nothing, and two ways to say it would be two sets.
        source_name: package.source.filter(|source| *source != package.name),
        source_version: package.source_version.filter(|version| *version != package.version),
        name: package.name,
        version: package.version,
        arch: package.arch,
        module,
        held: package.held,
        candidate: package.candidate,
    })
}

fn is_word(text: &str) -> bool {
    (1..=300).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Stores observations and what follows from them. The caller holds [`store::lock_results`].
pub(crate) async fn ingest(
    conn: &mut PgConnection,
    observations: &[Observation],
    now: DateTime<Utc>,
) -> ApiResult<Ingested> {
    let mut report = Ingested::default();
    let ids: Vec<String> = observations.iter().map(|one| one.ci_id.to_string()).collect();
    let known: HashMap<String, store::hosts::Host> = store::hosts::find_hosts(conn, &ids)
        .await?
        .into_iter()
        .map(|host| (host.ci_id.clone(), host))
        .collect();
    // Of several observations of a host the newest counts.
    let mut newest: BTreeMap<i32, (&Observation, &store::hosts::Host)> = BTreeMap::new();
    for observation in observations {
        let Some(host) = known.get(observation.ci_id.as_str()) else {
            report.unknown.insert(observation.ci_id.clone());
            continue;
        };
        let is_repeated = observation.scan_id.is_some() && observation.scan_id == host.scan_id;
        if is_repeated || host.last_scanned.is_some_and(|last| observation.collected_at < last) {
            report.unchanged += 1;
            continue;
        }
        match newest.get(&host.id) {
            Some((other, _)) if other.collected_at > observation.collected_at => report.unchanged += 1,
            Some(_) => {
                report.unchanged += 1;
                newest.insert(host.id, (observation, host));
            }
            None => {
                newest.insert(host.id, (observation, host));
            }
        }
    }
    let sets = store_sets(conn, newest.values().map(|(observation, _)| &observation.inventory)).await?;
    let (mut moved, mut moved_to, mut same) = (Vec::new(), Vec::new(), Vec::new());
    for (&id, (observation, host)) in &newest {
        let set_no = sets.get(&digest(&observation.inventory)).copied();
        match set_no == host.set_no {
            true => same.push(id),
            false => {
                moved.push(id);
                moved_to.extend(set_no);
            }
        }
    }
    report.changed += moved.len() as u64;
    report.unchanged += same.len() as u64;
    let mut reckoned = store::compliance::list_refreshable(conn, &same, now).await?;
    reckoned.extend(&moved);
    store::hosts::set_package_sets(conn, &moved, &moved_to).await?;
    let scans: Vec<HostScan> =
        newest.iter().map(|(&id, (observation, _))| host_scan(id, observation)).collect();
    store::hosts::record_scans(conn, &scans).await?;
    store::compliance::recompute(conn, &reckoned, now).await?;
    Ok(report)
}

fn host_scan(host_id: i32, observation: &Observation) -> HostScan {
    HostScan {
        host_id,
        scan_id: observation.scan_id.clone(),
        scanned_at: observation.collected_at,
        reboot_pending: observation.reboot_pending,
        boot_id: observation.boot_id.clone(),
        returnable: observation.returnable.clone(),
    }
}

/// Stores and evaluates those sets that are new; gives the numbers of all by digest.
async fn store_sets<'a>(
    conn: &mut PgConnection,
    inventories: impl Iterator<Item = &'a Inventory>,
) -> ApiResult<HashMap<Vec<u8>, i32>> {
    let wanted: BTreeMap<Vec<u8>, &Inventory> =
        inventories.map(|inventory| (digest(inventory), inventory)).collect();
    let digests: Vec<Vec<u8>> = wanted.keys().cloned().collect();
    let mut numbers: HashMap<Vec<u8>, i32> =
        store::package_sets::find_sets(conn, &digests).await?.into_iter().collect();
    let mut new = Vec::new();
    for (digest, inventory) in wanted {
        if numbers.contains_key(&digest) {
            continue;
        }
        let set = NewSet {
            package_digest: package_digest(inventory),
            names: names(inventory),
            inventory: inventory.clone(),
            digest: digest.clone(),
        };
        let no = store::package_sets::insert_set(conn, &set).await?;
        numbers.insert(digest, no);
        new.push(StoredSet { no, inventory: set.inventory, names: set.names });
    }
    if !new.is_empty() {
        evaluation::evaluate(conn, &new).await?;
    }
    Ok(numbers)
}

/// Of everything that decides what a host lacks. Packages are in order, so equal hosts have equal digests.
fn digest(inventory: &Inventory) -> Vec<u8> {
    let json = serde_json::to_vec(inventory).unwrap_or_default();
    Sha256::digest(json).to_vec()
}

fn package_digest(inventory: &Inventory) -> String {
    let mut hash = Sha256::new();
    for package in &inventory.packages {
        let arch = package.arch.as_deref().unwrap_or_default();
        hash.update(format!("{}\t{}\t{arch}\n", package.name, package.version));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every name under which an advisory could speak of one of the packages.
fn names(inventory: &Inventory) -> Vec<String> {
    let mut names = BTreeSet::new();
    for package in &inventory.packages {
        names.insert(package.name.clone());
        let source = package.source_name();
        names.insert(source.to_owned());
        // Kernel images are signed in sources of their own, and advisories name the kernel's.
        if let Some(flavour) = source.strip_prefix("linux-signed") {
            names.extend(["linux".to_owned(), format!("linux{flavour}")]);
        }
    }
    names.into_iter().collect()
}

/// Takes one pushed inventory; a fault of it is the answer.
pub(crate) async fn push_inventory(
    app: &App,
    caller: &Caller,
    pushed: PushedInventory,
) -> ApiResult<InventoryReport> {
    let observation =
        observe(pushed, app.clock.now()).map_err(|(pointer, reason)| ApiError::invalid(pointer, reason))?;
    let ci_id = observation.ci_id.clone();
    let mut report = InventoryReport { read: 1, ..InventoryReport::default() };
    let unknown = push_batch(app, caller, &[(1, observation)], &mut report).await?;
    match unknown {
        true => Err(ApiError::invalid("/ci_id", format!("there is no managed host `{ci_id}` in the CMDB"))),
        false => Ok(report),
    }
}

/// Takes one batch of checked inventories with their record numbers; `true` when one of them is of no known host.
pub(crate) async fn push_batch(
    app: &App,
    caller: &Caller,
    batch: &[(u64, Observation)],
    report: &mut InventoryReport,
) -> ApiResult<bool> {
    let mut observations: Vec<Observation> = batch.iter().map(|(_, one)| one.clone()).collect();
    let mut unknown = commit(app, caller, &observations, report).await?;
    if !unknown.is_empty() {
        // Perhaps the CMDB has learnt of them since it was read last.
        hosts::try_synchronise(app).await;
        observations.retain(|one| unknown.contains(&one.ci_id));
        unknown = commit(app, caller, &observations, report).await?;
    }
    for (record, observation) in batch.iter().filter(|(_, one)| unknown.contains(&one.ci_id)) {
        refuse(report, *record, format!("there is no managed host `{}` in the CMDB", observation.ci_id));
    }
    Ok(!unknown.is_empty())
}

async fn commit(
    app: &App,
    caller: &Caller,
    observations: &[Observation],
    report: &mut InventoryReport,
) -> ApiResult<BTreeSet<CiId>> {
    let mut transaction = app.pool.begin().await?;
    store::lock_results(&mut transaction).await?;
    let ingested = ingest(&mut transaction, observations, app.clock.now()).await?;
    if ingested.changed > 0 {
        let object = match observations {
            [only] => format!("inventory/{}", only.ci_id),
            many => format!("inventory/{} hosts", many.len()),
        };
        audit::record(&mut transaction, caller, audit::Record::new("push_inventory", object)).await?;
    }
    transaction.commit().await?;
    report.changed += ingested.changed;
    report.unchanged += ingested.unchanged;
    Ok(ingested.unknown)
}

pub(crate) fn refuse(report: &mut InventoryReport, record: u64, reason: String) {
    if report.refused.len() < REFUSALS_SHOWN {
        report.refused.push(RefusedInventory { record, reason });
    }
}
