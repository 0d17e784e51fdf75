//! Attacks that every service must withstand, carried out on the CMDB: slow and many clients, floods, ambiguous documents.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Stdio,
    time::{Duration, Instant},
};

use api_types::access::Role;
use cmdb::{Cmdb, Settings};
use reqwest::Method;
use serde_json::json;
use service_kit::Limits;
use test_support::{Http, TestDatabase, TestService};
use tokio::process::{Child, Command};

use crate::platform::Platform;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
/// Half of a request: its head never ends.
const HALF: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: cmdb\r\nx-slow: ";

async fn limited(database: &TestDatabase, limits: Limits) -> TestService {
    let settings = Settings { sim_engine_url: "http://127.0.0.1:9".to_owned() };
    TestService::start_limited::<Cmdb>(database.url(), settings, limits).await
}

fn address(base: &str) -> &str {
    base.strip_prefix("http://").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn document_with_a_repeated_key_is_refused_with_its_place() {
    let platform = Platform::start().await;
    let body = r#"{"id": "web-1", "type": "host", "tags": {"env": "dev", "env": "prod"}}"#;
    let send = |path: &'static str, body: &'static str| {
        let operator = platform.operator.clone();
        async move { operator.send(Method::POST, path, JSON, Some(body.as_bytes().to_vec())).await }
    };
    let problem = send("/cmdb/cis", body).await.expect_problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/tags/env", "{problem}");
    let body = r#"[{"id": "web-1", "type": "host", "attributes": {"a": {"b": 1, "b": 2}}}]"#;
    let problem = send("/cmdb/import", body).await.expect_problem(422);
    assert!(problem["detail"].as_str().unwrap().contains("/0/attributes/a/b"), "{problem}");
    assert_eq!(platform.operator.get("/cmdb/cis").await.expect(200)["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_neither_guessed_nor_kept_nor_run() {
    let platform = Platform::start().await;
    platform.ci("web-1", "host", json!({})).await;
    for path in ["/cmdb/cis", "/cmdb/cis/web-1", "/cmdb/cis/none", "/healthz", "/metrics", "/access/tokens"] {
        let answer = platform.operator.get(path).await;
        let header = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"), "{path}");
        assert!(header("content-security-policy").unwrap().contains("default-src 'none'"), "{path}");
        // A list with an ETag may be kept by its client and is checked by it.
        assert_ne!(
            header("etag").is_some(),
            header("cache-control").as_deref() == Some("no-store"),
            "{path}"
        );
    }
    let page = platform.service.nobody().get("/docs/").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("script-src 'self';") && policy.contains("frame-ancestors 'none'"), "{policy}");
    // Otherwise the page would not work under its policy.
    for script in page.text.split("<script").skip(1) {
        assert!(script.trim_start().starts_with("src=\"./"), "{script}");
    }
    assert!(page.text.contains("<script"), "{}", page.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn head_that_is_too_large_is_refused_and_a_large_body_is_not() {
    let platform = Platform::start().await;
    let status = |head: String| {
        let address = address(&platform.service.base).to_owned();
        tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            // The service may close the connection before all of it is sent.
            let _ = stream.write_all(head.as_bytes());
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).unwrap();
            String::from_utf8_lossy(&answer).into_owned()
        })
    };
    let with = |bytes: usize| {
        format!("GET /healthz HTTP/1.1\r\nhost: cmdb\r\nx-long: {}\r\n\r\n", "a".repeat(bytes))
    };
    assert_eq!(status(with(16 << 10)).await.unwrap(), "HTTP/1.1 200");
    assert_eq!(status(with(64 << 10)).await.unwrap(), "HTTP/1.1 431");
    let cis: Vec<_> = (0..2_000)
        .map(|n| json!({ "id": format!("web-{n}"), "type": "host", "tags": { "note": "a".repeat(100) } }))
        .collect();
    let body = serde_json::to_vec(&cis).unwrap();
    assert!(body.len() > 200_000);
    let answer = platform.operator.send(Method::POST, "/cmdb/import", JSON, Some(body)).await;
    assert!(answer.status.is_success(), "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_body_gets_an_answer_that_says_so() {
    let database = TestDatabase::create().await;
    let service = limited(&database, Limits { body_timeout_seconds: 1, ..Limits::default() }).await;
    let token = service.token("olivia", &[Role::Operator]).await;
    let head = format!(
        "POST /cmdb/cis HTTP/1.1\r\nhost: cmdb\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: 500\r\n\r\n{{\"id\": "
    );
    let answer = exchange(address(&service.base), head.into_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("/problems/slow-request"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn head_that_does_not_arrive_ends_its_connection() {
    let database = TestDatabase::create().await;
    let limits = Limits { header_timeout_seconds: 1, idle_timeout_seconds: 2, ..Limits::default() };
    let service = limited(&database, limits).await;
    let began = Instant::now();
    let answer = exchange(address(&service.base), HALF.to_vec()).await;
    assert!(answer.is_empty() && began.elapsed() < Duration::from_secs(10), "{answer}");
    // A connection without any byte, and one after an answer.
    assert_eq!(exchange(address(&service.base), Vec::new()).await, "");
    let answer =
        exchange(address(&service.base), b"GET /healthz HTTP/1.1\r\nhost: cmdb\r\n\r\n".to_vec()).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok"), "{answer}");
}

/// Sends bytes and returns everything that comes until the service closes the connection.
async fn exchange(address: &str, bytes: Vec<u8>) -> String {
    let address = address.to_owned();
    let exchanged = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the service closes the connection");
        String::from_utf8_lossy(&answer).into_owned()
    });
    exchanged.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn flood_of_writes_is_limited_by_token_and_services_are_not() {
    let database = TestDatabase::create().await;
    let service = limited(&database, Limits { max_writes_per_second: 1, ..Limits::default() }).await;
    let (flooder, other) = (service.operator().await, service.as_role("oscar", &[Role::Operator]).await);
    let body = json!({});
    let mut refused = None;
    for _ in 0..15 {
        let answer = flooder.post("/cmdb/cis", &body).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        answer.expect_problem(422);
    }
    let refused = refused.expect("eleven writes may come at once");
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    let problem = refused.expect_problem(429);
    assert_eq!(problem["type"], "/problems/too-many-requests");
    flooder.get("/cmdb/cis").await.expect(200);
    other.post("/cmdb/cis", &body).await.expect_problem(422);
    let trusted = Http::new(&service.base, Some(service.service_token().to_owned()));
    for _ in 0..60 {
        trusted.post("/cmdb/cis", &body).await.expect_problem(422);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_tokens_is_limited_and_does_not_lock_out_those_who_have_one() {
    let database = TestDatabase::create().await;
    let limits = Limits { max_failed_sign_ins_per_second: 1, ..Limits::default() };
    let service = limited(&database, limits).await;
    let operator = service.operator().await;
    operator.get("/cmdb/cis").await.expect(200);
    let mut failures = 0;
    let refused = loop {
        let guesser = Http::new(&service.base, Some(format!("pm_guess{failures}")));
        let answer = guesser.get("/cmdb/cis").await;
        if answer.status == 429 {
            break answer;
        }
        answer.expect_problem(401);
        failures += 1;
        assert!(failures < 300, "guessing is not limited");
    };
    assert!(failures >= 11, "ten seconds' worth may come at once, not only {failures}");
    assert!(refused.headers.contains_key("retry-after"));
    refused.expect_problem(429);
    operator.get("/cmdb/cis").await.expect(200);
    assert_eq!(service.nobody().get("/healthz").await.text, "ok");
}

/// A service as a process of its own that may open only so many files.
async fn process_with_files(
    files: u32,
    database: &TestDatabase,
    folder: &std::path::Path,
) -> (Child, String) {
    let token_file = folder.join("service-token");
    std::fs::write(&token_file, "pm_of-the-test").unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new("sh")
        .args([
            "-c",
            "ulimit -n \"$0\" && exec \"$@\"",
            &files.to_string(),
            env!("CARGO_BIN_EXE_cmdb"),
            "serve",
        ])
        .args(["--listen", &format!("127.0.0.1:{port}"), "--service-token-file"])
        .arg(&token_file)
        .env("DATABASE_URL", database.url())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    (child, format!("127.0.0.1:{port}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn half_sent_requests_do_not_stop_a_service_with_few_files() {
    let database = TestDatabase::create().await;
    let service = limited(&database, Limits::default()).await;
    let operator = service.operator().await;
    let folder = tempfile::tempdir().unwrap();
    let (mut child, address) = process_with_files(160, &database, folder.path()).await;
    let attacked = Http::new(&format!("http://{address}"), operator.token().map(str::to_owned));
    let deadline = Instant::now() + Duration::from_secs(60);
    while reqwest::get(format!("http://{address}/readyz")).await.is_err() {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "the service starts");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let target = address.clone();
    let flood = move || {
        let half = |_| {
            let mut stream = TcpStream::connect(&target).unwrap();
            stream.write_all(HALF).unwrap();
            stream
        };
        (0..200).map(half).collect::<Vec<TcpStream>>()
    };
    let held = tokio::task::spawn_blocking(flood).await.unwrap();
    for number in 0..20 {
        // Each from a connection of its own, as clients that come later.
        let client = Http::new(&format!("http://{address}"), attacked.token().map(str::to_owned));
        let began = Instant::now();
        client.post("/cmdb/cis", &json!({ "id": format!("web-{number}"), "type": "host" })).await.expect(201);
        assert!(began.elapsed() < Duration::from_secs(5), "answered after {:?}", began.elapsed());
    }
    assert_eq!(held.len(), 200);
    assert!(child.try_wait().unwrap().is_none());
    child.kill().await.unwrap();
}
