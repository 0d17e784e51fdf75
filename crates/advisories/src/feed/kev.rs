//! CISA's catalogue of known exploited vulnerabilities, as JSON and as CSV.

use std::io::Read;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::content::without_byte_order_mark;
use super::{FeedError, FeedKind, Limits, ReadReport, RecordError, is_cve_id, recognise};

/// A vulnerability that is being exploited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownExploited {
    pub cve: String,
    pub vendor: String,
    pub product: String,
    pub name: String,
    pub date_added: NaiveDate,
    /// The due date of federal agencies; the product computes its own due dates.
    pub due_date: Option<NaiveDate>,
    /// Known to be used in ransomware campaigns.
    pub ransomware: bool,
}

/// One entry as the catalogue writes it. Both forms use the same names.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "cveID")]
    cve: String,
    #[serde(rename = "vendorProject", default)]
    vendor: String,
    #[serde(default)]
    product: String,
    #[serde(rename = "vulnerabilityName", default)]
    name: String,
    #[serde(rename = "dateAdded")]
    date_added: String,
    #[serde(rename = "dueDate", default)]
    due_date: String,
    #[serde(rename = "knownRansomwareCampaignUse", default)]
    ransomware: String,
}

#[derive(Deserialize)]
struct Catalogue {
    vulnerabilities: Vec<Box<RawValue>>,
}

/// Reads the whole catalogue, of at most [`Limits::document_bytes`]; it has some 1,500 entries.
pub fn read(
    source: impl Read,
    limits: &Limits,
    sink: &mut dyn FnMut(Result<KnownExploited, RecordError>),
) -> Result<ReadReport, FeedError> {
    let mut bytes = Vec::new();
    source.take(limits.document_bytes + 1).read_to_end(&mut bytes).map_err(FeedError::Input)?;
    if bytes.len() as u64 > limits.document_bytes {
        return Err(FeedError::TooLarge { limit: limits.document_bytes });
    }
    let mut report = ReadReport::default();
    let mut deliver = |outcome: Result<KnownExploited, RecordError>| {
        report.count(&outcome);
        sink(outcome);
    };
    match recognise(&bytes) {
        Some(FeedKind::KevJson) => read_json(&bytes, &mut deliver)?,
        Some(FeedKind::KevCsv) => read_csv(&bytes, &mut deliver),
        _ => {
            return Err(FeedError::Malformed(
                "the input is not a catalogue of known exploited vulnerabilities".to_owned(),
            ));
        }
    }
    Ok(report)
}

fn read_json(
    bytes: &[u8],
    deliver: &mut impl FnMut(Result<KnownExploited, RecordError>),
) -> Result<(), FeedError> {
    let catalogue: Catalogue = serde_json::from_slice(without_byte_order_mark(bytes))
        .map_err(|error| FeedError::Malformed(format!("the catalogue cannot be read: {error}")))?;
    for (position, raw) in catalogue.vulnerabilities.iter().enumerate() {
        let name = format!("vulnerabilities[{position}]");
        let entry = serde_json::from_str(raw.get()).map_err(|error| RecordError::new(name.as_str(), error));
        deliver(entry.and_then(|entry| convert(entry, &name)));
    }
    Ok(())
}

fn read_csv(bytes: &[u8], deliver: &mut impl FnMut(Result<KnownExploited, RecordError>)) {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(without_byte_order_mark(bytes));
    for (position, row) in reader.deserialize::<Entry>().enumerate() {
        let name = format!("row {}", position + 2);
        let entry = row.map_err(|error| RecordError::new(name.as_str(), error));
        deliver(entry.and_then(|entry| convert(entry, &name)));
    }
}

fn convert(entry: Entry, name: &str) -> Result<KnownExploited, RecordError> {
    let cve = entry.cve.trim().to_owned();
    if !is_cve_id(&cve) {
        let shown: String = cve.chars().take(40).collect();
        return Err(RecordError::new(name, format!("{shown:?} is not a CVE id")));
    }
    let date = |text: &str| NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d");
    let date_added = date(&entry.date_added).map_err(|_| {
        let shown: String = entry.date_added.chars().take(40).collect();
        RecordError::new(name, format!("`dateAdded` of {cve} is {shown:?}, which is not a date"))
    })?;
    let clean = |text: String| text.replace('\0', "\u{FFFD}");
    Ok(KnownExploited {
        cve,
        vendor: clean(entry.vendor),
        product: clean(entry.product),
        name: clean(entry.name),
        date_added,
        due_date: date(&entry.due_date).ok(),
        ransomware: entry.ransomware.eq_ignore_ascii_case("known"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str) -> Result<(ReadReport, Vec<Result<KnownExploited, RecordError>>), FeedError> {
        let mut met = Vec::new();
        let report = read(text.as_bytes(), &Limits::default(), &mut |entry| met.push(entry))?;
        Ok((report, met))
    }

    #[test]
    fn bad_entry_does_not_lose_the_others() {
        let text = r#"{"catalogVersion":"1","vulnerabilities":[
            {"cveID":"CVE-2026-90001","dateAdded":"2026-03-11","knownRansomwareCampaignUse":"Known","cwes":[]},
            {"cveID":"nonsense","dateAdded":"2026-03-11"}, 17,
            {"cveID":"CVE-2026-90002","dateAdded":"yesterday"},
            {"cveID":"CVE-2026-90003","dateAdded":"2026-03-12","dueDate":"2026-04-02"}]}"#;
        let (report, met) = read_all(text).unwrap();
        assert_eq!((report.read, report.accepted, report.refused), (5, 2, 3));
        assert!(met[0].as_ref().unwrap().ransomware);
        assert_eq!(
            met[1].as_ref().unwrap_err().to_string(),
            "vulnerabilities[1]: \"nonsense\" is not a CVE id"
        );
    }

    #[test]
    fn csv_has_the_same_entries() {
        let text = "cveID,vendorProject,product,vulnerabilityName,dateAdded,shortDescription,dueDate\n\
            CVE-2026-90001,Acme,\"Box, large\",\"A \"\"bug\"\"\",2026-03-11,\"two\nlines\",2026-04-01\n\
            broken\n\
            CVE-2026-90003,Acme,Box,Bug,2026-03-12,,\n";
        let (report, met) = read_all(text).unwrap();
        assert_eq!((report.accepted, report.refused), (2, 1));
        let first = met[0].as_ref().unwrap();
        assert_eq!((first.product.as_str(), first.name.as_str()), ("Box, large", "A \"bug\""));
    }

    #[test]
    fn text_that_is_not_a_catalogue_is_an_error() {
        for text in [
            "",
            "{}",
            "[]",
            "cve,epss\n",
            "{\"catalogVersion\":",
            "{\"catalogVersion\":1,\"vulnerabilities\":{}}",
        ] {
            assert!(read_all(text).is_err(), "{text}");
        }
    }
}
