//! Connections for reads that take no longer than a question to the server does.

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
    database::{ACQUIRE_TIMEOUT, TRUSTED_FOR},
};

/// After this long a connection makes room for a new one, with all that its session has kept.
const LIFETIME: Duration = Duration::from_secs(1800);

/// Gives out the connection that was used last: its server process is still in the processor's caches. A pool of sqlx gives
/// out the one that rested longest, and asks each that comes back whether it lives; to a quick read both are a second one.
pub struct QuickReads(Pool<Connector>);

struct Connector(PgConnectOptions);

struct Session {
    connection: PgConnection,
    /// A read was begun with it and has not come to a good end: nobody knows what is left in it.
    is_in_doubt: bool,
}

impl Manager for Connector {
    type Type = Session;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<Session, sqlx::Error> {
        Ok(Session { connection: PgConnection::connect_with(&self.0).await?, is_in_doubt: false })
    }

    async fn recycle(&self, session: &mut Session, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        if session.is_in_doubt || metrics.age() > LIFETIME {
            return Err(RecycleError::message("another one takes its place"));
        }
        if metrics.last_used() > TRUSTED_FOR {
            session.connection.ping().await?;
        }
        Ok(())
    }
}

impl QuickReads {
    /// Beside a pool, with half as many connections to the same database.
    pub fn beside(pool: &PgPool) -> Result<Self, BuildError> {
        let connector = Connector(PgConnectOptions::clone(&pool.connect_options()));
        let most = pool.options().get_max_connections().div_ceil(2);
        let deadline = Some(ACQUIRE_TIMEOUT);
        Pool::builder(connector)
            .max_size(most as usize)
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts { wait: deadline, create: deadline, recycle: deadline })
            .build()
            .map(Self)
    }

    pub async fn acquire(&self) -> ApiResult<QuickRead> {
        let mut session = self.0.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(_) => sqlx::Error::PoolTimedOut.into(),
            other => ApiError::internal(other),
        })?;
        session.is_in_doubt = true;
        Ok(QuickRead(session))
    }
}

/// A connection for one read. It is not used again unless it is given back.
pub struct QuickRead(Object<Connector>);

impl QuickRead {
    /// Passes on what the read came to.
    pub fn give_back<T>(mut self, outcome: ApiResult<T>) -> ApiResult<T> {
        self.0.is_in_doubt = outcome.as_ref().is_err_and(|error| error.status().is_server_error());
        outcome
    }
}

impl Deref for QuickRead {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0.connection
    }
}

impl DerefMut for QuickRead {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0.connection
    }
}
