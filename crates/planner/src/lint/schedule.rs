//! Checks whether the plan's hosts may be patched at the time of its run.

use domain::{ids::CiId, plan::Plan};

use super::{Findings, some_named};
use crate::schedule::{OpeningsByTags, Schedule};

pub fn check(plan: &Plan, schedule: &Schedule, findings: &mut Findings) {
    if let Some(window) = &schedule.window
        && !window.admits_start(schedule.begins)
        && window.next_start(schedule.begins).is_none()
    {
        findings.error("window-never-opens", "the maintenance window never opens again".to_owned());
        return;
    }
    let mut by_tags = OpeningsByTags::new(schedule);
    let (mut never, mut late): (Vec<&CiId>, Vec<(u64, &CiId)>) = Default::default();
    let mut longest = 0;
    for (host, target) in &plan.targets {
        let openings = by_tags.of(&target.tags, plan.reboots(target));
        match openings.spans().first() {
            None => never.push(host),
            Some(first) if first.opens_ms > 0 => late.push((first.opens_ms, host)),
            Some(_) => {}
        }
        let lengths = openings.spans().iter().map(|span| span.closes_ms - span.opens_ms);
        longest = longest.max(lengths.max().unwrap_or(0));
    }
    if let Some(hosts) = some_named(never.into_iter()) {
        let text = format!(
            "freezes and windows leave no time for {hosts} in the next year; shorten the freeze, move the reboot window, or \
             leave them out"
        );
        findings.error("frozen-throughout", text);
    }
    let latest = late.iter().map(|(opens, _)| *opens).max().unwrap_or(0);
    if let Some(hosts) = some_named(late.into_iter().map(|(_, host)| host)) {
        let until = schedule.begins + chrono::TimeDelta::milliseconds(latest as i64);
        let text = format!(
            "a freeze is in force for {hosts} when the run begins; the last of them waits until {until}"
        );
        findings.warning("frozen-at-start", text);
    }
    let timeout = u64::from(plan.workflow.host_timeout_seconds) * 1000;
    if schedule.window.is_some() && longest > 0 && timeout > longest {
        let text = format!(
            "a host may take up to its timeout of {} s, but no window is open for longer than {} s",
            timeout / 1000,
            longest / 1000
        );
        findings.warning("host-may-outlast-window", text);
    }
}
