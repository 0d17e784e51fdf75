//! `advisory match`: finds the advisories of a feed that are missing on a host, from files only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

use advisories::feed::{
    FeedError, FeedRecord, Limits, RecordError, read_feed as read_feed_of, recognise_feed,
};
use advisories::inventory::{InventoryFormat, missing_sources, read_inventory as read_inventory_of};
use advisories::matching::match_running_kernel;
use advisories::os::version_of_rpm_release;
use advisories::{
    Advisory, HostFacts, Index, InstalledPackage, Inventory, Match, OsRelease, Packaging, match_host,
};
use chrono::Utc;

use crate::arguments::MatchArguments;
use crate::input;
use terminal::{CommandResult, ExitStatus, Failure};
use terminal::{Printer, clean, note};

/// Most refused records to print; of the others, only the number is printed.
const MOST_REFUSALS: usize = 10;
/// The same for warnings about each feed.
const MOST_WARNINGS: usize = 10;

pub fn run(arguments: &MatchArguments, printer: Printer) -> CommandResult {
    let mut refused = Refused::default();
    let mut advisories = Vec::new();
    for feed in input::files(&arguments.feeds)? {
        read_feed(&feed, &mut advisories, &mut refused)?;
    }
    let inventory = read_inventory(arguments, &advisories, &mut refused)?;
    let index = Index::new(advisories);
    let mut matches = match_host(&index, &inventory);
    matches.extend(match_running_kernel(&index, &inventory));
    let rows = matches.iter().map(row).collect();
    printer.rows(&["advisory", "kind", "package", "installed", "fixed"], rows)?;
    Ok(refused.status())
}

fn row(found: &Match<'_>) -> Vec<String> {
    let advisory = found.advisory;
    [advisory.id.as_str(), advisory.kind.as_str(), found.package_name(), found.installed(), found.fixed()]
        .map(clean)
        .to_vec()
}

#[derive(Default)]
struct Refused {
    printed: usize,
    more: usize,
}

impl Refused {
    fn add(&mut self, path: &Path, error: &RecordError) {
        if self.printed == MOST_REFUSALS {
            self.more += 1;
            return;
        }
        self.printed += 1;
        note(&format!("refused: {}: {}", path.display(), clean(&error.to_string())));
    }

    fn status(&self) -> ExitStatus {
        if self.more > 0 {
            note(&format!("refused: {} more", self.more));
        }
        if self.printed > 0 { ExitStatus::Partial } else { ExitStatus::Ok }
    }
}

fn read_inventory(
    arguments: &MatchArguments,
    advisories: &[Advisory],
    refused: &mut Refused,
) -> Result<Inventory, Failure> {
    let path = &arguments.inventory;
    let bytes = input::read(path)?;
    let format = InventoryFormat::recognise(&bytes[..bytes.len().min(4096)]).ok_or_else(|| {
        Failure::usage(format!(
            "`{}` is not a list of packages or an SBOM (CycloneDX or SPDX)",
            path.display()
        ))
    })?;
    let read = |os: Option<&OsRelease>| {
        read_inventory_of(&bytes, format, os).map_err(|error| unreadable(path, &error))
    };
    let read = match (&arguments.os, format) {
        (Some(os), _) => read(Some(os))?,
        (None, InventoryFormat::Tsv) => read(Some(&os_of_feed(advisories, &bytes)?))?,
        // Most SBOMs contain the OS.
        (None, _) => read(None).or_else(|_| read(Some(&os_of_feed(advisories, &bytes)?)))?,
    };
    read.refused.iter().for_each(|error| refused.add(path, error));
    let os = match (arguments.os.clone(), read.os) {
        (Some(os), _) | (None, Some(os)) => os,
        (None, None) => os_of_feed(advisories, &bytes)?,
    };
    let mut facts = HostFacts { running_kernel: arguments.running_kernel.clone(), ..HostFacts::new(os) };
    for channel in &arguments.channels {
        facts.subscribe(channel).map_err(|error| Failure::usage(format!("--channel: {error}")))?;
    }
    facts.enabled_modules.clone_from(&arguments.modules);
    facts.add_proven_channels(&read.packages);
    if let Some(missing) =
        missing_sources(&facts.os, read.packages.iter().map(InstalledPackage::name_and_source))
    {
        refused.add(path, &RecordError { name: missing.place, reason: missing.reason });
    }
    Ok(Inventory { facts, packages: read.packages, unread: Vec::new() })
}

fn read_feed(path: &Path, advisories: &mut Vec<Advisory>, refused: &mut Refused) -> Result<(), Failure> {
    let limits = Limits { now: Some(Utc::now()), ..Limits::default() };
    let file = open(path)?;
    let kind = recognise_feed(&file, &limits).map_err(|error| unreadable(path, &FeedError::Input(error)))?;
    let Some(kind) = kind.filter(|kind| kind.has_advisories()) else {
        return Err(Failure::usage(format!(
            "`{}` is not a feed of advisories; pass OSV, CSAF, updateinfo.xml or a file that Debian publishes, also zipped or compressed",
            path.display()
        )));
    };
    let read = read_feed_of(kind, file, &path.to_string_lossy(), &limits, &mut |record| {
        match record {
            Ok(FeedRecord::Advisory(advisory)) => advisories.push(*advisory),
            Ok(_) => {}
            Err(error) => refused.add(path, &error),
        }
        ControlFlow::Continue(())
    });
    let report = read.map_err(|error| unreadable(path, &error))?;
    for warning in report.warnings.iter().take(MOST_WARNINGS) {
        let text = format!("{}: {}: {}", path.display(), warning.name, warning.text);
        note(&format!("warning: {}", clean(&text)));
    }
    let more = report.warning_count.saturating_sub(MOST_WARNINGS as u64);
    if more > 0 {
        note(&format!("warning: {}: {more} more", path.display()));
    }
    Ok(())
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

/// The release of the feed if it has only one, else the one for which the installed packages were built. The archive of an
/// ecosystem also has notices of other releases.
fn os_of_feed(advisories: &[Advisory], inventory: &[u8]) -> Result<OsRelease, Failure> {
    let named: BTreeSet<&OsRelease> =
        advisories.iter().flat_map(|advisory| &advisory.affected).map(|affected| &affected.os).collect();
    let text = String::from_utf8_lossy(inventory);
    let built_for = release_of_builds(&text);
    let fits = |os: &&&OsRelease| {
        let major = os.version().split('.').next().unwrap_or_default();
        os.packaging() == Packaging::Rpm && built_for == Some(major)
    };
    let fitting: Vec<&&OsRelease> = named.iter().filter(fits).collect();
    match (named.first(), &fitting[..]) {
        (Some(os), _) if named.len() == 1 => Ok((*os).clone()),
        (_, [os]) => Ok((**os).clone()),
        _ => Err(Failure::usage(format!(
            "the feed names {} OS releases; set the release of the host with --os, such as `--os almalinux:9`",
            named.len()
        ))),
    }
}

/// The major release for which most packages were built: `9` of `5.2.5-8.el9_0`.
fn release_of_builds(inventory: &str) -> Option<&str> {
    let mut lines_of: BTreeMap<&str, usize> = BTreeMap::new();
    for release in inventory.lines().filter_map(version_of_rpm_release) {
        *lines_of.entry(release).or_default() += 1;
    }
    lines_of.into_iter().max_by_key(|(_, lines)| *lines).map(|(release, _)| release)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_is_the_one_that_most_packages_were_built_for() {
        let lines = "#name\tinstalled\nbash\t5.1.8-9.el9\nxz\t5.2.5-8.el9_0\nold\t1-1.el8\nkey\tb86b-61e6\n";
        assert_eq!(release_of_builds(lines), Some("9"));
        assert_eq!(release_of_builds("adduser\t3.134\n"), None);
    }
}
