use std::fs;
use std::net::TcpListener;
use std::path::Path;

use local_postgres::{Listen, LocalPostgres};

use crate::support::{cluster_folder, config, start};

fn refusal(config: local_postgres::LocalPostgresConfig) -> String {
    LocalPostgres::start(config).err().expect("the start must be refused").to_string()
}

#[test]
fn folder_with_other_content_is_not_touched() {
    let Some(folder) = cluster_folder() else { return };
    fs::write(folder.path().join("letter.txt"), "dear").unwrap();
    let message = refusal(config(folder.path()));
    assert!(message.contains("is not empty"), "{message}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn data_of_another_major_version_is_refused_by_number() {
    let Some(folder) = cluster_folder() else { return };
    drop(start(folder.path()));
    fs::write(folder.path().join("data/PG_VERSION"), "99\n").unwrap();
    let message = refusal(config(folder.path()));
    assert!(message.contains("created by PostgreSQL 99") && message.contains("choose another"), "{message}");
}

#[test]
fn error_about_a_long_socket_path_names_the_limit() {
    let message = refusal(config(&Path::new("/tmp").join("x".repeat(120))));
    assert!(message.contains("107"), "{message}");
}

#[test]
fn error_about_a_taken_port_names_it() {
    let Some(folder) = cluster_folder() else { return };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut config = config(folder.path());
    config.listen = Listen::Tcp { port: Some(port) };
    let message = refusal(config);
    assert!(message.contains(&format!("port {port} on 127.0.0.1 is taken")), "{message}");
}

#[test]
fn error_of_the_server_is_passed_on() {
    let Some(folder) = cluster_folder() else { return };
    let mut config = config(folder.path());
    config.settings.insert("no_such_setting".into(), "1".into());
    let message = refusal(config);
    assert!(message.contains("no_such_setting") && message.contains("server.log"), "{message}");
}

#[test]
fn programs_are_searched_where_the_caller_says() {
    let Some(folder) = cluster_folder() else { return };
    let mut config = config(&folder.path().join("cluster"));
    config.bin_dir = Some(folder.path().to_path_buf());
    let message = refusal(config);
    assert!(message.contains("does not contain `initdb` and `postgres`"), "{message}");
}
