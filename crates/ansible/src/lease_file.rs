//! Tells a playbook until when it may begin steps, in a file that its owner keeps extending.
//!
//! A process that is paused, or cut off from the database, extends it no longer. Its playbook then ends between two steps,
//! before another owner of the run works on the same hosts. The time is that of the machine since its boot, which no clock
//! change moves.

use std::{fs, io, path::PathBuf, time::Duration};

#[derive(Debug, Clone)]
pub struct LeaseFile {
    path: PathBuf,
}

impl LeaseFile {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Lets the playbook begin steps for so long from now.
    pub fn extend(&self, by: Duration) -> io::Result<()> {
        let until = uptime()? + by.as_secs_f64();
        let new = self.path.with_extension("new");
        fs::write(&new, format!("{until:.3}\n"))?;
        fs::rename(new, &self.path)
    }
}

/// Seconds since the boot of the machine, with the time in which it was suspended.
fn uptime() -> io::Result<f64> {
    let text = fs::read_to_string("/proc/uptime")?;
    let seconds = text.split(' ').next().and_then(|seconds| seconds.parse().ok());
    seconds.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/uptime has no seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_has_the_time_since_boot_at_which_the_lease_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lease");
        let before = uptime().unwrap();
        LeaseFile::at(path.clone()).extend(Duration::from_secs(7)).unwrap();
        let until: f64 = fs::read_to_string(path).unwrap().trim().parse().unwrap();
        assert!((before + 6.9..=uptime().unwrap() + 7.1).contains(&until));
    }
}
