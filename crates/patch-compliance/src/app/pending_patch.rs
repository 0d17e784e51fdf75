//! A missing fix of a CI for readers, with what the baselines of its policies say of it.

use std::sync::Arc;

use api_types::patch::{BaselineEffect, BaselineNote, PatchStateOfPackage, PendingPatch};
use chrono::{DateTime, Utc};
use domain::{baseline::Verdict, ids::PolicyId};
use serde::{Serialize, Serializer};
use service_kit::{ApiError, ApiResult};

use super::criteria_cache::CachedFinding;
use crate::store::{dictionary::Finding, policy_criteria::PolicyCriteria};

/// A [`PendingPatch`] to serialise. Findings of many hosts are serialised once.
pub(crate) enum PatchJson {
    Pending(Arc<CachedFinding>),
    /// One with something that is only true of this host.
    OfHost(Box<PendingPatch>),
}

impl PatchJson {
    pub(crate) fn new(finding: Arc<CachedFinding>, excepted: bool, notes: Vec<BaselineNote>) -> Self {
        if !excepted && notes.is_empty() {
            return Self::Pending(finding);
        }
        let patch = pending_patch(&finding);
        let state = if excepted { PatchStateOfPackage::Excepted } else { patch.state };
        Self::OfHost(Box::new(PendingPatch { state, baseline: notes, ..patch }))
    }

    pub(crate) fn patch(&self) -> PendingPatch {
        match self {
            Self::Pending(finding) => pending_patch(finding),
            Self::OfHost(patch) => PendingPatch::clone(patch),
        }
    }
}

impl Serialize for PatchJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Pending(finding) => {
                finding.json(pending_patch).map_err(serde::ser::Error::custom)?.serialize(serializer)
            }
            Self::OfHost(patch) => patch.serialize(serializer),
        }
    }
}

/// The policies that leave a fix out of their baseline, or include it without knowing what a rule asks for.
pub(crate) fn baseline_notes(
    policies: &[&PolicyCriteria],
    finding: &Finding,
    now: DateTime<Utc>,
) -> ApiResult<Vec<BaselineNote>> {
    let mut notes = Vec::new();
    for policy in policies {
        let note = |effect, rule, reason, until| -> ApiResult<BaselineNote> {
            let policy_id = PolicyId::new(policy.id.as_str()).map_err(ApiError::internal)?;
            Ok(BaselineNote { policy_id, effect, rule, reason, until })
        };
        match policy.rules.judge(&finding.fix(), now) {
            Verdict::LeftOut(exclusion) => {
                let reason = format!("not in the baseline: {}", exclusion.explanation());
                notes.push(note(BaselineEffect::LeftOut, exclusion.rule(), reason, exclusion.until())?);
            }
            Verdict::Included { unknown } => {
                for rule in unknown {
                    let reason = rule.unknown_text().to_owned();
                    notes.push(note(BaselineEffect::IncludedAsUnknown, *rule, reason, None)?);
                }
            }
        }
    }
    Ok(notes)
}

/// A candidate is the version of a binary: it does not show whether a source of another version is fixed.
fn installable_now(finding: &Finding) -> Option<bool> {
    finding.candidate.as_ref()?;
    match &finding.target {
        None => Some(false),
        Some(target) if *target == finding.fixed => Some(true),
        Some(_) => None,
    }
}

fn pending_patch(finding: &Finding) -> PendingPatch {
    PendingPatch {
        package: finding.package.clone(),
        installed: finding.installed.clone(),
        fixed: finding.fixed.clone(),
        installable: finding.candidate.clone(),
        installable_now: installable_now(finding),
        advisory_id: finding.advisory_id.clone(),
        cve_ids: finding.cves.clone(),
        severity: finding.severity,
        exploited: finding.exploited,
        published: finding.published,
        due: finding.due,
        state: finding.state,
        rule: finding.rule.to_string(),
        baseline: Vec::new(),
    }
}
