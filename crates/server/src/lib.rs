//! Layer's invoice-payments API as a server that runs anywhere, with its data in one SQLite file.
//!
//! ```no_run
//! use layer_payments_server::{Config, Database, Server, Token};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::new(Database::File("payments.db".into()), Token::new("local")?);
//! let server = Server::bind(config, "127.0.0.1:8080".parse()?).await?;
//! println!("listening on {}", server.local_addr());
//! server.run(std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Three layers
//!
//! - `http` turns bytes into the types of [`layer_payments_types`] and results into bytes: routes (one an
//!   [`Operation`](layer_payments_types::Operation), by an exhaustive match, and those of `spec/local.yaml`), tokens,
//!   strict query strings and bodies, the error envelope, request ids, cursors.
//! - `domain` decides what a request does to a payment. It has no I/O and no clock: names are looked up through a trait,
//!   the time and new ids come in as values. A request is resolved (stable names, external ids of invoices and tag keys
//!   become ids) and applied; "unchanged" is equality before and after.
//! - `store` keeps payments. A request is one transaction, behind traits that say what it may do and read; `store/sqlite`
//!   and, with the feature `postgres`, `store/postgres` are the engines.
//!
//! # The way of a write
//!
//! A request is read and validated where it arrives, within a time ([`Config::head_timeout`],
//! [`Config::body_timeout`]), then waits in a queue for the one thread that writes. That thread
//! runs all waiting requests in one transaction, each in a savepoint, and commits with `synchronous=FULL` on a
//! write-ahead log; only then are they answered. So an acknowledged payment is on disk and survives `kill -9` and a loss
//! of power, and the wait for the disk is shared. A request that fails takes back its own work only. A commit that fails
//! fails every request in it, with 500 or, where repeating may help, 503; nothing of them is kept, and the thread goes on.
//! Reads run beside it on snapshots of what is committed.
//!
//! That is the way in SQLite. With the feature `postgres`, any number of servers share a database; the page `postgresql`
//! says what carries a write there, and plans the path to ten billion payments.
//!
//! Two identical requests at the same moment make one payment: in SQLite they meet in the same thread, and
//! `UNIQUE (business_id, external_id)` stands behind it, also for another process on the same file.
//!
//! What the books refuse of a request, be it a bulk or one update, is told all at once; nothing of it is kept. What follows
//! from a payment, such as that its invoice can't be paid, is judged in the order of a bulk, and only while nothing is
//! refused: it would follow from payments that aren't there.
//!
//! # Invoices have two names
//!
//! A payment may name its invoice by id, by external id or by both. Where only the external id is known, the server
//! invents the id, since replies show invoices by id, and remembers that it did. A request that gives both names
//! settles it: the given id takes the invented one's place in the invoice and in all payments that are allocated to
//! it, in the same transaction. A bulk settles its invoices' names before it records the first payment, so the order of
//! its payments doesn't matter. An id that a client has named by itself counts as the invoice's own, and stays.
//!
//! # What a reply is made of
//!
//! The payment's columns are the truth, and the reply's JSON is kept beside them, written in the same transaction. It
//! can't get stale: everything it shows is the payment's own or fixed once named (the id of a stable name, the display
//! names of a tag dimension, which are those of its first use), and an invented id of an invoice is replaced together
//! with the columns. A list therefore copies text and rebuilds nothing. A
//! release that shows payments otherwise, or changes the chart of accounts, has to write the documents anew in a migration.
//!
//! # Errors
//!
//! Every reply that isn't a success comes in the specification's envelope with the id of the request, which the log has
//! too: unknown routes, wrong methods, bodies that are too large or not JSON, and what isn't HTTP at all, such as too
//! many headers. A 500 says nothing of the inside, and the log has all of it. Two things get no reply: a client that
//! never finishes its headers, whose connection is closed, and one that starts to speak HTTP/2. `/oauth2/token` answers
//! in the form of its own standard, and a fault on demand may be a page of HTML.
//!
//! # Tokens
//!
//! Three kinds of token open the server:
//!
//! - The one of the configuration ([`Token`]) opens everything and doesn't expire.
//! - A client ([`Config::client`]) gets tokens at `POST /oauth2/token`, the way that Layer gives them: OAuth 2.0 client
//!   credentials, by HTTP Basic. They open everything, for an hour ([`Config::token_lifetime`]). This route alone
//!   answers errors in the form of RFC 6749, as its clients expect.
//! - `POST /v1/businesses/{businessId}/auth-token` gives a token for a browser or a phone, for up to a day. It opens the
//!   payments of that business and `/whoami`. Anything else answers 401, as the specification says of a token that
//!   "belongs to another business" (it has no 403): decided before anything is looked up, so that the reply doesn't tell
//!   whether the other business exists.
//!
//! Tokens that are given carry what they grant, signed (HMAC-SHA256) with a key that is drawn at the start. None is
//! stored, and all of them end with the server's process: a client that gets 401 asks for a new one. Servers that share a
//! database in PostgreSQL keep one key there, so each takes the others' tokens, if all are started with the same clients.
//!
//! # The rate limit
//!
//! [`Config::rate_limit`] turns on Layer's: one bucket of request tokens for the whole server and all of its clients,
//! filled up at every full second of the clock. Every reply then carries `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
//! A request that finds the bucket empty gets 429 with `Retry-After`, and whatever it was to do isn't done. Requests
//! that are refused for another reason take a token too, a wrong bearer token included, so that guessing one is slow.
//! Requests to operate the server (`/healthz`, `/metrics`, `/docs`, `/local/...`) take none.
//!
//! # Faults on demand
//!
//! A server with [`Config::faults`] breaks what it is asked to, so that a client's answer to trouble can be tested. One
//! request asks in its header, such as `X-Fault: status=503; html`; rules that are `PUT` to `/local/faults` strike a
//! share of all requests. There are latency, error statuses in the envelope or as a proxy's page of HTML, and a
//! connection that is reset before or after the write took place: with `cut=after` the payment is recorded and its
//! reply never sent. `spec/local.yaml` has the grammar.
//!
//! A program that runs the server sets rules without HTTP, by [`Handle::set_faults`].
//!
//! Rules have a seed. Whether one strikes depends on the seed, the number of the request since the rules were given and
//! the rule's place, so a run of requests one after another can be repeated; among requests that are sent at the same
//! time, which one is which is up to the network. Without the setting a request that asks for a fault is refused with
//! 400, not broken and not ignored, since a test whose faults don't happen would test nothing.
//!
//! # Running it
//!
//! `/healthz` tells whether the database can be read, without a token. `/metrics` gives counters for Prometheus: requests
//! by operation and status, times, requests in flight, refusals of the rate limit, faults. It needs a token, as it tells
//! how much goes on. Every request is one event of the log ([`tracing`]), named by the id that its reply carries.
//!
//! `/docs` and `/docs/local` are pages of reference for both specifications, which load nothing and run nothing;
//! `/openapi.yaml`, `/openapi.json` and their like below `/local` are the documents. None of them needs a token.
//!
//! # The ledger
//!
//! Every payment posts a journal entry that balances, and each of its refunds two. What a change of a payment leaves as it
//! was stays; what it changes is reversed and posted anew, so that the journal is only ever added to, and a change of a
//! memo posts nothing. Layer documents that payments post and not what; the rules, with their reasons, stand in
//! `src/domain/ledger.rs`, and case by case, as a bookkeeper writes them, in `src/domain/ledger/postings.txt`. In short:
//!
//! - The clearing account (by method and processor, or as the request names it) is debited with what will arrive at the
//!   bank: the amount less all fees, which are debited to accounts of their own.
//! - `ACCOUNTS_RECEIVABLE` is credited with what pays invoices, without fees that were passed on to the customer; ledger
//!   accounts with what is allocated to them; `UNEARNED_REVENUE` with the rest, which is the customer's credit.
//! - A refund is debited to its account, or to `CUSTOMER_REFUNDS` and what was credit to that, and goes back the way that
//!   the payment came.
//! - A payout posts the processor's fee, and a match moves the money from the clearing account to the bank.
//!
//! An invoice's status and outstanding balance follow the payments. What would pay more than is outstanding is refused,
//! where the total is known: an invoice that a payment names first is registered without one, unless the server is
//! strict ([`Config::strict_invoices`]). Nothing is posted or reversed before the closing date. What arrived of a payment
//! can't change any more once a bank transaction was matched with the payment itself, nor can the processor of a payment
//! in a payout.
//!
//! Dedicated refunds are kept whole and shown as refund allocations; `amount_net_of_refunds` takes them off the payment's
//! invoices in their order. A refund that gives no amount at all is kept and not shown.
//!
//! [`check_books`] works all of it out anew and tells what differs.
//!
//! # Features
//!
//! `postgres`, off unless asked for, keeps payments in PostgreSQL, too (`Database::Postgres`): a `Postgres` is made of a
//! URL, `migrate` lays out its tables, and any number of servers share them. It brings a client of PostgreSQL, a pool of its
//! connections, and TLS.
//!
//! # What the public API can't create
//!
//! Businesses have to be there before anything is recorded in them ([`Config::business`], [`Fixtures`] or
//! `POST /local/businesses`); any other is answered with 404. Accounts are those of the chart, which come to life at their
//! first use, and those that were created; any other is refused with 400, as Layer's ledger pages have it. Routes below
//! `/local`, described in `spec/local.yaml`, create businesses, ledger accounts, invoices, payouts and matches, read the
//! journal and the trial balance, and reset the server. They take tokens that open everything.

/// How payments are kept in PostgreSQL, and how far that goes.
#[cfg(feature = "postgres")]
#[doc = include_str!("../docs/postgresql.md")]
pub mod postgresql {}

mod clients;
mod clock;
mod config;
mod domain;
mod error;
mod fixtures;
mod http;
mod object;
mod store;
mod text;

pub use clients::{ApiClient, InvalidClient};
pub use clock::Clock;
pub use config::{Config, Database, InvalidToken, Token};
pub use error::Error;
pub use fixtures::{Fixtures, InvalidFixtures};
pub use http::{FaultRule, Handle, InvalidFaults, RateLimit, Server};
#[cfg(feature = "postgres")]
pub use store::{Copied, CopyProgress, CopyStep, InvalidPostgres, Postgres};

/// Checks the books in a database: that each journal entry balances, that balances, invoices and replies are what the
/// payments make them, and that nothing is left over. Gives a line for each fault; none if the books are in order. Reads
/// only; servers may run on the database meanwhile.
///
/// # Errors
///
/// If there is no such database, it isn't one of this release, or it can't be read to its end.
pub async fn check_books(database: &Database) -> Result<Vec<String>, Error> {
    let faults = store::Store::check_database(database.clone())
        .await
        .map_err(|source| error::Kind::open(database, source))?;
    Ok(faults.map_err(error::Kind::Books)?)
}

/// Brings the schema of a database in PostgreSQL up to date, or lays it out in one that is empty. Gives how many migrations
/// it took: none if it was up to date. All of them are applied, or none.
///
/// # Errors
///
/// If there is no such database, its schema is of a newer release, or its user may not change it.
#[cfg(feature = "postgres")]
pub async fn migrate(database: &Postgres) -> Result<usize, Error> {
    let migrated = store::Store::migrate(database).await;
    Ok(migrated.map_err(|source| error::Kind::open(&database.clone().into(), source))?)
}

/// Copies the SQLite store in the file `from` to the database in PostgreSQL at `to`, which has to have the schema of this
/// release and to hold nothing yet. All of it is one transaction: after an error nothing was written. The file is locked
/// against writes meanwhile. Before the transaction is committed, both books are checked as [`check_books`] does, and all
/// payments and journal lines of both are compared.
///
/// # Errors
///
/// If one of both can't be opened, read or written, `to` holds something already, or the books aren't in order or differ.
#[cfg(feature = "postgres")]
pub async fn copy(
    from: &std::path::Path,
    to: &Postgres,
    progress: impl FnMut(CopyProgress) + Send + 'static,
) -> Result<Copied, Error> {
    let copied = store::Store::copy(from.to_owned(), to, progress).await;
    Ok(copied.map_err(error::Kind::Copy)?)
}
