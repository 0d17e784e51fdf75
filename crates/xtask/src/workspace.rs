use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::task::Task;

/// Where things are, and the workspace's crates as cargo sees them.
pub struct Workspace {
    pub root: PathBuf,
    pub target: PathBuf,
    pub crates: BTreeMap<String, Crate>,
}

pub struct Crate {
    pub dir: PathBuf,
    pub dependencies: Vec<Dependency>,
    pub has_binary: bool,
}

pub struct Dependency {
    pub name: String,
    pub is_dev: bool,
}

impl Workspace {
    pub fn find() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .context("xtask does not lie two folders below the workspace root")?
            .to_path_buf();
        let mut command = cargo(&root);
        command.args(["metadata", "--format-version", "1", "--no-deps"]);
        let outcome = Task::quiet("cargo metadata", Duration::from_secs(120)).run(command)?;
        if !outcome.success {
            bail!("`cargo metadata` failed:\n{}", outcome.all());
        }
        let metadata: Metadata =
            serde_json::from_str(&outcome.stdout).context("`cargo metadata` printed something unexpected")?;
        let crates = metadata.packages.into_iter().map(Package::into_crate).collect();
        Ok(Self { root, target: metadata.target_directory, crates })
    }

    pub fn cargo(&self) -> Command {
        cargo(&self.root)
    }

    /// Cargo's arguments for these crates, or for all of them.
    pub fn select(&self, names: &[String]) -> anyhow::Result<Vec<String>> {
        if names.is_empty() {
            return Ok(vec!["--workspace".to_owned()]);
        }
        if let Some(unknown) = names.iter().find(|name| !self.crates.contains_key(*name)) {
            let known: Vec<&str> = self.crates.keys().map(String::as_str).collect();
            bail!("no crate is named `{unknown}`; there are {}", known.join(", "));
        }
        Ok(names.iter().flat_map(|name| ["--package".to_owned(), name.clone()]).collect())
    }

    /// Folder of the private tools: `PATCH_TOOLS_DIR`, else `.patch` in the workspace.
    pub fn tools(&self) -> PathBuf {
        match env::var_os("PATCH_TOOLS_DIR").filter(|dir| !dir.is_empty()) {
            Some(dir) => self.root.join(dir),
            None => self.root.join(".patch"),
        }
    }

    /// Path of a tool in the private Python environment.
    pub fn tool(&self, name: &str) -> PathBuf {
        self.tools().join("venv/bin").join(name)
    }

    /// Folder of the images of real hosts.
    pub fn fleet_images(&self) -> PathBuf {
        self.tools().join("fleet")
    }

    pub fn playbooks(&self) -> PathBuf {
        self.root.join("playbooks")
    }
}

/// The cargo that runs us, so that a toolchain chosen by the caller stays chosen.
fn cargo(root: &Path) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root);
    // Set by the outer `cargo run`, only for xtask; inherited, they would confuse build scripts.
    for (name, _) in env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            command.env_remove(name);
        }
    }
    command
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<PackageDependency>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct PackageDependency {
    name: String,
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

impl Package {
    fn into_crate(self) -> (String, Crate) {
        let dependencies = self.dependencies.into_iter().map(|dependency| Dependency {
            name: dependency.name,
            is_dev: dependency.kind.as_deref() == Some("dev"),
        });
        let found = Crate {
            dir: self.manifest_path.parent().map(Path::to_path_buf).unwrap_or_default(),
            dependencies: dependencies.collect(),
            has_binary: self.targets.iter().any(|target| target.kind.iter().any(|kind| kind == "bin")),
        };
        (self.name, found)
    }
}
