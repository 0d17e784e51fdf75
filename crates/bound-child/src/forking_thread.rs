//! One thread that does nothing but fork and lives as long as the process.
//!
//! The kernel binds `PR_SET_PDEATHSIG` to the THREAD that forked, not to the process: a child started from a thread of a
//! pool would be stopped when the pool ends that thread. (This thread ends when the process replaces itself by `exec`,
//! and the children end with it.)

use std::io;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

type Job = Box<dyn FnOnce() + Send>;

/// Runs `job` on the thread and returns its result.
pub(crate) fn run<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let ended = || io::Error::other("the forking thread has ended");
    let (result, received) = channel();
    let job = move || {
        // The caller waits for the result, so it is gone only with the whole process.
        let _ = result.send(job());
    };
    sender()?.send(Box::new(job)).map_err(|_| ended())?;
    received.recv().map_err(|_| ended())
}

fn sender() -> io::Result<&'static Sender<Job>> {
    static SENDER: OnceLock<Sender<Job>> = OnceLock::new();
    if let Some(sender) = SENDER.get() {
        return Ok(sender);
    }
    let (sender, jobs) = channel::<Job>();
    thread::Builder::new().name("forking".into()).spawn(move || {
        for job in jobs {
            job();
        }
    })?;
    // When two callers race here, the loser's sender is dropped and its thread ends.
    Ok(SENDER.get_or_init(|| sender))
}
