use std::path::PathBuf;

use clap::Subcommand;
use domain::ids::PolicyId;

use super::{Most, RequestFile};
use crate::complete;

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
  baseline:
    minimum_severity: medium
    approve_after_days: 7
    deny:
      - { glob: 'kernel*', reason: 'the storage driver needs this kernel until March' }
  max_parallel: 5")]
pub enum PolicyCommand {
    /// List policies.
    List(Most),
    /// Show one policy.
    Show {
        #[arg(add = complete::policies())]
        id: PolicyId,
    },
    /// List the versions of a policy, newest first: who made them, and what they changed.
    History {
        #[arg(add = complete::policies())]
        id: PolicyId,
        #[command(flatten)]
        most: Most,
    },
    /// Create a policy.
    Create(RequestFile),
    /// Change only the fields of a policy that are in the file.
    Update {
        #[arg(add = complete::policies())]
        id: PolicyId,
        #[command(flatten)]
        request: RequestFile,
        /// Only if the policy still has this version.
        #[arg(long, value_name = "VERSION")]
        if_version: Option<i64>,
    },
    /// Approve a version of a policy, so that its template approves its runs. None of its editors can.
    Approve {
        #[arg(add = complete::policies())]
        id: PolicyId,
        /// The version that you have read; by default the present one.
        #[arg(long, value_name = "VERSION")]
        version: Option<i64>,
        #[arg(long, default_value = "")]
        comment: String,
    },
    /// Delete a policy; its runs are kept.
    Delete {
        #[arg(add = complete::policies())]
        id: PolicyId,
    },
    /// Show what a policy means now: its hosts, next occurrences and conflicts.
    Preview {
        #[arg(add = complete::policies())]
        id: PolicyId,
        /// Check the hosts, too: a dry run scans them and looks for what would stop their update (key, host key, sudo, Python,
        /// package locks, running transactions, disk, inodes, repositories). Exit status 3 if some are not ready, 1 if none is.
        #[arg(long)]
        preflight: bool,
        /// Show what a change of its rules would add to the baseline of each host and remove from it, without making it: a JSON or YAML
        /// file with the fields that would change, as for `policy update`; `-` reads standard input.
        #[arg(long, value_name = "FILE", conflicts_with = "preflight")]
        changes: Option<PathBuf>,
    },
}
