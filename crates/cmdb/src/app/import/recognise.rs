//! Recognises the format of a list by its content.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use service_kit::{ApiError, ApiResult, repeated_key};
use utoipa::ToSchema;

use super::{
    ansible,
    csv::{self, Dialect},
    foreman, json, netbox, patchmon,
    record::List,
};

/// Supported formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A header, then one CI a line.
    Csv,
    /// An array of CIs as they are created over HTTP.
    Json,
    /// The same, one a line.
    Ndjson,
    /// What `ansible-inventory --list` prints.
    AnsibleJson,
    /// A static Ansible inventory in YAML.
    AnsibleYaml,
    /// A static Ansible inventory in the INI form.
    AnsibleIni,
    /// NetBox's devices or virtual machines as its API lists them: `{"results": [...]}`.
    Netbox,
    /// A table of NetBox's devices or virtual machines, exported as CSV.
    NetboxCsv,
    /// Foreman's or Katello's hosts as their API lists them.
    Foreman,
    /// Servers of ServiceNow's CMDB, exported as CSV.
    ServicenowCsv,
    /// PatchMon's hosts as its API lists them.
    Patchmon,
}

impl Format {
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::AnsibleJson => "ansible_json",
            Self::AnsibleYaml => "ansible_yaml",
            Self::AnsibleIni => "ansible_ini",
            Self::Netbox => "netbox",
            Self::NetboxCsv => "netbox_csv",
            Self::Foreman => "foreman",
            Self::ServicenowCsv => "servicenow_csv",
            Self::Patchmon => "patchmon",
        }
    }
}

/// The content as text, without a byte order mark.
pub fn text_of(content: &[u8]) -> ApiResult<&str> {
    let text = std::str::from_utf8(content)
        .map_err(|error| ApiError::malformed(format!("the list is not UTF-8: {error}")))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(ApiError::malformed("the list is empty"));
    }
    if text.contains('\0') {
        return Err(ApiError::invalid("", "contains the character U+0000, which cannot be stored"));
    }
    Ok(text)
}

/// Recognises and reads a list. A list that cannot be read as a whole is a 422 that says where.
pub fn read(text: &str, format: Option<Format>) -> ApiResult<(Format, List)> {
    if text.trim_start().starts_with("$ANSIBLE_VAULT;") {
        return Err(ApiError::invalid(
            "",
            "is encrypted with Ansible Vault as a whole; import a list without secrets, in which only single values are vaulted",
        ));
    }
    let format = match format {
        Some(format) => format,
        None => recognise(text).ok_or_else(|| {
            ApiError::invalid(
                "",
                "is not a list of a known format: CSV with a header, a JSON array or NDJSON of CIs, an Ansible inventory or a NetBox export",
            )
        })?,
    };
    let list = match format {
        Format::Csv => csv::read(text, Dialect::Plain),
        Format::NetboxCsv => csv::read(text, Dialect::Netbox),
        Format::ServicenowCsv => csv::read(text, Dialect::ServiceNow),
        Format::Json => parse(text).and_then(json::read),
        Format::Ndjson => Ok(json::read_lines(text)),
        Format::AnsibleJson => parse(text).and_then(ansible::read_json),
        Format::AnsibleYaml => ansible::read_yaml(text),
        Format::AnsibleIni => ansible::read_ini(text),
        Format::Netbox => parse(text).and_then(netbox::read),
        Format::Foreman => parse(text).and_then(foreman::read),
        Format::Patchmon => parse(text).and_then(patchmon::read),
    };
    match list {
        Ok(list) if list.records.is_empty() => Err(ApiError::invalid("", "contains no host")),
        Ok(list) => Ok((format, list)),
        Err(why) => Err(ApiError::invalid("", format!("cannot be read as `{}`: {why}", format.name()))),
    }
}

fn parse(text: &str) -> Result<Value, String> {
    let repeated = repeated_key::find(&mut serde_json::Deserializer::from_str(text));
    if let Some(pointer) = repeated.map_err(|error| error.to_string())? {
        return Err(format!("`{pointer}` is there twice; leave one of them out"));
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn recognise(text: &str) -> Option<Format> {
    let first = text.trim_start().chars().next()?;
    if first == '{' || first == '[' {
        if let Ok(value) = serde_json::from_str::<Value>(text) {
            return recognise_json(&value);
        }
        let line = text.lines().find(|line| !line.trim().is_empty())?;
        if serde_json::from_str::<Value>(line).is_ok_and(|value| value.is_object()) {
            return Some(Format::Ndjson);
        }
        if first == '{' {
            // Broken JSON: read as such, so that the answer says where it is broken.
            return Some(Format::Json);
        }
    }
    if csv::has_header(text) {
        return Some(match csv::dialect_of(text) {
            Dialect::Plain => Format::Csv,
            Dialect::Netbox => Format::NetboxCsv,
            Dialect::ServiceNow => Format::ServicenowCsv,
        });
    }
    if ansible::looks_like_yaml(text) {
        Some(Format::AnsibleYaml)
    } else {
        ansible::looks_like_ini(text).then_some(Format::AnsibleIni)
    }
}

fn recognise_json(value: &Value) -> Option<Format> {
    match value {
        Value::Array(items) if netbox::is_array_of_devices(items) => Some(Format::Netbox),
        Value::Array(items) if patchmon::is_array_of_hosts(items) => Some(Format::Patchmon),
        Value::Array(_) => Some(Format::Json),
        Value::Object(fields)
            if fields
                .get("hosts")
                .and_then(Value::as_array)
                .is_some_and(|items| patchmon::is_array_of_hosts(items)) =>
        {
            Some(Format::Patchmon)
        }
        Value::Object(fields) if netbox::is_graphql(fields) => Some(Format::Netbox),
        Value::Object(fields) if fields.get("results").is_some_and(Value::is_array) => {
            Some(if foreman::is_list(fields) { Format::Foreman } else { Format::Netbox })
        }
        Value::Object(fields) if fields.get("id").is_some_and(Value::is_string) => Some(Format::Ndjson),
        Value::Object(fields)
            if fields.contains_key("_meta")
                || fields.values().any(|group| {
                    ["hosts", "children", "vars"].iter().any(|key| group.get(key).is_some())
                }) =>
        {
            Some(Format::AnsibleJson)
        }
        _ => None,
    }
}
