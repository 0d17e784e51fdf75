//! What the programs and the Python that patches hosts are made of, as CycloneDX documents.
//!
//! The documents have no time and no serial number: the same sources give the same bytes.

mod document;
mod programs;
mod python;

use std::fs;

use anyhow::Context;

use self::document::Document;
use crate::task::Verdict;
use crate::workspace::Workspace;

/// Writes `target/sbom/programs.cdx.json` and `python.cdx.json`.
pub fn write(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let folder = workspace.target.join("sbom");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let documents = [("programs", programs::describe(workspace)?), ("python", python::describe(workspace)?)];
    let mut notes = Vec::new();
    for (name, document) in documents {
        let path = folder.join(format!("{name}.cdx.json"));
        fs::write(&path, text(&document)?).with_context(|| format!("cannot write `{}`", path.display()))?;
        notes.push(format!("{}: {} components", path.display(), document.components.len()));
    }
    Ok(Verdict::Passed(notes.join("\n")))
}

fn text(document: &Document) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(document)? + "\n")
}
