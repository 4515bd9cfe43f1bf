//! Connections to PostgreSQL: a pool of them, how each is opened, and what is said of those that can't be.
//!
//! The timeouts of a connection are set by a statement once it is open. As parameters of its start they would cost no way
//! to the database and back, but poolers such as PgBouncer and the proxies of some hosts refuse those.
//!
//! A connection that lay idle is asked whether it is still there before it is given out; one that was in use a moment ago
//! isn't, as the answer would take as long as a short statement does. The server's own word that it closes a connection is
//! heard in any case. What is left is a peer that went away without a word within that moment: the statement fails, and
//! the request is answered with 503.

#[cfg(test)]
mod tests;
mod tls;
mod url;

use std::error::Error as _;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult, TimeoutType};
use deadpool_postgres::ClientWrapper;
use rustls::CertificateError;
use tokio::sync::watch;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Config, NoTls, Socket, config};
use tokio_postgres_rustls::MakeRustlsConnect;

use self::tls::TlsError;
use self::url::{Host, SslMode};
pub use self::url::{InvalidPostgres, Postgres};

/// How long a connection may have been out of use before it is asked whether it is still there.
const IDLE: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// How long it may take to tell the servers that connections are closed.
const FAREWELL: Duration = Duration::from_secs(1);

const BROKE_OFF: &str =
    "the other side broke off; check that PostgreSQL listens there, and what its log says";

/// A connection to the database.
pub(super) type Connection = ClientWrapper;

/// A connection that goes back to the pool when it is dropped.
pub(super) type Pooled = managed::Object<Manager>;

/// The connections that requests share.
#[derive(Clone, Debug)]
pub(super) struct Pool(managed::Pool<Manager>);

/// Why connections can't even be tried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the pool of connections can't be made")]
    Pool(#[from] managed::BuildError),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GetError {
    /// All are in use.
    #[error(
        "none of the {size} connections to the database came free within {} s; more of them may help (pool_size, or \
         --db-pool), or fewer requests at once",
        .wait.as_secs_f32()
    )]
    Busy { size: usize, wait: Duration },
    /// No server answered, or none as it has to.
    #[error("can't connect to the database: {0}")]
    Unreachable(Failures),
    /// A server answered, and doesn't let this program in.
    #[error("the database refuses the connection: {0}")]
    Refused(Failures),
    #[error("the connections to the database are closed")]
    Closed,
}

/// What became of each host that was tried.
#[derive(Debug)]
pub(crate) struct Failures(Vec<(String, Failure)>);

#[derive(Debug)]
struct Failure {
    /// What the server answered.
    code: Option<SqlState>,
    /// Whether it may succeed a little later.
    is_passing: bool,
    text: String,
}

impl Pool {
    /// A pool that opens its connections when they are asked for. Reads the files that the URL names.
    pub(super) fn new(postgres: &Postgres) -> Result<Pool, SetupError> {
        let pool = managed::Pool::builder(Manager::new(postgres)?)
            .max_size(postgres.pool_size)
            // The one used last is given out first. So under little load few are in use, and those aren't idle.
            .queue_mode(managed::QueueMode::Lifo)
            .wait_timeout(Some(postgres.pool_wait))
            .runtime(deadpool::Runtime::Tokio1)
            .build()?;
        Ok(Pool(pool))
    }

    /// A connection that goes back to the pool when it is dropped.
    pub(super) async fn get(&self) -> Result<Pooled, GetError> {
        self.0.get().await.map_err(|error| match error {
            managed::PoolError::Timeout(
                TimeoutType::Wait | TimeoutType::Create | TimeoutType::Recycle,
            ) => GetError::Busy {
                size: self.0.status().max_size,
                wait: self.0.timeouts().wait.unwrap_or_default(),
            },
            managed::PoolError::Backend(failures) => GetError::from(failures),
            // There is a runtime, and nothing is hooked in.
            managed::PoolError::Closed
            | managed::PoolError::NoRuntimeSpecified
            | managed::PoolError::PostCreateHook(_) => GetError::Closed,
        })
    }

    /// A connection beside the pool, for work that takes as long as it takes: no statement of it is given up because of
    /// the time or of locks.
    pub(super) async fn unhurried(&self) -> Result<Connection, GetError> {
        if self.0.is_closed() {
            return Err(GetError::Closed);
        }
        let client = self.0.manager().connect(Timeouts::default()).await?;
        Ok(client)
    }

    /// How long an answer may take on a connection of the pool, the way there and back included: what the database may take
    /// for a statement, and as long as it takes to connect. One that takes longer doesn't come, as the database would have
    /// given up by itself. `None` where statements may take for ever.
    pub(super) fn patience(&self) -> Option<Duration> {
        let Manager {
            timeouts,
            connect_timeout,
            ..
        } = self.0.manager();
        (!timeouts.statement.is_zero()).then(|| timeouts.statement + *connect_timeout)
    }

    /// Closes all connections, those in use when they come back, and waits a moment until the servers are told.
    pub(super) async fn close(&self) {
        self.0.close();
        // Whoever doesn't listen needn't be told.
        let _ = tokio::time::timeout(FAREWELL, self.0.manager().open.closed()).await;
    }

    /// How many connections there are, and how many wait for one.
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests ask so far"))]
    pub(super) fn status(&self) -> deadpool::Status {
        self.0.status()
    }
}

/// Opens connections and tells which may be given out again.
pub(super) struct Manager {
    /// At least one.
    targets: Vec<Target>,
    connect_timeout: Duration,
    timeouts: Timeouts,
    open: watch::Sender<()>,
    /// When a connection didn't answer. Those that were last used before that went the same way, most likely, and to ask
    /// each of them would take the time of each.
    suspected: Mutex<Option<Instant>>,
}

/// A host, and the way to it.
struct Target {
    host: Host,
    config: Config,
    tls: Option<MakeRustlsConnect>,
    /// Whom each connection listens to as long as it is open.
    open: watch::Sender<()>,
}

/// When the database gives up by itself. Zero is never.
#[derive(Clone, Copy, Debug, Default)]
struct Timeouts {
    statement: Duration,
    lock: Duration,
    idle_in_transaction: Duration,
}

impl Timeouts {
    /// The statements that set them.
    fn sql(self) -> String {
        format!(
            "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}",
            milliseconds(self.statement),
            milliseconds(self.lock),
            milliseconds(self.idle_in_transaction)
        )
    }
}

/// A time as PostgreSQL takes it: zero only for zero, and no more than it can hold, which are three weeks.
fn milliseconds(time: Duration) -> i32 {
    i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

impl Manager {
    fn new(postgres: &Postgres) -> Result<Manager, TlsError> {
        let mut connectors: Vec<(SslMode, Option<MakeRustlsConnect>)> = Vec::new();
        let mut targets = Vec::new();
        let (open, _) = watch::channel(());
        for host in &postgres.hosts {
            let mode = postgres.mode(host);
            let tls = match connectors.iter().find(|(other, _)| *other == mode) {
                Some((_, tls)) => tls.clone(),
                None => {
                    let tls = tls::connector(postgres, mode)?;
                    connectors.push((mode, tls.clone()));
                    tls
                }
            };
            let mut config = postgres.config.clone();
            config
                .host(&host.name)
                .port(host.port)
                .ssl_mode(match mode {
                    SslMode::Disable => config::SslMode::Disable,
                    SslMode::Prefer => config::SslMode::Prefer,
                    SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                        config::SslMode::Require
                    }
                });
            targets.push(Target {
                host: host.clone(),
                config,
                tls,
                open: open.clone(),
            });
        }
        Ok(Manager {
            open,
            targets,
            connect_timeout: postgres.connect_timeout,
            timeouts: Timeouts {
                statement: postgres.statement_timeout,
                lock: postgres.lock_timeout,
                idle_in_transaction: postgres.idle_in_transaction_session_timeout,
            },
            suspected: Mutex::new(None),
        })
    }

    /// Connects to the first host that takes the connection.
    async fn connect(&self, timeouts: Timeouts) -> Result<Connection, Failures> {
        let mut failures = Vec::new();
        for target in &self.targets {
            let finding = target.addresses();
            let found = tokio::time::timeout(self.connect_timeout, finding).await;
            let addresses = found.unwrap_or_else(|_| Err(self.unanswered()));
            let tried = match addresses {
                Ok(addresses) => self.connect_to(target, &addresses, timeouts).await,
                Err(failure) => Err(vec![(target.host.to_string(), failure)]),
            };
            match tried {
                Ok(connection) => return Ok(connection),
                Err(more) => failures.extend(more),
            }
        }
        Err(Failures(failures))
    }

    /// Connects to the first of a host's addresses that answers. Each has its time, or one that swallows everything would
    /// take that of the others.
    async fn connect_to(
        &self,
        target: &Target,
        addresses: &[Option<IpAddr>],
        timeouts: Timeouts,
    ) -> Result<Connection, Vec<(String, Failure)>> {
        let mut failures = Vec::new();
        for address in addresses {
            let connecting = async {
                let connection = target.connect(*address).await?;
                connection.batch_execute(&timeouts.sql()).await?;
                Ok(connection)
            };
            let failure = match tokio::time::timeout(self.connect_timeout, connecting).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => Failure::new(&error, target),
                Err(_) => self.unanswered(),
            };
            let is_answer = failure.code.is_some();
            let name = match address {
                Some(address) if addresses.len() > 1 => format!("{} ({address})", target.host),
                _ => target.host.to_string(),
            };
            failures.push((name, failure));
            if is_answer {
                break;
            }
        }
        Err(failures)
    }

    fn unanswered(&self) -> Failure {
        Failure::passing(format!(
            "no answer within {} s; check host and port, and what is between",
            self.connect_timeout.as_secs_f32()
        ))
    }
}

/// Says nothing of passwords.
impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.targets.iter().map(|target| target.host.to_string());
        f.debug_list().entries(hosts).finish()
    }
}

impl Target {
    /// Where the host is, in the order in which the system tells it; a socket has no address.
    async fn addresses(&self) -> Result<Vec<Option<IpAddr>>, Failure> {
        if self.host.is_socket() {
            return Ok(vec![None]);
        }
        let found = tokio::net::lookup_host((self.host.name.as_str(), self.host.port)).await;
        let found = found.map_err(|error| {
            Failure::passing(format!(
                "it can't be found ({error}); check the host's name"
            ))
        })?;
        Ok(found.map(|address| Some(address.ip())).collect())
    }

    async fn connect(&self, address: Option<IpAddr>) -> Result<Connection, tokio_postgres::Error> {
        let mut config = self.config.clone();
        if let Some(address) = address {
            config.hostaddr(address);
        }
        match &self.tls {
            Some(tls) => self.open(&config, tls.clone()).await,
            None => self.open(&config, NoTls).await,
        }
    }

    async fn open<T>(&self, config: &Config, tls: T) -> Result<Connection, tokio_postgres::Error>
    where
        T: MakeTlsConnect<Socket, Stream: Send + 'static>,
    {
        let (client, connection) = config.connect(tls).await?;
        let host = self.host.to_string();
        let open = self.open.subscribe();
        tokio::spawn(async move {
            let _open = open;
            if let Err(error) = connection.await {
                tracing::warn!(
                    host,
                    error = said(&error),
                    "a connection to the database broke"
                );
            }
        });
        // The wrapper ends a task when it is dropped. Of the one above that would be too early: once its client is gone, it
        // tells the server so and ends by itself. Else the server's log would have a line of a connection that was reset.
        Ok(Connection::new(client, tokio::spawn(async {})))
    }
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = Failures;

    async fn create(&self) -> Result<Connection, Failures> {
        self.connect(self.timeouts).await
    }

    async fn recycle(
        &self,
        connection: &mut Connection,
        metrics: &Metrics,
    ) -> RecycleResult<Failures> {
        if connection.is_closed() {
            return Err(RecycleError::message("the server closed the connection"));
        }
        let last_used = metrics.recycled.unwrap_or(metrics.created);
        if last_used.elapsed() < IDLE {
            return Ok(());
        }
        let suspected = || {
            self.suspected
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if suspected().is_some_and(|since| last_used < since) {
            return Err(RecycleError::message("one as old as this doesn't answer"));
        }
        let asked = Instant::now();
        match tokio::time::timeout(ANSWER, connection.check_connection()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(RecycleError::message("the connection broke")),
            Err(_) => {
                *suspected() = Some(asked);
                Err(RecycleError::message("the connection doesn't answer"))
            }
        }
    }
}

/// Runs something on a connection, and is told with its result whether the connection is good for others. If it isn't,
/// or the work panics, the connection is closed: an answer may be outstanding on it, or a transaction open.
pub(super) fn on<T>(connection: Pooled, work: impl FnOnce(&Connection) -> (T, IsGood)) -> T {
    match catch_unwind(AssertUnwindSafe(|| work(&connection))) {
        Ok((value, IsGood(true))) => value,
        Ok((value, IsGood(false))) => {
            drop(Pooled::take(connection));
            value
        }
        Err(panic) => {
            drop(Pooled::take(connection));
            resume_unwind(panic)
        }
    }
}

/// Whether a connection is out of all transactions, with nothing outstanding.
#[derive(Clone, Copy, Debug)]
pub(super) struct IsGood(pub(super) bool);

impl GetError {
    /// Whether there may be a connection a little later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            GetError::Busy { .. } | GetError::Closed => true,
            GetError::Unreachable(failures) | GetError::Refused(failures) => failures.is_passing(),
        }
    }
}

impl From<Failures> for GetError {
    fn from(failures: Failures) -> GetError {
        if failures.0.iter().any(|(_, failure)| failure.code.is_some()) {
            GetError::Refused(failures)
        } else {
            GetError::Unreachable(failures)
        }
    }
}

impl Failures {
    fn is_passing(&self) -> bool {
        self.0.iter().any(|(_, failure)| failure.is_passing)
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (host, failure)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{host}: {}", failure.text)?;
        }
        Ok(())
    }
}

impl Failure {
    fn passing(text: String) -> Failure {
        Failure {
            code: None,
            is_passing: true,
            text,
        }
    }

    fn lasting(text: String) -> Failure {
        Failure {
            is_passing: false,
            ..Failure::passing(text)
        }
    }

    fn new(error: &tokio_postgres::Error, target: &Target) -> Failure {
        if let Some(error) = error.as_db_error() {
            let code = error.code();
            let (is_passing, advice) = advice(code);
            return Failure {
                code: Some(code.clone()),
                is_passing,
                text: format!("{} ({}); {advice}", error.message(), code.code()),
            };
        }
        let io = error
            .source()
            .and_then(|source| source.downcast_ref::<io::Error>());
        if let Some(error) = io {
            let tls = error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>());
            return match tls {
                Some(error) => Failure::lasting(of_tls(error)),
                None => Failure::passing(of_network(error, target)),
            };
        }
        // What the library says by itself has no other mark than its text.
        let text = error.source().map(ToString::to_string).unwrap_or_default();
        match text.as_str() {
            "password missing" => Failure::lasting(
                "the server asks for a password, and none is given".to_owned(),
            ),
            "server does not support TLS" => Failure::lasting(
                "the server doesn't speak TLS; turn it on there (ssl = on), or, where nobody else can reach the way \
                 between, give sslmode=disable"
                    .to_owned(),
            ),
            "server did not use channel binding" => Failure::lasting(
                "the server doesn't bind the password to the channel, as channel_binding=require asks; it takes TLS and \
                 a password that is kept as SCRAM"
                    .to_owned(),
            ),
            _ if error.is_closed() => Failure::passing(BROKE_OFF.to_owned()),
            _ => Failure::lasting(said(error)),
        }
    }
}

/// Whether what the server refuses may pass, and what to do about it.
fn advice(code: &SqlState) -> (bool, &'static str) {
    match code {
        code if *code == SqlState::INVALID_PASSWORD => (false, "check user and password"),
        code if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => (
            false,
            "check user and database, whether TLS is asked for, and the server's pg_hba.conf",
        ),
        code if *code == SqlState::INVALID_CATALOG_NAME => (
            false,
            "check the database's name, or make it with CREATE DATABASE",
        ),
        code if *code == SqlState::INSUFFICIENT_PRIVILEGE => (
            false,
            "give the user the right to, with GRANT CONNECT ON DATABASE",
        ),
        code if *code == SqlState::TOO_MANY_CONNECTIONS => (
            true,
            "the servers of a database together have to ask for fewer (pool_size, or --db-pool) than max_connections",
        ),
        code if *code == SqlState::CANNOT_CONNECT_NOW => {
            (true, "it has to start first, or to recover")
        }
        code if *code == SqlState::ADMIN_SHUTDOWN || *code == SqlState::CRASH_SHUTDOWN => {
            (true, "it has to start again first")
        }
        code if *code == SqlState::UNDEFINED_OBJECT
            || *code == SqlState::INVALID_PARAMETER_VALUE
            || *code == SqlState::CANT_CHANGE_RUNTIME_PARAM =>
        {
            (false, "check the URL's options")
        }
        // Connection exceptions, and what there isn't enough of.
        code => (
            code.code().starts_with("08") || code.code().starts_with("53"),
            "the server's log may tell more",
        ),
    }
}

fn of_network(error: &io::Error, target: &Target) -> String {
    let advice = match error.kind() {
        // What the library makes of a server that isn't what `target_session_attrs` asks for.
        io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => {
            return "it takes no writes, as a standby doesn't; name the primary, or all of them"
                .to_owned();
        }
        io::ErrorKind::NotFound if target.host.is_socket() => {
            "there is no socket; check the folder and the port, and that PostgreSQL runs"
        }
        io::ErrorKind::ConnectionRefused => "check host and port, and that PostgreSQL runs",
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            return BROKE_OFF.to_owned();
        }
        _ => "check host and port, and what is between",
    };
    format!("{error}; {advice}")
}

fn of_tls(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(wrong) = error else {
        let advice = match error {
            rustls::Error::AlertReceived(_) => {
                "the server may ask for a certificate, by sslcert and sslkey, or for one of another authority"
            }
            _ => "the server's log may tell more",
        };
        return format!("TLS fails: {error}; {advice}");
    };
    match wrong {
        // The authority has the name of one that is trusted.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the server's certificate isn't from an authority that is trusted; give its authority's certificate as \
             sslrootcert"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!(
                "{wrong}; use a name that the certificate has (as subjectAltName; the older commonName doesn't count), or \
                 with the authority of your own in sslrootcert sslmode=verify-ca"
            )
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired; the server needs a new one".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate isn't valid yet; check this machine's clock".to_owned()
        }
        wrong => format!(
            "the server's certificate can't be used: {wrong}; it has to be of X.509 version 3, and one that signed itself has \
             to be in sslrootcert itself"
        ),
    }
}

/// An error with all that it says of its cause, which `tokio-postgres` keeps from its text.
fn said(error: &tokio_postgres::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
