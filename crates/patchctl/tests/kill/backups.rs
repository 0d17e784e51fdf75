//! A backup that is taken in the middle of a run.

use serde_json::json;

use crate::platform::KillablePlatform;

#[tokio::test(flavor = "multi_thread")]
async fn backup_in_mid_run_is_restored_and_patches_nothing_until_people_decide() {
    let Some(mut platform) = KillablePlatform::start("backup").await else { return };
    let desk = platform.desk.clone();
    desk.fleet(6, 0).await;
    let run = desk.run().await;
    desk.approve(&run).await;
    desk.until(&run, "in its second batch", |run| {
        run["hosts"]["succeeded"].as_i64() >= Some(1) && run["state"] == "executing"
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.tar");
    let file = file.to_str().unwrap();
    let (status, text) = platform.command(&["backup", file]).await;
    assert_eq!(status, Some(0), "{text}");
    assert_eq!(desk.until_ended(&run).await["state"], "succeeded", "a backup disturbs no run");

    platform.stop_process().await;
    let (status, text) = platform.command(&["restore", file, "--replace"]).await;
    assert_eq!(status, Some(0), "{text}");
    platform.start_again().await;
    let paused = desk.until(&run, "paused", |run| run["pause_cause"] == "needs_operator").await;
    let done = paused["hosts"]["succeeded"].as_i64();
    assert!(done >= Some(1) && done < Some(6), "it is the state of the backup: {paused:#}");
    let (status, text) = platform.command(&["health"]).await;
    assert!(status == Some(3) && text.contains("restore confirm"), "{text}");
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
    assert_eq!(desk.get(&run).await["hosts"], paused["hosts"], "nothing is patched");

    let (status, text) = platform.command(&["restore", "confirm", "--reason", "a test"]).await;
    assert!(status == Some(0) && text.contains(&run), "{text}");
    desk.patch.post(&format!("/patch/runs/{run}/resume"), &json!({ "reason": "checked" })).await.expect(202);
    let ended = desk.until_ended(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    desk.assert_settled(&run).await;
    platform.stop().await;
}
