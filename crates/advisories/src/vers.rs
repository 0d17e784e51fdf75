//! Version ranges in the notation of package URLs: `vers:rpm/>=1.2|<1.4-3.el9`.

use std::str::FromStr;

use crate::purl::decode;
use crate::version::Packaging;

/// A range of the versions of one packaging system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRange {
    pub packaging: Packaging,
    constraints: Vec<(Comparator, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparator {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
    Any,
}

/// One part of a range without a gap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// First version in it; `None` from the beginning.
    pub from: Option<String>,
    /// First version after it; `None` if it has no end or if the end itself belongs to it.
    pub before: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a range of rpm or Debian versions")]
pub struct InvalidRange(pub String);

const MAX_CONSTRAINTS: usize = 1000;

impl FromStr for VersionRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| InvalidRange(text.chars().take(120).collect()))
    }
}

fn parse(text: &str) -> Option<VersionRange> {
    let text = text.trim();
    let scheme_and_rest =
        text.get(..5).filter(|start| start.eq_ignore_ascii_case("vers:")).map(|_| &text[5..])?;
    let (scheme, rest) = scheme_and_rest.split_once('/')?;
    let packaging = match scheme.to_ascii_lowercase().as_str() {
        "rpm" => Packaging::Rpm,
        "deb" | "dpkg" => Packaging::Dpkg,
        _ => return None,
    };
    let parts: Vec<&str> = rest.split('|').map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() || parts.len() > MAX_CONSTRAINTS {
        return None;
    }
    let constraints = parts.into_iter().map(constraint).collect::<Option<Vec<_>>>()?;
    Some(VersionRange { packaging, constraints })
}

fn constraint(text: &str) -> Option<(Comparator, String)> {
    let comparators = [
        ("<=", Comparator::LessOrEqual),
        (">=", Comparator::GreaterOrEqual),
        ("!=", Comparator::NotEqual),
        ("<", Comparator::Less),
        (">", Comparator::Greater),
        ("=", Comparator::Equal),
    ];
    if text == "*" {
        return Some((Comparator::Any, String::new()));
    }
    let (comparator, version) = comparators
        .iter()
        .find_map(|(sign, comparator)| Some((*comparator, text.strip_prefix(sign)?)))
        .unwrap_or((Comparator::Equal, text));
    let version = decode(version.trim())?;
    (!version.is_empty()).then_some((comparator, version))
}

impl VersionRange {
    /// The intervals of affected versions, in the order of the text.
    pub fn intervals(&self) -> Vec<Interval> {
        let mut found = Vec::new();
        let mut open: Option<Interval> = None;
        for (comparator, version) in &self.constraints {
            match comparator {
                Comparator::GreaterOrEqual | Comparator::Greater => {
                    found.extend(open.take());
                    open = Some(Interval { from: Some(version.clone()), before: None });
                }
                Comparator::Less => {
                    let start = open.take().unwrap_or_default();
                    found.push(Interval { before: Some(version.clone()), ..start });
                }
                Comparator::LessOrEqual => found.push(open.take().unwrap_or_default()),
                Comparator::Equal => found.push(Interval { from: Some(version.clone()), before: None }),
                Comparator::Any => found.push(Interval::default()),
                Comparator::NotEqual => {}
            }
        }
        found.extend(open);
        found
    }

    /// The first versions of a range of fixed versions: `1.4` of `>=1.4`. A range without a beginning names none.
    pub fn first_versions(&self) -> Vec<String> {
        let begins =
            |comparator: &Comparator| matches!(comparator, Comparator::GreaterOrEqual | Comparator::Equal);
        let first = self.constraints.iter().filter(|(comparator, _)| begins(comparator));
        first.map(|(_, version)| version.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intervals(text: &str) -> Vec<(Option<String>, Option<String>)> {
        let range: VersionRange = text.parse().unwrap();
        range.intervals().into_iter().map(|one| (one.from, one.before)).collect()
    }

    #[test]
    fn ranges_are_split_into_intervals() {
        let some = |text: &str| Some(text.to_owned());
        for (text, expected) in [
            ("vers:rpm/<1.4-3.el9", vec![(None, some("1.4-3.el9"))]),
            ("vers:rpm/>=1.2|<1.4-3", vec![(some("1.2"), some("1.4-3"))]),
            ("VERS:deb/ >=1%3A2.0 | <1%3A2.3%2Bdeb12u1", vec![(some("1:2.0"), some("1:2.3+deb12u1"))]),
            ("vers:rpm/<1|>=2|<3|>=4", vec![(None, some("1")), (some("2"), some("3")), (some("4"), None)]),
            ("vers:rpm/<=1.3", vec![(None, None)]),
            ("vers:rpm/*", vec![(None, None)]),
        ] {
            assert_eq!(intervals(text), expected, "{text}");
        }
        let fixed: VersionRange = "vers:rpm/>=1.4-3.el9".parse().unwrap();
        assert_eq!(fixed.first_versions(), ["1.4-3.el9"]);
    }

    #[test]
    fn other_ranges_are_refused() {
        for text in [
            "",
            "vers:",
            "vers:rpm",
            "vers:rpm/",
            "vers:semver/<1",
            "vls/<1",
            "<1",
            "vers:rpm/<",
            "vers:rpm/<%zz",
        ] {
            assert!(text.parse::<VersionRange>().is_err(), "{text}");
        }
    }
}
