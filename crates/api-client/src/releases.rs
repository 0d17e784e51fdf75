//! Product releases and customers of the patch-manager.

use api_types::access::Outcome;
use api_types::patch::{
    ApplyConfig, ConfigDiff, CreateRelease, CustomerDeployment, CustomerHealthDetail, CustomerRating,
    DeployRelease, EmergencyRelease, IssueReport, MetricsReport, PlanRelease, RateRelease, RegisterLine,
    Release, ReleaseLine, ReleasePlan, ReleaseRun, ReleaseStatus, ReleaseTimeline, ReportIssue,
    RollBackRelease, SignOff, StoredCustomer, StoredReleasePolicies, TickItem, UpdateRelease,
};
use domain::{
    ids::CiId,
    release::{Customer, Version},
};
use serde_json::{Value, json};

use crate::{
    client::{ClientError, service_client},
    segment,
};

service_client! {
    /// One method per verb.
    ReleasesClient, "patch-manager"
}

impl ReleasesClient {
    /// In the order of their slugs, up to `most`.
    pub async fn list_customers(
        &self,
        filter: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<StoredCustomer>, ClientError> {
        self.0.get_all("/patch/customers", filter, most).await
    }

    pub async fn create_customer(&self, customer: &Customer) -> Result<StoredCustomer, ClientError> {
        self.0.post("/patch/customers", customer).await
    }

    pub async fn get_customer(&self, slug: &CiId) -> Result<StoredCustomer, ClientError> {
        self.0.get(&format!("/patch/customers/{slug}"), &[]).await
    }

    pub async fn update_customer(
        &self,
        slug: &CiId,
        changes: &Value,
        etag: Option<&str>,
    ) -> Result<Outcome<StoredCustomer>, ClientError> {
        self.0.patch(&format!("/patch/customers/{slug}"), changes, etag).await
    }

    pub async fn delete_customer(&self, slug: &CiId) -> Result<Outcome<()>, ClientError> {
        self.0.delete_or_propose(&format!("/patch/customers/{slug}")).await
    }

    pub async fn get_customer_health(&self, slug: &CiId) -> Result<CustomerHealthDetail, ClientError> {
        self.0.get(&format!("/patch/customers/{slug}/health"), &[]).await
    }

    pub async fn report_issue(&self, slug: &CiId, report: &ReportIssue) -> Result<IssueReport, ClientError> {
        self.0.post(&format!("/patch/customers/{slug}/reports"), report).await
    }

    /// Newest first, up to `most`.
    pub async fn list_deployments(
        &self,
        filter: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<CustomerDeployment>, ClientError> {
        self.0.get_all("/patch/deployments", filter, most).await
    }

    pub async fn get_release_policies(&self) -> Result<StoredReleasePolicies, ClientError> {
        self.0.get("/patch/release-policies", &[]).await
    }

    pub async fn apply_release_config(
        &self,
        config: &ApplyConfig,
    ) -> Result<Outcome<ConfigDiff>, ClientError> {
        self.0.post("/patch/release-config/apply", config).await
    }

    pub async fn rate_release(
        &self,
        slug: &CiId,
        version: Version,
        rating: &RateRelease,
    ) -> Result<CustomerRating, ClientError> {
        self.0.put(&format!("/patch/customers/{slug}/ratings/{version}"), rating).await
    }

    pub async fn list_lines(&self) -> Result<Vec<ReleaseLine>, ClientError> {
        self.0.get("/patch/release-lines", &[]).await
    }

    pub async fn register_line(
        &self,
        base: Version,
        request: &RegisterLine,
    ) -> Result<ReleaseLine, ClientError> {
        self.0.put(&format!("/patch/release-lines/{base}"), request).await
    }

    pub async fn delete_line(&self, base: Version) -> Result<(), ClientError> {
        self.0.delete(&format!("/patch/release-lines/{base}")).await
    }

    /// Highest version first, up to `most`.
    pub async fn list_releases(&self, most: usize) -> Result<Vec<Release>, ClientError> {
        self.0.get_all("/patch/releases", &[], most).await
    }

    pub async fn create_release(&self, release: &CreateRelease) -> Result<Release, ClientError> {
        self.0.post("/patch/releases", release).await
    }

    pub async fn get_release(&self, version: Version) -> Result<Release, ClientError> {
        self.0.get(&at(version, ""), &[]).await
    }

    pub async fn update_release(
        &self,
        version: Version,
        changes: &UpdateRelease,
        etag: Option<&str>,
    ) -> Result<Release, ClientError> {
        self.0.patch(&at(version, ""), changes, etag).await
    }

    pub async fn tick_item(
        &self,
        version: Version,
        item: &str,
        tick: &TickItem,
    ) -> Result<Release, ClientError> {
        self.0.put(&at(version, &format!("/checklist/{}", segment(item))), tick).await
    }

    pub async fn plan_release(
        &self,
        version: Version,
        request: &PlanRelease,
    ) -> Result<ReleasePlan, ClientError> {
        self.0.post(&at(version, "/plan"), request).await
    }

    pub async fn validate_release(&self, version: Version) -> Result<ReleaseRun, ClientError> {
        self.0.post(&at(version, "/validate"), &json!({})).await
    }

    pub async fn deploy_release(
        &self,
        version: Version,
        request: &DeployRelease,
    ) -> Result<ReleaseRun, ClientError> {
        self.0.post(&at(version, "/deploy"), request).await
    }

    pub async fn deploy_emergency_release(
        &self,
        version: Version,
        request: &EmergencyRelease,
    ) -> Result<ReleaseRun, ClientError> {
        self.0.post(&at(version, "/emergency"), request).await
    }

    pub async fn roll_back_release(
        &self,
        version: Version,
        request: &RollBackRelease,
    ) -> Result<Vec<ReleaseRun>, ClientError> {
        self.0.post(&at(version, "/rollback"), request).await
    }

    pub async fn sign_off_release(
        &self,
        version: Version,
        request: &SignOff,
    ) -> Result<Release, ClientError> {
        self.0.post(&at(version, "/sign-off"), request).await
    }

    pub async fn get_release_status(&self, version: Version) -> Result<ReleaseStatus, ClientError> {
        self.0.get(&at(version, "/status"), &[]).await
    }

    pub async fn get_release_timeline(&self, version: Version) -> Result<ReleaseTimeline, ClientError> {
        self.0.get(&at(version, "/timeline"), &[]).await
    }

    pub async fn get_release_metrics(&self, version: Version) -> Result<MetricsReport, ClientError> {
        self.0.get(&at(version, "/metrics"), &[]).await
    }

    pub async fn get_metrics(&self) -> Result<MetricsReport, ClientError> {
        self.0.get("/patch/release-metrics", &[]).await
    }
}

fn at(version: Version, rest: &str) -> String {
    format!("/patch/releases/{version}{rest}")
}
