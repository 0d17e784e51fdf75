//! What would stop an update is found before it begins, and named; and an update needs no network once services stop.

use ansible::{HostKeyRule, HostOutcomeKind, Playbook, Secret, SshConnection};
use domain::preflight::{PackageLock, PreflightAnswer, PreflightCheck, PreflightNeed, failures_text};
use serde_json::json;

use crate::lab::{Lab, openssl};

/// What one host answers.
pub async fn check(lab: &Lab, host: &str, connection: SshConnection) -> PreflightAnswer {
    let run_id = lab.run_id();
    let results = lab.folder.path().join(format!("preflight-{run_id}"));
    std::fs::create_dir(&results).unwrap();
    let mut run = lab.run_by(Playbook::Preflight, [(host, connection)], &run_id, |_, variables| {
        variables.set("pm_refresh", true);
    });
    run.extra_vars.set("pm_results_dir", results.to_str().unwrap());
    let recording = lab.play(run).await;
    let text = std::fs::read(results.join(format!("{host}.json")));
    let text = text.unwrap_or_else(|error| panic!("{error}: {}", recording.output()));
    serde_json::from_slice(&text).unwrap()
}

pub fn known(lab: &Lab, host: &str) -> HostKeyRule {
    HostKeyRule::Known(lab.access(host, "host_key").parse().unwrap())
}

const NEED: PreflightNeed<'static> = PreflightNeed { transaction: None, min_disk_free_percent: 0 };

#[track_caller]
pub fn expect(answer: &PreflightAnswer, check: PreflightCheck, words: &str) {
    let failures = answer.failures(&NEED);
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0].check, check, "{failures:?}");
    assert!(failures[0].reason.contains(words), "{failures:?}");
}

pub async fn preflight_names_what_would_stop_an_update(lab: &Lab) {
    tokio::join!(ways_in(lab), what_the_host_reports(lab), repository_that_does_not_answer(lab));
}

async fn ways_in(lab: &Lab) {
    let host = "deb-02";
    lab.ssh(host, "id guest 2>/dev/null || useradd -m -s /bin/bash -p '*' guest").await;
    let address = || lab.access(host, "address").parse().unwrap();
    let guest = SshConnection::new(address(), 22, "guest", lab.key(host), known(lab, host)).unwrap();
    expect(&check(lab, host, guest).await, PreflightCheck::Sudo, "user `guest` cannot become root");
    let add = "id keyed 2>/dev/null || useradd -m -s /bin/bash keyed; echo 'keyed:open sesame' | chpasswd; \
               echo 'keyed ALL=(ALL) ALL' > /etc/sudoers.d/keyed";
    lab.ssh(host, add).await;
    let keyed = |password: Option<&str>| {
        let connection = SshConnection::new(address(), 22, "keyed", lab.key(host), known(lab, host)).unwrap();
        connection.with_become_password(password.map(Secret::new))
    };
    let answer = check(lab, host, keyed(Some("open barley"))).await;
    expect(&answer, PreflightCheck::Sudo, "cannot become root with the password from the Vault");
    expect(&check(lab, host, keyed(None)).await, PreflightCheck::Sudo, "store the password in the Vault");
    // The last one: sudo remembers a password that was right.
    let answer = check(lab, host, keyed(Some("open sesame"))).await;
    assert_eq!(answer.failures(&NEED), [], "{answer:?}");
    let other = lab.connection(host, known(lab, "deb-01"));
    expect(&check(lab, host, other).await, PreflightCheck::Connection, "shows another host key");
    let silent = SshConnection::new(address(), 9, "root", lab.key(host), known(lab, host)).unwrap();
    expect(&check(lab, host, silent).await, PreflightCheck::Connection, "does not answer");
    let python = lab.connection(host, known(lab, host)).with_python(Some("/usr/bin/python3.99")).unwrap();
    let answer = check(lab, host, python).await;
    expect(&answer, PreflightCheck::Python, "Python cannot be started on the host");
}

/// A program holds a lock of apt for longer than preflight waits; without it the host is ready.
async fn what_the_host_reports(lab: &Lab) {
    let host = "deb-01";
    let hold = "import fcntl, time; f = open('/var/lib/apt/lists/lock', 'w'); fcntl.lockf(f, fcntl.LOCK_EX); time.sleep(600)";
    lab.ssh(host, &format!("systemd-run --quiet --unit=nightly-report python3 -c \"{hold}\"")).await;
    lab.until(host, "pgrep -f 'lists/[l]ock' >/dev/null").await;
    let answer = check(lab, host, lab.connection(host, known(lab, host))).await;
    lab.ssh(host, "systemctl stop nightly-report").await;
    expect(&answer, PreflightCheck::Lock, "`/var/lib/apt/lists/lock`");
    let said = failures_text(&answer.failures(&NEED));
    assert!(said.contains("`python3` (process ") && said.contains("import fcntl"), "{said}");
    assert!(said.contains("nightly-report.service"), "{said}");

    let answer = check(lab, host, lab.connection(host, known(lab, host))).await;
    assert_eq!(answer.failures(&NEED), [], "{answer:?}");
    let PreflightAnswer::Read { facts } = answer else { panic!("{answer:?}") };
    assert_eq!((facts.lock, facts.transactions), (PackageLock::Free, Some(Vec::new())));
    assert!(facts.most_files.is_some_and(|files| files > 3), "files of openssl: {:?}", facts.most_files);
    assert!(facts.file_systems.iter().all(|one| one.free_bytes.is_some()), "{:?}", facts.file_systems);
}

async fn repository_that_does_not_answer(lab: &Lab) {
    let host = "rpm-01";
    lab.ssh(host, "printf '[gone]\\nname=Gone\\nbaseurl=http://127.0.0.1:9/\\nenabled=1\\ngpgcheck=0\\nretries=1\\n' > /etc/yum.repos.d/gone.repo").await;
    let answer = check(lab, host, lab.connection(host, known(lab, host))).await;
    lab.ssh(host, "rm /etc/yum.repos.d/gone.repo").await;
    expect(
        &answer,
        PreflightCheck::Repositories,
        "dnf makecache: Errors during downloading metadata for repository 'gone':; - Curl error (7)",
    );
    let answer = check(lab, host, lab.connection(host, known(lab, host))).await;
    assert_eq!(answer.failures(&NEED), [], "{answer:?}");
}

/// The network ends between the download and the stop of the services.
pub async fn update_needs_no_network_once_services_stop(lab: &Lab) {
    const APT: &str = "deb-01";
    const DNF: &str = "rpm-01";
    // `copy:` fetches like a server, in contrast to `file:`.
    let repository = r#"
set -e
rm -rf /srv/fetch; mkdir -p /srv/fetch; cd /srv/fetch
make() {
    mkdir -p build/DEBIAN build/usr/share/demo-fetch; echo $1 >build/usr/share/demo-fetch/version
    printf 'Package: demo-fetch\nVersion: %s\nArchitecture: all\nMaintainer: Nobody <nobody@example.com>\nInstalled-Size: 4\nDescription: of a scenario\n' $1 >build/DEBIAN/control
    dpkg-deb --root-owner-group -Zgzip -b build demo-fetch_${1}_all.deb >/dev/null; rm -r build
    : >Packages
    for file in *.deb; do
        dpkg-deb -f $file >>Packages
        printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' $file $(stat -c %s $file) $(sha256sum $file | cut -d' ' -f1) >>Packages
    done
}
make 1.0-1
echo 'deb [trusted=yes] copy:/srv/fetch ./' >/etc/apt/sources.list.d/fetch.list
apt-get -qq update && apt-get -qq -y install demo-fetch >/dev/null
make 2.0-1
"#;
    lab.ssh(APT, repository).await;
    lab.ssh(DNF, "cp /etc/dnf/dnf.conf /root/dnf.conf.before").await;
    let run = lab.run(Playbook::PatchMixed, &[APT, DNF], &lab.run_id(), |host, variables| {
        variables.set("pm_reboot", "never");
        let cut = if host == APT {
            variables.set("pm_updates", json!({ "demo-fetch": "2.0-1" }));
            json!([["mv", "/srv/fetch", "/srv/fetch.gone"]])
        } else {
            variables.set("pm_updates", openssl(host));
            json!([["sh", "-c", "echo proxy=http://127.0.0.1:9 >>/etc/dnf/dnf.conf"]])
        };
        variables.set("pm_pre_downtime_commands", cut);
    });
    let recording = lab.play(run).await;
    lab.ssh(DNF, "mv /root/dnf.conf.before /etc/dnf/dnf.conf").await;
    for host in [APT, DNF] {
        let outcome = recording.outcome(host);
        assert_eq!(
            outcome.outcome,
            HostOutcomeKind::Succeeded,
            "{:?} {}",
            outcome.reason,
            recording.output()
        );
    }
    assert_eq!(lab.version(APT, "demo-fetch").await, "2.0-1");
    assert_eq!(lab.version(DNF, "openssl").await, openssl(DNF)["openssl"]);
    let clean = "apt-get -qq -y purge demo-fetch >/dev/null; rm -rf /srv/fetch.gone /etc/apt/sources.list.d/fetch.list; apt-get -qq update";
    lab.ssh(APT, clean).await;
    lab.roll_back(&[DNF]).await;
}
