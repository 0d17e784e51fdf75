//! Reads the schemas of a contract.

use std::collections::BTreeMap;

use cmdb::Cmdb;
use itsm::Itsm;
use patch_manager::PatchManager;
use serde_json::{Map, Value};
use service_kit::server::openapi;
use sim_engine::SimEngine;

use terminal::Failure;

/// References that are followed; a schema that refers to itself ends here.
const DEPTH: usize = 8;

/// The schemas of all services, by their names.
pub struct Schemas(BTreeMap<String, Schema>);

#[derive(Debug, Clone)]
pub struct Schema(Map<String, Value>);

impl Schemas {
    /// Where services have a schema of the same name, it is the same one or that of the patch-manager.
    pub fn of_this_program() -> Result<Self, Failure> {
        let contracts =
            [openapi::<SimEngine>(), openapi::<Itsm>(), openapi::<Cmdb>(), openapi::<PatchManager>()];
        let mut all = BTreeMap::new();
        for contract in contracts {
            let contract = serde_json::to_value(contract)
                .map_err(|error| Failure::new(format!("the contract cannot be read: {error}")))?;
            let schemas = contract.pointer("/components/schemas").and_then(Value::as_object);
            let schemas = schemas.into_iter().flatten();
            all.extend(schemas.filter_map(|(name, schema)| Some((name.clone(), Schema::of(schema)?))));
        }
        Ok(Self(all))
    }

    pub fn get(&self, name: &str) -> Option<Schema> {
        self.0.get(name).cloned()
    }
}

impl Schema {
    fn of(value: &Value) -> Option<Self> {
        value.as_object().cloned().map(Self)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    fn list(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.0.get(name).and_then(Value::as_array).into_iter().flatten()
    }

    /// The schema that a reference names.
    fn target(&self, schemas: &Schemas) -> Option<(String, Self)> {
        let name = self.text("$ref")?.rsplit('/').next()?;
        Some((name.to_owned(), schemas.get(name)?))
    }

    /// Without references, and without the alternative `null`.
    fn resolved(&self, schemas: &Schemas) -> Self {
        let mut schema = self.clone();
        for _ in 0..DEPTH {
            if let Some((_, target)) = schema.target(schemas) {
                schema = target;
                continue;
            }
            let alternatives: Vec<Self> = schema.list("oneOf").filter_map(Self::of).collect();
            let real: Vec<&Self> =
                alternatives.iter().filter(|one| one.text("type") != Some("null")).collect();
            match real[..] {
                [one] if alternatives.len() > 1 => schema = one.clone(),
                _ => break,
            }
        }
        schema
    }

    pub fn description(&self) -> String {
        self.text("description").unwrap_or_default().to_owned()
    }

    /// What is said of the field, and where nothing is, of its type.
    pub fn description_with(&self, schemas: &Schemas) -> String {
        let inner = || {
            self.list("oneOf").filter_map(Self::of).find_map(|one| one.text("description").map(str::to_owned))
        };
        let own = self.text("description").map(str::to_owned).or_else(inner);
        own.unwrap_or_else(|| self.resolved(schemas).description())
    }

    pub fn default(&self) -> Option<Value> {
        self.0.get("default").filter(|value| !value.is_null()).cloned()
    }

    pub fn example(&self, schemas: &Schemas) -> Option<Value> {
        self.0.get("example").cloned().or_else(|| self.resolved(schemas).0.get("example").cloned())
    }

    /// The fields of an object, or of the objects in a list: name, schema, and whether it must be there.
    pub fn fields(&self, schemas: &Schemas) -> Vec<(String, Self, bool)> {
        let schema = self.resolved(schemas);
        if let Some(items) = schema.0.get("items").and_then(Self::of) {
            return items.fields(schemas);
        }
        let parts = schema.list("allOf").filter_map(Self::of).flat_map(|part| part.fields(schemas));
        let required: Vec<&str> = schema.list("required").filter_map(Value::as_str).collect();
        let own = schema.0.get("properties").and_then(Value::as_object).into_iter().flatten();
        let own = own.filter_map(|(name, field)| {
            Some((name.clone(), Self::of(field)?, required.contains(&name.as_str())))
        });
        own.chain(parts).collect()
    }

    /// The values that a text may have.
    pub fn values(&self, schemas: &Schemas) -> Vec<String> {
        let schema = self.resolved(schemas);
        let one_of = schema.list("oneOf").filter_map(Self::of).collect::<Vec<_>>();
        let constants = one_of.iter().flat_map(|one| one.0.get("const").into_iter().chain(one.list("enum")));
        let values = schema.list("enum").chain(constants);
        values.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    pub fn range(&self, schemas: &Schemas) -> Option<String> {
        let schema = self.resolved(schemas);
        let number = |name: &str| schema.0.get(name).map(Value::to_string);
        match (number("minimum"), number("maximum")) {
            (Some(least), Some(most)) => Some(format!("{least} to {most}")),
            (Some(least), None) => Some(format!("at least {least}")),
            (None, Some(most)) => Some(format!("at most {most}")),
            (None, None) => {
                let inner: Vec<Self> = schema.list("oneOf").filter_map(Self::of).collect();
                inner.iter().find_map(|one| one.range(schemas))
            }
        }
    }

    /// The type as people say it.
    pub fn kind(&self, schemas: &Schemas) -> String {
        self.kind_at(schemas, 0)
    }

    fn kind_at(&self, schemas: &Schemas, depth: usize) -> String {
        if depth > DEPTH {
            return "object".to_owned();
        }
        let schema = self.resolved(schemas);
        if let Some(items) = schema.0.get("items").and_then(Self::of) {
            return format!("list of {}", items.kind_at(schemas, depth + 1));
        }
        let mut kinds: Vec<String> = match schema.0.get("type") {
            Some(Value::String(kind)) => vec![kind.clone()],
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => {
                schema.list("oneOf").filter_map(Self::of).map(|one| one.kind_at(schemas, depth + 1)).collect()
            }
        };
        kinds.retain(|kind| kind != "null");
        kinds.dedup();
        if kinds.is_empty() {
            return "object".to_owned();
        }
        kinds.join(" or ")
    }
}
