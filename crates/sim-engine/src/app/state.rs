use api_types::{
    page::Page,
    sim::{Cluster, Hypervisor, SimState as Everything, SimStateDiff},
};
use service_kit::{
    ApiError, ApiResult,
    page::{PageRequest, page},
};

use crate::{
    service::SimState,
    store::{self, vms::VmFilter},
};

pub async fn get_state(state: &SimState) -> ApiResult<Everything> {
    let mut transaction = store::begin_reading(&state.pool).await?;
    Ok(Everything {
        version: store::state::get_state_version(&mut transaction).await?,
        vms: store::vms::list_vms(&mut transaction, &VmFilter::default(), None, None).await?,
        hypervisors: store::state::list_hosts(&mut transaction, None, None).await?,
        clusters: store::state::list_clusters(&mut transaction, None, None).await?,
    })
}

pub async fn get_state_diff(state: &SimState, since: i64) -> ApiResult<SimStateDiff> {
    let mut transaction = store::begin_reading(&state.pool).await?;
    let version = store::state::get_state_version(&mut transaction).await?;
    if !(0..=version).contains(&since) {
        return Err(ApiError::invalid(
            "since",
            format!("must be a version this state has had, 0 to {version}; read the whole state again"),
        ));
    }
    let filter = VmFilter { since: Some(since), ..VmFilter::default() };
    Ok(SimStateDiff {
        since,
        version,
        changed: store::vms::list_vms(&mut transaction, &filter, None, None).await?,
        deleted: store::state::list_deleted_vms(&mut transaction, since).await?,
    })
}

pub async fn list_hosts(state: &SimState, request: &PageRequest) -> ApiResult<Page<Hypervisor>> {
    let (limit, after) = (request.limit()?, request.after::<String>()?);
    let mut connection = state.pool.acquire().await?;
    let hosts = store::state::list_hosts(&mut connection, after.as_deref(), Some(limit + 1)).await?;
    Ok(page(hosts, limit, |host: &Hypervisor| host.id.clone()))
}

pub async fn list_clusters(state: &SimState, request: &PageRequest) -> ApiResult<Page<Cluster>> {
    let (limit, after) = (request.limit()?, request.after::<String>()?);
    let mut connection = state.pool.acquire().await?;
    let clusters = store::state::list_clusters(&mut connection, after.as_deref(), Some(limit + 1)).await?;
    Ok(page(clusters, limit, |cluster: &Cluster| cluster.id.clone()))
}
