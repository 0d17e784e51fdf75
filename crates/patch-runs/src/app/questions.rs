//! Questions to real hosts: a playbook that changes nothing, and writes one file about each host.

use std::{collections::BTreeMap, path::Path};

use ansible::{Playbook, Variables};
use domain::{ids::CiId, plan::Target};
use serde::de::DeserializeOwned;
use service_kit::ApiResult;
use uuid::Uuid;

use super::{keys::Keys, playbooks, scan_output::read_host_file, scans};
use crate::{App, store::runs::RunRow};

/// For which run hosts are asked, and with which keys.
pub(super) struct Asker<'a> {
    pub run: &'a RunRow,
    pub run_dir: &'a Path,
    pub keys: &'a Keys,
}

/// Why nothing is known about a host.
pub(super) enum Silence {
    /// The playbook could not be started, so nobody asked.
    NotAsked(String),
    NoAnswer(String),
}

impl Silence {
    pub fn reason(self) -> String {
        match self {
            Self::NotAsked(reason) | Self::NoAnswer(reason) => reason,
        }
    }
}

/// What each of these hosts answers. All of them can be connected to, as far as the settings say.
pub(super) async fn ask<T: DeserializeOwned>(
    app: &App,
    asker: &Asker<'_>,
    playbook: Playbook,
    targets: &BTreeMap<CiId, Target>,
    variables: impl Fn(&CiId, &Target) -> Variables,
) -> ApiResult<BTreeMap<CiId, Result<T, Silence>>> {
    let mut answers = BTreeMap::new();
    let targets: Vec<(&CiId, &Target)> = targets.iter().collect();
    for chunk in targets.chunks(scans::CHUNK) {
        answers.extend(ask_chunk(app, asker, playbook, chunk, &variables).await?);
    }
    Ok(answers)
}

async fn ask_chunk<T: DeserializeOwned>(
    app: &App,
    asker: &Asker<'_>,
    playbook: Playbook,
    chunk: &[(&CiId, &Target)],
    variables: impl Fn(&CiId, &Target) -> Variables,
) -> ApiResult<BTreeMap<CiId, Result<T, Silence>>> {
    let folder = asker.run_dir.join(format!("{playbook}-{}", Uuid::now_v7()));
    let results_dir = folder.join("results");
    scans::create_folder(&results_dir).await?;
    let run_dir = folder.join("run");
    let hosts = chunk.iter().copied();
    let mut run =
        playbooks::playbook_run(app, playbook, hosts, asker.keys, variables, run_dir, scans::CHUNK_TIMEOUT)?;
    // It changes nothing, so there is nothing to finish before a stop.
    run.stop_graces = scans::quick_stop();
    run.extra_vars.set("pm_run_id", asker.run.id.to_string());
    run.extra_vars.set("pm_results_dir", results_dir.to_string_lossy().into_owned());
    let failures = match scans::run_playbook(app, run).await {
        Ok(failures) => failures,
        Err(error) => {
            let silent =
                |(id, _): &(&CiId, &Target)| ((*id).clone(), Err(Silence::NotAsked(error.to_string())));
            return Ok(chunk.iter().map(silent).collect());
        }
    };
    let mut answers = BTreeMap::new();
    for (id, _) in chunk {
        let answer = match failures.get(*id) {
            Some(failure) => Err(failure.reason.clone()),
            None => read_host_file(&results_dir, id).await,
        };
        answers.insert((*id).clone(), answer.map_err(Silence::NoAnswer));
    }
    if let Err(error) = tokio::fs::remove_dir_all(&folder).await {
        tracing::debug!("cannot delete the files of a question in `{}`: {error}", folder.display());
    }
    Ok(answers)
}
