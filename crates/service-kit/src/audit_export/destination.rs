//! Where the end of a chain goes.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use api_types::access::AuditDestination;
use chrono::SecondsFormat;
use serde_json::json;
use uuid::Uuid;

use super::{SignedHead, SyslogAddress, syslog};
use crate::webhooks::{Message, Sender};

const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub enum Destination {
    File(PathBuf),
    Webhook(String),
    Syslog(SyslogAddress),
}

impl Destination {
    pub fn kind(&self) -> AuditDestination {
        match self {
            Self::File(_) => AuditDestination::File,
            Self::Webhook(_) => AuditDestination::Webhook,
            Self::Syslog(_) => AuditDestination::Syslog,
        }
    }

    /// The error is for operators and contains no address that may contain a secret.
    pub async fn send(
        &self,
        head: &SignedHead,
        id: Uuid,
        service: &'static str,
        sender: &Sender,
    ) -> Result<(), String> {
        match self {
            Self::File(path) => append(path.clone(), head.line()).await,
            Self::Webhook(url) => post(sender, url, head, id).await,
            Self::Syslog(address) => {
                let sent = syslog::send(address, service, &head.line(), head.at).await;
                sent.map_err(|error| format!("the syslog server at {address} did not take it: {error}"))
            }
        }
    }
}

/// The line is on the disk when this returns.
async fn append(path: PathBuf, line: String) -> Result<(), String> {
    let shown = path.display().to_string();
    let written = tokio::task::spawn_blocking(move || append_line(&path, &line)).await;
    let written = written.map_err(|_| "the file could not be written".to_owned())?;
    written.map_err(|error| format!("`{shown}` cannot be written: {error}"))
}

fn append_line(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_data()
}

async fn post(sender: &Sender, url: &str, head: &SignedHead, id: Uuid) -> Result<(), String> {
    let event = json!({
        "specversion": "1.0",
        "id": id,
        "source": format!("/{}", head.service),
        "type": "patch-manager.audit.head",
        "time": head.at.to_rfc3339_opts(SecondsFormat::Micros, true),
        "datacontenttype": "application/json",
        "data": head,
    });
    let id = id.to_string();
    let message = Message {
        id: &id,
        url,
        customer: None,
        content_type: "application/cloudevents+json",
        body: event.to_string(),
        timeout: WEBHOOK_TIMEOUT,
    };
    let status = sender.send(message).await.map_err(|unsent| unsent.to_string())?.status();
    if status.is_success() { Ok(()) } else { Err(format!("the receiver answered {status}")) }
}
