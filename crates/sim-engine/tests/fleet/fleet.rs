use serde_json::json;

use crate::{Lab, host};

/// Two of each family, patched in parallel. Other fleets may run on the machine at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn four_hosts_of_two_families_are_patched() {
    let Some(lab) = Lab::open().await else { return };
    let hosts = [("deb-01", "debian12"), ("deb-02", "debian12"), ("rpm-01", "rocky9"), ("rpm-02", "rocky9")];
    let requests: Vec<_> = hosts.iter().map(|(id, os)| host(id, os)).collect();
    lab.post("/sim/vms/bulk", json!({ "vms": requests })).await.expect(201);
    let mut vms = Vec::new();
    for (id, os) in hosts {
        let vm = lab.get(id).await;
        vms.push((vm, os));
    }
    let keys: std::collections::BTreeSet<_> =
        vms.iter().map(|(vm, _)| vm["ssh"]["host_key"].to_string()).collect();
    assert_eq!(keys.len(), 4, "each host has its own key");

    let patched = vms.iter().map(|(vm, os)| {
        let lab = &lab;
        async move {
            let (read, patch) = match *os {
                "debian12" => (
                    "dpkg-query -W -f '${Version}' openssl",
                    "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --only-upgrade install openssl",
                ),
                _ => ("rpm -q --qf '%{EPOCH}:%{VERSION}-%{RELEASE}' openssl", "dnf -q -y upgrade openssl"),
            };
            let before = lab.ssh(vm, read).await;
            lab.ssh(vm, patch).await;
            (before, lab.ssh(vm, read).await)
        }
    });
    let versions = futures::future::join_all(patched).await;
    let debian = ("3.0.17-1~deb12u3".to_owned(), "3.0.18-1~deb12u2".to_owned());
    let rocky = ("1:3.2.2-6.el9_6.2".to_owned(), "1:3.2.2-7.el9_7".to_owned());
    assert_eq!(versions, [debian.clone(), debian, rocky.clone(), rocky]);
    for (vm, _) in &vms {
        lab.delete(vm["id"].as_str().unwrap()).await;
    }
    assert_eq!(lab.fleet.bridge(), None);
}
