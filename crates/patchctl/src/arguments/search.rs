use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchctl search web-0
  patchctl search CVE-2026-9 --kind cve
  patchctl search openssl --kind package,change --limit 20")]
pub struct SearchArguments {
    /// A few characters of a name or an id; at least two.
    #[arg(value_name = "TEXT")]
    pub text: String,

    /// Only these kinds, comma-separated: host, cve, package, run, change, customer.
    #[arg(long, value_name = "KINDS")]
    pub kind: Option<String>,

    /// Maximum number of items of each kind, 1 to 50.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=50))]
    pub limit: u32,
}
