use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use domain::ids::{CiId, PolicyId, ScanId};

use super::Selection;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  patchctl compliance                     by policy, environment, OS, tier, owner and cluster
  patchctl compliance show web-07         what one host lacks, and since when
  patchctl compliance scan --tag env=prod --wait
  patchctl compliance export --format csv > compliance.csv")]
pub enum ComplianceCommand {
    /// Compliance of the fleet; what `patchctl compliance` alone prints.
    Summary,
    /// What one host lacks, and why.
    Show { ci: CiId },
    /// Look at hosts now. Exit status with --wait: 3 when some could not be scanned.
    Scan {
        #[command(flatten)]
        selection: Selection,
        /// Wait until it has ended.
        #[arg(long)]
        wait: bool,
    },
    /// How a scan goes.
    ScanStatus { id: ScanId },
    /// Print the whole table.
    Export {
        #[arg(long, value_enum, default_value_t = ExportFormat::Csv)]
        format: ExportFormat,
        /// Only results of this policy.
        #[arg(long, value_name = "ID")]
        policy: Option<PolicyId>,
        /// Only hosts of this environment.
        #[arg(long)]
        env: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    Csv,
    Json,
    Ndjson,
}

#[derive(Debug, Subcommand)]
pub enum InventoryCommand {
    /// Hand in the packages of one host (a JSON or YAML object) or of many (NDJSON, one object a line).
    #[command(after_help = "\
Example of one line:
  {\"ci_id\":\"web-07\",\"os\":\"rocky:9\",\"packages\":[{\"name\":\"openssl\",\"version\":\"1:3.0.7-24.el9\"}]}")]
    Push {
        /// `-` reads standard input.
        file: PathBuf,
    },
}
