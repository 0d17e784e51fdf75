//! Package lists of osquery and Wazuh, as JSON.
//!
//! osquery prints the rows of its tables `deb_packages` and `rpm_packages`: `osqueryi --json 'SELECT * FROM rpm_packages'`, or the
//! line of a snapshot query. Wazuh answers `GET /syscollector/{agent}/packages`. Neither names the release of the host.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::feed::{FeedError, RecordError};
use crate::inventory::tsv::{Fields, installed_package};
use crate::inventory::{MAX_PACKAGES, ReadInventory};
use crate::version::Packaging;

/// Reads rows of `deb_packages` or `rpm_packages`: an array, or an object with the array `snapshot`.
pub(super) fn read_osquery(bytes: &[u8], packaging: Packaging) -> Result<ReadInventory, FeedError> {
    let rows = match parse(bytes)? {
        Value::Array(rows) => rows,
        Value::Object(mut line) => match line.remove("snapshot") {
            Some(Value::Array(rows)) => rows,
            _ => return Err(malformed("the array `snapshot` is missing")),
        },
        _ => return Err(malformed("an array of rows is expected")),
    };
    read_rows(&rows, packaging, |row| {
        // Only the rows of rpm have the epoch and the release apart from the version.
        let is_rpm = row.contains_key("release") || row.contains_key("epoch");
        match (packaging, is_rpm) {
            (Packaging::Rpm, true) | (Packaging::Dpkg, false) => {}
            (Packaging::Rpm, false) => {
                return Err("it is a row of `deb_packages`, but the host has rpm".to_owned());
            }
            (Packaging::Dpkg, true) => {
                return Err("it is a row of `rpm_packages`, but the host has dpkg".to_owned());
            }
        }
        let version = match packaging {
            Packaging::Rpm => evr(row)?,
            Packaging::Dpkg => text(row, "version"),
        };
        let (source, source_version) = match packaging {
            Packaging::Rpm => (String::new(), String::new()),
            Packaging::Dpkg => dpkg_source(&text(row, "source")),
        };
        Ok(Some(Row {
            version,
            arch: text(row, "arch"),
            source,
            source_version,
            source_rpm: if is_rpm { text(row, "source") } else { String::new() },
            status: dpkg_status(&text(row, "status")),
            // dpkg knows only the maintainer, who is not the vendor.
            vendor: if is_rpm { text(row, "vendor") } else { String::new() },
        }))
    })
}

/// Reads an answer of Wazuh's API about the packages of one agent. An answer that is only a part of them is refused: what is
/// not listed would count as not installed.
pub(super) fn read_wazuh(bytes: &[u8], packaging: Packaging) -> Result<ReadInventory, FeedError> {
    let answer = parse(bytes)?;
    let data = answer.get("data").unwrap_or(&answer);
    let rows = data.get("affected_items").and_then(Value::as_array);
    let rows = rows.ok_or_else(|| malformed("the array `data.affected_items` is missing"))?;
    let total = data.get("total_affected_items").and_then(Value::as_u64).unwrap_or(rows.len() as u64);
    if total > rows.len() as u64 {
        return Err(malformed(format!(
            "it has {} of {total} packages; request all of them with `limit` and `offset`, and join the pages",
            rows.len()
        )));
    }
    let agents: BTreeSet<&str> =
        rows.iter().filter_map(|row| row.get("agent_id").and_then(Value::as_str)).collect();
    if agents.len() > 1 {
        return Err(malformed(format!(
            "it has the packages of {} agents; send those of one host",
            agents.len()
        )));
    }
    let (own, other) = match packaging {
        Packaging::Rpm => ("rpm", "deb"),
        Packaging::Dpkg => ("deb", "rpm"),
    };
    read_rows(rows, packaging, |row| {
        let format = text(row, "format");
        if format == other {
            return Err(format!("it is a package of format `{other}`, but the host has `{own}`"));
        }
        // Packages of languages and snaps are not what the advisories of a distribution are about.
        if format != own {
            return Ok(None);
        }
        Ok(Some(Row {
            version: text(row, "version"),
            arch: text(row, "architecture"),
            source: text(row, "source"),
            source_version: String::new(),
            source_rpm: String::new(),
            status: String::new(),
            vendor: if packaging == Packaging::Rpm { text(row, "vendor") } else { String::new() },
        }))
    })
}

/// One package, whose fields may be empty. Both tools write what they do not know as an empty text or a space.
struct Row {
    version: String,
    arch: String,
    source: String,
    source_version: String,
    source_rpm: String,
    status: String,
    vendor: String,
}

fn read_rows(
    rows: &[Value],
    packaging: Packaging,
    read: impl Fn(&Map<String, Value>) -> Result<Option<Row>, String>,
) -> Result<ReadInventory, FeedError> {
    if rows.len() > MAX_PACKAGES {
        return Err(malformed(format!("the inventory has more than {MAX_PACKAGES} packages")));
    }
    let mut inventory = ReadInventory::default();
    for (index, row) in rows.iter().enumerate() {
        let package = row.as_object().ok_or_else(|| "it is not an object".to_owned()).and_then(|row| {
            let Some(found) = read(row)? else { return Ok(None) };
            let name = text(row, "name");
            let fields = Fields {
                name: &name,
                version: &found.version,
                arch: given(&found.arch),
                source: given(&found.source),
                source_version: given(&found.source_version),
                source_rpm: given(&found.source_rpm),
                status: given(&found.status),
                vendor: given(&found.vendor),
                ..Fields::default()
            };
            installed_package(&fields, packaging)
        });
        match package {
            Ok(Some(package)) => inventory.packages.push(package),
            Ok(None) => {}
            Err(reason) => inventory.refused.push(RecordError::new(format!("package {}", index + 1), reason)),
        }
    }
    Ok(inventory)
}

fn parse(bytes: &[u8]) -> Result<Value, FeedError> {
    serde_json::from_slice(crate::feed::without_byte_order_mark(bytes))
        .map_err(|error| malformed(error.to_string()))
}

fn malformed(reason: impl Into<String>) -> FeedError {
    FeedError::Malformed(reason.into())
}

/// A field as text; empty if it is absent. osquery writes numbers as texts, other tools write them as numbers.
fn text(row: &Map<String, Value>, field: &str) -> String {
    match row.get(field) {
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty() && *text != "(none)")
}

/// Epoch, version and release of a row of `rpm_packages`. The column `epoch` is empty for a package without one; a row that
/// lacks the column was selected without it, and a package would look older than it is.
fn evr(row: &Map<String, Value>) -> Result<String, String> {
    let (epoch, version, release) = (text(row, "epoch"), text(row, "version"), text(row, "release"));
    if !row.contains_key("epoch") || release.is_empty() {
        return Err("it has no `epoch` or no `release`; select all columns of `rpm_packages`".to_owned());
    }
    if version.is_empty() {
        return Ok(version);
    }
    match given(&epoch) {
        Some(epoch) => Ok(format!("{epoch}:{version}-{release}")),
        None => Ok(format!("{version}-{release}")),
    }
}

/// The status `hold ok installed` in two letters, as `dpkg-query` abbreviates it.
fn dpkg_status(status: &str) -> String {
    let mut words = status.split_whitespace();
    let Some(wanted) = words.next() else { return String::new() };
    let state = match words.next_back() {
        Some("not-installed") => 'n',
        Some("config-files") => 'c',
        _ => 'i',
    };
    format!("{}{state}", if wanted == "hold" { 'h' } else { 'i' })
}

/// `gcc-12 (12.2.0-14)`: the version is there if it differs from that of the package.
fn dpkg_source(source: &str) -> (String, String) {
    match source.split_once(" (") {
        Some((name, version)) => (name.to_owned(), version.trim_end_matches(')').to_owned()),
        None => (source.to_owned(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(read: &ReadInventory) -> Vec<(&str, &str, &str, &str)> {
        read.packages
            .iter()
            .map(|p| (p.name.as_str(), p.version.as_str(), p.source_name(), p.source_version()))
            .collect()
    }

    #[test]
    fn osquery_rows_of_rpm_are_read() {
        let rows = r#"[
            {"arch":"x86_64","epoch":"","install_time":"1714","name":"bash","package_group":"Unspecified","release":"9.el9",
             "sha1":"a","size":"7","source":"bash-5.1.8-9.el9.src.rpm","vendor":"Rocky Enterprise Software Foundation","version":"5.1.8"},
            {"arch":"x86_64","epoch":"1","name":"openssl-libs","release":"24.el9","source":"openssl-3.0.7-24.el9.src.rpm",
             "vendor":"Rocky Enterprise Software Foundation","version":"3.0.7"},
            {"name":"wick","version":"1.0","release":"1.el9"},
            {"name":"broken","epoch":"0","version":"","release":"1.el9"},
            7]"#;
        let read = read_osquery(rows.as_bytes(), Packaging::Rpm).unwrap();
        assert_eq!(
            shown(&read),
            [
                ("bash", "5.1.8-9.el9", "bash", "5.1.8-9.el9"),
                ("openssl-libs", "1:3.0.7-24.el9", "openssl", "1:3.0.7-24.el9"),
            ]
        );
        assert_eq!(read.packages[0].vendor.as_deref(), Some("Rocky Enterprise Software Foundation"));
        let places: Vec<&str> = read.refused.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(places, ["package 3", "package 4", "package 5"]);
        assert!(read.refused[0].reason.contains("`epoch`"), "{:?}", read.refused);
    }

    #[test]
    fn osquery_snapshot_of_dpkg_is_read() {
        let line = r#"{"name":"packages","hostIdentifier":"web-1","snapshot":[
            {"name":"libc6","version":"2.36-9+deb12u4","source":"glibc","arch":"amd64","revision":"9+deb12u4",
             "status":"hold ok installed","maintainer":"GNU Libc Maintainers <a@b>"},
            {"name":"libgcc-s1","version":"12.2.0-14","source":"gcc-12 (12.2.0-13)","arch":"amd64","status":"install ok installed"},
            {"name":"old","version":"1-1","source":"","arch":"amd64","status":"deinstall ok config-files"}],"action":"snapshot"}"#;
        let read = read_osquery(line.as_bytes(), Packaging::Dpkg).unwrap();
        assert!(read.refused.is_empty(), "{:?}", read.refused);
        assert_eq!(
            shown(&read),
            [
                ("libc6", "2.36-9+deb12u4", "glibc", "2.36-9+deb12u4"),
                ("libgcc-s1", "12.2.0-14", "gcc-12", "12.2.0-13"),
            ]
        );
        assert!(read.packages[0].held && !read.packages[1].held);
        assert_eq!(read.packages[0].vendor, None, "the maintainer is not the vendor");
        let of_rpm = read_osquery(line.as_bytes(), Packaging::Rpm).unwrap();
        assert!(of_rpm.packages.is_empty() && of_rpm.refused.len() == 3, "{of_rpm:?}");
    }

    #[test]
    fn wazuh_packages_of_one_agent_are_read() {
        let answer = r#"{"data":{"affected_items":[
            {"scan":{"id":0,"time":"2026-01-01T00:00:00Z"},"name":"openssl-libs","version":"1:3.0.7-24.el9","format":"rpm",
             "architecture":"x86_64","vendor":"AlmaLinux","source":" ","agent_id":"001"},
            {"name":"requests","version":"2.25.1","format":"pypi","architecture":" ","agent_id":"001"},
            {"name":"curl","version":"8.5.0-2ubuntu1","format":"deb","agent_id":"001"}],
            "total_affected_items":3,"total_failed_items":0,"failed_items":[]},"message":"ok","error":0}"#;
        let read = read_wazuh(answer.as_bytes(), Packaging::Rpm).unwrap();
        assert_eq!(shown(&read), [("openssl-libs", "1:3.0.7-24.el9", "openssl-libs", "1:3.0.7-24.el9")]);
        assert_eq!(read.packages[0].vendor.as_deref(), Some("AlmaLinux"));
        assert_eq!(read.refused.len(), 1, "{:?}", read.refused);
    }

    #[test]
    fn part_of_a_list_is_not_an_inventory() {
        let part = r#"{"data":{"affected_items":[{"name":"a","version":"1-1","format":"deb"}],"total_affected_items":900}}"#;
        let error = read_wazuh(part.as_bytes(), Packaging::Dpkg).unwrap_err().to_string();
        assert!(error.contains("1 of 900 packages"), "{error}");
        let mixed = r#"{"data":{"affected_items":[{"name":"a","version":"1-1","format":"deb","agent_id":"001"},
            {"name":"b","version":"1-1","format":"deb","agent_id":"002"}],"total_affected_items":2}}"#;
        let error = read_wazuh(mixed.as_bytes(), Packaging::Dpkg).unwrap_err().to_string();
        assert!(error.contains("2 agents"), "{error}");
        for wrong in ["{}", "[]", "7", "{\"data\":[]}", "{"] {
            assert!(read_wazuh(wrong.as_bytes(), Packaging::Dpkg).is_err(), "{wrong}");
        }
        for wrong in ["{}", "7", "{\"snapshot\":{}}", "["] {
            assert!(read_osquery(wrong.as_bytes(), Packaging::Dpkg).is_err(), "{wrong}");
        }
    }
}
