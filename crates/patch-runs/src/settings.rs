//! Settings of runs, scans and host access.

use std::path::PathBuf;

use crate::vault::VaultSettings;

#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// Address of ITSM.
    #[arg(long, env = "ITSM_URL", default_value = "http://127.0.0.1:8082")]
    pub itsm_url: String,

    /// Address of the sim-engine.
    #[arg(long, env = "SIM_ENGINE_URL", default_value = "http://127.0.0.1:8083")]
    pub sim_engine_url: String,

    /// The `ansible-playbook` program. Default: the one on the PATH.
    #[arg(long, env = "PATCH_ANSIBLE_PLAYBOOK")]
    pub ansible_playbook: Option<PathBuf>,

    /// Folder of the playbooks. Default: the one next to the program.
    #[arg(long, env = "PATCH_PLAYBOOKS")]
    pub playbooks: Option<PathBuf>,

    /// File with the private key for SSH to real hosts, unless a Vault provides the keys.
    #[arg(long, env = "PATCH_SSH_KEY_FILE")]
    pub ssh_key_file: Option<PathBuf>,

    /// User for SSH to real hosts, unless the CMDB names one.
    #[arg(long, env = "PATCH_SSH_USER", default_value = "root")]
    pub ssh_user: String,

    /// Whether the first key that a host shows is accepted and pinned in the CMDB. `false` connects only to hosts whose key the
    /// CMDB knows.
    #[arg(long, env = "PATCH_SSH_LEARN_HOST_KEYS", default_value_t = true, action = clap::ArgAction::Set)]
    pub ssh_learn_host_keys: bool,

    /// Environments in which no template approves a change: values of the tag `env` of hosts, comma-separated. A run with such a
    /// host needs a person's approval, whatever its policy says.
    #[arg(long, env = "PATCH_NEVER_PRE_APPROVED", value_delimiter = ',')]
    pub never_pre_approved: Vec<String>,

    /// Number of hosts that one playbook works on at once. More than the cores of this machine can serve only helps while hosts
    /// wait.
    #[arg(long, env = "PATCH_FORKS", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub forks: u16,

    /// Seconds after which a playbook that gives no sign of life is ended. It gives one every five seconds.
    #[arg(long, env = "PATCH_PLAYBOOK_SILENCE_SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(15..=3600))]
    pub playbook_silence_seconds: u32,

    /// Hours to keep the files of playbooks after the end of their run.
    #[arg(long, env = "PATCH_KEEP_RUN_FILES_HOURS", default_value_t = 168, value_parser = clap::value_parser!(u32).range(1..=8760))]
    pub keep_run_files_hours: u32,

    #[command(flatten)]
    pub vault: VaultSettings,

    /// Address at which people reach the dashboard; used in e-mails.
    #[arg(long, env = "PATCH_PUBLIC_URL", default_value = "http://127.0.0.1:8080")]
    pub public_url: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            itsm_url: "http://127.0.0.1:8082".to_owned(),
            sim_engine_url: "http://127.0.0.1:8083".to_owned(),
            ansible_playbook: None,
            playbooks: None,
            ssh_key_file: None,
            ssh_user: "root".to_owned(),
            ssh_learn_host_keys: true,
            never_pre_approved: Vec::new(),
            forks: 24,
            playbook_silence_seconds: 60,
            keep_run_files_hours: 168,
            vault: VaultSettings::default(),
            public_url: "http://127.0.0.1:8080".to_owned(),
        }
    }
}
