use serde_json::json;

use crate::{Lab, stderr};

const UPGRADE: &str = "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install openssl";

#[tokio::test(flavor = "multi_thread")]
async fn partition_and_full_disk_end_when_the_fault_is_deleted() {
    let Some(lab) = Lab::open().await else { return };
    let vm = lab.create("web-01", "debian12").await;
    let cut = lab.inject("network-partition", json!({ "vm_id": "web-01" })).await;
    assert_eq!(lab.get("web-01").await["reachable"], false);
    assert!(!lab.try_ssh(&vm, "true").await.status.success());
    // It stays cut through a reset.
    lab.power("web-01", "reset").await;
    assert!(!lab.try_ssh(&vm, "true").await.status.success());
    lab.end(&cut).await;
    lab.until_ssh(&vm, "true").await;
    assert_eq!(lab.get("web-01").await["reachable"], true);

    let full = lab.inject("disk-full", json!({ "vm_id": "web-01" })).await;
    let output = lab.try_ssh(&vm, "head -c 100000 /dev/zero > /root/large").await;
    assert!(stderr(&output).contains("No space left on device"), "{}", stderr(&output));
    assert!(!lab.try_ssh(&vm, UPGRADE).await.status.success());
    lab.end(&full).await;
    lab.ssh(&vm, UPGRADE).await;
    lab.delete("web-01").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_strike_packages_and_services() {
    let Some(lab) = Lab::open().await else { return };
    let vm = lab.create("web-01", "debian12").await;
    let status = "dpkg-query -W -f '${Version} ${db:Status-Status}' openssl";
    let fault = lab.inject("patch-failure", json!({ "vm_id": "web-01", "times": 1 })).await;
    assert!(!lab.try_ssh(&vm, UPGRADE).await.status.success());
    assert_eq!(lab.ssh(&vm, status).await, "3.0.18-1~deb12u2 half-configured");
    // The fault is spent, so the repair succeeds.
    lab.ssh(&vm, "dpkg --configure -a").await;
    assert_eq!(lab.ssh(&vm, status).await, "3.0.18-1~deb12u2 installed");
    lab.get("web-01").await;
    let listed = lab.operator.get("/sim/inject?vm_id=web-01").await.expect(200);
    assert_eq!((&listed["items"][0]["strikes"], &listed["items"][0]["times_left"]), (&json!(1), &json!(0)));
    lab.end(&fault).await;

    let slow = lab.inject("slow", json!({ "vm_id": "web-01", "delay_seconds": 3 })).await;
    let took = lab.ssh(&vm, "s=$(date +%s); DEBIAN_FRONTEND=noninteractive apt-get -qq -y install demo-tools >/dev/null; echo $(($(date +%s) - s))").await;
    assert!(took.parse::<u32>().unwrap() >= 3, "{took}");
    lab.end(&slow).await;

    let fault = lab.inject("service-failure", json!({ "vm_id": "web-01", "service": "nginx" })).await;
    assert!(!lab.try_ssh(&vm, "systemctl restart nginx").await.status.success());
    assert_eq!(lab.ssh(&vm, "systemctl is-active nginx || true").await, "failed");
    lab.end(&fault).await;
    lab.ssh(&vm, "systemctl start nginx").await;

    let half = json!({ "vm_id": "web-01", "probability": 0.5 });
    lab.operator.post("/sim/inject/patch-failure", &half).await.expect_problem(422);
    lab.delete("web-01").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn host_killed_during_a_transaction_can_be_repaired() {
    let Some(lab) = Lab::open().await else { return };
    let vm = lab.create("web-01", "debian12").await;
    lab.inject("slow", json!({ "vm_id": "web-01", "delay_seconds": 600, "times": 1 })).await;
    lab.ssh(&vm, &format!("({UPGRADE}) </dev/null >/dev/null 2>&1 & sleep 1")).await;
    lab.until_ssh(&vm, "dpkg-query -W -f '${db:Status-Status}' openssl | grep half-configured").await;
    lab.inject("host-failure", json!({ "vm_id": "web-01" })).await;
    let dead = lab.get("web-01").await;
    assert_eq!((&dead["power"], &dead["reachable"]), (&json!("on"), &json!(false)));
    assert!(!lab.try_ssh(&vm, "true").await.status.success());

    lab.power("web-01", "on").await;
    assert!(!lab.ssh(&vm, "dpkg --audit").await.is_empty(), "the package database is inconsistent");
    lab.ssh(&vm, "dpkg --configure -a").await;
    assert_eq!(lab.ssh(&vm, "dpkg --audit").await, "");
    lab.delete("web-01").await;
}
