//! The source of one crate as modules: what each defines, imports and refers to, without tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::references::{self, Reference};

/// Imports that lead to imports that lead to imports: more than this is a circle.
const LONGEST_CHAIN: usize = 16;

/// Names that were looked for behind the globs of a module: modules that import all of each other would be searched over
/// and over.
type Looked = BTreeSet<(usize, String)>;

#[derive(Default)]
pub struct Source {
    pub files: Vec<SourceFile>,
    pub modules: Vec<Module>,
    pub references: Vec<Reference>,
}

pub struct SourceFile {
    pub path: PathBuf,
    pub lines: usize,
    /// Lines of items that only exist in tests, first and last.
    pub test_lines: Vec<RangeInclusive<usize>>,
    pub is_test: bool,
}

#[derive(Default)]
pub struct Module {
    /// From the crate's root, which is empty.
    pub path: Vec<String>,
    pub file: usize,
    pub parent: Option<usize>,
    pub children: BTreeMap<String, usize>,
    pub functions: BTreeSet<String>,
    /// Functions and everything else that has a name here.
    pub items: BTreeSet<String>,
    pub imports: BTreeMap<String, Vec<String>>,
    pub globs: Vec<Vec<String>>,
    /// Modules declared here that only exist in tests.
    pub test_modules: BTreeSet<String>,
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// Something of this crate: the module, and the item in it unless it is the module itself.
    Own { module: usize, item: Option<String> },
    /// A path into another crate, with imports and renames replaced.
    External(Vec<String>),
}

impl Source {
    /// Reads `src` of a crate. Programs next to the library are read as crates of their own.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        for path in rust_files(folder)? {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
            let place = path.strip_prefix(folder).unwrap_or(&path).to_path_buf();
            files.push((place, text));
        }
        Self::parse(&files)
    }

    /// From the places of files relative to `src`, and their texts.
    pub fn parse(files: &[(PathBuf, String)]) -> anyhow::Result<Self> {
        let mut source = Self::default();
        let has_library = files.iter().any(|(place, _)| place == Path::new("lib.rs"));
        let mut syntax = Vec::new();
        let mut places: BTreeMap<Vec<String>, usize> = BTreeMap::new();
        for (place, text) in files {
            let parsed =
                syn::parse_file(text).with_context(|| format!("cannot parse `{}`", place.display()))?;
            source.files.push(SourceFile {
                path: place.clone(),
                lines: text.lines().count(),
                test_lines: Vec::new(),
                is_test: is_test_place(place),
            });
            let path = module_path(place, has_library);
            let module = Module { path: path.clone(), file: source.files.len() - 1, ..Module::default() };
            source.modules.push(module);
            places.insert(path, source.modules.len() - 1);
            syntax.push(parsed);
        }
        for (path, index) in &places {
            let Some((name, above)) = path.split_last() else { continue };
            if let Some(parent) = places.get(above) {
                source.modules[*parent].children.insert(name.clone(), *index);
                source.modules[*index].parent = Some(*parent);
            }
        }
        for (index, parsed) in syntax.iter().enumerate() {
            if !source.files[index].is_test {
                references::collect(&mut source, index, parsed);
            }
        }
        source.mark_declared_tests();
        Ok(source)
    }

    /// Where `segments`, written in `module`, leads.
    pub fn resolve(&self, module: usize, segments: &[String]) -> Target {
        self.resolve_chain(module, segments, 0, &mut Looked::new())
    }

    fn resolve_chain(&self, module: usize, segments: &[String], depth: usize, looked: &mut Looked) -> Target {
        let external = || Target::External(segments.to_vec());
        if depth > LONGEST_CHAIN {
            return external();
        }
        let (mut at, mut rest) = match segments.split_first() {
            Some((first, rest)) if first == "crate" => (self.root_of(module), rest),
            Some((first, rest)) if first == "self" => (module, rest),
            Some((first, _)) if first == "super" => (module, segments),
            Some((first, rest)) => match self.step(module, first, rest, depth, looked) {
                Some(target) => return target,
                None => return external(),
            },
            None => return Target::Own { module, item: None },
        };
        while let Some((first, after)) = rest.split_first() {
            if first != "super" && first != "self" {
                let unknown = Target::Own { module: at, item: Some(first.clone()) };
                return self.step(at, first, after, depth, looked).unwrap_or(unknown);
            }
            if first == "super" {
                at = self.modules[at].parent.unwrap_or(at);
            }
            rest = after;
        }
        Target::Own { module: at, item: None }
    }

    /// One name in `module`, then the rest of the path from there.
    fn step(
        &self,
        module: usize,
        name: &str,
        rest: &[String],
        depth: usize,
        looked: &mut Looked,
    ) -> Option<Target> {
        let here = &self.modules[module];
        if let Some(child) = here.children.get(name) {
            return Some(match rest.split_first() {
                None => Target::Own { module: *child, item: None },
                Some((next, after)) => {
                    let unknown = Target::Own { module: *child, item: Some(next.clone()) };
                    self.step(*child, next, after, depth, looked).unwrap_or(unknown)
                }
            });
        }
        if here.items.contains(name) {
            return Some(Target::Own { module, item: Some(name.to_owned()) });
        }
        if let Some(import) = here.imports.get(name) {
            let path: Vec<String> = import.iter().chain(rest).cloned().collect();
            return Some(self.resolve_chain(module, &path, depth + 1, looked));
        }
        if depth >= LONGEST_CHAIN || !looked.insert((module, name.to_owned())) {
            return None;
        }
        here.globs.iter().find_map(|glob| match self.resolve_chain(module, glob, depth + 1, looked) {
            Target::Own { module: other, item: None } if other != module => {
                self.step(other, name, rest, depth + 1, looked)
            }
            _ => None,
        })
    }

    fn root_of(&self, module: usize) -> usize {
        let mut at = module;
        while let Some(parent) = self.modules[at].parent {
            at = parent;
        }
        at
    }

    /// `#[cfg(test)] mod name;` makes files of tests that are not named so.
    fn mark_declared_tests(&mut self) {
        let declared: Vec<Vec<String>> = self
            .modules
            .iter()
            .flat_map(|module| {
                module.test_modules.iter().map(|name| {
                    let mut path = module.path.clone();
                    path.push(name.clone());
                    path
                })
            })
            .collect();
        let is_test = |path: &[String]| declared.iter().any(|test| path.starts_with(test));
        for module in &self.modules {
            if is_test(&module.path) {
                self.files[module.file].is_test = true;
            }
        }
        self.references.retain(|reference| !is_test(&self.modules[reference.module].path));
    }
}

pub fn rust_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        if !folder.exists() {
            continue;
        }
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

/// Files and folders that hold nothing but tests, by name.
pub fn is_test_place(place: &Path) -> bool {
    place.iter().any(|part| part == "tests" || part == "tests.rs")
}

fn module_path(place: &Path, has_library: bool) -> Vec<String> {
    let mut path: Vec<String> =
        place.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    match path.last().map(String::as_str) {
        Some("mod") => drop(path.pop()),
        Some("lib") if path.len() == 1 => path.clear(),
        // No module can have this name, so the program's paths never meet the library's.
        Some("main") if path.len() == 1 && has_library => path = vec!["main.rs".to_owned()],
        Some("main") if path.len() == 1 => path.clear(),
        _ => {}
    }
    if path.first().is_some_and(|first| first == "bin") {
        path = vec![place.to_string_lossy().into_owned()];
    }
    path
}
