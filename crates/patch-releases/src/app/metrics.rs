//! The success metrics of releases.

use std::collections::BTreeMap;

use api_types::patch::{DeploymentState, MetricsReport};
use chrono::{Datelike, TimeDelta};
use domain::release::{DeploymentFact, ReleaseMetrics, ResolutionFact, Version, measure};
use service_kit::ApiResult;

use crate::{
    App,
    store::{
        metrics::{self, MetricRow},
        releases as store,
    },
};

/// The success metrics of the deployments of the last year.
pub(crate) async fn get_metrics(app: &App, version: Option<Version>) -> ApiResult<MetricsReport> {
    let mut conn = app.pool.acquire().await?;
    if let Some(version) = version {
        store::get_release(&mut conn, version).await?;
    }
    let since = app.clock.now() - TimeDelta::days(366);
    let rows = metrics::list_metric_rows(&mut conn, since).await?;
    let rows: Vec<_> =
        rows.into_iter().filter(|row| version.is_none_or(|only| only == row.release)).collect();
    let grouped = |key: &dyn Fn(&MetricRow) -> String| {
        let mut groups: BTreeMap<String, Vec<&MetricRow>> = BTreeMap::new();
        for row in &rows {
            groups.entry(key(row)).or_default().push(row);
        }
        groups.into_iter().map(|(key, rows)| (key, measured(&rows))).collect::<BTreeMap<_, _>>()
    };
    Ok(MetricsReport {
        all: measured(&rows.iter().collect::<Vec<_>>()),
        by_release: grouped(&|row| row.release.to_string()),
        by_quarter: grouped(&|row| format!("{}-Q{}", row.ended_at.year(), row.ended_at.month0() / 3 + 1)),
        by_tier: grouped(&|row| row.tier.to_string()),
    })
}

fn measured(rows: &[&MetricRow]) -> ReleaseMetrics {
    let facts: Vec<DeploymentFact> = rows
        .iter()
        .map(|row| DeploymentFact {
            urgency: row.urgency,
            rollout_at: row.rollout_at,
            ended_at: row.ended_at,
            succeeded: row.state == DeploymentState::Succeeded,
            rolled_back: row.is_rolled_back,
            downtime_seconds: row.downtime_seconds,
            new_issues: row.new_issues.unsigned_abs(),
            latency_change_percent: row.latency_change_percent,
            rating: row.rating.and_then(|score| u8::try_from(score).ok()),
        })
        .collect();
    // A problem is resolved when the last customer has the fix.
    let mut last: BTreeMap<Version, ResolutionFact> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.state == DeploymentState::Succeeded && !row.is_rolled_back) {
        let fact = last.entry(row.release).or_insert_with(|| ResolutionFact {
            kind: row.kind,
            identified_at: row.identified_at,
            resolved_at: row.ended_at,
            issues: row.resolves.clone(),
        });
        fact.resolved_at = fact.resolved_at.max(row.ended_at);
    }
    let resolutions: Vec<ResolutionFact> = last.into_values().collect();
    measure(&facts, &resolutions)
}
