use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

use super::apt::Apt;
use super::{Needs, say};
use crate::task::{Outcome, Task};
use crate::web;
use crate::workspace::Workspace;

/// The pinned ansible-core asks for it.
const OLDEST_PYTHON: (u32, u32) = (3, 11);
const CANDIDATES: [&str; 4] = ["python3", "python3.13", "python3.12", "python3.11"];
const PLATFORM_MARKER: &str = "installed-platform";
const CHECKS_MARKER: &str = "installed-checks";
const BENCH_MARKER: &str = "installed-bench";
const BENCH_REQUIREMENTS: &str = "crates/simulator/examples/simpy/requirements.txt";
const ATTACK_MARKER: &str = "installed-attack";
const ATTACK_REQUIREMENTS: &str = "attack/requirements.txt";
const NODE_MARKER: &str = "installed-node";
const NODE_REQUIREMENTS: &str = "console/requirements.txt";
const QUICK: Duration = Duration::from_secs(60);
const INSTALL_DEADLINE: Duration = Duration::from_secs(900);

/// Makes the private environment hold exactly the pinned packages.
pub fn ensure(workspace: &Workspace, needs: Needs, apt: &mut Apt) -> anyhow::Result<String> {
    let environment = workspace.tools().join("venv");
    let wanted = Wanted::read(workspace, needs)?;
    provide(&environment, &wanted, apt)?;
    Ok(format!("{} in {}", wanted.what, environment.display()))
}

/// The interpreter of an environment of its own for benchmarks.
pub fn ensure_bench(workspace: &Workspace, apt: &mut Apt) -> anyhow::Result<PathBuf> {
    ensure_apart(workspace, apt, "bench-venv", ("SimPy", BENCH_REQUIREMENTS, BENCH_MARKER))
}

/// The interpreter of an environment of its own for attacks.
pub fn ensure_attack(workspace: &Workspace, apt: &mut Apt) -> anyhow::Result<PathBuf> {
    ensure_apart(workspace, apt, "attack-venv", ("Schemathesis", ATTACK_REQUIREMENTS, ATTACK_MARKER))
}

/// Node, from an environment of its own.
pub fn ensure_node(workspace: &Workspace, apt: &mut Apt) -> anyhow::Result<()> {
    ensure_apart(workspace, apt, web::NODE_ENVIRONMENT, ("Node", NODE_REQUIREMENTS, NODE_MARKER)).map(drop)
}

fn ensure_apart(
    workspace: &Workspace,
    apt: &mut Apt,
    folder: &str,
    (what, requirements, marker): (&str, &str, &'static str),
) -> anyhow::Result<PathBuf> {
    let environment = workspace.tools().join(folder);
    let file = workspace.root.join(requirements);
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let wanted = Wanted { what: what.to_owned(), file, markers: vec![(marker, text)] };
    provide(&environment, &wanted, apt)?;
    Ok(environment.join("bin/python"))
}

fn provide(environment: &Path, wanted: &Wanted, apt: &mut Apt) -> anyhow::Result<()> {
    if !wanted.is_installed_in(environment) {
        say(&format!("{} is missing or out of date in {}", wanted.what, environment.display()));
        // Created again when it does not run: its interpreter may have been removed or the folder moved.
        if !runs(environment) {
            create(environment, apt)?;
        }
        install(environment, wanted)?;
    }
    Ok(())
}

struct Wanted {
    what: String,
    file: PathBuf,
    /// Name and content of the files that say what is installed; the last one marks it as complete.
    markers: Vec<(&'static str, String)>,
}

impl Wanted {
    fn read(workspace: &Workspace, needs: Needs) -> anyhow::Result<Self> {
        let playbooks = workspace.playbooks();
        let read = |name: &str| {
            let path = playbooks.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))
        };
        let base = read("requirements.txt")?;
        let core = name_and_version(&base, "ansible-core");
        Ok(match needs {
            Needs::Platform | Needs::RealHosts | Needs::Brownfield => {
                let file = playbooks.join("requirements.txt");
                Self { what: core, file, markers: vec![(PLATFORM_MARKER, base)] }
            }
            Needs::Checks => {
                let all = format!("{base}{}", read("requirements-dev.txt")?);
                let markers = vec![(PLATFORM_MARKER, base), (CHECKS_MARKER, all)];
                let file = playbooks.join("requirements-dev.txt");
                Self { what: format!("{core} with ansible-lint"), file, markers }
            }
        })
    }

    /// The markers are written last and repeat what was installed, so neither an interrupted run nor a changed pin is
    /// taken for done.
    fn is_installed_in(&self, environment: &Path) -> bool {
        let as_marked = |(name, text): &(&str, String)| {
            fs::read_to_string(environment.join(name)).is_ok_and(|found| found == *text)
        };
        self.markers.last().is_some_and(as_marked) && runs(environment)
    }
}

/// False, too, for an environment that was moved: its programs name the interpreter by its old place.
fn runs(environment: &Path) -> bool {
    let python = environment.join("bin/python");
    let pip = fs::read_to_string(environment.join("bin/pip")).unwrap_or_default();
    let mut command = Command::new(&python);
    command.args(["-c", "import pip"]);
    python.exists() && pip.contains(&*environment.to_string_lossy()) && succeeds(command)
}

fn create(environment: &Path, apt: &mut Apt) -> anyhow::Result<()> {
    let python = match find_python()? {
        Some(python) => python,
        None => {
            say("Python is missing");
            apt.install(&["python3", "python3-venv"])?;
            find_python()?.context("python3 is still missing after its installation")?
        }
    };
    say(&format!("making a private Python environment with {python}"));
    let mut outcome = make(&python, environment)?;
    if !outcome.success && python == "python3" && Apt::is_available() {
        // Debian keeps the part that brings pip into a new environment in a package of its own.
        say("Python lacks its venv module");
        apt.install(&["python3-venv"])?;
        outcome = make(&python, environment)?;
    }
    if !outcome.success {
        bail!("`{python} -m venv {}` failed:\n{}", environment.display(), outcome.all());
    }
    Ok(())
}

fn make(python: &str, environment: &Path) -> anyhow::Result<Outcome> {
    let mut command = Command::new(python);
    command.args(["-m", "venv", "--clear"]).arg(environment);
    Task::new("python -m venv", QUICK * 2).run(command)
}

/// The first interpreter that is new enough. One that is there but too old is an error of its own: installing Debian's
/// would not change it.
fn find_python() -> anyhow::Result<Option<String>> {
    let mut too_old = None;
    for name in CANDIDATES {
        match version(name) {
            Some(found) if found >= OLDEST_PYTHON => return Ok(Some(name.to_owned())),
            Some(found) => too_old = too_old.or(Some(found)),
            None => {}
        }
    }
    let (major, minor) = OLDEST_PYTHON;
    match too_old {
        None => Ok(None),
        Some(found) => bail!(
            "Python {}.{} is too old for the pinned ansible-core; install Python {major}.{minor} or newer",
            found.0,
            found.1
        ),
    }
}

fn version(python: &str) -> Option<(u32, u32)> {
    let mut command = Command::new(python);
    command.args(["-c", "import sys; print(*sys.version_info[:2])"]);
    let outcome = Task::quiet("python", QUICK).run(command).ok().filter(|outcome| outcome.success)?;
    let (major, minor) = outcome.stdout.trim().split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn install(environment: &Path, wanted: &Wanted) -> anyhow::Result<()> {
    say(&format!("installing {} with pip", wanted.what));
    for marker in [PLATFORM_MARKER, CHECKS_MARKER, BENCH_MARKER, ATTACK_MARKER, NODE_MARKER] {
        let _ = fs::remove_file(environment.join(marker));
    }
    let mut command = Command::new(environment.join("bin/python"));
    command
        .args(["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"])
        // A file whose hash is not in the list, or a package that the list does not name, is not installed.
        .args(["--retries", "5", "--timeout", "60", "--require-hashes", "--requirement"])
        .arg(&wanted.file);
    let outcome = Task::new("pip install", INSTALL_DEADLINE).run(command)?;
    if !outcome.success {
        bail!("installing {} failed:\n{}", wanted.what, outcome.all());
    }
    for (name, text) in &wanted.markers {
        let marker = environment.join(name);
        fs::write(&marker, text).with_context(|| format!("cannot write `{}`", marker.display()))?;
    }
    Ok(())
}

/// `ansible-core 2.19.14` of the line `ansible-core==2.19.14 \`, whose hashes are on the lines after it.
fn name_and_version(requirements: &str, name: &str) -> String {
    let version = requirements.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("=="));
    let version = version.and_then(|rest| rest.split_whitespace().next());
    version.map_or_else(|| name.to_owned(), |version| format!("{name} {version}"))
}

fn succeeds(command: Command) -> bool {
    Task::quiet("python", QUICK).run(command).is_ok_and(|outcome| outcome.success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_without_its_hashes() {
        let text = "ansible-core==2.19.14 \\\n    --hash=sha256:00\nansible-core-x==1\n";
        assert_eq!(name_and_version(text, "ansible-core"), "ansible-core 2.19.14");
        assert_eq!(name_and_version("ansible-core-x==1\n", "ansible-core"), "ansible-core");
    }

    /// pip checks hashes only if every package of the file has one.
    #[test]
    fn every_pinned_package_has_a_hash() {
        let workspace = Workspace::find().unwrap();
        let files = ["playbooks/requirements.txt", "playbooks/requirements-dev.txt"];
        for file in files.into_iter().chain([BENCH_REQUIREMENTS, ATTACK_REQUIREMENTS, NODE_REQUIREMENTS]) {
            let text = fs::read_to_string(workspace.root.join(file)).unwrap();
            let packages: Vec<&str> = text.split("\n").filter(|line| line.contains("==")).collect();
            assert!(!packages.is_empty(), "{file}");
            for package in packages {
                let (_, after) = text.split_once(package).unwrap();
                let next = after.lines().nth(1).unwrap_or_default().trim();
                assert!(package.ends_with('\\') && next.starts_with("--hash=sha256:"), "{file}: {package}");
            }
        }
    }
}
