//! Deployers that are polled: the sim-engine, and a signed webhook that calls back.
//!
//! Every request contains the deployment's id, which is recorded before the first request. A deployer that receives a request
//! twice, because the answer was lost or this process died, finds the deployment that it has already started.

use std::time::Duration;

use api_types::{
    patch::{CustomerDeployment, DeploymentState},
    sim_customers::{SimDeploymentState, StartSimDeployment},
};
use domain::release::{CustomerTarget, Deployer, Deployment, Direction, Version};
use service_kit::{ApiError, ApiResult};

use crate::{
    App,
    app::signed_requests::{PostError, post_signed},
    store::deployments,
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
    let body = serde_json::json!({
        "deployment_id": known.id,
        "customer": known.customer,
        "version": known.to_version,
        "from_version": known.from_version,
        "direction": known.direction,
        "artefact": artefact,
        "callback_url": format!("{}/patch/callbacks/deployments", app.runs.settings.public_url.trim_end_matches('/')),
    });
    match post_signed(app, url, &body, TIMEOUT).await {
        Ok(_) => {
            let mut conn = app.pool.acquire().await?;
            let state = DeploymentState::Running;
            deployments::update_deployment(&mut conn, known.id, state, None, None, None, app.clock.now())
                .await?;
            Ok(DeployerReport::InProgress { progress_percent: 0 })
        }
        Err(PostError::Refused(reason)) => Ok(DeployerReport::Failed { reason }),
        Err(PostError::Later(reason)) => Ok(DeployerReport::NoAnswer { reason }),
    }
}
