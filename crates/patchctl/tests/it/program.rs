//! Runs the program, and a platform for each test that needs one.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

const READY_TIMEOUT: Duration = Duration::from_secs(120);
const END_TIMEOUT: Duration = Duration::from_secs(120);

/// The result of a finished program.
#[derive(Debug)]
pub struct Finished {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    #[track_caller]
    pub fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    /// Standard error, which must be exactly one line.
    #[track_caller]
    pub fn one_line_error(&self) -> &str {
        let line = self.stderr.trim_end_matches('\n');
        assert!(line.starts_with("error: ") && !line.contains('\n'), "{self:#?}");
        line
    }
}

/// The program in a clean environment, independent of that of the caller.
pub fn patchctl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_patchctl"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    for name in ["PATH", "HOME", "PG_BINDIR"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    // No test here runs a playbook, so none needs Ansible.
    command.env("PATCH_ANSIBLE_PLAYBOOK", "/bin/true");
    command
}

pub fn run(arguments: &[&str]) -> Finished {
    finish(&mut patchctl(arguments), "")
}

pub fn run_with_input(arguments: &[&str], input: &str) -> Finished {
    finish(&mut patchctl(arguments), input)
}

pub fn finish(command: &mut Command, input: &str) -> Finished {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).ok());
    let pid = Pid::from_raw(child.id().try_into().expect("a process number"));
    let (ended, is_ended) = std::sync::mpsc::channel::<()>();
    // A program that takes longer is killed, which its exit status shows.
    let watchdog = std::thread::spawn(move || {
        if is_ended.recv_timeout(END_TIMEOUT).is_err_and(|error| error == RecvTimeoutError::Timeout) {
            kill(pid, Signal::SIGKILL).ok();
        }
    });
    let output = child.wait_with_output().expect("it ends");
    drop(ended);
    watchdog.join().ok();
    writer.join().ok();
    Finished {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// A program that runs during the test and is killed with it.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A running `patchctl up`, stopped when dropped.
pub struct Up {
    child: Child,
    pub stdout: String,
    pub data_dir: String,
    pub port_base: String,
}

impl Up {
    /// Starts a platform in `folder` and waits until it is ready.
    pub fn start(folder: &TempDir) -> Self {
        Self::start_with(folder, |command| command)
    }

    pub fn start_with(folder: &TempDir, prepare: impl Fn(&mut Command) -> &mut Command) -> Self {
        Self::start_at(folder, &free_ports().to_string(), prepare)
    }

    /// Starts on ports that were already used before.
    pub fn start_at(
        folder: &TempDir,
        port_base: &str,
        prepare: impl Fn(&mut Command) -> &mut Command,
    ) -> Self {
        Self::start_in(folder.path(), port_base, prepare)
    }

    /// Starts in any folder.
    pub fn start_in(folder: &Path, port_base: &str, prepare: impl Fn(&mut Command) -> &mut Command) -> Self {
        let (data_dir, port_base) = (folder.to_str().expect("UTF-8").to_owned(), port_base.to_owned());
        let output = File::create(folder.with_extension("out")).expect("a file");
        let errors = File::create(folder.with_extension("err")).expect("a file");
        let mut command =
            patchctl(&["up", "--laboratory", "--data-dir", &data_dir, "--port-base", &port_base]);
        let child = prepare(&mut command).stdout(output).stderr(errors).spawn().expect("it starts");
        let mut up = Self { child, stdout: String::new(), data_dir, port_base };
        up.wait_until_ready(folder);
        up
    }

    fn wait_until_ready(&mut self, folder: &Path) {
        let deadline = Instant::now() + READY_TIMEOUT;
        let read = |kind: &str| {
            let mut text = String::new();
            File::open(folder.with_extension(kind)).and_then(|mut file| file.read_to_string(&mut text)).ok();
            text
        };
        while !self.stdout.ends_with("ready\n") {
            let ended = self.child.try_wait().expect("it can be asked");
            assert!(ended.is_none(), "it ended: {}", read("err"));
            assert!(Instant::now() < deadline, "it was not ready in time: {}", read("err"));
            sleep(Duration::from_millis(50));
            self.stdout = read("out");
        }
        for kind in ["out", "err"] {
            std::fs::remove_file(folder.with_extension(kind)).ok();
        }
    }

    /// A command against this platform, as its administrator.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.run_with_input(arguments, "")
    }

    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Finished {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--data-dir", &self.data_dir, "--port-base", &self.port_base]);
        finish(&mut patchctl(&arguments), input)
    }

    /// Sends a signal and waits for the end.
    pub fn stop(mut self, signal: Signal) -> (ExitStatus, Duration) {
        let began = Instant::now();
        kill(self.pid(), signal).expect("it runs");
        while began.elapsed() < END_TIMEOUT {
            if let Some(status) = self.child.try_wait().expect("it can be asked") {
                return (status, began.elapsed());
            }
            sleep(Duration::from_millis(20));
        }
        panic!("it did not stop");
    }

    /// A command against this platform that is not waited for; its output is piped.
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--data-dir", &self.data_dir, "--port-base", &self.port_base]);
        Running(patchctl(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts"))
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().expect("a process number"))
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // The kernel stops its PostgreSQL with it.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The first of four consecutive free ports; each caller in this process gets other ports.
pub fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 20_000 + (std::process::id() % 200) as u16 * 100;
    for _ in 0..1000 {
        let base = start + NEXT.fetch_add(4, Ordering::Relaxed);
        if (0..4).all(|offset| TcpListener::bind(("127.0.0.1", base + offset)).is_ok()) {
            return base;
        }
    }
    panic!("no four consecutive free ports");
}
