//! Where the servers of these tests keep their payments: in PostgreSQL.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use layer_payments_server::{Database, Postgres};
use layer_payments_test_postgres as test_postgres;

/// A database that is removed when its server is dropped.
pub(crate) type Guard = test_postgres::Database<'static>;

static FRESH: Mutex<Option<HashMap<String, Guard>>> = Mutex::new(None);

/// A database of nothing yet, for one server.
pub(crate) fn fresh() -> Database {
    let guard = test_postgres::shared().database();
    let database = Database::from(at(&guard));
    FRESH
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_default()
        .insert(database_name(&database), guard);
    database
}

/// What has to be kept as long as a server of this database runs.
pub(crate) fn guard(database: &Database) -> Option<Guard> {
    FRESH
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .as_mut()?
        .remove(&database_name(database))
}

/// A database that outlives its servers.
pub(crate) struct Place(Guard);

impl Place {
    pub(crate) fn new() -> Place {
        Place(test_postgres::shared().database())
    }

    pub(crate) fn database(&self) -> Database {
        self.postgres().into()
    }

    pub(crate) fn postgres(&self) -> Postgres {
        at(&self.0)
    }

    /// What SQL gives, past the server.
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.0.sql(sql)
    }

    /// Runs SQL when it is called.
    pub(crate) fn sql_later(&self, sql: &'static str) -> impl Fn() + Send + use<> {
        let name = self.0.name().to_owned();
        move || {
            test_postgres::shared().sql(&name, sql);
        }
    }
}

fn at(database: &test_postgres::Database<'_>) -> Postgres {
    Postgres::from_url(&database.url()).unwrap().migrate(true)
}

fn database_name(database: &Database) -> String {
    format!("{database:?}")
}
