//! Checks a customer's health. Every check ends in time with one sample, whatever the other side does.

use std::time::Duration;

use api_types::sim_customers::CustomerHealth;
use chrono::{DateTime, Utc};
use domain::{
    ids::CiId,
    release::{HealthSample, HealthSource},
};
use futures::StreamExt;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;
use service_kit::outbound::Receiver;

use crate::App;

/// A customer that does not answer within this time is unhealthy.
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ANSWER_BYTES: usize = 64 * 1024;

pub(crate) async fn check_health(app: &App, customer: &CiId, source: &HealthSource) -> HealthSample {
    let at = app.clock.now();
    let checking = async {
        match source {
            HealthSource::Sim => check_sim(app, customer).await.map(|health| sample(at, health)),
            HealthSource::Http { url } => {
                let body = fetch(app, url, &[]).await?;
                read(&body).map(|health| sample(at, health))
            }
            HealthSource::Prometheus { url, up, error_rate, latency_ms } => {
                check_prometheus(app, at, url, up, error_rate.as_deref(), latency_ms.as_deref()).await
            }
        }
    };
    match tokio::time::timeout(TIMEOUT, checking).await {
        Ok(Ok(sample)) => sample,
        Ok(Err(reason)) => HealthSample::failed(at, reason),
        Err(_) => HealthSample::failed(at, format!("no answer within {} s", TIMEOUT.as_secs())),
    }
}

async fn check_sim(app: &App, customer: &CiId) -> Result<CustomerHealth, String> {
    use api_client::ClientError;
    app.outside.sim_customers.get_customer_health(customer).await.map_err(|error| match error {
        ClientError::Refused { problem, .. } => format!("it answers {}: {}", problem.status, problem.detail),
        ClientError::Unreachable { .. } => "it cannot be reached".to_owned(),
        ClientError::Unreadable { .. } => "its answer is not a health report".to_owned(),
    })
}

fn sample(at: DateTime<Utc>, health: CustomerHealth) -> HealthSample {
    let is_healthy = matches!(health.status.to_ascii_lowercase().as_str(), "ok" | "up" | "pass" | "healthy");
    let status: String = health.status.chars().filter(|c| !c.is_control()).take(100).collect();
    HealthSample {
        at,
        failure: (!is_healthy).then(|| format!("it reports the status `{status}`")),
        version: health.version,
        error_rate_percent: health.error_rate_percent,
        latency_ms: health.latency_ms,
        throughput: health.throughput,
    }
}

fn read(body: &[u8]) -> Result<CustomerHealth, String> {
    serde_json::from_slice(body).map_err(|_| {
        "its answer is not a health report: a JSON object with a `status` was expected".to_owned()
    })
}

/// Reads an external URL: never a private address, never through a redirect, never more than the limit.
async fn fetch(app: &App, url: &str, query: &[(&str, &str)]) -> Result<Vec<u8>, String> {
    let receiver: Receiver = app.outside.receivers.resolve(url).await.map_err(|error| error.to_string())?;
    let client = receiver.client(TIMEOUT).map_err(|_| "no HTTP client could be created".to_owned())?;
    let mut url = receiver.url;
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    let answer = client.get(url).timeout(TIMEOUT).send().await.map_err(|error| {
        // The URL may contain a secret of the customer.
        format!("it cannot be reached: {}", service_kit::error::chain(&error.without_url()))
    })?;
    let status = answer.status();
    if status.is_redirection() {
        return Err(format!("it answers {status}; redirects are not followed"));
    }
    if !status.is_success() {
        return Err(format!("it answers {status}"));
    }
    let mut body = Vec::new();
    let mut chunks = answer.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| "its answer was cut off".to_owned())?;
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(format!("its answer is larger than {} KiB", MAX_ANSWER_BYTES / 1024));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

async fn check_prometheus(
    app: &App,
    at: DateTime<Utc>,
    base: &str,
    up: &str,
    error_rate: Option<&str>,
    latency_ms: Option<&str>,
) -> Result<HealthSample, String> {
    let is_up = query(app, base, up).await?;
    let mut sample = HealthSample {
        at,
        failure: (is_up <= 0.0).then(|| format!("`{}` is {is_up}", up.chars().take(80).collect::<String>())),
        version: None,
        error_rate_percent: None,
        latency_ms: None,
        throughput: None,
    };
    if let Some(text) = error_rate {
        sample.error_rate_percent = Some(query(app, base, text).await?);
    }
    if let Some(text) = latency_ms {
        sample.latency_ms = Some(query(app, base, text).await?);
    }
    Ok(sample)
}

#[derive(Deserialize)]
struct QueryAnswer {
    status: String,
    data: QueryData,
}

#[derive(Deserialize)]
struct QueryData {
    #[serde(rename = "resultType")]
    result_type: String,
    result: Value,
}

/// An instant query with one number as its result: a scalar, or a vector of one element.
async fn query(app: &App, base: &str, text: &str) -> Result<f64, String> {
    let base = Url::parse(base).map_err(|_| "the URL of its Prometheus is invalid".to_owned())?;
    let url = format!("{}/api/v1/query", base.as_str().trim_end_matches('/'));
    let body = fetch(app, &url, &[("query", text)]).await?;
    let answer: QueryAnswer =
        serde_json::from_slice(&body).map_err(|_| "its Prometheus did not answer a query".to_owned())?;
    let value = match answer.data.result_type.as_str() {
        _ if answer.status != "success" => None,
        "scalar" => answer.data.result.get(1).cloned(),
        "vector" => match answer.data.result.as_array().map(Vec::as_slice) {
            Some([only]) => only.pointer("/value/1").cloned(),
            _ => None,
        },
        _ => None,
    };
    let number = value.as_ref().and_then(Value::as_str).and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        format!("`{}` does not return a single number", text.chars().take(80).collect::<String>())
    })
}
