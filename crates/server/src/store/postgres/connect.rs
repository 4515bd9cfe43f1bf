//! Connections to PostgreSQL.

use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod, Runtime};

/// A connection, which goes back to the pool when it is dropped.
pub(super) type Connection = deadpool_postgres::Object;

pub(crate) type GetError = deadpool_postgres::PoolError;

#[derive(Clone, Debug)]
pub(super) struct Pool(deadpool_postgres::Pool);

impl Pool {
    pub(super) fn new(url: &str) -> Result<Pool, tokio_postgres::Error> {
        let config: tokio_postgres::Config = url.parse()?;
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
            .wait_timeout(Some(std::time::Duration::from_secs(5)))
            .create_timeout(Some(std::time::Duration::from_secs(5)))
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
