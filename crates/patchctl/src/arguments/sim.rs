use std::path::PathBuf;

use api_types::sim::{Driver, FaultKind, HostImage, PowerAction, ServiceAction};
use clap::Subcommand;
use domain::ids::CiId;
use uuid::Uuid;

use super::{Most, RequestFile, parse_name, parse_pair};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  patchctl vm create web-07 --os rocky9 --tag env=prod
  patchctl vm power web-07 reset
  patchctl vm snapshot create web-07 --owner olivia --hours 24
  patchctl vm guest web-07 -o json")]
pub enum VmCommand {
    /// List virtual machines.
    List {
        #[arg(long)]
        os: Option<String>,
        #[arg(long)]
        cluster: Option<String>,
        #[arg(long)]
        hypervisor: Option<String>,
        /// on or off.
        #[arg(long)]
        power: Option<String>,
        #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_pair)]
        tags: Vec<(String, String)>,
        #[command(flatten)]
        most: Most,
    },
    /// Show one virtual machine.
    Show { id: CiId },
    /// Create a virtual machine, or those in a file: one object, or `vms:` with up to 1000 of them.
    Create {
        #[arg(required_unless_present = "file", requires = "os")]
        id: Option<CiId>,
        /// OS tag as in the CMDB: rocky9, debian12, ubuntu2204.
        #[arg(long)]
        os: Option<String>,
        /// model or linux.
        #[arg(long, value_parser = parse_name::<Driver>, default_value = "model")]
        driver: Driver,
        /// What a linux host is made of: laboratory (small packages that can fail) or brownfield (Debian's own packages).
        #[arg(long, value_parser = parse_name::<HostImage>, default_value = "laboratory")]
        image: HostImage,
        #[arg(long)]
        cluster: Option<String>,
        #[arg(long)]
        hypervisor: Option<String>,
        #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_pair)]
        tags: Vec<(String, String)>,
        /// JSON or YAML file; `-` reads standard input.
        #[arg(short, long, value_name = "FILE", conflicts_with_all = ["id", "os", "cluster", "hypervisor", "tags"])]
        file: Option<PathBuf>,
    },
    /// Delete a virtual machine and its snapshots.
    Delete { id: CiId },
    /// Power a virtual machine on or off, or reset it.
    Power {
        id: CiId,
        /// on, off or reset.
        #[arg(value_parser = parse_name::<PowerAction>)]
        action: PowerAction,
    },
    /// Snapshots of a virtual machine.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Show the state of a model guest: packages, services, disk, reboot.
    Guest { id: CiId },
    /// Start, stop, restart or drain a service inside a guest.
    Service {
        id: CiId,
        service: String,
        /// start, stop, restart or drain.
        #[arg(value_parser = parse_name::<ServiceAction>)]
        action: ServiceAction,
    },
    /// Install packages inside a guest.
    Install {
        id: CiId,
        /// `name=version`.
        #[arg(required = true, value_parser = parse_pair, value_name = "PACKAGE=VERSION")]
        packages: Vec<(String, String)>,
    },
    /// Show the package history of a guest, newest first.
    Transactions { id: CiId },
    /// Reboot a guest gracefully.
    Reboot { id: CiId },
    /// List hypervisors.
    Hypervisors,
    /// List clusters of hypervisors.
    Clusters,
    /// Print all machines; with --since, the changes after that version.
    State {
        #[arg(long, value_name = "VERSION")]
        since: Option<i64>,
    },
}

#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// List the snapshots of a virtual machine.
    List { vm: CiId },
    /// Take a snapshot.
    Create {
        vm: CiId,
        /// Who needs it.
        #[arg(long, env = "USER", default_value = "operator")]
        owner: String,
        #[arg(long, default_value = "")]
        purpose: String,
        /// Hours until it is deleted automatically.
        #[arg(long, default_value_t = 72, value_parser = clap::value_parser!(u32).range(1..=8760))]
        hours: u32,
    },
    /// Delete a snapshot.
    Delete { vm: CiId, snapshot: Uuid },
    /// Revert a virtual machine to a snapshot.
    Revert { vm: CiId, snapshot: Uuid },
}

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  patchctl fault inject patch-failure web-07 --times 1
  patchctl fault inject service-failure web-07 --service nginx --probability 0.2 --seed 7
  patchctl fault clear --vm web-07")]
pub enum FaultCommand {
    /// Inject a fault into virtual machines.
    Inject {
        /// host-failure, patch-failure, service-failure, slow, disk-full or network-partition.
        #[arg(value_parser = parse_name::<FaultKind>)]
        kind: FaultKind,
        #[arg(required = true, value_name = "VM")]
        vms: Vec<CiId>,
        /// Probability that an operation fails, 0 to 1.
        #[arg(long, default_value_t = 1.0)]
        probability: f64,
        /// Number of times it applies; by default until it is cleared.
        #[arg(long)]
        times: Option<u32>,
        /// For service-failure; by default every service.
        #[arg(long)]
        service: Option<String>,
        /// For slow: additional seconds for each operation.
        #[arg(long, value_name = "SECONDS")]
        delay: Option<f64>,
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// List injected faults.
    List {
        #[arg(long)]
        vm: Option<CiId>,
        #[command(flatten)]
        most: Most,
    },
    /// Clear one fault, those of a machine, or all.
    #[command(group(clap::ArgGroup::new("which").required(true).args(["id", "vm", "all"])))]
    Clear {
        id: Option<Uuid>,
        #[arg(long)]
        vm: Option<CiId>,
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum RepositoryCommand {
    /// Show the packages in the repository of an OS.
    Show { os: String },
    /// Replace the packages in the repository of an OS.
    #[command(
        after_help = "Example of a repository in YAML:\n  packages:\n    openssl: ['1:3.0.7-24.el9', '1:3.0.7-27.el9']"
    )]
    Set {
        os: String,
        #[command(flatten)]
        request: RequestFile,
    },
}
