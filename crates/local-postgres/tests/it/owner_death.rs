//! The owner is a second process: this test program, asked to run one helper "test".

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use local_postgres::{EphemeralPostgres, LaunchError, LocalPostgres};

use crate::support::{
    cluster_folder, config, eventually, is_postgres_installed, process_lives, query, start,
};

const ROLE: &str = "LOCAL_POSTGRES_TEST_OWNER";

/// Not a test by itself: owns a server until it is killed, when the variable says where.
#[test]
fn owner_helper() {
    let Some(place) = std::env::var_os(ROLE) else {
        return;
    };
    // The starting thread ends at once; the server must not end with it.
    let postgres = std::thread::spawn(move || {
        // Leaked, so that only the kernel can stop it.
        let postgres: &LocalPostgres = if place == "ephemeral" {
            Box::leak(Box::new(EphemeralPostgres::start().unwrap()))
        } else {
            Box::leak(Box::new(start(Path::new(&place))))
        };
        query(postgres, "create table if not exists kept (number int)").unwrap();
        (postgres.pid().unwrap(), postgres.socket_dir())
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
fn server_ends_with_a_killed_owner_and_the_next_owner_continues() {
    let Some(folder) = cluster_folder() else { return };
    let mut owner = Owner::start(folder.path());
    assert!(process_lives(owner.server), "it outlives the thread that started it");

    let refused = LocalPostgres::start(config(folder.path())).err().unwrap();
    assert!(matches!(refused, LaunchError::InUse { .. }), "{refused}");
    assert!(refused.to_string().contains(&owner.process.id().to_string()), "{refused}");

    owner.kill();
    // Immediately, while the old server may still be stopping.
    let next = start(folder.path());
    assert!(!process_lives(owner.server));
    assert_eq!(query(&next, "select count(*) from kept").unwrap(), "0");
}

#[test]
fn killed_server_is_noticed_and_can_start_again() {
    if !is_postgres_installed() {
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
fn next_throw_away_cluster_removes_the_folder_of_a_killed_owner() {
    if !is_postgres_installed() {
        return;
    }
    let mut owner = Owner::start(Path::new("ephemeral"));
    owner.kill();
    eventually("the server follows its owner", || !process_lives(owner.server));
    assert!(Path::new(&owner.socket).exists());
    let _next = EphemeralPostgres::start().unwrap();
    eventually("the folder is removed", || !Path::new(&owner.socket).exists());
}
