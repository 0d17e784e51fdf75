use std::path::Path;

use serde_json::json;

use crate::{Lab, host};

#[tokio::test(flavor = "multi_thread")]
async fn host_lives_from_creation_to_deletion() {
    let Some(lab) = Lab::open().await else { return };
    let vm = lab.create("web-01", "debian12").await;
    assert_eq!(
        (&vm["power"], &vm["reachable"], &vm["address"]),
        (&json!("on"), &json!(true), &vm["ssh"]["address"])
    );
    assert!(vm["ssh"]["host_key"].as_str().unwrap().starts_with("ssh-ed25519 "));
    let key = Path::new(vm["ssh"]["key_file"].as_str().unwrap());
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "only its owner can read the private key");

    // The host and the sim-engine report the same.
    assert_eq!(
        lab.ssh(&vm, "hostname; cat /proc/sys/kernel/random/boot_id").await,
        format!("web-01\n{}", vm["boot_id"].as_str().unwrap())
    );
    assert_eq!(lab.ssh(&vm, "systemctl is-active nginx sshd chronyd | sort -u").await, "active");
    lab.ssh(&vm, "busybox wget -qO /dev/null http://127.0.0.1:443/version").await;
    assert_eq!(lab.operator.get("/sim/state").await.expect(200)["vms"][0]["ssh"], vm["ssh"]);

    // The sim-engine does not show the inside of a real host.
    for path in ["guest", "guest/transactions/t:1"] {
        let problem = lab.operator.get(&format!("/sim/vms/web-01/{path}")).await.expect_problem(409);
        assert_eq!(problem["type"], "/problems/real-guest");
    }

    let off = lab.power("web-01", "off").await;
    assert_eq!((&off["power"], &off["reachable"]), (&json!("off"), &json!(false)));
    assert!(!lab.try_ssh(&vm, "true").await.status.success());
    let on = lab.power("web-01", "on").await;
    assert_eq!(on["power"], "on");
    assert_ne!(on["boot_id"], vm["boot_id"]);
    let reset = lab.power("web-01", "reset").await;
    assert_ne!(reset["boot_id"], on["boot_id"]);
    assert_eq!(lab.ssh(&vm, "cat /proc/sys/kernel/random/boot_id").await, reset["boot_id"].as_str().unwrap());

    let problem = lab.post("/sim/vms", host("web-01", "debian12")).await.expect_problem(409);
    assert_eq!(problem["type"], "/problems/vm-exists");
    assert_eq!(lab.get("web-01").await["boot_id"], reset["boot_id"], "the existing host continues");

    let (bridge, group) = (lab.fleet.bridge().unwrap(), lab.fleet.group(None).unwrap());
    assert!(group.exists());
    lab.delete("web-01").await;
    assert!(!group.exists(), "its processes have ended");
    assert!(!Path::new("/sys/class/net").join(bridge).exists(), "its network is removed");
    assert_eq!(std::fs::read_dir(lab.fleet.folder().join("hosts")).unwrap().count(), 0);
    assert!(
        !std::fs::read_to_string("/proc/self/mounts")
            .unwrap()
            .contains(&*lab.fleet.folder().to_string_lossy())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn host_that_reboots_or_powers_off_by_itself_is_observed() {
    let Some(lab) = Lab::open().await else { return };
    let vm = lab.create("web-01", "debian12").await;
    lab.try_ssh(&vm, "systemctl reboot").await;
    let rebooted = lab.until("web-01", |now| now["boot_id"] != vm["boot_id"]).await;
    let inside = lab.until_ssh(&vm, "cat /proc/sys/kernel/random/boot_id").await;
    assert_eq!(inside, rebooted["boot_id"].as_str().unwrap());

    lab.try_ssh(&vm, "systemctl poweroff").await;
    lab.until("web-01", |now| now["power"] == "off").await;
    // Lists follow without a request.
    for _ in 0..100 {
        let listed = lab.operator.get("/sim/vms?power=off").await.expect(200);
        if listed["items"].as_array().unwrap().len() == 1 {
            lab.delete("web-01").await;
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the list does not show that the host is off");
}

#[tokio::test(flavor = "multi_thread")]
async fn request_that_a_real_host_cannot_fulfil_is_refused() {
    let Some(lab) = Lab::open().await else { return };
    for (change, pointer) in [
        (json!({ "os": "ubuntu2204" }), "/os"),
        (json!({ "guest": { "packages": { "nginx": "1" } } }), "/guest/packages"),
        (json!({ "guest": { "services": [{ "name": "no-such-service" }] } }), "/guest/services/0/name"),
    ] {
        let mut request = host("web-01", "debian12");
        request.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let problem = lab.post("/sim/vms", request).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    assert_eq!(lab.fleet.bridge(), None, "nothing was created for them");
}
