use std::collections::BTreeSet;

use api_types::sim::Repository;
use serde_json::json;
use service_kit::{ApiResult, Caller, FieldErrors, audit};

use super::checks::{check_count, check_name, check_os, is_name, pointer};
use crate::{state::App, store};

const MAX_PACKAGES: usize = 50_000;
const MAX_VERSIONS: usize = 200;

pub async fn get_repository(app: &App, os: &str) -> ApiResult<Repository> {
    let mut tx = store::begin_reading(&app.pool).await?;
    store::repositories::get_repository(&mut tx, os).await
}

pub async fn put_repository(app: &App, caller: &Caller, os: &str, repository: &Repository) -> ApiResult<()> {
    check(os, repository)?;
    let mut tx = app.pool.begin().await?;
    store::repositories::put_repository(&mut tx, os, repository, app.clock.now()).await?;
    let size = json!({ "packages": repository.packages.len() });
    let record = audit::Record::new("put_repository", format!("repository/{os}")).after(&size);
    audit::record(&mut tx, caller, record).await?;
    tx.commit().await?;
    Ok(())
}

fn check(os: &str, repository: &Repository) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    check_os(&mut errors, os, "os");
    check_count(&mut errors, repository.packages.len(), 0, MAX_PACKAGES, "/packages");
    for (name, versions) in &repository.packages {
        let at = format!("/packages/{}", pointer(name));
        check_name(&mut errors, name, 200, &at);
        errors.require(
            (1..=MAX_VERSIONS).contains(&versions.len())
                && versions.iter().all(|version| is_name(version, 200)),
            &at,
            format!("must have 1 to {MAX_VERSIONS} versions of 1 to 200 characters without spaces"),
        );
        let distinct: BTreeSet<&String> = versions.iter().collect();
        errors.require(distinct.len() == versions.len(), &at, "must list each version once, oldest first");
    }
    errors.finish()
}
