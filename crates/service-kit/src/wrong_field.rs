//! Where in a JSON document the wrong field is, as a JSON pointer.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

/// Members of an object that are tried, and bytes of a document in which they are: what is looked for is a map whose keys are
/// the names of a type.
const MOST_MEMBERS: usize = 64;
const MOST_BYTES: usize = 1 << 20;

/// The pointer of a path at which `T` cannot be read from `document`.
pub fn pointer_of<T: DeserializeOwned>(path: &Path, document: &Value) -> String {
    let mut pointer = String::new();
    for segment in path {
        let part = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.clone(),
            Segment::Enum { variant } => variant.clone(),
            // The key of a map whose keys are not texts: the path does not name it.
            Segment::Unknown => match find_member::<T>(path, document, &pointer) {
                Some(key) => key,
                None => continue,
            },
        };
        pointer = format!("{pointer}/{}", escaped(&part));
    }
    pointer
}

/// The pointer in a document that is text.
pub fn pointer_in<T: DeserializeOwned>(path: &Path, document: &[u8]) -> String {
    let is_named = path.iter().all(|segment| !matches!(segment, Segment::Unknown));
    let value = if is_named || document.len() > MOST_BYTES {
        Value::Null
    } else {
        serde_json::from_slice(document).unwrap_or_default()
    };
    pointer_of::<T>(path, &value)
}

/// The member of the object at `pointer` that cannot be read: alone in its object, it fails at the same path.
fn find_member<T: DeserializeOwned>(path: &Path, document: &Value, pointer: &str) -> Option<String> {
    let members = document.pointer(pointer)?.as_object()?;
    let wanted = path.to_string();
    let fails = |(key, value): &(&String, &Value)| {
        let mut part = document.clone();
        if let Some(object) = part.pointer_mut(pointer) {
            *object = Value::Object([((*key).clone(), (*value).clone())].into_iter().collect());
        }
        serde_path_to_error::deserialize::<_, T>(part).is_err_and(|error| error.path().to_string() == wanted)
    };
    members.iter().take(MOST_MEMBERS).find(fails).map(|(key, _)| key.clone())
}

fn escaped(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
    #[serde(rename_all = "snake_case")]
    enum Colour {
        Red,
        DarkBlue,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Paint {
        #[expect(dead_code)]
        litres: u8,
        #[serde(default)]
        #[expect(dead_code)]
        mixed_from: BTreeMap<Colour, Vec<u8>>,
    }

    #[derive(Debug, Deserialize)]
    struct Shop {
        #[expect(dead_code)]
        stock: BTreeMap<Colour, Paint>,
        #[serde(default)]
        #[expect(dead_code)]
        prices: BTreeMap<u32, u32>,
    }

    fn pointer(document: Value) -> String {
        let error = serde_path_to_error::deserialize::<_, Shop>(document.clone()).unwrap_err();
        let pointer = pointer_of::<Shop>(error.path(), &document);
        let text = document.to_string();
        let mut reader = serde_json::Deserializer::from_str(&text);
        let error = serde_path_to_error::deserialize::<_, Shop>(&mut reader).unwrap_err();
        assert_eq!(pointer_in::<Shop>(error.path(), text.as_bytes()), pointer);
        pointer
    }

    #[test]
    fn keys_of_maps_that_are_variants_are_named() {
        let red = json!({ "litres": 3 });
        let wrong = json!({ "stock": { "red": red, "dark_blue": { "litres": "many" } } });
        assert_eq!(pointer(wrong), "/stock/dark_blue/litres");
        let unknown = json!({ "stock": { "red": red, "dark_blue": { "litres": 1, "smell": 2 } } });
        assert_eq!(pointer(unknown), "/stock/dark_blue/smell");
        let deep = json!({ "stock": { "red": red, "dark_blue": { "litres": 1, "mixed_from": { "red": [1, 2, 999] } } } });
        assert_eq!(pointer(deep), "/stock/dark_blue/mixed_from/red/2");
    }

    #[test]
    fn other_places_are_named_as_before() {
        assert_eq!(pointer(json!({ "stock": { "red": 7 } })), "/stock/red");
        assert_eq!(pointer(json!({ "stock": 7 })), "/stock");
        assert_eq!(pointer(json!({})), "");
        assert_eq!(pointer(json!({ "stock": {}, "prices": { "10": "a/b" } })), "/prices/10");
    }

    #[test]
    fn key_that_is_not_a_variant_is_an_error_of_its_map() {
        let pointer = pointer(json!({ "stock": { "red": { "litres": 1 }, "pale": { "litres": 1 } } }));
        assert!(pointer.starts_with("/stock"), "{pointer}");
    }
}
