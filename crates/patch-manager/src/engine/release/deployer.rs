//! How a version gets to a customer that is asked again and again: the sim-engine's, or a signed webhook that calls back.
//!
//! Every request bears the deployment's id, recorded before the first one: whoever is asked twice, because the answer got
//! lost or this process died, finds the deployment it has begun already.

use std::time::Duration;

use api_types::{
    patch::{CustomerDeployment, DeploymentState},
    sim_customers::{SimDeploymentState, StartSimDeployment},
};
use domain::release::{CustomerTarget, Deployer, Deployment, Direction, Version};
use futures::StreamExt;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use service_kit::{ApiError, ApiResult, outbound::Unresolved};
use sha2::Sha256;

use crate::{service::App, store::deployments};

const TIMEOUT: Duration = Duration::from_secs(10);
const LARGEST_ANSWER: usize = 64 * 1024;

/// How far a deployment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Going {
        progress_percent: i32,
    },
    Succeeded {
        previous: Option<Version>,
    },
    Failed {
        reason: String,
    },
    /// Nobody answered; asked again later.
    Nothing {
        reason: String,
    },
}

/// Asks the deployer to begin, or how far it is: the first time it begins, and never again.
pub(super) async fn ask(
    app: &App,
    known: &CustomerDeployment,
    plan: &Deployment,
    target: &CustomerTarget,
) -> ApiResult<Told> {
    match &target.deployer {
        Deployer::Sim => Ok(ask_sim(app, known).await),
        Deployer::Webhook { url } => ask_webhook(app, known, plan, url).await,
        Deployer::Playbook { .. } => {
            Err(ApiError::internal("a playbook tells its end by itself; nobody asks it"))
        }
    }
}

async fn ask_sim(app: &App, known: &CustomerDeployment) -> Told {
    let request = StartSimDeployment { deployment_id: known.id, version: known.to_version };
    match app.sim_customers.start_deployment(&known.customer, &request).await {
        Ok(answer) => match answer.state {
            SimDeploymentState::Running => {
                Told::Going { progress_percent: i32::from(answer.progress_percent) }
            }
            SimDeploymentState::Succeeded => Told::Succeeded { previous: Some(answer.previous_version) },
            SimDeploymentState::Failed => Told::Failed {
                reason: answer.detail.unwrap_or_else(|| "it failed without a reason".to_owned()),
            },
        },
        Err(error) if error.is_transient() || error.status() == Some(409) => {
            Told::Nothing { reason: error.to_string() }
        }
        Err(error) => Told::Failed { reason: error.to_string() },
    }
}

async fn ask_webhook(app: &App, known: &CustomerDeployment, plan: &Deployment, url: &str) -> ApiResult<Told> {
    // The record is what the callback writes to.
    let mut conn = app.pool.acquire().await?;
    let now = deployments::find_deployment(&mut conn, known.id).await?;
    drop(conn);
    let state = now.as_ref().map_or(known.state, |now| now.state);
    let detail = now.as_ref().and_then(|now| now.detail.clone());
    match state {
        DeploymentState::Running => {
            return Ok(Told::Going { progress_percent: now.map_or(0, |now| now.progress_percent) });
        }
        DeploymentState::Succeeded => {
            return Ok(Told::Succeeded { previous: now.and_then(|now| now.previous_version) });
        }
        DeploymentState::Failed | DeploymentState::Unknown => {
            let reason = detail.unwrap_or_else(|| "its deployer said that it failed".to_owned());
            return Ok(Told::Failed { reason });
        }
        DeploymentState::Requested => {}
    }
    let artefact = match known.direction {
        Direction::Forward => &plan.artefact,
        Direction::Back => &plan.rollback_artefact,
    };
    let body = serde_json::json!({
        "deployment_id": known.id,
        "customer": known.customer,
        "version": known.to_version,
        "from_version": known.from_version,
        "direction": known.direction,
        "artefact": artefact,
        "callback_url": format!("{}/patch/callbacks/deployments", app.settings.public_url.trim_end_matches('/')),
    });
    match post_signed(app, url, &body, TIMEOUT).await {
        Ok(_) => {
            let mut conn = app.pool.acquire().await?;
            let state = DeploymentState::Running;
            deployments::update_deployment(&mut conn, known.id, state, None, None, None, app.clock.now())
                .await?;
            Ok(Told::Going { progress_percent: 0 })
        }
        Err(PostError::Refused(reason)) => Ok(Told::Failed { reason }),
        Err(PostError::Later(reason)) => Ok(Told::Nothing { reason }),
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Later(String),
}

impl From<Unresolved> for PostError {
    fn from(unresolved: Unresolved) -> Self {
        match unresolved {
            Unresolved::Never(reason) => Self::Refused(reason),
            Unresolved::Later(reason) => Self::Later(reason),
        }
    }
}

/// Posts JSON, signed, to a receiver of the outside; gives the answer's body.
pub(super) async fn post_signed(
    app: &App,
    url: &str,
    body: &serde_json::Value,
    timeout: Duration,
) -> Result<Vec<u8>, PostError> {
    let secret = app.webhook_secret.as_ref().ok_or_else(|| {
        PostError::Refused(
            "no webhook secret is configured; start with PATCH_WEBHOOK_SECRET_FILE or --webhook-secret-file"
                .to_owned(),
        )
    })?;
    let receiver = app.outbound.resolve(url).await?;
    let client =
        receiver.client(TIMEOUT).map_err(|_| PostError::Later("no HTTP client could be made".to_owned()))?;
    let body = body.to_string();
    let sent = client
        .post(receiver.url)
        .header("Content-Type", "application/json")
        .header("X-Signature", format!("a=sha256&s={}", sign(secret, body.as_bytes())))
        .timeout(timeout)
        .body(body)
        .send()
        .await;
    let answer = sent.map_err(|error| {
        // The URL may hold a secret of the receiver's.
        PostError::Later(format!(
            "the receiver could not be reached: {}",
            service_kit::error::chain(&error.without_url())
        ))
    })?;
    let status = answer.status();
    if status.is_client_error() && !matches!(status.as_u16(), 408 | 425 | 429) {
        return Err(PostError::Refused(format!("the receiver answered {status}")));
    }
    if !status.is_success() {
        return Err(PostError::Later(format!("the receiver answered {status}")));
    }
    let mut kept = Vec::new();
    let mut chunks = answer.bytes_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        if kept.len() + chunk.len() > LARGEST_ANSWER {
            break;
        }
        kept.extend_from_slice(&chunk);
    }
    Ok(kept)
}

/// HMAC of a body in hexadecimal.
pub(crate) fn sign(secret: &SecretString, body: &[u8]) -> String {
    hex::encode(mac(secret, body).finalize().into_bytes())
}

/// Whether a body bears this service's own signature; compared in constant time.
pub(crate) fn is_signed(secret: &SecretString, body: &[u8], header: &str) -> bool {
    let Some(given) = header.split('&').find_map(|part| part.strip_prefix("s=")) else { return false };
    let Ok(given) = hex::decode(given) else { return false };
    mac(secret, body).verify_slice(&given).is_ok()
}

fn mac(secret: &SecretString, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    mac.update(body);
    mac
}
