//! Ids as people write them: whole, by their first or last characters, by their number, or `@latest`.

use std::fmt::{self, Display};
use std::str::FromStr;

use domain::ids::{ChangeId, RunId};
use uuid::Uuid;

/// An id that may need the platform to become whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShortId<T> {
    Whole(T),
    /// The first or the last characters of one.
    Part(String),
    /// The newest.
    Latest,
}

/// A kind of id, and how it may be shortened.
pub trait Shortened: Sized + Clone + Display {
    /// What a whole or a completed id is; `None` if the text is neither.
    fn whole(text: &str) -> Option<Self>;

    /// Whether the text can be a part of an id.
    fn is_part(text: &str) -> bool;

    /// How to write one.
    const SPELLING: &'static str;
}

impl<T: Shortened> FromStr for ShortId<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "@latest" {
            return Ok(Self::Latest);
        }
        if let Some(whole) = T::whole(text) {
            return Ok(Self::Whole(whole));
        }
        if T::is_part(text) {
            return Ok(Self::Part(text.to_ascii_lowercase()));
        }
        Err(format!("must be {}, or `@latest`", T::SPELLING))
    }
}

/// Fewer characters would match too much by chance.
const LEAST_PART: usize = 4;

impl Shortened for Uuid {
    fn whole(text: &str) -> Option<Self> {
        (text.len() >= 32).then(|| text.parse().ok()).flatten()
    }

    fn is_part(text: &str) -> bool {
        let is_of_id = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
        (LEAST_PART..36).contains(&text.len()) && text.bytes().all(is_of_id)
    }

    const SPELLING: &'static str = "an id, or at least 4 of its first or last characters";
}

impl Shortened for RunId {
    fn whole(text: &str) -> Option<Self> {
        Uuid::whole(text).map(Self)
    }

    fn is_part(text: &str) -> bool {
        Uuid::is_part(text)
    }

    const SPELLING: &'static str = Uuid::SPELLING;
}

/// The number of a ticket with all its digits: `CHG1` is `CHG0000001`.
fn padded(prefix: &str, text: &str) -> Option<String> {
    let upper = text.to_ascii_uppercase();
    let digits = upper.strip_prefix(prefix).unwrap_or(&upper);
    let is_number = (1..=12).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| format!("{prefix}{digits:0>7}"))
}

impl Shortened for ChangeId {
    fn whole(text: &str) -> Option<Self> {
        padded("CHG", text).and_then(|id| Self::new(id).ok())
    }

    fn is_part(_: &str) -> bool {
        false
    }

    const SPELLING: &'static str = "a change such as `CHG0000001`, `CHG1` or `1`";
}

macro_rules! ticket {
    ($(#[$meta:meta])* $name:ident, $prefix:literal, $spelling:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(pub String);

        impl Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Shortened for $name {
            fn whole(text: &str) -> Option<Self> {
                padded($prefix, text).map(Self)
            }

            fn is_part(_: &str) -> bool {
                false
            }

            const SPELLING: &'static str = $spelling;
        }
    };
}

ticket!(
    /// The number of an incident.
    IncidentId,
    "INC",
    "an incident such as `INC0000001`, `INC1` or `1`"
);
ticket!(
    /// The number of a problem.
    ProblemId,
    "PRB",
    "a problem such as `PRB0000001`, `PRB1` or `1`"
);

/// The number of a change where only a whole one makes sense: `CHG1` is enough, `@latest` is not.
pub fn parse_change(text: &str) -> Result<ChangeId, String> {
    ChangeId::whole(text).ok_or_else(|| format!("must be {}", ChangeId::SPELLING))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "018f4e3a-0000-7000-8000-000000000002";

    #[test]
    fn uuids_are_whole_or_parts() {
        let parse = |text: &str| text.parse::<ShortId<Uuid>>();
        assert_eq!(parse(RUN), Ok(ShortId::Whole(RUN.parse().unwrap())));
        assert_eq!(parse("018F4E"), Ok(ShortId::Part("018f4e".into())));
        assert_eq!(parse("0002"), Ok(ShortId::Part("0002".into())));
        assert_eq!(parse("@latest"), Ok(ShortId::Latest));
        for wrong in ["7", "abc", "web-07", "@newest", "", "018f4e3a-0000-7000-8000-0000000000021"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_of_tickets_are_completed() {
        let change = |text: &str| text.parse::<ShortId<ChangeId>>().map_err(|_| ());
        let first = Ok(ShortId::Whole(ChangeId::new("CHG0000001").unwrap()));
        for text in ["CHG1", "chg1", "1", "CHG0000001", "0000001"] {
            assert_eq!(change(text), first, "{text}");
        }
        assert_eq!(change("@latest"), Ok(ShortId::Latest));
        for wrong in ["INC1", "CHG", "CHG1x", "CHG1234567890123", ""] {
            assert_eq!(change(wrong), Err(()), "{wrong}");
        }
        assert_eq!(
            "INC7".parse::<ShortId<IncidentId>>(),
            Ok(ShortId::Whole(IncidentId("INC0000007".to_owned())))
        );
        assert!(parse_change("@latest").is_err() && parse_change("CHG2").is_ok());
    }
}
