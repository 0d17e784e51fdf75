//! CycloneDX as XML, versions 1.4 to 1.7: the same components as in JSON. Document types are refused, so that nothing expands or is
//! loaded while it is read.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::feed::FeedError;
use crate::os::OsRelease;

use super::ReadInventory;
use super::sbom::{Component, add_component, collect};

/// Elements of real files go some ten deep; components may contain components.
const MAX_DEPTH: usize = 64;
const MAX_COMPONENTS: usize = 500_000;

pub(super) fn read_cyclonedx_xml(bytes: &[u8], os: Option<&OsRelease>) -> Result<ReadInventory, FeedError> {
    let text = std::str::from_utf8(crate::feed::without_byte_order_mark(bytes))
        .map_err(|_| malformed("the SBOM is not UTF-8; convert it"))?;
    let mut reader = Reader::from_str(text);
    let mut document = Document::default();
    loop {
        let event =
            reader.read_event().map_err(|error| malformed(&format!("the XML cannot be read: {error}")))?;
        match event {
            Event::Start(element) => document.start(&element)?,
            Event::Empty(element) => {
                document.start(&element)?;
                document.end();
            }
            Event::End(_) => document.end(),
            Event::Text(text) => document.text.push_str(&text.xml10_content()),
            Event::CData(text) => document.text.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                document.text.push_str(&crate::feed::updateinfo::resolve(&reference))
            }
            Event::DocType(_) => {
                return Err(malformed("the SBOM has a document type, which none needs; it is not read"));
            }
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Eof if document.open.is_empty() && document.met_root => break,
            Event::Eof => return Err(malformed("the SBOM ends in the middle of the XML")),
        }
    }
    let mut parts = Vec::new();
    for component in document.found {
        add_component(component, &mut parts);
    }
    collect(parts, os)
}

fn malformed(text: &str) -> FeedError {
    FeedError::Malformed(text.to_owned())
}

#[derive(Default)]
struct Document {
    met_root: bool,
    /// Names of the open elements, outermost first.
    open: Vec<String>,
    /// The components that are open, and their depths.
    components: Vec<(usize, Component)>,
    found: Vec<Component>,
    /// The name of the property that is open.
    property: Option<String>,
    text: String,
}

impl Document {
    fn start(&mut self, element: &BytesStart<'_>) -> Result<(), FeedError> {
        let name = element.local_name().as_ref().to_owned();
        if !self.met_root && name != "bom" {
            return Err(malformed("the input is not a CycloneDX document; its root must be `<bom>`"));
        }
        self.met_root = true;
        if self.open.len() == MAX_DEPTH || self.found.len() == MAX_COMPONENTS {
            return Err(malformed("the SBOM is nested too deeply, or has too many components"));
        }
        let attribute = |wanted: &str| {
            let mut attributes = element.attributes().flatten();
            let found = attributes.find(|attribute| attribute.key.local_name().as_ref() == wanted)?;
            found.normalized_value(XmlVersion::Implicit1_0).ok().map(|value| value.into_owned())
        };
        self.text.clear();
        match name.as_str() {
            "component" => {
                let mut component = Component::default();
                component.r#type = attribute("type");
                self.components.push((self.open.len(), component));
            }
            "property" => self.property = attribute("name"),
            _ => {}
        }
        self.open.push(name);
        Ok(())
    }

    fn end(&mut self) {
        let name = self.open.pop().unwrap_or_default();
        let text = std::mem::take(&mut self.text).trim().to_owned();
        let depth = self.open.len();
        let property = if name == "property" { self.property.take() } else { None };
        let Some((own_depth, component)) = self.components.last_mut() else { return };
        if name == "component" && depth == *own_depth {
            self.found.extend(self.components.pop().map(|(_, component)| component));
            return;
        }
        if let Some(property) = property {
            component.add_property(property, text);
            return;
        }
        if depth != *own_depth + 1 {
            return;
        }
        match name.as_str() {
            "name" => component.name = text,
            "version" => component.version = Some(text),
            "purl" => component.purl = Some(text),
            "publisher" => component.publisher = Some(text),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sbom(version: &str) -> String {
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<bom xmlns="http://cyclonedx.org/schema/bom/{version}" version="1"><metadata><component type="container"><name>host</name>
  <licenses><license><name>not the name</name></license></licenses></component></metadata>
<components>
  <component type="operating-system"><name>debian</name><version>12</version></component>
  <component type="library"><publisher>Debian</publisher><name>libssl3</name><version>3.0.15-1</version>
    <purl>pkg:deb/debian/libssl3@3.0.15-1?arch=amd64&amp;distro=debian-12</purl>
    <properties><property name="aquasecurity:trivy:SrcName">openssl</property><property name="aquasecurity:trivy:SrcVersion">3.0.15-1</property></properties>
    <components><component type="library"><name>inner</name><purl>PKG:DEB/debian/inner@1-1?arch=amd64&amp;upstream=outer</purl></component></components>
  </component>
  <component type="library"><name>left-pad</name><version>1</version><purl>pkg:npm/left-pad@1</purl></component>
  <component type="library"><name>unknown</name></component>
</components></bom>"#
        )
    }

    #[test]
    fn every_version_is_read() {
        for version in ["1.4", "1.5", "1.6", "1.7"] {
            let read = read_cyclonedx_xml(sbom(version).as_bytes(), None).unwrap();
            assert_eq!(read.os.unwrap().to_string(), "debian:12");
            let mut told: Vec<_> = read
                .packages
                .iter()
                .map(|one| {
                    (one.name.as_str(), one.version.as_str(), one.source_name(), one.vendor.as_deref())
                })
                .collect();
            told.sort_unstable();
            assert_eq!(
                told,
                [("inner", "1-1", "outer", None), ("libssl3", "3.0.15-1", "openssl", Some("Debian"))]
            );
            assert_eq!(read.refused.len(), 1, "{:?}", read.refused);
        }
    }

    #[test]
    fn hostile_xml_is_refused() {
        let deep = format!("<bom>{}", "<component>".repeat(1000));
        for text in [
            "",
            "<bom>",
            "<html></html>",
            "<bom><component></bom>",
            &deep,
            "<!DOCTYPE bom [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><bom>&x;</bom>",
        ] {
            assert!(read_cyclonedx_xml(text.as_bytes(), None).is_err(), "{}", &text[..text.len().min(60)]);
        }
    }
}
