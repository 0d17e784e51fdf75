use std::path::PathBuf;

/// The Vault with the keys of real hosts. Without an address, `ssh_key_file` is used.
#[derive(Debug, Clone, clap::Args)]
pub struct VaultSettings {
    /// Address of the Vault: `https://vault.example.com:8200`.
    #[arg(long = "vault-address", env = "PATCH_VAULT_ADDR")]
    pub address: Option<String>,

    /// PEM file with the authority that signed the Vault's certificate, in addition to those the system trusts.
    #[arg(long = "vault-ca-file", env = "PATCH_VAULT_CA_FILE")]
    pub ca_file: Option<PathBuf>,

    /// Namespace, if the Vault uses namespaces.
    #[arg(long = "vault-namespace", env = "PATCH_VAULT_NAMESPACE")]
    pub namespace: Option<String>,

    /// File with the token to present. It is read again for each use, so an agent may renew it.
    #[arg(long = "vault-token-file", env = "PATCH_VAULT_TOKEN_FILE", conflicts_with = "role_id")]
    pub token_file: Option<PathBuf>,

    /// Role id to log in with, together with the file of its secret id.
    #[arg(long = "vault-role-id", env = "PATCH_VAULT_ROLE_ID", requires = "secret_id_file")]
    pub role_id: Option<String>,

    /// File with the secret id of the role.
    #[arg(long = "vault-secret-id-file", env = "PATCH_VAULT_SECRET_ID_FILE")]
    pub secret_id_file: Option<PathBuf>,

    /// Mount of the AppRole login.
    #[arg(long = "vault-approle-mount", env = "PATCH_VAULT_APPROLE_MOUNT", default_value = "approle")]
    pub approle_mount: String,

    /// Mount of the key-value store.
    #[arg(long = "vault-mount", env = "PATCH_VAULT_MOUNT", default_value = "secret")]
    pub mount: String,

    /// Version of the key-value store.
    #[arg(long = "vault-kv-version", env = "PATCH_VAULT_KV_VERSION", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub kv_version: u8,

    /// Path prefix of the keys: the key of a host is at `<prefix>/<host>`.
    #[arg(long = "vault-prefix", env = "PATCH_VAULT_PREFIX", default_value = "patch-deploy")]
    pub prefix: String,

    /// Field of the secret that contains the private key.
    #[arg(long = "vault-key-field", env = "PATCH_VAULT_KEY_FIELD", default_value = "private_key")]
    pub key_field: String,

    /// Field of the secret that contains the password with which the user of the host becomes root. A secret without the field
    /// means that no password is needed.
    #[arg(long = "vault-become-field", env = "PATCH_VAULT_BECOME_FIELD", default_value = "become_password")]
    pub become_field: String,

    /// Mount of an SSH engine. If set, hosts are accessed with short-lived certificates that it signs, and no key is read.
    #[arg(long = "vault-ssh-mount", env = "PATCH_VAULT_SSH_MOUNT", requires = "ssh_role")]
    pub ssh_mount: Option<String>,

    /// Role of the SSH engine that signs.
    #[arg(long = "vault-ssh-role", env = "PATCH_VAULT_SSH_ROLE")]
    pub ssh_role: Option<String>,

    /// Seconds that one call to the Vault may take.
    #[arg(long = "vault-timeout-seconds", env = "PATCH_VAULT_TIMEOUT_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=120))]
    pub timeout_seconds: u32,
}

impl Default for VaultSettings {
    fn default() -> Self {
        Self {
            address: None,
            ca_file: None,
            namespace: None,
            token_file: None,
            role_id: None,
            secret_id_file: None,
            approle_mount: "approle".to_owned(),
            mount: "secret".to_owned(),
            kv_version: 2,
            prefix: "patch-deploy".to_owned(),
            key_field: "private_key".to_owned(),
            become_field: "become_password".to_owned(),
            ssh_mount: None,
            ssh_role: None,
            timeout_seconds: 10,
        }
    }
}
