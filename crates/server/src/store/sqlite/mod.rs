//! A store in one SQLite database.
//!
//! Everything that writes goes through one thread ([`writer`]), which commits all waiting requests together; reads run
//! beside it on a few connections of their own, each on a snapshot of what is committed. A database in memory has only
//! the writer's connection, so there its reads wait their turn among the writes.

mod audit;
mod books;
mod businesses;
mod journal;
mod list;
mod local;
mod payouts;
mod schema;
mod writer;

use std::path::Path;

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

use self::writer::{SqliteUnit, Writer};
use super::check::check;
use super::{Balance, EntryFilter, Error, JournalEntry, ListQuery, OpenError, Page, Policy, View};
use crate::domain::local::{Business, Invoice};

/// Connections that read. Reads are short, so a few serve many clients.
const READERS: u32 = 4;

/// The open database.
#[derive(Debug)]
pub(super) struct Sqlite {
    writer: Writer,
    /// `None` for a database in memory.
    readers: Option<r2d2::Pool<SqliteConnectionManager>>,
}

impl Sqlite {
    /// Opens a database that is gone when it is closed.
    pub(super) fn open_in_memory(policy: Policy) -> Result<Sqlite, OpenError> {
        let mut connection = Connection::open_in_memory()?;
        schema::configure(&connection)?;
        schema::migrate(&mut connection)?;
        Ok(Sqlite {
            writer: Writer::start(connection, policy)?,
            readers: None,
        })
    }

    /// Opens a file, creates or migrates its schema and starts the thread that writes. Blocks on the disk.
    pub(super) fn open_file(path: &Path, policy: Policy) -> Result<Sqlite, OpenError> {
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
        Ok(Sqlite {
            writer: Writer::start(connection, policy)?,
            readers: Some(readers),
        })
    }

    /// Runs `work` in a transaction. Once this gives `Ok`, its effects are on disk; after an error none are kept.
    ///
    /// The work is done even if the caller stops waiting.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteUnit<'_>) -> Result<T, Error> + Send + 'static,
    {
        self.writer.run(work).await
    }

    /// Runs `work` on a snapshot of what is committed.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, Error>
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
    pub(super) async fn check(&self) -> Result<Vec<String>, Error> {
        self.read(|mut connection| check(&mut connection)).await
    }

    /// Checks the books in a file, as they are: nothing is written or migrated.
    pub(super) fn check_file(path: &Path) -> Result<Result<Vec<String>, Error>, OpenError> {
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
        Ok(check(&mut &*snapshot))
    }

    /// Opens a file to copy what it holds, locked against writes until the connection is closed.
    #[cfg(feature = "postgres")]
    pub(super) fn open_to_copy(path: &Path) -> Result<Connection, OpenError> {
        let path = plain_name(path)?;
        let connection = Connection::open_with_flags(
            &path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        schema::configure(&connection)?;
        schema::check(&connection)?;
        schema::check_version(&connection)?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        Ok(connection)
    }

    /// Finishes what was taken and closes the database; later requests get [`Error::Closed`].
    pub(super) async fn close(&self) {
        self.writer.close().await;
    }
}

impl View for &Connection {
    fn probe(&mut self) -> Result<(), Error> {
        // The first page of the file, which every other read needs too.
        self.query_row("SELECT count(*) FROM sqlite_schema", [], |row| {
            row.get::<_, i64>(0)
        })?;
        Ok(())
    }

    fn page(&mut self, query: &ListQuery) -> Result<Page, Error> {
        query.read(self)
    }

    fn businesses(&mut self) -> Result<Vec<Business>, Error> {
        businesses::all(self)
    }

    fn business(&mut self, id: Uuid) -> Result<Business, Error> {
        businesses::get(self, id)
    }

    fn invoices(
        &mut self,
        business: Uuid,
        external_id: Option<&str>,
    ) -> Result<Vec<Invoice>, Error> {
        local::invoices(self, business, external_id)
    }

    fn entries(
        &mut self,
        business: Uuid,
        filter: EntryFilter,
    ) -> Result<(Vec<JournalEntry>, bool), Error> {
        journal::entries(self, business, filter)
    }

    fn balances(&mut self, business: Uuid) -> Result<Vec<Balance>, Error> {
        journal::balances(self, business)
    }
}

/// The path from the root. SQLite is built to take a name that starts with `file:` for a URI whatever the flags say,
/// and opens something else than the file of that name; an absolute path starts otherwise. It also means the same to
/// every connection, should the process change its directory.
///
/// Refuses the two names that SQLite gives a meaning of its own, a database that is gone when it is closed: whoever
/// gives one of them doesn't want a file of that name.
fn plain_name(path: &Path) -> Result<std::path::PathBuf, OpenError> {
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

    #[test]
    fn a_new_file_is_opened_by_many_at_once() {
        let directory = tempfile::tempdir().unwrap();
        for round in 0..40 {
            let path = directory.path().join(format!("{round}.db"));
            let start = std::sync::Barrier::new(6);
            std::thread::scope(|scope| {
                let opening: Vec<_> = (0..6)
                    .map(|_| {
                        scope.spawn(|| {
                            start.wait();
                            Sqlite::open_file(&path, Policy::default()).map(drop)
                        })
                    })
                    .collect();
                for opened in opening {
                    opened.join().unwrap().unwrap();
                }
            });
        }
    }

    #[tokio::test]
    async fn a_file_is_set_up_to_keep_what_is_acknowledged() {
        let directory = tempfile::tempdir().unwrap();
        // A name that would be something else as a URI.
        let path = directory.path().join("file:payments.db?mode=memory");
        let store = Sqlite::open_file(&path, Policy::default()).unwrap();
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
            let result = Sqlite::open_file(Path::new(name), Policy::default());
            assert!(
                matches!(result, Err(OpenError::Name(_))),
                "{name:?}: {result:?}"
            );
        }
    }
}
