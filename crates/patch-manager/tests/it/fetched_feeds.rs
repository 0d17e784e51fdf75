//! Feeds that the platform fetches itself, from a real HTTP server that is slow, wrong, gone or honest.

use std::sync::{Arc, Mutex};

use patch_manager::FeedSettings;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use test_support::Http;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::platform::{Platform, eventually};

const XML: &str = r#"<updates><update from="a@example.org" status="final" type="security" version="1">
<id>RLSA-2026:9001</id><title>openssl security update</title><issued date="2026-03-02 09:00:00"/><severity>Important</severity>
<release>Rocky Linux 9</release><description>A hole.</description>
<references><reference href="https://example.org/CVE-2026-90911" id="CVE-2026-90911" type="cve"/></references>
<pkglist><collection short="el9"><name>el9</name><package name="openssl" version="3.2.2" release="7.el9_7" epoch="1" arch="x86_64"
src="openssl-3.2.2-7.el9_7.src.rpm"><filename>openssl-3.2.2-7.el9_7.x86_64.rpm</filename></package></collection></pkglist>
</update></updates>"#;

/// A server of feeds: the bytes of an answer by the head of the request.
struct Publisher {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Publisher {
    async fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (heads.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (seen, answer) = (seen.clone(), answer.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { return };
                        head.push(byte);
                    }
                    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
                    seen.lock().unwrap().push(head.clone());
                    let _ = stream.write_all(&answer(&head)).await;
                });
            }
        });
        Self { port, heads }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn allowed(&self) -> Vec<String> {
        vec![format!("127.0.0.1:{}", self.port)]
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn answer(status: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    headers.iter().for_each(|header| text += &format!("{header}\r\n"));
    format!("{text}\r\n{body}").into_bytes()
}

async fn start(publisher: &Publisher) -> (Platform, Http) {
    let platform = Platform::start_with_outbound(FeedSettings::default(), publisher.allowed()).await;
    let admin = platform.patch.admin().await;
    (platform, admin)
}

async fn feed(platform: &Platform, id: &str) -> Value {
    platform.operator.get(&format!("/patch/feeds/{id}")).await.expect(200)
}

async fn imports(platform: &Platform) -> Vec<Value> {
    let list = platform.operator.get("/patch/advisories/imports").await.expect(200);
    list["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn feed_is_fetched_on_time_and_only_when_it_changed() {
    let publisher = Publisher::start(|head| {
        if head.contains("if-none-match: \"v1\"") {
            answer("304 Not Modified", &[], "")
        } else {
            answer("200 OK", &["ETag: \"v1\""], XML)
        }
    })
    .await;
    let (platform, admin) = start(&publisher).await;
    let wanted = json!({ "url": publisher.url("/updateinfo.xml"), "every_minutes": 60 });
    let added = admin.put("/patch/feeds/site", &wanted).await.expect(200);
    assert_eq!((&added["state"], &added["late_after_hours"]), (&json!("waiting"), &json!(48)));
    assert_eq!(added["url"], publisher.url("/[hidden]"), "a path may have a secret");
    eventually("the feed is imported", async || feed(&platform, "site").await["state"] == "current").await;
    assert_eq!(imports(&platform).await.len(), 1);
    platform.operator.get("/patch/advisories/RLSA-2026:9001").await.expect(200);
    let first = feed(&platform, "site").await;

    platform.advance(2);
    eventually("it is asked for again", async || publisher.heads().len() == 2).await;
    eventually("it is the newest", async || {
        feed(&platform, "site").await["fetched_at"] != first["fetched_at"]
    })
    .await;
    let second = feed(&platform, "site").await;
    assert_eq!((&second["import_id"], imports(&platform).await.len()), (&first["import_id"], 1));

    // Coverage is only as young as the last import.
    platform.advance(25);
    eventually("it is read again", async || imports(&platform).await.len() == 2).await;
    let conditional: Vec<bool> =
        publisher.heads().iter().map(|head| head.contains("if-none-match")).collect();
    assert_eq!(conditional, [false, true, false]);

    // With another address it is another feed: nothing is known of it, whatever the former one answered.
    let changed = json!({ "url": publisher.url("/other.xml"), "every_minutes": 60 });
    let changed = admin.put("/patch/feeds/site", &changed).await.expect(200);
    let unknown = (&changed["state"], &changed["fetched_at"], &changed["import_id"]);
    assert_eq!(unknown, (&json!("waiting"), &json!(null), &json!(null)));
    assert_ne!(changed["created_at"], first["created_at"]);

    admin.delete("/patch/feeds/site").await.expect(204);
    platform.operator.get("/patch/feeds/site").await.expect_problem(404);
    platform.operator.get("/patch/advisories/RLSA-2026:9001").await.expect(200);
    let audit = platform.patch.admin().await.get("/access/audit?limit=1000").await.expect(200).to_string();
    assert!(audit.contains("put_feed") && audit.contains("delete_feed"), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_answers_are_named_and_nothing_of_them_is_imported() {
    let publisher = Publisher::start(|head| match head.split(' ').nth(1).unwrap() {
        "/gone" => answer("404 Not Found", &[], ""),
        "/broken" => answer("503 Service Unavailable", &["Retry-After: 7200"], ""),
        "/short" => {
            let whole = answer("200 OK", &[], XML);
            whole[..whole.len() - 300].to_vec()
        }
        "/page" => answer("200 OK", &[], "<html>Sign in to this network</html>"),
        "/empty" => answer("200 OK", &[], ""),
        "/large" => b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n".to_vec(),
        "/loop" => answer("302 Found", &["Location: /loop"], ""),
        "/inside" => answer("302 Found", &["Location: http://127.0.0.1:8080/feed"], ""),
        "/moved" => answer("301 Moved Permanently", &["Location: /feed"], ""),
        "/wrong.sha256" => answer("200 OK", &[], &format!("{}  feed\n", "0".repeat(64))),
        "/right.sha256" => {
            answer("200 OK", &[], &format!("{} *feed\n", hex::encode_upper(Sha256::digest(XML.as_bytes()))))
        }
        "/feed" => answer("200 OK", &[], XML),
        other => panic!("{other}"),
    })
    .await;
    let (platform, admin) = start(&publisher).await;
    let wanted = [
        ("gone", "the server answered 404 Not Found"),
        ("broken", "the server answered 503 Service Unavailable"),
        ("short", "the feed broke off"),
        ("page", "is not a known feed"),
        ("empty", "the body is empty"),
        ("large", "more than the allowed"),
        ("loop", "redirected more than 5 times"),
        ("inside", "must not point to this machine"),
    ];
    for (id, _) in wanted {
        let request = json!({ "url": publisher.url(&format!("/{id}")) });
        admin.put(&format!("/patch/feeds/{id}"), &request).await.expect(200);
    }
    let wrong = json!({ "url": publisher.url("/feed"), "checksum_url": publisher.url("/wrong.sha256") });
    admin.put("/patch/feeds/wrong", &wrong).await.expect(200);
    for (id, problem) in wanted.into_iter().chain([("wrong", "the SHA-256 of the feed is not")]) {
        eventually(id, async || feed(&platform, id).await["failures"] != 0).await;
        let shown = feed(&platform, id).await;
        assert_eq!((&shown["state"], &shown["fetched_at"]), (&json!("failing"), &json!(null)), "{shown}");
        assert!(shown["problem"].as_str().unwrap().contains(problem), "{id}: {shown}");
        let wait: chrono::DateTime<chrono::Utc> = shown["next_at"].as_str().unwrap().parse().unwrap();
        let minutes = (wait - platform.clock.now()).num_minutes();
        assert_eq!(minutes, if id == "broken" { 120 } else { 1 }, "{shown}");
    }
    assert_eq!(imports(&platform).await.len(), 0);
    platform.operator.get("/patch/advisories/RLSA-2026:9001").await.expect_problem(404);

    // With the right checksum, and after a redirect, the same feed is imported.
    let right = json!({ "url": publisher.url("/moved"), "checksum_url": publisher.url("/right.sha256") });
    admin.put("/patch/feeds/wrong", &right).await.expect(200);
    eventually("it is imported", async || feed(&platform, "wrong").await["state"] == "current").await;
    platform.operator.get("/patch/advisories/RLSA-2026:9001").await.expect(200);

    // A failed feed is tried again, later each time.
    let failures = feed(&platform, "gone").await["failures"].as_i64().unwrap();
    platform.clock.advance(chrono::TimeDelta::minutes(2));
    eventually("it is tried again", async || feed(&platform, "gone").await["failures"] == failures + 1).await;
    platform.operator.post("/patch/feeds/gone/fetch", &json!(null)).await.expect(200);
    eventually("it is tried at once", async || feed(&platform, "gone").await["failures"] == failures + 2)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn feeds_of_a_closed_network_come_from_its_mirror() {
    let kev =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../seeds/feeds/kev.json")).unwrap();
    let publisher = Publisher::start(move |head| {
        let path = head.split(' ').nth(1).unwrap();
        let known = "/mirror/www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json";
        if path == known { answer("200 OK", &[], &kev) } else { answer("404 Not Found", &[], "") }
    })
    .await;
    let feeds = FeedSettings { feed_mirror: Some(publisher.url("/mirror/")), ..FeedSettings::default() };
    let platform = Platform::start_with_outbound(feeds, publisher.allowed()).await;
    let admin = platform.patch.admin().await;
    let added = admin.put("/patch/feeds/kev", &json!({ "preset": "kev" })).await.expect(200);
    assert!(added["url"].as_str().unwrap().starts_with("https://www.cisa.gov/sites/"), "{added}");
    eventually("the catalogue is imported", async || feed(&platform, "kev").await["state"] == "current")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_the_decision_of_administrators_and_pass_the_guard() {
    let platform = Platform::start().await;
    let admin = platform.patch.admin().await;
    let preset = json!({ "preset": "kev" });
    platform.operator.put("/patch/feeds/kev", &preset).await.expect_problem(403);
    let refused = [
        ("site", json!({ "url": "http://127.0.0.1:9/feed" }), "/url"),
        ("site", json!({ "url": "https://user:secret@example.org/feed" }), "/url"),
        ("site", json!({ "url": "ftp://example.org/feed" }), "/url"),
        ("site", json!({}), "/url"),
        ("site", json!({ "url": "https://example.org/a", "preset": "kev" }), "/url"),
        ("site", json!({ "preset": "windows:11" }), "/preset"),
        (
            "site",
            json!({ "url": "https://example.org/a", "checksum_url": "http://10.0.0.1/a" }),
            "/checksum_url",
        ),
        ("site", json!({ "url": "https://example.org/a", "every_minutes": 1 }), "/every_minutes"),
        ("Site", preset, "/id"),
    ];
    for (id, request, pointer) in refused {
        let problem = admin.put(&format!("/patch/feeds/{id}"), &request).await.expect_problem(422);
        assert!(problem.to_string().contains(pointer), "{request}: {problem}");
    }
    let presets = platform.operator.get("/patch/feeds/presets").await.expect(200);
    assert!(presets.as_array().unwrap().iter().any(|preset| preset["name"] == "almalinux:9"), "{presets}");
    assert_eq!(platform.operator.get("/patch/feeds").await.expect(200)["items"], json!([]));
}
