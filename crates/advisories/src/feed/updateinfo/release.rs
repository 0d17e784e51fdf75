//! The OS release of the packages of an update.
//!
//! Repositories of vendors name their distribution in the id or in the release of each update. Other repositories do not serve one
//! distribution: what their builds state by themselves counts.

use crate::feed::text::shown;
use crate::feed::vendor;
use crate::os::{Distribution, OsRelease, from_product_name, release_of_build, version_of_rpm_release};

use super::update::{Collection, Update, UpdatePackage};

/// The vendor is in the advisory's id; its release in the update, or else in the package's own release. The error states why
/// the package is not matched.
pub(super) fn os_of(
    id: &str,
    update: &Update,
    collection: &Collection,
    package: &UpdatePackage,
) -> Result<OsRelease, String> {
    let release = update.release.as_deref().unwrap_or_default();
    if is_epel(id, release) {
        return of_version(Distribution::Epel, package);
    }
    if let Some(os) = from_product_name(release) {
        return Ok(os);
    }
    match vendor::known(id).map(|(source, _)| source) {
        Some("almalinux") => of_version(Distribution::AlmaLinux, package),
        Some("amazon") => of_version(Distribution::Amazon, package),
        Some("centos") => of_version(Distribution::CentOs, package),
        Some("fedora") => of_version(Distribution::Fedora, package),
        Some("oracle") => of_version(Distribution::Oracle, package),
        Some("redhat") => of_version(Distribution::Rhel, package),
        Some("rocky") => of_version(Distribution::Rocky, package),
        Some("suse") => suse(update, collection)
            .or_else(|| release_of_build(&package.release))
            .ok_or_else(|| "packages of a product of SUSE that is not known are not matched".to_owned()),
        _ => of_other(package),
    }
}

/// EPEL's release is `Fedora EPEL 9`: it is neither Fedora nor only for RHEL.
fn is_epel(id: &str, release: &str) -> bool {
    id.starts_with("FEDORA-EPEL-")
        || release.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "EPEL")
}

fn of_version(distribution: Distribution, package: &UpdatePackage) -> Result<OsRelease, String> {
    let version = version_of_rpm_release(&package.release);
    version.and_then(|version| OsRelease::new(distribution, version).ok()).ok_or_else(|| unstated(package))
}

/// The id is of no known vendor, so the update may be of any repository.
fn of_other(package: &UpdatePackage) -> Result<OsRelease, String> {
    release_of_build(&package.release).ok_or_else(|| unstated(package))
}

fn unstated(package: &UpdatePackage) -> String {
    let build = format!("{}-{}", package.version, package.release);
    format!(
        "neither the update nor the build `{}` of `{}` states an OS release, it is not matched",
        shown(&build),
        shown(&package.name)
    )
}

/// `SLE-Module-Basesystem-15-SP3`, `SLE-SERVER 12-SP5`, `openSUSE Leap 15.5`, wherever SUSE put it.
fn suse(update: &Update, collection: &Collection) -> Option<OsRelease> {
    [update.release.as_deref(), Some(collection.name.as_str())].into_iter().flatten().find_map(|text| {
        let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').collect();
        let has = |wanted: &str| words.contains(&wanted);
        let number = |word: &&&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.len() <= 5;
        let version = words.iter().find(number)?;
        let distribution = match () {
            () if has("Backports") || has("PackageHub") || (has("Package") && has("Hub")) => {
                Distribution::PackageHub
            }
            () if has("Leap") => Distribution::OpenSuseLeap,
            () if !has("SLE") && !has("SLES") && !has("SL") => return None,
            () if has("Micro") => Distribution::SleMicro,
            () if has("HPC") && (has("LTSS") || has("ESPOS")) => Distribution::SlesHpcLtss,
            () if has("HPC") => Distribution::SlesHpc,
            () if has("SAP") => Distribution::SlesSap,
            () if has("LTSS") => Distribution::SlesLtss,
            () => Distribution::Sles,
        };
        let pack = words.iter().find_map(|word| word.strip_prefix("SP").filter(|rest| !rest.is_empty()));
        let version = pack.map_or_else(|| (*version).to_owned(), |pack| format!("{version}.{pack}"));
        OsRelease::new(distribution, &version).ok()
    })
}
