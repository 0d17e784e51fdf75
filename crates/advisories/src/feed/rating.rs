//! The severity of an advisory from its feed.

use crate::advisory::AdvisoryKind;
use crate::cvss::CvssVector;
use crate::severity::Severity;

/// Invalid vectors are left out with a warning.
pub(super) fn cvss_vectors<'a>(
    texts: impl Iterator<Item = &'a str>,
    warnings: &mut Vec<String>,
) -> Vec<CvssVector> {
    let mut vectors: Vec<CvssVector> = Vec::new();
    for text in texts {
        match text.parse() {
            Ok(vector) if !vectors.contains(&vector) => vectors.push(vector),
            Ok(_) => {}
            Err(error) => warnings.push(format!("{error}; it was left out")),
        }
    }
    vectors
}

/// The vendor's rating takes precedence over the title's (`Important: ...`, `... (Important)`), and both over a computed
/// score.
pub(super) fn severity_of(
    kind: AdvisoryKind,
    vendor_word: Option<&str>,
    summary: &str,
    cvss: &[CvssVector],
) -> Severity {
    let in_front = || summary.split_once(':').and_then(|(word, _)| word.parse().ok());
    let at_end = || summary.trim_end().strip_suffix(')')?.rsplit_once('(')?.1.parse().ok();
    let computed = || cvss.iter().map(CvssVector::severity).max();
    let from_word = vendor_word.and_then(|word| word.parse().ok());
    from_word.or_else(in_front).or_else(at_end).or_else(computed).unwrap_or_else(|| unrated(kind))
}

/// The severity of an advisory without a rating: only what closes a vulnerability can have one.
pub(super) fn unrated(kind: AdvisoryKind) -> Severity {
    match kind {
        AdvisoryKind::Security => Severity::Unknown,
        _ => Severity::None,
    }
}
