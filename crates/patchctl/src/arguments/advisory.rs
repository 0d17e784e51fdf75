use std::path::PathBuf;

use advisories::OsRelease;
use clap::{Args, Subcommand};
use domain::ids::PolicyId;

use super::{Most, Way};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  patchctl advisory import all.zip known_exploited_vulnerabilities.json
  patchctl advisory list --severity critical --affected
  patchctl advisory show CVE-2026-90100
  patchctl advisory remediate CVE-2026-90100 --policy policy-prod
  patchctl advisory match --feed all.zip --inventory host.tsv --os almalinux:9 -o tsv")]
pub enum AdvisoryCommand {
    /// List advisories, newest first.
    List {
        /// Only of this severity: none, low, medium, high or critical.
        #[arg(long, value_parser = super::parse_word::<api_types::patch::Severity>)]
        severity: Option<api_types::patch::Severity>,
        /// Only those known to be exploited.
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
        /// Only those that some host lacks.
        #[arg(long)]
        affected: bool,
        #[command(flatten)]
        most: Most,
    },
    /// Show an advisory or a CVE, and the hosts it concerns.
    Show { id: String },
    /// Import feeds, recognised by their content; folders are read file by file.
    ///
    /// OSV and CSAF (single, or many in a zip), updateinfo.xml, Debian's tracker, lists of notices and indexes of sources,
    /// KEV, EPSS, pages of the NVD; any of them packed with gzip or xz. How far it is shows on a terminal. Exit status 3
    /// when some records were refused; sending the same again goes on where an import broke off.
    Import {
        #[arg(required = true, value_name = "FILE|DIR|ZIP")]
        paths: Vec<PathBuf>,
    },
    /// List imports, newest first: how far they are, and what became of them.
    Imports {
        #[command(flatten)]
        most: Most,
    },
    /// Start the remediation of an advisory or CVE: scan, staging tests, rolling deployment, verification, as one run.
    Remediate {
        id: String,
        /// Whose way of going about it is followed.
        #[arg(long, value_name = "POLICY")]
        policy: Option<PolicyId>,
        #[command(flatten)]
        way: Way,
        /// Follow the run until it ends.
        #[arg(long)]
        watch: bool,
    },
    /// Which advisories of a feed one host lacks; needs no platform.
    #[command(after_help = "\
The inventory is what `dpkg-query -W` or `rpm -qa` print with a query format, tab-separated; a first line that starts with
`#` names the columns (`#name<TAB>installed<TAB>arch...`). Columns of the answer: advisory, kind, package, installed, fixed.

Example:
  patchctl advisory match --feed almalinux9-all.zip --inventory host.tsv --os almalinux:9 -o tsv")]
    Match(MatchArguments),
}

#[derive(Debug, Args)]
pub struct MatchArguments {
    /// Feed of any form that `import` takes and that has advisories, such as the `all.zip` of an OSV ecosystem; folders are
    /// read file by file.
    #[arg(long = "feed", required = true, num_args = 1.., value_name = "FILE|ZIP")]
    pub feeds: Vec<PathBuf>,

    /// Installed packages, tab-separated; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    pub inventory: PathBuf,

    /// The host's OS, such as `almalinux:9`, `debian12` or `ubuntu:22.04`. When unsaid that of the feed; of several the one
    /// that rpm packages were built for.
    #[arg(long, value_name = "OS")]
    pub os: Option<OsRelease>,

    /// Kernel the host runs, as `uname -r` prints it: also tells what waits for a reboot.
    #[arg(long, value_name = "RELEASE")]
    pub running_kernel: Option<String>,
}
