//! Pre-approval: whether the template of a policy approves the change of a run, or why a person must.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{CiId, PolicyId},
    plan::Plan,
    policy::Policy,
};

/// Whether the template of a run's policy approves the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum PreApproval {
    /// By somebody who did not edit what is approved.
    Granted {
        by: String,
    },
    Refused {
        cause: NoPreApproval,
    },
}

/// Why a person must approve a run although its policy names a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NoPreApproval {
    /// Nobody but its editors has agreed to this version of the policy.
    UnapprovedVersion {
        policy: PolicyId,
        version: i64,
    },
    /// The policy runs commands as root.
    Commands,
    Hooks,
    /// The run selects hosts, updates or an order of its own.
    OtherThanThePolicy,
    /// A host is in an environment in which a person approves every change.
    Environment {
        host: CiId,
        environment: String,
    },
    /// ITSM does not have the template, or it has expired.
    NoTemplate {
        template: String,
    },
}

impl fmt::Display for NoPreApproval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnapprovedVersion { policy, version } => write!(
                f,
                "nobody but its editors has approved version {version} of policy `{policy}`; an approver can with \
                 `patchctl policy approve {policy}`"
            ),
            Self::Commands => f.write_str("the policy runs commands, which are never pre-approved"),
            Self::Hooks => f.write_str("the policy runs maintenance hooks, which are never pre-approved"),
            Self::OtherThanThePolicy => {
                f.write_str("the run selects hosts, updates or an order otherwise than its policy")
            }
            Self::Environment { host, environment } => {
                write!(f, "`{host}` is in the environment `{environment}`, in which nothing is pre-approved")
            }
            Self::NoTemplate { template } => {
                write!(f, "the template `{template}` does not exist, or is not approved, or has expired")
            }
        }
    }
}

impl NoPreApproval {
    /// What of a policy is never pre-approved.
    pub fn of_policy(policy: &Policy) -> Option<Self> {
        let workflow = &policy.workflow;
        let commands = [
            &workflow.pre_downtime_commands,
            &workflow.pre_update_commands,
            &workflow.update_commands,
            &workflow.post_update_commands,
        ];
        if workflow.bootstrap_python || commands.iter().any(|commands| !commands.is_empty()) {
            return Some(Self::Commands);
        }
        (!workflow.maintenance_hooks.is_empty()).then_some(Self::Hooks)
    }

    /// The first host of a plan in one of the environments in which nothing is pre-approved: the values of the tag `env`.
    pub fn of_plan(plan: &Plan, environments: &[String]) -> Option<Self> {
        plan.targets.iter().find_map(|(host, target)| {
            let environment = target.tags.get("env")?;
            let is_listed = environments.iter().any(|listed| listed.trim().eq_ignore_ascii_case(environment));
            is_listed.then(|| Self::Environment { host: host.clone(), environment: environment.clone() })
        })
    }
}
