//! The ITSM service: changes, incidents, problems, notifications.

use api_types::{
    access::Outcome,
    itsm::{
        Change, CloseChange, Conflicts, CreateChange, CreateIncident, CreateNotification, CreateProblem,
        Decide, ExecuteChange, Incident, Notification, Problem, PutTemplate, ResolveIncident, ReviewChange,
        Template, UpdateChange, UpdateIncident, UpdateProblem,
    },
};
use domain::ids::ChangeId;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use uuid::Uuid;

use crate::client::{ClientError, service_client};

service_client! {
    /// One method per verb of the ITSM service. Filters are its query parameters: `("state", "approved".to_owned())`.
    ItsmClient, "itsm"
}

impl ItsmClient {
    pub async fn create_change(&self, request: &CreateChange) -> Result<Change, ClientError> {
        self.0.post("/itsm/changes", request).await
    }

    /// Opens a change under the caller's own idempotency key: repeated after a crash, it returns the first one.
    pub async fn create_change_once(&self, request: &CreateChange, key: &str) -> Result<Change, ClientError> {
        self.0.post_once("/itsm/changes", request, key).await
    }

    pub async fn get_change(&self, id: &ChangeId) -> Result<Change, ClientError> {
        self.0.get(&format!("/itsm/changes/{id}"), &[]).await
    }

    /// Newest first, up to `most`.
    pub async fn list_changes(
        &self,
        filter: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<Change>, ClientError> {
        self.0.get_all("/itsm/changes", filter, most).await
    }

    pub async fn update_change(
        &self,
        id: &ChangeId,
        request: &UpdateChange,
        etag: Option<&str>,
    ) -> Result<Change, ClientError> {
        self.0.patch(&format!("/itsm/changes/{id}"), request, etag).await
    }

    pub async fn submit_change(&self, id: &ChangeId) -> Result<Change, ClientError> {
        self.verb(id, "submit", &json!({})).await
    }

    pub async fn approve_change(&self, id: &ChangeId, request: &Decide) -> Result<Change, ClientError> {
        self.verb(id, "approve", request).await
    }

    pub async fn reject_change(&self, id: &ChangeId, request: &Decide) -> Result<Change, ClientError> {
        self.verb(id, "reject", request).await
    }

    pub async fn execute_change(
        &self,
        id: &ChangeId,
        request: &ExecuteChange,
    ) -> Result<Change, ClientError> {
        self.verb(id, "execute", request).await
    }

    pub async fn complete_change(
        &self,
        id: &ChangeId,
        request: &CloseChange,
    ) -> Result<Outcome<Change>, ClientError> {
        self.verb(id, "complete", request).await
    }

    pub async fn fail_change(
        &self,
        id: &ChangeId,
        request: &CloseChange,
    ) -> Result<Outcome<Change>, ClientError> {
        self.verb(id, "fail", request).await
    }

    pub async fn cancel_change(
        &self,
        id: &ChangeId,
        request: &CloseChange,
    ) -> Result<Outcome<Change>, ClientError> {
        self.verb(id, "cancel", request).await
    }

    pub async fn review_change(&self, id: &ChangeId, request: &ReviewChange) -> Result<Change, ClientError> {
        self.verb(id, "review", request).await
    }

    pub async fn list_conflicts(&self, id: &ChangeId) -> Result<Conflicts, ClientError> {
        self.0.get(&format!("/itsm/changes/{id}/conflicts"), &[]).await
    }

    pub async fn list_templates(&self) -> Result<Vec<Template>, ClientError> {
        self.0.get("/itsm/templates", &[]).await
    }

    pub async fn put_template(&self, name: &str, request: &PutTemplate) -> Result<Template, ClientError> {
        self.0.put(&format!("/itsm/templates/{name}"), request).await
    }

    pub async fn approve_template(&self, name: &str) -> Result<Template, ClientError> {
        self.0.post(&format!("/itsm/templates/{name}/approve"), &()).await
    }

    /// Opens an incident, or returns the one that has the same `correlation_id`.
    pub async fn create_incident(&self, request: &CreateIncident) -> Result<Incident, ClientError> {
        self.0.post("/itsm/incidents", request).await
    }

    pub async fn get_incident(&self, id: &str) -> Result<Incident, ClientError> {
        self.0.get(&format!("/itsm/incidents/{id}"), &[]).await
    }

    /// Newest first, up to `most`.
    pub async fn list_incidents(
        &self,
        filter: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<Incident>, ClientError> {
        self.0.get_all("/itsm/incidents", filter, most).await
    }

    pub async fn update_incident(
        &self,
        id: &str,
        request: &UpdateIncident,
        etag: Option<&str>,
    ) -> Result<Incident, ClientError> {
        self.0.patch(&format!("/itsm/incidents/{id}"), request, etag).await
    }

    pub async fn resolve_incident(
        &self,
        id: &str,
        request: &ResolveIncident,
    ) -> Result<Incident, ClientError> {
        self.0.post(&format!("/itsm/incidents/{id}/resolve"), request).await
    }

    pub async fn create_problem(&self, request: &CreateProblem) -> Result<Problem, ClientError> {
        self.0.post("/itsm/problems", request).await
    }

    pub async fn get_problem(&self, id: &str) -> Result<Problem, ClientError> {
        self.0.get(&format!("/itsm/problems/{id}"), &[]).await
    }

    /// Newest first, up to `most`.
    pub async fn list_problems(
        &self,
        filter: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<Problem>, ClientError> {
        self.0.get_all("/itsm/problems", filter, most).await
    }

    pub async fn update_problem(
        &self,
        id: &str,
        request: &UpdateProblem,
        etag: Option<&str>,
    ) -> Result<Problem, ClientError> {
        self.0.patch(&format!("/itsm/problems/{id}"), request, etag).await
    }

    /// Queues a notification, or returns the one that has the same `dedupe_key`.
    pub async fn create_notification(
        &self,
        request: &CreateNotification,
    ) -> Result<Notification, ClientError> {
        self.0.post("/itsm/notifications", request).await
    }

    pub async fn get_notification(&self, id: Uuid) -> Result<Notification, ClientError> {
        self.0.get(&format!("/itsm/notifications/{id}"), &[]).await
    }

    /// Newest first, up to `most`.
    pub async fn list_notifications(
        &self,
        filter: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<Notification>, ClientError> {
        self.0.get_all("/itsm/notifications", filter, most).await
    }

    pub async fn resend_notification(&self, id: Uuid) -> Result<Notification, ClientError> {
        self.0.post(&format!("/itsm/notifications/{id}/resend"), &json!({})).await
    }

    async fn verb<T: DeserializeOwned>(
        &self,
        id: &ChangeId,
        verb: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.0.post(&format!("/itsm/changes/{id}/{verb}"), body).await
    }
}
