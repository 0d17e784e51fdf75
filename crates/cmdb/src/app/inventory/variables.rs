//! The variables of a host of the inventory.

use serde_json::{Map, Value, json};

use crate::store::graph::Node;

/// Attributes that describe the connection, and the variables by which Ansible knows them.
const CONNECTION: [(&str, &str); 3] =
    [("address", "ansible_host"), ("port", "ansible_port"), ("user", "ansible_user")];

/// Keywords of Ansible's plays: a variable of that name makes it warn, so the attribute becomes `cmdb_<name>`.
const PLAY_KEYWORDS: &str = "\
    action always any_errors_fatal args async async_val become become_exe become_flags become_method become_user \
    block changed_when check_mode collections connection cycler debugger delay delegate_facts delegate_to dict \
    diff fact_path failed_when force_handlers gather_facts gather_subset gather_timeout handlers hosts \
    ignore_errors ignore_unreachable joiner lipsum local_action lookup loop loop_control max_fail_percentage \
    module_defaults name namespace no_log notify now order poll post_tasks pre_tasks q query range register \
    remote_user rescue retries roles run_once serial strategy tags tasks throttle timeout undef until vars_files \
    vars_prompt when with_";

pub fn variables_of(host: Node) -> Value {
    let mut variables = Map::new();
    for (name, value) in host.attributes {
        let name = match CONNECTION.iter().find(|(attribute, _)| *attribute == name) {
            Some((_, variable)) => (*variable).to_owned(),
            None if PLAY_KEYWORDS.split(' ').any(|word| word == name) => format!("cmdb_{name}"),
            None => name,
        };
        variables.insert(name, inert(value));
    }
    if variables.get("driver").is_some_and(|driver| driver["__ansible_unsafe"] == "model") {
        // The inside of a model host is reached from the controller, through the sim-engine's API.
        variables.insert("ansible_connection".to_owned(), "local".into());
    }
    variables.insert("cmdb_type".to_owned(), json!(host.ci_type));
    variables.insert("cmdb_display_name".to_owned(), inert(Value::String(host.name)));
    let tags = host.tags.into_iter().map(|(key, value)| (key, inert(Value::String(value)))).collect();
    variables.insert("cmdb_tags".to_owned(), Value::Object(tags));
    Value::Object(variables)
}

/// Marks every text in the value as not being a template.
fn inert(value: Value) -> Value {
    match value {
        Value::String(text) => json!({ "__ansible_unsafe": text }),
        Value::Array(items) => items.into_iter().map(inert).collect(),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(key, field)| (key, inert(field))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_at_every_depth() {
        let wrapped = inert(json!({"a": ["{{ x }}", {"b": "y"}], "n": 1}));
        assert_eq!(wrapped["a"][0]["__ansible_unsafe"], "{{ x }}");
        assert_eq!(wrapped["a"][1]["b"]["__ansible_unsafe"], "y");
        assert_eq!(wrapped["n"], 1);
    }
}
