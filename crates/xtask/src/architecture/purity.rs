use std::fs;
use std::time::Duration;

use anyhow::bail;

use super::PURE;
use crate::task::Task;
use crate::workspace::{Crate, Workspace};

/// Crates that bring input and output, or a runtime with a clock of its own, however indirectly.
const IMPURE: [&str; 8] = ["tokio", "axum", "sqlx", "reqwest", "hyper", "mio", "async-std", "smol"];
/// Sources of randomness. Indirectly they are harmless (an id type brings one along); calls are found in the source.
const CHANCE: [&str; 3] = ["rand", "fastrand", "getrandom"];

/// Its clippy.toml, which refuses clocks and randomness, is the one the others must have too.
const MODEL: &str = "domain";

/// Checks the dependencies that each pure crate declares, and everything it is linked with.
pub fn violations(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let shared = workspace.crates.get(MODEL).map(lints).unwrap_or_default();
    for name in PURE {
        let Some(details) = workspace.crates.get(name) else {
            continue;
        };
        for dependency in details.dependencies.iter().filter(|dependency| !dependency.is_dev) {
            if CHANCE.contains(&dependency.name.as_str()) {
                found.push(format!(
                    "pure crate `{name}` depends on `{}`; pass randomness in as an argument",
                    dependency.name
                ));
            }
        }
        if lints(details) != shared {
            found.push(format!("pure crate `{name}`: clippy.toml must be the same as that of `{MODEL}`"));
        }
        // The tree of only this package: features that other crates switch on do not count against it.
        let mut command = workspace.cargo();
        command.args(["tree", "--package", name, "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
        let outcome = Task::quiet("cargo tree", Duration::from_secs(120)).run(command)?;
        if !outcome.success {
            bail!("`cargo tree --package {name}` failed:\n{}", outcome.all());
        }
        found.extend(impure_in(&outcome.stdout).into_iter().map(|impure| {
            format!(
                "pure crate `{name}` is linked with `{impure}`; `cargo tree -p {name} -i {impure}` shows why"
            )
        }));
    }
    Ok(found)
}

/// The calls that clippy refuses there, as text.
fn lints(details: &Crate) -> String {
    fs::read_to_string(details.dir.join("clippy.toml")).unwrap_or_default()
}

fn impure_in(tree: &str) -> Vec<&'static str> {
    let linked: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    IMPURE.into_iter().filter(|impure| linked.contains(impure)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impure_crates_are_found_by_whole_name() {
        assert_eq!(impure_in("domain v0.1.0 (/d)\nrand_core v0.9.0\ntokio v1.54.1\n"), ["tokio"]);
    }
}
