//! One record of a list, whatever the list's format.

use std::collections::{BTreeMap, BTreeSet};

use api_types::cmdb::{Ci, CiType, CreateCi};
use chrono::{DateTime, Utc};
use domain::{ids::CiId, selector::Tags};
use serde_json::Value;

use crate::app::cis::new_ci;

/// Tags that an operator's list may have as columns, variables or group names.
pub const KNOWN_TAGS: [&str; 8] = ["env", "os", "tier", "owner", "cluster", "role", "site", "rack"];
/// Attributes that are numbers even in formats that only have texts.
const NUMBERS: [&str; 3] = ["port", "criticality", "min_up"];
/// Words in the name of a field that holds a secret.
const SECRETS: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "private_key",
    "privatekey",
    "api_key",
    "apikey",
];

/// A list as read.
#[derive(Debug, Default)]
pub struct List {
    pub records: Vec<Record>,
    /// Number of records of the source, if the list says that it is a part of them.
    pub total: Option<u64>,
    pub warnings: Vec<String>,
    /// The hosts of each group, by the names of the list.
    pub groups: BTreeMap<String, BTreeSet<String>>,
}

/// A record as read.
#[derive(Debug)]
pub struct Record {
    /// Line or index, from 1.
    pub number: u64,
    /// Whether `number` is a line.
    pub is_line: bool,
    /// As the list writes it.
    pub name: Option<String>,
    pub outcome: Outcome,
    /// What is omitted from it, each with its reason.
    pub left_out: Vec<String>,
}

#[derive(Debug)]
pub enum Outcome {
    Wanted(Box<Wanted>),
    Refused(Refusal),
    /// With what it would be, as far as that is known.
    LeftOut {
        reason: Refusal,
        wanted: Option<Box<Wanted>>,
    },
}

/// Why a record is not imported, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: String,
    pub remedy: Option<String>,
}

impl Refusal {
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self { reason, remedy: None }
    }
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

/// A CI as a list describes it: what the list omits stays as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    pub id: CiId,
    /// Another id, for a source whose names repeat; the tag or attribute that distinguishes equal names.
    pub distinct: Option<Distinct>,
    pub ci_type: Option<CiType>,
    pub name: Option<String>,
    /// The name of a CI that is created; an existing one keeps its name.
    pub title: Option<String>,
    pub tags: Tags,
    pub attributes: BTreeMap<String, Value>,
}

/// How a source that repeats names distinguishes them.
#[derive(Debug, Clone, PartialEq)]
pub struct Distinct {
    /// The name with its scope: `web01.dc2`.
    pub id: CiId,
    /// The tag of the scope.
    pub tag: &'static str,
}

impl Wanted {
    pub fn new(id: CiId) -> Self {
        Self {
            id,
            distinct: None,
            ci_type: None,
            name: None,
            title: None,
            tags: Tags::new(),
            attributes: BTreeMap::new(),
        }
    }

    /// With the id that a list writes, which stays the display name if it is written otherwise.
    pub fn named(text: &str) -> Result<Self, Refusal> {
        let id = id(text)?;
        let title = (id.as_str() != text.trim()).then(|| text.trim().to_owned());
        Ok(Self { title, ..Self::new(id) })
    }

    /// Makes an id of a display name such as `DB Server 1`. Only for sources whose names are not host names.
    pub fn displayed(text: &str) -> Result<Self, Refusal> {
        match Self::named(text) {
            Ok(wanted) => Ok(wanted),
            Err(refusal) => match id_of_display_name(text) {
                Some(id) => Ok(Self { title: Some(text.trim().to_owned()), ..Self::new(id) }),
                None => Err(refusal),
            },
        }
    }

    /// A record without a type is a host.
    pub fn create(self, now: DateTime<Utc>) -> Ci {
        let request = CreateCi {
            id: self.id,
            ci_type: self.ci_type.unwrap_or(CiType::Host),
            name: self.name.or(self.title),
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
    pub fn new(number: u64, name: Option<String>, wanted: Result<Wanted, Refusal>) -> Self {
        let outcome = match wanted {
            Ok(wanted) => Outcome::Wanted(Box::new(wanted)),
            Err(refusal) => Outcome::Refused(refusal),
        };
        Self { number, is_line: false, name, outcome, left_out: Vec::new() }
    }

    pub fn at_line(mut self) -> Self {
        self.is_line = true;
        self
    }

    pub fn wanted(&self) -> Option<&Wanted> {
        match &self.outcome {
            Outcome::Wanted(wanted) => Some(wanted),
            _ => None,
        }
    }
}

impl From<Vec<Record>> for List {
    fn from(records: Vec<Record>) -> Self {
        Self { records, ..Self::default() }
    }
}

/// An id as a list writes it.
pub fn id(text: &str) -> Result<CiId, Refusal> {
    let text = text.trim();
    CiId::new(text).map_err(|error| {
        let refusal = Refusal::from(error.to_string());
        match id_of_display_name(text) {
            Some(id) => refusal
                .remedy(format!("use an id such as `{id}`, and keep the text as the display name, `name`")),
            None if text.is_empty() => refusal.remedy("give the record a host name"),
            None => refusal.remedy("use the host's name or address in the network as its id"),
        }
    })
}

/// `DB Server 1 (old)` becomes `db-server-1-old`; `None` if the text has more than separators to replace.
fn id_of_display_name(text: &str) -> Option<CiId> {
    let is_separator = |c: char| c == ' ' || "()[]/,#+&'_-".contains(c);
    let mut id = String::new();
    for character in text.trim().chars() {
        match character {
            c if c.is_ascii_alphanumeric() || c == '.' => id.push(c.to_ascii_lowercase()),
            c if is_separator(c) && !id.ends_with('-') => id.push('-'),
            c if is_separator(c) => {}
            _ => return None,
        }
    }
    let labels: Vec<&str> =
        id.split('.').map(|label| label.trim_matches('-')).filter(|label| !label.is_empty()).collect();
    CiId::new(labels.join(".")).ok()
}

/// Whether the name is more than the id in another case.
pub fn differs(name: &str, id: &CiId) -> bool {
    CiId::new(name).ok().as_ref() != Some(id)
}

/// A text as one label of a host name: `DC 2` becomes `dc-2`.
pub fn label(text: &str) -> Option<String> {
    let clean: String = text
        .trim()
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(63)
        .collect();
    let label = clean.trim_matches('-');
    (!label.is_empty()).then(|| label.to_owned())
}

/// The value of an attribute: a number where the attribute is one, and a list of the services that a cell names.
pub fn attribute_value(name: &str, text: &str) -> Value {
    if name == "services" {
        let names = text.split([',', ';', ' ']).map(str::trim).filter(|name| !name.is_empty());
        return names.collect();
    }
    match text.parse::<u64>() {
        Ok(number) if NUMBERS.contains(&name) => number.into(),
        _ => text.into(),
    }
}

/// Whether a field of that name holds a secret, which is never stored.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    SECRETS.iter().any(|word| name.contains(word))
        || name.split('_').any(|word| matches!(word, "pass" | "pw" | "pwd"))
}

/// The type of that name, in any case, `virtual machine` and `device` included.
pub fn ci_type(text: &str) -> Result<CiType, String> {
    let word = text.trim().to_ascii_lowercase().replace([' ', '-'], "_");
    let word = match word.as_str() {
        "virtual_machine" | "virtual" => "vm",
        "device" | "server" | "physical" => "host",
        other => other,
    };
    serde_json::from_value(word.into())
        .map_err(|_| format!("has the type `{}`, which is not known", shown(text)))
}

/// Converts a name to that of an attribute: `IP Address` becomes `ip_address`.
pub fn attribute_name(text: &str) -> String {
    let lower = text.trim().to_ascii_lowercase();
    lower.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// A text of the list, short and safe to print.
pub fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_default).collect()
}
