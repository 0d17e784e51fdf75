//! Whether a fix of an RPM module applies to a package.
//!
//! A module offers the same packages in parallel streams; a host follows one stream, and the package manager hides
//! the builds of all others, whatever their versions. So versions may be compared only within one stream:
//!
//! 1. Neither is modular: versions decide.
//! 2. The installed package is modular, the fix is not: no match, the package manager hides plain builds of
//!    packages that an enabled stream provides.
//! 3. The fix is modular, the installed package is not: no match, unless the host's facts say that a stream of
//!    the fix is enabled.
//! 4. Both are modular: the stream of the package's label must be one that the fix is for. OSV has no field for it;
//!    titles name it (`nodejs:20 security update`). If a side is not named, the version of the package that gives the
//!    module its name must belong to the other side's stream; if that does not decide either, it is a match with a
//!    rule of its own, because a missed fix is worse than a false alarm.

use crate::advisory::{Advisory, AffectedPackage};
use crate::inventory::{HostFacts, InstalledPackage};
use crate::module_stream::{ModuleStream, is_modular};
use crate::version::{Packaging, Version};

use super::installed::Installed;
use super::rule::Rule;

/// The rule by which versions may be compared; `None` when they may not.
pub(super) fn rule(
    facts: &HostFacts,
    installed: &[Installed<'_>],
    package: &InstalledPackage,
    advisory: &Advisory,
    affected: &AffectedPackage,
) -> Option<Rule> {
    let fix_is_modular = affected.fixed.as_deref().is_some_and(is_modular);
    let package_is_modular = package.module.is_some() || is_modular(&package.version);
    let enabled = || affected.modules.iter().find(|stream| facts.enabled_modules.contains(stream)).cloned();
    match (fix_is_modular, package_is_modular, &package.module) {
        (false, false, _) => Some(Rule::Version(Packaging::Rpm)),
        (false, true, _) => None,
        (true, false, _) => enabled().map(Rule::ModuleStream),
        (true, true, Some(label)) if affected.modules.is_empty() => {
            fits_advisory(label, advisory, affected).then_some(Rule::ModuleStreamUnproven)
        }
        (true, true, Some(label)) => {
            affected.modules.contains(label).then(|| Rule::ModuleStream(label.clone()))
        }
        (true, true, None) if affected.modules.is_empty() => Some(Rule::ModuleStreamUnproven),
        (true, true, None) if !facts.enabled_modules.is_empty() => enabled().map(Rule::ModuleStream),
        (true, true, None) => {
            let fits = affected.modules.iter().any(|stream| fits_host(stream, installed));
            fits.then_some(Rule::ModuleStreamUnproven)
        }
    }
}

/// Whether the advisory's own build of the module's main package can belong to the host's stream.
fn fits_advisory(label: &ModuleStream, advisory: &Advisory, affected: &AffectedPackage) -> bool {
    let mut answers = advisory
        .affected
        .iter()
        .filter(|other| other.os == affected.os && other.package == label.name)
        .filter_map(|other| Version::parse(Packaging::Rpm, other.fixed.as_deref()?).ok())
        .filter_map(|version| label.holds_version(version.upstream()))
        .peekable();
    answers.peek().is_none() || answers.any(|fits| fits)
}

/// Whether the host's own build of the module's main package can belong to the fix's stream.
fn fits_host(stream: &ModuleStream, installed: &[Installed<'_>]) -> bool {
    let main_package = installed.iter().find(|item| item.package.name == stream.name);
    main_package.and_then(|item| stream.holds_version(item.version.upstream())).unwrap_or(true)
}
