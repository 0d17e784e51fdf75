//! Processes by pid and start time, because the pid may already belong to another process.

use std::{collections::BTreeMap, fs, time::Duration};

use bound_child::ProcessStat;
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

const POLL: Duration = Duration::from_millis(50);
/// A killed process that is still there hangs in an uninterruptible call, for as long as its device takes.
pub(crate) const KILL_GRACE: Duration = Duration::from_secs(10);

/// A run whose owner, another process of the platform, is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    pub pid: u32,
    /// Clock ticks between the machine's boot and the process's start, as the kernel counts them.
    pub start_time: u64,
    /// The boot of the machine on which it runs. Records of before do not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<Uuid>,
}

/// How the orphan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrphanEnd {
    /// It runs on another machine, where nobody can end it from here: its lease does.
    Elsewhere,
    /// It had ended before, or its pid belongs to another process by now.
    Gone,
    Terminated,
    Killed,
    /// It still hangs in an uninterruptible call.
    Stuck,
}

impl Orphan {
    /// A process of this machine.
    pub(crate) fn of(pid: u32, start_time: u64) -> Self {
        Self { pid, start_time, boot: this_boot() }
    }

    fn is_elsewhere(self) -> bool {
        self.boot.is_some() && self.boot != this_boot()
    }

    pub fn is_alive(self) -> bool {
        let found = ProcessStat::read(self.pid)
            .is_some_and(|stat| stat.start_time == self.start_time && !stat.has_ended);
        // Start times repeat after a reboot of the machine, so the process must also be Ansible.
        found
            && fs::read(format!("/proc/{}/cmdline", self.pid))
                .is_ok_and(|line| contains(&line, b"ansible-playbook"))
    }

    /// Terminates it, and kills it with everything it started if it has not ended within `grace`.
    pub async fn end(self, grace: Duration) -> OrphanEnd {
        if self.is_elsewhere() {
            return OrphanEnd::Elsewhere;
        }
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
        if self.wait_for_end(KILL_GRACE).await { OrphanEnd::Killed } else { OrphanEnd::Stuck }
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

fn this_boot() -> Option<Uuid> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().parse().ok()
}

/// Signals only the main process, whose handler ends its workers. Each worker is a session of its own, so a signal to
/// the group would miss them.
pub(crate) fn terminate(main: u32) {
    let _ = kill(pid(main), Signal::SIGTERM);
}

/// Kills the process, its group and everything below it.
pub(crate) fn kill_tree(main: u32) {
    // Read before the parent is gone: then its children become those of the init process and are no longer found.
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
        if let Some(stat) = ProcessStat::read(process) {
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

fn pid(number: u32) -> Pid {
    // The kernel's largest pid fits into this type.
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
        let start_time = ProcessStat::read(own).unwrap().start_time;
        assert!(!Orphan::of(own, start_time + 1).is_alive());
        assert!(
            !Orphan::of(own, start_time).is_alive(),
            "a process other than ansible-playbook was taken for one"
        );
        assert_eq!(Orphan::of(own, start_time).end(Duration::ZERO).await, OrphanEnd::Gone);
    }
}
