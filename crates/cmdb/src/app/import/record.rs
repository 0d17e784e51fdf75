//! One record of a list, whatever the list's format.

use std::collections::BTreeMap;

use api_types::cmdb::{Ci, CiType, CreateCi};
use chrono::{DateTime, Utc};
use domain::{ids::CiId, selector::Tags};
use serde_json::Value;

use crate::app::cis::new_ci;

/// Tags that an operator's list may have as columns, variables or group names.
pub const KNOWN_TAGS: [&str; 8] = ["env", "os", "tier", "owner", "cluster", "role", "site", "rack"];
/// Attributes that are numbers even in formats that only have texts.
const NUMBERS: [&str; 3] = ["port", "criticality", "min_up"];

/// A record as read, or why it is refused.
#[derive(Debug)]
pub struct Record {
    /// Line or index, from 1.
    pub number: u64,
    pub wanted: Result<Wanted, String>,
    /// What is not imported, each with its reason.
    pub left_out: Vec<String>,
}

/// A CI as a list describes it: what the list omits stays as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    pub id: CiId,
    pub ci_type: Option<CiType>,
    pub name: Option<String>,
    pub tags: Tags,
    pub attributes: BTreeMap<String, Value>,
}

impl Wanted {
    pub fn new(id: CiId) -> Self {
        Self { id, ci_type: None, name: None, tags: Tags::new(), attributes: BTreeMap::new() }
    }

    /// A record without a type is a host.
    pub fn create(self, now: DateTime<Utc>) -> Ci {
        let request = CreateCi {
            id: self.id,
            ci_type: self.ci_type.unwrap_or(CiType::Host),
            name: self.name,
            tags: self.tags,
            attributes: self.attributes,
            reason: None,
        };
        new_ci(request, now)
    }

    pub fn apply_to(self, before: &Ci) -> Ci {
        let mut after = before.clone();
        after.ci_type = self.ci_type.unwrap_or(before.ci_type);
        after.name = self.name.unwrap_or(after.name);
        after.tags.extend(self.tags);
        after.attributes.extend(self.attributes);
        after
    }
}

impl Record {
    pub fn new(number: u64, wanted: Result<Wanted, String>) -> Self {
        Self { number, wanted, left_out: Vec::new() }
    }
}

/// An id as a list writes it.
pub fn id(text: &str) -> Result<CiId, String> {
    CiId::new(text.trim()).map_err(|error| error.to_string())
}

/// The value of an attribute: a number where the attribute is one.
pub fn attribute_value(name: &str, text: &str) -> Value {
    match text.parse::<u64>() {
        Ok(number) if NUMBERS.contains(&name) => number.into(),
        _ => text.into(),
    }
}

/// The type of that name, in any case, `virtual machine` and `device` included.
pub fn ci_type(text: &str) -> Result<CiType, String> {
    let word = text.trim().to_ascii_lowercase().replace([' ', '-'], "_");
    let word = match word.as_str() {
        "virtual_machine" | "virtual" => "vm",
        "device" | "server" | "physical" => "host",
        other => other,
    };
    serde_json::from_value(word.into()).map_err(|_| {
        let shown: String = text.chars().take(40).collect();
        format!("has the type `{}`, which is not known", shown.escape_default())
    })
}

/// Converts a name to that of an attribute: `IP Address` becomes `ip_address`.
pub fn attribute_name(text: &str) -> String {
    let lower = text.trim().to_ascii_lowercase();
    lower.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}
