//! Which of the missing fixes of hosts are installed: by the rules that decide compliance.

use std::collections::HashMap;

use advisories::os_key;
use chrono::{DateTime, Utc};
use domain::{
    baseline::{BaselineRules, Exclusion},
    ids::CiId,
    selector::Tags,
};
use service_kit::ApiResult;
use sqlx::PgConnection;

use super::names;
use crate::{
    app::criteria_cache::is_selected,
    store::{self, compliance::PendingFix, policy_criteria::PolicyCriteria},
};

/// Which of the missing fixes to install.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// What belongs to the baseline of a policy.
    Baseline { rules: BaselineRules, now: DateTime<Utc> },
    /// Those of one advisory, or of all advisories for one CVE, by a policy: its package lists hold, and somebody has decided that
    /// its other rules do not.
    Advisory { id: String, rules: BaselineRules },
    /// The same without a policy, or all fixes if no id is given. The package lists of every policy that selects a host hold.
    OfHosts { advisory: Option<String> },
}

/// [`Wanted`], with the policies of the hosts if they decide.
pub(super) enum WantedFixes<'a> {
    Baseline {
        rules: &'a BaselineRules,
        now: DateTime<Utc>,
    },
    Advisory {
        id: &'a str,
        rules: &'a BaselineRules,
    },
    OfHosts {
        advisory: Option<&'a str>,
        policies: Vec<PolicyCriteria>,
        of_hosts: HashMap<String, Vec<usize>>,
    },
}

impl<'a> WantedFixes<'a> {
    pub(super) async fn load(
        conn: &mut PgConnection,
        wanted: &'a Wanted,
        hosts: &[CiId],
    ) -> ApiResult<WantedFixes<'a>> {
        Ok(match wanted {
            Wanted::Baseline { rules, now } => Self::Baseline { rules, now: *now },
            Wanted::Advisory { id, rules } => Self::Advisory { id, rules },
            Wanted::OfHosts { advisory } => {
                let mut policies = store::policy_criteria::list_policy_criteria(conn).await?;
                policies.retain(|policy| policy.rules.names_packages());
                let of_hosts = if policies.is_empty() {
                    HashMap::new()
                } else {
                    policies_of(conn, &policies, hosts).await?
                };
                Self::OfHosts { advisory: advisory.as_deref(), policies, of_hosts }
            }
        })
    }

    /// Whether somebody asked for the fix.
    pub(super) fn asks_for(&self, row: &PendingFix) -> bool {
        let advisory = match self {
            Self::Baseline { .. } => None,
            Self::Advisory { id, .. } => Some(*id),
            Self::OfHosts { advisory, .. } => *advisory,
        };
        advisory.is_none_or(|id| row.advisory_id == id || row.cves.iter().any(|cve| cve == id))
    }

    /// Why it is not installed nevertheless; `None` if it is.
    pub(super) fn why_left_out(&self, row: &PendingFix) -> Option<Exclusion<'_>> {
        match self {
            Self::Baseline { rules, now } => rules.judge(&row.fix(), *now).exclusion(),
            Self::Advisory { .. } | Self::OfHosts { .. } => self.why_package(&row.ci_id, &row.package),
        }
    }

    /// Why no version of a package is installed on a host.
    pub(super) fn why_package(&self, host: &str, package: &str) -> Option<Exclusion<'_>> {
        match self {
            Self::Baseline { rules, .. } | Self::Advisory { rules, .. } => rules.judge_package(package),
            Self::OfHosts { policies, of_hosts, .. } => {
                let mut of_host = of_hosts.get(host).into_iter().flatten();
                of_host.find_map(|place| policies.get(*place)?.rules.judge_package(package))
            }
        }
    }
}

/// The places of the policies that select each host.
async fn policies_of(
    conn: &mut PgConnection,
    policies: &[PolicyCriteria],
    hosts: &[CiId],
) -> ApiResult<HashMap<String, Vec<usize>>> {
    let tags = store::hosts::find_tags(conn, &names(hosts)).await?;
    let selected = |tags: &Tags| {
        let os = tags.get("os").map(|os| os_key(os)).unwrap_or_default();
        let places = policies.iter().enumerate().filter(|(_, policy)| is_selected(policy, tags, &os));
        places.map(|(place, _)| place).collect()
    };
    Ok(tags.into_iter().map(|(host, tags)| (host, selected(&tags))).collect())
}
