//! A small Vault with the documented API, which can fail on request.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use ansible::Secret;
use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use domain::{ids::CiId, policy::VaultSource};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{VaultSession, settings::VaultSettings};

const TOKEN: &str = "hvs.good";
const LOGGED_IN: &str = "hvs.by-role";

#[derive(Default)]
struct Behaviour {
    sealed: bool,
    slow: bool,
    /// Look-ups answer that the token expires soon.
    expires_soon: bool,
    renewals: u32,
    /// Path, token and namespace of each request.
    seen: Vec<(String, String, String)>,
}

#[derive(Clone, Default)]
struct Vault(Arc<Mutex<Behaviour>>);

impl Vault {
    async fn start(&self) -> String {
        let kv1 = |secret| answer(json!(secret));
        let routes = Router::new()
            .route("/v1/auth/token/lookup-self", get(lookup))
            .route("/v1/auth/token/renew-self", post(renew))
            .route("/v1/auth/approle/login", post(login))
            .route("/v1/secret/data/{*path}", get(read_kv2))
            .route("/v1/kv/patch-deploy/web-01", get(move || async move { kv1(secret()) }))
            .route("/v1/ssh/sign/patching", post(sign))
            .fallback(|| async { refusal(StatusCode::NOT_FOUND, &[]) })
            .layer(from_fn_with_state(self.clone(), admit))
            .with_state(self.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        address
    }

    fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.0.lock().unwrap());
    }

    fn seen(&self) -> Vec<(String, String, String)> {
        self.0.lock().unwrap().seen.clone()
    }
}

fn secret() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        ("private_key", "-----BEGIN KEY-----\nabc\n-----END KEY-----\n"),
        ("user", "patching"),
        ("become_password", "open sesame\n"),
    ])
}

fn answer(data: Value) -> Response {
    Json(json!({ "request_id": "1", "lease_id": "", "renewable": false, "lease_duration": 0, "data": data,
        "wrap_info": null, "warnings": null, "auth": null }))
    .into_response()
}

fn auth(token: &str) -> Response {
    Json(json!({ "request_id": "1", "lease_id": "", "renewable": false, "lease_duration": 0, "data": null,
        "wrap_info": null, "warnings": null, "auth": { "client_token": token, "accessor": "a", "policies": [],
        "token_policies": [], "metadata": null, "lease_duration": 3600, "renewable": true, "entity_id": "",
        "token_type": "service", "orphan": true } }))
    .into_response()
}

fn refusal(status: StatusCode, errors: &[&str]) -> Response {
    (status, Json(json!({ "errors": errors }))).into_response()
}

fn header(request: &Request, name: &str) -> String {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

async fn admit(State(vault): State<Vault>, request: Request, next: Next) -> Response {
    let (path, token) = (request.uri().path().to_owned(), header(&request, "x-vault-token"));
    let namespace = header(&request, "x-vault-namespace");
    let (sealed, slow) = {
        let mut behaviour = vault.0.lock().unwrap();
        behaviour.seen.push((path.clone(), token.clone(), namespace));
        (behaviour.sealed, behaviour.slow)
    };
    if slow {
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    if sealed {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, &["Vault is sealed"]);
    }
    if !path.ends_with("/login") && ![TOKEN, LOGGED_IN].contains(&token.as_str()) {
        return refusal(StatusCode::FORBIDDEN, &["permission denied"]);
    }
    next.run(request).await
}

async fn lookup(State(vault): State<Vault>) -> Response {
    let ttl = if vault.0.lock().unwrap().expires_soon { 30 } else { 86_000 };
    answer(json!({ "accessor": "a", "creation_time": 1, "creation_ttl": 86_400, "display_name": "token",
        "entity_id": "", "expire_time": null, "explicit_max_ttl": 0, "id": "x", "identity_policies": null,
        "issue_time": null, "meta": null, "num_uses": 0, "orphan": true, "path": "auth/token/create",
        "policies": ["default"], "renewable": true, "ttl": ttl, "type": "service" }))
}

async fn renew(State(vault): State<Vault>) -> Response {
    vault.set(|behaviour| behaviour.renewals += 1);
    auth(TOKEN)
}

/// The Vault reads JSON whatever the content type is.
fn body_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

async fn login(body: String) -> Response {
    let body = body_of(&body);
    match (body["role_id"].as_str(), body["secret_id"].as_str()) {
        (Some("role"), Some("secret-id")) => auth(LOGGED_IN),
        _ => refusal(StatusCode::BAD_REQUEST, &["invalid role or secret ID"]),
    }
}

async fn read_kv2(Path(path): Path<String>) -> Response {
    match path.as_str() {
        "patch-deploy/web-01" => answer(json!({ "data": secret(), "metadata": { "created_time": "x",
            "custom_metadata": null, "deletion_time": "", "destroyed": false, "version": 1 } })),
        "patch-deploy/web-03" => answer(json!({ "data": { "other": "x" }, "metadata": { "created_time": "x",
            "custom_metadata": null, "deletion_time": "", "destroyed": false, "version": 1 } })),
        _ => refusal(StatusCode::NOT_FOUND, &[]),
    }
}

async fn sign(body: String) -> Response {
    let body = body_of(&body);
    let certificate =
        format!("ssh-ed25519-cert-v01@openssh.com for {}", body["valid_principals"].as_str().unwrap());
    answer(json!({ "serial_number": "1", "signed_key": certificate }))
}

struct Lab {
    vault: Vault,
    settings: VaultSettings,
    files: tempfile::TempDir,
}

impl Lab {
    async fn start() -> Self {
        let vault = Vault::default();
        let files = tempfile::tempdir().unwrap();
        let token_file = files.path().join("token");
        std::fs::write(&token_file, format!("{TOKEN}\n")).unwrap();
        let settings = VaultSettings {
            address: Some(vault.start().await),
            token_file: Some(token_file),
            timeout_seconds: 1,
            ..VaultSettings::default()
        };
        Self { vault, settings, files }
    }

    async fn key(&self, host: &str) -> Result<super::HostKey, String> {
        let session =
            VaultSession::open(&self.settings, None, None).await.map_err(|error| error.to_string())?;
        session.host_key(&host_id(host), "ops").await.map_err(|error| error.to_string())
    }
}

fn host_id(host: &str) -> CiId {
    CiId::new(host).unwrap()
}

#[tokio::test]
async fn key_is_read_below_the_prefix_from_either_version_of_the_store() {
    let mut lab = Lab::start().await;
    let key = lab.key("web-01").await.unwrap();
    assert!(key.private_key.expose().contains("BEGIN KEY"));
    assert_eq!(key.user.as_deref(), Some("patching"));
    assert_eq!(key.become_password.as_ref().map(Secret::expose), Some("open sesame"));
    assert!(!format!("{key:?}").contains("open sesame"), "it is a secret");
    lab.settings.kv_version = 1;
    lab.settings.mount = "kv".to_owned();
    assert!(lab.key("web-01").await.unwrap().private_key.expose().contains("BEGIN KEY"));
    lab.settings.namespace = Some("team-a".to_owned());
    lab.key("web-01").await.unwrap();
    assert!(lab.vault.seen().iter().any(|(.., namespace)| namespace == "team-a"));
}

#[tokio::test]
async fn every_error_names_the_path_and_no_secret() {
    let mut lab = Lab::start().await;
    let missing = lab.key("web-02").await.unwrap_err();
    assert_eq!(
        missing,
        "the Vault returned nothing for `secret/data/patch-deploy/web-02`: there is nothing at this path"
    );
    let no_field = lab.key("web-03").await.unwrap_err();
    assert!(
        no_field.contains("`secret/data/patch-deploy/web-03`") && no_field.contains("`private_key`"),
        "{no_field}"
    );

    std::fs::write(lab.files.path().join("token"), "hvs.wrong").unwrap();
    let wrong = lab.key("web-01").await.unwrap_err();
    assert!(
        wrong.contains("`secret/data/patch-deploy/web-01`") && wrong.contains("token is not valid"),
        "{wrong}"
    );
    assert!(!wrong.contains("hvs."), "{wrong}");
    std::fs::write(lab.files.path().join("token"), TOKEN).unwrap();

    lab.vault.set(|behaviour| behaviour.sealed = true);
    let sealed = lab.key("web-01").await.unwrap_err();
    assert!(sealed.contains("`secret/patch-deploy`") && sealed.contains("sealed"), "{sealed}");
    lab.vault.set(|behaviour| *behaviour = Behaviour { slow: true, ..Behaviour::default() });
    let slow = lab.key("web-01").await.unwrap_err();
    assert!(slow.contains("`secret/patch-deploy`") && slow.contains("did not answer in time"), "{slow}");

    lab.settings.address = Some("vault".to_owned());
    assert!(lab.key("web-01").await.unwrap_err().contains("is not an http or https address"));
}

#[tokio::test]
async fn role_logs_in_and_a_wrong_secret_id_does_not() {
    let mut lab = Lab::start().await;
    let secret_id = lab.files.path().join("secret-id");
    std::fs::write(&secret_id, "secret-id").unwrap();
    lab.settings = VaultSettings {
        token_file: None,
        role_id: Some("role".to_owned()),
        secret_id_file: Some(secret_id.clone()),
        ..lab.settings
    };
    lab.key("web-01").await.unwrap();
    assert!(lab.vault.seen().iter().any(|(path, token, _)| path.ends_with("/web-01") && token == LOGGED_IN));
    std::fs::write(&secret_id, "wrong").unwrap();
    let refused = lab.key("web-01").await.unwrap_err();
    assert!(
        refused.contains("`auth/approle/login`") && refused.contains("invalid role or secret ID"),
        "{refused}"
    );
}

#[tokio::test]
async fn token_that_expires_soon_is_renewed_and_another_is_not() {
    let lab = Lab::start().await;
    lab.key("web-01").await.unwrap();
    assert_eq!(lab.vault.0.lock().unwrap().renewals, 0);
    lab.vault.set(|behaviour| behaviour.expires_soon = true);
    lab.key("web-01").await.unwrap();
    assert_eq!(lab.vault.0.lock().unwrap().renewals, 1);
}

#[tokio::test]
async fn ssh_engine_signs_a_new_key() {
    let mut lab = Lab::start().await;
    lab.settings.ssh_mount = Some("ssh".to_owned());
    lab.settings.ssh_role = Some("patching".to_owned());
    let key = lab.key("web-01").await.unwrap();
    assert!(key.private_key.expose().contains("OPENSSH PRIVATE KEY"));
    assert_eq!(key.certificate.as_deref(), Some("ssh-ed25519-cert-v01@openssh.com for ops"));
}

#[tokio::test]
async fn vault_address_of_a_run_receives_the_token_of_the_run_only() {
    let lab = Lab::start().await;
    let source = |address: &str| VaultSource { address: Some(address.to_owned()), secret_path_prefix: None };
    let other = Vault::default();
    let address = other.start().await;
    let refused = VaultSession::open(&lab.settings, Some(&source(&address)), None).await.err().unwrap();
    assert!(refused.to_string().contains("the run has no token"), "{refused}");
    assert!(other.seen().is_empty(), "the service presented its own token to another Vault");
    let token = Some(Secret::new(TOKEN));
    let session = VaultSession::open(&lab.settings, Some(&source(&address)), token).await.unwrap();
    session.host_key(&host_id("web-01"), "ops").await.unwrap();
}
