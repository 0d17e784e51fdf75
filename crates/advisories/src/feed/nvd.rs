//! Pages of the National Vulnerability Database (API 2.0): description and severity of CVEs.
//!
//! It is not used for matching: its version ranges are those of upstream, and vendors backport.

use std::io::BufRead;

use chrono::{DateTime, Utc};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::cvss::CvssVector;
use crate::severity::Severity;

use super::budget::Budget;
use super::list::List;
use super::rating::cvss_vectors;
use super::text::{clean, loose_instant, shown, warn_of_future};
use super::{FeedError, Limits, ReadReport, RecordError, is_cve_id};

/// The database's entry of a CVE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CveNote {
    pub cve: String,
    /// In English.
    pub description: String,
    pub severity: Severity,
    /// The newest version of CVSS first.
    pub cvss: Vec<CvssVector>,
    pub published: DateTime<Utc>,
    pub modified: DateTime<Utc>,
    /// The CVE was rejected.
    pub rejected: bool,
}

/// Receives each entry, or the reason why it was refused. `Break` ends the reading.
pub type Sink<'a> = &'a mut dyn FnMut(Result<CveNote, RecordError>) -> std::ops::ControlFlow<()>;

#[derive(Deserialize)]
struct Entry {
    cve: Cve,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cve {
    id: String,
    published: String,
    last_modified: Option<String>,
    vuln_status: Option<String>,
    #[serde(default)]
    descriptions: List<Description, 100>,
    #[serde(default)]
    metrics: Metrics,
}

#[derive(Deserialize)]
struct Description {
    lang: String,
    value: String,
}

/// The name of a list is its version of CVSS. Only the vectors are read.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metrics {
    #[serde(default)]
    cvss_metric_v40: List<Metric, 100>,
    #[serde(default)]
    cvss_metric_v31: List<Metric, 100>,
    #[serde(default)]
    cvss_metric_v30: List<Metric, 100>,
    #[serde(default)]
    cvss_metric_v2: List<Metric, 100>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metric {
    r#type: Option<String>,
    cvss_data: CvssData,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CvssData {
    vector_string: Option<String>,
}

/// Reads one page, one entry in memory at a time.
pub fn read(source: impl BufRead, limits: &Limits, sink: Sink<'_>) -> Result<ReadReport, FeedError> {
    let budget = Budget::new(limits.record_bytes);
    let mut page = Page { limits, budget: &budget, report: ReadReport::default(), sink, met_entries: false };
    let mut json = serde_json::Deserializer::from_reader(budget.of(source));
    let outcome = (&mut json).deserialize_map(&mut page);
    let met_entries = page.met_entries;
    let report = page.report;
    match outcome {
        Ok(()) if met_entries => Ok(report),
        Ok(()) => Err(FeedError::Malformed("the page has no `vulnerabilities`".to_owned())),
        Err(_) if report.stopped => Ok(report),
        Err(error) => Err(FeedError::Malformed(format!("the page cannot be read further: {error}"))),
    }
}

struct Page<'a> {
    limits: &'a Limits,
    budget: &'a Budget,
    report: ReadReport,
    sink: Sink<'a>,
    met_entries: bool,
}

impl<'de> Visitor<'de> for &mut Page<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a page of vulnerabilities")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "vulnerabilities" {
                self.met_entries = true;
                map.next_value_seed(Entries(self))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct Entries<'p, 'a>(&'p mut Page<'a>);

impl<'de> DeserializeSeed<'de> for Entries<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of vulnerabilities")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let page = self.0;
        let mut position = 0_u64;
        while let Some(raw) = items.next_element::<Box<RawValue>>()? {
            let name = format!("vulnerabilities[{position}]");
            let mut warnings = Vec::new();
            let outcome = serde_json::from_str::<Entry>(raw.get())
                .map_err(|error| error.to_string())
                .and_then(|entry| convert(entry.cve, page.limits, &mut warnings))
                .map_err(|reason| RecordError::new(name.as_str(), reason));
            for text in warnings {
                page.report.warn(page.limits, &name, text);
            }
            page.report.count(&outcome);
            page.report.withdrawn += u64::from(outcome.as_ref().is_ok_and(|note| note.rejected));
            if (page.sink)(outcome).is_break() {
                page.report.stopped = true;
                return Err(A::Error::custom("stopped"));
            }
            page.budget.refill();
            position += 1;
        }
        Ok(())
    }
}

fn convert(cve: Cve, limits: &Limits, warnings: &mut Vec<String>) -> Result<CveNote, String> {
    if !is_cve_id(&cve.id) {
        return Err(format!("{:?} is not a CVE id", shown(&cve.id)));
    }
    let published = loose_instant("published", &cve.published)?;
    let modified =
        cve.last_modified.as_deref().map(|text| loose_instant("lastModified", text)).transpose()?;
    let modified = modified.unwrap_or(published);
    warn_of_future(published, modified, limits, warnings);
    let english =
        cve.descriptions.0.into_iter().find(|text| text.lang == "en" || text.lang.starts_with("en-"));
    let Metrics { cvss_metric_v40, cvss_metric_v31, cvss_metric_v30, cvss_metric_v2 } = cve.metrics;
    let mut vectors = Vec::new();
    for mut list in [cvss_metric_v40.0, cvss_metric_v31.0, cvss_metric_v30.0, cvss_metric_v2.0] {
        // The database's own rating before those of others.
        list.sort_by_key(|metric| metric.r#type.as_deref() != Some("Primary"));
        vectors.extend(list.into_iter().filter_map(|metric| metric.cvss_data.vector_string));
    }
    let cvss = cvss_vectors(vectors.iter().map(String::as_str), warnings);
    Ok(CveNote {
        cve: cve.id,
        description: clean(english.map(|text| text.value).unwrap_or_default(), "descriptions", warnings),
        severity: cvss.first().map(CvssVector::severity).unwrap_or_default(),
        cvss,
        published,
        modified,
        rejected: cve.vuln_status.as_deref() == Some("Rejected"),
    })
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;

    fn read_all(text: &str) -> (Result<ReadReport, FeedError>, Vec<Result<CveNote, RecordError>>) {
        let mut met = Vec::new();
        let report = read(text.as_bytes(), &Limits::default(), &mut |note| {
            met.push(note);
            ControlFlow::Continue(())
        });
        (report, met)
    }

    const ENTRY: &str = r#"{"cve":{"id":"CVE-2026-90001","published":"2026-01-06T09:00:00.000","lastModified":"2026-01-07T09:00:00.123",
        "vulnStatus":"Analyzed","descriptions":[{"lang":"es","value":"no"},{"lang":"en","value":"A hole."}],
        "metrics":{"cvssMetricV31":[{"type":"Secondary","cvssData":{"vectorString":"CVSS:3.1/AV:L/AC:L/PR:N/UI:N/S:U/C:L/I:N/A:N"}},
        {"type":"Primary","cvssData":{"vectorString":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}}]},"weaknesses":[]}}"#;

    #[test]
    fn own_rating_takes_precedence() {
        let text = format!(
            r#"{{"resultsPerPage":1,"format":"NVD_CVE","version":"2.0","vulnerabilities":[{ENTRY}]}}"#
        );
        let (report, met) = read_all(&text);
        assert_eq!(report.unwrap().accepted, 1);
        let note = met[0].as_ref().unwrap();
        assert_eq!((note.severity, note.cvss[0].score, note.cvss.len()), (Severity::Critical, 9.8, 2));
        assert_eq!(note.description, "A hole.");
        assert_eq!(note.modified.to_rfc3339(), "2026-01-07T09:00:00.123+00:00");
    }

    #[test]
    fn bad_entries_do_not_lose_the_others() {
        let text = format!(
            r#"{{"vulnerabilities":[17,{{"cve":{{"id":"x","published":"2026-01-01"}}}},{ENTRY},{{"cve":{{"id":"CVE-2026-90002","published":"soon"}}}}]}}"#
        );
        let (report, met) = read_all(&text);
        let report = report.unwrap();
        assert_eq!((report.read, report.accepted, report.refused), (4, 1, 3));
        assert_eq!(met[1].as_ref().unwrap_err().to_string(), "vulnerabilities[1]: \"x\" is not a CVE id");
    }

    #[test]
    fn entries_before_an_error_are_kept() {
        let (report, met) = read_all(&format!(r#"{{"vulnerabilities":[{ENTRY},{{"cve":"#));
        assert!(report.is_err());
        assert_eq!(met.len(), 1);
        assert!(read_all("{}").0.is_err());
    }
}
