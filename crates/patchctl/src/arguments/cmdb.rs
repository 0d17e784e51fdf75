use std::path::PathBuf;

use api_types::cmdb::{CiType, Compatibility, RelationshipType};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use domain::ids::{CiId, RunId};
use uuid::Uuid;

use super::{Most, RequestFile, Selection, parse_pair, parse_time, parse_word};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  patchctl ci list --type vm --tag env=prod
  patchctl ci create web-07 --type vm --tag os=rocky9 --tag env=prod
  patchctl ci import inventory.ini --dry-run
  patchctl ci impact db-01 --depth 3
  patchctl ci maintenance on web-07 --reason 'disk swap' --until 2026-03-01T06:00:00Z
  ansible-inventory -i <(patchctl ci inventory) --list")]
pub enum CiCommand {
    /// List configuration items.
    List {
        /// Only of this type: datacenter, cluster, host, vm, service, application, database, network, storage or other.
        #[arg(long = "type", value_parser = parse_word::<CiType>, value_name = "TYPE")]
        ci_type: Option<CiType>,
        /// Only those that bear this tag; given often, all of them.
        #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_pair)]
        tags: Vec<(String, String)>,
        /// Only those whose id or name contains this text.
        #[arg(long)]
        text: Option<String>,
        /// Decommissioned ones instead of active ones.
        #[arg(long)]
        decommissioned: bool,
        #[command(flatten)]
        most: Most,
    },
    /// Show one configuration item.
    Show { id: CiId },
    /// Create a configuration item, from arguments or from a file.
    Create {
        #[arg(required_unless_present = "file")]
        id: Option<CiId>,
        #[arg(long = "type", value_parser = parse_word::<CiType>, value_name = "TYPE", required_unless_present = "file")]
        ci_type: Option<CiType>,
        #[arg(long)]
        name: Option<String>,
        #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_pair)]
        tags: Vec<(String, String)>,
        /// JSON values are taken as such, anything else as text.
        #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = parse_pair)]
        attributes: Vec<(String, String)>,
        /// Why; kept in the history.
        #[arg(long)]
        reason: Option<String>,
        /// JSON or YAML file; `-` reads standard input.
        #[arg(short, long, value_name = "FILE", conflicts_with_all = ["id", "ci_type", "name", "tags", "attributes", "reason"])]
        file: Option<PathBuf>,
    },
    /// Change a configuration item.
    Update {
        id: CiId,
        #[arg(long)]
        name: Option<String>,
        /// Add or change a tag.
        #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_pair)]
        tags: Vec<(String, String)>,
        /// Remove a tag.
        #[arg(long = "remove-tag", value_name = "KEY")]
        removed_tags: Vec<String>,
        /// Add or change an attribute; JSON values are taken as such, anything else as text.
        #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = parse_pair)]
        attributes: Vec<(String, String)>,
        /// Bring a decommissioned one back.
        #[arg(long)]
        activate: bool,
        /// Why; kept in the history.
        #[arg(long)]
        reason: Option<String>,
        /// Only when it still has this version.
        #[arg(long, value_name = "VERSION")]
        if_version: Option<i64>,
    },
    /// Take a configuration item out of service; its history stays.
    Decommission { id: CiId },
    /// What a configuration item affects and what it needs.
    Impact {
        id: CiId,
        /// How far to look, 1 to 20.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=20))]
        depth: Option<u32>,
    },
    /// Who changed what, when and why; newest first.
    History {
        id: CiId,
        #[command(flatten)]
        most: Most,
    },
    /// Maintenance: nothing alerts and nothing else touches the host.
    #[command(subcommand)]
    Maintenance(MaintenanceCommand),
    /// Record the outcome of patching that was done elsewhere.
    PatchState {
        id: CiId,
        #[command(flatten)]
        request: RequestFile,
    },
    /// Import a list: CSV, JSON, NDJSON, Ansible inventory or NetBox export, recognised by its content.
    Import {
        /// `-` reads standard input.
        file: PathBuf,
        /// Only say what would happen.
        #[arg(long)]
        dry_run: bool,
    },
    /// The dependency graph of a selection.
    Graph {
        #[command(flatten)]
        selection: Selection,
    },
    /// Ansible's dynamic inventory, as JSON.
    Inventory {
        /// Only those that bear this tag; given often, all of them.
        #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_pair)]
        tags: Vec<(String, String)>,
        /// Freeze hosts and groups under this run.
        #[arg(long, value_name = "RUN")]
        run: Option<RunId>,
    },
    /// Take over what the sim-engine has.
    Sync {
        /// Wait until it has ended.
        #[arg(long)]
        wait: bool,
    },
    /// How the last synchronisation went.
    SyncStatus,
}

#[derive(Debug, Subcommand)]
pub enum MaintenanceCommand {
    /// Begin maintenance, or move its end.
    On {
        id: CiId,
        #[arg(long)]
        reason: String,
        /// RFC 3339 time at which it ends by itself, at most seven days ahead.
        #[arg(long, value_parser = parse_time, value_name = "TIME")]
        until: DateTime<Utc>,
        /// Who holds it.
        #[arg(long, env = "USER", default_value = "operator")]
        owner: String,
    },
    /// End maintenance.
    Off {
        id: CiId,
        /// Who holds it.
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
        ci: CiId,
        #[command(flatten)]
        most: Most,
    },
    /// Relate two configuration items.
    Create {
        source: CiId,
        /// contains, runs, member_of, depends_on, connected_to or uses.
        #[arg(value_parser = parse_word::<RelationshipType>, value_name = "TYPE")]
        relationship_type: RelationshipType,
        target: CiId,
        /// For depends_on: compatible, degraded or incompatible (must be patched together).
        #[arg(long, value_parser = parse_word::<Compatibility>)]
        compatibility: Option<Compatibility>,
    },
    /// Delete a relationship.
    Delete { id: Uuid },
}
