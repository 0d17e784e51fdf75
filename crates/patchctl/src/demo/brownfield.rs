//! Five hosts as a site has them: with packages that are not the platform's, states that are not tidy, and no hypervisor that
//! the platform knows. Every command is one that an operator types, and is printed with its output.

mod shell;

use std::{collections::BTreeSet, path::Path};

use api_types::sim::{CreateVm, Driver, GuestSpec, HostImage, SshAccess};
use domain::{
    ids::{ChangeId, CiId, RunId},
    run::RunState,
};
use serde_json::{Value, json};

use self::shell::{Expected, Shell};
use super::{
    cast::{Cast, check, until},
    real,
    screen::Screen,
    seeds,
};
use terminal::Failure;

const POLICY: &str = "site";
/// apt installs no newer version of a package on hold.
const HELD: &str = "rsync";
/// The site's own package, which belongs to one version of a package of the distribution: a newer version removes it.
const PLUGIN: &str = "site-nginx-module";
const MAKE_PLUGIN: &str = r"set -e
    mkdir -p /tmp/module/DEBIAN
    version=$(dpkg-query -W -f '${Version}' nginx-common)
    printf 'Package: site-nginx-module\nVersion: 1.0-1\nArchitecture: all\nMaintainer: Site <site@example.com>\n' >/tmp/module/DEBIAN/control
    printf 'Depends: nginx-common (= %s)\nDescription: a module for one version of nginx\n' $version >>/tmp/module/DEBIAN/control
    dpkg-deb --root-owner-group -b /tmp/module /tmp/module.deb >/dev/null
    dpkg -i /tmp/module.deb >/dev/null
    rm -r /tmp/module /tmp/module.deb";
/// The vendor made it a part of a library: the library's newer version replaces it.
const REPLACED: &str = "openssl-engine";
/// dnf leaves the package alone.
const EXCLUDE: &str =
    r"sed -i '/^\[main\]/a excludepkgs=openssl' /etc/dnf/dnf.conf; grep excludepkgs /etc/dnf/dnf.conf";
/// Prints the index of sources of Debian's security suite, which lies beside the hosts' repository.
const PRINT_SOURCES: &str = "/usr/lib/apt/apt-helper download-file http://repository.fleet:8077/brownfield/sources \
                             /tmp/sources >/dev/null && cat /tmp/sources && rm /tmp/sources";
const UPGRADABLE: &str = "apt-get -qq update && apt list --upgradable 2>/dev/null | sed -n 's#/.*##p' | sort";

/// A host and how it is reached.
struct SiteHost {
    id: CiId,
    os: &'static str,
    ssh: SshAccess,
}

pub(super) async fn play(cast: &Cast, data_dir: &Path, port_base: u16) -> Result<(), Failure> {
    let mut screen = Screen::new();
    let shell = Shell::new(data_dir, port_base, cast)?;
    screen.chapter("Five hosts that the platform has never seen");
    let hosts = create(cast, &screen).await?;
    prepare(&hosts, &shell).await?;
    shell.write("hosts.json", &cis(&hosts))?;
    shell.olivia(&["ci", "import", "hosts.json"], Expected::Success).await?;

    screen.chapter("What they lack");
    write_feeds(&hosts, &shell).await?;
    shell.olivia(&["advisory", "import", "feeds"], Expected::Success).await?;
    shell.olivia(&["compliance", "scan", "--all", "--wait"], Expected::Success).await?;
    shell.olivia(&["compliance", "list"], Expected::Success).await?;
    shell.olivia(&["compliance", "show", "deb-1"], Expected::Success).await?;
    compare_with_apt(cast, &hosts, &screen).await?;

    screen.chapter("A policy, and whether its hosts are ready");
    shell.write("policy.json", &policy())?;
    shell.olivia(&["policy", "create", "-f", "policy.json"], Expected::Success).await?;
    shell.olivia(&["policy", "preview", POLICY, "--preflight"], Expected::Success).await?;

    screen.chapter("The exact transaction, and who approves it");
    shell.olivia(&["run", "start", "--policy", POLICY], Expected::Success).await?;
    let (run, change) = approved(cast, &shell).await?;

    screen.chapter("Download, drain, install, restart, reboot, verify");
    let before = versions(&hosts, &shell).await?;
    let id = run.to_string();
    shell.olivia(&["run", "watch", &id], Expected::Anything).await?;
    shell.olivia(&["run", "steps", &id, "--host", "deb-1"], Expected::Success).await?;
    shell.olivia(&["run", "report", &id], Expected::Success).await?;
    shell.olivia(&["change", "show", change.as_str()], Expected::Success).await?;

    screen.chapter("The proof, on the hosts themselves");
    let patched = versions(&hosts, &shell).await?;
    shell.olivia(&["compliance", "list"], Expected::Success).await?;
    check_patched(cast, run, &before, &patched).await?;

    screen.chapter("And back");
    let reason = "--reason=the shop reports errors since the update";
    shell.olivia(&["run", "rollback", &id, reason], Expected::Success).await?;
    let (back, _) = approved(cast, &shell).await?;
    shell.olivia(&["run", "watch", &back.to_string()], Expected::Anything).await?;
    let returned = versions(&hosts, &shell).await?;
    check_returned(&before, &returned)
}

/// Under other ids than those in the CMDB: the platform finds no machine of the sim-engine for its hosts.
async fn create(cast: &Cast, screen: &Screen) -> Result<Vec<SiteHost>, Failure> {
    let wanted = [
        ("deb-1", "debian12", HostImage::Brownfield),
        ("deb-2", "debian12", HostImage::Brownfield),
        ("deb-3", "debian12", HostImage::Brownfield),
        ("rpm-1", "rocky9", HostImage::Laboratory),
        ("rpm-2", "rocky9", HostImage::Laboratory),
    ];
    let mut hosts = Vec::new();
    for (name, os, image) in wanted {
        let vm = CreateVm {
            id: ci(&format!("machine-of-{name}"))?,
            driver: Driver::Linux,
            os: os.to_owned(),
            image,
            cluster: None,
            hypervisor: None,
            tags: Default::default(),
            guest: GuestSpec::default(),
        };
        real::create_host(cast, &vm).await?;
        let ssh = cast.olivia_sim.get_vm(&vm.id).await?.ssh;
        let ssh = ssh.ok_or_else(|| Failure::new(format!("{name} has no address")))?;
        hosts.push(SiteHost { id: ci(name)?, os, ssh });
    }
    screen.say(
        "three hosts with Debian's own packages of its last point release, and two with dnf, answer over SSH",
    );
    Ok(hosts)
}

/// States that a site has: a package on hold, one of its own that an update removes, and one that its vendor replaces.
async fn prepare(hosts: &[SiteHost], shell: &Shell) -> Result<(), Failure> {
    shell.host(&hosts[0], &format!("apt-mark hold {HELD}")).await?;
    shell.host(&hosts[3], EXCLUDE).await?;
    real::run_command(&hosts[2].id, &hosts[2].ssh, MAKE_PLUGIN).await?;
    shell
        .host(&hosts[2], &format!("dpkg-query -W -f '${{Package}} depends on ${{Depends}}\\n' {PLUGIN}"))
        .await?;
    let install =
        format!("dnf -q -y install --setopt=obsoletes=false {REPLACED} >/dev/null && rpm -q {REPLACED}");
    shell.host(&hosts[4], &install).await?;
    Ok(())
}

fn cis(hosts: &[SiteHost]) -> Value {
    let of = |host: &SiteHost| {
        json!({
            "id": host.id,
            "type": "vm",
            "tags": { "env": "prod", "os": host.os },
            "attributes": {
                "driver": "ssh",
                "address": host.ssh.address,
                "port": host.ssh.port,
                "user": host.ssh.user,
                "host_key": host.ssh.host_key,
                "services": ["nginx"],
            },
        })
    };
    hosts.iter().map(of).collect()
}

/// The feeds of an operator: Debian's index of sources, and the notices of the laboratory's rpm packages.
async fn write_feeds(hosts: &[SiteHost], shell: &Shell) -> Result<(), Failure> {
    let sources = real::run_command(&hosts[0].id, &hosts[0].ssh, PRINT_SOURCES).await?;
    shell.write_text("feeds/debian-security-sources", &sources)?;
    let mut notices = String::new();
    for feed in seeds::ADVISORIES.iter().chain(&seeds::INCOMING) {
        let record: Value = serde_json::from_slice(feed)
            .map_err(|error| Failure::new(format!("a seed of advisories cannot be read: {error}")))?;
        if record["affected"].is_array() {
            notices.push_str(&format!("{record}\n"));
        }
    }
    shell.write_text("feeds/rocky-notices.ndjson", &notices)
}

/// apt and the platform must name the same packages.
async fn compare_with_apt(cast: &Cast, hosts: &[SiteHost], screen: &Screen) -> Result<(), Failure> {
    for host in hosts.iter().filter(|host| host.os == "debian12") {
        let listed = real::run_command(&host.id, &host.ssh, UPGRADABLE).await?;
        let offered: BTreeSet<&str> = listed.lines().filter(|line| *line != "Listing...").collect();
        let compliance = cast.olivia.get_ci_compliance(&host.id).await?;
        // The package of a kernel never gets a newer version: the metapackage, which both name, brings another package.
        let lacking: BTreeSet<&str> = compliance
            .pending_patches
            .iter()
            .map(|patch| patch.package.as_str())
            .filter(|package| !package.starts_with("linux-image-6."))
            .collect();
        if offered != lacking || offered.is_empty() {
            let difference: Vec<_> = offered.symmetric_difference(&lacking).collect();
            return Err(Failure::new(format!(
                "the demo failed: on {} apt and the platform differ in {difference:?}",
                host.id
            )));
        }
        screen.say(format!(
            "{}: `apt list --upgradable` and the platform name the same {} packages",
            host.id,
            offered.len()
        ));
    }
    Ok(())
}

fn policy() -> Value {
    json!({
        "id": POLICY,
        "name": "Hosts of the site",
        "target_ci_tags": { "env": "prod" },
        "strategy": "rolling",
        "max_parallel": 2,
        "pilot_host_count": 1,
        "allow_removals": true,
        "reboot": "if_required",
        "pre_patch_snapshot": false,
        "rollback_preference": "downgrade",
        "workflow": { "restart_services": "all", "services": ["nginx"] },
    })
}

/// Waits for the change of the newest run, shows it, and has it approved by somebody else.
async fn approved(cast: &Cast, shell: &Shell) -> Result<(RunId, ChangeId), Failure> {
    let run = newest_run(cast).await?;
    let change = until("the change of the run", async || {
        let summary = cast.olivia.get_run(run).await?.summary;
        match summary.state {
            RunState::AwaitingApproval => Ok(summary.change_id),
            state if state.is_final() => Err(Failure::new(format!(
                "the run is {}: {}",
                state.name(),
                summary.reason.unwrap_or_default()
            ))),
            _ => Ok(None),
        }
    })
    .await?;
    shell.olivia(&["change", "show", change.as_str()], Expected::Success).await?;
    let comment = "--comment=read the plan, the removals and the ways back";
    shell.olivia(&["change", "approve", change.as_str(), comment], Expected::Failure).await?;
    shell.arjun(&["change", "approve", change.as_str(), comment]).await?;
    Ok((run, change))
}

async fn newest_run(cast: &Cast) -> Result<RunId, Failure> {
    let runs = cast.olivia.list_runs(&[], 1).await?;
    runs.first().map(|run| run.id).ok_or_else(|| Failure::new("there is no run"))
}

/// A library, the kernel's packages and the package on hold, as the hosts' own tools report them.
async fn versions(hosts: &[SiteHost], shell: &Shell) -> Result<Vec<String>, Failure> {
    let mut versions = Vec::new();
    for host in hosts {
        let command = if host.os == "debian12" {
            format!(
                "dpkg-query -W libssl3 'linux-image-*' nginx {HELD} {PLUGIN} 2>/dev/null | grep -v '\\s$'; true"
            )
        } else {
            format!("rpm -q openssl openssl-libs kernel {REPLACED} | grep -v 'not installed'; true")
        };
        versions.push(shell.host(host, &command).await?);
    }
    Ok(versions)
}

/// Fails the demo if the run did not do what its plan says.
async fn check_patched(cast: &Cast, run: RunId, before: &[String], after: &[String]) -> Result<(), Failure> {
    let report = cast.olivia.get_run_report(run).await?;
    let line =
        |text: &str, package: &str| text.lines().find(|line| line.starts_with(package)).map(str::to_owned);
    let expected = [
        (report.run.state == RunState::Succeeded, "the run did not succeed"),
        (before.iter().zip(after).all(|(before, after)| before != after), "a host was not patched"),
        (line(&before[0], HELD) == line(&after[0], HELD), "the package on hold was changed"),
        (line(&after[1], HELD) != line(&before[1], HELD), "the package that is not on hold was not changed"),
        (line(&before[2], PLUGIN).is_some(), "the site's own package was not there"),
        (line(&after[2], PLUGIN).is_none(), "the approved removal was not done"),
        (line(&before[3], "openssl-3") == line(&after[3], "openssl-3"), "the excluded package was changed"),
        (line(&before[3], "openssl-libs") != line(&after[3], "openssl-libs"), "the library was not changed"),
        (line(&before[4], REPLACED).is_some(), "the package that is replaced was not there"),
        (line(&after[4], REPLACED).is_none(), "the package that is replaced was not removed"),
        (report.reboots > 0, "no host was rebooted for its kernel"),
    ];
    check(&expected)
}

/// The hosts whose packages can be installed again have their former versions; a removal has no way back.
fn check_returned(before: &[String], returned: &[String]) -> Result<(), Failure> {
    let find = |text: &str, part: &str| text.lines().find(|line| line.contains(part)).map(str::to_owned);
    let library = |text: &str| find(text, "libssl");
    let libs = |text: &str| find(text, "openssl-libs");
    let expected = [
        (library(&before[0]) == library(&returned[0]), "deb-1 was not rolled back"),
        (library(&before[1]) == library(&returned[1]), "deb-2 was not rolled back"),
        (library(&before[2]) != library(&returned[2]), "deb-3 was rolled back without its removed package"),
        (libs(&before[3]) == libs(&returned[3]), "rpm-1 was not rolled back"),
        (libs(&before[4]) != libs(&returned[4]), "rpm-2 was rolled back without its removed package"),
    ];
    check(&expected)
}

fn ci(name: &str) -> Result<CiId, Failure> {
    CiId::new(name).map_err(|error| Failure::new(error.to_string()))
}
