//! What is wrong with a baseline beyond the shape of its single fields.

use std::collections::BTreeSet;

use super::{Baseline, PackageRule};
use crate::{compliance::Severity, text::has_hidden};

const MOST_DAYS: u32 = 365;
const MOST_RULES: usize = 200;
const MOST_REASON: usize = 500;

impl Baseline {
    /// JSON pointer below the baseline and reason.
    pub(crate) fn faults(&self) -> Vec<(String, String)> {
        let mut faults: Vec<(String, String)> = Vec::new();
        let mut check = |wrong: bool, pointer: &str, reason: &str| {
            if wrong {
                faults.push((pointer.to_owned(), reason.to_owned()));
            }
        };
        let kinds: BTreeSet<_> = self.classifications.iter().collect();
        check(
            kinds.is_empty(),
            "/classifications",
            "must name at least one of `security`, `bugfix` and `enhancement`; leave it out for all of them",
        );
        check(
            kinds.len() < self.classifications.len(),
            "/classifications",
            "names one of them twice; leave one of them out",
        );
        check(
            matches!(self.minimum_severity, Some(Severity::None | Severity::Unknown)),
            "/minimum_severity",
            "must be `low`, `medium`, `high` or `critical`; leave it out for any severity",
        );
        check(self.approve_after_days > MOST_DAYS, "/approve_after_days", "must be 0 to 365");
        for (list, rules) in [("/allow", &self.allow), ("/deny", &self.deny)] {
            check(rules.len() > MOST_RULES, list, "must have at most 200 entries; put several into one glob");
        }
        faults.extend(faults_of("/allow", &self.allow));
        faults.extend(faults_of("/deny", &self.deny));
        let denied: BTreeSet<_> = self.deny.iter().map(|rule| &rule.glob).collect();
        let both = self.allow.iter().enumerate().filter(|(_, rule)| denied.contains(&rule.glob));
        faults.extend(both.map(|(position, _)| {
            let reason = "is in `deny`, too, which decides; remove it from one of the lists";
            (format!("/allow/{position}/glob"), reason.to_owned())
        }));
        faults
    }
}

fn faults_of(list: &str, rules: &[PackageRule]) -> Vec<(String, String)> {
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    for (position, rule) in rules.iter().enumerate().take(MOST_RULES) {
        if !seen.insert(&rule.glob) {
            faults.push((
                format!("{list}/{position}/glob"),
                "is in the list already; remove one of them".to_owned(),
            ));
        }
        let reason = format!("{list}/{position}/reason");
        if rule.reason.trim().is_empty() {
            faults.push((
                reason,
                "is empty; write why, as it is shown with every fix that it decides about".to_owned(),
            ));
        } else if rule.reason.chars().count() > MOST_REASON {
            faults.push((reason, format!("must have at most {MOST_REASON} characters")));
        } else if has_hidden(&rule.reason) {
            let text =
                "must be one line without characters that are invisible or change the direction of writing";
            faults.push((reason, text.to_owned()));
        }
    }
    faults
}
