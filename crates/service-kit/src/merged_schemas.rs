//! Answers that extend a schema which refuses further fields.
//!
//! A stored thing flattens the request it was made from, and requests refuse unknown fields. As `allOf` of the two the
//! contract would demand fields and forbid them at once, so no answer could satisfy it. The parts are merged instead.

use std::collections::BTreeMap;

use utoipa::openapi::{
    OpenApi, RefOr,
    schema::{AdditionalProperties, AllOf, ArrayItems, Object, Schema},
};

const PREFIX: &str = "#/components/schemas/";

type Schemas = BTreeMap<String, RefOr<Schema>>;

pub(crate) fn merge_closed_parts(contract: &mut OpenApi) {
    let Some(components) = &mut contract.components else { return };
    let known = components.schemas.clone();
    components.schemas.values_mut().for_each(|schema| visit(schema, &known));
}

fn visit(schema: &mut RefOr<Schema>, known: &Schemas) {
    let RefOr::T(schema) = schema else { return };
    if let Schema::AllOf(parts) = schema
        && let Some(merged) = merge(parts, known)
    {
        *schema = Schema::Object(merged);
    }
    match schema {
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                visit(items, known);
            }
        }
        Schema::Object(object) => {
            object.properties.values_mut().for_each(|property| visit(property, known));
            if let Some(AdditionalProperties::RefOr(values)) = object.additional_properties.as_deref_mut() {
                visit(values, known);
            }
        }
        Schema::OneOf(choice) => choice.items.iter_mut().for_each(|item| visit(item, known)),
        Schema::AnyOf(choice) => choice.items.iter_mut().for_each(|item| visit(item, known)),
        Schema::AllOf(parts) => parts.items.iter_mut().for_each(|item| visit(item, known)),
        _ => {}
    }
}

/// One object with the fields of all parts; `None` unless a part refuses further fields.
fn merge(parts: &AllOf, known: &Schemas) -> Option<Object> {
    let objects: Vec<&Object> = parts.items.iter().map(|part| object(part, known)).collect::<Option<_>>()?;
    if objects.len() < 2 || !objects.iter().any(|object| is_closed(object)) {
        return None;
    }
    let mut merged = Object::new();
    merged.title.clone_from(&parts.title);
    merged.description.clone_from(&parts.description);
    for object in objects {
        merged.properties.extend(object.properties.clone());
        merged.required.extend(object.required.clone());
    }
    Some(merged)
}

fn object<'a>(part: &'a RefOr<Schema>, known: &'a Schemas) -> Option<&'a Object> {
    match part {
        RefOr::T(Schema::Object(object)) => Some(object),
        RefOr::T(_) => None,
        RefOr::Ref(reference) => object(known.get(reference.ref_location.strip_prefix(PREFIX)?)?, known),
    }
}

fn is_closed(object: &Object) -> bool {
    matches!(object.additional_properties.as_deref(), Some(AdditionalProperties::FreeForm(false)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(base: serde_json::Value) -> serde_json::Value {
        let contract = json!({ "openapi": "3.1.0", "info": { "title": "t", "version": "1" }, "paths": {},
            "components": { "schemas": {
                "Base": base,
                "Stored": { "description": "As stored.", "allOf": [
                    { "$ref": "#/components/schemas/Base" },
                    { "type": "object", "required": ["revision"], "properties": { "revision": { "type": "integer" } } }] } } } });
        let mut contract: OpenApi = serde_json::from_value(contract).unwrap();
        merge_closed_parts(&mut contract);
        serde_json::to_value(&contract).unwrap()["components"]["schemas"]["Stored"].take()
    }

    #[test]
    fn closed_part_is_merged_into_an_open_object() {
        let stored = merged(json!({ "type": "object", "required": ["name"], "additionalProperties": false,
            "properties": { "name": { "type": "string" } } }));
        assert_eq!(
            stored["properties"],
            json!({ "name": { "type": "string" }, "revision": { "type": "integer" } })
        );
        assert_eq!(stored["required"], json!(["name", "revision"]));
        assert_eq!(stored["description"], "As stored.");
        assert!(stored["allOf"].is_null() && stored["additionalProperties"].is_null(), "{stored:#}");
    }

    #[test]
    fn open_parts_stay_apart() {
        let stored = merged(json!({ "type": "object", "properties": { "name": { "type": "string" } } }));
        assert!(stored["allOf"].is_array(), "{stored:#}");
    }
}
