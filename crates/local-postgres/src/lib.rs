//! Launcher of a private PostgreSQL cluster: one server that belongs to the calling process alone.
//!
//! Plain blocking code on the standard library, so that it serves a runtime, a test and a build tool alike; in async
//! code call it from a blocking thread. It never downloads or installs PostgreSQL, never opens a connection to it,
//! and never touches a cluster that it did not make.
//!
//! What always holds:
//! - a server never outlives its owner: the kernel stops it when the owner dies, even by SIGKILL;
//! - one owner per cluster folder: a second one is refused while the first lives;
//! - nobody but the owner's user (and root) can connect: the socket stands in a 0700 folder and the kernel vouches for
//!   the peer's user; over TCP a random password is asked for.

mod binaries;
mod cluster;
mod config;
mod ephemeral;
mod error;
mod postmaster;
mod server;
mod server_user;

pub use binaries::find_bin_dir;
pub use config::{Listen, LocalPostgresConfig};
pub use ephemeral::EphemeralPostgres;
pub use error::LaunchError;
pub use server::LocalPostgres;
pub use server_user::check_reachable;
