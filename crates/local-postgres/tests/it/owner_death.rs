//! The owner is a second process here: this very test program, asked to run one helper "test".

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use local_postgres::{EphemeralPostgres, LaunchError, LocalPostgres};

use crate::lifecycle::open_to_all;
use crate::support::{config, eventually, postgres_is_installed, process_lives, query, start};

const ROLE: &str = "LOCAL_POSTGRES_TEST_OWNER";

/// Not a test by itself: owns a server until it is killed, when the variable says where.
#[test]
fn owner_helper() {
    let Some(place) = std::env::var_os(ROLE) else {
        return;
    };
    // Started on a thread that ends at once: the server's life must not hang on the starting thread's.
    let postgres = std::thread::spawn(move || {
        if place == "ephemeral" {
            let postgres = EphemeralPostgres::start().unwrap();
            let line = (postgres.pid().unwrap(), postgres.socket_dir());
            std::mem::forget(postgres);
            line
        } else {
            let postgres = start(Path::new(&place));
            query(&postgres, "create table if not exists kept (number int)").unwrap();
            let line = (postgres.pid().unwrap(), postgres.socket_dir());
            std::mem::forget(postgres);
            line
        }
    });
    let (pid, socket) = postgres.join().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    println!("\nOWNS {pid} {}", socket.display());
    std::thread::sleep(Duration::from_secs(120));
}

struct Owner {
    process: Child,
    server: u32,
    socket: String,
}

impl Owner {
    fn start(place: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["owner_death::owner_helper", "--exact", "--nocapture"])
            .env(ROLE, place)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.map_while(Result::ok).find(|line| line.starts_with("OWNS ")).unwrap();
        let mut words = line.split(' ').skip(1);
        let server = words.next().unwrap().parse().unwrap();
        let socket = words.next().unwrap().to_owned();
        Self { process, server, socket }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn server_ends_with_a_killed_owner_and_the_next_owner_goes_on() {
    if !postgres_is_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    open_to_all(folder.path());
    let mut owner = Owner::start(folder.path());
    assert!(process_lives(owner.server), "it outlives the thread that started it");

    let refused = LocalPostgres::start(config(folder.path())).err().unwrap();
    assert!(matches!(refused, LaunchError::InUse { .. }), "{refused}");
    assert!(refused.to_string().contains(&owner.process.id().to_string()), "{refused}");

    owner.kill();
    // At once, while the old server may still be on its way out.
    let next = start(folder.path());
    assert!(!process_lives(owner.server));
    assert_eq!(query(&next, "select count(*) from kept").unwrap(), "0");
}

#[test]
fn killed_server_is_seen_and_started_again() {
    if !postgres_is_installed() {
        return;
    }
    let postgres = EphemeralPostgres::start().unwrap();
    query(&postgres, "create table kept as select 1").unwrap();
    let pid = postgres.pid().unwrap();
    let server = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(server, nix::sys::signal::Signal::SIGKILL).unwrap();
    eventually("the dead server is noticed", || !postgres.is_running());
    postgres.start_server().unwrap();
    assert_eq!(query(&postgres, "select count(*) from kept").unwrap(), "1");
}

#[test]
fn folder_of_a_killed_owner_is_swept_by_the_next_throw_away_cluster() {
    if !postgres_is_installed() {
        return;
    }
    let mut owner = Owner::start(Path::new("ephemeral"));
    owner.kill();
    eventually("the server follows its owner", || !process_lives(owner.server));
    assert!(Path::new(&owner.socket).exists());
    let _next = EphemeralPostgres::start().unwrap();
    eventually("the folder is swept", || !Path::new(&owner.socket).exists());
}
