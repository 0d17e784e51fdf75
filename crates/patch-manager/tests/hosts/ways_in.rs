//! How hosts are accessed over SSH, and when access is refused.

use ansible::{End, Event, HostKeyRule, HostOutcomeKind, Jump, Playbook};

use crate::lab::{ALL, Lab};

/// Root and a user with sudo, another port, a jump host, a key that is learned.
pub async fn hosts_are_accessed_as_the_cmdb_describes(lab: &Lab) {
    lab.ssh("deb-01", "id ops 2>/dev/null || useradd -m -s /bin/bash -p '*' ops; echo 'ops ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/ops").await;
    lab.ssh(
        "rpm-01",
        "printf 'Port 22\\nPort 2222\\n' > /etc/ssh/sshd_config.d/port.conf; systemctl restart ssh",
    )
    .await;
    let known = |host: &str| HostKeyRule::Known(lab.access(host, "host_key").parse().unwrap());
    let connect = |host: &str, port: u16, user: &str, rule: HostKeyRule| {
        let address = lab.access(host, "address").parse().unwrap();
        let connection = ansible::SshConnection::new(address, port, user, lab.key(host), rule).unwrap();
        connection.with_python(Some("/usr/bin/python3")).unwrap()
    };
    let bastion = || {
        let (address, key) = (lab.access("deb-01", "address"), lab.access("deb-01", "host_key"));
        Jump::new(address.parse().unwrap(), 22, "ops", key.parse().unwrap()).unwrap()
    };
    let connections = [
        ("deb-01", connect("deb-01", 22, "ops", known("deb-01"))),
        ("deb-02", connect("deb-02", 22, "root", known("deb-02")).through(Some(bastion()))),
        ("rpm-01", connect("rpm-01", 2222, "root", known("rpm-01"))),
        ("rpm-02", connect("rpm-02", 22, "root", HostKeyRule::Learn).through(Some(bastion()))),
    ];
    let run = lab.run_by(Playbook::PatchMixed, connections, &lab.run_id(), |_, variables| {
        variables.set("pm_reboot", "never");
    });
    let run_dir = run.run_dir.clone();
    let recording = lab.play(run).await;
    assert_eq!(recording.ended.end, End::Succeeded, "{}", recording.output());
    for host in ALL {
        assert_eq!(recording.outcome(host).outcome, HostOutcomeKind::Succeeded);
    }
    let learned: Vec<_> = recording
        .events
        .iter()
        .filter_map(|event| match event {
            Event::HostKeyLearned { host, key } => Some((host.as_str(), key.as_str().to_owned())),
            _ => None,
        })
        .collect();
    assert_eq!(learned, [("rpm-02", lab.access("rpm-02", "host_key"))], "a known key is not learned");

    assert!(std::fs::symlink_metadata(run_dir.join("private")).is_err(), "secrets were left behind");
    let own = format!("-{}-", std::process::id());
    let left: Vec<_> = std::fs::read_dir("/dev/shm")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("patch-run-") && name.contains(&own))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let masters = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        std::fs::read_to_string(entry.ok()?.path().join("cmdline")).ok().filter(|line| line.contains(&own))
    });
    let masters: Vec<_> = masters.filter(|line| line.contains("ssh") && line.contains("patch-run")).collect();
    assert!(masters.is_empty(), "connections were left open: {masters:?}");
    lab.roll_back(&ALL).await;
}

pub async fn wrong_host_key_is_refused(lab: &Lab) {
    let other = HostKeyRule::Known(lab.access("deb-01", "host_key").parse().unwrap());
    let connections = [
        ("deb-02", lab.connection("deb-02", other)),
        ("rpm-02", lab.connection("rpm-02", HostKeyRule::Refuse)),
    ];
    let run = lab.run_by(Playbook::PatchMixed, connections, &lab.run_id(), |_, _| {});
    let recording = lab.play(run).await;
    for (host, part) in
        [("deb-02", "shows another host key"), ("rpm-02", "is unknown, and learning it is not allowed")]
    {
        let outcome = recording.outcome(host);
        assert_eq!(outcome.outcome, HostOutcomeKind::Unreachable, "{host}");
        let reason = outcome.reason.unwrap();
        assert!(reason.contains(part), "{host}: {reason}");
    }
}

/// The fleet's key is accepted for every user of a host, but not every user can become root.
pub async fn user_without_root_access_is_reported(lab: &Lab) {
    lab.ssh("deb-02", "id guest 2>/dev/null || useradd -m -s /bin/bash -p '*' guest").await;
    let address = lab.access("deb-02", "address").parse().unwrap();
    let rule = HostKeyRule::Known(lab.access("deb-02", "host_key").parse().unwrap());
    let connection = ansible::SshConnection::new(address, 22, "guest", lab.key("deb-02"), rule).unwrap();
    let run = lab.run_by(Playbook::PatchMixed, [("deb-02", connection)], &lab.run_id(), |_, _| {});
    let recording = lab.play(run).await;
    let outcome = recording.outcome("deb-02");
    assert_eq!(outcome.outcome, HostOutcomeKind::Failed, "{}", recording.output());
    let reason = outcome.reason.unwrap();
    assert!(reason.contains("user `guest` cannot become root without a password"), "{reason}");
}
