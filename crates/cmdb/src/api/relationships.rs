//! `/cmdb/relationships`.

use api_types::{
    cmdb::{CreateRelationship, Relationship, RelationshipType},
    page::Page,
    problem::Problem,
};
use axum::{extract::State, http::StatusCode};
use domain::ids::CiId;
use serde::Deserialize;
use service_kit::{
    ApiResult,
    auth::{Operator, Viewer},
    extract::{Created, Json, Path},
    idempotency::IdempotencyKey,
    page::PageRequest,
};
use utoipa::IntoParams;
use uuid::Uuid;

use super::query::Query;
use crate::{app::relationships, state::App};

/// List the relationships of a configuration item, in both directions.
#[utoipa::path(get, path = "/cmdb/cis/{id}/relationships", tag = "relationships",
    params(("id" = CiId, Path, description = "CI"), PageRequest),
    responses((status = 200, body = Page<Relationship>), (status = "4XX", body = Problem)))]
pub async fn list_relationships(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<CiId>,
    page: PageRequest,
) -> ApiResult<Json<Page<Relationship>>> {
    relationships::list_relationships(&app, &id, page).await.map(Json)
}

/// Relate two configuration items. Containment is a tree; other types may form cycles.
#[utoipa::path(post, path = "/cmdb/relationships", tag = "relationships", request_body = CreateRelationship,
    responses((status = 201, body = Relationship), (status = "4XX", body = Problem)))]
pub async fn create_relationship(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Json(request): Json<CreateRelationship>,
) -> ApiResult<Created<Json<Relationship>>> {
    let relationship = relationships::create_relationship(&app, &caller, &key, request).await?;
    Ok(Created(format!("/cmdb/relationships/{}", relationship.id), Json(relationship)))
}

/// Delete a relationship by its id.
#[utoipa::path(delete, path = "/cmdb/relationships/{id}", tag = "relationships",
    params(("id" = Uuid, Path, description = "relationship")),
    responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete_relationship(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    relationships::delete_relationship(&app, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct EndsParams {
    /// The CI it starts from.
    source: CiId,
    /// The CI it points to.
    target: CiId,
    /// Its type.
    #[serde(rename = "type")]
    relationship_type: RelationshipType,
}

/// Delete the relationship of a type from one configuration item to another.
#[utoipa::path(delete, path = "/cmdb/relationships", tag = "relationships", params(EndsParams),
    responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete_relationship_between(
    State(app): State<App>,
    caller: Operator,
    Query(ends): Query<EndsParams>,
) -> ApiResult<StatusCode> {
    let EndsParams { source, target, relationship_type } = ends;
    relationships::delete_relationship_between(&app, &caller, &source, relationship_type, &target).await?;
    Ok(StatusCode::NO_CONTENT)
}
