use clap::Subcommand;
use domain::ids::PolicyId;

use super::{Most, RequestFile};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
A policy in YAML:
  id: policy-rhel9-baseline
  name: RHEL 9 Monthly Baseline
  os_type: rhel9
  schedule: '0 2 * * 0'
  time_zone: Europe/Berlin
  target_ci_tags: { env: dev, os: rhel9 }
  patch_level: '2026-02'
  max_parallel: 5")]
pub enum PolicyCommand {
    /// List policies.
    List {
        #[command(flatten)]
        most: Most,
    },
    /// Show one policy.
    Show { id: PolicyId },
    /// Create a policy.
    Create {
        #[command(flatten)]
        request: RequestFile,
    },
    /// Change the fields of a policy that the file names.
    Update {
        id: PolicyId,
        #[command(flatten)]
        request: RequestFile,
        /// Only when the policy still has this version.
        #[arg(long, value_name = "VERSION")]
        if_version: Option<i64>,
    },
    /// Delete a policy; its runs stay.
    Delete { id: PolicyId },
    /// What a policy means now: its hosts, its next occurrences, its conflicts.
    Preview { id: PolicyId },
}
