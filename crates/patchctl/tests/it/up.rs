//! `up`: start, stop, restart, and every reason to refuse a start.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{Connection, PgConnection};
use test_support::TestDatabase;

use crate::program::{Finished, Up, finish, free_ports, patchctl, run};

#[test]
fn platform_starts_stops_in_time_and_keeps_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);
    let lines: Vec<&str> = up.stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{}", up.stdout);
    for (line, service) in lines.iter().zip(["patch-manager", "cmdb", "itsm", "sim-engine"]) {
        assert!(line.starts_with(service) && line.contains("http://127.0.0.1:"), "{line}");
    }
    let token = folder.path().join("admin-token");
    assert_eq!(fs::metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = fs::read_to_string(&token).unwrap();
    assert!(!up.stdout.contains(secret.trim()), "the token must not be in a log");
    up.run(&["ci", "create", "web-07", "--type", "vm", "--tag", "env=prod"]).expect(0);

    let second = run(&["up", "--data-dir", &up.data_dir, "--port-base", &free_ports().to_string()]).expect(1);
    assert!(second.one_line_error().contains("already runs"));

    let (status, took) = up.stop(Signal::SIGTERM);
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(10), "it took {took:?}");

    let up = Up::start(&folder);
    assert_eq!(fs::read_to_string(&token).unwrap(), secret);
    assert!(up.run(&["ci", "show", "web-07", "-o", "json"]).expect(0).stdout.contains("\"env\": \"prod\""));
    let (status, took) = up.stop(Signal::SIGINT);
    assert!(status.success() && took < Duration::from_secs(10), "{status} after {took:?}");
}

#[test]
fn private_database_that_crashed_is_restarted() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);
    let pid = fs::read_to_string(folder.path().join("postgres/data/postmaster.pid")).unwrap();
    let pid: i32 = pid.lines().next().unwrap().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGQUIT).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    // The old server may still answer at first; in the end, a new server must answer.
    loop {
        let now = fs::read_to_string(folder.path().join("postgres/data/postmaster.pid")).unwrap_or_default();
        let is_another = now.lines().next().is_some_and(|line| line != pid.to_string());
        if is_another && up.run(&["ci", "list"]).status == 0 && up.run(&["health"]).status == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "it was not restarted");
        sleep(Duration::from_millis(200));
    }
}

#[test]
fn used_port_is_named_with_the_option() {
    let folder = tempfile::tempdir().unwrap();
    let base = free_ports();
    let _listener = TcpListener::bind(("127.0.0.1", base + 2)).unwrap();
    let answer = refused(&["--data-dir", folder.path().to_str().unwrap(), "--port-base", &base.to_string()]);
    let error = answer.one_line_error();
    assert!(error.contains(&(base + 2).to_string()) && error.contains("--port-base"), "{error}");
}

#[test]
fn folders_of_newer_versions_and_foreign_folders_are_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    let file = folder.path().join("version");
    fs::write(&file, "patch-manager-data 999\n").unwrap();
    assert!(refused(&["--data-dir", data_dir]).one_line_error().contains("newer version"));
    fs::write(&file, "something else\n").unwrap();
    assert!(refused(&["--data-dir", data_dir]).one_line_error().contains("--data-dir"));
    fs::remove_file(&file).unwrap();
    fs::write(folder.path().join("thesis.tex"), "").unwrap();
    assert!(refused(&["--data-dir", data_dir]).one_line_error().contains("other files"));
}

#[test]
fn unreachable_database_is_reported_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    for url in ["postgres://me:hunter2@127.0.0.1:1/patch", "postgres://me:hunter2@no-such-host.invalid/patch"]
    {
        let base = free_ports().to_string();
        let mut command = patchctl(&["up", "--data-dir", data_dir, "--port-base", &base]);
        let answer = finish(command.env("DATABASE_URL", url), "").expect(1);
        let error = answer.one_line_error();
        assert!(error.contains("cannot be reached") && error.contains("--database-url"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert!(
        refused(&["--data-dir", data_dir, "--database-url", "nonsense"])
            .one_line_error()
            .contains("postgres://")
    );
}

#[test]
fn missing_postgres_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    let base = free_ports().to_string();
    let mut command = patchctl(&["up", "--data-dir", data_dir, "--port-base", &base]);
    let answer = finish(command.env("PG_BINDIR", "/nonexistent"), "").expect(1);
    assert!(answer.one_line_error().contains("initdb"));
}

#[test]
fn service_that_cannot_start_ends_the_platform_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    let base = free_ports().to_string();
    let arguments = ["up", "--data-dir", data_dir, "--port-base", &base];
    let answer = finish(patchctl(&arguments).env("PUBLIC_URL", "nonsense"), "").expect(1);
    assert!(
        answer.stderr.contains("error: itsm stopped: ") && answer.stderr.contains("nonsense"),
        "{answer:?}"
    );
    assert!(answer.stdout.is_empty(), "{answer:?}");

    let answer = finish(patchctl(&arguments).env("PATCH_FORKS", "many"), "").expect(1);
    assert!(
        answer.stderr.contains("error: an environment variable is not valid: ")
            && answer.stderr.contains("--forks"),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn database_of_the_operator_is_used_and_a_newer_one_refused() {
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let url = database.url().to_owned();
    let up = Up::start_with(&folder, |command| command.env("DATABASE_URL", &url));
    let (status, _) = up.stop(Signal::SIGTERM);
    assert!(status.success());

    let file = folder.path().with_extension("url");
    fs::write(&file, format!("{url}\n")).unwrap();
    let up = Up::start_with(&folder, |command| command.env("DATABASE_URL_FILE", &file));
    fs::remove_file(&file).unwrap();
    assert!(!folder.path().join("postgres").exists());
    assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
    up.run(&["health"]).expect(0);
    assert!(up.stop(Signal::SIGTERM).0.success());

    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    sqlx::query(
        "INSERT INTO cmdb._sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99990101000000, 'of the future', true, '\\x00', 0)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let base = free_ports().to_string();
    let mut command = patchctl(&["up", "--data-dir", folder.path().to_str().unwrap(), "--port-base", &base]);
    let answer = finish(command.env("DATABASE_URL", database.url()), "").expect(1);
    assert!(answer.one_line_error().contains("newer version"));
}

fn refused(arguments: &[&str]) -> Finished {
    let base = free_ports().to_string();
    let mut all = vec!["up"];
    all.extend(arguments);
    if !arguments.contains(&"--port-base") {
        all.extend(["--port-base", &base]);
    }
    run(&all).expect(1)
}

#[test]
fn plain_http_is_refused_where_other_machines_reach_it() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let refused = run(&["up", "--bind", "0.0.0.0", "--data-dir", data_dir.to_str().unwrap()]).expect(1);
    let line = refused.one_line_error();
    assert!(line.contains("0.0.0.0") && line.contains("--allow-plain-http"), "{line}");
    assert!(!data_dir.exists(), "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn platform_with_tls_is_reached_by_clients_that_trust_its_authority() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start_with(&folder, |command| command.arg("--tls"));
    assert!(up.stdout.contains("https://127.0.0.1:"), "{}", up.stdout);
    up.run(&["health"]).expect(0);
    // The services trust each other: the CMDB answers through the gateway of the patch-manager.
    up.run(&["ci", "create", "web-01", "--type", "host"]).expect(0);
    let base =
        up.stdout.lines().find_map(|line| line.strip_prefix("patch-manager")).unwrap().trim().to_owned();
    let authority = std::fs::read(folder.path().join("tls/authority.pem")).unwrap();
    let authority = reqwest::Certificate::from_pem(&authority).unwrap();
    let token = std::fs::read_to_string(folder.path().join("admin-token")).unwrap();
    let trusting = reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build().unwrap();
    let answer =
        trusting.get(format!("{base}/cmdb/cis/web-01")).bearer_auth(token.trim()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let stranger = reqwest::Client::builder().no_proxy().build().unwrap();
    assert!(stranger.get(format!("{base}/healthz")).send().await.is_err(), "nobody else trusts it");
    let plain = base.replace("https://", "http://");
    assert!(stranger.get(format!("{plain}/healthz")).send().await.is_err());

    // From now on, without being asked.
    let port_base = up.port_base.clone();
    up.stop(Signal::SIGTERM);
    let up = Up::start_at(&folder, &port_base, |command| command);
    assert!(up.stdout.contains("https://127.0.0.1:"), "{}", up.stdout);
    up.run(&["ci", "show", "web-01"]).expect(0);
}
