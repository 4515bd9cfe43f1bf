//! What a server is told of a database in PostgreSQL: a URL, and how its connections are made and kept.
//!
//! The URL is read here and not by `tokio-postgres`, which knows neither `verify-full` nor certificates, and whose errors
//! don't say what would be right. What this accepts means what it means to PostgreSQL's own programs, but for the default
//! of `sslmode`. What would be ignored is refused instead.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, TargetSessionAttrs};

/// The port that PostgreSQL listens on unless told otherwise.
const PORT: u16 = 5432;

/// What parts of a URL are shown with: everything that could be taken for something else is escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A database in PostgreSQL, and how connections to it are made and kept.
///
/// ```
/// use layer_payments_server::{Database, Postgres};
///
/// let postgres = Postgres::from_url("postgres://layer:hush@db.example.com/payments")?.pool_size(20);
/// assert_eq!(postgres.to_string(), "postgres://layer@db.example.com:5432/payments");
/// let database = Database::from(postgres);
/// # Ok::<(), layer_payments_server::InvalidPostgres>(())
/// ```
///
/// Neither [`Display`](fmt::Display) nor [`Debug`] shows the password.
///
/// # TLS
///
/// `sslmode` says whether connections are encrypted, and whether the server has to prove who it is:
///
/// | `sslmode` | encrypted | the server's certificate |
/// |---|---|---|
/// | `disable` | no | |
/// | `prefer` | if the server can | isn't checked |
/// | `require` | yes | isn't checked; with `sslrootcert` as by `verify-ca` |
/// | `verify-ca` | yes | has to come from `sslrootcert` |
/// | `verify-full` | yes | has to come from `sslrootcert`, or else from an authority that the system trusts, and to name the host |
///
/// Without `sslmode`, it is `verify-full`, which is safer than what PostgreSQL's own programs take. It is `prefer` for
/// `localhost` and loopback addresses where no `sslrootcert` is given. Sockets are never encrypted.
///
/// A server's own certificate in `sslrootcert` is trusted, too, if it signed itself.
///
/// # Poolers
///
/// A server has a pool of its own, so there need be none in between. One that gives each client a connection for as long
/// as it wants, such as PgBouncer with `pool_mode = session`, does no harm. One that gives another for each transaction
/// does: the timeouts, which are set once on each connection, and prepared statements would be somebody else's. The page
/// `postgresql` says what it takes then.
#[derive(Clone, PartialEq, Eq)]
pub struct Postgres {
    /// What is the same for all hosts.
    pub(super) config: Config,
    /// In the order in which they are tried; at least one.
    pub(super) hosts: Vec<Host>,
    mode: Option<SslMode>,
    pub(super) roots: Option<Roots>,
    pub(super) identity: Option<Identity>,
    pub(super) pool_size: usize,
    pub(super) pool_wait: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) statement_timeout: Duration,
    pub(super) lock_timeout: Duration,
    pub(super) idle_in_transaction_session_timeout: Duration,
    migrate: bool,
}

/// Why a text isn't the URL of a database in PostgreSQL. Says which part is wrong and what would be right; it never shows
/// the password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPostgres(Cow<'static, str>);

/// A server, or one of several of which one takes over from the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// A name, an address, or the folder of a socket, which starts with `/`.
    pub(super) name: String,
    pub(super) port: u16,
}

/// How far a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Whose certificates are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Roots {
    System,
    File(PathBuf),
}

/// The files by which the client proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Postgres {
    /// Takes a URL, such as `postgres://user:password@host:5432/database?sslmode=verify-full`.
    ///
    /// It starts with `postgres://` or `postgresql://`. Several hosts are separated by commas and tried in their order; a
    /// socket is named by its folder, as in `postgres:///database?host=/var/run/postgresql`. A user that isn't given is
    /// the one that runs the program, and a database that isn't given has the user's name. In user, password and names,
    /// what isn't a letter or a digit may be written as `%` and two hex digits, and `%`, `@` and `/` have to be.
    ///
    /// Parameters are `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `channel_binding`, `application_name`
    /// (`layer-payments` unless given), `options`, `connect_timeout`, `target_session_attrs` (`any`, `read-write` or
    /// `primary`; with several hosts the server has to take writes unless this says `any`), `keepalives`,
    /// `keepalives_idle`, `keepalives_interval`, `keepalives_count`, `tcp_user_timeout`, `client_encoding` (UTF8), and
    /// `host`, `port`, `user`, `password` and `dbname` instead of the parts of the URL. A peer that is gone is noticed
    /// within a minute unless they say otherwise.
    ///
    /// # Errors
    ///
    /// [`InvalidPostgres`] for any other text, and for parameters that contradict each other.
    pub fn from_url(url: &str) -> Result<Postgres, InvalidPostgres> {
        let (scheme, rest) = url.trim().split_once("://").unwrap_or_default();
        if !["postgres", "postgresql"].contains(&scheme) {
            return Err(invalid(
                "the URL doesn't start with postgres:// or postgresql://",
            ));
        }
        Parts::split(rest)?.read()
    }

    /// Sets the password, in place of the one of the URL. The environment is never asked for one.
    #[must_use]
    pub fn password(mut self, password: &str) -> Postgres {
        self.config.password(password);
        self
    }

    /// Whether there is a password, so that a program knows whether to ask elsewhere for one.
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// Sets the most connections that the server has at once; at least one. 10 unless set. A request has one as long as it
    /// reads or writes, which takes milliseconds, so a few serve many clients. The database has a limit for all its
    /// clients together (`max_connections`).
    #[must_use]
    pub fn pool_size(mut self, connections: usize) -> Postgres {
        self.pool_size = connections.max(1);
        self
    }

    /// Sets how long a request waits until one of the connections is free; then it is answered with 503. 5 seconds unless
    /// set.
    #[must_use]
    pub fn pool_wait(mut self, time: Duration) -> Postgres {
        self.pool_wait = time;
        self
    }

    /// Sets how long it may take to connect to an address of a host, from the first packet until statements can be sent. 5
    /// seconds unless set here or as `connect_timeout` in the URL.
    #[must_use]
    pub fn connect_timeout(mut self, time: Duration) -> Postgres {
        self.connect_timeout = time;
        self
    }

    /// Sets how long the database may work on one statement; then it gives up, and the request is answered with 503. 30
    /// seconds unless set; zero is for ever. Migrations, copies and checks of the books aren't held to it.
    #[must_use]
    pub fn statement_timeout(mut self, time: Duration) -> Postgres {
        self.statement_timeout = time;
        self
    }

    /// Sets how long a statement may wait for what another transaction has locked; then the request is answered with 503.
    /// 10 seconds unless set; zero is for ever.
    #[must_use]
    pub fn lock_timeout(mut self, time: Duration) -> Postgres {
        self.lock_timeout = time;
        self
    }

    /// Sets how long a transaction may do nothing before the database ends it, so that a server that hangs or was cut off
    /// doesn't keep its locks. 60 seconds unless set; zero is for ever.
    #[must_use]
    pub fn idle_in_transaction_session_timeout(mut self, time: Duration) -> Postgres {
        self.idle_in_transaction_session_timeout = time;
        self
    }

    /// Sets whether a server brings the schema up to date when it starts. False unless set: a server that starts with a
    /// new release would change the schema under others that still run the old one, and its user would need the right to.
    /// Without it, a schema of another release is refused.
    #[must_use]
    pub fn migrate(mut self, migrate: bool) -> Postgres {
        self.migrate = migrate;
        self
    }

    /// Whether a server brings the schema up to date when it starts.
    pub(crate) fn migrates(&self) -> bool {
        self.migrate
    }

    /// How far connections to a host are protected.
    pub(super) fn mode(&self, host: &Host) -> SslMode {
        if host.is_socket() {
            return SslMode::Disable;
        }
        self.mode.unwrap_or_else(|| {
            if self.roots.is_none() && host.is_loopback() {
                SslMode::Prefer
            } else {
                SslMode::VerifyFull
            }
        })
    }
}

impl Host {
    pub(super) fn is_socket(&self) -> bool {
        self.name.starts_with('/')
    }

    fn is_loopback(&self) -> bool {
        self.name.eq_ignore_ascii_case("localhost")
            || self
                .name
                .parse()
                .is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
    }
}

/// As in a URL.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') && !self.is_socket() {
            write!(f, "[{}]", self.name)?;
        } else {
            write!(f, "{}", utf8_percent_encode(&self.name, ESCAPED))?;
        }
        write!(f, ":{}", self.port)
    }
}

/// The URL without password and parameters.
impl fmt::Display for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{}@", utf8_percent_encode(user, ESCAPED))?;
        }
        for (index, host) in self.hosts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{host}")?;
        }
        if let Some(database) = self.config.get_dbname() {
            write!(f, "/{}", utf8_percent_encode(database, ESCAPED))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Postgres({self})")
    }
}

fn invalid(text: impl Into<Cow<'static, str>>) -> InvalidPostgres {
    InvalidPostgres(text.into())
}

/// The parts of a URL, not decoded yet.
#[derive(Default)]
struct Parts<'u> {
    user: Option<&'u str>,
    password: Option<&'u str>,
    hosts: Option<&'u str>,
    ports: Option<&'u str>,
    database: Option<&'u str>,
    parameters: Vec<(Parameter, &'u str)>,
}

/// What has no place of its own in a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parameter {
    SslMode,
    SslRootCert,
    SslCert,
    SslKey,
    ChannelBinding,
    ApplicationName,
    Options,
    ConnectTimeout,
    TargetSessionAttrs,
    Keepalives,
    KeepalivesIdle,
    KeepalivesInterval,
    KeepalivesCount,
    TcpUserTimeout,
    ClientEncoding,
}

impl Parameter {
    const ALL: [Parameter; 15] = [
        Parameter::SslMode,
        Parameter::SslRootCert,
        Parameter::SslCert,
        Parameter::SslKey,
        Parameter::ChannelBinding,
        Parameter::ApplicationName,
        Parameter::Options,
        Parameter::ConnectTimeout,
        Parameter::TargetSessionAttrs,
        Parameter::Keepalives,
        Parameter::KeepalivesIdle,
        Parameter::KeepalivesInterval,
        Parameter::KeepalivesCount,
        Parameter::TcpUserTimeout,
        Parameter::ClientEncoding,
    ];

    fn name(self) -> &'static str {
        match self {
            Parameter::SslMode => "sslmode",
            Parameter::SslRootCert => "sslrootcert",
            Parameter::SslCert => "sslcert",
            Parameter::SslKey => "sslkey",
            Parameter::ChannelBinding => "channel_binding",
            Parameter::ApplicationName => "application_name",
            Parameter::Options => "options",
            Parameter::ConnectTimeout => "connect_timeout",
            Parameter::TargetSessionAttrs => "target_session_attrs",
            Parameter::Keepalives => "keepalives",
            Parameter::KeepalivesIdle => "keepalives_idle",
            Parameter::KeepalivesInterval => "keepalives_interval",
            Parameter::KeepalivesCount => "keepalives_count",
            Parameter::TcpUserTimeout => "tcp_user_timeout",
            Parameter::ClientEncoding => "client_encoding",
        }
    }
}

impl<'u> Parts<'u> {
    /// Splits what follows the scheme.
    fn split(url: &'u str) -> Result<Parts<'u>, InvalidPostgres> {
        let mut parts = Parts::default();
        let (credentials, rest) = match url.split_once('@') {
            Some((credentials, rest)) if !credentials.contains('/') => (Some(credentials), rest),
            _ => (None, url),
        };
        // What is left may hold a piece of a password; from here on the URL is sure to be taken apart where its writer
        // meant it to be.
        if rest.contains('@') {
            return Err(invalid(
                "the URL has an @ in a place where it can't be; in user, password, names and parameters write @ as %40, \
                 and in user and password / as %2F",
            ));
        }
        if let Some(credentials) = credentials {
            let (user, password) = match credentials.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (credentials, None),
            };
            parts.user = some(user);
            parts.password = password.and_then(some);
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
        parts.hosts = some(hosts);
        parts.database = some(database);
        for (index, pair) in query.split('&').enumerate() {
            if !pair.is_empty() {
                parts.add(pair, index + 1)?;
            }
        }
        Ok(parts)
    }

    /// Adds what stands behind `?` or `&`.
    fn add(&mut self, pair: &'u str, number: usize) -> Result<(), InvalidPostgres> {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            invalid(
                "a parameter of the URL has no value; write name=value, and & between parameters",
            )
        })?;
        let (part, written) = match name {
            "user" => (&mut self.user, "the user"),
            "password" => (&mut self.password, "the password"),
            "host" => (&mut self.hosts, "the host"),
            "port" => (&mut self.ports, "the port"),
            "dbname" => (&mut self.database, "the database"),
            name => {
                let known = Parameter::ALL
                    .into_iter()
                    .find(|known| known.name() == name);
                let Some(parameter) = known else {
                    return Err(unknown(number));
                };
                if self.parameters.iter().any(|(other, _)| *other == parameter) {
                    let text = format!("the URL has {name} twice; give it once");
                    return Err(invalid(text));
                }
                self.parameters.push((parameter, value));
                return Ok(());
            }
        };
        if part.is_some() {
            let text = format!(
                "the URL names {written} twice; give it in its place or as parameter, and once"
            );
            return Err(invalid(text));
        }
        *part = some(value);
        Ok(())
    }

    fn get(&self, parameter: Parameter) -> Option<&'u str> {
        let found = self
            .parameters
            .iter()
            .find(|(other, _)| *other == parameter);
        found.map(|(_, value)| *value)
    }

    fn read(&self) -> Result<Postgres, InvalidPostgres> {
        let mut config = Config::new();
        if let Some(user) = self.user {
            config.user(decoded(user, "user")?);
        }
        if let Some(password) = self.password {
            config.password(decoded(password, "password")?);
        }
        if let Some(database) = self.database {
            config.dbname(decoded(database, "database")?);
        }
        let hosts = self.read_hosts()?;
        config.application_name("layer-payments");
        config.target_session_attrs(if hosts.len() > 1 {
            TargetSessionAttrs::ReadWrite
        } else {
            TargetSessionAttrs::Any
        });
        // A peer that doesn't answer is gone after a minute: 30 seconds of silence, then three questions.
        config
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(10))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(60));
        let mut postgres = Postgres {
            config,
            hosts,
            mode: None,
            roots: None,
            identity: None,
            pool_size: 10,
            pool_wait: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            idle_in_transaction_session_timeout: Duration::from_secs(60),
            migrate: false,
        };
        for (parameter, value) in &self.parameters {
            let value = decoded(value, parameter.name())?;
            set(&mut postgres, *parameter, &value)?;
        }
        self.read_tls(&mut postgres)?;
        Ok(postgres)
    }

    fn read_hosts(&self) -> Result<Vec<Host>, InvalidPostgres> {
        let hosts = self.hosts.ok_or_else(|| {
            invalid(
                "the URL names no host; write postgres://user@host/database, or ?host=/var/run/postgresql for a socket \
                 in that folder",
            )
        })?;
        let mut hosts = hosts
            .split(',')
            .map(read_host)
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(ports) = self.ports {
            let ports = decoded(ports, "port")?;
            let ports = ports
                .split(',')
                .map(read_port)
                .collect::<Result<Vec<_>, _>>()?;
            if hosts.iter().any(|(_, port)| port.is_some()) {
                return Err(invalid(
                    "the URL names the port twice; give it in its place or as parameter, and once",
                ));
            }
            if ports.len() > 1 && ports.len() != hosts.len() {
                return Err(invalid(
                    "the URL's port has to be one for all hosts, or as many as there are hosts",
                ));
            }
            for (host, port) in hosts.iter_mut().zip(ports.iter().cycle()) {
                host.1 = *port;
            }
        }
        let with_port = |(name, port): (String, Option<u16>)| Host {
            name,
            port: port.unwrap_or(PORT),
        };
        Ok(hosts.into_iter().map(with_port).collect())
    }

    /// Takes the files of certificates, and refuses what `sslmode` would ignore.
    fn read_tls(&self, postgres: &mut Postgres) -> Result<(), InvalidPostgres> {
        let file = |parameter: Parameter| match self.get(parameter) {
            Some(value) => match decoded(value, parameter.name())? {
                path if path.is_empty() => Err(invalid(format!(
                    "the URL's {} is empty; give the name of a file",
                    parameter.name()
                ))),
                path => Ok(Some(PathBuf::from(path))),
            },
            None => Ok(None),
        };
        postgres.identity = match (file(Parameter::SslCert)?, file(Parameter::SslKey)?) {
            (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
            (None, None) => None,
            _ => {
                return Err(invalid(
                    "the URL has one of sslcert and sslkey; give both files, or none",
                ));
            }
        };
        postgres.roots = file(Parameter::SslRootCert)?.map(|path| match path.to_str() {
            Some("system") => Roots::System,
            _ => Roots::File(path),
        });
        let wrong = match (postgres.mode, &postgres.roots) {
            (Some(SslMode::VerifyCa), None) => {
                "the URL's sslmode=verify-ca needs an sslrootcert, since the authorities that the system trusts certify \
                 anybody; give its file, or sslmode=verify-full"
            }
            (Some(SslMode::Require | SslMode::VerifyCa), Some(Roots::System)) => {
                "the URL's sslrootcert=system takes sslmode=verify-full, since the authorities that the system trusts \
                 certify anybody"
            }
            (Some(SslMode::Disable | SslMode::Prefer), Some(_)) => {
                "the URL has an sslrootcert, but its sslmode checks no certificate; give sslmode=verify-full"
            }
            (Some(SslMode::Disable), None) if postgres.identity.is_some() => {
                "the URL has an sslcert, but its sslmode=disable makes no use of it; give sslmode=verify-full"
            }
            _ => return Ok(()),
        };
        Err(invalid(wrong))
    }
}

/// Sets what needs nothing but one parameter.
fn set(postgres: &mut Postgres, parameter: Parameter, value: &str) -> Result<(), InvalidPostgres> {
    let wrong = |right: &str| {
        let name = parameter.name();
        invalid(format!("the URL's {name} has to be {right}"))
    };
    let number = |unit: &str| match value.parse::<u32>() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(wrong(&format!("a whole number of {unit}, at least 1"))),
    };
    let seconds = || Ok(Duration::from_secs(number("seconds")?.into()));
    let config = &mut postgres.config;
    match parameter {
        Parameter::SslMode => {
            postgres.mode = Some(match value {
                "disable" => SslMode::Disable,
                "prefer" => SslMode::Prefer,
                "require" => SslMode::Require,
                "verify-ca" => SslMode::VerifyCa,
                "verify-full" => SslMode::VerifyFull,
                _ => return Err(wrong("disable, prefer, require, verify-ca or verify-full")),
            });
        }
        // Read together, later.
        Parameter::SslRootCert | Parameter::SslCert | Parameter::SslKey => {}
        Parameter::ChannelBinding => {
            config.channel_binding(match value {
                "disable" => ChannelBinding::Disable,
                "prefer" => ChannelBinding::Prefer,
                "require" => ChannelBinding::Require,
                _ => return Err(wrong("disable, prefer or require")),
            });
        }
        Parameter::ApplicationName => {
            config.application_name(value);
        }
        Parameter::Options => {
            config.options(value);
        }
        Parameter::ConnectTimeout => postgres.connect_timeout = seconds()?,
        Parameter::TargetSessionAttrs => {
            config.target_session_attrs(match value {
                "any" => TargetSessionAttrs::Any,
                "read-write" | "primary" => TargetSessionAttrs::ReadWrite,
                _ => {
                    return Err(wrong(
                        "any, read-write or primary, since payments are written",
                    ));
                }
            });
        }
        Parameter::Keepalives => {
            config.keepalives(match value {
                "0" => false,
                "1" => true,
                _ => return Err(wrong("0 or 1")),
            });
        }
        Parameter::KeepalivesIdle => {
            config.keepalives_idle(seconds()?);
        }
        Parameter::KeepalivesInterval => {
            config.keepalives_interval(seconds()?);
        }
        Parameter::KeepalivesCount => {
            config.keepalives_retries(number("probes")?);
        }
        Parameter::TcpUserTimeout => {
            config.tcp_user_timeout(Duration::from_millis(number("milliseconds")?.into()));
        }
        Parameter::ClientEncoding => {
            if !["utf8", "utf-8"].contains(&value.to_ascii_lowercase().as_str()) {
                return Err(wrong("UTF8"));
            }
        }
    }
    Ok(())
}

/// Refuses a parameter by its number: the name may be the rest of a password that holds an `&`.
fn unknown(number: usize) -> InvalidPostgres {
    let mut text = format!("parameter {number} of the URL isn't known; known are ");
    for parameter in Parameter::ALL {
        text.push_str(parameter.name());
        text.push_str(", ");
    }
    text.push_str("host, port, user, password (an & in it is written %26) and dbname");
    invalid(text)
}

/// Reads a host with or without a port.
fn read_host(text: &str) -> Result<(String, Option<u16>), InvalidPostgres> {
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or_else(|| {
            invalid("the URL's host starts with [ and has no ]; write [::1]:5432")
        })?;
        (address, port)
    } else {
        let colon = text.find(':').unwrap_or(text.len());
        text.split_at(colon)
    };
    let port = match port.strip_prefix(':') {
        Some(port) if port.contains(':') => {
            return Err(invalid(
                "the URL's host has more than one colon; write an IPv6 address in brackets, [::1]:5432, and in user and \
                 password @ as %40 and / as %2F",
            ));
        }
        Some(port) => read_port(port)?,
        None if port.is_empty() => None,
        None => {
            return Err(invalid(
                "the URL's host has something behind its ]; write [::1]:5432",
            ));
        }
    };
    let name = decoded(name, "host")?;
    if name.is_empty() {
        return Err(invalid(
            "a host of the URL is empty; write host1:5432,host2:5432",
        ));
    }
    if name.starts_with('/') && !cfg!(unix) {
        return Err(invalid(
            "the URL's host is the folder of a socket, which this system doesn't have; give a name",
        ));
    }
    if text.starts_with('[') && name.parse::<std::net::Ipv6Addr>().is_err() {
        return Err(invalid(
            "what the URL has in brackets isn't an IPv6 address; write [::1]:5432",
        ));
    }
    Ok((name, port))
}

/// Reads a port, which may be left out.
fn read_port(text: &str) -> Result<Option<u16>, InvalidPostgres> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(Some(port)),
        Err(_) if text.is_empty() => Ok(None),
        _ => Err(invalid(
            "the URL's port isn't a number from 1 to 65535; if this is a part of the user or the password, write @ as %40 \
             and / as %2F there",
        )),
    }
}

/// Replaces `%` and two hex digits by the byte that they stand for.
fn decoded(text: &str, part: &str) -> Result<String, InvalidPostgres> {
    let is_escape = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(is_escape) {
        return Err(invalid(format!(
            "the URL's {part} has a % without two hex digits; write % as %25"
        )));
    }
    let Ok(text) = percent_decode_str(text).decode_utf8() else {
        return Err(invalid(format!(
            "the URL's {part} isn't UTF-8 once its %-escapes are decoded"
        )));
    };
    if text.contains('\0') {
        return Err(invalid(format!(
            "the URL's {part} has a null byte (%00), which PostgreSQL doesn't take"
        )));
    }
    Ok(text.into_owned())
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Postgres {
        Postgres::from_url(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn error(text: &str) -> String {
        match Postgres::from_url(text) {
            Ok(postgres) => panic!("{text} is taken as {postgres}"),
            Err(error) => error.to_string(),
        }
    }

    /// What a URL means, in one line.
    fn meaning(text: &str) -> String {
        let postgres = url(text);
        let hosts = postgres.hosts.iter();
        let modes = hosts.map(|host| format!("{:?}", postgres.mode(host)));
        let password = postgres.config.get_password().map(String::from_utf8_lossy);
        format!(
            "{postgres} {} {}",
            password.as_deref().unwrap_or("-"),
            modes.collect::<Vec<_>>().join(",")
        )
    }

    #[test]
    fn a_url_means_what_it_says() {
        for (text, expected) in [
            // Shapes.
            (
                "postgres://db.example.com",
                "postgres://db.example.com:5432 - VerifyFull",
            ),
            (
                "postgresql://layer:hush@db.example.com:6432/payments",
                "postgres://layer@db.example.com:6432/payments hush VerifyFull",
            ),
            (
                "postgres://layer@localhost/",
                "postgres://layer@localhost:5432 - Prefer",
            ),
            (
                " postgres://layer:@LOCALHOST:/p\n",
                "postgres://layer@LOCALHOST:5432/p - Prefer",
            ),
            // What is written with % in a name.
            (
                "postgres://l%40yer:h%2Fu%3As%25h%40@127.0.0.1/pay%20ments",
                "postgres://l%40yer@127.0.0.1:5432/pay%20ments h/u:s%h@ Prefer",
            ),
            // What psql takes unescaped.
            (
                "postgres://layer:hu?s#h&x=:y@127.0.0.1/p",
                "postgres://layer@127.0.0.1:5432/p hu?s#h&x=:y Prefer",
            ),
            (
                "postgres://layer:päss@127.0.0.1/p%C3%A4",
                "postgres://layer@127.0.0.1:5432/p%C3%A4 päss Prefer",
            ),
            // As parameters.
            (
                "postgres://?host=db.example.com&port=6432&user=layer&password=hu%26sh&dbname=payments",
                "postgres://layer@db.example.com:6432/payments hu&sh VerifyFull",
            ),
            // Loopback, and what only looks like it.
            ("postgres://127.8.9.1", "postgres://127.8.9.1:5432 - Prefer"),
            ("postgres://[::1]", "postgres://[::1]:5432 - Prefer"),
            (
                "postgres://[::ffff:127.0.0.1]:1",
                "postgres://[::ffff:127.0.0.1]:1 - Prefer",
            ),
            (
                "postgres://localhost.example.com",
                "postgres://localhost.example.com:5432 - VerifyFull",
            ),
            (
                "postgres://127.0.0.1.example.com",
                "postgres://127.0.0.1.example.com:5432 - VerifyFull",
            ),
            (
                "postgres://10.0.0.1",
                "postgres://10.0.0.1:5432 - VerifyFull",
            ),
            (
                "postgres://[2001:db8::1]:6432",
                "postgres://[2001:db8::1]:6432 - VerifyFull",
            ),
            // What is said of TLS.
            (
                "postgres://h?sslmode=disable",
                "postgres://h:5432 - Disable",
            ),
            ("postgres://h?sslmode=prefer", "postgres://h:5432 - Prefer"),
            (
                "postgres://h?sslmode=require",
                "postgres://h:5432 - Require",
            ),
            (
                "postgres://h?sslmode=require&sslrootcert=ca.pem",
                "postgres://h:5432 - Require",
            ),
            (
                "postgres://h?sslmode=verify-ca&sslrootcert=ca.pem",
                "postgres://h:5432 - VerifyCa",
            ),
            (
                "postgres://localhost?sslmode=verify-full",
                "postgres://localhost:5432 - VerifyFull",
            ),
            // Who gives a root wants it to count.
            (
                "postgres://localhost?sslrootcert=ca.pem",
                "postgres://localhost:5432 - VerifyFull",
            ),
            (
                "postgres://localhost?sslrootcert=system",
                "postgres://localhost:5432 - VerifyFull",
            ),
            // Several hosts, each by itself.
            (
                "postgres://layer:hush@a.example.com:6432,localhost,[::1]:1/payments",
                "postgres://layer@a.example.com:6432,localhost:5432,[::1]:1/payments hush VerifyFull,Prefer,Prefer",
            ),
            (
                "postgres://a,b/p?port=1",
                "postgres://a:1,b:1/p - VerifyFull,VerifyFull",
            ),
            (
                "postgres://a,b/p?port=1,2",
                "postgres://a:1,b:2/p - VerifyFull,VerifyFull",
            ),
            (
                "postgres:///p?host=a,b&port=1,",
                "postgres://a:1,b:5432/p - VerifyFull,VerifyFull",
            ),
        ] {
            assert_eq!(meaning(text), expected, "{text:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_is_named_by_its_folder_and_never_encrypted() {
        let expected = "postgres://layer@%2Fvar%2Frun%2Fpostgresql:5433/payments - Disable";
        for text in [
            "postgres://layer@%2Fvar%2Frun%2Fpostgresql:5433/payments",
            "postgres://layer@/payments?host=/var/run/postgresql&port=5433&sslmode=require",
        ] {
            assert_eq!(meaning(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_means_the_same() {
        for text in [
            "postgres://l%40yer@a.example.com:6432,[::1],%2Ftmp/pay%2Fments%25",
            "postgres://localhost/p%C3%A4?port=1",
        ] {
            let shown = url(text).to_string();
            assert_eq!(url(&shown).to_string(), shown);
            assert_eq!(url(&shown).hosts, url(text).hosts);
            assert_eq!(
                url(&shown).config.get_dbname(),
                url(text).config.get_dbname()
            );
            assert_eq!(url(&shown).config.get_user(), url(text).config.get_user());
        }
    }

    #[test]
    fn parameters_reach_the_connection() {
        let config = |text| url(text).config;
        let plain = config("postgres://h");
        assert_eq!(plain.get_application_name(), Some("layer-payments"));
        assert_eq!(plain.get_options(), None);
        assert_eq!(plain.get_target_session_attrs(), TargetSessionAttrs::Any);
        assert_eq!(plain.get_channel_binding(), ChannelBinding::Prefer);
        assert!(plain.get_keepalives());
        assert_eq!(plain.get_keepalives_idle(), Duration::from_secs(30));
        assert_eq!(
            plain.get_keepalives_interval(),
            Some(Duration::from_secs(10))
        );
        assert_eq!(plain.get_keepalives_retries(), Some(3));
        assert_eq!(plain.get_tcp_user_timeout(), Some(&Duration::from_secs(60)));
        assert_eq!(url("postgres://h").connect_timeout, Duration::from_secs(5));

        let full = config(
            "postgres://h?application_name=a+b%20c&options=-c%20search_path%3Dbooks&target_session_attrs=read-write&\
             channel_binding=require&keepalives=1&keepalives_idle=7&keepalives_interval=8&keepalives_count=9&\
             tcp_user_timeout=1500&client_encoding=UTF8&connect_timeout=3",
        );
        assert_eq!(full.get_application_name(), Some("a+b c"));
        assert_eq!(full.get_options(), Some("-c search_path=books"));
        assert_eq!(
            full.get_target_session_attrs(),
            TargetSessionAttrs::ReadWrite
        );
        assert_eq!(full.get_channel_binding(), ChannelBinding::Require);
        assert_eq!(full.get_keepalives_idle(), Duration::from_secs(7));
        assert_eq!(full.get_keepalives_interval(), Some(Duration::from_secs(8)));
        assert_eq!(full.get_keepalives_retries(), Some(9));
        assert_eq!(
            full.get_tcp_user_timeout(),
            Some(&Duration::from_millis(1_500))
        );
        assert!(!config("postgres://h?keepalives=0").get_keepalives());
        let slow = url("postgres://h?connect_timeout=3");
        assert_eq!(slow.connect_timeout, Duration::from_secs(3));

        let several = config("postgres://a,b");
        assert_eq!(
            several.get_target_session_attrs(),
            TargetSessionAttrs::ReadWrite
        );
        let any = config("postgres://a,b?target_session_attrs=any");
        assert_eq!(any.get_target_session_attrs(), TargetSessionAttrs::Any);

        let files = url("postgres://h?sslrootcert=/a/ca.pem&sslcert=/a/c.pem&sslkey=/a/k.pem");
        assert_eq!(files.roots, Some(Roots::File("/a/ca.pem".into())));
        let identity = Identity {
            certificate: "/a/c.pem".into(),
            key: "/a/k.pem".into(),
        };
        assert_eq!(files.identity, Some(identity));
        let system = url("postgres://h?sslrootcert=system");
        assert_eq!(system.roots, Some(Roots::System));
    }

    #[test]
    fn wrong_urls_are_refused_with_what_would_be_right() {
        const AT: &str = "the URL has an @ in a place where it can't be; in user, password, names and parameters write \
                          @ as %40, and in user and password / as %2F";
        const PORT: &str = "the URL's port isn't a number from 1 to 65535; if this is a part of the user or the \
                            password, write @ as %40 and / as %2F there";
        const SCHEME: &str = "the URL doesn't start with postgres:// or postgresql://";
        const SYSTEM: &str = "the URL's sslrootcert=system takes sslmode=verify-full, since the authorities that the \
                              system trusts certify anybody";
        const UNCHECKED: &str = "the URL has an sslrootcert, but its sslmode checks no certificate; give \
                                 sslmode=verify-full";
        const NO_HOST: &str = "the URL names no host; write postgres://user@host/database, or \
                               ?host=/var/run/postgresql for a socket in that folder";
        const KEYS: &str = "the URL has one of sslcert and sslkey; give both files, or none";
        const KNOWN: &str = "known are sslmode, sslrootcert, sslcert, sslkey, channel_binding, application_name, \
                             options, connect_timeout, target_session_attrs, keepalives, keepalives_idle, \
                             keepalives_interval, keepalives_count, tcp_user_timeout, client_encoding, host, port, \
                             user, password (an & in it is written %26) and dbname";
        for (text, expected) in [
            ("", SCHEME),
            ("payments.db", SCHEME),
            ("host=h password=hush", SCHEME),
            ("mysql://u:hush@h/p", SCHEME),
            ("jdbc:postgresql://h/p", SCHEME),
            ("postgres:/h/p", SCHEME),
            ("postgres://", NO_HOST),
            ("postgres:///p", NO_HOST),
            ("postgres://u:hush@/p", NO_HOST),
            ("postgres://?host=", NO_HOST),
            // A password with what has a meaning in a URL.
            ("postgres://u:hu@sh@h/p", AT),
            ("postgres://u:hu/sh@h/p", AT),
            ("postgres://u:1/hush@h/p", AT),
            ("postgres://h/p?user=u@hush", AT),
            ("postgres://u:hush", PORT),
            ("postgres://u:hush/p", PORT),
            ("postgres://h:0", PORT),
            ("postgres://h:65536", PORT),
            ("postgres://h:-1", PORT),
            ("postgres://h?port=5432,x", PORT),
            (
                "postgres://a,b/p?port=1,2,3",
                "the URL's port has to be one for all hosts, or as many as there are hosts",
            ),
            (
                "postgres://h:1/p?port=1",
                "the URL names the port twice; give it in its place or as parameter, and once",
            ),
            (
                "postgres://h/p?host=a",
                "the URL names the host twice; give it in its place or as parameter, and once",
            ),
            (
                "postgres://u@h?user=u",
                "the URL names the user twice; give it in its place or as parameter, and once",
            ),
            (
                "postgres://u:hush@h?password=hush",
                "the URL names the password twice; give it in its place or as parameter, and once",
            ),
            (
                "postgres://h/p?dbname=p",
                "the URL names the database twice; give it in its place or as parameter, and once",
            ),
            (
                "postgres://a,,b",
                "a host of the URL is empty; write host1:5432,host2:5432",
            ),
            (
                "postgres://:5432/p",
                "a host of the URL is empty; write host1:5432,host2:5432",
            ),
            (
                "postgres://[::1/p",
                "the URL's host starts with [ and has no ]; write [::1]:5432",
            ),
            (
                "postgres://[::1]5432/p",
                "the URL's host has something behind its ]; write [::1]:5432",
            ),
            (
                "postgres://[hush]/p",
                "what the URL has in brackets isn't an IPv6 address; write [::1]:5432",
            ),
            (
                "postgres://::1/p",
                "the URL's host has more than one colon; write an IPv6 address in brackets, [::1]:5432, and in user and \
                 password @ as %40 and / as %2F",
            ),
            (
                "postgres://u:hu%sh@h",
                "the URL's password has a % without two hex digits; write % as %25",
            ),
            (
                "postgres://u:hush%@h",
                "the URL's password has a % without two hex digits; write % as %25",
            ),
            (
                "postgres://u%4:hush@h",
                "the URL's user has a % without two hex digits; write % as %25",
            ),
            (
                "postgres://h/p%zz",
                "the URL's database has a % without two hex digits; write % as %25",
            ),
            (
                "postgres://h?options=%",
                "the URL's options has a % without two hex digits; write % as %25",
            ),
            (
                "postgres://u:%ff@h",
                "the URL's password isn't UTF-8 once its %-escapes are decoded",
            ),
            (
                "postgres://u:%00@h",
                "the URL's password has a null byte (%00), which PostgreSQL doesn't take",
            ),
            (
                "postgres://h?sslmode",
                "a parameter of the URL has no value; write name=value, and & between parameters",
            ),
            (
                "postgres://h?sslmode=disable&sslmode=disable",
                "the URL has sslmode twice; give it once",
            ),
            (
                "postgres://h?sslmode=allow",
                "the URL's sslmode has to be disable, prefer, require, verify-ca or verify-full",
            ),
            (
                "postgres://h?sslmode=verify-ca",
                "the URL's sslmode=verify-ca needs an sslrootcert, since the authorities that the system trusts certify \
                 anybody; give its file, or sslmode=verify-full",
            ),
            ("postgres://h?sslmode=require&sslrootcert=system", SYSTEM),
            ("postgres://h?sslmode=verify-ca&sslrootcert=system", SYSTEM),
            ("postgres://h?sslmode=prefer&sslrootcert=ca.pem", UNCHECKED),
            ("postgres://h?sslmode=disable&sslrootcert=system", UNCHECKED),
            (
                "postgres://h?sslrootcert=",
                "the URL's sslrootcert is empty; give the name of a file",
            ),
            ("postgres://h?sslcert=c.pem", KEYS),
            ("postgres://h?sslkey=k.pem", KEYS),
            (
                "postgres://h?sslmode=disable&sslcert=c.pem&sslkey=k.pem",
                "the URL has an sslcert, but its sslmode=disable makes no use of it; give sslmode=verify-full",
            ),
            (
                "postgres://h?channel_binding=yes",
                "the URL's channel_binding has to be disable, prefer or require",
            ),
            (
                "postgres://h?connect_timeout=0",
                "the URL's connect_timeout has to be a whole number of seconds, at least 1",
            ),
            (
                "postgres://h?connect_timeout=5s",
                "the URL's connect_timeout has to be a whole number of seconds, at least 1",
            ),
            (
                "postgres://h?keepalives=on",
                "the URL's keepalives has to be 0 or 1",
            ),
            (
                "postgres://h?keepalives_count=0",
                "the URL's keepalives_count has to be a whole number of probes, at least 1",
            ),
            (
                "postgres://h?tcp_user_timeout=x",
                "the URL's tcp_user_timeout has to be a whole number of milliseconds, at least 1",
            ),
            (
                "postgres://h?target_session_attrs=standby",
                "the URL's target_session_attrs has to be any, read-write or primary, since payments are written",
            ),
            (
                "postgres://h?client_encoding=latin1",
                "the URL's client_encoding has to be UTF8",
            ),
            (
                "postgres://h?sslmode=require&pgbouncer=true",
                &format!("parameter 2 of the URL isn't known; {KNOWN}"),
            ),
            (
                "postgres://h?password=hu&sh=1",
                &format!("parameter 2 of the URL isn't known; {KNOWN}"),
            ),
        ] {
            assert_eq!(error(text), expected, "{text:?}");
        }
    }

    #[test]
    fn nothing_shows_a_password() {
        let postgres = url("postgres://layer:hush@h/p?sslmode=disable").password("hush-hush");
        assert!(postgres.has_password());
        assert_eq!(postgres.config.get_password(), Some(&b"hush-hush"[..]));
        let database = crate::Database::from(postgres.clone());
        for shown in [
            format!("{postgres}"),
            format!("{postgres:?}"),
            format!("{database:#?}"),
        ] {
            assert!(
                !shown.contains("hush") && shown.contains("layer@h:5432/p"),
                "{shown}"
            );
        }
        assert!(!url("postgres://layer@h").has_password());
        // However a URL with a password is damaged, no error shows a piece of it.
        for whole in [
            "postgres://layer:hush-hush@h:1,[::1]:2/p?sslmode=require&port=3",
            "postgres://layer@h:1,[::1]:2/p?password=hush-hush&sslmode=require",
            "postgres://layer@h/p?sslmode=require&password=hush=hush",
        ] {
            for end in (0..=whole.len()).rev() {
                for start in 0..=end {
                    for put in ["", "@", "/", "?", "&", "%", "=", ":", "#", ",", "["] {
                        let damaged = format!("{}{put}{}", &whole[..start], &whole[end..]);
                        if let Err(error) = Postgres::from_url(&damaged) {
                            let error = error.to_string();
                            assert!(!error.contains("hush"), "{damaged:?}: {error}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn settings_have_their_documented_defaults() {
        let postgres = url("postgres://h");
        assert_eq!(postgres.pool_size, 10);
        assert_eq!(postgres.pool_wait, Duration::from_secs(5));
        assert_eq!(postgres.connect_timeout, Duration::from_secs(5));
        assert_eq!(postgres.statement_timeout, Duration::from_secs(30));
        assert_eq!(postgres.lock_timeout, Duration::from_secs(10));
        let idle = postgres.idle_in_transaction_session_timeout;
        assert_eq!(idle, Duration::from_secs(60));
        assert!(!postgres.migrates());
        assert_eq!(postgres.pool_size(0).pool_size, 1);
    }
}
