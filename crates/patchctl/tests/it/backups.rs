//! `backup` and `restore`: what comes back, what is refused, and that a refusal changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;
use test_support::TestDatabase;

use crate::program::{Finished, Up, finish, free_ports, patchctl, run};

/// A folder that the user of PostgreSQL can reach, with room for backups beside the data.
fn backups() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn backup_of(data_dir: &Path, file: &Path) -> Finished {
    run(&["backup", text(file), "--data-dir", text(data_dir), "-o", "json"])
}

fn restore_to(data_dir: &Path, file: &Path, more: &[&str]) -> Finished {
    let mut arguments = vec!["restore", text(file), "--data-dir", text(data_dir)];
    arguments.extend(more);
    run(&arguments)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A platform with a CI of this name, stopped, and its backup.
fn backed_up(folder: &TempDir, backups: &TempDir) -> PathBuf {
    let up = Up::start(folder);
    up.run(&["ci", "create", "web-07", "--type", "vm", "--tag", "env=prod"]).expect(0);
    let file = backups.path().join("one.tar");
    let made = backup_of(folder.path(), &file).expect(0);
    let manifest: Value = serde_json::from_str(&made.stdout).unwrap();
    assert!(manifest["installation"].is_string() && manifest["migrations"]["patch"].is_i64(), "{manifest}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    up.run(&["ci", "create", "web-08", "--type", "vm"]).expect(0);
    assert!(up.stop(Signal::SIGTERM).0.success());
    file
}

/// The parts of an archive.
fn parts(file: &Path) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(fs::File::open(file).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
    });
    entries.collect()
}

fn archive(file: &Path, parts: &[(String, Vec<u8>)]) {
    let mut builder = tar::Builder::new(fs::File::create(file).unwrap());
    for (name, bytes) in parts {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    builder.finish().unwrap();
}

/// Everything below a folder but the lock, with its content.
fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => folders.push(path),
                kind if kind.is_file() && !path.ends_with("lock") => {
                    let bytes = fs::read(&path).unwrap();
                    all.push((path, bytes));
                }
                _ => {}
            }
        }
    }
    all.sort();
    all
}

#[test]
fn backup_of_a_working_platform_comes_back_elsewhere_and_waits_for_an_administrator() {
    let (folder, backups) = (tempfile::tempdir().unwrap(), backups());
    let file = backed_up(&folder, &backups);
    assert!(backup_of(folder.path(), &file).expect(1).one_line_error().contains("exists already"));

    let other = tempfile::tempdir().unwrap();
    let restored = restore_to(other.path(), &file, &[]).expect(0);
    assert!(restored.stderr.contains("restore status"), "{restored:?}");
    let secret = |folder: &TempDir, name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    for name in ["admin-token", "approval-key", "webhook-key", "audit-key"] {
        assert_eq!(secret(&folder, name), secret(&other, name), "{name}");
        let mode = fs::metadata(other.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(!other.path().join("restore.new").exists() && !other.path().join("restore.old").exists());

    let up = Up::start(&other);
    up.run(&["ci", "show", "web-07"]).expect(0);
    up.run(&["ci", "show", "web-08"]).expect(1);
    let health = up.run(&["health"]).expect(3);
    assert!(health.stderr.contains("held (restored)"), "{health:?}");
    let status = up.run(&["restore", "status"]).expect(3);
    assert!(status.stdout.contains("held (restored): the backup of "), "{status:?}");
    up.run(&["restore", "confirm", "--reason", "a test"]).expect(0);
    assert!(up.run(&["restore", "status"]).expect(0).stdout.contains("epoch 2"));
    up.run(&["health"]).expect(0);
    up.run(&["audit", "verify"]).expect(0);
}

#[test]
fn refused_restores_change_nothing() {
    let (folder, backups) = (tempfile::tempdir().unwrap(), backups());
    let file = backed_up(&folder, &backups);
    let before = content(folder.path());
    let unchanged = |case: &str| assert!(content(folder.path()) == before, "{case} changed the data folder");

    let refused = restore_to(folder.path(), &file, &[]).expect(1);
    assert!(refused.stderr.contains("--replace"), "{refused:?}");
    unchanged("a target that is not empty");

    let good = parts(&file);
    let broken = backups.path().join("broken.tar");
    let mut flipped = good.clone();
    flipped[0].1[100] ^= 1;
    archive(&broken, &flipped);
    let refused = restore_to(folder.path(), &broken, &["--replace"]).expect(1);
    assert!(
        refused.one_line_error().contains("part `database.dump` does not have its checksum"),
        "{refused:?}"
    );
    unchanged("a damaged part");

    let mut missing = good.clone();
    missing.retain(|(name, _)| name != "approval-key");
    archive(&broken, &missing);
    let refused = restore_to(folder.path(), &broken, &["--replace"]).expect(1);
    assert!(refused.one_line_error().contains("part `approval-key` is missing"), "{refused:?}");

    let bytes = fs::read(&file).unwrap();
    fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    let refused = restore_to(folder.path(), &broken, &["--replace"]).expect(1);
    assert!(refused.one_line_error().contains("is damaged"), "{refused:?}");
    fs::write(&broken, "not an archive").unwrap();
    assert!(
        restore_to(folder.path(), &broken, &["--replace"]).expect(1).one_line_error().contains("damaged")
    );
    unchanged("half an archive");

    let mut newer = good.clone();
    let manifest = newer.iter_mut().find(|(name, _)| name == "manifest.json").unwrap();
    let mut value: Value = serde_json::from_slice(&manifest.1).unwrap();
    value["migrations"]["cmdb"] = 99_990_101_000_000_i64.into();
    manifest.1 = serde_json::to_vec(&value).unwrap();
    archive(&broken, &newer);
    let refused = restore_to(folder.path(), &broken, &["--replace"]).expect(1);
    assert!(refused.one_line_error().contains("newer version"), "{refused:?}");
    unchanged("a newer schema");

    let up = Up::start(&folder);
    let refused = restore_to(folder.path(), &file, &["--replace"]).expect(1);
    assert!(refused.one_line_error().contains("stop it first"), "{refused:?}");
    up.run(&["ci", "show", "web-08"]).expect(0);
    up.run(&["health"]).expect(0);
    assert!(up.stop(Signal::SIGTERM).0.success());

    restore_to(folder.path(), &file, &["--replace"]).expect(0);
    let up = Up::start(&folder);
    up.run(&["ci", "show", "web-07"]).expect(0);
    up.run(&["ci", "show", "web-08"]).expect(1);
}

#[test]
fn restore_that_fails_in_the_database_puts_the_files_back() {
    let (folder, backups) = (tempfile::tempdir().unwrap(), backups());
    let file = backed_up(&folder, &backups);
    // Programs that convert the dump, and fail to load it.
    let programs = backups.path().join("bin");
    fs::create_dir(&programs).unwrap();
    let real = local_postgres::find_bin_dir().unwrap();
    for entry in fs::read_dir(&real).unwrap().flatten().filter(|entry| entry.file_name() != "psql") {
        std::os::unix::fs::symlink(entry.path(), programs.join(entry.file_name())).unwrap();
    }
    std::os::unix::fs::symlink("/bin/false", programs.join("psql")).unwrap();
    for folder in [backups.path(), &programs] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(folder.path().join("work/kept"), "of before").unwrap();
    let mut command = patchctl(&["restore", text(&file), "--replace", "--data-dir", text(folder.path())]);
    let failed = finish(command.env("PG_BINDIR", &programs), "").expect(1);
    assert!(failed.stderr.contains("psql failed"), "{failed:?}");
    assert_eq!(fs::read_to_string(folder.path().join("work/kept")).unwrap(), "of before");
    assert!(!folder.path().join("restore.new").exists() && !folder.path().join("restore.old").exists());
    let up = Up::start(&folder);
    up.run(&["ci", "show", "web-08"]).expect(0);
    up.run(&["health"]).expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn database_of_the_operator_is_backed_up_and_restored_without_its_password_in_arguments() {
    let (database, folder, backups) = (TestDatabase::create().await, tempfile::tempdir().unwrap(), backups());
    let url = database.url().to_owned();
    let up = Up::start_with(&folder, |command| command.env("DATABASE_URL", &url));
    up.run(&["ci", "create", "web-07", "--type", "vm"]).expect(0);
    let file = backups.path().join("one.tar");
    let with = |url: &str, arguments: &[&str]| finish(patchctl(arguments).env("DATABASE_URL", url), "");
    let data_dir = folder.path().to_str().unwrap();
    with(&url, &["backup", text(&file), "--data-dir", data_dir]).expect(0);

    // Somebody works with it, also if the data folder is another one.
    let other = tempfile::tempdir().unwrap();
    let elsewhere = other.path().join("data");
    let to = text(&elsewhere);
    let refused = with(&url, &["restore", text(&file), "--data-dir", to]).expect(1);
    assert!(refused.stderr.contains("--replace"), "{refused:?}");
    let refused = with(&url, &["restore", text(&file), "--data-dir", to, "--replace"]).expect(1);
    assert!(refused.one_line_error().contains("stop all of its services"), "{refused:?}");
    assert!(!elsewhere.exists(), "nothing was made");

    let empty = TestDatabase::create_empty().await;
    with(empty.url(), &["restore", text(&file), "--data-dir", to]).expect(0);
    let copy = empty.url().to_owned();
    let base = free_ports().to_string();
    let second = Up::start_in(&elsewhere, &base, |command| command.env("DATABASE_URL", &copy));
    second.run(&["ci", "show", "web-07"]).expect(0);
    second.run(&["restore", "status"]).expect(3);
    up.run(&["restore", "status"]).expect(0);
}
