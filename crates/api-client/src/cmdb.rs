//! The CMDB: configuration items, relationships, maintenance, the graph, the Ansible inventory.

use api_types::access::Outcome;
use api_types::cmdb::{
    Ci, CiChanges, CreateCi, CreateRelationship, Graph, GraphQuery, HistoryEntry, Impact, ImportReport,
    PatchState, Relationship, SetMaintenance, Sync, UpdateCi,
};
use api_types::page::Page;
use domain::{
    ids::{CiId, RunId},
    selector::Selector,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    client::{ClientError, service_client},
    segment,
};

service_client! {
    /// One method per verb of the CMDB. Filters are its query parameters; `tag` may be repeated:
    /// `("tag", "role:web".to_owned())`.
    CmdbClient, "cmdb"
}

impl CmdbClient {
    pub async fn create_ci(&self, request: &CreateCi) -> Result<Ci, ClientError> {
        self.0.post("/cmdb/cis", request).await
    }

    pub async fn get_ci(&self, id: &CiId) -> Result<Ci, ClientError> {
        self.0.get(&format!("/cmdb/cis/{id}"), &[]).await
    }

    /// In the order of their ids, up to `most`; decommissioned ones only with a `status` filter.
    pub async fn list_cis(&self, filter: &[(&str, String)], most: usize) -> Result<Vec<Ci>, ClientError> {
        self.0.get_all("/cmdb/cis", filter, most).await
    }

    /// One page of [`Self::list_cis`], of a thousand at most.
    pub async fn list_page_of_cis(&self, page_token: Option<&str>) -> Result<Page<Ci>, ClientError> {
        let mut query = vec![("limit", "1000".to_owned())];
        query.extend(page_token.map(|token| ("page_token", token.to_owned())));
        self.0.get("/cmdb/cis", &query).await
    }

    /// What has changed since a token was issued; without one, nothing and the first token. 409 if the token is not one
    /// of this CMDB.
    pub async fn list_changes(&self, since: Option<&str>) -> Result<CiChanges, ClientError> {
        let query: Vec<_> = since.map(|token| ("since", token.to_owned())).into_iter().collect();
        self.0.get("/cmdb/changes", &query).await
    }

    pub async fn update_ci(
        &self,
        id: &CiId,
        request: &UpdateCi,
        etag: Option<&str>,
    ) -> Result<Ci, ClientError> {
        self.0.patch(&format!("/cmdb/cis/{id}"), request, etag).await
    }

    /// The CI and its history stay, but lists and plans omit it.
    pub async fn decommission_ci(&self, id: &CiId) -> Result<(), ClientError> {
        self.0.delete(&format!("/cmdb/cis/{id}")).await
    }

    pub async fn list_relationships(&self, id: &CiId, most: usize) -> Result<Vec<Relationship>, ClientError> {
        self.0.get_all(&format!("/cmdb/cis/{id}/relationships"), &[], most).await
    }

    pub async fn create_relationship(
        &self,
        request: &CreateRelationship,
    ) -> Result<Relationship, ClientError> {
        self.0.post("/cmdb/relationships", request).await
    }

    pub async fn delete_relationship(&self, id: Uuid) -> Result<(), ClientError> {
        self.0.delete(&format!("/cmdb/relationships/{id}")).await
    }

    /// `depth` is 1 to 20; 5 when `None`.
    pub async fn get_impact(&self, id: &CiId, depth: Option<u32>) -> Result<Impact, ClientError> {
        let query: Vec<_> = depth.map(|depth| ("depth", depth.to_string())).into_iter().collect();
        self.0.get(&format!("/cmdb/cis/{id}/impact"), &query).await
    }

    /// Newest first, up to `most`.
    pub async fn list_history(&self, id: &CiId, most: usize) -> Result<Vec<HistoryEntry>, ClientError> {
        self.0.get_all(&format!("/cmdb/cis/{id}/history"), &[], most).await
    }

    pub async fn set_maintenance(&self, id: &CiId, request: &SetMaintenance) -> Result<Ci, ClientError> {
        self.0.put(&format!("/cmdb/cis/{id}/maintenance"), request).await
    }

    pub async fn set_patch_state(&self, id: &CiId, request: &PatchState) -> Result<Outcome<Ci>, ClientError> {
        self.0.put(&format!("/cmdb/cis/{id}/patch-state"), request).await
    }

    /// Starts a synchronisation with the sim-engine; [`Self::get_sync`] returns its state. 409 while another one runs.
    pub async fn start_sync(&self) -> Result<Sync, ClientError> {
        self.0.post("/cmdb/sync", &json!({})).await
    }

    pub async fn get_sync(&self) -> Result<Sync, ClientError> {
        self.0.get("/cmdb/sync/status", &[]).await
    }

    /// The graph of a selection of any length.
    pub async fn get_graph(&self, selector: &Selector) -> Result<Graph, ClientError> {
        self.0.post("/cmdb/graph", &GraphQuery { selector: selector.clone() }).await
    }

    /// Ansible's dynamic-inventory JSON; with a run id, the hosts and groups of the first answer for it.
    pub async fn get_ansible_inventory(
        &self,
        filter: &[(&str, String)],
        run_id: Option<RunId>,
    ) -> Result<Value, ClientError> {
        let mut query = filter.to_vec();
        query.extend(run_id.map(|run_id| ("run_id", run_id.to_string())));
        self.0.get("/cmdb/ansible/inventory", &query).await
    }

    /// Imports a list whose format is recognised by its content. A dry run stores nothing and lists what would be refused.
    pub async fn import_cis(
        &self,
        content_type: &str,
        content: Vec<u8>,
        dry_run: bool,
    ) -> Result<ImportReport, ClientError> {
        self.import_cis_with(content_type, content, &[("dry_run", dry_run.to_string())]).await
    }

    /// The same with the parameters of the import: `dry_run`, `strict`, `format` and, repeated, `map`.
    pub async fn import_cis_with(
        &self,
        content_type: &str,
        content: Vec<u8>,
        parameters: &[(&str, String)],
    ) -> Result<ImportReport, ClientError> {
        let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", segment(value)));
        let path = format!("/cmdb/import?{}", pairs.collect::<Vec<_>>().join("&"));
        self.0.post_bytes(&path, content_type, content).await
    }
}
