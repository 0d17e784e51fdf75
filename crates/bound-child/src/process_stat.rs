use std::fs;

/// What the kernel says about a process in `/proc/<pid>/stat`.
///
/// Pid and start time together name a process: the kernel gives the pid of an ended process to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStat {
    pub parent: u32,
    /// Clock ticks between the machine's boot and the process's start.
    pub start_time: u64,
    /// A zombie: it has ended, and its parent has not waited for it yet.
    pub has_ended: bool,
}

impl ProcessStat {
    /// `None` when there is no such process.
    pub fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(line: &str) -> Option<Self> {
        // The name in brackets may hold brackets and blanks; the other fields follow the last bracket.
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        Some(Self {
            has_ended: matches!(*fields.first()?, "Z" | "X"),
            parent: fields.get(1)?.parse().ok()?,
            start_time: fields.get(19)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_follow_the_last_bracket_of_the_name() {
        let line = "7 (a ) Z 9) S 3 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        let stat = ProcessStat { parent: 3, start_time: 4711, has_ended: false };
        assert_eq!(ProcessStat::parse(line), Some(stat));
        assert!(ProcessStat::parse(&line.replace(") S", ") Z")).is_some_and(|stat| stat.has_ended));
        assert_eq!(ProcessStat::parse("7 (a) S"), None);
    }
}
