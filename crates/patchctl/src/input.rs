//! Requests and data from files and standard input.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::de::DeserializeOwned;
use service_kit::repeated_key;

use terminal::Failure;

/// Largest file that is read as a whole.
const MAX_BYTES: u64 = 512 << 20;

/// The bytes of a file, or of standard input for `-`.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::new(format!("cannot read `{}`: {error}", path.display()));
    let mut bytes = Vec::new();
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(failed)?)
    };
    source.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Failure::new(format!("`{}` is larger than {} MB", path.display(), MAX_BYTES >> 20)));
    }
    Ok(bytes)
}

pub fn read_text(path: &Path) -> Result<String, Failure> {
    text(path, read(path)?)
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("`{}` is not UTF-8 text", path.display())))
}

/// A request from a JSON or YAML file. The error names the place of the mistake.
pub fn request<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    parse_request(path, read(path)?)
}

/// The same for bytes that were already read from `path`.
pub fn parse_request<T: DeserializeOwned>(path: &Path, bytes: Vec<u8>) -> Result<T, Failure> {
    let text = text(path, bytes)?;
    let wrong =
        |reason: String| Failure::usage(format!("`{}` is not a valid request: {reason}", path.display()));
    let is_json = text.trim_start().starts_with(['{', '[']);
    let mut json = serde_json::Deserializer::from_str(&text);
    let repeated = match repeated_key::find(&mut json) {
        Ok(Some(pointer)) => Some(pointer),
        // YAML may begin with what is JSON by itself, such as a key in quotes.
        Ok(None) if json.end().is_ok() => None,
        // A document that is not YAML either has a better error below.
        _ => repeated_key::find(yaml_serde::Deserializer::from_str(&text)).unwrap_or_default(),
    };
    if let Some(pointer) = repeated {
        return Err(wrong(format!("`{pointer}` is there twice; leave one of them out")));
    }
    match serde_json::from_str(&text) {
        Ok(request) => Ok(request),
        // YAML in flow style also begins with a bracket.
        Err(error) if is_json => yaml_serde::from_str(&text).map_err(|_| wrong(error.to_string())),
        Err(_) => yaml_serde::from_str(&text).map_err(|error| wrong(error.to_string())),
    }
}

/// The files as named. A folder stands for all files in it and its subfolders, sorted.
pub fn files(paths: &[impl AsRef<Path>]) -> Result<Vec<std::path::PathBuf>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        collect(path.as_ref(), &mut found)?;
    }
    Ok(found)
}

fn collect(path: &Path, found: &mut Vec<std::path::PathBuf>) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::new(format!("cannot read `{}`: {error}", path.display()));
    if path == Path::new("-") || !fs::metadata(path).map_err(failed)?.is_dir() {
        found.push(path.to_path_buf());
        return Ok(());
    }
    let entries = fs::read_dir(path).map_err(failed)?;
    let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries.iter().try_for_each(|entry| collect(entry, found))
}

/// A JSON value, or else text: `--attribute port=22` is a number, `--attribute user=root` is a text.
pub fn json_or_text(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn json_and_yaml_are_recognised_by_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("request");
        let ask = |text: &str| {
            fs::write(&file, text).unwrap();
            request::<BTreeMap<String, u32>>(&file).map_err(|failure| failure.to_string())
        };
        let expected = Ok(BTreeMap::from([("a".to_owned(), 1)]));
        assert_eq!(ask("{\"a\": 1}"), expected);
        assert_eq!(ask("a: 1\n"), expected);
        assert_eq!(ask("{a: 1}"), expected);
        for twice in ["{\"a\": 1, \"a\": 2}", "a: 1\na: 2\n", "{a: 1, a: 2}", "\"a\": 1\n\"a\": 2\n"] {
            assert!(ask(twice).unwrap_err().contains("`/a` is there twice"), "{twice}");
        }
        assert!(ask("a: x\n").unwrap_err().contains("is not a valid request"));
    }

    #[test]
    fn folders_are_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["c.json", "b/x.json", "a.json"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = files(&[folder.path()]).unwrap();
        let names: Vec<_> =
            found.iter().map(|path| path.strip_prefix(folder.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.json", "b/x.json", "c.json"]);
    }
}
