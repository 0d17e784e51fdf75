//! An operator's existing list, in bulk and all or nothing: one refused record and nothing is stored.

mod ansible;
mod csv;
mod json;
mod netbox;
mod recognise;
mod record;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use api_types::cmdb::{Ci, CiStatus, ImportReport, RefusedRecord};
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use service_kit::{
    ApiError, ApiResult, FieldErrors, audit,
    auth::Caller,
    idempotency::{self, Begun, IdempotencyKey},
};
use sqlx::PgConnection;
use utoipa::ToSchema;

pub use recognise::Format;
use record::{Record, Wanted};

use super::{
    App,
    cis::{check_ci, touch},
    record::decided,
};
use crate::store::{
    self,
    history::{Happening, insert_history},
};

const MAX_RECORDS: usize = 100_000;
/// Refusals and omissions named in one answer; the rest are counted.
const MAX_NAMED: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Mode {
    Store,
    DryRun,
}

pub async fn import_cis(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    content: Vec<u8>,
    format: Option<Format>,
    mode: Mode,
) -> ApiResult<ImportReport> {
    // Twenty megabytes take a while to read, in which others want to be answered.
    let reading = tokio::task::spawn_blocking(move || {
        let text = recognise::text_of(&content)?.to_owned();
        let (format, records) = recognise::read(&text, format)?;
        Ok::<_, ApiError>((text, format, records))
    });
    let (text, format, records) = reading.await.map_err(ApiError::internal)??;
    if records.len() > MAX_RECORDS {
        return Err(ApiError::invalid(
            "",
            format!("has {} records; at most {MAX_RECORDS} are imported at once", records.len()),
        ));
    }
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let request = json!([text, format, mode]);
    let ticket = match idempotency::begin(&mut transaction, caller, "import_cis", key, &request).await? {
        Begun::New(ticket) => ticket,
        Begun::Replay(report) => return Ok(report),
    };
    let work = Work::of(&mut transaction, records, now).await?;
    let report = work.report(format, mode);
    match mode {
        Mode::DryRun => return Ok(report),
        Mode::Store => errors_of(&work.refused).finish()?,
    }
    store(&mut transaction, caller, &work, now).await?;
    let record = audit::Record::new("import_cis", "import").after(&report);
    audit::record(&mut transaction, caller, record).await?;
    ticket.finish(&mut transaction, &report).await?;
    transaction.commit().await?;
    tracing::info!(import.created = report.created, import.updated = report.updated, "imported a list");
    Ok(report)
}

/// What an import changes, and what it cannot take.
#[derive(Default)]
struct Work {
    read: u64,
    created: Vec<Ci>,
    updated: Vec<(Ci, Ci)>,
    unchanged: u64,
    refused: Vec<RefusedRecord>,
    left_out: Vec<RefusedRecord>,
}

impl Work {
    async fn of(connection: &mut PgConnection, records: Vec<Record>, now: DateTime<Utc>) -> ApiResult<Self> {
        let ids: Vec<String> = records
            .iter()
            .filter_map(|record| record.wanted.as_ref().ok().map(|wanted| wanted.id.to_string()))
            .collect();
        let known = store::cis::lock_cis(connection, &ids).await?;
        let mut known: BTreeMap<CiId, Ci> = known.into_iter().map(|ci| (ci.id.clone(), ci)).collect();
        let mut first_named: BTreeMap<CiId, u64> = BTreeMap::new();
        let mut work = Self::default();
        for Record { number, wanted, left_out } in records {
            work.read += 1;
            work.left_out.extend(left_out.into_iter().map(|reason| RefusedRecord { record: number, reason }));
            let taken = wanted.and_then(|wanted| {
                if let Some(first) = first_named.insert(wanted.id.clone(), number) {
                    return Err(format!("names `{}` again, as record {first} did", wanted.id));
                }
                work.take(known.remove(&wanted.id), wanted, now)
            });
            if let Err(reason) = taken {
                work.refused.push(RefusedRecord { record: number, reason });
            }
        }
        work.left_out.truncate(MAX_NAMED);
        Ok(work)
    }

    fn take(&mut self, known: Option<Ci>, wanted: Wanted, now: DateTime<Utc>) -> Result<(), String> {
        let Some(before) = known else {
            let ci = wanted.create(now);
            check_ci(&ci).summary().map_or(Ok(()), Err)?;
            self.created.push(ci);
            return Ok(());
        };
        if before.status == CiStatus::Decommissioned {
            return Err(format!("names `{}`, which is decommissioned; make it active first", before.id));
        }
        let mut after = wanted.apply_to(&before);
        check_ci(&after).summary().map_or(Ok(()), Err)?;
        if after == before {
            self.unchanged += 1;
        } else {
            touch(&mut after, now);
            self.updated.push((before, after));
        }
        Ok(())
    }

    fn report(&self, format: Format, mode: Mode) -> ImportReport {
        ImportReport {
            format: format.name().to_owned(),
            dry_run: mode == Mode::DryRun,
            read: self.read,
            created: self.created.len() as u64,
            updated: self.updated.len() as u64,
            unchanged: self.unchanged,
            refused: self.refused.iter().take(MAX_NAMED).cloned().collect(),
            left_out: self.left_out.clone(),
        }
    }
}

async fn store(
    connection: &mut PgConnection,
    caller: &Caller,
    work: &Work,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    if store::cis::insert_cis(connection, &work.created).await? != work.created.len() as u64 {
        return Err(ApiError::conflict(
            "busy",
            "some of these CIs were created by somebody else meanwhile; import the list again",
        ));
    }
    let updated: Vec<Ci> = work.updated.iter().map(|(_, after)| after.clone()).collect();
    store::cis::update_cis(connection, &updated).await?;
    let created = work.created.iter().map(|ci| ("create_ci", None, ci));
    let updated = work.updated.iter().map(|(before, after)| ("update_ci", Some(before), after));
    let happenings: Vec<Happening> = created
        .chain(updated)
        .map(|(action, before, after)| Happening {
            ci_id: after.id.to_string(),
            action,
            before: before.and_then(decided),
            after: decided(after),
        })
        .collect();
    insert_history(connection, &happenings, &caller.subject, Some("imported"), now).await?;
    Ok(())
}

fn errors_of(refused: &[RefusedRecord]) -> FieldErrors {
    let named = refused.iter().take(MAX_NAMED);
    named.map(|refused| (format!("record {}", refused.record), refused.reason.as_str())).collect()
}
