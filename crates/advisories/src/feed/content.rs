//! Which feed a file belongs to, told by its content: names of files say nothing reliable.

/// The feeds that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedKind {
    /// The `all.zip` of an OSV ecosystem.
    OsvArchive,
    /// One OSV record, or one a line.
    Osv,
    KevJson,
    KevCsv,
    EpssCsv,
}

/// How much of a file is enough to recognise it, in bytes.
pub const PREFIX_BYTES: usize = 64 * 1024;

const BYTE_ORDER_MARK: &[u8] = &[0xEF, 0xBB, 0xBF];

/// Recognises a feed by the first [`PREFIX_BYTES`] of it; `None` when it is none of those known.
pub fn recognise(prefix: &[u8]) -> Option<FeedKind> {
    let prefix = &prefix[..prefix.len().min(PREFIX_BYTES)];
    if prefix.starts_with(b"PK\x03\x04") || prefix.starts_with(b"PK\x05\x06") {
        return Some(FeedKind::OsvArchive);
    }
    let text = without_byte_order_mark(prefix).trim_ascii_start();
    if text.starts_with(b"{") {
        return recognise_json(text);
    }
    let first_line = |text: &[u8]| text.split(|b| *b == b'\n').next().map(<[u8]>::to_ascii_lowercase);
    if text.starts_with(b"#model_version:") {
        return Some(FeedKind::EpssCsv);
    }
    let header = first_line(text)?;
    if header.starts_with(b"cveid,") {
        return Some(FeedKind::KevCsv);
    }
    header.starts_with(b"cve,epss").then_some(FeedKind::EpssCsv)
}

pub(super) fn without_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// The keys of the outermost object decide. They are looked for at depth one only, so that a text which
/// mentions a key does not mislead.
fn recognise_json(text: &[u8]) -> Option<FeedKind> {
    let mut met_id = false;
    for key in (OuterKeys { text, at: 0, depth: 0 }) {
        match key {
            b"catalogVersion" | b"dateReleased" | b"vulnerabilities" => return Some(FeedKind::KevJson),
            // A CSAF document; read by another reader.
            b"document" => return None,
            b"affected" | b"schema_version" | b"modified" => return Some(FeedKind::Osv),
            b"id" => met_id = true,
            _ => {}
        }
    }
    met_id.then_some(FeedKind::Osv)
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
    /// Moves behind the closing quote.
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
    fn feeds_are_told_by_content() {
        for (content, expected) in [
            (&b"PK\x03\x04rest"[..], Some(FeedKind::OsvArchive)),
            (b"{\"id\":\"ALSA-2026:1\",\"affected\":[]}", Some(FeedKind::Osv)),
            (b"\xEF\xBB\xBF{\n \"schema_version\": \"1.6.0\"", Some(FeedKind::Osv)),
            (b"{\"title\":\"t\",\"catalogVersion\":\"2025.08.25\"", Some(FeedKind::KevJson)),
            (b"{\"document\":{\"id\":\"x\",\"affected\":1}}", None),
            (b"{\"other\":{\"id\":\"ALSA\"}}", None),
            (b"cveID,vendorProject,product", Some(FeedKind::KevCsv)),
            (b"#model_version:v2025.03.14,score_date:2025-12-26", Some(FeedKind::EpssCsv)),
            (b"cve,epss\nCVE-2020-5902,0.6", Some(FeedKind::EpssCsv)),
            (b"", None),
            (b"{\"id\\", None),
            (b"<updates>", None),
        ] {
            assert_eq!(recognise(content), expected, "{}", String::from_utf8_lossy(content));
        }
    }
}
