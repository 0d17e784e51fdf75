//! Schedules and versions: commands that need no platform.

use std::cmp::Ordering;
use std::io::{self, BufRead, BufWriter, ErrorKind, Write};

use advisories::Packaging;
use advisories::version::{InvalidVersion, Nevra};
use chrono::{SecondsFormat, Utc};
use domain::time::{Crontab, next_occurrences, occurrences_of};

use crate::arguments::{CompareArguments, PackagingName, ScheduleCommand};
use terminal::{CommandResult, ExitStatus, Failure, OK};
use terminal::{hint, print};

/// Longest line of a batch of schedules, in bytes.
const LINE_BYTES: usize = 64 * 1024;

pub fn schedule(command: ScheduleCommand) -> CommandResult {
    let ScheduleCommand::Next { expression, tz, offset_days, from, count, batch } = command;
    let Some(expression) = expression.filter(|_| !batch) else {
        return answer_lines(|line| next_times(line).map_err(|reason| format!("error: {reason}")));
    };
    let from = from.unwrap_or_else(|| Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true));
    let crontab: Crontab = expression.parse().map_err(usage)?;
    let times = occurrences_of(&crontab.moved_by(offset_days), &tz, &from, count).map_err(usage)?;
    print(&times.join("\n"))?;
    if let Some(text) = crontab.hint() {
        hint(&text.to_string());
    }
    OK
}

fn usage(error: impl ToString) -> Failure {
    Failure::usage(error.to_string())
}

pub fn compare_versions(arguments: CompareArguments) -> CommandResult {
    let CompareArguments { packaging, pair } = arguments;
    let packaging = match packaging {
        PackagingName::Rpm => Packaging::Rpm,
        PackagingName::Dpkg => Packaging::Dpkg,
    };
    let [a, b] = &pair[..] else {
        return answer_lines(|line| compare_line(packaging, line).ok_or("invalid".to_owned()));
    };
    print(sign(compare(packaging, a, b).map_err(|error| Failure::usage(error.to_string()))?))?;
    OK
}

/// Answers each line of standard input with one line, as soon as it is read. Exit status 3 when an answer is an error.
fn answer_lines<T: AsRef<str>>(answer: impl Fn(&[u8]) -> Result<T, String>) -> CommandResult {
    let cannot_write = |error| Failure::new(format!("cannot write the answer: {error}"));
    let mut output = BufWriter::new(io::stdout().lock());
    let mut status = ExitStatus::Ok;
    for line in io::stdin().lock().split(b'\n') {
        let line = line.map_err(|error| Failure::new(format!("cannot read standard input: {error}")))?;
        let written = match answer(&line) {
            Ok(text) => writeln!(output, "{}", text.as_ref()),
            Err(text) => {
                status = ExitStatus::Partial;
                writeln!(output, "{text}")
            }
        };
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return OK,
            written => written.map_err(cannot_write)?,
        }
    }
    output.flush().map_err(cannot_write)?;
    Ok(status)
}

fn next_times(line: &[u8]) -> Result<String, String> {
    if line.len() > LINE_BYTES {
        return Err(format!("the line is longer than {LINE_BYTES} bytes"));
    }
    let line = str::from_utf8(line).map_err(|_| "the line is not UTF-8")?;
    let fields: Vec<&str> = line.trim_end_matches('\r').split('\t').collect();
    let [expression, zone, from, count] = fields[..] else {
        return Err(format!(
            "the line has {} tab-separated fields instead of 4: expression, zone, from, count",
            fields.len()
        ));
    };
    let count =
        count.trim().parse().map_err(|_| format!("count `{}` is not a number", count.escape_default()))?;
    let times = next_occurrences(expression, zone, from, count).map_err(|error| error.to_string())?;
    Ok(times.join("\t"))
}

fn compare_line(packaging: Packaging, line: &[u8]) -> Option<&'static str> {
    let line = str::from_utf8(line).ok()?.trim_end_matches('\r');
    let (a, b) = line.split_once('\t')?;
    compare(packaging, a, b).ok().map(sign)
}

/// No rpm version contains two hyphens: a text that does is the full name of a package, and names are compared first.
fn compare(packaging: Packaging, a: &str, b: &str) -> Result<Ordering, InvalidVersion> {
    let (one, other) = (Nevra::parse(a), Nevra::parse(b));
    match packaging {
        Packaging::Rpm if one.name.or(other.name).is_some() => one.compare(&other),
        _ => advisories::compare(packaging, a, b),
    }
}

fn sign(ordering: Ordering) -> &'static str {
    match ordering {
        Ordering::Less => "<",
        Ordering::Equal => "=",
        Ordering::Greater => ">",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_answered_with_times_or_a_reason() {
        let answered = next_times(b"0 2 * * 0\tEurope/Berlin\t2026-03-22T12:00:00Z\t1\r").unwrap();
        assert_eq!(answered, "2026-03-29T03:00:00+02:00");
        assert!(next_times(b"0 2 * * 0\tUTC").unwrap_err().contains("2 tab-separated fields"));
        assert!(next_times(b"0 2 * * 0\tUTC\t2026-03-22T12:00:00Z\tmany").unwrap_err().contains("count"));
        assert!(next_times(b"0 0 31 2 *\tUTC\t2026-03-22T12:00:00Z\t1").is_err());
    }

    #[test]
    fn full_package_names_are_distinguished_from_versions() {
        let compare = |line: &str| compare_line(Packaging::Rpm, line.as_bytes());
        assert_eq!(
            compare("fonts-filesystem-0:2.0.5-12.fc39.noarch\tfonts-filesystem-2.0.5-12.fc39.noarch"),
            Some("=")
        );
        assert_eq!(compare("a-1-1\t1-1"), Some(">"));
        assert_eq!(compare("0:1.0-1\t1.0-2"), Some("<"));
    }

    #[test]
    fn lines_that_are_not_pairs_are_invalid() {
        let compare = |line: &[u8]| compare_line(Packaging::Dpkg, line);
        assert_eq!(compare(b"1.0~rc1\t1.0"), Some("<"));
        assert_eq!(compare(b"1:0.9\t2.0\r"), Some(">"));
        assert_eq!(compare(b"1.0"), None);
        assert_eq!(compare(b"1.0-\t1.0"), None);
        assert_eq!(compare(b"\xff\t1"), None);
    }
}
