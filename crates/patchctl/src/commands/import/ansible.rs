//! An inventory as `ansible-inventory --list` prints it, on this machine.
//!
//! It reads a copy without scripts and without files that are vaulted as a whole, so nothing is executed for being found in
//! the folder, and no secret is decrypted. Its environment has none of Ansible's or the platform's settings.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use ansible::locate_ansible_inventory;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use super::Source;
use terminal::Failure;

/// Plugins that read data and run nothing. A file may name the first one by its short or its full name.
const PLUGINS: [&str; 4] = ["constructed", "ansible.builtin.constructed", "yaml", "ini"];
/// A cloud with many machines answers in minutes.
const TIMEOUT: Duration = Duration::from_secs(300);
/// As much as the CMDB imports at once.
const MAX_OUTPUT_BYTES: u64 = 20 << 20;
const MAX_ERROR_BYTES: u64 = 64 << 10;
const MAX_COPIED_BYTES: u64 = 256 << 20;
const MAX_COPIED_FILES: u32 = 20_000;
const MAX_DEPTH: u32 = 20;
/// Warnings of Ansible that are passed on.
const MAX_WARNINGS: usize = 20;
/// Folders of variables beside an inventory file.
const VARIABLES: [&str; 2] = ["group_vars", "host_vars"];

pub async fn list(path: &Path, plugins: &[String]) -> Result<Source, Failure> {
    let enabled = enabled(plugins)?;
    let program = locate_ansible_inventory().ok_or_else(|| {
        Failure::new("`ansible-inventory` was not found").hint(
            "run `cargo xtask bootstrap`, or set PATCH_ANSIBLE_PLAYBOOK to the `ansible-playbook` beside it",
        )
    })?;
    let copy = Copy::of(path)?;
    let mut command = Command::new(&program);
    command.arg("-i").arg(&copy.inventory).arg("--list").current_dir(copy.folder.path());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_collections = text.starts_with("ANSIBLE_COLLECTIONS_PATH");
        if (text.starts_with("ANSIBLE_") && !is_collections)
            || text.starts_with("PATCH_")
            || text == "DATABASE_URL"
        {
            command.env_remove(&name);
        }
    }
    for (name, value) in environment(&copy, &enabled) {
        command.env(name, value);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let failed = |error: std::io::Error| Failure::new(format!("cannot run `{}`: {error}", program.display()));
    let mut child = command.spawn().map_err(failed)?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let run = async {
        let (output, errors) =
            tokio::join!(bounded(output, MAX_OUTPUT_BYTES), bounded(errors, MAX_ERROR_BYTES));
        Ok::<_, std::io::Error>((output?, errors?, child.wait().await?))
    };
    let (output, errors, status) = timeout(TIMEOUT, run)
        .await
        .map_err(|_| {
            Failure::new(format!("`ansible-inventory` took longer than {} seconds", TIMEOUT.as_secs()))
        })?
        .map_err(failed)?;
    let errors = String::from_utf8_lossy(&errors);
    if output.len() as u64 > MAX_OUTPUT_BYTES {
        return Err(Failure::new(format!("the inventory is larger than {} MB", MAX_OUTPUT_BYTES >> 20))
            .hint("import parts of it, one after the other"));
    }
    if !status.success() {
        return Err(Failure::new(format!("`ansible-inventory` failed: {}", last_lines(&errors)))
            .hint("name the plugins that the inventory needs with --plugin"));
    }
    let warnings: Vec<&str> =
        errors.lines().map(str::trim).filter_map(|line| line.strip_prefix("[WARNING]: ")).collect();
    let is_part = copy.has_scripts || warnings.iter().any(|warning| warning.starts_with("Unable to parse"));
    let mut notes = copy.notes;
    // Ansible names the copy, which is gone afterwards.
    let root = copy.folder.path().join("inventory");
    let own = |warning: &str| warning.replace(&*root.to_string_lossy(), &path.to_string_lossy());
    notes.extend(warnings.into_iter().take(MAX_WARNINGS).map(own));
    Ok(Source { content: output, format: Some("ansible_json"), notes, is_part })
}

fn enabled(plugins: &[String]) -> Result<String, Failure> {
    for plugin in plugins {
        let is_name = plugin.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.');
        if !is_name || plugin.is_empty() {
            return Err(Failure::usage(format!(
                "`{plugin}` is not the name of a plugin, such as `amazon.aws.aws_ec2`"
            )));
        }
        if plugin.rsplit('.').next() == Some("script") {
            return Err(Failure::usage("the plugin `script` runs programs, which an import never does")
                .hint("run the script yourself and import what it prints: `./inventory --list | patchctl ci import -`"));
        }
    }
    let named = plugins.iter().map(String::as_str);
    Ok(named.chain(PLUGINS).collect::<Vec<_>>().join(","))
}

fn environment(copy: &Copy, enabled: &str) -> Vec<(&'static str, OsString)> {
    vec![
        // With a configuration of its own, Ansible reads none of this machine, this user or the current folder.
        ("ANSIBLE_CONFIG", copy.folder.path().join("ansible.cfg").into()),
        ("ANSIBLE_LOCAL_TEMP", copy.folder.path().join("tmp").into()),
        ("ANSIBLE_INVENTORY_ENABLED", enabled.into()),
        ("ANSIBLE_INVENTORY_UNPARSED_FAILED", "True".into()),
        ("ANSIBLE_NOCOLOR", "True".into()),
        ("ANSIBLE_DEPRECATION_WARNINGS", "False".into()),
        ("LC_ALL", "C.UTF-8".into()),
    ]
}

async fn bounded(stream: Option<impl AsyncRead + Unpin>, most: u64) -> std::io::Result<Vec<u8>> {
    let Some(mut stream) = stream else { return Ok(Vec::new()) };
    let mut bytes = Vec::new();
    (&mut stream).take(most + 1).read_to_end(&mut bytes).await?;
    // The rest is read, too, because the program would wait for it.
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(bytes)
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let from = lines.len().saturating_sub(6);
    terminal::clean(&lines[from..].join(" "))
}

/// The inventory without what must not be executed or decrypted.
struct Copy {
    /// Deleted with this value.
    folder: TempDir,
    inventory: PathBuf,
    notes: Vec<String>,
    has_scripts: bool,
    files: u32,
    bytes: u64,
}

impl Copy {
    fn of(path: &Path) -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::new(format!("cannot copy `{}`: {error}", path.display()));
        let source = path
            .canonicalize()
            .map_err(|error| Failure::new(format!("cannot read `{}`: {error}", path.display())))?;
        let folder = tempfile::Builder::new().prefix("patchctl-inventory-").tempdir().map_err(failed)?;
        fs::write(folder.path().join("ansible.cfg"), "[defaults]\n").map_err(failed)?;
        let root = folder.path().join("inventory");
        fs::create_dir(&root).map_err(failed)?;
        let mut copy = Self {
            folder,
            inventory: root.clone(),
            notes: Vec::new(),
            has_scripts: false,
            files: 0,
            bytes: 0,
        };
        if source.is_dir() {
            copy.add_folder(&source, &root, 0)?;
            return Ok(copy);
        }
        let name = source.file_name().unwrap_or_default();
        copy.inventory = root.join(name);
        copy.add_file(&source, &copy.inventory.clone())?;
        if !copy.inventory.exists() {
            return Err(Failure::usage(copy.notes.pop().unwrap_or_default())
                .hint("run the script yourself and import what it prints: `./inventory --list | patchctl ci import -`"));
        }
        for name in VARIABLES {
            let beside = source.with_file_name(name);
            if beside.is_dir() {
                fs::create_dir(root.join(name)).map_err(failed)?;
                copy.add_folder(&beside, &root.join(name), 1)?;
            }
        }
        Ok(copy)
    }

    fn add_folder(&mut self, from: &Path, to: &Path, depth: u32) -> Result<(), Failure> {
        let failed =
            |error: std::io::Error| Failure::new(format!("cannot copy `{}`: {error}", from.display()));
        if depth > MAX_DEPTH {
            return Err(Failure::new(format!(
                "`{}` is nested more than {MAX_DEPTH} folders deep",
                from.display()
            )));
        }
        for entry in fs::read_dir(from).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (path, target) = (entry.path(), to.join(entry.file_name()));
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            // Follows links, as Ansible does.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if metadata.is_dir() {
                fs::create_dir(&target).map_err(failed)?;
                self.add_folder(&path, &target, depth + 1)?;
            } else if metadata.is_file() {
                self.add_file(&path, &target)?;
            }
        }
        Ok(())
    }

    fn add_file(&mut self, from: &Path, to: &Path) -> Result<(), Failure> {
        let failed =
            |error: std::io::Error| Failure::new(format!("cannot copy `{}`: {error}", from.display()));
        let file = fs::File::open(from).map_err(failed)?;
        let is_executable = file.metadata().map_err(failed)?.permissions().mode() & 0o111 != 0;
        let mut content = Vec::new();
        file.take(MAX_COPIED_BYTES - self.bytes + 1).read_to_end(&mut content).map_err(failed)?;
        self.bytes += content.len() as u64;
        self.files += 1;
        if self.bytes > MAX_COPIED_BYTES || self.files > MAX_COPIED_FILES {
            return Err(Failure::new(format!(
                "the inventory has more than {MAX_COPIED_FILES} files or {} MB",
                MAX_COPIED_BYTES >> 20
            )));
        }
        if is_executable && content.starts_with(b"#!") {
            self.has_scripts = true;
            self.notes.push(format!(
                "`{}` is a script, which an import never runs; it is left out",
                from.display()
            ));
            return Ok(());
        }
        if content.starts_with(b"$ANSIBLE_VAULT;") {
            self.notes
                .push(format!("`{}` is vaulted as a whole, so its values are left out", from.display()));
            return Ok(());
        }
        fs::write(to, content).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn scripts_and_vaulted_files_are_not_copied() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write(&at("hosts"), "web1\n", 0o755);
        write(&at("dynamic"), "#!/bin/sh\ntouch /tmp/x\n", 0o755);
        write(&at("group_vars/all/vault.yml"), "$ANSIBLE_VAULT;1.1;AES256\n61\n", 0o644);
        write(&at("group_vars/all/main.yml"), "env: prod\n", 0o644);
        write(&at(".git/config"), "x\n", 0o644);
        let copy = Copy::of(folder.path()).unwrap();
        let has = |name: &str| copy.inventory.join(name).exists();
        assert!(has("hosts") && has("group_vars/all/main.yml"));
        assert!(!has("dynamic") && !has("group_vars/all/vault.yml") && !has(".git"));
        assert_eq!(copy.notes.len(), 2, "{:?}", copy.notes);

        let copy = Copy::of(&at("hosts")).unwrap();
        assert!(copy.inventory.with_file_name("group_vars").join("all/main.yml").exists());
        assert!(Copy::of(&at("dynamic")).is_err());
    }

    #[test]
    fn only_plugins_that_run_nothing_are_enabled() {
        assert_eq!(enabled(&[]).unwrap(), "constructed,ansible.builtin.constructed,yaml,ini");
        assert_eq!(
            enabled(&["amazon.aws.aws_ec2".to_owned()]).unwrap(),
            "amazon.aws.aws_ec2,constructed,ansible.builtin.constructed,yaml,ini"
        );
        for plugin in ["script", "ansible.builtin.script", "", "a,script", "a b"] {
            assert!(enabled(&[plugin.to_owned()]).is_err(), "{plugin}");
        }
    }
}
