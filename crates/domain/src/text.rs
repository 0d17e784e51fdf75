//! Text that one person writes and another reads: which characters mislead, and how a cell of a table stays text.

use std::borrow::Cow;

/// Whether a character is invisible or changes how the characters around it are shown: control characters, line separators,
/// and those that reverse the direction of writing or have no width. A name with one looks like another name. The joiners
/// U+200C and U+200D are letters of some scripts and stay.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{00ad}' | '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Whether a text has such a character.
pub fn has_hidden(text: &str) -> bool {
    text.chars().any(is_hidden)
}

/// A cell of a CSV file that no spreadsheet reads as a formula. Numbers stay numbers.
pub fn inert_cell(cell: &str) -> Cow<'_, str> {
    let begins_a_formula = |c: char| "=+-@\u{ff1d}\u{ff0b}\u{ff0d}\u{ff20}".contains(c);
    let is_odd = cell.starts_with(['\t', '\r', '\n']) || cell.trim_start().starts_with(begins_a_formula);
    let is_number =
        || cell.bytes().all(|b| b.is_ascii_digit() || b"+-.".contains(&b)) && cell.parse::<f64>().is_ok();
    if is_odd && cell != "-" && !is_number() { format!("'{cell}").into() } else { cell.into() }
}

/// An address without what may be a secret: many services put a token into the path or the query of a webhook. Other texts stay.
pub fn without_secrets(text: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = text.split_once("://") else { return text.into() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let name = authority.rsplit('@').next().unwrap_or_default();
    let is_bare = name == rest || rest.strip_prefix(name) == Some("/");
    if is_bare { text.into() } else { format!("{scheme}://{name}/[hidden]").into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_mislead_are_found_and_letters_of_all_scripts_are_not() {
        for text in ["a\nb", "a\0", "a\u{202e}b", "\u{2066}a", "a\u{200b}b", "\u{feff}a", "a\u{85}"] {
            assert!(has_hidden(text), "{text:?}");
        }
        for text in ["plain", "Größe", "日本語", "עברית", "می\u{200c}خواهم", "a b"] {
            assert!(!has_hidden(text), "{text:?}");
        }
    }

    #[test]
    fn addresses_are_shown_without_their_secrets() {
        for (text, shown) in [
            ("https://hooks.example.org/services/T0/B0/secret", "https://hooks.example.org/[hidden]"),
            ("https://hooks.example.org?token=secret", "https://hooks.example.org/[hidden]"),
            ("https://user:secret@hooks.example.org:8443/", "https://hooks.example.org:8443/[hidden]"),
            ("https://user:secret@hooks.example.org", "https://hooks.example.org/[hidden]"),
            ("https://hooks.example.org/", "https://hooks.example.org/"),
            ("https://hooks.example.org", "https://hooks.example.org"),
            ("ops@example.org", "ops@example.org"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
    }

    #[test]
    fn formulas_become_text_and_numbers_stay() {
        for cell in ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1", " =1", "＝1", "--", "\r\n=1"]
        {
            assert_eq!(inert_cell(cell), format!("'{cell}"));
        }
        for cell in ["-", "-5", "+3.25", "web-01", "", "a=b", "2026-12-01"] {
            assert_eq!(inert_cell(cell), cell);
        }
    }
}
