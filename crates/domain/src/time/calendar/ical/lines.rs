//! Physical lines to content lines: unfolding, names, parameters and values (RFC 5545 section 3.1).

use super::{IcalError, IcalProblem};

/// Longest content line after unfolding, in bytes.
const MAX_LINE_BYTES: usize = 16 << 10;

/// A property as it was written, its name and parameter names in upper case.
#[derive(Clone)]
pub(super) struct Line {
    /// Of its first physical line, counted from 1.
    pub(super) number: usize,
    pub(super) name: String,
    parameters: Vec<(String, String)>,
    pub(super) value: String,
}

impl Line {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The content lines of a file, in order. Lines may end with or without a carriage return.
pub(super) fn content_lines(text: &str) -> impl Iterator<Item = Result<Line, IcalError>> {
    let mut physical = text.strip_prefix('\u{feff}').unwrap_or(text).lines().zip(1..).peekable();
    std::iter::from_fn(move || {
        let (first, number) = physical.by_ref().find(|(line, _)| !line.trim().is_empty())?;
        let mut unfolded = first.to_owned();
        while let Some((more, _)) = physical.next_if(|(next, _)| next.starts_with([' ', '\t'])) {
            if unfolded.len() + more.len() > MAX_LINE_BYTES {
                return Some(Err(IcalProblem::LineTooLong { limit: MAX_LINE_BYTES }.at(number)));
            }
            unfolded.push_str(&more[1..]);
        }
        Some(content_line(&unfolded, number).map_err(|problem| problem.at(number)))
    })
}

fn content_line(text: &str, number: usize) -> Result<Line, IcalProblem> {
    if text.len() > MAX_LINE_BYTES {
        return Err(IcalProblem::LineTooLong { limit: MAX_LINE_BYTES });
    }
    if let Some(character) = text.chars().find(|character| character.is_control() && *character != '\t') {
        return Err(IcalProblem::ControlCharacter { character });
    }
    let name_end = text.find([';', ':']).ok_or(IcalProblem::NotAProperty)?;
    let (name, mut rest) = text.split_at(name_end);
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(IcalProblem::NotAProperty);
    }
    let mut parameters = Vec::new();
    while let Some(parameter) = rest.strip_prefix(';') {
        let end = unquoted_end(parameter).ok_or(IcalProblem::NotAProperty)?;
        let (key, value) = parameter[..end].split_once('=').ok_or(IcalProblem::NotAProperty)?;
        parameters.push((key.to_ascii_uppercase(), value.trim_matches('"').to_owned()));
        rest = &parameter[end..];
    }
    let value = rest.strip_prefix(':').ok_or(IcalProblem::NotAProperty)?.to_owned();
    Ok(Line { number, name: name.to_ascii_uppercase(), parameters, value })
}

/// Where a parameter ends: the first `;` or `:` outside of double quotes.
fn unquoted_end(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().find_map(|(index, character)| {
        quoted ^= character == '"';
        (!quoted && matches!(character, ';' | ':')).then_some(index)
    })
}
