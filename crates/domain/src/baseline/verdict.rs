//! What the rules of a baseline say of a fix, and why.

use chrono::{DateTime, Utc};

use super::PackageRule;
use crate::{
    compliance::{Classification, Severity},
    named::named_enum,
    time::PatchLevel,
};

named_enum! {
    /// A rule that decides what belongs to the baseline of a policy.
    BaselineRule, "a rule of a baseline" {
        /// `baseline.deny` names the package.
        Denied => "denied",
        /// `baseline.allow` has entries, and none names the package.
        NotAllowed => "not_allowed",
        /// Published after `patch_level`.
        PatchLevel => "patch_level",
        /// The kind of the notice is not in `baseline.classifications`.
        Classification => "classification",
        /// Below `baseline.minimum_severity`.
        Severity => "severity",
        /// Published less than `baseline.approve_after_days` ago.
        Age => "age",
    }
}

/// When a notice was published, if its feed says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    At(DateTime<Utc>),
    Unknown { first_imported: DateTime<Utc> },
}

impl Published {
    /// The day of its first import stands for an unknown one.
    pub fn at(self) -> DateTime<Utc> {
        match self {
            Self::At(at) | Self::Unknown { first_imported: at } => at,
        }
    }
}

/// Whether a fix belongs to a baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// It does. The rules in `unknown` could not be applied, because the source does not say what they ask for.
    Included {
        unknown: &'static [BaselineRule],
    },
    LeftOut(Exclusion<'a>),
}

impl<'a> Verdict<'a> {
    pub const INCLUDED: Verdict<'static> = Verdict::Included { unknown: &[] };

    pub fn exclusion(self) -> Option<Exclusion<'a>> {
        match self {
            Self::LeftOut(exclusion) => Some(exclusion),
            Self::Included { .. } => None,
        }
    }
}

/// Why a fix does not belong to a baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exclusion<'a> {
    Denied(&'a PackageRule),
    NotAllowed,
    PatchLevel { level: PatchLevel, published: Published },
    Classification(Classification),
    Severity { severity: Severity, minimum: Severity },
    Age { days: u32, until: DateTime<Utc> },
}

impl Exclusion<'_> {
    pub fn rule(&self) -> BaselineRule {
        match self {
            Self::Denied(_) => BaselineRule::Denied,
            Self::NotAllowed => BaselineRule::NotAllowed,
            Self::PatchLevel { .. } => BaselineRule::PatchLevel,
            Self::Classification(_) => BaselineRule::Classification,
            Self::Severity { .. } => BaselineRule::Severity,
            Self::Age { .. } => BaselineRule::Age,
        }
    }

    /// From when the fix belongs to the baseline; `None` if it takes a change of the rules or of the notice.
    pub fn until(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Age { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// The reason for people, with what the rule compares.
    pub fn explanation(&self) -> String {
        match self {
            Self::Denied(rule) => format!("denied by glob `{}`: {}", rule.glob, rule.reason),
            Self::NotAllowed => "no entry of `allow` names it".to_owned(),
            Self::PatchLevel { level, published: Published::At(at) } => {
                format!("published {}, after the patch level {level}", at.date_naive())
            }
            Self::PatchLevel { level, published: Published::Unknown { first_imported } } => format!(
                "its publication date is unknown, and it was first imported {}, after the patch level {level}",
                first_imported.date_naive()
            ),
            Self::Classification(kind) => format!("`classifications` does not have `{kind}`"),
            Self::Severity { severity, minimum } => format!("its severity `{severity}` is below `{minimum}`"),
            Self::Age { days, until } => {
                let until = until.format("%Y-%m-%d %H:%M UTC");
                format!(
                    "published less than {} ago; it belongs to the baseline from {until}",
                    days_text(*days)
                )
            }
        }
    }
}

fn days_text(days: u32) -> String {
    match days {
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

impl BaselineRule {
    /// What it means that this rule could not be applied.
    pub fn unknown_text(self) -> &'static str {
        match self {
            Self::Severity => "its severity is unknown, so it counts as severe enough",
            Self::Age => "its publication date is unknown, so it counts as old enough",
            Self::Denied | Self::NotAllowed | Self::PatchLevel | Self::Classification => "unknown",
        }
    }
}
