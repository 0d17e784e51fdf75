//! Recent answers about advisories.

use std::sync::{Arc, PoisonError, RwLock};

use advisories::AffectedPackage;
use api_types::patch::{Advisory, CveNote};
use rustc_hash::FxHashMap;

/// Maximum cached ids; when it is full, the cache is cleared.
const MAX_CACHED: usize = 500;

/// The answer for an id, without the affected CIs.
pub(crate) struct CachedAdvisory {
    pub revision: i64,
    pub numbers: Vec<i32>,
    /// Advisories that share a release with another one here: a host may be missing both.
    pub overlapping: Vec<i32>,
    pub advisories: Vec<Advisory>,
    pub notes: Vec<CveNote>,
    /// The fixes of a CVE, by the number of their advisory, if there is a package with several of them.
    pub competing: Vec<(i32, AffectedPackage)>,
}

/// Recent answers by id. Each is valid for its revision; the page of affected CIs is read together with the current
/// revision.
#[derive(Default)]
pub(crate) struct AdvisoryCache(RwLock<FxHashMap<String, Arc<CachedAdvisory>>>);

impl AdvisoryCache {
    pub fn get(&self, id: &str) -> Option<Arc<CachedAdvisory>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub fn put(&self, id: &str, known: Arc<CachedAdvisory>) {
        let mut memory = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if memory.len() >= MAX_CACHED {
            memory.clear();
        }
        memory.insert(id.to_owned(), known);
    }
}
