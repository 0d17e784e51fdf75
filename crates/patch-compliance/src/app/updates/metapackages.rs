//! Kernels whose packages have their versions in their names: a metapackage of the same line brings the newest.

use std::collections::BTreeMap;

use advisories::{InstalledPackage, matching::offer};
use domain::{baseline::Exclusion, ids::CiId, package::Packaging};
use service_kit::ApiResult;
use sqlx::PgConnection;

use super::{Chosen, ci_id, compare, wanted::WantedFixes};
use crate::store;

/// Adds the metapackages that bring fixes of renamed packages. All of a line are updated together, because they require each
/// other in the same version.
pub(super) async fn choose(
    conn: &mut PgConnection,
    wanted: &WantedFixes<'_>,
    chosen: &mut BTreeMap<CiId, Chosen>,
) -> ApiResult<()> {
    let hosts: Vec<String> = chosen
        .iter()
        .filter(|(_, chosen)| !chosen.renamed.is_empty())
        .map(|(host, _)| host.to_string())
        .collect();
    if hosts.is_empty() {
        return Ok(());
    }
    let sets = store::package_sets::list_sets_of(conn, &hosts).await?;
    let mut numbers: Vec<i32> = sets.iter().flat_map(|(.., numbers)| numbers.iter().copied()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let packages: BTreeMap<i32, InstalledPackage> =
        store::dictionary::load_packages(conn, &numbers).await?.into_iter().collect();
    for (host, facts, numbers) in sets {
        if let Some(chosen) = chosen.get_mut(&ci_id(&host)?) {
            let installed: Vec<&InstalledPackage> =
                numbers.iter().filter_map(|number| packages.get(number)).collect();
            let why_not = |package: &str| wanted.why_package(&host, package);
            choose_for(chosen, facts.packaging(), &installed, why_not);
        }
    }
    Ok(())
}

fn choose_for<'a>(
    chosen: &mut Chosen,
    packaging: Packaging,
    installed: &[&InstalledPackage],
    why_not: impl Fn(&str) -> Option<Exclusion<'a>>,
) {
    for row in std::mem::take(&mut chosen.renamed) {
        let package = installed.iter().find(|package| package.name == row.package);
        if let Some(source) = package.map(|package| offer::kernel_source(package)) {
            let line = installed.iter().filter(|package| offer::is_metapackage_of(package, &source));
            for metapackage in line.filter(|package| !package.held) {
                let Some(candidate) = &metapackage.candidate else { continue };
                if compare(packaging, candidate, &metapackage.version).is_gt()
                    && offer::brings_kernel(candidate, &row.fixed)
                {
                    if let Some(exclusion) = why_not(&metapackage.name) {
                        chosen.leave_out(&metapackage.name, exclusion);
                        continue;
                    }
                    let mut brings = row.clone();
                    (brings.package, brings.installed) =
                        (metapackage.name.clone(), metapackage.version.clone());
                    chosen.update(packaging, &brings, candidate.clone());
                }
            }
        }
        chosen.renamed.push(row);
    }
}
