//! Deployers that are polled: the sim-engine, and a signed webhook that calls back until the deadline of its deployment.
//!
//! Every request contains the deployment's id, which is recorded before the first request. A deployer that receives a request
//! twice, because the answer was lost or this process died, finds the deployment that it has already started.

use std::time::Duration;

use api_types::{
    patch::{CustomerDeployment, DeploymentState},
    sim_customers::{SimDeploymentState, StartSimDeployment},
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::release::{CustomerTarget, Deployer, Deployment, Direction, Version};
use service_kit::{ApiError, ApiResult};

use crate::{
    App,
    app::webhooks::{self, PostError},
    store::deployments::{self, Callback},
};

const TIMEOUT: Duration = Duration::from_secs(10);

/// The progress of a deployment, as its deployer reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DeployerReport {
    InProgress {
        progress_percent: i32,
    },
    Succeeded {
        previous: Option<Version>,
    },
    Failed {
        reason: String,
    },
    /// Polled again later.
    NoAnswer {
        reason: String,
    },
}

/// Polls the deployer: the first request starts the deployment, later ones only return its progress.
pub(super) async fn poll(
    app: &App,
    known: &CustomerDeployment,
    plan: &Deployment,
    target: &CustomerTarget,
) -> ApiResult<DeployerReport> {
    match &target.deployer {
        Deployer::Sim => Ok(poll_sim(app, known).await),
        Deployer::Webhook { url } => poll_webhook(app, known, plan, url).await,
        Deployer::Playbook { .. } => {
            Err(ApiError::internal("a playbook reports its result itself and is not polled"))
        }
    }
}

async fn poll_sim(app: &App, known: &CustomerDeployment) -> DeployerReport {
    let request = StartSimDeployment { deployment_id: known.id, version: known.to_version };
    match app.outside.sim_customers.start_deployment(&known.customer, &request).await {
        Ok(answer) => match answer.state {
            SimDeploymentState::Running => {
                DeployerReport::InProgress { progress_percent: i32::from(answer.progress_percent) }
            }
            SimDeploymentState::Succeeded => {
                DeployerReport::Succeeded { previous: Some(answer.previous_version) }
            }
            SimDeploymentState::Failed => DeployerReport::Failed {
                reason: answer.detail.unwrap_or_else(|| "it failed without a reason".to_owned()),
            },
        },
        Err(error) if error.is_transient() || error.status() == Some(409) => {
            DeployerReport::NoAnswer { reason: error.to_string() }
        }
        Err(error) => DeployerReport::Failed { reason: error.to_string() },
    }
}

async fn poll_webhook(
    app: &App,
    known: &CustomerDeployment,
    plan: &Deployment,
    url: &str,
) -> ApiResult<DeployerReport> {
    // The callback updates this record.
    let mut conn = app.pool.acquire().await?;
    let now = deployments::find_deployment(&mut conn, known.id).await?;
    drop(conn);
    let state = now.as_ref().map_or(known.state, |now| now.state);
    let detail = now.as_ref().and_then(|now| now.detail.clone());
    match state {
        DeploymentState::Running => {
            return Ok(DeployerReport::InProgress {
                progress_percent: now.map_or(0, |now| now.progress_percent),
            });
        }
        DeploymentState::Succeeded => {
            return Ok(DeployerReport::Succeeded { previous: now.and_then(|now| now.previous_version) });
        }
        DeploymentState::Failed | DeploymentState::Unknown => {
            let reason = detail.unwrap_or_else(|| "its deployer reported a failure".to_owned());
            return Ok(DeployerReport::Failed { reason });
        }
        DeploymentState::Requested => {}
    }
    let artefact = match known.direction {
        Direction::Forward => &plan.artefact,
        Direction::RollBack => &plan.rollback_artefact,
    };
    let customer = known.customer.as_str();
    let receiver = match app.webhooks().find_receiver(url, Some(customer)).await.map_err(PostError::from) {
        Ok(receiver) => receiver,
        Err(error) => return Ok(not_posted(error)),
    };
    // Recorded first: the deployer may call back before its answer arrives.
    let deadline = deadline_of(known, plan);
    let mut conn = app.pool.acquire().await?;
    deployments::expect_callback(&mut conn, known.id, &Callback { receiver, deadline }).await?;
    drop(conn);
    let body = serde_json::json!({
        "deployment_id": known.id,
        "customer": known.customer,
        "version": known.to_version,
        "from_version": known.from_version,
        "direction": known.direction,
        "artefact": artefact,
        "callback_url": format!("{}/patch/callbacks/deployments", app.runs.settings.public_url.trim_end_matches('/')),
        "callback_deadline": deadline,
    });
    match webhooks::post(app, (url, Some(customer)), &known.id.to_string(), &body, TIMEOUT).await {
        Ok(_) => {
            let mut conn = app.pool.acquire().await?;
            let state = DeploymentState::Running;
            deployments::update_deployment(&mut conn, known.id, state, None, None, None, app.clock.now())
                .await?;
            Ok(DeployerReport::InProgress { progress_percent: 0 })
        }
        Err(error) => Ok(not_posted(error)),
    }
}

fn not_posted(error: PostError) -> DeployerReport {
    match error {
        PostError::Refused(reason) => DeployerReport::Failed { reason },
        PostError::Later(reason) => DeployerReport::NoAnswer { reason },
    }
}

/// Until then, a deployer that is polled must have reported its result.
pub(super) fn deadline_of(known: &CustomerDeployment, plan: &Deployment) -> DateTime<Utc> {
    known.requested_at + TimeDelta::seconds(i64::from(plan.deployment_timeout_seconds))
}
