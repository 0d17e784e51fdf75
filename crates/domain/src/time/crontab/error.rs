//! Why a pattern is refused, and what to write instead.

use super::field::Field;

/// Longest pattern that is read, in bytes; sixty listed minutes take a fifth of it.
pub const MAX_PATTERN_BYTES: usize = 1024;

/// A pattern that is not a five-field crontab.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrontabError {
    #[error("crontab pattern is empty, write five fields such as `0 2 * * 0`")]
    Empty,
    #[error("crontab pattern is {length} bytes long, write at most {MAX_PATTERN_BYTES}")]
    TooLong { length: usize },
    #[error(
        "crontab pattern contains the character {character:?}, use digits, names, `*`, `,`, `-`, `/` and spaces only"
    )]
    Character { character: char },
    #[error(
        "crontab pattern names the time zone in `{prefix}`, write the time zone separately from the pattern"
    )]
    TimeZonePrefix { prefix: String },
    #[error(
        "crontab pattern has {found} fields, write five: minute hour day-of-month month day-of-week{}",
        if *found > 5 { " (there is no field for seconds or years)" } else { "" }
    )]
    FieldCount { found: usize },
    #[error(
        "crontab nickname `{nickname}` is unknown, use @hourly, @daily, @midnight, @weekly, @monthly, @yearly or @annually"
    )]
    UnknownNickname { nickname: String },
    #[error("crontab field {field}: {reason}")]
    Field { field: Field, reason: FieldError },
    #[error("crontab pattern `{pattern}` can never fire: none of its months has any of its days")]
    NeverFires { pattern: String },
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error("a list item is empty, write a value on both sides of each `,`")]
    EmptyItem,
    #[error(
        "`{item}` is Quartz syntax (`?`, `L`, `W`, `#`), which crontab does not have; use `*`, values or ranges, and `TUE#2` or `5L` for a day of the week only"
    )]
    Quartz { item: String },
    #[error("`{item}` does not name one day of the week, write the second Tuesday as `TUE#2` or `2#2`")]
    NthOfNoWeekday { item: String },
    #[error(
        "`{item}` does not name one of the month's five, write `{weekday}#1` to `{weekday}#5`, or `{weekday}L` for the last"
    )]
    NthOutOfRange { item: String, weekday: String },
    #[error("`{value}` is not a value, use {low} to {high}{}", if *named { " or a name" } else { "" })]
    NotAValue { value: String, low: u8, high: u8, named: bool },
    #[error("`{value}` is out of range, use {low} to {high}")]
    OutOfRange { value: String, low: u8, high: u8 },
    #[error("range `{item}` is not of the form `low-high`")]
    MalformedRange { item: String },
    #[error("range `{item}` runs backwards, write it as two ranges with `,` between them")]
    ReversedRange { item: String },
    #[error("step `{item}` is not of the form `*/step` or `low-high/step`")]
    MalformedStep { item: String },
    #[error("step in `{item}` needs `*` or a range before the `/`, such as `{value}-{high}/{step}`")]
    StepOfSingleValue { item: String, value: String, high: u8, step: String },
    #[error("step in `{item}` must be from 1 to {span}")]
    StepOutOfRange { item: String, span: u8 },
}
