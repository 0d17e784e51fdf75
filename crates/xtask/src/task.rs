//! Running another program: with a deadline, a sign of life, and its output kept for the case of failure.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write, stderr};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::failure_output::failure_output;

const POLL: Duration = Duration::from_millis(50);
/// Where no line can be redrawn (a log file), a sign of life comes this often.
const LOG_HEARTBEAT: Duration = Duration::from_secs(30);
const TERMINAL_HEARTBEAT: Duration = Duration::from_secs(1);

/// What a check found out.
pub enum Verdict {
    Passed(String),
    Skipped(String),
    Failed(String),
}

pub struct Task<'a> {
    name: &'a str,
    deadline: Duration,
    shows_life: bool,
    on_line: Option<&'a mut (dyn FnMut(&str) + Send)>,
}

pub struct Outcome {
    pub success: bool,
    pub stdout: String,
    /// Standard output and error as they came.
    interleaved: Vec<String>,
}

impl<'a> Task<'a> {
    /// Shows how long it has been running and the last line of its output.
    pub fn new(name: &'a str, deadline: Duration) -> Self {
        Self { name, deadline, shows_life: true, on_line: None }
    }

    pub fn quiet(name: &'a str, deadline: Duration) -> Self {
        Self { shows_life: false, ..Self::new(name, deadline) }
    }

    /// Gives every line of the output to `on_line` while the program runs.
    pub fn watched_by(mut self, on_line: &'a mut (dyn FnMut(&str) + Send)) -> Self {
        self.on_line = Some(on_line);
        self
    }

    /// Runs to the end or to the deadline, at which the program and all its descendants are ended.
    pub fn run(self, mut command: Command) -> anyhow::Result<Outcome> {
        let program = command.get_program().to_string_lossy().into_owned();
        let started = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run `{program}` for {}", self.name))?;
        let lines = Lines::default();
        let stdout = child.stdout.take();
        let errors = child.stderr.take();
        let on_line = Mutex::new(self.on_line);
        let hear = |line: &str| {
            if let Some(on_line) = lock(&on_line).as_mut() {
                on_line(line);
            }
        };
        let mut overdue = false;
        let (status, stdout) = thread::scope(|scope| {
            let out = scope.spawn(|| lines.read(stdout, &hear));
            let err = scope.spawn(|| lines.read(errors, &hear));
            let mut sign = SignOfLife::new(self.name, self.shows_life);
            // The pipes close when the last descendant is done, which may be later than the program itself.
            while !(out.is_finished() && err.is_finished()) {
                if !overdue && started.elapsed() > self.deadline {
                    overdue = true;
                    end_family(child.id());
                }
                sign.show(started.elapsed(), &lines);
                thread::sleep(POLL);
            }
            sign.clear();
            let _ = err.join();
            (child.wait(), out.join().unwrap_or_default())
        });
        let mut interleaved = lines.take();
        if overdue {
            interleaved.push(format!("ended after {} s, its deadline", self.deadline.as_secs()));
        }
        let success = !overdue && status.with_context(|| format!("cannot wait for `{program}`"))?.success();
        Ok(Outcome { success, stdout: stdout.join("\n"), interleaved })
    }
}

impl Outcome {
    pub fn all(&self) -> String {
        self.interleaved.join("\n")
    }

    /// The same without the lines about what went well.
    pub fn failure_output(&self) -> String {
        failure_output(&self.all())
    }

    pub fn verdict(&self) -> Verdict {
        if self.success { Verdict::Passed(String::new()) } else { Verdict::Failed(self.failure_output()) }
    }
}

#[derive(Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn read(&self, pipe: Option<impl Read>, hear: &impl Fn(&str)) -> Vec<String> {
        let mut own = Vec::new();
        let Some(pipe) = pipe else {
            return own;
        };
        let mut reader = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|length| length > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
            bytes.clear();
            hear(&line);
            lock(&self.0).push(line.clone());
            own.push(line);
        }
        own
    }

    fn last(&self) -> String {
        lock(&self.0).iter().rev().find(|line| !line.trim().is_empty()).cloned().unwrap_or_default()
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.0))
    }
}

struct SignOfLife<'a> {
    name: &'a str,
    enabled: bool,
    redraws: bool,
    next: Duration,
    drawn: bool,
}

impl<'a> SignOfLife<'a> {
    fn new(name: &'a str, enabled: bool) -> Self {
        let redraws = stderr().is_terminal();
        Self { name, enabled, redraws, next: Self::interval(redraws), drawn: false }
    }

    fn interval(redraws: bool) -> Duration {
        if redraws { TERMINAL_HEARTBEAT } else { LOG_HEARTBEAT }
    }

    fn show(&mut self, elapsed: Duration, lines: &Lines) {
        if !self.enabled || elapsed < self.next {
            return;
        }
        self.next = elapsed + Self::interval(self.redraws);
        let last: String = lines.last().trim().chars().filter(|c| !c.is_control()).take(60).collect();
        let text = format!("  {} {} s  {last}", self.name, elapsed.as_secs());
        if self.redraws {
            eprint!("\r\x1b[K{text}");
            let _ = stderr().flush();
            self.drawn = true;
        } else {
            eprintln!("{text}");
        }
    }

    fn clear(&mut self) {
        if self.drawn {
            eprint!("\r\x1b[K");
            let _ = stderr().flush();
        }
    }
}

/// Kills a program of ours and everything it started; nothing else can be among its descendants.
fn end_family(ancestor: u32) {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut family = BTreeSet::new();
    let mut open = vec![ancestor];
    while let Some(pid) = open.pop() {
        if family.insert(pid) {
            open.extend(children.get(&pid).into_iter().flatten());
        }
    }
    for pid in family.into_iter().filter_map(|pid| i32::try_from(pid).ok()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_is_kept_and_heard_line_by_line() {
        let mut heard = Vec::new();
        let mut on_line = |line: &str| heard.push(line.to_owned());
        let task = Task::quiet("test", Duration::from_secs(20)).watched_by(&mut on_line);
        let outcome = task.run(shell("echo one; echo two >&2; exit 3")).unwrap();
        assert!(!outcome.success);
        assert_eq!(outcome.stdout, "one");
        assert!(outcome.all().contains("two"));
        heard.sort();
        assert_eq!(heard, ["one", "two"]);
    }

    #[test]
    fn deadline_ends_the_program_and_its_children() {
        let started = Instant::now();
        let task = Task::quiet("test", Duration::from_millis(300));
        let outcome = task.run(shell("sleep 60 & sleep 60; wait")).unwrap();
        assert!(!outcome.success);
        assert!(outcome.all().contains("its deadline"), "{}", outcome.all());
        assert!(started.elapsed() < Duration::from_secs(50), "the children held the pipes open");
    }
}
