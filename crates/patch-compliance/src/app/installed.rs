//! Packages across the fleet: which hosts have a package, in which version.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use advisories::{OsRelease, Packaging, Version};
use api_types::{page::Page, patch::InstalledOn};
use domain::ids::CiId;
use rustc_hash::FxHashMap;
use service_kit::{
    ApiError, ApiResult,
    error::chain,
    page::{PageRequest, page},
};
use sqlx::PgConnection;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    App,
    store::{
        self,
        installed::{InstalledPlace, PackageRow},
    },
};

/// Maximum number of different versions of a package in the fleet, counting architectures and candidates.
const MAX_VERSIONS: i64 = 20_000;

/// What is searched for.
#[derive(Debug, Clone, Default)]
pub(crate) struct PackageFilter {
    pub name: String,
    /// Only versions lower than this one.
    pub below: Option<String>,
    /// Canonical spelling.
    pub os: Option<String>,
}

pub(crate) async fn list_installed(
    app: &App,
    filter: &PackageFilter,
    request: &PageRequest,
) -> ApiResult<Page<InstalledOn>> {
    let (limit, after) = (request.limit()?, request.after::<InstalledPlace>()?.unwrap_or_default());
    let mut conn = app.reads.acquire().await?;
    let found = read_page(&mut conn, filter, after, limit).await;
    conn.release(found)
}

async fn read_page(
    conn: &mut PgConnection,
    filter: &PackageFilter,
    after: InstalledPlace,
    limit: i64,
) -> ApiResult<Page<InstalledOn>> {
    let rows = store::installed::list_packages(conn, &filter.name, MAX_VERSIONS + 1).await?;
    if rows.len() as i64 > MAX_VERSIONS {
        return Err(ApiError::invalid("name", format!("has more than {MAX_VERSIONS} versions in the fleet")));
    }
    let matching = matching(rows, filter)?;
    if matching.is_empty() {
        return Ok(Page { items: Vec::new(), next_page_token: None });
    }
    let mut numbers: Vec<i32> = matching.keys().copied().collect();
    numbers.sort_unstable();
    let hosts = store::installed::list_hosts_with(conn, &numbers, after, limit + 1).await?;
    let hosts = page(hosts, limit, |host| (host.set_no, host.host_id));
    let sets: BTreeSet<i32> = hosts.items.iter().map(|host| host.set_no).collect();
    let sets: Vec<i32> = sets.into_iter().collect();
    let sets: FxHashMap<i32, SetVersions> = store::installed::list_sets(conn, &sets)
        .await?
        .into_iter()
        .map(|(no, os, packages)| Ok((no, SetVersions::of(&os, &packages, &matching)?)))
        .collect::<ApiResult<_>>()?;
    let mut items = Vec::with_capacity(hosts.items.len());
    for host in hosts.items {
        // A set that is gone since.
        let Some(set) = sets.get(&host.set_no) else { continue };
        items.push(InstalledOn {
            ci_id: CiId::new(&host.ci_id).map_err(ApiError::internal)?,
            env: host.env,
            os: set.os.clone(),
            package: filter.name.clone(),
            versions: set.versions.clone(),
            candidate: set.candidate.clone(),
            last_scanned: host.last_scanned,
        });
    }
    Ok(Page { items, next_page_token: hosts.next_page_token })
}

/// What all hosts of a package set have of the package.
struct SetVersions {
    os: String,
    versions: Vec<String>,
    candidate: Option<String>,
}

impl SetVersions {
    fn of(os: &str, packages: &[i32], matching: &FxHashMap<i32, PackageRow>) -> ApiResult<Self> {
        let os: OsRelease = os.parse().map_err(ApiError::internal)?;
        let found: Vec<&PackageRow> = packages.iter().filter_map(|no| matching.get(no)).collect();
        Ok(Self {
            versions: versions(&found, os.packaging()),
            candidate: newest_candidate(&found, os.packaging()),
            os: os.to_string(),
        })
    }
}

/// The packages that the filter means, by number.
fn matching(rows: Vec<PackageRow>, filter: &PackageFilter) -> ApiResult<FxHashMap<i32, PackageRow>> {
    let mut below: HashMap<Packaging, Version> = HashMap::new();
    let mut found = FxHashMap::default();
    for row in rows {
        let os: OsRelease = row.os.parse().map_err(ApiError::internal)?;
        if filter.os.as_ref().is_some_and(|wanted| *wanted != os.to_string()) {
            continue;
        }
        if let Some(text) = &filter.below {
            let packaging = os.packaging();
            let limit = match below.get(&packaging) {
                Some(limit) => limit,
                None => {
                    let limit = Version::parse(packaging, text).map_err(|error| {
                        ApiError::invalid("below", format!("{error}; `os` selects hosts with other packages"))
                    })?;
                    below.entry(packaging).or_insert(limit)
                }
            };
            if !is_below(packaging, &row.body.version, text, limit) {
                continue;
            }
        }
        found.insert(row.no, row);
    }
    Ok(found)
}

/// Without an epoch in the given version, that of the package is not compared: advisories and people often omit it.
fn is_below(packaging: Packaging, installed: &str, text: &str, below: &Version) -> bool {
    let installed = match installed.split_once(':') {
        Some((_, rest)) if !text.contains(':') => rest,
        _ => installed,
    };
    Version::parse(packaging, installed).is_ok_and(|version| version < *below)
}

fn in_order(packaging: Packaging, a: &str, b: &str) -> Ordering {
    advisories::compare(packaging, a, b).unwrap_or_else(|_| a.cmp(b))
}

fn versions(found: &[&PackageRow], packaging: Packaging) -> Vec<String> {
    let mut versions: Vec<String> = found.iter().map(|row| row.body.version.clone()).collect();
    versions.sort_by(|a, b| in_order(packaging, a, b).then_with(|| a.cmp(b)));
    versions.dedup();
    versions
}

fn newest_candidate(found: &[&PackageRow], packaging: Packaging) -> Option<String> {
    let candidates = found.iter().filter_map(|row| row.body.candidate.clone());
    candidates.max_by(|a, b| in_order(packaging, a, b))
}

/// How often new package sets are sorted into the index. A search reads those that are not sorted one by one.
const SORT_INTERVAL: Duration = Duration::from_secs(2);

/// Sorts new package sets into the index until the service stops. A task of its own: other housekeeping may take minutes.
pub(crate) fn start(app: &App) {
    let app = app.clone();
    app.tasks.clone().spawn(async move {
        let stop = app.shutdown.clone();
        stop.run_until_cancelled(async {
            let mut ticks = interval(SORT_INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                try_sort_new_sets(&app).await;
            }
        })
        .await;
    });
}

async fn try_sort_new_sets(app: &App) {
    let sorted = async { store::installed::sort_new_sets(&mut *app.pool.acquire().await?).await };
    if let Err(error) = sorted.await {
        tracing::warn!(
            "cannot sort new package sets into the index now; searches are slower: {}",
            chain(&error)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_the_package_system_does() {
        for (packaging, installed, below, expected) in [
            (Packaging::Rpm, "3.0.7-24.el9", "3.0.7-25.el9", true),
            (Packaging::Rpm, "3.0.10-1.el9", "3.0.9-1.el9", false),
            (Packaging::Rpm, "1:3.0.7-24.el9", "3.0.7-25.el9", true),
            (Packaging::Rpm, "1:3.0.7-24.el9", "0:3.0.8-1.el9", false),
            (Packaging::Rpm, "3.0.8~rc1-1", "3.0.8", true),
            (Packaging::Rpm, "3.0.8-1", "3.0.8", false),
            (Packaging::Dpkg, "3.0.11-1~deb12u2", "3.0.11-1", true),
            (Packaging::Dpkg, "3.0.11-1+deb12u2", "3.0.11-1", false),
        ] {
            let limit = Version::parse(packaging, below).unwrap();
            assert_eq!(is_below(packaging, installed, below, &limit), expected, "{installed} < {below}");
        }
    }
}
