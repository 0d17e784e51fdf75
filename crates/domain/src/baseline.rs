//! What belongs to the baseline of a policy. The one rule behind compliance, plans and previews.

mod faults;
mod glob;
mod verdict;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use glob::{PackageGlob, PackageGlobError};
pub use verdict::{BaselineRule, Exclusion, Published, Verdict};

use crate::{
    compliance::{Classification, Severity},
    time::PatchLevel,
};

/// Which fixes belong to the baseline of a policy, in addition to its `patch_level`. A host without a fix of the baseline is not
/// compliant, and a run of the policy installs exactly these fixes. By default, every known fix belongs to it. A package that is
/// denied, or not allowed, is left out whatever the other rules say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = PolicyBaseline))]
pub struct Baseline {
    /// Kinds of notices, at least one. Default: all of them.
    #[serde(skip_serializing_if = "is_all")]
    #[cfg_attr(feature = "schema", schema(default = json!(["security", "bugfix", "enhancement"])))]
    pub classifications: Vec<Classification>,
    /// The lowest severity of security notices: `low`, `medium`, `high` or `critical`. One whose severity is `unknown` belongs to
    /// the baseline: it may have any. Notices of other kinds have no severity and are not measured by it. Absent: any severity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_severity: Option<Severity>,
    /// Days after its publication from which a notice belongs to the baseline, 0 to 365. One whose publication date is unknown
    /// counts as old enough. Default: 0, at once.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "schema", schema(default = 0, minimum = 0, maximum = 365))]
    pub approve_after_days: u32,
    /// Whether a notice of a vulnerability that is known to be exploited (CISA KEV) belongs to the baseline whatever its severity
    /// and age. Default: `true`.
    #[serde(skip_serializing_if = "is_true")]
    #[cfg_attr(feature = "schema", schema(default = true))]
    pub known_exploited_at_once: bool,
    /// The only packages that belong to the baseline, at most 200 entries. Empty: all packages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schema(max_items = 200))]
    pub allow: Vec<PackageRule>,
    /// Packages that do not belong to it, also if `allow` names them, at most 200 entries. Runs that remediate an advisory or
    /// patch selected hosts leave them out, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schema(max_items = 200))]
    pub deny: Vec<PackageRule>,
}

/// Packages that are allowed or denied, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PackageRule {
    /// Names of installed packages: `openssl`, `kernel*`, `python3.?`. `*` stands for any characters, `?` for one.
    #[cfg_attr(feature = "schema", schema(value_type = String, example = "kernel*"))]
    pub glob: PackageGlob,
    /// Shown with every fix that the entry leaves out, 1 to 500 characters.
    #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 500))]
    pub reason: String,
}

impl Default for Baseline {
    fn default() -> Self {
        Self {
            classifications: Classification::ALL.to_vec(),
            minimum_severity: None,
            approve_after_days: 0,
            known_exploited_at_once: true,
            allow: Vec::new(),
            deny: Vec::new(),
        }
    }
}

/// A missing fix, as far as the rules look at it.
#[derive(Debug, Clone, Copy)]
pub struct Fix<'a> {
    /// The name of the installed package.
    pub package: &'a str,
    pub classification: Classification,
    pub severity: Severity,
    /// One of its vulnerabilities is known to be exploited.
    pub exploited: bool,
    pub published: Published,
}

/// All rules of a policy that decide what belongs to its baseline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaselineRules {
    pub baseline: Baseline,
    pub level: Option<PatchLevel>,
}

impl BaselineRules {
    /// Whether a fix belongs to the baseline now.
    pub fn judge(&self, fix: &Fix<'_>, now: DateTime<Utc>) -> Verdict<'_> {
        let baseline = &self.baseline;
        if let Some(exclusion) = self.judge_package(fix.package) {
            return Verdict::LeftOut(exclusion);
        }
        if let Some(level) = self.level.filter(|level| !level.covers(fix.published.at())) {
            return Verdict::LeftOut(Exclusion::PatchLevel { level, published: fix.published });
        }
        if !baseline.classifications.contains(&fix.classification) {
            return Verdict::LeftOut(Exclusion::Classification(fix.classification));
        }
        if fix.exploited && baseline.known_exploited_at_once {
            return Verdict::INCLUDED;
        }
        let minimum = baseline.minimum_severity.filter(|_| fix.classification == Classification::Security);
        let is_unrated = minimum.is_some() && fix.severity == Severity::Unknown;
        if let Some(minimum) = minimum.filter(|minimum| !is_unrated && fix.severity < *minimum) {
            return Verdict::LeftOut(Exclusion::Severity { severity: fix.severity, minimum });
        }
        let days = baseline.approve_after_days;
        let is_undated = days > 0 && matches!(fix.published, Published::Unknown { .. });
        if let Some(until) = self.approved_at(fix.published).filter(|until| now < *until) {
            return Verdict::LeftOut(Exclusion::Age { days, until });
        }
        Verdict::Included {
            unknown: match (is_unrated, is_undated) {
                (false, false) => &[],
                (true, false) => &[BaselineRule::Severity],
                (false, true) => &[BaselineRule::Age],
                (true, true) => &[BaselineRule::Severity, BaselineRule::Age],
            },
        }
    }

    /// Why a package does not belong to the baseline, whatever its fixes are.
    pub fn judge_package(&self, package: &str) -> Option<Exclusion<'_>> {
        let names = |rule: &&PackageRule| rule.glob.matches(package);
        if let Some(denied) = self.baseline.deny.iter().find(names) {
            return Some(Exclusion::Denied(denied));
        }
        let is_allowed =
            self.baseline.allow.is_empty() || self.baseline.allow.iter().any(|rule| names(&rule));
        (!is_allowed).then_some(Exclusion::NotAllowed)
    }

    /// Whether the name of a package decides anything.
    pub fn names_packages(&self) -> bool {
        !self.baseline.allow.is_empty() || !self.baseline.deny.is_empty()
    }

    /// From when its age lets a notice belong to the baseline; `None` if its age does not matter or is unknown.
    fn approved_at(&self, published: Published) -> Option<DateTime<Utc>> {
        match published {
            Published::At(at) if self.baseline.approve_after_days > 0 => {
                let days = TimeDelta::days(i64::from(self.baseline.approve_after_days));
                Some(at.checked_add_signed(days).unwrap_or(DateTime::<Utc>::MAX_UTC))
            }
            Published::At(_) | Published::Unknown { .. } => None,
        }
    }
}

fn is_all(classifications: &[Classification]) -> bool {
    Classification::ALL.iter().all(|one| classifications.contains(one))
        && classifications.len() == Classification::ALL.len()
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_true(flag: &bool) -> bool {
    *flag
}

#[cfg(test)]
mod tests;
