//! Which hosts of a wave may start now: those with an opening that is long enough, by the rule that the forecast plays.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    ids::CiId,
    run::{Answer, WaitCause},
    selector::Tags,
};
use planner::{Admission, OpeningsByTags, Schedule, admit};
use service_kit::{ApiError, ApiResult};

use crate::app::{calendars, host_states, transition::Evidence};
use crate::engine::Task;

pub(super) async fn admit_hosts(
    task: &Task<'_>,
    wave: usize,
    hosts: &BTreeSet<CiId>,
) -> ApiResult<(Answer, Evidence)> {
    let (plan, row, app) = (task.plan()?, &task.loaded.row, task.app);
    let of_wave = plan.waves.get(wave).map_or(&[][..], |wave| &wave.hosts);
    let has_begun = |host: &CiId| row.machine.hosts.get(host).is_some_and(|run| run.was_touched());
    let Openings { now, never, wait } = openings(task, hosts, of_wave.iter().any(has_begun)).await?;
    if let (true, true, Some(wait)) = (now.is_empty(), never.is_empty(), &wait) {
        let evidence = Evidence::logged(format!("waiting: {}", wait.reason));
        return Ok((wait.answer(), evidence));
    }
    let members = plan.services.values().flat_map(|service| service.members.iter().cloned());
    let members: BTreeSet<CiId> = members.chain(plan.targets.keys().cloned()).collect();
    let asks_driver = host_states::has_driver(plan.targets.values(), plan.snapshot_retention_hours.is_some());
    let mut conn = app.pool.acquire().await?;
    let down = host_states::list_down(app, &mut conn, Some(row.id), &members, asks_driver).await?;
    drop(conn);
    let left_out: BTreeMap<CiId, String> = never
        .into_iter()
        .map(|host| {
            let needed = plan.targets.get(&host).map_or(0, |target| target.expected_seconds);
            (host, format!("no remaining opening is long enough: it is expected to take {needed} s"))
        })
        .collect();
    let mut log: Vec<_> =
        left_out.iter().map(|(host, reason)| (Some(host.clone()), format!("left out: {reason}"))).collect();
    if !down.is_empty() {
        log.push((None, format!("down without being part of this run: {}", host_states::named(&down))));
    }
    let down = down.into_keys().collect();
    let answer = Answer::Admitted { hosts: now.into_iter().collect(), left_out, down };
    Ok((answer, Evidence { log, ..Evidence::default() }))
}

/// Hosts by when they may start.
pub(super) struct Openings {
    pub now: Vec<CiId>,
    pub never: Vec<CiId>,
    /// For the first of the others.
    pub wait: Option<Wait>,
}

pub(super) struct Wait {
    pub cause: WaitCause,
    pub until: DateTime<Utc>,
    pub reason: String,
}

impl Wait {
    pub fn answer(&self) -> Answer {
        Answer::NotYet { cause: self.cause, reason: self.reason.clone(), retry_at: self.until }
    }
}

/// Sorts hosts of the plan by the window of the run and the freezes.
pub(super) async fn openings(
    task: &Task<'_>,
    hosts: &BTreeSet<CiId>,
    wave_has_begun: bool,
) -> ApiResult<Openings> {
    let (plan, row, app) = (task.plan()?, &task.loaded.row, task.app);
    if !row.waits_for_openings() {
        return Ok(Openings { now: hosts.iter().cloned().collect(), never: Vec::new(), wait: None });
    }
    let begins = app.clock.now();
    let freezes = calendars::load_freezes(&mut *app.pool.acquire().await?).await?;
    let (window, reboot_window) = (row.policy.window.clone(), row.policy.reboot_window.clone());
    let schedule = Schedule { begins, window, reboot_window, freezes };
    let targets: Vec<_> = hosts
        .iter()
        .filter_map(|host| Some((host.clone(), plan.targets.get(host)?)))
        .map(|(host, target)| {
            let needed = u64::from(target.expected_seconds) * 1000;
            (host, target.tags.clone(), plan.reboots(target), needed)
        })
        .collect();
    // A year of windows and freezes: not for a thread that serves others.
    let sorted = tokio::task::spawn_blocking(move || {
        let mut openings = OpeningsByTags::new(&schedule);
        let fits = targets.into_iter().map(|(host, tags, reboots, needed)| {
            let fit = openings.of(&tags, reboots).next_fit(0, needed, wave_has_begun);
            (host, tags, fit)
        });
        let fits: Vec<_> = fits.collect();
        let waiting = fits.iter().filter(|(.., fit)| fit.is_some_and(|at| at > 0));
        let frozen: BTreeSet<String> = waiting.flat_map(|(_, tags, _)| frozen_by(&schedule, tags)).collect();
        let Admission { now, never, next_ms } = admit(fits.into_iter().map(|(host, _, fit)| (host, fit)), 0);
        let wait = next_ms.map(|next| wait(&schedule, next, &frozen));
        Openings { now, never, wait }
    });
    sorted.await.map_err(ApiError::internal)
}

fn frozen_by(schedule: &Schedule, tags: &Tags) -> Vec<String> {
    calendars::freeze_names(&schedule.freezes, (schedule.begins, schedule.begins), tags)
}

fn wait(schedule: &Schedule, next_ms: u64, frozen: &BTreeSet<String>) -> Wait {
    let until = schedule.begins + TimeDelta::milliseconds(i64::try_from(next_ms).unwrap_or(i64::MAX));
    let window = schedule.window.as_ref();
    match window.filter(|window| !window.admits_start(schedule.begins)) {
        Some(_) => Wait {
            cause: WaitCause::Window,
            until,
            reason: format!("the maintenance window opens at {until}"),
        },
        None if !frozen.is_empty() => {
            let names: Vec<String> = frozen.iter().map(|name| format!("`{name}`")).collect();
            let reason = format!("frozen by {} until {until}", names.join(", "));
            Wait { cause: WaitCause::Freeze, until, reason }
        }
        None => Wait {
            cause: WaitCause::Window,
            until,
            reason: format!(
                "no host is expected to be done before the opening ends; the next one is at {until}"
            ),
        },
    }
}
