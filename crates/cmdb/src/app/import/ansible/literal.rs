//! Python literals, as the values of an INI inventory are read.

use serde_json::{Map, Number, Value};

const MAX_DEPTH: usize = 32;

/// The literal; `None` if the text is none, and is taken as it stands.
pub fn parse(text: &str) -> Option<Value> {
    let mut reader = Reader { text: text.trim(), depth: 0 };
    let value = reader.value()?;
    reader.skip_spaces();
    // A comment may follow, as in any Python text.
    (reader.text.is_empty() || reader.text.starts_with('#')).then_some(value)
}

struct Reader<'a> {
    text: &'a str,
    depth: usize,
}

impl Reader<'_> {
    fn skip_spaces(&mut self) {
        self.text = self.text.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_spaces();
        match self.text.strip_prefix(token) {
            Some(rest) => {
                self.text = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self) -> Option<Value> {
        self.skip_spaces();
        let first = self.text.chars().next()?;
        match first {
            '[' | '(' => self.nested(|reader| reader.sequence()),
            '{' => self.nested(|reader| reader.dictionary()),
            '\'' | '"' => self.string().map(Value::String),
            'u' if self.text[1..].starts_with(['\'', '"']) => {
                self.text = &self.text[1..];
                self.string().map(Value::String)
            }
            _ => self.word(),
        }
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Option<Value>) -> Option<Value> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let value = read(self);
        self.depth -= 1;
        value
    }

    /// A list, a tuple or a value in parentheses.
    fn sequence(&mut self) -> Option<Value> {
        let (is_tuple, close) = if self.take("(") { (true, ")") } else { (!self.take("["), "]") };
        let (mut items, mut has_comma) = (Vec::new(), false);
        while !self.take(close) {
            if !items.is_empty() && !has_comma {
                return None;
            }
            items.push(self.value()?);
            has_comma = self.take(",");
        }
        match items.as_slice() {
            [item] if is_tuple && !has_comma => Some(item.clone()),
            _ => Some(items.into()),
        }
    }

    fn dictionary(&mut self) -> Option<Value> {
        self.take("{");
        let (mut fields, mut has_comma) = (Map::new(), true);
        while !self.take("}") {
            if !has_comma {
                return None;
            }
            let key = match self.value()? {
                Value::String(key) => key,
                Value::Number(key) => key.to_string(),
                _ => return None,
            };
            if !self.take(":") {
                return None;
            }
            fields.insert(key, self.value()?);
            has_comma = self.take(",");
        }
        Some(fields.into())
    }

    fn string(&mut self) -> Option<String> {
        let quote = self.text.chars().next()?;
        let mut found = String::new();
        let mut characters = self.text.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => match characters.next()?.1 {
                    'n' => found.push('\n'),
                    't' => found.push('\t'),
                    'r' => found.push('\r'),
                    same @ ('\\' | '\'' | '"') => found.push(same),
                    // Rarer escapes are not worth a wrong guess.
                    'x' | 'u' | 'U' | 'N' | 'a' | 'b' | 'f' | 'v' | '0'..='7' => return None,
                    other => found.extend(['\\', other]),
                },
                close if close == quote => {
                    self.text = &self.text[at + 1..];
                    return Some(found);
                }
                other => found.push(other),
            }
        }
        None
    }

    fn word(&mut self) -> Option<Value> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
        let end = self.text.find(|c| !is_part(c)).unwrap_or(self.text.len());
        let (word, rest) = self.text.split_at(end);
        let value = match word {
            "True" => true.into(),
            "False" => false.into(),
            "None" => Value::Null,
            _ => number(word)?,
        };
        self.text = rest;
        Some(value)
    }
}

/// Python allows `_` between digits and refuses leading zeros, so `010` stays a text.
fn number(word: &str) -> Option<Value> {
    let digits = word.trim_start_matches(['+', '-']);
    if word.len() - digits.len() > 1 || !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if digits.ends_with('_') || digits.contains("__") {
        return None;
    }
    let plain = word.trim_start_matches('+').replace('_', "");
    let digits = plain.trim_start_matches('-');
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let is_padded = digits.len() > 1 && digits.starts_with('0');
        return if is_padded { None } else { plain.parse::<i64>().ok().map(Value::from) };
    }
    if digits.bytes().any(|byte| byte.is_ascii_alphabetic() && !byte.eq_ignore_ascii_case(&b'e')) {
        return None;
    }
    plain.parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn python_literals_are_read_and_all_else_is_text() {
        for (text, expected) in [
            ("True", json!(true)),
            ("None", json!(null)),
            ("8080", json!(8080)),
            ("-1", json!(-1)),
            ("1_000", json!(1000)),
            ("0.5", json!(0.5)),
            ("'p#ss # word'", json!("p#ss # word")),
            ("\"it's\"", json!("it's")),
            ("['192.0.2.1', '192.0.2.2',]", json!(["192.0.2.1", "192.0.2.2"])),
            ("('a', 1)", json!(["a", 1])),
            ("('a')", json!("a")),
            ("{'a': [1, {'b': None}], 2: True}", json!({"a": [1, {"b": null}], "2": true})),
            ("80 # the usual", json!(80)),
            ("[]", json!([])),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in [
            "true",
            "010",
            "1.2.3.4",
            "first.last",
            "['a' 'b']",
            "['a'",
            "'a",
            "{{ x }}",
            "nan",
            "infinity",
            "a=b",
            "",
            "1-2",
            "[,]",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&"[".repeat(100_000)), None);
    }
}
