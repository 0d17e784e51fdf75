//! The checks of a wave: the validation of a release, the smoke tests of the demo.

use std::{collections::BTreeSet, path::PathBuf, process::Stdio, time::Duration};

use domain::{
    ids::CiId,
    release::{Check, CheckRun, Finding},
    run::{Answer, HostState},
};
use serde::Deserialize;
use service_kit::ApiResult;
use sha2::{Digest, Sha256};
use tokio::{io::AsyncReadExt, process::Command};

use super::{Task, deployment};
use crate::app::{health_check, webhooks};
use crate::store::releases;
use patch_runs::app::transition::Evidence;

/// Kept of a check's output: its end, which usually has the reason.
const MAX_LOG_BYTES: usize = 16 * 1024;
/// Health checks of a customer before its smoke test fails.
const HEALTH_ATTEMPTS: u32 = 3;
const HEALTH_INTERVAL: Duration = Duration::from_millis(300);

/// The result of a check, with its log.
enum CheckVerdict {
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
        let verdict = match tokio::time::timeout(limit, perform(task, check, &of_wave.hosts)).await {
            Ok(verdict) => verdict,
            Err(_) => CheckVerdict::Failed(format!("it took longer than its {} s", check.timeout_seconds)),
        };
        let (result, log) = match &verdict {
            CheckVerdict::Passed(log) => ("passed", log),
            CheckVerdict::Failed(log) => ("failed", log),
            CheckVerdict::Inconclusive(log) => ("inconclusive", log),
        };
        let took = (app.clock.now() - began_at).num_seconds();
        let last_line = log.trim().lines().last().unwrap_or_default();
        let last_line: String = last_line.chars().filter(|c| !c.is_control()).take(500).collect();
        evidence.log.push((None, format!("check `{}` {result} after {took} s: {last_line}", check.name)));
        let mut conn = app.pool.acquire().await?;
        releases::end_check(&mut conn, run, wave, &check.name, (result, log), app.clock.now()).await?;
        match verdict {
            CheckVerdict::Failed(_) => {
                first_failure.get_or_insert(format!("check `{}` failed: {last_line}", check.name));
            }
            CheckVerdict::Inconclusive(_) => {
                inconclusive.get_or_insert(format!("`{}`: {last_line}", check.name));
            }
            CheckVerdict::Passed(_) => {}
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

async fn perform(task: &Task<'_>, check: &Check, customers: &[CiId]) -> CheckVerdict {
    match &check.run {
        CheckRun::Command { program, arguments } => command(task, program, arguments).await,
        CheckRun::Playbook { check } => playbook(task, check).await,
        CheckRun::Webhook { url } => webhook(task, check, url).await,
        CheckRun::Health => health(task, customers).await,
    }
}

/// The folder of programs and playbooks that may run as checks.
fn checks_folder<'a>(task: &'a Task<'_>) -> Result<&'a PathBuf, CheckVerdict> {
    task.app.outside.settings.release_checks.as_ref().ok_or_else(|| {
        CheckVerdict::Inconclusive(
            "this server has no folder of checks; start it with PATCH_RELEASE_CHECKS or --release-checks"
                .to_owned(),
        )
    })
}

async fn command(task: &Task<'_>, program: &str, arguments: &[String]) -> CheckVerdict {
    match checks_folder(task) {
        Ok(folder) => run(task, folder.join(program), arguments).await,
        Err(verdict) => verdict,
    }
}

/// A playbook of the same folder, on this server: it checks the release, not hosts of the fleet.
async fn playbook(task: &Task<'_>, name: &str) -> CheckVerdict {
    let file = match checks_folder(task) {
        Ok(folder) => folder.join(format!("{name}.yml")),
        Err(verdict) => return verdict,
    };
    let program =
        task.app.runs.settings.ansible_playbook.clone().unwrap_or_else(|| PathBuf::from("ansible-playbook"));
    let arguments = ["--inventory", "localhost,", "--connection", "local"].map(str::to_owned);
    run(task, program, &[&arguments[..], &[file.display().to_string()]].concat()).await
}

/// Runs a child process with its own arguments and a minimal environment.
async fn run(task: &Task<'_>, program: PathBuf, arguments: &[String]) -> CheckVerdict {
    let Ok(deployment) = deployment(task) else {
        return CheckVerdict::Inconclusive("the plan has no release".to_owned());
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
            return CheckVerdict::Inconclusive(format!("`{}` cannot be started: {error}", program.display()));
        }
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (output, errors, ended) = tokio::join!(read_tail(stdout), read_tail(stderr), child.wait());
    let log = [errors, output].concat();
    match ended {
        Ok(status) if status.success() => CheckVerdict::Passed(log),
        Ok(status) if log.trim().is_empty() => CheckVerdict::Failed(format!("it ended with {status}")),
        Ok(_) => CheckVerdict::Failed(log),
        Err(error) => CheckVerdict::Inconclusive(format!("its exit status is not known: {error}")),
    }
}

/// Reads to the end and keeps only the last part.
async fn read_tail(source: Option<impl AsyncReadExt + Unpin>) -> String {
    let Some(mut source) = source else { return String::new() };
    let (mut kept, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = source.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..count]);
        if kept.len() > 2 * MAX_LOG_BYTES {
            kept.drain(..kept.len() - MAX_LOG_BYTES);
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

async fn webhook(task: &Task<'_>, check: &Check, url: &str) -> CheckVerdict {
    let Ok(deployment) = deployment(task) else {
        return CheckVerdict::Inconclusive("the plan has no release".to_owned());
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
    // After a crash, the step is performed again and asks for the same check under the same id.
    let name = hex::encode(&Sha256::digest(&check.name)[..8]);
    let id = format!("check_{}_{}_{name}", task.loaded.row.id.0.simple(), task.pending.step);
    match webhooks::post(&task.app, (url, None), &id, &body, limit).await {
        Ok(answer) => match serde_json::from_slice::<CheckAnswer>(&answer) {
            Ok(CheckAnswer { passed: true, log }) => CheckVerdict::Passed(log),
            Ok(CheckAnswer { passed: false, log }) => CheckVerdict::Failed(log),
            Err(_) => CheckVerdict::Inconclusive(
                "its answer is invalid; `{\"passed\": true}` was expected".to_owned(),
            ),
        },
        Err(error) => CheckVerdict::Inconclusive(error.to_string()),
    }
}

/// Every customer of the wave that was deployed to must be healthy.
async fn health(task: &Task<'_>, customers: &[CiId]) -> CheckVerdict {
    let Ok(deployment) = deployment(task) else {
        return CheckVerdict::Inconclusive("the plan has no release".to_owned());
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
        for attempt in 1..=HEALTH_ATTEMPTS {
            let sample = health_check::check_health(&task.app, id, &target.health).await;
            match sample.finding(&deployment.health, target.baseline.as_ref(), Some(target.to)) {
                Finding::Healthy => {
                    lines.push(format!("{id} is healthy on {}", target.to));
                    last.clear();
                    break;
                }
                Finding::Failure(reason) | Finding::Deviation(reason) => last = reason,
            }
            if attempt < HEALTH_ATTEMPTS {
                tokio::time::sleep(HEALTH_INTERVAL).await;
            }
        }
        if !last.is_empty() {
            lines.push(format!("{id} is unhealthy: {last}"));
            return CheckVerdict::Failed(lines.join("\n"));
        }
    }
    CheckVerdict::Passed(lines.join("\n"))
}
