//! The owner is a second process: this test program, asked to run one helper "test".

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bound_child::{BoundCommand, ProcessStat};
use nix::sys::signal::Signal;

const ROLE: &str = "BOUND_CHILD_TEST_OWNER";

fn sleeper() -> BoundCommand {
    let mut command = Command::new("sleep");
    command.arg("300");
    BoundCommand::new(command, Signal::SIGTERM)
}

fn lives(pid: u32) -> bool {
    ProcessStat::read(pid).is_some_and(|stat| !stat.has_ended)
}

/// Not a test by itself: owns a child until it is killed, when the variable says so.
#[expect(clippy::zombie_processes, reason = "the owner is killed before it could wait for its child")]
#[test]
fn owner_helper() {
    let Some(note) = std::env::var_os(ROLE) else { return };
    // The starting thread ends at once; the child must not end with it.
    let child = std::thread::spawn(|| sleeper().spawn().unwrap()).join().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let partial = Path::new(&note).with_extension("partial");
    fs::write(&partial, child.id().to_string()).unwrap();
    fs::rename(partial, note).unwrap();
    std::thread::sleep(Duration::from_secs(120));
}

#[test]
fn child_outlives_the_starting_thread_and_ends_with_a_killed_owner() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("pid");
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["owner_helper", "--exact", "--nocapture"])
        .env(ROLE, &note)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let wait = |what: &str| {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    };
    while !note.exists() {
        wait("the owner did not start its child");
    }
    let child: u32 = fs::read_to_string(&note).unwrap().parse().unwrap();
    assert!(lives(child), "the child ended with the thread that started it");
    owner.kill().unwrap();
    owner.wait().unwrap();
    while lives(child) {
        wait("the child outlived its owner");
    }
}

#[test]
fn inherited_pipe_reaches_only_the_child_and_closes_with_it() {
    let (mut read, write) = std::io::pipe().unwrap();
    let write = std::os::fd::OwnedFd::from(write);
    let number = std::os::fd::AsRawFd::as_raw_fd(&write);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("echo hello >&{number}")]);
    let mut other = sleeper().spawn().unwrap();
    let mut child = BoundCommand::new(command, Signal::SIGTERM).inherit(write).spawn().unwrap();
    let mut text = String::new();
    // Ends although `other` still runs and the command was started from this process.
    read.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello\n");
    assert!(child.wait().unwrap().success());
    other.kill().unwrap();
    other.wait().unwrap();
}
