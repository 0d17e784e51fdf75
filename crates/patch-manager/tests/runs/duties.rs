//! Attempts to have an own plan approved, or to have it executed without an approval, on the running platform.

use api_types::access::Role;
use chrono::TimeDelta;
use serde_json::{Value, json};
use test_support::Http;

use crate::{
    plan_ahead::{afternoon, scheduled_run},
    platform::{Platform, platform},
    releases,
};

/// Clients of a person of the patch-manager and of ITSM.
async fn person(platform: &Platform, subject: &str, roles: &[Role]) -> (Http, Http) {
    let (patch, itsm) = (platform.patch_service.as_ref().unwrap(), platform.itsm_service.as_ref().unwrap());
    (patch.as_role(subject, roles).await, itsm.as_role(subject, roles).await)
}

async fn actions(platform: &Platform, object: &str) -> Vec<Value> {
    let admin = platform.patch_service.as_ref().unwrap().admin().await;
    let page = admin.get(&format!("/access/audit?object={object}")).await.expect(200);
    page["items"].as_array().unwrap().iter().map(|record| record["action"].clone()).collect()
}

async fn change_of(platform: &Platform, run: &str) -> (String, Value) {
    let run = platform.until(run, "under its change", |run| run["change_id"].is_string()).await;
    let id = run["change_id"].as_str().unwrap().to_owned();
    let change = platform.itsm.get(&format!("/itsm/changes/{id}")).await.expect(200);
    (id, change)
}

const BOTH: &[Role] = &[Role::Operator, Role::Approver];

#[tokio::test(flavor = "multi_thread")]
async fn authors_of_a_policy_cannot_approve_what_its_schedule_runs() {
    let Some((platform, clock)) = afternoon(json!({ "schedule": null, "plan_ahead_hours": null })).await
    else {
        return;
    };
    // Amy writes commands that run as root; Bert changes another field; the schedule is in nobody's name.
    let (amy, amy_approves) = person(&platform, "amy", BOTH).await;
    let (bert, bert_approves) = person(&platform, "Bert", BOTH).await;
    let commands = json!({ "pre_update_commands": [["/usr/bin/true"]] });
    amy.patch("/patch/policies/p", &json!({ "workflow": commands })).await.expect(200);
    bert.patch("/patch/policies/p", &json!({ "schedule": "0 2 * * 0", "plan_ahead_hours": 12 }))
        .await
        .expect(200);
    let run = scheduled_run(&platform).await;
    let (id, change) = change_of(&platform, &run).await;
    assert_eq!(change["requested_by"], "schedule:p");
    assert_eq!(change["edited_by"], json!(["Bert", "amy", "olivia"]));
    let approve = format!("/itsm/changes/{id}/approve");
    for (http, name) in [(&amy_approves, "amy"), (&bert_approves, "Bert")] {
        let refused = http.post(&approve, &json!({})).await.expect_problem(403);
        assert!(refused["detail"].as_str().unwrap().contains(&format!("`{name}` edited")), "{refused:#}");
    }
    // The same person in another spelling.
    let (_, other) = person(&platform, "bert", &[Role::Approver]).await;
    other.post(&approve, &json!({})).await.expect_problem(403);
    assert_eq!(actions(&platform, &format!("change/{id}")).await[..3], ["refuse_approve_change"; 3]);
    platform.approve(&run).await;
    clock.advance(TimeDelta::milliseconds(2500));
    platform.until_state(&run, "awaiting_window").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn change_opened_by_hand_is_not_approved_by_the_author_of_its_policy() {
    let platform = platform!();
    platform.fleet(1, 0).await;
    let (amy, amy_approves) = person(&platform, "amy", BOTH).await;
    amy.patch("/patch/policies/p", &json!({ "retries": 1 })).await.expect(200);
    // The plan of a run that was cancelled, in a change that does not name who wrote the policy.
    let first = platform.run().await;
    let (_, planned) = change_of(&platform, &first).await;
    platform.patch.post(&format!("/patch/runs/{first}/cancel"), &json!({})).await.expect(202);
    platform.until_ended(&first).await;
    let by_hand = json!({ "kind": "normal", "short_description": "patch h-1", "ci_ids": ["h-1"],
        "plan_hash": planned["plan_hash"], "start_at": planned["start_at"], "end_at": planned["end_at"] });
    let change = platform.itsm.post("/itsm/changes", &by_hand).await.expect(201);
    let path = format!("/itsm/changes/{}", change["id"].as_str().unwrap());
    platform.itsm.post(&format!("{path}/submit"), &json!({})).await.expect(200);
    amy_approves.post(&format!("{path}/approve"), &json!({})).await.expect(200);
    let request = json!({ "policy_id": "p", "change_id": change["id"] });
    let run = platform.patch.post("/patch/runs", &request).await.expect(202);
    let ended = platform.until_ended(run["id"].as_str().unwrap()).await;
    assert_ne!(ended["state"], "succeeded", "{ended:#}");
    assert!(ended["reason"].as_str().unwrap().contains("`amy` edited"), "{ended:#}");
    assert_eq!(ended["hosts"]["succeeded"], 0, "{ended:#}");
}

/// One operator writes a policy with a template, root commands included, and starts it.
#[tokio::test(flavor = "multi_thread")]
async fn operator_cannot_patch_through_a_template_alone() {
    let platform = platform!();
    platform.fleet(2, 0).await;
    let template = json!({ "standard_template": "monthly-baseline" });
    let commands = json!({ "pre_update_commands": [["/usr/bin/true"]] });
    let policy = json!({ "change": template, "workflow": commands });
    let refused = platform.patch.patch("/patch/policies/p", &policy).await.expect_problem(422);
    assert_eq!(refused["errors"][0]["pointer"], "/change/standard_template", "{refused:#}");
    let policy = platform.patch.patch("/patch/policies/p", &json!({ "change": template })).await.expect(200);
    let run = platform.run().await;
    let (_, change) = change_of(&platform, &run).await;
    assert_eq!((&change["kind"], &change["state"]), (&json!("normal"), &json!("pending_approval")));
    let said = "nobody but its editors has approved version 2 of policy `p`";
    assert!(change["description"].as_str().unwrap().contains(said), "{change:#}");
    platform.patch.post(&format!("/patch/runs/{run}/cancel"), &json!({})).await.expect(202);
    platform.until_ended(&run).await;

    // A change under the template that the operator opens by hand approves no plan.
    let by_hand = json!({ "kind": "standard", "template": "monthly-baseline", "short_description": "patch",
        "ci_ids": ["h-1", "h-2"], "plan_hash": change["plan_hash"], "start_at": change["start_at"],
        "end_at": chrono::Utc::now() + TimeDelta::days(1) });
    let opened = platform.itsm.post("/itsm/changes", &by_hand).await.expect(201);
    let submit = format!("/itsm/changes/{}/submit", opened["id"].as_str().unwrap());
    let refused = platform.itsm.post(&submit, &json!({})).await.expect_problem(409);
    assert_eq!(refused["type"], "/problems/template-does-not-fit", "{refused:#}");
    let mut named = by_hand.clone();
    named["preapproved_by"] = json!("arjun");
    platform.itsm.post("/itsm/changes", &named).await.expect_problem(403);

    // Nor does an editor of the policy approve its version.
    let approve = json!({ "version": policy["version"] });
    platform.patch.post("/patch/policies/p/approve", &approve).await.expect_problem(403);
    let (olivia, _) = person(&platform, "olivia", BOTH).await;
    let refused = olivia.post("/patch/policies/p/approve", &approve).await.expect_problem(403);
    assert!(refused["detail"].as_str().unwrap().contains("`olivia` edited policy `p`"), "{refused:#}");
    assert_eq!(actions(&platform, "policy/p").await[0], "refuse_approve_policy");
}

#[tokio::test(flavor = "multi_thread")]
async fn template_approves_the_version_that_another_person_approved_and_nothing_else() {
    let platform = platform!();
    platform.fleet(2, 0).await;
    let template = json!({ "standard_template": "monthly-baseline" });
    let policy = platform.patch.patch("/patch/policies/p", &json!({ "change": template })).await.expect(200);
    let (arjun, _) = person(&platform, "arjun", &[Role::Approver]).await;
    arjun.post("/patch/policies/p/approve", &json!({ "version": 1 })).await.expect_problem(412);
    let approve = json!({ "version": policy["version"], "comment": "monthly" });
    let approved = arjun.post("/patch/policies/p/approve", &approve).await.expect(200);
    assert_eq!((&approved["approval"]["by"], &approved["approval"]["version"]), (&json!("arjun"), &json!(2)));

    // Only a part of the hosts: not what was approved.
    let part = json!({ "policy_id": "p", "selector": { "ids": ["h-1"] } });
    let run = platform.patch.post("/patch/runs", &part).await.expect(202);
    let (_, change) = change_of(&platform, run["id"].as_str().unwrap()).await;
    assert_eq!(change["state"], "pending_approval");
    let run = run["id"].as_str().unwrap();
    platform.patch.post(&format!("/patch/runs/{run}/cancel"), &json!({})).await.expect(202);
    platform.until_ended(run).await;

    let run = platform.run().await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    let (_, change) = change_of(&platform, &run).await;
    assert_eq!(change["approvals"][0]["approver"], "template:monthly-baseline");
    assert_eq!(change["preapproved_by"], "arjun");

    // The next version waits for its own approval.
    let edited = platform.patch.patch("/patch/policies/p", &json!({ "retries": 1 })).await.expect(200);
    assert_eq!(edited["editors"], json!(["olivia"]));
    let plan = platform.patch.get("/patch/policies/p").await.expect(200);
    assert_ne!(plan["approval"]["version"], plan["version"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn person_approves_what_touches_a_guarded_environment() {
    let platform = platform!();
    platform.fleet(2, 0).await;
    // Written otherwise than in the settings, and only one of the hosts.
    let tags = json!({ "tags": { "env": "GUARDED", "os": "debian12", "cluster": "c-1" } });
    platform.cmdb.patch("/cmdb/cis/h-2", &tags).await.expect(200);
    let wide = json!({ "target_ci_tags": { "cluster": "c-1" }, "change": { "standard_template": "monthly-baseline" } });
    let policy = platform.patch.patch("/patch/policies/p", &wide).await.expect(200);
    let (arjun, _) = person(&platform, "arjun", &[Role::Approver]).await;
    let approve = json!({ "version": policy["version"] });
    arjun.post("/patch/policies/p/approve", &approve).await.expect(200);
    let run = platform.run().await;
    let (_, change) = change_of(&platform, &run).await;
    assert_eq!((&change["kind"], &change["state"]), (&json!("normal"), &json!("pending_approval")));
    let said = "`h-2` is in the environment `GUARDED`, in which nothing is pre-approved";
    assert!(change["description"].as_str().unwrap().contains(said), "{change:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wrote_a_customer_or_the_release_policies_cannot_approve_the_rollout() {
    let Some(platform) = releases::platform().await else { return };
    releases::customers(&platform, &[("demo-1", "demo")], json!({})).await;
    // Amy writes the customer, and Bert that a person must approve: one of them could let the own deployer run.
    let (amy, amy_approves) = person(&platform, "amy", BOTH).await;
    let (bert, bert_approves) = person(&platform, "bert", BOTH).await;
    let contacts = json!({ "contacts": ["amy@demo.example"] });
    releases::agreed(&platform, amy.patch("/patch/customers/demo-1", &contacts).await).await;
    let manual = json!({ "policies": { "types": { "bug_fix": { "approval": "manual" } } } });
    bert.post("/patch/release-config/apply", &manual).await.expect(200);
    releases::release(&platform, "v1.0.1", "bug_fix").await;
    let run = releases::deploy(&platform, "v1.0.1").await;
    let under_change = |run: &Value| run["change_id"].is_string();
    let run = releases::until(&platform, "v1.0.1", &run, under_change).await;
    let path = format!("/itsm/changes/{}", run["change_id"].as_str().unwrap());
    let change = platform.itsm.get(&path).await.expect(200);
    assert_eq!(change["edited_by"], json!(["amy", "bert", "olivia"]), "{change:#}");
    for http in [&amy_approves, &bert_approves] {
        http.post(&format!("{path}/approve"), &json!({})).await.expect_problem(403);
    }
    platform.approver.post(&format!("{path}/approve"), &json!({})).await.expect(200);
}
