use api_types::access::CiId;
use clap::Subcommand;
use uuid::Uuid;

use super::{Most, ShortId};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  patchctl webhook create https://hooks.example.org/patching
  patchctl webhook create https://deploy.acme.example/start --customer acme-corp > acme.whsec && chmod 600 acme.whsec
  patchctl webhook rotate 018f4e3a-0000-7000-8000-000000000002 --overlap-hours 48")]
pub enum WebhookCommand {
    /// Register a receiver of webhooks. Its secret is printed only this once; without a terminal, only the secret is printed.
    /// Messages are signed as the Standard Webhooks specification says; none is sent to an address that is not registered.
    Create {
        /// The address, exactly as it is in a policy, a customer or a release policy.
        url: String,
        /// The customer whose messages it gets: for deployers and contacts of customers. Each customer has a secret of its own.
        #[arg(long)]
        customer: Option<CiId>,
    },
    /// List receivers, without their secrets.
    List(Most),
    /// Replace the secret of a receiver. The new one is printed only this once; without a terminal, only the secret is printed.
    Rotate {
        id: ShortId<Uuid>,
        /// Hours for which the old secret signs next to the new one.
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(0..=720), value_name = "HOURS")]
        overlap_hours: u32,
    },
    /// Remove a receiver: messages to it fail, and its callbacks are refused.
    Delete { id: ShortId<Uuid> },
}
