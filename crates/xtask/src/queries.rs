//! The data that checked queries are compiled against without a database: `.sqlx/`, one file per query.
//!
//! A throw-away PostgreSQL gets every migration; then the compiler itself, asked to check the crates against it, writes
//! down what the server says about each query.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use local_postgres::EphemeralPostgres;
use serde_json::Value;

use crate::task::{Task, Verdict};
use crate::workspace::Workspace;

/// What others' schemas may refer to comes first; folders not named here follow by name.
const MIGRATION_ORDER: [&str; 6] = ["leases", "platform", "cmdb", "itsm", "sim", "patch"];
const QUERY_MACROS: [&str; 4] = ["query!(", "query_as!(", "query_scalar!(", "query_file"];
const MIGRATION_DEADLINE: Duration = Duration::from_secs(60);
const COMPILE_DEADLINE: Duration = Duration::from_secs(1200);
const FIX: &str = "run `cargo xtask queries` and commit .sqlx";

type QueryFiles = BTreeMap<String, Value>;

pub fn check(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let fresh = match ask_the_server(workspace)? {
        Answer::Queries(dir) => read_queries(&dir)?,
        Answer::CompileError(output) => return Ok(Verdict::Failed(output)),
    };
    let drift = differences(&read_queries(&committed(workspace))?, &fresh);
    if drift.is_empty() {
        return Ok(Verdict::Passed(format!("{} checked queries", fresh.len())));
    }
    Ok(Verdict::Failed(format!("{}\n{FIX}", drift.join("\n"))))
}

pub fn write(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let dir = match ask_the_server(workspace)? {
        Answer::Queries(dir) => dir,
        Answer::CompileError(output) => return Ok(Verdict::Failed(output)),
    };
    let committed = committed(workspace);
    let (before, after) = (read_queries(&committed)?, read_queries(&dir)?);
    fs::create_dir_all(&committed).with_context(|| format!("cannot create `{}`", committed.display()))?;
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        let stale = committed.join(name);
        fs::remove_file(&stale).with_context(|| format!("cannot remove `{}`", stale.display()))?;
    }
    for (name, query) in &after {
        if before.get(name) != Some(query) {
            let (from, to) = (dir.join(name), committed.join(name));
            fs::copy(&from, &to).with_context(|| format!("cannot write `{}`", to.display()))?;
        }
    }
    let changed = differences(&before, &after).len();
    Ok(Verdict::Passed(format!("{} checked queries in .sqlx, {changed} of them changed", after.len())))
}

enum Answer {
    /// Folder with what the compiler wrote.
    Queries(PathBuf),
    CompileError(String),
}

fn ask_the_server(workspace: &Workspace) -> anyhow::Result<Answer> {
    let dir = workspace.target.join("queries");
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove `{}`", dir.display()))?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
    let crates = crates_with_queries(workspace)?;
    if crates.is_empty() {
        return Ok(Answer::Queries(dir));
    }
    let postgres = EphemeralPostgres::start()?;
    migrate(workspace, &postgres)?;

    let mut command = workspace.cargo();
    command.args(["check", "--all-targets", "--message-format", "short"]);
    for (name, _) in &crates {
        command.args(["--package", name]);
    }
    command
        .env("DATABASE_URL", postgres.maintenance_url())
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", &dir);
    let _recompile = crates.iter().map(|(_, root)| Touched::now(root)).collect::<anyhow::Result<Vec<_>>>()?;
    let outcome = Task::new("queries", COMPILE_DEADLINE).run(command)?;
    Ok(if outcome.success { Answer::Queries(dir) } else { Answer::CompileError(outcome.failure_output()) })
}

/// Makes cargo take a crate for changed, so that its macros run again, and afterwards for unchanged again, so that
/// nothing else is rebuilt for it.
struct Touched {
    file: File,
    modified: SystemTime,
}

impl Touched {
    fn now(path: &Path) -> anyhow::Result<Self> {
        let touch = || {
            let file = File::options().append(true).open(path)?;
            let modified = file.metadata()?.modified()?;
            file.set_modified(SystemTime::now())?;
            Ok::<_, std::io::Error>(Self { file, modified })
        };
        touch().with_context(|| format!("cannot touch `{}`", path.display()))
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        // Left newer, the file costs one superfluous rebuild and nothing else.
        let _ = self.file.set_modified(self.modified);
    }
}

/// Crates that use checked queries, with the root file of each.
fn crates_with_queries(workspace: &Workspace) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for (name, details) in &workspace.crates {
        let uses_sqlx = details.dependencies.iter().any(|dependency| dependency.name == "sqlx");
        let root = details.dir.join("src/lib.rs");
        if uses_sqlx && root.exists() && names_a_macro(&details.dir)? {
            found.push((name.clone(), root));
        }
    }
    Ok(found)
}

fn names_a_macro(folder: &Path) -> anyhow::Result<bool> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))? {
        let path = entry?.path();
        let found = if path.is_dir() {
            names_a_macro(&path)?
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap_or_default();
            QUERY_MACROS.iter().any(|name| text.contains(name))
        } else {
            false
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

fn migrate(workspace: &Workspace, postgres: &EphemeralPostgres) -> anyhow::Result<()> {
    let psql = postgres.bin_dir().join("psql");
    if !psql.exists() {
        bail!("`{}` is missing; run `apt-get install postgresql-client` or unset PG_BINDIR", psql.display());
    }
    for Migration { schema, file } in migrations(&workspace.root.join("migrations"))? {
        let mut command = Command::new(&psql);
        command
            .args(["--no-psqlrc", "--quiet", "--single-transaction", "--set", "ON_ERROR_STOP=1"])
            .arg("--command")
            .arg(format!("set client_min_messages = warning; create schema if not exists \"{schema}\""))
            .arg("--file")
            .arg(&file)
            .arg(postgres.maintenance_url());
        let outcome = Task::quiet("psql", MIGRATION_DEADLINE).run(command)?;
        if !outcome.success {
            bail!("migration `{}` failed:\n{}", file.display(), outcome.all());
        }
    }
    Ok(())
}

/// As the services do it: each folder is migrated into the schema of its name.
struct Migration {
    schema: String,
    file: PathBuf,
}

fn migrations(root: &Path) -> anyhow::Result<Vec<Migration>> {
    let mut folders = entries(root)?;
    folders.retain(|folder| folder.is_dir());
    folders.sort_by_key(|folder| {
        let name = folder.file_name().unwrap_or_default().to_owned();
        let place = MIGRATION_ORDER.iter().position(|known| *known == name).unwrap_or(MIGRATION_ORDER.len());
        (place, name)
    });
    let mut files = Vec::new();
    for folder in folders {
        let mut own = entries(&folder)?;
        own.retain(|file| {
            let name = file.to_string_lossy();
            name.ends_with(".sql") && !name.ends_with(".down.sql")
        });
        own.sort();
        let schema = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.extend(own.into_iter().map(|file| Migration { schema: schema.clone(), file }));
    }
    Ok(files)
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn committed(workspace: &Workspace) -> PathBuf {
    workspace.root.join(".sqlx")
}

fn read_queries(dir: &Path) -> anyhow::Result<QueryFiles> {
    let mut queries = QueryFiles::new();
    if !dir.exists() {
        return Ok(queries);
    }
    for path in entries(dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("query-") && name.ends_with(".json") {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
            let query =
                serde_json::from_str(&text).with_context(|| format!("`{}` is not JSON", path.display()))?;
            queries.insert(name, query);
        }
    }
    Ok(queries)
}

fn differences(committed: &QueryFiles, fresh: &QueryFiles) -> Vec<String> {
    let mut found = Vec::new();
    for (name, query) in fresh {
        match committed.get(name) {
            None => found.push(format!("missing in .sqlx: {}", excerpt(query))),
            Some(old) if old != query => {
                found.push(format!("the schema changed under .sqlx/{name}: {}", excerpt(query)));
            }
            Some(_) => {}
        }
    }
    for (name, query) in committed.iter().filter(|(name, _)| !fresh.contains_key(*name)) {
        found.push(format!("no longer used, .sqlx/{name}: {}", excerpt(query)));
    }
    found
}

fn excerpt(query: &Value) -> String {
    let text = query["query"].as_str().unwrap_or_default();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_of_drift_names_the_query() {
        let files = |entries: &[(&str, Value)]| -> QueryFiles {
            entries.iter().map(|(name, query)| ((*name).to_owned(), query.clone())).collect()
        };
        let committed =
            files(&[("a", json!({"query": "select 1", "nullable": [true]})), ("b", json!({"query": "old"}))]);
        let fresh = files(&[
            ("a", json!({"query": "select\n  1", "nullable": [false]})),
            ("c", json!({"query": "new"})),
        ]);
        let found = differences(&committed, &fresh).join("\n");
        assert!(found.contains("changed under .sqlx/a: select 1"), "{found}");
        assert!(found.contains("missing in .sqlx: new"), "{found}");
        assert!(found.contains("no longer used, .sqlx/b: old"), "{found}");
        assert!(differences(&fresh, &fresh).is_empty());
    }

    #[test]
    fn migrations_run_in_order_of_service_then_time() {
        let root = tempfile::tempdir().unwrap();
        for file in [
            "zoo/1_a.sql",
            "cmdb/2_b.sql",
            "cmdb/1_a.sql",
            "cmdb/1_a.down.sql",
            "leases/9_z.sql",
            "cmdb/note.md",
        ] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = migrations(root.path()).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|found| found.file.strip_prefix(root.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(found, ["leases/9_z.sql", "cmdb/1_a.sql", "cmdb/2_b.sql", "zoo/1_a.sql"]);
    }
}
