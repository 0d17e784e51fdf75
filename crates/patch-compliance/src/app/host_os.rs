//! The operating system of a host.

use advisories::OsRelease;
use api_client::ClientError;
use api_types::cmdb::UpdateCi;
use domain::ids::CiId;
use service_kit::{ApiError, ApiResult, problem_types};

use super::hosts;
use crate::{App, store, upstream_error};

/// The release that the CMDB names for a host, for an inventory that does not name it.
pub(crate) async fn get_release(app: &App, ci_id: &CiId) -> ApiResult<OsRelease> {
    let ids = [ci_id.to_string()];
    let mut tags = store::hosts::find_tags(&mut *app.pool.acquire().await?, &ids).await?;
    if tags.is_empty() {
        // It may be new in the CMDB since the last synchronisation.
        hosts::try_synchronise(app).await;
        tags = store::hosts::find_tags(&mut *app.pool.acquire().await?, &ids).await?;
    }
    let Some(os) = tags.get(ci_id.as_str()).and_then(|tags| tags.get(OS)) else {
        return Err(match app.cmdb.get_ci(ci_id).await {
            Ok(ci) if ci.is_managed() == Some(false) => {
                ApiError::invalid("os", format!("must be given, because `{ci_id}` has no tag `os`"))
            }
            Err(error) if !error.is_not_found() => upstream_error(error),
            _ => ApiError::invalid("ci_id", format!("the CMDB does not manage a host `{ci_id}`")),
        });
    };
    os.parse().map_err(|error| {
        ApiError::invalid(
            "os",
            format!("must be given, because the tag `os` of `{ci_id}` does not help: {error}"),
        )
    })
}

/// Sets the tag `os` of those of these hosts that the CMDB has without one. Returns whether there was such a host; it is managed
/// after the next synchronisation. The error names a host that could not be changed.
pub(crate) async fn learn_releases(app: &App, releases: &[(CiId, OsRelease)]) -> ApiResult<bool> {
    let mut has_learned = false;
    for (host, os) in releases {
        match app.cmdb.get_ci(host).await {
            Ok(ci) if ci.is_managed() == Some(false) => {
                record_os(app, host, &os.to_string(), "its first inventory names").await.map_err(
                    |reason| {
                        ApiError::new(problem_types::DEPENDENCY_UNAVAILABLE, format!("`{host}`: {reason}"))
                    },
                )?;
                has_learned = true;
            }
            Ok(_) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(upstream_error(error)),
        }
    }
    Ok(has_learned)
}

/// Sets the tag `os` of a host that has none, so that patching manages it from now on.
///
/// `found` is how it was found, for the history of the CI.
pub async fn record_os(app: &App, host: &CiId, os: &str, found: &str) -> Result<(), String> {
    let failed = |error: ClientError| {
        format!("its operating system is `{os}`, but the CMDB cannot record it now: {error}")
    };
    // Another change of the CI, such as its host key, may come between.
    for _attempt in 0..3 {
        let ci = app.cmdb.get_ci(host).await.map_err(failed)?;
        if ci.is_managed() != Some(false) {
            return Ok(());
        }
        let request = UpdateCi {
            tags: [(OS.to_owned(), Some(os.to_owned()))].into(),
            reason: Some(format!("the operating system that {found}")),
            ..UpdateCi::default()
        };
        match app.cmdb.update_ci(host, &request, Some(&format!("\"{}\"", ci.version))).await {
            Ok(_) => {
                tracing::info!("learned that `{host}` runs `{os}`; patching manages it from now on");
                return Ok(());
            }
            Err(error) if error.status() == Some(412) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(format!("its operating system is `{os}`, but the CI changes too often to record it; try again"))
}

const OS: &str = "os";
