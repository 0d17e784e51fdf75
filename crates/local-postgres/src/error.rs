use std::io;
use std::path::PathBuf;

/// Why a private cluster could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error(
        "no PostgreSQL server programs found (searched PG_BINDIR, /usr/lib/postgresql/*/bin and PATH); run `apt-get install postgresql` or set PG_BINDIR"
    )]
    BinariesMissing,

    #[error("`{}` does not contain `initdb` and `postgres`; set it to the folder that does", dir.display())]
    NotABinDir { dir: PathBuf },

    #[error(
        "the cluster in `{}` was created by PostgreSQL {cluster}, but `{}` is PostgreSQL {binaries}; install PostgreSQL {cluster} or choose another data folder",
        data_dir.display(), bin_dir.display()
    )]
    VersionMismatch { data_dir: PathBuf, bin_dir: PathBuf, cluster: u32, binaries: u32 },

    #[error(
        "`{}` is in use by process {owner}; stop that process or choose another data folder",
        data_dir.display()
    )]
    InUse { data_dir: PathBuf, owner: String },

    #[error("`{}` is not empty and is not a cluster of this launcher; choose an empty or new folder", data_dir.display())]
    ForeignFolder { data_dir: PathBuf },

    #[error(
        "PostgreSQL refuses to run as root, and user `{user}`, who would run the server instead, cannot enter `{}`; choose a folder whose parents everyone can enter (`chmod o+x`, or another place such as /var/lib)",
        dir.display()
    )]
    Unreachable { dir: PathBuf, user: String },

    #[error(
        "PostgreSQL refuses to run as root, and neither user `postgres` nor `nobody` exists; create one of them"
    )]
    NoServerUser,

    #[error(
        "the socket path `{}` is {length} bytes long and the system allows 107; choose a shorter data folder",
        path.display()
    )]
    SocketPathTooLong { path: PathBuf, length: usize },

    #[error("port {port} on 127.0.0.1 is taken; choose another port")]
    PortTaken { port: u16 },

    #[error("`{program}` failed: {detail}; its full output is in `{}`", log.display())]
    ProgramFailed { program: &'static str, detail: String, log: PathBuf },

    #[error("PostgreSQL was not ready after {seconds} s; see `{}`", log.display())]
    NotReady { seconds: u64, log: PathBuf },

    #[error("the server process {pid} of an earlier start in `{}` does not end; stop it manually", data_dir.display())]
    LeftoverServer { data_dir: PathBuf, pid: u32 },

    #[error("cannot {action} `{}`", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

impl LaunchError {
    /// For `map_err`: names the failed action and its path.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
