use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{getpid, getppid};

struct Order {
    command: Command,
    answer: Sender<io::Result<Child>>,
}

/// Starts `command` so that the kernel sends it `signal` when this process dies, however it dies.
///
/// The kernel binds that promise (`PR_SET_PDEATHSIG`) to the THREAD that forked, not to the process: a server started
/// from a pool thread would be stopped when the pool lets that thread go. Hence one thread that does nothing but
/// spawn and lives as long as the process. (It ends when the process replaces itself by `exec`, and the server with it.)
pub(crate) fn spawn_bound(mut command: Command, signal: Signal) -> io::Result<Child> {
    let owner = getpid();
    // Own process group: ctrl-C reaches the owner alone, who then stops the server in an orderly way.
    command.process_group(0);
    let bind = move || {
        set_pdeathsig(signal)?;
        // The owner may have died between fork and the line above, when nobody was left to send the signal.
        if getppid() != owner {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes two system calls and neither allocates nor locks.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(bind);
    }
    let (answer, answered) = channel();
    spawner()?
        .send(Order { command, answer })
        .map_err(|_| io::Error::other("the spawning thread has ended"))?;
    answered.recv().map_err(|_| io::Error::other("the spawning thread has ended"))?
}

fn spawner() -> io::Result<&'static Sender<Order>> {
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    if let Some(sender) = SPAWNER.get() {
        return Ok(sender);
    }
    let (sender, orders) = channel::<Order>();
    thread::Builder::new().name("postgres-spawner".into()).spawn(move || {
        for mut order in orders {
            // The caller waits for the answer, so it is gone only with the whole process.
            let _ = order.answer.send(order.command.spawn());
        }
    })?;
    // When two callers race here, the loser's sender is dropped and its thread ends.
    Ok(SPAWNER.get_or_init(|| sender))
}
