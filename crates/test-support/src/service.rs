//! A real service on a free port.

use std::time::Duration;

use api_types::access::{PutPerson, Role};
use chrono::{TimeDelta, Utc};
use secrecy::SecretString;
use serde_json::{Value, json};
use service_kit::{
    Clock, Limits, access,
    audit_export::AuditExports,
    database::{self, Pools},
    oidc::{Oidc, OidcConfig},
    people::{self, Written},
    server::{self, Context, Service},
    tls::Transport,
    webhooks::WebhookKey,
};
use sqlx::PgPool;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::http::{Answer, Http};

/// What few tests start a service with.
#[derive(Default)]
struct Extra {
    limits: Limits,
    audit_exports: AuditExports,
    oidc: Oidc,
    transport: Transport,
}

/// A running service with tokens for every role. Stops when dropped.
pub struct TestService {
    pub base: String,
    pub pool: PgPool,
    /// The connections of clients' requests.
    pub request_pool: PgPool,
    pub clock: Clock,
    pub shutdown: CancellationToken,
    service_token: String,
    server: Option<JoinHandle<anyhow::Result<()>>>,
}

impl TestService {
    /// Starts `S` on a free port with the database at `url` and the clock of the system.
    pub async fn start<S: Service>(url: &str, settings: S::Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self::start_on::<S>(url, settings, listener, Clock::system()).await
    }

    /// Starts `S` on a free port with these limits.
    pub async fn start_limited<S: Service>(url: &str, settings: S::Settings, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self::start_whole::<S>(url, settings, listener, Clock::system(), Extra { limits, ..Extra::default() })
            .await
    }

    /// Starts `S` on a free port; it exports the end of its audit chain.
    pub async fn start_exporting<S: Service>(
        url: &str,
        settings: S::Settings,
        exports: AuditExports,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self::start_whole::<S>(
            url,
            settings,
            listener,
            Clock::system(),
            Extra { audit_exports: exports, ..Extra::default() },
        )
        .await
    }

    /// Starts `S` on a free port; it speaks what `transport` says.
    pub async fn start_secured<S: Service>(url: &str, settings: S::Settings, transport: Transport) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self::start_whole::<S>(
            url,
            settings,
            listener,
            Clock::system(),
            Extra { transport, ..Extra::default() },
        )
        .await
    }

    /// Starts `S` on this listener, clock and limits; people sign in at an identity provider, as `config` says.
    pub async fn start_with_sign_in<S: Service>(
        url: &str,
        settings: S::Settings,
        (listener, clock, limits): (TcpListener, Clock, Limits),
        config: &OidcConfig,
    ) -> Self {
        let own = format!("http://{}", listener.local_addr().expect("an address"));
        let oidc = Oidc::new(config, Some(&own)).expect("settings of the provider");
        Self::start_whole::<S>(url, settings, listener, clock, Extra { oidc, limits, ..Extra::default() })
            .await
    }

    /// Starts `S` on this listener and clock.
    pub async fn start_on<S: Service>(
        url: &str,
        settings: S::Settings,
        listener: TcpListener,
        clock: Clock,
    ) -> Self {
        Self::start_whole::<S>(url, settings, listener, clock, Extra::default()).await
    }

    async fn start_whole<S: Service>(
        url: &str,
        settings: S::Settings,
        listener: TcpListener,
        clock: Clock,
        Extra { limits, audit_exports, oidc, transport }: Extra,
    ) -> Self {
        service_kit::raise_file_limit();
        let Pools { work: pool, requests: request_pool } =
            Pools::connect(url, S::NAME, 20).expect("a database URL");
        database::migrate(&pool, S::SCHEMA, S::migrator()).await.expect("the database is migrated");
        let service_token = token(&pool, "service:platform", &[Role::Service]).await;
        let context = Context {
            pool: pool.clone(),
            request_pool: request_pool.clone(),
            clock: clock.clone(),
            service_token: SecretString::from(service_token.clone()),
            webhook_key: WebhookKey::new(b"a key of webhooks for tests only").expect("a key"),
            audit_exports,
            oidc,
            transport,
            limits,
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let shutdown = context.shutdown.clone();
        let scheme = if matches!(context.transport, Transport::Tls(_)) { "https" } else { "http" };
        let base = format!("{scheme}://{}", listener.local_addr().unwrap());
        // The future of the generic `serve` is not `Send`, so it runs on its own thread.
        let server = {
            let runtime = tokio::runtime::Handle::current();
            tokio::task::spawn_blocking(move || {
                runtime.block_on(server::serve::<S>(context, listener, settings))
            })
        };
        let this = Self { base, pool, request_pool, clock, shutdown, service_token, server: Some(server) };
        this.wait_until_up().await;
        this
    }

    async fn wait_until_up(&self) {
        let client =
            reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().expect("a client");
        for _ in 0..500 {
            if client
                .get(format!("{}/healthz", self.base))
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the service at {} did not come up", self.base);
    }

    /// The token that services use for each other.
    pub fn service_token(&self) -> &str {
        &self.service_token
    }

    /// A token for `subject` with these roles.
    pub async fn token(&self, subject: &str, roles: &[Role]) -> String {
        token(&self.pool, subject, roles).await
    }

    /// A client for `subject` with these roles.
    pub async fn as_role(&self, subject: &str, roles: &[Role]) -> Http {
        Http::new(&self.base, Some(token(&self.pool, subject, roles).await))
    }

    /// Writes the record of a person, as two administrators would.
    pub async fn add_person(&self, subject: &str, email: &str, roles: &[Role]) {
        let mut connection = self.pool.acquire().await.expect("a connection");
        let person = PutPerson { emails: vec![email.to_owned()], roles: roles.to_vec() };
        let written = Written { by: "ada", confirmed_by: Some("alan"), at: self.clock.now() };
        people::put_person(&mut connection, subject, &person, written).await.expect("a person");
    }

    /// Registers a receiver of webhooks and returns its secret.
    pub async fn register_webhook(&self, url: &str, customer: Option<&str>) -> String {
        let request = json!({ "url": url, "customer": customer });
        let issued = self.admin().await.post("/access/webhooks", &request).await.expect(201);
        issued["secret"].as_str().expect("a secret").to_owned()
    }

    pub async fn viewer(&self) -> Http {
        self.as_role("vera", &[Role::Viewer]).await
    }

    pub async fn operator(&self) -> Http {
        self.as_role("olivia", &[Role::Operator]).await
    }

    pub async fn approver(&self) -> Http {
        self.as_role("arjun", &[Role::Approver]).await
    }

    pub async fn admin(&self) -> Http {
        self.as_role("ada", &[Role::Admin]).await
    }

    /// The result of a write, confirmed by an approver if it weakens a control.
    pub async fn agreed(&self, answer: Answer) -> Value {
        if answer.status.as_u16() != 202 {
            assert!(answer.status.is_success(), "answered: {}", answer.text);
            return answer.json;
        }
        let confirm =
            format!("/access/proposals/{}/confirm", answer.json["id"].as_str().expect("a proposal"));
        self.approver().await.post(&confirm, &Value::Null).await.expect(200)["answer"].clone()
    }

    /// A client without a token.
    pub fn nobody(&self) -> Http {
        Http::new(&self.base, None)
    }

    /// Stops the service and waits for its end.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        if let Some(server) = self.server.take() {
            tokio::time::timeout(Duration::from_secs(20), server)
                .await
                .expect("the service stops in time")
                .unwrap()
                .unwrap();
        }
        self.pool.close().await;
        self.request_pool.close().await;
    }
}

impl Drop for TestService {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Valid for years, because the clock of a test may differ.
async fn token(pool: &PgPool, subject: &str, roles: &[Role]) -> String {
    let secret = access::new_secret();
    let now = Utc::now();
    let mut connection = pool.acquire().await.expect("a connection");
    access::ensure_token(&mut connection, &secret, subject, roles, now, now + TimeDelta::days(3650))
        .await
        .expect("a token");
    secret
}
