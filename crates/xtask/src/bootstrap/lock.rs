use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

const PATIENCE: Duration = Duration::from_secs(900);

/// Two bootstraps at once would write into one environment; the kernel frees the lock of one that was killed.
pub fn wait_for_turn(tools: &Path) -> anyhow::Result<File> {
    let path = tools.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open `{}`", path.display()))?;
    let deadline = Instant::now() + PATIENCE;
    let mut reported = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another bootstrap has held `{}` for 15 minutes; end it and try again", path.display())
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock `{}`", path.display()));
            }
        }
        if !reported {
            super::say("waiting for another bootstrap to finish");
            reported = true;
        }
        sleep(Duration::from_millis(200));
    }
}
