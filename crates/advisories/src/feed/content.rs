//! Recognises a feed by its content, because file names are not reliable.

/// The feeds that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedKind {
    /// A zip of many documents: the `all.zip` of an OSV ecosystem, a vendor's folder of CSAF.
    Archive,
    /// A tar of many documents, mostly compressed: `csaf.tar.bz2`.
    Tar,
    /// One OSV record, or one a line.
    Osv,
    /// One CSAF document: an advisory, or VEX.
    Csaf,
    UpdateInfo,
    DebianTracker,
    DebianList,
    DebianSources,
    DebianTable,
    KevJson,
    KevCsv,
    EpssCsv,
    Nvd,
}

impl FeedKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Archive => "zip",
            Self::Tar => "tar",
            Self::Osv => "osv",
            Self::Csaf => "csaf",
            Self::UpdateInfo => "updateinfo",
            Self::DebianTracker => "debian-tracker",
            Self::DebianList => "debian-list",
            Self::DebianSources => "debian-sources",
            Self::DebianTable => "debian-table",
            Self::KevJson => "kev-json",
            Self::KevCsv => "kev-csv",
            Self::EpssCsv => "epss-csv",
            Self::Nvd => "nvd",
        }
    }

    /// Whether it names fixed packages, not only CVEs.
    pub fn has_advisories(self) -> bool {
        !matches!(self, Self::KevJson | Self::KevCsv | Self::EpssCsv | Self::Nvd)
    }
}

/// The number of bytes that is enough to recognise a file.
pub const PREFIX_BYTES: usize = 64 * 1024;

const BYTE_ORDER_MARK: &[u8] = &[0xEF, 0xBB, 0xBF];

/// Recognises a feed by its first [`PREFIX_BYTES`]; `None` if it is not a known feed.
pub fn recognise(prefix: &[u8]) -> Option<FeedKind> {
    let prefix = &prefix[..prefix.len().min(PREFIX_BYTES)];
    if prefix.starts_with(b"PK\x03\x04") || prefix.starts_with(b"PK\x05\x06") {
        return Some(FeedKind::Archive);
    }
    // The magic of a tar is in the header of its first entry.
    if prefix.get(257..262) == Some(b"ustar") {
        return Some(FeedKind::Tar);
    }
    let text = without_byte_order_mark(prefix).trim_ascii_start();
    match text.first()? {
        b'{' => recognise_json(text),
        b'<' => contains(text, b"<updates").then_some(FeedKind::UpdateInfo),
        b'[' => is_debian_list(text).then_some(FeedKind::DebianList),
        _ => recognise_lines(text),
    }
}

fn recognise_lines(text: &[u8]) -> Option<FeedKind> {
    let header = text.split(|b| *b == b'\n').next()?.to_ascii_lowercase();
    if text.starts_with(b"#model_version:") || header.starts_with(b"cve,epss") {
        return Some(FeedKind::EpssCsv);
    }
    if header.starts_with(b"cveid,") {
        return Some(FeedKind::KevCsv);
    }
    if header.starts_with(b"#source\t") {
        return Some(FeedKind::DebianTable);
    }
    let is_index = text.starts_with(b"Package: ") || text.starts_with(b"Format: ");
    (is_index && contains(text, b"\nVersion: ") && contains(text, b"\nDirectory: "))
        .then_some(FeedKind::DebianSources)
}

/// `[05 Sep 2026] DSA-...`, which is not JSON.
fn is_debian_list(text: &[u8]) -> bool {
    let line = text.split(|b| *b == b'\n').next().unwrap_or_default();
    [&b"] DSA-"[..], b"] DLA-", b"] DTSA-", b"] ELA-"].iter().any(|mark| contains(line, mark))
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

pub(crate) fn without_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// The keys of the outermost object decide. Only depth one is searched, so that a text that mentions a key does not
/// mislead.
fn recognise_json(text: &[u8]) -> Option<FeedKind> {
    let mut met_id = false;
    for key in (OuterKeys { text, at: 0, depth: 0 }) {
        match key {
            b"catalogVersion" | b"dateReleased" => return Some(FeedKind::KevJson),
            b"resultsPerPage" | b"totalResults" => return Some(FeedKind::Nvd),
            b"document" => return Some(FeedKind::Csaf),
            b"affected" | b"schema_version" | b"modified" => return Some(FeedKind::Osv),
            // Three formats have such a list; its first entry distinguishes them, unless another key does.
            b"vulnerabilities" if contains(text, b"\"cveID\"") => return Some(FeedKind::KevJson),
            b"vulnerabilities" if contains(text, b"\"product_status\"") => return Some(FeedKind::Csaf),
            b"vulnerabilities" if contains(text, b"\"descriptions\"") => return Some(FeedKind::Nvd),
            b"id" => met_id = true,
            _ => {}
        }
    }
    if met_id {
        return Some(FeedKind::Osv);
    }
    // A source, an issue of it, and the releases that it is in.
    let is_tracker = contains(text, b"\"releases\"") && contains(text, b"\"repositories\"");
    is_tracker.then_some(FeedKind::DebianTracker)
}

struct OuterKeys<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Iterator for OuterKeys<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while let Some(byte) = self.text.get(self.at) {
            self.at += 1;
            match byte {
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                b'"' => {
                    let start = self.at;
                    self.skip_string();
                    let content = self.text.get(start..self.at.saturating_sub(1))?;
                    let rest = self.text.get(self.at..)?.trim_ascii_start();
                    if self.depth == 1 && rest.starts_with(b":") {
                        return Some(content);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

impl OuterKeys<'_> {
    /// Moves past the closing quote.
    fn skip_string(&mut self) {
        while let Some(byte) = self.text.get(self.at) {
            self.at += 1;
            match byte {
                b'\\' => self.at += 1,
                b'"' => return,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feeds_are_recognised_by_content() {
        for (content, expected) in [
            (&b"PK\x03\x04rest"[..], Some(FeedKind::Archive)),
            (b"{\"id\":\"ALSA-2026:1\",\"affected\":[]}", Some(FeedKind::Osv)),
            (b"\xEF\xBB\xBF{\n \"schema_version\": \"1.6.0\"", Some(FeedKind::Osv)),
            (b"{\"title\":\"t\",\"catalogVersion\":\"2025.08.25\"", Some(FeedKind::KevJson)),
            (b"{\"document\":{\"id\":\"x\",\"affected\":1}}", Some(FeedKind::Csaf)),
            (b"{\"other\":{\"id\":\"ALSA\"}}", None),
            (b"cveID,vendorProject,product", Some(FeedKind::KevCsv)),
            (b"#model_version:v2025.03.14,score_date:2025-12-26", Some(FeedKind::EpssCsv)),
            (b"cve,epss\nCVE-2020-5902,0.6", Some(FeedKind::EpssCsv)),
            (b"", None),
            (b"{\"id\\", None),
            (b"<?xml version=\"1.0\"?>\n<updates>", Some(FeedKind::UpdateInfo)),
            (b"<html>", None),
            (b"{\"resultsPerPage\":1,\"vulnerabilities\":[", Some(FeedKind::Nvd)),
            (
                b"{\"vulnerabilities\":[{\"cve\":{\"id\":\"CVE-2026-90001\",\"descriptions\":[",
                Some(FeedKind::Nvd),
            ),
            (
                b"{\"aom\":{\"CVE-2026-90001\":{\"releases\":{\"bookworm\":{\"repositories\":{",
                Some(FeedKind::DebianTracker),
            ),
            (b"[05 Sep 2026] DSA-9001-1 aom - security update\n", Some(FeedKind::DebianList)),
            (b"[{\"id\":1}]", None),
            (b"Package: aom\nBinary: a\nVersion: 1\nDirectory: pool\n", Some(FeedKind::DebianSources)),
            (b"#source\tversion\tdistribution\n", Some(FeedKind::DebianTable)),
        ] {
            assert_eq!(recognise(content), expected, "{}", String::from_utf8_lossy(content));
        }
    }
}
