use std::path::PathBuf;

use api_types::itsm::{Channel, CloseCode, IncidentState, ProblemState, Severity};
use clap::{Args, Subcommand};
use domain::{
    change::ChangeState,
    ids::{ChangeId, CiId},
};
use uuid::Uuid;

use super::short_id::parse_change;
use super::{IncidentId, Most, ProblemId, RequestFile, ShortId, parse_name};
use crate::complete;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
A change in YAML:
  kind: normal
  short_description: Patch the web tier
  ci_ids: [web-01, web-02]
  start_at: 2026-03-01T22:00:00Z
  end_at: 2026-03-02T04:00:00Z

Examples:
  patchctl change list --state pending_approval
  patchctl change approve CHG0000001 --comment 'pilots look good'
  patchctl change conflicts CHG0000001")]
pub enum ChangeCommand {
    /// List changes, newest first.
    List {
        /// Only in this state: draft, pending_approval, approved, in_progress, completed, failed, rejected or cancelled.
        #[arg(long, value_parser = parse_name::<ChangeState>)]
        state: Option<ChangeState>,
        /// Only those for this configuration item.
        #[arg(long, value_name = "ID")]
        ci: Option<CiId>,
        #[command(flatten)]
        most: Most,
    },
    /// Show one change, with its approvals and evidence.
    Show {
        #[arg(add = complete::changes())]
        id: ShortId<ChangeId>,
    },
    /// Create a draft of a change.
    Create(RequestFile),
    /// Edit a change that has not started; this voids its approvals.
    Update {
        #[arg(add = complete::changes())]
        id: ShortId<ChangeId>,
        #[command(flatten)]
        request: RequestFile,
        /// Only if it still has this version.
        #[arg(long, value_name = "VERSION")]
        if_version: Option<i64>,
    },
    /// Request approval.
    Submit {
        #[arg(add = complete::changes())]
        id: ShortId<ChangeId>,
    },
    /// Approve somebody else's change.
    Approve(DecisionFields),
    /// Reject somebody else's change.
    Reject(DecisionFields),
    /// Start the work of an approved change.
    Execute {
        #[arg(add = complete::changes())]
        id: ShortId<ChangeId>,
        /// Hash of the plan that is about to be executed.
        #[arg(long, value_name = "HASH")]
        plan_hash: Option<String>,
    },
    /// Close a change as completed.
    Complete(CloseFields),
    /// Close a change as failed.
    Fail(CloseFields),
    /// Cancel a change.
    Cancel(CloseFields),
    /// Record the review of an emergency change after its end.
    Review {
        #[arg(add = complete::changes())]
        id: ShortId<ChangeId>,
        /// Findings of the review.
        #[arg(long)]
        notes: String,
    },
    /// List other changes and freezes on the same hosts at the same time.
    Conflicts {
        #[arg(add = complete::changes())]
        id: ShortId<ChangeId>,
        #[command(flatten)]
        most: Most,
    },
    /// List the templates that pre-approve standard changes.
    Templates(Most),
    /// Write a template: `description`, `max_risk`, `max_span_hours`, `owner` and `expires_at` in a file. It approves nothing
    /// until an approver who did not write it approves it.
    SetTemplate {
        /// 1 to 60 of `a-z 0-9 -`.
        name: String,
        #[command(flatten)]
        request: RequestFile,
    },
    /// Approve a template that somebody else wrote.
    ApproveTemplate { name: String },
}

#[derive(Debug, Args)]
pub struct DecisionFields {
    #[arg(add = complete::changes())]
    pub id: ShortId<ChangeId>,
    #[arg(long, default_value = "")]
    pub comment: String,
    /// Decide only if the change is for exactly this plan.
    #[arg(long, value_name = "HASH")]
    pub plan_hash: Option<String>,
}

#[derive(Debug, Args)]
pub struct CloseFields {
    #[arg(add = complete::changes())]
    pub id: ShortId<ChangeId>,
    #[arg(long, default_value = "")]
    pub notes: String,
    /// successful, successful_issues or unsuccessful.
    #[arg(long, value_parser = parse_name::<CloseCode>)]
    pub code: Option<CloseCode>,
    /// JSON or YAML file with the evidence.
    #[arg(long, value_name = "FILE")]
    pub evidence: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum IncidentCommand {
    /// List incidents, newest first.
    List {
        /// Only in this state: open, in_progress or resolved.
        #[arg(long, value_parser = parse_name::<IncidentState>)]
        state: Option<IncidentState>,
        #[command(flatten)]
        most: Most,
    },
    /// Show one incident.
    Show { id: ShortId<IncidentId> },
    /// Open an incident.
    #[command(
        after_help = "Example:\n  patchctl incident create 'web-07 does not boot' --severity high --ci web-07"
    )]
    Create {
        short_description: String,
        /// low, medium, high or critical.
        #[arg(long, value_parser = parse_name::<Severity>, default_value = "medium")]
        severity: Severity,
        #[arg(long, default_value = "")]
        description: String,
        #[arg(long = "ci", value_name = "ID")]
        ci_ids: Vec<CiId>,
        #[arg(long, value_name = "CHG", value_parser = parse_change)]
        change: Option<ChangeId>,
    },
    /// Change an incident.
    Update {
        id: ShortId<IncidentId>,
        #[command(flatten)]
        request: RequestFile,
    },
    /// Resolve an incident.
    Resolve {
        id: ShortId<IncidentId>,
        /// What resolved it.
        #[arg(long)]
        resolution: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum ProblemCommand {
    /// List problems, newest first.
    List {
        /// Only in this state: open, known_error or resolved.
        #[arg(long, value_parser = parse_name::<ProblemState>)]
        state: Option<ProblemState>,
        #[command(flatten)]
        most: Most,
    },
    /// Show one problem.
    Show { id: ShortId<ProblemId> },
    /// Record the cause of incidents.
    Create {
        short_description: String,
        #[arg(long, default_value = "")]
        description: String,
        #[arg(long = "incident", value_name = "INC")]
        incident_ids: Vec<String>,
    },
    /// Change a problem: `state`, `root_cause`, `workaround`, ...
    Update {
        id: ShortId<ProblemId>,
        #[command(flatten)]
        request: RequestFile,
    },
}

#[derive(Debug, Subcommand)]
pub enum NotificationCommand {
    /// List notifications with their delivery state, newest first.
    List {
        /// Only in this state: pending, delivered or failed.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        most: Most,
    },
    /// Show one notification.
    Show { id: ShortId<Uuid> },
    /// Queue a notification.
    Create {
        /// email or webhook.
        #[arg(long, value_parser = parse_name::<Channel>, default_value = "email")]
        channel: Channel,
        /// E-mail address or URL.
        #[arg(long = "to", value_name = "RECIPIENT")]
        recipient: String,
        #[arg(long)]
        subject: String,
        #[arg(long)]
        body: String,
        /// Several notifications with the same key are delivered once.
        #[arg(long, value_name = "KEY")]
        dedupe_key: Option<String>,
        /// The customer that a webhook is for, if its receiver is registered for one.
        #[arg(long)]
        customer: Option<CiId>,
    },
    /// Send a failed notification again.
    Resend { id: ShortId<Uuid> },
}
