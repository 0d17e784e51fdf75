use std::path::PathBuf;

use api_types::cmdb::{CiType, Compatibility, RelationshipType};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use domain::ids::{CiId, RunId};
use uuid::Uuid;

use super::{ImportArguments, Most, RequestFile, Selection, ShortId, parse_name, parse_pair, parse_time};
use crate::complete;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  patchctl ci list --type vm --tag env=prod
  patchctl ci create web-07 --type vm --tag os=rocky9 --tag env=prod
  patchctl ci import inventory.ini --map env=prod,staging,dev
  patchctl ci import --ansible inventories/prod --plugin amazon.aws.aws_ec2
  patchctl ci import --netbox https://netbox.example.org --netbox-token-file token
  patchctl ci impact db-01 --depth 3
  patchctl ci maintenance on web-07 --reason 'disk swap' --until 2026-03-01T06:00:00Z
  ansible-inventory -i <(patchctl ci inventory) --list")]
pub enum CiCommand {
    /// List configuration items.
    List {
        /// Only of this type: datacenter, cluster, host, vm, service, application, database, network, storage or other.
        #[arg(long = "type", value_parser = parse_name::<CiType>, value_name = "TYPE")]
        ci_type: Option<CiType>,
        /// Only those with this tag; repeat it to require several tags.
        #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_pair)]
        tags: Vec<(String, String)>,
        /// Only those whose id or name contains this text.
        #[arg(long)]
        text: Option<String>,
        /// List decommissioned ones instead of active ones.
        #[arg(long)]
        decommissioned: bool,
        #[command(flatten)]
        most: Most,
    },
    /// Show one configuration item.
    Show {
        #[arg(add = complete::hosts())]
        id: CiId,
    },
    /// Create a configuration item, from arguments or from a file.
    Create {
        #[arg(required_unless_present = "file")]
        id: Option<CiId>,
        #[arg(long = "type", value_parser = parse_name::<CiType>, value_name = "TYPE", required_unless_present = "file")]
        ci_type: Option<CiType>,
        #[arg(long)]
        name: Option<String>,
        #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_pair)]
        tags: Vec<(String, String)>,
        /// A JSON value is parsed, anything else is a text.
        #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = parse_pair)]
        attributes: Vec<(String, String)>,
        /// Reason; stored in the history.
        #[arg(long)]
        reason: Option<String>,
        /// JSON or YAML file; `-` reads standard input.
        #[arg(short, long, value_name = "FILE", conflicts_with_all = ["id", "ci_type", "name", "tags", "attributes", "reason"])]
        file: Option<PathBuf>,
    },
    /// Change a configuration item.
    Update {
        #[arg(add = complete::hosts())]
        id: CiId,
        #[arg(long)]
        name: Option<String>,
        /// Add or change a tag.
        #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_pair)]
        tags: Vec<(String, String)>,
        /// Remove a tag.
        #[arg(long = "remove-tag", value_name = "KEY")]
        removed_tags: Vec<String>,
        /// Add or change an attribute; a JSON value is parsed, anything else is a text.
        #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = parse_pair)]
        attributes: Vec<(String, String)>,
        /// Activate a decommissioned one again.
        #[arg(long)]
        activate: bool,
        /// Reason; stored in the history.
        #[arg(long)]
        reason: Option<String>,
        /// Only if it still has this version.
        #[arg(long, value_name = "VERSION")]
        if_version: Option<i64>,
    },
    /// Take a configuration item out of service; its history is kept.
    Decommission {
        #[arg(add = complete::hosts())]
        id: CiId,
    },
    /// Show what a configuration item affects and what it depends on.
    Impact {
        #[arg(add = complete::hosts())]
        id: CiId,
        /// Number of levels to follow, 1 to 20.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=20))]
        depth: Option<u32>,
    },
    /// Show who changed what, when and why, newest first.
    History {
        #[arg(add = complete::hosts())]
        id: CiId,
        #[command(flatten)]
        most: Most,
    },
    /// Maintenance: alerts are off, and nothing else changes the host.
    #[command(subcommand)]
    Maintenance(MaintenanceCommand),
    /// Record the result of patching that was done elsewhere.
    PatchState {
        #[arg(add = complete::hosts())]
        id: CiId,
        #[command(flatten)]
        request: RequestFile,
    },
    /// Import an existing list; good records are stored, and every odd one is named with what to do.
    Import(ImportArguments),
    /// Print the dependency graph of a selection.
    Graph(Selection),
    /// Print Ansible's dynamic inventory as JSON.
    Inventory {
        /// Only those with this tag; repeat it to require several tags.
        #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_pair)]
        tags: Vec<(String, String)>,
        /// Fix the hosts and groups for this run.
        #[arg(long, value_name = "RUN", add = complete::runs())]
        run: Option<ShortId<RunId>>,
    },
    /// Copy the machines of the sim-engine into the CMDB.
    Sync {
        /// Wait for its end.
        #[arg(long)]
        wait: bool,
    },
    /// Show the last synchronisation.
    SyncStatus,
}

#[derive(Debug, Subcommand)]
pub enum MaintenanceCommand {
    /// Start maintenance, or change its end.
    On {
        #[arg(add = complete::hosts())]
        id: CiId,
        #[arg(long)]
        reason: String,
        /// RFC 3339 time at which it ends automatically, at most seven days ahead.
        #[arg(long, value_parser = parse_time, value_name = "TIME", required_unless_present = "minutes")]
        until: Option<DateTime<Utc>>,
        /// Minutes after which it ends automatically, instead of --until.
        #[arg(long, conflicts_with = "until", value_parser = clap::value_parser!(u32).range(1..=10_080))]
        minutes: Option<u32>,
        /// Who owns it.
        #[arg(long, env = "USER", default_value = "operator")]
        owner: String,
    },
    /// End maintenance.
    Off {
        #[arg(add = complete::hosts())]
        id: CiId,
        /// Who owns it.
        #[arg(long, env = "USER", default_value = "operator")]
        owner: String,
    },
}

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  patchctl relationship create web-07 depends_on db-01 --compatibility degraded
  patchctl relationship list db-01")]
pub enum RelationshipCommand {
    /// List the relationships of a configuration item.
    List {
        #[arg(add = complete::hosts())]
        ci: CiId,
        #[command(flatten)]
        most: Most,
    },
    /// Relate two configuration items.
    Create {
        source: CiId,
        /// contains, runs, member_of, depends_on, connected_to or uses.
        #[arg(value_parser = parse_name::<RelationshipType>, value_name = "TYPE")]
        relationship_type: RelationshipType,
        target: CiId,
        /// For depends_on: compatible, degraded or incompatible (must be patched together).
        #[arg(long, value_parser = parse_name::<Compatibility>)]
        compatibility: Option<Compatibility>,
    },
    /// Delete a relationship.
    Delete { id: Uuid },
}
