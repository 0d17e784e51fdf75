use api_types::access::Role;
use clap::{Args, Subcommand};
use uuid::Uuid;

use super::{Most, parse_name};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  patchctl token create arjun --role approver --days 30
  patchctl token create ci-pipeline --role operator > ~/.patch-token && chmod 600 ~/.patch-token")]
pub enum TokenCommand {
    /// Issue a token. Its secret is printed only this once; without a terminal, only the secret is printed.
    Create {
        /// The person or program that uses it.
        subject: String,
        /// viewer, operator, approver, admin or service; repeat it for several roles.
        #[arg(long = "role", required = true, value_parser = parse_name::<Role>)]
        roles: Vec<Role>,
        /// Days until it expires.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=365))]
        days: u32,
    },
    /// List tokens, without their secrets.
    List(Most),
    /// Revoke a token; every service refuses it within seconds.
    Revoke { id: Uuid },
}

#[derive(Debug, Args)]
pub struct AuditArguments {
    /// Only records of this object, such as `policy/policy-rhel9-baseline`.
    #[arg(long)]
    pub object: Option<String>,
    #[command(flatten)]
    pub most: Most,
}
