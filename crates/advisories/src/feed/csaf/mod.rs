//! CSAF 2.0: a vendor's advisories, and VEX documents, which state the products affected by one vulnerability.

mod convert;
mod document;
mod packages;
mod products;

#[cfg(test)]
mod standard_tests;
#[cfg(test)]
mod tests;

use std::io::Read;

use super::content::without_byte_order_mark;
use super::osv::{Converted, Sink, deliver};
use super::{FeedError, Limits, ReadReport, RecordError};

/// Reads one document. `name` is used in errors.
pub fn parse_document(bytes: &[u8], name: &str, limits: &Limits) -> Result<Converted, RecordError> {
    if bytes.len() as u64 > limits.csaf_bytes {
        let reason = format!("it is larger than {} bytes", limits.csaf_bytes);
        return Err(RecordError::new(name, reason));
    }
    let document = parse(bytes, name)?;
    convert::convert(document, limits).map_err(|reason| RecordError::new(name, reason))
}

fn parse(bytes: &[u8], name: &str) -> Result<document::Document, RecordError> {
    serde_json::from_slice(without_byte_order_mark(bytes))
        .map_err(|error| RecordError::new(name, format!("it is not a CSAF document: {error}")))
}

/// Reads a file that is one document, of at most [`Limits::csaf_bytes`].
pub fn read(source: impl Read, name: &str, limits: &Limits, sink: Sink<'_>) -> Result<ReadReport, FeedError> {
    let mut report = ReadReport::default();
    let mut bytes = Vec::new();
    source.take(limits.csaf_bytes + 1).read_to_end(&mut bytes).map_err(FeedError::Input)?;
    let outcome = if bytes.len() as u64 > limits.csaf_bytes {
        parse_document(&bytes, name, limits)
    } else {
        let document = parse(&bytes, name);
        // The largest documents need much memory: the text is dropped once it is parsed.
        drop(bytes);
        document.and_then(|document| {
            convert::convert(document, limits).map_err(|reason| RecordError::new(name, reason))
        })
    };
    let _ = deliver(outcome, name, limits, &mut report, sink);
    Ok(report)
}
