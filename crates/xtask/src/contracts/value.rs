//! Whether an example or a default is a value that its schema accepts.

use serde_json::Value;

/// Why `value` does not fit; knows the keywords that the contracts use.
pub fn mismatch(value: &Value, schema: &Value, contract: &Value) -> Option<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return mismatch(value, contract.pointer(reference.strip_prefix('#')?)?, contract);
    }
    for keyword in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[keyword].as_array()
            && choices.iter().all(|choice| mismatch(value, choice, contract).is_some())
        {
            return Some(format!("{value} fits none of `{keyword}`"));
        }
    }
    if let Some(parts) = schema["allOf"].as_array()
        && let Some(reason) = parts.iter().find_map(|part| mismatch(value, part, contract))
    {
        return Some(reason);
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        return Some(format!("{value} is not one of its enum"));
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    if !types.iter().any(|name| is_of_type(value, name)) {
        return Some(format!("{value} is not of type {}", types.join(" or ")));
    }
    match value {
        Value::Array(items) => items.iter().find_map(|item| mismatch(item, &schema["items"], contract)),
        Value::Object(fields) => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            if let Some(missing) = required.into_iter().find(|name| !fields.contains_key(*name)) {
                return Some(format!("`{missing}` is required and missing"));
            }
            fields.iter().find_map(|(name, field)| match &schema["properties"][name] {
                Value::Null if schema["additionalProperties"] == false => {
                    Some(format!("`{name}` is not a field of it"))
                }
                property => mismatch(field, property, contract),
            })
        }
        _ => None,
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_checked_against_their_schemas() {
        let contract =
            json!({ "components": { "schemas": { "Tier": { "type": "string", "enum": ["demo"] } } } });
        let customer = json!({ "type": "object", "required": ["tier"], "additionalProperties": false, "properties": {
            "tier": { "$ref": "#/components/schemas/Tier" },
            "windows": { "type": ["array", "null"], "items": { "type": "integer" } },
            "by": { "oneOf": [{ "type": "null" }, { "type": "string" }] } } });
        let check = |value: Value| mismatch(&value, &customer, &contract);
        assert_eq!(check(json!({ "tier": "demo", "windows": [1], "by": null })), None);
        assert_eq!(check(json!({ "tier": "demo", "windows": null, "by": "x" })), None);
        for wrong in [
            json!({}),
            json!({ "tier": "gold" }),
            json!({ "tier": "demo", "windows": ["1"] }),
            json!({ "tier": "demo", "by": 1 }),
            json!({ "tier": "demo", "more": 1 }),
            json!(null),
        ] {
            assert!(check(wrong.clone()).is_some(), "{wrong} was accepted");
        }
    }
}
