use crate::Lab;

#[tokio::test(flavor = "multi_thread")]
async fn revert_restores_files_and_packages() {
    let Some(lab) = Lab::open().await else { return };
    let vm = lab.create("db-01", "rocky9").await;
    let old = lab.ssh(&vm, "rpm -q openssl").await;
    lab.ssh(&vm, "echo before > /root/note && sync -f /root/note").await;
    let snapshot = lab.snapshot("db-01").await;
    assert!(snapshot["size_bytes"].as_i64().unwrap() > 0);

    lab.ssh(&vm, "echo after > /root/note && dnf -q -y upgrade --security").await;
    assert_ne!(lab.ssh(&vm, "rpm -q openssl").await, old);
    assert!(lab.ssh(&vm, "rpm -q openssl").await.contains("3.2.2-7.el9_7"));

    let reverted = lab.revert("db-01", &snapshot).await;
    assert_ne!(reverted["boot_id"], vm["boot_id"]);
    assert_eq!(lab.ssh(&vm, "cat /root/note; rpm -q openssl").await, format!("before\n{old}"));
    // The host key stays the same.
    assert_eq!(reverted["ssh"], vm["ssh"]);

    // Snapshot and revert also work when the host is off.
    lab.power("db-01", "off").await;
    let path = format!("/sim/vms/db-01/snapshots/{}", snapshot["id"].as_str().unwrap());
    lab.operator.delete(&path).await.expect(204);
    let snapshot = lab.snapshot("db-01").await;
    lab.revert("db-01", &snapshot).await;
    assert_eq!(lab.ssh(&vm, "cat /root/note").await, "before");
    lab.delete("db-01").await;
}
