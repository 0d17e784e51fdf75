//! Kernels: several are installed in parallel, and the running one may not be the newest.

use crate::inventory::Inventory;
use crate::version::Packaging;

use super::installed::Installed;

/// Packages that contain the kernel itself, the most specific first: if both are installed, `kernel` is only a name for
/// `kernel-core`.
const RPM_KERNELS: [&str; 10] = [
    "kernel-core",
    "kernel-rt-core",
    "kernel-64k-core",
    "kernel-debug-core",
    "kernel-uek-core",
    "kernel-uek",
    "kernel-rt",
    "kernel-default",
    "kernel-azure",
    "kernel",
];

/// Packages of dpkg systems whose names contain a kernel version: `linux-image-6.1.0-29-amd64`.
const DPKG_KERNEL_PREFIXES: [&str; 8] = [
    "linux-image-",
    "linux-image-unsigned-",
    "linux-headers-",
    "linux-modules-",
    "linux-modules-extra-",
    "linux-tools-",
    "linux-cloud-tools-",
    "linux-buildinfo-",
];

/// The running and the newest installed kernel, if they differ and both are still installed.
pub(super) fn running_and_newest(inventory: &Inventory) -> Option<(Installed<'_>, Installed<'_>)> {
    let found = find(inventory, inventory.facts.running_kernel.as_deref()?)?;
    found.running.filter(|_| found.pending).map(|running| (running, found.newest))
}

/// The name without the kernel's version, so that `linux-image-6.1.0-29-amd64` and `linux-image-6.1.0-31-amd64` are
/// versions of the same thing. Other names are returned as they are.
pub(super) fn dpkg_group(name: &str) -> String {
    match split_dpkg_kernel(name) {
        Some((prefix, _, flavour)) => format!("{prefix}*{flavour}"),
        None => name.to_owned(),
    }
}

/// Kernel images are signed in a separate source that repacks the kernel's, at the version of the image; advisories name
/// the kernel's: `linux-signed-amd64` of Debian is `linux`, `linux-signed-aws` of Ubuntu is `linux-aws`.
pub(super) fn signed_source(source: &str) -> Option<String> {
    match source.strip_prefix("linux-signed")? {
        "" | "-amd64" | "-arm64" | "-i386" => Some("linux".to_owned()),
        flavour if flavour.starts_with('-') => Some(format!("linux{flavour}")),
        _ => None,
    }
}

struct Kernels<'a> {
    /// `None` when the package of the running kernel has been removed.
    running: Option<Installed<'a>>,
    newest: Installed<'a>,
    pending: bool,
}

fn find<'a>(inventory: &'a Inventory, running: &str) -> Option<Kernels<'a>> {
    match inventory.facts.packaging() {
        Packaging::Rpm => find_rpm(inventory, running),
        Packaging::Dpkg => find_dpkg(inventory, running),
    }
}

fn find_rpm<'a>(inventory: &'a Inventory, running: &str) -> Option<Kernels<'a>> {
    let version = rpm_running_version(running);
    let kernels: Vec<Installed<'a>> = inventory
        .packages
        .iter()
        .filter(|package| RPM_KERNELS.contains(&package.name.as_str()))
        .filter_map(|package| Installed::of(package, Packaging::Rpm))
        .collect();
    let rank = |item: &Installed<'_>| RPM_KERNELS.iter().position(|name| *name == item.package.name);
    let runs = |item: &&Installed<'_>| {
        let installed =
            item.package.version.split_once(':').map_or(item.package.version.as_str(), |(_, rest)| rest);
        // SUSE's release has one number more than its kernel reports.
        installed == version || installed.strip_prefix(version).is_some_and(|rest| rest.starts_with('.'))
    };
    let current = kernels.iter().filter(runs).min_by_key(|item| rank(item)).cloned();
    // The running flavour, or the most specific installed one if its package is gone.
    let name =
        current.as_ref().or_else(|| kernels.iter().min_by_key(|item| rank(item)))?.package.name.as_str();
    let newest = newest_of(kernels.iter().filter(|item| item.package.name == name))?;
    let pending = match &current {
        Some(current) => current.version < newest.version,
        None => true,
    };
    Some(Kernels { running: current, newest, pending })
}

/// `5.14.0-70.13.1.el9_0.x86_64+rt` is version `5.14.0-70.13.1.el9_0`, `5.3.18-59.37-default` is `5.3.18-59.37`.
fn rpm_running_version(running: &str) -> &str {
    let running = running.split('+').next().unwrap_or(running);
    let running =
        running.strip_suffix("-default").or_else(|| running.strip_suffix("-azure")).unwrap_or(running);
    match running.rsplit_once('.') {
        Some((version, "x86_64" | "aarch64" | "ppc64le" | "s390x" | "i686" | "riscv64")) => version,
        _ => running,
    }
}

fn find_dpkg<'a>(inventory: &'a Inventory, running: &str) -> Option<Kernels<'a>> {
    let (_, flavour) = split_version(running)?;
    let kernels: Vec<Installed<'a>> = inventory
        .packages
        .iter()
        .filter(|package| {
            split_dpkg_kernel(&package.name)
                .is_some_and(|(prefix, _, other)| prefix.starts_with("linux-image-") && other == flavour)
        })
        .filter_map(|package| Installed::of(package, Packaging::Dpkg))
        .collect();
    let version_in_name = |item: &Installed<'_>| {
        split_dpkg_kernel(&item.package.name).map(|(_, version, _)| version.to_owned())
    };
    let running_version = split_version(running).map(|(version, _)| version.to_owned());
    let current = kernels.iter().find(|item| version_in_name(item) == running_version).cloned();
    let newest = newest_of(kernels.iter())?;
    let pending = version_in_name(&newest) != running_version;
    Some(Kernels { running: current, newest, pending })
}

fn newest_of<'i, 'a: 'i>(items: impl Iterator<Item = &'i Installed<'a>>) -> Option<Installed<'a>> {
    items
        .fold(None, |newest: Option<&Installed<'a>>, item| match newest {
            Some(newest) if newest.version >= item.version => Some(newest),
            _ => Some(item),
        })
        .cloned()
}

/// Prefix, kernel version and flavour of a package name.
fn split_dpkg_kernel(name: &str) -> Option<(&'static str, &str, &str)> {
    DPKG_KERNEL_PREFIXES.iter().find_map(|prefix| {
        let (version, flavour) = split_version(name.strip_prefix(prefix)?)?;
        Some((*prefix, version, flavour))
    })
}

/// `6.1.0-29-amd64` is version `6.1.0-29`, flavour `amd64`; `6.1.0-29-cloud-amd64` is flavour `cloud-amd64`.
fn split_version(text: &str) -> Option<(&str, &str)> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut end = 0;
    for part in text.split_inclusive('-') {
        if !part.starts_with(|c: char| c.is_ascii_digit()) {
            break;
        }
        end += part.len();
    }
    Some((text[..end].trim_end_matches('-'), &text[end..]))
}
