//! Lines of versions whose base was released elsewhere, so that no customer here needs to run it.

use std::collections::BTreeSet;

use api_types::patch::{RegisterLine, ReleaseLine};
use domain::release::Version;
use service_kit::{ApiError, ApiResult, Caller, audit};
use sqlx::PgConnection;

use crate::{
    App,
    store::{customers, lines as store, releases},
};

const MAX_NOTE_CHARS: usize = 500;
const MAX_LINES: usize = 1000;

pub(crate) async fn list_lines(app: &App) -> ApiResult<Vec<ReleaseLine>> {
    let mut conn = app.pool.acquire().await?;
    store::list_lines(&mut conn).await
}

/// Registered again, it gets the new note.
pub(crate) async fn register_line(
    app: &App,
    caller: &Caller,
    base_version: Version,
    request: RegisterLine,
) -> ApiResult<ReleaseLine> {
    if request.note.chars().count() > MAX_NOTE_CHARS {
        return Err(ApiError::invalid("/note", format!("must be at most {MAX_NOTE_CHARS} characters")));
    }
    let line = ReleaseLine {
        base_version,
        note: request.note,
        created_at: app.clock.now(),
        created_by: caller.subject.clone(),
    };
    let mut transaction = app.pool.begin().await?;
    let lines = store::list_lines(&mut transaction).await?;
    if lines.len() >= MAX_LINES && !lines.iter().any(|known| known.base_version == base_version) {
        let reason = format!("there are {MAX_LINES} lines, which is the maximum; delete one first");
        return Err(ApiError::invalid("version", reason));
    }
    store::upsert_line(&mut transaction, &line).await?;
    let record = audit::Record::new("register_release_line", object(base_version)).after(&line);
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    Ok(line)
}

/// Releases that are based on it stay.
pub(crate) async fn delete_line(app: &App, caller: &Caller, base: Version) -> ApiResult<()> {
    let mut transaction = app.pool.begin().await?;
    if !store::delete_line(&mut transaction, base).await? {
        return Err(ApiError::not_found(format!("release line `{base}`")));
    }
    audit::record(&mut transaction, caller, audit::Record::new("delete_release_line", object(base))).await?;
    transaction.commit().await?;
    Ok(())
}

/// The versions that a patch may be based on: released, run by a customer, or registered as the base of a line.
pub(super) async fn known_versions(conn: &mut PgConnection) -> ApiResult<BTreeSet<Version>> {
    let mut known: BTreeSet<Version> =
        customers::list_current_versions(&mut *conn).await?.into_iter().collect();
    known.extend(store::list_lines(&mut *conn).await?.into_iter().map(|line| line.base_version));
    let releases = releases::list_releases(conn, None, 10_000).await?;
    known.extend(releases.into_iter().map(|release| release.version));
    Ok(known)
}

fn object(base: Version) -> String {
    format!("release-line/{base}")
}
