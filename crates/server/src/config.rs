//! What a server is started with.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::clients::ApiClient;
use crate::clock::Clock;
use crate::fixtures::Fixtures;
use crate::http::RateLimit;
#[cfg(feature = "postgres")]
use crate::store::Postgres;

/// The settings of a [`Server`](crate::Server).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where payments are kept.
    pub database: Database,
    /// What clients have to send as bearer token.
    pub token: Token,
    /// Businesses that there are from the start. Others have to be created; a request for one that isn't there is
    /// answered with 404, as Layer does.
    pub businesses: Vec<Uuid>,
    /// What else there is from the start.
    pub fixtures: Option<Fixtures>,
    /// Whether a payment may only name invoices that were created before. False unless set: the public API can't create
    /// an invoice, so one that is named for the first time is registered, and what is owed on it isn't known.
    pub strict_invoices: bool,
    /// The most payments of one bulk request; more are refused with 400. 1,000 unless set: Layer documents no limit, and
    /// while a bulk is written, the other writers wait.
    pub bulk_limit: usize,
    /// The most bytes of a request's body; more are refused with 413. 10 MiB unless set.
    pub body_limit: usize,
    /// The most bytes of the bodies of all requests that are not answered yet; a request that finds no room is refused
    /// with 503. The first 64 KiB of each body don't count, so that large bodies don't keep out small ones. 64 MiB unless
    /// set.
    pub bodies_limit: usize,
    /// How long a client may take to send a whole body, counted from the end of the headers; one that takes longer is
    /// refused with 408. 30 seconds unless set, in which 10 MiB arrive at 350 KB a second.
    pub body_timeout: Duration,
    /// How long a client may take to send the line and the headers of a request, counted from the connection's start or
    /// the end of the request before; then the connection is closed. So it is also how long a connection may stay idle.
    /// 60 seconds unless set.
    pub head_timeout: Duration,
    /// The most connections that are served at once; others wait until one ends. 1,000 unless set, and fewer if the
    /// system lets the process open fewer files: a connection needs one, and so does the database. While more than three
    /// quarters are taken, one that has been idle for 2 seconds is closed, so that idle clients lock nobody out.
    pub connections: usize,
    /// How long requests that were taken may still run once the server is told to stop. They are answered in
    /// milliseconds, so only a client that stopped sending or reading is cut off. 30 seconds unless set.
    pub shutdown_timeout: Duration,
    /// The clients that may ask for tokens at `/oauth2/token`. None unless some are added.
    pub clients: Vec<ApiClient>,
    /// How long a token is good that `/oauth2/token` gives. An hour unless set, as Layer's are.
    pub token_lifetime: Duration,
    /// How many requests a second are taken; more are refused with 429. No limit unless set, since a server on one's own
    /// machine has no others to protect; a client is tried against [`RateLimit::SANDBOX`].
    pub rate_limit: Option<RateLimit>,
    /// Whether requests may ask for faults, to test clients. Never unless set: else anyone's header could break a
    /// server that serves in earnest.
    pub faults: bool,
    /// What tells the time to what expires. The machine's clock unless set.
    pub clock: Clock,
}

impl Config {
    /// A configuration with the default limits.
    pub fn new(database: Database, token: Token) -> Config {
        Config {
            database,
            token,
            businesses: Vec::new(),
            fixtures: None,
            strict_invoices: false,
            bulk_limit: 1_000,
            body_limit: 10 << 20,
            bodies_limit: 64 << 20,
            body_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(60),
            connections: 1_000,
            shutdown_timeout: Duration::from_secs(30),
            clients: Vec::new(),
            token_lifetime: Duration::from_secs(3_600),
            rate_limit: None,
            faults: false,
            clock: Clock::system(),
        }
    }

    /// Adds a business that there is from the start.
    #[must_use]
    pub fn business(mut self, id: Uuid) -> Config {
        self.businesses.push(id);
        self
    }

    /// Sets what else there is from the start.
    #[must_use]
    pub fn fixtures(mut self, fixtures: Fixtures) -> Config {
        self.fixtures = Some(fixtures);
        self
    }

    /// Sets whether a payment may only name invoices that were created before.
    #[must_use]
    pub fn strict_invoices(mut self, strict: bool) -> Config {
        self.strict_invoices = strict;
        self
    }

    /// Sets the most payments of one bulk request.
    #[must_use]
    pub fn bulk_limit(mut self, payments: usize) -> Config {
        self.bulk_limit = payments;
        self
    }

    /// Sets the most bytes of a request's body.
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Config {
        self.body_limit = bytes;
        self
    }

    /// Sets the most bytes of the bodies of all requests together.
    #[must_use]
    pub fn bodies_limit(mut self, bytes: usize) -> Config {
        self.bodies_limit = bytes;
        self
    }

    /// Sets how long a client may take to send a body.
    #[must_use]
    pub fn body_timeout(mut self, time: Duration) -> Config {
        self.body_timeout = time;
        self
    }

    /// Sets how long a client may take to send a request's headers, and how long a connection may stay idle.
    #[must_use]
    pub fn head_timeout(mut self, time: Duration) -> Config {
        self.head_timeout = time;
        self
    }

    /// Sets the most connections that are served at once. At least one is.
    #[must_use]
    pub fn connections(mut self, count: usize) -> Config {
        self.connections = count;
        self
    }

    /// Sets how long requests that were taken may still run once the server is told to stop.
    #[must_use]
    pub fn shutdown_timeout(mut self, time: Duration) -> Config {
        self.shutdown_timeout = time;
        self
    }

    /// Adds a client that may ask for tokens.
    #[must_use]
    pub fn client(mut self, client: ApiClient) -> Config {
        self.clients.push(client);
        self
    }

    /// Sets how long a token is good that a client asks for.
    #[must_use]
    pub fn token_lifetime(mut self, time: Duration) -> Config {
        self.token_lifetime = time;
        self
    }

    /// Limits how many requests a second are taken.
    #[must_use]
    pub fn rate_limit(mut self, limit: RateLimit) -> Config {
        self.rate_limit = Some(limit);
        self
    }

    /// Sets whether requests may ask for faults.
    #[must_use]
    pub fn faults(mut self, allowed: bool) -> Config {
        self.faults = allowed;
        self
    }

    /// Sets what tells the time to what expires.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Config {
        self.clock = clock;
        self
    }
}

/// Where payments are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Database {
    /// A SQLite file, created if it isn't there. It must lie on a local disk: a write-ahead log needs shared memory.
    File(PathBuf),
    /// The memory of this process. Everything is gone with the server.
    Memory,
    /// A database in PostgreSQL, which any number of servers may share. With the feature `postgres`.
    #[cfg(feature = "postgres")]
    Postgres(Box<Postgres>),
}

#[cfg(feature = "postgres")]
impl From<Postgres> for Database {
    fn from(postgres: Postgres) -> Database {
        Database::Postgres(Box::new(postgres))
    }
}

/// The bearer token that clients have to send.
///
/// Only its SHA-256 is kept, so that it can't get into a log, and tokens are compared in constant time.
#[derive(Clone)]
pub struct Token {
    digest: [u8; 32],
}

/// Why a text can't be a bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// It is empty.
    #[error("the token is empty; give at least one character")]
    Empty,
    /// It holds a character that a header can't carry.
    #[error(
        "the token holds a blank, a control character or one outside ASCII, which the Authorization header can't carry"
    )]
    Character,
}

impl Token {
    /// Takes a token: one or more visible ASCII characters.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] for a text that no client could send in the `Authorization` header.
    pub fn new(token: &str) -> Result<Token, InvalidToken> {
        if token.is_empty() {
            return Err(InvalidToken::Empty);
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidToken::Character);
        }
        Ok(Token {
            digest: Sha256::digest(token).into(),
        })
    }

    /// Whether `candidate` is this token. Takes the same time wherever the two differ, and whatever their lengths are.
    pub(crate) fn accepts(&self, candidate: &[u8]) -> bool {
        let candidate: [u8; 32] = Sha256::digest(candidate).into();
        self.digest.ct_eq(&candidate).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_is_accepted() {
        let token = Token::new("secret-token").unwrap();
        assert!(token.accepts(b"secret-token"));
        for other in ["", "secret-toke", "secret-token ", "Secret-token"] {
            assert!(!token.accepts(other.as_bytes()), "{other:?}");
        }
    }

    #[test]
    fn unsendable_tokens_are_refused() {
        assert_eq!(Token::new("").unwrap_err(), InvalidToken::Empty);
        for text in ["a b", "a\n", "tök"] {
            assert_eq!(Token::new(text).unwrap_err(), InvalidToken::Character);
        }
    }

    #[test]
    fn debug_shows_nothing_of_the_token() {
        let config = Config::new(Database::Memory, Token::new("secret-token").unwrap());
        let text = format!("{config:?}");
        assert!(
            text.contains("Token(..)") && !text.contains("secret"),
            "{text}"
        );
    }
}
