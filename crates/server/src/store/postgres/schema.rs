//! The schema and its migrations.

use tokio_postgres::error::SqlState;

use super::super::OpenError;
use super::connect::Connection;

mod embedded {
    refinery::embed_migrations!("src/store/postgres/migrations");
}

/// Where the migrations that were applied are noted.
const HISTORY: &str = "layer_payments_migrations";

/// The key of the lock that whoever migrates holds ("LAYP"), so that of several servers that start at once one
/// migrates, and the others find it done. CockroachDB takes the statement and locks nothing: run `layer-payments migrate`
/// from one place there.
const LOCK: i64 = 0x4c41_5950;

fn runner() -> refinery::Runner {
    let mut runner = embedded::migrations::runner().set_grouped(true);
    runner.set_migration_table_name(HISTORY);
    runner
}

/// Brings the schema to the newest version. One from a newer release is refused. Gives how many migrations it took.
pub(super) async fn migrate(connection: &mut Connection) -> Result<usize, OpenError> {
    connection
        .execute("SELECT pg_advisory_lock($1)", &[&LOCK])
        .await?;
    let result = runner().run_async(&mut **connection).await;
    // Held by the connection, which goes back to the pool.
    connection
        .execute("SELECT pg_advisory_unlock($1)", &[&LOCK])
        .await?;
    Ok(result?.applied_migrations().len())
}

/// Refuses a schema that isn't of this release. Changes nothing.
pub(super) async fn check(connection: &Connection) -> Result<(), OpenError> {
    let expected = runner()
        .get_migrations()
        .iter()
        .map(|migration| i64::from(migration.version()))
        .max()
        .unwrap_or(0);
    let found = connection
        .query_opt(&format!("SELECT max(version)::bigint FROM {HISTORY}"), &[])
        .await;
    let found: Option<i64> = match found {
        Ok(row) => row.map(|row| row.try_get(0)).transpose()?.flatten(),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => None,
        Err(error) => return Err(error.into()),
    };
    match found {
        Some(found) if found == expected => Ok(()),
        Some(found) => Err(OpenError::Version { found, expected }),
        None => Err(OpenError::NotMigrated),
    }
}
