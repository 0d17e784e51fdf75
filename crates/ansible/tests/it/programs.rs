//! Programs of a host, such as its package manager, as scripts in a folder. Nothing else is found.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use ansible::Playbooks;
use serde_json::Value;
use tempfile::TempDir;

pub struct Programs(TempDir);

impl Programs {
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub fn add(self, name: &str, script: &str) -> Self {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a program in Python that imports from the collections folder, its first argument, and prints JSON.
    pub fn ask<S: AsRef<OsStr>>(
        &self,
        python: &Path,
        program: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Value {
        let output = Command::new(python)
            .args(["-B", "-c", program])
            .arg(Playbooks::locate().unwrap().folder().join("collections"))
            .args(arguments)
            .env("PATH", self.0.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
