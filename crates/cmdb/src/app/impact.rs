//! What a CI affects and what it needs.
//!
//! By type: the source of `depends_on`, `uses` and `connected_to` needs its target; what is run or contained
//! needs what runs or contains it; a group needs its members.

use std::collections::BTreeMap;

use api_types::cmdb::{Impact, ImpactedCi, RelationshipType};
use domain::ids::CiId;
use service_kit::{ApiError, ApiResult};
use sqlx::PgConnection;

use super::cis;
use crate::{
    state::App,
    store::{
        self,
        impact::{Reached, Steps, list_active_types, list_reached},
    },
};

const DEFAULT_DEPTH: u32 = 5;
const MAX_DEPTH: u32 = 20;
/// CIs listed in one direction at most.
const MAX_CIS: usize = 10_000;
/// Rows of a walk, in which a CI may come once per distance.
const MAX_ROWS: i64 = 200_000;

const SOURCE_NEEDS_TARGET: [RelationshipType; 3] =
    [RelationshipType::DependsOn, RelationshipType::Uses, RelationshipType::ConnectedTo];
const TARGET_NEEDS_SOURCE: [RelationshipType; 3] =
    [RelationshipType::Runs, RelationshipType::Contains, RelationshipType::MemberOf];

pub async fn get_impact(app: &App, id: &CiId, depth: Option<u32>) -> ApiResult<Impact> {
    let depth = depth.unwrap_or(DEFAULT_DEPTH);
    if !(1..=MAX_DEPTH).contains(&depth) {
        return Err(ApiError::invalid("depth", format!("must be 1 to {MAX_DEPTH}, not {depth}")));
    }
    let depth = depth as i32;
    let mut conn = app.pool.acquire().await?;
    store::cis::find_ci(&mut conn, id).await?.ok_or_else(|| cis::not_found(id))?;
    let to_needers = Steps { forwards: &TARGET_NEEDS_SOURCE, backwards: &SOURCE_NEEDS_TARGET };
    let to_needed = Steps { forwards: &SOURCE_NEEDS_TARGET, backwards: &TARGET_NEEDS_SOURCE };
    let (upstream, upstream_cut) = walk(&mut conn, id, to_needers, depth).await?;
    let (downstream, downstream_cut) = walk(&mut conn, id, to_needed, depth).await?;
    Ok(Impact { ci_id: id.clone(), upstream, downstream, truncated: upstream_cut || downstream_cut })
}

/// The CIs reached, nearest first, and whether there are more.
async fn walk(
    conn: &mut PgConnection,
    start: &CiId,
    steps: Steps<'_>,
    depth: i32,
) -> ApiResult<(Vec<ImpactedCi>, bool)> {
    let rows = list_reached(conn, start, steps, depth, MAX_ROWS).await?;
    let mut cut = rows.len() as i64 == MAX_ROWS;
    let mut nearest: BTreeMap<String, Reached> = BTreeMap::new();
    for row in rows {
        match nearest.get(&row.id) {
            Some(known) if (known.depth, known.via) <= (row.depth, row.via) => {}
            _ => {
                nearest.insert(row.id.clone(), row);
            }
        }
    }
    let ids: Vec<String> = nearest.keys().cloned().collect();
    let types = list_active_types(conn, &ids).await?;
    let mut impacted = Vec::new();
    for (id, reached) in nearest {
        let Some(ci_type) = types.get(&id) else { continue };
        let ci_id = CiId::new(&id).map_err(ApiError::internal)?;
        impacted.push(ImpactedCi {
            ci_id,
            ci_type: *ci_type,
            depth: reached.depth.unsigned_abs(),
            via: reached.via,
        });
    }
    impacted.sort_by(|a, b| (a.depth, &a.ci_id).cmp(&(b.depth, &b.ci_id)));
    cut |= impacted.len() > MAX_CIS;
    impacted.truncate(MAX_CIS);
    Ok((impacted, cut))
}
