use clap::{Args, Subcommand, ValueEnum};
use domain::time::OffsetDays;

#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// Print the next times at which a crontab schedule fires, in RFC 3339, one per line.
    ///
    /// Five fields with their usual meaning (Sunday is 0 and 7; day of month OR day of week when both are restricted). At
    /// clock changes a fixed hour fires once per local day, a time in the gap fires at the first instant after it, and
    /// a wildcard hour keeps firing. A pattern that can never fire is refused. `TUE#2` or `2#2` is the second Tuesday of a
    /// month, `FRIL` or `5L` the last Friday.
    #[command(after_help = "\
With --batch, standard input has one question per line with tab-separated fields: expression, zone, from, count. Each
answer is one line: the tab-separated times, or `error: ` and the reason. Exit status 3 when some lines could not be
answered.

Examples:
  patchctl schedule next '0 2 * * 0' --tz Europe/Berlin --from 2026-03-01T00:00:00Z --count 5
  patchctl schedule next '0 2 * * TUE#2' --offset-days 2
  printf '0 2 * * 0\\tEurope/Berlin\\t2026-03-01T00:00:00Z\\t2\\n' | patchctl schedule next --batch")]
    Next {
        /// Five-field crontab expression, or a nickname such as `@daily`.
        #[arg(required_unless_present = "batch", conflicts_with = "batch")]
        expression: Option<String>,
        /// IANA time zone of the schedule.
        #[arg(long, default_value = "UTC", value_name = "ZONE", conflicts_with = "batch")]
        tz: String,
        /// Days between the days that the expression selects and those that are meant, -30 to 30.
        #[arg(long, default_value_t = OffsetDays::NONE, value_name = "DAYS", conflicts_with = "batch", allow_negative_numbers = true)]
        offset_days: OffsetDays,
        /// Only times after this one (RFC 3339); default now.
        #[arg(long, value_name = "TIME", conflicts_with = "batch")]
        from: Option<String>,
        /// Number of times, 1 to 10000.
        #[arg(long, default_value_t = 5, value_name = "N", conflicts_with = "batch")]
        count: usize,
        /// Answer questions from standard input.
        #[arg(long)]
        batch: bool,
    },
}

#[derive(Debug, Args)]
pub struct VersionArguments {
    #[command(subcommand)]
    pub command: Option<VersionCommand>,
}

/// What was `patchctl version` before it printed the version of the program.
#[derive(Debug, Subcommand)]
pub enum VersionCommand {
    /// Compare package versions; now `patchctl package compare`.
    #[command(hide = true)]
    Compare(CompareArguments),
}

#[derive(Debug, Args)]
pub struct CompareArguments {
    #[arg(value_enum)]
    pub packaging: PackagingName,
    /// Compare this pair instead of those on standard input.
    #[arg(num_args = 2, value_names = ["A", "B"], allow_hyphen_values = true)]
    pub pair: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PackagingName {
    Rpm,
    #[value(alias = "deb")]
    Dpkg,
}
