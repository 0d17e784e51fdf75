//! A database per test, on one server per test process.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    sync::{LazyLock, Mutex},
};

use local_postgres::EphemeralPostgres;
use service_kit::database;
use sqlx::{AssertSqlSafe, Connection, PgConnection, migrate::Migrator};
use uuid::Uuid;

/// The server of this process, if `PATCH_TEST_DATABASE_URL` names none.
static SERVER: LazyLock<Mutex<Option<EphemeralPostgres>>> = LazyLock::new(|| Mutex::new(None));

/// A database that only one test uses. Dropped with this value.
pub struct TestDatabase {
    name: String,
    server_url: String,
    url: String,
}

impl TestDatabase {
    /// Creates a database with the migrations of all services: a service that migrates it finds nothing to do. It is on
    /// the server of `PATCH_TEST_DATABASE_URL`, or on a private server of this process.
    pub async fn create() -> Self {
        let server_url = server_url().await;
        let mut server = connect(&server_url).await;
        let template = ensure_template(&server_url, &mut server).await;
        Self::create_from(server_url, server, &format!("TEMPLATE {template}")).await
    }

    /// Creates an empty database, for tests of migrations.
    pub async fn create_empty() -> Self {
        let server_url = server_url().await;
        let server = connect(&server_url).await;
        Self::create_from(server_url, server, "").await
    }

    async fn create_from(server_url: String, mut server: PgConnection, options: &str) -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        execute(&mut server, format!("CREATE DATABASE {name} {options}")).await;
        server.close().await.ok();
        let url = with_database(&server_url, &name);
        Self { name, server_url, url }
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (name, server_url) = (self.name.clone(), self.server_url.clone());
        // In a separate runtime, because the runtime of the test may be shutting down.
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

async fn server_url() -> String {
    if let Ok(url) = std::env::var("PATCH_TEST_DATABASE_URL") {
        return url;
    }
    let start = || {
        let mut server = SERVER.lock().unwrap();
        let start = || EphemeralPostgres::start().expect("a private PostgreSQL starts");
        server.get_or_insert_with(start).maintenance_url()
    };
    tokio::task::spawn_blocking(start).await.unwrap()
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the test server answers")
}

async fn execute(connection: &mut PgConnection, sql: String) {
    sqlx::query(AssertSqlSafe(sql)).execute(connection).await.expect("the test server executes a statement");
}

/// Schemas with their migrations.
fn migrations() -> [(&'static str, Migrator); 5] {
    [
        ("platform", sqlx::migrate!("../../migrations/platform")),
        ("cmdb", sqlx::migrate!("../../migrations/cmdb")),
        ("itsm", sqlx::migrate!("../../migrations/itsm")),
        ("sim", sqlx::migrate!("../../migrations/sim")),
        ("patch", sqlx::migrate!("../../migrations/patch")),
    ]
}

/// A hash of all migrations, so that each version of them has its own template.
fn migrations_hash() -> u64 {
    let mut hasher = DefaultHasher::new();
    let leases = [("leases", leases::migrator())];
    for (schema, migrator) in migrations().iter().chain(&leases) {
        for migration in migrator.iter() {
            (schema, migration.version, &migration.checksum).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// The database with all migrations that tests clone. The first test on the server that needs it creates it, under a lock
/// that other test processes wait for. It gets its name only when it is complete.
async fn ensure_template(server_url: &str, server: &mut PgConnection) -> String {
    let hash = migrations_hash();
    let (template, unfinished) = (format!("template_{hash:016x}"), format!("unfinished_{hash:016x}"));
    if has_database(server, &template).await {
        return template;
    }
    // The lock ends with the connection, at the latest.
    execute(server, format!("SELECT pg_advisory_lock({})", hash.cast_signed())).await;
    if !has_database(server, &template).await {
        execute(server, format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")).await;
        execute(server, format!("CREATE DATABASE {unfinished}")).await;
        migrate_all(&with_database(server_url, &unfinished)).await;
        execute(server, format!("ALTER DATABASE {unfinished} RENAME TO {template}")).await;
    }
    execute(server, format!("SELECT pg_advisory_unlock({})", hash.cast_signed())).await;
    template
}

async fn has_database(server: &mut PgConnection, name: &str) -> bool {
    let query = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)";
    sqlx::query_scalar(query).bind(name).fetch_one(server).await.expect("the test server lists its databases")
}

async fn migrate_all(url: &str) {
    let pool = database::connect(url, "test-support", 1).expect("a database URL");
    for (schema, migrator) in migrations() {
        database::run(&pool, schema, migrator).await.expect("the template is migrated");
    }
    leases::migrate(&pool).await.expect("the template is migrated");
    // PostgreSQL only clones a database that has no connections.
    pool.close().await;
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
