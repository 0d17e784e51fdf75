use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use domain::ids::{CiId, PolicyId, ScanId};

use super::{CompareArguments, Most, Selection};
use crate::complete;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  patchctl compliance                     by policy, environment, OS, tier, owner and cluster
  patchctl compliance list --status non_compliant --env prod --sort severity
  patchctl compliance show web-07         what is missing on one host, by package
  patchctl compliance history --days 90   compliance of the last 90 days
  patchctl compliance scan --tag env=prod --wait
  patchctl compliance export --format csv > compliance.csv")]
pub enum ComplianceCommand {
    /// Compliance of the fleet; the default of `patchctl compliance`.
    Summary,
    /// List hosts, one row per host: status with reason, what is pending, and how bad it is.
    ///
    /// The platform itself sorts by name, by severity (exploited and severe first), by due (the earliest first) and by pending
    /// (most first), before the limit applies. Any other column sorts what is printed.
    #[command(after_help = "\
Examples:
  patchctl compliance list --status non_compliant,unknown --env prod
  patchctl compliance list --kev --sort due
  patchctl compliance list --os \"Rocky Linux 9\" --severity critical,high --sort severity")]
    List {
        /// Only with one of these statuses, comma-separated: compliant, non_compliant, unknown.
        #[arg(long, value_name = "STATUSES")]
        status: Option<String>,
        /// Only hosts of this environment.
        #[arg(long)]
        env: Option<String>,
        /// Only hosts with this OS release, in any spelling.
        #[arg(long)]
        os: Option<String>,
        /// Only hosts whose worst pending fix has one of these severities, comma-separated: critical, high, medium, low, unknown,
        /// none.
        #[arg(long, value_name = "SEVERITIES")]
        severity: Option<String>,
        /// Only hosts with a pending fix of a CVE that is known to be exploited.
        #[arg(long)]
        kev: bool,
        #[command(flatten)]
        most: Most,
    },
    /// Show what is missing on one host, one row per package with its newest fix.
    Show {
        #[arg(add = complete::hosts())]
        ci: CiId,
        /// Show each missing advisory.
        #[arg(long)]
        all: bool,
    },
    /// Show the vulnerabilities of one host for which its vendor has no fix, and what the vendor says.
    Unfixed {
        #[arg(add = complete::hosts())]
        ci: CiId,
        #[command(flatten)]
        most: Most,
    },
    /// Show the compliance of each day, newest first; days are kept for 13 months.
    History {
        /// Number of days, counted back from today.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=400))]
        days: u32,
        /// By policy, env, os, tier, owner or cluster; in total by default.
        #[arg(long, value_name = "DIMENSION")]
        by: Option<String>,
        /// Only this value of the dimension.
        #[arg(long, requires = "by")]
        value: Option<String>,
        #[command(flatten)]
        most: Most,
    },
    /// Scan hosts now. Exit status with --wait: 3 when some hosts could not be scanned.
    Scan {
        #[command(flatten)]
        selection: Selection,
        /// Wait for its end.
        #[arg(long)]
        wait: bool,
    },
    /// Show the progress of a scan.
    ScanStatus { id: ScanId },
    /// Show which fixes are overdue, how long remediation took, and how long hosts were exposed.
    Timeliness {
        /// Months of remediation that count, including this month; default 12.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=120))]
        months: Option<u32>,
    },
    /// Show or change the days from publication until a fix must be installed.
    ServiceLevels {
        /// For fixes of known exploited vulnerabilities, whatever their severity.
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
    /// Print the complete compliance table.
    Export {
        #[arg(long, value_enum, default_value_t = ExportFormat::Csv)]
        format: ExportFormat,
        /// Only results of this policy.
        #[arg(long, value_name = "ID", add = complete::policies())]
        policy: Option<PolicyId>,
        /// Only hosts of this environment.
        #[arg(long)]
        env: Option<String>,
        /// Only hosts with this OS release, in any spelling.
        #[arg(long)]
        os: Option<String>,
        /// Only results with this status: compliant, non_compliant or unknown.
        #[arg(long)]
        status: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum PackageCommand {
    /// List the hosts that have a package, one row per host with the installed versions.
    #[command(after_help = "\
Examples:
  patchctl package list openssl --below 3.0.7-25.el9
  patchctl package list libssl3 --below 3.0.11-1~deb12u2 --os debian:12")]
    List {
        /// Name of the installed package.
        name: String,
        /// Only versions lower than this one, in the order of rpm or dpkg. An epoch is compared only if it is given here.
        #[arg(long, value_name = "VERSION")]
        below: Option<String>,
        /// Only hosts with this OS release, in any spelling.
        #[arg(long)]
        os: Option<String>,
        #[command(flatten)]
        most: Most,
    },
    /// Compare package versions as a package manager does, without a platform.
    ///
    /// Standard input has one tab-separated pair per line; each answer is a line `<`, `=`, `>` or `invalid`. Exit status 3
    /// when some were invalid.
    #[command(after_help = "\
Examples:
  patchctl package compare rpm 1:3.0.7-24.el9 1:3.0.7-27.el9
  printf '1.0~rc1\\t1.0\\n' | patchctl package compare dpkg")]
    Compare(CompareArguments),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    Csv,
    Json,
    Ndjson,
}

#[derive(Debug, Subcommand)]
pub enum InventoryCommand {
    /// Send the packages of one host, or of many (NDJSON, one object per line). The format is recognised by the content.
    ///
    /// The platform's own format (JSON or YAML) names the host. For an SBOM (CycloneDX in JSON or XML, SPDX), for the output of a
    /// package manager, and for the package lists of osquery and Wazuh, --ci names the host. A host whose CI has no tag `os`
    /// gets it from its first inventory.
    #[command(after_help = "\
Examples:
  patchctl inventory push fleet.ndjson
  {\"ci_id\":\"web-07\",\"os\":\"rocky:9\",\"packages\":[{\"name\":\"openssl\",\"version\":\"1:3.0.7-24.el9\"}]}

  ssh web-07 rpm -qa --qf \"'%{NAME}\\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{SOURCERPM}\\t%{MODULARITYLABEL}\\n'\" |
    patchctl inventory push --ci web-07 -

  ssh db-01 dpkg-query -W -f=\"'\\${Package}\\t\\${Version}\\t\\${Architecture}\\t\\${source:Package}\\t\\${source:Version}\\t\\${db:Status-Abbrev}\\n'\" |
    patchctl inventory push --ci db-01 --os debian:12 -

  patchctl inventory push --ci web-07 sbom.cdx.json

  ssh db-01 osqueryi --json \"'SELECT * FROM deb_packages'\" | patchctl inventory push --ci db-01 --os debian:12 -

  curl -H \"Authorization: Bearer $TOKEN\" 'https://wazuh:55000/syscollector/001/packages?limit=100000' |
    patchctl inventory push --ci web-07 -")]
    Push {
        /// `-` reads standard input.
        file: PathBuf,
        /// The host, if the file does not name it.
        #[arg(long, value_name = "CI")]
        ci: Option<CiId>,
        /// Its OS release, such as `rocky:9`; by default that of the SBOM, or else that of the CI.
        #[arg(long, requires = "ci")]
        os: Option<String>,
        /// A second inventory with the same host and scan id is ignored.
        #[arg(long, requires = "ci", value_name = "ID")]
        scan_id: Option<String>,
        /// Running kernel as `uname -r` prints it.
        #[arg(long, requires = "ci", value_name = "RELEASE")]
        running_kernel: Option<String>,
        /// Channel that the host is subscribed to, such as `ubuntu-pro:20.04`, `rhel-eus:9.2` or `ltss`. May be repeated.
        #[arg(long = "channel", requires = "ci", value_name = "CHANNEL")]
        channels: Vec<String>,
        /// Enabled module stream, such as `nodejs:20`. May be repeated.
        #[arg(long = "module", requires = "ci", value_name = "NAME:STREAM")]
        modules: Vec<String>,
    },
}
