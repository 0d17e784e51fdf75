use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Subcommand};
use domain::ids::CiId;
use domain::time::{ByDay, Frequency, KeepOpenDays, OffsetDays, Tz};
use uuid::Uuid;

use super::{Most, ShortId, parse_name, parse_pair, parse_time};

#[derive(Debug, Subcommand)]
pub enum ExceptionCommand {
    /// List exceptions.
    List(Most),
    /// Leave something unpatched on purpose until a date; its service level still counts.
    #[command(after_help = "\
Example:
  patchctl exception create --ci db-01 --advisory CVE-2026-90100 --owner dba --reason 'vendor forbids it before 4.2' \\
      --expires 2026-12-31T00:00:00Z")]
    Create {
        /// Who is responsible for it.
        #[arg(long)]
        owner: String,
        #[arg(long)]
        reason: String,
        /// RFC 3339 time, at most a year ahead.
        #[arg(long, value_parser = parse_time, value_name = "TIME")]
        expires: DateTime<Utc>,
        /// Only for this host; by default for all hosts.
        #[arg(long, value_name = "ID")]
        ci: Option<CiId>,
        /// Only this advisory or CVE; by default all advisories of the package.
        #[arg(long, value_name = "ID")]
        advisory: Option<String>,
        #[arg(long, value_name = "NAME")]
        package: Option<String>,
        /// What protects the host in the meantime.
        #[arg(long, value_name = "TEXT")]
        compensating_control: Option<String>,
    },
    /// End an exception.
    Delete { id: ShortId<Uuid> },
}

#[derive(Debug, Subcommand)]
pub enum CalendarCommand {
    /// List freeze calendars.
    List(Most),
    /// Show one calendar; as iCalendar with --ical.
    Show {
        id: ShortId<Uuid>,
        #[arg(long)]
        ical: bool,
    },
    /// Add a freeze, with its times or from an iCalendar file.
    #[command(group(ArgGroup::new("when").required(true).args(["starts", "ical"])), after_help = "\
Examples:
  patchctl calendar create --name year-end --starts 2026-12-20T00:00:00Z --ends 2027-01-04T00:00:00Z --tag env=prod
  patchctl calendar create --name holidays --ical holidays.ics
  patchctl calendar create --name patch-day --starts 2026-12-10T06:00:00Z --ends 2026-12-10T18:00:00Z \\
      --repeat monthly --on 2TU --offset-days 2 --time-zone Europe/Berlin")]
    Create {
        #[arg(long)]
        name: String,
        #[arg(long, default_value = "")]
        reason: String,
        /// Only for hosts with this tag; repeat it to require several tags.
        #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_pair)]
        tags: Vec<(String, String)>,
        #[arg(long, value_parser = parse_time, value_name = "TIME", requires = "ends")]
        starts: Option<DateTime<Utc>>,
        #[arg(long, value_parser = parse_time, value_name = "TIME", requires = "starts")]
        ends: Option<DateTime<Utc>>,
        /// Repeat it: `daily`, `weekly`, `monthly` or `yearly`.
        #[arg(long, value_parser = parse_name::<Frequency>, value_name = "PERIOD", requires = "starts")]
        repeat: Option<Frequency>,
        /// Day of the period, instead of the day of the start: `TU`, `2TU` is the second Tuesday of the month, `-1FR` the last
        /// Friday. Repeat it for several days.
        #[arg(long, value_name = "DAY", requires = "repeat", allow_hyphen_values = true)]
        on: Vec<ByDay>,
        /// Days from the days of --on to the starts, -30 to 30.
        #[arg(long, default_value_t = OffsetDays::NONE, value_name = "DAYS", requires = "repeat", allow_negative_numbers = true)]
        offset_days: OffsetDays,
        /// IANA time zone in which it recurs and months are counted; by default UTC.
        #[arg(long, value_name = "ZONE", requires = "starts")]
        time_zone: Option<Tz>,
        /// Of each month that the freeze covers wholly, keep this many days at the end open for patching, 0 to 21.
        #[arg(long, default_value = "0", value_name = "DAYS", value_parser = parse_open_days)]
        keep_open_days: KeepOpenDays,
        /// iCalendar file (RFC 5545); `-` reads standard input.
        #[arg(long, value_name = "FILE")]
        ical: Option<PathBuf>,
    },
    /// Delete a calendar.
    Delete { id: ShortId<Uuid> },
}

fn parse_open_days(text: &str) -> Result<KeepOpenDays, String> {
    let days: u8 = text.parse().map_err(|_| format!("`{text}` is not a whole number of days"))?;
    KeepOpenDays::try_from(days).map_err(|error| error.to_string())
}
