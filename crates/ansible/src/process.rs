//! Processes by pid and start time, because a pid alone may have been given to somebody else meanwhile.

use std::{collections::BTreeMap, fs, time::Duration};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

const POLL: Duration = Duration::from_millis(50);
/// After SIGKILL only a process in an uninterruptible call is left, for as long as its device takes.
const KILL_GRACE: Duration = Duration::from_secs(10);

/// A run that another process of the platform started and did not see to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    pub pid: u32,
    /// Clock ticks between the machine's boot and the process's start, as the kernel counts them.
    pub start_time: u64,
}

/// How the orphan was found, or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrphanEnd {
    /// It had ended already, or its pid belongs to somebody else by now.
    Gone,
    Terminated,
    Killed,
    /// Still there, in a call that cannot be interrupted.
    Stuck,
}

impl Orphan {
    /// Whether it still runs.
    pub fn is_alive(self) -> bool {
        let found = stat(self.pid).is_some_and(|stat| stat.start_time == self.start_time && !stat.has_ended);
        // Start times repeat after a reboot of the machine; that this is Ansible is the second proof.
        found
            && fs::read(format!("/proc/{}/cmdline", self.pid))
                .is_ok_and(|line| contains(&line, b"ansible-playbook"))
    }

    /// Terminates it, and kills it with all it started when it has not ended within `grace`.
    pub async fn end(self, grace: Duration) -> OrphanEnd {
        if !self.is_alive() {
            return OrphanEnd::Gone;
        }
        terminate(self.pid);
        // A stopped process takes no signal but SIGKILL until it is continued.
        let _ = kill(pid(self.pid), Signal::SIGCONT);
        if self.wait_for_end(grace).await {
            return OrphanEnd::Terminated;
        }
        kill_tree(self.pid);
        match self.wait_for_end(KILL_GRACE).await {
            true => OrphanEnd::Killed,
            false => OrphanEnd::Stuck,
        }
    }

    async fn wait_for_end(self, longest: Duration) -> bool {
        let deadline = Instant::now() + longest;
        while self.is_alive() {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(POLL).await;
        }
        true
    }
}

pub(crate) fn start_time(pid: u32) -> Option<u64> {
    stat(pid).map(|stat| stat.start_time)
}

/// Asks the main process alone: its handler ends its workers, whereas a signal to the group would miss them, because
/// each worker is a session of its own.
pub(crate) fn terminate(main: u32) {
    let _ = kill(pid(main), Signal::SIGTERM);
}

/// Kills the process, its group and everything below it.
pub(crate) fn kill_tree(main: u32) {
    // Read before the parent is gone: its children are then the init process's, and no longer found.
    let below = descendants(main);
    let _ = kill(pid(main), Signal::SIGKILL);
    let _ = killpg(pid(main), Signal::SIGKILL);
    for process in below {
        let _ = kill(pid(process), Signal::SIGKILL);
    }
}

fn descendants(main: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        if let Some(stat) = stat(process) {
            children.entry(stat.parent).or_default().push(process);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![main];
    while let Some(process) = open.pop() {
        let below = children.remove(&process).unwrap_or_default();
        open.extend(&below);
        found.extend(below);
    }
    found
}

struct Stat {
    parent: u32,
    start_time: u64,
    has_ended: bool,
}

fn stat(pid: u32) -> Option<Stat> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything, brackets and blanks included; the fields begin after the last bracket.
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    Some(Stat {
        has_ended: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
    })
}

fn pid(number: u32) -> Pid {
    // The kernel's largest pid is far below this type's end.
    Pid::from_raw(number.cast_signed())
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn another_process_under_the_same_pid_is_left_alone() {
        let own = std::process::id();
        let start_time = start_time(own).unwrap();
        assert!(!Orphan { pid: own, start_time: start_time + 1 }.is_alive());
        assert!(
            !Orphan { pid: own, start_time }.is_alive(),
            "a process that is not ansible-playbook was taken for one"
        );
        assert_eq!(Orphan { pid: own, start_time }.end(Duration::ZERO).await, OrphanEnd::Gone);
    }
}
