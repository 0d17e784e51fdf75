//! A real OpenID Connect provider for tests: `oidc-provider` under Node, on a free port.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use service_kit::oidc::OidcConfig;
use test_skip::{Reason, skip};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The secret of its client `console`; no log or answer may contain it.
pub const CLIENT_SECRET: &str = "hidden-secret-of-the-client";
/// Which group has which role in tests.
const ROLES: &str = r#"{
    "operations": ["operator"], "change-board": ["approver"], "readers": ["viewer"], "administrators": ["admin"]
}"#;

/// Ends when dropped.
pub struct IdentityProvider {
    pub issuer: String,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    settings: tempfile::TempDir,
    _program: Child,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("identity-provider")
}

/// As `cargo xtask` names it, or the machine's own.
fn node() -> PathBuf {
    std::env::var_os("PATCH_NODE").map_or_else(|| PathBuf::from("node"), PathBuf::from)
}

impl IdentityProvider {
    /// Starts one for services at these addresses; `None` without Node or the package, which is reported.
    pub async fn start(services: &[&str]) -> Option<Self> {
        let version = std::process::Command::new(node()).arg("--version").output();
        if !version.is_ok_and(|output| output.status.success()) {
            skip(Reason::OtherSystem, "there is no Node");
            return None;
        }
        if !folder().join("node_modules/oidc-provider").is_dir() {
            skip(
                Reason::MissingTool,
                "the identity provider is not installed; `cargo xtask bootstrap` installs it",
            );
            return None;
        }
        let mut program = Command::new(node())
            .arg("provider.js")
            .current_dir(folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("node starts");
        let stdin = program.stdin.take().expect("a pipe");
        let lines = BufReader::new(program.stdout.take().expect("a pipe")).lines();
        let settings = tempfile::tempdir().expect("a folder");
        let mut this = Self { issuer: String::new(), stdin, lines, settings, _program: program };
        let of = |path: &str| services.iter().map(|base| format!("{base}{path}")).collect::<Vec<_>>();
        let clients = json!({
            "secret": CLIENT_SECRET, "redirects": of("/access/oidc/callback"), "after_logout": of("/"),
        });
        let started = this.tell(&clients).await;
        this.issuer = started["issuer"].as_str().expect("an issuer").to_owned();
        Some(this)
    }

    async fn tell(&mut self, command: &Value) -> Value {
        let told = async {
            self.stdin.write_all(format!("{command}\n").as_bytes()).await?;
            self.lines.next_line().await
        };
        let line = timeout(ANSWER_TIMEOUT, told).await.expect("an answer in time").expect("it runs");
        serde_json::from_str(&line.expect("a line")).expect("JSON")
    }

    /// Creates an account, or changes it.
    pub async fn set(&mut self, sub: &str, claims: Value) {
        self.tell(&json!({ "set": { "sub": sub, "claims": claims } })).await;
    }

    /// An account with a verified address.
    pub async fn person(&mut self, sub: &str, name: &str, groups: &[&str]) {
        let email = format!("{name}@example.org");
        let claims =
            json!({ "preferred_username": name, "email": email, "email_verified": true, "groups": groups });
        self.set(sub, claims).await;
    }

    /// Replaces the provider's key by another one.
    pub async fn rotate(&mut self) {
        self.tell(&json!({ "rotate": true })).await;
    }

    /// An ID token for the command line. `key`: `own`, `other` for one that is not the provider's, `none` for no signature.
    pub async fn sign(&mut self, header: Value, claims: Value, key: &str) -> String {
        let signed = self.tell(&json!({ "sign": { "header": header, "claims": claims, "key": key } })).await;
        signed["token"].as_str().expect("a token").to_owned()
    }

    /// The settings of a service that uses it.
    pub fn config(&self) -> OidcConfig {
        let (roles, secret) =
            (self.settings.path().join("roles.json"), self.settings.path().join("client-secret"));
        std::fs::write(&roles, ROLES).expect("a file");
        std::fs::write(&secret, CLIENT_SECRET).expect("a file");
        OidcConfig {
            oidc_issuer: Some(self.issuer.clone()),
            oidc_name: "Example <ID>".to_owned(),
            oidc_client_id: Some("console".to_owned()),
            oidc_client_secret_file: Some(secret),
            oidc_device_client_id: Some("command-line".to_owned()),
            oidc_roles_file: Some(roles),
            ..OidcConfig::default()
        }
    }

    /// The same as environment variables.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let config = self.config();
        let path = |path: Option<PathBuf>| path.unwrap_or_default().display().to_string();
        vec![
            ("OIDC_ISSUER", self.issuer.clone()),
            ("OIDC_CLIENT_ID", "console".to_owned()),
            ("OIDC_CLIENT_SECRET_FILE", path(config.oidc_client_secret_file)),
            ("OIDC_DEVICE_CLIENT_ID", "command-line".to_owned()),
            ("OIDC_ROLES_FILE", path(config.oidc_roles_file)),
        ]
    }
}
