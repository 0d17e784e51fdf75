//! The diagram of crates in docs/ARCHITECTURE.md, drawn from what the manifests say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};

use super::ORDER;
use crate::workspace::Workspace;

const BEGIN: &str = "<!-- crates: written by `cargo xtask docs` -->";
const END: &str = "<!-- crates end -->";

/// Crates and what each is built from, without dev-dependencies.
type Graph<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

pub fn violations(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let text = read(workspace)?;
    let (_, drawn, _) = split(&text)?;
    let expected = block(workspace);
    let differing = |from: &str, other: &str| -> Vec<String> {
        from.lines().filter(|line| !other.lines().any(|found| found == *line)).map(str::to_owned).collect()
    };
    if drawn == expected {
        return Ok(Vec::new());
    }
    let mut found = vec!["docs/ARCHITECTURE.md: the diagram of crates differs from Cargo.toml".to_owned()];
    found.extend(differing(drawn, &expected).into_iter().map(|line| format!("  drawn:   {}", line.trim())));
    found.extend(differing(&expected, drawn).into_iter().map(|line| format!("  correct: {}", line.trim())));
    found.push("  run `cargo xtask docs` if the dependencies are right".to_owned());
    Ok(found)
}

/// Redraws the diagram; whether it changed.
pub fn write(workspace: &Workspace) -> anyhow::Result<bool> {
    let text = read(workspace)?;
    let (before, drawn, after) = split(&text)?;
    let expected = block(workspace);
    let changed = drawn != expected;
    if changed {
        let path = document(workspace);
        fs::write(&path, format!("{before}{expected}{after}"))
            .with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(changed)
}

fn document(workspace: &Workspace) -> PathBuf {
    workspace.root.join("docs/ARCHITECTURE.md")
}

fn read(workspace: &Workspace) -> anyhow::Result<String> {
    let path = document(workspace);
    fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn split(text: &str) -> anyhow::Result<(&str, &str, &str)> {
    let Some((start, end)) = text.find(BEGIN).zip(text.find(END)).filter(|(start, end)| start < end) else {
        bail!("docs/ARCHITECTURE.md has no lines `{BEGIN}` and `{END}` around the diagram of crates");
    };
    let start = start + BEGIN.len();
    Ok((&text[..start], &text[start..end], &text[end..]))
}

fn block(workspace: &Workspace) -> String {
    let mut graph = Graph::new();
    for (name, details) in &workspace.crates {
        let shipped = details.dependencies.iter().filter(|dependency| !dependency.is_dev);
        let own = shipped.map(|dependency| dependency.name.as_str());
        graph.insert(name, own.filter(|name| workspace.crates.contains_key(*name)).collect());
    }
    format!("\n\n```mermaid\n{}```\n\n", draw(&graph))
}

/// Highest crate first. An arrow that follows from others is left out: with all of them nothing could be read.
fn draw(graph: &Graph) -> String {
    let place = |name: &str| ORDER.iter().position(|other| *other == name);
    let mut names: Vec<&str> = graph.keys().copied().collect();
    names.sort_by_key(|name| (std::cmp::Reverse(place(name)), *name));
    let mut text = "graph TD\n".to_owned();
    for name in names {
        let direct = &graph[name];
        let follows = |target: &str| direct.iter().any(|via| *via != target && reaches(graph, via, target));
        let mut drawn: Vec<&str> = direct.iter().copied().filter(|target| !follows(target)).collect();
        drawn.sort_by_key(|name| (std::cmp::Reverse(place(name)), *name));
        let _ = if drawn.is_empty() {
            writeln!(text, "    {name}")
        } else {
            writeln!(text, "    {name} --> {}", drawn.join(" & "))
        };
    }
    text
}

fn reaches(graph: &Graph, from: &str, target: &str) -> bool {
    graph
        .get(from)
        .is_some_and(|next| next.contains(target) || next.iter().any(|via| reaches(graph, via, target)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_that_follow_from_others_are_left_out() {
        let graph: Graph = [
            ("patchctl", BTreeSet::from(["cmdb", "domain", "api-types"])),
            ("cmdb", BTreeSet::from(["api-types", "domain"])),
            ("api-types", BTreeSet::from(["domain"])),
            ("domain", BTreeSet::new()),
        ]
        .into();
        let expected =
            "graph TD\n    patchctl --> cmdb\n    cmdb --> api-types\n    api-types --> domain\n    domain\n";
        assert_eq!(draw(&graph), expected);
    }

    #[test]
    fn block_is_found_between_its_marks() {
        let text = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(split(&text).unwrap().1, "\nold\n");
        assert!(split("nothing").is_err());
    }
}
