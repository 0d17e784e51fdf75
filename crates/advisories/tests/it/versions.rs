use std::cmp::Ordering::{self, Equal, Greater, Less};
use std::path::Path;
use std::process::Command;

use advisories::version::Nevra;
use advisories::{Packaging, compare};

use crate::shared::{folder, rows, text};

fn expected(operator: &str) -> Ordering {
    match operator {
        "<" | "-1" => Less,
        "=" | "==" | "0" => Equal,
        ">" | "1" => Greater,
        other => panic!("unknown operator {other}"),
    }
}

/// Compares both ways round; returns what differs.
fn disagreements<'a>(
    packaging: Packaging,
    cases: impl Iterator<Item = (&'a str, &'a str, &'a str)>,
) -> (usize, Vec<String>) {
    let mut count = 0;
    let mut wrong = Vec::new();
    for (a, operator, b) in cases {
        count += 1;
        let want = expected(operator);
        let forward = compare(packaging, a, b);
        let backward = compare(packaging, b, a);
        if forward != Ok(want) || backward != Ok(want.reverse()) {
            wrong.push(format!("{a} {operator} {b}: {forward:?}, {backward:?}"));
        }
    }
    (count, wrong)
}

fn check(packaging: Packaging, file: &Path, a: usize, operator: usize, b: usize, count: usize) {
    let rows = rows(file);
    let cases = rows.iter().map(|row| (row[a].as_str(), row[operator].as_str(), row[b].as_str()));
    assert_eq!(disagreements(packaging, cases), (count, Vec::new()), "{}", file.display());
}

#[test]
fn rpm_agrees_with_every_vector() {
    let Some(folder) = folder().map(|folder| folder.join("vectors/versions")) else { return };
    check(Packaging::Rpm, &folder.join("rpmvercmp.tsv"), 0, 2, 1, 91);
    check(Packaging::Rpm, &folder.join("scalibr-redhat.tsv"), 0, 1, 2, 165);
}

#[test]
fn rpm_names_and_versions_agree_with_every_vector() {
    let Some(folder) = folder().map(|folder| folder.join("vectors/versions")) else { return };
    let rows = rows(&folder.join("claircore-nevra-compare.tsv"));
    assert_eq!(rows.len(), 125);
    for row in rows {
        let (a, operator, b) = (row[1].as_str(), row[2].as_str(), row[3].as_str());
        let answer = match row[0].as_str() {
            "compare" => Nevra::parse(a).compare(&Nevra::parse(b)),
            _ => compare(Packaging::Rpm, a, b),
        };
        assert_eq!(answer, Ok(expected(operator)), "{a} {operator} {b}");
    }
    for line in text(&folder.join("claircore-evr-parse.txt")).lines().filter(|line| !line.starts_with('#')) {
        let parts: Vec<&str> = line.split_whitespace().map(|part| part.trim_matches('\'')).collect();
        let [input, name, epoch, version, release, arch] = parts[..] else { continue };
        let parsed = Nevra::parse(input);
        let epoch = if epoch.is_empty() { String::new() } else { format!("{epoch}:") };
        assert_eq!(parsed.name.unwrap_or_default(), name);
        assert_eq!(parsed.evr, format!("{epoch}{version}-{release}"));
        assert_eq!(parsed.arch.unwrap_or_default(), arch);
    }
}

#[test]
fn dpkg_agrees_with_every_vector() {
    let Some(folder) = folder().map(|folder| folder.join("vectors/versions")) else { return };
    check(Packaging::Dpkg, &folder.join("dpkg-version.tsv"), 0, 2, 1, 43);
    check(Packaging::Dpkg, &folder.join("scalibr-debian-3000.tsv"), 0, 1, 2, 3000);
}

/// Answers of `dpkg --validate-version` 1.21 for the file's lines, in order.
#[test]
fn dpkg_validity_agrees_with_dpkg() {
    let Some(folder) = folder().map(|folder| folder.join("vectors/versions")) else { return };
    let valid = ["  \t0:0-1", "0:0-1\t  ", "\t  0:0-1  \t"];
    let candidates = text(&folder.join("dpkg-parse-invalid-candidates.txt"));
    for line in candidates.lines().filter(|line| !line.starts_with('#')) {
        assert_eq!(compare(Packaging::Dpkg, line, "1").is_ok(), valid.contains(&line), "{line:?}");
    }
}

/// Strings made of what versions are made of, the same in every run.
fn made_up_versions(count: usize) -> Vec<String> {
    const PARTS: &[u8] = b"0123450123451122..--::~+ab_^ ";
    let mut state = 0x2026_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    (0..count).map(|_| (0..next(8) + 1).map(|_| PARTS[next(PARTS.len())] as char).collect()).collect()
}

/// Asks the machine's own dpkg, where there is one.
#[test]
fn dpkg_itself_agrees() {
    let status =
        |arguments: &[&str]| Command::new("dpkg").args(arguments).output().map(|output| output.status.code());
    if !status(&["--version"]).is_ok_and(|code| code == Some(0)) {
        test_skip::skip(test_skip::Reason::OtherSystem, "there is no dpkg on this machine");
        return;
    }
    let versions = made_up_versions(400);
    let mut valid = Vec::new();
    for version in &versions {
        let theirs = status(&["--validate-version", "--", version]).unwrap() == Some(0);
        assert_eq!(compare(Packaging::Dpkg, version, "1").is_ok(), theirs, "`{version}`");
        if theirs {
            valid.push(version.as_str());
        }
    }
    assert!(valid.len() > 50, "only {} were valid", valid.len());
    for pair in valid.windows(2) {
        let [a, b] = pair else { continue };
        let (operator, ours) = match compare(Packaging::Dpkg, a, b).unwrap() {
            Less => ("lt", "<"),
            Equal => ("eq", "="),
            Greater => ("gt", ">"),
        };
        assert_eq!(status(&["--compare-versions", a, operator, b]).unwrap(), Some(0), "{a} {ours} {b}");
    }
}
