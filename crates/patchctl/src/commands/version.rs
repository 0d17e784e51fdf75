use std::cmp::Ordering;
use std::io::{self, BufRead, BufWriter, ErrorKind, Write};

use advisories::Packaging;

use super::OK;
use crate::arguments::{PackagingName, VersionCommand};
use crate::failure::{ExitStatus, Failure, Outcome};
use crate::output::print;

pub fn run(command: VersionCommand) -> Outcome {
    let VersionCommand::Compare { packaging, pair } = command;
    let packaging = match packaging {
        PackagingName::Rpm => Packaging::Rpm,
        PackagingName::Dpkg => Packaging::Dpkg,
    };
    if let [a, b] = &pair[..] {
        let order =
            advisories::compare(packaging, a, b).map_err(|error| Failure::usage(error.to_string()))?;
        print(sign(order))?;
        return OK;
    }
    compare_lines(packaging)
}

fn compare_lines(packaging: Packaging) -> Outcome {
    let mut output = BufWriter::new(io::stdout().lock());
    let mut met_invalid = false;
    for line in io::stdin().lock().split(b'\n') {
        let line = line.map_err(|error| Failure::new(format!("cannot read standard input: {error}")))?;
        let order = compare_line(packaging, &line);
        met_invalid |= order.is_none();
        match writeln!(output, "{}", order.map_or("invalid", sign)) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return OK,
            written => written.map_err(|error| Failure::new(format!("cannot write the answer: {error}")))?,
        }
    }
    output.flush().map_err(|error| Failure::new(format!("cannot write the answer: {error}")))?;
    Ok(if met_invalid { ExitStatus::Partial } else { ExitStatus::Ok })
}

fn compare_line(packaging: Packaging, line: &[u8]) -> Option<Ordering> {
    let line = str::from_utf8(line).ok()?.trim_end_matches('\r');
    let (a, b) = line.split_once('\t')?;
    advisories::compare(packaging, a, b).ok()
}

fn sign(order: Ordering) -> &'static str {
    match order {
        Ordering::Less => "<",
        Ordering::Equal => "=",
        Ordering::Greater => ">",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_no_pairs_are_invalid() {
        let compare = |line: &[u8]| compare_line(Packaging::Dpkg, line).map(sign);
        assert_eq!(compare(b"1.0~rc1\t1.0"), Some("<"));
        assert_eq!(compare(b"1:0.9\t2.0\r"), Some(">"));
        assert_eq!(compare(b"1.0"), None);
        assert_eq!(compare(b"1.0-\t1.0"), None);
        assert_eq!(compare(b"\xff\t1"), None);
    }
}
