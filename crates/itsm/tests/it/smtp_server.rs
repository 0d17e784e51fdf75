//! A real mail server, aiosmtpd, that keeps what it gets in a Maildir; read back with Python's own parser.

use std::{net::TcpListener, path::PathBuf, process::Stdio, time::Duration};

use serde_json::Value;
use test_support::{Reason, python_tool, skip};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

pub struct SmtpServer {
    pub url: String,
    folder: tempfile::TempDir,
    python: PathBuf,
    _server: Child,
}

/// One JSON object a message: recipient, subject and decoded text.
const READ: &str = "
import email, email.policy, json, mailbox, sys
messages = [email.message_from_bytes(m.as_bytes(), policy=email.policy.default) for m in mailbox.Maildir(sys.argv[1])]
print(json.dumps([{'to': m['To'], 'subject': m['Subject'], 'body': m.get_content()} for m in messages]))
";

impl SmtpServer {
    /// Starts one, or returns `None` where aiosmtpd is not installed, which is reported.
    pub async fn start() -> Option<Self> {
        let python = python_tool("python", "PATCH_TEST_PYTHON")?;
        let is_installed = std::process::Command::new(&python).args(["-c", "import aiosmtpd"]).output();
        if !is_installed.is_ok_and(|output| output.status.success()) {
            skip(Reason::MissingTool, "aiosmtpd is not installed; `cargo xtask bootstrap` installs it");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        // Another process may take the port before the server does: then the next one is tried.
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mut server = Command::new(&python)
                .args(["-m", "aiosmtpd", "-n", "-c", "aiosmtpd.handlers.Mailbox", "-l", &address.to_string()])
                .arg(folder.path().join("mail"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            for _ in 0..600 {
                if TcpStream::connect(address).await.is_ok() {
                    let url = format!("smtp://{address}");
                    return Some(Self { url, folder, python, _server: server });
                }
                if server.try_wait().unwrap().is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        panic!("the mail server does not start");
    }

    /// What came to this address, once `count` messages have.
    pub async fn messages(&self, to: &str, count: usize) -> Vec<Value> {
        let folder = self.folder.path().join("mail");
        let mut found = Vec::new();
        for _ in 0..200 {
            let output = Command::new(&self.python).args(["-c", READ]).arg(&folder).output().await.unwrap();
            let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
            found = all.into_iter().filter(|message| message["to"] == to).collect();
            if found.len() >= count {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{to} did not get {count} messages: {found:#?}");
    }
}
