//! Where payments are kept.
//!
//! A request that writes is a [`Unit`]: all of it is kept, or nothing. One that reads has a [`View`] of what is
//! committed. What both mean is the same on every engine; each has a folder of its own.

mod check;
mod columns;
#[cfg(feature = "postgres")]
mod postgres;
mod query;
mod sqlite;

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use layer_payments_types::{AllocationInput, CreateInvoicePayment, UpdateInvoicePayment};
use rusqlite::ErrorCode;
use uuid::Uuid;

#[cfg(feature = "postgres")]
pub use self::postgres::connect::{InvalidPostgres, Postgres};
#[cfg(feature = "postgres")]
pub use self::postgres::{Copied, CopyProgress, CopyStep};
pub(crate) use self::query::{
    Balance, EntryFilter, Filter, JournalEntry, ListQuery, Page, Position,
};
use self::sqlite::Sqlite;
use crate::config::Database;
use crate::domain::local::{Business, Invoice, IsNew, LocalBooks, NewBusiness};
use crate::domain::resolve::{Refusal, invoice_names};

/// What the books take from requests beyond the documented rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Whether an invoice has to be created before it is named.
    pub(crate) strict_invoices: bool,
}

/// What a request may do in its transaction.
pub(crate) trait Unit {
    /// Makes a business known.
    fn create_business(&mut self, business: &NewBusiness) -> Result<(Business, IsNew), Error>;

    /// Makes a business known of which only the id is.
    fn register_business(&mut self, business: Uuid) -> Result<(), Error> {
        let business = NewBusiness {
            id: Some(business),
            ..NewBusiness::default()
        };
        self.create_business(&business).map(drop)
    }

    /// Sets a business's closing date, or takes it away.
    fn close_until(
        &mut self,
        business: Uuid,
        closing_date: Option<Timestamp>,
    ) -> Result<Business, Error>;

    /// Takes everything away.
    fn reset(&mut self) -> Result<(), Error>;

    /// The books of a business.
    fn books(&mut self, business: Uuid) -> Result<Box<dyn LocalBooks<Error = Error> + '_>, Error>;
}

/// What a request may read: all of it from one snapshot of what is committed.
pub(crate) trait View {
    /// Reads something that every other read needs too.
    fn probe(&mut self) -> Result<(), Error>;

    /// A page of payments.
    fn page(&mut self, query: &ListQuery) -> Result<Page, Error>;

    /// All businesses, in the order of their creation.
    fn businesses(&mut self) -> Result<Vec<Business>, Error>;

    /// A business.
    fn business(&mut self, id: Uuid) -> Result<Business, Error>;

    /// The invoices of a business, by id; only the one with this external id if one is given.
    fn invoices(
        &mut self,
        business: Uuid,
        external_id: Option<&str>,
    ) -> Result<Vec<Invoice>, Error>;

    /// Entries of a business by their numbers, and whether there are more.
    fn entries(
        &mut self,
        business: Uuid,
        filter: EntryFilter,
    ) -> Result<(Vec<JournalEntry>, bool), Error>;

    /// The accounts of a business, those of the chart by their stable names first.
    fn balances(&mut self, business: Uuid) -> Result<Vec<Balance>, Error>;
}

/// What a request that writes is about. An engine on which requests run beside each other needs to know it before they
/// run.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "postgres"),
    expect(dead_code, reason = "SQLite's one writer needs none of it")
)]
pub(crate) enum Scope {
    /// Payments of one business.
    Payments(Uuid, Wants),
    /// Anything else in one business.
    Business(Uuid),
    /// Businesses themselves.
    Store,
}

/// What a request that writes payments names, so that an engine can read it at once before the request runs. What isn't
/// said here is read when it is asked for.
#[derive(Clone, Debug, Default)]
#[cfg_attr(
    not(feature = "postgres"),
    expect(dead_code, reason = "SQLite's one writer needs none of it")
)]
pub(crate) struct Wants {
    /// Of payments.
    pub(crate) external_ids: Vec<String>,
    /// Of payments.
    pub(crate) ids: Vec<Uuid>,
    pub(crate) invoices: Vec<Uuid>,
    pub(crate) invoice_external_ids: Vec<String>,
}

impl Wants {
    /// What requests to record payments name.
    pub(crate) fn of(payments: &[CreateInvoicePayment]) -> Wants {
        let mut wants = Wants::default();
        for payment in payments {
            wants.external_ids.extend(payment.external_id.clone());
            wants.add_allocations(&payment.invoice_payments);
        }
        wants
    }

    /// What a request to update a payment names.
    pub(crate) fn of_update(id: Uuid, update: &UpdateInvoicePayment) -> Wants {
        let mut wants = Wants {
            ids: vec![id],
            external_ids: update
                .external_id
                .as_option()
                .cloned()
                .into_iter()
                .collect(),
            ..Wants::default()
        };
        if let Some(allocations) = &update.invoice_payments {
            wants.add_allocations(allocations);
        }
        wants
    }

    fn add_allocations(&mut self, allocations: &[AllocationInput]) {
        for allocation in allocations {
            if let AllocationInput::Invoice(invoice) = allocation {
                let (id, external_id) = invoice_names(invoice);
                self.invoices.extend(id);
                self.invoice_external_ids
                    .extend(external_id.map(str::to_owned));
            }
        }
    }

    /// Adds what another request names.
    #[cfg(feature = "postgres")]
    fn extend(&mut self, other: &Wants) {
        self.external_ids.extend_from_slice(&other.external_ids);
        self.ids.extend_from_slice(&other.ids);
        self.invoices.extend_from_slice(&other.invoices);
        self.invoice_external_ids
            .extend_from_slice(&other.invoice_external_ids);
    }
}

/// The open database.
#[derive(Debug)]
pub(crate) struct Store {
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    Sqlite(Sqlite),
    #[cfg(feature = "postgres")]
    Postgres(postgres::Postgres),
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
         `import` bring an older file up to date, and `migrate` a database in PostgreSQL"
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
    #[error("its set-up panicked")]
    Panicked,
    #[cfg(feature = "postgres")]
    #[error("there are no books in it yet; `layer-payments migrate` begins some")]
    NotMigrated,
    #[cfg(feature = "postgres")]
    #[error("its schema can't be brought up to date")]
    MigratePostgres(#[from] refinery::Error),
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Setup(#[from] postgres::SetupError),
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Pool(#[from] postgres::GetError),
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
    #[cfg(feature = "postgres")]
    #[error("the database failed")]
    Postgres(#[from] tokio_postgres::Error),
    #[cfg(feature = "postgres")]
    #[error("there is no connection to the database")]
    Pool(#[from] postgres::GetError),
    /// The connection is there, and no answer comes.
    #[cfg(feature = "postgres")]
    #[error("the database doesn't answer")]
    Silent,
    /// The transaction that the request was part of was lost, so nothing of it was kept.
    #[cfg(feature = "postgres")]
    #[error("the transaction was lost")]
    Lost(#[source] Arc<Error>),
    /// The connection was lost at COMMIT, and the database can't be asked what became of the transaction.
    #[cfg(feature = "postgres")]
    #[error("whether the transaction was committed isn't known")]
    Unknown(#[source] Arc<Error>),
    #[error("a stored value can't be read as JSON or written as it")]
    Json(#[from] serde_json::Error),
    #[error("a stored value is out of range: {0}")]
    Corrupt(String),
    #[error("the request's work panicked: {0}")]
    Panicked(String),
    #[error("the store is closed")]
    Closed,
}

/// Why a store wasn't copied. Nothing was written then.
#[cfg(feature = "postgres")]
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    #[error("the file can't be opened")]
    OpenSource(#[from] OpenError),
    #[error("the database can't be opened")]
    OpenTarget(#[source] OpenError),
    #[error("the database has businesses already; give one that holds nothing")]
    NotEmpty,
    #[error("the books in the file aren't in order: {}", .0.join("; "))]
    Source(Vec<String>),
    #[error("the books that were written aren't in order: {}", .0.join("; "))]
    Target(Vec<String>),
    #[error("what was written differs: {0}")]
    Differs(String),
    #[error("a row can't be read or written")]
    Row(#[from] Error),
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
            #[cfg(feature = "postgres")]
            Error::Pool(error) => return error.is_passing(),
            #[cfg(feature = "postgres")]
            Error::Silent | Error::Unknown(_) => return true,
            #[cfg(feature = "postgres")]
            Error::Postgres(error) => return postgres::is_passing(error),
            #[cfg(feature = "postgres")]
            Error::Lost(error) => return error.is_passing(),
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

/// What tokens are signed with.
pub(crate) type TokenKey = [u8; 64];

impl Store {
    /// Opens the database and creates or migrates its schema.
    pub(crate) async fn open(database: Database, policy: Policy) -> Result<Store, OpenError> {
        let open_sqlite = match database {
            #[cfg(feature = "postgres")]
            Database::Postgres(database) => {
                let migrate = database.migrates();
                let postgres = postgres::Postgres::open(&database, migrate, policy).await?;
                return Ok(Store {
                    engine: Engine::Postgres(postgres),
                });
            }
            Database::Memory => tokio::task::spawn_blocking(move || Sqlite::open_in_memory(policy)),
            Database::File(path) => {
                tokio::task::spawn_blocking(move || Sqlite::open_file(&path, policy))
            }
        };
        let sqlite = open_sqlite.await.map_err(|_| OpenError::Panicked)??;
        Ok(Store {
            engine: Engine::Sqlite(sqlite),
        })
    }

    /// Runs `work` in a transaction. Once this gives `Ok`, its effects are on disk; after an error none are kept, unless
    /// the error is [`Error::Unknown`]. An engine may run it again where its transaction was lost; only the last run
    /// counts.
    ///
    /// The work is done even if the caller stops waiting.
    pub(crate) async fn write<T, F>(&self, scope: Scope, mut work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Unit) -> Result<T, Error> + Send + 'static,
    {
        match &self.engine {
            Engine::Sqlite(sqlite) => {
                // Its one writer needs no scope.
                let _ = scope;
                sqlite.write(move |unit| work(unit)).await
            }
            #[cfg(feature = "postgres")]
            Engine::Postgres(postgres) => postgres.write(scope, work).await,
        }
    }

    /// Runs `work` on a snapshot of what is committed.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn View) -> Result<T, Error> + Send + 'static,
    {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.read(|mut connection| work(&mut connection)).await,
            #[cfg(feature = "postgres")]
            Engine::Postgres(postgres) => postgres.read(work).await,
        }
    }

    /// The key to sign tokens with: the one of all servers that share the database, or, where none is shared, the one that
    /// was `drawn`.
    pub(crate) async fn token_key(&self, drawn: TokenKey) -> Result<TokenKey, Error> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(drawn),
            #[cfg(feature = "postgres")]
            Engine::Postgres(postgres) => postgres.token_key(drawn).await,
        }
    }

    /// Checks the books of all businesses. Gives a line for each fault.
    pub(crate) async fn check(&self) -> Result<Vec<String>, Error> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.check().await,
            #[cfg(feature = "postgres")]
            Engine::Postgres(postgres) => postgres.check().await,
        }
    }

    /// Checks the books in a database, as they are: nothing is written or migrated.
    pub(crate) async fn check_database(
        database: Database,
    ) -> Result<Result<Vec<String>, Error>, OpenError> {
        match database {
            // Nothing is in it yet.
            Database::Memory => Ok(Ok(Vec::new())),
            Database::File(path) => tokio::task::spawn_blocking(move || Sqlite::check_file(&path))
                .await
                .map_err(|_| OpenError::Panicked)?,
            #[cfg(feature = "postgres")]
            Database::Postgres(database) => {
                let postgres =
                    postgres::Postgres::open(&database, false, Policy::default()).await?;
                let faults = postgres.check().await;
                postgres.close().await;
                Ok(faults)
            }
        }
    }

    /// Brings the schema of a database in PostgreSQL up to date. Gives how many migrations it took.
    #[cfg(feature = "postgres")]
    pub(crate) async fn migrate(database: &Postgres) -> Result<usize, OpenError> {
        postgres::Postgres::migrate(database).await
    }

    /// Copies the SQLite store in a file to PostgreSQL, which has to be migrated and to hold nothing yet.
    #[cfg(feature = "postgres")]
    pub(crate) async fn copy(
        from: PathBuf,
        to: &Postgres,
        progress: impl FnMut(CopyProgress) + Send + 'static,
    ) -> Result<Copied, CopyError> {
        let postgres = postgres::Postgres::open(to, false, Policy::default())
            .await
            .map_err(CopyError::OpenTarget)?;
        let copied = postgres.copy(from, progress).await;
        postgres.close().await;
        copied
    }

    /// Finishes what was taken and closes the database; later requests get [`Error::Closed`].
    pub(crate) async fn close(&self) {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.close().await,
            #[cfg(feature = "postgres")]
            Engine::Postgres(postgres) => postgres.close().await,
        }
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "(no text)".to_owned())
}
