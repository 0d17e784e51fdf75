//! The weekly summary: customers whose releases ask for no notice of their own are told on Mondays what they got.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveTime, TimeDelta, Utc};
use domain::{
    ids::CiId,
    release::{NoticeTime, ReleaseKind},
};
use service_kit::ApiResult;

use crate::app::rollout::notices;
use crate::{
    App,
    app::releases::kind_text,
    store::{
        customers, deployments,
        releases::{self, Summarised},
    },
};

/// Customers that are told in one turn; the others follow in the next.
const AT_ONCE: i64 = 500;
/// What nobody was told of for so long is no news.
const LONGEST_AGO: TimeDelta = TimeDelta::days(30);

/// Tells what came before this week's Monday, eight o'clock, to those who were not told of it. Done again after a crash it
/// tells nobody twice. `done` is the Monday up to which this process knows that everybody was told.
pub(super) async fn send(app: &App, done: &mut Option<DateTime<Utc>>) -> ApiResult<()> {
    let until = last_monday(app.clock.now());
    if *done == Some(until) {
        return Ok(());
    }
    let mut conn = app.pool.acquire().await?;
    let policies = customers::get_policies(&mut conn).await?.policies;
    let of_week = |kind: &&ReleaseKind| policies.of(**kind).notice.when == NoticeTime::Weekly;
    let kinds: Vec<ReleaseKind> = ReleaseKind::ALL.iter().filter(of_week).copied().collect();
    let due =
        deployments::list_unsummarised(&mut conn, &kinds, (until - LONGEST_AGO, until), AT_ONCE).await?;
    drop(conn);
    let is_all = due.len() < usize::try_from(AT_ONCE).unwrap_or(usize::MAX);
    let mut by_customer: BTreeMap<CiId, Vec<Summarised>> = BTreeMap::new();
    for one in due {
        by_customer.entry(one.customer.clone()).or_default().push(one);
    }
    for (id, deployed) in by_customer {
        tell(app, &id, &deployed).await?;
    }
    *done = is_all.then_some(until);
    Ok(())
}

async fn tell(app: &App, id: &CiId, deployed: &[Summarised]) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let Some(stored) = customers::find_customer(&mut conn, id).await? else { return Ok(()) };
    let policies = customers::get_policies(&mut conn).await?.policies;
    drop(conn);
    let customer = stored.customer;
    let told: Vec<&Summarised> =
        deployed.iter().filter(|one| policies.of(one.kind).notice.tiers.contains(&customer.tier)).collect();
    if let Some(first) = told.first() {
        let lines: Vec<String> = told.iter().map(|one| line(one)).collect();
        let subject = format!("What is new at {}", customer.name);
        let body = format!("Since the last summary you got:\n\n{}\n", lines.join("\n"));
        notices::send(app, first.run, "weekly", id, &customer.contacts, &subject, &body).await?;
    }
    let mut conn = app.pool.acquire().await?;
    for one in deployed {
        releases::insert_notice(&mut conn, one.run, id, "weekly", app.clock.now()).await?;
    }
    Ok(())
}

fn line(one: &Summarised) -> String {
    let notes = match one.notes.trim() {
        "" => String::new(),
        notes => format!(": {notes}"),
    };
    let day = one.ended_at.format("%a %Y-%m-%d");
    format!("- {} ({}), since {day}{notes}", one.version, kind_text(one.kind))
}

/// The last Monday, eight o'clock UTC, that is not to come.
fn last_monday(now: DateTime<Utc>) -> DateTime<Utc> {
    let monday = now.date_naive() - TimeDelta::days(i64::from(now.weekday().num_days_from_monday()));
    let eight = monday.and_time(NaiveTime::MIN).and_utc() + TimeDelta::hours(8);
    if eight <= now { eight } else { eight - TimeDelta::days(7) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_end_on_mondays_at_eight() {
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
