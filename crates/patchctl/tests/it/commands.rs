//! Commands against a real platform.

use std::fs;

use serde_json::Value;

use crate::program::{Finished, Up, finish, patchctl};

const POLICY: &str = "\
id: policy-rhel9-baseline
name: RHEL 9 Monthly Baseline
os_type: rhel9
schedule: '0 2 * * 0'
time_zone: Europe/Berlin
target_ci_tags: { env: dev, os: rhel9 }
patch_level: '2026-02'
max_parallel: 5
";

const CHANGE: &str = r#"{ "kind": "normal", "short_description": "Patch the web tier", "ci_ids": ["web-01"],
    "start_at": "2030-01-01T22:00:00Z", "end_at": "2030-01-02T04:00:00Z" }"#;

fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:#?}"))
}

#[test]
fn fleet_is_stored_and_printed_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);
    let list = "id,type,os,env\nweb-01,vm,rocky9,prod\ndb-01,vm,rocky9,prod\n";
    let imported = up.run_with_input(&["ci", "import", "-"], list).expect(0);
    assert!(imported.stdout.starts_with("csv: 2 read, 2 created"), "{imported:?}");
    up.run(&["relationship", "create", "web-01", "depends_on", "db-01", "--compatibility", "degraded"])
        .expect(0);

    let table = up.run(&["ci", "list", "--tag", "env=prod"]).expect(0).stdout;
    assert!(table.starts_with("ID ") && table.lines().count() == 3, "{table}");
    let csv = up.run(&["ci", "list", "-o", "csv"]).expect(0).stdout;
    assert!(csv.starts_with("id,type,status,") && csv.contains("\ndb-01,vm,active,"), "{csv}");
    let items = json(&up.run(&["ci", "list", "-o", "json"]).expect(0));
    assert_eq!(items.as_array().unwrap().len(), 2);

    let impact = up.run(&["ci", "impact", "db-01", "-o", "tsv"]).expect(0).stdout;
    assert!(impact.contains("affects\tweb-01\tvm\t1\tdepends_on"), "{impact}");
    up.run(&["ci", "update", "web-01", "--tag", "tier=web", "--attribute", "port=2222", "--if-version", "1"])
        .expect(0);
    let shown = json(&up.run(&["ci", "show", "web-01", "-o", "json"]).expect(0));
    assert_eq!((&shown["tags"]["tier"], &shown["attributes"]["port"]), (&"web".into(), &2222.into()));
    let stale = up.run(&["ci", "update", "web-01", "--tag", "tier=app", "--if-version", "1"]).expect(1);
    assert!(stale.stderr.contains("hint: ") && stale.stderr.contains("request id: "), "{stale:?}");
    assert_eq!(up.run(&["ci", "show", "web-99"]).status, 1);
    assert!(json(&up.run(&["ci", "inventory"]).expect(0))["_meta"]["hostvars"]["web-01"].is_object());
}

#[test]
fn hosts_packages_and_days_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);
    let list = "id,type,os,env\nweb-01,vm,Rocky Linux 9.4,prod\ndb-01,vm,rocky9,dev\n";
    up.run_with_input(&["ci", "import", "-"], list).expect(0);
    // The OS is the one of the CI.
    let lines = "lamp\t1:2.0-8.el9\tx86_64\tlamp-2.0-8.el9.src.rpm\nwick\t3.1-2.el9\tx86_64\twick-3.1-2.el9.src.rpm\n";
    up.run_with_input(&["inventory", "push", "--ci", "web-01", "-"], lines).expect(0);
    let hosts = |arguments: &[&str]| {
        let mut command = vec!["compliance", "list", "-o", "csv"];
        command.extend(arguments);
        let printed = up.run(&command).expect(0).stdout;
        assert!(
            printed.starts_with("host,status,env,os,level,pending,severity,exploited,due,scanned,reason\n"),
            "{printed}"
        );
        printed.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(hosts(&[]), ["db-01", "web-01"]);
    assert_eq!(hosts(&["--os", "rocky-9", "--env", "prod", "--sort", "severity"]), ["web-01"]);
    assert!(up.run(&["compliance", "list", "--status", "fine"]).expect(1).stderr.contains("`fine`"));
    let packages =
        up.run(&["package", "list", "lamp", "--below", "2.0-10.el9", "-o", "tsv"]).expect(0).stdout;
    assert!(packages.contains("web-01\tprod\trocky:9\tlamp\t1:2.0-8.el9\t"), "{packages}");
    assert_eq!(
        up.run(&["package", "list", "lamp", "--below", "2.0-7.el9", "-o", "json"]).expect(0).stdout.trim(),
        "[]"
    );
    let history = up.run(&["compliance", "history", "--by", "env", "-o", "csv"]).expect(0).stdout;
    assert!(history.starts_with("day,by,value,compliant,non-compliant,unknown,percent\n"), "{history}");
    let shown = up.run(&["compliance", "show", "web-01", "-o", "csv"]).expect(0).stdout;
    assert!(shown.starts_with("package,installed,newest fix,advisories,cves,"), "{shown}");
    let advisories = up.run(&["compliance", "show", "web-01", "--all", "-o", "csv"]).expect(0).stdout;
    assert!(advisories.starts_with("package,installed,fixed,advisory,"), "{advisories}");
}

#[test]
fn policy_is_created_changed_previewed_and_run() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);
    up.run_with_input(&["policy", "create", "-f", "-"], POLICY).expect(0);
    let preview = up.run(&["policy", "preview", "policy-rhel9-baseline"]).expect(0).stdout;
    assert_eq!(preview.matches("Europe/Berlin").count(), 5, "{preview}");
    let update = ["policy", "update", "policy-rhel9-baseline", "-f", "-"];
    up.run_with_input(&update, "max_parallel: 20%\n").expect(0);
    let wrong = up.run_with_input(&update, "max_parallel: 0\n").expect(1);
    assert!(wrong.stderr.contains("/max_parallel"), "{wrong:?}");

    let run = ["run", "start", "--policy", "policy-rhel9-baseline", "--dry-run", "--watch"];
    let watched = up.run(&run).expect(0);
    assert!(
        watched.stdout.ends_with("run succeeded; 0 of 0 hosts succeeded, 0 failed, 0 skipped\n"),
        "{watched:?}"
    );
    let runs = json(&up.run(&["run", "list", "-o", "json"]).expect(0));
    let id = runs[0]["id"].as_str().unwrap();
    let events = up.run(&["run", "events", id]).expect(0).stdout;
    let states = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let last =
        states.filter(|event| event["type"] == "patch.run.state_changed.v1").reduce(|_, last| last).unwrap();
    assert_eq!(last["data"]["state"], "succeeded");
    assert_eq!(up.run(&["run", "watch", id]).status, 0);
    up.run(&["run", "logs", id]).expect(0);
    assert!(up.run(&["run", "report", id]).expect(0).stdout.starts_with('#'));
    up.run(&["simulate", "--policy", "policy-rhel9-baseline", "--strategy", "rolling", "--runs", "10"])
        .expect(0);
    let ledger = json(&up.run(&["predictions", "-o", "json"]).expect(0));
    assert!(ledger["items"].is_array(), "{ledger}");
    assert!(up.run(&["predictions"]).expect(0).stdout.contains("predict"));
    up.run(&["policy", "delete", "policy-rhel9-baseline"]).expect(0);
    assert_eq!(up.run(&["run", "start", "--policy", "policy-rhel9-baseline"]).status, 1);
}

#[test]
fn change_is_approved_by_another_person() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);
    let change = json(&up.run_with_input(&["change", "create", "-f", "-", "-o", "json"], CHANGE).expect(0));
    let id = change["id"].as_str().unwrap();
    up.run(&["change", "submit", id]).expect(0);
    let refused = up.run(&["change", "approve", id]).expect(1);
    assert!(refused.stderr.contains("approver") && refused.stderr.contains("token create"), "{refused:?}");

    let token = up.run(&["token", "create", "arjun", "--role", "approver", "--days", "1"]).expect(0).stdout;
    assert!(token.starts_with("pm_") && token.lines().count() == 1, "only the secret, for a file");
    let mut approve =
        patchctl(&["change", "approve", id, "--comment", "go", "-o", "json", "--port-base", &up.port_base]);
    let approved = json(&finish(approve.env("PATCH_TOKEN", token.trim()), "").expect(0));
    assert_eq!(
        (&approved["state"], &approved["approvals"][0]["approver"]),
        (&"approved".into(), &"arjun".into())
    );

    let tokens = json(&up.run(&["token", "list", "-o", "json"]).expect(0));
    let arjun = tokens.as_array().unwrap().iter().find(|token| token["subject"] == "arjun").unwrap();
    up.run(&["token", "revoke", arjun["id"].as_str().unwrap()]).expect(0);
    assert!(up.run(&["audit", "--limit", "5"]).expect(0).stdout.contains("revoke_token"));
}

#[test]
fn advisories_are_partly_imported() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../seeds/advisories");
    let all = up.run(&["advisory", "import", seeds, "-o", "csv"]).expect(0);
    assert!(all.stdout.lines().count() > 20 && all.stderr.contains("skipped: "), "{all:?}");
    let shown = up.run(&["advisory", "show", "CVE-2026-90021"]).expect(0).stdout;
    assert!(shown.contains("DCOS-2026-0020") && shown.contains("affected: 0"), "{shown}");

    let feed = fs::read_to_string(format!("{seeds}/DCOS-2026-0020.json")).unwrap();
    let good: Value = serde_json::from_str(&feed).unwrap();
    let lines = folder.path().with_extension("jsonl");
    fs::write(&lines, format!("{good}\n{{\"id\":\"X-1\",\"affected\":7}}\n")).unwrap();
    let part = up.run(&["advisory", "import", lines.to_str().unwrap()]).expect(3);
    assert!(part.stderr.contains("refused: "), "{part:?}");
    fs::remove_file(lines).unwrap();
}

#[test]
fn machines_are_created_broken_and_reverted() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);
    let vms = r#"{ "vms": [
        { "id": "web-01", "driver": "model", "os": "rocky9", "guest": { "packages": { "openssl": "1:3.0.7-24.el9" } } },
        { "id": "web-02", "driver": "model", "os": "rocky9" } ] }"#;
    up.run_with_input(&["vm", "create", "-f", "-"], vms).expect(0);
    let repository = "packages:\n  openssl: ['1:3.0.7-24.el9', '1:3.0.7-27.el9']\n";
    up.run_with_input(&["repository", "set", "rocky9", "-f", "-"], repository).expect(0);
    let snapshot = json(&up.run(&["vm", "snapshot", "create", "web-01", "-o", "json"]).expect(0));

    up.run(&["fault", "inject", "patch-failure", "web-01", "--times", "1"]).expect(0);
    up.run(&["vm", "install", "web-01", "openssl=1:3.0.7-27.el9"]).expect(1);
    up.run(&["vm", "install", "web-01", "openssl=1:3.0.7-27.el9"]).expect(0);
    assert!(up.run(&["vm", "guest", "web-01", "-o", "json"]).expect(0).stdout.contains("3.0.7-27"));
    up.run(&["vm", "snapshot", "revert", "web-01", snapshot["id"].as_str().unwrap()]).expect(0);
    assert!(
        !up.run(&["vm", "guest", "web-01", "-o", "json"])
            .expect(0)
            .stdout
            .contains("\"version\": \"1:3.0.7-27")
    );

    up.run(&["fault", "inject", "slow", "web-01", "web-02", "--delay", "1"]).expect(0);
    let cleared = up.run(&["fault", "clear", "--vm", "web-02"]).expect(0);
    assert_eq!(cleared.stderr, "faults cleared: 1\n");
    up.run(&["vm", "power", "web-02", "off"]).expect(0);
    up.run(&["ci", "sync", "--wait"]).expect(0);
    up.run(&["vm", "delete", "web-02"]).expect(0);
}
