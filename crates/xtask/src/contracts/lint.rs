//! Mistakes in a contract that no code generator forgives, or that make a client wrong.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::value::mismatch;

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

pub fn violations(contract: &Value) -> Vec<String> {
    let mut found = Vec::new();
    operations(contract, &mut found);
    schemas(contract, contract, "", &mut found);
    found
}

fn operations(contract: &Value, found: &mut Vec<String>) {
    let mut ids: BTreeMap<&str, String> = BTreeMap::new();
    for (path, item) in contract["paths"].as_object().into_iter().flatten() {
        for (method, operation) in METHODS.iter().filter_map(|method| Some((method, item.get(method)?))) {
            let place = format!("{} {path}", method.to_uppercase());
            match operation["operationId"].as_str() {
                None => found.push(format!("{place} has no operationId")),
                Some(id) => {
                    if let Some(other) = ids.insert(id, place.clone()) {
                        found.push(format!("{place} and {other} share the operationId `{id}`"));
                    }
                }
            }
            parameters(contract, path, &place, operation, found);
            let responses = operation["responses"].as_object();
            if !responses.is_some_and(|all| all.keys().any(|status| status.starts_with(['2', '3']))) {
                found.push(format!("{place} states no answer of success"));
            }
            if method == &"get" && operation.get("requestBody").is_some() {
                found.push(format!("{place} has a body, which a GET cannot have"));
            }
        }
    }
}

fn parameters(contract: &Value, path: &str, place: &str, operation: &Value, found: &mut Vec<String>) {
    let in_path: BTreeSet<&str> = path.split('{').skip(1).filter_map(|part| part.split('}').next()).collect();
    let mut declared = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let (name, place_of) = (text(&parameter["name"]), text(&parameter["in"]));
        if !seen.insert((name, place_of)) {
            found.push(format!("{place} declares the {place_of} parameter `{name}` twice"));
        }
        if place_of == "path" {
            declared.insert(name);
            if parameter["required"] != true {
                found.push(format!("{place}: the path parameter `{name}` is not required"));
            }
        }
        if let Some(example) = parameter.get("example")
            && let Some(reason) = mismatch(example, &parameter["schema"], contract)
        {
            found.push(format!("{place}: the example of `{name}`: {reason}"));
        }
    }
    for name in in_path.difference(&declared) {
        found.push(format!("{place} does not declare the path parameter `{name}`"));
    }
    for name in declared.difference(&in_path) {
        found.push(format!("{place} declares `{name}`, which is not in its path"));
    }
}

/// Everything below `value` that is or holds a schema. `place` is the JSON pointer to it.
fn schemas(contract: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            schema(contract, value, place, found);
            for (name, field) in fields.iter().filter(|(name, _)| !is_data(name)) {
                schemas(
                    contract,
                    field,
                    &format!("{place}/{}", name.replace('~', "~0").replace('/', "~1")),
                    found,
                );
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                schemas(contract, item, &format!("{place}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Keywords whose values are data and no schemas.
fn is_data(keyword: &str) -> bool {
    matches!(keyword, "example" | "examples" | "default" | "enum" | "const")
}

fn schema(contract: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    // Under `properties` and `schemas` the keys are names of things, not keywords.
    if place.ends_with("/properties") || place.ends_with("/schemas") || place.ends_with("/paths") {
        return;
    }
    if let Some(reference) = value["$ref"].as_str()
        && reference.strip_prefix('#').and_then(|pointer| contract.pointer(pointer)).is_none()
    {
        found.push(format!("{place}: `{reference}` is not defined"));
    }
    let choices = ["oneOf", "anyOf", "allOf"].iter().any(|keyword| value.get(*keyword).is_some());
    if let (Some(required), Some(properties), false) =
        (value["required"].as_array(), value["properties"].as_object(), choices)
    {
        for name in required.iter().map(text).filter(|name| !properties.contains_key(*name)) {
            found.push(format!("{place}: `{name}` is required and not among the properties"));
        }
    }
    if value["type"] == "array" && value.get("items").is_none() && value.get("prefixItems").is_none() {
        found.push(format!("{place}: an array without `items`"));
    }
    if let Some(allowed) = value["enum"].as_array() {
        let distinct: BTreeSet<String> = allowed.iter().map(Value::to_string).collect();
        if distinct.len() < allowed.len() {
            found.push(format!("{place}: the enum names a value twice"));
        }
    }
    for keyword in ["default", "example"] {
        if let Some(given) = value.get(keyword)
            && value.get("in").is_none()
            && let Some(reason) = mismatch(given, value, contract)
        {
            found.push(format!("{place}: the {keyword}: {reason}"));
        }
    }
    if let Some(parts) = value["allOf"].as_array() {
        found.extend(closed_parts(contract, parts).into_iter().map(|reason| format!("{place}: {reason}")));
    }
}

/// A part of `allOf` that refuses further fields, and a field that another part requires or defines.
fn closed_parts(contract: &Value, parts: &[Value]) -> Vec<String> {
    let resolved: Vec<&Value> = parts.iter().map(|part| resolve(contract, part)).collect();
    let mut found = Vec::new();
    for (index, closed) in
        resolved.iter().enumerate().filter(|(_, part)| part["additionalProperties"] == false)
    {
        let own = fields(contract, closed);
        for other in resolved.iter().enumerate().filter(|(place, _)| *place != index).map(|(_, part)| part) {
            let refused: Vec<String> = fields(contract, other).difference(&own).cloned().collect();
            if !refused.is_empty() {
                let name = text(&parts[index]["$ref"]).rsplit('/').next().unwrap_or_default().to_owned();
                found.push(format!(
                    "part `{name}` of `allOf` forbids the fields {} of another",
                    refused.join(", ")
                ));
            }
        }
    }
    found
}

fn resolve<'a>(contract: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema["$ref"].as_str().and_then(|reference| contract.pointer(reference.strip_prefix('#')?));
    target.unwrap_or(schema)
}

fn fields(contract: &Value, schema: &Value) -> BTreeSet<String> {
    let mut names: BTreeSet<String> =
        schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        names.extend(fields(contract, resolve(contract, part)));
    }
    names
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn contract() -> Value {
        json!({ "paths": { "/cis/{id}": { "get": {
                "operationId": "get_ci",
                "parameters": [{ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }],
                "responses": { "200": { "description": "", "content": { "application/json": {
                    "schema": { "$ref": "#/components/schemas/Ci" } } } } } } } },
            "components": { "schemas": {
                "Ci": { "type": "object", "required": ["id"], "properties": {
                    "id": { "type": "string", "example": "web-01" },
                    "required": { "type": "array", "items": { "type": "string" }, "default": [] } } },
                "Closed": { "type": "object", "additionalProperties": false, "properties": { "name": { "type": "string" } } },
                "Stored": { "allOf": [{ "$ref": "#/components/schemas/Ci" }, { "type": "object", "properties": { "revision": {} } }] } } } })
    }

    #[test]
    fn sound_contract_passes() {
        assert_eq!(violations(&contract()), [""; 0]);
    }

    #[test]
    fn each_mistake_is_named() {
        let operation = "/paths/~1cis~1{id}/get";
        let mistakes = [
            (format!("{operation}/operationId"), Value::Null, "no operationId"),
            (format!("{operation}/parameters"), json!([]), "does not declare the path parameter `id`"),
            (format!("{operation}/parameters/0/required"), json!(false), "is not required"),
            (format!("{operation}/parameters/0/example"), json!(1), "the example of `id`"),
            (format!("{operation}/responses"), json!({ "404": {} }), "no answer of success"),
            ("/paths/~1other".to_owned(), contract()["paths"]["/cis/{id}"].clone(), "share the operationId"),
            ("/components/schemas/Ci".to_owned(), Value::Null, "is not defined"),
            ("/components/schemas/Ci/required".to_owned(), json!(["name"]), "`name` is required"),
            ("/components/schemas/Ci/properties/id/example".to_owned(), json!(1), "the example: 1"),
            ("/components/schemas/Ci/properties/required/default".to_owned(), json!({}), "the default"),
            ("/components/schemas/Ci/properties/required/items".to_owned(), Value::Null, "without `items`"),
            ("/components/schemas/Ci/properties/id/enum".to_owned(), json!(["web-01", "web-01"]), "twice"),
            (
                "/components/schemas/Stored/allOf/0".to_owned(),
                json!({ "$ref": "#/components/schemas/Closed" }),
                "part `Closed` of `allOf` forbids the fields revision",
            ),
        ];
        for (place, value, expected) in mistakes {
            let mut contract = contract();
            let (above, name) = place.rsplit_once('/').unwrap();
            let name = name.replace("~1", "/");
            let target = contract.pointer_mut(above).unwrap();
            match (target, value) {
                (Value::Object(fields), Value::Null) => drop(fields.remove(&name)),
                (Value::Object(fields), value) => drop(fields.insert(name, value)),
                (target, value) => target[name.parse::<usize>().unwrap()] = value,
            }
            let found = violations(&contract).join("\n");
            assert!(found.contains(expected), "{place}: {found}");
        }
    }
}
