use serde_json::json;

use crate::Lab;

#[tokio::test(flavor = "multi_thread")]
async fn hosts_survive_an_outage_of_the_service_or_are_found_failed() {
    let Some(lab) = Lab::open().await else { return };
    let vm = lab.create("web-01", "debian12").await;
    let doomed = lab.create("web-02", "debian12").await;
    lab.ssh(&vm, "nohup sleep 1000 >/dev/null 2>&1 & echo $! > /run/witness").await;

    // One fails during the outage.
    let Lab { service, fleet, database, .. } = lab;
    service.stop().await;
    std::fs::write(fleet.group(Some("web-02")).unwrap().join("cgroup.kill"), "1").unwrap();
    let lab = Lab::over(database, fleet).await;
    // Waits until the fleet is open.
    lab.post("/sim/vms/web-01/power", json!({ "action": "on" })).await.expect(200);

    assert_eq!(lab.get("web-01").await["boot_id"], vm["boot_id"]);
    lab.ssh(&vm, "kill -0 $(cat /run/witness)").await;
    let dead = lab.get("web-02").await;
    assert_eq!((&dead["power"], &dead["reachable"]), (&json!("on"), &json!(false)));
    let back = lab.power("web-02", "on").await;
    assert_ne!(back["boot_id"], doomed["boot_id"]);
    assert_eq!(back["ssh"], doomed["ssh"]);
    lab.ssh(&doomed, "true").await;
    lab.delete("web-01").await;
    lab.ssh(&doomed, "true").await;
    lab.delete("web-02").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn host_without_a_disk_has_failed_and_can_be_deleted() {
    let Some(lab) = Lab::open().await else { return };
    lab.create("web-01", "debian12").await;
    lab.power("web-01", "off").await;
    std::fs::remove_dir_all(lab.fleet.folder().join("hosts/web-01")).unwrap();
    let lab = lab.restart().await;
    let refused = lab.post("/sim/vms/web-01/power", json!({ "action": "on" })).await.expect_problem(409);
    assert_eq!(refused["type"], "/problems/disk-gone");
    let gone = lab.get("web-01").await;
    assert_eq!((&gone["power"], &gone["reachable"]), (&json!("on"), &json!(false)));
    lab.delete("web-01").await;
    assert_eq!(lab.fleet.bridge(), None);
}
