//! Child processes that end with the process that started them, however that one dies.
//!
//! Linux only. The kernel sends the child a signal when its parent dies (`PR_SET_PDEATHSIG`). This is the only crate of
//! the workspace with unsafe code: one block, between fork and exec.
#![allow(
    unsafe_code,
    reason = "`pre_exec` is unsafe, and std has no safe way to run code between fork and exec"
)]

mod forking_thread;
mod process_stat;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{getpid, getppid};

pub use process_stat::ProcessStat;

/// A command whose child does not outlive this process.
///
/// The child gets a process group of its own: ctrl-C reaches only the owner, which then stops the child in an orderly
/// way.
pub struct BoundCommand {
    command: Command,
    at_death: Signal,
    inherited: Option<OwnedFd>,
}

impl BoundCommand {
    /// The kernel sends `at_death` to the child when this process dies.
    pub fn new(command: Command, at_death: Signal) -> Self {
        Self { command, at_death, inherited: None }
    }

    /// Passes one open file to the child, which finds it under the number that it has here. It stays closed to every
    /// other child, and this process's copy closes once the child is started.
    pub fn inherit(mut self, file: OwnedFd) -> Self {
        self.inherited = Some(file);
        self
    }

    /// Starts the child; blocks for as long as a fork takes.
    pub fn spawn(self) -> io::Result<Child> {
        self.spawn_with(|mut command| command.spawn())
    }

    /// Starts the child through `spawn`, for a runtime with a child type of its own. `spawn` runs on another thread, so
    /// it enters the runtime first.
    pub fn spawn_with<C: Send + 'static>(
        mut self,
        spawn: impl FnOnce(Command) -> io::Result<C> + Send + 'static,
    ) -> io::Result<C> {
        self.bind();
        forking_thread::run(move || spawn(self.command))?
    }

    fn bind(&mut self) {
        let (owner, at_death, inherited) = (getpid(), self.at_death, self.inherited.take());
        self.command.process_group(0);
        let bind = move || {
            if let Some(file) = &inherited {
                // Only in the child's table of files.
                fcntl(file, FcntlArg::F_SETFD(FdFlag::empty()))?;
            }
            set_pdeathsig(at_death)?;
            // If the owner died between the fork and the line above, nobody is left to trigger the signal.
            if getppid() != owner {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Ok(())
        };
        // SAFETY: between fork and exec the closure makes at most three system calls; it neither allocates nor locks.
        unsafe {
            self.command.pre_exec(bind);
        }
    }
}
