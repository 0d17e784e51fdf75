//! A pool of connections for short reads.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use deadpool::{
    Runtime,
    managed::{
        BuildError, Manager, Metrics, Object, Pool, PoolError, QueueMode, RecycleError, RecycleResult,
        Timeouts,
    },
};
use sqlx::{Connection, PgConnection, PgPool, postgres::PgConnectOptions};

use crate::{
    ApiError, ApiResult,
    database::{ACQUIRE_TIMEOUT, TRUSTED_FOR, refuse_read_only},
};

/// A connection is replaced after this long, which frees what its session has cached.
const LIFETIME: Duration = Duration::from_secs(1800);

/// Returns the connection that was used last, because the caches of its server process are warm. A pool of sqlx returns the
/// one that was idle longest and pings each connection that comes back; for a short read, either costs as much as the read.
pub struct ReadPool(Pool<Connector>);

struct Connector(PgConnectOptions);

struct Session {
    conn: PgConnection,
    /// A read has begun and has not ended well, so the state of the session is unknown.
    is_in_doubt: bool,
}

impl Manager for Connector {
    type Type = Session;
    type Error = sqlx::Error;

    async fn create(&self) -> sqlx::Result<Session> {
        let mut conn = PgConnection::connect_with(&self.0).await?;
        refuse_read_only(&mut conn).await?;
        Ok(Session { conn, is_in_doubt: false })
    }

    async fn recycle(&self, session: &mut Session, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        if session.is_in_doubt || metrics.age() > LIFETIME {
            return Err(RecycleError::message("the connection is replaced"));
        }
        if metrics.last_used() > TRUSTED_FOR {
            session.conn.ping().await?;
        }
        Ok(())
    }
}

impl ReadPool {
    /// Connects to the database of `pool`, with as many connections.
    pub fn new(pool: &PgPool) -> Result<Self, BuildError> {
        let connector = Connector(PgConnectOptions::clone(&pool.connect_options()));
        let most = pool.options().get_max_connections();
        let deadline = Some(ACQUIRE_TIMEOUT);
        Pool::builder(connector)
            .max_size(most as usize)
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts { wait: deadline, create: deadline, recycle: deadline })
            .build()
            .map(Self)
    }

    pub async fn acquire(&self) -> ApiResult<ReadConnection> {
        let mut session = self.0.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(_) => sqlx::Error::PoolTimedOut.into(),
            other => ApiError::internal(other),
        })?;
        session.is_in_doubt = true;
        Ok(ReadConnection(session))
    }
}

/// A connection for one read. It is reused only after [`Self::release`].
pub struct ReadConnection(Object<Connector>);

impl ReadConnection {
    /// Returns the connection to the pool, unless the read failed, and passes the result on.
    pub fn release<T>(mut self, result: ApiResult<T>) -> ApiResult<T> {
        self.0.is_in_doubt = result.as_ref().is_err_and(|error| error.status().is_server_error());
        result
    }
}

impl Deref for ReadConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0.conn
    }
}

impl DerefMut for ReadConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0.conn
    }
}
