//! What a freeze costs: the exposure that it adds.

use std::collections::BTreeMap;

use api_types::patch::{FreezePrice, UnknownPrice};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    selector::Tags,
    time::{Effect, Freeze, Span},
};
use patch_compliance::app::exposure::{self, Exposure};
use service_kit::ApiResult;
use sqlx::PgConnection;

use crate::App;

/// How far ahead a freeze that recurs is counted.
const RECURRING: TimeDelta = TimeDelta::days(365);
const SECONDS_OF_A_DAY: f64 = 86_400.0;

/// The prices of these freezes from now on, in their order.
pub(super) async fn list_prices(
    app: &App,
    conn: &mut PgConnection,
    freezes: &[Freeze],
) -> ApiResult<Vec<FreezePrice>> {
    let now = app.clock.now();
    // Freezes with the same scope concern the same hosts.
    let mut positions: BTreeMap<&Tags, usize> = BTreeMap::new();
    let mut scopes: Vec<Tags> = Vec::new();
    for freeze in freezes {
        positions.entry(&freeze.scope).or_insert_with(|| {
            scopes.push(freeze.scope.clone());
            scopes.len() - 1
        });
    }
    let exposures = exposure::list_exposures(&app.compliance, conn, scopes).await?;
    let none = Exposure::default();
    let exposure_of = |freeze: &Freeze| {
        positions.get(&freeze.scope).and_then(|index| exposures.get(*index)).unwrap_or(&none)
    };
    Ok(freezes.iter().map(|freeze| price(freeze, now, exposure_of(freeze))).collect())
}

/// From when until when a freeze is counted.
fn period(freeze: &Freeze, now: DateTime<Utc>) -> Span {
    let ends = if freeze.recurrence.is_some() { freeze.ends.max(now + RECURRING) } else { freeze.ends };
    Span { starts: now, ends: ends.max(now) }
}

fn price(freeze: &Freeze, now: DateTime<Utc>, exposure: &Exposure) -> FreezePrice {
    let period = period(freeze, now);
    let unknown_cause = if freeze.effect == Effect::Allow {
        Some(UnknownPrice::Allowance)
    } else if exposure.hosts == 0 {
        Some(UnknownPrice::NoHosts)
    } else if exposure.unknown_hosts == exposure.hosts {
        Some(UnknownPrice::NoComplianceData)
    } else {
        None
    };
    let times = if freeze.effect == Effect::Deny { frozen(freeze, period) } else { Vec::new() };
    let seconds: i64 = times.iter().map(|time| (time.ends - time.starts).num_seconds()).sum();
    let days = seconds as f64 / SECONDS_OF_A_DAY;
    let in_freeze = |due: &DateTime<Utc>| times.iter().any(|time| time.starts <= *due && *due < time.ends);
    let overdue = exposure.due.iter().filter(|(due, _)| in_freeze(due)).map(|(_, hosts)| hosts).sum();
    let known = unknown_cause.is_none();
    FreezePrice {
        uid: freeze.uid.clone(),
        name: freeze.name.clone(),
        from: period.starts,
        until: period.ends,
        frozen_days: rounded(days),
        hosts: exposure.hosts,
        unknown_hosts: exposure.unknown_hosts,
        host_cve_days: known.then(|| rounded(exposure.open_cves as f64 * days)),
        hosts_overdue: known.then_some(overdue),
        unknown_cause,
    }
}

/// The times of a freeze in a period, without overlaps.
fn frozen(freeze: &Freeze, period: Span) -> Vec<Span> {
    let mut end = period.starts;
    let mut times = Vec::new();
    for time in freeze.times_in(period) {
        let starts = time.starts.max(end);
        end = time.ends.min(period.ends).max(end);
        if starts < end {
            times.push(Span { starts, ends: end });
        }
    }
    times
}

/// One decimal.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn freeze(rest: Value) -> Freeze {
        let mut fields = json!({ "uid": "u", "name": "n", "starts": "2026-12-01T00:00:00Z", "ends": "2026-12-11T00:00:00Z" });
        fields.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        serde_json::from_value(fields).unwrap()
    }

    fn exposure() -> Exposure {
        Exposure {
            hosts: 5,
            unknown_hosts: 1,
            open_cves: 12,
            due: vec![
                (at("2026-12-01T00:00:00Z"), 2),
                (at("2026-12-10T23:59:59Z"), 1),
                (at("2026-12-11T00:00:00Z"), 1),
            ],
        }
    }

    #[test]
    fn price_is_open_cves_times_days_and_the_due_dates_in_it() {
        let price = price(&freeze(json!({})), at("2026-11-20T00:00:00Z"), &exposure());
        assert_eq!(
            (price.frozen_days, price.host_cve_days, price.hosts_overdue),
            (10.0, Some(120.0), Some(3))
        );
        assert_eq!((price.hosts, price.unknown_hosts, price.unknown_cause), (5, 1, None));
    }

    #[test]
    fn only_what_is_left_of_a_freeze_costs() {
        let half = price(&freeze(json!({})), at("2026-12-06T00:00:00Z"), &exposure());
        assert_eq!((half.frozen_days, half.host_cve_days, half.hosts_overdue), (5.0, Some(60.0), Some(1)));
        let past = price(&freeze(json!({})), at("2027-01-01T00:00:00Z"), &exposure());
        assert_eq!((past.frozen_days, past.host_cve_days, past.hosts_overdue), (0.0, Some(0.0), Some(0)));
    }

    #[test]
    fn days_that_stay_open_cost_nothing() {
        let long = json!({ "ends": "2027-01-01T00:00:00Z", "keep_open_days": 6 });
        assert_eq!(price(&freeze(long), at("2026-11-20T00:00:00Z"), &exposure()).frozen_days, 25.0);
    }

    #[test]
    fn recurring_freeze_is_counted_for_a_year_and_its_overlaps_once() {
        let weekly = json!({ "recurrence": { "frequency": "weekly", "end": { "count": 3 } } });
        let price = price(&freeze(weekly), at("2026-12-01T00:00:00Z"), &exposure());
        assert_eq!((price.until, price.frozen_days), (at("2027-12-01T00:00:00Z"), 24.0));
    }

    #[test]
    fn missing_compliance_data_is_unknown_and_not_zero() {
        let unknown = Exposure { hosts: 3, unknown_hosts: 3, ..Exposure::default() };
        let price = price(&freeze(json!({})), at("2026-11-20T00:00:00Z"), &unknown);
        assert_eq!((price.host_cve_days, price.hosts_overdue), (None, None));
        assert_eq!(price.unknown_cause, Some(UnknownPrice::NoComplianceData));
        let price = super::price(&freeze(json!({})), at("2026-11-20T00:00:00Z"), &Exposure::default());
        assert_eq!((price.host_cve_days, price.unknown_cause), (None, Some(UnknownPrice::NoHosts)));
        let allowance = freeze(json!({ "effect": "allow" }));
        let price = super::price(&allowance, at("2026-11-20T00:00:00Z"), &exposure());
        assert_eq!((price.host_cve_days, price.unknown_cause), (None, Some(UnknownPrice::Allowance)));
    }
}
