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
    /// What is overdue, how long repairs took, and how long hosts are exposed.
    Timeliness {
        /// Months of repairs that count, this one among them; 12 when unsaid.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=120))]
        months: Option<u32>,
    },
    /// Days from publication until a fix must be installed; options change them.
    ServiceLevels {
        /// For what is known to be exploited, whatever its severity.
        #[arg(long, value_name = "DAYS")]
        exploited: Option<u32>,
        #[arg(long, value_name = "DAYS")]
        critical: Option<u32>,
        #[arg(long, value_name = "DAYS")]
        high: Option<u32>,
        /// For every other severity.
        #[arg(long, value_name = "DAYS")]
        other: Option<u32>,
    },
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
    /// Hand in the packages of one host, or of many (NDJSON, one object a line). The form is told by the content.
    ///
    /// The platform's own form (JSON or YAML) names the host; of SBOMs (CycloneDX, SPDX in JSON) and of what a package
    /// manager prints, --ci says whose it is.
    #[command(after_help = "\
Examples:
  patchctl inventory push fleet.ndjson
  {\"ci_id\":\"web-07\",\"os\":\"rocky:9\",\"packages\":[{\"name\":\"openssl\",\"version\":\"1:3.0.7-24.el9\"}]}

  ssh web-07 rpm -qa --qf \"'%{NAME}\\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{SOURCERPM}\\t%{MODULARITYLABEL}\\n'\" |
    patchctl inventory push --ci web-07 --os rocky:9 -

  ssh db-01 dpkg-query -W -f=\"'\\${Package}\\t\\${Version}\\t\\${Architecture}\\t\\${source:Package}\\t\\${source:Version}\\t\\${db:Status-Abbrev}\\n'\" |
    patchctl inventory push --ci db-01 --os debian:12 -

  patchctl inventory push --ci web-07 sbom.cdx.json")]
    Push {
        /// `-` reads standard input.
        file: PathBuf,
        /// The host, where the file does not name it.
        #[arg(long, value_name = "CI")]
        ci: Option<CiId>,
        /// Its OS release, such as `rocky:9`; an SBOM may tell it itself.
        #[arg(long, requires = "ci")]
        os: Option<String>,
        /// The same host and scan id are taken once.
        #[arg(long, requires = "ci", value_name = "ID")]
        scan_id: Option<String>,
        /// Kernel the host runs, as `uname -r` prints it.
        #[arg(long, requires = "ci", value_name = "RELEASE")]
        running_kernel: Option<String>,
    },
}
