//! A listener that speaks TLS, and one that must not speak plain HTTP.

use std::{path::Path, time::Duration};

use cmdb::{Cmdb, Settings};
use reqwest::{Certificate, Client};
use service_kit::tls::{TlsConfig, Transport};
use test_support::{TestDatabase, TestService};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Writes a new certificate for 127.0.0.1 with its key, and returns the certificate.
fn write_certificate(folder: &Path) -> Certificate {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let pem = made.cert.pem();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("certificate.pem"), &pem).unwrap();
    Certificate::from_pem(pem.as_bytes()).unwrap()
}

fn config(folder: &Path) -> TlsConfig {
    TlsConfig {
        tls_certificate_file: Some(folder.join("certificate.pem")),
        tls_key_file: Some(folder.join("key.pem")),
        allow_plain_http: false,
    }
}

/// A client that trusts this certificate and no other.
fn trusting(certificate: &Certificate) -> Client {
    Client::builder().no_proxy().tls_certs_only([certificate.clone()]).build().unwrap()
}

async fn is_up(client: &Client, service: &TestService) -> bool {
    let answer = client.get(format!("{}/healthz", service.base)).send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

async fn service(database: &TestDatabase, folder: &Path) -> TestService {
    let settings = Settings { sim_engine_url: "http://127.0.0.1:9".to_owned() };
    let transport = Transport::new(&config(folder)).unwrap();
    TestService::start_secured::<Cmdb>(database.url(), settings, transport).await
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_certificate_is_used_without_closing_a_connection() {
    let (database, folder) = (TestDatabase::create().await, tempfile::tempdir().unwrap());
    let first = write_certificate(folder.path());
    let service = service(&database, folder.path()).await;
    assert!(service.base.starts_with("https://"));
    let with_first = trusting(&first);
    assert!(is_up(&with_first, &service).await);

    let second = write_certificate(folder.path());
    let mut tries = 0;
    while !is_up(&trusting(&second), &service).await {
        tries += 1;
        assert!(tries < 100, "the changed certificate is not used");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!is_up(&trusting(&first), &service).await, "the old certificate is still used");
    assert!(is_up(&with_first, &service).await, "an open connection was closed");

    // Files that do not fit leave the certificate as it was.
    std::fs::write(folder.path().join("certificate.pem"), "-----BEGIN CERTIFICATE-----\nhalf of it").unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(is_up(&trusting(&second), &service).await);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listener_with_a_certificate_speaks_neither_plain_http_nor_old_tls() {
    let (database, folder) = (TestDatabase::create().await, tempfile::tempdir().unwrap());
    write_certificate(folder.path());
    let service = service(&database, folder.path()).await;
    let plain = service.base.replace("https://", "http://");
    assert!(
        Client::builder().no_proxy().build().unwrap().get(format!("{plain}/healthz")).send().await.is_err()
    );

    // A greeting that offers TLS 1.1 at most is answered with a fatal alert.
    let mut greeting = vec![0x16, 3, 1, 0, 47, 1, 0, 0, 43, 3, 2];
    greeting.extend([7; 32]);
    greeting.extend([0, 0, 4, 0xc0, 0x13, 0, 0x2f, 1, 0]);
    let address = service.base.trim_start_matches("https://").to_owned();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&greeting).await.unwrap();
    let mut alert = [0; 7];
    stream.read_exact(&mut alert).await.unwrap();
    assert_eq!((alert[0], alert[5]), (0x15, 2), "{alert:?}");
    service.stop().await;
}

#[test]
fn certificate_and_key_must_fit_and_plain_http_stays_on_loopback() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_certificate(one.path());
    write_certificate(other.path());
    let mixed = TlsConfig { tls_key_file: Some(other.path().join("key.pem")), ..config(one.path()) };
    let refused = format!("{:#}", Transport::new(&mixed).expect_err("it is refused"));
    assert!(refused.contains("do not fit") && refused.contains("key.pem"), "{refused}");
    let missing = TlsConfig { tls_key_file: Some(one.path().join("absent.pem")), ..config(one.path()) };
    let refused = format!("{:#}", Transport::new(&missing).expect_err("it is refused"));
    assert!(refused.contains("absent.pem"), "{refused}");
}
