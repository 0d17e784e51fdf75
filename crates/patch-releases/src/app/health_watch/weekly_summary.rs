//! The weekly summary: on Mondays, customers get a list of the releases that have no notice of their own.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveTime, TimeDelta, Utc};
use domain::{
    ids::CiId,
    release::{NoticeTime, ReleaseKind},
};
use service_kit::ApiResult;

use crate::{
    App,
    app::{notices, rollouts::kind_text},
    store::{
        customers, deployments,
        releases::{self, SummarisedDeployment},
    },
};

/// Deployments per turn; the others follow in the next one.
const MAX_DEPLOYMENTS: i64 = 500;
/// Older deployments are no longer reported.
const MAX_AGE: TimeDelta = TimeDelta::days(30);

/// Reports deployments before Monday of this week, 08:00 UTC, once to each customer, even after a crash. `done` is the Monday
/// up to which this process has reported everything.
pub(super) async fn send_weekly_summary(app: &App, done: &mut Option<DateTime<Utc>>) -> ApiResult<()> {
    let until = last_monday(app.clock.now());
    if *done == Some(until) {
        return Ok(());
    }
    let mut conn = app.pool.acquire().await?;
    let policies = customers::get_release_policies(&mut conn).await?.policies;
    let is_weekly = |kind: &&ReleaseKind| policies.of(**kind).notice.when == NoticeTime::Weekly;
    let kinds: Vec<ReleaseKind> = ReleaseKind::ALL.iter().filter(is_weekly).copied().collect();
    let due =
        deployments::list_unsummarised(&mut conn, &kinds, (until - MAX_AGE, until), MAX_DEPLOYMENTS).await?;
    drop(conn);
    let is_all = due.len() < usize::try_from(MAX_DEPLOYMENTS).unwrap_or(usize::MAX);
    let mut by_customer: BTreeMap<CiId, Vec<SummarisedDeployment>> = BTreeMap::new();
    for one in due {
        by_customer.entry(one.customer.clone()).or_default().push(one);
    }
    for (id, deployed) in by_customer {
        notify_customer(app, &id, &deployed).await?;
    }
    *done = is_all.then_some(until);
    Ok(())
}

async fn notify_customer(app: &App, id: &CiId, deployed: &[SummarisedDeployment]) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let Some(stored) = customers::find_customer(&mut conn, id).await? else { return Ok(()) };
    let policies = customers::get_release_policies(&mut conn).await?.policies;
    drop(conn);
    let customer = stored.customer;
    let reported: Vec<&SummarisedDeployment> =
        deployed.iter().filter(|one| policies.of(one.kind).notice.tiers.contains(&customer.tier)).collect();
    if let Some(first) = reported.first() {
        let lines: Vec<String> = reported.iter().map(|one| line(one)).collect();
        let subject = format!("What is new at {}", customer.name);
        let body = format!("Since the last summary you received:\n\n{}\n", lines.join("\n"));
        notices::send(app, first.run, "weekly", id, &customer.contacts, &subject, &body).await?;
    }
    let mut conn = app.pool.acquire().await?;
    for one in deployed {
        releases::insert_notice(&mut conn, one.run, id, "weekly", app.clock.now()).await?;
    }
    Ok(())
}

fn line(one: &SummarisedDeployment) -> String {
    let notes = match one.notes.trim() {
        "" => String::new(),
        notes => format!(": {notes}"),
    };
    let day = one.ended_at.format("%a %Y-%m-%d");
    format!("- {} ({}), since {day}{notes}", one.version, kind_text(one.kind))
}

/// The last Monday, 08:00 UTC, that is not in the future.
fn last_monday(now: DateTime<Utc>) -> DateTime<Utc> {
    let monday = now.date_naive() - TimeDelta::days(i64::from(now.weekday().num_days_from_monday()));
    let eight = monday.and_time(NaiveTime::MIN).and_utc() + TimeDelta::hours(8);
    if eight <= now { eight } else { eight - TimeDelta::days(7) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn week_ends_on_monday_at_eight() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        for (now, monday) in [
            ("2026-03-02T07:59:59Z", "2026-02-23T08:00:00Z"),
            ("2026-03-02T08:00:00Z", "2026-03-02T08:00:00Z"),
            ("2026-03-08T23:00:00Z", "2026-03-02T08:00:00Z"),
        ] {
            assert_eq!(last_monday(at(now)), at(monday), "{now}");
        }
    }
}
