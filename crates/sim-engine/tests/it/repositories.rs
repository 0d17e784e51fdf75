use serde_json::json;

use crate::{World, repository};

#[tokio::test(flavor = "multi_thread")]
async fn repository_is_replaced_whole_and_keeps_its_order() {
    let world = World::start().await;
    assert_eq!(world.get("/sim/repositories/debian12").await, repository());
    let other = json!({ "packages": { "nginx": ["10", "9", "11"] } });
    assert_eq!(world.operator.put("/sim/repositories/debian12", &other).await.expect(200), other);
    assert_eq!(world.get("/sim/repositories/debian12").await, other);
    world.operator.get("/sim/repositories/rocky9").await.expect_problem(404);
    let empty = json!({ "packages": {} });
    world.operator.put("/sim/repositories/rocky9", &empty).await.expect(200);
    assert_eq!(world.get("/sim/repositories/rocky9").await, empty);
    assert_eq!(world.audited("put_repository", "repository/debian12").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_version_in_the_repository_is_a_candidate_everywhere() {
    let world = World::start().await;
    world.create("web-01").await;
    let newer = json!({ "packages": { "openssl": ["3.0.11-1", "3.0.16-1"] } });
    world.operator.put("/sim/repositories/debian12", &newer).await.expect(200);
    let guest = world.guest("web-01").await;
    assert_eq!(guest["packages"][2]["candidate"], "3.0.16-1");
    assert_eq!(guest["packages"][0]["candidate"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_repositories_are_refused() {
    let world = World::start().await;
    for (os, body) in [
        ("debian12", json!({ "packages": { "nginx": [] } })),
        ("debian12", json!({ "packages": { "nginx": ["1", "1"] } })),
        ("debian12", json!({ "packages": { "nginx": ["1 2"] } })),
        ("debian12", json!({ "packages": { "": ["1"] } })),
        ("windows11", json!({ "packages": {} })),
    ] {
        world.operator.put(&format!("/sim/repositories/{os}"), &body).await.expect_problem(422);
    }
    assert_eq!(world.get("/sim/repositories/debian12").await, repository());
}
