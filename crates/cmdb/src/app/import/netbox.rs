//! An export of NetBox's devices or virtual machines, as its REST API lists them.

use domain::selector::Tags;
use serde_json::{Map, Value};

use super::record::{self, KNOWN_TAGS, Record, Wanted};

pub fn read(export: Value) -> Result<Vec<Record>, String> {
    let Value::Object(mut fields) = export else {
        return Err("an object with `results` is expected".to_owned());
    };
    let Some(Value::Array(results)) = fields.remove("results") else {
        return Err("`results` is not an array".to_owned());
    };
    Ok((1..)
        .zip(results)
        .map(|(number, item)| {
            let mut left_out = Vec::new();
            let wanted = wanted(item, &mut left_out);
            Record { number, wanted, left_out }
        })
        .collect())
}

fn wanted(item: Value, left_out: &mut Vec<String>) -> Result<Wanted, String> {
    let Value::Object(item) = item else { return Err("is not an object".to_owned()) };
    let name = item.get("name").and_then(Value::as_str).ok_or("has no `name`")?;
    let mut wanted = Wanted::new(record::id(name)?);
    // Only physical devices have a type of device.
    let is_device = item.contains_key("device_type") || item.contains_key("rack");
    let kind = if is_device { api_types::cmdb::CiType::Host } else { api_types::cmdb::CiType::Vm };
    wanted.ci_type = Some(kind);
    wanted.tags = tags(&item);
    if let Some(address) = item.get("primary_ip").and_then(|ip| ip.get("address")).and_then(Value::as_str) {
        // `10.0.0.5/24`: the length of the network's prefix is not part of the address.
        let address = address.split('/').next().unwrap_or(address);
        wanted.attributes.insert("address".to_owned(), address.into());
    }
    for (name, value) in item.get("custom_fields").and_then(Value::as_object).into_iter().flatten() {
        take_custom_field(&mut wanted, name, value, left_out);
    }
    let mut labels = Vec::new();
    for tag in item.get("tags").and_then(Value::as_array).into_iter().flatten() {
        let Some(text) = slug(tag) else { continue };
        match text.split_once([':', '=']) {
            Some((key, value)) => {
                wanted.tags.insert(key.to_owned(), value.to_owned());
            }
            None => labels.push(Value::from(text)),
        }
    }
    if !labels.is_empty() {
        wanted.attributes.insert("labels".to_owned(), labels.into());
    }
    Ok(wanted)
}

fn tags(item: &Map<String, Value>) -> Tags {
    let sources = [
        ("role", "role"),
        ("device_role", "role"),
        ("site", "site"),
        ("rack", "rack"),
        ("platform", "os"),
        ("cluster", "cluster"),
        ("tenant", "owner"),
    ];
    sources.iter().filter_map(|(field, tag)| Some(((*tag).to_owned(), slug(item.get(*field)?)?))).collect()
}

fn take_custom_field(wanted: &mut Wanted, name: &str, value: &Value, left_out: &mut Vec<String>) {
    let name = record::attribute_name(name);
    let tag = if name == "environment" { "env" } else { name.as_str() };
    match value {
        Value::Null => {}
        Value::String(text) if KNOWN_TAGS.contains(&tag) => {
            wanted.tags.insert(tag.to_owned(), text.clone());
        }
        value => match crate::app::rules::check_attribute_name(&name) {
            Ok(()) => {
                wanted.attributes.insert(name, value.clone());
            }
            Err(why) => left_out.push(format!("custom field `{name}` {why}")),
        },
    }
}

/// The short name of what NetBox links to: an object's slug, else its name or value, or the text itself.
fn slug(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Object(fields) => ["slug", "name", "value"]
            .iter()
            .find_map(|key| fields.get(*key).and_then(Value::as_str).map(str::to_owned)),
        _ => None,
    }
}
