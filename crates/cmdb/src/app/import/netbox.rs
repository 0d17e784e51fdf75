//! NetBox's devices and virtual machines, as its REST API lists them or as its tables are exported.
//!
//! A page of a longer list says so. Only what is in use becomes a host: the status decides, and the platform or the role
//! decides what a device is. Names repeat between sites, so a record also knows its name with its site or cluster.

use api_types::cmdb::CiType;
use domain::{ids::CiId, package::Packaging, selector::Tags};
use serde_json::{Map, Value};

use crate::app::rules::{check_attribute_name, services_fault};

use super::record::{self, Distinct, KNOWN_TAGS, List, Outcome, Record, Refusal, Wanted, shown};

/// Statuses of what is not in use: NetBox's own ones.
const NOT_IN_USE: [&str; 7] =
    ["offline", "planned", "staged", "staging", "failed", "inventory", "decommissioning"];
const NETWORK_SYSTEMS: [&str; 26] = [
    "ios", "iosxe", "iosxr", "nxos", "nx", "junos", "eos", "arubaos", "procurve", "comware", "vrp", "sonic",
    "cumulus", "routeros", "edgeos", "unifi", "fortios", "panos", "pan", "asa", "ftd", "gaia", "screenos",
    "pfsense", "opnsense", "tmos",
];
const NETWORK_ROLES: [&str; 21] = [
    "switch",
    "switches",
    "router",
    "routers",
    "firewall",
    "firewalls",
    "leaf",
    "spine",
    "tor",
    "gateway",
    "wireless",
    "ap",
    "wlc",
    "wan",
    "sdwan",
    "modem",
    "olt",
    "network",
    "vpn",
    "balancer",
    "accesspoint",
];
const STORAGE_ROLES: [&str; 7] = ["storage", "san", "nas", "filer", "jbod", "tape", "array"];
const OTHER_ROLES: [&str; 17] = [
    "pdu",
    "pdus",
    "ups",
    "power",
    "kvm",
    "patch",
    "panel",
    "console",
    "camera",
    "printer",
    "sensor",
    "cable",
    "shelf",
    "chassis",
    "phone",
    "enclosure",
    "rack",
];

/// Attribute that names the object of the source.
pub const SOURCE: &str = "netbox";

/// Whether an array of objects is a list of NetBox without its frame.
pub fn is_array_of_devices(items: &[Value]) -> bool {
    let first = items.first().and_then(Value::as_object);
    first.is_some_and(|item| {
        item.contains_key("name")
            && ["device_type", "vcpus", "primary_ip4"].iter().any(|key| item.contains_key(*key))
    })
}

/// Whether it is an answer of NetBox's GraphQL API.
pub fn is_graphql(fields: &Map<String, Value>) -> bool {
    let Some(data) = fields.get("data") else { return false };
    GRAPHQL_LISTS.iter().any(|list| data.get(list).is_some_and(Value::is_array))
}

const GRAPHQL_LISTS: [&str; 2] = ["device_list", "virtual_machine_list"];

pub fn read(export: Value) -> Result<List, String> {
    let mut fields = match export {
        Value::Object(fields) => fields,
        Value::Array(results) => Map::from_iter([("results".to_owned(), results.into())]),
        _ => return Err("an object with `results` is expected".to_owned()),
    };
    if is_graphql(&fields) {
        let lists = GRAPHQL_LISTS.iter().filter_map(|list| fields["data"].get(list)?.as_array());
        let results: Vec<Value> = lists.flatten().cloned().collect();
        fields = Map::from_iter([("results".to_owned(), results.into())]);
    }
    let Some(Value::Array(results)) = fields.remove("results") else {
        return Err("`results` is not an array".to_owned());
    };
    let read = results.len() as u64;
    let records = (1..)
        .zip(results)
        .map(|(number, item)| match item {
            Value::Object(item) => record(number, &item),
            _ => Record::new(number, None, Err("is not an object".into())),
        })
        .collect();
    let mut list = List { records, ..List::default() };
    let count = fields.get("count").and_then(Value::as_u64);
    let has_more = ["next", "previous"].iter().any(|link| fields.get(*link).is_some_and(Value::is_string));
    if has_more || count.is_some_and(|count| count > read) {
        list.total = Some(count.unwrap_or(read + 1));
        let of = count.map_or("more".to_owned(), |count| count.to_string());
        list.warnings.push(format!(
            "this is one page of the list: it has {read} of {of} records, and the others are not imported; ask NetBox for \
             all of them with `?limit=0`, or use `patchctl ci import --netbox URL`, which reads every page"
        ));
    }
    Ok(list)
}

pub fn record(number: u64, item: &Map<String, Value>) -> Record {
    let display = ["name", "display"].iter().find_map(|key| item.get(*key).and_then(Value::as_str));
    let mut left_out = Vec::new();
    let outcome = outcome(item, &mut left_out);
    Record { number, is_line: false, name: display.map(shown), outcome, left_out }
}

fn outcome(item: &Map<String, Value>, left_out: &mut Vec<String>) -> Outcome {
    let name = item.get("name").and_then(Value::as_str).map(str::trim).filter(|name| !name.is_empty());
    let Some(name) = name else {
        let reason = Refusal::from("has no name, so it is left out")
            .remedy("name it in NetBox if it is a host that is patched, then import the list again");
        return Outcome::LeftOut { reason, wanted: None };
    };
    let wanted = wanted(item, name, left_out);
    let status = item.get("status").and_then(slug).map(|status| status.to_ascii_lowercase());
    match (status.as_deref(), wanted) {
        (Some(status), wanted) if NOT_IN_USE.contains(&status) => Outcome::LeftOut {
            reason: format!("has the status `{status}` in NetBox, so it is left out").into(),
            wanted: wanted.ok().map(Box::new),
        },
        (status, Ok(mut wanted)) => {
            // An own status of this NetBox: kept, so that it can be seen.
            if let Some(status) = status.filter(|status| *status != "active") {
                wanted.attributes.insert("netbox_status".to_owned(), status.into());
            }
            Outcome::Wanted(Box::new(wanted))
        }
        (_, Err(refusal)) => Outcome::Refused(refusal),
    }
}

fn wanted(item: &Map<String, Value>, name: &str, left_out: &mut Vec<String>) -> Result<Wanted, Refusal> {
    let mut wanted = Wanted::displayed(name)?;
    // Only physical devices have a type of device.
    let is_device = ["device_type", "rack", "manufacturer"].iter().any(|field| item.contains_key(*field));
    wanted.tags = tags(item);
    let platform = wanted.tags.get("os").cloned();
    let kind = if is_device { device_kind(platform.as_deref(), wanted.tags.get("role")) } else { CiType::Vm };
    wanted.ci_type = Some(kind);
    if kind != CiType::Host
        && kind != CiType::Vm
        && let Some(platform) = wanted.tags.remove("os")
    {
        // It is not patched, so its system is a fact, not what selects it.
        wanted.attributes.insert("platform".to_owned(), platform.into());
    }
    let scope = if is_device { "site" } else { "cluster" };
    wanted.distinct = wanted.tags.get(scope).and_then(|value| record::label(value)).and_then(|label| {
        let id = CiId::new(format!("{}.{label}", wanted.id)).ok()?;
        Some(Distinct { id, tag: scope })
    });
    if let Some(number) = item.get("id").and_then(Value::as_u64) {
        let kind = if is_device { "devices" } else { "virtual-machines" };
        wanted.attributes.insert(SOURCE.to_owned(), format!("{kind}/{number}").into());
    }
    if let Some(address) = address(item) {
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

/// A system that is patched here makes it a host, one of a network device a network device; else the role decides.
fn device_kind(platform: Option<&str>, role: Option<&String>) -> CiType {
    let words = |text: &str| -> Vec<String> {
        let text = text.to_ascii_lowercase();
        text.split(|c: char| !c.is_ascii_alphabetic())
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let has = |words: &[String], of: &[&str]| words.iter().any(|word| of.contains(&word.as_str()));
    let platform_words = platform.map(words).unwrap_or_default();
    if platform.is_some_and(|platform| Packaging::of_os(platform).is_some())
        || has(&platform_words, &["linux", "windows", "debian", "ubuntu", "rhel", "redhat", "enterprise"])
    {
        return CiType::Host;
    }
    let joined: String = platform_words.concat();
    if has(&platform_words, &NETWORK_SYSTEMS)
        || NETWORK_SYSTEMS.iter().any(|system| system.len() > 3 && joined.contains(system))
    {
        return CiType::Network;
    }
    let role = role.map(|role| words(role)).unwrap_or_default();
    if has(&role, &["server", "servers", "host", "hypervisor"]) {
        CiType::Host
    } else if has(&role, &NETWORK_ROLES) {
        CiType::Network
    } else if has(&role, &STORAGE_ROLES) {
        CiType::Storage
    } else if has(&role, &OTHER_ROLES) {
        CiType::Other
    } else {
        CiType::Host
    }
}

/// `10.0.0.5/24`: the length of the network's prefix is not part of the address.
fn address(item: &Map<String, Value>) -> Option<String> {
    let address = ["primary_ip", "primary_ip4", "primary_ip6"].iter().find_map(|field| {
        let ip = item.get(*field)?;
        ip.as_str().or_else(|| ip.get("address")?.as_str())
    })?;
    // An export of a table may name the interface or the NAT address, too.
    let address = address.split([' ', '/', '(']).next().unwrap_or(address);
    (!address.is_empty()).then(|| address.to_owned())
}

fn tags(item: &Map<String, Value>) -> Tags {
    let sources = [
        ("device_role", "role"),
        ("role", "role"),
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
        _ if record::is_secret(&name) => {
            left_out.push(format!("custom field `{}` looks like a secret and is not stored", shown(&name)));
        }
        Value::String(text) if KNOWN_TAGS.contains(&tag) => {
            wanted.tags.insert(tag.to_owned(), text.clone());
        }
        // A field with choices is an object in some versions.
        Value::Object(_) if KNOWN_TAGS.contains(&tag) && slug(value).is_some() => {
            wanted.tags.extend(slug(value).map(|text| (tag.to_owned(), text)));
        }
        value => match check_attribute_name(&name) {
            Ok(()) if let Some((below, why)) = services_fault(&name, value) => {
                left_out.push(format!("custom field `{}{below}` {why}", shown(&name)));
            }
            Ok(()) => {
                wanted.attributes.insert(name, value.clone());
            }
            Err(why) => left_out.push(format!("custom field `{}` {why}", shown(&name))),
        },
    }
}

/// The short name of what NetBox links to: an object's slug, else its value, name or label, or the text itself.
fn slug(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.as_str(),
        Value::Object(fields) => ["slug", "value", "name", "label"]
            .iter()
            .find_map(|key| fields.get(*key).and_then(Value::as_str))?,
        _ => return None,
    };
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
