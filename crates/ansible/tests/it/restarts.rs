//! Services that still run deleted files: found in `/proc`, restarted as the policy says, and reported.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use ansible::{HostOutcome, HostOutcomeKind, Playbook};
use domain::restart::{ProcessGroup, StaleServices};
use serde_json::{Value, json};
use test_skip::python_tool;

use crate::{
    fixture::{Fixture, play, runner},
    stub::Guest,
};

const MODULES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../playbooks/collections/ansible_collections/datacenteros/patch/plugins/module_utils"
);
const PROGRAM: &str = "import json, sys; sys.path.insert(0, sys.argv[1]); import deleted_files as d; \
                       print(json.dumps(d.stale_services(sys.argv[2], sys.argv[3])))";

const LIBSSL: &str = "7f1-7f2 r-xp 00000000 fd:00 1  /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)\n";

/// What is found among these processes: control group, program and mapped files. `None` where Python is missing.
fn found(processes: &[(&str, &str, &str)]) -> Option<Value> {
    found_by(processes, &[], 999)
}

/// The same for a process that has parents: pairs of process and parent.
fn found_by(processes: &[(&str, &str, &str)], parents: &[(u32, u32)], own: u32) -> Option<Value> {
    let python = python_tool("python", "PATCH_TEST_PYTHON")?;
    let proc = tempfile::tempdir().unwrap();
    fs::create_dir(proc.path().join("sys")).unwrap();
    for (pid, (cgroup, comm, maps)) in processes.iter().enumerate() {
        let folder = proc.path().join((pid + 1).to_string());
        fs::create_dir(&folder).unwrap();
        for (name, content) in [("cgroup", cgroup), ("comm", comm), ("maps", maps)] {
            fs::write(folder.join(name), content).unwrap();
        }
    }
    for (pid, parent) in parents {
        let stat = format!("{pid} (a) b ) S {parent} 0 0");
        fs::write(proc.path().join(pid.to_string()).join("stat"), stat).unwrap();
    }
    let mut program = Command::new(python);
    program.args(["-B", "-c", PROGRAM, MODULES]).arg(proc.path()).arg(own.to_string());
    let output = program.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    serde_json::from_value::<StaleServices>(answer.clone()).expect("the platform reads it");
    Some(answer)
}

#[test]
fn processes_with_deleted_code_are_found_by_their_units() {
    let Some(found) = found(&[
        ("0::/init.scope\n", "systemd\n", LIBSSL),
        ("0::/system.slice/ssh.service\n", "sshd\n", LIBSSL),
        (
            "0::/system.slice/ssh.service\n",
            "sshd\n",
            "7f1-7f2 r-xp 0 fd:00 1 /usr/lib/security/pam unix.so;6543abcd (deleted)\n",
        ),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", "bash\n", LIBSSL),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/agent.service\n", "agent\n", LIBSSL),
        // Control groups of version 1, and both versions at once.
        (
            "2:cpu:/\n1:name=systemd:/system.slice/system-postgresql.slice/postgresql@15-main.service\n",
            "p\n",
            LIBSSL,
        ),
        ("1:name=systemd:/system.slice/cron.service\n0::/\n", "cron\n", LIBSSL),
        ("0::/machine.slice/guest.scope/payload/system.slice/ssh.service\n", "sshd\n", LIBSSL),
        ("0::/\n", "daemon\n", "7f1-7f2 r-xp 0 fd:00 1 /opt/app/bin/daemon.dpkg-tmp (deleted)\n"),
    ]) else {
        return;
    };
    let libssl = "/usr/lib/x86_64-linux-gnu/libssl.so.3";
    let group = |kind: &str, name: &str, files: &[&str], processes: u32| json!({ "kind": kind, "name": name, "processes": processes, "files": files });
    let services = json!([
        group("manager", "init.scope", &[libssl], 1),
        group("other", "daemon", &["/opt/app/bin/daemon"], 1),
        group("other", "guest.scope", &[libssl], 1),
        group("service", "cron.service", &[libssl], 1),
        group("service", "postgresql@15-main.service", &[libssl], 1),
        group("service", "ssh.service", &["/usr/lib/security/pam unix.so", libssl], 2),
        group("session", "session-3.scope", &[libssl], 1),
        group("session", "user@1000.service", &[libssl], 1),
    ]);
    assert_eq!(found, json!({ "state": "checked", "services": services }));
}

#[test]
fn deleted_data_and_installed_files_do_not_count() {
    let maps = "7f1-7f2 r--p 00000000 fd:00 1 /usr/lib/locale/locale-archive (deleted)\n\
                7f1-7f2 r-xp 00000000 00:01 1 /memfd:jit (deleted)\n\
                7f1-7f2 r-xp 00000000 00:01 1 /dev/shm/ring (deleted)\n\
                7f1-7f2 rwxp 00000000 00:01 1 /tmp/ffi123 (deleted)\n\
                7f1-7f2 rwxs 00000000 00:01 1 /SYSV00000000 (deleted)\n\
                7f1-7f2 r-xp 00000000 fd:00 1 /usr/lib/libssl.so.3\n\
                7f1-7f2 r-xp 00000000 00:00 0 [vdso]\n7f1-7f2 rw-p 00000000 00:00 0\n";
    let Some(found) = found(&[("0::/system.slice/ssh.service\n", "sshd\n", maps)]) else { return };
    assert_eq!(found, json!({ "state": "checked", "services": [] }));
}

#[test]
fn own_connection_does_not_count_and_its_server_does() {
    let ssh = ("0::/system.slice/ssh.service\n", "sshd\n", LIBSSL);
    let session = ("0::/user.slice/user-0.slice/session-9.scope\n", "python3\n", LIBSSL);
    // The manager, the server, the connection's two processes, and the module.
    let parents = [(2, 1), (3, 2), (4, 3), (5, 4)];
    let manager = ("0::/init.scope\n", "systemd\n", "");
    for processes in [[manager, ssh, ssh, ssh, ssh], [manager, ssh, ssh, session, session]] {
        let Some(found) = found_by(&processes, &parents, 5) else { return };
        let services = found["services"].as_array().unwrap();
        assert_eq!(services.len(), 1, "{found}");
        assert_eq!((&services[0]["name"], &services[0]["processes"]), (&json!("ssh.service"), &json!(1)));
    }
    // A server that the manager starts for one connection is never restarted: it would cut it.
    let once = ("0::/system.slice/system-sshd.slice/sshd@3-10.0.0.1:22.service\n", "sshd\n", LIBSSL);
    let found = found_by(&[manager, once, once], &[(2, 1), (3, 2)], 3).unwrap();
    assert_eq!(found["services"], json!([]));
    let found = found_by(&[manager, once, ssh], &[(2, 1), (3, 1)], 3).unwrap();
    assert_eq!(found["services"][1]["kind"], "session", "{found}");
}

/// Patches a guest on which these units run deleted files.
async fn patch(stale: &[&str], rule: &str, listed: &[&str]) -> Option<(HostOutcome, BTreeSet<String>)> {
    let runner = runner()?;
    let mut guest = Guest { stale: stale.iter().map(|&unit| unit.to_owned()).collect(), ..Guest::default() };
    for unit in stale {
        guest.services.insert((*unit).to_owned(), (true, true));
    }
    let fixture = Fixture::new(vec![("h1".into(), guest)]);
    let mut run = fixture.run(Playbook::PatchRhel, |_| {});
    run.extra_vars.set("pm_reboot", "never");
    run.extra_vars.set("pm_restart_services", rule).set("pm_restart_service_names", json!(listed));
    let outcome = play(&runner, run).await.outcome("h1");
    assert_eq!(outcome.outcome, HostOutcomeKind::Succeeded, "{:?} {}", outcome.reason, fixture.log());
    let writes = fixture.stub.world().writes.clone();
    let restarted =
        stale.iter().filter(|unit| writes.contains(&format!("POST /sim/vms/h1/guest/services/{unit}")));
    Some((outcome, restarted.map(|&unit| unit.to_owned()).collect()))
}

fn names(outcome: &HostOutcome) -> Vec<&str> {
    let stale = outcome.stale_services.as_ref().unwrap();
    assert!(stale.found().iter().all(|service| service.kind == ProcessGroup::Service));
    stale.found().iter().map(|service| service.name.as_str()).collect()
}

#[tokio::test]
async fn services_are_restarted_as_far_as_the_policy_allows_and_the_rest_is_reported() {
    let stale = ["cron.service", "dbus.service", "ssh.service"];
    let Some((outcome, restarted)) = patch(&stale, "never", &[]).await else { return };
    assert_eq!((names(&outcome), restarted.len()), (stale.to_vec(), 0));

    let (outcome, restarted) = patch(&stale, "listed", &["ssh", "dbus"]).await.unwrap();
    assert_eq!(names(&outcome), ["cron.service", "dbus.service"]);
    assert_eq!(restarted, BTreeSet::from(["ssh.service".to_owned()]));

    let (outcome, restarted) = patch(&stale, "all", &[]).await.unwrap();
    assert_eq!(names(&outcome), ["dbus.service"]);
    assert_eq!(restarted, BTreeSet::from(["cron.service".to_owned(), "ssh.service".to_owned()]));
}
