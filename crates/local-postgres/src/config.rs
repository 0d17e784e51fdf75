use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where a private cluster lives and how it is reached.
#[derive(Debug, Clone)]
pub struct LocalPostgresConfig {
    /// Folder of the cluster. It is made when missing and then holds the data, the socket and the server's log; it must
    /// be empty or made by an earlier start.
    pub data_dir: PathBuf,
    /// Folder with `initdb` and `postgres`; found by [`crate::find_bin_dir`] when absent.
    pub bin_dir: Option<PathBuf>,
    pub listen: Listen,
    /// Server settings by their names in `postgresql.conf`, such as `max_connections`; they win over the launcher's own.
    pub settings: BTreeMap<String, String>,
    /// Gives up durability against power loss for speed: for throw-away clusters only.
    pub durable: bool,
}

impl LocalPostgresConfig {
    /// A durable cluster in `data_dir`, reached by its socket alone.
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

/// Every cluster listens on its Unix socket; TCP comes on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    SocketOnly,
    /// Also on 127.0.0.1 with password; a free port is picked when none is given and kept until the owner ends.
    Tcp {
        port: Option<u16>,
    },
}
