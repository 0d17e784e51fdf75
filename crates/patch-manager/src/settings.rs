//! What the patch-manager is told at its start.

use std::path::PathBuf;

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

    /// Hosts one playbook works on at once; beyond what the machine's cores can do, more only helps against waiting.
    #[arg(long, env = "PATCH_FORKS", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub forks: u16,

    /// Address under which people reach the dashboard; used in mails.
    #[arg(long, env = "PATCH_PUBLIC_URL", default_value = "http://127.0.0.1:8080")]
    pub public_url: String,
}
