use api_types::access::{ProposalState, Role, Subject};
use clap::{Args, Subcommand};
use uuid::Uuid;

use super::{Most, parse_name};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  patchctl token create arjun --role approver --days 30
  patchctl token create ci-pipeline --role operator > ~/.patch-token && chmod 600 ~/.patch-token")]
pub enum TokenCommand {
    /// Issue a token. Its secret is printed only this once; without a terminal, only the secret is printed. A token with the
    /// role approver or admin waits until a second administrator or an approver confirms it, who then gets the secret; the first
    /// approver needs nobody else. Exit status 3 while it waits.
    Create {
        /// The person or program that uses it: 1 to 100 of `a-z 0-9 . _ @ -`.
        subject: Subject,
        /// viewer, operator, approver or admin; repeat it for several roles.
        #[arg(long = "role", required = true, value_parser = parse_name::<Role>)]
        roles: Vec<Role>,
        /// Days until it expires.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=365))]
        days: u32,
    },
    /// Show who the token of this command belongs to, its roles, and when it expires.
    Whoami,
    /// List tokens, without their secrets.
    List(Most),
    /// Revoke a token; every service refuses it within seconds.
    Revoke { id: Uuid },
}

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  patchctl person add arjun --email arjun@example.org --role approver
  patchctl person list
  patchctl person approvers")]
pub enum PersonCommand {
    /// Write the record of a person: the subject of their tokens, the addresses that you have verified, and what they may do
    /// by the link in an e-mail. It replaces an earlier record. A new approver or administrator, and a new address of one,
    /// wait until a second administrator or an approver confirms them. Exit status 3 while it waits.
    Add {
        subject: Subject,
        /// An address of the person; repeat it for several.
        #[arg(long = "email", value_name = "ADDRESS")]
        emails: Vec<String>,
        /// viewer, operator, approver or admin; repeat it for several roles.
        #[arg(long = "role", required = true, value_parser = parse_name::<Role>)]
        roles: Vec<Role>,
    },
    /// List people with their addresses and roles.
    List(Most),
    /// Remove a person: no link decides for them any more. Revoke their tokens, too.
    Remove { subject: Subject },
    /// List who can approve changes now, and who made them approvers.
    Approvers,
}

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  patchctl proposal list --state pending
  patchctl --token-file arjun-token proposal confirm 018f4e3a-0000-7000-8000-000000000002")]
pub enum ProposalCommand {
    /// List what waits for a second person, and what did.
    List {
        /// pending, confirmed or rejected.
        #[arg(long, value_parser = parse_name::<ProposalState>)]
        state: Option<ProposalState>,
        #[command(flatten)]
        most: Most,
    },
    /// Confirm what somebody else proposed. The secret of a token is printed only this once; without a terminal, only the secret
    /// is printed.
    Confirm { id: Uuid },
    /// Reject a proposal, or withdraw an own one.
    Reject { id: Uuid },
}

#[derive(Debug, Args)]
pub struct AuditArguments {
    /// Only records of this object, such as `policy/policy-rhel9-baseline`.
    #[arg(long)]
    pub object: Option<String>,
    #[command(flatten)]
    pub most: Most,
}
