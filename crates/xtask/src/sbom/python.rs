//! The Python packages that patch hosts: those of playbooks/requirements.txt, as they are installed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::document::{Component, Dependency, Document, Kind, License, Scope};
use crate::workspace::Workspace;

const SUBJECT: &str = "patch-manager-python";

/// What the package says of itself: PEP 566, a header like that of an e-mail.
#[derive(Debug, PartialEq, Eq)]
struct Installed {
    name: String,
    version: String,
    licence: Option<Licence>,
    needs: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Licence {
    Expression(String),
    Named(String),
}

pub fn describe(workspace: &Workspace) -> anyhow::Result<Document> {
    let requirements = workspace.playbooks().join("requirements.txt");
    let text = fs::read_to_string(&requirements)
        .with_context(|| format!("cannot read `{}`", requirements.display()))?;
    let environment = workspace.tools().join("venv");
    let installed = installed_in(&environment)?;
    document(&pinned(&text), &installed)
}

/// Names and versions of the lines `name==version`, in the registry's spelling of names.
fn pinned(requirements: &str) -> BTreeMap<String, String> {
    let pin = |line: &str| {
        let (name, rest) = line.split_once("==")?;
        let version = rest.split([' ', ';', '\\']).next()?;
        Some((canonical(name), version.to_owned()))
    };
    requirements.lines().filter(|line| !line.starts_with('#')).filter_map(pin).collect()
}

/// PEP 503.
fn canonical(name: &str) -> String {
    name.trim().to_lowercase().replace(['_', '.'], "-")
}

fn installed_in(environment: &Path) -> anyhow::Result<BTreeMap<String, Installed>> {
    let mut found = BTreeMap::new();
    for folder in site_packages(environment)? {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read `{}`", folder.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "dist-info") {
                let file = path.join("METADATA");
                let text =
                    fs::read_to_string(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
                if let Some(package) = Installed::parse(&text) {
                    found.insert(canonical(&package.name), package);
                }
            }
        }
    }
    Ok(found)
}

fn site_packages(environment: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let lib = environment.join("lib");
    let missing =
        || format!("there is no Python in `{}`; run `cargo xtask bootstrap`", environment.display());
    let entries = fs::read_dir(&lib).with_context(missing)?;
    let folders = entries.flatten().map(|entry| entry.path().join("site-packages"));
    Ok(folders.filter(|folder| folder.is_dir()).collect())
}

impl Installed {
    fn parse(metadata: &str) -> Option<Self> {
        let mut package =
            Self { name: String::new(), version: String::new(), licence: None, needs: Vec::new() };
        let mut classified = None;
        for line in metadata.lines().take_while(|line| !line.is_empty()) {
            let Some((key, value)) = line.split_once(": ") else { continue };
            match key {
                "Name" => value.clone_into(&mut package.name),
                "Version" => value.clone_into(&mut package.version),
                "License-Expression" => package.licence = Some(Licence::Expression(value.to_owned())),
                "Classifier" => {
                    let licence =
                        value.strip_prefix("License :: ").and_then(|text| text.rsplit(" :: ").next());
                    classified = classified.or(licence.map(str::to_owned));
                }
                // A whole licence text would follow on the lines after it.
                "License" if value.len() <= 60 && package.licence.is_none() => {
                    package.licence = Some(Licence::Named(value.to_owned()));
                }
                // What only an extra needs is not installed because of this package.
                "Requires-Dist" if !value.contains("extra ==") => {
                    let name =
                        value.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).next()?;
                    package.needs.push(canonical(name));
                }
                _ => {}
            }
        }
        package.licence = package.licence.or(classified.map(Licence::Named));
        (!package.name.is_empty()).then_some(package)
    }
}

fn document(
    pinned: &BTreeMap<String, String>,
    installed: &BTreeMap<String, Installed>,
) -> anyhow::Result<Document> {
    let reference = |name: &str| format!("pkg:pypi/{name}@{}", pinned[name]);
    let mut components = Vec::new();
    let mut dependencies = vec![Dependency {
        reference: SUBJECT.to_owned(),
        depends_on: pinned.keys().map(|name| reference(name)).collect(),
    }];
    for (name, version) in pinned {
        let Some(package) = installed.get(name).filter(|package| package.version == *version) else {
            bail!(
                "{name} {version} of playbooks/requirements.txt is not installed; run `cargo xtask bootstrap`"
            );
        };
        let mut component = Component::new(Kind::Library, reference(name), name, version);
        component.scope = Some(Scope::Required);
        component.purl = Some(reference(name));
        component.licenses = package.licence.iter().map(Licence::written).collect();
        components.push(component);
        let mut needs: Vec<&String> =
            package.needs.iter().filter(|need| pinned.contains_key(*need)).collect();
        needs.sort();
        needs.dedup();
        let depends_on = needs.into_iter().map(|need| reference(need)).collect();
        dependencies.push(Dependency { reference: reference(name), depends_on });
    }
    let subject = Component::new(Kind::Application, SUBJECT, SUBJECT, env!("CARGO_PKG_VERSION"));
    Ok(Document::about(subject, components, dependencies))
}

impl Licence {
    fn written(&self) -> License {
        match self {
            Self::Expression(text) => License::expression(text),
            Self::Named(name) => License::named(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JINJA: &str = "Metadata-Version: 2.4\nName: Jinja2\nVersion: 3.1.6\nClassifier: License :: OSI Approved :: BSD License\n\
                         Requires-Dist: MarkupSafe>=2.0\nRequires-Dist: Babel>=2.7 ; extra == \"i18n\"\n\nLicense: not this\n";

    fn installed() -> BTreeMap<String, Installed> {
        let markup =
            "Name: MarkupSafe\nVersion: 3.0.4\nLicense-Expression: BSD-3-Clause\nLicense: long ago another\n";
        let packages = [JINJA, markup].map(|text| Installed::parse(text).unwrap());
        packages.into_iter().map(|package| (canonical(&package.name), package)).collect()
    }

    #[test]
    fn pinned_packages_are_described_as_they_are_installed() {
        let text = "# a comment == no pin\nJinja2==3.1.6 \\\n    --hash=sha256:00\nMarkupSafe==3.0.4 ; python_version < '4' \\\n";
        let document = serde_json::to_value(document(&pinned(text), &installed()).unwrap()).unwrap();
        let components = document["components"].as_array().unwrap();
        assert_eq!(components.len(), 2);
        assert_eq!(components[0]["purl"], "pkg:pypi/jinja2@3.1.6");
        assert_eq!(components[0]["licenses"][0]["license"]["name"], "BSD License");
        assert_eq!(components[1]["licenses"][0]["expression"], "BSD-3-Clause");
        assert_eq!(document["dependencies"][1]["dependsOn"][0], "pkg:pypi/markupsafe@3.0.4");
    }

    #[test]
    fn package_that_is_not_installed_as_pinned_is_an_error() {
        let error = document(&pinned("jinja2==3.1.5\n"), &installed()).unwrap_err().to_string();
        assert!(error.contains("jinja2 3.1.5") && error.contains("bootstrap"), "{error}");
    }
}
