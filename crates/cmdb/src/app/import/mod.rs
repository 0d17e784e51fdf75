//! Imports an operator's existing list. Good records are stored, and each odd one is named with its place, its reason and what
//! to do; with [`Strictness::AllOrNothing`] one odd record stores nothing. A list without any good record is refused.

mod ansible;
mod csv;
mod foreman;
mod json;
mod mapping;
mod netbox;
mod os_names;
mod patchmon;
mod recognise;
mod record;
mod status;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use api_types::cmdb::{Ci, CiStatus, ImportReport, MappingProposal, RefusedRecord, Unmanaged};
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service_kit::{
    ApiError, ApiResult, FieldErrors, audit,
    auth::Caller,
    idempotency::{self, Begun, IdempotencyKey},
    problem_types,
};
use sqlx::PgConnection;
use utoipa::ToSchema;

pub use mapping::Mapping;
use os_names::UnknownNames;
pub use recognise::Format;
use record::{Distinct, List, Outcome, Record, Refusal, Wanted};

use super::{
    cis::{check_ci, touch},
    record::decided,
};
use crate::{
    state::App,
    store::{
        self,
        history::{Happening, insert_history},
    },
};

const MAX_RECORDS: usize = 100_000;
/// Maximum number of refusals and omissions in one answer.
const MAX_NAMED: usize = 1000;
/// Maximum number of unmanaged hosts in one answer.
const MAX_UNMANAGED: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Mode {
    Store,
    DryRun,
}

/// What one odd record does to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Strictness {
    StoreGoodRecords,
    AllOrNothing,
}

/// How a list is imported.
#[derive(Debug, Clone)]
pub struct Options {
    pub format: Option<Format>,
    pub mode: Mode,
    pub strictness: Strictness,
    /// `KEY=GROUP,GROUP`, as the caller wrote them.
    pub map: Vec<String>,
}

pub async fn import_cis(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    content: Vec<u8>,
    options: Options,
) -> ApiResult<ImportReport> {
    let mapping = Mapping::parse(&options.map).map_err(|why| ApiError::invalid("map", why))?;
    // Parsing twenty megabytes would block other requests.
    let format = options.format;
    let reading = tokio::task::spawn_blocking(move || {
        let text = recognise::text_of(&content)?.to_owned();
        let (format, mut list) = recognise::read(&text, format)?;
        mapping.apply(&mut list).map_err(|why| ApiError::invalid("map", why))?;
        let proposals = mapping.proposals(&list);
        Ok::<_, ApiError>((text, format, list, proposals))
    });
    let (text, format, list, proposals) = reading.await.map_err(ApiError::internal)??;
    if list.records.len() > MAX_RECORDS {
        return Err(ApiError::invalid(
            "",
            format!("has {} records; at most {MAX_RECORDS} are imported at once", list.records.len()),
        ));
    }
    let now = app.clock.now();
    let mut tx = app.pool.begin().await?;
    let Options { mode, strictness, map, .. } = options;
    let request = json!([text, format, mode, strictness, map]);
    let ticket = match idempotency::begin(&mut tx, caller, "import_cis", key, &request).await? {
        Begun::New(ticket) => ticket,
        Begun::Replay(report) => return Ok(report),
    };
    let work = Work::of(&mut tx, list, now).await?;
    let report = work.report(format, mode, proposals);
    if mode == Mode::DryRun {
        return Ok(report);
    }
    let has_none = work.created.is_empty() && work.updated.is_empty() && work.unchanged == 0;
    if has_none || strictness == Strictness::AllOrNothing {
        errors_of(&work.refused).finish()?;
    }
    store(&mut tx, caller, &work, now).await?;
    let record = audit::Record::new("import_cis", "import").after(&report);
    audit::record(&mut tx, caller, record).await?;
    ticket.finish(&mut tx, &report).await?;
    tx.commit().await?;
    tracing::info!(
        import.created = report.created,
        import.updated = report.updated,
        import.refused = report.refused_count,
        "imported a list"
    );
    Ok(report)
}

/// What an import changes, and what it refuses.
#[derive(Default)]
struct Work {
    read: u64,
    total: Option<u64>,
    created: Vec<Ci>,
    updated: Vec<(Ci, Ci)>,
    unchanged: u64,
    refused: Vec<RefusedRecord>,
    left_out_count: u64,
    left_out: Vec<RefusedRecord>,
    warnings: Vec<String>,
    unmanaged: Unmanaged,
    unknown_os: UnknownNames,
    /// Created CIs whose id the import made of a name.
    renamed: BTreeSet<CiId>,
}

impl Work {
    async fn of(conn: &mut PgConnection, list: List, now: DateTime<Utc>) -> ApiResult<Self> {
        let ids: Vec<String> = list.records.iter().flat_map(ids_of).map(|id| id.to_string()).collect();
        let known = store::cis::lock_cis(conn, &ids).await?;
        let known: BTreeMap<CiId, Ci> = known.into_iter().map(|ci| (ci.id.clone(), ci)).collect();
        let mut times_named: BTreeMap<CiId, u64> = BTreeMap::new();
        for wanted in list.records.iter().filter_map(Record::wanted) {
            *times_named.entry(wanted.id.clone()).or_default() += 1;
        }
        let mut first_named: BTreeMap<CiId, u64> = BTreeMap::new();
        let mut work = Self { warnings: list.warnings, total: list.total, ..Self::default() };
        for Record { number, is_line, name, outcome, left_out } in list.records {
            work.read += 1;
            let entry = |refusal: Refusal| RefusedRecord {
                record: number,
                line: is_line.then_some(number),
                name: name.clone(),
                reason: refusal.reason.replace("`/attributes/", "`").replace("`/tags/", "`"),
                remedy: refusal.remedy,
            };
            work.left_out.extend(left_out.into_iter().map(|reason| entry(reason.into())));
            let taken = match outcome {
                Outcome::LeftOut { reason, wanted } => {
                    work.left_out_count += 1;
                    let is_active = |ci: &&Ci| ci.status == CiStatus::Active;
                    let id = wanted.map(|mut wanted| {
                        distinguish(&mut wanted, false, &known);
                        wanted.id
                    });
                    let reason = match id.and_then(|id| known.get(&id)).filter(is_active) {
                        Some(ci) => reason.remedy(format!(
                            "it is active here; `patchctl ci decommission {}` takes it out of service",
                            ci.id
                        )),
                        None => reason,
                    };
                    work.left_out.push(entry(reason));
                    continue;
                }
                Outcome::Refused(refusal) => Err(refusal),
                Outcome::Wanted(mut wanted) => {
                    let is_repeated = times_named.get(&wanted.id).is_some_and(|times| *times > 1);
                    distinguish(&mut wanted, is_repeated, &known);
                    match first_named.insert(wanted.id.clone(), number) {
                        Some(first) => {
                            let place = if is_line { "line" } else { "record" };
                            Err(Refusal::from(format!("names `{}` again, as {place} {first} did", wanted.id))
                                .remedy("give one of the two another name, or delete it"))
                        }
                        None => work.take(known.get(&wanted.id), *wanted, now),
                    }
                }
            };
            if let Err(mut refusal) = taken {
                refusal
                    .remedy
                    .get_or_insert_with(|| "correct it in the list, then import the list again".to_owned());
                work.refused.push(entry(refusal));
            }
        }
        work.left_out.truncate(MAX_NAMED);
        work.warn_of_new_names();
        work.warnings.extend(work.unknown_os.warning());
        Ok(work)
    }

    fn take(&mut self, known: Option<&Ci>, mut wanted: Wanted, now: DateTime<Utc>) -> Result<(), Refusal> {
        os_names::normalise(&mut wanted.tags);
        let Some(before) = known else {
            if wanted.title.is_some() {
                self.renamed.insert(wanted.id.clone());
            }
            let ci = wanted.create(now);
            check_ci(&ci).summary().map_or(Ok(()), Err)?;
            self.note_patching(&ci);
            self.created.push(ci);
            return Ok(());
        };
        if before.status == CiStatus::Decommissioned {
            return Err(Refusal::from(format!("names `{}`, which is decommissioned", before.id)).remedy(
                format!(
                    "if it is in use again, activate it first: `patchctl ci update {} --activate`",
                    before.id
                ),
            ));
        }
        let mut after = wanted.apply_to(before);
        check_ci(&after).summary().map_or(Ok(()), Err)?;
        self.note_patching(&after);
        if after == *before {
            self.unchanged += 1;
        } else {
            touch(&mut after, now);
            self.updated.push((before.clone(), after));
        }
        Ok(())
    }

    /// An id that is not the name in another case must be said, because it is what every command takes.
    fn warn_of_new_names(&mut self) {
        let is_new = |ci: &&Ci| record::differs(&ci.name, &ci.id) && self.renamed.contains(&ci.id);
        let renamed: Vec<String> = self
            .created
            .iter()
            .filter(is_new)
            .map(|ci| format!("`{}` is `{}`", record::shown(&ci.name), ci.id))
            .collect();
        if !renamed.is_empty() {
            let more = if renamed.len() > MAX_UNMANAGED { ", ..." } else { "" };
            let first = renamed.iter().take(MAX_UNMANAGED).map(String::as_str).collect::<Vec<_>>().join(", ");
            self.warnings.push(format!(
                "{} records have a name that is not their id, because it is not a host name or another host has it: {first}{more}",
                renamed.len()
            ));
        }
    }

    fn note_patching(&mut self, ci: &Ci) {
        if ci.is_managed() == Some(false) {
            self.unmanaged.hosts += 1;
            if self.unmanaged.first.len() < MAX_UNMANAGED {
                self.unmanaged.first.push(ci.id.clone());
            }
            self.unmanaged.missing = vec!["os".to_owned()];
        }
        if ci.is_managed() == Some(true) {
            self.unknown_os.note(&ci.tags);
        }
    }

    fn report(&self, format: Format, mode: Mode, proposals: Vec<MappingProposal>) -> ImportReport {
        ImportReport {
            format: format.name().to_owned(),
            dry_run: mode == Mode::DryRun,
            read: self.read,
            created: self.created.len() as u64,
            updated: self.updated.len() as u64,
            unchanged: self.unchanged,
            refused_count: self.refused.len() as u64,
            refused: self.refused.iter().take(MAX_NAMED).cloned().collect(),
            left_out_count: self.left_out_count,
            left_out: self.left_out.clone(),
            total: self.total,
            warnings: self.warnings.iter().take(MAX_NAMED).cloned().collect(),
            unmanaged: self.unmanaged.clone(),
            proposals,
        }
    }
}

/// Every id that a record may mean.
fn ids_of(record: &Record) -> impl Iterator<Item = &CiId> {
    let wanted = match &record.outcome {
        Outcome::Wanted(wanted) => Some(wanted),
        Outcome::LeftOut { wanted, .. } => wanted.as_ref(),
        Outcome::Refused(_) => None,
    };
    let distinct = wanted.and_then(|wanted| wanted.distinct.as_ref());
    wanted.map(|wanted| &wanted.id).into_iter().chain(distinct.map(|distinct| &distinct.id))
}

/// Chooses between a name and the name with its site. What was imported once keeps its id, whatever else has its name
/// later; of equal names in one list, all get the longer id.
fn distinguish(wanted: &mut Wanted, is_repeated: bool, known: &BTreeMap<CiId, Ci>) {
    let Some(Distinct { id, tag }) = wanted.distinct.take() else { return };
    let keeps_name = match known.get(&wanted.id) {
        _ if known.contains_key(&id) => false,
        Some(before) => {
            let has_same = |ours: Option<&str>, theirs: Option<&str>| ours.is_some() && ours == theirs;
            let source = |attributes: &BTreeMap<String, Value>| {
                attributes.get(netbox::SOURCE)?.as_str().map(str::to_owned)
            };
            has_same(source(&before.attributes).as_deref(), source(&wanted.attributes).as_deref())
                || before.tags.get(tag).is_none_or(|scope| wanted.tags.get(tag) == Some(scope))
        }
        None => !is_repeated,
    };
    if !keeps_name {
        let name = std::mem::replace(&mut wanted.id, id);
        wanted.title.get_or_insert_with(|| name.to_string());
        // The longer id is not a name in the network.
        wanted.attributes.entry("address".to_owned()).or_insert_with(|| name.to_string().into());
    }
}

async fn store(conn: &mut PgConnection, caller: &Caller, work: &Work, now: DateTime<Utc>) -> ApiResult<()> {
    if store::cis::insert_cis(conn, &work.created).await? != work.created.len() as u64 {
        return Err(ApiError::new(
            problem_types::OVERTAKEN,
            "some of these CIs were created in the meantime; import the list again",
        ));
    }
    let updated: Vec<Ci> = work.updated.iter().map(|(_, after)| after.clone()).collect();
    store::cis::update_cis(conn, &updated).await?;
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
    insert_history(conn, &happenings, &caller.subject, Some("imported"), now).await?;
    Ok(())
}

fn errors_of(refused: &[RefusedRecord]) -> FieldErrors {
    let named = refused.iter().take(MAX_NAMED);
    named
        .map(|refused| {
            let reason = match &refused.remedy {
                Some(remedy) => format!("{}; {remedy}", refused.reason),
                None => refused.reason.clone(),
            };
            let place =
                refused.line.map_or(format!("record {}", refused.record), |line| format!("line {line}"));
            (place, reason)
        })
        .collect()
}
