//! The crates that become part of the programs, and those that only build them, from `cargo metadata` and Cargo.lock.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::document::{Component, Dependency, Document, Hash, Kind, License, Scope};
use crate::task::Task;
use crate::workspace::Workspace;

/// What an image or a package of the platform contains.
const PROGRAMS: [&str; 5] = ["patchctl", "patch-manager", "cmdb", "itsm", "sim-engine"];
const PRODUCT: &str = "datacenteros-patch-manager";
const DEADLINE: Duration = Duration::from_secs(120);

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    /// The registry; absent for the crates of the workspace.
    source: Option<String>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Deserialize)]
struct EdgeKind {
    /// Absent for a normal dependency.
    kind: Option<String>,
}

pub fn describe(workspace: &Workspace) -> anyhow::Result<Document> {
    let host = host()?;
    let mut command = workspace.cargo();
    command.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &host]);
    let outcome = Task::quiet("cargo metadata", DEADLINE).run(command)?;
    if !outcome.success {
        bail!("`cargo metadata` failed:\n{}", outcome.all());
    }
    let metadata: Metadata =
        serde_json::from_str(&outcome.stdout).context("`cargo metadata` printed something unexpected")?;
    let lock = workspace.root.join("Cargo.lock");
    let lock = fs::read_to_string(&lock).with_context(|| format!("cannot read `{}`", lock.display()))?;
    Ok(document(&metadata, &checksums(&lock)))
}

/// The platform that the programs are built for.
fn host() -> anyhow::Result<String> {
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command.arg("-vV");
    let outcome = Task::quiet("rustc", DEADLINE).run(command)?;
    let host = outcome.stdout.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

/// SHA-256 of the package that the registry serves, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let entries = lock.split("[[package]]").skip(1).filter_map(|entry| {
        let value = |key: &str| {
            entry.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'))
        };
        Some(((value("name")?.to_owned(), value("version")?.to_owned()), value("checksum")?.to_owned()))
    });
    entries.collect()
}

fn document(metadata: &Metadata, checksums: &BTreeMap<(String, String), String>) -> Document {
    let packages: BTreeMap<&str, &Package> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let nodes: BTreeMap<&str, &Node> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let is_program =
        |package: &&Package| package.source.is_none() && PROGRAMS.contains(&package.name.as_str());
    let programs: Vec<&str> =
        metadata.packages.iter().filter(is_program).map(|package| package.id.as_str()).collect();
    let runs = reachable(&programs, &nodes, &packages, true);
    let all = reachable(&programs, &nodes, &packages, false);
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    let version = programs.first().map_or("0", |id| packages[id].version.as_str());
    let subject = Component::new(Kind::Application, PRODUCT, PRODUCT, version);
    dependencies.push(Dependency {
        reference: PRODUCT.to_owned(),
        depends_on: sorted(programs.iter().map(|id| reference(packages[id]))),
    });
    for id in all {
        let package = packages[id];
        let scope = if runs.contains(id) { Scope::Required } else { Scope::Excluded };
        components.push(component(package, scope, checksums));
        let edges = nodes.get(id).map(|node| node.deps.as_slice()).unwrap_or_default();
        let used = edges.iter().filter(|edge| edge.dep_kinds.iter().any(EdgeKind::is_shipped));
        let depends_on =
            sorted(used.filter_map(|edge| packages.get(edge.pkg.as_str())).map(|used| reference(used)));
        dependencies.push(Dependency { reference: reference(package), depends_on });
    }
    components.sort_by(|one, other| one.reference.cmp(&other.reference));
    dependencies[1..].sort_by(|one, other| one.reference.cmp(&other.reference));
    Document::about(subject, components, dependencies)
}

/// What the programs need, dev-dependencies never; with `only_linked` without what runs only during the build.
fn reachable<'a>(
    programs: &[&'a str],
    nodes: &BTreeMap<&'a str, &'a Node>,
    packages: &BTreeMap<&'a str, &'a Package>,
    only_linked: bool,
) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open = programs.to_vec();
    while let Some(id) = open.pop() {
        if !found.insert(id) {
            continue;
        }
        for edge in nodes.get(id).map(|node| node.deps.as_slice()).unwrap_or_default() {
            let is_wanted =
                |kind: &EdgeKind| if only_linked { kind.kind.is_none() } else { kind.is_shipped() };
            let is_macro = packages.get(edge.pkg.as_str()).is_some_and(|package| package.is_macro());
            if edge.dep_kinds.iter().any(is_wanted) && !(only_linked && is_macro) {
                open.push(edge.pkg.as_str());
            }
        }
    }
    found
}

impl EdgeKind {
    fn is_shipped(&self) -> bool {
        self.kind.as_deref() != Some("dev")
    }
}

impl Package {
    /// A macro runs in the compiler.
    fn is_macro(&self) -> bool {
        self.targets.iter().any(|target| target.kind.iter().any(|kind| kind == "proc-macro"))
    }
}

fn reference(package: &Package) -> String {
    match purl(package) {
        Some(purl) => purl,
        None => format!("workspace:{}@{}", package.name, package.version),
    }
}

fn purl(package: &Package) -> Option<String> {
    package.source.as_ref()?;
    // A version may have build metadata after `+`, which a package URL escapes.
    Some(format!("pkg:cargo/{}@{}", package.name, package.version.replace('+', "%2B")))
}

fn component(package: &Package, scope: Scope, checksums: &BTreeMap<(String, String), String>) -> Component {
    let is_program = package.source.is_none() && PROGRAMS.contains(&package.name.as_str());
    let kind = if is_program { Kind::Application } else { Kind::Library };
    let mut component = Component::new(kind, reference(package), &package.name, &package.version);
    component.scope = Some(scope);
    component.purl = purl(package);
    component.licenses = package.license.iter().map(|licence| License::expression(licence)).collect();
    let checksum = checksums.get(&(package.name.clone(), package.version.clone()));
    component.hashes =
        checksum.filter(|_| package.source.is_some()).map(|hex| Hash::sha256(hex)).into_iter().collect();
    component
}

fn sorted(references: impl Iterator<Item = String>) -> Vec<String> {
    references.collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(name: &str, source: Option<&str>, kind: &str) -> serde_json::Value {
        json!({ "id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0", "source": source,
            "targets": [{ "kind": [kind] }] })
    }

    fn node(name: &str, edges: &[(&str, Option<&str>)]) -> serde_json::Value {
        let edge =
            |(name, kind): &(&str, Option<&str>)| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        json!({ "id": name, "deps": edges.iter().map(edge).collect::<Vec<_>>() })
    }

    fn small() -> Document {
        let registry = Some("registry+https://example.org/index");
        let packages = json!([
            package("cmdb", None, "bin"),
            package("kit", None, "lib"),
            package("serde", registry, "lib"),
            package("derive", registry, "proc-macro"),
            package("syn", registry, "lib"),
            package("cc", registry, "lib"),
            package("tempfile", registry, "lib"),
            package("xtask", None, "bin"),
        ]);
        let nodes = json!([
            node("cmdb", &[("kit", None), ("tempfile", Some("dev"))]),
            node("kit", &[("serde", None), ("derive", None), ("cc", Some("build"))]),
            node("derive", &[("syn", None)]),
            node("serde", &[]),
            node("syn", &[]),
            node("cc", &[]),
            node("tempfile", &[]),
            node("xtask", &[]),
        ]);
        let metadata = json!({ "packages": packages, "resolve": { "nodes": nodes } });
        let lock = "[[package]]\nname = \"serde\"\nversion = \"1.0.0\"\nchecksum = \"abcd\"\n";
        document(&serde_json::from_value(metadata).unwrap(), &checksums(lock))
    }

    #[test]
    fn programs_have_what_is_linked_and_what_builds_them_and_nothing_of_their_tests() {
        let found: Vec<(String, Option<Scope>)> =
            small().components.into_iter().map(|component| (component.reference, component.scope)).collect();
        let of = |name: &str, scope| (name.to_owned(), Some(scope));
        assert_eq!(
            found,
            [
                of("pkg:cargo/cc@1.0.0", Scope::Excluded),
                of("pkg:cargo/derive@1.0.0", Scope::Excluded),
                of("pkg:cargo/serde@1.0.0", Scope::Required),
                of("pkg:cargo/syn@1.0.0", Scope::Excluded),
                of("workspace:cmdb@1.0.0", Scope::Required),
                of("workspace:kit@1.0.0", Scope::Required),
            ]
        );
    }

    #[test]
    fn registry_crates_have_a_hash_and_own_crates_no_package_url() {
        let document = serde_json::to_value(small()).unwrap();
        let component = |name: &str| {
            let components = document["components"].as_array().unwrap();
            components.iter().find(|component| component["name"] == name).unwrap().clone()
        };
        assert_eq!(component("serde")["hashes"], json!([{ "alg": "SHA-256", "content": "abcd" }]));
        assert_eq!(component("serde")["licenses"], json!([{ "expression": "MIT OR Apache-2.0" }]));
        assert_eq!(component("kit")["purl"], json!(null));
        assert_eq!(component("cmdb")["type"], "application");
        assert_eq!(document["dependencies"][0]["dependsOn"], json!(["workspace:cmdb@1.0.0"]));
    }

    /// The real workspace: every reference of a dependency is a component.
    #[test]
    fn document_of_the_workspace_is_complete() {
        let document = describe(&Workspace::find().unwrap()).unwrap();
        let known: BTreeSet<&str> =
            document.components.iter().map(|component| component.reference.as_str()).collect();
        assert_eq!(known.len(), document.components.len(), "a reference is used twice");
        assert!(known.iter().any(|reference| reference.starts_with("pkg:cargo/sqlx@")));
        assert!(!known.iter().any(|reference| reference.starts_with("pkg:cargo/insta@")), "a tool of tests");
        for dependency in &document.dependencies {
            for reference in &dependency.depends_on {
                assert!(known.contains(reference.as_str()), "{reference} is not a component");
            }
        }
    }
}
