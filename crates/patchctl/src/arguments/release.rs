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
    List(Most),
    /// Show a release and its checklist.
    Show(OfVersion),
    /// Register a release if it is new, and show the plan: which customers get it, and when. Changes no customer.
    Plan(PlanArguments),
    /// Run only the checks of the validation phase, and wait for their results.
    Validate(OfVersion),
    /// Tick an item of the checklist, or waive it with a reason.
    Check {
        #[command(flatten)]
        of: OfVersion,
        /// Name or number of the item; by default all items.
        #[arg(long)]
        item: Option<String>,
        /// Waive the item instead, with this reason.
        #[arg(long, value_name = "REASON")]
        waive: Option<String>,
    },
    /// Roll out a release: validation, demo, then tier by tier.
    Deploy {
        #[command(flatten)]
        of: OfVersion,
        #[command(flatten)]
        customers: Customers,
        /// Only print what would happen.
        #[arg(long)]
        dry_run: bool,
    },
    /// Roll out a release to all tiers at once after validation and demo; needs one emergency approval.
    Emergency {
        #[command(flatten)]
        of: OfVersion,
        /// Register the release with this type if it is new.
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<ReleaseKind>,
        #[command(flatten)]
        customers: Customers,
        /// Why it cannot wait; stored with the change and its review.
        #[arg(long)]
        reason: String,
    },
    /// Show the progress of a rollout and what it waits for.
    Status(OfVersion),
    /// Roll back a release at customers, within its rollback window.
    Rollback {
        #[command(flatten)]
        of: OfVersion,
        /// Slugs, names or tiers, comma-separated, or `all`.
        #[arg(long, required = true, value_delimiter = ',')]
        customers: Vec<String>,
        /// Reason; it is sent to the customers.
        #[arg(long)]
        reason: String,
        /// Do not wait for the customer's next window, where the release type would.
        #[arg(long)]
        now: bool,
    },
    /// Let the next tier start without enough evidence, once the time limit has passed.
    SignOff {
        #[command(flatten)]
        of: OfVersion,
        #[arg(long)]
        reason: String,
    },
    /// Check the health of a customer now, and show what was observed.
    Health {
        #[arg(long, value_name = "SLUG")]
        customer: CiId,
    },
    /// Record an issue that a customer reports; a critical one rolls back the release there.
    Report {
        #[arg(long, value_name = "SLUG")]
        customer: CiId,
        /// critical, major or minor.
        #[arg(long, default_value = "major")]
        severity: String,
        summary: String,
    },
    /// Record how satisfied a customer is with a release.
    Rate {
        #[arg(long, value_name = "SLUG")]
        customer: CiId,
        #[command(flatten)]
        of: OfVersion,
        /// 1 (not at all) to 5 (very).
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=5))]
        score: u8,
        #[arg(long, default_value = "")]
        comment: String,
    },
    /// Lines of versions whose base was released elsewhere.
    #[command(subcommand)]
    Line(LineCommand),
    /// List deployments to customers, newest first.
    Deployments {
        #[arg(long, value_name = "SLUG")]
        customer: Option<CiId>,
        #[arg(long)]
        version: Option<Version>,
        #[command(flatten)]
        most: Most,
    },
    /// Print a rollout minute by minute and tier by tier: what happened, or the forecast.
    Timeline {
        #[command(flatten)]
        of: OfVersion,
        /// Print the forecast even if the release was rolled out already.
        #[arg(long)]
        forecast: bool,
        /// Also write a picture.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// Simulate a rollout in virtual time, with the failures you choose.
    Simulate(SimulateRelease),
    /// Print the success metrics and their targets.
    Metrics {
        /// Only of this release.
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
    /// Merge customers and release policies from files, all or nothing, and print the difference. What a file does not name stays.
    Apply {
        /// YAML or JSON: `customers: [...]`, `policies: {...}`, or both.
        #[arg(short, long, required = true, value_name = "FILE")]
        file: Vec<PathBuf>,
        /// Only print the difference.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum LineCommand {
    /// List the registered lines.
    List,
    /// Register a line, so that its first patch can be released before a customer runs its base.
    Register {
        /// Such as `v1.1.0`.
        #[arg(long)]
        base: Version,
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Delete a line. Its releases stay.
    Delete {
        #[arg(long)]
        base: Version,
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
    /// Slugs, names or tiers, comma-separated; by default all customers.
    #[arg(long, value_delimiter = ',')]
    pub customers: Vec<String>,
}

#[derive(Debug, Args)]
pub struct PlanArguments {
    #[command(flatten)]
    pub of: OfVersion,
    /// security, bug_fix, performance or documentation; required if the release is new.
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<ReleaseKind>,
    /// critical, high, medium or low, instead of the urgency of the type.
    #[arg(long)]
    pub urgency: Option<Urgency>,
    /// Version it is based on; by default the previous patch.
    #[arg(long, value_name = "VERSION")]
    pub base: Option<Version>,
    #[arg(long, default_value = "")]
    pub notes: String,
    /// Artefact that deployers install.
    #[arg(long)]
    pub artefact: Option<String>,
    #[arg(long)]
    pub rollback_artefact: Option<String>,
    /// RFC 3339 time when the problem was found; default now.
    #[arg(long, value_parser = parse_time, value_name = "TIME")]
    pub identified_at: Option<DateTime<Utc>>,
    /// Allow skipped version numbers.
    #[arg(long)]
    pub allow_gap: bool,
    /// An issue that a new release resolves, such as `BUG-17`; repeat it for more.
    #[arg(long, value_name = "ISSUE")]
    pub resolves: Vec<String>,
    #[command(flatten)]
    pub customers: Customers,
}

#[derive(Debug, Args)]
pub struct SimulateRelease {
    #[command(flatten)]
    pub of: OfVersion,
    #[command(flatten)]
    pub customers: Customers,
    /// A customer that becomes unhealthy this many minutes after its deployment.
    #[arg(long, value_name = "SLUG=MINUTES", value_parser = super::parse_pair)]
    pub unhealthy: Vec<(String, String)>,
    /// A customer whose deployment fails.
    #[arg(long, value_name = "SLUG")]
    pub failing: Vec<CiId>,
    /// Simulate an emergency: all tiers at once.
    #[arg(long)]
    pub emergency: bool,
    /// RFC 3339 time of the start; default now.
    #[arg(long, value_parser = parse_time, value_name = "TIME")]
    pub at: Option<DateTime<Utc>>,
    /// Also write a picture.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}
