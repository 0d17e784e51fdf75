//! What the platform says about itself: its database, its disk, Ansible, keys, feeds, runs and messages.

use api_client::ClientError;
use api_types::itsm::Notification;
use api_types::patch::{Diagnosis, Feed, FeedState, HostKeySource, RunSummary};
use chrono::{DateTime, TimeDelta, Utc};

use super::services::compare;
use super::{Finding, room, within_time};
use crate::connect::Connection;
use terminal::clean;

/// Items of a list that are looked at.
const LOOKED_AT: usize = 1000;
/// Names that a detail lists.
const NAMED: usize = 5;
/// A token that expires sooner is replaced in time.
const TOKEN_NOTICE: TimeDelta = TimeDelta::days(7);
/// Messages that wait longer are not delivered as they come.
const DELIVERY: TimeDelta = TimeDelta::minutes(10);

pub async fn examine(connection: &Connection) -> Vec<Finding> {
    let (token, own, feeds, runs, outbox) = tokio::join!(
        within_time("token", token(connection)),
        within_time("database", own(connection)),
        within_time("feeds", feeds(connection)),
        within_time("runs", runs(connection)),
        within_time("outbox", outbox(connection)),
    );
    [token, own, feeds, runs, outbox].concat()
}

/// What could not be asked is unknown, for this reason.
fn unasked(check: &str, error: &ClientError) -> Finding {
    let remedy = match error.status() {
        Some(401) => "pass a valid token with --token-file or PATCH_TOKEN",
        Some(403) => "ask with a token of the role operator or admin",
        Some(404) => "the platform is of an older version: upgrade it",
        _ => "see the services above",
    };
    Finding::unknown(check, error.to_string(), remedy)
}

async fn token(connection: &Connection) -> Vec<Finding> {
    match connection.access().get_me().await {
        Ok(me) => vec![of_token(&me.subject, me.expires_at, Utc::now())],
        Err(error) if error.status() == Some(401) => vec![Finding::failed(
            "token",
            "the platform refuses your token",
            "pass a valid token with --token-file or PATCH_TOKEN",
        )],
        Err(error) => vec![unasked("token", &error)],
    }
}

fn of_token(subject: &str, expires_at: DateTime<Utc>, now: DateTime<Utc>) -> Finding {
    let detail = format!("of {}, until {}", clean(subject), expires_at.format("%Y-%m-%d"));
    if expires_at - now > TOKEN_NOTICE {
        return Finding::ok("token", detail);
    }
    Finding::warning("token", detail, "issue a new one with `patchctl token create` before that day")
}

async fn own(connection: &Connection) -> Vec<Finding> {
    match connection.patch().get_diagnosis().await {
        Ok(diagnosis) => of_diagnosis(&diagnosis),
        Err(error) => {
            ["database", "work disk", "ansible", "host keys"].map(|check| unasked(check, &error)).to_vec()
        }
    }
}

fn of_diagnosis(diagnosis: &Diagnosis) -> Vec<Finding> {
    let Diagnosis { at, database, ansible, work_disk, host_keys, .. } = diagnosis;
    let size = format!("PostgreSQL {}, {} MiB", clean(&database.server_version), database.size_bytes >> 20);
    let ansible = match (&ansible.version, &ansible.problem) {
        (Some(version), _) => Finding::ok("ansible", clean(version)),
        (None, problem) => Finding::failed(
            "ansible",
            clean(problem.as_deref().unwrap_or("it is not known why")),
            "install ansible-core on the machine of the patch-manager, or set PATCH_ANSIBLE_PLAYBOOK there",
        ),
    };
    let work_disk = match (work_disk.free_bytes, work_disk.total_bytes) {
        (Some(free), Some(total)) => room("work disk", free, total),
        _ => Finding::unknown(
            "work disk",
            clean(work_disk.problem.as_deref().unwrap_or("it is not known why")),
            "check the folder of PATCH_WORK_DIR on the machine of the patch-manager",
        ),
    };
    let host_keys = match (host_keys.source, &host_keys.problem) {
        (HostKeySource::File, Some(problem)) => Finding::failed(
            "host keys",
            clean(problem),
            "set PATCH_SSH_KEY_FILE to a file that only the patch-manager reads (mode 600)",
        ),
        (HostKeySource::File, None) => Finding::ok("host keys", "the key file can be used"),
        (HostKeySource::Vault, _) => Finding::unknown(
            "host keys",
            "keys come from a Vault, which is asked only by scans and runs",
            "`patchctl policy preview POLICY --preflight` reads the keys of its hosts",
        ),
        (HostKeySource::None, _) => Finding::warning(
            "host keys",
            "no SSH key is set: only model hosts can be reached",
            "set PATCH_SSH_KEY_FILE, or PATCH_VAULT_ADDR if a Vault has the keys",
        ),
    };
    vec![
        Finding::ok("database", size),
        compare("clock database", database.at, *at, "the patch-manager"),
        work_disk,
        ansible,
        host_keys,
    ]
}

async fn feeds(connection: &Connection) -> Vec<Finding> {
    match connection.patch().list_feeds(LOOKED_AT).await {
        Ok(feeds) => vec![of_feeds(&feeds)],
        Err(error) => vec![unasked("feeds", &error)],
    }
}

fn of_feeds(feeds: &[Feed]) -> Finding {
    let named = |state| names(feeds.iter().filter(|feed| feed.state == state).map(|feed| feed.id.clone()));
    if feeds.is_empty() {
        return Finding::warning(
            "feeds",
            "no feed is fetched: the platform knows only advisories that somebody imports",
            "`patchctl feed presets` names feeds, and `patchctl feed add NAME` fetches one",
        );
    }
    if let Some(late) = named(FeedState::Late) {
        let remedy = "`patchctl feed show ID` says why; hosts become unknown when a feed is too old";
        return Finding::failed("feeds", format!("late: {late}"), remedy);
    }
    if let Some(failing) = named(FeedState::Failing) {
        return Finding::warning("feeds", format!("failing: {failing}"), "`patchctl feed show ID` says why");
    }
    Finding::ok("feeds", format!("{} are fetched", feeds.len()))
}

async fn runs(connection: &Connection) -> Vec<Finding> {
    match connection.patch().list_runs(&[], LOOKED_AT).await {
        Ok(runs) => vec![of_runs(&runs, Utc::now())],
        Err(error) => vec![unasked("runs", &error)],
    }
}

fn of_runs(runs: &[RunSummary], now: DateTime<Utc>) -> Finding {
    let open = || runs.iter().filter(|run| !run.state.is_final());
    let is_stuck = |run: &&RunSummary| run.deadline.is_some_and(|deadline| deadline < now);
    match names(open().filter(is_stuck).map(|run| format!("{} ({})", run.id, run.state.name()))) {
        Some(stuck) => Finding::failed(
            "runs",
            format!("past their deadline: {stuck}"),
            "`patchctl run show ID` says what it waits for; `patchctl run cancel ID` stops it in a safe state",
        ),
        None => Finding::ok("runs", format!("{} open, none past its deadline", open().count())),
    }
}

async fn outbox(connection: &Connection) -> Vec<Finding> {
    let client = connection.itsm();
    let state = |state: &str| [("state", state.to_owned())];
    let (pending, failed) = (state("pending"), state("failed"));
    let asked = tokio::try_join!(
        client.list_notifications(&pending, LOOKED_AT),
        client.list_notifications(&failed, LOOKED_AT)
    );
    match asked {
        Ok((pending, failed)) => vec![of_outbox(&pending, &failed, Utc::now())],
        Err(error) => vec![unasked("outbox", &error)],
    }
}

fn of_outbox(pending: &[Notification], failed: &[Notification], now: DateTime<Utc>) -> Finding {
    let waiting: Vec<&Notification> = pending.iter().filter(|one| now - one.created_at > DELIVERY).collect();
    let remedy = "`patchctl notification list --state failed` says why; `patchctl notification resend ID` sends one again";
    if waiting.len() >= LOOKED_AT / 10 {
        return Finding::failed(
            "outbox",
            format!("{} messages wait for more than ten minutes", waiting.len()),
            remedy,
        );
    }
    if !waiting.is_empty() || !failed.is_empty() {
        let detail = format!(
            "{} messages wait for more than ten minutes, {} have failed",
            waiting.len(),
            failed.len()
        );
        return Finding::warning("outbox", detail, remedy);
    }
    Finding::ok("outbox", format!("{} messages wait, none for long", pending.len()))
}

/// The first names, and how many more there are; `None` if there is none.
fn names(all: impl Iterator<Item = String>) -> Option<String> {
    let all: Vec<String> = all.map(|name| clean(&name)).collect();
    let more = all.len().saturating_sub(NAMED);
    let shown = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match (all.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(shown),
        (false, more) => Some(format!("{shown} and {more} more")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Status;
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn diagnosis(change: serde_json::Value) -> Diagnosis {
        let mut healthy = json!({
            "at": "2026-03-01T12:00:00Z", "version": "0.1.0",
            "database": { "at": "2026-03-01T12:00:00Z", "server_version": "17.2", "size_bytes": 20_000_000 },
            "ansible": { "version": "ansible-playbook [core 2.19.1]", "problem": null },
            "work_disk": { "free_bytes": 90_000_000_000_u64, "total_bytes": 100_000_000_000_u64, "problem": null },
            "host_keys": { "source": "file", "problem": null },
        });
        for (name, value) in change.as_object().unwrap() {
            healthy[name] = value.clone();
        }
        serde_json::from_value(healthy).unwrap()
    }

    fn bad(change: serde_json::Value) -> Vec<(String, Status)> {
        let found = of_diagnosis(&diagnosis(change)).into_iter();
        found.filter(|one| one.status != Status::Ok).map(|one| (one.check, one.status)).collect()
    }

    #[test]
    fn each_fault_of_the_platform_is_found_and_nothing_else() {
        assert!(bad(json!({})).is_empty());
        let fault = |change, check: &str, status| assert_eq!(bad(change), [(check.to_owned(), status)]);
        fault(json!({ "ansible": { "version": null, "problem": "not there" } }), "ansible", Status::Failed);
        fault(json!({ "host_keys": { "source": "none", "problem": null } }), "host keys", Status::Warning);
        fault(json!({ "host_keys": { "source": "vault", "problem": null } }), "host keys", Status::Unknown);
        fault(
            json!({ "host_keys": { "source": "file", "problem": "mode 644" } }),
            "host keys",
            Status::Failed,
        );
        let no_disk = json!({ "free_bytes": null, "total_bytes": null, "problem": "no answer" });
        fault(json!({ "work_disk": no_disk }), "work disk", Status::Unknown);
        let late = json!({ "at": "2026-03-01T11:00:00Z", "server_version": "17.2", "size_bytes": 1 });
        fault(json!({ "database": late }), "clock database", Status::Failed);
    }

    #[test]
    fn token_that_expires_soon_is_a_warning() {
        assert_eq!(of_token("olivia", now() + TimeDelta::days(30), now()).status, Status::Ok);
        assert_eq!(of_token("olivia", now() + TimeDelta::days(2), now()).status, Status::Warning);
    }

    #[test]
    fn run_past_its_deadline_is_stuck_unless_it_has_ended() {
        let run = |state: &str, deadline: &str| -> RunSummary {
            serde_json::from_value(json!({
                "id": "018f4e3a-0000-7000-8000-000000000002", "trigger": "manual", "policy_id": null, "advisory": null,
                "strategy": null, "state": state, "stage": null, "reason": null, "requested_by": "olivia", "change_id": null,
                "plan_hash": null, "dry_run": false, "emergency": false, "of_run": null, "scheduled_for": null,
                "hosts": { "total": 0, "pending": 0, "working": 0, "succeeded": 0, "failed": 0, "skipped": 0, "cancelled": 0 },
                "created_at": "2026-03-01T10:00:00Z", "started_at": null, "ended_at": null, "deadline": deadline,
            }))
            .unwrap()
        };
        let (past, ahead) = ("2026-03-01T11:00:00Z", "2026-03-01T13:00:00Z");
        assert_eq!(of_runs(&[run("executing", past)], now()).status, Status::Failed);
        assert_eq!(of_runs(&[run("executing", ahead), run("succeeded", past)], now()).status, Status::Ok);
    }

    #[test]
    fn names_are_bounded() {
        assert_eq!(names(std::iter::empty()), None);
        assert_eq!(names((1..=2).map(|n| n.to_string())).unwrap(), "1, 2");
        assert_eq!(names((1..=9).map(|n| n.to_string())).unwrap(), "1, 2, 3, 4, 5 and 4 more");
    }
}
