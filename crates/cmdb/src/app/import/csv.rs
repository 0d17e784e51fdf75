//! CSV with a header.
//!
//! The id is in a column `id`, `host`, `hostname` or `fqdn`, else in `name`. `type`, `tags` (`key=value;key=value`),
//! `tag.<key>`, and the usual tags (`env`, `os`, ...) mean what they say; every other column is an attribute. Empty cells are ignored.

use csv::{ReaderBuilder, StringRecord, Trim};

use super::record::{self, KNOWN_TAGS, Record, Wanted};

const ID_COLUMNS: [&str; 5] = ["id", "host", "hostname", "fqdn", "name"];
const DELIMITERS: [char; 3] = [',', ';', '\t'];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Column {
    Id,
    Type,
    Name,
    Tags,
    Tag(String),
    Attribute(String),
}

/// Whether the first line has a column of ids and is not a host of an Ansible inventory.
pub fn has_header(text: &str) -> bool {
    let header = first_line(text);
    !header.contains('=')
        && !header.trim_start().starts_with(['[', '#', '-'])
        && !header.contains(": ")
        && !header.trim_end().ends_with(':')
        && header
            .split(DELIMITERS)
            .any(|cell| ID_COLUMNS.contains(&record::attribute_name(cell.trim().trim_matches('"')).as_str()))
}

pub fn read(text: &str) -> Result<Vec<Record>, String> {
    let header = first_line(text);
    let delimiter = DELIMITERS.into_iter().max_by_key(|mark| (header.matches(*mark).count(), *mark == ','));
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter.unwrap_or(',') as u8)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(text.as_bytes());
    let columns = columns(reader.headers().map_err(|error| error.to_string())?)?;
    let mut records = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| error.to_string())?;
        let line = row.position().map_or(0, csv::Position::line);
        records.push(Record::new(line, wanted(&columns, &row)));
    }
    Ok(records)
}

fn first_line(text: &str) -> &str {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default()
}

fn columns(header: &StringRecord) -> Result<Vec<Column>, String> {
    let names: Vec<String> = header.iter().map(|name| name.trim().to_ascii_lowercase()).collect();
    let id = ID_COLUMNS.iter().find_map(|wanted| names.iter().position(|name| name == wanted));
    let Some(id) = id else {
        return Err(format!("the header names none of the columns {}", ID_COLUMNS.join(", ")));
    };
    let mut columns = Vec::new();
    for (place, (name, original)) in names.iter().zip(header.iter()).enumerate() {
        let tag = ["tag.", "tag:", "tag_"].iter().find_map(|prefix| name.strip_prefix(prefix));
        let attribute = ["attribute.", "attr."].iter().find_map(|prefix| name.strip_prefix(prefix));
        let column = match (name.as_str(), tag, attribute) {
            _ if place == id => Column::Id,
            ("type", ..) => Column::Type,
            ("name", ..) => Column::Name,
            ("tags", ..) => Column::Tags,
            // Keys of tags keep their case.
            (_, Some(key), _) => Column::Tag(original.trim()[name.len() - key.len()..].to_owned()),
            (_, _, Some(name)) => Column::Attribute(record::attribute_name(name)),
            ("ip" | "ip_address" | "ip address", ..) => Column::Attribute("address".to_owned()),
            (known, ..) if KNOWN_TAGS.contains(&known) => Column::Tag(known.to_owned()),
            (other, ..) => Column::Attribute(record::attribute_name(other)),
        };
        if columns.contains(&column) {
            return Err(format!("the header names the column `{name}` twice"));
        }
        columns.push(column);
    }
    Ok(columns)
}

fn wanted(columns: &[Column], row: &StringRecord) -> Result<Wanted, String> {
    if row.len() > columns.len() {
        return Err(format!("has {} cells under a header of {}", row.len(), columns.len()));
    }
    let cells = || columns.iter().zip(row.iter()).filter(|(_, cell)| !cell.is_empty());
    let id = cells().find(|(column, _)| **column == Column::Id).map_or("", |(_, cell)| cell);
    let mut wanted = Wanted::new(record::id(id)?);
    for (column, cell) in cells() {
        match column {
            Column::Id => {}
            Column::Type => wanted.ci_type = Some(record::ci_type(cell)?),
            Column::Name => wanted.name = Some(cell.to_owned()),
            Column::Tags => {
                for pair in cell.split([';', '|', ',']).map(str::trim).filter(|pair| !pair.is_empty()) {
                    let (key, value) = pair
                        .split_once(['=', ':'])
                        .ok_or_else(|| format!("has the tag `{}`, which is not `key=value`", shown(pair)))?;
                    wanted.tags.insert(key.trim().to_owned(), value.trim().to_owned());
                }
            }
            Column::Tag(key) => {
                wanted.tags.insert(key.clone(), cell.to_owned());
            }
            Column::Attribute(name) => {
                wanted.attributes.insert(name.clone(), record::attribute_value(name, cell));
            }
        }
    }
    Ok(wanted)
}

fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_default).collect()
}
