//! Licences, bans and sources of the dependencies, by the lists of deny.toml.
//!
//! cargo-deny does it where it is installed; it takes minutes to build, so a machine without it gets the same answer from
//! `cargo tree` and Cargo.lock. Known vulnerabilities are checked by the hosted workflow only.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::task::{Task, Verdict};
use crate::workspace::Workspace;

const DEADLINE: Duration = Duration::from_secs(300);
/// As Cargo.lock writes cargo's default registry.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Debug, PartialEq, Eq)]
struct Rules {
    licences: BTreeSet<String>,
    banned: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    licence: String,
}

pub fn check(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let violations = other_sources(&read(&workspace.root.join("Cargo.lock"))?);
    if !violations.is_empty() {
        return Ok(Verdict::Failed(violations.join("\n")));
    }
    if is_installed("cargo-deny") {
        let mut command = workspace.cargo();
        command.args(["deny", "--offline", "--locked", "check", "licenses", "bans", "sources"]);
        let outcome = Task::new("cargo deny", DEADLINE).run(command)?;
        return Ok(match outcome.verdict() {
            Verdict::Passed(_) => Verdict::Passed("by cargo-deny".to_owned()),
            other => other,
        });
    }
    let rules = Rules::parse(&read(&workspace.root.join("deny.toml"))?)?;
    let packages = packages(workspace)?;
    let violations = judge(&rules, &packages);
    if violations.is_empty() {
        return Ok(Verdict::Passed(format!("{} packages", packages.len())));
    }
    Ok(Verdict::Failed(violations.join("\n")))
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn is_installed(program: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// What is built on this machine, dev-dependencies included. `cargo metadata` also names optional crates that no feature
/// switches on.
fn packages(workspace: &Workspace) -> anyhow::Result<Vec<Package>> {
    let mut command = workspace.cargo();
    command.args([
        "tree",
        "--workspace",
        "--locked",
        "--edges",
        "all",
        "--prefix",
        "none",
        "--format",
        "{p}\t{l}",
    ]);
    let outcome = Task::quiet("cargo tree", DEADLINE).run(command)?;
    if !outcome.success {
        bail!("`cargo tree` failed:\n{}", outcome.all());
    }
    let packages: BTreeSet<Package> = outcome.stdout.lines().filter_map(Package::parse).collect();
    Ok(packages.into_iter().collect())
}

impl Package {
    /// `serde v1.0.229\tMIT OR Apache-2.0 (*)`; the mark means that the crate was listed before.
    fn parse(line: &str) -> Option<Self> {
        let (package, licence) = line.split_once('\t')?;
        let mut words = package.split(' ');
        let (name, version) = (words.next()?.to_owned(), words.next()?.trim_start_matches('v').to_owned());
        let licence = licence.trim_end_matches("(*)").trim();
        Some(Self { name, version, licence: licence.to_owned() })
    }
}

fn judge(rules: &Rules, packages: &[Package]) -> Vec<String> {
    let mut found = Vec::new();
    let mut unneeded = rules.licences.clone();
    for Package { name, version, licence } in packages {
        match is_allowed(licence, &rules.licences) {
            Ok(true) => unneeded.retain(|id| {
                let mut fewer = rules.licences.clone();
                fewer.remove(id);
                is_allowed(licence, &fewer) == Ok(true)
            }),
            Ok(false) => {
                found.push(format!("{name} {version}: licence `{licence}` is not allowed in deny.toml"))
            }
            Err(reason) => {
                found.push(format!("{name} {version}: licence `{licence}` cannot be read: {reason}"))
            }
        }
        if rules.banned.contains(name) {
            found.push(format!(
                "{name} {version} is banned in deny.toml; `cargo tree -i {name}` shows who needs it"
            ));
        }
    }
    found
        .extend(unneeded.iter().map(|id| format!("deny.toml: no crate needs the licence `{id}`; remove it")));
    found
}

/// Sources in Cargo.lock, which covers all platforms.
fn other_sources(lock: &str) -> Vec<String> {
    let sources: BTreeSet<&str> = lock
        .lines()
        .filter_map(|line| line.strip_prefix("source = \"")?.strip_suffix('"'))
        .filter(|source| *source != REGISTRY)
        .collect();
    let complain = |source| format!("Cargo.lock: `{source}` is not the default registry");
    sources.into_iter().map(complain).collect()
}

impl Rules {
    /// Reads the two lists; the rest of the file is cargo-deny's own.
    fn parse(text: &str) -> anyhow::Result<Self> {
        let licences = list(text, "licenses", "allow")?;
        let banned = list(text, "bans", "deny")?;
        if licences.is_empty() {
            bail!("deny.toml allows no licence");
        }
        let crate_name = |entry: &String| {
            let (_, rest) = entry.split_once("crate = \"")?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let banned: Vec<String> = banned.iter().filter_map(crate_name).collect();
        let quoted = |entry: &String| entry.trim_matches('"').to_owned();
        Ok(Self { licences: licences.iter().map(quoted).collect(), banned })
    }
}

/// The entries of a list that has one a line.
fn list(text: &str, section: &str, key: &str) -> anyhow::Result<Vec<String>> {
    let header = format!("[{section}]");
    let opening = format!("{key} = [");
    let mut lines =
        text.lines().skip_while(|line| *line != header).skip(1).take_while(|line| !line.starts_with('['));
    if !lines.any(|line| line == opening) {
        bail!("deny.toml has no list `{key}` in `{header}` with one entry a line");
    }
    Ok(lines
        .take_while(|line| *line != "]")
        .map(|line| line.split(" #").next().unwrap_or_default().trim().trim_end_matches(',').to_owned())
        .filter(|entry| !entry.is_empty())
        .collect())
}

/// Whether an SPDX expression can be satisfied. `/` is the old way to write `OR`.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> Result<bool, &'static str> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    let value = alternatives(&mut rest, allowed)?;
    if rest.is_empty() { Ok(value) } else { Err("it goes on after its end") }
}

fn alternatives(tokens: &mut &[&str], allowed: &BTreeSet<String>) -> Result<bool, &'static str> {
    let mut value = conditions(tokens, allowed)?;
    while let ["OR", rest @ ..] = *tokens {
        *tokens = rest;
        value |= conditions(tokens, allowed)?;
    }
    Ok(value)
}

fn conditions(tokens: &mut &[&str], allowed: &BTreeSet<String>) -> Result<bool, &'static str> {
    let mut value = licence(tokens, allowed)?;
    while let ["AND", rest @ ..] = *tokens {
        *tokens = rest;
        value &= licence(tokens, allowed)?;
    }
    Ok(value)
}

fn licence(tokens: &mut &[&str], allowed: &BTreeSet<String>) -> Result<bool, &'static str> {
    match *tokens {
        ["(", rest @ ..] => {
            *tokens = rest;
            let value = alternatives(tokens, allowed)?;
            let [")", rest @ ..] = *tokens else { return Err("a bracket is not closed") };
            *tokens = rest;
            Ok(value)
        }
        [")" | "AND" | "OR" | "WITH", ..] | [] => Err("a licence is missing"),
        [id, "WITH", exception, rest @ ..] => {
            *tokens = rest;
            Ok(allowed.contains(&format!("{id} WITH {exception}")))
        }
        [id, rest @ ..] => {
            *tokens = rest;
            Ok(allowed.contains(*id))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, licence: &str) -> Package {
        Package::parse(&format!("{name} v1.0.0 (proc-macro)\t{licence} (*)")).unwrap()
    }

    fn rules() -> Rules {
        let text = "[graph]\nallow = [\n  \"X\",\n]\n[licenses]\nallow = [\n  \"MIT\", # most\n  \"ISC\",\n]\n\
                    [bans]\ndeny = [\n  { crate = \"ring\", reason = \"one is enough\" },\n]\n";
        Rules::parse(text).unwrap()
    }

    #[test]
    fn lists_are_read_from_their_sections() {
        let licences = ["MIT", "ISC"].map(str::to_owned).into();
        assert_eq!(rules(), Rules { licences, banned: vec!["ring".to_owned()] });
        assert!(Rules::parse("[licenses]\n").is_err());
    }

    #[test]
    fn expressions_are_evaluated() {
        let allowed = rules().licences;
        for (expression, expected) in [
            ("MIT", Ok(true)),
            ("GPL-3.0 OR MIT", Ok(true)),
            ("Apache-2.0/MIT", Ok(true)),
            ("MIT AND GPL-3.0", Ok(false)),
            ("ISC AND (GPL-3.0 OR MIT)", Ok(true)),
            ("GPL-3.0 OR ISC AND MIT", Ok(true)),
            ("Apache-2.0 WITH LLVM-exception OR MIT", Ok(true)),
            ("MIT WITH Some-exception", Ok(false)),
            ("none", Ok(false)),
            ("(MIT", Err("a bracket is not closed")),
            ("MIT OR", Err("a licence is missing")),
            ("MIT ISC", Err("it goes on after its end")),
        ] {
            assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
        }
    }

    #[test]
    fn each_violation_is_named() {
        let packages = [package("fine", "MIT"), package("viral", "GPL-3.0"), package("ring", "MIT")];
        let found = judge(&rules(), &packages).join("\n");
        for part in ["viral 1.0.0: licence", "ring 1.0.0 is banned", "needs the licence `ISC`"] {
            assert!(found.contains(part), "{part}: {found}");
        }
        assert!(!found.contains("fine"), "{found}");
    }

    #[test]
    fn lock_file_has_one_source() {
        let lock = format!("source = \"{REGISTRY}\"\nsource = \"git+https://example.org/x\"\n");
        assert_eq!(other_sources(&lock).len(), 1);
    }
}
