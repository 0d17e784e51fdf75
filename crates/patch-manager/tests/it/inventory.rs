use std::fs;

use reqwest::Method;
use serde_json::{Value, json};
use test_support::Answer;

use crate::{
    fleet::{Age, inventory, seeds},
    platform::Platform,
};

async fn push_lines(platform: &Platform, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let mut all = vec![("content-type", "application/x-ndjson")];
    all.extend_from_slice(headers);
    platform.operator.send(Method::POST, "/patch/inventory", &all, Some(body)).await
}

fn lines(records: &[Value]) -> Vec<u8> {
    records.iter().map(|record| format!("{record}\n")).collect::<String>().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn same_packages_change_nothing() {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    let mut pushed = inventory("web-1", "rocky9", &["openssl", "sudo"], Age::Base);
    pushed["scan_id"] = "scan-1".into();
    let report = platform.push(&pushed).await;
    assert_eq!((&report["read"], &report["changed"]), (&json!(1), &json!(1)));
    assert_eq!(platform.push(&pushed).await["unchanged"], 1, "the same scan is recorded once");

    platform.advance(1);
    pushed["scan_id"] = "scan-2".into();
    pushed["packages"].as_array_mut().unwrap().reverse();
    assert_eq!(platform.push(&pushed).await["unchanged"], 1, "the order does not matter");
    assert_eq!(
        platform.compliance_of("web-1").await["last_scanned"],
        "2026-04-01T13:00:00Z",
        "the time of the scan is recorded"
    );

    let mut older = inventory("web-1", "rocky9", &["openssl"], Age::Base);
    older["collected_at"] = "2026-04-01T12:30:00Z".into();
    assert_eq!(
        platform.push(&older).await["unchanged"],
        1,
        "an older inventory does not replace a newer one"
    );
    let mut ahead = older.clone();
    ahead["collected_at"] = "2026-04-02T12:30:00Z".into();
    let problem = platform.operator.post("/patch/inventory", &ahead).await.expect_problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/collected_at");
}

/// A line with the same text is not parsed again, unless the host was changed by something else.
#[tokio::test(flavor = "multi_thread")]
async fn same_text_is_unchanged_until_another_inventory_arrives() {
    let platform = Platform::start().await;
    platform.import_seeds().await;
    platform.add_fleet().await;
    let of = |names: &[&str], age, scan: &str| {
        let mut pushed = inventory("web-1", "rocky9", names, age);
        pushed["scan_id"] = scan.into();
        pushed
    };
    let push = async |records: &[Value]| push_lines(&platform, &[], lines(records)).await.expect(200);
    let pending = async || {
        let compliance = platform.compliance_of("web-1").await;
        (compliance["pending_patches"].as_array().unwrap().len(), compliance["last_scanned"].clone())
    };
    let old = |scan| of(&["openssl", "sudo"], Age::Base, scan);
    assert_eq!(push(&[old("1")]).await["changed"], 1);
    let (missing, first_seen) = pending().await;
    assert!(missing > 0);

    platform.advance(1);
    let report = push(&[old("2")]).await;
    assert_eq!(
        (&report["read"], &report["changed"], &report["unchanged"]),
        (&json!(1), &json!(0), &json!(1))
    );
    let seen_again = pending().await;
    assert_eq!(seen_again.0, missing);
    assert_ne!(seen_again.1, first_seen, "the time of the scan is recorded");

    // Another inventory contains an update: the old text is a change again.
    platform.advance(1);
    platform.push(&of(&["openssl", "sudo"], Age::Newest, "3")).await;
    assert_eq!(pending().await.0, 0);
    platform.advance(1);
    assert_eq!(push(&[old("4")]).await["changed"], 1);
    assert_eq!(pending().await.0, missing);

    // The newest inventory of a batch counts, and an older text changes nothing.
    platform.advance(1);
    let mut newest = of(&["openssl", "sudo"], Age::Newest, "6");
    newest["collected_at"] = "2026-04-01T15:59:00Z".into();
    let mut earlier = old("5");
    earlier["collected_at"] = "2026-04-01T15:30:00Z".into();
    let report = push(&[newest, earlier.clone()]).await;
    assert_eq!((&report["changed"], &report["unchanged"]), (&json!(1), &json!(1)), "{report}");
    assert_eq!(pending().await.0, 0);
    earlier["scan_id"] = "7".into();
    assert_eq!(push(&[earlier]).await["unchanged"], 1);
    assert_eq!(pending().await.0, 0);
    platform.expect_exact_rollups().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_inventories_are_reported_and_the_others_recorded() {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    let mut body = lines(&[
        inventory("web-1", "rocky9", &["openssl"], Age::Base),
        json!({ "ci_id": "web-2", "os": "plan9", "packages": [] }),
        inventory("stranger", "rocky9", &["openssl"], Age::Base),
    ]);
    body.extend_from_slice(b"\n{ not json\n");
    body.extend_from_slice(b"{\"ci_id\":\"web\\u0000\",\"os\":\"rocky9\",\"packages\":[]}\n");
    body.extend(lines(&[inventory("db-1", "debian12", &["libssl3"], Age::Base)]));
    let report = push_lines(&platform, &[], body).await.expect(200);
    assert_eq!((&report["read"], &report["changed"]), (&json!(6), &json!(2)));
    let refused: Vec<_> =
        report["refused"].as_array().unwrap().iter().map(|r| r["record"].as_u64().unwrap()).collect();
    assert_eq!(refused.len(), 4);
    assert!([2, 3, 4, 5].iter().all(|record| refused.contains(record)), "{report}");
    platform.expect_exact_rollups().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_with_the_same_packages_share_a_set_until_one_changes() {
    let platform = Platform::start().await;
    platform.import_seeds().await;
    let hosts: Vec<String> = (1..=30).map(|number| format!("clone-{number:02}")).collect();
    for host in &hosts {
        platform.add_host(host, json!({ "env": "prod", "os": "rocky9" })).await;
    }
    let records: Vec<Value> =
        hosts.iter().map(|host| inventory(host, "rocky9", &["openssl", "sudo"], Age::Base)).collect();
    let report = push_lines(&platform, &[], lines(&records)).await.expect(200);
    assert_eq!(report["changed"], 30);
    let sets = async || {
        sqlx::query_scalar::<_, i64>("SELECT count(DISTINCT set_no) FROM patch.host_scans")
            .fetch_one(&platform.patch.pool)
            .await
            .unwrap()
    };
    assert_eq!(sets().await, 1);
    let detail = platform.operator.get("/patch/advisories/DCOS-2025-0001?limit=20").await.expect(200);
    assert_eq!((&detail["affected_total"], detail["affected"].as_array().unwrap().len()), (&json!(30), 20));
    let token = detail["next_page_token"].as_str().unwrap();
    let rest = platform
        .operator
        .get(&format!("/patch/advisories/DCOS-2025-0001?limit=20&page_token={token}"))
        .await
        .expect(200);
    assert_eq!((rest["affected"].as_array().unwrap().len(), rest.get("next_page_token")), (10, None));
    assert_eq!(rest["affected"][0]["ci_id"], "clone-21");

    platform.push(&inventory("clone-07", "rocky9", &["openssl", "sudo"], Age::Newest)).await;
    assert_eq!(sets().await, 2);
    let detail = platform.operator.get("/patch/advisories/DCOS-2025-0001").await.expect(200);
    assert_eq!(detail["affected_total"], 29);
    platform.expect_exact_rollups().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kernel_is_pending_until_the_host_reboots() {
    let platform = Platform::start().await;
    platform.import_seeds().await;
    platform.add_fleet().await;
    let mut pushed = inventory("web-1", "rocky9", &["kernel-core"], Age::Newest);
    let old = inventory("web-1", "rocky9", &["kernel-core"], Age::Base)["packages"][0].clone();
    pushed["running_kernel"] = format!("{}.x86_64", old["version"].as_str().unwrap()).into();
    pushed["packages"].as_array_mut().unwrap().push(old);
    platform.push(&pushed).await;
    let web = platform.compliance_of("web-1").await;
    assert_eq!((&web["compliance_status"], &web["reboot_pending"]), (&json!("non_compliant"), &json!(true)));
    assert!(!web["pending_patches"].as_array().unwrap().is_empty());
    assert!(
        web["pending_patches"].as_array().unwrap().iter().all(|patch| patch["state"] == "pending_reboot"),
        "{web}"
    );

    platform.advance(1);
    let newest = pushed["packages"][0]["version"].as_str().unwrap().to_owned();
    pushed["running_kernel"] = format!("{newest}.x86_64").into();
    platform.push(&pushed).await;
    let web = platform.compliance_of("web-1").await;
    assert_eq!((&web["compliance_status"], &web["reboot_pending"]), (&json!("compliant"), &json!(false)));
    platform.expect_exact_rollups().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn held_packages_are_reported_as_held() {
    let platform = Platform::start().await;
    platform.import_seeds().await;
    platform.add_fleet().await;
    let mut pushed = inventory("web-1", "rocky9", &["sudo"], Age::Base);
    pushed["packages"][0]["held"] = true.into();
    platform.push(&pushed).await;
    let web = platform.compliance_of("web-1").await;
    assert_eq!(
        (&web["pending_patches"][0]["state"], &web["compliance_status"]),
        (&json!("held"), &json!("non_compliant"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_fields_of_an_inventory_are_named() {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    for (change, pointer) in [
        (json!({ "os": "plan9" }), "/os"),
        (json!({ "packages": [] }), "/packages"),
        (json!({ "packages": [{ "name": "a", "version": "1 2" }] }), "/packages/0/version"),
        (json!({ "packages": [{ "name": "", "version": "1" }] }), "/packages/0/name"),
        (json!({ "packages": [{ "name": "a", "version": "1", "module": "x" }] }), "/packages/0/module"),
        (json!({ "packages": [{ "name": "a", "version": "1", "colour": 1 }] }), "/packages/0/colour"),
        (json!({ "boot_id": "a\nb" }), "/boot_id"),
        (json!({ "ci_id": "stranger" }), "/ci_id"),
        (json!({ "ci_id": "a b" }), "/ci_id"),
    ] {
        let mut pushed = inventory("web-1", "rocky9", &["sudo"], Age::Base);
        for (name, value) in change.as_object().unwrap() {
            pushed[name] = value.clone();
        }
        let problem = platform.operator.post("/patch/inventory", &pushed).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let send = async |headers: &[(&str, &str)], body: Vec<u8>| {
        platform.operator.send(Method::POST, "/patch/inventory", headers, Some(body)).await
    };
    send(&[("content-type", "text/csv")], b"a".to_vec()).await.expect_problem(415);
    send(&[], b"{}".to_vec()).await.expect_problem(415);
    send(&[("content-type", "application/x-ndjson")], b"\n\n".to_vec()).await.expect_problem(400);
    send(&[("content-type", "application/json")], vec![b' '; 9 << 20]).await.expect_problem(413);
    let compressed = [("content-type", "application/json"), ("content-encoding", "br")];
    send(&compressed, b"{}".to_vec()).await.expect_problem(415);
}

#[tokio::test(flavor = "multi_thread")]
async fn gzip_is_accepted_and_damaged_gzip_refused() {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    let body = lines(&[inventory("web-1", "rocky9", &["openssl"], Age::Base)]);
    let packed = gzip(&body);
    let report = push_lines(&platform, &[("content-encoding", "gzip")], packed.clone()).await.expect(200);
    assert_eq!(report["changed"], 1);
    let half = packed[..packed.len() / 2].to_vec();
    push_lines(&platform, &[("content-encoding", "gzip")], half).await.expect_problem(400);
}

/// A gzip member of stored blocks: the container without the compression.
fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = content.chunks(60_000).peekable();
    while let Some(block) = blocks.next() {
        packed.push(u8::from(blocks.peek().is_none()));
        let length = u16::try_from(block.len()).unwrap();
        packed.extend(length.to_le_bytes());
        packed.extend((!length).to_le_bytes());
        packed.extend_from_slice(block);
    }
    let mut crc = u32::MAX;
    for byte in content {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    packed.extend((!crc).to_le_bytes());
    packed.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
    packed
}

/// The output of other tools, and how it is sent.
#[tokio::test(flavor = "multi_thread")]
async fn output_of_package_managers_and_scanners_is_accepted() {
    let platform = Platform::start().await;
    let samples = seeds().join("../feeds/inventories");
    let cases = [
        ("rpm-qa.tsv", "text/tab-separated-values", "&os=almalinux:9"),
        ("dpkg-query.tsv", "text/plain; charset=utf-8", "&os=debian:12"),
        ("cyclonedx.json", "application/vnd.cyclonedx+json", ""),
        ("cyclonedx.json", "application/json", ""),
        ("spdx.json", "application/spdx+json", "&scan_id=s-1"),
        ("cyclonedx.xml", "application/vnd.cyclonedx+xml", ""),
        ("host.spdx", "text/spdx", ""),
        ("spdx-3.json", "application/spdx+json", ""),
        ("spdx-3.json", "application/json", ""),
        ("dpkg-query.tsv", "text/plain", "&os=ubuntu:20.04&channels=esm-infra,fips-updates"),
    ];
    for (number, (file, content_type, query)) in cases.into_iter().enumerate() {
        let host = format!("host-{number}");
        platform.add_host(&host, json!({ "env": "prod", "os": "alma9" })).await;
        let content = fs::read(samples.join(file)).unwrap();
        let path = format!("/patch/inventory?ci_id={host}{query}");
        let headers = [("content-type", content_type)];
        let answer = platform.operator.send(Method::POST, &path, &headers, Some(content)).await;
        assert_eq!(answer.status, 200, "{file} as {content_type}: {}", answer.text);
        let report = answer.json;
        assert_eq!((&report["changed"], &report["refused"]), (&json!(1), &json!([])), "{file}: {report}");
        let compliance = platform.compliance_of(&host).await;
        assert!(compliance["last_scanned"].is_string(), "{file}: {compliance}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_inventories_need_a_host_and_only_bad_lines_are_refused() {
    let platform = Platform::start().await;
    platform.add_host("web-1", json!({ "env": "prod", "os": "alma9" })).await;
    let lines = "bash\t0:5.1.8-9.el9\tx86_64\nzlib-1.2.11-40.el9.x86_64\n";
    let push = async |query: &str, content_type: &str, body: &str| {
        let path = format!("/patch/inventory{query}");
        let headers = [("content-type", content_type)];
        platform.operator.send(Method::POST, &path, &headers, Some(body.as_bytes().to_vec())).await
    };
    let tsv = "text/tab-separated-values";
    let report = push("?ci_id=web-1&os=almalinux:9", tsv, lines).await.expect(200);
    assert_eq!(report["changed"], 1);
    assert!(report["refused"][0]["reason"].as_str().unwrap().contains("has no epoch"), "{report}");
    for (query, content_type, body, status) in [
        ("", tsv, lines, 422),
        ("?ci_id=web-1&os=plan9:4", tsv, lines, 422),
        ("?ci_id=nobody&os=almalinux:9", tsv, lines, 422),
        ("?ci_id=web-1&os=almalinux:9", tsv, "zlib-1.2.11-40.el9.x86_64\n", 422),
        ("?ci_id=web-1&os=almalinux:9", tsv, "", 422),
        ("?ci_id=web-1", "application/spdx+json", "{}", 422),
        ("?ci_id=web-1", "application/vnd.cyclonedx+json", "{\"components\":", 422),
        ("?ci_id=web-1", "application/json", "{\"ci_id\":\"web-1\"}", 400),
        ("?ci_id=web-1", "application/x-ndjson", "{}", 400),
        ("?ci_id=web-1", "application/xml", "<x/>", 415),
        ("?ci=web-1", tsv, lines, 400),
    ] {
        let answer = push(query, content_type, body).await;
        assert_eq!(answer.status.as_u16(), status, "{query} {content_type} {body}: {}", answer.text);
    }
}

const OSQUERY: &str = r#"[{"name":"bash","version":"5.1.8","release":"9.el9","epoch":"","source":"bash-5.1.8-9.el9.src.rpm","arch":"x86_64"},
    {"name":"openssl-libs","version":"3.0.7","release":"24.el9","epoch":"1","source":"openssl-3.0.7-24.el9.src.rpm","arch":"x86_64"}]"#;

#[tokio::test(flavor = "multi_thread")]
async fn package_lists_of_other_agents_are_accepted() {
    let platform = Platform::start().await;
    for host in ["web-1", "web-2"] {
        platform.add_host(host, json!({ "env": "prod", "os": "alma9" })).await;
    }
    let push = async |host: &str, body: &str| {
        let path = format!("/patch/inventory?ci_id={host}");
        let headers = [("content-type", "application/json")];
        platform.operator.send(Method::POST, &path, &headers, Some(body.as_bytes().to_vec())).await
    };
    let report = push("web-1", OSQUERY).await.expect(200);
    assert_eq!((&report["changed"], &report["refused"]), (&json!(1), &json!([])), "{report}");
    let wazuh = r#"{"data":{"affected_items":[
        {"name":"bash","version":"5.1.8-9.el9","format":"rpm","architecture":"x86_64","agent_id":"001"},
        {"name":"openssl-libs","version":"1:3.0.7-24.el9","format":"rpm","architecture":"x86_64","agent_id":"001"}],
        "total_affected_items":TOTAL},"error":0}"#;
    let report = push("web-2", &wazuh.replace("TOTAL", "2")).await.expect(200);
    assert_eq!(report["changed"], 1, "{report}");
    let found = platform.operator.get("/patch/packages/openssl-libs").await.expect(200);
    let hosts: Vec<(&Value, &Value)> =
        found["items"].as_array().unwrap().iter().map(|one| (&one["ci_id"], &one["versions"][0])).collect();
    let version = json!("1:3.0.7-24.el9");
    assert_eq!(hosts, [(&json!("web-1"), &version), (&json!("web-2"), &version)], "{found}");

    let part = push("web-2", &wazuh.replace("TOTAL", "700")).await.expect_problem(422);
    assert!(part.to_string().contains("2 of 700 packages"), "{part}");
}

#[tokio::test(flavor = "multi_thread")]
async fn first_inventory_of_a_host_names_its_release() {
    let platform = Platform::start().await;
    let ci = json!({ "id": "new-1", "type": "host", "tags": { "env": "prod" } });
    platform.librarian.post("/cmdb/cis", &ci).await.expect(201);
    let push = async |query: &str| {
        let path = format!("/patch/inventory?ci_id={query}");
        let headers = [("content-type", "application/json")];
        platform.operator.send(Method::POST, &path, &headers, Some(OSQUERY.as_bytes().to_vec())).await
    };
    let without = push("new-1").await.expect_problem(422);
    assert_eq!(without["errors"][0]["pointer"], "os", "{without}");
    assert!(without.to_string().contains("has no tag `os`"), "{without}");
    push("nobody&os=rocky9").await.expect_problem(422);
    let report = push("new-1&os=Rocky%20Linux%209.4").await.expect(200);
    assert_eq!((&report["changed"], &report["refused"]), (&json!(1), &json!([])), "{report}");
    let ci = platform.librarian.get("/cmdb/cis/new-1").await.expect(200);
    assert!(ci["tags"]["os"].as_str().unwrap().starts_with("rocky:9"), "{ci}");
    assert!(platform.compliance_of("new-1").await["last_scanned"].is_string());
    // Later ones need no release, and a CI that is not a host does not become one.
    push("new-1").await.expect(200);
    let service = json!({ "id": "shop", "type": "service" });
    platform.librarian.post("/cmdb/cis", &service).await.expect(201);
    push("shop&os=rocky9").await.expect_problem(422);
}
