//! A running CMDB on its own database, and shorthands for what tests put into it.

use chrono::{DateTime, Utc};
use cmdb::{Cmdb, Settings};
use serde_json::{Value, json};
use service_kit::Clock;
use test_support::{Http, TestDatabase, TestService};
use tokio::net::TcpListener;

/// Held together: the database outlives the service.
pub struct Platform {
    pub service: TestService,
    pub operator: Http,
    _database: TestDatabase,
}

/// A time on which tests that move the clock stand. Tokens are issued by the system's clock, so it lies near it.
pub fn today() -> DateTime<Utc> {
    Utc::now()
}

impl Platform {
    pub async fn start() -> Self {
        Self::start_with("http://127.0.0.1:9", Clock::system()).await
    }

    pub async fn start_with(sim_engine_url: &str, clock: Clock) -> Self {
        let database = TestDatabase::create().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = Settings { sim_engine_url: sim_engine_url.to_owned() };
        let service = TestService::start_on::<Cmdb>(database.url(), settings, listener, clock).await;
        let operator = service.operator().await;
        Self { service, operator, _database: database }
    }

    /// Creates a CI and returns it.
    pub async fn ci(&self, id: &str, ci_type: &str, tags: Value) -> Value {
        let body = json!({"id": id, "type": ci_type, "tags": tags});
        self.operator.post("/cmdb/cis", &body).await.expect(201)
    }

    pub async fn relate(&self, source: &str, relationship_type: &str, target: &str) -> Value {
        let body = json!({"source": source, "type": relationship_type, "target": target});
        self.operator.post("/cmdb/relationships", &body).await.expect(201)
    }
}

/// One field of every item of a page.
pub fn column(page: &Value, field: &str) -> Vec<String> {
    let items = page["items"].as_array().unwrap_or_else(|| panic!("no items in {page}"));
    items.iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
}
