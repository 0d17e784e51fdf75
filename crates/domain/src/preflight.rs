//! Whether a real host is ready for its update: facts that the host reports before a change is opened, and what they mean.

use serde::{Deserialize, Serialize};

use crate::{
    named::named_enum,
    transaction::{Transaction, bytes_text},
};

#[cfg(test)]
mod tests;

named_enum! {
    /// What preflight checks on a host, in this order.
    PreflightCheck, "a check of preflight" {
        /// The platform's own settings: the key, the address, the user, the host key.
        Access => "access",
        /// Whether the host answers over SSH, with its known host key, and accepts the key.
        Connection => "connection",
        /// Whether the user becomes root.
        Sudo => "sudo",
        /// Whether Python starts on the host.
        Python => "python",
        /// Whether the host can be read, and has a package manager.
        Host => "host",
        /// Whether the locks of the package manager are free.
        Lock => "lock",
        /// Whether no other package transaction of the platform runs.
        Transaction => "transaction",
        /// Free disk space: for the update, and by `min_disk_free_percent` of the policy.
        Disk => "disk",
        /// Free inodes for the files of the update.
        Inodes => "inodes",
        /// Whether the repositories answer.
        Repositories => "repositories",
    }
}

/// A check that a host does not pass.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PreflightFailure {
    pub check: PreflightCheck,
    pub reason: String,
}

/// What a host answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PreflightAnswer {
    Read {
        facts: PreflightFacts,
    },
    /// Nothing can be read on it.
    Refused {
        check: PreflightCheck,
        reason: String,
    },
}

/// Facts about one host. What it does not report is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreflightFacts {
    pub lock: PackageLock,
    /// Names of the platform's transactions that run on it; `None`: their records cannot be read.
    pub transactions: Option<Vec<String>>,
    pub file_systems: Vec<FileSystem>,
    /// Files of the largest package that the update replaces: so many are written before the old ones go.
    pub most_files: Option<u64>,
    pub repositories: RepositoryReach,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PackageLock {
    Free,
    Held {
        path: String,
        /// The process with its command, in words.
        holder: String,
        waited_seconds: u32,
    },
}

/// A file system to which an update writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSystem {
    pub path: String,
    pub holds: Vec<Content>,
    /// Why nothing else about it is known.
    #[serde(default)]
    pub unknown: Option<String>,
    #[serde(default)]
    pub free_bytes: Option<u64>,
    #[serde(default)]
    pub total_bytes: Option<u64>,
    /// `None` also for a file system without a fixed number of inodes.
    #[serde(default)]
    pub free_inodes: Option<u64>,
}

/// What an update writes to a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Kernels and what boots them.
    Boot,
    /// The files of packages, and the package database.
    Files,
    /// Package files that are fetched.
    Downloads,
}

/// Whether the repositories of a host answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RepositoryReach {
    /// Nobody asked: a scan has just fetched their lists, or the package lock was not free.
    NotAsked,
    Answer,
    Failed {
        reason: String,
    },
}

/// What an update needs.
#[derive(Debug, Clone, Copy)]
pub struct PreflightNeed<'a> {
    /// The foreseen transaction; `None`: not known.
    pub transaction: Option<&'a Transaction>,
    pub min_disk_free_percent: u8,
}

impl PreflightAnswer {
    /// Why the host is not ready, in the order of the checks; empty if it is. What is unknown is not a failure.
    pub fn failures(&self, need: &PreflightNeed<'_>) -> Vec<PreflightFailure> {
        match self {
            Self::Read { facts } => facts.failures(need),
            Self::Refused { check, reason } => {
                vec![PreflightFailure { check: *check, reason: reason.clone() }]
            }
        }
    }
}

impl PreflightFacts {
    fn failures(&self, need: &PreflightNeed<'_>) -> Vec<PreflightFailure> {
        let failure = |check: PreflightCheck| move |reason: String| PreflightFailure { check, reason };
        let lock = self.lock.problem().into_iter().map(failure(PreflightCheck::Lock));
        let transaction = self.running().into_iter().map(failure(PreflightCheck::Transaction));
        let disk = self.file_systems.iter().filter_map(|one| one.disk_problem(need));
        let disk = disk.map(failure(PreflightCheck::Disk));
        let inodes = self.file_systems.iter().filter_map(|one| one.inode_problem(need, self.most_files));
        let inodes = inodes.map(failure(PreflightCheck::Inodes));
        let repositories = match &self.repositories {
            RepositoryReach::Failed { reason } => Some(reason.clone()),
            RepositoryReach::NotAsked | RepositoryReach::Answer => None,
        };
        let repositories = repositories.into_iter().map(failure(PreflightCheck::Repositories));
        lock.chain(transaction).chain(disk).chain(inodes).chain(repositories).collect()
    }

    fn running(&self) -> Option<String> {
        let running = self.transactions.as_ref().filter(|names| !names.is_empty())?;
        Some(format!("the package transaction `{}` runs on it; wait for its end", running.join("`, `")))
    }

    /// What could not be checked, and why.
    pub fn unknown(&self, need: &PreflightNeed<'_>) -> Vec<PreflightFailure> {
        let mut unknown = Vec::new();
        let mut add = |check, reason: String| unknown.push(PreflightFailure { check, reason });
        if self.transactions.is_none() {
            add(PreflightCheck::Transaction, "the records of its transactions cannot be read".to_owned());
        }
        if need.transaction.is_none_or(|transaction| transaction.disk_bytes.is_none()) {
            let reason = "the size of its update is not known, so only the free share was checked";
            add(PreflightCheck::Disk, reason.to_owned());
        }
        for one in &self.file_systems {
            if let Some(reason) = &one.unknown {
                add(PreflightCheck::Disk, format!("`{}` cannot be read: {reason}", one.path));
            }
        }
        if self.most_files.is_none() {
            add(PreflightCheck::Inodes, "the number of files of its packages cannot be read".to_owned());
        }
        unknown
    }
}

impl PackageLock {
    fn problem(&self) -> Option<String> {
        match self {
            Self::Free => None,
            Self::Held { path, holder, waited_seconds } => Some(format!(
                "{holder} has held the package lock `{path}` for more than {waited_seconds} s; wait for its end, or stop it"
            )),
        }
    }
}

impl FileSystem {
    fn holds(&self, content: Content) -> bool {
        self.holds.contains(&content)
    }

    /// Bytes that the update writes here at most; `None`: not known.
    fn needed_bytes(&self, transaction: &Transaction) -> Option<u64> {
        let (download, all) = (transaction.download_bytes?, transaction.disk_bytes?);
        let downloads = if self.holds(Content::Downloads) { download } else { 0 };
        let files = if self.holds(Content::Files) { all.saturating_sub(download) } else { 0 };
        Some(downloads.saturating_add(files))
    }

    fn disk_problem(&self, need: &PreflightNeed<'_>) -> Option<String> {
        let free = self.free_bytes?;
        let needed = need.transaction.and_then(|transaction| self.needed_bytes(transaction)).unwrap_or(0);
        if free < needed {
            return Some(format!(
                "`{}` has {} of free space, and the update needs {}; free some space",
                self.path,
                bytes_text(free),
                bytes_text(needed)
            ));
        }
        let total = self.total_bytes.filter(|total| *total > 0)?;
        let percent = free as f64 * 100.0 / total as f64;
        (percent < f64::from(need.min_disk_free_percent)).then(|| {
            format!(
                "{percent:.1} % of `{}` is free, and the policy wants {} %; free some space",
                self.path, need.min_disk_free_percent
            )
        })
    }

    /// The files of new packages are not counted, because no list names them.
    fn inode_problem(&self, need: &PreflightNeed<'_>, most_files: Option<u64>) -> Option<String> {
        let free = self.free_inodes?;
        let transaction = need.transaction?;
        let packages = (transaction.updates.len() + transaction.installs.len()) as u64;
        let downloads = if self.holds(Content::Downloads) { packages } else { 0 };
        let files = if self.holds(Content::Files) { most_files.unwrap_or(0) } else { 0 };
        let needed = downloads.saturating_add(files);
        (free < needed).then(|| {
            format!(
                "`{}` has {free} free inodes, and the update needs at least {needed}; remove some files",
                self.path
            )
        })
    }
}

/// Failures in one line.
pub fn failures_text(failures: &[PreflightFailure]) -> String {
    failures.iter().map(|one| format!("{}: {}", one.check, one.reason)).collect::<Vec<_>>().join("; ")
}
