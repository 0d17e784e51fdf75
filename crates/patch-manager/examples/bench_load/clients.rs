//! Clients that read the dashboard and hosts and push inventories.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use api_types::access::Role;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval_at},
};
use tokio_util::sync::CancellationToken;

use crate::platform::Platform;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// One request a second, spread evenly over it.
    Second,
    /// The next request follows the answer.
    None,
}

#[derive(Debug, Clone, Copy)]
pub struct Clients {
    pub pace: Pace,
    pub number: u32,
    pub hosts: usize,
}

/// Clients that work until they are stopped.
pub struct Load {
    began: Instant,
    stop: CancellationToken,
    clients: JoinSet<Results>,
}

/// The times of answers, and how often each error was returned.
#[derive(Debug, Default)]
pub struct Results {
    pub lasted: Duration,
    times: Vec<Duration>,
    pub errors: BTreeMap<String, usize>,
}

/// What clients ask for in turn.
struct Calls {
    base: String,
    http: Client,
    calls: Vec<Call>,
}

struct Call {
    method: Method,
    path: String,
    body: Option<Value>,
}

impl Clients {
    /// Starts the clients, each with a token of its own.
    pub async fn start(self, platform: &Platform, run: &str) -> anyhow::Result<Load> {
        let calls = Arc::new(Calls {
            base: platform.patch.base.clone(),
            http: Client::builder().no_proxy().build()?,
            calls: calls(run, self.hosts),
        });
        let mut tokens = Vec::new();
        for number in 0..self.number {
            tokens.push(platform.patch.token(&format!("client-{number}"), &[Role::Operator]).await);
        }
        let (began, stop, mut clients) = (Instant::now(), CancellationToken::new(), JoinSet::new());
        for (number, token) in tokens.into_iter().enumerate() {
            let phase = Duration::from_secs_f64(number as f64 / f64::from(self.number));
            clients.spawn(send(calls.clone(), token, self.pace, number, phase, stop.clone()));
        }
        Ok(Load { began, stop, clients })
    }
}

impl Load {
    /// Stops the clients after their current requests.
    pub async fn stop(self) -> Results {
        self.stop.cancel();
        let mut all = Results { lasted: self.began.elapsed(), ..Results::default() };
        for one in self.clients.join_all().await {
            all.times.extend(one.times);
            for (error, count) in one.errors {
                *all.errors.entry(error).or_default() += count;
            }
        }
        all.times.sort_unstable();
        all
    }
}

impl Results {
    pub fn requests(&self) -> usize {
        self.times.len()
    }

    pub fn errors(&self) -> usize {
        self.errors.values().sum()
    }

    /// The time within which this share of requests was answered.
    pub fn at(&self, share: f64) -> Duration {
        let last = self.times.len().saturating_sub(1);
        self.times.get((last as f64 * share).ceil() as usize).copied().unwrap_or_default()
    }
}

async fn send(
    calls: Arc<Calls>,
    token: String,
    pace: Pace,
    first: usize,
    phase: Duration,
    stop: CancellationToken,
) -> Results {
    let mut results = Results::default();
    let mut ticks = interval_at(tokio::time::Instant::now() + phase, Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in first.. {
        if pace == Pace::Second {
            tokio::select! { _ = ticks.tick() => {}, () = stop.cancelled() => break }
        }
        if stop.is_cancelled() {
            break;
        }
        let began = Instant::now();
        let outcome = calls.call(number, &token).await;
        results.times.push(began.elapsed());
        if let Err(error) = outcome {
            *results.errors.entry(error).or_default() += 1;
        }
    }
    results
}

impl Calls {
    async fn call(&self, number: usize, token: &str) -> Result<(), String> {
        let call = &self.calls[number % self.calls.len()];
        let mut request =
            self.http.request(call.method.clone(), format!("{}{}", self.base, call.path)).bearer_auth(token);
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|error| error.without_url().to_string())?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| error.without_url().to_string())?;
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("{} {}: {status}: {text}", call.method, call.path))
        }
    }
}

/// What the page and `patchctl` read, what is asked about hosts, and what agents push.
fn calls(run: &str, hosts: usize) -> Vec<Call> {
    let get = |path: String| Call { method: Method::GET, path, body: None };
    let mut calls: Vec<Call> =
        ["/patch/compliance", "/patch/runs?limit=20", "/patch/compliance/hosts", "/patch/packages/openssl"]
            .map(|path| get(path.to_owned()))
            .into();
    for part in ["", "/waves", "/hosts", "/logs?format=ndjson&tail=50"] {
        calls.push(get(format!("/patch/runs/{run}{part}")));
    }
    for host in 1..=hosts {
        calls.push(get(format!("/patch/compliance/h-{host}")));
    }
    // Of hosts that the run does not patch.
    for host in 1..=hosts {
        let inventory = json!({ "ci_id": format!("agent-{host}"), "os": "debian12",
            "packages": [{ "name": "openssl", "version": test_support::OLD }] });
        calls.push(Call { method: Method::POST, path: "/patch/inventory".to_owned(), body: Some(inventory) });
    }
    calls
}
