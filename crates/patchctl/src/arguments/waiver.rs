use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Subcommand};
use domain::ids::CiId;
use uuid::Uuid;

use super::{Most, parse_pair, parse_time};

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
    Delete { id: Uuid },
}

#[derive(Debug, Subcommand)]
pub enum CalendarCommand {
    /// List freeze calendars.
    List(Most),
    /// Show one calendar; as iCalendar with --ical.
    Show {
        id: Uuid,
        #[arg(long)]
        ical: bool,
    },
    /// Add a freeze, with its times or from an iCalendar file.
    #[command(group(ArgGroup::new("when").required(true).args(["starts", "ical"])), after_help = "\
Examples:
  patchctl calendar create --name year-end --starts 2026-12-20T00:00:00Z --ends 2027-01-04T00:00:00Z --tag env=prod
  patchctl calendar create --name holidays --ical holidays.ics")]
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
        /// iCalendar file (RFC 5545); `-` reads standard input.
        #[arg(long, value_name = "FILE")]
        ical: Option<PathBuf>,
    },
    /// Delete a calendar.
    Delete { id: Uuid },
}
