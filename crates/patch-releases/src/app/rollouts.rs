//! Rollouts: forecast, validated, started, rolled back.

use std::collections::BTreeMap;

use api_types::patch::{
    DeployRelease, EmergencyRelease, LeftOutCustomer, PlanRelease, Release, ReleaseMode, ReleasePlan,
    ReleaseRun, RollBackRelease, RunTrigger, StartRun,
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    ids::{CiId, RunId},
    plan::Plan,
    policy::Policy,
    pre_approval::PreApproval,
    release::{
        Approval, Customer, Direction, PlanRelease as PlanInput, Planned, ReleaseKind, Tier, Version,
        simulate,
    },
    run::Event,
    selector::Tags,
};
use patch_runs::app::{
    calendars, plans, records, runs,
    transition::{self, Evidence, TransitionError},
    work::Work,
};
use service_kit::{
    ApiError, ApiResult, Caller, IdempotencyKey, audit,
    idempotency::{self, Begun},
    problem_types,
};
use sqlx::PgConnection;

use super::customer_events::CustomerEvent;
use super::customers;
use super::release_config::RELEASE_POLICIES;
use super::releases::{self, change_release, check_reason, load_release};
use crate::{
    App,
    store::{
        customers as customer_store, deployments,
        releases::{self as store, RolloutRequest},
    },
};

/// The forecast of a rollout, simulated by the same machine that decides the real one.
pub(crate) async fn plan_release(
    app: &App,
    version: Version,
    request: &PlanRelease,
) -> ApiResult<ReleasePlan> {
    let mut conn = app.pool.acquire().await?;
    let release = load_release(&mut conn, version).await?;
    let chosen = customers::resolve_customers(&mut conn, &request.customers).await?;
    let mode = if request.emergency { ReleaseMode::Emergency } else { ReleaseMode::Deploy };
    let rollout = new_request(&release, mode, &chosen, String::new(), false);
    let planned = make_plan(&mut conn, &rollout).await?;
    let calendar = calendars::load_freezes(&mut conn).await?;
    drop(conn);
    let began_at = request.begin_at.unwrap_or_else(|| app.clock.now());
    let freezes = |at, tags: &Tags| calendars::freeze_names(&calendar, (at, at), tags);
    let timeline = simulate(&planned.plan, &request.imagined, began_at, &freezes);
    Ok(ReleasePlan {
        plan_hash: planned.plan.hash().to_string(),
        left_out: left_out(&planned),
        open_items: open_items(&release),
        plan: planned.plan,
        release,
        timeline,
    })
}

fn left_out(planned: &Planned) -> Vec<LeftOutCustomer> {
    let shown = |left: &domain::release::LeftOut| LeftOutCustomer {
        customer: left.customer.clone(),
        reason: left.reason.clone(),
    };
    planned.left_out.iter().map(shown).collect()
}

fn open_items(release: &Release) -> Vec<String> {
    release.checklist.open().map(|(name, item)| format!("{name}: {}", item.text)).collect()
}

/// The plan of a rollout, from what is known now.
pub(crate) async fn make_plan(conn: &mut PgConnection, rollout: &RolloutRequest) -> ApiResult<Planned> {
    let release = store::get_release(&mut *conn, rollout.version).await?;
    let policies = customer_store::get_release_policies(&mut *conn).await?.policies;
    let mut chosen: Vec<Customer> = Vec::new();
    let mut previous = BTreeMap::new();
    for slug in &rollout.customers {
        let Some(stored) = customer_store::find_customer(&mut *conn, slug).await? else { continue };
        if rollout.mode == ReleaseMode::Rollback {
            let Some(last) = deployments::find_latest_forward(&mut *conn, slug, rollout.version).await?
            else {
                continue;
            };
            previous.insert(slug.clone(), last.from_version);
        }
        chosen.push(stored.customer);
    }
    domain::release::plan_release(&PlanInput {
        version: release.version,
        kind: release.kind,
        urgency: release.urgency,
        artefact: release.artefact,
        rollback_artefact: release.rollback_artefact,
        direction: if rollout.mode == ReleaseMode::Rollback {
            Direction::RollBack
        } else {
            Direction::Forward
        },
        emergency: rollout.mode == ReleaseMode::Emergency,
        at_once: rollout.at_once,
        policies: &policies,
        customers: &chosen,
        previous,
    })
    .map_err(ApiError::internal)
}

/// Runs only the checks of the validation.
pub(crate) async fn validate_release(
    app: &App,
    caller: &Caller,
    version: Version,
    key: &IdempotencyKey,
) -> ApiResult<ReleaseRun> {
    let mut conn = app.pool.acquire().await?;
    let release = load_release(&mut conn, version).await?;
    let policies = customer_store::get_release_policies(&mut conn).await?.policies;
    drop(conn);
    if policies.validation.is_empty() {
        let reason = "no validation check is configured; add checks to `policies.validation` with `patchctl release apply`";
        return Err(ApiError::new(problem_types::NOTHING_TO_DO, reason));
    }
    let rollout = new_request(&release, ReleaseMode::Validate, &[], String::new(), false);
    start_run(app, caller, &release, rollout, false, key).await
}

pub(crate) async fn deploy_release(
    app: &App,
    caller: &Caller,
    version: Version,
    request: &DeployRelease,
    key: &IdempotencyKey,
) -> ApiResult<ReleaseRun> {
    let mut conn = app.pool.acquire().await?;
    let release = load_release(&mut conn, version).await?;
    let chosen = customers::resolve_customers(&mut conn, &request.customers).await?;
    let rollout = new_request(&release, ReleaseMode::Deploy, &chosen, String::new(), false);
    if !request.dry_run {
        let open = open_items(&release);
        if let [first, ..] = open.as_slice() {
            let reason = format!(
                "{} items of the checklist are open, first `{first}`; tick them, or waive them with a reason",
                open.len()
            );
            return Err(ApiError::new(problem_types::CHECKLIST_OPEN, reason));
        }
        require_demo_first(&mut conn, version, &chosen).await?;
    }
    require_work(&mut conn, &rollout).await?;
    drop(conn);
    start_run(app, caller, &release, rollout, request.dry_run, key).await
}

/// A tier starts after the demo, in this rollout or in an earlier one.
async fn require_demo_first(conn: &mut PgConnection, version: Version, chosen: &[Customer]) -> ApiResult<()> {
    let has_demo = chosen.iter().any(|customer| customer.tier == Tier::Demo);
    let demos = customer_store::list_customers(&mut *conn, Some(Tier::Demo.name()), None, 1).await?;
    if has_demo || demos.is_empty() || deployments::find_demo_ended_at(conn, version).await?.is_some() {
        return Ok(());
    }
    let reason = format!(
        "{version} was not deployed to a demo installation yet; deploy it to `demo` first, or together with the others"
    );
    Err(ApiError::new(problem_types::DEMO_FIRST, reason))
}

async fn require_work(conn: &mut PgConnection, rollout: &RolloutRequest) -> ApiResult<()> {
    let planned = make_plan(conn, rollout).await?;
    if !planned.plan.subjects().is_empty() {
        return Ok(());
    }
    let reasons = planned.left_out.iter().take(5).map(|left| format!("`{}`: {}", left.customer, left.reason));
    let reasons = reasons.collect::<Vec<_>>().join("; ");
    let reason = if reasons.is_empty() {
        "there is nothing to do for any customer".to_owned()
    } else {
        format!("there is nothing to do for any customer: {reasons}")
    };
    Err(ApiError::new(problem_types::NOTHING_TO_DO, reason))
}

/// All tiers at once after validation and demo, with the approval of one emergency approver. Open items of the checklist are
/// waived in the caller's name with the emergency's reason, and are part of its review.
pub(crate) async fn deploy_emergency_release(
    app: &App,
    caller: &Caller,
    version: Version,
    request: &EmergencyRelease,
    key: &IdempotencyKey,
) -> ApiResult<ReleaseRun> {
    check_reason(&request.reason)?;
    let mut conn = app.pool.acquire().await?;
    let mut release = load_release(&mut conn, version).await?;
    let chosen = customers::resolve_customers(&mut conn, &request.customers).await?;
    let rollout = new_request(&release, ReleaseMode::Emergency, &chosen, request.reason.clone(), true);
    require_work(&mut conn, &rollout).await?;
    drop(conn);
    if !request.dry_run && release.checklist.open().next().is_some() {
        let (by, at, reason) = (&caller.subject, app.clock.now(), format!("emergency: {}", request.reason));
        release = change_release(app, caller, version, "waive_checklist", |release| {
            release.checklist.waive_open(by, at, &reason);
            Ok(())
        })
        .await?;
    }
    start_run(app, caller, &release, rollout, request.dry_run, key).await
}

/// Rolls a release back at customers: as part of an open rollout, otherwise with a run of its own.
pub(crate) async fn roll_back_release(
    app: &App,
    caller: &Caller,
    version: Version,
    request: &RollBackRelease,
    key: &IdempotencyKey,
) -> ApiResult<Vec<ReleaseRun>> {
    check_reason(&request.reason)?;
    if request.customers.is_empty() {
        return Err(ApiError::invalid("/customers", "must name customers, tiers or `all`"));
    }
    let mut conn = app.pool.acquire().await?;
    let release = load_release(&mut conn, version).await?;
    let chosen = customers::resolve_customers(&mut conn, &request.customers).await?;
    let chosen = customers_to_roll_back(&mut conn, app.clock.now(), &release, chosen).await?;
    let open = store::list_open_runs(&mut conn, version).await?;
    drop(conn);
    let reason = format!("{} (by {})", request.reason.trim(), caller.subject);
    let mut rolling_back = Vec::new();
    let mut rest = Vec::new();
    'customers: for customer in chosen {
        for (run, _) in
            open.iter().filter(|(_, mode)| matches!(mode, ReleaseMode::Deploy | ReleaseMode::Emergency))
        {
            if roll_back_customer(app, caller, *run, &customer.slug, &reason).await? {
                if !rolling_back.contains(run) {
                    rolling_back.push(*run);
                }
                continue 'customers;
            }
        }
        rest.push(customer);
    }
    let mut started = Vec::new();
    for run in rolling_back {
        started.push(get_release_run(app, run).await?);
    }
    if !rest.is_empty() {
        let rollout = new_request(&release, ReleaseMode::Rollback, &rest, reason, request.at_once);
        started.push(start_run(app, caller, &release, rollout, false, key).await?);
    }
    Ok(started)
}

/// Makes an open run roll back a customer that it deployed to; `false` if that run did not deploy to it or is about to end.
pub(crate) async fn roll_back_customer(
    app: &App,
    caller: &Caller,
    run: RunId,
    customer: &CiId,
    reason: &str,
) -> ApiResult<bool> {
    let mut transaction = app.pool.begin().await?;
    records::lock_run(&mut transaction, run).await?;
    let event = Event::HostUnhealthy { host: customer.clone(), reason: reason.to_owned() };
    let mut evidence = Evidence::default();
    CustomerEvent::RollingBack.add_to(&mut evidence, customer, reason);
    match transition::apply(&app.runs, &mut transaction, run, event, evidence, caller).await {
        Ok(_) => transaction.commit().await.map(|()| true).map_err(Into::into),
        Err(TransitionError::Refused(_)) => Ok(false),
        Err(TransitionError::Failed(error)) => Err(error),
        Err(TransitionError::Lost) => {
            Err(ApiError::new(problem_types::LOST, "the run is being taken over; try again"))
        }
    }
}

/// The chosen customers that run the release. Refused when the rollback window of one of them has closed.
async fn customers_to_roll_back(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    release: &Release,
    chosen: Vec<Customer>,
) -> ApiResult<Vec<Customer>> {
    let policy = customer_store::get_release_policies(&mut *conn).await?.policies.of(release.kind);
    let hours = policy.rollback.window_hours;
    let mut found = Vec::new();
    for customer in chosen {
        let Some(last) =
            deployments::find_latest_forward(&mut *conn, &customer.slug, release.version).await?
        else {
            continue;
        };
        if customer.current_version != release.version {
            continue;
        }
        let ended_at = last.ended_at.unwrap_or(last.requested_at);
        let until = ended_at + TimeDelta::hours(i64::from(hours));
        if now > until {
            let reason = format!(
                "`{}` has run {} since {}; a {} release can be rolled back for {hours} h, which ended at {}",
                customer.slug,
                release.version,
                ended_at.format("%Y-%m-%d %H:%M UTC"),
                release.kind,
                until.format("%Y-%m-%d %H:%M UTC")
            );
            return Err(ApiError::new(problem_types::ROLLBACK_WINDOW_CLOSED, reason));
        }
        found.push(customer);
    }
    if found.is_empty() {
        let reason = format!("none of these customers runs {}", release.version);
        return Err(ApiError::new(problem_types::NOTHING_TO_DO, reason));
    }
    Ok(found)
}

fn new_request(
    release: &Release,
    mode: ReleaseMode,
    chosen: &[Customer],
    reason: String,
    at_once: bool,
) -> RolloutRequest {
    RolloutRequest {
        version: release.version,
        mode,
        customers: chosen.iter().map(|customer| customer.slug.clone()).collect(),
        reason,
        at_once,
    }
}

/// Stores a new run of a release, which the engine performs like any other.
pub(crate) async fn start_run(
    app: &App,
    caller: &Caller,
    release: &Release,
    rollout: RolloutRequest,
    dry_run: bool,
    key: &IdempotencyKey,
) -> ApiResult<ReleaseRun> {
    let mut transaction = app.pool.begin().await?;
    let request = (&rollout, dry_run);
    let ticket = match idempotency::begin(&mut transaction, caller, "start_release", key, &request).await? {
        Begun::Replay(run) => return Ok(run),
        Begun::New(ticket) => ticket,
    };
    let approval =
        customer_store::get_release_policies(&mut transaction).await?.policies.of(release.kind).approval;
    let request =
        StartRun { dry_run, emergency: rollout.mode == ReleaseMode::Emergency, ..StartRun::default() };
    let policy = policy(release, &rollout, approval)?;
    let pre_approval = policy.change.standard_template.is_some();
    let pre_approval = pre_approval.then(|| PreApproval::Granted { by: RELEASE_POLICIES.to_owned() });
    let editors = editors(&mut transaction, &rollout).await?;
    let work = Work { policy, editors, pre_approval };
    let run =
        runs::start_release(&app.runs, &mut transaction, caller, &request, work, RunTrigger::Release).await?;
    store::insert_release_run(&mut transaction, run.id, &rollout, app.clock.now()).await?;
    let answer = ReleaseRun { version: rollout.version, mode: rollout.mode, run };
    ticket.finish(&mut transaction, &answer).await?;
    transaction.commit().await?;
    Ok(answer)
}

/// Who wrote the release, its customers and the table of release policies: what the run does.
async fn editors(conn: &mut PgConnection, rollout: &RolloutRequest) -> ApiResult<Vec<String>> {
    let mut objects = vec![RELEASE_POLICIES.to_owned(), releases::object(rollout.version)];
    objects.extend(rollout.customers.iter().map(customers::object));
    let actions =
        ["update_release_policies", "create_release", "update_release", "create_customer", "update_customer"];
    Ok(audit::list_subjects(conn, &objects, &actions).await?)
}

/// The policy of the run: its name, and its change template.
fn policy(release: &Release, rollout: &RolloutRequest, approval: Approval) -> ApiResult<Policy> {
    let mut policy = plans::ad_hoc_policy()?;
    let what = match rollout.mode {
        ReleaseMode::Validate => "validation of release",
        ReleaseMode::Deploy => "release",
        ReleaseMode::Emergency => "emergency release",
        ReleaseMode::Rollback => "rollback of release",
    };
    policy.name = format!("{what} {} ({})", release.version, kind_text(release.kind));
    let by_template = approval != Approval::Manual || rollout.mode == ReleaseMode::Rollback;
    policy.change.standard_template = by_template.then(|| "product-release".to_owned());
    Ok(policy)
}

pub(crate) fn kind_text(kind: ReleaseKind) -> &'static str {
    match kind {
        ReleaseKind::Security => "security",
        ReleaseKind::BugFix => "bug fix",
        ReleaseKind::Performance => "performance",
        ReleaseKind::Documentation => "documentation",
    }
}

pub(crate) async fn get_release_run(app: &App, run: RunId) -> ApiResult<ReleaseRun> {
    let mut conn = app.pool.acquire().await?;
    let rollout = store::get_rollout_request(&mut conn, run).await?;
    let run = runs::get_summary(&mut conn, run).await?;
    Ok(ReleaseRun { version: rollout.version, mode: rollout.mode, run })
}

/// The deployment of a plan of customers.
pub(crate) fn deployment_of(plan: Option<&Plan>) -> ApiResult<&domain::release::Deployment> {
    plan.and_then(Plan::deployment)
        .ok_or_else(|| ApiError::internal("the run of a release has no plan of customers"))
}
