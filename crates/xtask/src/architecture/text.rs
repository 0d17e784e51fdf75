use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{PURE, SERVICES};
use crate::workspace::Workspace;

const CLOCK_OR_CHANCE: [&str; 9] = [
    "Utc::now",
    "Local::now",
    "SystemTime::now",
    "Instant::now",
    "thread_rng",
    "rand::rng",
    "rand::random",
    "Uuid::now_v7",
    "Uuid::new_v4",
];

const SQL: [&str; 8] = [
    "sqlx::query",
    "query!(",
    "query_as!(",
    "query_scalar!(",
    "query_file!(",
    "query_as::<",
    "query_scalar::<",
    "QueryBuilder",
];

pub fn violations(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for (name, details) in &workspace.crates {
        let source = details.dir.join("src");
        for path in rust_files(&source)? {
            let place = path.strip_prefix(&source).unwrap_or(&path);
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
            let shown = path.strip_prefix(&workspace.root).unwrap_or(&path).display().to_string();
            found.extend(
                judge(name, place, &text)
                    .into_iter()
                    .map(|(line, complaint)| format!("{shown}:{line}: {complaint}")),
            );
        }
    }
    Ok(found)
}

/// Line numbers and complaints about one file, whose `place` is relative to its crate's `src`.
fn judge(name: &str, place: &Path, text: &str) -> Vec<(usize, String)> {
    let is_pure = PURE.contains(&name);
    let is_service = SERVICES.contains(&name);
    let layer = Layer::of(place);
    // Tests put rows where no verb of the service would.
    let is_test = place.file_name().is_some_and(|name| name == "tests.rs");
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let code = line.trim_start();
        if code.starts_with("//") {
            continue;
        }
        let mut complain = |what: &str, why: &str| found.push((index + 1, format!("`{what}`: {why}")));
        if is_pure && let Some(word) = named(code, &CLOCK_OR_CHANCE) {
            complain(word, "a pure crate gets time and randomness as arguments");
        }
        if is_service
            && !is_test
            && layer != Layer::Store
            && let Some(word) = named(code, &SQL)
        {
            complain(word, "SQL lives in src/store alone");
        }
        if is_service && let Some(word) = named(code, layer.may_not_name()) {
            complain(word, "layers point one way alone: api, app, store");
        }
    }
    found
}

fn named<'a>(code: &str, words: &[&'a str]) -> Option<&'a str> {
    words.iter().copied().find(|word| code.contains(word))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    App,
    Store,
    Other,
}

impl Layer {
    fn of(place: &Path) -> Self {
        match place.iter().next().and_then(|first| first.to_str()) {
            Some("store" | "store.rs") => Self::Store,
            Some("app" | "app.rs") => Self::App,
            _ => Self::Other,
        }
    }

    fn may_not_name(self) -> &'static [&'static str] {
        match self {
            Self::Store => &["crate::api::", "crate::app::"],
            Self::App => &["crate::api::"],
            Self::Other => &[],
        }
    }
}

fn rust_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(name: &str, place: &str, text: &str) -> Vec<usize> {
        judge(name, Path::new(place), text).into_iter().map(|found| found.0).collect()
    }

    #[test]
    fn pure_crates_may_not_read_the_clock() {
        assert_eq!(complaints("domain", "run.rs", "// Utc::now is refused\nlet now = Utc::now();"), [2]);
        assert!(complaints("service-kit", "clock.rs", "Utc::now()").is_empty());
    }

    #[test]
    fn sql_is_refused_outside_of_the_store() {
        let sql = "sqlx::query!(\"select 1\")";
        assert_eq!(complaints("cmdb", "app/ci.rs", sql), [1]);
        assert!(complaints("cmdb", "store/ci.rs", sql).is_empty());
        assert!(complaints("cmdb", "store.rs", sql).is_empty());
        assert!(complaints("leases", "table.rs", sql).is_empty());
    }

    #[test]
    fn layers_point_one_way() {
        assert_eq!(complaints("itsm", "store/change.rs", "use crate::app::rules;"), [1]);
        assert_eq!(complaints("itsm", "app/change.rs", "use crate::api::Body;"), [1]);
        assert!(complaints("itsm", "api/change.rs", "use crate::app::rules;").is_empty());
    }
}
