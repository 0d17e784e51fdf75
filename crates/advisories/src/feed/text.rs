//! Checks of texts and ids, common to all readers.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

use super::{Limits, is_cve_id};

pub(super) const MAX_ID_BYTES: usize = 256;
pub(super) const MAX_PACKAGE_BYTES: usize = 256;
/// Longest part of a text that an error shows.
const SHOWN: usize = 80;

pub(super) fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

pub(super) fn check_id(id: &str) -> Result<(), String> {
    if id.trim().is_empty() {
        return Err("its id is empty".to_owned());
    }
    if id.len() > MAX_ID_BYTES {
        return Err(format!("its id is longer than {MAX_ID_BYTES} bytes"));
    }
    // Real feeds have ids with inner spaces, so only what breaks lines and terminals is refused.
    if id.trim() != id || id.chars().any(char::is_control) {
        return Err(format!("its id {id:?} has a control character or outer space"));
    }
    Ok(())
}

pub(super) fn instant(field: &str, text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|instant| instant.to_utc())
        .map_err(|_| format!("`{field}` is {:?}, which is not an RFC 3339 time", shown(text)))
}

/// A time in one of the older formats: RFC 3339, without a zone, seconds since 1970, or only the day.
pub(super) fn loose_instant(field: &str, text: &str) -> Result<DateTime<Utc>, String> {
    let text = text.trim();
    let naive = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S UTC"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|day| day.and_hms_opt(0, 0, 0));
    if let Some(instant) = naive.or_else(day) {
        return Ok(instant.and_utc());
    }
    let is_number = (1..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let seconds = text.parse().ok().filter(|_| is_number);
    match seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)) {
        Some(instant) => Ok(instant),
        None => {
            instant(field, text).map_err(|_| format!("`{field}` is {:?}, which is not a time", shown(text)))
        }
    }
}

/// Times in the future are kept: a wrong clock of the vendor is not a reason to hide a fix.
pub(super) fn warn_of_future(
    published: DateTime<Utc>,
    modified: DateTime<Utc>,
    limits: &Limits,
    warnings: &mut Vec<String>,
) {
    let Some(now) = limits.now else { return };
    let said =
        [("published", published), ("modified", modified)].into_iter().find(|(_, instant)| *instant > now);
    if let Some((what, instant)) = said {
        warnings.push(format!("it was {what} in the future, at {}", instant.to_rfc3339()));
    }
}

/// NUL cannot be stored by PostgreSQL and means nothing in a text.
pub(super) fn clean(text: String, field: &str, warnings: &mut Vec<String>) -> String {
    if !text.contains('\0') {
        return text;
    }
    warnings.push(format!("`{field}` contained NUL characters, which were replaced"));
    text.replace('\0', "\u{FFFD}")
}

pub(super) fn is_package_name(name: &str) -> bool {
    (1..=MAX_PACKAGE_BYTES).contains(&name.len())
        && !name.chars().any(|c| c.is_control() || c.is_whitespace())
}

pub(super) fn is_url(text: &str) -> bool {
    !text.is_empty() && text.len() <= 2048 && !text.chars().any(char::is_control)
}

/// Every CVE id in a text, each once, sorted.
pub(super) fn cves_in(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let mut cves: Vec<String> = words.filter(|word| is_cve_id(word)).map(str::to_owned).collect();
    cves.sort_unstable();
    cves.dedup();
    cves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_older_formats_are_read() {
        for text in
            ["2023-11-28 00:00:00", "2023-11-28", "2023-11-28T00:00:00Z", "1701129600", "2023-11-28 00:00"]
        {
            assert_eq!(
                loose_instant("issued", text).unwrap().to_rfc3339(),
                "2023-11-28T00:00:00+00:00",
                "{text}"
            );
        }
        for text in ["", "yesterday", "2023-13-01", "99999999999999", "-5"] {
            assert!(loose_instant("issued", text).is_err(), "{text}");
        }
    }

    #[test]
    fn cves_are_found_in_texts() {
        assert_eq!(
            cves_in("fix {CVE-2026-90002 CVE-2026-90001}, CVE-2026-90001; CVE-x"),
            ["CVE-2026-90001", "CVE-2026-90002"]
        );
    }
}
