//! Recognises the form of an inventory by its content.

use crate::feed::FeedError;
use crate::os::OsRelease;

use super::{ReadInventory, read_tsv, sbom, sbom_xml, spdx};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InventoryFormat {
    /// Lines of `rpm -qa` or `dpkg-query -W` with a query format, or with a first line that names the columns.
    Tsv,
    CycloneDx,
    CycloneDxXml,
    /// SPDX 2.2 and 2.3 in JSON.
    Spdx,
    /// SPDX 2.2 and 2.3 as tags and values.
    SpdxTagValue,
    /// SPDX 3.0 in JSON-LD.
    Spdx3,
}

impl InventoryFormat {
    /// `None` for other JSON, which may be the platform's own form. `beginning` may be only a part of it.
    pub fn recognise(beginning: &[u8]) -> Option<Self> {
        let text = crate::feed::without_byte_order_mark(beginning).trim_ascii_start();
        let has = |wanted: &[u8]| text.windows(wanted.len()).any(|window| window == wanted);
        match text.first()? {
            b'{' if has(b"\"bomFormat\"") && has(b"CycloneDX") => Some(Self::CycloneDx),
            b'{' if has(b"\"spdxVersion\"") => Some(Self::Spdx),
            b'{' if has(b"spdx.org/rdf/3") => Some(Self::Spdx3),
            b'<' if has(b"cyclonedx.org/schema/bom") => Some(Self::CycloneDxXml),
            b'S' if text.starts_with(b"SPDXVersion:") => Some(Self::SpdxTagValue),
            b'#' if has(b"\nSPDXVersion:") => Some(Self::SpdxTagValue),
            b'{' | b'[' | b'<' => None,
            _ => Some(Self::Tsv),
        }
    }
}

/// Reads an inventory of any form. `os` is needed for lines, which do not contain it; it overrides that of an SBOM.
pub fn read_inventory(
    bytes: &[u8],
    format: InventoryFormat,
    os: Option<&OsRelease>,
) -> Result<ReadInventory, FeedError> {
    match (format, os) {
        (InventoryFormat::Tsv, Some(os)) => {
            read_tsv(bytes, os.packaging()).map(|read| ReadInventory { os: Some(os.clone()), ..read })
        }
        (InventoryFormat::Tsv, None) => Err(FeedError::Malformed(
            "the lines do not contain the OS release; state which one the host runs".to_owned(),
        )),
        (InventoryFormat::CycloneDx, os) => sbom::read_cyclonedx(bytes, os),
        (InventoryFormat::CycloneDxXml, os) => sbom_xml::read_cyclonedx_xml(bytes, os),
        (InventoryFormat::Spdx, os) => sbom::read_spdx(bytes, os),
        (InventoryFormat::SpdxTagValue, os) => spdx::read_tag_value(bytes, os),
        (InventoryFormat::Spdx3, os) => spdx::read_spdx_3(bytes, os),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_recognised_by_content() {
        for (content, expected) in [
            (&b"{\"bomFormat\": \"CycloneDX\"}"[..], Some(InventoryFormat::CycloneDx)),
            (b"{\"spdxVersion\":\"SPDX-2.3\"", Some(InventoryFormat::Spdx)),
            (
                b"{\"@context\":\"https://spdx.org/rdf/3.0.1/spdx-context.jsonld\"",
                Some(InventoryFormat::Spdx3),
            ),
            (b"SPDXVersion: SPDX-2.3\n", Some(InventoryFormat::SpdxTagValue)),
            (b"# made by x\nSPDXVersion: SPDX-2.2\n", Some(InventoryFormat::SpdxTagValue)),
            (
                b"<?xml version=\"1.0\"?>\n<bom xmlns=\"http://cyclonedx.org/schema/bom/1.6\">",
                Some(InventoryFormat::CycloneDxXml),
            ),
            (b"{\"ci_id\":\"web-1\"}", None),
            (b"adduser\t3.134\tall\n", Some(InventoryFormat::Tsv)),
            (b"#name\tinstalled\n", Some(InventoryFormat::Tsv)),
            (b"", None),
        ] {
            assert_eq!(InventoryFormat::recognise(content), expected, "{}", String::from_utf8_lossy(content));
        }
    }
}
