//! Recognises a database that was restored or copied, and holds all work until an administrator confirms.
//!
//! The installation has an identity in the database and in each work folder. Before a run is claimed, before an action that changes
//! something outside, and every few seconds, the database counts on and the work folder notes the count: first the database, then
//! the folder. So a folder never knows more than its database, unless the database is older than what the folder has seen.
//! The database also notes where PostgreSQL keeps it, which a restored copy cannot know.

mod identity_file;
mod recognise;

use std::{path::Path, time::Duration};

use api_types::patch::{Hold, HoldCause, Installation};
use domain::{ids::RunId, run::Event};
use service_kit::{ApiError, ApiResult, Caller, audit, error::chain, problem_types};
use sqlx::PgConnection;
use tokio::{sync::Mutex, task::spawn_blocking, time::Instant};
use uuid::Uuid;

use self::{
    identity_file::{Identity, IdentityFiles},
    recognise::{Recognised, Stored, recognise},
};
use super::transition::{self, Evidence, TransitionError};
use crate::{
    App, SERVICE,
    store::{
        installation::{self as store, InstallationRow},
        runs,
    },
};

/// How often the database is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// A claim trusts a look that is not older.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// A new folder waits this long for a sign of another replica: several times the interval at which each gives one.
const JOIN_WITHIN: Duration = Duration::from_secs(15);
const BATCH: i64 = 100;
const MOST_SHOWN: i64 = 100;

/// Whether this process may work with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Confirmed,
    /// A new replica that has not seen another one at work yet.
    Joining,
    /// Nothing is worked on until an administrator confirms.
    Held,
}

/// What this process remembers between two looks.
#[derive(Debug, Default)]
pub(crate) struct Watch(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    confirmed_at: Option<Instant>,
    /// Since when it tries to join, and the sum of the counts of all folders then.
    joining: Option<(Instant, i64)>,
}

/// Looks at the database until the service stops, and pauses the open runs if it is held.
pub(crate) async fn watch(app: App) {
    loop {
        let looked = async {
            if look(&app).await? == Standing::Held {
                pause_open_runs(&app).await?;
            }
            ApiResult::Ok(())
        };
        if let Err(error) = looked.await {
            tracing::warn!("cannot compare the database with the work folder now: {}", chain(&error));
        }
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// For what happens often: trusts a recent look.
pub(crate) async fn standing(app: &App) -> ApiResult<Standing> {
    let confirmed_at = app.watch.0.lock().await.confirmed_at;
    match confirmed_at.filter(|at| at.elapsed() < TRUSTED_FOR) {
        Some(_) => Ok(Standing::Confirmed),
        None => look(app).await,
    }
}

/// Compares the database with the work folder, and counts on if they agree. Holds the installation if not.
pub(crate) async fn look(app: &App) -> ApiResult<Standing> {
    let mut memory = app.watch.0.lock().await;
    memory.confirmed_at = None;
    let mut transaction = app.pool.begin().await?;
    let is_new = store::insert_installation(&mut transaction, Uuid::now_v7()).await?;
    let row = store::lock_installation(&mut transaction).await?;
    if row.hold.is_some() {
        return Ok(Standing::Held);
    }
    let place = store::get_place(&mut transaction).await?;
    let known = read_file(app, row.id).await?;
    let before = if is_new { belongs_elsewhere(app, &mut transaction).await? } else { None };
    let folders = store::list_folders(&mut transaction).await?;
    let counts: Vec<(Uuid, i64)> = folders.iter().map(|folder| (folder.folder, folder.count)).collect();
    let stored = Stored { epoch: row.epoch, place: row.place.as_deref(), folders: &counts };
    let files = files(app);
    let mut recognised = before.unwrap_or_else(|| recognise(&stored, &place, known.as_ref(), files.path()));
    if recognised == Recognised::Joins {
        recognised = match join(&mut memory, &counts) {
            Some(recognised) => recognised,
            None => return Ok(Standing::Joining),
        };
    }
    memory.joining = None;
    if let Recognised::Differs { cause, detail } = recognised {
        hold(app, &mut transaction, cause, &detail).await?;
        transaction.commit().await?;
        tracing::error!(
            "the database may not be the one that was worked with: {detail}; open runs are paused and schedules start nothing until \
             an administrator confirms it with `patchctl restore confirm`"
        );
        return Ok(Standing::Held);
    }
    let (folder, count) = known.map_or_else(|| (Uuid::now_v7(), 0), |known| (known.folder, known.count));
    let path = files.path().to_string_lossy().into_owned();
    let count = store::advance(&mut transaction, folder, &path, count, &place).await?;
    transaction.commit().await?;
    write_file(app, &row, row.epoch, folder, count).await?;
    memory.confirmed_at = Some(Instant::now());
    Ok(Standing::Confirmed)
}

/// Whether a new folder has seen another replica at work. `None`: not yet.
fn join(memory: &mut Memory, counts: &[(Uuid, i64)]) -> Option<Recognised> {
    let sum = counts.iter().map(|(_, count)| count).sum();
    let (since, was) = *memory.joining.get_or_insert((Instant::now(), sum));
    if sum > was {
        return Some(Recognised::Same);
    }
    (since.elapsed() >= JOIN_WITHIN).then(|| Recognised::Differs {
        cause: HoldCause::UnknownFolder,
        detail: format!(
            "the database is known to {} other work folders, and none of them is in use; this one is new",
            counts.len()
        ),
    })
}

/// A database without an identity that has work to do, while the folder has one: it is older than the identity.
async fn belongs_elsewhere(app: &App, conn: &mut PgConnection) -> ApiResult<Option<Recognised>> {
    let Some(installation) = files(app).any() else { return Ok(None) };
    if !store::has_open_runs(conn).await? {
        return Ok(None);
    }
    let detail = format!("the database has no identity, and the work folder belongs to {installation}");
    Ok(Some(Recognised::Differs { cause: HoldCause::Older, detail }))
}

async fn hold(app: &App, conn: &mut PgConnection, cause: HoldCause, detail: &str) -> ApiResult<()> {
    store::hold(&mut *conn, cause, detail, app.clock.now()).await?;
    let caller = Caller::internal(SERVICE, "service:patch-manager");
    let record = audit::Record::new("hold_installation", "installation").after(&cause).reason(Some(detail));
    audit::record(conn, &caller, record).await
}

/// Pauses every open run of a held installation, each in a transaction of its own.
async fn pause_open_runs(app: &App) -> ApiResult<()> {
    let caller = Caller::internal(SERVICE, "service:patch-manager");
    let mut before = Vec::new();
    loop {
        let mut conn = app.pool.acquire().await?;
        let row = store::find_installation(&mut conn).await?;
        let Some(hold) = row.and_then(|row| row.hold) else { return Ok(()) };
        let runs = store::list_open_runs(&mut conn, true, BATCH).await?;
        drop(conn);
        // Those that could not be paused are tried again at the next look.
        if runs.is_empty() || runs == before {
            return Ok(());
        }
        let reason = format!("the database was restored or copied: {}", hold.detail);
        for run in &runs {
            let mut transaction = app.pool.begin().await?;
            pause(app, &mut transaction, *run, &reason, &caller).await?;
            transaction.commit().await?;
        }
        before = runs;
    }
}

async fn pause(
    app: &App,
    conn: &mut PgConnection,
    run: RunId,
    reason: &str,
    caller: &Caller,
) -> ApiResult<()> {
    runs::lock_run(&mut *conn, run).await?;
    let event = Event::NeedsOperator { reason: reason.to_owned() };
    let evidence = Evidence::logged(format!("waits for an operator: {reason}"));
    match transition::apply(app, conn, run, event, evidence, caller).await {
        // It has ended in the meantime.
        Ok(_) | Err(TransitionError::Refused(_)) => Ok(()),
        Err(TransitionError::Failed(error)) => Err(error),
        Err(TransitionError::Lost) => Err(ApiError::new(problem_types::LOST, "another process owns the run")),
    }
}

/// Refuses new work and orders while the installation is held.
pub(crate) async fn refuse_while_held(conn: &mut PgConnection) -> ApiResult<()> {
    let Some(hold) = store::find_installation(conn).await?.and_then(|row| row.hold) else { return Ok(()) };
    Err(ApiError::new(
        problem_types::NEEDS_OPERATOR,
        format!(
            "the database was restored or copied ({}); an administrator must confirm it first with `patchctl restore confirm`",
            hold.detail
        ),
    ))
}

pub(crate) async fn get_installation(app: &App) -> ApiResult<Installation> {
    let mut conn = app.pool.acquire().await?;
    let Some(row) = store::find_installation(&mut conn).await? else {
        return Err(ApiError::new(
            problem_types::LEASE,
            "the service has not looked at its database yet; try again",
        ));
    };
    show(&mut conn, row).await
}

async fn show(conn: &mut PgConnection, row: InstallationRow) -> ApiResult<Installation> {
    Ok(Installation {
        id: row.id,
        epoch: row.epoch,
        hold: row.hold.map(|hold| Hold { since: hold.since, cause: hold.cause, detail: hold.detail }),
        held_runs: store::list_held_runs(&mut *conn, MOST_SHOWN).await?,
        folders: store::list_folders(conn).await?,
        confirmed_at: row.confirmed_at,
        confirmed_by: row.confirmed_by,
    })
}

/// Ends the hold in a new epoch. Open runs stay paused, each until an operator decides.
pub(crate) async fn confirm_installation(
    app: &App,
    caller: &Caller,
    reason: &str,
) -> ApiResult<Installation> {
    let reason = reason.trim();
    if !(1..=1000).contains(&reason.chars().count()) {
        return Err(ApiError::invalid("/reason", "must be 1 to 1000 characters"));
    }
    let mut memory = app.watch.0.lock().await;
    let mut transaction = app.pool.begin().await?;
    store::insert_installation(&mut transaction, Uuid::now_v7()).await?;
    let row = store::lock_installation(&mut transaction).await?;
    let Some(hold) = &row.hold else { return show(&mut transaction, row).await };
    let why = format!(
        "the database was restored or copied ({}), as {} confirmed; its hosts are scanned when it is resumed",
        hold.detail, caller.subject
    );
    // Those that were paused already get their whole time again.
    for run in store::list_open_runs(&mut transaction, false, i64::MAX).await? {
        pause(app, &mut transaction, run, &why, caller).await?;
    }
    let known = read_file(app, row.id).await?;
    let epoch = row.epoch.max(known.as_ref().map_or(0, |known| known.epoch)) + 1;
    let place = store::get_place(&mut transaction).await?;
    let now = app.clock.now();
    store::confirm(&mut transaction, epoch, &place, &caller.subject, now).await?;
    let (folder, count) = known.map_or_else(|| (Uuid::now_v7(), 0), |known| (known.folder, known.count));
    let path = files(app).path().to_string_lossy().into_owned();
    let count = store::advance(&mut transaction, folder, &path, count, &place).await?;
    let record = audit::Record::new("confirm_installation", "installation");
    let record = record.before(&hold.cause).after(&epoch).reason(Some(reason));
    audit::record(&mut transaction, caller, record).await?;
    let id = row.id;
    let Some(confirmed) = store::find_installation(&mut transaction).await? else {
        return Err(ApiError::internal("the identity of the installation is gone"));
    };
    let shown = show(&mut transaction, confirmed).await?;
    transaction.commit().await?;
    *memory = Memory::default();
    tracing::info!(installation.id = %id, installation.epoch = epoch, "{} confirmed the database: {reason}", caller.subject);
    write_file(app, &row, epoch, folder, count).await?;
    Ok(shown)
}

fn files(app: &App) -> IdentityFiles {
    IdentityFiles::of(&app.compliance.settings.work_dir)
}

async fn read_file(app: &App, installation: Uuid) -> ApiResult<Option<Identity>> {
    let files = files(app);
    let read = spawn_blocking(move || files.read(installation)).await.map_err(ApiError::internal)?;
    read.map_err(|error| unusable("read", &app.compliance.settings.work_dir, error))
}

async fn write_file(app: &App, row: &InstallationRow, epoch: i64, folder: Uuid, count: i64) -> ApiResult<()> {
    let files = files(app);
    let path = files.path().to_owned();
    let identity = Identity { installation: row.id, folder, epoch, count, path };
    let written = spawn_blocking(move || files.write(&identity)).await.map_err(ApiError::internal)?;
    written.map_err(|error| unusable("write", &app.compliance.settings.work_dir, error))
}

fn unusable(verb: &str, folder: &Path, error: std::io::Error) -> ApiError {
    ApiError::internal(format!(
        "cannot {verb} the identity of the installation in `{}`: {error}",
        folder.display()
    ))
}
