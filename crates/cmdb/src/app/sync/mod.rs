//! Synchronisation with the sim-engine. It knows which machines exist and how they are reached; the CMDB knows what they are
//! for. One synchronisation runs at a time; if its process dies, another takes over after its deadline.

mod merge;

use std::{collections::BTreeMap, time::Duration};

use api_types::{
    cmdb::{Ci, CiStatus, CiType, Sync, SyncStatus},
    sim::{SimState, Vm},
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{ids::CiId, selector::Tags};
use serde_json::json;
use service_kit::{
    ApiError, ApiResult, audit,
    auth::Caller,
    error::chain,
    idempotency::{self, Begun, IdempotencyKey},
    problem_types,
};

use super::{cis::touch, record::decided};
use crate::{
    state::App,
    store::{
        self,
        history::{Happening, insert_history},
    },
};

/// A synchronisation that has not ended by then is dead and may be taken over.
const DEADLINE: TimeDelta = TimeDelta::seconds(120);
/// The work is aborted a little earlier, so that its end is recorded.
const WORK_DEADLINE: Duration = Duration::from_secs(110);
/// Maximum number of machines.
const MAX_MACHINES: usize = 200_000;

pub async fn start_sync(app: &App, caller: &Caller, key: &IdempotencyKey) -> ApiResult<Sync> {
    let now = app.clock.now();
    let mut tx = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut tx, caller, "start_sync", key, &json!({})).await? {
        Begun::New(ticket) => ticket,
        Begun::Replay(sync) => return Ok(sync),
    };
    let begun = store::sync::begin_sync(&mut tx, &caller.subject, now, now + DEADLINE).await?;
    let Some(attempt) = begun else {
        return Err(ApiError::new(
            problem_types::SYNC_RUNNING,
            "a synchronisation is already running; GET /cmdb/sync/status shows its progress",
        ));
    };
    audit::record(&mut tx, caller, audit::Record::new("start_sync", "sync")).await?;
    let (sync, _) = store::sync::get_sync(&mut tx).await?;
    ticket.finish(&mut tx, &sync).await?;
    tx.commit().await?;
    app.tasks.spawn(run(app.clone(), caller.clone(), attempt));
    Ok(sync)
}

pub async fn get_sync(app: &App) -> ApiResult<Sync> {
    let mut conn = app.pool.acquire().await?;
    let (mut sync, deadline) = store::sync::get_sync(&mut conn).await?;
    if sync.status == SyncStatus::Running && deadline.is_some_and(|deadline| deadline <= app.clock.now()) {
        sync.status = SyncStatus::Failed;
        sync.error = Some("did not end by its deadline; start another".to_owned());
    }
    Ok(sync)
}

async fn run(app: App, caller: Caller, attempt: i64) {
    let outcome = tokio::select! {
        () = app.shutdown.cancelled() => Err("the service was stopped; start another".to_owned()),
        worked = tokio::time::timeout(WORK_DEADLINE, synchronise(&app, &caller, attempt)) => match worked {
            Ok(result) => result,
            Err(_) => Err("took too long and was aborted; start another".to_owned()),
        },
    };
    let Err(why) = outcome else { return };
    tracing::warn!(sync.attempt = attempt, "the synchronisation failed: {why}");
    let failed = Sync {
        status: SyncStatus::Failed,
        started_at: None,
        finished_at: Some(app.clock.now()),
        created: 0,
        updated: 0,
        unchanged: 0,
        missing: Vec::new(),
        error: Some(why),
    };
    let written = async {
        let mut conn = app.pool.acquire().await?;
        store::sync::finish_sync(&mut conn, attempt, &failed).await
    };
    // Without the record it still counts as failed once its deadline is over.
    if let Err(error) = written.await {
        tracing::warn!(sync.attempt = attempt, "its end could not be recorded: {}", chain(&error));
    }
}

async fn synchronise(app: &App, caller: &Caller, attempt: i64) -> Result<(), String> {
    let state: SimState = app.sim.get("/sim/state", &[]).await.map_err(|error| error.to_string())?;
    if state.vms.len() > MAX_MACHINES {
        return Err(format!("the sim-engine has more than {MAX_MACHINES} machines"));
    }
    apply(app, caller, attempt, state.vms).await.map_err(|error| {
        tracing::warn!(sync.attempt = attempt, "the machines could not be taken over: {}", chain(&error));
        "the machines could not be stored; the service's log has the reason".to_owned()
    })
}

/// Updates the CMDB to the existing machines, in one transaction with the end of the synchronisation.
async fn apply(app: &App, caller: &Caller, attempt: i64, vms: Vec<Vm>) -> ApiResult<()> {
    let now = app.clock.now();
    let ids: Vec<String> = vms.iter().map(|vm| vm.id.to_string()).collect();
    let mut tx = app.pool.begin().await?;
    if !store::sync::lock_sync(&mut tx, attempt).await? {
        tracing::info!(sync.attempt = attempt, "the synchronisation was taken over by another");
        return Ok(());
    }
    let known = store::cis::lock_cis(&mut tx, &ids).await?;
    let known: BTreeMap<CiId, Ci> = known.into_iter().map(|ci| (ci.id.clone(), ci)).collect();
    let named_last = store::sync::list_synced_tags(&mut tx, &ids).await?;
    let work = Work::of(&vms, &known, &named_last, now);

    let inserted = store::cis::insert_cis(&mut tx, &work.created).await?;
    if inserted != work.created.len() as u64 {
        return Err(ApiError::new(problem_types::BUSY, "CIs were created in the meantime; start another"));
    }
    store::cis::update_cis(&mut tx, &work.updated).await?;
    store::sync::update_synced_tags(&mut tx, &work.named).await?;
    let why = Some("synchronised with the sim-engine");
    insert_history(&mut tx, &work.happenings(&known), &caller.subject, why, now).await?;
    let outcome = Sync {
        status: SyncStatus::Succeeded,
        started_at: None,
        finished_at: Some(now),
        created: work.created.len() as i64,
        updated: work.updated.len() as i64,
        unchanged: work.unchanged,
        missing: store::sync::list_missing(&mut tx, &ids).await?,
        error: None,
    };
    store::sync::finish_sync(&mut tx, attempt, &outcome).await?;
    let record = audit::Record::new("finish_sync", "sync").after(&outcome);
    audit::record(&mut tx, caller, record).await?;
    tx.commit().await?;
    tracing::info!(
        sync.created = outcome.created,
        sync.updated = outcome.updated,
        "synchronised with the sim-engine"
    );
    Ok(())
}

/// What a synchronisation changes.
#[derive(Default)]
struct Work {
    created: Vec<Ci>,
    updated: Vec<Ci>,
    unchanged: i64,
    /// The machines' tags, for comparison next time.
    named: BTreeMap<CiId, Tags>,
}

impl Work {
    fn of(
        vms: &[Vm],
        known: &BTreeMap<CiId, Ci>,
        named_last: &BTreeMap<String, Tags>,
        now: DateTime<Utc>,
    ) -> Self {
        let mut work = Self::default();
        for vm in vms {
            let machine = merge::Machine::of(vm);
            match known.get(&vm.id) {
                None => work.created.push(create(&machine, vm, now)),
                // The CMDB owns the desired state: a decommissioned CI stays so although its machine still exists.
                Some(ci) if ci.status == CiStatus::Decommissioned => work.unchanged += 1,
                Some(ci) => {
                    let mut merged = merge::merge(ci, named_last.get(vm.id.as_str()), &machine);
                    if merged == *ci {
                        work.unchanged += 1;
                    } else {
                        touch(&mut merged, now);
                        work.updated.push(merged);
                    }
                }
            }
            work.named.insert(vm.id.clone(), machine.tags);
        }
        work
    }

    fn happenings(&self, known: &BTreeMap<CiId, Ci>) -> Vec<Happening> {
        let created = self.created.iter().map(|ci| ("create_ci", ci));
        let updated = self.updated.iter().map(|ci| ("update_ci", ci));
        let happening = |(action, ci): (&'static str, &Ci)| Happening {
            ci_id: ci.id.to_string(),
            action,
            before: known.get(&ci.id).and_then(decided),
            after: decided(ci),
        };
        created.chain(updated).map(happening).collect()
    }
}

fn create(machine: &merge::Machine, vm: &Vm, now: DateTime<Utc>) -> Ci {
    Ci {
        id: vm.id.clone(),
        ci_type: CiType::Vm,
        name: vm.id.to_string(),
        status: CiStatus::Active,
        tags: machine.tags.clone(),
        attributes: machine.attributes.clone(),
        maintenance: None,
        patch_state: None,
        version: 1,
        created_at: now,
        updated_at: now,
    }
}
