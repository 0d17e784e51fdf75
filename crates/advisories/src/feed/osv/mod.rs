//! OSV records: one file, one a line, or the `all.zip` of an ecosystem.

mod affected;
mod archive;
mod convert;
mod record;
mod tar;
mod text;

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use crate::advisory::Advisory;

use super::content::without_byte_order_mark;
use super::{Limits, ReadReport, RecordError};

pub use archive::read_archive;
pub use tar::read_tar;
pub use text::read_text;

/// Receives each record, or the reason why it was refused. `Break` ends the reading.
pub type Sink<'a> = &'a mut dyn FnMut(Result<Advisory, RecordError>) -> ControlFlow<()>;

/// An advisory and the warnings about its record.
#[derive(Clone, Debug, PartialEq)]
pub struct Converted {
    pub advisory: Advisory,
    pub warnings: Vec<String>,
}

/// Reads one record. `name` is used in errors.
pub fn parse_record(bytes: &[u8], name: &str, limits: &Limits) -> Result<Converted, RecordError> {
    if bytes.len() as u64 > limits.record_bytes {
        let reason = format!("it is larger than {} bytes", limits.record_bytes);
        return Err(RecordError::new(name, reason));
    }
    let record: record::Record = serde_json::from_slice(without_byte_order_mark(bytes))
        .map_err(|error| RecordError::new(name, format!("it is not an OSV record: {error}")))?;
    convert::convert(record, limits).map_err(|reason| RecordError::new(name, reason))
}

/// Passes one record on and counts it.
pub(super) fn deliver(
    outcome: Result<Converted, RecordError>,
    name: &str,
    limits: &Limits,
    report: &mut ReadReport,
    sink: Sink<'_>,
) -> ControlFlow<()> {
    match outcome {
        Ok(converted) => {
            for text in converted.warnings {
                report.warn(limits, name, text);
            }
            report.withdrawn += u64::from(converted.advisory.withdrawn.is_some());
            report.superseded += u64::from(converted.advisory.superseded_by.is_some());
            hand_over(Ok(converted.advisory), report, sink)
        }
        Err(error) => hand_over(Err(error), report, sink),
    }
}

fn hand_over(
    outcome: Result<Advisory, RecordError>,
    report: &mut ReadReport,
    sink: Sink<'_>,
) -> ControlFlow<()> {
    report.count(&outcome);
    let flow = sink(outcome);
    report.stopped = flow.is_break();
    flow
}
