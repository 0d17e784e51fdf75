//! `advisory match`: which advisories of a feed one host lacks, from files alone.

use std::collections::BTreeSet;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

use advisories::feed::{
    FeedError, FeedRecord, Limits, RecordError, read_feed as read_feed_of, recognise_feed,
};
use advisories::inventory::{InventoryFormat, read_inventory as read_inventory_of};
use advisories::matching::match_running_kernel;
use advisories::{Advisory, HostFacts, Index, Inventory, Match, OsRelease, match_host};
use chrono::Utc;

use crate::arguments::MatchArguments;
use crate::failure::{ExitStatus, Failure, Outcome};
use crate::input;
use crate::output::{Printer, clean, note};

/// Refused records told one by one; beyond them only their number.
const TOLD: usize = 10;

pub fn run(arguments: &MatchArguments, printer: Printer) -> Outcome {
    let mut refused = Refused::default();
    let mut advisories = Vec::new();
    for feed in input::files(&arguments.feeds)? {
        read_feed(&feed, &mut advisories, &mut refused)?;
    }
    let os = arguments.os.clone().map_or_else(|| os_of_feed(&advisories), Ok)?;
    let inventory = read_inventory(arguments, os, &mut refused)?;
    let index = Index::new(advisories);
    let mut matches = match_host(&index, &inventory);
    matches.extend(match_running_kernel(&index, &inventory));
    let rows = matches.iter().map(row).collect();
    printer.rows(&["advisory", "kind", "package", "installed", "fixed"], rows)?;
    Ok(refused.tell())
}

fn row(found: &Match<'_>) -> Vec<String> {
    let advisory = found.advisory;
    [advisory.id.as_str(), advisory.kind.as_str(), found.package_name(), found.installed(), found.fixed()]
        .map(clean)
        .to_vec()
}

#[derive(Default)]
struct Refused {
    told: usize,
    more: usize,
}

impl Refused {
    fn add(&mut self, path: &Path, error: &RecordError) {
        if self.told == TOLD {
            self.more += 1;
            return;
        }
        self.told += 1;
        note(&format!("refused: {}: {}", path.display(), clean(&error.to_string())));
    }

    fn tell(&self) -> ExitStatus {
        if self.more > 0 {
            note(&format!("refused: {} more", self.more));
        }
        if self.told > 0 { ExitStatus::Partial } else { ExitStatus::Ok }
    }
}

fn read_inventory(
    arguments: &MatchArguments,
    os: OsRelease,
    refused: &mut Refused,
) -> Result<Inventory, Failure> {
    let mut facts = HostFacts::new(os);
    facts.running_kernel.clone_from(&arguments.running_kernel);
    let path = &arguments.inventory;
    let bytes = input::read(path)?;
    let format = InventoryFormat::recognise(&bytes[..bytes.len().min(4096)]).ok_or_else(|| {
        Failure::usage(format!(
            "`{}` is no list of packages and no SBOM (CycloneDX or SPDX in JSON)",
            path.display()
        ))
    })?;
    let read =
        read_inventory_of(&bytes, format, Some(&facts.os)).map_err(|error| unreadable(path, &error))?;
    read.refused.iter().for_each(|error| refused.add(path, error));
    Ok(Inventory { facts, packages: read.packages })
}

fn read_feed(path: &Path, advisories: &mut Vec<Advisory>, refused: &mut Refused) -> Result<(), Failure> {
    let limits = Limits { now: Some(Utc::now()), ..Limits::default() };
    let file = open(path)?;
    let kind = recognise_feed(&file, &limits).map_err(|error| unreadable(path, &FeedError::Input(error)))?;
    let Some(kind) = kind.filter(|kind| kind.has_advisories()) else {
        return Err(Failure::usage(format!(
            "`{}` is no feed of advisories; give OSV, CSAF, updateinfo.xml or what Debian publishes, as it is, in a zip, or packed",
            path.display()
        )));
    };
    let read = read_feed_of(kind, file, &path.to_string_lossy(), &limits, &mut |outcome| {
        match outcome {
            Ok(FeedRecord::Advisory(advisory)) => advisories.push(*advisory),
            Ok(_) => {}
            Err(error) => refused.add(path, &error),
        }
        ControlFlow::Continue(())
    });
    read.map(drop).map_err(|error| unreadable(path, &error))
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| Failure::new(format!("cannot read `{}`: {error}", path.display())))
}

fn unreadable(path: &Path, error: &FeedError) -> Failure {
    let cause = match error {
        FeedError::Input(cause) => format!(": {cause}"),
        _ => String::new(),
    };
    Failure::new(format!("`{}`: {error}{cause}", path.display()))
}

/// The release a feed is about, when it is about one alone.
fn os_of_feed(advisories: &[Advisory]) -> Result<OsRelease, Failure> {
    let named: BTreeSet<&OsRelease> =
        advisories.iter().flat_map(|advisory| &advisory.affected).map(|affected| &affected.os).collect();
    match named.iter().next() {
        Some(os) if named.len() == 1 => Ok((*os).clone()),
        _ => Err(Failure::usage(format!(
            "the feed names {} OS releases; say which one the host runs with --os, such as `--os almalinux:9`",
            named.len()
        ))),
    }
}
