use std::cmp::Ordering;
use std::io::{self, BufRead, BufWriter, ErrorKind, Write};

use advisories::Packaging;
use advisories::version::{InvalidVersion, Nevra};

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
        let order = compare(packaging, a, b).map_err(|error| Failure::usage(error.to_string()))?;
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
    compare(packaging, a, b).ok()
}

/// No version of rpm holds two hyphens: what does is the full name of a package, and names are compared first.
fn compare(packaging: Packaging, a: &str, b: &str) -> Result<Ordering, InvalidVersion> {
    let (one, other) = (Nevra::parse(a), Nevra::parse(b));
    match packaging {
        Packaging::Rpm if one.name.or(other.name).is_some() => one.compare(&other),
        _ => advisories::compare(packaging, a, b),
    }
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
    fn full_names_of_packages_are_told_from_versions() {
        let compare = |line: &str| compare_line(Packaging::Rpm, line.as_bytes()).map(sign);
        assert_eq!(
            compare("fonts-filesystem-0:2.0.5-12.fc39.noarch\tfonts-filesystem-2.0.5-12.fc39.noarch"),
            Some("=")
        );
        assert_eq!(compare("a-1-1\t1-1"), Some(">"));
        assert_eq!(compare("0:1.0-1\t1.0-2"), Some("<"));
    }

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
