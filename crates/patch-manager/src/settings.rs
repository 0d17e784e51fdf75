//! What the patch-manager is told at its start.

use std::path::PathBuf;

use domain::time::Crontab;

pub use crate::vault::VaultSettings;

#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Where the CMDB answers.
    #[arg(long, env = "CMDB_URL", default_value = "http://127.0.0.1:8081")]
    pub cmdb_url: String,

    /// Where ITSM answers.
    #[arg(long, env = "ITSM_URL", default_value = "http://127.0.0.1:8082")]
    pub itsm_url: String,

    /// Where the sim-engine answers.
    #[arg(long, env = "SIM_ENGINE_URL", default_value = "http://127.0.0.1:8083")]
    pub sim_engine_url: String,

    /// The `ansible-playbook` program; looked for on the PATH when unsaid.
    #[arg(long, env = "PATCH_ANSIBLE_PLAYBOOK")]
    pub ansible_playbook: Option<PathBuf>,

    /// Folder of the playbooks; those beside the program when unsaid.
    #[arg(long, env = "PATCH_PLAYBOOKS")]
    pub playbooks: Option<PathBuf>,

    /// Folder for inventories, results and logs of playbooks.
    #[arg(long, env = "PATCH_WORK_DIR", default_value = "/var/lib/patch-manager/work")]
    pub work_dir: PathBuf,

    /// Private key to enter real hosts with, where none comes from elsewhere.
    #[arg(long, env = "PATCH_SSH_KEY_FILE")]
    pub ssh_key_file: Option<PathBuf>,

    /// User to enter real hosts as, when the CMDB names none.
    #[arg(long, env = "PATCH_SSH_USER", default_value = "root")]
    pub ssh_user: String,

    /// Whether the key a host shows first is taken and pinned in the CMDB; `false` enters only hosts whose key the CMDB knows.
    #[arg(long, env = "PATCH_SSH_LEARN_HOST_KEYS", default_value_t = true, action = clap::ArgAction::Set)]
    pub ssh_learn_host_keys: bool,

    /// Hosts one playbook works on at once; beyond what the machine's cores can do, more only helps against waiting.
    #[arg(long, env = "PATCH_FORKS", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub forks: u16,

    /// Folder of the programs that policies may name as maintenance hooks; they run as this service. Without it policies
    /// with hooks are refused.
    #[arg(long, env = "PATCH_HOOKS_DIR")]
    pub hooks_dir: Option<PathBuf>,

    /// Hours for which the files of playbooks are kept after the end of their run.
    #[arg(long, env = "PATCH_KEEP_RUN_FILES_HOURS", default_value_t = 168, value_parser = clap::value_parser!(u32).range(1..=8760))]
    pub keep_run_files_hours: u32,

    /// Folder of the programs and playbooks that release policies may name as checks; they run as this service.
    #[arg(long, env = "PATCH_RELEASE_CHECKS")]
    pub release_checks: Option<PathBuf>,

    /// File that holds the secret with which deployers' webhooks and their callbacks are signed, 16 bytes or more.
    #[arg(long, env = "PATCH_WEBHOOK_SECRET_FILE")]
    pub webhook_secret_file: Option<PathBuf>,

    /// Customers' endpoints and deployers that may be reached although they are on a private network or an unusual port:
    /// `host` or `host:port`, parted by commas.
    #[arg(long, env = "PATCH_ALLOW_OUTBOUND_TO", value_delimiter = ',')]
    pub allow_outbound_to: Vec<String>,

    #[command(flatten)]
    pub vault: VaultSettings,

    /// Address under which people reach the dashboard; used in mails.
    #[arg(long, env = "PATCH_PUBLIC_URL", default_value = "http://127.0.0.1:8080")]
    pub public_url: String,

    #[command(flatten)]
    pub feeds: FeedSettings,
}

/// Where feeds of advisories come from without anybody sending them.
#[derive(Debug, Clone, clap::Args)]
pub struct FeedSettings {
    /// Folder whose feeds are imported as they appear or change; none is watched when unsaid.
    #[arg(long, env = "PATCH_FEEDS_DIR")]
    pub feeds_dir: Option<PathBuf>,

    /// Five-field crontab expression in UTC: the folder is looked at then alone, not all the time.
    #[arg(long, env = "PATCH_FEEDS_SCHEDULE")]
    pub feeds_schedule: Option<Crontab>,

    /// Largest feed, as it is sent.
    #[arg(long, env = "PATCH_FEED_MAX_BYTES", default_value_t = FeedSettings::MAX_BYTES)]
    pub feed_max_bytes: u64,
}

impl FeedSettings {
    const MAX_BYTES: u64 = 256 << 20;
}

impl Default for FeedSettings {
    fn default() -> Self {
        Self { feeds_dir: None, feeds_schedule: None, feed_max_bytes: Self::MAX_BYTES }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cmdb_url: "http://127.0.0.1:8081".to_owned(),
            itsm_url: "http://127.0.0.1:8082".to_owned(),
            sim_engine_url: "http://127.0.0.1:8083".to_owned(),
            ansible_playbook: None,
            playbooks: None,
            work_dir: "/var/lib/patch-manager/work".into(),
            ssh_key_file: None,
            ssh_user: "root".to_owned(),
            ssh_learn_host_keys: true,
            forks: 24,
            hooks_dir: None,
            release_checks: None,
            webhook_secret_file: None,
            allow_outbound_to: Vec::new(),
            keep_run_files_hours: 168,
            vault: VaultSettings::default(),
            public_url: "http://127.0.0.1:8080".to_owned(),
            feeds: FeedSettings::default(),
        }
    }
}
