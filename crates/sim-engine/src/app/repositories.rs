use std::collections::BTreeSet;

use api_types::sim::Repository;
use domain::package::Packaging;
use serde_json::json;
use service_kit::{ApiResult, Caller, audit};

use super::{Complaints, is_name, pointer};
use crate::{service::SimState, store};

const MOST_PACKAGES: usize = 50_000;
const MOST_VERSIONS: usize = 200;

pub async fn get_repository(state: &SimState, os: &str) -> ApiResult<Repository> {
    let mut transaction = store::begin_reading(&state.pool).await?;
    store::repositories::get_repository(&mut transaction, os).await
}

pub async fn put_repository(
    state: &SimState,
    caller: &Caller,
    os: &str,
    repository: &Repository,
) -> ApiResult<()> {
    check(os, repository)?;
    let mut transaction = state.pool.begin().await?;
    store::repositories::put_repository(&mut transaction, os, repository, state.clock.now()).await?;
    let size = json!({ "packages": repository.packages.len() });
    let record = audit::Record::new("put_repository", format!("repository/{os}")).after(&size);
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    Ok(())
}

fn check(os: &str, repository: &Repository) -> ApiResult<()> {
    let mut complaints = Complaints::default();
    complaints.check(
        is_name(os, 50) && Packaging::of_os(os).is_some(),
        "os",
        "must be an OS tag of a known family, such as `rocky9` or `debian12`",
    );
    complaints.check(
        repository.packages.len() <= MOST_PACKAGES,
        "/packages",
        format!("must be at most {MOST_PACKAGES}"),
    );
    for (name, versions) in &repository.packages {
        let at = format!("/packages/{}", pointer(name));
        complaints.check(is_name(name, 200), &at, "must have a name of 1 to 200 characters without spaces");
        complaints.check(
            (1..=MOST_VERSIONS).contains(&versions.len())
                && versions.iter().all(|version| is_name(version, 200)),
            &at,
            format!("must have 1 to {MOST_VERSIONS} versions of 1 to 200 characters without spaces"),
        );
        let distinct: BTreeSet<&String> = versions.iter().collect();
        complaints.check(
            distinct.len() == versions.len(),
            &at,
            "lists a version twice; oldest first, each once",
        );
    }
    complaints.settle()
}
