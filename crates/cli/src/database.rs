//! Which database a command works on: a file, or one in PostgreSQL.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use layer_payments_server::{CopyProgress, CopyStep, Database, Postgres};

use crate::Exit;
use crate::args::{Copy, DatabaseName, Migrate, Secret, Serve};
use crate::connection::given;
use crate::output::{Progress, message};

/// Whether a name is meant as a URL. One that isn't right is told so, instead of being the name of a new file, which
/// messages would show with its password.
pub(crate) fn is_url(name: &Path) -> bool {
    let name = name.to_string_lossy();
    let name = name.trim_start();
    name.contains("://") || name.starts_with("postgres:") || name.starts_with("postgresql:")
}

/// The database that `--db` or else `LAYER_DB` names.
pub(crate) fn named(db: Option<DatabaseName>) -> anyhow::Result<Database> {
    let name = given(db, "LAYER_DB", "a file or a URL")?.context(
        "no database is named; give --db FILE, or --db postgres://user@host/database for one in PostgreSQL, or set \
         LAYER_DB",
    )?;
    let path = PathBuf::from(name.reveal());
    if !is_url(&path) {
        return Ok(Database::File(path));
    }
    let url = path.to_str().context("the database's URL isn't Unicode")?;
    let mut postgres = Postgres::from_url(url)
        .context("--db (or LAYER_DB) isn't the URL of a database in PostgreSQL")?;
    for variable in ["LAYER_DB_PASSWORD", "PGPASSWORD"] {
        if !postgres.has_password()
            && let Some(password) = given::<Secret>(None, variable, "a password")?
        {
            postgres = postgres.password(password.reveal());
        }
    }
    Ok(postgres.into())
}

/// The database of a server, with the settings that go with it.
pub(crate) fn of_server(args: &Serve) -> anyhow::Result<Database> {
    let mut postgres = match named(args.db.clone())? {
        Database::Postgres(postgres) => *postgres,
        other => {
            for (flag, is_given) in [
                ("--db-pool", args.db_pool.is_some()),
                (
                    "--db-statement-timeout",
                    args.db_statement_timeout.is_some(),
                ),
            ] {
                if is_given {
                    bail!(
                        "{flag} is for a database in PostgreSQL, and --db names a file; leave it out"
                    );
                }
            }
            return Ok(other);
        }
    };
    if let Some(count) = args.db_pool {
        postgres = postgres.pool_size(usize::try_from(count).unwrap_or(usize::MAX));
    }
    if let Some(time) = args.db_statement_timeout {
        postgres = postgres.statement_timeout(time);
    }
    Ok(postgres.migrate(args.migrate).into())
}

/// `layer-payments migrate`.
pub(crate) async fn migrate(args: Migrate) -> anyhow::Result<Exit> {
    let Database::Postgres(postgres) = named(args.db)? else {
        bail!(
            "only a database in PostgreSQL is brought up to date by itself; `serve` and `import` do it to a file when they \
             open it"
        );
    };
    match layer_payments_server::migrate(&postgres).await? {
        0 => message("the schema was up to date"),
        1 => message("the schema is up to date, after 1 migration"),
        more => message(format_args!(
            "the schema is up to date, after {more} migrations"
        )),
    }
    Ok(Exit::Well)
}

/// `layer-payments copy`.
pub(crate) async fn copy(args: Copy) -> anyhow::Result<Exit> {
    let Database::Postgres(postgres) = named(args.to)? else {
        bail!("--to names a file; give the URL of a database in PostgreSQL");
    };
    let progress = Arc::new(Mutex::new(None));
    let shown = Arc::clone(&progress);
    let copied = layer_payments_server::copy(&args.from, &postgres, move |now: CopyProgress| {
        shown
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| Progress::new(Some(now.total)))
            .update(now.rows, now.rows, step(now.step));
    })
    .await;
    // Also after an error, which would stand behind the bar.
    let progress = progress
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(progress) = progress {
        progress.finish();
    }
    let copied = copied?;
    message(format_args!(
        "copied {} of {} with {} journal entries; the books of both are in order, and alike",
        counted(copied.payments, "payment", "payments"),
        counted(copied.businesses, "business", "businesses"),
        copied.entries,
    ));
    message("serve the database from now on: what is still recorded in the file isn't in it");
    Ok(Exit::Well)
}

fn step(step: CopyStep) -> &'static str {
    match step {
        CopyStep::CheckSource => "checking the books in the file",
        CopyStep::Copy => "writing",
        CopyStep::CheckTarget => "checking the books in PostgreSQL",
        CopyStep::Compare => "comparing both",
        _ => "working",
    }
}

fn counted(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}
