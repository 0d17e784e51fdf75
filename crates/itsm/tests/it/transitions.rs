//! Every verb in every state, over HTTP.

use serde_json::json;

use crate::lab::{HASH, Lab};

const VERBS: [&str; 7] = ["submit", "approve", "reject", "execute", "complete", "fail", "cancel"];

/// What each verb makes of each state; everything else is refused.
const ALLOWED: [(&str, &str, &str); 10] = [
    ("draft", "submit", "pending_approval"),
    ("draft", "cancel", "cancelled"),
    ("pending_approval", "approve", "approved"),
    ("pending_approval", "reject", "rejected"),
    ("pending_approval", "cancel", "cancelled"),
    ("approved", "reject", "rejected"),
    ("approved", "execute", "in_progress"),
    ("approved", "cancel", "cancelled"),
    ("in_progress", "complete", "completed"),
    ("in_progress", "fail", "failed"),
];

/// The verbs that lead from a draft to the state.
fn way_to(state: &str) -> &'static [&'static str] {
    match state {
        "draft" => &[],
        "pending_approval" => &["submit"],
        "approved" => &["submit", "approve"],
        "in_progress" => &["submit", "approve", "execute"],
        "completed" => &["submit", "approve", "execute", "complete"],
        "failed" => &["submit", "approve", "execute", "fail"],
        "rejected" => &["submit", "reject"],
        "cancelled" => &["cancel"],
        other => panic!("no way to {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_in_every_state_does_what_the_table_says_and_nothing_else() {
    let lab = Lab::start().await;
    let second_approver = lab.person("anna", &[api_types::access::Role::Approver]).await;
    let act = async |path: &str, verb: &str| {
        let (who, body) = match verb {
            "approve" | "reject" => (&lab.approver, json!({})),
            "execute" => (&lab.operator, json!({"plan_hash": HASH})),
            "complete" | "fail" => (&lab.operator, json!({"close_notes": "seen"})),
            _ => (&lab.operator, json!({})),
        };
        // Another approver than the first: the first one's repeated approval is answered 200, see `duties`.
        let who = if verb == "approve" && path.starts_with('!') { &second_approver } else { who };
        who.post(&format!("{}/{verb}", path.trim_start_matches('!')), &body).await
    };
    for state in [
        "draft",
        "pending_approval",
        "approved",
        "in_progress",
        "completed",
        "failed",
        "rejected",
        "cancelled",
    ] {
        for verb in VERBS {
            let path = lab.draft(&lab.normal()).await;
            for step in way_to(state) {
                act(&path, step).await.expect(200);
            }
            let before = lab.operator.get(&path).await.expect(200);
            assert_eq!(before["state"], state);
            let answer = act(&format!("!{path}"), verb).await;
            let after = lab.operator.get(&path).await.expect(200);
            match ALLOWED.iter().find(|(from, by, _)| (*from, *by) == (state, verb)) {
                Some((.., to)) => {
                    assert_eq!(answer.expect(200)["state"], *to, "{verb} of {state}");
                    assert_eq!(after["state"], *to);
                }
                None => {
                    let problem = answer.expect_problem(409);
                    assert_eq!(problem["type"], "/problems/illegal-transition", "{verb} of {state}");
                    assert_eq!(after, before, "a refused {verb} changed something");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transition_leaves_who_before_and_after_in_the_audit_log() {
    let lab = Lab::start().await;
    let path = lab.in_progress(&lab.normal()).await;
    let closing = json!({"close_notes": "all hosts verified", "evidence": {"tests": 87}});
    let change = lab.operator.post(&format!("{path}/complete"), &closing).await.expect(200);
    assert_eq!(change["close_code"], "successful");
    assert_eq!(change["close_evidence"]["tests"], 87);
    assert!(change["work_start"].is_string() && change["work_end"].is_string());

    let records = lab.audited(&format!("change/{}", change["id"].as_str().unwrap())).await;
    let seen: Vec<_> = records
        .iter()
        .map(|r| {
            (
                r["action"].as_str().unwrap(),
                r["subject"].as_str().unwrap(),
                r["after"]["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("create_change", "olivia", "draft"),
            ("submit_change", "olivia", "pending_approval"),
            ("approve_change", "arjun", "approved"),
            ("execute_change", "olivia", "in_progress"),
            ("complete_change", "olivia", "completed"),
        ]
    );
    assert_eq!(records[4]["before"]["state"], "in_progress");
    assert_eq!(records[4]["reason"], "all hosts verified");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_needs_notes_and_a_code_that_fits() {
    let lab = Lab::start().await;
    let path = lab.in_progress(&lab.normal()).await;
    for (verb, body, pointer) in [
        ("complete", json!({}), "/close_notes"),
        ("complete", json!({"close_notes": " \n"}), "/close_notes"),
        ("complete", json!({"close_notes": "x", "close_code": "unsuccessful"}), "/close_code"),
        ("complete", json!({"close_notes": "x", "evidence": [1]}), "/evidence"),
        ("fail", json!({}), "/close_notes"),
        ("fail", json!({"close_notes": "x", "close_code": "successful"}), "/close_code"),
        ("cancel", json!({"close_code": "successful"}), "/close_code"),
    ] {
        let problem = lab.operator.post(&format!("{path}/{verb}"), &body).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{verb} {body}");
    }
    let body = json!({"close_notes": "one host was slow", "close_code": "successful_issues"});
    let change = lab.operator.post(&format!("{path}/complete"), &body).await.expect(200);
    assert_eq!(change["close_code"], "successful_issues");
}

#[tokio::test(flavor = "multi_thread")]
async fn verb_with_the_same_idempotency_key_is_done_once() {
    let lab = Lab::start().await;
    let path = format!("{}/complete", lab.in_progress(&lab.normal()).await);
    let (key, body) = (("idempotency-key", "close-1"), json!({"close_notes": "done"}));
    let first = crate::lab::post_with(&lab.operator, &path, key, &body).await.expect(200);
    let second = crate::lab::post_with(&lab.operator, &path, key, &body).await.expect(200);
    assert_eq!(first, second);
    let other = json!({"close_notes": "done otherwise"});
    crate::lab::post_with(&lab.operator, &path, key, &other).await.expect_problem(422);
    lab.operator.post(&path, &body).await.expect_problem(409);
}
