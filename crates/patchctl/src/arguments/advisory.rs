use std::path::PathBuf;

use advisories::{OsRelease, module_stream::ModuleStream};
use clap::{Args, Subcommand};
use domain::ids::PolicyId;

use super::{Most, RunOptions};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  patchctl advisory import all.zip known_exploited_vulnerabilities.json
  patchctl advisory list --severity critical --affected
  patchctl advisory show CVE-2026-90100
  patchctl advisory coverage
  patchctl advisory remediate CVE-2026-90100 --policy policy-prod
  patchctl advisory match --feed all.zip --inventory host.tsv --os almalinux:9 -o tsv")]
pub enum AdvisoryCommand {
    /// List advisories, newest first.
    List {
        /// Only of this severity: none, unknown, low, medium, high or critical.
        #[arg(long, value_parser = super::parse_name::<api_types::patch::Severity>)]
        severity: Option<api_types::patch::Severity>,
        /// Only those that are known to be exploited.
        #[arg(long)]
        kev: bool,
        /// Only for this OS, such as `rocky:9`.
        #[arg(long)]
        os: Option<String>,
        /// Only those that fix this package.
        #[arg(long)]
        package: Option<String>,
        /// Only those whose id, CVEs or summary contain this text.
        #[arg(long)]
        text: Option<String>,
        /// Only those that are missing on a host.
        #[arg(long)]
        affected: bool,
        #[command(flatten)]
        most: Most,
    },
    /// Show an advisory or a CVE, and the hosts it affects.
    Show { id: String },
    /// Show how many hosts missed the fixes of an advisory or a CVE, day by day.
    History {
        id: String,
        /// Number of days, counted back from today.
        #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=400))]
        days: u32,
    },
    /// Import feeds; the format is recognised by the content, and folders are read file by file.
    ///
    /// OSV and CSAF (one document, a zip or a tar), updateinfo.xml, Debian's tracker, lists of notices and source indexes,
    /// KEV, EPSS, NVD pages; each may be compressed with gzip, bzip2 or xz. A terminal shows the progress. Exit status 3 when
    /// some records were refused. To continue an import that was interrupted, send the same files again.
    Import {
        #[arg(required = true, value_name = "FILE|DIR|ZIP")]
        paths: Vec<PathBuf>,
    },
    /// List imports and their progress, newest first.
    Imports(Most),
    /// Show what the imported feeds know of each release, and up to when. Exit status 3 when nothing can be said about a
    /// release of a host.
    Coverage(Most),
    /// Remediate an advisory or CVE in one run: scan, staging tests, rolling deployment, verification.
    Remediate {
        id: String,
        /// The policy whose settings are used.
        #[arg(long, value_name = "POLICY")]
        policy: Option<PolicyId>,
        #[command(flatten)]
        options: RunOptions,
        /// Follow the run until it ends.
        #[arg(long)]
        watch: bool,
    },
    /// Match an inventory with feeds and print the advisories that are missing on a host, without a platform.
    #[command(after_help = "\
The inventory is the tab-separated output of `dpkg-query -W` or `rpm -qa` with a query format; a first line that starts
with `#` names the columns (`#name<TAB>installed<TAB>arch...`). Columns of the answer: advisory, kind, package, installed,
fixed.

Example:
  patchctl advisory match --feed almalinux9-all.zip --inventory host.tsv --os almalinux:9 -o tsv")]
    Match(MatchArguments),
}

#[derive(Debug, Args)]
pub struct MatchArguments {
    /// Feed with advisories in any format that `import` accepts, such as the `all.zip` of an OSV ecosystem; folders are
    /// read file by file.
    #[arg(long = "feed", required = true, num_args = 1.., value_name = "FILE|ZIP")]
    pub feeds: Vec<PathBuf>,

    /// Installed packages, tab-separated; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    pub inventory: PathBuf,

    /// OS of the host, such as `almalinux:9`, `debian12` or `ubuntu:22.04`. By default the OS of the feed; if the feed has
    /// several, the one that the rpm packages were built for.
    #[arg(long, value_name = "OS")]
    pub os: Option<OsRelease>,

    /// Channel that the host is subscribed to in addition to its OS, such as `ubuntu-pro:20.04`, `rhel-eus:9.2` or
    /// `sles-ltss:15.3`; of Ubuntu and SLES also only its name: `esm-infra`, `ltss`. May be repeated. Installed builds such as
    /// `+esm` show it by themselves.
    #[arg(long = "channel", value_name = "CHANNEL")]
    pub channels: Vec<String>,

    /// Module stream that is enabled on the host, such as `nodejs:20`, as `dnf module list --enabled` prints it. May be repeated.
    #[arg(long = "module", value_name = "NAME:STREAM")]
    pub modules: Vec<ModuleStream>,

    /// Running kernel as `uname -r` prints it; also reports fixes that wait for a reboot.
    #[arg(long, value_name = "RELEASE")]
    pub running_kernel: Option<String>,
}
