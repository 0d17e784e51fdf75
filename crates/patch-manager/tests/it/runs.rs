//! Starting and reading runs without hosts; `tests/runs` has the others.

use reqwest::Method;
use serde_json::{Value, json};

use crate::platform::Platform;

const ID: &str = "018f0000-0000-7000-8000-000000000000";

/// A run of a policy that selects no host: it ends at once.
async fn ended_run(platform: &Platform) -> String {
    platform.add_policy("p", json!({ "env": "nowhere" }), None).await;
    let run = platform.operator.post("/patch/runs", &json!({ "policy_id": "p" })).await.expect(202);
    let id = run["id"].as_str().unwrap().to_owned();
    for _ in 0..300 {
        let log = platform.operator.get(&format!("/patch/runs/{id}/logs?tail=50")).await;
        // The run cannot close its change without ITSM; these tests only wait for the end of the plan.
        if log.text.contains("nothing to do") {
            return id;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the run has not ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn start_names_the_wrong_field() {
    let platform = Platform::start().await;
    let refused = [
        (json!({}), ""),
        (json!({ "policy_id": "nobody" }), "/policy_id"),
        (json!({ "selector": {} }), "/selector"),
        (json!({ "selector": { "ids": ["a b"] } }), "/selector/ids"),
        (json!({ "selector": { "all": true }, "strategy": "hope" }), "/strategy"),
        (json!({ "selector": { "all": true }, "strategy": "bluegreen" }), "/strategy"),
        (json!({ "selector": { "all": true }, "change_id": "42" }), "/change_id"),
    ];
    for (body, pointer) in refused {
        let problem = platform.operator.post("/patch/runs", &body).await.expect_problem(422);
        let named = problem["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned();
        assert!(named.starts_with(pointer), "{body}: {problem}");
    }
    let unknown = platform.operator.post("/patch/advisories/CVE-1999-0001/remediate", &json!({})).await;
    assert!(matches!(unknown.status.as_u16(), 404 | 422), "{}", unknown.text);
    let runs = platform.operator.get("/patch/runs").await.expect(200);
    assert_eq!(runs["items"], json!([]), "nothing was stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_malformed_ids_are_404() {
    let platform = Platform::start().await;
    for path in ["", "/plan", "/waves", "/hosts", "/events", "/logs", "/report"] {
        for id in [ID, "null", "..%2f..", "018f"] {
            platform.operator.get(&format!("/patch/runs/{id}{path}")).await.expect_problem(404);
        }
    }
    for verb in ["cancel", "pause", "resume", "retry-failed", "rollback"] {
        platform.operator.post(&format!("/patch/runs/{ID}/{verb}"), &json!({})).await.expect_problem(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn list_is_filtered_and_paged() {
    let platform = Platform::start().await;
    let run = ended_run(&platform).await;
    let list = async |query: &str| {
        platform.operator.get(&format!("/patch/runs{query}")).await.expect(200)["items"].clone()
    };
    assert_eq!(list("?policy_id=p").await[0]["id"].as_str(), Some(run.as_str()));
    assert_eq!(list("?policy_id=q").await, json!([]));
    assert_eq!(list("?state=succeeded&open=true").await, json!([]));
    assert_eq!(list("?advisory=CVE-2026-90100").await, json!([]));
    for query in ["?limit=0", "?page_token=AAAA", "?open=perhaps", "?nothing=1"] {
        let status = platform.operator.get(&format!("/patch/runs{query}")).await.status.as_u16();
        assert!(matches!(status, 400 | 422), "{query}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_resume_after_the_last_one_received() {
    let platform = Platform::start().await;
    let run = ended_run(&platform).await;
    let path = format!("/patch/runs/{run}/events");
    // The stream continues while the run is open: read a part of it.
    let read = async |after: Option<&str>| -> Vec<Value> {
        let url = format!("{}{path}", platform.patch.base);
        let mut request = reqwest::Client::new().get(url).bearer_auth(platform.operator.token().unwrap());
        if let Some(after) = after {
            request = request.header("Last-Event-ID", after);
        }
        let mut answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut text = String::new();
        while let Ok(Ok(Some(chunk))) =
            tokio::time::timeout(std::time::Duration::from_secs(1), answer.chunk()).await
        {
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        text.lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).unwrap())
            .collect()
    };
    let all = read(None).await;
    assert!(all.len() >= 2, "{all:#?}");
    assert!(
        all.iter()
            .all(|event| event["specversion"] == "1.0" && event["source"] == format!("/patch/runs/{run}"))
    );
    assert_eq!(all[0]["type"], "patch.run.state_changed.v1");
    let ids: Vec<i64> = all.iter().map(|event| event["id"].as_str().unwrap().parse().unwrap()).collect();
    assert!(ids.is_sorted());
    let rest = read(Some(&ids[0].to_string())).await;
    assert_eq!(rest.first(), all.get(1));
    platform
        .operator
        .send(Method::GET, &path, &[("last-event-id", "yesterday")], None)
        .await
        .expect_problem(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn log_and_report_have_their_formats() {
    let platform = Platform::start().await;
    let run = ended_run(&platform).await;
    let get = async |path: &str| platform.operator.get(&format!("/patch/runs/{run}{path}")).await;
    let text = get("/logs").await;
    assert!(text.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    assert!(text.text.contains("nothing to do"), "{}", text.text);
    let lines = get("/logs?format=ndjson").await;
    assert!(lines.text.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["text"].is_string()));
    let path = format!("/patch/runs/{run}/logs?format=ndjson&tail=1000");
    let sent = platform.operator.send(Method::GET, &path, &[("accept-encoding", "gzip")], None).await;
    assert_eq!(sent.headers["content-encoding"], "gzip");
    assert!(!sent.text.is_empty(), "the compressed log breaks off");
    get("/logs?format=xml").await.expect_problem(422);
    assert_eq!(get("/report").await.expect(200)["run"]["id"].as_str(), Some(run.as_str()));
    assert!(get("/report?format=markdown").await.text.starts_with(&format!("# Run {run}")));
    assert!(get("/report?format=csv").await.text.starts_with("run_id,ci_id,"));
    get("/report?format=pdf").await.expect_problem(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_files_of_unknown_runs_are_removed() {
    let platform = Platform::start().await;
    let runs = platform.work.path().join("runs");
    let unknown = runs.join("018f0000-0000-7000-8000-000000000001");
    let foreign = runs.join("notes");
    for folder in [&unknown, &foreign] {
        std::fs::create_dir_all(folder.join("0001")).unwrap();
    }
    let _platform = platform.restart(Some("/bin/false".into())).await;
    crate::platform::eventually("the files are gone", async || !unknown.exists()).await;
    assert!(foreign.exists());
}
