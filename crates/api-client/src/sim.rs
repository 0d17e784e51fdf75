//! Client of the sim-engine.

use api_types::sim::{
    Cluster, ControlService, CreateFault, CreateSnapshot, CreateVm, CreateVms, CreatedVms, Fault, FaultKind,
    Guest, GuestService, Hypervisor, PowerAction, Reboot, Rehearsal, Repository, ServiceAction, SetPower,
    SimState, SimStateDiff, Snapshot, StartTransaction, Transaction, Vm,
};
use domain::ids::CiId;
use serde_json::json;
use uuid::Uuid;

use crate::{ClientError, client::service_client, segment};

/// Maximum number of items of a list.
const MOST: usize = 100_000;

service_client! {
    SimClient, "sim-engine"
}

impl SimClient {
    /// Virtual machines; `filter` takes the query parameters of the list: `os cluster hypervisor power tag`.
    pub async fn list_vms(&self, filter: &[(&str, String)]) -> Result<Vec<Vm>, ClientError> {
        self.0.get_all("/sim/vms", filter, MOST).await
    }

    pub async fn create_vm(&self, request: &CreateVm) -> Result<Vm, ClientError> {
        self.0.post("/sim/vms", request).await
    }

    pub async fn create_vms(&self, request: &CreateVms) -> Result<CreatedVms, ClientError> {
        self.0.post("/sim/vms/bulk", request).await
    }

    pub async fn get_vm(&self, id: &CiId) -> Result<Vm, ClientError> {
        self.0.get(&vm(id, ""), &[]).await
    }

    pub async fn delete_vm(&self, id: &CiId) -> Result<(), ClientError> {
        self.0.delete(&vm(id, "")).await
    }

    pub async fn set_power(&self, id: &CiId, action: PowerAction) -> Result<Vm, ClientError> {
        self.0.post(&vm(id, "/power"), &SetPower { action }).await
    }

    pub async fn list_snapshots(&self, id: &CiId) -> Result<Vec<Snapshot>, ClientError> {
        self.0.get_all(&vm(id, "/snapshots"), &[], MOST).await
    }

    /// Takes a snapshot, or returns the one of the same owner and purpose.
    pub async fn create_snapshot(
        &self,
        id: &CiId,
        request: &CreateSnapshot,
    ) -> Result<Snapshot, ClientError> {
        self.0.post(&vm(id, "/snapshots"), request).await
    }

    pub async fn delete_snapshot(&self, id: &CiId, snapshot: Uuid) -> Result<(), ClientError> {
        self.0.delete(&vm(id, &format!("/snapshots/{snapshot}"))).await
    }

    /// Rehearses the rollback on a clone, if the machine's driver can create one.
    pub async fn rehearse_revert(&self, id: &CiId, snapshot: Uuid) -> Result<Rehearsal, ClientError> {
        self.0.post(&vm(id, &format!("/snapshots/{snapshot}/rehearse")), &json!({})).await
    }

    pub async fn revert_snapshot(&self, id: &CiId, snapshot: Uuid) -> Result<Vm, ClientError> {
        self.0.post(&vm(id, &format!("/snapshots/{snapshot}/revert")), &json!({})).await
    }

    pub async fn list_hosts(&self) -> Result<Vec<Hypervisor>, ClientError> {
        self.0.get_all("/sim/hosts", &[], MOST).await
    }

    pub async fn list_clusters(&self) -> Result<Vec<Cluster>, ClientError> {
        self.0.get_all("/sim/clusters", &[], MOST).await
    }

    pub async fn get_state(&self) -> Result<SimState, ClientError> {
        self.0.get("/sim/state", &[]).await
    }

    /// What changed after version `since` of the state.
    pub async fn get_state_diff(&self, since: i64) -> Result<SimStateDiff, ClientError> {
        self.0.get("/sim/state/diff", &[("since", since.to_string())]).await
    }

    pub async fn get_repository(&self, os: &str) -> Result<Repository, ClientError> {
        self.0.get(&format!("/sim/repositories/{}", segment(os)), &[]).await
    }

    pub async fn put_repository(&self, os: &str, repository: &Repository) -> Result<Repository, ClientError> {
        self.0.put(&format!("/sim/repositories/{}", segment(os)), repository).await
    }

    pub async fn inject_fault(&self, kind: FaultKind, request: &CreateFault) -> Result<Fault, ClientError> {
        self.0.post(&format!("/sim/inject/{}", kind_segment(kind)), request).await
    }

    /// Injected faults; `filter` takes `vm_id` and `kind`.
    pub async fn list_faults(&self, filter: &[(&str, String)]) -> Result<Vec<Fault>, ClientError> {
        self.0.get_all("/sim/inject", filter, MOST).await
    }

    pub async fn delete_fault(&self, id: Uuid) -> Result<(), ClientError> {
        self.0.delete(&format!("/sim/inject/{id}")).await
    }

    pub async fn get_guest(&self, id: &CiId) -> Result<Guest, ClientError> {
        self.0.get(&vm(id, "/guest"), &[]).await
    }

    /// Starts a package transaction, or returns the one that has this id. Waits up to `wait_seconds` for its end.
    pub async fn start_transaction(
        &self,
        id: &CiId,
        request: &StartTransaction,
        wait_seconds: u32,
    ) -> Result<Transaction, ClientError> {
        self.0.post(&vm(id, &format!("/guest/transactions?wait={wait_seconds}")), request).await
    }

    /// The package history of a guest, newest first.
    pub async fn list_transactions(&self, id: &CiId) -> Result<Vec<Transaction>, ClientError> {
        self.0.get_all(&vm(id, "/guest/transactions"), &[], MOST).await
    }

    pub async fn get_transaction(&self, id: &CiId, transaction: &str) -> Result<Transaction, ClientError> {
        self.0.get(&vm(id, &format!("/guest/transactions/{}", segment(transaction))), &[]).await
    }

    pub async fn control_service(
        &self,
        id: &CiId,
        service: &str,
        action: ServiceAction,
    ) -> Result<GuestService, ClientError> {
        self.0
            .post(&vm(id, &format!("/guest/services/{}", segment(service))), &ControlService { action })
            .await
    }

    /// Reboots the guest; with `boot_id` only while it still runs under that boot.
    pub async fn reboot_guest(&self, id: &CiId, boot_id: Option<Uuid>) -> Result<Vm, ClientError> {
        self.0.post(&vm(id, "/guest/reboot"), &Reboot { boot_id }).await
    }
}

fn vm(id: &CiId, rest: &str) -> String {
    format!("/sim/vms/{}{rest}", segment(id.as_str()))
}

fn kind_segment(kind: FaultKind) -> String {
    let name = serde_json::to_value(kind).ok();
    name.as_ref().and_then(|name| name.as_str()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_stay_one_segment() {
        assert_eq!(segment("run/1:2?x"), "run%2F1%3A2%3Fx");
        assert_eq!(kind_segment(FaultKind::NetworkPartition), "network-partition");
    }
}
