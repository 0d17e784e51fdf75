//! Whether a build for one architecture replaces an installed one of another.
//!
//! rpm and libsolv upgrade a package from `noarch` to an architecture and back, never from one architecture to another: the
//! builds for `i686` and `x86_64` are installed in parallel.

use std::collections::BTreeSet;

use crate::inventory::InstalledPackage;

use super::installed::Installed;

const NONE: &str = "noarch";
/// Each host has it for each of its architectures.
const LIBC: &str = "glibc";

/// The architectures for which a host installs packages; empty if its packages do not show it.
#[derive(Debug)]
pub(super) struct Architectures<'a>(BTreeSet<&'a str>);

impl<'a> Architectures<'a> {
    pub(super) fn of(installed: &[Installed<'a>]) -> Self {
        let of = |wanted: fn(&InstalledPackage) -> bool| {
            let packages = installed.iter().map(|item| item.package).filter(|package| wanted(package));
            packages.filter_map(|package| package.arch.as_deref()).filter(|arch| *arch != NONE).collect()
        };
        let of_libc: BTreeSet<&str> = of(shows_architecture);
        Self(if of_libc.is_empty() { of(|_| true) } else { of_libc })
    }

    /// Whether the package manager replaces the installed build with the fixed one. A build without a known architecture may
    /// replace any.
    pub(super) fn replaces(&self, fixed: Option<&str>, installed: Option<&str>) -> bool {
        match (fixed, installed) {
            (Some(fixed), Some(installed)) if fixed == installed || fixed == NONE => true,
            (Some(fixed), Some(NONE)) => self.0.is_empty() || self.0.contains(fixed),
            (Some(_), Some(_)) => false,
            (None, _) | (_, None) => true,
        }
    }
}

/// Whether the architectures of a host are read from this package.
pub fn shows_architecture(package: &InstalledPackage) -> bool {
    package.name == LIBC
}

/// Whether fixes for these architectures may be fixes of one package.
pub(super) fn are_related(a: &str, b: &str) -> bool {
    a == b || a == NONE || b == NONE
}
