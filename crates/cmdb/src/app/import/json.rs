//! CIs as they are created over HTTP: a JSON array, or one a line.

use api_types::cmdb::CreateCi;
use serde_json::Value;

use super::record::{Record, Wanted};

pub fn read(list: Value) -> Result<Vec<Record>, String> {
    let items = match list {
        Value::Array(items) => items,
        item @ Value::Object(_) => vec![item],
        _ => return Err("an array of CIs is expected".to_owned()),
    };
    Ok((1..).zip(items).map(|(number, item)| Record::new(number, wanted(item))).collect())
}

/// Records are numbered by their lines.
pub fn read_lines(text: &str) -> Result<Vec<Record>, String> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    Ok(lines
        .map(|(number, line)| {
            let item = serde_json::from_str(line).map_err(|error| format!("is not JSON: {error}"));
            Record::new(number, item.and_then(wanted))
        })
        .collect())
}

fn wanted(item: Value) -> Result<Wanted, String> {
    let request: CreateCi = serde_json::from_value(item).map_err(|error| error.to_string())?;
    Ok(Wanted {
        id: request.id,
        ci_type: Some(request.ci_type),
        name: request.name,
        tags: request.tags,
        attributes: request.attributes,
    })
}
