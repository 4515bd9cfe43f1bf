//! A store in PostgreSQL, which any number of servers share.
//!
//! What a write may rely on is said in [`writer`]: a business's transactions are in one order, by a lock on its row. Reads
//! see snapshots of what is committed, and wait for no lock.

mod books;
pub(super) mod connect;
mod copy;
mod list;
mod load;
mod names;
mod read;
mod save;
mod schema;
mod writer;

use std::path::PathBuf;

use tokio::runtime::Handle;

use self::connect::Pool;
pub(crate) use self::connect::{GetError, SetupError};
pub use self::copy::{Copied, CopyProgress, CopyStep};
use self::load::Link;
use self::read::Reader;
use self::writer::Writer;
use super::check::check;
use super::{CopyError, Error, OpenError, Policy, Scope, TokenKey, Unit, View};

/// Whether the same may succeed a little later.
pub(super) fn is_passing(error: &tokio_postgres::Error) -> bool {
    writer::is_passing(error)
}

/// The open database.
#[derive(Debug)]
pub(super) struct Postgres {
    pool: Pool,
    writer: Writer,
}

impl Postgres {
    /// Connects, and brings the schema up to date if that is asked for.
    pub(super) async fn open(
        database: &connect::Postgres,
        migrate: bool,
        policy: Policy,
    ) -> Result<Postgres, OpenError> {
        let pool = Pool::new(database)?;
        if migrate {
            schema::migrate(&mut pool.unhurried().await?).await?;
        }
        let connection = pool.get().await?;
        schema::check(&connection).await?;
        drop(connection);
        Ok(Postgres {
            writer: Writer::new(pool.clone(), policy),
            pool,
        })
    }

    /// The key that all servers of the database sign tokens with. It is `drawn` if there was none yet.
    pub(super) async fn token_key(&self, drawn: TokenKey) -> Result<TokenKey, Error> {
        let connection = self.pool.get().await?;
        connection
            .execute(
                "UPDATE store SET token_key = $1 WHERE token_key IS NULL",
                &[&drawn.as_slice()],
            )
            .await?;
        let row = connection
            .query_one("SELECT token_key FROM store", &[])
            .await?;
        let key: &[u8] = row.try_get(0)?;
        key.try_into()
            .map_err(|_| Error::Corrupt("the key of tokens".to_owned()))
    }

    /// Brings the schema up to date. Gives how many migrations it took.
    pub(super) async fn migrate(database: &connect::Postgres) -> Result<usize, OpenError> {
        let mut connection = Pool::new(database)?.unhurried().await?;
        schema::migrate(&mut connection).await
    }

    /// Runs `work` in a transaction. Once this gives `Ok`, its effects are committed; after an error none are kept,
    /// unless the error is [`Error::Unknown`].
    pub(super) async fn write<T, F>(&self, scope: Scope, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Unit) -> Result<T, Error> + Send + 'static,
    {
        self.writer.run(scope, work).await
    }

    /// Runs `work` on a snapshot of what is committed.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn View) -> Result<T, Error> + Send + 'static,
    {
        on_link(&self.pool, |link| snapshot(link, |reader| work(reader))).await
    }

    /// Checks the books of all businesses. Gives a line for each fault.
    pub(super) async fn check(&self) -> Result<Vec<String>, Error> {
        let connection = self.pool.unhurried().await?;
        let runtime = Handle::current();
        let task = tokio::task::spawn_blocking(move || {
            snapshot(Link::new(&connection, &runtime, None), |reader| {
                check(reader)
            })
        });
        match task.await {
            Ok(result) => result,
            Err(error) => Err(Error::Panicked(error.to_string())),
        }
    }

    /// Copies a SQLite store, as [`copy`] says.
    pub(super) async fn copy(
        &self,
        from: PathBuf,
        mut progress: impl FnMut(CopyProgress) + Send + 'static,
    ) -> Result<Copied, CopyError> {
        let connection = self.pool.unhurried().await.map_err(Error::from)?;
        let runtime = Handle::current();
        let task = tokio::task::spawn_blocking(move || {
            copy::copy(&from, &connection, &runtime, &mut progress)
        });
        match task.await {
            Ok(result) => result,
            Err(error) => Err(Error::Panicked(error.to_string()).into()),
        }
    }

    /// Finishes what was taken and closes the connections; later requests get [`Error::Closed`].
    pub(super) async fn close(&self) {
        self.writer.close().await;
    }
}

/// Runs what keeps nothing on a connection of the pool, on a thread that may wait. The transaction that it leaves open is
/// taken back.
async fn on_link<T, F>(pool: &Pool, work: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce(Link<'_>) -> Result<T, Error> + Send + 'static,
{
    let connection = pool.get().await?;
    let (runtime, patience) = (Handle::current(), pool.patience());
    let task = tokio::task::spawn_blocking(move || {
        connect::on(connection, |connection| {
            let link = Link::new(connection, &runtime, patience);
            let result = work(link);
            let is_good = link.end(&result);
            (result, is_good)
        })
    });
    match task.await {
        Ok(result) => result,
        Err(error) => Err(Error::Panicked(error.to_string())),
    }
}

/// Runs `work` in a transaction that sees one snapshot of what is committed, and leaves it open.
fn snapshot<T>(
    link: Link<'_>,
    work: impl FnOnce(&mut Reader<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    link.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
    work(&mut Reader(link))
}
