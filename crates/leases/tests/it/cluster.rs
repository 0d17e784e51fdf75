//! PostgreSQL for the tests: a database per test on one shared server, or a whole server for tests that take it away.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use local_postgres::EphemeralPostgres;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::Mutex;

pub struct Cluster {
    server: Arc<EphemeralPostgres>,
    database: String,
}

impl Cluster {
    /// A new database with schema `leases` and the product's tables.
    pub async fn start() -> (Cluster, PgPool) {
        static SHARED: Mutex<Weak<EphemeralPostgres>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        let server = match shared.upgrade() {
            Some(server) => server,
            None => start_server().await,
        };
        *shared = Arc::downgrade(&server);
        drop(shared);
        Cluster::on(server).await
    }

    /// The same on a server that no other test uses.
    pub async fn start_own() -> (Cluster, PgPool) {
        Cluster::on(start_server().await).await
    }

    async fn on(server: Arc<EphemeralPostgres>) -> (Cluster, PgPool) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let database = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let maintenance = PgPool::connect(&server.maintenance_url()).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {database}")))
            .execute(&maintenance)
            .await
            .unwrap();
        maintenance.close().await;
        let cluster = Cluster { server, database };
        let pool = PgPoolOptions::new().max_connections(10).connect(&cluster.url()).await.unwrap();
        leases::migrate(&pool).await.unwrap();
        crate::product::create_tables(&pool).await;
        (cluster, pool)
    }

    pub fn url(&self) -> String {
        self.server.url(&self.database)
    }

    /// Like a crash: clients get no notice, and the next start recovers.
    pub fn take_down(&self) {
        self.server.crash_server();
    }

    pub fn bring_up(&self) {
        self.server.start_server().unwrap();
    }

    /// An outage of this duration.
    pub async fn restart_after(&self, outage: Duration) {
        self.take_down();
        tokio::time::sleep(outage).await;
        self.bring_up();
    }
}

async fn start_server() -> Arc<EphemeralPostgres> {
    let started = tokio::task::spawn_blocking(EphemeralPostgres::start).await.unwrap();
    Arc::new(started.unwrap())
}
