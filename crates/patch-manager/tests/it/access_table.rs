//! Every operation of every contract, called with every identity against the running services, compared with the table of rights.

use api_types::{
    access::Role,
    rights::{self, Refusal, Right, Who},
};
use chrono::{TimeDelta, Utc};
use patch_manager::PatchManager;
use reqwest::Method;
use serde_json::{Value, json};
use service_kit::{
    Limits, access,
    server::{self, Service},
};
use sim_engine::{SimEngine, SimSettings};
use test_support::{Answer, Http, TestDatabase, TestService};

use crate::platform;

/// Stands for every id: nothing has it.
const NOTHING: &str = "00000000-0000-7000-8000-000000000000";

/// Who calls.
struct Identities {
    nobody: Http,
    /// Tokens that were valid once.
    stale: Vec<(&'static str, Http)>,
    roles: Vec<(Role, Http)>,
}

impl Identities {
    async fn of(service: &TestService) -> Self {
        let client = |secret: &str| Http::new(&service.base, Some(secret.to_owned()));
        let mut conn = service.pool.acquire().await.unwrap();
        let now = Utc::now();
        let mut stale = Vec::new();
        for (name, expires) in
            [("expired", now - TimeDelta::seconds(1)), ("revoked", now + TimeDelta::days(9))]
        {
            let secret = access::new_secret();
            let roles = [Role::Admin, Role::Approver];
            access::ensure_token(&mut conn, &secret, name, &roles, now - TimeDelta::days(9), expires)
                .await
                .unwrap();
            stale.push((name, client(&secret)));
        }
        sqlx::query("UPDATE platform.tokens SET revoked_at = created_at WHERE subject = 'revoked'")
            .execute(&mut *conn)
            .await
            .unwrap();
        let mut roles = Vec::new();
        for role in Role::ALL {
            let http = match role {
                Role::Agent => {
                    let request = json!({ "subject": "agent-web-1", "roles": ["agent"], "ci": "web-1" });
                    let issued = service.admin().await.post("/access/tokens", &request).await.expect(201);
                    client(issued["token"].as_str().unwrap())
                }
                role => service.as_role(&format!("only-{}", role.name()), &[role]).await,
            };
            roles.push((role, http));
        }
        Self { nobody: service.nobody(), stale, roles }
    }
}

async fn call(http: &Http, right: &Right) -> Answer {
    let path: String = right
        .path
        .split('/')
        .map(|part| if part.starts_with('{') { NOTHING } else { part })
        .collect::<Vec<_>>()
        .join("/");
    let method: Method = right.method.name().parse().unwrap();
    // A body of the wrong shape: who may call the operation gets that error, and changes nothing.
    let body = (method != Method::GET).then(|| json!({ "no": "field" }).to_string().into_bytes());
    http.send(method, &path, &[("content-type", "application/json")], body).await
}

/// Whether the service's answer is one to a caller with the right.
fn passes(answer: &Answer) -> bool {
    !matches!(answer.status.as_u16(), 401 | 403 | 405 | 500)
}

async fn walk<S: Service>(service: &TestService, is_laboratory: bool) {
    let identities = Identities::of(service).await;
    for right in rights::of_service(S::NAME) {
        let operation = format!("{} {} {}", S::NAME, right.method.name(), right.path);
        let nobody = call(&identities.nobody, right).await;
        if right.who == Who::Public {
            assert_ne!(nobody.json["type"], "/problems/unauthenticated", "{operation}");
            continue;
        }
        assert_eq!(nobody.status, 401, "{operation} without a token");
        for (name, http) in &identities.stale {
            assert_eq!(call(http, right).await.status, 401, "{operation} with a token that is {name}");
        }
        for (role, http) in &identities.roles {
            let answer = call(http, right).await;
            let kind = &answer.json["type"];
            let who = format!("{operation} as {}: {} {}", role.name(), answer.status, answer.text);
            match right.check(Some(&[*role]), is_laboratory) {
                Ok(()) => assert!(passes(&answer), "{who}"),
                Err(Refusal::NoRole(_)) => {
                    assert_eq!((answer.status.as_u16(), kind), (403, &json!("/problems/forbidden")), "{who}");
                }
                Err(Refusal::NoLaboratory) => {
                    assert_eq!(
                        (answer.status.as_u16(), kind),
                        (403, &json!("/problems/no-laboratory")),
                        "{who}"
                    );
                }
                Err(Refusal::NoToken) => panic!("{who}: a token counts as none"),
            }
        }
    }
}

/// Operations as `GET /path`, with their roles.
fn of_contract<S: Service>() -> Vec<(String, Value)> {
    let contract = serde_json::to_value(server::openapi::<S>()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in contract["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation["operationId"].is_string() {
                let name = format!("{} {path}", method.to_uppercase());
                let is_public = operation["security"] == json!([]);
                operations.push((name, if is_public { json!([]) } else { operation["x-roles"].clone() }));
            }
        }
    }
    operations.sort_by(|one, other| one.0.cmp(&other.0));
    operations
}

fn compare<S: Service>() {
    let mut rows: Vec<(String, Value)> = rights::of_service(S::NAME)
        .map(|right| (format!("{} {}", right.method.name(), right.path), json!(right.names_of_roles())))
        .collect();
    rows.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(of_contract::<S>(), rows, "the contract of {} and the table differ", S::NAME);
}

#[test]
fn table_has_the_operations_of_the_contracts_and_no_other() {
    compare::<PatchManager>();
    compare::<cmdb::Cmdb>();
    compare::<itsm::Itsm>();
    compare::<SimEngine>();
}

fn unlimited() -> Limits {
    Limits { max_writes_per_second: 0, max_failed_sign_ins_per_second: 0, ..Limits::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_answers_each_identity_as_the_table_says() {
    let database = TestDatabase::create().await;
    let url = database.url();
    let cmdb = cmdb::Settings { sim_engine_url: "http://127.0.0.1:9".to_owned() };
    let cmdb = TestService::start_limited::<cmdb::Cmdb>(url, cmdb, unlimited()).await;
    walk::<cmdb::Cmdb>(&cmdb, false).await;
    let itsm = TestService::start_limited::<itsm::Itsm>(url, itsm::Settings::default(), unlimited()).await;
    walk::<itsm::Itsm>(&itsm, false).await;
    let work = tempfile::tempdir().unwrap();
    let settings = platform::settings(&cmdb.base, "http://127.0.0.1:9", Some("/bin/false".into()), &work);
    let patch = TestService::start_limited::<PatchManager>(url, settings, unlimited()).await;
    walk::<PatchManager>(&patch, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sim_engine_is_a_laboratory_only_when_it_is_switched_on() {
    for laboratory in [true, false] {
        let database = TestDatabase::create().await;
        let settings = SimSettings { laboratory, ..SimSettings::default() };
        let sim = TestService::start_limited::<SimEngine>(database.url(), settings, unlimited()).await;
        walk::<SimEngine>(&sim, laboratory).await;
    }
}
