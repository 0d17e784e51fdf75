//! rpm: `[epoch:]version[-release]`, split as rpm's own parser splits it.

use std::cmp::Ordering;

use rpm_version::Evr;

/// The release is separate, because an absent one is lower than any other, even the empty one and `~`.
#[derive(Clone, Debug)]
pub(super) struct RpmVersion {
    epoch_and_version: Evr<'static>,
    release: Option<Evr<'static>>,
}

impl RpmVersion {
    pub(super) fn upstream(&self) -> &str {
        self.epoch_and_version.version()
    }

    pub(super) fn release(&self) -> &str {
        self.release.as_ref().map_or("", |release| release.version())
    }

    pub(super) fn cmp(&self, other: &Self) -> Ordering {
        self.epoch_and_version.cmp(&other.epoch_and_version).then_with(|| self.release.cmp(&other.release))
    }
}

/// The epoch is a run of digits before the first colon, any other colon belongs to the version; the release
/// starts after the last hyphen. rpm compares whatever characters it is given, so only strings that could not
/// be stored as a version are refused.
pub(super) fn parse(text: &str) -> Result<RpmVersion, &'static str> {
    let text = text.trim_matches([' ', '\t']);
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.chars().any(|c| c.is_control() || c == ' ') {
        return Err("it contains a space or control character");
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (epoch, rest) = match text.as_bytes().get(digits) {
        Some(b':') => (&text[..digits], &text[digits + 1..]),
        _ => ("", text),
    };
    if rest.is_empty() {
        return Err("nothing follows the epoch");
    }
    let epoch = epoch.trim_start_matches('0');
    if !epoch.is_empty() && epoch.parse::<u32>().is_err() {
        return Err("its epoch is larger than 4294967295");
    }
    let (version, release) = match rest.rsplit_once('-') {
        Some((version, release)) => (version, Some(release)),
        None => (rest, None),
    };
    Ok(RpmVersion {
        epoch_and_version: Evr::new(epoch.to_owned(), version.to_owned(), String::new()),
        release: release.map(|release| Evr::new(String::new(), release.to_owned(), String::new())),
    })
}
