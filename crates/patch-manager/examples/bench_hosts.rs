//! Compares the platform with the bare `ansible-playbook` command, which patches the same wave of real hosts with the same
//! inventory, playbook and forks.
//!
//! `cargo xtask bench ansible -- --hosts real [ROUNDS]`. Both ways alternate, and the hosts are rolled back to their older
//! packages in between. The bare command uses pipelining too, which is the most effective setting, and opens its own
//! connections. CPU seconds are those of the controller: of the platform itself, and of its Ansible and ssh processes.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use ansible::{
    AnsibleRunner, Connection, End, HostKeyRule, Inventory, Playbook, PlaybookRun, SshConnection, SshKey,
    Variables,
};
use anyhow::{Context, bail, ensure};
use domain::ids::CiId;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use sim_engine::{SimEngine, SimSettings};
use tempfile::TempDir;
use test_support::{Http, TestDatabase, TestFleet, TestService};

const DEBIAN: usize = 16;
const ROCKY: usize = 8;
/// Limits of the platform: its wall time relative to the bare command, and its share of the controller's CPU time.
const MAX_WALL_RATIO: f64 = 1.05;
const MAX_CPU_SHARE: f64 = 0.03;
const CREATE_TIMEOUT: Duration = Duration::from_secs(1800);
const CONCURRENT_CREATES: usize = 6;

/// The argument of the process that keeps the hosts.
const LAB: &str = "--lab";

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    if arguments.any(|argument| argument == LAB) {
        return keep_hosts().await;
    }
    let rounds = std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(3usize);
    let runner = AnsibleRunner::locate()?;
    // In a separate process, so that the CPU time of this one is only that of running playbooks.
    let mut lab = Command::new(std::env::current_exe()?)
        .arg(LAB)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the process that keeps the hosts")?;
    let mut line = String::new();
    BufReader::new(lab.stdout.take().context("it has an output")?).read_line(&mut line)?;
    let hosts: Vec<Value> = serde_json::from_str(&line).context("there are no real hosts; see above")?;
    println!("{} real hosts, patch-mixed, {rounds} rounds of each way, alternating", hosts.len());
    let measured = measure(&runner, &hosts, rounds).await;
    // It ends with its input.
    drop(lab.stdin.take());
    lab.wait()?;
    report(measured?);
    Ok(())
}

/// Creates the hosts, prints them in one line, and deletes them when the input ends.
async fn keep_hosts() -> anyhow::Result<()> {
    let Some(fleet) = TestFleet::new() else { bail!("no real hosts can run here") };
    let database = TestDatabase::create().await;
    let settings = SimSettings {
        laboratory: true,
        fleet_dir: Some(fleet.folder().to_path_buf()),
        fleet_images: Some(fleet.images().to_path_buf()),
    };
    let service = TestService::start::<SimEngine>(database.url(), settings).await;
    let operator = service.operator().await;
    let hosts = create(&operator).await?;
    println!("{}", serde_json::to_string(&hosts)?);
    let input = || std::io::stdin().read_line(&mut String::new());
    while tokio::task::spawn_blocking(input).await?? > 0 {}
    for host in &hosts {
        operator.delete(&format!("/sim/vms/{}", name(host)?)).await;
    }
    Ok(())
}

/// Seconds of one wave: wall time, CPU time of this process, and CPU time of `ansible-playbook` and its workers.
#[derive(Clone, Copy)]
struct Took {
    wall: f64,
    own: f64,
    children: f64,
}

async fn measure(runner: &AnsibleRunner, hosts: &[Value], rounds: usize) -> anyhow::Result<[Vec<Took>; 2]> {
    let mut measured = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        // The second one finds warmer caches, so the order alternates.
        for is_bare in [round % 2 == 0, round % 2 != 0] {
            let folder = TempDir::new()?;
            let run_id = format!("bench-{round}-{is_bare}");
            let run = wave(Playbook::PatchMixed, hosts, &run_id, &folder.path().join("up"))?;
            let took = if is_bare { bare(runner, run).await? } else { platform(runner, run).await? };
            let way = if is_bare { "bare    " } else { "platform" };
            println!(
                "  {way} {:6.2} s; CPU: own {:.2} s, its children {:.2} s",
                took.wall, took.own, took.children
            );
            measured[usize::from(!is_bare)].push(took);
            // A host that was not patched cannot be rolled back and fails here.
            platform(runner, wave(Playbook::RollbackSnapshot, hosts, &run_id, &folder.path().join("back"))?)
                .await?;
        }
    }
    Ok(measured)
}

fn report([bare, platform]: [Vec<Took>; 2]) {
    let median = |all: &[Took], of: fn(&Took) -> f64| {
        let mut values: Vec<_> = all.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let met = |is_met: bool| if is_met { "met" } else { "missed" };
    let (bare, with) = (median(&bare, |took| took.wall), median(&platform, |took| took.wall));
    let ratio = with / bare;
    let share = median(&platform, |took| took.own / (took.own + took.children));
    println!("median: bare {bare:.2} s, platform {with:.2} s");
    println!("ratio {ratio:.3}, target {MAX_WALL_RATIO}: {}", met(ratio <= MAX_WALL_RATIO));
    println!(
        "own CPU {:.2} % of the controller's, target {:.0} %: {}",
        share * 100.0,
        MAX_CPU_SHARE * 100.0,
        met(share < MAX_CPU_SHARE)
    );
}

async fn create(operator: &Http) -> anyhow::Result<Vec<Value>> {
    let names = (1..=DEBIAN).map(|number| (format!("deb-{number:02}"), "debian12"));
    let names = names.chain((1..=ROCKY).map(|number| (format!("rpm-{number:02}"), "rocky9")));
    let created = names.map(|(id, os)| async move {
        let vm = json!({ "id": id, "driver": "linux", "os": os, "guest": { "services": [{ "name": "nginx", "port": 443 }] } });
        let until = Instant::now() + CREATE_TIMEOUT;
        loop {
            let answer = operator.post("/sim/vms", &vm).await;
            match answer.status.as_u16() {
                201 => break Ok(answer.json),
                503 if Instant::now() < until => tokio::time::sleep(Duration::from_millis(500)).await,
                status => bail!("cannot create host `{id}`: status {status}, {}", answer.json),
            }
        }
    });
    stream::iter(created).buffered(CONCURRENT_CREATES).try_collect().await
}

fn wave(playbook: Playbook, hosts: &[Value], run_id: &str, folder: &Path) -> anyhow::Result<PlaybookRun> {
    let mut inventory = Inventory::new();
    for host in hosts {
        let (name, ssh) = (name(host)?, &host["ssh"]);
        let of =
            |field: &str| ssh[field].as_str().with_context(|| format!("`{name}` has no {field} for SSH"));
        let key = SshKey::File(of("key_file")?.into());
        let rule = HostKeyRule::Known(of("host_key")?.parse()?);
        let connection = SshConnection::new(of("address")?.parse()?, 22, of("user")?, key, rule)?;
        let (group, new, old) = if name.starts_with("deb") {
            ("packaging_dpkg", "3.0.18-1~deb12u2", "3.0.17-1~deb12u3")
        } else {
            ("packaging_rpm", "1:3.2.2-7.el9_7", "1:3.2.2-6.el9_6.2")
        };
        let mut variables = Variables::new();
        variables
            .set("pm_driver", "ssh")
            .set("pm_vm_id", name)
            .set("pm_services", json!(["nginx"]))
            .set("pm_updates", json!({ "openssl": new }))
            .set("pm_downgrades", json!({ "openssl": old }))
            .set("pm_reboot", "never");
        let id = CiId::new(name)?;
        inventory.add_host(id.clone(), Connection::Ssh(Box::new(connection)), variables)?;
        inventory.add_to_group(group, &id)?;
    }
    let mut run = PlaybookRun::new(playbook, inventory, folder);
    run.forks = u16::try_from(hosts.len())?;
    run.extra_vars.set("pm_run_id", run_id).set("pm_health_stable_seconds", 0.5);
    Ok(run)
}

fn name(host: &Value) -> anyhow::Result<&str> {
    host["id"].as_str().context("a host has no id")
}

async fn platform(runner: &AnsibleRunner, run: PlaybookRun) -> anyhow::Result<Took> {
    let (began, [own, children]) = (Instant::now(), cpu_seconds()?);
    let mut running = runner.start(run).await?;
    let ended = running.wait().await;
    let wall = began.elapsed().as_secs_f64();
    let log = || std::fs::read_to_string(running.log()).unwrap_or_default();
    ensure!(
        ended.as_ref().is_some_and(|ended| ended.end == End::Succeeded),
        "the run ended as {ended:?}: {}",
        log()
    );
    let [own_after, children_after] = cpu_seconds()?;
    Ok(Took { wall, own: own_after - own, children: children_after - children })
}

/// As an operator would type it, with the inventory, the variables and the known hosts that the platform wrote.
async fn bare(runner: &AnsibleRunner, run: PlaybookRun) -> anyhow::Result<Took> {
    let prepared = runner.prepare_by_hand(&run)?;
    let log = prepared.folder().join("bare.log");
    // Ansible's own default for ssh, and the file of known hosts.
    let known = format!("-o UserKnownHostsFile={}", prepared.known_hosts().display());
    let sockets = TempDir::new()?;
    let mut command = prepared.command();
    command
        .env("ANSIBLE_PIPELINING", "True")
        .env("ANSIBLE_SSH_ARGS", format!("-C -o ControlMaster=auto -o ControlPersist=60s {known}"))
        // A new folder, so that the connections of the previous round are not used.
        .env("ANSIBLE_SSH_CONTROL_PATH_DIR", sockets.path())
        .stdout(std::fs::File::create(&log)?)
        .stderr(Stdio::null());
    let (began, [own, children]) = (Instant::now(), cpu_seconds()?);
    let status = tokio::task::spawn_blocking(move || command.status()).await??;
    let wall = began.elapsed().as_secs_f64();
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    ensure!(status.success(), "the bare command ended with {status}: {}", said());
    let [own_after, children_after] = cpu_seconds()?;
    Ok(Took { wall, own: own_after - own, children: children_after - children })
}

/// CPU seconds of this process, and of all its descendants that have ended.
fn cpu_seconds() -> anyhow::Result<[f64; 2]> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<_> = text.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    // Fields 14 to 17 of proc(5), in hundredths of a second: user and system time of the process and of its children.
    let ticks = |number: usize| -> anyhow::Result<f64> {
        Ok(fields.get(number - 3).context("no such field")?.parse()?)
    };
    Ok([(ticks(14)? + ticks(15)?) / 100.0, (ticks(16)? + ticks(17)?) / 100.0])
}
