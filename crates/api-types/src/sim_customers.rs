//! The sim-engine's customers: installations of a product with deployments, a health check and injected faults.

use chrono::{DateTime, Utc};
use domain::{
    ids::CiId,
    release::{Baseline, Version},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// An installation to create or to reset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSimCustomer {
    pub version: Version,
    /// Its health without faults.
    #[serde(default = "usual")]
    pub health: Baseline,
    /// Duration of a deployment.
    #[serde(default = "two_minutes")]
    pub deploy_seconds: u32,
}

fn usual() -> Baseline {
    Baseline { error_rate_percent: Some(0.4), latency_ms: Some(120.0), throughput: Some(250.0) }
}

fn two_minutes() -> u32 {
    120
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SimCustomer {
    pub id: CiId,
    pub version: Version,
    pub health: Baseline,
    pub deploy_seconds: u32,
    pub faults: Vec<CustomerFault>,
    /// Oldest first.
    pub deployments: Vec<SimDeployment>,
}

/// A fault of an installation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerFault {
    pub kind: CustomerFaultKind,
    /// Only while it runs this version or is deployed to it.
    #[serde(default)]
    pub version: Option<Version>,
    /// Time after the deployment of the version at which the fault begins.
    #[serde(default)]
    pub after_seconds: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CustomerFaultKind {
    /// The health check is answered with 503.
    HealthFailure,
    /// The error rate is 10 percentage points higher.
    ErrorRate,
    /// The latency is 50 % higher.
    Latency,
    /// The health check is not answered for a minute.
    Hang,
    /// The answer to the health check is not JSON.
    Garbage,
    /// It reports another version, and that it is healthy.
    Lie,
    /// Deployments fail half way, and the version does not change.
    DeployFailure,
    /// Deployments start and never end.
    DeploySilence,
}

/// All faults of an installation. They replace its previous ones.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutCustomerFaults {
    pub faults: Vec<CustomerFault>,
}

/// A deployment to start. A known id starts nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartSimDeployment {
    pub deployment_id: Uuid,
    pub version: Version,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SimDeployment {
    pub deployment_id: Uuid,
    pub version: Version,
    pub previous_version: Version,
    pub state: SimDeploymentState,
    pub progress_percent: u8,
    pub detail: Option<String>,
    pub started_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SimDeploymentState {
    Running,
    Succeeded,
    Failed,
}

/// What an installation reports about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CustomerHealth {
    /// `ok`, or the error.
    pub status: String,
    #[serde(default)]
    pub version: Option<Version>,
    #[serde(default)]
    pub error_rate_percent: Option<f64>,
    #[serde(default)]
    pub latency_ms: Option<f64>,
    #[serde(default)]
    pub throughput: Option<f64>,
}
