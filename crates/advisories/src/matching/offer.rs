//! Which version brings a fix to a host, and why none does.

use domain::package::{OmitCause, RepositoryAnswer};

use crate::advisory::PackageKind;
use crate::inventory::{HostFacts, InstalledPackage};
use crate::version::{Packaging, Version};

use super::{Match, kernel};

/// The version to install for a fix. The repositories decide where they were asked; otherwise the notice is all there is.
pub fn version_to_install(facts: &HostFacts, found: &Match<'_>) -> Option<String> {
    let package = found.package;
    let packaging = facts.packaging();
    let fixed = found.fixed();
    // The fixed version of a source is not a version of its packages if their versions differ.
    let is_of_package =
        found.affected.package_kind == PackageKind::Binary || package.source_version.is_none();
    let Some(candidate) = &package.candidate else {
        let may_exist =
            facts.repositories != RepositoryAnswer::Asked && !has_versioned_name(packaging, &package.name);
        return (is_of_package && may_exist).then(|| fixed.to_owned());
    };
    if !is_of_package {
        return Some(candidate.clone());
    }
    let wanted = Version::parse(packaging, fixed).ok()?;
    let is_enough =
        |version: &&String| Version::parse(packaging, version).is_ok_and(|version| version >= wanted);
    is_enough(&candidate)
        .then(|| package.offered.iter().find(is_enough).cloned().unwrap_or_else(|| fixed.to_owned()))
}

/// Why [`version_to_install`] finds no version for a package.
pub fn why_none(facts: &HostFacts, package: &str, candidate: Option<&str>) -> OmitCause {
    match (candidate, &facts.repositories) {
        _ if has_versioned_name(facts.packaging(), package) => OmitCause::NewName,
        (Some(_), _) | (None, RepositoryAnswer::Asked) => OmitCause::NotOffered,
        (None, RepositoryAnswer::NotAsked | RepositoryAnswer::Failed { .. }) => OmitCause::NotAsked,
    }
}

/// Whether the name contains the version of a kernel, so that a newer kernel comes as another package.
pub fn has_versioned_name(packaging: Packaging, package: &str) -> bool {
    packaging == Packaging::Dpkg && kernel::has_version_in_name(package)
}

/// Whether this is a package without files that depends on the newest kernel of a line, and whose own versions are not those
/// of the kernel's source: Ubuntu's `linux-image-generic` of the source `linux-meta`, for `linux`.
pub fn is_metapackage_of(package: &InstalledPackage, kernel_source: &str) -> bool {
    let line = kernel_source.strip_prefix("linux");
    line.is_some_and(|line| package.source_name().strip_prefix("linux-meta") == Some(line))
}

/// The source of the kernel that this package belongs to, as advisories name it.
pub fn kernel_source(package: &InstalledPackage) -> String {
    kernel::signed_source(package.source_name()).unwrap_or_else(|| package.source_name().to_owned())
}

/// Whether a version of a metapackage brings the kernel that a notice names: `5.15.0.130.128` brings `5.15.0-130.140`.
pub fn brings_kernel(metapackage_version: &str, kernel_version: &str) -> bool {
    // The last number counts the uploads of the same kernel ABI.
    let Some((abi, _)) = kernel_version.rsplit_once('.') else { return false };
    let parse = |text: &str| Version::parse(Packaging::Dpkg, text).ok();
    parse(metapackage_version).zip(parse(&abi.replace('-', "."))).is_some_and(|(meta, abi)| meta >= abi)
}
