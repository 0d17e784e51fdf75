use api_types::{
    page::Page,
    sim::{Cluster, Hypervisor, SimState, SimStateDiff},
};
use service_kit::{
    ApiError, ApiResult,
    page::{PageRequest, page},
};

use crate::{
    state::App,
    store::{self, vms::VmFilter},
};

pub async fn get_state(app: &App) -> ApiResult<SimState> {
    let mut tx = store::begin_reading(&app.pool).await?;
    Ok(SimState {
        version: store::state::get_state_version(&mut tx).await?,
        vms: store::vms::list_vms(&mut tx, &VmFilter::default(), None, None).await?,
        hypervisors: store::state::list_hosts(&mut tx, None, None).await?,
        clusters: store::state::list_clusters(&mut tx, None, None).await?,
    })
}

pub async fn get_state_diff(app: &App, since: i64) -> ApiResult<SimStateDiff> {
    let mut tx = store::begin_reading(&app.pool).await?;
    let version = store::state::get_state_version(&mut tx).await?;
    if !(0..=version).contains(&since) {
        return Err(ApiError::invalid(
            "since",
            format!("must be a version of this state, 0 to {version}; read the whole state again"),
        ));
    }
    let filter = VmFilter { since: Some(since), ..VmFilter::default() };
    Ok(SimStateDiff {
        since,
        version,
        changed: store::vms::list_vms(&mut tx, &filter, None, None).await?,
        deleted: store::state::list_deleted_vms(&mut tx, since).await?,
    })
}

pub async fn list_hosts(app: &App, request: &PageRequest) -> ApiResult<Page<Hypervisor>> {
    let (limit, after) = (request.limit()?, request.after::<String>()?);
    let mut conn = app.pool.acquire().await?;
    let hosts = store::state::list_hosts(&mut conn, after.as_deref(), Some(limit + 1)).await?;
    Ok(page(hosts, limit, |host: &Hypervisor| host.id.clone()))
}

pub async fn list_clusters(app: &App, request: &PageRequest) -> ApiResult<Page<Cluster>> {
    let (limit, after) = (request.limit()?, request.after::<String>()?);
    let mut conn = app.pool.acquire().await?;
    let clusters = store::state::list_clusters(&mut conn, after.as_deref(), Some(limit + 1)).await?;
    Ok(page(clusters, limit, |cluster: &Cluster| cluster.id.clone()))
}
