//! What one client, or many, may take of a service before others are affected. The doc comments are the manual.

use std::time::Duration;

use clap::value_parser;

#[derive(Debug, Clone, clap::Args)]
pub struct Limits {
    /// Maximum number of open connections of this service; never more than half of the files that the process may open. Beyond
    /// it, the connection that waits longest without a whole request makes room; if all have requests, the new one gets 503.
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 2000, value_parser = value_parser!(u32).range(8..=100_000))]
    pub max_connections: u32,

    /// The same for one client address. Clients behind a proxy share its address.
    #[arg(long, env = "MAX_CONNECTIONS_PER_ADDRESS", default_value_t = 1000, value_parser = value_parser!(u32).range(4..=100_000))]
    pub max_connections_per_address: u32,

    /// Seconds in which the head of a request must arrive, from its first byte.
    #[arg(long, env = "HEADER_TIMEOUT_SECONDS", default_value_t = 15, value_parser = value_parser!(u32).range(1..=3600))]
    pub header_timeout_seconds: u32,

    /// Seconds for which a connection may stay open without a request. Longer than clients and proxies keep theirs, which would
    /// otherwise send a request while it is closed.
    #[arg(long, env = "IDLE_TIMEOUT_SECONDS", default_value_t = 120, value_parser = value_parser!(u32).range(1..=3600))]
    pub idle_timeout_seconds: u32,

    /// Seconds in which the body of a request must arrive; after that, the answer is 408.
    #[arg(long, env = "BODY_TIMEOUT_SECONDS", default_value_t = 25, value_parser = value_parser!(u32).range(1..=3600))]
    pub body_timeout_seconds: u32,

    /// Writes per second of one token, in the long run; of one address, four times as many. Ten seconds' worth may come at
    /// once. Beyond it, the answer is 429. Services are not limited. 0: no limit.
    #[arg(long, env = "MAX_WRITES_PER_SECOND", default_value_t = 500, value_parser = value_parser!(u32).range(0..=100_000))]
    pub max_writes_per_second: u32,

    /// Failed sign-ins per second of one address, in the long run; ten seconds' worth may come at once. Beyond it, tokens that
    /// this service has not seen yet get 429. 0: no limit.
    #[arg(long, env = "MAX_FAILED_SIGN_INS_PER_SECOND", default_value_t = 100, value_parser = value_parser!(u32).range(0..=100_000))]
    pub max_failed_sign_ins_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 2000,
            max_connections_per_address: 1000,
            header_timeout_seconds: 15,
            idle_timeout_seconds: 120,
            body_timeout_seconds: 25,
            max_writes_per_second: 500,
            max_failed_sign_ins_per_second: 100,
        }
    }
}

impl Limits {
    pub(crate) fn header_timeout(&self) -> Duration {
        Duration::from_secs(self.header_timeout_seconds.into())
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout_seconds.into())
    }

    pub(crate) fn body_timeout(&self) -> Duration {
        Duration::from_secs(self.body_timeout_seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    #[test]
    fn defaults_of_the_command_line_and_of_the_code_are_the_same() {
        let command = Limits::augment_args(Command::new("limits").no_binary_name(true));
        let parsed = Limits::from_arg_matches(&command.get_matches_from([""; 0])).unwrap();
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Limits::default()));
    }
}
