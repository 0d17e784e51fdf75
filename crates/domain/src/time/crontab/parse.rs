//! Text to fields. Stricter than most daemons: what the written standard refuses is refused here.

use super::super::day_rule::NthOfMonth;
use super::error::{CrontabError, FieldError, MAX_PATTERN_BYTES};
use super::field::{Field, FieldValues};

/// The fields of a pattern and its normalised text.
pub(super) struct Pattern {
    pub(super) text: String,
    pub(super) minutes: FieldValues,
    pub(super) hours: FieldValues,
    pub(super) days_of_month: FieldValues,
    pub(super) months: FieldValues,
    pub(super) days_of_week: FieldValues,
}

impl Pattern {
    /// The five fields as they were written; `None` for a nickname.
    pub(super) fn words(&self) -> Option<[&str; 5]> {
        self.text.split(' ').collect::<Vec<_>>().try_into().ok()
    }
}

pub(super) fn pattern(text: &str) -> Result<Pattern, CrontabError> {
    if text.len() > MAX_PATTERN_BYTES {
        return Err(CrontabError::TooLong { length: text.len() });
    }
    if let Some(character) = text.chars().find(|c| !matches!(c, ' ' | '\t' | '!'..='~')) {
        return Err(CrontabError::Character { character });
    }
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    match words.as_slice() {
        [] => Err(CrontabError::Empty),
        [prefix, ..] if prefix.contains('=') => {
            Err(CrontabError::TimeZonePrefix { prefix: (*prefix).to_owned() })
        }
        [nickname] if nickname.starts_with('@') => fields((*nickname).to_owned(), expand(nickname)?),
        [minute, hour, day_of_month, month, day_of_week] => {
            fields(words.join(" "), [minute, hour, day_of_month, month, day_of_week])
        }
        other => Err(CrontabError::FieldCount { found: other.len() }),
    }
}

fn expand(nickname: &str) -> Result<[&'static str; 5], CrontabError> {
    match nickname.to_ascii_lowercase().as_str() {
        "@hourly" => Ok(["0", "*", "*", "*", "*"]),
        "@daily" | "@midnight" => Ok(["0", "0", "*", "*", "*"]),
        "@weekly" => Ok(["0", "0", "*", "*", "0"]),
        "@monthly" => Ok(["0", "0", "1", "*", "*"]),
        "@yearly" | "@annually" => Ok(["0", "0", "1", "1", "*"]),
        _ => Err(CrontabError::UnknownNickname { nickname: nickname.to_owned() }),
    }
}

fn fields(text: String, words: [&str; 5]) -> Result<Pattern, CrontabError> {
    let mut values = [FieldValues::default(); 5];
    for ((field, word), slot) in Field::ALL.into_iter().zip(words).zip(&mut values) {
        *slot = list(field, word).map_err(|reason| CrontabError::Field { field, reason })?;
    }
    let [minutes, hours, days_of_month, months, days_of_week] = values;
    Ok(Pattern { text, minutes, hours, days_of_month, months, days_of_week })
}

fn list(field: Field, word: &str) -> Result<FieldValues, FieldError> {
    let mut values = FieldValues::default();
    for text in word.split(',') {
        if field == Field::DayOfWeek
            && let Some((weekday, nth)) = nth_weekday(text)?
        {
            values.insert_nth(weekday, nth);
            continue;
        }
        let Item { low, high, step, wildcard } = item(field, text)?;
        values.has_wildcard |= wildcard;
        values.unrestricted |= wildcard && step == 1;
        for value in (low..=high).step_by(usize::from(step)) {
            values.insert(field, value);
        }
    }
    Ok(values)
}

/// Reads `TUE#2`, `2#2`, `FRI#L`, `5L` and `FRIL`; `None` for an item of another form.
fn nth_weekday(text: &str) -> Result<Option<(u8, NthOfMonth)>, FieldError> {
    let (weekday, nth) = match text.split_once('#') {
        Some(parts) => parts,
        None => match text.strip_suffix(['L', 'l']) {
            Some(weekday) if !weekday.is_empty() => (weekday, "L"),
            _ => return Ok(None),
        },
    };
    let number =
        value(Field::DayOfWeek, weekday).map_err(|_| FieldError::NthOfNoWeekday { item: text.to_owned() })?;
    let nth = match nth {
        "L" | "l" => Some(NthOfMonth::LAST),
        nth if is_number(nth) => nth.parse::<i8>().ok().and_then(|nth| nth.try_into().ok()),
        _ => None,
    };
    let out_of_range = || FieldError::NthOutOfRange { item: text.to_owned(), weekday: weekday.to_owned() };
    Ok(Some((number, nth.ok_or_else(out_of_range)?)))
}

/// One item of a list: every `step`-th value from `low` to `high`.
struct Item {
    low: u8,
    high: u8,
    step: u8,
    wildcard: bool,
}

fn item(field: Field, text: &str) -> Result<Item, FieldError> {
    if text.is_empty() {
        return Err(FieldError::EmptyItem);
    }
    if text.contains(['?', '#']) {
        return Err(FieldError::Quartz { item: text.to_owned() });
    }
    let (base, step) = match text.split_once('/') {
        None => (text, None),
        Some((base, step)) if !base.is_empty() && is_number(step) => (base, Some(step)),
        Some(_) => return Err(FieldError::MalformedStep { item: text.to_owned() }),
    };
    let (low, high) = match (base, base.split_once('-')) {
        ("*", _) => (field.low(), field.high()),
        (_, Some((low, high))) => range(field, base, low, high)?,
        (single, None) => {
            let value = value(field, single)?;
            if let Some(step) = step {
                return Err(FieldError::StepOfSingleValue {
                    item: text.to_owned(),
                    value: single.to_owned(),
                    high: field.high(),
                    step: step.to_owned(),
                });
            }
            (value, value)
        }
    };
    let step = match step {
        None => 1,
        Some(digits) => digits
            .parse()
            .ok()
            .filter(|step| (1..=field.span()).contains(step))
            .ok_or_else(|| FieldError::StepOutOfRange { item: text.to_owned(), span: field.span() })?,
    };
    Ok(Item { low, high, step, wildcard: base == "*" })
}

fn range(field: Field, item: &str, low: &str, high: &str) -> Result<(u8, u8), FieldError> {
    if low.is_empty() || high.is_empty() || high.contains('-') {
        return Err(malformed(item, FieldError::MalformedRange { item: item.to_owned() }));
    }
    let low = value(field, low)?;
    // Sunday by name is 0 or 7, whichever lets the range run forwards: `SAT-SUN` is 6 to 7.
    let high = match value(field, high)? {
        0 if low > 0 && field == Field::DayOfWeek && !is_number(high) => 7,
        other => other,
    };
    if low > high { Err(FieldError::ReversedRange { item: item.to_owned() }) } else { Ok((low, high)) }
}

fn value(field: Field, text: &str) -> Result<u8, FieldError> {
    let (low, high) = (field.low(), field.high());
    if is_number(text) {
        return text
            .parse()
            .ok()
            .filter(|value| (low..=high).contains(value))
            .ok_or_else(|| FieldError::OutOfRange { value: text.to_owned(), low, high });
    }
    let numbered = (low..).zip(field.names());
    numbered.clone().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(value, _)| value).ok_or_else(
        || {
            let named = !field.names().is_empty();
            malformed(text, FieldError::NotAValue { value: text.to_owned(), low, high, named })
        },
    )
}

/// Names the dialect when the text looks like Quartz (`L`, `LW`, `15W`, `5L`, `L-3`), else returns `otherwise`.
fn malformed(text: &str, otherwise: FieldError) -> FieldError {
    let upper = text.to_ascii_uppercase();
    if upper.starts_with("L") || upper.ends_with(['L', 'W']) {
        return FieldError::Quartz { item: text.to_owned() };
    }
    otherwise
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
