use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::cluster::{Cluster, SUPERUSER, log_tail};
use crate::{LaunchError, Listen, LocalPostgresConfig, binaries, postmaster};

/// Long, because after a crash the server first replays its write-ahead log.
const READY_DEADLINE: Duration = Duration::from_secs(120);
/// After this time an immediate stop follows, from which the server recovers at the next start.
const FAST_STOP: Duration = Duration::from_secs(5);
const IMMEDIATE_STOP: Duration = Duration::from_secs(7);
const POLL: Duration = Duration::from_millis(5);
/// The port in a URL of a cluster that listens only on its socket; it is part of the socket's file name.
const SOCKET_PORT: u16 = 5432;
const PORT_ATTEMPTS: u32 = 5;

/// A running private cluster. Dropping it stops the server and frees the folder.
pub struct LocalPostgres {
    cluster: Cluster,
    bin_dir: PathBuf,
    config: LocalPostgresConfig,
    port: u16,
    password: String,
    /// The server while it runs; empty between `stop_server` and `start_server`.
    server: Mutex<Option<Child>>,
}

/// Address of `database` in the cluster in `folder`, while any process of this user runs it.
pub fn socket_url(folder: &Path, database: &str) -> String {
    url_by_socket(&folder.join("socket"), SOCKET_PORT, database)
}

fn url_by_socket(socket: &Path, port: u16, database: &str) -> String {
    let (database, socket) = (percent_encode(database), percent_encode(&socket.to_string_lossy()));
    format!("postgres://{SUPERUSER}@localhost:{port}/{database}?host={socket}")
}

impl LocalPostgres {
    /// Creates the cluster at the first start, stops a server that a killed owner left behind, starts the server and
    /// returns when it accepts connections.
    pub fn start(config: LocalPostgresConfig) -> Result<Self, LaunchError> {
        let cluster = Cluster::open(&config.data_dir)?;
        let bin_dir = choose_binaries(&cluster, &config)?;
        postmaster::stop_leftover(&cluster.data())?;
        if cluster.version()?.is_none() {
            cluster.initialize(&bin_dir, config.durable)?;
        }
        cluster.write_access_rules()?;
        let password = cluster.password()?;
        let mut postgres =
            Self { cluster, bin_dir, config, port: SOCKET_PORT, password, server: Mutex::new(None) };
        postgres.start_on_chosen_port()?;
        Ok(postgres)
    }

    /// Address of `database` for any PostgreSQL client, as the superuser.
    pub fn url(&self, database: &str) -> String {
        match self.config.listen {
            Listen::SocketOnly => url_by_socket(&self.socket_dir(), self.port, database),
            Listen::Tcp { .. } => {
                let database = percent_encode(database);
                let (password, port) = (&self.password, self.port);
                format!("postgres://{SUPERUSER}:{password}@127.0.0.1:{port}/{database}?sslmode=disable")
            }
        }
    }

    /// Address of the database that always exists, for statements such as `CREATE DATABASE`.
    pub fn maintenance_url(&self) -> String {
        self.url("postgres")
    }

    /// The TCP port on 127.0.0.1, if there is one.
    pub fn port(&self) -> Option<u16> {
        matches!(self.config.listen, Listen::Tcp { .. }).then_some(self.port)
    }

    /// Pid of the server, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.lock_server().as_ref().map(Child::id)
    }

    /// Whether the server process runs; false after `stop_server` or a crash.
    pub fn is_running(&self) -> bool {
        self.lock_server().as_mut().is_some_and(still_running)
    }

    pub fn socket_dir(&self) -> PathBuf {
        self.cluster.socket()
    }

    /// Folder of the server programs in use; it also has `psql` if the package includes it.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// Stops the server as `drop` does, but keeps the folder locked. Open connections are closed, committed data is safe.
    pub fn stop_server(&self) {
        self.halt(&[(Signal::SIGINT, FAST_STOP), (Signal::SIGQUIT, IMMEDIATE_STOP)]);
    }

    /// Stops the server without a last checkpoint, as a crash would; the next start recovers.
    pub fn crash_server(&self) {
        self.halt(&[(Signal::SIGQUIT, IMMEDIATE_STOP)]);
    }

    /// Starts the server again, on the same data and port; does nothing while it runs.
    pub fn start_server(&self) -> Result<(), LaunchError> {
        let mut server = self.lock_server();
        if server.as_mut().is_some_and(still_running) {
            return Ok(());
        }
        *server = None;
        postmaster::stop_leftover(&self.cluster.data())?;
        self.cluster.clear_socket();
        self.cluster.rotate_log()?;
        let deadline = Instant::now() + READY_DEADLINE;
        loop {
            match self.launch(deadline) {
                Ok(child) => {
                    *server = Some(child);
                    return Ok(());
                }
                // The backends of a killed postmaster hold its shared memory for a moment longer.
                Err(Failure::MemoryStillInUse(_)) if Instant::now() < deadline => {
                    sleep(Duration::from_millis(100))
                }
                Err(Failure::MemoryStillInUse(error) | Failure::Final(error)) => return Err(error),
            }
        }
    }

    fn start_on_chosen_port(&mut self) -> Result<(), LaunchError> {
        let free_choice = match self.config.listen {
            Listen::SocketOnly => return self.start_server(),
            Listen::Tcp { port: Some(port) } => {
                self.port = port;
                return self.start_server();
            }
            Listen::Tcp { port: None } => PORT_ATTEMPTS,
        };
        // Another process may take the port before the server does: then try again.
        for _ in 1..free_choice {
            self.port = free_port()?;
            match self.start_server() {
                Err(LaunchError::PortTaken { .. }) => {}
                outcome => return outcome,
            }
        }
        self.port = free_port()?;
        self.start_server()
    }

    fn launch(&self, deadline: Instant) -> Result<Child, Failure> {
        let log = self.cluster.log();
        let log_start = fs::metadata(&log).map_or(0, |metadata| metadata.len());
        let mut child = self.cluster.spawn(self.server_command(), &log, Signal::SIGINT)?;
        let data = self.cluster.data();
        loop {
            if postmaster::is_ready(&data, child.id()) {
                return Ok(child);
            }
            if !still_running(&mut child) {
                return Err(self.explain_exit(&log, log_start));
            }
            if Instant::now() >= deadline {
                end(&mut child, &[(Signal::SIGQUIT, IMMEDIATE_STOP)]);
                let seconds = READY_DEADLINE.as_secs();
                return Err(LaunchError::NotReady { seconds, log }.into());
            }
            sleep(POLL);
        }
    }

    fn explain_exit(&self, log: &Path, log_start: u64) -> Failure {
        let detail = log_tail(log, log_start);
        let program_failed =
            |detail| LaunchError::ProgramFailed { program: "postgres", detail, log: log.to_path_buf() };
        if detail.contains("pre-existing shared memory block") {
            return Failure::MemoryStillInUse(program_failed(detail));
        }
        if detail.contains("could not create any TCP/IP sockets") {
            return LaunchError::PortTaken { port: self.port }.into();
        }
        program_failed(detail).into()
    }

    fn server_command(&self) -> Command {
        let mut command = self.cluster.command(&self.bin_dir.join("postgres"));
        command.arg("-D").arg(self.cluster.data());
        for (name, value) in self.settings() {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command
    }

    fn settings(&self) -> BTreeMap<String, String> {
        let root = &self.cluster.root;
        let addresses = match self.config.listen {
            Listen::SocketOnly => "",
            Listen::Tcp { .. } => "127.0.0.1",
        };
        let mut settings: BTreeMap<String, String> = [
            ("listen_addresses", addresses.to_owned()),
            ("port", self.port.to_string()),
            ("unix_socket_directories", quoted(&self.socket_dir())),
            ("unix_socket_permissions", "0700".to_owned()),
            ("hba_file", root.join("hba.conf").display().to_string()),
            ("ident_file", root.join("ident.conf").display().to_string()),
            ("max_connections", "200".to_owned()),
            ("timezone", "UTC".to_owned()),
            ("log_timezone", "UTC".to_owned()),
            ("log_checkpoints", "off".to_owned()),
            ("log_line_prefix", "%m [%p] ".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if !self.config.durable {
            // `synchronous_commit` stays on: a crash of only the server must not lose confirmed commits.
            for name in ["fsync", "full_page_writes"] {
                settings.insert(name.to_owned(), "off".to_owned());
            }
        }
        settings.extend(self.config.settings.clone());
        settings
    }

    fn halt(&self, steps: &[(Signal, Duration)]) {
        if let Some(mut child) = self.lock_server().take() {
            end(&mut child, steps);
        }
    }

    /// A panic elsewhere leaves the handle intact, so a poisoned lock is fine.
    fn lock_server(&self) -> MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LocalPostgres {
    fn drop(&mut self) {
        self.stop_server();
    }
}

enum Failure {
    MemoryStillInUse(LaunchError),
    Final(LaunchError),
}

impl From<LaunchError> for Failure {
    fn from(error: LaunchError) -> Self {
        Self::Final(error)
    }
}

fn choose_binaries(cluster: &Cluster, config: &LocalPostgresConfig) -> Result<PathBuf, LaunchError> {
    let cluster_version = cluster.version()?;
    let bin_dir = match &config.bin_dir {
        Some(dir) => binaries::checked(dir.clone())?,
        None => binaries::find_for_cluster(cluster_version)?,
    };
    cluster.user.check_reachable(&bin_dir.join("postgres"))?;
    let Some(cluster_version) = cluster_version else {
        return Ok(bin_dir);
    };
    let binaries = binaries::major_version(&bin_dir)?;
    if binaries != cluster_version {
        return Err(LaunchError::VersionMismatch {
            data_dir: cluster.root.clone(),
            bin_dir,
            cluster: cluster_version,
            binaries,
        });
    }
    Ok(bin_dir)
}

fn still_running(child: &mut Child) -> bool {
    matches!(child.try_wait(), Ok(None))
}

/// Sends each signal and waits for its time; kills the process if it is still there.
fn end(child: &mut Child, steps: &[(Signal, Duration)]) {
    for (signal, timeout) in steps {
        postmaster::signal(child.id(), *signal);
        let deadline = Instant::now() + *timeout;
        while Instant::now() < deadline {
            if !still_running(child) {
                return;
            }
            sleep(POLL);
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn free_port() -> Result<u16, LaunchError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(LaunchError::io("bind", "127.0.0.1:0"))
}

/// `unix_socket_directories` is a list: a comma in the path needs quotes.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('"', "\"\""))
}

fn percent_encode(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_path_is_escaped_in_the_url() {
        assert_eq!(percent_encode("/a b/ü?&"), "%2Fa%20b%2F%C3%BC%3F%26");
    }
}
