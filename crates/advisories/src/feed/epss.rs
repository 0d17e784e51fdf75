//! EPSS: how likely a vulnerability is to be exploited within 30 days.

use std::io::BufRead;

use serde::{Deserialize, Serialize};

use super::content::without_byte_order_mark;
use super::lines::{Line, read_line};
use super::{FeedError, Limits, ReadReport, RecordError, is_cve_id};

/// Longest accepted line of a score file, in bytes; real ones are much shorter.
const LINE_BYTES: u64 = 4096;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExploitPrediction {
    pub cve: String,
    /// 0 to 1.
    pub probability: f64,
    /// Share of all CVEs with the same or a lower score, 0 to 1. The oldest files lack it.
    pub percentile: Option<f64>,
}

/// Reads `cve,epss[,percentile]`, one line at a time, with an optional comment line before the header.
pub fn read(
    mut source: impl BufRead,
    limits: &Limits,
    sink: &mut dyn FnMut(Result<ExploitPrediction, RecordError>),
) -> Result<ReadReport, FeedError> {
    let mut report = ReadReport::default();
    let mut buffer = Vec::new();
    let mut columns = None;
    let mut number = 0_u64;
    loop {
        number += 1;
        let line = read_line(&mut source, &mut buffer, LINE_BYTES.min(limits.record_bytes))
            .map_err(FeedError::Input)?;
        let text = match line {
            Line::End => break,
            Line::Text => std::str::from_utf8(without_byte_order_mark(&buffer))
                .map(str::trim)
                .map_err(|_| "it is not UTF-8"),
            Line::TooLong => Err("it is too long"),
        };
        if text.is_ok_and(|text| text.is_empty() || text.starts_with('#')) {
            continue;
        }
        let Some(columns) = columns else {
            columns = Some(text.ok().and_then(header).ok_or_else(no_header)?);
            continue;
        };
        let outcome = text
            .map_err(str::to_owned)
            .and_then(|text| prediction(text, columns))
            .map_err(|reason| RecordError::new(format!("line {number}"), reason));
        report.count(&outcome);
        sink(outcome);
    }
    if columns.is_none() {
        return Err(no_header());
    }
    Ok(report)
}

fn no_header() -> FeedError {
    FeedError::Malformed(
        "the input is not an EPSS file; its header must be `cve,epss` or `cve,epss,percentile`".to_owned(),
    )
}

/// The number of columns.
fn header(text: &str) -> Option<usize> {
    match text.to_ascii_lowercase().as_str() {
        "cve,epss" => Some(2),
        "cve,epss,percentile" => Some(3),
        _ => None,
    }
}

fn prediction(text: &str, columns: usize) -> Result<ExploitPrediction, String> {
    let fields: Vec<&str> = text.split(',').map(str::trim).collect();
    if fields.len() != columns {
        return Err(format!("it has {} columns instead of {columns}", fields.len()));
    }
    if !is_cve_id(fields[0]) {
        return Err(format!("{:?} is not a CVE id", fields[0].chars().take(40).collect::<String>()));
    }
    let share = |text: &str| {
        let parsed = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
        parsed.ok_or_else(|| {
            format!("{:?} is not a number from 0 to 1", text.chars().take(40).collect::<String>())
        })
    };
    Ok(ExploitPrediction {
        cve: fields[0].to_owned(),
        probability: share(fields[1])?,
        percentile: fields.get(2).map(|text| share(text)).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &[u8]) -> Result<(ReadReport, Vec<Result<ExploitPrediction, RecordError>>), FeedError> {
        let mut met = Vec::new();
        let report = read(text, &Limits::default(), &mut |score| met.push(score))?;
        Ok((report, met))
    }

    #[test]
    fn scores_are_read_and_bad_lines_refused() {
        let text = b"#model_version:v2026.01.01,score_date:2026-03-11T00:00:00Z\ncve,epss,percentile\n\
            CVE-2026-90001,0.91963,0.99030\nCVE-2026-90002,NaN,0.5\nCVE-2026-90003,1.5,0.5\nx,0.1,0.1\n\xFF,0,0\nCVE-2026-90004,0.1\n";
        let (report, met) = read_all(text).unwrap();
        assert_eq!((report.accepted, report.refused), (1, 5));
        assert_eq!(met[0].as_ref().unwrap().percentile, Some(0.9903));
        assert_eq!(met[1].as_ref().unwrap_err().to_string(), "line 4: \"NaN\" is not a number from 0 to 1");
    }

    #[test]
    fn file_without_header_is_an_error() {
        for text in [&b""[..], b"invalid,header,format\n", b"CVE-2024-6775,0.1,0.1\n"] {
            assert!(read_all(text).is_err());
        }
    }

    #[test]
    fn oldest_files_have_no_percentile() {
        let (report, met) = read_all(b"cve,epss\nCVE-2020-5902,0.65117\n").unwrap();
        assert_eq!(report.accepted, 1);
        assert_eq!(met[0].as_ref().unwrap().percentile, None);
    }
}
