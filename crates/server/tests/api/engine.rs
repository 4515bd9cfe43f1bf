//! Where the servers of these tests keep their payments: in SQLite.

use layer_payments_server::Database;

/// Nothing has to outlive a server in memory.
pub(crate) enum Guard {}

/// A database of nothing yet, for one server.
pub(crate) fn fresh() -> Database {
    Database::Memory
}

/// What has to be kept as long as a server of this database runs.
pub(crate) fn guard(_: &Database) -> Option<Guard> {
    None
}

/// A database that outlives its servers.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    pub(crate) fn database(&self) -> Database {
        Database::File(self.0.path().join("payments.db"))
    }
}
