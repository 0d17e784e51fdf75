use std::path::Path;

use serde_json::json;
use test_support::{TestDatabase, TestFleet};

use crate::{Lab, host};

#[tokio::test(flavor = "multi_thread")]
async fn remains_of_a_fleet_without_a_folder_are_removed_by_the_next() {
    let Some(lab) = Lab::open().await else { return };
    lab.create("web-01", "debian12").await;
    let (bridge, group) = (lab.fleet.bridge().unwrap(), lab.fleet.group(None).unwrap());
    let Lab { service, fleet, .. } = lab;
    service.stop().await;
    // The folder is deleted, as by a clean-up of /tmp, and everything else still exists.
    std::fs::remove_dir_all(fleet.folder()).unwrap();
    assert!(group.exists());

    let Some(lab) = Lab::open().await else { return };
    lab.create("web-02", "debian12").await;
    assert!(
        lab.fleet.bridge().as_deref() == Some(&bridge) || !Path::new("/sys/class/net").join(&bridge).exists()
    );
    assert!(!group.join("web-01").exists(), "its processes have ended");
    lab.delete("web-02").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn error_names_what_the_machine_lacks() {
    let Some(fleet) = TestFleet::new() else { return };
    let odd = fleet.folder().join("a:b");
    let settings = sim_engine::SimSettings { laboratory: true, fleet_dir: Some(odd), fleet_images: None };
    let database = TestDatabase::create().await;
    let service = test_support::TestService::start::<sim_engine::SimEngine>(database.url(), settings).await;
    let operator = service.operator().await;
    loop {
        let answer = operator.post("/sim/vms", &host("web-01", "debian12")).await;
        if answer.status == 503 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        }
        let problem = answer.expect_problem(409);
        assert_eq!(problem["type"], "/problems/driver-unavailable");
        assert!(problem["detail"].as_str().unwrap().contains("must have a short name"), "{problem}");
        break;
    }
    // Everything else works.
    let model = json!({ "id": "web-01", "driver": "model", "os": "debian12" });
    operator.post("/sim/vms", &model).await.expect(201);
}
