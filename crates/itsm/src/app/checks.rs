//! Checks of single fields; all that is wrong with a request is said at once.

use api_types::problem::FieldError;
use chrono::{DateTime, Datelike, Utc};
use domain::ids::CiId;
use serde_json::Value;
use service_kit::{ApiError, ApiResult};

/// One line: subjects, titles, names.
pub const LINE: usize = 160;
pub const NAME: usize = 200;
/// Prose.
pub const TEXT: usize = 20_000;
pub const COMMENT: usize = 4_000;
/// Serialised JSON, in bytes.
const EVIDENCE: usize = 256 * 1024;
const CIS: usize = 20_000;

#[derive(Debug, Default)]
pub struct Checks(Vec<FieldError>);

impl Checks {
    pub fn refuse(&mut self, pointer: &str, detail: impl Into<String>) {
        self.0.push(FieldError { pointer: pointer.to_owned(), detail: detail.into() });
    }

    /// 1 to `most` characters in one line. Line breaks and control characters would forge headers and log lines.
    pub fn line(&mut self, pointer: &str, text: &str, most: usize) {
        if text.trim().is_empty() || text.chars().count() > most || text.chars().any(char::is_control) {
            self.refuse(
                pointer,
                format!("must be 1 to {most} characters in one line, without control characters"),
            );
        }
    }

    pub fn optional_line(&mut self, pointer: &str, text: Option<&str>, most: usize) {
        if let Some(text) = text {
            self.line(pointer, text, most);
        }
    }

    /// Prose of up to `most` characters; line breaks and tabs are its only control characters.
    pub fn prose(&mut self, pointer: &str, text: &str, most: usize) {
        let is_forbidden = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        if text.chars().count() > most || text.chars().any(is_forbidden) {
            self.refuse(
                pointer,
                format!(
                    "must be at most {most} characters, without control characters but line breaks and tabs"
                ),
            );
        }
    }

    pub fn required_prose(&mut self, pointer: &str, text: &str, most: usize) {
        match text.trim().is_empty() {
            true => self.refuse(pointer, "must say something"),
            false => self.prose(pointer, text, most),
        }
    }

    pub fn plan_hash(&mut self, pointer: &str, hash: Option<&str>) {
        let is_hash =
            |hash: &str| hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if hash.is_some_and(|hash| !is_hash(hash)) {
            self.refuse(pointer, "must be 64 hexadecimal digits in lower case");
        }
    }

    /// Sorts the ids and drops doubles: approval is for a set of CIs.
    pub fn ci_ids(&mut self, pointer: &str, ids: &mut Vec<CiId>, fewest: usize) {
        ids.sort();
        ids.dedup();
        if !(fewest..=CIS).contains(&ids.len()) {
            self.refuse(pointer, format!("must name {fewest} to {CIS} CIs, not {}", ids.len()));
        }
    }

    /// Cuts both to the microseconds that are stored.
    pub fn span(&mut self, start_at: &mut DateTime<Utc>, end_at: &mut DateTime<Utc>) {
        for (pointer, at) in [("/start_at", &mut *start_at), ("/end_at", &mut *end_at)] {
            match (2000..2200).contains(&at.year()) {
                true => *at = DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(*at),
                false => self.refuse(pointer, "must lie between the years 2000 and 2200"),
            }
        }
        if *end_at <= *start_at {
            self.refuse("/end_at", "must be later than `start_at`");
        }
    }

    pub fn evidence(&mut self, pointer: &str, evidence: &Value) {
        if !matches!(evidence, Value::Object(_) | Value::Null) {
            self.refuse(pointer, "must be a JSON object");
        } else if evidence.to_string().len() > EVIDENCE {
            self.refuse(pointer, format!("must be at most {} KiB of JSON", EVIDENCE / 1024));
        }
    }

    pub fn email(&mut self, pointer: &str, address: &str) {
        if address.len() > 254 || address.parse::<lettre::Address>().is_err() {
            self.refuse(pointer, "must be an e-mail address, `name@example.org`");
        }
    }

    pub fn finish(self) -> ApiResult<()> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(ApiError::invalid_fields(self.0)),
        }
    }
}
