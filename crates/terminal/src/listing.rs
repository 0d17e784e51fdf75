//! What a list shows: which columns, in which order, and how many items.

use std::cmp::Ordering;

use serde::Serialize;
use serde_json::Value;

use crate::{cell::text_of, failure::Failure, suggest};

/// The columns of a list, separated by spaces: `heading=path/of/the/value`, or a field's name for both. A `_` in a
/// heading is printed as a space. A column after a `+` is printed only by `-o wide`, or if it is asked for.
pub type Columns = &'static str;

/// How the command line asked for a list.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The command, such as `run list`.
    pub command: String,
    /// Whether its arguments select a part.
    pub is_filtered: bool,
    /// Whether nothing was changed, because only a preview was asked for.
    pub is_dry_run: bool,
    /// The most items that were asked for.
    pub limit: Option<usize>,
    /// A column to sort by, with `-` before it for the reverse.
    pub sort: Option<String>,
    /// The columns to show; empty: the usual ones.
    pub columns: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub heading: String,
    pub pointer: String,
    /// Shown only by `-o wide`, or if it is asked for.
    is_extra: bool,
}

impl Column {
    fn of(text: &str) -> Self {
        let (is_extra, text) = text.strip_prefix('+').map_or((false, text), |text| (true, text));
        let (heading, path) = text.split_once('=').unwrap_or((text, text));
        Self { heading: heading.replace('_', " "), pointer: format!("/{path}"), is_extra }
    }

    /// The name to ask for it by.
    fn name(&self) -> String {
        self.heading.replace(' ', "_")
    }

    pub fn cell(&self, item: &Value) -> String {
        item.pointer(&self.pointer).map(text_of).unwrap_or_default()
    }
}

impl Listing {
    /// The columns to show, in their order.
    pub fn columns(
        &self,
        columns: Columns,
        is_wide: bool,
        sample: Option<&Value>,
    ) -> Result<Vec<Column>, Failure> {
        let known: Vec<Column> = columns.split_whitespace().map(Column::of).collect();
        if self.columns.is_empty() {
            return Ok(known.into_iter().filter(|column| is_wide || !column.is_extra).collect());
        }
        self.columns.iter().map(|wanted| find(wanted, &known, sample)).collect()
    }

    /// The items in the order that was asked for; the given one if none was.
    pub fn sorted<'a, T: Serialize>(&self, items: &'a [T], columns: Columns) -> Result<Vec<&'a T>, Failure> {
        let mut sorted: Vec<&T> = items.iter().collect();
        let Some(wanted) = &self.sort else { return Ok(sorted) };
        let (is_reverse, wanted) =
            wanted.strip_prefix('-').map_or((false, wanted.as_str()), |wanted| (true, wanted));
        let values: Vec<Value> =
            items.iter().map(|item| serde_json::to_value(item).unwrap_or_default()).collect();
        let known: Vec<Column> = columns.split_whitespace().map(Column::of).collect();
        let column = find(wanted, &known, values.first())?;
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by(|a, b| {
            let value = |index: &usize| values[*index].pointer(&column.pointer);
            compare(value(a), value(b), is_reverse)
        });
        sorted = order.into_iter().map(|index| &items[index]).collect();
        Ok(sorted)
    }
}

/// A column by its heading, or any field of an item by its name: `hosts.failed`.
fn find(wanted: &str, known: &[Column], sample: Option<&Value>) -> Result<Column, Failure> {
    let name = wanted.trim().to_lowercase().replace([' ', '-'], "_");
    if let Some(column) = known.iter().find(|column| column.name().to_lowercase().replace('-', "_") == name) {
        return Ok(column.clone());
    }
    let pointer = format!("/{}", wanted.trim().replace('.', "/"));
    // Of an empty list, the fields are not known, and there is nothing to show either.
    if sample.is_none_or(|item| item.pointer(&pointer).is_some()) {
        return Ok(Column { heading: wanted.trim().to_owned(), pointer, is_extra: false });
    }
    let names: Vec<String> = known.iter().map(Column::name).collect();
    let failure = Failure::usage(format!("there is no column `{wanted}`; there are {}", names.join(", ")));
    Err(match suggest::closest(&name, names.iter().map(String::as_str)) {
        Some(close) => failure.hint(format!("did you mean `{close}`?")),
        None => failure,
    })
}

/// Numbers by their size, severities by their weight, anything else as text; what is missing comes last either way.
fn compare(a: Option<&Value>, b: Option<&Value>, is_reverse: bool) -> Ordering {
    let given = |value: Option<&Value>| value.filter(|value| !value.is_null()).cloned();
    let ordering = match (given(a), given(b)) {
        (None, None) => return Ordering::Equal,
        (None, _) => return Ordering::Greater,
        (_, None) => return Ordering::Less,
        (Some(Value::Number(a)), Some(Value::Number(b))) => a.as_f64().partial_cmp(&b.as_f64()),
        (Some(a), Some(b)) => {
            let (a, b) = (text_of(&a), text_of(&b));
            match (weight(&a), weight(&b)) {
                (Some(a), Some(b)) => Some(a.cmp(&b)),
                _ => Some(a.cmp(&b)),
            }
        }
    };
    let ordering = ordering.unwrap_or(Ordering::Equal);
    if is_reverse { ordering.reverse() } else { ordering }
}

fn weight(severity: &str) -> Option<usize> {
    ["none", "unknown", "low", "medium", "high", "critical"].iter().position(|one| *one == severity)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: Columns = "id state failed=hosts/failed created_at +why=reason";

    fn listing(sort: Option<&str>, columns: &[&str]) -> Listing {
        Listing {
            sort: sort.map(Into::into),
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            ..Listing::default()
        }
    }

    fn ids(sort: &str, items: &[Value]) -> Vec<String> {
        let sorted = listing(Some(sort), &[]).sorted(items, COLUMNS).unwrap();
        sorted.iter().map(|item| text_of(&item["id"])).collect()
    }

    #[test]
    fn columns_have_a_heading_and_a_path() {
        let column = Column::of("created_at");
        assert_eq!((column.heading.as_str(), column.pointer.as_str()), ("created at", "/created_at"));
        let column = Column::of("failed=hosts/failed");
        assert_eq!((column.heading.as_str(), column.pointer.as_str()), ("failed", "/hosts/failed"));
    }

    #[test]
    fn extra_columns_are_wide_or_asked_for() {
        let shown = |listing: &Listing, is_wide| -> Vec<String> {
            let sample = json!({ "id": 1, "reason": "x", "hosts": { "total": 3 } });
            let columns = listing.columns(COLUMNS, is_wide, Some(&sample)).unwrap();
            columns.into_iter().map(|column| column.heading).collect()
        };
        assert_eq!(shown(&listing(None, &[]), false), ["id", "state", "failed", "created at"]);
        assert_eq!(shown(&listing(None, &[]), true).last().unwrap(), "why");
        assert_eq!(shown(&listing(None, &["why", "created-at"]), false), ["why", "created at"]);
        assert_eq!(shown(&listing(None, &["hosts.total"]), false), ["hosts.total"]);
    }

    #[test]
    fn unknown_column_is_refused_with_those_there_are() {
        let failure =
            listing(None, &["stat"]).columns(COLUMNS, false, Some(&json!({ "id": 1 }))).unwrap_err();
        assert!(failure.to_string().contains("there is no column `stat`; there are id, state, failed"));
    }

    #[test]
    fn items_are_sorted_by_numbers_severities_and_texts_with_the_missing_last() {
        let items = [
            json!({ "id": "a", "state": "high", "hosts": { "failed": 10 } }),
            json!({ "id": "b", "state": "critical", "hosts": { "failed": 9 } }),
            json!({ "id": "c", "state": "low" }),
        ];
        assert_eq!(ids("failed", &items), ["b", "a", "c"]);
        assert_eq!(ids("-failed", &items), ["a", "b", "c"]);
        assert_eq!(ids("state", &items), ["c", "a", "b"]);
        assert_eq!(ids("-id", &items), ["c", "b", "a"]);
    }
}
