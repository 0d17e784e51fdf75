//! The checks of a wave: the validation of a release, the smoke tests of the demo.

use std::{collections::BTreeSet, path::PathBuf, process::Stdio, time::Duration};

use domain::{
    ids::CiId,
    release::{Check, CheckRun, Finding},
    run::{Answer, HostState},
};
use serde::Deserialize;
use service_kit::ApiResult;
use tokio::{io::AsyncReadExt, process::Command};

use super::{Task, deployer, deployment};
use crate::app::watch::health;
use crate::store::releases;
use patch_runs::app::transition::Evidence;

/// What is kept of a check's output: its end, where the reason stands.
const LONGEST_LOG: usize = 16 * 1024;
/// Looks at a customer before its smoke test has failed.
const LOOKS: u32 = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// How a check came out, and its log.
enum Outcome {
    Passed(String),
    Failed(String),
    /// It could not be performed: neither passed nor failed.
    Inconclusive(String),
}

pub(super) async fn run_checks(task: &Task<'_>, wave: usize) -> ApiResult<(Answer, Evidence)> {
    let plan = task.plan()?;
    let Some(of_wave) = plan.waves.get(wave) else {
        return Ok((Answer::Invalid { reason: format!("there is no wave {wave}") }, Evidence::default()));
    };
    let (app, run) = (&task.app, task.loaded.row.id);
    let mut evidence = Evidence::default();
    let mut first_failure = None;
    let mut inconclusive = None;
    for check in &of_wave.checks {
        let began_at = app.clock.now();
        let mut conn = app.pool.acquire().await?;
        releases::begin_check(&mut conn, run, wave, check, began_at).await?;
        drop(conn);
        let limit = Duration::from_secs(u64::from(check.timeout_seconds));
        let outcome = match tokio::time::timeout(limit, perform(task, check, &of_wave.hosts)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Failed(format!("it took longer than its {} s", check.timeout_seconds)),
        };
        let (result, log) = match &outcome {
            Outcome::Passed(log) => ("passed", log),
            Outcome::Failed(log) => ("failed", log),
            Outcome::Inconclusive(log) => ("inconclusive", log),
        };
        let took = (app.clock.now() - began_at).num_seconds();
        let last_line = log.trim().lines().last().unwrap_or_default();
        let last_line: String = last_line.chars().filter(|c| !c.is_control()).take(500).collect();
        evidence.log.push((None, format!("check `{}` {result} after {took} s: {last_line}", check.name)));
        let mut conn = app.pool.acquire().await?;
        releases::end_check(&mut conn, run, wave, &check.name, (result, log), app.clock.now()).await?;
        match outcome {
            Outcome::Failed(_) => {
                first_failure.get_or_insert(format!("check `{}` failed: {last_line}", check.name));
            }
            Outcome::Inconclusive(_) => {
                inconclusive.get_or_insert(format!("`{}`: {last_line}", check.name));
            }
            Outcome::Passed(_) => {}
        }
    }
    let answer = match (first_failure, inconclusive) {
        (Some(reason), _) => Answer::Invalid { reason },
        (None, Some(reason)) => Answer::CouldNot { reason },
        (None, None) => Answer::Valid,
    };
    if of_wave.checks.is_empty() {
        evidence.log.push((None, format!("no checks are configured for `{}`", of_wave.name)));
    }
    Ok((answer, evidence))
}

async fn perform(task: &Task<'_>, check: &Check, customers: &[CiId]) -> Outcome {
    match &check.run {
        CheckRun::Command { program, arguments } => command(task, program, arguments).await,
        CheckRun::Playbook { check } => playbook(task, check).await,
        CheckRun::Webhook { url } => webhook(task, check, url).await,
        CheckRun::Health => of_health(task, customers).await,
    }
}

/// Where the server keeps what may be run as a check.
fn folder<'a>(task: &'a Task<'_>) -> Result<&'a PathBuf, Outcome> {
    task.app.outside.settings.release_checks.as_ref().ok_or_else(|| {
        Outcome::Inconclusive(
            "this server has no folder of checks; start it with PATCH_RELEASE_CHECKS or --release-checks"
                .to_owned(),
        )
    })
}

async fn command(task: &Task<'_>, program: &str, arguments: &[String]) -> Outcome {
    match folder(task) {
        Ok(folder) => run(task, folder.join(program), arguments).await,
        Err(outcome) => outcome,
    }
}

/// A playbook of the same folder, on the server itself: it looks at the release, not at hosts of the fleet.
async fn playbook(task: &Task<'_>, name: &str) -> Outcome {
    let file = match folder(task) {
        Ok(folder) => folder.join(format!("{name}.yml")),
        Err(outcome) => return outcome,
    };
    let program =
        task.app.runs.settings.ansible_playbook.clone().unwrap_or_else(|| PathBuf::from("ansible-playbook"));
    let arguments = ["--inventory", "localhost,", "--connection", "local"].map(str::to_owned);
    run(task, program, &[&arguments[..], &[file.display().to_string()]].concat()).await
}

/// A child with an argument list of its own, a small environment, and an end.
async fn run(task: &Task<'_>, program: PathBuf, arguments: &[String]) -> Outcome {
    let Ok(deployment) = deployment(task) else {
        return Outcome::Inconclusive("the plan has no release".to_owned());
    };
    let child = Command::new(&program)
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", std::env::var_os("HOME").unwrap_or_default())
        .env("LC_ALL", "C.UTF-8")
        .env("RELEASE_VERSION", deployment.version.to_string())
        .env("RELEASE_TYPE", deployment.release_kind.name())
        .env("RELEASE_ARTEFACT", deployment.artefact.as_deref().unwrap_or_default())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            return Outcome::Inconclusive(format!("`{}` cannot be started: {error}", program.display()));
        }
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (output, errors, ended) = tokio::join!(end_of(stdout), end_of(stderr), child.wait());
    let log = [errors, output].concat();
    match ended {
        Ok(status) if status.success() => Outcome::Passed(log),
        Ok(status) => Outcome::Failed(match log.trim().is_empty() {
            true => format!("it ended with {status}"),
            false => log,
        }),
        Err(error) => Outcome::Inconclusive(format!("its end was not seen: {error}")),
    }
}

/// Reads to the end and keeps the last part.
async fn end_of(source: Option<impl AsyncReadExt + Unpin>) -> String {
    let Some(mut source) = source else { return String::new() };
    let (mut kept, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = source.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..count]);
        if kept.len() > 2 * LONGEST_LOG {
            kept.drain(..kept.len() - LONGEST_LOG);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[derive(Deserialize)]
struct CheckAnswer {
    passed: bool,
    #[serde(default)]
    log: String,
}

async fn webhook(task: &Task<'_>, check: &Check, url: &str) -> Outcome {
    let Ok(deployment) = deployment(task) else {
        return Outcome::Inconclusive("the plan has no release".to_owned());
    };
    let body = serde_json::json!({
        "check": check.name,
        "kind": check.kind,
        "version": deployment.version,
        "type": deployment.release_kind,
        "artefact": deployment.artefact,
        "run_id": task.loaded.row.id,
    });
    let limit = Duration::from_secs(u64::from(check.timeout_seconds));
    match deployer::post_signed(&task.app, url, &body, limit).await {
        Ok(answer) => match serde_json::from_slice::<CheckAnswer>(&answer) {
            Ok(CheckAnswer { passed: true, log }) => Outcome::Passed(log),
            Ok(CheckAnswer { passed: false, log }) => Outcome::Failed(log),
            Err(_) => {
                Outcome::Inconclusive("its answer is none: `{\"passed\": true}` was expected".to_owned())
            }
        },
        Err(error) => Outcome::Inconclusive(error.to_string()),
    }
}

/// Every customer of the wave that was deployed to must be well.
async fn of_health(task: &Task<'_>, customers: &[CiId]) -> Outcome {
    let Ok(deployment) = deployment(task) else {
        return Outcome::Inconclusive("the plan has no release".to_owned());
    };
    let machine = &task.loaded.row.machine;
    let deployed: BTreeSet<&CiId> = customers
        .iter()
        .filter(|id| machine.hosts.get(*id).is_some_and(|host| host.state == HostState::Succeeded))
        .collect();
    let mut lines = Vec::new();
    for id in deployed {
        let Some(target) = deployment.customers.get(id) else { continue };
        let mut last = String::new();
        for look in 1..=LOOKS {
            let sample = health::look(&task.app, id, &target.health).await;
            match sample.finding(&deployment.health, target.baseline.as_ref(), Some(target.to)) {
                Finding::Well => {
                    lines.push(format!("{id} is well on {}", target.to));
                    last.clear();
                    break;
                }
                Finding::Failure(reason) | Finding::Deviation(reason) => last = reason,
            }
            if look < LOOKS {
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
        }
        if !last.is_empty() {
            lines.push(format!("{id} is not well: {last}"));
            return Outcome::Failed(lines.join("\n"));
        }
    }
    Outcome::Passed(lines.join("\n"))
}
