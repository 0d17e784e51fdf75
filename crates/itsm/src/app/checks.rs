//! Checks of single fields. A request is checked whole, so that the answer names everything that is wrong.

use api_types::itsm::limits::{CIS, EVIDENCE};
pub use api_types::itsm::limits::{LINE, TEXT};
use chrono::{DateTime, Datelike, Utc};
use domain::ids::CiId;
use serde_json::Value;
use service_kit::FieldErrors;

pub const NAME: usize = 200;
pub const COMMENT: usize = 4_000;

pub fn optional_line(errors: &mut FieldErrors, pointer: &str, text: Option<&str>, most: usize) {
    if let Some(text) = text {
        errors.require_line(pointer, text, most);
    }
}

/// Prose of up to `most` characters; line breaks and tabs are its only control characters.
pub fn prose(errors: &mut FieldErrors, pointer: &str, text: &str, most: usize) {
    let is_forbidden = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    errors.require(
        text.chars().count() <= most && !text.chars().any(is_forbidden),
        pointer,
        format!("must be at most {most} characters, without control characters except line breaks and tabs"),
    );
}

pub fn required_prose(errors: &mut FieldErrors, pointer: &str, text: &str, most: usize) {
    if text.trim().is_empty() {
        errors.add(pointer, "must not be empty");
    } else {
        prose(errors, pointer, text, most);
    }
}

pub fn plan_hash(errors: &mut FieldErrors, pointer: &str, hash: Option<&str>) {
    let is_hash =
        |hash: &str| hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    errors.require(hash.is_none_or(is_hash), pointer, "must be 64 hexadecimal digits in lower case");
}

/// Sorts the ids and removes duplicates: approval is for a set of CIs.
pub fn ci_ids(errors: &mut FieldErrors, pointer: &str, ids: &mut Vec<CiId>, fewest: usize) {
    ids.sort();
    ids.dedup();
    let count = ids.len();
    errors.require(
        (fewest..=CIS).contains(&count),
        pointer,
        format!("must name {fewest} to {CIS} CIs, not {count}"),
    );
}

/// Truncates both times to the microseconds that are stored.
pub fn span(errors: &mut FieldErrors, start_at: &mut DateTime<Utc>, end_at: &mut DateTime<Utc>) {
    for (pointer, at) in [("/start_at", &mut *start_at), ("/end_at", &mut *end_at)] {
        if (2000..2200).contains(&at.year()) {
            *at = to_micros(*at);
        } else {
            errors.add(pointer, "must be between the years 2000 and 2200");
        }
    }
    errors.require(end_at > start_at, "/end_at", "must be later than `start_at`");
}

/// The precision that PostgreSQL stores, so that a time read back equals the time written.
pub fn to_micros(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}

pub fn evidence(errors: &mut FieldErrors, pointer: &str, evidence: &Value) {
    if !matches!(evidence, Value::Object(_) | Value::Null) {
        errors.add(pointer, "must be a JSON object");
    } else if evidence.to_string().len() > EVIDENCE {
        errors.add(pointer, format!("must be at most {} KiB of JSON", EVIDENCE / 1024));
    }
}

pub fn email(errors: &mut FieldErrors, pointer: &str, address: &str) {
    errors.require(
        address.len() <= 254 && address.parse::<lettre::Address>().is_ok(),
        pointer,
        "must be an e-mail address such as `name@example.org`",
    );
}
