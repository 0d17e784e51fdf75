//! Reboots have a window of their own.

use chrono::{TimeDelta, TimeZone, Utc};
use serde_json::{Value, json};
use service_kit::Clock;
use test_support::{OLD, TestDatabase};

use crate::platform::Platform;

async fn guest(platform: &Platform) -> Value {
    platform.sim.get("/sim/vms/h-1/guest").await.expect(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn host_is_patched_in_its_window_and_rebooted_by_a_later_run_in_the_reboot_window() {
    let database = TestDatabase::create().await;
    // A Saturday, when the window opens.
    let clock = Clock::fixed(Utc.with_ymd_and_hms(2026, 3, 7, 22, 0, 0).unwrap());
    let Some(platform) = Platform::start_at(database.url().to_owned(), clock.clone()).await else { return };
    platform.fleet(1, 0).await;
    platform.sim.delete("/sim/vms/h-1").await.expect(204);
    let with_kernel = json!({ "id": "h-1", "driver": "model", "os": "debian12", "tags": { "env": "prod", "os": "debian12" },
        "guest": { "packages": { "openssl": OLD }, "reboot_packages": ["openssl"], "patch_seconds": 0.5,
            "reboot_seconds": 0.5, "services": [{ "name": "nginx", "port": 443 }] } });
    platform.sim.post("/sim/vms", &with_kernel).await.expect(201);
    let window = |day: &str, at: &str, minutes: u32| json!({ "opens": { "days": [day], "at": at }, "duration_minutes": minutes, "time_zone": "UTC" });
    let windows =
        json!({ "window": window("Sat", "22:00", 240), "reboot_window": window("Sun", "00:00", 60) });
    platform.policy(windows).await;
    let approved = async || {
        let run = platform.run().await;
        let change = platform.approve(&run).await;
        let change = platform.itsm.get(&format!("/itsm/changes/{change}")).await.expect(200);
        assert!(change["description"].as_str().unwrap().contains("only in the reboot window"), "{change:#}");
        clock.advance(TimeDelta::milliseconds(2500));
        run
    };
    let move_clock = |seconds| clock.advance(TimeDelta::seconds(seconds));

    let first = platform.until_ended(&approved().await).await;
    assert_eq!(first["state"], "succeeded", "{first:#}");
    assert_eq!(first["host_states"][0]["rebooted"], false, "{first:#}");
    assert!(first["log_tail"].to_string().contains("waits for the reboot window"), "{first:#}");
    let boot_id = guest(&platform).await["boot_id"].clone();
    assert_eq!(guest(&platform).await["reboot_pending"], true);

    // Nothing is left to install, and the reboot is work of its own.
    let second = approved().await;
    let waiting = platform
        .until(&second, "awaiting_window", |run| {
            move_clock(3);
            run["state"] == "awaiting_window"
        })
        .await;
    assert_eq!(waiting["plan"]["targets"]["h-1"]["updates"], json!([]), "{waiting:#}");
    assert_eq!(waiting["wait"]["until"], "2026-03-08T00:00:00Z", "{waiting:#}");
    assert_eq!(guest(&platform).await["boot_id"], boot_id, "it was rebooted outside its window");
    clock.advance(Utc.with_ymd_and_hms(2026, 3, 8, 0, 0, 1).unwrap() - clock.now());
    let second = platform.until_ended(&second).await;
    assert_eq!(second["state"], "succeeded", "{second:#}");
    assert_eq!(second["host_states"][0]["rebooted"], true, "{second:#}");
    let after = guest(&platform).await;
    assert_ne!(after["boot_id"], boot_id);
    assert_eq!(after["reboot_pending"], false);
}
