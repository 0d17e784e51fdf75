//! CIs as they are created over HTTP: a JSON array, or one a line.

use api_types::cmdb::CreateCi;
use serde_json::Value;
use service_kit::repeated_key;

use super::record::{List, Record, Refusal, Wanted, shown};

pub fn read(list: Value) -> Result<List, String> {
    let items = match list {
        Value::Array(items) => items,
        item @ Value::Object(_) => vec![item],
        _ => return Err("an array of CIs is expected".to_owned()),
    };
    Ok((1..).zip(items).map(|(number, item)| record(number, item)).collect::<Vec<_>>().into())
}

/// Records are numbered by their lines.
pub fn read_lines(text: &str) -> List {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let records: Vec<Record> = lines
        .map(|(number, line)| match serde_json::from_str(line) {
            Ok(item) => match repeated_key::find(&mut serde_json::Deserializer::from_str(line)) {
                Ok(Some(pointer)) => {
                    let refusal = Refusal::from(format!("`{pointer}` is there twice"));
                    Record::new(number, None, Err(refusal.remedy("leave one of them out"))).at_line()
                }
                _ => record(number, item).at_line(),
            },
            Err(error) => {
                let refusal =
                    Refusal::from(format!("is not JSON: {error}")).remedy("write one object a line");
                Record::new(number, None, Err(refusal)).at_line()
            }
        })
        .collect();
    records.into()
}

fn record(number: u64, item: Value) -> Record {
    let name = item.get("id").and_then(Value::as_str).map(shown);
    Record::new(number, name, wanted(item))
}

fn wanted(item: Value) -> Result<Wanted, Refusal> {
    // First, so that the refusal says what to do.
    if let Some(id) = item.get("id").and_then(Value::as_str) {
        super::record::id(id)?;
    }
    let request: CreateCi = serde_json::from_value(item).map_err(|error| error.to_string())?;
    Ok(Wanted {
        ci_type: Some(request.ci_type),
        name: request.name,
        tags: request.tags,
        attributes: request.attributes,
        ..Wanted::new(request.id)
    })
}
