//! A store in PostgreSQL, which any number of servers share.
//!
//! What a write may rely on is said in [`writer`]: a business's transactions are in one order, by a lock on its row. Reads
//! see snapshots of what is committed, and wait for no lock.

mod books;
mod connect;
mod list;
mod load;
mod names;
mod read;
mod save;
mod schema;
mod writer;

use tokio::runtime::Handle;

pub(crate) use self::connect::GetError;
use self::connect::Pool;
use self::load::Link;
use self::read::Reader;
use self::writer::Writer;
use super::check::check;
use super::{Error, OpenError, Policy, Scope, Unit, View};

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
        url: &str,
        migrate: bool,
        policy: Policy,
    ) -> Result<Postgres, OpenError> {
        let pool = Pool::new(url)?;
        let mut connection = pool.get().await?;
        if migrate {
            schema::migrate(&mut connection).await?;
        }
        schema::check(&connection).await?;
        drop(connection);
        Ok(Postgres {
            writer: Writer::new(pool.clone(), policy),
            pool,
        })
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
        self.with_reader(|reader| work(reader)).await
    }

    /// Checks the books of all businesses. Gives a line for each fault.
    pub(super) async fn check(&self) -> Result<Vec<String>, Error> {
        self.with_reader(|reader| check(reader)).await
    }

    async fn with_reader<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Reader<'_>) -> Result<T, Error> + Send + 'static,
    {
        let connection = self.pool.get().await?;
        let runtime = Handle::current();
        let task = tokio::task::spawn_blocking(move || {
            connect::on(connection, |connection| {
                let link = Link::new(connection, &runtime);
                let result = link
                    .run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    .and_then(|()| work(&mut Reader(link)));
                // Nothing was written; this only ends the snapshot.
                let is_good = link.end(&result);
                (result, is_good)
            })
        });
        match task.await {
            Ok(result) => result,
            Err(error) => Err(Error::Panicked(error.to_string())),
        }
    }

    /// Finishes what was taken and closes the connections; later requests get [`Error::Closed`].
    pub(super) async fn close(&self) {
        self.writer.close().await;
    }
}
