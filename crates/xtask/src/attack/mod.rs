//! Attacks on a private platform: hostile requests and values, secrets that must not leak, slow clients.
//!
//! The attacks are Python programs in the folder `attack`, because the library that makes requests of contracts is. This
//! builds what is attacked, and gives the programs a PostgreSQL and their tools.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use local_postgres::{EphemeralPostgres, Listen};

use crate::bootstrap::{self, Needs};
use crate::suite::Extent;
use crate::task::{Task, Verdict};
use crate::workspace::Workspace;

const BUILD_DEADLINE: Duration = Duration::from_secs(1200);
/// The sample takes two minutes on two cores; a slow machine may need longer.
const SAMPLE_DEADLINE: Duration = Duration::from_secs(600);
const FULL_DEADLINE: Duration = Duration::from_secs(6 * 3600);
/// Another seed makes other requests; this one is fixed, so that a finding can be repeated.
const SEED: u64 = 20_261_205;
/// How the programs report that something got through.
const GOT_THROUGH: &str = " got through";

#[derive(Args, Default)]
pub struct Options {
    /// Everything instead of a sample, in parts; parts that were done without a finding are not repeated
    #[arg(long)]
    full: bool,
    /// With --full, repeat the parts that were done before
    #[arg(long, requires = "full")]
    again: bool,
    /// Only these parts; a wrong name lists them
    #[arg(long, value_delimiter = ',')]
    part: Vec<String>,
    /// Attack this program instead of building one
    #[arg(long, value_name = "FILE")]
    patchctl: Option<PathBuf>,
    /// Make other requests than the fixed ones
    #[arg(long, default_value_t = SEED)]
    seed: u64,
}

/// As a step of `cargo xtask test`.
pub fn step(workspace: &Workspace, extent: Extent) -> anyhow::Result<Verdict> {
    run(workspace, &Options { seed: SEED, full: extent == Extent::Full, ..Options::default() })
}

pub fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<Verdict> {
    bootstrap::run(workspace, Needs::Checks)?;
    let python = bootstrap::attack_python(workspace)?;
    let patchctl = match &options.patchctl {
        Some(program) => program.clone(),
        None => match build(workspace)? {
            Ok(program) => program,
            Err(output) => return Ok(Verdict::Failed(output)),
        },
    };
    let postgres = EphemeralPostgres::start_listening(Listen::Tcp { port: None })?;
    let state = workspace.target.join("attack");
    fs::create_dir_all(&state).with_context(|| format!("cannot create `{}`", state.display()))?;
    // In a file: other users can read arguments, and the environment of the platform is searched for it.
    let address = state.join(format!("database-{}", std::process::id()));
    write_secret(&address, &postgres.maintenance_url())?;
    let mut command = Command::new(&python);
    command
        .arg(workspace.root.join("attack/run.py"))
        .arg("--root")
        .arg(&workspace.root)
        .arg("--patchctl")
        .arg(&patchctl)
        .arg("--postgres")
        .arg(postgres.bin_dir())
        .arg("--database-url-file")
        .arg(&address)
        .arg("--tools")
        .arg(workspace.tools().join("venv/bin"))
        .arg("--vectors")
        .arg(vectors(workspace))
        .arg("--state")
        .arg(&state)
        .args(["--build", &fingerprint(&patchctl)?, "--seed", &options.seed.to_string()])
        .env("PYTHONDONTWRITEBYTECODE", "1");
    if options.full {
        command.arg("--full");
    }
    if options.again {
        command.arg("--again");
    }
    for part in &options.part {
        command.args(["--part", part]);
    }
    let deadline = if options.full { FULL_DEADLINE } else { SAMPLE_DEADLINE };
    let outcome = Task::new("attack", deadline).run(command);
    let _ = fs::remove_file(&address);
    let outcome = outcome?;
    if outcome.success {
        return Ok(Verdict::Passed(conclusion(&outcome.stdout)));
    }
    Ok(Verdict::Failed(outcome.all()))
}

/// The program, or the output of the compiler.
fn build(workspace: &Workspace) -> anyhow::Result<Result<PathBuf, String>> {
    let mut command = workspace.cargo();
    // All of the workspace, as for the contracts: its features are then the same, and little is built twice.
    command
        .args(["build", "--workspace", "--bins", "--locked", "--message-format", "short"])
        .env("SQLX_OFFLINE", "true");
    let outcome = Task::new("attack", BUILD_DEADLINE).run(command)?;
    if !outcome.success {
        return Ok(Err(outcome.failure_output()));
    }
    Ok(Ok(workspace.target.join("debug/patchctl")))
}

/// Hostile values, which are not part of the workspace.
fn vectors(workspace: &Workspace) -> PathBuf {
    let data = env::var_os("PATCH_SHARED_DATA").map(PathBuf::from);
    data.unwrap_or_else(|| workspace.root.join("../shared/data")).join("vectors")
}

fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

/// Changes with the program that is attacked, so that results of parts are not used for another one.
fn fingerprint(program: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(program).with_context(|| format!("cannot read `{}`", program.display()))?;
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes);
    Ok(format!("{:016x}", hasher.finish()))
}

/// The last line, and what was skipped before it.
fn conclusion(stdout: &str) -> String {
    let skipped: BTreeSet<&str> =
        stdout.lines().map(str::trim).filter(|line| line.starts_with("skipped: ")).collect();
    let last = stdout.lines().rev().find(|line| line.contains(GOT_THROUGH)).unwrap_or_default();
    let mut text = last.to_owned();
    for line in skipped {
        text.push_str("\n  ");
        text.push_str(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conclusion_is_the_last_count_with_what_was_skipped() {
        let output = "slow: 10 attempts, 0 got through, 2.0 s\n  skipped: vectors: there is no data\n\
                      12 attempts, 0 got through; skipped: vectors\n";
        let text = conclusion(output);
        assert!(text.starts_with("12 attempts, 0 got through"), "{text}");
        assert!(text.contains("skipped: vectors: there is no data"), "{text}");
        assert!(!text.contains("slow"), "{text}");
    }

    #[test]
    fn secret_file_is_closed_to_others() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        write_secret(&file, "postgres://x").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fingerprint(&file).unwrap().len(), 16);
    }
}
