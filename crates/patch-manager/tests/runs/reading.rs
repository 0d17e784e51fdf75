//! What clients read of a run: the run itself is light, its parts have paths of their own.

use reqwest::Method;
use serde_json::{Value, json};

use crate::platform::platform;

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|host| host["ci_id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn run_is_light_and_its_parts_are_read_apart() {
    let platform = platform!();
    platform.fleet(7, 0).await;
    let run = platform.run().await;
    let planned = platform.until_state(&run, "awaiting_approval").await;
    let path = format!("/patch/runs/{run}");

    let light = platform.patch.get(&path).await;
    let summary = light.json.as_object().unwrap();
    for part in ["plan", "waves", "host_states", "log_tail"] {
        assert!(!summary.contains_key(part), "{part}: {}", light.text);
    }
    assert_eq!(summary["hosts"]["total"], 7);
    assert!(summary["prediction"]["duration_p50_seconds"].as_f64().unwrap() > 0.0, "{}", light.text);
    let plan = platform.patch.get(&format!("{path}/plan")).await;
    assert_eq!(plan.json["targets"].as_object().unwrap().len(), 7, "{}", plan.text);
    assert!(light.text.len() < 3000 && plan.text.len() > 2 * light.text.len(), "{}", light.text);
    let parsed: domain::plan::Plan = serde_json::from_str(&plan.text).unwrap();
    assert_eq!(Some(parsed.hash().as_str()), summary["plan_hash"].as_str());
    let known = plan.headers["etag"].to_str().unwrap();
    let again =
        platform.patch.send(Method::GET, &format!("{path}/plan"), &[("if-none-match", known)], None).await;
    assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""));

    let waves = planned["plan"]["waves"].as_array().unwrap();
    assert!(waves.len() > 2, "{waves:#?}");
    let mut listed = Vec::new();
    let mut page = platform.patch.get(&format!("{path}/waves?limit=2")).await.expect(200);
    while let Some(token) = page["next_page_token"].as_str() {
        listed.extend(page["items"].as_array().unwrap().clone());
        page = platform.patch.get(&format!("{path}/waves?limit=2&page_token={token}")).await.expect(200);
    }
    listed.extend(page["items"].as_array().unwrap().clone());
    let of = |list: &[Value], field: &str| list.iter().map(|wave| wave[field].clone()).collect::<Vec<_>>();
    assert_eq!(
        (of(&listed, "name"), of(&listed, "kind")),
        (of(waves, "name"), of(waves, "kind")),
        "{listed:#?}"
    );
    for (index, (status, wave)) in listed.iter().zip(waves).enumerate() {
        assert_eq!(status["index"].as_u64(), Some(index as u64));
        assert_eq!(status["state"], "pending");
        assert_eq!(status["hosts"]["pending"].as_u64(), Some(wave["hosts"].as_array().unwrap().len() as u64));
    }

    platform.patch.post(&format!("{path}/cancel"), &json!({})).await.expect(202);
    platform.until_ended(&run).await;
    let waves = platform.patch.get(&format!("{path}/waves")).await.expect(200);
    assert!(waves["items"].as_array().unwrap().iter().all(|wave| wave["state"] == "done"), "{waves:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_a_run_are_filtered_and_paged() {
    let platform = platform!();
    platform.fleet(7, 0).await;
    platform.sim.post("/sim/vms/h-3/power", &json!({ "action": "off" })).await.expect(200);
    let run = platform.run().await;
    let planned = platform.until_state(&run, "awaiting_approval").await;
    let path = format!("/patch/runs/{run}/hosts");
    let all = platform.patch.get(&path).await.expect(200);
    assert_eq!(ids(&all).len(), 7, "{all:#}");
    assert!(all["next_page_token"].is_null());
    // Wave by wave; a host that is not planned has no wave and comes last.
    assert!(
        all["items"].as_array().unwrap().iter().map(|host| host["wave"].as_u64().unwrap_or(99)).is_sorted()
    );
    assert_eq!((ids(&all)[6], &all["items"][6]["wave"]), ("h-3", &Value::Null), "{all:#}");

    for limit in 1..=7 {
        let mut paged = Vec::new();
        let mut query = format!("?limit={limit}");
        loop {
            let page = platform.patch.get(&format!("{path}{query}")).await.expect(200);
            assert!(ids(&page).len() <= limit);
            paged.extend(ids(&page).into_iter().map(str::to_owned));
            let Some(token) = page["next_page_token"].as_str() else { break };
            query = format!("?limit={limit}&page_token={token}");
        }
        assert_eq!(paged, ids(&all), "pages of {limit}");
    }

    for (index, wave) in planned["plan"]["waves"].as_array().unwrap().iter().enumerate() {
        let page = platform.patch.get(&format!("{path}?wave={index}")).await.expect(200);
        let mut hosts: Vec<&str> =
            wave["hosts"].as_array().unwrap().iter().map(|host| host.as_str().unwrap()).collect();
        hosts.sort_unstable();
        assert_eq!(ids(&page), hosts, "wave {index}");
    }
    let skipped = platform.patch.get(&format!("{path}?state=skipped")).await.expect(200);
    assert_eq!(ids(&skipped), ["h-3"]);
    let none = platform.patch.get(&format!("{path}?state=skipped&wave=0")).await.expect(200);
    assert_eq!((&none["items"], &none["next_page_token"]), (&json!([]), &Value::Null));
    for query in ["?state=tired", "?wave=-1", "?limit=0", "?limit=1001", "?page_token=AAAA", "?nothing=1"] {
        let status = platform.patch.get(&format!("{path}{query}")).await.status.as_u16();
        assert!(matches!(status, 400 | 422), "{query}: {status}");
    }

    platform.approve(&run).await;
    platform.until_ended(&run).await;
    let patched = platform.patch.get(&format!("{path}?state=succeeded")).await.expect(200);
    let steps = |host: &Value| host["steps"].as_array().unwrap().iter().any(|step| step["step"] == "update");
    assert_eq!(ids(&patched).len(), 6, "{patched:#}");
    assert!(patched["items"].as_array().unwrap().iter().all(steps), "{patched:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_of_the_log_is_its_last_lines() {
    let platform = platform!();
    platform.fleet(2, 0).await;
    let run = platform.run().await;
    platform.until(&run, "waiting for its change", |run| run["change_id"].is_string()).await;
    let path = format!("/patch/runs/{run}/logs?format=ndjson");
    let whole = platform.patch.get(&path).await.text;
    let lines: Vec<&str> = whole.lines().collect();
    assert!(lines.len() > 1, "{whole}");
    let tail = platform.patch.get(&format!("{path}&tail=1")).await.text;
    assert_eq!(tail.lines().collect::<Vec<_>>(), lines[lines.len() - 1..]);
    assert_eq!(platform.patch.get(&format!("{path}&tail=1000")).await.text, whole);
    for tail in ["0", "1001", "-1", "all"] {
        let status = platform.patch.get(&format!("{path}&tail={tail}")).await.status.as_u16();
        assert!(matches!(status, 400 | 422), "{tail}: {status}");
    }
}
