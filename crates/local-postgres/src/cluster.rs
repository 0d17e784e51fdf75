//! The cluster folder: who owns it, what is in it, and how it is created.
//!
//! ```text
//! <data_dir>/            the owner's; closed to all others but the server's user
//!   lock                 held by the owning process; contains its pid
//!   data/                0700, the server user's: PostgreSQL's own folder
//!   socket/              0700, the server user's: the Unix socket
//!   password             0600, the superuser's password for TCP
//!   hba.conf ident.conf  who may connect; rewritten at every start
//!   server.log           the server's output
//! ```
//!
//! When root starts a server under another user, only `data` and `socket` belong to that user. Everything that root
//! writes is in root's own folder, so that a compromised server cannot place a link there for root to write through.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bound_child::BoundCommand;
use nix::sys::signal::Signal;

use crate::LaunchError;
use crate::server_user::ServerUser;

/// Name of the superuser role in every private cluster.
pub(crate) const SUPERUSER: &str = "postgres";

const SOCKET_PATH_LIMIT: usize = 107;
const INITDB_DEADLINE: Duration = Duration::from_secs(120);
/// A larger log is renamed to `server.log.1` at the next start.
const LOG_LIMIT_BYTES: u64 = 10_000_000;

pub(crate) struct Cluster {
    pub(crate) root: PathBuf,
    pub(crate) user: ServerUser,
    /// Open for its lock, which the kernel releases when the process ends.
    lock: File,
}

impl Cluster {
    /// Creates or opens the cluster folder and becomes its only owner.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, LaunchError> {
        let user = ServerUser::detect()?;
        let root = std::path::absolute(data_dir).map_err(LaunchError::io("resolve", data_dir))?;
        user.check_reachable(&root)?;
        check_socket_length(&root)?;
        fs::create_dir_all(&root).map_err(LaunchError::io("create", &root))?;
        let root = root.canonicalize().map_err(LaunchError::io("resolve", &root))?;
        check_not_foreign(&root)?;
        let lock = lock(&root)?;
        user.share(&root, 0o700, 0o010).map_err(LaunchError::io("restrict", &root))?;
        private_dir(&root.join("socket"), &user)?;
        Ok(Self { root, user, lock })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.root.join("socket")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("server.log")
    }

    pub(crate) fn password(&self) -> Result<String, LaunchError> {
        let path = self.root.join("password");
        fs::read_to_string(&path).map_err(LaunchError::io("read", path))
    }

    /// Major version of the data, if there is any.
    pub(crate) fn version(&self) -> Result<Option<u32>, LaunchError> {
        let path = self.data().join("PG_VERSION");
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(LaunchError::io("read", &path))?;
        Ok(text.trim().parse().ok())
    }

    /// Creates the data folder. The rest of an interrupted start is removed first; the complete folder appears by rename.
    pub(crate) fn initialize(&self, bin_dir: &Path, durable: bool) -> Result<(), LaunchError> {
        let unfinished = self.root.join("data.new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(LaunchError::io("remove", &unfinished))?;
        }
        private_dir(&unfinished, &self.user)?;
        let password_file = self.root.join("password");
        self.write_shared("password", &random_password()?)?;

        let mut command = self.command(&bin_dir.join("initdb"));
        command
            .arg("--pgdata")
            .arg(&unfinished)
            .arg("--pwfile")
            .arg(&password_file)
            .args(["--username", SUPERUSER, "--encoding", "UTF8", "--locale", "C.UTF-8"])
            .args(["--auth-local", "peer", "--auth-host", "scram-sha-256"])
            .args(["--data-checksums", "--no-instructions"]);
        if !durable {
            command.arg("--no-sync");
        }
        let log = self.root.join("initdb.log");
        let child = self.spawn(command, &log, Signal::SIGTERM)?;
        wait_for_initdb(child, &log)?;
        // The server has its own hash of the password now.
        fs::set_permissions(&password_file, fs::Permissions::from_mode(0o600))
            .map_err(LaunchError::io("restrict", &password_file))?;
        fs::rename(&unfinished, self.data()).map_err(LaunchError::io("rename", &unfinished))
    }

    /// On the socket the kernel identifies the client's user, so no password is needed; over TCP the server asks for one.
    pub(crate) fn write_access_rules(&self) -> Result<(), LaunchError> {
        let rules = "local all all peer map=owner\nhost all all 127.0.0.1/32 scram-sha-256\n";
        self.write_shared("hba.conf", rules)?;
        let idents: String =
            self.user.client_names().iter().map(|name| format!("owner \"{name}\" {SUPERUSER}\n")).collect();
        self.write_shared("ident.conf", &idents)
    }

    /// Removes the sockets of a killed server; call it only when no server is running.
    pub(crate) fn clear_socket(&self) {
        for entry in fs::read_dir(self.socket()).into_iter().flatten().flatten() {
            // If a socket remains, the server reports it.
            let _ = fs::remove_file(entry.path());
        }
    }

    pub(crate) fn rotate_log(&self) -> Result<(), LaunchError> {
        let log = self.log();
        if fs::metadata(&log).is_ok_and(|metadata| metadata.len() > LOG_LIMIT_BYTES) {
            fs::rename(&log, self.root.join("server.log.1")).map_err(LaunchError::io("rename", &log))?;
        }
        Ok(())
    }

    /// A server program in a clean environment: the caller's locale, current folder or `PGDATA` must not affect it.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command.current_dir("/").stdin(Stdio::null());
        self.user.apply(&mut command);
        command
    }

    /// Starts `command` so that it ends with this process, with its output in `log`.
    pub(crate) fn spawn(
        &self,
        mut command: Command,
        log: &Path,
        at_death: Signal,
    ) -> Result<Child, LaunchError> {
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(log)
            .map_err(LaunchError::io("open", log))?;
        let errors = output.try_clone().map_err(LaunchError::io("open", log))?;
        command.stdout(output).stderr(errors);
        let program = PathBuf::from(command.get_program());
        BoundCommand::new(command, at_death).spawn().map_err(LaunchError::io("run", program))
    }

    /// Writes a file that the server's user can read.
    fn write_shared(&self, name: &str, text: &str) -> Result<(), LaunchError> {
        let path = self.root.join(name);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(LaunchError::io("write", &path))?;
        file.write_all(text.as_bytes()).map_err(LaunchError::io("write", &path))?;
        self.user.share(&path, 0o600, 0o040).map_err(LaunchError::io("share", &path))
    }
}

impl Drop for Cluster {
    /// Closing the file is not enough: a child that another thread has just forked may still hold the lock.
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

/// Whether a process owns the cluster in `root` right now.
pub(crate) fn is_held(root: &Path) -> bool {
    File::open(root.join("lock")).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// The last lines of a log after byte `from`, for error messages.
pub(crate) fn log_tail(log: &Path, from: u64) -> String {
    let text = fs::read(log).unwrap_or_default();
    let new = text.get(usize::try_from(from).unwrap_or(0)..).unwrap_or_default();
    let text = String::from_utf8_lossy(new);
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).rev().take(5).collect();
    lines.reverse();
    lines.join(" | ")
}

fn check_socket_length(root: &Path) -> Result<(), LaunchError> {
    let path = root.join("socket/.s.PGSQL.5432");
    let length = path.as_os_str().len();
    if length > SOCKET_PATH_LIMIT {
        return Err(LaunchError::SocketPathTooLong { path, length });
    }
    Ok(())
}

/// A mistyped path, such as a home folder, must not change its owner.
fn check_not_foreign(root: &Path) -> Result<(), LaunchError> {
    let mut entries = fs::read_dir(root).map_err(LaunchError::io("read", root))?;
    if entries.next().is_some() && !root.join("lock").exists() {
        return Err(LaunchError::ForeignFolder { data_dir: root.to_path_buf() });
    }
    Ok(())
}

fn lock(root: &Path) -> Result<File, LaunchError> {
    let path = root.join("lock");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(LaunchError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let _ = file.read_to_string(&mut owner);
            return Err(LaunchError::InUse { data_dir: root.to_path_buf(), owner: owner.trim().to_owned() });
        }
        Err(TryLockError::Error(error)) => return Err(LaunchError::io("lock", path)(error)),
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(LaunchError::io("write", &path))?;
    Ok(file)
}

/// A folder that only the server's user can access.
fn private_dir(path: &Path, user: &ServerUser) -> Result<(), LaunchError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(LaunchError::io("create", path)(error)),
        Ok(()) | Err(_) => user.take_ownership(path).map_err(LaunchError::io("hand over", path)),
    }
}

fn wait_for_initdb(mut child: Child, log: &Path) -> Result<(), LaunchError> {
    let deadline = Instant::now() + INITDB_DEADLINE;
    loop {
        if let Some(status) = child.try_wait().map_err(LaunchError::io("wait for", "initdb"))? {
            if status.success() {
                return Ok(());
            }
            return Err(LaunchError::ProgramFailed {
                program: "initdb",
                detail: log_tail(log, 0),
                log: log.to_path_buf(),
            });
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            return Err(LaunchError::NotReady { seconds: INITDB_DEADLINE.as_secs(), log: log.to_path_buf() });
        }
        sleep(Duration::from_millis(5));
    }
}

fn random_password() -> Result<String, LaunchError> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0_u8; 24];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(LaunchError::io("read", source))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
