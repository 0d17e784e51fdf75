//! A program in the place of `ansible-playbook`. It plays what a playbook reports of hosts on which everything works, at once
//! and without a host, so that what remains to be measured is the platform's own work.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use domain::workflow::WorkflowStep;
use serde_json::{Value, json};
use test_support::{NEW, OLD};

/// Tasks of a step, about as many as the playbooks have.
const TASKS: usize = 4;
/// The file in which the program notes the hosts that it patched, in the folder of the service's files.
pub const PATCHED: &str = "patched-by-script";

/// The arguments of `ansible-playbook`, as the platform gives them.
struct Call {
    inventory: PathBuf,
    playbook: String,
}

impl Call {
    fn of(arguments: &[String]) -> Option<Self> {
        let inventory = arguments.iter().position(|argument| argument == "-i")?;
        Some(Self {
            inventory: arguments.get(inventory + 1)?.into(),
            playbook: Path::new(arguments.last()?).file_stem()?.to_str()?.to_owned(),
        })
    }
}

/// Plays a playbook if this process was started as `ansible-playbook`.
pub fn play_if_called() -> Option<anyhow::Result<()>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let pipe = std::env::var("PM_EVENTS_FD").ok()?.parse::<i32>().ok()?;
    Some(Call::of(&arguments).context("not called as ansible-playbook").and_then(|call| {
        let events = OpenOptions::new().write(true).open(format!("/dev/fd/{pipe}"))?;
        play(&call, events)
    }))
}

fn play(call: &Call, events: File) -> anyhow::Result<()> {
    let mut events = Events(BufWriter::new(events));
    let hosts = hosts_of(&call.inventory)?;
    let patched = call
        .inventory
        .ancestors()
        .map(|folder| folder.join(PATCHED))
        .find(|file| file.exists())
        .context("the platform's folder has no file for patched hosts")?;
    match call.playbook.as_str() {
        "scan-compliance" => scan(&mut events, &call.inventory, &hosts, &patched)?,
        "patch-ubuntu" => patch(&mut events, &hosts, &patched)?,
        other => bail!("the script has no part for the playbook `{other}`"),
    }
    events.write(&json!({ "event": "stats", "hosts": hosts }))?;
    Ok(events.0.flush()?)
}

fn hosts_of(inventory: &Path) -> anyhow::Result<Vec<String>> {
    let inventory: Value = serde_json::from_reader(File::open(inventory)?)?;
    let hosts = inventory["all"]["hosts"].as_object().context("the inventory has no hosts")?;
    Ok(hosts.keys().cloned().collect())
}

/// All hosts go through the steps side by side.
fn patch(events: &mut Events, hosts: &[String], patched: &Path) -> anyhow::Result<()> {
    for step in WorkflowStep::ALL {
        for task in 1..=TASKS {
            let task = format!("{} {task}", step.name());
            for host in hosts {
                events.write(
                    &json!({ "event": "host_started", "host": host, "task": task, "step": step.name() }),
                )?;
                events.result(host, &task, Some(step.name()), None)?;
            }
        }
    }
    let mut file = OpenOptions::new().append(true).open(patched)?;
    file.write_all(hosts.iter().map(|host| format!("{host}\n")).collect::<String>().as_bytes())?;
    let outcome = json!({ "pm": { "outcome": "succeeded",
        "changed": [{ "package": "openssl", "from": OLD, "to": NEW }] } });
    for host in hosts {
        events.result(host, "Report the outcome", None, Some(&outcome))?;
    }
    Ok(())
}

fn scan(events: &mut Events, inventory: &Path, hosts: &[String], patched: &Path) -> anyhow::Result<()> {
    let variables = inventory.with_file_name("variables.json");
    let variables: Value = serde_json::from_reader(File::open(variables)?)?;
    let folder = PathBuf::from(text_of(&variables["pm_results_dir"]).context("no folder for results")?);
    let patched = std::fs::read_to_string(patched)?;
    let patched: BTreeSet<&str> = patched.lines().collect();
    for host in hosts {
        let version = if patched.contains(host.as_str()) { NEW } else { OLD };
        let package = json!({ "name": "openssl", "version": version, "arch": "amd64", "source": "openssl",
            "source_version": version, "candidate": NEW, "returnable": true });
        let found = json!({ "os": "debian12", "boot_id": "b-1", "packages": [package] });
        std::fs::write(folder.join(format!("{host}.json")), found.to_string())?;
        events.result(host, "Read packages and services", None, None)?;
    }
    Ok(())
}

/// A text as it is written for Ansible: alone, or marked as one that is not a template.
fn text_of(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["__ansible_unsafe"].as_str())
}

struct Events(BufWriter<File>);

impl Events {
    fn result(
        &mut self,
        host: &str,
        task: &str,
        step: Option<&str>,
        data: Option<&Value>,
    ) -> anyhow::Result<()> {
        self.write(&json!({ "event": "host_result", "host": host, "task": task, "step": step, "status": "ok",
            "item": null, "message": null, "data": data, "duration_ms": 1, "ignored": false }))
    }

    fn write(&mut self, event: &Value) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.0, event)?;
        Ok(self.0.write_all(b"\n")?)
    }
}
