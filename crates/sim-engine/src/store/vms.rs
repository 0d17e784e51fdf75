//! Machines as lists show them, without their guests.

use std::collections::BTreeMap;

use api_types::sim::{Power, SshAccess, Vm};
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use service_kit::{ApiError, ApiResult, text_enum::from_text};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

/// Selects machines. Absent fields do not restrict.
#[derive(Debug, Clone, Default)]
pub struct VmFilter {
    pub os: Option<String>,
    pub cluster: Option<String>,
    pub hypervisor: Option<String>,
    pub power: Option<Power>,
    /// Required tags.
    pub tags: BTreeMap<String, String>,
    /// Only machines that changed after this version of the state.
    pub since: Option<i64>,
}

struct VmRow {
    id: String,
    driver: String,
    os: String,
    cluster: Option<String>,
    hypervisor: Option<String>,
    tags: Json<BTreeMap<String, String>>,
    condition: String,
    cut_off: bool,
    ssh: Option<Json<SshAccess>>,
    boot_id: Uuid,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<VmRow> for Vm {
    type Error = ApiError;

    fn try_from(row: VmRow) -> ApiResult<Self> {
        Ok(Self {
            id: CiId::new(&row.id).map_err(ApiError::internal)?,
            driver: from_text(row.driver)?,
            os: row.os,
            cluster: row.cluster,
            hypervisor: row.hypervisor,
            tags: row.tags.0,
            power: if row.condition == "off" { Power::Off } else { Power::On },
            reachable: row.condition == "up" && !row.cut_off,
            address: row.ssh.as_ref().map(|ssh| ssh.address.clone()),
            ssh: row.ssh.map(|ssh| ssh.0),
            boot_id: row.boot_id,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Machines after `after`, ordered by id. Without a limit, all.
pub async fn list_vms(
    conn: &mut PgConnection,
    filter: &VmFilter,
    after: Option<&str>,
    limit: Option<i64>,
) -> ApiResult<Vec<Vm>> {
    let powered_on = filter.power.map(|power| power == Power::On);
    let rows = sqlx::query_as!(
        VmRow,
        r#"SELECT id, driver, os, cluster, hypervisor, tags AS "tags: Json<BTreeMap<String, String>>", condition,
                  id IN (SELECT vm_id FROM sim.faults WHERE kind = 'network-partition' AND probability >= 1
                         AND times_left IS DISTINCT FROM 0) AS "cut_off!",
                  ssh AS "ssh: Json<SshAccess>", boot_id, created_at, updated_at
           FROM sim.vms
           WHERE ($1::text IS NULL OR id > $1) AND ($2::text IS NULL OR os = $2)
             AND ($3::text IS NULL OR cluster = $3) AND ($4::text IS NULL OR hypervisor = $4)
             AND ($5::boolean IS NULL OR (condition <> 'off') = $5)
             AND tags @> $6 AND ($7::bigint IS NULL OR version > $7)
           ORDER BY id LIMIT $8"#,
        after,
        filter.os,
        filter.cluster,
        filter.hypervisor,
        powered_on,
        serde_json::to_value(&filter.tags)?,
        filter.since,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Vm::try_from).collect()
}
