//! CSV with a header: an operator's own, a table of NetBox, a list of Foreman's hosts or of ServiceNow's servers.
//!
//! The id is in a column `id`, `host`, `hostname` or `fqdn`, else in `name`. `type`, `tags` (`key=value;key=value`),
//! `tag.<key>`, and the usual tags (`env`, `os`, ...) mean what they say; every other column is an attribute. Empty cells
//! are ignored.

use csv::{ReaderBuilder, StringRecord, Trim};
use serde_json::{Map, Value};

use super::{
    netbox,
    record::{self, KNOWN_TAGS, List, Outcome, Record, Refusal, Wanted, shown},
    status::{self, Source},
};
use crate::app::rules::check_attribute_name;

const ID_COLUMNS: [&str; 8] =
    ["id", "host", "hostname", "host_name", "fqdn", "dns_name", "name", "display_name"];
const DELIMITERS: [char; 3] = [',', ';', '\t'];

/// Whose table it is, by its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Plain,
    Netbox,
    ServiceNow,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Column {
    Id,
    /// The id is made of a name for people, because no column names the host.
    IdOfName,
    Type,
    Name,
    Tags,
    Tag(String),
    Attribute(String),
    /// Completes the name of the operating system.
    OsVersion,
    Status(String),
    /// Not imported.
    Ignored,
}

/// Whether the first line has a column of ids and is not a host of an Ansible inventory.
pub fn has_header(text: &str) -> bool {
    let header = first_line(text);
    !header.contains('=')
        && !header.trim_start().starts_with(['[', '#', '-'])
        && !header.contains(": ")
        && !header.trim_end().ends_with(':')
        && header.split(DELIMITERS).any(|cell| ID_COLUMNS.contains(&normal(cell.trim_matches('"')).as_str()))
}

/// Recognises whose table it is.
pub fn dialect_of(text: &str) -> Dialect {
    let header = first_line(text);
    let names: Vec<String> =
        header.split(DELIMITERS).map(|cell| normal(cell.trim().trim_matches('"'))).collect();
    let has = |name: &str| names.iter().any(|other| other == name);
    let is_of_netbox = ["manufacturer", "device_type", "vcpus", "virtual_cpus"].iter().any(|name| has(name));
    if has("name") && has("status") && is_of_netbox {
        Dialect::Netbox
    } else if ["install_status", "operational_status", "sys_class_name"].iter().any(|name| has(name)) {
        Dialect::ServiceNow
    } else {
        Dialect::Plain
    }
}

pub fn read(text: &str, dialect: Dialect) -> Result<List, String> {
    let header = first_line(text);
    let delimiter = DELIMITERS.into_iter().max_by_key(|mark| (header.matches(*mark).count(), *mark == ','));
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter.unwrap_or(',') as u8)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| error.to_string())?.clone();
    let mut rows = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| error.to_string())?;
        if row.iter().any(|cell| !cell.is_empty()) {
            rows.push(row);
        }
    }
    let mut list = List::default();
    if text.matches('"').count() % 2 == 1 {
        list.warnings.push("a quote is probably not closed: the list has an odd number of `\"`".to_owned());
    }
    let columns = match dialect {
        Dialect::Netbox => Vec::new(),
        _ => columns(&header, rows.first(), dialect, &mut list.warnings)?,
    };
    for row in &rows {
        let line = row.position().map_or(0, csv::Position::line);
        let record = match dialect {
            Dialect::Netbox => netbox_record(line, &header, row),
            _ => plain_record(line, &columns, row, dialect),
        };
        list.records.push(record.at_line());
    }
    Ok(list)
}

fn first_line(text: &str) -> &str {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default()
}

/// The name of a column as it is compared: `IP Address` is `ip_address`.
fn normal(name: &str) -> String {
    record::attribute_name(name.trim())
}

fn columns(
    header: &StringRecord,
    first: Option<&StringRecord>,
    dialect: Dialect,
    warnings: &mut Vec<String>,
) -> Result<Vec<Column>, String> {
    let names: Vec<String> = header.iter().map(normal).collect();
    let place_of = |wanted: &str| names.iter().position(|name| name == wanted);
    let mut candidates: Vec<usize> = ID_COLUMNS.iter().filter_map(|wanted| place_of(wanted)).collect();
    // A number is the key of a database, not the name of a host.
    let is_number = |place: usize| {
        let cell = first.and_then(|row| row.get(place)).unwrap_or_default();
        !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit())
    };
    if candidates.len() > 1 && is_number(candidates[0]) {
        candidates.remove(0);
    }
    let Some(&id) = candidates.first() else {
        return Err(format!("the header names none of the columns {}", ID_COLUMNS.join(", ")));
    };
    let mut columns: Vec<Column> = Vec::new();
    for (place, original) in header.iter().enumerate() {
        let column = match names[place].as_str() {
            "name" | "display_name" if place == id => Column::IdOfName,
            _ if place == id => Column::Id,
            name => column(original, name, &names, dialect, warnings),
        };
        if column != Column::Ignored && columns.contains(&column) {
            warnings.push(format!(
                "the column `{}` is not imported: another column means the same",
                shown(original)
            ));
            columns.push(Column::Ignored);
        } else {
            columns.push(column);
        }
    }
    Ok(columns)
}

fn column(
    original: &str,
    name: &str,
    names: &[String],
    dialect: Dialect,
    warnings: &mut Vec<String>,
) -> Column {
    let lower = original.trim().to_ascii_lowercase();
    let own = |prefixes: &[&str]| {
        // Keys of tags keep their case.
        let rest = prefixes.iter().find_map(|prefix| lower.strip_prefix(prefix))?;
        Some(original.trim()[lower.len() - rest.len()..].to_owned())
    };
    let is_absent = |other: &str| !names.iter().any(|name| name == other);
    match name {
        "type" => return Column::Type,
        "name" => return Column::Name,
        "tags" => return Column::Tags,
        "ip" | "ip_address" | "ipv4" | "primary_ip" | "primary_ip4" => {
            return Column::Attribute("address".to_owned());
        }
        "operating_system" | "operatingsystem" | "operatingsystem_name" | "os_name" if is_absent("os") => {
            return Column::Tag("os".to_owned());
        }
        "os_version" => return Column::OsVersion,
        "environment" | "lifecycle_environment" | "u_environment" | "used_for" if is_absent("env") => {
            return Column::Tag("env".to_owned());
        }
        "status" | "install_status" | "operational_status" => return Column::Status(name.to_owned()),
        "location" if dialect == Dialect::ServiceNow && is_absent("site") => {
            return Column::Tag("site".to_owned());
        }
        _ => {}
    }
    if let Some(key) = own(&["tag.", "tag:", "tag_"]) {
        return Column::Tag(key);
    }
    let attribute = own(&["attribute.", "attr."]).map_or_else(|| name.to_owned(), |name| normal(&name));
    if KNOWN_TAGS.contains(&name) {
        return Column::Tag(name.to_owned());
    }
    let why = match check_attribute_name(&attribute) {
        Err(why) => why,
        Ok(()) if record::is_secret(&attribute) => "looks like a secret and is not stored",
        Ok(()) => return Column::Attribute(attribute),
    };
    let shown = if original.trim().is_empty() { "(without a name)" } else { &shown(original) };
    warnings.push(format!("the column `{shown}` is not imported: it {why}"));
    Column::Ignored
}

fn plain_record(line: u64, columns: &[Column], row: &StringRecord, dialect: Dialect) -> Record {
    let cells: Vec<(&Column, &str)> =
        columns.iter().zip(row.iter()).filter(|(_, cell)| !cell.is_empty()).collect();
    let is_id = |column: &Column| matches!(column, Column::Id | Column::IdOfName);
    let id = cells.iter().find(|(column, _)| is_id(column)).map_or("", |(_, cell)| *cell);
    let name = Some(shown(id)).filter(|name| !name.is_empty());
    let wanted = if row.iter().skip(columns.len()).any(|cell| !cell.is_empty()) {
        Err(Refusal::from(format!("has {} cells under a header of {}", row.len(), columns.len()))
            .remedy("put a cell that contains the delimiter in double quotes"))
    } else {
        wanted(id, &cells)
    };
    let source = if dialect == Dialect::ServiceNow { Source::ServiceNow } else { Source::Plain };
    let unused = cells.iter().find_map(|(column, cell)| match column {
        Column::Status(column) => status::unused(source, column, cell),
        _ => None,
    });
    match unused {
        Some(reason) => {
            let outcome = Outcome::LeftOut { reason: reason.into(), wanted: wanted.ok().map(Box::new) };
            Record { number: line, is_line: true, name, outcome, left_out: Vec::new() }
        }
        None => Record::new(line, name, wanted),
    }
}

fn wanted(id: &str, cells: &[(&Column, &str)]) -> Result<Wanted, Refusal> {
    let is_name = cells.iter().any(|(column, _)| **column == Column::IdOfName);
    let mut wanted = if is_name { Wanted::displayed(id)? } else { Wanted::named(id)? };
    let mut version = None;
    for (column, cell) in cells {
        match column {
            Column::Id | Column::IdOfName | Column::Ignored => {}
            Column::Type => wanted.ci_type = Some(record::ci_type(cell)?),
            Column::Name => wanted.name = Some((*cell).to_owned()),
            Column::Tags => {
                for pair in cell.split([';', '|', ',']).map(str::trim).filter(|pair| !pair.is_empty()) {
                    let (key, value) = pair
                        .split_once(['=', ':'])
                        .ok_or_else(|| format!("has the tag `{}`, which is not `key=value`", shown(pair)))?;
                    wanted.tags.insert(key.trim().to_owned(), value.trim().to_owned());
                }
            }
            Column::Tag(key) => {
                wanted.tags.insert(key.clone(), (*cell).to_owned());
            }
            Column::Attribute(name) => {
                let cell = if name == "address" { cell.split('/').next().unwrap_or(cell) } else { cell };
                wanted.attributes.insert(name.clone(), record::attribute_value(name, cell));
            }
            Column::OsVersion => version = Some(*cell),
            Column::Status(name) => {
                wanted.attributes.insert(name.clone(), (*cell).into());
            }
        }
    }
    if let Some(version) = version {
        match wanted.tags.get_mut("os") {
            // `rocky9` says it already.
            Some(os) if !os.contains(|c: char| c.is_ascii_digit()) => *os = format!("{os} {version}"),
            _ => {}
        }
        wanted.attributes.insert("os_version".to_owned(), version.into());
    }
    Ok(wanted)
}

/// The row as NetBox's API would return it.
fn netbox_record(line: u64, header: &StringRecord, row: &StringRecord) -> Record {
    let mut item = Map::new();
    for (column, cell) in header.iter().zip(row.iter()).filter(|(_, cell)| !cell.is_empty()) {
        let name = match normal(column).as_str() {
            "ip_address" => "primary_ip".to_owned(),
            "ipv4_address" => "primary_ip4".to_owned(),
            "ipv6_address" => "primary_ip6".to_owned(),
            "device_role" => "role".to_owned(),
            "type" => "device_type".to_owned(),
            "virtual_cpus" => "vcpus".to_owned(),
            other => other.to_owned(),
        };
        let value = match (name.as_str(), cell.parse::<u64>()) {
            ("id", Ok(number)) => number.into(),
            ("tags", _) => cell.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect(),
            // What NetBox writes for an empty cell.
            _ if matches!(cell, "—" | "-") => Value::Null,
            _ => cell.into(),
        };
        if let Some(field) = name.strip_prefix("cf_").filter(|field| !field.is_empty()) {
            let fields = item.entry("custom_fields").or_insert_with(|| Map::new().into());
            if let Value::Object(fields) = fields {
                fields.insert(field.to_owned(), value);
            }
        } else {
            item.insert(name, value);
        }
    }
    netbox::record(line, &item)
}
