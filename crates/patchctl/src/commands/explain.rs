//! `explain`: resources and their fields, from the contracts of the services of this program.

mod schema;

use serde::Serialize;
use serde_json::{Value, json};

use crate::arguments::ExplainArguments;
use schema::Schemas;
use terminal::suggest;
use terminal::{Columns, Printer, hint, print};
use terminal::{CommandResult, Failure, OK};

/// What people write in files and requests: its name here, and that of its schema.
const RESOURCES: [(&str, &str); 18] = [
    ("calendar", "CreateCalendar"),
    ("change", "CreateChange"),
    ("ci", "CreateCi"),
    ("exception", "CreateException"),
    ("fault", "CreateFault"),
    ("feed", "PutFeed"),
    ("incident", "CreateIncident"),
    ("notification", "CreateNotification"),
    ("person", "PutPerson"),
    ("policy", "Policy"),
    ("problem", "CreateProblem"),
    ("relationship", "CreateRelationship"),
    ("release", "CreateRelease"),
    ("run", "StartRun"),
    ("scan", "StartScan"),
    ("template", "PutTemplate"),
    ("token", "CreateToken"),
    ("vm", "CreateVm"),
];

const FIELDS: Columns = "name type required default about";
const LISTED: Columns = "name about";

#[derive(Debug, Serialize)]
struct Resource {
    name: &'static str,
    about: String,
}

/// What is known of a resource or of one of its fields.
#[derive(Debug, Serialize)]
struct Explained {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    required: Option<bool>,
    default: Option<Value>,
    range: Option<String>,
    values: Vec<String>,
    example: Option<Value>,
    description: String,
    fields: Vec<Field>,
}

#[derive(Debug, Serialize)]
struct Field {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    required: &'static str,
    default: Option<Value>,
    /// The first sentence of its description.
    about: String,
}

pub fn run(arguments: ExplainArguments, printer: Printer) -> CommandResult {
    let schemas = Schemas::of_this_program()?;
    let Some(what) = arguments.what else { return list(&schemas, printer) };
    let explained = explain(&schemas, &what)?;
    if !printer.is_for_people() {
        return printer.item(&explained);
    }
    let fields = explained.fields;
    printer.item(&Explained { fields: Vec::new(), ..explained })?;
    if !fields.is_empty() {
        print("\n")?;
        printer.list(&fields, FIELDS)?;
        hint(&format!("`patchctl explain {what}.FIELD` explains one of them"));
    }
    OK
}

fn list(schemas: &Schemas, printer: Printer) -> CommandResult {
    let about = |schema: &str| {
        schemas.get(schema).map(|schema| first_sentence(&schema.description())).unwrap_or_default()
    };
    let resources: Vec<Resource> =
        RESOURCES.iter().map(|(name, schema)| Resource { name, about: about(schema) }).collect();
    printer.list(&resources, LISTED)
}

fn explain(schemas: &Schemas, what: &str) -> Result<Explained, Failure> {
    let mut names = what.split('.');
    let resource = names.next().unwrap_or_default();
    let name = RESOURCES.iter().find(|(name, _)| *name == resource).map_or(resource, |(_, schema)| *schema);
    let mut schema = schemas.get(name).ok_or_else(|| {
        let known: Vec<&str> = RESOURCES.iter().map(|(name, _)| *name).collect();
        unknown(
            &format!("`{resource}` is not a resource; the resources are {}", known.join(", ")),
            resource,
            &known,
        )
    })?;
    let mut defaults = defaults_of(resource);
    let mut required = None;
    let mut path = resource.to_owned();
    for field in names {
        let fields = schema.fields(schemas);
        let found = fields.iter().find(|(name, ..)| name == field).ok_or_else(|| {
            let known: Vec<&str> = fields.iter().map(|(name, ..)| name.as_str()).collect();
            let message = match known[..] {
                [] => format!("`{path}` has no fields"),
                _ => format!("`{path}` has no field `{field}`; it has {}", known.join(", ")),
            };
            unknown(&message, field, &known)
        })?;
        required = Some(found.2);
        defaults = defaults.and_then(|defaults| defaults.get(field).cloned());
        schema = found.1.clone();
        path = format!("{path}.{field}");
    }
    let default_of =
        |name: &str| defaults.as_ref().and_then(|all| all.get(name)).filter(|value| !value.is_null());
    let fields = schema.fields(schemas).into_iter().map(|(name, field, required)| Field {
        kind: field.kind(schemas),
        required: if required { "yes" } else { "no" },
        default: default_of(&name)
            .cloned()
            .or_else(|| field.default())
            .filter(is_short)
            .filter(|_| !required),
        about: first_sentence(&field.description_with(schemas)),
        name,
    });
    Ok(Explained {
        kind: schema.kind(schemas),
        required,
        default: if required == Some(true) {
            None
        } else {
            defaults.clone().filter(|value| !value.is_null()).or_else(|| schema.default())
        }
        .filter(|_| required.is_some()),
        range: schema.range(schemas),
        values: schema.values(schemas),
        example: schema.example(schemas),
        description: schema.description_with(schemas),
        fields: fields.collect(),
        name: path,
    })
}

fn unknown(message: &str, wanted: &str, known: &[&str]) -> Failure {
    let failure = Failure::usage(message);
    match suggest::closest(wanted, known.iter().copied()) {
        Some(close) => failure.hint(format!("did you mean `{close}`?")),
        None => failure,
    }
}

/// The values of the fields that are left out, as the platform itself fills them in.
fn defaults_of(resource: &str) -> Option<Value> {
    if resource != "policy" {
        return None;
    }
    let least = json!({ "id": "policy-x", "name": "x", "target_ci_tags": { "env": "x" } });
    let policy: domain::policy::Policy = serde_json::from_value(least).ok()?;
    serde_json::to_value(policy).ok()
}

/// A default that is a structure has fields of its own.
fn is_short(value: &Value) -> bool {
    !value.is_object() && value.as_array().is_none_or(Vec::is_empty)
}

fn first_sentence(text: &str) -> String {
    let line = text.replace('\n', " ");
    line.split_once(". ").map_or(line.trim_end_matches('.'), |(first, _)| first).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schemas() -> Schemas {
        Schemas::of_this_program().unwrap()
    }

    #[test]
    fn every_resource_exists_and_says_what_it_is() {
        for (name, _) in RESOURCES {
            let explained = explain(&schemas(), name).unwrap();
            assert!(
                !explained.fields.is_empty() || !explained.values.is_empty() || explained.kind != "object",
                "{name}"
            );
        }
    }

    #[test]
    fn field_has_type_default_and_meaning() {
        let field = explain(&schemas(), "policy.max_parallel").unwrap();
        assert!(field.kind.contains("integer") && field.kind.contains("string"), "{}", field.kind);
        let least = json!({ "id": "p", "name": "p", "target_ci_tags": { "env": "x" } });
        let policy: domain::policy::Policy = serde_json::from_value(least).unwrap();
        assert_eq!(field.default.unwrap(), serde_json::to_value(policy).unwrap()["max_parallel"]);
        assert!(field.description.starts_with("Hosts patched in parallel"));
        assert_eq!(explain(&schemas(), "policy.plan_ahead_hours").unwrap().range.unwrap(), "1 to 720");
        assert_eq!(explain(&schemas(), "policy.patch_level").unwrap().example.unwrap(), "2026-02");
        assert_eq!(explain(&schemas(), "policy.id").unwrap().default, None);
        assert!(explain(&schemas(), "policy.pin").unwrap().values.contains(&"pilot".to_owned()));
    }

    #[test]
    fn fields_of_fields_are_explained() {
        let nested = explain(&schemas(), "policy.change.approval_timeout_hours").unwrap();
        assert_eq!(nested.default.unwrap(), 72);
        assert!(
            explain(&schemas(), "policy.change")
                .unwrap()
                .fields
                .iter()
                .any(|field| field.default == Some(json!(72)))
        );
    }

    #[test]
    fn unknown_names_are_answered_with_those_that_exist() {
        let error = |what: &str| explain(&schemas(), what).unwrap_err().to_string();
        assert!(error("polcy").contains("`polcy` is not a resource"));
        assert!(error("policy.max_paralel").contains("`policy` has no field `max_paralel`; it has "));
        assert!(error("policy.name.x").contains("`policy.name` has no fields"));
    }
}
