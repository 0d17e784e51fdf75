//! Kernels of dpkg systems: the name of each package contains the version and the flavour of its kernel.

use crate::inventory::InstalledPackage;
use crate::version::{Packaging, Version};

use super::{Found, Installed, KernelUnknown, Running, newest_of, no_package};

/// Packages that contain the kernel itself: Debian and Ubuntu, then Proxmox.
const IMAGE_PREFIXES: [&str; 4] = ["linux-image-", "linux-image-unsigned-", "proxmox-kernel-", "pve-kernel-"];

/// Other packages whose names contain a kernel version: `linux-headers-6.1.0-29-amd64`.
const OTHER_PREFIXES: [&str; 8] = [
    "linux-headers-",
    "linux-modules-",
    "linux-modules-extra-",
    "linux-tools-",
    "linux-cloud-tools-",
    "linux-buildinfo-",
    "proxmox-headers-",
    "pve-headers-",
];

pub(super) fn find<'a>(running: Running<'_>, packages: &'a [InstalledPackage]) -> Found<'a> {
    let Some((release, flavour)) = split_version(running.release) else { return no_package(running.release) };
    let kernels: Vec<Installed<'a>> = packages
        .iter()
        .filter(|package| image(&package.name).is_some_and(|(_, other)| other == flavour))
        .filter_map(|package| Installed::of(package, Packaging::Dpkg))
        .collect();
    let is_running =
        |item: &Installed<'_>| image(&item.package.name).is_some_and(|(version, _)| version == release);
    let Some(newest) = newest_of(kernels.iter()) else { return no_package(running.release) };
    // The same kernel may be installed signed and unsigned.
    if is_running(&newest) {
        return match running.build.and_then(build_version) {
            Some(built) if built < newest.version => Found::Outdated { running: None, newest },
            _ => Found::Newest(newest),
        };
    }
    match newest_of(kernels.iter().filter(|item| is_running(item))) {
        Some(current) if current.version == newest.version => Found::Newest(current),
        Some(current) => Found::Outdated { running: Some(current), newest },
        None if is_older(release, &newest) => Found::Outdated { running: None, newest },
        None => Found::Unknown(KernelUnknown::NotInstalled { running: running.release.to_owned() }),
    }
}

/// Whether a kernel whose package is gone is older, by the versions in the names.
fn is_older(release: &str, newest: &Installed<'_>) -> bool {
    let parse = |text: &str| Version::parse(Packaging::Dpkg, text).ok();
    let other = image(&newest.package.name).and_then(|(version, _)| parse(version));
    parse(release).zip(other).is_some_and(|(running, newest)| running < newest)
}

/// Debian's kernels name the version of their package, which may change under the same name:
/// `#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1 (2024-11-22)`.
fn build_version(build: &str) -> Option<Version> {
    let version = build.split_once(" Debian ")?.1.split_whitespace().next()?;
    Version::parse(Packaging::Dpkg, version).ok()
}

/// Kernel version and flavour of a package that contains a kernel.
fn image(name: &str) -> Option<(&str, &str)> {
    IMAGE_PREFIXES.iter().find_map(|prefix| {
        let (version, flavour) = split_version(name.strip_prefix(prefix)?)?;
        // Proxmox and Debian mark in the name whether the image is signed.
        let flavour =
            flavour.strip_suffix("-signed").or_else(|| flavour.strip_suffix("-unsigned")).unwrap_or(flavour);
        Some((version, flavour))
    })
}

/// Whether the name contains the version of one kernel: `linux-image-6.1.0-29-amd64`, `linux-headers-5.15.0-91`,
/// `linux-modules-nvidia-535-5.15.0-91-generic`, but not `linux-image-amd64`, `linux-kbuild-6.1` or `proxmox-kernel-6.8`.
pub(in crate::matching) fn has_version_in_name(name: &str) -> bool {
    let is_of_kernel = ["linux-", "proxmox-kernel-", "proxmox-headers-", "pve-kernel-", "pve-headers-"];
    if !is_of_kernel.iter().any(|start| name.starts_with(start)) {
        return false;
    }
    let mut parts = name.split('-').skip(1).peekable();
    while let Some(part) = parts.next() {
        let numbers =
            part.split(['.', '+']).take_while(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        // A third number, and what follows it, make it the version of one kernel instead of a line of kernels.
        if numbers.count() >= 3 && parts.peek().is_some() {
            return true;
        }
    }
    false
}

/// The name without the kernel's version, so that `linux-image-6.1.0-29-amd64` and `linux-image-6.1.0-31-amd64` are
/// versions of the same thing. Other names are returned as they are.
pub(in crate::matching) fn group(name: &str) -> String {
    let found = IMAGE_PREFIXES.iter().chain(&OTHER_PREFIXES).find_map(|prefix| {
        let (_, flavour) = split_version(name.strip_prefix(prefix)?)?;
        Some(format!("{prefix}*{flavour}"))
    });
    found.unwrap_or_else(|| name.to_owned())
}

/// Kernel images are signed in a separate source that repacks the kernel's, at the version of the image; advisories name
/// the kernel's: `linux-signed-amd64` of Debian is `linux`, `linux-signed-aws` of Ubuntu is `linux-aws`.
pub(in crate::matching) fn signed_source(source: &str) -> Option<String> {
    match source.strip_prefix("linux-signed")? {
        "" | "-amd64" | "-arm64" | "-i386" => Some("linux".to_owned()),
        flavour if flavour.starts_with('-') => Some(format!("linux{flavour}")),
        _ => None,
    }
}

/// `6.1.0-29-amd64` is version `6.1.0-29`, flavour `amd64`; `6.1.0-29-cloud-amd64` is flavour `cloud-amd64`;
/// `6.6.51+rpt-rpi-2712` is version `6.6.51+rpt`, flavour `rpi-2712`; `6.1.0-29-686-pae` is flavour `686-pae`.
fn split_version(text: &str) -> Option<(&str, &str)> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut end = 0;
    for (place, part) in text.split_inclusive('-').enumerate() {
        let is_flavour = matches!(part.trim_end_matches('-'), "686" | "4kc" | "5kc")
            && (place > 1 || text[..end].contains('+'));
        if is_flavour || !part.starts_with(|c: char| c.is_ascii_digit()) {
            break;
        }
        end += part.len();
    }
    Some((text[..end].trim_end_matches('-'), &text[end..]))
}
