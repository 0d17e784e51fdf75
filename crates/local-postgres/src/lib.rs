//! Launches a private PostgreSQL cluster: a server that belongs only to the calling process.
//!
//! Blocking code on the standard library, so that a service, a test and a build tool can use it; in async code call it
//! from a blocking thread. It never downloads or installs PostgreSQL, never opens a connection to it, and never touches a
//! cluster that it did not create.
//!
//! What always holds:
//! - a server never outlives its owner: the kernel stops it when the owner dies, even by SIGKILL;
//! - one owner per cluster folder: a second one is refused while the first lives;
//! - only the owner's user (and root) can connect: the socket is in a 0700 folder and the kernel identifies the client's
//!   user; over TCP the server asks for a random password.

mod binaries;
mod cluster;
mod config;
mod ephemeral;
mod error;
mod postmaster;
mod server;
mod server_user;

pub use binaries::{find_bin_dir, find_bin_dir_of};
pub use config::{Listen, LocalPostgresConfig};
pub use ephemeral::EphemeralPostgres;
pub use error::LaunchError;
pub use server::{LocalPostgres, socket_url};
pub use server_user::check_reachable;
