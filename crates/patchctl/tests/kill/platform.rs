//! `patchctl up` as a child process that can be killed.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use test_support::{Desk, Http, ansible_playbook};

pub struct KillablePlatform {
    data_dir: tempfile::TempDir,
    port_base: u16,
    ansible: PathBuf,
    child: Child,
    pub desk: Desk,
}

impl KillablePlatform {
    /// Starts it, or returns `None` with a message where Ansible is missing.
    pub async fn start(name: &str) -> Option<Self> {
        let ansible = ansible_playbook()?;
        let data_dir = tempfile::Builder::new().prefix(&format!("killed-{name}-")).tempdir().unwrap();
        // When the tests run as root, PostgreSQL runs as another user, which must be able to reach its folder.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(data_dir.path(), open).unwrap();
        let port_base = free_port_base();
        let child = spawn(data_dir.path().join("data"), port_base, &ansible);
        let unknown = Http::new("http://127.0.0.1:1", None);
        let nobody = Desk {
            patch: unknown.clone(),
            cmdb: unknown.clone(),
            itsm: unknown.clone(),
            sim: unknown.clone(),
            approver: unknown,
        };
        let mut platform = Self { data_dir, port_base, ansible, child, desk: nobody };
        platform.until_ready().await;
        platform.desk = platform.new_desk().await;
        Some(platform)
    }

    async fn new_desk(&self) -> Desk {
        let token = std::fs::read_to_string(self.data_dir.path().join("data/admin-token")).unwrap();
        let admin = Http::new(&self.url(0), Some(token.trim().to_owned()));
        let operator = token_of(&admin, "olivia", "operator").await;
        let approver = token_of(&admin, "arjun", "approver").await;
        let at = |offset: u16, token: &String| Http::new(&self.url(offset), Some(token.clone()));
        Desk {
            patch: at(0, &operator),
            cmdb: at(1, &operator),
            itsm: at(2, &operator),
            sim: at(3, &operator),
            approver: at(2, &approver),
        }
    }

    fn url(&self, offset: u16) -> String {
        format!("http://127.0.0.1:{}", self.port_base + offset)
    }

    async fn until_ready(&mut self) {
        for _ in 0..600 {
            assert!(self.child.try_wait().unwrap().is_none(), "`patchctl up` has ended");
            let mut ready = 0;
            for offset in 0..4 {
                let answer = reqwest::get(format!("{}/readyz", self.url(offset))).await;
                ready += u32::from(answer.is_ok_and(|answer| answer.status().is_success()));
            }
            if ready == 4 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("`patchctl up` is not ready after a minute");
    }

    /// Kills it with SIGKILL and starts it again on the same data.
    pub async fn kill_and_start(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(self.data_dir.path().join("data"), self.port_base, &self.ansible);
        self.until_ready().await;
    }

    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.path().join("data")
    }

    /// Starts it again on the same data.
    pub async fn start_again(&mut self) {
        self.child = spawn(self.data_dir(), self.port_base, &self.ansible);
        self.until_ready().await;
    }

    /// Runs a command on the data of the platform; returns its exit status and its output.
    pub async fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchctl"));
        command.args(arguments).arg("--data-dir").arg(self.data_dir()).env_remove("DATABASE_URL");
        command.args(["--port-base", &self.port_base.to_string()]);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.code(), text.concat())
    }

    /// Stops it with SIGTERM; it must end in time.
    pub async fn stop(mut self) {
        self.stop_process().await;
    }

    pub async fn stop_process(&mut self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM).unwrap();
        for _ in 0..150 {
            if self.child.try_wait().unwrap().is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("`patchctl up` did not stop within 15 s of SIGTERM");
    }
}

impl Drop for KillablePlatform {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn spawn(data_dir: PathBuf, port_base: u16, ansible: &PathBuf) -> Child {
    Command::new(env!("CARGO_BIN_EXE_patchctl"))
        .args(["up", "--laboratory", "--port-base", &port_base.to_string(), "--data-dir"])
        .arg(data_dir)
        .env("PATCH_ANSIBLE_PLAYBOOK", ansible)
        .env_remove("DATABASE_URL")
        .env("RUST_LOG", "warn,sqlx=error")
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

async fn token_of(admin: &Http, subject: &str, role: &str) -> String {
    let token = json!({ "subject": subject, "roles": [role], "expires_in_days": 1 });
    admin.post("/access/tokens", &token).await.expect(201)["token"].as_str().unwrap().to_owned()
}

/// The first of four consecutive free ports; parallel tests search in different ranges.
fn free_port_base() -> u16 {
    let start = 20_000 + (uuid::Uuid::new_v4().as_u128() % 30_000) as u16;
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    (start..start + 4000)
        .step_by(4)
        .find(|base| (0..4).all(|offset| is_free(base + offset)))
        .expect("four consecutive free ports")
}
