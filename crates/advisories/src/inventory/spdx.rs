//! The other forms of SPDX: 2.2 and 2.3 as lines of tags and values, and 3.0 as JSON-LD.

use std::collections::HashMap;

use serde_json::Value;

use crate::feed::FeedError;
use crate::os::OsRelease;

use super::ReadInventory;
use super::sbom::{Part, built_from, collect, organization, parse};

/// Elements of one document.
const MAX_ELEMENTS: usize = 1_000_000;

/// `PackageName: openssl` starts a package; a value may go over several lines between `<text>` and `</text>`.
pub(super) fn read_tag_value(bytes: &[u8], os: Option<&OsRelease>) -> Result<ReadInventory, FeedError> {
    let text = std::str::from_utf8(crate::feed::without_byte_order_mark(bytes))
        .map_err(|_| FeedError::Malformed("the SBOM is not UTF-8; convert it".to_owned()))?;
    let mut parts: Vec<Part> = Vec::new();
    let (mut in_text, mut in_package) = (false, false);
    for line in text.lines() {
        let is_continued = in_text;
        in_text = match (line.rfind("<text>"), line.rfind("</text>")) {
            (Some(start), Some(end)) => start > end,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => in_text,
        };
        if is_continued || line.starts_with('#') {
            continue;
        }
        let Some((tag, value)) = line.split_once(':') else { continue };
        let value = value.trim().trim_start_matches("<text>").trim_end_matches("</text>").trim();
        match tag.trim() {
            "PackageName" => {
                if parts.len() == MAX_ELEMENTS {
                    return Err(too_many());
                }
                in_package = true;
                parts.push(Part { name: value.to_owned(), ..Part::default() });
                continue;
            }
            // What follows describes something else.
            "FileName" | "SnippetSPDXID" | "LicenseID" => in_package = false,
            _ => {}
        }
        let Some(part) = parts.last_mut().filter(|_| in_package) else { continue };
        match tag.trim() {
            "PackageVersion" => part.version = Some(value.to_owned()),
            "PackageSupplier" => part.vendor = organization(value),
            "PackageSourceInfo" => part.source = built_from(value),
            "PrimaryPackagePurpose" => {
                (part.is_os, part.is_library) = (value == "OPERATING-SYSTEM", value == "LIBRARY");
            }
            // `PACKAGE-MANAGER purl pkg:...`
            "ExternalRef" => {
                let mut words = value.split_whitespace().skip(1);
                if words.next() == Some("purl") {
                    part.purl = part.purl.take().or_else(|| words.next().map(str::to_owned));
                }
            }
            _ => {}
        }
    }
    if parts.is_empty() {
        return Err(FeedError::Malformed("the SBOM has no packages (`PackageName:`)".to_owned()));
    }
    collect(parts, os)
}

/// `@graph` has elements of many types; packages are `software_Package`.
pub(super) fn read_spdx_3(bytes: &[u8], os: Option<&OsRelease>) -> Result<ReadInventory, FeedError> {
    let document: Value = parse(bytes, "SPDX 3.0")?;
    let graph = document.get("@graph").and_then(Value::as_array).ok_or_else(|| {
        FeedError::Malformed("the input is not an SPDX 3.0 document: it has no `@graph`".to_owned())
    })?;
    if graph.len() > MAX_ELEMENTS {
        return Err(too_many());
    }
    let id = |element: &Value| ["spdxId", "@id"].iter().find_map(|key| text(element, key));
    let is = |element: &Value, wanted: &str| {
        let kind = ["type", "@type"].iter().find_map(|key| text(element, key));
        kind.is_some_and(|kind| kind.rsplit('/').next() == Some(wanted))
    };
    let names: HashMap<String, String> = graph
        .iter()
        .filter(|element| is(element, "Organization"))
        .filter_map(|element| Some((id(element)?, text(element, "name")?)))
        .collect();
    let packages = graph.iter().filter(|element| is(element, "software_Package") || is(element, "Package"));
    let parts = packages.map(|element| {
        let purpose = text(element, "software_primaryPurpose").unwrap_or_default();
        let supplier = text(element, "suppliedBy").or_else(|| {
            let first = element.get("suppliedBy")?.as_array()?.first()?;
            first.as_str().map(str::to_owned)
        });
        Part {
            is_os: purpose.eq_ignore_ascii_case("operatingSystem"),
            is_library: purpose.eq_ignore_ascii_case("library"),
            name: text(element, "name").unwrap_or_default(),
            version: text(element, "software_packageVersion"),
            purl: purl_of(element),
            source: text(element, "software_sourceInfo").as_deref().and_then(built_from),
            vendor: supplier.and_then(|supplier| names.get(&supplier).cloned()),
        }
    });
    collect(parts.collect(), os)
}

/// In a field of its own, or as an external identifier.
fn purl_of(element: &Value) -> Option<String> {
    text(element, "software_packageUrl").or_else(|| {
        let identifiers = ["externalIdentifier", "externalIdentifiers"]
            .iter()
            .find_map(|key| element.get(*key)?.as_array())?;
        let mut purls = identifiers.iter().filter(|one| {
            text(one, "externalIdentifierType").is_some_and(|kind| kind.eq_ignore_ascii_case("packageUrl"))
        });
        purls.find_map(|one| text(one, "identifier"))
    })
}

fn text(element: &Value, key: &str) -> Option<String> {
    element.get(key)?.as_str().map(str::to_owned)
}

fn too_many() -> FeedError {
    FeedError::Malformed(format!("the SBOM has more than {MAX_ELEMENTS} elements"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAGS: &str = "SPDXVersion: SPDX-2.3\nDataLicense: CC0-1.0\nDocumentComment: <text>PackageName: not\none</text>\n\n\
        ##### Package: openssl-libs\nPackageName: openssl-libs\nSPDXID: SPDXRef-1\nPackageVersion: 1:3.0.7-24.el9\n\
        PackageSupplier: Organization: Rocky Enterprise Software Foundation\nPackageSourceInfo: <text>built package from: openssl 1:3.0.7-24.el9</text>\n\
        ExternalRef: SECURITY cpe23Type cpe:2.3:a:x\nExternalRef: PACKAGE-MANAGER purl pkg:rpm/rocky/openssl-libs@3.0.7-24.el9?arch=x86_64&epoch=1&distro=rocky-9.4\n\n\
        PackageName: rocky\nPackageVersion: 9.4\nPrimaryPackagePurpose: OPERATING-SYSTEM\n\n\
        FileName: ./x\nPackageVersion: 7\n\n\
        PackageName: left-pad\nExternalRef: PACKAGE-MANAGER purl pkg:npm/left-pad@1\n\
        Relationship: SPDXRef-DOCUMENT DESCRIBES SPDXRef-1\n";

    #[test]
    fn tags_and_values_are_read() {
        let read = read_tag_value(TAGS.as_bytes(), None).unwrap();
        assert_eq!(read.os.unwrap().to_string(), "rocky:9");
        assert_eq!((read.packages.len(), read.refused.len()), (1, 0));
        let package = &read.packages[0];
        assert_eq!((package.version.as_str(), package.source_name()), ("1:3.0.7-24.el9", "openssl"));
        assert_eq!(package.vendor.as_deref(), Some("Rocky Enterprise Software Foundation"));
        assert!(read_tag_value(b"SPDXVersion: SPDX-2.3\n", None).is_err());
    }

    #[test]
    fn version_3_is_read() {
        let text = r#"{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld","@graph":[
            {"type":"Organization","spdxId":"urn:o","name":"Debian"},
            {"type":"software_Package","spdxId":"urn:1","name":"libssl3","software_packageVersion":"3.0.15-1","suppliedBy":"urn:o",
             "software_sourceInfo":"built package from: openssl 3.0.15-1","software_packageUrl":"pkg:deb/debian/libssl3@3.0.15-1?distro=debian-12"},
            {"type":"software_Package","spdxId":"urn:2","name":"zlib1g","externalIdentifier":[
               {"externalIdentifierType":"cpe23","identifier":"cpe:2.3:a:x"},
               {"externalIdentifierType":"packageUrl","identifier":"pkg:deb/debian/zlib1g@1.2.13-1?distro=bookworm&upstream=zlib&epoch=1"}]},
            {"type":"software_Package","name":"tool","software_primaryPurpose":"library"},
            {"type":"software_File","name":"x"}]}"#;
        let read = read_spdx_3(text.as_bytes(), None).unwrap();
        assert_eq!(read.os.unwrap().to_string(), "debian:12");
        let told: Vec<_> = read
            .packages
            .iter()
            .map(|one| (one.name.as_str(), one.version.as_str(), one.source_name(), one.vendor.as_deref()))
            .collect();
        assert_eq!(
            told,
            [("libssl3", "3.0.15-1", "openssl", Some("Debian")), ("zlib1g", "1:1.2.13-1", "zlib", None)]
        );
        assert_eq!(read.refused.len(), 1);
        for text in ["", "{}", "[]", r#"{"@graph":{}}"#] {
            assert!(read_spdx_3(text.as_bytes(), None).is_err(), "{text}");
        }
    }
}
