use std::time::Duration;

use serde_json::json;

use crate::platform::{Platform, column};

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_reported_even_one_that_commits_late() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    let create = async |id: &str| {
        operator.post("/cmdb/cis", &json!({ "id": id, "type": "host" })).await.expect(201);
    };
    create("before").await;
    let first = operator.get("/cmdb/changes").await.expect(200);
    assert_eq!((&first["items"], &first["more"]), (&json!([]), &json!(false)));
    let ask = async |token: &str| operator.get(&format!("/cmdb/changes?since={token}")).await.expect(200);
    let token = first["next_token"].as_str().unwrap();

    // Somebody who writes slowly is still at it when the others are done.
    let mut slow = platform.service.pool.begin().await.unwrap();
    let entry =
        "INSERT INTO cmdb.history (ci_id, at, who, action) VALUES ('before', now(), 'slow', 'update_ci')";
    sqlx::query(entry).execute(&mut *slow).await.unwrap();
    create("web-01").await;
    create("web-02").await;
    operator.delete("/cmdb/cis/web-02").await.expect(204);
    let second = ask(token).await;
    // Transactions of other tests on this server may hold the horizon back; then "before" is reported again.
    let reported: Vec<String> = column(&second, "id").into_iter().filter(|id| id != "before").collect();
    assert_eq!(reported, ["web-01", "web-02"]);
    let items = second["items"].as_array().unwrap();
    assert_eq!(items.last().unwrap()["status"], "decommissioned");

    slow.commit().await.unwrap();
    let third = ask(second["next_token"].as_str().unwrap()).await;
    assert!(column(&third, "id").contains(&"before".to_owned()), "{third}");

    // The horizon moves on when those have ended.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let page = operator.get(&format!("/cmdb/changes?since={token}&limit=1")).await.expect(200);
        assert_eq!(column(&page, "id").len(), 1);
        if page["more"] == true {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the first change never became final");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    operator.get("/cmdb/changes?since=99999999999999-0").await.expect_problem(409);
    for token in ["x", "1", "-1-1", "1-x"] {
        operator.get(&format!("/cmdb/changes?since={token}")).await.expect_problem(422);
    }
    operator.get(&format!("/cmdb/changes?since={token}&limit=0")).await.expect_problem(422);
}
