//! Recognises the form of an inventory by its content.

use crate::feed::FeedError;
use crate::os::OsRelease;

use super::{ReadInventory, listed, read_tsv, sbom, sbom_xml, spdx};
use crate::version::Packaging;

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
    /// Rows of osquery's `deb_packages` or `rpm_packages`.
    Osquery,
    /// Wazuh's answer about the packages of an agent.
    Wazuh,
}

impl InventoryFormat {
    /// Whether the content says which release the host runs.
    pub fn names_release(self) -> bool {
        match self {
            Self::CycloneDx | Self::CycloneDxXml | Self::Spdx | Self::SpdxTagValue | Self::Spdx3 => true,
            Self::Tsv | Self::Osquery | Self::Wazuh => false,
        }
    }

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
            b'{' if has(b"\"affected_items\"") => Some(Self::Wazuh),
            b'{' if has(b"\"snapshot\"") && has(b"\"version\"") => Some(Self::Osquery),
            b'[' if has(b"\"name\"") && has(b"\"version\"") => Some(Self::Osquery),
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
    let of_release = |read: fn(&[u8], Packaging) -> Result<ReadInventory, FeedError>| {
        let os = os.ok_or_else(|| {
            FeedError::Malformed(
                "it does not contain the OS release; state which one the host runs".to_owned(),
            )
        })?;
        read(bytes, os.packaging()).map(|read| ReadInventory { os: Some(os.clone()), ..read })
    };
    match format {
        InventoryFormat::Tsv => of_release(|bytes, packaging| read_tsv(bytes, packaging)),
        InventoryFormat::Osquery => of_release(listed::read_osquery),
        InventoryFormat::Wazuh => of_release(listed::read_wazuh),
        InventoryFormat::CycloneDx => sbom::read_cyclonedx(bytes, os),
        InventoryFormat::Spdx => sbom::read_spdx(bytes, os),
        InventoryFormat::CycloneDxXml => sbom_xml::read_cyclonedx_xml(bytes, os),
        InventoryFormat::SpdxTagValue => spdx::read_tag_value(bytes, os),
        InventoryFormat::Spdx3 => spdx::read_spdx_3(bytes, os),
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
            (b"[{\"arch\":\"x86_64\",\"name\":\"bash\",\"version\":\"5\"", Some(InventoryFormat::Osquery)),
            (b"{\"snapshot\":[{\"name\":\"bash\",\"version\":\"5\"", Some(InventoryFormat::Osquery)),
            (b"{\"data\":{\"affected_items\":[", Some(InventoryFormat::Wazuh)),
            (b"[{\"ci_id\":\"web-1\"}]", None),
            (b"{\"ci_id\":\"web-1\"}", None),
            (b"adduser\t3.134\tall\n", Some(InventoryFormat::Tsv)),
            (b"#name\tinstalled\n", Some(InventoryFormat::Tsv)),
            (b"", None),
        ] {
            assert_eq!(InventoryFormat::recognise(content), expected, "{}", String::from_utf8_lossy(content));
        }
    }
}
