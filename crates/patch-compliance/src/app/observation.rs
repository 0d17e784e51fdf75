//! Observations: checked inventories of hosts.

use std::cmp::Ordering;

use advisories::{
    HostFacts, InstalledPackage, Inventory, OsRelease, UnreadPackage, Version,
    inventory::{SecurityOffer, missing_sources},
    matching::kernel::{self, KernelState, Running},
    module_stream::ModuleStream,
};
use api_types::patch::{Inventory as PushedInventory, InventoryPackage};
use chrono::{DateTime, Utc};
use domain::{
    ids::CiId,
    package::RepositoryAnswer,
    restart::{StaleService, StaleServices},
    text::{has_hidden, is_hidden},
};
use service_kit::clock;

use crate::store::dictionary::ContentDigest;

/// Maximum number of packages of a host; real hosts have less than a tenth of it.
const MAX_PACKAGES: usize = 20_000;
/// The same for channels, repositories and module streams.
const MAX_FACTS: usize = 1000;
/// Deleted files that are kept of a service.
const MOST_FILES: usize = 10;

/// The state of a host at one time.
#[derive(Debug, Clone)]
pub struct Observation {
    pub ci_id: CiId,
    pub scan_id: Option<String>,
    pub collected_at: DateTime<Utc>,
    pub reboot_pending: bool,
    /// Services that run deleted files.
    pub stale_services: StaleServices,
    pub boot_id: Option<String>,
    /// Packages that the repositories can return to the installed version.
    pub returnable: Vec<String>,
    pub inventory: Inventory,
    /// Digest of the text it was parsed from; two texts may mean the same.
    pub text: Option<ContentDigest>,
}

/// Checks an inventory. The error is the JSON pointer and the reason of the first wrong field. A package that cannot be read is kept
/// as such: the host has it, and the rest of the inventory is true without it.
pub fn observe(pushed: PushedInventory, now: DateTime<Utc>) -> Result<Observation, (String, String)> {
    let fault = |pointer: &str, reason: String| (pointer.to_owned(), reason);
    let os: OsRelease = pushed.os.parse().map_err(|error| fault("/os", format!("{error}")))?;
    let collected_at = pushed.collected_at.unwrap_or(now);
    if collected_at > now + clock::TOLERANCE {
        return Err(fault("/collected_at", "is in the future; correct the collector's clock".to_owned()));
    }
    if pushed.packages.is_empty() {
        return Err(fault("/packages", "is empty; a host always has packages".to_owned()));
    }
    for (pointer, count) in [("/packages", pushed.packages.len()), ("/unread", pushed.unread.len())] {
        if count > MAX_PACKAGES {
            return Err(fault(pointer, format!("has {count} entries, more than {MAX_PACKAGES}")));
        }
    }
    for (pointer, text) in [
        ("/scan_id", &pushed.scan_id),
        ("/boot_id", &pushed.boot_id),
        ("/running_kernel", &pushed.running_kernel),
    ] {
        if text.as_deref().is_some_and(|text| !is_plain_line(text)) {
            return Err(fault(pointer, "must be 1 to 300 characters without control characters".to_owned()));
        }
    }
    let stale_services = checked_stale_services(pushed.stale_services)?;
    let mut facts = HostFacts::new(os.clone());
    facts.running_kernel = pushed.running_kernel;
    add_channels(&mut facts, &pushed.channels, &pushed.repository_urls)?;
    facts.enabled_modules = enabled_modules(&pushed.enabled_modules)?;
    let sources = pushed.packages.iter().map(|package| (package.name.as_str(), package.source.as_deref()));
    let missing_sources = missing_sources(&facts.os, sources);
    let mut returnable: Vec<String> = pushed
        .packages
        .iter()
        .filter(|package| package.returnable)
        .map(|package| package.name.clone())
        .collect();
    returnable.sort();
    returnable.dedup();
    let security_offers = security_offers(&pushed.packages);
    let mut packages = Vec::with_capacity(pushed.packages.len());
    let mut unread: Vec<UnreadPackage> = pushed
        .unread
        .into_iter()
        .map(|one| UnreadPackage { place: plain(&one.place), reason: plain(&one.reason) })
        .collect();
    let mut first_fault = None;
    for (position, package) in pushed.packages.into_iter().enumerate() {
        let name = plain(&package.name);
        match installed(package, &os) {
            Ok(package) => packages.push(package),
            Err((field, reason)) => {
                let pointer = format!("/packages/{position}/{field}");
                unread.push(UnreadPackage {
                    place: if name.is_empty() { pointer.clone() } else { name },
                    reason: plain(&format!("its {field} {reason}")),
                });
                first_fault.get_or_insert((pointer, reason));
            }
        }
    }
    if let Some(fault) = first_fault.filter(|_| packages.is_empty()) {
        return Err(fault);
    }
    unread.extend(missing_sources);
    unread.sort();
    unread.dedup();
    facts.add_proven_channels(&packages);
    packages.sort_by(|a, b| (&a.name, &a.version, &a.arch).cmp(&(&b.name, &b.version, &b.arch)));
    packages.dedup();
    facts.security_offers = security_offers;
    facts.repositories = match pushed.repositories.unwrap_or_default() {
        RepositoryAnswer::Failed { reason } => RepositoryAnswer::Failed { reason: plain(&reason) },
        answer => answer,
    };
    let runs_old_kernel = facts.running_kernel.as_deref().is_some_and(|release| {
        let running = Running { release, build: None };
        matches!(kernel::state(facts.packaging(), running, &packages), KernelState::Outdated { .. })
    });
    Ok(Observation {
        ci_id: pushed.ci_id,
        scan_id: pushed.scan_id,
        collected_at: collected_at.min(now),
        reboot_pending: pushed.reboot_pending || runs_old_kernel,
        stale_services,
        boot_id: pushed.boot_id,
        returnable,
        inventory: Inventory { facts, packages, unread },
        text: None,
    })
}

/// Names and files are shown to people, so they have no control characters.
fn checked_stale_services(stale: StaleServices) -> Result<StaleServices, (String, String)> {
    let services = match stale {
        StaleServices::Checked { services } => services,
        StaleServices::Failed { reason } => return Ok(StaleServices::Failed { reason: plain(&reason) }),
        StaleServices::NotChecked => return Ok(StaleServices::NotChecked),
    };
    if services.len() > MAX_FACTS {
        let reason = format!("has {} entries, more than {MAX_FACTS}", services.len());
        return Err(("/stale_services/services".to_owned(), reason));
    }
    if let Some(position) = services.iter().position(|service| !is_plain_line(&service.name)) {
        let reason = "must be 1 to 300 characters without control characters".to_owned();
        return Err((format!("/stale_services/services/{position}/name"), reason));
    }
    let shown = |mut service: StaleService| {
        service.files = service.files.iter().take(MOST_FILES).map(|file| plain(file)).collect();
        service
    };
    Ok(StaleServices::Checked { services: services.into_iter().map(shown).collect() })
}

/// Channels by name, and those that the host's enabled repositories show.
fn add_channels(
    facts: &mut HostFacts,
    channels: &[String],
    repositories: &[String],
) -> Result<(), (String, String)> {
    for (pointer, count) in [("/channels", channels.len()), ("/repository_urls", repositories.len())] {
        if count > MAX_FACTS {
            return Err((pointer.to_owned(), format!("has {count} entries, more than {MAX_FACTS}")));
        }
    }
    for (position, channel) in channels.iter().enumerate() {
        facts.subscribe(channel).map_err(|error| (format!("/channels/{position}"), error.to_string()))?;
    }
    facts.add_channels_of_repositories(repositories.iter().map(String::as_str));
    Ok(())
}

fn enabled_modules(texts: &[String]) -> Result<Vec<ModuleStream>, (String, String)> {
    if texts.len() > MAX_FACTS {
        let reason = format!("has {} entries, more than {MAX_FACTS}", texts.len());
        return Err(("/enabled_modules".to_owned(), reason));
    }
    let parse = |(position, text): (usize, &String)| {
        text.parse().map_err(|error| (format!("/enabled_modules/{position}"), format!("{error}")))
    };
    let mut modules = texts.iter().enumerate().map(parse).collect::<Result<Vec<ModuleStream>, _>>()?;
    modules.sort();
    modules.dedup();
    Ok(modules)
}

fn installed(package: InventoryPackage, os: &OsRelease) -> Result<InstalledPackage, (&'static str, String)> {
    let line = |field, text: &str| {
        if is_plain_line(text) {
            Ok(())
        } else {
            Err((field, "must be 1 to 300 characters without control characters".to_owned()))
        }
    };
    let version = |field, text: &str| {
        Version::parse(os.packaging(), text).map(drop).map_err(|error| (field, error.to_string()))
    };
    line("name", &package.name)?;
    version("version", &package.version)?;
    for (field, text) in [("arch", &package.arch), ("source", &package.source)] {
        text.as_deref().map_or(Ok(()), |text| line(field, text))?;
    }
    for (field, text) in [("source_version", &package.source_version), ("candidate", &package.candidate)] {
        text.as_deref().map_or(Ok(()), |text| version(field, text))?;
    }
    for text in &package.offered {
        version("offered", text)?;
    }
    let module = package.module.as_deref().map(str::parse::<ModuleStream>).transpose();
    let module = module.map_err(|error| ("module", error.to_string()))?;
    let offered = newer_versions(os, &package.version, package.offered);
    Ok(InstalledPackage {
        // Drops values that are the same as the package's own: two ways to write one set would be two sets.
        source_name: package.source.filter(|source| *source != package.name),
        source_version: package.source_version.filter(|version| *version != package.version),
        name: package.name,
        version: package.version,
        arch: package.arch,
        module,
        held: package.held,
        candidate: package.candidate,
        offered,
        vendor: package.vendor.map(|vendor| plain(&vendor)).filter(|vendor| !vendor.is_empty()),
    })
}

fn security_offers(packages: &[InventoryPackage]) -> Vec<SecurityOffer> {
    let of = |package: &InventoryPackage| {
        let origin =
            package.candidate_origin.as_deref().filter(|origin| SecurityOffer::is_security_origin(origin))?;
        Some(SecurityOffer {
            package: plain(&package.name),
            installed: plain(&package.version),
            candidate: plain(package.candidate.as_deref()?),
            origin: plain(origin),
        })
    };
    let mut offers: Vec<SecurityOffer> = packages.iter().filter_map(of).collect();
    offers.sort_by(|a, b| (&a.package, &a.installed).cmp(&(&b.package, &b.installed)));
    offers.dedup();
    offers
}

/// The offered versions that are newer than the installed one, oldest first.
fn newer_versions(os: &OsRelease, installed: &str, offered: Vec<String>) -> Vec<String> {
    let parse = |text: &str| Version::parse(os.packaging(), text).ok();
    let Some(installed) = parse(installed) else { return Vec::new() };
    let mut newer: Vec<(Version, String)> =
        offered.into_iter().filter_map(|text| Some((parse(&text)?, text))).collect();
    newer.retain(|(version, _)| *version > installed);
    newer.sort_by(|one, other| one.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal));
    newer.dedup();
    newer.into_iter().map(|(_, text)| text).collect()
}

/// A text of a foreign tool as one line of bounded length.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !is_hidden(*c)).take(300).collect::<String>().trim().to_owned()
}

pub(crate) fn is_plain_line(text: &str) -> bool {
    (1..=300).contains(&text.len()) && !has_hidden(text)
}
