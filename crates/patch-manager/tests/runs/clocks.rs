//! The machines of the services have clocks that differ.

use chrono::TimeDelta;
use service_kit::Clock;
use test_support::TestDatabase;

use crate::platform::{OtherClocks, Platform};

#[tokio::test(flavor = "multi_thread")]
async fn run_succeeds_although_the_clocks_of_the_services_differ() {
    let database = TestDatabase::create().await;
    let others = OtherClocks {
        // An end that is computed by the patch-manager's clock is too far ahead here, ...
        cmdb: Some(Clock::skewed(TimeDelta::days(-10))),
        // ... and over long ago here.
        sim: Some(Clock::skewed(TimeDelta::days(30))),
        // The change is executed before its span begins by this clock.
        itsm: Some(Clock::skewed(TimeDelta::minutes(-4))),
    };
    let started = Platform::start_with(database.url().to_owned(), Clock::system(), others).await;
    let Some(platform) = started else { return };
    platform.fleet(3, 0).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    platform.assert_settled(&run).await;
    let snapshots = platform.sim.get("/sim/vms/h-1/snapshots").await.expect(200);
    assert_eq!(snapshots["items"].as_array().unwrap().len(), 1, "{snapshots:#}");
}
