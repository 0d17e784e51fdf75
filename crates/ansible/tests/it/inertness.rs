//! Texts from outside stay texts: test vectors of names and values.

use std::{fs, path::PathBuf};

use ansible::{AnsibleRunner, Connection, End, Inventory, Playbook, PlaybookRun, Playbooks, Variables};
use domain::ids::CiId;
use serde_json::{Value, json};
use test_skip::shared_data;

use crate::fixture::{Fixture, guests, listen, runner};

fn vectors(file: &str) -> Option<String> {
    let path = shared_data("vectors/ansible")?.join(file);
    Some(fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// Shows its variables, through a module that writes them on the controller.
const SHOW: &str = r#"
- name: Show
  hosts: all
  gather_facts: false
  tasks:
    - name: Show what came through
      ansible.builtin.copy:
        content: "{{ {'host': pm_tests, 'extra': pm_updates, 'name': inventory_hostname} | to_json }}"
        dest: "{{ pm_results_dir }}/{{ inventory_hostname }}.shown"
        mode: "0600"
    - name: Show them to people
      ansible.builtin.debug:
        var: pm_tests
"#;

/// A runner whose one playbook shows its variables, with an interpreter for the module on the controller.
fn showing(fixture: &Fixture, runner: &AnsibleRunner) -> (AnsibleRunner, PathBuf) {
    let folder = fixture.folder.path().join("playbooks");
    let results = fixture.folder.path().join("results");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(&results).unwrap();
    fs::write(folder.join("scan-compliance.yml"), SHOW).unwrap();
    (AnsibleRunner::new(runner.program(), Playbooks::at(folder)), results)
}

async fn show(fixture: &Fixture, runner: &AnsibleRunner, hosts: &[CiId], values: &Value) -> Vec<Value> {
    let (runner, results) = showing(fixture, runner);
    let mut inventory = Inventory::new();
    for host in hosts {
        let mut variables = Variables::new();
        variables.set("pm_tests", values.clone());
        inventory.add_host(host.clone(), Connection::Controller, variables).unwrap();
    }
    let mut run = PlaybookRun::new(Playbook::ScanCompliance, inventory, fixture.run_dir());
    run.extra_vars.set("pm_updates", values.clone()).set("pm_results_dir", results.to_str().unwrap());
    let report = listen(runner.start(run).await.unwrap()).await;
    assert_eq!(report.ended.end, End::Succeeded, "{}", fixture.log());
    let read = |host: &CiId| {
        serde_json::from_slice(&fs::read(results.join(format!("{host}.shown"))).unwrap()).unwrap()
    };
    hosts.iter().map(read).collect()
}

#[tokio::test]
async fn values_come_through_verbatim_and_run_nothing() {
    let (Some(runner), Some(text)) = (runner(), vectors("var-values.json")) else { return };
    let fixture = Fixture::new(guests(0));
    let canary = fixture.folder.path().join("canary");
    let text = text.replace("/tmp/pwn", canary.to_str().unwrap());
    let mut values: Vec<Value> = serde_json::from_str(&text).unwrap();
    values.push(format!("{{{{ lookup('pipe', 'touch {}') }}}}", canary.display()).into());
    // The longest values come once, which is enough.
    let short: Vec<Value> = values.iter().filter(|value| value.to_string().len() < 1000).cloned().collect();
    let values = json!([values, {"member {{ 1 }}": short}]);
    let shown = show(&fixture, &runner, &[crate::fixture::id("h1")], &values).await;
    assert_eq!(shown[0]["host"], values);
    assert_eq!(shown[0]["extra"], values);
    assert!(!canary.exists(), "a value was run as a template");
}

#[tokio::test]
async fn host_names_are_accepted_or_refused_as_the_vectors_say() {
    let (Some(runner), Some(text)) = (runner(), vectors("hostnames.tsv")) else { return };
    let mut accepted = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let mut columns = line.split('\t');
        let name: String =
            serde_json::from_str(columns.next().unwrap()).unwrap_or_else(|_| "\u{fffd}".into());
        let id = CiId::new(&name);
        if columns.next().unwrap().starts_with("accept") {
            accepted.push(id.unwrap());
        } else {
            assert!(id.is_err(), "{name:?} was accepted");
        }
    }
    accepted.sort();
    accepted.dedup();
    let fixture = Fixture::new(guests(0));
    let shown = show(&fixture, &runner, &accepted, &json!("x")).await;
    let names: Vec<&str> = shown.iter().map(|shown| shown["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        accepted.iter().map(CiId::as_str).collect::<Vec<_>>(),
        "Ansible read a name differently"
    );
}

#[tokio::test]
async fn files_are_private_and_the_environment_is_not_inherited() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new(guests(1));
    let program = fixture.folder.path().join("ansible-playbook");
    fs::write(
        &program,
        "#!/bin/sh\nenv > environment\nls -l /proc/self/fd > descriptors\nstat -c '%a %n' * private/* > modes\n",
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let runner = AnsibleRunner::new(&program, Playbooks::locate().unwrap());
    let report = listen(runner.start(fixture.run(Playbook::PatchRhel, |_| {})).await.unwrap()).await;
    assert_eq!(report.ended.unfinished.len(), 1, "a run that reported nothing has finished nothing");
    let read = |name: &str| fs::read_to_string(fixture.run_dir().join(name)).unwrap();
    for file in [
        "600 inventory.json",
        "600 variables.json",
        "600 private/token",
        "600 output.log",
        "600 private/ssh_config",
    ] {
        assert!(read("modes").contains(file), "{}", read("modes"));
    }
    assert!(!read("environment").contains("CARGO") && !read("environment").contains("token-of-the-test"));
    // The child has what any child of this test has, and the pipe of the events.
    let plain = std::process::Command::new("ls").args(["-l", "/proc/self/fd"]).output().unwrap();
    let count = |listing: &str| listing.lines().filter(|line| line.contains("->")).count();
    let plain = String::from_utf8(plain.stdout).unwrap();
    assert_eq!(count(&read("descriptors")), count(&plain) + 1, "{}{plain}", read("descriptors"));
}
