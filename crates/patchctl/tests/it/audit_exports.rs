//! Ends of audit chains that were exported show what the chains alone do not.

use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::{Connection, PgConnection};
use test_support::TestDatabase;

use crate::program::Up;

/// Does what only an owner of the tables can do: removes the newest records of the CMDB, from a position on, with their seals.
async fn remove_from(database: &TestDatabase, position: i64) {
    let mut conn = PgConnection::connect(database.url()).await.unwrap();
    let mut tx = conn.begin().await.unwrap();
    let newest = format!("service = 'cmdb' AND position >= {position}");
    for (is_removal, statement) in [
        (false, "ALTER TABLE platform.audit_log DISABLE TRIGGER USER".to_owned()),
        (false, "ALTER TABLE platform.audit_seals DISABLE TRIGGER USER".to_owned()),
        (
            true,
            format!(
                "DELETE FROM platform.audit_log WHERE sequence IN (SELECT sequence FROM platform.audit_seals WHERE {newest})"
            ),
        ),
        (true, format!("DELETE FROM platform.audit_seals WHERE {newest}")),
        (false, "ALTER TABLE platform.audit_log ENABLE TRIGGER USER".to_owned()),
        (false, "ALTER TABLE platform.audit_seals ENABLE TRIGGER USER".to_owned()),
    ] {
        let done = sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *tx).await.unwrap();
        assert!(!is_removal || done.rows_affected() > 0);
    }
    tx.commit().await.unwrap();
}

/// Calls until it returns something.
fn wait<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The position of the last end of the CMDB's chain in a text.
fn position(text: &str) -> i64 {
    let heads = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    heads
        .filter(|head| head["service"] == "cmdb")
        .filter_map(|head| head["position"].as_i64())
        .max()
        .unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_newest_records_are_detected_through_an_exported_end() {
    let database = TestDatabase::create_empty().await;
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start_with(&folder, |command| {
        command.env("DATABASE_URL", database.url()).env("AUDIT_EXPORT_SECONDS", "1")
    });
    for name in ["web-01", "web-02"] {
        up.run(&["ci", "create", name, "--type", "host"]).expect(0);
    }
    let file = folder.path().join("audit-heads");
    let read = || std::fs::read_to_string(&file).unwrap_or_default();
    let text = wait("an export of both records", || Some(read()).filter(|text| position(text) >= 2));
    // A copy that is elsewhere, as it should be.
    let aside = tempfile::tempdir().unwrap();
    let copy = aside.path().join("copy");
    std::fs::write(&copy, &text).unwrap();
    let newest = position(&text);
    let exports: Value =
        serde_json::from_str(&up.run(&["audit", "exports", "-o", "json"]).expect(0).stdout).unwrap();
    let key = exports[0]["public_key"].as_str().unwrap().to_owned();
    let verify =
        |file: &str, key: &str| up.run(&["audit", "verify", "--exported", file, "--public-key", key]);
    let copy = copy.to_str().unwrap();
    let fits = verify(copy, &key).expect(0);
    assert!(fits.stderr.contains("exported ends were compared"), "{fits:?}");

    // What is not signed with the key proves nothing.
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert!(verify(copy, other).expect(1).stderr.contains("the signature does not fit"));
    let forged = aside.path().join("forged");
    let other_position =
        text.replace(&format!("\"position\":{newest},"), &format!("\"position\":{},", newest - 1));
    assert_ne!(other_position, text);
    std::fs::write(&forged, other_position).unwrap();
    assert!(verify(forged.to_str().unwrap(), &key).expect(1).stderr.contains("the signature does not fit"));
    verify(folder.path().join("version").to_str().unwrap(), &key).expect(1);
    assert_eq!(up.run(&["audit", "verify", "--exported", copy]).status, 2, "a key is needed");

    remove_from(&database, newest).await;
    // The chain is consistent in itself: only the exported end shows that it was longer.
    up.run(&["audit", "verify"]).expect(0);
    let cut = verify(copy, &key).expect(1).stderr;
    let exported = format!("the chain of cmdb was exported at position {newest} ");
    assert!(cut.contains(&exported) && cut.contains("were removed"), "{cut}");
    up.run(&["ci", "create", "web-03", "--type", "host"]).expect(0);
    let again = wait("another record at the position", || {
        let stderr = verify(copy, &key).expect(1).stderr;
        stderr.contains("another hash").then_some(stderr)
    });
    assert!(again.contains(&exported), "{again}");
}
