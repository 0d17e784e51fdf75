use std::fs;
use std::os::unix::fs::PermissionsExt;

use local_postgres::{EphemeralPostgres, Listen, LocalPostgres};

use crate::support::{cluster_folder, config, is_postgres_installed, process_lives, query, query_url, start};

#[test]
fn data_survives_stop_crash_and_restart() {
    let Some(folder) = cluster_folder() else { return };
    let data_dir = folder.path().join("new/cluster");
    let postgres = start(&data_dir);
    let first_pid = postgres.pid().unwrap();
    query(&postgres, "create table kept as select 7 as number").unwrap();

    postgres.stop_server();
    assert_eq!(postgres.pid(), None);
    assert!(!process_lives(first_pid));
    assert!(query(&postgres, "select 1").is_err());
    postgres.start_server().unwrap();
    assert_eq!(query(&postgres, "select number from kept").unwrap(), "7");

    postgres.crash_server();
    assert!(!postgres.is_running());
    postgres.start_server().unwrap();
    let url = postgres.maintenance_url();
    drop(postgres);

    let again = start(&data_dir);
    assert_eq!(again.maintenance_url(), url, "the address outlives the owner");
    assert_eq!(query(&again, "select number from kept").unwrap(), "7");
    let last_pid = again.pid().unwrap();
    again.start_server().unwrap();
    assert_eq!(again.pid(), Some(last_pid), "a running server is not restarted");
    drop(again);
    assert!(!process_lives(last_pid));
}

#[test]
fn throw_away_clusters_run_in_parallel_and_leave_nothing() {
    if !is_postgres_installed() {
        return;
    }
    let starts = [0, 1].map(|_| std::thread::spawn(|| EphemeralPostgres::start().unwrap()));
    let [left, right] = starts.map(|start| start.join().unwrap());
    assert_ne!(left.url("postgres"), right.url("postgres"));
    query(&left, "create database only_here").unwrap();
    assert_eq!(query(&right, "select count(*) from pg_database where datname = 'only_here'").unwrap(), "0");

    let folder = left.socket_dir().parent().unwrap().to_path_buf();
    assert!(folder.exists());
    drop(left);
    assert!(!folder.exists());
    assert_eq!(query(&right, "select 1").unwrap(), "1", "the other cluster stays");
}

#[test]
fn settings_and_server_defaults_reach_the_server() {
    let Some(folder) = cluster_folder() else { return };
    let mut config = config(folder.path());
    config.settings.insert("max_connections".into(), "17".into());
    let postgres = LocalPostgres::start(config).unwrap();
    let shown = |name: &str| query(&postgres, &format!("show {name}")).unwrap();
    assert_eq!(shown("max_connections"), "17");
    assert_eq!(shown("listen_addresses"), "");
    assert_eq!(shown("data_checksums"), "on");
    assert_eq!(shown("timezone"), "UTC");
    assert_eq!(shown("server_encoding"), "UTF8");
}

#[test]
fn tcp_requires_the_password_and_keeps_its_port() {
    if !is_postgres_installed() {
        return;
    }
    let postgres = EphemeralPostgres::start_listening(Listen::Tcp { port: None }).unwrap();
    let port = postgres.port().unwrap();
    assert_eq!(query(&postgres, "select 1").unwrap(), "1");
    let without = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    assert!(query_url(postgres.bin_dir(), &without, "select 1").is_err());
    postgres.stop_server();
    postgres.start_server().unwrap();
    assert_eq!(postgres.port(), Some(port));
    assert_eq!(query(&postgres, "select 1").unwrap(), "1");
}

#[test]
fn only_the_owner_can_read_data_socket_and_password() {
    if !is_postgres_installed() {
        return;
    }
    let postgres = EphemeralPostgres::start().unwrap();
    let root = postgres.socket_dir().parent().unwrap().to_path_buf();
    let mode = |name: &str| fs::metadata(root.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("socket"), 0o700);
    assert_eq!(mode("data"), 0o700);
    assert_eq!(mode("password"), 0o600);
    assert_eq!(mode("") & 0o007, 0, "the folder itself is closed to others");
    assert_eq!(mode("hba.conf") & 0o007, 0);
}
