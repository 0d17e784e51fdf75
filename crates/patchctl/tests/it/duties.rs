//! What takes two people, on the command line: proposals are found and confirmed at the service that carries them out.

use serde_json::Value;

use crate::program::{Finished, Up};

fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:#?}"))
}

/// The id in the hint of a command that waits.
fn proposal(waiting: &Finished) -> String {
    waiting.stderr.trim_end().rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn weakening_waits_and_another_person_confirms_it_at_whichever_service() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);
    let token = up.run(&["token", "create", "arjun", "--role", "approver", "--days", "1"]).expect(0).stdout;
    let file = folder.path().join("arjun-token");
    std::fs::write(&file, token).unwrap();
    let arjun = ["--token-file", file.to_str().unwrap()];
    let as_arjun = |arguments: &[&str]| up.run(&[&arjun[..], arguments].concat());

    // At the patch-manager.
    up.run(&["compliance", "service-levels", "--critical", "5"]).expect(0);
    let waiting = up.run(&["compliance", "service-levels", "--critical", "9"]).expect(3);
    assert!(waiting.stderr.contains("`critical_days` rises from 5 to 9"), "{waiting:?}");
    assert_eq!(
        up.run(&["proposal", "confirm", &proposal(&waiting)]).status,
        1,
        "nobody confirms an own proposal"
    );
    as_arjun(&["proposal", "confirm", &proposal(&waiting)]).expect(0);
    let levels = json(&up.run(&["compliance", "service-levels", "-o", "json"]).expect(0));
    assert_eq!(levels["critical_days"], 9);

    // At the CMDB, which the command finds by itself.
    up.run(&["ci", "create", "web-01", "--type", "host"]).expect(0);
    let state = r#"{ "compliance_status": "compliant", "current_patch_level": "2026-02" }"#;
    let waiting = up.run_with_input(&["ci", "patch-state", "web-01", "-f", "-"], state).expect(3);
    assert!(waiting.stderr.contains("the CI counts as compliant"), "{waiting:?}");
    let open = json(&up.run(&["proposal", "list", "--state", "pending", "-o", "json"]).expect(0));
    assert_eq!(open[0]["proposed"]["service"], "cmdb");
    as_arjun(&["proposal", "confirm", &proposal(&waiting)]).expect(0);
    let shown = json(&up.run(&["ci", "show", "web-01", "-o", "json"]).expect(0));
    assert_eq!(shown["patch_state"]["compliance_status"], "compliant");
}

#[test]
fn audit_log_is_verified_against_its_chains_and_noted_ends() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);
    up.run(&["ci", "create", "web-01", "--type", "host"]).expect(0);
    let end_of_cmdb = || {
        let ends = up.run(&["audit", "verify"]).expect(0).stdout;
        assert_eq!(ends.lines().count(), 4, "{ends}");
        ends.lines().find(|line| line.starts_with("cmdb:")).unwrap().to_owned()
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while end_of_cmdb().starts_with("cmdb:0:") {
        assert!(std::time::Instant::now() < deadline, "nothing was sealed");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let noted = end_of_cmdb();
    up.run(&["audit", "verify", "--head", &noted]).expect(0);
    let (rest, hash) = noted.rsplit_once(':').unwrap();
    let forged = format!("{rest}:{}", "0".repeat(hash.len()));
    let refused = up.run(&["audit", "verify", "--head", &forged]).expect(1);
    assert!(refused.stderr.contains("the chain of cmdb does not contain the noted position"), "{refused:?}");
    up.run(&["audit", "verify", "--head", "cmdb:x:y"]).expect(2);

    // The token of an agent, from its creation to its replacement.
    let issued = up.run(&["token", "create", "--role", "agent", "--ci", "web-01", "--days", "30"]).expect(0);
    let file = folder.path().join("agent-token");
    std::fs::write(&file, issued.stdout).unwrap();
    let token = ["--token-file", file.to_str().unwrap()];
    let rotated = up.run(&[&token[..], &["token", "rotate"]].concat()).expect(0).stdout;
    assert!(rotated.starts_with("pm_"), "{rotated}");
    assert_eq!(up.run(&[&token[..], &["ci", "list"]].concat()).status, 1);
    let listed = json(&up.run(&["token", "list", "-o", "json"]).expect(0));
    assert_eq!(listed[0]["subject"], "agent-web-01");
}

#[test]
fn receiver_of_webhooks_gets_a_secret_that_is_printed_once() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);
    let url = "https://deploy.acme.example/start";
    let secret = up.run(&["webhook", "create", url, "--customer", "acme-corp"]).expect(0).stdout;
    assert!(secret.starts_with("whsec_") && secret.lines().count() == 1, "{secret}");
    assert!(
        up.run(&["webhook", "create", url, "--customer", "acme-corp"]).expect(1).stderr.contains("rotate")
    );
    let listed = json(&up.run(&["webhook", "list", "-o", "json"]).expect(0));
    assert_eq!((&listed[0]["url"], &listed[0]["customer"]), (&url.into(), &"acme-corp".into()));
    let id = listed[0]["id"].as_str().unwrap();
    let rotated = up.run(&["webhook", "rotate", id, "--overlap-hours", "2"]).expect(0).stdout;
    assert!(rotated.starts_with("whsec_") && rotated != secret, "{rotated}");
    let listed = up.run(&["webhook", "list", "-o", "json"]).expect(0);
    assert_eq!(json(&listed)[0]["secrets"].as_array().unwrap().len(), 2);
    assert!(!listed.stdout.contains(secret.trim()) && !listed.stdout.contains(rotated.trim()));
    up.run(&["webhook", "delete", id]).expect(0);
    assert_eq!(up.run(&["webhook", "delete", id]).status, 1);
}
