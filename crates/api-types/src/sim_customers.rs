//! The sim-engine's customers: installations of a product that can be deployed to, watched and made to fail.

use chrono::{DateTime, Utc};
use domain::{
    ids::CiId,
    release::{Baseline, Version},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// An installation to create, or to set back to this.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSimCustomer {
    pub version: Version,
    /// How it is when it is well.
    #[serde(default = "usual")]
    pub health: Baseline,
    /// How long a deployment takes.
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

/// Something that is wrong with an installation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerFault {
    pub kind: CustomerFaultKind,
    /// Only while it runs, or is brought to, this version.
    #[serde(default)]
    pub version: Option<Version>,
    /// Counted from the deployment that brought the version.
    #[serde(default)]
    pub after_seconds: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CustomerFaultKind {
    /// Its health is answered with 503.
    HealthFailure,
    /// Ten percentage points more requests fail.
    ErrorRate,
    /// Requests take half as long again.
    Latency,
    /// Its health is not answered for a minute.
    Hang,
    /// Its health is answered with something that is none.
    Garbage,
    /// It says that it runs another version, and is well.
    Lie,
    /// Deployments fail half way; it stays at its version.
    DeployFailure,
    /// Deployments begin and never end.
    DeploySilence,
}

/// All faults of an installation: these, and no others any more.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutCustomerFaults {
    pub faults: Vec<CustomerFault>,
}

/// A deployment to begin; the same id begins nothing new.
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

/// What an installation says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CustomerHealth {
    /// `ok`, or what is wrong.
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
