//! Connections to PostgreSQL.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod, Runtime};

/// A connection, which goes back to the pool when it is dropped.
pub(super) type Connection = deadpool_postgres::Object;

/// How long PostgreSQL may work on a statement, and how much of that it may wait for somebody else's lock.
const STATEMENT: Duration = Duration::from_secs(15);
const LOCK: Duration = Duration::from_secs(10);

/// How long an answer may take, the way there and back included. One that takes longer doesn't come: the database would
/// have given up by itself.
pub(super) const ANSWER: Duration = STATEMENT.saturating_add(Duration::from_secs(5));

pub(crate) type GetError = deadpool_postgres::PoolError;

#[derive(Clone, Debug)]
pub(super) struct Pool(deadpool_postgres::Pool);

impl Pool {
    pub(super) fn new(url: &str) -> Result<Pool, tokio_postgres::Error> {
        let mut config: tokio_postgres::Config = url.parse()?;
        config.options(format!(
            "-c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout=60000",
            STATEMENT.as_millis(),
            LOCK.as_millis()
        ));
        let manager = Manager::from_config(
            config,
            tokio_postgres::NoTls,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = deadpool_postgres::Pool::builder(manager)
            .max_size(10)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(Duration::from_secs(5)))
            .create_timeout(Some(Duration::from_secs(5)))
            .build();
        Ok(Pool(pool.expect("a runtime is given")))
    }

    pub(super) async fn get(&self) -> Result<Connection, GetError> {
        self.0.get().await
    }

    pub(super) fn close(&self) {
        self.0.close();
    }
}

/// Runs something on a connection, and is told with its result whether the connection is good for others. If it isn't,
/// or the work panics, the connection is closed: an answer may be outstanding on it, or a transaction open.
pub(super) fn on<T>(connection: Connection, work: impl FnOnce(&Connection) -> (T, IsGood)) -> T {
    match catch_unwind(AssertUnwindSafe(|| work(&connection))) {
        Ok((value, IsGood(true))) => value,
        Ok((value, IsGood(false))) => {
            drop(Connection::take(connection));
            value
        }
        Err(panic) => {
            drop(Connection::take(connection));
            resume_unwind(panic)
        }
    }
}

/// Whether a connection is out of all transactions, with nothing outstanding.
#[derive(Clone, Copy, Debug)]
pub(super) struct IsGood(pub(super) bool);
