//! Opening a database: settings, identity and migrations.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};
use rusqlite_migration::{HookError, M, Migrations};

use super::super::{Error, OpenError, Policy};
use super::books::{SqliteBooks, uuid};
use crate::domain::books::{Books, show};
use crate::domain::chart;
use crate::domain::consequences;
use crate::domain::payment::whole_microseconds;

/// Marks a SQLite file as this server's, so that another program's database isn't taken and changed ("LAYP").
const APPLICATION_ID: i32 = 0x4c41_5950;

/// The version that the migrations lead to.
const VERSION: i64 = 2;

/// Applied in this order, each once. Never changed after a release, only added to.
fn migrations() -> Migrations<'static> {
    Migrations::new(vec![
        M::up(include_str!("migrations/001-payments.sql")),
        M::up_with_hook(
            include_str!("migrations/002-ledger.sql"),
            |transaction: &Transaction<'_>| {
                post_what_is_there(transaction).map_err(|error| HookError::Hook(chain(&error)))
            },
        ),
    ])
}

/// Statements are built from a handful of fixed texts; this many of them stay prepared on each connection.
const STATEMENT_CACHE: usize = 128;

/// How long a lock of another process is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Settings of every connection. Each is per connection except the journal mode, which the file remembers.
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    connection.busy_timeout(PATIENCE)?;
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
    let started = Instant::now();
    let mode: String = loop {
        match connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)) {
            // SQLite doesn't wait by itself for another process that opens the new file at the same time.
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && started.elapsed() < PATIENCE =>
            {
                thread::sleep(Duration::from_millis(5));
            }
            mode => break mode?,
        }
    };
    if mode == "wal" {
        Ok(())
    } else {
        Err(OpenError::NoWal(mode))
    }
}

/// Refuses a file that another program wrote. Changes nothing.
pub(super) fn check(connection: &Connection) -> Result<(), OpenError> {
    // In one statement, so that both are of one moment: another process may just be laying out the file.
    let (application_id, objects): (i32, i64) = connection.query_row(
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if application_id == APPLICATION_ID || (application_id == 0 && objects == 0) {
        Ok(())
    } else {
        Err(OpenError::Foreign)
    }
}

/// Claims an empty database and brings the schema of any to the newest version. One from a newer release of this
/// server is refused. Several processes may do it at once; all but one find it done.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    check(connection)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    // A transaction that reads first and then finds another one's writes would fail without having waited.
    connection.set_transaction_behavior(TransactionBehavior::Immediate);
    let migrated = migrations().to_latest(connection);
    connection.set_transaction_behavior(TransactionBehavior::Deferred);
    match migrated {
        // The version was read before the transaction, so another process may have done the same meanwhile.
        Err(_) if check_version(connection).is_ok() => Ok(()),
        migrated => Ok(migrated?),
    }
}

/// Refuses a file whose schema isn't of this release. Changes nothing.
pub(super) fn check_version(connection: &Connection) -> Result<(), OpenError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found == VERSION {
        Ok(())
    } else if found == 0 {
        Err(OpenError::Empty)
    } else {
        Err(OpenError::Version {
            found,
            expected: VERSION,
        })
    }
}

/// Posts the payments that were recorded before there was a ledger, and pays their invoices.
fn post_what_is_there(connection: &Connection) -> Result<(), Error> {
    // Any account was taken at its word then; of those outside of the chart nothing is known but how they were named.
    let mut statement = connection.prepare("SELECT business_id, id, stable_name FROM accounts")?;
    let accounts = statement
        .query_map([], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                uuid(row, 1)?,
                row.get::<_, Option<String>>(2)?,
            ))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    for (business, id, stable_name) in accounts {
        if stable_name.as_deref().and_then(chart::kind_of).is_none() {
            let name = match &stable_name {
                Some(stable_name) => chart::for_people(stable_name),
                None => format!("Account {id}"),
            };
            connection.execute(
                "UPDATE accounts SET name = ?3, account_type = 'UNKNOWN', normality = 'DEBIT'
                 WHERE business_id = ?1 AND id = ?2",
                params![business, id.as_bytes(), name],
            )?;
        }
    }
    let now = whole_microseconds(Timestamp::now());
    let mut names = HashMap::new();
    let businesses = connection
        .prepare("SELECT uuid, id FROM businesses ORDER BY id")?
        .query_map([], |row| Ok((uuid(row, 0)?, row.get::<_, i64>(1)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    for (business, key) in businesses {
        let keys = connection
            .prepare("SELECT key FROM payments WHERE business_id = ?1 ORDER BY key")?
            .query_map([key], |row| row.get(0))?
            .collect::<Result<Vec<i64>, _>>()?;
        let mut books =
            SqliteBooks::open(connection, &mut names, business, now, Policy::default())?;
        for key in keys {
            let kept = books.by_key(key)?;
            let mut refusals = Vec::new();
            let postings = consequences::of(&mut books, None, &kept.payment, &mut refusals)?;
            if !refusals.is_empty() {
                return Err(refusals.into());
            }
            let reply = show(&mut books, Some(&kept), &kept.payment)?;
            books.replace(&kept, &kept.payment, &reply)?;
            consequences::post(&mut books, key, &postings)?;
        }
        books.carry_balances()?;
    }
    Ok(())
}

/// An error with its causes, in one line.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    if let Error::Refused(refusals) = error {
        for refusal in refusals {
            text.push_str(": ");
            text.push_str(&refusal.message);
        }
    }
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_well_formed() {
        migrations().validate().unwrap();
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        check_version(&connection).unwrap();
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
    fn payments_from_before_the_ledger_are_posted() {
        let mut connection = Connection::open_in_memory().unwrap();
        configure(&connection).unwrap();
        connection
            .pragma_update(None, "application_id", APPLICATION_ID)
            .unwrap();
        migrations().to_version(&mut connection, 1).unwrap();
        // As the release before the ledger wrote it: the account isn't in the chart.
        connection
            .execute_batch(
                r#"INSERT INTO businesses VALUES (1, x'00000000000000000000000000000001', 0);
                INSERT INTO accounts VALUES (1, x'00000000000000000000000000000002', 'PETTY_BOX', 0);
                INSERT INTO invoices VALUES (1, x'00000000000000000000000000000003', 'invoice-1', 1, 0);
                INSERT INTO payments
                    (key, business_id, id, external_id, paid_at, imported_at, method, amount, fee, clearing_account,
                     allocations, document)
                VALUES (7, 1, x'00000000000000000000000000000004', 'payment-1', 0, 0, 'CASH', 100, 3,
                     x'00000000000000000000000000000002',
                     '[{"target":{"invoice":"00000000-0000-0000-0000-000000000003"},"amount":60}]', '{}');
                INSERT INTO payment_invoices VALUES (1, x'00000000000000000000000000000003', 7);"#,
            )
            .unwrap();
        migrate(&mut connection).unwrap();
        assert_eq!(
            crate::store::check::check(&mut &connection).unwrap(),
            Vec::<String>::new()
        );
        let (paid, debits): (i64, i64) = connection
            .query_row(
                "SELECT paid, debits FROM invoices, accounts WHERE stable_name = 'PETTY_BOX'",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        assert_eq!((paid, debits), (60, 97));
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
