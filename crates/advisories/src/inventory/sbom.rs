//! Inventories as SBOMs: CycloneDX and SPDX 2 in JSON, as scanners write them of hosts and images. Packages are identified
//! by package URLs; those that are not of the distribution (`pkg:npm/...`) are left out.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::feed::list::List;
use crate::feed::{FeedError, RecordError};
use crate::inventory::InstalledPackage;
use crate::os::{Distribution, OsRelease};
use crate::purl::PackageUrl;
use crate::version::{Packaging, Version};

use super::ReadInventory;

#[derive(Deserialize)]
struct CycloneDx {
    metadata: Option<Metadata>,
    #[serde(default)]
    components: List<Component, 500_000>,
}

#[derive(Deserialize)]
struct Metadata {
    component: Option<Component>,
}

#[derive(Default, Deserialize)]
pub(super) struct Component {
    pub r#type: Option<String>,
    #[serde(default)]
    pub name: String,
    pub version: Option<String>,
    pub purl: Option<String>,
    supplier: Option<Supplier>,
    pub publisher: Option<String>,
    #[serde(default)]
    properties: List<Property, 1000>,
    #[serde(default)]
    components: List<Component, 500_000>,
}

impl Component {
    pub(super) fn add_property(&mut self, name: String, value: String) {
        self.properties.0.push(Property { name, value: Some(value) });
    }
}

#[derive(Default, Deserialize)]
struct Supplier {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Property {
    #[serde(default)]
    name: String,
    value: Option<String>,
}

#[derive(Deserialize)]
struct Spdx {
    #[serde(default)]
    packages: List<SpdxPackage, 500_000>,
}

#[derive(Deserialize)]
struct SpdxPackage {
    #[serde(default)]
    name: String,
    #[serde(rename = "versionInfo")]
    version: Option<String>,
    #[serde(rename = "primaryPackagePurpose")]
    purpose: Option<String>,
    /// `built package from: openssl 3.0.15-1~deb12u1`.
    #[serde(rename = "sourceInfo")]
    source: Option<String>,
    /// `Organization: Red Hat, Inc.`
    supplier: Option<String>,
    #[serde(rename = "externalRefs", default)]
    references: List<Reference, 1000>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "referenceType")]
    kind: Option<String>,
    #[serde(rename = "referenceLocator")]
    locator: Option<String>,
}

/// The fields of one part that all formats have.
#[derive(Default)]
pub(super) struct Part {
    pub is_os: bool,
    /// An installed program, not a file or the host itself.
    pub is_library: bool,
    pub name: String,
    pub version: Option<String>,
    pub purl: Option<String>,
    /// Source package, with its version if it differs.
    pub source: Option<(String, Option<String>)>,
    pub vendor: Option<String>,
}

pub(super) fn read_cyclonedx(bytes: &[u8], os: Option<&OsRelease>) -> Result<ReadInventory, FeedError> {
    let document: CycloneDx = parse(bytes, "CycloneDX")?;
    let mut parts = Vec::new();
    let described = document.metadata.and_then(|metadata| metadata.component);
    for component in described.into_iter().chain(document.components.0) {
        add_component(component, &mut parts);
    }
    collect(parts, os)
}

/// SPDX 2.2 and 2.3.
pub(super) fn read_spdx(bytes: &[u8], os: Option<&OsRelease>) -> Result<ReadInventory, FeedError> {
    let document: Spdx = parse(bytes, "SPDX")?;
    let parts = document.packages.0.into_iter().map(|package| {
        let purl =
            package.references.0.into_iter().find(|reference| reference.kind.as_deref() == Some("purl"));
        Part {
            is_os: package.purpose.as_deref() == Some("OPERATING-SYSTEM"),
            is_library: package.purpose.as_deref() == Some("LIBRARY"),
            name: package.name,
            version: package.version,
            purl: purl.and_then(|reference| reference.locator),
            source: package.source.as_deref().and_then(built_from),
            vendor: package.supplier.as_deref().and_then(organization),
        }
    });
    collect(parts.collect(), os)
}

pub(super) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8], format: &str) -> Result<T, FeedError> {
    let bytes = crate::feed::without_byte_order_mark(bytes);
    serde_json::from_slice(bytes)
        .map_err(|error| FeedError::Malformed(format!("the input is not a {format} document: {error}")))
}

/// The JSON parser limits the depth of components.
pub(super) fn add_component(component: Component, parts: &mut Vec<Part>) {
    let property = |ending: &str| {
        let found = component.properties.0.iter().find(|property| property.name.ends_with(ending));
        found.and_then(|property| property.value.clone()).filter(|value| !value.is_empty())
    };
    let source = property(":SrcName").map(|name| {
        let version = property(":SrcVersion").map(|version| {
            let version = match property(":SrcRelease") {
                Some(release) => format!("{version}-{release}"),
                None => version,
            };
            with_epoch(version, property(":SrcEpoch").as_deref())
        });
        (name, version)
    });
    parts.push(Part {
        is_os: component.r#type.as_deref() == Some("operating-system"),
        is_library: component.r#type.as_deref() == Some("library"),
        name: component.name,
        version: component.version,
        purl: component.purl,
        source,
        vendor: component.supplier.and_then(|supplier| supplier.name).or(component.publisher),
    });
    for inner in component.components.0 {
        add_component(inner, parts);
    }
}

/// A person may have built a package for the distribution, so only an organization is a vendor.
pub(super) fn organization(supplier: &str) -> Option<String> {
    Some(supplier.strip_prefix("Organization:")?.trim().to_owned())
}

pub(super) fn built_from(text: &str) -> Option<(String, Option<String>)> {
    let mut words = text.strip_prefix("built package from: ")?.split_whitespace();
    Some((words.next()?.to_owned(), words.next().map(str::to_owned)))
}

fn with_epoch(version: String, epoch: Option<&str>) -> String {
    match epoch {
        Some(epoch) if !epoch.trim_start_matches('0').is_empty() && !version.contains(':') => {
            format!("{epoch}:{version}")
        }
        _ => version,
    }
}

pub(super) fn collect(parts: Vec<Part>, os: Option<&OsRelease>) -> Result<ReadInventory, FeedError> {
    let os = os.cloned().or_else(|| os_of(&parts)).ok_or_else(|| {
        FeedError::Malformed(
            "the SBOM does not name a known OS release; state which one the host runs".to_owned(),
        )
    })?;
    let mut inventory = ReadInventory { os: Some(os.clone()), ..ReadInventory::default() };
    for (position, part) in parts.into_iter().enumerate() {
        match installed(part, os.packaging()) {
            Some(Ok(package)) => inventory.packages.push(package),
            Some(Err(reason)) => {
                inventory.refused.push(RecordError::new(format!("component {}", position + 1), reason))
            }
            None => {}
        }
    }
    // Scanners name a package once for each place in which they found it.
    let mut seen = std::collections::BTreeSet::new();
    inventory.packages.retain(|one| seen.insert((one.name.clone(), one.version.clone(), one.arch.clone())));
    match inventory.packages.len() {
        count if count > super::MAX_PACKAGES => {
            Err(FeedError::Malformed(format!("the SBOM has more than {} packages", super::MAX_PACKAGES)))
        }
        _ => Ok(inventory),
    }
}

/// The operating system is a part of its own, or else the one that most packages name.
fn os_of(parts: &[Part]) -> Option<OsRelease> {
    let release = |name: &str, version: &str| {
        OsRelease::new(Distribution::from_name(&name.to_ascii_lowercase())?, version).ok()
    };
    let mut told = parts.iter().filter(|part| part.is_os);
    if let Some(os) = told.find_map(|part| release(&part.name, part.version.as_deref()?)) {
        return Some(os);
    }
    let mut counts: BTreeMap<OsRelease, usize> = BTreeMap::new();
    for part in parts {
        let purl = part.purl.as_deref().and_then(|purl| purl.parse::<PackageUrl>().ok());
        if let Some(os) = purl.and_then(|purl| purl.os()) {
            *counts.entry(os).or_default() += 1;
        }
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(os, _)| os)
}

/// `None` if it is not a package of the distribution.
fn installed(part: Part, packaging: Packaging) -> Option<Result<InstalledPackage, String>> {
    let Some(text) = part.purl else {
        // It may be a package of the distribution.
        return part.is_library.then(|| Err(format!("`{}` has no package URL", part.name)));
    };
    let kind = match packaging {
        Packaging::Rpm => "rpm",
        Packaging::Dpkg => "deb",
    };
    let purl: PackageUrl = match text.parse() {
        Ok(purl) => purl,
        // Of the languages' packages nothing is read.
        Err(_) if is_of_other_kind(&text) => return None,
        Err(error) => return Some(Err(format!("{error}"))),
    };
    if purl.kind != kind {
        return None;
    }
    // Sources that were scanned are not installed.
    if matches!(purl.qualifier("arch"), Some("src" | "source")) {
        return None;
    }
    let vendor = part.vendor.filter(|vendor| !vendor.trim().is_empty());
    Some(package(&purl, part.source, packaging).map(|package| InstalledPackage { vendor, ..package }))
}

/// Whether a package URL that cannot be read is of another packaging system.
fn is_of_other_kind(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    let kind = text.strip_prefix("pkg:").and_then(|rest| rest.trim_start_matches('/').split('/').next());
    kind.is_some_and(|kind| kind != "rpm" && kind != "deb")
}

fn package(
    purl: &PackageUrl,
    told_source: Option<(String, Option<String>)>,
    packaging: Packaging,
) -> Result<InstalledPackage, String> {
    let version = match packaging {
        Packaging::Rpm => purl.rpm_version(),
        Packaging::Dpkg => purl.dpkg_version(),
    };
    let version = version.ok_or_else(|| format!("`{}` has no version", purl.name))?;
    Version::parse(packaging, &version).map_err(|error| format!("{}: {error}", purl.name))?;
    let mut package = InstalledPackage::new(purl.name.clone(), version);
    package.arch = purl.qualifier("arch").map(str::to_owned);
    package.module =
        purl.qualifier("rpmmod").or(purl.qualifier("modularitylabel")).and_then(|label| label.parse().ok());
    let source = told_source
        .or_else(|| purl.qualifier("upstream").map(|upstream| upstream_of(upstream, &package.version)));
    if let Some((name, version)) = source {
        package.source_version = version
            .filter(|version| *version != package.version && Version::parse(packaging, version).is_ok());
        package.source_name = Some(name).filter(|name| *name != package.name && !name.is_empty());
    }
    Ok(package)
}

/// `bash-5.1.8-9.el9.src.rpm`, `gcc-12@12.2.0-14`, or only the name.
fn upstream_of(upstream: &str, version: &str) -> (String, Option<String>) {
    if let Some((name, source_version)) = super::tsv::source_rpm(upstream, version) {
        return (name, source_version);
    }
    match upstream.split_once('@') {
        Some((name, version)) => (name.to_owned(), Some(version.to_owned())),
        None => (upstream.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CYCLONEDX: &str = r#"{"bomFormat":"CycloneDX","specVersion":"1.5","components":[
        {"type":"operating-system","name":"almalinux","version":"9.4"},
        {"type":"library","name":"openssl-libs","version":"3.0.7-24.el9","purl":"pkg:rpm/almalinux/openssl-libs@3.0.7-24.el9?arch=x86_64&epoch=1&upstream=openssl-3.0.7-24.el9.src.rpm"},
        {"type":"library","name":"left-pad","version":"1","purl":"pkg:npm/left-pad@1"},
        {"type":"library","name":"perl-libs","purl":"pkg:rpm/almalinux/perl-libs@5.32.1?arch=x86_64","properties":[
            {"name":"aquasecurity:trivy:SrcName","value":"perl"},{"name":"aquasecurity:trivy:SrcVersion","value":"5.32.1"},{"name":"aquasecurity:trivy:SrcEpoch","value":"4"}]},
        {"type":"library","name":"x","purl":"pkg:rpm/almalinux/x"},{"type":"library","name":"y","version":"1"},{"type":"file","name":"z"}]}"#;

    #[test]
    fn cyclonedx_names_os_and_packages() {
        let read = read_cyclonedx(CYCLONEDX.as_bytes(), None).unwrap();
        assert_eq!(read.os.unwrap().to_string(), "almalinux:9");
        assert_eq!((read.packages.len(), read.refused.len()), (2, 2));
        assert_eq!(read.refused[1].to_string(), "component 6: `y` has no package URL");
        let openssl = &read.packages[0];
        assert_eq!((openssl.version.as_str(), openssl.source_name()), ("1:3.0.7-24.el9", "openssl"));
        assert_eq!(openssl.source_version(), "1:3.0.7-24.el9");
        assert_eq!((read.packages[1].source_name(), read.packages[1].source_version()), ("perl", "4:5.32.1"));
    }

    #[test]
    fn spdx_names_the_os_through_its_packages() {
        let text = r#"{"spdxVersion":"SPDX-2.3","packages":[
            {"name":"libssl3","versionInfo":"3.0.15-1~deb12u1","sourceInfo":"built package from: openssl 3.0.15-1~deb12u1",
             "externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:deb/debian/libssl3@3.0.15-1~deb12u1?arch=amd64&distro=debian-12"}]},
            {"name":"libgcc-s1","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:deb/debian/libgcc-s1@12.2.0-14?arch=amd64&distro=debian-12&upstream=gcc-12%4012.2.0-14"}]},
            {"name":"g++","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:deb/debian/g%2B%2B@12.2.0-3?arch=amd64&epoch=4"}]},
            {"name":"no purl"}]}"#;
        let read = read_spdx(text.as_bytes(), None).unwrap();
        assert_eq!(read.os.unwrap().to_string(), "debian:12");
        let told: Vec<_> = read
            .packages
            .iter()
            .map(|one| (one.name.as_str(), one.version.as_str(), one.source_name()))
            .collect();
        assert_eq!(
            told,
            [
                ("libssl3", "3.0.15-1~deb12u1", "openssl"),
                ("libgcc-s1", "12.2.0-14", "gcc-12"),
                ("g++", "4:12.2.0-3", "g++")
            ]
        );
    }

    #[test]
    fn input_without_an_os_or_that_is_not_an_sbom_is_refused() {
        for text in ["", "{}", "[]", r#"{"components":{}}"#, r#"{"components":[{"components":[{"x"#] {
            assert!(read_cyclonedx(text.as_bytes(), None).is_err(), "{text}");
            assert!(read_spdx(text.as_bytes(), None).is_err(), "{text}");
        }
        let os = "debian:12".parse().unwrap();
        assert_eq!(read_spdx(b"{}", Some(&os)).unwrap().packages.len(), 0);
    }
}
