use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where a private cluster is and how to reach it.
#[derive(Debug, Clone)]
pub struct LocalPostgresConfig {
    /// Folder of the cluster: data, socket and the server's log. It is created if missing; otherwise it must be empty or
    /// created by an earlier start.
    pub data_dir: PathBuf,
    /// Folder with `initdb` and `postgres`; by default that of [`crate::find_bin_dir`].
    pub bin_dir: Option<PathBuf>,
    pub listen: Listen,
    /// Server settings by their names in `postgresql.conf`, such as `max_connections`; they override the launcher's own.
    pub settings: BTreeMap<String, String>,
    /// Whether committed data survives a power loss. `false` is faster: only for throw-away clusters.
    pub durable: bool,
}

impl LocalPostgresConfig {
    /// A durable cluster in `data_dir` that listens only on its socket.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            bin_dir: None,
            listen: Listen::SocketOnly,
            settings: BTreeMap::new(),
            durable: true,
        }
    }
}

/// Every cluster listens on its Unix socket; TCP is optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    SocketOnly,
    /// Also on 127.0.0.1 with a password. By default a free port is chosen and kept until the owner ends.
    Tcp {
        port: Option<u16>,
    },
}
