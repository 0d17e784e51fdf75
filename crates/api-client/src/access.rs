//! Tokens, people, proposals and the audit log, the same at every service.

use api_types::{
    access::{
        ApproverInfo, AuditCheck, AuditExport, AuditHash, AuditRecord, Confirmed, CreateToken,
        ExchangeIdToken, IssuedToken, Me, Outcome, Person, Proposal, PutPerson, SignInWays, SignedOut, Token,
    },
    webhooks::{CreateWebhookReceiver, IssuedWebhookSecret, RotateWebhookSecret, WebhookReceiver},
};
use uuid::Uuid;

use crate::client::{ClientError, service_client};

service_client! {
    AccessClient, "patch-manager"
}

impl AccessClient {
    /// Issues a token; its secret is in this answer only.
    pub async fn create_token(&self, request: &CreateToken) -> Result<Outcome<IssuedToken>, ClientError> {
        self.0.post("/access/tokens", request).await
    }

    /// Replaces the own token of an agent; the new secret is in this answer only.
    pub async fn rotate_token(&self) -> Result<IssuedToken, ClientError> {
        self.0.post("/access/tokens/rotate", &()).await
    }

    /// Who the client's own token belongs to.
    pub async fn get_me(&self) -> Result<Me, ClientError> {
        self.0.get("/access/me", &[]).await
    }

    /// How people sign in; needs no token.
    pub async fn get_sign_in_ways(&self) -> Result<SignInWays, ClientError> {
        self.0.get("/access/oidc", &[]).await
    }

    /// Exchanges an ID token of the identity provider; the secret is in this answer only.
    pub async fn exchange_id_token(&self, request: &ExchangeIdToken) -> Result<IssuedToken, ClientError> {
        self.0.post("/access/oidc/token", request).await
    }

    /// Ends the client's own token, if a sign-in gave it.
    pub async fn sign_out(&self) -> Result<SignedOut, ClientError> {
        self.0.post("/access/oidc/logout", &()).await
    }

    /// Newest first, up to `most`.
    pub async fn list_tokens(&self, most: usize) -> Result<Vec<Token>, ClientError> {
        self.0.get_all("/access/tokens", &[], most).await
    }

    pub async fn revoke_token(&self, id: Uuid) -> Result<(), ClientError> {
        self.0.delete(&format!("/access/tokens/{id}")).await
    }

    pub async fn put_person(
        &self,
        subject: &str,
        request: &PutPerson,
    ) -> Result<Outcome<Person>, ClientError> {
        self.0.put(&format!("/access/people/{subject}"), request).await
    }

    /// In the order of their subjects, up to `most`.
    pub async fn list_people(&self, most: usize) -> Result<Vec<Person>, ClientError> {
        self.0.get_all("/access/people", &[], most).await
    }

    pub async fn delete_person(&self, subject: &str) -> Result<(), ClientError> {
        self.0.delete(&format!("/access/people/{subject}")).await
    }

    pub async fn list_approvers(&self) -> Result<Vec<ApproverInfo>, ClientError> {
        self.0.get("/access/approvers", &[]).await
    }

    /// Newest first, up to `most`; `filter` takes `state`.
    pub async fn list_proposals(
        &self,
        filter: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<Proposal>, ClientError> {
        self.0.get_all("/access/proposals", filter, most).await
    }

    /// Confirms what somebody else proposed; the secret of a token is in this answer only.
    pub async fn confirm_proposal(&self, id: Uuid) -> Result<Confirmed, ClientError> {
        self.0.post(&format!("/access/proposals/{id}/confirm"), &()).await
    }

    pub async fn reject_proposal(&self, id: Uuid) -> Result<Proposal, ClientError> {
        self.0.post(&format!("/access/proposals/{id}/reject"), &()).await
    }

    /// In the order of their registration, up to `most`.
    pub async fn list_webhooks(&self, most: usize) -> Result<Vec<WebhookReceiver>, ClientError> {
        self.0.get_all("/access/webhooks", &[], most).await
    }

    /// Registers a receiver; its secret is in this answer only.
    pub async fn create_webhook(
        &self,
        request: &CreateWebhookReceiver,
    ) -> Result<IssuedWebhookSecret, ClientError> {
        self.0.post("/access/webhooks", request).await
    }

    /// Replaces the secret of a receiver; the new one is in this answer only.
    pub async fn rotate_webhook(
        &self,
        id: Uuid,
        request: &RotateWebhookSecret,
    ) -> Result<IssuedWebhookSecret, ClientError> {
        self.0.post(&format!("/access/webhooks/{id}/rotate"), request).await
    }

    pub async fn delete_webhook(&self, id: Uuid) -> Result<(), ClientError> {
        self.0.delete(&format!("/access/webhooks/{id}")).await
    }

    /// Checks the audit log of the service against its chain, from after this position on.
    pub async fn check_audit(&self, after: i64, limit: Option<u32>) -> Result<AuditCheck, ClientError> {
        let mut filter = vec![("after", after.to_string())];
        filter.extend(limit.map(|limit| ("limit", limit.to_string())));
        self.0.get("/access/audit/check", &filter).await
    }

    /// The hashes at up to 100 positions of the chain; those that the chain does not have are left out.
    pub async fn list_audit_hashes(&self, positions: &[i64]) -> Result<Vec<AuditHash>, ClientError> {
        let positions: Vec<String> = positions.iter().map(i64::to_string).collect();
        self.0.get("/access/audit/hashes", &[("positions", positions.join(","))]).await
    }

    /// Where the ends of the chain go, and what became of the last one.
    pub async fn list_audit_exports(&self) -> Result<Vec<AuditExport>, ClientError> {
        self.0.get("/access/audit/exports", &[]).await
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
