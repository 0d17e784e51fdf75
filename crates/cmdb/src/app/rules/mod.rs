//! What a CI may contain.

mod attributes;

use domain::{selector::Tags, text::has_hidden};
use service_kit::FieldErrors;

pub use attributes::{check_attribute_name, check_attributes, is_address, is_program, services_fault};

pub const MAX_NAME: usize = 200;
pub const MAX_REASON: usize = 1000;
const MAX_TAGS: usize = 64;
const MAX_TAG_VALUE: usize = 255;

/// The reason of a change: may have several lines, may be absent.
pub fn check_reason(errors: &mut FieldErrors, pointer: &str, text: Option<&str>) {
    if let Some(text) = text
        && (text.chars().count() > MAX_REASON || text.chars().any(|c| c.is_control() && c != '\n'))
    {
        errors.add(pointer, format!("must be at most {MAX_REASON} characters without control characters"));
    }
}

pub fn check_tags(errors: &mut FieldErrors, tags: &Tags) {
    if tags.len() > MAX_TAGS {
        errors.add("/tags", format!("has {} tags; at most {MAX_TAGS} are kept", tags.len()));
    }
    for (key, value) in tags {
        let pointer = || format!("/tags/{}", segment(key));
        if !is_tag_key(key) {
            errors.add(
                pointer(),
                "is not a valid name for a tag: use 1 to 63 of `A-Z a-z 0-9 _ . - /`, a letter, digit or `_` first",
            );
        } else if value.chars().count() > MAX_TAG_VALUE || has_hidden(value) {
            errors.add(
                pointer(),
                format!(
                    "must be at most {MAX_TAG_VALUE} characters without control or bidirectional characters"
                ),
            );
        }
    }
}

pub fn is_tag_key(key: &str) -> bool {
    (1..=63).contains(&key.len())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'/'))
        && (key.as_bytes()[0].is_ascii_alphanumeric() || key.starts_with('_'))
}

/// A segment of a JSON pointer, short enough to be shown.
fn segment(key: &str) -> String {
    let shown: String = key.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect();
    shown.replace('~', "~0").replace('/', "~1")
}
