//! One login at one Vault, and what is read under it.

use std::{collections::BTreeMap, path::Path, time::Duration};

use ansible::Secret;
use backon::{ExponentialBuilder, Retryable};
use domain::{ids::CiId, policy::VaultSource};
use serde_json::Value;
use vaultrs::{
    api::ssh::requests::SignSSHKeyRequest,
    client::{Client, VaultClient, VaultClientSettingsBuilder},
    error::ClientError,
};

use super::{
    error::{VaultError, VaultErrorKind},
    settings::VaultSettings,
    signing,
};

/// Retries of one call, and the wait before the first one; it doubles.
const RETRIES: usize = 2;
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// A token that lives at least this much longer is not renewed.
const ENOUGH_SECONDS: u64 = 3600;

/// What the platform logs in to a host with.
#[derive(Debug, Clone)]
pub(crate) struct HostKey {
    pub private_key: Secret,
    /// Signed for this key only; expires after minutes.
    pub certificate: Option<String>,
    pub user: Option<String>,
    /// With which the user becomes root; `None`: without one.
    pub become_password: Option<Secret>,
}

/// A Vault that has accepted a login.
pub(crate) struct VaultSession {
    client: VaultClient,
    settings: VaultSettings,
    prefix: String,
}

impl VaultSession {
    /// Logs in with the run's own token, else with the service's token or role.
    pub async fn open(
        settings: &VaultSettings,
        source: Option<&VaultSource>,
        token_of_run: Option<Secret>,
    ) -> Result<Self, VaultError> {
        let address = source.and_then(|source| source.address.as_ref()).or(settings.address.as_ref());
        let prefix = source.and_then(|source| source.secret_path_prefix.as_ref()).unwrap_or(&settings.prefix);
        let prefix = prefix.trim_matches('/').to_owned();
        let place = format!("{}/{prefix}", settings.mount);
        let address = address.ok_or_else(|| VaultError::setup(&place, "no Vault address is set"))?;
        // The service presents its own identity only to its own Vault, not to an address that came with a run.
        let is_own = settings.address.as_ref() == Some(address);
        let mut session =
            Self { client: client(settings, address, &place)?, settings: settings.clone(), prefix };
        match (token_of_run, &settings.token_file, &settings.role_id) {
            (Some(token), _, _) => session.client.set_token(token.expose()),
            (None, _, _) if !is_own => {
                return Err(VaultError::setup(
                    &place,
                    format!("the run has no token for the Vault at {address}"),
                ));
            }
            (None, Some(file), _) => session.client.set_token(read_secret(file, &place)?.expose()),
            (None, None, Some(role_id)) => session.log_in(role_id, &place).await?,
            (None, None, None) => {
                return Err(VaultError::setup(&place, "neither a token file nor a role id is set"));
            }
        }
        session.renew(&place).await?;
        Ok(session)
    }

    async fn log_in(&mut self, role_id: &str, place: &str) -> Result<(), VaultError> {
        let file = self.settings.secret_id_file.as_deref();
        let file = file.ok_or_else(|| VaultError::setup(place, "the role has no file with its secret id"))?;
        let secret_id = read_secret(file, place)?;
        let mount = &self.settings.approle_mount;
        let login = format!("auth/{mount}/login");
        let client = &self.client;
        let auth = with_retries(&login, || {
            vaultrs::auth::approle::login(client, mount, role_id, secret_id.expose())
        })
        .await?;
        self.client.set_token(&auth.client_token);
        Ok(())
    }

    /// Renews a token that expires soon. An invalid token is an error.
    async fn renew(&self, place: &str) -> Result<(), VaultError> {
        let token = match with_retries(place, || vaultrs::token::lookup_self(&self.client)).await {
            Ok(token) => token,
            // A token may have permission to read its secrets, but not to look itself up.
            Err(VaultError { kind: VaultErrorKind::Forbidden(_), .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let is_short = token.ttl > 0 && token.ttl < ENOUGH_SECONDS.min(token.creation_ttl.div_ceil(2).max(1));
        if token.renewable.unwrap_or(false) && is_short {
            match with_retries(place, || vaultrs::token::renew_self(&self.client, None)).await {
                Ok(renewed) => tracing::debug!("renewed the Vault token for {} s", renewed.lease_duration),
                Err(error) => tracing::warn!("cannot renew the Vault token: {}", error.kind),
            }
        }
        Ok(())
    }

    /// The key of a host: its stored one, or a new one that the SSH engine has signed.
    pub async fn host_key(&self, host: &CiId, user: &str) -> Result<HostKey, VaultError> {
        match (&self.settings.ssh_mount, &self.settings.ssh_role) {
            (Some(mount), Some(role)) => self.signed_key(mount, role, host, user).await,
            _ => self.stored_key(host).await,
        }
    }

    async fn stored_key(&self, host: &CiId) -> Result<HostKey, VaultError> {
        let (mount, path) = (&self.settings.mount, format!("{}/{host}", self.prefix));
        let shown = match self.settings.kv_version {
            1 => format!("{mount}/{path}"),
            _ => format!("{mount}/data/{path}"),
        };
        let secret: BTreeMap<String, Value> = match self.settings.kv_version {
            1 => with_retries(&shown, || vaultrs::kv1::get(&self.client, mount, &path)).await?,
            _ => with_retries(&shown, || vaultrs::kv2::read(&self.client, mount, &path)).await?,
        };
        let text =
            |name: &str| secret.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        let field = &self.settings.key_field;
        let key = text(field).ok_or_else(|| {
            VaultError::setup(&shown, format!("the secret has no field `{field}` with a key"))
        })?;
        Ok(HostKey {
            private_key: Secret::new(key),
            certificate: text("certificate").map(str::to_owned),
            user: text("user").map(str::to_owned),
            become_password: text(&self.settings.become_field)
                .map(|text| Secret::new(text.trim_end_matches('\n'))),
        })
    }

    async fn signed_key(
        &self,
        mount: &str,
        role: &str,
        host: &CiId,
        user: &str,
    ) -> Result<HostKey, VaultError> {
        let shown = format!("{mount}/sign/{role}");
        let pair =
            signing::create_pair().await.map_err(|error| VaultError::setup(&shown, error.to_string()))?;
        let signed = with_retries(&shown, || async {
            let mut request = SignSSHKeyRequest::builder();
            request.cert_type("user").valid_principals(user).key_id(format!("patch-manager/{host}"));
            vaultrs::ssh::ca::sign(&self.client, mount, role, &pair.public_key, Some(&mut request)).await
        })
        .await?;
        Ok(HostKey {
            private_key: pair.private_key,
            certificate: Some(signed.signed_key),
            user: None,
            become_password: None,
        })
    }
}

/// Repeats a call that failed for a transient reason.
async fn with_retries<T, F: Future<Output = Result<T, ClientError>>>(
    path: &str,
    mut ask: impl FnMut() -> F,
) -> Result<T, VaultError> {
    let backoff = ExponentialBuilder::default().with_min_delay(FIRST_WAIT).with_max_times(RETRIES);
    let ask = || {
        let answer = ask();
        async move { answer.await.map_err(|error| VaultError::of(path, &error)) }
    };
    ask.retry(backoff).when(VaultError::is_transient).await
}

fn client(settings: &VaultSettings, address: &str, place: &str) -> Result<VaultClient, VaultError> {
    let is_address = reqwest::Url::parse(address)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if !is_address {
        return Err(VaultError::setup(place, format!("`{address}` is not an http or https address")));
    }
    let ca_certs = settings.ca_file.iter().map(|file| file.to_string_lossy().into_owned()).collect();
    // Every setting is explicit, so that none comes from environment variables meant for other programs.
    let settings = VaultClientSettingsBuilder::default()
        .address(address)
        .token("")
        .ca_certs(ca_certs)
        .identity(None)
        .verify(true)
        .timeout(Some(Duration::from_secs(settings.timeout_seconds.into())))
        .namespace(settings.namespace.clone())
        .build()
        .map_err(|_| VaultError::setup(place, "the Vault settings are not valid"))?;
    VaultClient::new(settings).map_err(|error| VaultError::of(place, &error))
}

fn read_secret(file: &Path, place: &str) -> Result<Secret, VaultError> {
    match std::fs::read_to_string(file) {
        Ok(text) if !text.trim().is_empty() => Ok(Secret::new(text.trim())),
        Ok(_) => Err(VaultError::setup(place, format!("`{}` is empty", file.display()))),
        Err(error) => Err(VaultError::setup(place, format!("cannot read `{}`: {error}", file.display()))),
    }
}
