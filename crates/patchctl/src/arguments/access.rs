use std::path::PathBuf;

use api_types::{
    access::{CiId, ProposalState, Role, Subject},
    rights::SERVICES,
};
use clap::{Args, Subcommand};
use service_kit::audit_export::PublicKey;
use uuid::Uuid;

use super::{Most, ShortId, parse_name};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  patchctl token create arjun --role approver --days 30
  patchctl token create ci-pipeline --role operator > ~/.patch-token && chmod 600 ~/.patch-token
  patchctl token create --role agent --ci web-07
  patchctl --token-file /etc/patch-agent/token token rotate")]
pub enum TokenCommand {
    /// Issue a token. Its secret is printed only this once; without a terminal, only the secret is printed. A token with the
    /// role approver or admin waits until a second administrator or an approver confirms it, who then gets the secret; the first
    /// approver needs nobody else. Exit status 3 while it waits.
    Create {
        /// The person or program that uses it: 1 to 100 of `a-z 0-9 . _ @ -`. Default for an agent: `agent-` and its CI.
        #[arg(required_unless_present = "ci")]
        subject: Option<Subject>,
        /// viewer, operator, approver, auditor, admin or agent; repeat it for several roles.
        #[arg(long = "role", required = true, value_parser = parse_name::<Role>)]
        roles: Vec<Role>,
        /// The host of an agent, which pushes its inventory and does nothing else.
        #[arg(long, value_name = "CI")]
        ci: Option<CiId>,
        /// Days until it expires.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=365))]
        days: u32,
    },
    /// Show who the token of this command belongs to, its roles, and when it expires.
    Whoami,
    /// List tokens, without their secrets.
    List(Most),
    /// Revoke a token; every service refuses it within seconds. With the token of an agent, all those of agents of its CI are
    /// revoked.
    Revoke { id: ShortId<Uuid> },
    /// Replace the token of an agent, with which this is called, by a new one for the same time. Its secret is printed only this
    /// once; the old one expires within an hour.
    Rotate,
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
        /// viewer, operator, approver, auditor or admin; repeat it for several roles.
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
    Confirm { id: ShortId<Uuid> },
    /// Reject a proposal, or withdraw an own one.
    Reject { id: ShortId<Uuid> },
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct AuditArguments {
    #[command(subcommand)]
    pub command: Option<AuditCommand>,
    /// Only records of this object, such as `policy/policy-rhel9-baseline`.
    #[arg(long)]
    pub object: Option<String>,
    #[command(flatten)]
    pub most: Most,
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check the audit log of each service against its chain of hashes, and against ends of it that were exported. Note the printed positions and hashes elsewhere: `--head`
    /// checks later that the chain still contains them. Exit status 1 if anything does not fit.
    Verify {
        /// A position and hash that an earlier check printed, as SERVICE:POSITION:HASH; repeat it for several services.
        #[arg(long = "head", value_name = "HEAD")]
        heads: Vec<AuditHead>,
        /// A file of ends that the services exported: the file they wrote, or that of a syslog server. The first difference from the
        /// chains is named. Repeat it for several files.
        #[arg(long, value_name = "FILE", requires = "public_keys")]
        exported: Vec<PathBuf>,
        /// The key that checks the signatures of exported ends, as it was noted from `audit exports`; repeat it after a change of the
        /// key.
        #[arg(long = "public-key", value_name = "KEY", requires = "exported")]
        public_keys: Vec<PublicKey>,
    },
    /// Show where the ends of the chains go, what became of the last ones, and the key that checks them: note it elsewhere.
    Exports,
}

/// An end of a chain, as it was noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditHead {
    pub service: String,
    pub position: u32,
    pub hash: String,
}

impl std::str::FromStr for AuditHead {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be SERVICE:POSITION:HASH, as `audit verify` prints it".to_owned();
        let [service, position, hash] = text.split(':').collect::<Vec<_>>()[..] else { return Err(wrong()) };
        let position = position.parse().ok().filter(|position| *position > 0).ok_or_else(wrong)?;
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !SERVICES.contains(&service) || !is_hash {
            return Err(wrong());
        }
        Ok(Self { service: service.to_owned(), position, hash: hash.to_ascii_lowercase() })
    }
}
