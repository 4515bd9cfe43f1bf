//! Where payments are kept: one SQLite database.
//!
//! Everything that writes goes through one thread ([`writer`]), which commits all waiting requests together; reads run
//! beside it on a few connections of their own, each on a snapshot of what is committed. A database in memory has only
//! the writer's connection, so there its reads wait their turn among the writes.

pub(crate) mod books;
pub(crate) mod businesses;
mod check;
pub(crate) mod journal;
mod list;
pub(crate) mod local;
mod payouts;
mod schema;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use uuid::Uuid;

pub(crate) use self::list::{Filter, ListQuery, Position};
use self::writer::Writer;
pub(crate) use self::writer::{Unit, panic_text};
use crate::config::Database;
use crate::domain::resolve::Refusal;

/// Connections that read. Reads are short, so a few serve many clients.
const READERS: u32 = 4;

/// What the books take from requests beyond the documented rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Whether an invoice has to be created before it is named.
    pub(crate) strict_invoices: bool,
}

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
    #[error("{0:?} isn't the name of a file")]
    Name(PathBuf),
    #[error("the file is a database of another program")]
    Foreign,
    #[error(
        "the file can't be used with a write-ahead log (its journal mode stays {0:?}); put it on a local disk"
    )]
    NoWal(String),
    #[error("there are no books in it yet; `serve` and `import` begin some")]
    Empty,
    #[error(
        "it was written by another release (its schema has version {found}, this release's has {expected}); `serve` and \
         `import` bring an older one up to date"
    )]
    Version { found: i64, expected: i64 },
    #[error("its schema can't be brought up to date")]
    Migrate(#[from] rusqlite_migration::Error),
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("its connections for reading can't be opened")]
    Readers(#[from] r2d2::Error),
    #[error("the current directory can't be told")]
    Directory(#[source] std::io::Error),
    #[error("the thread that writes can't be started")]
    Thread(#[from] std::io::Error),
}

/// Why a request to the store failed. Only [`Error::Refused`], [`Error::NoPayment`] and [`Error::NoBusiness`] are the
/// client's affair.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The books refuse the request, for at least one reason.
    #[error("the books refuse the request")]
    Refused(Vec<Refusal>),
    /// The payment that the request is about doesn't exist.
    #[error("there is no such payment")]
    NoPayment,
    /// The business that the request is about doesn't exist.
    #[error("there is no business {0}")]
    NoBusiness(Uuid),
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

impl From<Vec<Refusal>> for Error {
    fn from(refusals: Vec<Refusal>) -> Error {
        Error::Refused(refusals)
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
            | Error::NoBusiness(_)
            | Error::Json(_)
            | Error::Corrupt(_)
            | Error::Panicked(_) => return false,
        };
        matches!(
            sqlite.sqlite_error_code(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull)
        )
    }
}

impl Store {
    /// Opens the database, creates or migrates its schema and starts the thread that writes. Blocks on the disk.
    pub(crate) fn open(database: &Database, policy: Policy) -> Result<Store, OpenError> {
        match database {
            Database::Memory => {
                let mut connection = Connection::open_in_memory()?;
                schema::configure(&connection)?;
                schema::migrate(&mut connection)?;
                Ok(Store {
                    writer: Writer::start(connection, policy)?,
                    readers: None,
                })
            }
            Database::File(path) => Store::open_file(path, policy),
        }
    }

    fn open_file(path: &Path, policy: Policy) -> Result<Store, OpenError> {
        let path = plain_name(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection =
            Connection::open_with_flags(&path, flags | OpenFlags::SQLITE_OPEN_CREATE)?;
        schema::configure(&connection)?;
        // The identity is checked before anything is changed, the journal mode included.
        schema::check(&connection)?;
        schema::use_wal(&connection)?;
        schema::migrate(&mut connection)?;
        let manager = SqliteConnectionManager::file(&path)
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
            writer: Writer::start(connection, policy)?,
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

    /// Checks the books of all businesses. Gives a line for each fault.
    pub(crate) async fn check(&self) -> Result<Vec<String>, Error> {
        self.read(check::check).await
    }

    /// Checks the books in a file, as they are: nothing is written or migrated.
    pub(crate) fn check_file(path: &Path) -> Result<Result<Vec<String>, Error>, OpenError> {
        let path = plain_name(path)?;
        let mut connection = Connection::open_with_flags(
            &path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        schema::configure(&connection)?;
        connection.pragma_update(None, "query_only", true)?;
        schema::check(&connection)?;
        schema::check_version(&connection)?;
        let snapshot = connection.transaction()?;
        Ok(check::check(&snapshot))
    }

    /// Finishes what was taken and closes the database; later requests get [`Error::Closed`].
    pub(crate) async fn close(&self) {
        self.writer.close().await;
    }
}

/// The path from the root. SQLite is built to take a name that starts with `file:` for a URI whatever the flags say,
/// and opens something else than the file of that name; an absolute path starts otherwise. It also means the same to
/// every connection, should the process change its directory.
///
/// Refuses the two names that SQLite gives a meaning of its own, a database that is gone when it is closed: whoever
/// gives one of them doesn't want a file of that name.
fn plain_name(path: &Path) -> Result<PathBuf, OpenError> {
    if path.as_os_str().is_empty() || path == Path::new(":memory:") {
        return Err(OpenError::Name(path.to_owned()));
    }
    std::path::absolute(path).map_err(OpenError::Directory)
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
        let store = Store::open(&Database::File(path.clone()), Policy::default()).unwrap();
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
            let result = Store::open(&Database::File(name.into()), Policy::default());
            assert!(
                matches!(result, Err(OpenError::Name(_))),
                "{name:?}: {result:?}"
            );
        }
    }
}
