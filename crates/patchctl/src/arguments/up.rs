use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;
use service_kit::telemetry::LogFormat;

#[derive(Debug, Args)]
#[command(after_help = "\
Prints the addresses of the services and then the line `ready`. The admin token is in the file admin-token in the data
folder. With the private PostgreSQL, root needs a data folder that other users can reach, such as /var/lib/patch-manager.

Examples:
  patchctl up
  patchctl up --data-dir /srv/patch --port-base 18080
  DATABASE_URL=postgres://patch@db.example.com/patch patchctl up --bind 0.0.0.0 --tls --log-format json")]
pub struct UpArguments {
    /// PostgreSQL to use instead of the private one. Prefer the environment variable: other users of the machine cannot
    /// read it.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<SecretString>,

    /// File that contains the database URL.
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "FILE", conflicts_with = "database_url")]
    pub database_url_file: Option<PathBuf>,

    /// Address to listen on. If other machines reach it, --tls or --allow-plain-http is needed.
    #[arg(long, env = "PATCH_BIND", default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub bind: IpAddr,

    /// Speak TLS, with an authority that this platform makes for itself in the folder tls of the data folder, from now on: also at
    /// later starts, until that folder is removed. Other machines must trust its authority.pem.
    #[arg(long, env = "PATCH_TLS", conflicts_with = "allow_plain_http")]
    pub tls: bool,

    /// Speak plain HTTP on an address that other machines reach. Who reads the network then has the tokens.
    #[arg(long, env = "ALLOW_PLAIN_HTTP")]
    pub allow_plain_http: bool,

    /// Let the sim-engine be a laboratory, in which people create, delete and break machines. By default only runs use it.
    #[arg(long, env = "PATCH_LABORATORY")]
    pub laboratory: bool,

    /// File to append the log to; default standard error. RUST_LOG selects what is logged.
    #[arg(long, env = "PATCH_LOG_FILE", value_name = "FILE")]
    pub log_file: Option<PathBuf>,

    /// `text` for people, `json` for log collectors.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}
