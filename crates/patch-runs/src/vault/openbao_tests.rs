//! The client against OpenBao, a real server with the API of Vault; `tests.rs` has what such a server cannot be made to do.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use ansible::Secret;
use bound_child::BoundCommand;
use domain::{ids::CiId, policy::VaultSource};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use test_support::python_tool;

use super::{HostKey, VaultSession, settings::VaultSettings};

const ROOT: &str = "root-of-the-test";
const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\n";
const START: Duration = Duration::from_secs(60);
/// What the platform needs, and nothing else.
const POLICY: &str = r#"path "secret/data/patch-deploy/*" { capabilities = ["read"] }
path "kv/patch-deploy/*" { capabilities = ["read"] }
path "ssh/sign/patching" { capabilities = ["update"] }"#;

/// A server in memory, with a policy for the platform and the key of `web-01`.
struct OpenBao {
    server: Child,
    address: String,
    files: tempfile::TempDir,
    client: reqwest::Client,
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl OpenBao {
    /// `None`, which is reported, if OpenBao is not installed.
    async fn start() -> Option<Self> {
        let program = python_tool("bao", "PATCH_TEST_OPENBAO")?;
        let files = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = spawn(&program, files.path(), port);
        let address = format!("http://127.0.0.1:{port}");
        let vault = Self { server, address, files, client: reqwest::Client::new() };
        vault.until_ready().await;
        vault.write("sys/policies/acl/patching", json!({ "policy": POLICY })).await;
        let secret = json!({ "data": { "private_key": KEY, "user": "patching" } });
        vault.write("secret/data/patch-deploy/web-01", secret).await;
        Some(vault)
    }

    async fn until_ready(&self) {
        let deadline = Instant::now() + START;
        // Not before the store is mounted, which the server does after it has begun to answer.
        while self.ask(Method::GET, "secret/config", None, None).await.is_none() {
            assert!(Instant::now() < deadline, "OpenBao did not start within {} s", START.as_secs());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The answer of a successful request as root.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        namespace: Option<&str>,
        body: Option<Value>,
    ) -> Option<Value> {
        let request = self.client.request(method, format!("{}/v1/{path}", self.address));
        let request = request.header("x-vault-token", ROOT).timeout(Duration::from_secs(20));
        let request = match namespace {
            Some(namespace) => request.header("x-vault-namespace", namespace),
            None => request,
        };
        let answer = request.json(&body.unwrap_or_else(|| json!({}))).send().await.ok()?;
        let is_fine = answer.status().is_success();
        let text = answer.text().await.ok()?;
        is_fine.then(|| serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn write(&self, path: &str, body: Value) -> Value {
        let answer = self.ask(Method::POST, path, None, Some(body)).await;
        answer.unwrap_or_else(|| panic!("OpenBao refused {path}"))
    }

    /// A new token with the policy of the platform.
    async fn token(&self, ttl: &str) -> String {
        let body = json!({ "policies": ["patching"], "ttl": ttl, "renewable": true });
        let answer = self.write("auth/token/create", body).await;
        answer["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, text: &str) -> std::path::PathBuf {
        let file = self.files.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    }

    async fn settings(&self) -> VaultSettings {
        let token = self.token("1h").await;
        VaultSettings {
            address: Some(self.address.clone()),
            token_file: Some(self.file("token", &format!("{token}\n"))),
            ..VaultSettings::default()
        }
    }
}

fn spawn(program: &Path, home: &Path, port: u16) -> Child {
    let mut command = Command::new(program);
    command
        .args(["server", "-dev", "-dev-no-store-token"])
        .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
        .env("BAO_DEV_ROOT_TOKEN_ID", ROOT)
        .env("HOME", home)
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    BoundCommand::new(command, Signal::SIGKILL).spawn().unwrap()
}

async fn key(settings: &VaultSettings, host: &str) -> Result<HostKey, String> {
    let session = VaultSession::open(settings, None, None).await.map_err(|error| error.to_string())?;
    let host = CiId::new(host).unwrap();
    session.host_key(&host, "ops").await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn openbao_returns_keys_from_both_versions_of_the_store_and_from_a_namespace() {
    let Some(vault) = OpenBao::start().await else { return };
    let mut settings = vault.settings().await;
    let found = key(&settings, "web-01").await.unwrap();
    assert_eq!((found.private_key.expose(), found.user.as_deref()), (KEY, Some("patching")));

    vault.write("sys/mounts/kv", json!({ "type": "kv", "options": { "version": "1" } })).await;
    vault.write("kv/patch-deploy/web-02", json!({ "private_key": "of web-02" })).await;
    let first = VaultSettings { mount: "kv".to_owned(), kv_version: 1, ..settings.clone() };
    assert_eq!(key(&first, "web-02").await.unwrap().private_key.expose(), "of web-02");

    vault.write("sys/namespaces/team-a", json!({})).await;
    let team = Some("team-a");
    let mount = json!({ "type": "kv", "options": { "version": "2" } });
    vault.ask(Method::POST, "sys/mounts/secret", team, Some(mount)).await.unwrap();
    let secret = json!({ "data": { "private_key": "of team-a" } });
    let path = "secret/data/patch-deploy/web-01";
    // A store upgrades itself to its second version after it was mounted.
    let deadline = Instant::now() + START;
    while vault.ask(Method::POST, path, team, Some(secret.clone())).await.is_none() {
        assert!(Instant::now() < deadline, "the store of the namespace is not ready");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    settings.namespace = team.map(str::to_owned);
    settings.token_file = Some(vault.file("root", ROOT));
    assert_eq!(key(&settings, "web-01").await.unwrap().private_key.expose(), "of team-a");
}

#[tokio::test]
async fn openbao_refuses_and_the_error_names_the_path_and_no_secret() {
    let Some(vault) = OpenBao::start().await else { return };
    let mut settings = vault.settings().await;
    let missing = key(&settings, "web-09").await.unwrap_err();
    assert!(missing.contains("`secret/data/patch-deploy/web-09`"), "{missing}");
    assert!(missing.ends_with("there is nothing at this path"), "{missing}");

    let elsewhere = VaultSettings { prefix: "other".to_owned(), ..settings.clone() };
    let forbidden = key(&elsewhere, "web-01").await.unwrap_err();
    assert!(forbidden.contains("no permission to read it"), "{forbidden}");

    vault.ask(Method::DELETE, "secret/data/patch-deploy/web-01", None, None).await.unwrap();
    let deleted = key(&settings, "web-01").await.unwrap_err();
    assert!(deleted.ends_with("there is nothing at this path"), "{deleted}");

    let good = settings.token_file.replace(vault.file("wrong", "s.wrong-token-of-the-test"));
    let wrong = key(&settings, "web-01").await.unwrap_err();
    assert!(wrong.contains("the token is not valid") && !wrong.contains("s.wrong"), "{wrong}");
    settings.token_file = good;

    vault.write("sys/seal", json!({})).await;
    let sealed = key(&settings, "web-01").await.unwrap_err();
    assert!(sealed.contains("unseal it"), "{sealed}");
}

#[tokio::test]
async fn openbao_accepts_a_role_and_renews_a_token_that_expires_soon() {
    let Some(vault) = OpenBao::start().await else { return };
    vault.write("sys/auth/approle", json!({ "type": "approle" })).await;
    let role = json!({ "token_policies": ["patching"], "token_ttl": "10m" });
    vault.write("auth/approle/role/patch", role).await;
    let id = vault.ask(Method::GET, "auth/approle/role/patch/role-id", None, None).await.unwrap();
    let secret = vault.write("auth/approle/role/patch/secret-id", json!({})).await;
    let mut settings = VaultSettings {
        token_file: None,
        role_id: id["data"]["role_id"].as_str().map(str::to_owned),
        secret_id_file: Some(vault.file("secret-id", secret["data"]["secret_id"].as_str().unwrap())),
        ..vault.settings().await
    };
    assert_eq!(key(&settings, "web-01").await.unwrap().private_key.expose(), KEY);
    settings.secret_id_file = Some(vault.file("wrong", "00000000-0000-4000-8000-000000000000"));
    let refused = key(&settings, "web-01").await.unwrap_err();
    assert!(refused.contains("`auth/approle/login`"), "{refused}");

    let token = vault.token("8s").await;
    let settings = VaultSettings { token_file: Some(vault.file("short", &token)), ..vault.settings().await };
    // The second half of its life has begun.
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    key(&settings, "web-01").await.unwrap();
    let state = vault.write("auth/token/lookup", json!({ "token": token })).await;
    let left = state["data"]["ttl"].as_u64().unwrap();
    assert!(left > 4, "{left} s are left of the token, so it was not renewed");
}

#[tokio::test]
async fn openbao_signs_a_new_key_for_the_user_and_for_minutes() {
    let Some(vault) = OpenBao::start().await else { return };
    vault.write("sys/mounts/ssh", json!({ "type": "ssh" })).await;
    vault.write("ssh/config/ca", json!({ "generate_signing_key": true })).await;
    let role = json!({ "key_type": "ca", "allow_user_certificates": true, "allowed_users": "ops", "ttl": "5m",
        "allow_user_key_ids": true, "default_extensions": { "permit-pty": "" } });
    vault.write("ssh/roles/patching", role).await;
    let settings = VaultSettings {
        ssh_mount: Some("ssh".to_owned()),
        ssh_role: Some("patching".to_owned()),
        ..vault.settings().await
    };
    let signed = key(&settings, "web-01").await.unwrap();
    let file = vault.file("key-cert.pub", &signed.certificate.unwrap());
    let shown = Command::new("ssh-keygen").arg("-Lf").arg(&file).output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("\"patch-manager/web-01\""), "{shown}");
    let principals = shown.split("Principals:").nth(1).unwrap_or_default();
    assert_eq!(principals.split_whitespace().next(), Some("ops"), "{shown}");
    assert!(shown.contains("Valid: from") && !shown.contains("forever"), "{shown}");
}

#[tokio::test]
async fn openbao_of_a_run_is_asked_with_the_token_of_the_run() {
    let Some(vault) = OpenBao::start().await else { return };
    let (settings, token) = (VaultSettings::default(), vault.token("1h").await);
    let source = VaultSource { address: Some(vault.address.clone()), secret_path_prefix: None };
    let token = Some(Secret::new(token));
    let session = VaultSession::open(&settings, Some(&source), token).await.unwrap();
    let found = session.host_key(&CiId::new("web-01").unwrap(), "ops").await.unwrap();
    assert_eq!(found.private_key.expose(), KEY);
}
