//! Incidents: one for each thing that happened, however often it is reported.

use api_types::{
    itsm::{CreateIncident, Incident, IncidentState, ResolveIncident, UpdateIncident},
    page::Page,
};
use service_kit::{
    ApiError, ApiResult, Caller, FieldErrors, IdempotencyKey, IfMatch, audit,
    idempotency::{self, Begun},
    page::{PageRequest, page},
};
use sqlx::PgConnection;

use super::{App, Made, checks};
use crate::store::{
    changes,
    incidents::{self, IncidentFilter},
    problems,
};

pub async fn create_incident(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    mut request: CreateIncident,
) -> ApiResult<Made<Incident>> {
    let mut errors = FieldErrors::default();
    errors.require_line("/short_description", &request.short_description, checks::LINE);
    checks::prose(&mut errors, "/description", &request.description, checks::TEXT);
    checks::ci_ids(&mut errors, "/ci_ids", &mut request.ci_ids, 0);
    checks::optional_line(&mut errors, "/correlation_id", request.correlation_id.as_deref(), checks::NAME);
    errors.finish()?;
    let mut tx = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut tx, caller, "create_incident", key, &request).await? {
        Begun::Replay(made) => return Ok(made),
        Begun::New(ticket) => ticket,
    };
    if let Some(change) = &request.change_id
        && changes::find_change(&mut tx, change).await?.is_none()
    {
        return Err(ApiError::invalid("/change_id", format!("names no change: there is no `{change}`")));
    }
    let made = match incidents::insert_incident(&mut tx, &request, &caller.subject, app.clock.now()).await? {
        Some(incident) => {
            let record = audit::Record::new("create_incident", object(&incident.id)).after(&incident);
            audit::record(&mut tx, caller, record).await?;
            Made::New(incident)
        }
        None => Made::Existing(existing(&mut tx, &request).await?),
    };
    ticket.finish(&mut tx, &made).await?;
    tx.commit().await?;
    if let Made::New(incident) = &made {
        tracing::info!(incident.id, subject = caller.subject, "incident {} opened", incident.id);
    }
    Ok(made)
}

async fn existing(connection: &mut PgConnection, request: &CreateIncident) -> ApiResult<Incident> {
    let correlation_id = request.correlation_id.as_deref().unwrap_or_default();
    incidents::find_incident_by_correlation_id(connection, correlation_id)
        .await?
        .ok_or_else(|| ApiError::internal("an incident refused for its correlation id is not there"))
}

pub async fn get_incident(app: &App, id: &str) -> ApiResult<Incident> {
    let mut connection = app.pool.acquire().await?;
    incidents::find_incident(&mut connection, id).await?.ok_or_else(|| no_incident(id))
}

pub async fn list_incidents(
    app: &App,
    filter: IncidentFilter,
    request: PageRequest,
) -> ApiResult<Page<Incident>> {
    let (limit, before) = (request.limit()?, request.after::<i64>()?);
    let mut connection = app.pool.acquire().await?;
    let incidents = incidents::list_incidents(&mut connection, &filter, limit + 1, before).await?;
    let numbered = page(incidents, limit, |one| one.number);
    Ok(Page {
        items: numbered.items.into_iter().map(|one| one.incident).collect(),
        next_page_token: numbered.next_page_token,
    })
}

/// Edits an incident; naming the state `open` or `in_progress` opens a resolved one again.
pub async fn update_incident(
    app: &App,
    caller: &Caller,
    id: &str,
    if_match: &IfMatch,
    request: UpdateIncident,
) -> ApiResult<Incident> {
    check_update(&request)?;
    let mut tx = app.pool.begin().await?;
    let before = incidents::lock_incident(&mut tx, id).await?.ok_or_else(|| no_incident(id))?;
    if_match.check(before.version)?;
    if let Some(problem) = &request.problem_id
        && problems::find_problem(&mut tx, problem).await?.is_none()
    {
        return Err(ApiError::invalid("/problem_id", "names no problem; open it first"));
    }
    let mut incident = before.clone();
    apply(&mut incident, request);
    if incident == before {
        return Ok(before);
    }
    write(&mut tx, app, caller, "update_incident", &before, &mut incident).await?;
    tx.commit().await?;
    Ok(incident)
}

fn check_update(request: &UpdateIncident) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    checks::optional_line(
        &mut errors,
        "/short_description",
        request.short_description.as_deref(),
        checks::LINE,
    );
    checks::optional_line(&mut errors, "/assigned_to", request.assigned_to.as_deref(), checks::NAME);
    checks::optional_line(&mut errors, "/problem_id", request.problem_id.as_deref(), checks::NAME);
    checks::prose(
        &mut errors,
        "/description",
        request.description.as_deref().unwrap_or_default(),
        checks::TEXT,
    );
    if request.state == Some(IncidentState::Resolved) {
        errors.add("/state", "becomes `resolved` by POST to `resolve`, which takes the resolution");
    }
    errors.finish()
}

fn apply(incident: &mut Incident, request: UpdateIncident) {
    if let Some(short_description) = request.short_description {
        incident.short_description = short_description;
    }
    if let Some(description) = request.description {
        incident.description = description;
    }
    if let Some(severity) = request.severity {
        incident.severity = severity;
    }
    if let Some(state) = request.state {
        incident.state = state;
        incident.resolution = None;
        incident.resolved_at = None;
    }
    incident.assigned_to = request.assigned_to.or(incident.assigned_to.take());
    incident.problem_id = request.problem_id.or(incident.problem_id.take());
}

pub async fn resolve_incident(
    app: &App,
    caller: &Caller,
    id: &str,
    if_match: &IfMatch,
    key: &IdempotencyKey,
    request: ResolveIncident,
) -> ApiResult<Incident> {
    let mut errors = FieldErrors::default();
    checks::required_prose(&mut errors, "/resolution", &request.resolution, checks::TEXT);
    errors.finish()?;
    let mut tx = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut tx, caller, "resolve_incident", key, &(id, &request)).await? {
        Begun::Replay(incident) => return Ok(incident),
        Begun::New(ticket) => ticket,
    };
    let before = incidents::lock_incident(&mut tx, id).await?.ok_or_else(|| no_incident(id))?;
    if_match.check(before.version)?;
    if before.state == IncidentState::Resolved {
        return Err(ApiError::conflict(
            "illegal-transition",
            format!("incident {id} is resolved already; open it again to resolve it otherwise"),
        ));
    }
    let mut incident = before.clone();
    incident.state = IncidentState::Resolved;
    incident.resolution = Some(request.resolution);
    incident.resolved_at = Some(app.clock.now());
    write(&mut tx, app, caller, "resolve_incident", &before, &mut incident).await?;
    ticket.finish(&mut tx, &incident).await?;
    tx.commit().await?;
    Ok(incident)
}

/// Points a locked incident to a problem.
pub(super) async fn link(
    connection: &mut PgConnection,
    app: &App,
    caller: &Caller,
    before: &Incident,
    problem_id: &str,
) -> ApiResult<()> {
    let mut incident = before.clone();
    incident.problem_id = Some(problem_id.to_owned());
    write(connection, app, caller, "update_incident", before, &mut incident).await
}

async fn write(
    connection: &mut PgConnection,
    app: &App,
    caller: &Caller,
    action: &str,
    before: &Incident,
    incident: &mut Incident,
) -> ApiResult<()> {
    incident.version += 1;
    incident.updated_at = app.clock.now();
    incidents::update_incident(connection, incident).await?;
    let record = audit::Record::new(action, object(&incident.id)).before(before).after(incident);
    audit::record(connection, caller, record).await
}

fn no_incident(id: &str) -> ApiError {
    ApiError::not_found(format!("incident `{id}`"))
}

fn object(id: &str) -> String {
    format!("incident/{id}")
}
