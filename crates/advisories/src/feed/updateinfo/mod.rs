//! `updateinfo.xml`: the updates of an rpm repository, as dnf's `updateinfo` reads them.
//!
//! The reader knows elements, attributes and text. Document types are refused and entities other than XML's own five are
//! left as they are written, so that no input can expand or load anything while it is read.

mod convert;
mod release;
mod update;

#[cfg(test)]
mod repository_tests;
#[cfg(test)]
mod tests;

use std::io::BufRead;

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::budget::{Budget, Budgeted};
use super::osv::{Sink, deliver};
use super::{FeedError, Limits, ReadReport, RecordError};
use update::Update;

/// Elements of real files go seven deep.
const MAX_DEPTH: usize = 32;
/// Packages of one update; real ones have a few thousand.
const MAX_PACKAGES: usize = 100_000;

/// Reads every `<update>`, one in memory at a time.
pub fn read(source: impl BufRead, limits: &Limits, sink: Sink<'_>) -> Result<ReadReport, FeedError> {
    let budget = Budget::new(limits.record_bytes);
    let mut file = File {
        reader: Reader::from_reader(budget.of(source)),
        open: Vec::new(),
        texts: Vec::new(),
        update: None,
    };
    let mut report = ReadReport::default();
    let mut buffer = Vec::new();
    let mut number = 0_u64;
    let mut met_root = false;
    loop {
        buffer.clear();
        let event = file.reader.read_event_into(&mut buffer).map_err(|error| broken(&error))?;
        match event {
            Event::Start(element) => {
                met_root |= check_root(&element, met_root)?;
                let is_empty = false;
                open(&mut file.open, &mut file.texts, &mut file.update, &element, is_empty)?;
            }
            Event::Empty(element) => {
                met_root |= check_root(&element, met_root)?;
                open(&mut file.open, &mut file.texts, &mut file.update, &element, true)?;
            }
            Event::End(_) => {
                let (name, text) =
                    (file.open.pop().unwrap_or_default(), file.texts.pop().unwrap_or_default());
                let Some(update) = &mut file.update else { continue };
                if name != "update" {
                    update.end(&name, file.open.last().map_or("", String::as_str), text);
                    continue;
                }
                number += 1;
                let place = update.id.clone().unwrap_or_else(|| format!("update {number}"));
                let outcome = file.update.take().unwrap_or_default();
                let outcome = convert::convert(outcome, limits)
                    .map_err(|reason| RecordError::new(place.as_str(), reason));
                if deliver(outcome, &place, limits, &mut report, sink).is_break() {
                    return Ok(report);
                }
                budget.refill();
            }
            Event::Text(text) => append(&mut file.texts, &text.xml10_content()),
            Event::CData(text) => append(&mut file.texts, &text.xml10_content()),
            Event::GeneralRef(reference) => append(&mut file.texts, &resolve(&reference)),
            Event::DocType(_) => {
                let reason = "the input has a document type, which no feed needs; it is not read";
                return Err(FeedError::Malformed(reason.to_owned()));
            }
            Event::Decl(declaration) => {
                check_encoding(declaration.encoding().and_then(Result::ok).as_deref())?
            }
            Event::Comment(_) | Event::PI(_) => {}
            Event::Eof if file.open.is_empty() && met_root => return Ok(report),
            Event::Eof => {
                return Err(FeedError::Malformed("the input ends in the middle of the XML".to_owned()));
            }
        }
    }
}

struct File<R> {
    reader: Reader<Budgeted<R>>,
    /// Names of the open elements, outermost first, and the text directly in each.
    open: Vec<String>,
    texts: Vec<String>,
    update: Option<Update>,
}

fn broken(error: &quick_xml::Error) -> FeedError {
    FeedError::Malformed(format!("the XML cannot be read further: {error}"))
}

fn check_root(element: &BytesStart<'_>, met_root: bool) -> Result<bool, FeedError> {
    if met_root || element.local_name().as_ref() == "updates" {
        Ok(true)
    } else {
        Err(FeedError::Malformed("the input is not an updateinfo; its root must be `<updates>`".to_owned()))
    }
}

fn check_encoding(encoding: Option<&str>) -> Result<(), FeedError> {
    match encoding.unwrap_or("utf-8").to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" | "us-ascii" | "ascii" => Ok(()),
        other => {
            let shown: String = other.chars().take(40).collect();
            Err(FeedError::Malformed(format!("the input is in {shown:?}; convert it to UTF-8")))
        }
    }
}

/// An element starts; an empty one ends at once.
fn open(
    open: &mut Vec<String>,
    texts: &mut Vec<String>,
    update: &mut Option<Update>,
    element: &BytesStart<'_>,
    is_empty: bool,
) -> Result<(), FeedError> {
    let name = element.local_name().as_ref().to_owned();
    if open.len() >= MAX_DEPTH {
        return Err(FeedError::Malformed(format!("the XML is nested more than {MAX_DEPTH} deep")));
    }
    let mut attributes = Vec::new();
    for attribute in element.attributes() {
        let attribute = attribute.map_err(|error| broken(&error.into()))?;
        // An entity that is not XML's own leaves the value as it is written.
        let value = match attribute.normalized_value(XmlVersion::Implicit1_0) {
            Ok(value) => value.into_owned(),
            Err(_) => attribute.value.as_ref().to_owned(),
        };
        attributes.push((attribute.key.local_name().as_ref().to_owned(), value));
    }
    match update {
        None if name == "update" && !is_empty => *update = Some(Update::new(&attributes)),
        Some(update) => {
            update.start(&name, attributes);
            if update.package_count() > MAX_PACKAGES {
                return Err(FeedError::Malformed(format!("an update has more than {MAX_PACKAGES} packages")));
            }
            if is_empty {
                update.end(&name, open.last().map_or("", String::as_str), String::new());
            }
        }
        None => {}
    }
    if !is_empty {
        open.push(name);
        texts.push(String::new());
    }
    Ok(())
}

fn append(texts: &mut [String], text: &str) {
    if let Some(innermost) = texts.last_mut() {
        innermost.push_str(text);
    }
}

/// XML's own entities and characters by number; any other reference stays as it is written.
pub(crate) fn resolve(reference: &BytesRef<'_>) -> String {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return character.to_string();
    }
    match &*reference.xml10_content() {
        "lt" => "<".to_owned(),
        "gt" => ">".to_owned(),
        "amp" => "&".to_owned(),
        "apos" => "'".to_owned(),
        "quot" => "\"".to_owned(),
        other => format!("&{other};"),
    }
}
