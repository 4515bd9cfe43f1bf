//! Opening a database: settings, identity and migrations.

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

use super::OpenError;

/// Marks a SQLite file as this server's, so that another program's database isn't taken and changed ("LAYP").
const APPLICATION_ID: i32 = 0x4c41_5950;

/// Applied in this order, each once. Never changed after a release, only added to.
const MIGRATIONS: &[M<'static>] = &[M::up(include_str!("migrations/001-payments.sql"))];

/// Statements are built from a handful of fixed texts; this many of them stay prepared on each connection.
const STATEMENT_CACHE: usize = 128;

/// Settings of every connection. Each is per connection except the journal mode, which the file remembers.
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.execute_batch(
        // FULL makes COMMIT wait until the log is on disk: what was acknowledged survives a loss of power.
        "PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA temp_store = MEMORY;",
    )
}

/// Settings of the writing connection of a file.
pub(super) fn use_wal(connection: &Connection) -> Result<(), OpenError> {
    connection.execute_batch(
        // A row takes about 2 KB, so three share a page of 8 KB where only one would fit into the default 4 KB. Counts
        // for a new file only.
        "PRAGMA page_size = 8192;
         -- In KiB. New payments go to random places of the indexes by name, whose pages should not have to be read
         -- again for each.
         PRAGMA cache_size = -65536;
         -- In pages, 32 MB: a page that changes often is copied from the log to the database once a while, and not
         -- after nearly every bulk.
         PRAGMA wal_autocheckpoint = 4000;",
    )?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode == "wal" {
        Ok(())
    } else {
        Err(OpenError::NoWal(mode))
    }
}

/// Refuses a file that another program wrote. Changes nothing.
pub(super) fn check(connection: &Connection) -> Result<(), OpenError> {
    let application_id: i32 =
        connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if application_id == APPLICATION_ID {
        return Ok(());
    }
    let objects: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application_id == 0 && objects == 0 {
        Ok(())
    } else {
        Err(OpenError::Foreign)
    }
}

/// Claims an empty database and brings the schema of any to the newest version. One from a newer release of this
/// server is refused.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    check(connection)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    Migrations::from_slice(MIGRATIONS).to_latest(connection)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_well_formed() {
        Migrations::from_slice(MIGRATIONS).validate().unwrap();
    }

    #[test]
    fn another_programs_database_is_refused_and_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE notes (text)")
            .unwrap();
        assert!(matches!(migrate(&mut connection), Err(OpenError::Foreign)));
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 1);
    }

    #[test]
    fn a_database_of_a_newer_release_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        connection
            .pragma_update(None, "user_version", 1000)
            .unwrap();
        assert!(matches!(
            migrate(&mut connection),
            Err(OpenError::Migrate(_))
        ));
    }
}
