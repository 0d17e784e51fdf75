//! Starts the child so that it ends with this process and inherits exactly one pipe.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::{OnceLock, mpsc},
    thread,
};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::{prctl::set_pdeathsig, signal::Signal},
    unistd::{getpid, getppid},
};
use tokio::{
    process::{Child, Command},
    runtime::Handle,
    sync::oneshot,
};

type Job = Box<dyn FnOnce() + Send>;

/// Starts `command` in a process group of its own. The child finds `pipe` open under the number it has here.
///
/// The kernel binds its promise to signal the child (`PR_SET_PDEATHSIG`) to the THREAD that forked. A thread of a pool
/// may end long before the process does, so one thread does nothing but fork and lives as long as the process.
pub(crate) async fn spawn(mut command: Command, pipe: OwnedFd) -> io::Result<Child> {
    let owner = getpid();
    command.process_group(0);
    let prepare = move || {
        // In the child's table alone; here the pipe stays closed to every other child.
        fcntl(&pipe, FcntlArg::F_SETFD(FdFlag::empty()))?;
        set_pdeathsig(Signal::SIGTERM)?;
        // The owner may have died between the fork and the line above, with nobody left to send the signal.
        if getppid() != owner {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes three system calls; it neither allocates nor takes a lock.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(prepare);
    }
    let runtime = Handle::current();
    let (answer, answered) = oneshot::channel();
    let job = move || {
        let _entered = runtime.enter();
        // The command goes with this closure, and with it this process's writing end of the pipe.
        let _ = answer.send(command.spawn());
    };
    let gone = || io::Error::other("the spawning thread has ended");
    spawner()?.send(Box::new(job)).map_err(|_| gone())?;
    answered.await.map_err(|_| gone())?
}

/// The number under which the child finds `pipe`.
pub(crate) fn number(pipe: &OwnedFd) -> String {
    pipe.as_raw_fd().to_string()
}

fn spawner() -> io::Result<&'static mpsc::Sender<Job>> {
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    if let Some(sender) = SPAWNER.get() {
        return Ok(sender);
    }
    let (sender, jobs) = mpsc::channel::<Job>();
    thread::Builder::new().name("playbook-spawner".into()).spawn(move || {
        for job in jobs {
            job();
        }
    })?;
    // When two callers race here, the loser's sender is dropped and its thread ends.
    Ok(SPAWNER.get_or_init(|| sender))
}
