//! Tokens and the audit log, the same at every service.

use api_types::access::{AuditRecord, CreateToken, IssuedToken, Token};
use uuid::Uuid;

use crate::client::{ClientError, service_client};

service_client! {
    AccessClient, "patch-manager"
}

impl AccessClient {
    /// Issues a token; its secret is in this answer only.
    pub async fn create_token(&self, request: &CreateToken) -> Result<IssuedToken, ClientError> {
        self.0.post("/access/tokens", request).await
    }

    /// Newest first, up to `most`.
    pub async fn list_tokens(&self, most: usize) -> Result<Vec<Token>, ClientError> {
        self.0.get_all("/access/tokens", &[], most).await
    }

    pub async fn revoke_token(&self, id: Uuid) -> Result<(), ClientError> {
        self.0.delete(&format!("/access/tokens/{id}")).await
    }

    /// Newest first, up to `most`; `filter` takes `object`.
    pub async fn list_audit(
        &self,
        filter: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<AuditRecord>, ClientError> {
        self.0.get_all("/access/audit", filter, most).await
    }
}
