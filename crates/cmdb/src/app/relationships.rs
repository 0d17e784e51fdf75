//! Relationships. Dependencies may form circles, as they do in life; containment may not: it is a tree of places.

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
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    App, cis,
    record::{Change, record_change},
};
use crate::store;

pub async fn create_relationship(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    request: CreateRelationship,
) -> ApiResult<Relationship> {
    check(&request)?;
    let mut transaction = app.pool.begin().await?;
    let operation = "create_relationship";
    let ticket = match idempotency::begin(&mut transaction, caller, operation, key, &request).await? {
        Begun::New(ticket) => ticket,
        Begun::Replay(relationship) => return Ok(relationship),
    };
    check_ends(&mut transaction, &request).await?;
    if request.relationship_type == RelationshipType::Contains {
        check_containment(&mut transaction, &request).await?;
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
    if !store::relationships::insert_relationship(&mut transaction, &relationship).await? {
        return Err(ApiError::conflict(
            "exists",
            format!(
                "`{}` and `{}` are related in this way already",
                relationship.source, relationship.target
            ),
        ));
    }
    record_at_both_ends(&mut transaction, app, caller, operation, &relationship).await?;
    ticket.finish(&mut transaction, &relationship).await?;
    transaction.commit().await?;
    Ok(relationship)
}

pub async fn list_relationships(app: &App, id: &CiId, request: PageRequest) -> ApiResult<Page<Relationship>> {
    let (limit, after) = (request.limit()?, request.after::<Uuid>()?);
    let mut connection = app.pool.acquire().await?;
    store::cis::find_ci(&mut connection, id).await?.ok_or_else(|| cis::not_found(id))?;
    let found = store::relationships::list_relationships(&mut connection, id, after, limit + 1).await?;
    Ok(page(found, limit, |relationship: &Relationship| relationship.id))
}

pub async fn delete_relationship(app: &App, caller: &Caller, id: Uuid) -> ApiResult<()> {
    let mut transaction = app.pool.begin().await?;
    let deleted = store::relationships::delete_relationship(&mut transaction, id)
        .await?
        .ok_or_else(|| ApiError::not_found(format!("relationship `{id}`")))?;
    record_at_both_ends(&mut transaction, app, caller, "delete_relationship", &deleted).await?;
    transaction.commit().await?;
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
    let mut connection = app.pool.acquire().await?;
    let id = store::relationships::find_relationship(&mut connection, source, relationship_type, target)
        .await?
        .ok_or_else(|| {
            ApiError::not_found(format!("relationship of this type from `{source}` to `{target}`"))
        })?;
    drop(connection);
    delete_relationship(app, caller, id).await
}

fn check(request: &CreateRelationship) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    if request.source == request.target {
        errors.add("/target", "must be another CI than `source`");
    }
    if request.compatibility.is_some() && request.relationship_type != RelationshipType::DependsOn {
        errors.add("/compatibility", "belongs to relationships of type `depends_on` alone");
    }
    errors.finish()
}

async fn check_ends(connection: &mut PgConnection, request: &CreateRelationship) -> ApiResult<()> {
    let ids = [request.source.to_string(), request.target.to_string()];
    let found = store::cis::lock_cis(connection, &ids).await?;
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

async fn check_containment(connection: &mut PgConnection, request: &CreateRelationship) -> ApiResult<()> {
    let CreateRelationship { source, target, .. } = request;
    store::relationships::lock_containment(connection).await?;
    if let Some(container) = store::relationships::find_container(connection, target).await?
        && container != source.as_str()
    {
        return Err(ApiError::conflict(
            "contained-already",
            format!("`{target}` is contained in `{container}` already; take it out there first"),
        ));
    }
    if store::relationships::is_within(connection, source, target).await? {
        return Err(ApiError::conflict(
            "circular-containment",
            format!("`{source}` lies within `{target}`, so it cannot contain it"),
        ));
    }
    Ok(())
}

async fn record_at_both_ends(
    connection: &mut PgConnection,
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
        record_change(connection, caller, app.clock.now(), change).await?;
    }
    Ok(())
}
