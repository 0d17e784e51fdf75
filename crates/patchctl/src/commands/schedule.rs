use std::io::{self, BufRead, BufWriter, ErrorKind, Write};

use chrono::{SecondsFormat, Utc};
use domain::time::next_occurrences;

use super::OK;
use crate::arguments::ScheduleCommand;
use crate::failure::{ExitStatus, Failure, Outcome};
use crate::output::print;

/// Longest line of a batch, in bytes.
const LINE_BYTES: usize = 64 * 1024;

pub fn run(command: ScheduleCommand) -> Outcome {
    let ScheduleCommand::Next { expression, tz, from, count, batch } = command;
    let Some(expression) = expression.filter(|_| !batch) else { return answer_batch() };
    let from = from.unwrap_or_else(|| Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true));
    let times = next_occurrences(&expression, &tz, &from, count)
        .map_err(|error| Failure::usage(error.to_string()))?;
    print(&times.join("\n"))?;
    OK
}

/// One answer per question, in order, each written when its question was read.
fn answer_batch() -> Outcome {
    let mut output = BufWriter::new(io::stdout().lock());
    let mut refused = false;
    for line in io::stdin().lock().split(b'\n') {
        let line = line.map_err(|error| Failure::new(format!("cannot read standard input: {error}")))?;
        let answer = answer(&line);
        refused |= answer.is_err();
        let text = answer.unwrap_or_else(|reason| format!("error: {reason}"));
        match writeln!(output, "{text}") {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return OK,
            written => written.map_err(|error| Failure::new(format!("cannot write the answer: {error}")))?,
        }
    }
    output.flush().map_err(|error| Failure::new(format!("cannot write the answer: {error}")))?;
    Ok(if refused { ExitStatus::Partial } else { ExitStatus::Ok })
}

fn answer(line: &[u8]) -> Result<String, String> {
    if line.len() > LINE_BYTES {
        return Err(format!("the line is longer than {LINE_BYTES} bytes"));
    }
    let line = str::from_utf8(line).map_err(|_| "the line is not UTF-8")?;
    let fields: Vec<&str> = line.trim_end_matches('\r').split('\t').collect();
    let [expression, zone, from, count] = fields[..] else {
        return Err(format!(
            "the line has {} fields parted by tabs instead of 4: expression, zone, from, count",
            fields.len()
        ));
    };
    let count =
        count.trim().parse().map_err(|_| format!("count `{}` is not a number", count.escape_default()))?;
    let times = next_occurrences(expression, zone, from, count).map_err(|error| error.to_string())?;
    Ok(times.join("\t"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_answered_by_line() {
        let answered = answer(b"0 2 * * 0\tEurope/Berlin\t2026-03-22T12:00:00Z\t1\r").unwrap();
        assert_eq!(answered, "2026-03-29T03:00:00+02:00");
        assert!(answer(b"0 2 * * 0\tUTC").unwrap_err().contains("2 fields"));
        assert!(answer(b"0 2 * * 0\tUTC\t2026-03-22T12:00:00Z\tmany").unwrap_err().contains("count"));
        assert!(answer(b"0 0 31 2 *\tUTC\t2026-03-22T12:00:00Z\t1").is_err());
    }
}
