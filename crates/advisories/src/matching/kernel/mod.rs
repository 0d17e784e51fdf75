//! Kernels: several are installed in parallel, and the running one may not be the newest.
//!
//! The running kernel's name, as `uname -r` prints it, decides the flavour; only packages of that flavour are compared, in the
//! order of the host's packaging system. A newer kernel of another flavour says nothing about the running one.

mod dpkg;
mod rpm;

use serde::Serialize;

use crate::inventory::{InstalledPackage, Inventory};
use crate::version::Packaging;

use super::installed::Installed;

pub(super) use dpkg::{group as dpkg_group, has_version_in_name, signed_source};

/// What is known of the kernel that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelState<'a> {
    /// It is the newest installed kernel of its flavour.
    Newest(&'a InstalledPackage),
    /// A newer one of its flavour waits for a boot. `running` is `None` when the package of the running kernel has been removed
    /// or replaced.
    Outdated {
        running: Option<&'a InstalledPackage>,
        newest: &'a InstalledPackage,
    },
    Unknown(KernelUnknown),
}

/// Why nobody can say whether the newest kernel runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum KernelUnknown {
    /// The host does not say which kernel runs.
    NotReported,
    /// No installed package is a kernel of the running flavour.
    NoPackage { running: String },
    /// The running kernel is newer than every installed package of its flavour.
    NotInstalled { running: String },
}

impl std::fmt::Display for KernelUnknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotReported => write!(f, "the host does not report its running kernel"),
            Self::NoPackage { running } => {
                write!(f, "no installed package is a kernel of the flavour that runs ({running})")
            }
            Self::NotInstalled { running } => {
                write!(f, "the running kernel {running} is newer than every installed one of its flavour")
            }
        }
    }
}

/// The kernel that runs, by its name from `uname -r` and, if known, its build from `uname -v`.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    pub release: &'a str,
    pub build: Option<&'a str>,
}

/// The one rule for kernels: whether the newest installed kernel of the running flavour runs.
pub fn state<'a>(
    packaging: Packaging,
    running: Running<'_>,
    packages: &'a [InstalledPackage],
) -> KernelState<'a> {
    match find(packaging, running, packages) {
        Found::Newest(found) => KernelState::Newest(found.package),
        Found::Outdated { running, newest } => {
            KernelState::Outdated { running: running.map(|found| found.package), newest: newest.package }
        }
        Found::Unknown(why) => KernelState::Unknown(why),
    }
}

/// The running and the newest installed kernel, if they differ and both are still installed.
pub(super) fn running_and_newest(inventory: &Inventory) -> Option<(Installed<'_>, Installed<'_>)> {
    let release = inventory.facts.running_kernel.as_deref()?;
    let running = Running { release, build: None };
    match find(inventory.facts.packaging(), running, &inventory.packages) {
        Found::Outdated { running, newest } => running.map(|running| (*running, *newest)),
        _ => None,
    }
}

enum Found<'a> {
    Newest(Box<Installed<'a>>),
    Outdated { running: Option<Box<Installed<'a>>>, newest: Box<Installed<'a>> },
    Unknown(KernelUnknown),
}

fn find<'a>(packaging: Packaging, running: Running<'_>, packages: &'a [InstalledPackage]) -> Found<'a> {
    match packaging {
        Packaging::Rpm => rpm::find(running.release, packages),
        Packaging::Dpkg => dpkg::find(running, packages),
    }
}

fn no_package<'a>(running: &str) -> Found<'a> {
    Found::Unknown(KernelUnknown::NoPackage { running: running.to_owned() })
}

fn newest_of<'i, 'a: 'i>(items: impl Iterator<Item = &'i Installed<'a>>) -> Option<Box<Installed<'a>>> {
    items
        .fold(None, |newest: Option<&Installed<'a>>, item| match newest {
            Some(newest) if newest.version >= item.version => Some(newest),
            _ => Some(item),
        })
        .cloned()
        .map(Box::new)
}
