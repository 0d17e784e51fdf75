//! What people must have done before a release is deployed, and who confirmed it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The checklist of a release, by item. It is a gate: nothing is deployed while an item is open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Checklist(pub BTreeMap<String, ChecklistItem>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ChecklistItem {
    pub text: String,
    #[serde(flatten)]
    pub state: ItemState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum ItemState {
    Open,
    Done {
        by: String,
        at: DateTime<Utc>,
    },
    /// Not done, and why that is acceptable.
    Waived {
        by: String,
        at: DateTime<Utc>,
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChecklistError {
    #[error("has no item `{item}`; its items are {}", .items.join(", "))]
    NoItem { item: String, items: Vec<String> },
    #[error("a waived item needs a reason of at least 10 characters")]
    NoReason,
}

/// The item of a release that no configured check tests. It comes first; the items of the policy have numbers from 1.
const TESTED_BY_HAND: &str = "00-tested-by-hand";

impl Checklist {
    /// All items open, numbered and named after the text of the policy.
    pub fn of(texts: &[String]) -> Self {
        let item = |(number, text): (usize, &String)| {
            let name = format!("{:02}-{}", number + 1, slug(text));
            (name, ChecklistItem { text: text.clone(), state: ItemState::Open })
        };
        Self(texts.iter().enumerate().map(item).collect())
    }

    /// Without a configured check or smoke test, people must confirm that the release was tested. The open item goes when checks
    /// are configured; one that was ticked or waived stays on record.
    pub fn require_tests(&mut self, has_checks: bool) {
        if !has_checks {
            self.0.entry(TESTED_BY_HAND.to_owned()).or_insert_with(|| ChecklistItem {
                text: "No check and no smoke test is configured: the release was tested by hand".to_owned(),
                state: ItemState::Open,
            });
        } else if self.0.get(TESTED_BY_HAND).is_some_and(|item| item.state == ItemState::Open) {
            self.0.remove(TESTED_BY_HAND);
        }
    }

    pub fn open(&self) -> impl Iterator<Item = (&String, &ChecklistItem)> {
        self.0.iter().filter(|(_, item)| item.state == ItemState::Open)
    }

    /// Finds an item by its name, its number or the beginning of its name.
    pub fn find(&self, wanted: &str) -> Result<String, ChecklistError> {
        let number = wanted.parse::<usize>().ok().map(|number| format!("{number:02}-"));
        let fits = |name: &&String| {
            *name == wanted || number.as_ref().is_some_and(|number| name.starts_with(number.as_str()))
        };
        self.0.keys().find(fits).cloned().ok_or_else(|| ChecklistError::NoItem {
            item: wanted.chars().take(80).collect(),
            items: self.0.keys().map(|name| format!("`{name}`")).collect(),
        })
    }

    pub fn set(&mut self, item: &str, state: ItemState) -> Result<(), ChecklistError> {
        if let ItemState::Waived { reason, .. } = &state
            && reason.trim().chars().count() < 10
        {
            return Err(ChecklistError::NoReason);
        }
        let name = self.find(item)?;
        if let Some(item) = self.0.get_mut(&name) {
            item.state = state;
        }
        Ok(())
    }

    /// Waives every open item with one name and reason: an emergency does not wait for paperwork, but it is documented.
    pub fn waive_open(&mut self, by: &str, at: DateTime<Utc>, reason: &str) -> Vec<String> {
        let open: Vec<String> = self.open().map(|(name, _)| name.clone()).collect();
        for name in &open {
            if let Some(item) = self.0.get_mut(name) {
                item.state = ItemState::Waived { by: by.to_owned(), at, reason: reason.to_owned() };
            }
        }
        open
    }
}

fn slug(text: &str) -> String {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.take(4).map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_without_checks_has_an_open_item_until_checks_are_configured() {
        let mut list = Checklist::of(&["Root cause identified and fixed".into()]);
        list.require_tests(true);
        assert_eq!(list.0.len(), 1);
        list.require_tests(false);
        assert_eq!(list.find("0").unwrap(), TESTED_BY_HAND);
        assert_eq!(list.open().next().unwrap().0, TESTED_BY_HAND);
        list.require_tests(true);
        assert!(list.find("0").is_err());
        list.require_tests(false);
        let at = DateTime::<Utc>::UNIX_EPOCH;
        list.set("0", ItemState::Done { by: "olivia".into(), at }).unwrap();
        list.require_tests(true);
        list.require_tests(false);
        assert_eq!(list.open().count(), 1, "what was ticked stays: {list:?}");
    }

    #[test]
    fn items_are_found_by_name_and_number_and_waived_only_with_a_reason() {
        let mut list =
            Checklist::of(&["Root cause identified and fixed".into(), "Regression tests added".into()]);
        let at = DateTime::<Utc>::UNIX_EPOCH;
        assert_eq!(list.find("2").unwrap(), "02-regression-tests-added");
        let waived = |reason: &str| ItemState::Waived { by: "olivia".into(), at, reason: reason.into() };
        assert_eq!(list.set("1", waived("because")), Err(ChecklistError::NoReason));
        list.set("01-root-cause-identified-and", waived("covered by the incident's own analysis")).unwrap();
        assert_eq!(list.open().count(), 1);
        assert!(list.set("3", ItemState::Open).unwrap_err().to_string().contains("02-regression"));
        assert_eq!(list.waive_open("olivia", at, "the house is on fire").len(), 1);
        assert_eq!(list.open().count(), 0);
    }
}
