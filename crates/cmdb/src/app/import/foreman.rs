//! Foreman's or Katello's hosts, as their API lists them.

use serde_json::{Map, Value};

use super::record::{List, Record, Refusal, Wanted, shown};

/// Fields that become tags.
const TAGS: [(&str, &str); 4] = [
    ("operatingsystem_name", "os"),
    ("owner_name", "owner"),
    ("location_name", "site"),
    ("environment_name", "env"),
];
const ATTRIBUTES: [(&str, &str); 5] = [
    ("ip", "address"),
    ("hostgroup_name", "hostgroup"),
    ("organization_name", "organization"),
    ("architecture_name", "architecture"),
    ("model_name", "model"),
];

/// Whether the list is one of Foreman, which counts its pages.
pub fn is_list(fields: &Map<String, Value>) -> bool {
    let first = fields.get("results").and_then(|results| results.get(0));
    fields.contains_key("per_page")
        || first.is_some_and(|host| {
            host.get("operatingsystem_name").is_some() || host.get("operatingsystem_id").is_some()
        })
}

pub fn read(export: Value) -> Result<List, String> {
    let Some(results) = export.get("results").and_then(Value::as_array) else {
        return Err("an object with `results` is expected".to_owned());
    };
    let records = (1..).zip(results).map(|(number, host)| {
        let name = host.get("name").and_then(Value::as_str);
        Record::new(number, name.map(shown), wanted(host))
    });
    let mut list = List { records: records.collect(), ..List::default() };
    let read = results.len() as u64;
    let total = ["subtotal", "total"].iter().find_map(|field| export.get(*field).and_then(Value::as_u64));
    if let Some(total) = total.filter(|total| *total > read) {
        list.total = Some(total);
        list.warnings.push(format!(
            "this is one page of the list: it has {read} of {total} hosts, and the others are not imported; ask Foreman for \
             all of them with `?per_page=all`"
        ));
    }
    Ok(list)
}

fn wanted(host: &Value) -> Result<Wanted, Refusal> {
    let name = host.get("name").and_then(Value::as_str).unwrap_or_default();
    let mut wanted = Wanted::named(name)?;
    let text = |field: &str| host.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    for (field, tag) in TAGS {
        wanted.tags.extend(text(field).map(|text| (tag.to_owned(), text.to_owned())));
    }
    let katello = host.get("content_facet_attributes");
    let environment =
        katello.and_then(|facet| facet.get("lifecycle_environment_name")).and_then(Value::as_str);
    if let Some(environment) = environment.filter(|environment| !environment.is_empty()) {
        wanted.tags.insert("env".to_owned(), environment.to_owned());
    }
    for (field, attribute) in ATTRIBUTES {
        wanted.attributes.extend(text(field).map(|text| (attribute.to_owned(), text.into())));
    }
    Ok(wanted)
}
