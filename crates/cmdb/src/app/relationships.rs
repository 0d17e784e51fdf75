//! Relationships. Dependencies may form cycles; containment may not, because it is a tree.

use api_types::{
    cmdb::{Ci, CiStatus, Compatibility, CreateRelationship, Relationship, RelationshipType},
    page::Page,
};
use domain::ids::CiId;
use service_kit::{
    ApiError, ApiResult, FieldErrors,
    auth::Caller,
    idempotency::{self, Begun, IdempotencyKey},
    page::{PageRequest, page},
    problem_types,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    cis,
    record::{Change, record_change},
};
use crate::{state::App, store};

pub async fn create_relationship(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    request: CreateRelationship,
) -> ApiResult<Relationship> {
    check(&request)?;
    let mut tx = app.pool.begin().await?;
    let operation = "create_relationship";
    let ticket = match idempotency::begin(&mut tx, caller, operation, key, &request).await? {
        Begun::New(ticket) => ticket,
        Begun::Replay(relationship) => return Ok(relationship),
    };
    check_ends(&mut tx, &request).await?;
    if request.relationship_type == RelationshipType::Contains {
        check_containment(&mut tx, &request).await?;
    }
    let is_dependency = request.relationship_type == RelationshipType::DependsOn;
    let relationship = Relationship {
        id: Uuid::now_v7(),
        source: request.source,
        target: request.target,
        relationship_type: request.relationship_type,
        compatibility: is_dependency.then(|| request.compatibility.unwrap_or(Compatibility::Compatible)),
        created_at: app.clock.now(),
    };
    if !store::relationships::insert_relationship(&mut tx, &relationship).await? {
        return Err(ApiError::new(
            problem_types::EXISTS,
            format!("`{}` and `{}` already have this relationship", relationship.source, relationship.target),
        ));
    }
    record_at_both_ends(&mut tx, app, caller, operation, &relationship).await?;
    ticket.finish(&mut tx, &relationship).await?;
    tx.commit().await?;
    Ok(relationship)
}

pub async fn list_relationships(app: &App, id: &CiId, request: PageRequest) -> ApiResult<Page<Relationship>> {
    let (limit, after) = (request.limit()?, request.after::<Uuid>()?);
    let mut conn = app.pool.acquire().await?;
    store::cis::find_ci(&mut conn, id).await?.ok_or_else(|| cis::not_found(id))?;
    let found = store::relationships::list_relationships(&mut conn, id, after, limit + 1).await?;
    Ok(page(found, limit, |relationship: &Relationship| relationship.id))
}

pub async fn delete_relationship(app: &App, caller: &Caller, id: Uuid) -> ApiResult<()> {
    let mut tx = app.pool.begin().await?;
    let deleted = store::relationships::delete_relationship(&mut tx, id)
        .await?
        .ok_or_else(|| ApiError::not_found(format!("relationship `{id}`")))?;
    record_at_both_ends(&mut tx, app, caller, "delete_relationship", &deleted).await?;
    tx.commit().await?;
    Ok(())
}

/// Deletes the relationship of a type from one CI to another.
pub async fn delete_relationship_between(
    app: &App,
    caller: &Caller,
    source: &CiId,
    relationship_type: RelationshipType,
    target: &CiId,
) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let id = store::relationships::find_relationship(&mut conn, source, relationship_type, target)
        .await?
        .ok_or_else(|| {
            ApiError::not_found(format!("relationship of this type from `{source}` to `{target}`"))
        })?;
    drop(conn);
    delete_relationship(app, caller, id).await
}

fn check(request: &CreateRelationship) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    if request.source == request.target {
        errors.add("/target", "must not be the same CI as `source`");
    }
    if request.compatibility.is_some() && request.relationship_type != RelationshipType::DependsOn {
        errors.add("/compatibility", "is only for relationships of type `depends_on`");
    }
    errors.finish()
}

async fn check_ends(conn: &mut PgConnection, request: &CreateRelationship) -> ApiResult<()> {
    let ids = [request.source.to_string(), request.target.to_string()];
    let found = store::cis::lock_cis(conn, &ids).await?;
    let find = |id: &CiId| found.iter().find(|ci: &&Ci| ci.id == *id);
    let mut errors = FieldErrors::default();
    for (pointer, id) in [("/source", &request.source), ("/target", &request.target)] {
        match find(id).map(|ci| ci.status) {
            None => errors.add(pointer, format!("names a CI `{id}` that does not exist; create it first")),
            Some(CiStatus::Decommissioned) => {
                errors.add(pointer, format!("names the CI `{id}`, which is decommissioned"));
            }
            Some(CiStatus::Active) => {}
        }
    }
    errors.finish()
}

async fn check_containment(conn: &mut PgConnection, request: &CreateRelationship) -> ApiResult<()> {
    let CreateRelationship { source, target, .. } = request;
    store::relationships::lock_containment(conn).await?;
    if let Some(container) = store::relationships::find_container(conn, target).await?
        && container != source.as_str()
    {
        return Err(ApiError::new(
            problem_types::CONTAINED_ALREADY,
            format!("`{container}` already contains `{target}`; delete that relationship first"),
        ));
    }
    if store::relationships::is_within(conn, source, target).await? {
        return Err(ApiError::new(
            problem_types::CIRCULAR_CONTAINMENT,
            format!("`{source}` is within `{target}`, so it cannot contain it"),
        ));
    }
    Ok(())
}

async fn record_at_both_ends(
    conn: &mut PgConnection,
    app: &App,
    caller: &Caller,
    action: &'static str,
    relationship: &Relationship,
) -> ApiResult<()> {
    for end in [&relationship.source, &relationship.target] {
        let change = Change::new(action, end);
        let change = match action {
            "delete_relationship" => change.before(relationship),
            _ => change.after(relationship),
        };
        record_change(conn, caller, app.clock.now(), change).await?;
    }
    Ok(())
}
