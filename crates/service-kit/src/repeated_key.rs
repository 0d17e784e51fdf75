//! Keys that an object has twice. Readers disagree about which value counts: a check might see one, and what acts the other.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// Up to so many keys of one object are compared one by one.
const FEW: usize = 16;

/// The JSON pointer of the first key that its object has a second time, in a document of any format that serde reads.
pub fn find<'de, D: Deserializer<'de>>(document: D) -> Result<Option<String>, D::Error> {
    let mut path = Vec::new();
    match (Walk { path: &mut path }).deserialize(document) {
        Ok(()) => Ok(None),
        Err(error) if path.is_empty() => Err(error),
        Err(_) => {
            let parts = path.iter().rev().map(|part| part.replace('~', "~0").replace('/', "~1"));
            Ok(Some(parts.fold(String::new(), |pointer, part| pointer + "/" + &part)))
        }
    }
}

/// Reads a value and keeps nothing. Once a repeated key is found, `path` grows from it to the root.
struct Walk<'a> {
    path: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<(), D::Error> {
        document.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i128<E>(self, _: i128) -> Result<(), E> {
        Ok(())
    }

    fn visit_u128<E>(self, _: u128) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        self.deserialize(value)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        self.deserialize(value)
    }

    /// A value with a tag, as YAML has them.
    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        let (_, value) = tagged.variant_seed(Key)?;
        value.newtype_variant_seed(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for position in 0_usize.. {
            match items.next_element_seed(Walk { path: self.path }) {
                Ok(Some(())) => {}
                Ok(None) => break,
                Err(error) => return Err(self.below(position.to_string(), error)),
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut seen = Keys::default();
        while let Some(key) = fields.next_key_seed(Key)? {
            if !seen.insert(key.clone()) {
                self.path.push(key.into_owned());
                return Err(A::Error::custom("a key is repeated"));
            }
            if let Err(error) = fields.next_value_seed(Walk { path: self.path }) {
                return Err(self.below(key.into_owned(), error));
            }
        }
        Ok(())
    }
}

impl Walk<'_> {
    fn below<E>(self, part: String, error: E) -> E {
        if !self.path.is_empty() {
            self.path.push(part);
        }
        error
    }
}

/// The keys of one object. Most objects have few.
#[derive(Default)]
struct Keys<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Keys<'de> {
    fn insert(&mut self, key: Cow<'de, str>) -> bool {
        if self.few.contains(&key) {
            return false;
        }
        if self.few.len() < FEW {
            self.few.push(key);
            return true;
        }
        self.many.insert(key)
    }
}

/// A key as text; YAML also has keys that are numbers.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<Cow<'de, str>, D::Error> {
        key.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_owned()))
    }

    fn visit_bool<E>(self, key: bool) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_string()))
    }

    fn visit_i64<E>(self, key: i64) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_string()))
    }

    fn visit_u64<E>(self, key: u64) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_string()))
    }

    fn visit_f64<E>(self, key: f64) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed("null"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_json(text: &str) -> Option<String> {
        find(&mut serde_json::Deserializer::from_str(text)).unwrap()
    }

    #[test]
    fn repeated_key_is_found_at_any_depth_and_in_any_spelling() {
        assert_eq!(in_json(r#"{"a": 1, "b": {"c": [1, {"d": null, "e": 2.5}]}}"#), None);
        assert_eq!(in_json(r#"{"a": 1, "a": 1}"#).unwrap(), "/a");
        assert_eq!(in_json(r#"{"a": 1, "\u0061": 2}"#).unwrap(), "/a");
        assert_eq!(
            in_json(r#"{"x": [0, {"tags": {"a/b": "", "c": "", "a/b": ""}}]}"#).unwrap(),
            "/x/1/tags/a~1b"
        );
        // The same key in two objects is not repeated.
        assert_eq!(in_json(r#"[{"a": 1}, {"a": 1}]"#), None);
    }

    #[test]
    fn repeated_key_is_found_in_a_large_object() {
        let mut keys: Vec<String> = (0..500).map(|number| format!(r#""k{number}": {number}"#)).collect();
        assert_eq!(in_json(&format!("{{{}}}", keys.join(","))), None);
        for repeated in [3, 20, 499] {
            keys.push(keys[repeated].clone());
            assert_eq!(in_json(&format!("{{{}}}", keys.join(","))).unwrap(), format!("/k{repeated}"));
            keys.pop();
        }
    }

    #[test]
    fn text_that_is_not_a_document_is_an_error() {
        assert!(find(&mut serde_json::Deserializer::from_str("{")).is_err());
    }
}
