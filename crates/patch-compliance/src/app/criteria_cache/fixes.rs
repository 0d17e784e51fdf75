//! Fixes by OS release, for matching: loaded for the package names that hosts have, and cached.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use advisories::Index;
use rustc_hash::FxHashSet;
use service_kit::ApiResult;
use sqlx::PgConnection;

use super::locked;
use crate::store;

/// Maximum number of cached releases.
const MAX_RELEASES: usize = 16;

/// Fixes to match with, and the numbers of their advisories by id.
#[derive(Default)]
pub(crate) struct FixIndex {
    pub index: Index,
    pub numbers: HashMap<String, i32>,
}

#[derive(Default)]
pub(crate) struct FixCache {
    releases: Mutex<BTreeMap<String, Release>>,
    changed: Mutex<Option<(Vec<i32>, Arc<FixIndex>)>>,
}

#[derive(Clone)]
struct Release {
    names: Arc<FxHashSet<String>>,
    fixes: Arc<FixIndex>,
}

impl FixCache {
    /// All fixes of a release for packages with these names, and possibly others.
    pub(crate) async fn of_release(
        &self,
        conn: &mut PgConnection,
        release: &str,
        names: &FxHashSet<String>,
    ) -> ApiResult<Arc<FixIndex>> {
        let known = locked(&self.releases).get(release).cloned();
        if let Some(known) = &known
            && names.iter().all(|name| known.names.contains(name))
        {
            return Ok(known.fixes.clone());
        }
        let mut all: FxHashSet<String> = known.map(|known| (*known.names).clone()).unwrap_or_default();
        all.extend(names.iter().cloned());
        let wanted: Vec<String> = all.iter().cloned().collect();
        let (advisories, numbers) =
            store::advisories::load_fixes(conn, &[release.to_owned()], &wanted).await?;
        let fixes = Arc::new(FixIndex { index: Index::new(advisories), numbers });
        let mut releases = locked(&self.releases);
        if releases.len() >= MAX_RELEASES {
            releases.clear();
        }
        releases.insert(release.to_owned(), Release { names: Arc::new(all), fixes: fixes.clone() });
        Ok(fixes)
    }

    /// The fixes of these advisories only, if they are in force.
    pub(crate) async fn of_advisories(
        &self,
        conn: &mut PgConnection,
        advisories: &[i32],
    ) -> ApiResult<Arc<FixIndex>> {
        if let Some((known, fixes)) = locked(&self.changed).as_ref()
            && known == advisories
        {
            return Ok(fixes.clone());
        }
        let (loaded, numbers) = store::advisories::load_fixes_of(conn, advisories).await?;
        let fixes = Arc::new(FixIndex { index: Index::new(loaded), numbers });
        *locked(&self.changed) = Some((advisories.to_vec(), fixes.clone()));
        Ok(fixes)
    }
}
