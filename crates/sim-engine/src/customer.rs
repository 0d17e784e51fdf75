//! An installation of a product at a customer: it has deployments, a health check and injected faults.

use api_types::sim_customers::{
    CustomerFault, CustomerFaultKind, CustomerHealth, PutSimCustomer, SimCustomer, SimDeployment,
    SimDeploymentState, StartSimDeployment,
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    ids::CiId,
    release::{Baseline, Version},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Stored deployments per customer.
const MAX_DEPLOYMENTS: usize = 200;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    pub version: Version,
    /// Start of the current version.
    pub version_since: DateTime<Utc>,
    pub health: Baseline,
    pub deploy_seconds: u32,
    pub faults: Vec<CustomerFault>,
    pub deployments: Vec<SimDeployment>,
}

/// Another deployment is running.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("deployment `{0}` is running")]
pub struct DeploymentRunning(pub Uuid);

/// The answer to a health check.
#[derive(Debug, Clone, PartialEq)]
pub enum HealthAnswer {
    Health(CustomerHealth),
    Failing,
    Garbage,
    Hang,
}

impl Customer {
    pub fn new(request: &PutSimCustomer, now: DateTime<Utc>) -> Self {
        Self {
            version: request.version,
            version_since: now,
            health: request.health,
            deploy_seconds: request.deploy_seconds,
            faults: Vec::new(),
            deployments: Vec::new(),
        }
    }

    pub fn into_wire(self, id: CiId) -> SimCustomer {
        let Self { version, health, deploy_seconds, faults, deployments, .. } = self;
        SimCustomer { id, version, health, deploy_seconds, faults, deployments }
    }

    /// Applies the progress of the running deployment by `now`.
    pub fn advance(&mut self, now: DateTime<Utc>) {
        let length = TimeDelta::seconds(i64::from(self.deploy_seconds));
        let Some(running) = self.deployments.iter().position(|d| d.state == SimDeploymentState::Running)
        else {
            return;
        };
        let (version, since) = (self.deployments[running].version, self.deployments[running].started_at);
        let has = |kind| self.faults.iter().any(|fault| fault.kind == kind && fits(fault, version));
        let (fails, is_silent) =
            (has(CustomerFaultKind::DeployFailure), has(CustomerFaultKind::DeploySilence));
        let elapsed = now - since;
        let deployment = &mut self.deployments[running];
        if fails && elapsed * 2 >= length {
            deployment.state = SimDeploymentState::Failed;
            deployment.detail = Some("the database migration failed half way and was rolled back".to_owned());
            deployment.ended_at = Some(since + length / 2);
        } else if !fails && !is_silent && elapsed >= length {
            deployment.state = SimDeploymentState::Succeeded;
            deployment.progress_percent = 100;
            deployment.ended_at = Some(since + length);
            self.version = version;
            self.version_since = since + length;
        } else {
            let share = elapsed.num_milliseconds() as f64 / length.num_milliseconds().max(1) as f64;
            deployment.progress_percent = (share * 100.0).clamp(0.0, 99.0) as u8;
        }
    }

    /// Starts a deployment, or returns the one with this id.
    pub fn deploy(
        &mut self,
        request: &StartSimDeployment,
        now: DateTime<Utc>,
    ) -> Result<SimDeployment, DeploymentRunning> {
        self.advance(now);
        if let Some(known) = self.find(request.deployment_id) {
            return Ok(known.clone());
        }
        if let Some(running) = self.deployments.iter().find(|d| d.state == SimDeploymentState::Running) {
            return Err(DeploymentRunning(running.deployment_id));
        }
        let deployment = SimDeployment {
            deployment_id: request.deployment_id,
            version: request.version,
            previous_version: self.version,
            state: SimDeploymentState::Running,
            progress_percent: 0,
            detail: None,
            started_at: now,
            ended_at: None,
        };
        self.deployments.push(deployment.clone());
        let too_many = self.deployments.len().saturating_sub(MAX_DEPLOYMENTS);
        self.deployments.drain(..too_many);
        Ok(deployment)
    }

    pub fn find(&self, id: Uuid) -> Option<&SimDeployment> {
        self.deployments.iter().find(|deployment| deployment.deployment_id == id)
    }

    pub fn check_health(&self, now: DateTime<Utc>) -> HealthAnswer {
        let has = |kind| {
            self.faults.iter().any(|fault| {
                let from = self.version_since + TimeDelta::seconds(i64::from(fault.after_seconds));
                fault.kind == kind && fits(fault, self.version) && now >= from
            })
        };
        for (kind, answer) in [
            (CustomerFaultKind::Hang, HealthAnswer::Hang),
            (CustomerFaultKind::Garbage, HealthAnswer::Garbage),
            (CustomerFaultKind::HealthFailure, HealthAnswer::Failing),
        ] {
            if has(kind) {
                return answer;
            }
        }
        let worse = |value: Option<f64>, kind, change: fn(f64) -> f64| {
            value.map(|value| if has(kind) { change(value) } else { value })
        };
        let lie = Version { patch: self.version.patch + 1, ..self.version };
        HealthAnswer::Health(CustomerHealth {
            status: "ok".to_owned(),
            version: Some(if has(CustomerFaultKind::Lie) { lie } else { self.version }),
            error_rate_percent: worse(self.health.error_rate_percent, CustomerFaultKind::ErrorRate, |rate| {
                rate + 10.0
            }),
            latency_ms: worse(self.health.latency_ms, CustomerFaultKind::Latency, |latency| latency * 1.5),
            throughput: worse(self.health.throughput, CustomerFaultKind::Latency, |throughput| {
                throughput / 1.5
            }),
        })
    }
}

fn fits(fault: &CustomerFault, version: Version) -> bool {
    fault.version.is_none_or(|only| only == version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(patch: u32) -> Version {
        Version::new(1, 0, patch)
    }

    fn customer() -> Customer {
        let request = serde_json::from_str(r#"{ "version": "v1.0.0", "deploy_seconds": 100 }"#).unwrap();
        Customer::new(&request, DateTime::<Utc>::UNIX_EPOCH)
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::<Utc>::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn deployment_is_started_once_per_id() {
        let mut customer = customer();
        let request = StartSimDeployment { deployment_id: Uuid::from_u128(1), version: version(1) };
        assert_eq!(customer.deploy(&request, at(0)).unwrap().progress_percent, 0);
        assert_eq!(customer.deploy(&request, at(50)).unwrap().progress_percent, 50);
        let other = StartSimDeployment { deployment_id: Uuid::from_u128(2), version: version(2) };
        assert_eq!(customer.deploy(&other, at(60)), Err(DeploymentRunning(Uuid::from_u128(1))));
        assert_eq!(customer.deploy(&request, at(100)).unwrap().state, SimDeploymentState::Succeeded);
        assert_eq!((customer.version, customer.deployments.len()), (version(1), 1));
    }

    #[test]
    fn faults_apply_to_their_version_after_their_delay() {
        let mut customer = customer();
        customer.faults = vec![CustomerFault {
            kind: CustomerFaultKind::HealthFailure,
            version: Some(version(1)),
            after_seconds: 60,
        }];
        let request = StartSimDeployment { deployment_id: Uuid::from_u128(1), version: version(1) };
        customer.deploy(&request, at(0)).unwrap();
        assert!(matches!(customer.check_health(at(10)), HealthAnswer::Health(_)));
        customer.advance(at(120));
        assert!(matches!(customer.check_health(at(159)), HealthAnswer::Health(_)));
        assert_eq!(customer.check_health(at(160)), HealthAnswer::Failing);
    }
}
