//! The plugins' order of versions, against the vectors of rpm and dpkg.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use ansible::Playbooks;

use crate::fixture::runner;

const COMPARE: &str = "
import sys
sys.path.insert(0, sys.argv[1])
from versions import compare
for line in sys.stdin:
    packaging, left, right = line.rstrip('\\n').split('\\t')
    order = compare(packaging, left, right)
    print((order > 0) - (order < 0))
";

/// Rows of (packaging, left, right, order).
fn rows(folder: &Path) -> Vec<(&'static str, String, String, i8)> {
    let mut rows = Vec::new();
    for (packaging, file) in [("dpkg", "scalibr-debian-3000.tsv"), ("rpm", "scalibr-redhat.tsv")] {
        for line in fs::read_to_string(folder.join(file)).unwrap_or_default().lines() {
            if let [left, sign @ ("<" | "=" | ">"), right] = line.split('\t').collect::<Vec<_>>()[..] {
                let order = match sign {
                    "<" => -1,
                    "=" => 0,
                    _ => 1,
                };
                rows.push((packaging, left.to_owned(), right.to_owned(), order));
            }
        }
    }
    rows
}

#[test]
fn plugins_order_versions_as_rpm_and_dpkg_do() {
    let Some(runner) = runner() else { return };
    let Some(shared) = test_skip::shared_data("vectors/versions") else { return };
    // Versions in a plan always have a release, so a comparison of one with and one without does not occur.
    let rows: Vec<_> =
        rows(&shared).into_iter().filter(|row| row.1.contains('-') == row.2.contains('-')).collect();
    assert!(!rows.is_empty(), "there are no vectors in {}", shared.display());
    let plugins = Playbooks::locate()
        .unwrap()
        .folder()
        .join("collections/ansible_collections/datacenteros/patch/plugins");
    let mut python = Command::new(runner.program().with_file_name("python3"))
        .args(["-B", "-c", COMPARE])
        .arg(plugins.join("plugin_utils"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut asked = String::new();
    for (packaging, left, right, _) in &rows {
        writeln!(asked, "{packaging}\t{left}\t{right}").unwrap();
    }
    let mut input = python.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(asked.as_bytes()));
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answers.lines().count(), rows.len());
    for ((packaging, left, right, order), answer) in rows.iter().zip(answers.lines()) {
        assert_eq!(answer, order.to_string(), "{packaging}: `{left}` against `{right}`");
    }
}
