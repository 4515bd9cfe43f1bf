//! Where payments are kept: one SQLite database.
//!
//! Everything that writes goes through one thread ([`writer`]), which commits all waiting requests together; reads run
//! beside it on a few connections of their own, each on a snapshot of what is committed. A database in memory has only
//! the writer's connection, so there its reads wait their turn among the writes.

mod books;
mod list;
mod schema;
mod writer;

use std::path::Path;
use std::sync::Arc;

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, ErrorCode, OpenFlags};

pub(crate) use self::list::{Filter, ListQuery, Position};
use self::writer::Writer;
pub(crate) use self::writer::{Unit, panic_text};
use crate::config::Database;
use crate::domain::resolve::Refusal;

/// Connections that read. Reads are short, so a few serve many clients.
const READERS: u32 = 4;

/// The open database.
#[derive(Debug)]
pub(crate) struct Store {
    writer: Writer,
    /// `None` for a database in memory.
    readers: Option<r2d2::Pool<SqliteConnectionManager>>,
}

/// Why a database can't be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the file is a database of another program")]
    Foreign,
    #[error(
        "the file can't be used with a write-ahead log (its journal mode stays {0:?}); put it on a local disk"
    )]
    NoWal(String),
    #[error("its schema can't be brought up to date")]
    Migrate(#[from] rusqlite_migration::Error),
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("its connections for reading can't be opened")]
    Readers(#[from] r2d2::Error),
    #[error("the thread that writes can't be started")]
    Thread(#[from] std::io::Error),
}

/// Why a request to the store failed. Only [`Error::Refused`] and [`Error::NoPayment`] are the client's affair.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The books refuse the request.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The payment that the request is about doesn't exist.
    #[error("there is no such payment")]
    NoPayment,
    #[error("the database failed")]
    Sqlite(#[from] rusqlite::Error),
    /// The transaction that the request was part of was lost, so nothing of it was kept.
    #[error("the transaction was rolled back")]
    RolledBack(#[source] Arc<rusqlite::Error>),
    #[error("no connection for reading is free")]
    Readers(#[from] r2d2::Error),
    #[error("a stored value can't be read as JSON or written as it")]
    Json(#[from] serde_json::Error),
    #[error("a stored value is out of range: {0}")]
    Corrupt(String),
    #[error("the request's work panicked: {0}")]
    Panicked(String),
    #[error("the store is closed")]
    Closed,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::Refused(refusal)
    }
}

impl Error {
    /// Whether the same request may succeed a little later.
    pub(crate) fn is_passing(&self) -> bool {
        let sqlite = match self {
            Error::Sqlite(error) => error,
            Error::RolledBack(error) => error.as_ref(),
            Error::Readers(_) | Error::Closed => return true,
            Error::Refused(_)
            | Error::NoPayment
            | Error::Json(_)
            | Error::Corrupt(_)
            | Error::Panicked(_) => return false,
        };
        matches!(
            sqlite.sqlite_error_code(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull)
        )
    }

    /// The same error of a request that holds this one at `prefix`, a JSON Pointer.
    pub(crate) fn under(mut self, prefix: &str) -> Error {
        if let Error::Refused(refusal) = &mut self {
            refusal.pointer.insert_str(0, prefix);
        }
        self
    }
}

impl Store {
    /// Opens the database, creates or migrates its schema and starts the thread that writes. Blocks on the disk.
    pub(crate) fn open(database: &Database) -> Result<Store, OpenError> {
        match database {
            Database::Memory => {
                let mut connection = Connection::open_in_memory()?;
                schema::configure(&connection)?;
                schema::migrate(&mut connection)?;
                Ok(Store {
                    writer: Writer::start(connection)?,
                    readers: None,
                })
            }
            Database::File(path) => Store::open_file(path),
        }
    }

    fn open_file(path: &Path) -> Result<Store, OpenError> {
        // A path that starts with `file:` is a name like any other, so URIs stay off.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection =
            Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_CREATE)?;
        schema::configure(&connection)?;
        // The identity is checked before anything is changed, the journal mode included.
        schema::check(&connection)?;
        schema::use_wal(&connection)?;
        schema::migrate(&mut connection)?;
        let manager = SqliteConnectionManager::file(path)
            .with_flags(flags)
            .with_init(|connection| {
                schema::configure(connection)?;
                connection.pragma_update(None, "query_only", true)
            });
        let readers = r2d2::Pool::builder()
            .max_size(READERS)
            .min_idle(Some(1))
            .test_on_check_out(false)
            .build(manager)?;
        Ok(Store {
            writer: Writer::start(connection)?,
            readers: Some(readers),
        })
    }

    /// Runs `work` in a transaction. Once this gives `Ok`, its effects are on disk; after an error none are kept.
    ///
    /// The work is done even if the caller stops waiting.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Unit<'_>) -> Result<T, Error> + Send + 'static,
    {
        self.writer.run(work).await
    }

    /// Runs `work` on a snapshot of what is committed.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let Some(readers) = &self.readers else {
            return self.writer.run(|unit| work(unit.connection())).await;
        };
        let readers = readers.clone();
        let task = tokio::task::spawn_blocking(move || {
            let mut connection = readers.get()?;
            let snapshot = connection.transaction()?;
            work(&snapshot)
        });
        match task.await {
            Ok(result) => result,
            Err(error) => Err(Error::Panicked(error.to_string())),
        }
    }

    /// Finishes what was taken and closes the database; later requests get [`Error::Closed`].
    pub(crate) async fn close(&self) {
        self.writer.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(connection: &Connection) -> (i64, i64, String) {
        connection
            .query_row(
                "SELECT synchronous, foreign_keys, journal_mode
                 FROM pragma_synchronous, pragma_foreign_keys, pragma_journal_mode",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .unwrap()
    }

    #[tokio::test]
    async fn a_file_is_set_up_to_keep_what_is_acknowledged() {
        let directory = tempfile::tempdir().unwrap();
        // A name that would be something else as a URI.
        let path = directory.path().join("file:payments.db?mode=memory");
        let store = Store::open(&Database::File(path.clone())).unwrap();
        assert!(path.exists());
        // 2 is FULL.
        let expected = (2, 1, "wal".to_owned());
        let writing = store.write(|unit| Ok(settings(unit.connection())));
        assert_eq!(writing.await.unwrap(), expected);
        let reading = store.read(|connection| {
            let written = connection.execute("DELETE FROM businesses", []);
            assert!(written.is_err(), "a reader can write");
            Ok(settings(connection))
        });
        assert_eq!(reading.await.unwrap(), expected);
    }

    #[test]
    fn names_that_sqlite_gives_a_meaning_are_refused() {
        for name in [":memory:", ""] {
            let result = Store::open(&Database::File(name.into()));
            assert!(
                matches!(result, Err(OpenError::NoWal(_))),
                "{name:?}: {result:?}"
            );
        }
    }
}
