//! Configuration that every service has. The doc comments are the manual: `--help` prints them.

use std::{net::SocketAddr, path::PathBuf};

use secrecy::SecretString;

use crate::{
    audit_export::AuditExportConfig, limits::Limits, oidc::OidcConfig, telemetry::LogFormat, tls::TlsConfig,
    webhooks::WebhookConfig,
};

#[derive(Debug, Clone, clap::Args)]
pub struct DatabaseConfig {
    /// PostgreSQL to use: `postgres://user@host/database`. Prefer the environment to the command line,
    /// which other users of the machine can read.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, required_unless_present = "database_url_file")]
    pub database_url: Option<SecretString>,

    /// File with the URL of the database, for containers, whose environment can be inspected.
    #[arg(long, env = "DATABASE_URL_FILE", conflicts_with = "database_url")]
    pub database_url_file: Option<PathBuf>,

    /// Maximum number of connections of this service, without a few for heartbeats, notifications and tokens. Half of them serve
    /// runs, orders and other services, half the requests of clients; at least two each. The patch-manager opens up to half as
    /// many more for short reads.
    #[arg(long, env = "DATABASE_MAX_CONNECTIONS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=200))]
    pub database_max_connections: u32,
}

#[derive(Debug, Clone, clap::Args)]
pub struct ServeConfig {
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// Address to listen on.
    #[arg(long, env = "LISTEN")]
    pub listen: Option<SocketAddr>,

    /// File with the token for requests to the other services.
    #[arg(long, env = "SERVICE_TOKEN_FILE")]
    pub service_token_file: PathBuf,

    #[command(flatten)]
    pub tls: TlsConfig,

    #[command(flatten)]
    pub webhooks: WebhookConfig,

    #[command(flatten)]
    pub audit_export: AuditExportConfig,

    #[command(flatten)]
    pub oidc: OidcConfig,

    #[command(flatten)]
    pub limits: Limits,

    /// `text` for people, `json` for collectors.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}
