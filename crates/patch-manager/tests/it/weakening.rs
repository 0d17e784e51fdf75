//! Weakening a control takes two people: what waits, what does not, and every way around it.

use api_types::access::Role;
use chrono::TimeDelta;
use serde_json::{Value, json};
use test_support::Http;

use crate::platform::Platform;

const LEVELS: &str = "/patch/service-levels";
const CONFIG: &str = "/patch/release-config/apply";
const BOTH: &[Role] = &[Role::Operator, Role::Approver, Role::Admin];

fn levels(critical_days: u32) -> Value {
    json!({ "exploited_days": 14, "critical_days": critical_days, "high_days": 30, "other_days": 90 })
}

fn confirm(proposal: &Value) -> String {
    format!("/access/proposals/{}/confirm", proposal["id"].as_str().unwrap())
}

async fn records(platform: &Platform, object: &str) -> Vec<Value> {
    let page = platform.patch.admin().await.get(&format!("/access/audit?object={object}")).await.expect(200);
    page["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn longer_service_levels_wait_and_shorter_ones_do_not() {
    let platform = Platform::start().await;
    // One person with every role is still one person.
    let ada = platform.patch.as_role("ada", BOTH).await;
    assert_eq!(ada.put(LEVELS, &levels(3)).await.expect(200), levels(3));
    let proposal = ada.put(LEVELS, &levels(4)).await.expect(202);
    assert_eq!(proposal["proposed"]["action"], "weaken_control");
    assert_eq!(proposal["proposed"]["weakens"], json!(["`critical_days` rises from 3 to 4"]));
    assert_eq!((&proposal["state"], &proposal["proposed_by"]), (&json!("pending"), &json!("ada")));
    assert_eq!(ada.get(LEVELS).await.expect(200), levels(3), "nothing changes before the second person");

    // Neither the same person under another token and spelling, nor somebody without a say.
    let again = platform.patch.as_role("Ada", &[Role::Approver]).await;
    for http in [&ada, &again] {
        let refused = http.post(&confirm(&proposal), &json!({})).await.expect_problem(403);
        assert!(refused["detail"].as_str().unwrap().contains("proposed this"), "{refused:#}");
    }
    platform.operator.post(&confirm(&proposal), &json!({})).await.expect_problem(403);
    assert_eq!(ada.get(LEVELS).await.expect(200), levels(3));
    let id = proposal["id"].as_str().unwrap();
    let actions = records(&platform, &format!("proposal/{id}")).await;
    let actions: Vec<&str> = actions.iter().map(|record| record["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["refuse_confirm_proposal", "refuse_confirm_proposal", "propose"]);

    let arjun = platform.patch.approver().await;
    let confirmed = arjun.post(&confirm(&proposal), &json!({})).await.expect(200);
    assert_eq!(confirmed["answer"], levels(4));
    assert_eq!(
        (&confirmed["proposal"]["state"], &confirmed["proposal"]["decided_by"]),
        (&json!("confirmed"), &json!("arjun"))
    );
    assert_eq!(ada.get(LEVELS).await.expect(200), levels(4));
    let written = &records(&platform, "service-levels").await[0];
    assert_eq!((&written["subject"], &written["action"]), (&json!("ada"), &json!("set_service_levels")));
    assert_eq!(written["reason"], json!(format!("confirmed by `arjun` (proposal/{id})")));
    let decided = &records(&platform, &format!("proposal/{id}")).await[0];
    assert_eq!((&decided["subject"], &decided["action"]), (&json!("arjun"), &json!("confirm_proposal")));

    // Once.
    let closed = arjun.post(&confirm(&proposal), &json!({})).await.expect_problem(409);
    assert_eq!(closed["type"], "/problems/proposal-closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_confirmations_at_once_carry_a_request_out_once() {
    let platform = Platform::start().await;
    let request = json!({ "owner": "olivia", "reason": "no fix", "package": "openssl", "expires_at": "2026-06-01T00:00:00Z" });
    let proposal = platform.operator.post("/patch/exceptions", &request).await.expect(202);
    let (arjun, anna) =
        (platform.patch.approver().await, platform.patch.as_role("anna", &[Role::Approver]).await);
    let path = confirm(&proposal);
    let (first, second) = tokio::join!(arjun.post(&path, &Value::Null), anna.post(&path, &Value::Null));
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let all = platform.operator.get("/patch/exceptions").await.expect(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 1);
    assert_eq!(all["items"][0]["created_by"], "olivia");
}

#[tokio::test(flavor = "multi_thread")]
async fn proposal_that_expired_or_was_withdrawn_or_is_about_something_else_does_nothing() {
    let platform = Platform::start().await;
    let (ada, arjun) = (platform.patch.admin().await, platform.patch.approver().await);
    let overtaken = ada.put(LEVELS, &levels(40)).await.expect(202);
    ada.put(LEVELS, &levels(5)).await.expect(200);
    let void = arjun.post(&confirm(&overtaken), &json!({})).await.expect_problem(409);
    assert_eq!(void["type"], "/problems/proposal-void");

    let withdrawn = ada.put(LEVELS, &levels(6)).await.expect(202);
    let reject = format!("/access/proposals/{}/reject", withdrawn["id"].as_str().unwrap());
    platform.operator.post(&reject, &json!({})).await.expect_problem(403);
    ada.post(&reject, &json!({})).await.expect(200);
    arjun.post(&confirm(&withdrawn), &json!({})).await.expect_problem(409);

    // An operator withdraws an own proposal.
    let own =
        json!({ "owner": "o", "reason": "r", "package": "openssl", "expires_at": "2026-06-01T00:00:00Z" });
    let own = platform.operator.post("/patch/exceptions", &own).await.expect(202);
    let reject = format!("/access/proposals/{}/reject", own["id"].as_str().unwrap());
    platform.operator.post(&reject, &json!({})).await.expect(200);

    let late = ada.put(LEVELS, &levels(6)).await.expect(202);
    platform.clock.advance(TimeDelta::days(8));
    arjun.post(&confirm(&late), &json!({})).await.expect_problem(409);
    assert_eq!(ada.get(LEVELS).await.expect(200), levels(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn exception_of_the_whole_fleet_waits_and_one_of_a_host_does_not() {
    let platform = Platform::start().await;
    let request = |ci: Value| json!({ "owner": "olivia", "reason": "no fix", "package": "openssl", "ci_id": ci, "expires_at": "2026-06-01T00:00:00Z" });
    platform.operator.post("/patch/exceptions", &request(json!("web-1"))).await.expect(201);
    let key = [("content-type", "application/json"), ("idempotency-key", "once")];
    let body = request(Value::Null).to_string().into_bytes();
    let send = async || {
        platform.operator.send(reqwest::Method::POST, "/patch/exceptions", &key, Some(body.clone())).await
    };
    let proposal = send().await.expect(202);
    assert_eq!(
        proposal["proposed"]["weakens"],
        json!(["no host needs the fixes of `openssl` until 2026-06-01"])
    );
    assert_eq!(send().await.expect(202), proposal, "the same key has the same answer");
    let list = platform.operator.get("/patch/exceptions").await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);

    // Who only reads does not see what the request contains.
    let body_of = async |http: &Http| {
        http.get("/access/proposals").await.expect(200)["items"][0]["proposed"]["body"].clone()
    };
    assert_eq!(body_of(&platform.operator).await["package"], "openssl");
    assert_eq!(body_of(&platform.patch.viewer().await).await, Value::Null);

    // Another service does not carry it out.
    let elsewhere = platform.cmdb.approver().await.post(&confirm(&proposal), &json!({})).await;
    assert_eq!(elsewhere.expect_problem(409)["type"], "/problems/proposal-elsewhere");
    let confirmed = platform.patch.approver().await.post(&confirm(&proposal), &json!({})).await.expect(200);
    assert_eq!(confirmed["answer"]["ci_id"], Value::Null);
    let list = platform.operator.get("/patch/exceptions").await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn freeze_is_added_at_once_and_removed_by_two_people() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    let freeze = json!({ "name": "sale", "starts": "2026-04-10T00:00:00Z", "ends": "2026-04-12T00:00:00Z" });
    let calendar = operator.post("/patch/calendars", &freeze).await.expect(201);
    let path = format!("/patch/calendars/{}", calendar["id"].as_str().unwrap());
    let proposal = operator.delete(&path).await.expect(202);
    assert_eq!(proposal["proposed"]["weakens"], json!(["the freeze `sale` no longer denies changes"]));
    operator.get(&path).await.expect(200);
    let confirmed = platform.patch.approver().await.post(&confirm(&proposal), &json!({})).await.expect(200);
    assert_eq!(confirmed["answer"], Value::Null);
    operator.get(&path).await.expect_problem(404);

    // What has ended denies nothing any more.
    let calendar = operator.post("/patch/calendars", &freeze).await.expect(201);
    platform.clock.advance(TimeDelta::days(11));
    operator.delete(&format!("/patch/calendars/{}", calendar["id"].as_str().unwrap())).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_releases_get_stricter_at_once_and_weaker_by_two_people() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    let table = |approval: &str| json!({ "policies": { "types": { "bug_fix": { "approval": approval } } } });
    let approval = async || {
        operator.get("/patch/release-policies").await.expect(200)["types"]["bug_fix"]["approval"].clone()
    };
    operator.post(CONFIG, &table("manual")).await.expect(200);
    let mut weaker = table("automatic");
    weaker["dry_run"] = json!(true);
    let diff = operator.post(CONFIG, &weaker).await.expect(200);
    assert_eq!(diff["weakens"], json!(["releases of type bug_fix: need less of an approval"]));
    let proposal = operator.post(CONFIG, &table("automatic")).await.expect(202);
    assert_eq!(proposal["proposed"]["weakens"], diff["weakens"]);
    assert_eq!(approval().await, "manual");
    let arjun = platform.patch.approver().await;
    let confirmed = arjun.post(&confirm(&proposal), &json!({})).await.expect(200);
    assert_eq!(confirmed["answer"]["changed"][0]["field"], "/types/bug_fix/approval");
    assert_eq!(approval().await, "automatic");

    // A customer is created at once; its pin goes by two people, in whichever way it is asked for.
    let customer = json!({ "slug": "acme", "name": "Acme", "tier": "standard", "current_version": "v1.0.0",
        "health": { "kind": "sim" }, "deployer": { "kind": "sim" }, "pinned_to": "v1.0.1" });
    operator.post("/patch/customers", &customer).await.expect(201);
    let path = "/patch/customers/acme";
    operator.patch(path, &json!({ "pinned_to": "v1.0.0" })).await.expect(200);
    let patched = operator.patch(path, &json!({ "pinned_to": null })).await.expect(202);
    let file = json!({ "customers": [{ "slug": "acme", "pinned_to": null }] });
    let applied = operator.post(CONFIG, &file).await.expect(202);
    let deleted = operator.delete(path).await.expect(202);
    let stored = operator.get(path).await.expect(200);
    assert_eq!(stored["pinned_to"], "v1.0.0");
    assert_eq!(patched["proposed"]["weakens"], applied["proposed"]["weakens"]);
    arjun.post(&confirm(&patched), &json!({})).await.expect(200);
    assert_eq!(operator.get(path).await.expect(200)["pinned_to"], Value::Null);
    // The others were about the customer as it was.
    for proposal in [applied, deleted] {
        let void = arjun.post(&confirm(&proposal), &json!({})).await.expect_problem(409);
        assert_eq!(void["type"], "/problems/proposal-void");
    }
    operator.get(path).await.expect(200);
}
