//! The engines that a server can keep payments in, and databases of them for tests.

use std::fmt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use layer_payments_test_postgres as test_postgres;
use tempfile::TempDir;

/// What keeps payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file.
    Sqlite,
    /// A server, which is started for the tests.
    Postgres,
}

/// Where a server keeps its payments.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// A file of SQLite.
    File(PathBuf),
    /// The URL of a database of PostgreSQL.
    Postgres(String),
}

/// A database of nothing yet. It is removed when this is dropped.
#[derive(Debug)]
pub struct Place(Owned);

#[derive(Debug)]
enum Owned {
    Sqlite(TempDir),
    Postgres(test_postgres::Database<'static>),
}

impl Engine {
    /// A new database.
    ///
    /// # Panics
    ///
    /// If it can't be made, as where there is no PostgreSQL.
    #[must_use]
    pub fn place(self) -> Place {
        Place(match self {
            Engine::Sqlite => {
                Owned::Sqlite(tempfile::tempdir().expect("a temporary folder can be made"))
            }
            Engine::Postgres => Owned::Postgres(test_postgres::shared().database()),
        })
    }
}

impl From<test_postgres::Database<'static>> for Place {
    fn from(database: test_postgres::Database<'static>) -> Place {
        Place(Owned::Postgres(database))
    }
}

impl Place {
    /// Where it is.
    #[must_use]
    pub fn database(&self) -> Database {
        match &self.0 {
            Owned::Sqlite(folder) => Database::File(folder.path().join("payments.db")),
            Owned::Postgres(database) => Database::Postgres(database.url()),
        }
    }

    /// Waits until nobody is connected any more: what a killed server had sent is done then, or never will be.
    ///
    /// # Panics
    ///
    /// If that takes too long.
    pub fn wait_until_unused(&self) {
        // What a killed process had written to a file, the kernel has already.
        if let Owned::Postgres(database) = &self.0 {
            until_unused(database);
        }
    }
}

/// Waits until nobody is connected to a database of PostgreSQL.
///
/// # Panics
///
/// If that takes too long.
pub fn until_unused(database: &test_postgres::Database<'_>) {
    const PATIENCE: Duration = Duration::from_secs(30);
    let others = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    let started = Instant::now();
    while database.sql(others) != "0" {
        assert!(
            started.elapsed() < PATIENCE,
            "somebody stays connected to the database"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

impl Database {
    /// The database as the server's crate names it.
    ///
    /// # Panics
    ///
    /// If it isn't one of these tests.
    #[must_use]
    pub fn for_server(&self) -> layer_payments_server::Database {
        match self {
            Database::File(path) => layer_payments_server::Database::File(path.clone()),
            Database::Postgres(url) => layer_payments_server::Postgres::from_url(url)
                .expect("the URL of a test's database is right")
                .migrate(true)
                .into(),
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Database::File(path) => write!(f, "{}", path.display()),
            // A password stands before the last `@`.
            Database::Postgres(url) => {
                let (_, place) = url.rsplit_once('@').unwrap_or_default();
                write!(f, "postgres://{place}")
            }
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
