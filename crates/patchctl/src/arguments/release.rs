use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use domain::{
    ids::CiId,
    release::{ReleaseKind, Urgency, Version},
};

use super::{Most, parse_time};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  patchctl release apply -f release-policies.yaml -f customers.yaml --dry-run
  patchctl release plan --version v1.0.1 --type security
  patchctl release check --version v1.0.1 --item 1
  patchctl release deploy --version v1.0.1 --customers demo --dry-run
  patchctl release deploy --version v1.0.1
  patchctl release status --version v1.0.1
  patchctl release rollback --version v1.0.1 --customers acme-corp --reason \"invoices are empty\"
  patchctl release timeline --version v1.0.1 --svg timeline.svg")]
pub enum ReleaseCommand {
    /// List releases, highest version first.
    List {
        #[command(flatten)]
        most: Most,
    },
    /// Show a release and its checklist.
    Show {
        #[command(flatten)]
        of: OfVersion,
    },
    /// Register a release unless it is known, and tell what would be done for whom and when. Nothing is touched.
    Plan(PlanArguments),
    /// Perform the checks of the validation phase alone, and wait for their results.
    Validate {
        #[command(flatten)]
        of: OfVersion,
    },
    /// Tick an item of the checklist, or waive it with a reason.
    Check {
        #[command(flatten)]
        of: OfVersion,
        /// Name or number of the item; all items when unsaid.
        #[arg(long)]
        item: Option<String>,
        /// It is not done, and why that is right.
        #[arg(long, value_name = "REASON")]
        waive: Option<String>,
    },
    /// Roll a release out: validation, demo, then tier by tier.
    Deploy {
        #[command(flatten)]
        of: OfVersion,
        #[command(flatten)]
        customers: Customers,
        /// Only tell what would happen.
        #[arg(long)]
        dry_run: bool,
    },
    /// Roll a release out to all tiers at once after validation and demo, on an emergency approver's word.
    Emergency {
        #[command(flatten)]
        of: OfVersion,
        /// Registers the release with this type unless it is known.
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<ReleaseKind>,
        #[command(flatten)]
        customers: Customers,
        /// Why it cannot wait; kept with the change and its review.
        #[arg(long)]
        reason: String,
    },
    /// Show where a rollout stands and what it waits for.
    Status {
        #[command(flatten)]
        of: OfVersion,
    },
    /// Take a release back from customers, within its rollback window.
    Rollback {
        #[command(flatten)]
        of: OfVersion,
        /// Slugs, names or tiers, parted by commas, or `all`.
        #[arg(long, required = true, value_delimiter = ',')]
        customers: Vec<String>,
        /// Why; customers are told.
        #[arg(long)]
        reason: String,
        /// Not in the customer's next window, where the release's type would wait for it.
        #[arg(long)]
        now: bool,
    },
    /// Let the next tier start although the evidence falls short, once its time limit has passed.
    SignOff {
        #[command(flatten)]
        of: OfVersion,
        #[arg(long)]
        reason: String,
    },
    /// Look at a customer's health now, and at what the watch saw.
    Health {
        #[arg(long, value_name = "SLUG")]
        customer: CiId,
    },
    /// Take in an issue that a customer reports; a critical one takes back what was deployed there.
    Report {
        #[arg(long, value_name = "SLUG")]
        customer: CiId,
        /// critical, major or minor.
        #[arg(long, default_value = "major")]
        severity: String,
        summary: String,
    },
    /// List deployments to customers, newest first.
    Deployments {
        #[arg(long, value_name = "SLUG")]
        customer: Option<CiId>,
        #[arg(long)]
        version: Option<Version>,
        #[command(flatten)]
        most: Most,
    },
    /// Print a rollout minute by minute and tier by tier: as it went, or as it would go.
    Timeline {
        #[command(flatten)]
        of: OfVersion,
        /// What would happen, though it was rolled out already.
        #[arg(long)]
        forecast: bool,
        /// Write a picture as well.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// Play a rollout in virtual time, with customers that fail as you say.
    Simulate(SimulateRelease),
    /// Print the success metrics beside their targets.
    Metrics {
        /// Of this release alone.
        #[arg(long)]
        version: Option<Version>,
    },
    /// List customers.
    Customers {
        /// Only of this tier.
        #[arg(long)]
        tier: Option<String>,
        #[command(flatten)]
        most: Most,
    },
    /// Print the table of delays, approvals, notices and rollback windows.
    Policies,
    /// Take customers and release policies over from files: all of it or nothing, with the difference.
    Apply {
        /// YAML or JSON: `customers: [...]`, `policies: {...}`, or both.
        #[arg(short, long, required = true, value_name = "FILE")]
        file: Vec<PathBuf>,
        /// Only tell the difference.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Clone, Copy, Args)]
pub struct OfVersion {
    /// Such as `v1.0.1`.
    #[arg(long)]
    pub version: Version,
}

#[derive(Debug, Clone, Args)]
pub struct Customers {
    /// Slugs, names or tiers, parted by commas; everybody when unsaid.
    #[arg(long, value_delimiter = ',')]
    pub customers: Vec<String>,
}

#[derive(Debug, Args)]
pub struct PlanArguments {
    #[command(flatten)]
    pub of: OfVersion,
    /// security, bug_fix, performance or documentation; needed unless the release is known.
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<ReleaseKind>,
    /// critical, high, medium or low, instead of the type's own.
    #[arg(long)]
    pub urgency: Option<Urgency>,
    /// What it is built on; the patch before when unsaid.
    #[arg(long, value_name = "VERSION")]
    pub base: Option<Version>,
    #[arg(long, default_value = "")]
    pub notes: String,
    /// What deployers install.
    #[arg(long)]
    pub artefact: Option<String>,
    #[arg(long)]
    pub rollback_artefact: Option<String>,
    /// When the problem was found, as an RFC 3339 time; now when unsaid.
    #[arg(long, value_parser = parse_time, value_name = "TIME")]
    pub identified_at: Option<DateTime<Utc>>,
    /// Skip numbers of the line on purpose.
    #[arg(long)]
    pub allow_gap: bool,
    #[command(flatten)]
    pub customers: Customers,
}

#[derive(Debug, Args)]
pub struct SimulateRelease {
    #[command(flatten)]
    pub of: OfVersion,
    #[command(flatten)]
    pub customers: Customers,
    /// A customer that is not well so many minutes after its deployment.
    #[arg(long, value_name = "SLUG=MINUTES", value_parser = super::parse_pair)]
    pub unhealthy: Vec<(String, String)>,
    /// A customer whose deployment fails.
    #[arg(long, value_name = "SLUG")]
    pub failing: Vec<CiId>,
    /// As an emergency: all tiers at once.
    #[arg(long)]
    pub emergency: bool,
    /// When it begins, as an RFC 3339 time; now when unsaid.
    #[arg(long, value_parser = parse_time, value_name = "TIME")]
    pub at: Option<DateTime<Utc>>,
    /// Write a picture as well.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}
