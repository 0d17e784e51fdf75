//! The operating system of a host.

use advisories::OsRelease;
use domain::ids::CiId;
use service_kit::{ApiError, ApiResult};

use super::hosts;
use crate::{App, store};

/// The release that the CMDB names for a host, for an inventory that does not name it.
pub(crate) async fn get_release(app: &App, ci_id: &CiId) -> ApiResult<OsRelease> {
    let ids = [ci_id.to_string()];
    let mut tags = store::hosts::find_tags(&mut *app.pool.acquire().await?, &ids).await?;
    if tags.is_empty() {
        // It may be new in the CMDB since the last synchronisation.
        hosts::try_synchronise(app).await;
        tags = store::hosts::find_tags(&mut *app.pool.acquire().await?, &ids).await?;
    }
    let os = tags.get(ci_id.as_str()).and_then(|tags| tags.get("os")).ok_or_else(|| {
        ApiError::invalid("ci_id", format!("there is no managed host `{ci_id}` in the CMDB"))
    })?;
    os.parse().map_err(|error| {
        ApiError::invalid(
            "os",
            format!("must be given, because the tag `os` of `{ci_id}` does not help: {error}"),
        )
    })
}
