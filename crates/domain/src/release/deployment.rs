//! What a plan that deploys a release contains in addition to its waves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    customer::{Deployer, HealthSource},
    evidence::EvidenceRule,
    health::{Baseline, HealthRules},
    kinds::{ReleaseKind, Tier, Urgency},
    policy::{Notice, RollbackRule},
    version::Version,
};
use crate::{ids::CiId, selector::Tags, time::MaintenanceWindow};

/// A version deployed to customers, or rolled back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Deployment {
    pub version: Version,
    pub direction: Direction,
    pub release_kind: ReleaseKind,
    pub urgency: Urgency,
    pub emergency: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artefact: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_artefact: Option<String>,
    pub customers: BTreeMap<CiId, CustomerTarget>,
    pub health: HealthRules,
    /// How long each customer is watched after its deployment.
    pub monitoring_hours: u32,
    pub rollback: RollbackRule,
    pub notice: Notice,
    /// Seconds one customer's deployment may take.
    pub deployment_timeout_seconds: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Direction {
    Forward,
    /// To the version each customer ran before. Stored plans and their hashes contain `back`.
    #[serde(rename = "back")]
    RollBack,
}

/// One customer of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CustomerTarget {
    pub name: String,
    pub tier: Tier,
    pub from: Version,
    pub to: Version,
    pub deployer: Deployer,
    pub health: HealthSource,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// It is deployed to only in these; empty: at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schema(value_type = Vec<Object>))]
    pub windows: Vec<MaintenanceWindow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<String>,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// What must hold before a wave of customers starts, in addition to the gate of the wave before it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WaveStart {
    /// Counted from the end of the demo wave, or from the start of the execution if there is none.
    pub delay_seconds: u32,
    /// Each customer was notified at least this long before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice_seconds: Option<u32>,
    /// Enough healthy customer-hours replace the delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceRule>,
    /// After this time the wave is given up.
    pub longest_wait_seconds: u32,
}

/// Something that must pass before the rollout goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Check {
    pub name: String,
    pub kind: CheckKind,
    pub run: CheckRun,
    #[serde(default = "default_timeout")]
    pub timeout_seconds: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum CheckKind {
    TestSuite,
    VulnerabilityScan,
    /// Against the baseline of the version before.
    PerformanceRegression,
    Compatibility,
    SmokeTest,
}

/// What performs a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum CheckRun {
    /// A program in the server's folder of checks, by file name. The server decides which programs may run.
    Command {
        program: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        arguments: Vec<String>,
    },
    /// The playbook `check-release`.
    Playbook { check: String },
    /// A signed POST that answers `{"passed": true, "log": "..."}`.
    Webhook { url: String },
    /// The health of the customers of the wave.
    Health,
}

fn default_timeout() -> u32 {
    900
}

impl Check {
    pub fn fault(&self) -> Option<String> {
        let is_name = |text: &str| {
            (1..=80).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
                && text.as_bytes()[0].is_ascii_alphanumeric()
        };
        if !is_name(&self.name) {
            return Some(
                "needs a `name` of 1 to 80 of `A-Z a-z 0-9 - _ .`, a letter or digit first".to_owned(),
            );
        }
        if !(1..=86_400).contains(&self.timeout_seconds) {
            return Some("needs `timeout_seconds` from 1 to 86400".to_owned());
        }
        match &self.run {
            CheckRun::Command { program: name, .. } | CheckRun::Playbook { check: name }
                if !is_name(name) =>
            {
                Some(format!("`{}` is not a plain file name", name.chars().take(80).collect::<String>()))
            }
            CheckRun::Command { arguments, .. }
                if arguments.len() > 50 || arguments.iter().any(|a| a.len() > 1000 || a.contains('\0')) =>
            {
                Some("takes at most 50 arguments of at most 1000 bytes".to_owned())
            }
            _ => None,
        }
    }
}
