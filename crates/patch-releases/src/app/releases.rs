//! Releases: registered, planned, started, taken back.

use std::collections::{BTreeMap, BTreeSet};

use api_types::patch::{
    CreateRelease, DeployRelease, EmergencyRelease, LeftOutCustomer, PlanRelease, Release, ReleaseMode,
    ReleasePlan, ReleaseRun, RollBackRelease, RunTrigger, SignOff, StartRun, TickItem, TickState,
    UpdateRelease,
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    ids::{CiId, RunId},
    plan::Plan,
    policy::Policy,
    release::{
        Approval, Checklist, Customer, Direction, ItemState, PlanRelease as Request, Planned, ReleaseKind,
        Tier, Version, check_version, plan_release, simulate,
    },
    run::Event,
    selector::Tags,
};
use service_kit::{
    ApiError, ApiResult, Caller, IdempotencyKey, IfMatch, audit,
    idempotency::{self, Begun},
    problem_types,
};
use sqlx::PgConnection;

use super::customers;
use crate::{
    App,
    store::{
        customers as customer_store, deployments,
        releases::{self as store, ReleaseOrder},
    },
};
use patch_runs::app::{calendars, plans, runs};
use patch_runs::{
    app::records,
    app::transition::{self, Evidence, TransitionError},
};

const LONGEST_NOTES: usize = 20_000;
const LONGEST_ARTEFACT: usize = 1000;

pub(crate) async fn create_release(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    request: CreateRelease,
) -> ApiResult<Release> {
    check_texts(Some(&request.notes), request.artefact.as_deref(), request.rollback_artefact.as_deref())?;
    let now = app.clock.now();
    if request.identified_at.is_some_and(|at| at > now) {
        return Err(ApiError::invalid("/identified_at", "lies in the future"));
    }
    let mut transaction = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut transaction, caller, "create_release", key, &request).await? {
        Begun::Replay(release) => return Ok(release),
        Begun::New(ticket) => ticket,
    };
    let mut known: BTreeSet<Version> =
        customer_store::list_current_versions(&mut transaction).await?.into_iter().collect();
    known.extend(
        store::list_releases(&mut transaction, None, 10_000)
            .await?
            .into_iter()
            .map(|release| release.version),
    );
    let base =
        request.base_version.unwrap_or_else(|| default_base(request.version, &known, request.allow_gap));
    check_version(request.version, base, &known, request.allow_gap)
        .map_err(|error| ApiError::invalid("/version", error.to_string()))?;
    let policies = customer_store::get_policies(&mut transaction).await?.policies;
    let policy = policies.of(request.kind);
    let release = Release {
        version: request.version,
        kind: request.kind,
        urgency: request.urgency.unwrap_or(policy.urgency),
        base_version: base,
        notes: request.notes,
        artefact: request.artefact,
        rollback_artefact: request.rollback_artefact,
        checklist: Checklist::of(&policy.checklist),
        identified_at: request.identified_at.unwrap_or(now),
        revision: 1,
        created_at: now,
        created_by: caller.subject.clone(),
    };
    if !store::insert_release(&mut transaction, &release).await? {
        let reason = format!("there is a release `{}` already; a version is given once", release.version);
        return Err(ApiError::new(problem_types::RELEASE_EXISTS, reason));
    }
    let record = audit::Record::new("create_release", object(release.version)).after(&release);
    audit::record(&mut transaction, caller, record).await?;
    ticket.finish(&mut transaction, &release).await?;
    transaction.commit().await?;
    Ok(release)
}

/// The patch before; where a gap is allowed, the highest that is known below.
fn default_base(version: Version, known: &BTreeSet<Version>, allow_gap: bool) -> Version {
    let base = version.default_base();
    let below = known.iter().rev().find(|known| known.same_line(version) && **known < version);
    match below.filter(|_| allow_gap && !known.contains(&base)) {
        Some(below) => *below,
        None => base,
    }
}

fn check_texts(
    notes: Option<&str>,
    artefact: Option<&str>,
    rollback_artefact: Option<&str>,
) -> ApiResult<()> {
    if notes.is_some_and(|notes| notes.chars().count() > LONGEST_NOTES) {
        return Err(ApiError::invalid("/notes", format!("must be at most {LONGEST_NOTES} characters")));
    }
    for (pointer, text) in [("/artefact", artefact), ("/rollback_artefact", rollback_artefact)] {
        let fits = |text: &str| {
            (1..=LONGEST_ARTEFACT).contains(&text.len()) && text.chars().all(|c| !c.is_control())
        };
        if text.is_some_and(|text| !fits(text)) {
            return Err(ApiError::invalid(
                pointer,
                format!("must have 1 to {LONGEST_ARTEFACT} printable bytes"),
            ));
        }
    }
    Ok(())
}

pub(crate) async fn update_release(
    app: &App,
    caller: &Caller,
    version: Version,
    if_match: &IfMatch,
    request: UpdateRelease,
) -> ApiResult<Release> {
    check_texts(request.notes.as_deref(), request.artefact.as_deref(), request.rollback_artefact.as_deref())?;
    change(app, caller, version, "update_release", |release| {
        if_match.check(release.revision)?;
        release.urgency = request.urgency.unwrap_or(release.urgency);
        release.notes = request.notes.clone().unwrap_or_else(|| release.notes.clone());
        release.artefact = request.artefact.clone().or(release.artefact.take());
        release.rollback_artefact = request.rollback_artefact.clone().or(release.rollback_artefact.take());
        Ok(())
    })
    .await
}

/// Ticks an item of the checklist, waives it with a name and a reason, or opens it again.
pub(crate) async fn tick_item(
    app: &App,
    caller: &Caller,
    version: Version,
    item: &str,
    request: &TickItem,
) -> ApiResult<Release> {
    let (by, at) = (caller.subject.clone(), app.clock.now());
    if request.reason.chars().count() > 1000 {
        return Err(ApiError::invalid("/reason", "must be at most 1000 characters"));
    }
    let state = match request.state {
        TickState::Open => ItemState::Open,
        TickState::Done => ItemState::Done { by, at },
        TickState::Waived => ItemState::Waived { by, at, reason: request.reason.clone() },
    };
    change(app, caller, version, "tick_item", |release| {
        use domain::release::ChecklistError;
        release.checklist.set(item, state.clone()).map_err(|error| match error {
            ChecklistError::NoItem { .. } => {
                ApiError::not_found(format!("item `{item}`: the checklist {error}"))
            }
            ChecklistError::NoReason => ApiError::invalid("/reason", error.to_string()),
        })
    })
    .await
}

async fn change(
    app: &App,
    caller: &Caller,
    version: Version,
    action: &str,
    change: impl Fn(&mut Release) -> ApiResult<()>,
) -> ApiResult<Release> {
    let mut transaction = app.pool.begin().await?;
    let before = store::lock_release(&mut transaction, version).await?;
    let mut release = before.clone();
    change(&mut release)?;
    release.revision = store::update_release(&mut transaction, &release).await?;
    let record = audit::Record::new(action, object(version)).before(&before).after(&release);
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    Ok(release)
}

/// What would be done for whom and when, played in virtual time by the machine that decides the real rollout.
pub(crate) async fn plan(app: &App, version: Version, request: &PlanRelease) -> ApiResult<ReleasePlan> {
    let mut conn = app.pool.acquire().await?;
    let release = store::get_release(&mut conn, version).await?;
    let chosen = customers::resolve(&mut conn, &request.customers).await?;
    let mode = if request.emergency { ReleaseMode::Emergency } else { ReleaseMode::Deploy };
    let order = order(&release, mode, &chosen, String::new(), false);
    let planned = make_plan(&mut conn, &order).await?;
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

/// The plan of an order, from what is known now.
pub(crate) async fn make_plan(conn: &mut PgConnection, order: &ReleaseOrder) -> ApiResult<Planned> {
    let release = store::get_release(&mut *conn, order.version).await?;
    let policies = customer_store::get_policies(&mut *conn).await?.policies;
    let mut chosen: Vec<Customer> = Vec::new();
    let mut previous = BTreeMap::new();
    for slug in &order.customers {
        let Some(stored) = customer_store::find_customer(&mut *conn, slug).await? else { continue };
        if order.mode == ReleaseMode::Rollback {
            let Some(last) = deployments::find_latest_forward(&mut *conn, slug, order.version).await? else {
                continue;
            };
            previous.insert(slug.clone(), last.from_version);
        }
        chosen.push(stored.customer);
    }
    plan_release(&Request {
        version: release.version,
        kind: release.kind,
        urgency: release.urgency,
        artefact: release.artefact,
        rollback_artefact: release.rollback_artefact,
        direction: if order.mode == ReleaseMode::Rollback { Direction::RollBack } else { Direction::Forward },
        emergency: order.mode == ReleaseMode::Emergency,
        at_once: order.at_once,
        policies: &policies,
        customers: &chosen,
        previous,
    })
    .map_err(ApiError::internal)
}

/// Performs the validation alone: its checks, with result, duration and log each.
pub(crate) async fn validate(
    app: &App,
    caller: &Caller,
    version: Version,
    key: &IdempotencyKey,
) -> ApiResult<ReleaseRun> {
    let mut conn = app.pool.acquire().await?;
    let release = store::get_release(&mut conn, version).await?;
    drop(conn);
    let order = order(&release, ReleaseMode::Validate, &[], String::new(), false);
    start(app, caller, &release, order, false, key).await
}

pub(crate) async fn deploy(
    app: &App,
    caller: &Caller,
    version: Version,
    request: &DeployRelease,
    key: &IdempotencyKey,
) -> ApiResult<ReleaseRun> {
    let mut conn = app.pool.acquire().await?;
    let release = store::get_release(&mut conn, version).await?;
    let chosen = customers::resolve(&mut conn, &request.customers).await?;
    let order = order(&release, ReleaseMode::Deploy, &chosen, String::new(), false);
    if !request.dry_run {
        let open = open_items(&release);
        if let [first, ..] = open.as_slice() {
            let reason = format!(
                "{} items of the checklist are open, first `{first}`; tick them, or waive them with a reason",
                open.len()
            );
            return Err(ApiError::new(problem_types::CHECKLIST_OPEN, reason));
        }
        demo_first(&mut conn, version, &chosen).await?;
    }
    something_to_do(&mut conn, &order).await?;
    drop(conn);
    start(app, caller, &release, order, request.dry_run, key).await
}

/// Customers follow their vendor: a tier starts after the demo, in this rollout or in one before.
async fn demo_first(conn: &mut PgConnection, version: Version, chosen: &[Customer]) -> ApiResult<()> {
    let has_demo = chosen.iter().any(|customer| customer.tier == Tier::Demo);
    let demos = customer_store::list_customers(&mut *conn, Some(Tier::Demo.name()), None, 1).await?;
    if has_demo || demos.is_empty() || deployments::demo_ended_at(conn, version).await?.is_some() {
        return Ok(());
    }
    let reason = format!(
        "{version} has not been on a demo installation; deploy it to `demo` first, or together with the others"
    );
    Err(ApiError::new(problem_types::DEMO_FIRST, reason))
}

async fn something_to_do(conn: &mut PgConnection, order: &ReleaseOrder) -> ApiResult<()> {
    let planned = make_plan(conn, order).await?;
    if !planned.plan.subjects().is_empty() {
        return Ok(());
    }
    let reasons = planned.left_out.iter().take(5).map(|left| format!("`{}`: {}", left.customer, left.reason));
    let reasons = reasons.collect::<Vec<_>>().join("; ");
    let reason = match reasons.is_empty() {
        true => "no customer is left to do anything for".to_owned(),
        false => format!("no customer is left to do anything for: {reasons}"),
    };
    Err(ApiError::new(problem_types::NOTHING_TO_DO, reason))
}

/// All tiers at once after validation and demo, on one emergency approver's word. What of the checklist is open is waived
/// under the caller's name and the emergency's reason, and comes up again in its review.
pub(crate) async fn emergency(
    app: &App,
    caller: &Caller,
    version: Version,
    request: &EmergencyRelease,
    key: &IdempotencyKey,
) -> ApiResult<ReleaseRun> {
    check_reason(&request.reason)?;
    let mut conn = app.pool.acquire().await?;
    let mut release = store::get_release(&mut conn, version).await?;
    let chosen = customers::resolve(&mut conn, &request.customers).await?;
    let order = order(&release, ReleaseMode::Emergency, &chosen, request.reason.clone(), true);
    something_to_do(&mut conn, &order).await?;
    drop(conn);
    if !request.dry_run && release.checklist.open().next().is_some() {
        let (by, at, reason) = (&caller.subject, app.clock.now(), format!("emergency: {}", request.reason));
        release = change(app, caller, version, "waive_checklist", |release| {
            release.checklist.waive_open(by, at, &reason);
            Ok(())
        })
        .await?;
    }
    start(app, caller, &release, order, request.dry_run, key).await
}

fn check_reason(reason: &str) -> ApiResult<()> {
    match (10..=1000).contains(&reason.trim().chars().count()) {
        true => Ok(()),
        false => Err(ApiError::invalid("/reason", "must have 10 to 1000 characters")),
    }
}

/// Takes a release back from customers: within the rollout that is under way, else by one of its own.
pub(crate) async fn roll_back(
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
    let release = store::get_release(&mut conn, version).await?;
    let chosen = customers::resolve(&mut conn, &request.customers).await?;
    let chosen = with_release(&mut conn, app.clock.now(), &release, chosen).await?;
    let open = store::list_open_runs(&mut conn, version).await?;
    drop(conn);
    let reason = format!("{} (by {})", request.reason.trim(), caller.subject);
    let mut answers = Vec::new();
    let mut rest = Vec::new();
    'customers: for customer in chosen {
        for (run, _) in
            open.iter().filter(|(_, mode)| matches!(mode, ReleaseMode::Deploy | ReleaseMode::Emergency))
        {
            if roll_back_customer(app, caller, *run, &customer.slug, &reason).await? {
                if !answers.contains(run) {
                    answers.push(*run);
                }
                continue 'customers;
            }
        }
        rest.push(customer);
    }
    let mut started = Vec::new();
    for run in answers {
        started.push(get_release_run(app, run).await?);
    }
    if !rest.is_empty() {
        let order = order(&release, ReleaseMode::Rollback, &rest, reason, request.at_once);
        started.push(start(app, caller, &release, order, false, key).await?);
    }
    Ok(started)
}

/// Tells an open run that a customer it has done must go back; `false` when that run has not done it, or is at its end.
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
    let evidence = Evidence {
        log: vec![(Some(customer.clone()), format!("is taken back: {reason}"))],
        ..Evidence::default()
    };
    match transition::apply(&app.runs, &mut transaction, run, event, evidence, caller).await {
        Ok(_) => transaction.commit().await.map(|()| true).map_err(Into::into),
        Err(TransitionError::Refused(_)) => Ok(false),
        Err(TransitionError::Failed(error)) => Err(error),
        Err(TransitionError::Lost) => {
            Err(ApiError::new(problem_types::LOST, "the run is being taken over; try again"))
        }
    }
}

/// Those of the customers that run the release and may still leave it; refused when one of them may not.
async fn with_release(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    release: &Release,
    chosen: Vec<Customer>,
) -> ApiResult<Vec<Customer>> {
    let policy = customer_store::get_policies(&mut *conn).await?.policies.of(release.kind);
    let hours = policy.rollback.window_hours;
    let mut with = Vec::new();
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
                "`{}` has run {} since {}; a {} release can be taken back for {hours} h, which was until {}",
                customer.slug,
                release.version,
                ended_at.format("%Y-%m-%d %H:%M UTC"),
                release.kind,
                until.format("%Y-%m-%d %H:%M UTC")
            );
            return Err(ApiError::new(problem_types::ROLLBACK_WINDOW_CLOSED, reason));
        }
        with.push(customer);
    }
    match with.is_empty() {
        true => Err(ApiError::new(
            problem_types::NOTHING_TO_DO,
            format!("none of these customers runs {}", release.version),
        )),
        false => Ok(with),
    }
}

fn order(
    release: &Release,
    mode: ReleaseMode,
    chosen: &[Customer],
    reason: String,
    at_once: bool,
) -> ReleaseOrder {
    ReleaseOrder {
        version: release.version,
        mode,
        customers: chosen.iter().map(|customer| customer.slug.clone()).collect(),
        reason,
        at_once,
    }
}

/// Stores a new run of a release; the engine takes it up from there like any other.
pub(crate) async fn start(
    app: &App,
    caller: &Caller,
    release: &Release,
    order: ReleaseOrder,
    dry_run: bool,
    key: &IdempotencyKey,
) -> ApiResult<ReleaseRun> {
    let mut transaction = app.pool.begin().await?;
    let begun =
        idempotency::begin(&mut transaction, caller, "start_release", key, &(&order, dry_run)).await?;
    let ticket = match begun {
        Begun::Replay(run) => return Ok(run),
        Begun::New(ticket) => ticket,
    };
    let approval = customer_store::get_policies(&mut transaction).await?.policies.of(release.kind).approval;
    let request =
        StartRun { dry_run, emergency: order.mode == ReleaseMode::Emergency, ..StartRun::default() };
    let policy = policy(release, &order, approval)?;
    let run = runs::start_release(&app.runs, &mut transaction, caller, &request, policy, RunTrigger::Release)
        .await?;
    store::insert_release_run(&mut transaction, run.id, &order, app.clock.now()).await?;
    let answer = ReleaseRun { version: order.version, mode: order.mode, run };
    ticket.finish(&mut transaction, &answer).await?;
    transaction.commit().await?;
    Ok(answer)
}

/// How the run goes about it, as far as that is said by a policy: its name, and who approves.
fn policy(release: &Release, order: &ReleaseOrder, approval: Approval) -> ApiResult<Policy> {
    let mut policy = plans::ad_hoc_policy()?;
    let what = match order.mode {
        ReleaseMode::Validate => "validation of release",
        ReleaseMode::Deploy => "release",
        ReleaseMode::Emergency => "emergency release",
        ReleaseMode::Rollback => "rollback of release",
    };
    policy.name = format!("{what} {} ({})", release.version, kind_text(release.kind));
    let by_template = approval != Approval::Manual || order.mode == ReleaseMode::Rollback;
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

/// Lets the next tier start although the evidence falls short, once its time limit has passed.
pub(crate) async fn sign_off(
    app: &App,
    caller: &Caller,
    version: Version,
    request: &SignOff,
) -> ApiResult<Release> {
    check_reason(&request.reason)?;
    let mut transaction = app.pool.begin().await?;
    let release = store::lock_release(&mut transaction, version).await?;
    store::insert_signoff(&mut transaction, version, &caller.subject, &request.reason, app.clock.now())
        .await?;
    let record = audit::Record::new("sign_off_release", object(version)).after(request);
    audit::record(&mut transaction, caller, record.reason(Some(&request.reason))).await?;
    transaction.commit().await?;
    Ok(release)
}

pub(crate) async fn get_release_run(app: &App, run: RunId) -> ApiResult<ReleaseRun> {
    let mut conn = app.pool.acquire().await?;
    let order = store::get_release_run(&mut conn, run).await?;
    let run = runs::get_summary(&mut conn, run).await?;
    Ok(ReleaseRun { version: order.version, mode: order.mode, run })
}

/// The plan of a run, when it deploys.
pub(crate) fn deployment_of(plan: Option<&Plan>) -> ApiResult<&domain::release::Deployment> {
    plan.and_then(Plan::deployment)
        .ok_or_else(|| ApiError::internal("a release's run has no plan of customers"))
}

fn object(version: Version) -> String {
    format!("release/{version}")
}
