//! One record over many lines, or one record per line; the content decides which.

use std::io::{BufRead, Read};
use std::ops::ControlFlow;

use serde::de::IgnoredAny;

use crate::feed::content::without_byte_order_mark;
use crate::feed::lines::{Line, read_line};
use crate::feed::{FeedError, Limits, ReadReport, RecordError};

use super::{Sink, deliver, hand_over, parse_record};

/// Reads a single record or NDJSON. Blank lines are skipped; lines and records are bounded by
/// [`Limits::record_bytes`].
pub fn read_text(
    mut source: impl BufRead,
    name: &str,
    limits: &Limits,
    sink: Sink<'_>,
) -> Result<ReadReport, FeedError> {
    let mut report = ReadReport::default();
    let mut lines = Lines { source: &mut source, number: 0, buffer: Vec::new(), limit: limits.record_bytes };
    let Some(mut line) = lines.next_filled()? else {
        return Err(FeedError::Malformed("the input is empty".to_owned()));
    };
    if lines.buffer.starts_with(&[0xFF, 0xFE]) || lines.buffer.starts_with(&[0xFE, 0xFF]) {
        return Err(FeedError::Malformed("the input is UTF-16; convert it to UTF-8".to_owned()));
    }

    if line == Content::Text && is_unfinished(&lines.buffer) {
        let first = std::mem::take(&mut lines.buffer);
        let first_number = lines.number;
        let second = lines.next_filled()?;
        // A new record at the start of a line means that the first line is one damaged record of many.
        let one_a_line = second == Some(Content::TooLong) || lines.buffer.starts_with(b"{");
        if !one_a_line || second.is_none() {
            return read_document(lines, first, name, limits, report, sink);
        }
        let place = format!("{name}:{first_number}");
        let flow = deliver(parse_record(&first, &place, limits), &place, limits, &mut report, sink);
        match (flow, second) {
            (ControlFlow::Continue(()), Some(content)) => line = content,
            _ => return Ok(report),
        }
    }

    loop {
        let place = format!("{name}:{}", lines.number);
        let flow = match line {
            Content::Text => {
                deliver(parse_record(&lines.buffer, &place, limits), &place, limits, &mut report, sink)
            }
            Content::TooLong => {
                let reason = format!("the line is longer than {} bytes", limits.record_bytes);
                hand_over(Err(RecordError::new(place, reason)), &mut report, sink)
            }
        };
        if flow.is_break() {
            return Ok(report);
        }
        match lines.next_filled()? {
            Some(content) => line = content,
            None => return Ok(report),
        }
    }
}

/// `first` and the line in the buffer start a record that extends to the end of the input.
fn read_document(
    lines: Lines<'_, impl BufRead>,
    mut document: Vec<u8>,
    name: &str,
    limits: &Limits,
    mut report: ReadReport,
    sink: Sink<'_>,
) -> Result<ReadReport, FeedError> {
    document.push(b'\n');
    document.extend_from_slice(&lines.buffer);
    document.push(b'\n');
    let room = (limits.record_bytes + 1).saturating_sub(document.len() as u64);
    lines.source.take(room).read_to_end(&mut document).map_err(FeedError::Input)?;
    let _ = deliver(parse_record(&document, name, limits), name, limits, &mut report, sink);
    Ok(report)
}

/// Whether the line starts a JSON value that it does not end.
fn is_unfinished(line: &[u8]) -> bool {
    let parsed: Result<IgnoredAny, _> = serde_json::from_slice(without_byte_order_mark(line));
    parsed.is_err_and(|error| error.is_eof())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Text,
    TooLong,
}

struct Lines<'a, R> {
    source: &'a mut R,
    number: u64,
    buffer: Vec<u8>,
    limit: u64,
}

impl<R: BufRead> Lines<'_, R> {
    /// The next line that is not blank.
    fn next_filled(&mut self) -> Result<Option<Content>, FeedError> {
        loop {
            self.number += 1;
            match read_line(self.source, &mut self.buffer, self.limit).map_err(FeedError::Input)? {
                Line::End => return Ok(None),
                Line::TooLong => return Ok(Some(Content::TooLong)),
                Line::Text if self.buffer.trim_ascii().is_empty() => {}
                Line::Text => return Ok(Some(Content::Text)),
            }
        }
    }
}
