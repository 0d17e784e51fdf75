//! A service of the test's own, people with roles, and changes brought to a wanted state.

use std::time::Duration;

use api_types::access::Role;
use chrono::{DateTime, TimeDelta, Utc};
use itsm::{Itsm, Settings};
use reqwest::Method;
use serde_json::{Value, json};
use service_kit::Clock;
use test_support::{Answer, Http, TestDatabase, TestService};
use tokio::net::TcpListener;

pub const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
pub const OTHER_HASH: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

/// The service stops before its database goes.
pub struct Lab {
    pub service: TestService,
    pub operator: Http,
    pub approver: Http,
    _database: TestDatabase,
}

impl Lab {
    pub async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    pub async fn with(settings: Settings) -> Self {
        Self::at(settings, Clock::system()).await
    }

    pub async fn at(settings: Settings, clock: Clock) -> Self {
        let database = TestDatabase::create().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = TestService::start_on::<Itsm>(database.url(), settings, listener, clock).await;
        let (operator, approver) = (service.operator().await, service.approver().await);
        Self { service, operator, approver, _database: database }
    }

    pub async fn person(&self, subject: &str, roles: &[Role]) -> Http {
        self.service.as_role(subject, roles).await
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.service.clock.now()
    }

    /// What a normal change for one host and one plan says; its span is open for a day from an hour ago.
    pub fn normal(&self) -> Value {
        json!({
            "kind": "normal",
            "short_description": "patch web-01",
            "ci_ids": ["web-01"],
            "plan_hash": HASH,
            "start_at": self.now() - TimeDelta::hours(1),
            "end_at": self.now() + TimeDelta::hours(23),
        })
    }

    /// Work by hand: a template approves no plan that a person names.
    pub fn standard(&self) -> Value {
        let kind = [
            ("kind", json!("standard")),
            ("template", json!("monthly-baseline")),
            ("plan_hash", Value::Null),
        ];
        with(self.normal(), &kind)
    }

    /// Opens a change and returns its path.
    pub async fn draft(&self, body: &Value) -> String {
        let change = self.operator.post("/itsm/changes", body).await.expect(201);
        format!("/itsm/changes/{}", change["id"].as_str().unwrap())
    }

    pub async fn submitted(&self, body: &Value) -> String {
        let path = self.draft(body).await;
        self.operator.post(&format!("{path}/submit"), &json!({})).await.expect(200);
        path
    }

    pub async fn approved(&self, body: &Value) -> String {
        let path = self.submitted(body).await;
        self.approver.post(&format!("{path}/approve"), &json!({})).await.expect(200);
        path
    }

    pub async fn in_progress(&self, body: &Value) -> String {
        let path = self.approved(body).await;
        self.operator.post(&format!("{path}/execute"), &json!({"plan_hash": HASH})).await.expect(200);
        path
    }

    /// The actions recorded for an object, oldest first.
    pub async fn audited(&self, object: &str) -> Vec<Value> {
        let admin = self.service.admin().await;
        let page = admin.get(&format!("/access/audit?object={object}")).await.expect(200);
        let mut records = page["items"].as_array().unwrap().clone();
        records.reverse();
        records
    }
}

/// The object with some fields set otherwise.
pub fn with(mut object: Value, fields: &[(&str, Value)]) -> Value {
    for (name, value) in fields {
        object[*name] = value.clone();
    }
    object
}

/// A POST with an extra header.
pub async fn post_with(http: &Http, path: &str, header: (&str, &str), body: &Value) -> Answer {
    let headers = [("content-type", "application/json"), header];
    http.send(Method::POST, path, &headers, Some(body.to_string().into_bytes())).await
}

/// A PATCH with an extra header.
pub async fn patch_with(http: &Http, path: &str, header: (&str, &str), body: &Value) -> Answer {
    let headers = [("content-type", "application/json"), header];
    http.send(Method::PATCH, path, &headers, Some(body.to_string().into_bytes())).await
}

/// Reads `path` until `holds`; fails after twenty seconds with what was read last.
pub async fn eventually(http: &Http, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for _ in 0..400 {
        last = http.get(path).await.expect(200);
        if holds(&last) {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("did not come to pass: {last:#}");
}
