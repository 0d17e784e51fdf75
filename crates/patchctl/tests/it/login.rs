//! `patchctl login` by the device flow at a real identity provider.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use test_support::{Browser, IdentityProvider};

use crate::program::{Finished, Running, Up, finish, free_ports, patchctl};

/// A command of a person with a home folder of their own.
fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = patchctl(arguments);
    command.env("XDG_CONFIG_HOME", home);
    command
}

fn run(home: &Path, arguments: &[&str]) -> Finished {
    finish(&mut command(home, arguments), "")
}

/// Signs in on the command line as the person of an account; `None` for somebody who refuses.
async fn login(home: &Path, server: &str, account: &str) -> (i32, String) {
    let mut program = command(home, &["--server", server, "login", "--name", "ops"]);
    let mut program = Running(program.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(program.0.stderr.take().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    let page = first.trim().strip_prefix("open ").unwrap_or_else(|| panic!("{first}"));
    let shown = Browser::default().sign_in(page, account, None).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    let status = program.0.wait().unwrap().code().unwrap();
    (status, rest)
}

#[tokio::test(flavor = "multi_thread")]
async fn person_signs_in_on_the_command_line_works_and_signs_out() {
    let port = free_ports();
    let server = format!("http://127.0.0.1:{port}");
    let Some(mut provider) =
        IdentityProvider::start(&[&server, &format!("http://127.0.0.1:{}", port + 2)]).await
    else {
        return;
    };
    provider.person("u-1", "nora", &["operations"]).await;
    provider.person("u-2", "oskar", &["unknown"]).await;
    let (folder, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let home = home.path();
    let environment = provider.environment();
    let _up = Up::start_at(&folder, &port.to_string(), |command| command.envs(environment.clone()));

    let (status, output) = login(home, &server, "u-2").await;
    assert_eq!(status, 1, "{output}");
    assert!(output.contains("is in no group that has a role here"), "{output}");
    assert!(!home.join("patchctl").exists(), "nothing is kept of a sign-in that failed");

    let (status, output) = login(home, &server, "u-1").await;
    assert_eq!(status, 0, "{output}");
    assert!(output.contains("signed in as nora (operator) until"), "{output}");
    let token = home.join("patchctl/ops.token");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&token), mode(&home.join("patchctl"))), (0o600, 0o700));
    let secret = std::fs::read_to_string(&token).unwrap();
    assert!(secret.starts_with("pm_") && !output.contains(secret.trim()));

    let me: Value = serde_json::from_str(&run(home, &["whoami", "-o", "json"]).expect(0).stdout).unwrap();
    assert_eq!((&me["subject"], &me["is_session"]), (&"nora".into(), &false.into()));
    assert_eq!(me["provider"], provider.issuer.as_str());
    run(home, &["ci", "create", "web-01", "--type", "host"]).expect(0);
    let listed = run(home, &["context", "list", "-o", "json"]).expect(0).stdout;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (&listed[0]["name"], &listed[0]["current"], &listed[0]["signed_in"]),
        (&"ops".into(), &"*".into(), &true.into())
    );
    run(home, &["context", "use", "ops"]).expect(0);
    assert!(run(home, &["context", "use", "other"]).expect(2).stderr.contains("`other`"));
    // The token goes to no platform but its own.
    let other = run(home, &["--context", "ops", "--server", "http://127.0.0.1:9", "whoami"]).expect(2);
    assert!(other.stderr.contains("--server is not the address of context `ops`"), "{other:?}");

    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o640)).unwrap();
    let open = run(home, &["whoami"]).expect(1);
    assert!(
        open.stderr.contains("may be read or written by others") && open.stderr.contains("chmod 600"),
        "{open:?}"
    );
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();

    let out = run(home, &["logout"]).expect(0);
    assert!(out.stderr.contains("signed out of `ops`") && out.stderr.contains(&provider.issuer), "{out:?}");
    assert!(!token.exists());
    assert!(run(home, &["whoami"]).expect(1).stderr.contains("patchctl login"));
    // It has ended at the platform, too.
    let kept = home.join("kept");
    std::fs::write(&kept, secret).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while run(home, &["--server", &server, "--token-file", kept.to_str().unwrap(), "whoami"]).status == 0 {
        assert!(std::time::Instant::now() < deadline, "the token is still valid");
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
}

#[test]
fn platform_without_a_provider_says_what_to_do() {
    let (folder, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let up = Up::start(&folder);
    let server = format!("http://127.0.0.1:{}", up.port_base);
    let refused = run(home.path(), &["--server", &server, "login"]).expect(1);
    assert!(
        refused.stderr.contains("has no identity provider")
            && refused.stderr.contains("patchctl token create"),
        "{refused:?}"
    );
    assert!(run(home.path(), &["logout"]).expect(1).stderr.contains("you are not signed in"));
}
