use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use advisories::feed::osv::{read_archive, read_text};
use advisories::feed::{FeedKind, Limits, ReadReport, RecordError, recognise};
use advisories::inventory::read_tsv;
use advisories::{Advisory, HostFacts, Inventory};

/// The folder of shared data, or `None` where it is missing, which is reported.
pub fn folder() -> Option<PathBuf> {
    Some(test_skip::shared_data("vectors")?.parent()?.to_path_buf())
}

pub fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cells of a TSV file, without its comment lines.
pub fn rows(path: &Path) -> Vec<Vec<String>> {
    let rows = text(path);
    let rows = rows.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    rows.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

pub fn read_osv(path: &Path) -> (Vec<Advisory>, Vec<RecordError>, ReadReport) {
    let mut advisories = Vec::new();
    let mut refused = Vec::new();
    let mut sink = |outcome: Result<Advisory, RecordError>| {
        match outcome {
            Ok(advisory) => advisories.push(advisory),
            Err(error) => refused.push(error),
        }
        ControlFlow::Continue(())
    };
    let bytes = fs::read(path).unwrap();
    let limits = Limits::default();
    let name = path.file_name().unwrap().to_string_lossy();
    let report = match recognise(&bytes) {
        Some(FeedKind::Archive) => read_archive(std::io::Cursor::new(bytes), &limits, &mut sink),
        Some(FeedKind::Osv) => read_text(&bytes[..], &name, &limits, &mut sink),
        other => panic!("{} was recognised as {other:?}", path.display()),
    };
    (advisories, refused, report.unwrap())
}

pub fn inventory(path: &Path, os: &str) -> Inventory {
    let facts = HostFacts::new(os.parse().unwrap());
    let file = std::io::BufReader::new(fs::File::open(path).unwrap());
    let read = read_tsv(file, facts.packaging()).unwrap();
    assert!(read.refused.is_empty(), "{}: {:?}", path.display(), read.refused);
    Inventory { facts, packages: read.packages, unread: Vec::new() }
}

/// Every file under a folder, sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
