//! Keys for SSH to real hosts: from a Vault if there is one, otherwise from the service's key file.

use std::{collections::BTreeMap, sync::Arc};

use ansible::{Secret, SshKey};
use domain::{
    ids::CiId,
    plan::{Connection, Target},
    policy::VaultSource,
};
use futures::{StreamExt, stream};

use crate::{
    App,
    store::runs::RunRow,
    vault::{HostKey, VaultSession, token_file},
};

/// Secrets read at the same time.
const MAX_CONCURRENT: usize = 8;

/// The key of each host, or why there is none.
#[derive(Debug, Default)]
pub struct Keys {
    by_host: BTreeMap<CiId, Result<HostKey, String>>,
    file: Option<std::path::PathBuf>,
}

impl Keys {
    /// Reads the keys of these hosts, from the Vault of the run if it names one.
    pub async fn load(app: &App, run: Option<&RunRow>, hosts: Vec<(CiId, String)>) -> Self {
        let file = app.settings.ssh_key_file.clone();
        let source = run.and_then(|run| run.policy.vault.as_ref());
        if source.is_none() && app.settings.vault.address.is_none() {
            return Self { by_host: BTreeMap::new(), file };
        }
        if hosts.is_empty() {
            return Self::default();
        }
        let by_host = match open(app, run).await {
            Ok(session) => {
                let session = Arc::new(session);
                stream::iter(hosts)
                    .map(|host| read(session.clone(), host))
                    .buffer_unordered(MAX_CONCURRENT)
                    .collect()
                    .await
            }
            Err(reason) => hosts.into_iter().map(|(id, _)| (id, Err(reason.clone()))).collect(),
        };
        Self { by_host, file: None }
    }

    /// Why a host has no key; `None` if it has one.
    pub fn error(&self, host: &CiId) -> Option<&str> {
        self.by_host.get(host).and_then(|key| key.as_ref().err()).map(String::as_str)
    }

    /// The password with which the user of a host becomes root.
    pub fn become_password(&self, host: &CiId) -> Option<Secret> {
        self.by_host.get(host)?.as_ref().ok()?.become_password.clone()
    }

    /// The key of a host, and the user stored with it.
    pub fn of(&self, host: &CiId) -> Option<(SshKey, Option<&str>)> {
        match self.by_host.get(host) {
            Some(Ok(key)) => Some((ssh_key(key), key.user.as_deref())),
            Some(Err(_)) => None,
            None => self.file.clone().map(|file| (SshKey::File(file), None)),
        }
    }
}

/// The targets that are reached over SSH, with their users.
pub fn ssh_hosts<'a>(
    app: &App,
    targets: impl IntoIterator<Item = (&'a CiId, &'a Target)>,
) -> Vec<(CiId, String)> {
    let user_of = |target: &Target| match &target.connection {
        Connection::Ssh { user, .. } => Some(user.clone().unwrap_or_else(|| app.settings.ssh_user.clone())),
        Connection::Model => None,
    };
    targets.into_iter().filter_map(|(id, target)| Some((id.clone(), user_of(target)?))).collect()
}

async fn read(session: Arc<VaultSession>, (id, user): (CiId, String)) -> (CiId, Result<HostKey, String>) {
    let key = session.host_key(&id, &user).await.map_err(|error| error.to_string());
    (id, key)
}

fn ssh_key(key: &HostKey) -> SshKey {
    match &key.certificate {
        Some(certificate) => {
            SshKey::Signed { key: key.private_key.clone(), certificate: Secret::new(certificate.as_str()) }
        }
        None => SshKey::Secret(key.private_key.clone()),
    }
}

async fn open(app: &App, run: Option<&RunRow>) -> Result<VaultSession, String> {
    let source = run.and_then(|run| run.policy.vault.as_ref());
    let token = match run.filter(|run| run.holds_vault_token) {
        Some(run) => match token_file::read(&app.compliance.settings.work_dir, run.id) {
            Ok(Some(token)) => Some(token),
            Ok(None) => {
                return Err(format!(
                    "the Vault token of run {} is on the machine that accepted the run, not on this one; start the run again, or configure the service to log in itself",
                    run.id
                ));
            }
            Err(error) => return Err(format!("cannot read the Vault token of run {}: {error}", run.id)),
        },
        None => None,
    };
    open_vault(app, source, token).await
}

/// Opens a session with the Vault of a run, if its address may still be reached, else with the service's own.
pub(crate) async fn open_vault(
    app: &App,
    source: Option<&VaultSource>,
    token: Option<Secret>,
) -> Result<VaultSession, String> {
    let address = source.and_then(|source| source.address.as_ref());
    if let Some(address) = address.filter(|address| app.settings.vault.address.as_ref() != Some(*address)) {
        let checked = app.compliance.outbound.resolve(address).await;
        checked.map_err(|refused| format!("cannot use the Vault of the run: {refused}"))?;
    }
    VaultSession::open(&app.settings.vault, source, token).await.map_err(|error| error.to_string())
}
