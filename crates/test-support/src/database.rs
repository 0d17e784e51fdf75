//! A fresh database per test, on one server per test process.

use std::sync::{LazyLock, Mutex};

use local_postgres::EphemeralPostgres;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

/// The server of this process, when the environment names none.
static SERVER: LazyLock<Mutex<Option<EphemeralPostgres>>> = LazyLock::new(|| Mutex::new(None));

/// A database that nobody else uses; dropped with this value.
pub struct TestDatabase {
    name: String,
    server_url: String,
    url: String,
}

impl TestDatabase {
    /// Makes one on the server of `PATCH_TEST_DATABASE_URL`, or on a private server of this process.
    pub async fn create() -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        let (server_url, url) = match std::env::var("PATCH_TEST_DATABASE_URL") {
            Ok(server_url) => {
                let url = with_database(&server_url, &name);
                (server_url, url)
            }
            Err(_) => tokio::task::spawn_blocking({
                let name = name.clone();
                move || {
                    let mut server = SERVER.lock().unwrap();
                    let server = server.get_or_insert_with(|| {
                        EphemeralPostgres::start().expect("a private PostgreSQL starts")
                    });
                    (server.maintenance_url(), server.url(&name))
                }
            })
            .await
            .unwrap(),
        };
        let mut connection = PgConnection::connect(&server_url).await.expect("the test server answers");
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut connection)
            .await
            .expect("a database is made");
        connection.close().await.ok();
        Self { name, server_url, url }
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (name, server_url) = (self.name.clone(), self.server_url.clone());
        // A runtime of its own: the test's may be shutting down already.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&server_url).await.ok()?;
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                sqlx::query(AssertSqlSafe(drop)).execute(&mut connection).await.ok()
            })
        });
        dropped.join().ok();
    }
}

/// The URL of another database of the same server.
fn with_database(server_url: &str, name: &str) -> String {
    let (head, query) =
        server_url.split_once('?').map_or((server_url, None), |(head, query)| (head, Some(query)));
    let authority = head.find("://").map_or(0, |at| at + 3);
    let end = head[authority..].find('/').map_or(head.len(), |at| authority + at);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{name}{query}", &head[..end])
}
