//! How much code each crate holds, outside tests.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use anyhow::Context;

use super::source::{Source, is_test_place, rust_files};
use crate::workspace::{Crate, Workspace};

/// Share of all lines above which a crate is too large, in percent.
const LARGEST_SHARE: f64 = 12.0;

pub type Sizes = BTreeMap<String, usize>;

/// Every line of Rust in a crate, blank lines and comments included, except folders `tests`, files `tests.rs`, and
/// items under `#[cfg(test)]` with the files they declare.
pub fn of_crate(details: &Crate, source: &Source) -> anyhow::Result<usize> {
    let mut lines = source.files.iter().filter(|file| !file.is_test).map(|file| {
        let test: usize = file.test_lines.iter().map(|range| range.clone().count()).sum();
        file.lines.saturating_sub(test)
    });
    let mut total: usize = lines.by_ref().sum();
    let sources = details.dir.join("src");
    for path in rust_files(&details.dir)? {
        let place = path.strip_prefix(&details.dir).unwrap_or(&path);
        if !path.starts_with(&sources) && !is_test_place(place) {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
            total += text.lines().count();
        }
    }
    Ok(total)
}

pub fn violations(sizes: &Sizes) -> Vec<String> {
    let total: usize = sizes.values().sum();
    sizes
        .iter()
        .filter(|(_, lines)| share(**lines, total) > LARGEST_SHARE)
        .map(|(name, lines)| {
            format!(
                "crate `{name}` holds {:.1} % of the lines ({lines} of {total}), more than {LARGEST_SHARE} %; split it",
                share(*lines, total)
            )
        })
        .collect()
}

pub fn table(workspace: &Workspace, sizes: &Sizes) -> String {
    let total: usize = sizes.values().sum();
    let mut text = String::new();
    for name in workspace.crates.keys() {
        let lines = sizes.get(name).copied().unwrap_or_default();
        let _ = writeln!(text, "{name:<24} {lines:>7} {:>5.1} %", share(lines, total));
    }
    let _ = write!(text, "{:<24} {total:>7}", "all");
    text
}

#[allow(clippy::cast_precision_loss, reason = "counts of lines are far below 2^52")]
fn share(lines: usize, total: usize) -> f64 {
    lines as f64 * 100.0 / total.max(1) as f64
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn lines_of_tests_do_not_count() {
        let files = [
            ("lib.rs", "mod a;\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod fixture;\n"),
            ("a.rs", "fn f() {}\n\n/// Checks.\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n"),
            ("tests.rs", "fn t() {}\n"),
            ("fixture/mod.rs", "fn t() {}\nmod deep;\n"),
            ("fixture/deep.rs", "fn t() {}\n"),
        ];
        let files: Vec<_> = files.iter().map(|(place, text)| (place.into(), (*text).to_owned())).collect();
        let source = Source::parse(&files).unwrap();
        let nowhere = Crate { dir: PathBuf::from("/nowhere"), dependencies: Vec::new(), has_binary: false };
        // Of `lib.rs` the line of `mod a;`, of `a.rs` the function and the blank line after it.
        assert_eq!(of_crate(&nowhere, &source).unwrap(), 1 + 2);
    }

    #[test]
    fn crate_above_its_share_is_named() {
        let sizes: Sizes = [("a", 500), ("b", 110), ("c", 390)].map(|(name, n)| (name.to_owned(), n)).into();
        let found = violations(&sizes).join("\n");
        assert!(
            found.contains("`a` holds 50.0 %") && found.contains("`c`") && !found.contains("`b`"),
            "{found}"
        );
    }
}
