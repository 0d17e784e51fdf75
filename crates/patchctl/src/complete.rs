//! Completion of what only the platform knows: ids of runs and changes, policies, hosts. A shell waits for it, so what is not
//! answered at once is not offered.

use std::ffi::OsStr;
use std::time::Duration;

use clap::Parser;
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use domain::strategy::Strategy;

use crate::arguments::global::GlobalOptions;
use crate::connect::Connection;
use crate::resolve::about_run;
use terminal::Failure;

/// Nobody waits longer for a completion.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Candidates that are offered.
const MOST: usize = 200;

pub fn runs() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let mut found = ask(async |connection| {
            let runs = connection.patch().list_runs(&[], MOST).await?;
            Ok(runs.iter().map(|run| candidate(run.id, about_run(run))).collect())
        });
        found.push(candidate("@latest", "the newest run"));
        found
    })
}

pub fn changes() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let mut found = ask(async |connection| {
            let changes = connection.itsm().list_changes(&[], MOST).await?;
            Ok(changes.iter().map(|change| candidate(&change.id, &change.short_description)).collect())
        });
        found.push(candidate("@latest", "the newest change"));
        found
    })
}

pub fn policies() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        ask(async |connection| {
            let policies = connection.patch().list_policies(&[], MOST).await?;
            Ok(policies.iter().map(|one| candidate(&one.policy.id, &one.policy.name)).collect())
        })
    })
}

/// The hosts of a fleet are too many to list: those that begin like what was typed.
pub fn hosts() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let typed = typed.to_string_lossy().into_owned();
        ask(async |connection| {
            let query: Vec<_> = (!typed.is_empty()).then(|| ("q", typed.clone())).into_iter().collect();
            let cis = connection.cmdb().list_cis(&query, MOST).await?;
            let fitting = cis.iter().filter(|ci| ci.id.as_str().starts_with(&typed));
            Ok(fitting.map(|ci| CompletionCandidate::new(ci.id.as_str())).collect())
        })
    })
}

pub fn strategies() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        Strategy::ALL.iter().map(|one| CompletionCandidate::new(one.to_string())).collect()
    })
}

fn candidate(value: impl ToString, help: impl AsRef<str>) -> CompletionCandidate {
    CompletionCandidate::new(value.to_string()).help(Some(terminal::clean(help.as_ref()).into()))
}

/// The answer of the platform that the words of the line select; nothing if there is none.
fn ask(
    list: impl AsyncFnOnce(&Connection) -> Result<Vec<CompletionCandidate>, Failure>,
) -> Vec<CompletionCandidate> {
    let Some(global) = global_options(std::env::args()) else { return Vec::new() };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let answer = async {
        let connection = Connection::new(&global).ok()?;
        tokio::time::timeout(TIMEOUT, list(&connection)).await.ok()?.ok()
    };
    runtime.block_on(answer).unwrap_or_default()
}

/// A line of which only the global options are read.
#[derive(Parser)]
struct Line {
    #[command(flatten)]
    global: GlobalOptions,
}

/// The global options of an unfinished line: `patchctl -- patchctl --port-base 9000 run show`.
fn global_options(words: impl Iterator<Item = String>) -> Option<GlobalOptions> {
    const WITH_VALUE: [&str; 6] =
        ["--server", "--port-base", "--cmdb-url", "--itsm-url", "--token-file", "--data-dir"];
    let words: Vec<String> = words.skip_while(|word| word != "--").skip(2).collect();
    let mut line = vec!["patchctl".to_owned()];
    for (index, word) in words.iter().enumerate() {
        if WITH_VALUE.contains(&word.as_str()) {
            line.extend(words.get(index..index + 2).unwrap_or_default().iter().cloned());
        } else if word.split_once('=').is_some_and(|(name, _)| WITH_VALUE.contains(&name)) {
            line.push(word.clone());
        }
    }
    Line::try_parse_from(line).ok().map(|line| line.global)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platform_of_an_unfinished_line_is_asked() {
        let port = |line: &str| global_options(line.split(' ').map(str::to_owned)).unwrap().port_base;
        assert_eq!(port("patchctl -- patchctl --port-base 9000 run show "), 9000);
        assert_eq!(port("patchctl -- patchctl run show --port-base=9010 01"), 9010);
        assert_eq!(port("patchctl -- patchctl run show --port-base"), 8080);
    }
}
