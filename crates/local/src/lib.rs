//! Layer's invoice-payments API inside a test: a server on a free loopback port and a client of it, in one line.
//!
//! ```
//! use layer_payments_client::Unchecked;
//! use layer_payments_client::types::CreateInvoicePayment;
//! use layer_payments_local::Layer;
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let layer = Layer::start().await?;
//!
//!     // What is tested gets the client, or `base_url()`, `token()` and `business_id()` in its own settings.
//!     let client = layer.client();
//!     let payment: CreateInvoicePayment = serde_json::from_str(
//!         r#"{
//!             "external_id": "payment-1",
//!             "paid_at": "2024-02-27T02:22:55Z",
//!             "method": "CASH",
//!             "amount": 9000,
//!             "invoice_payments": [{"invoice_external_id": "invoice-1001", "amount": 9000}]
//!         }"#,
//!     )?;
//!     client.record(Unchecked(&payment)).await?;
//!     assert_eq!(client.list().send().await?.data.len(), 1);
//!
//!     // Fails if the books aren't in order.
//!     layer.stop().await?;
//!     Ok(())
//! }
//! ```
//!
//! The server is that of [`layer_payments_server`], which answers as Layer does and keeps what it is sent. It has a thread
//! and a Tokio runtime of its own. So it goes on answering while a test blocks its own runtime, a `current_thread` one
//! included, and tests may start as many as they like at the same time. Its data are in memory unless
//! [`Builder::database`] names a file, and its token is a new one each time, so that no test reaches the server of another.
//!
//! # Fixtures
//!
//! What the public API can't create, such as invoices with a total, comes from a file or a text in JSON. The client is one
//! of their first business then, unless [`Builder::business`] says otherwise.
//!
//! ```
//! # use layer_payments_local::Layer;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layer = Layer::builder()
//!     .fixtures_json(
//!         r#"{"businesses": [{
//!             "id": "738ec216-e8e5-48f2-b7f2-cdc89c96b3d4",
//!             "invoices": [{"external_id": "invoice-1001", "total_amount": 9000}],
//!             "payments": [{
//!                 "external_id": "payment-1", "paid_at": "2024-02-27T02:22:55Z", "method": "ACH", "amount": 4000,
//!                 "invoice_payments": [{"invoice_external_id": "invoice-1001", "amount": 4000}]
//!             }]
//!         }]}"#,
//!     )
//!     .start()
//!     .await?;
//! let payments = layer.client().list().send().await?;
//! assert_eq!(payments.data[0].amount, 4000);
//! layer.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Faults
//!
//! [`Layer::faults`] says what is to go wrong with the requests that follow. Here a reply is lost after the payment was
//! written, and the client sends the payment again:
//!
//! ```
//! use layer_payments_local::{FaultRule, Layer};
//! # use layer_payments_client::Unchecked;
//! # use layer_payments_client::types::CreateInvoicePayment;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let payment: CreateInvoicePayment = serde_json::from_str(
//! #     r#"{"external_id": "p", "paid_at": "2024-02-27T02:22:55Z", "method": "CASH", "amount": 1, "invoice_payments": []}"#,
//! # )?;
//! let layer = Layer::start().await?;
//! layer.faults([FaultRule::cut_after().on("record_invoice_payment").times(1)])?;
//!
//! let reply = layer.client().record(Unchecked(&payment)).await?;
//!
//! assert_eq!((reply.attempts(), reply.status()), (2, 200), "it was there already");
//! assert_eq!(layer.faults_struck(), [1], "the fault took place");
//! assert_eq!(layer.client().list().send().await?.data.len(), 1);
//! layer.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Layer::faults_by_chance`] strikes a share of the requests, the same ones in every run. A request can also ask for a
//! fault itself, in its header `X-Fault`, and a program in another language can set rules at `/local/faults`; the server's
//! `spec/local.yaml` describes both.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use layer_payments_client::Client;
use layer_payments_server::{Handle, Server};
use tokio::sync::oneshot;
use uuid::Uuid;

mod builder;
mod error;

pub use layer_payments_server::{Config, Database, FaultRule, RateLimit};

pub use crate::builder::{Builder, DEFAULT_BUSINESS};
pub use crate::error::Error;

/// A running server.
///
/// Dropped, it stops by itself in the background and checks nothing, so that a test that has failed fails with its own
/// words; end a test with [`stop`](Layer::stop).
pub struct Layer {
    base_url: String,
    business: Uuid,
    token: String,
    client: Client,
    handle: Handle,
    /// Sent to, it asks for a check of the books; dropped, for none. In both cases the server stops.
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<Result<(), Error>>,
}

impl Layer {
    /// Starts a server with one business and nothing in it, in the memory of this process.
    ///
    /// # Errors
    ///
    /// If the system gives no port, thread or random numbers.
    pub async fn start() -> Result<Layer, Error> {
        Layer::builder().start().await
    }

    /// Begins the settings of a server.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Runs a server in a thread of its own until it is told to stop.
    pub(crate) async fn run(config: Config, business: Uuid, token: String) -> Result<Layer, Error> {
        let (started, starting) = oneshot::channel();
        let (stop, stopping) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(Error::thread)?;
            runtime.block_on(async {
                let server = Server::bind(config, ([127, 0, 0, 1], 0).into())
                    .await
                    .map_err(Error::server)?;
                let handle = server.handle();
                let address = server.local_addr();
                let (checked, check) = oneshot::channel();
                let books = handle.clone();
                let shutdown = async move {
                    let is_checked = stopping.await.is_ok();
                    let _ = checked.send(match is_checked {
                        true => Error::of_books(books.check_books().await),
                        false => Ok(()),
                    });
                };
                // Whoever waits for the start may have been dropped meanwhile, and `stop` with it: then this ends at once.
                let _ = started.send((address, handle));
                server.run(shutdown).await.map_err(Error::server)?;
                check.await.unwrap_or_else(|_| Err(Error::broken_off()))
            })
        };
        thread::Builder::new()
            .name("layer-payments-local".to_owned())
            .spawn(move || {
                // A panic has been printed by then; here it only has to be told from an end.
                let result = catch_unwind(AssertUnwindSafe(serve));
                let _ = end.send(result.unwrap_or_else(|_| Err(Error::broken_off())));
            })
            .map_err(Error::thread)?;
        let Ok((address, handle)) = starting.await else {
            // It ended before it had started.
            return Err(match ended.await {
                Ok(Err(error)) => error,
                Ok(Ok(())) | Err(_) => Error::broken_off(),
            });
        };
        let base_url = format!("http://{address}");
        let client = client_builder(&base_url, business, &token)
            .build()
            .map_err(Error::client)?;
        Ok(Layer {
            base_url,
            business,
            token,
            client,
            handle,
            stop,
            ended,
        })
    }

    /// The address of the API, without a slash at its end, such as `http://127.0.0.1:49152`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Where clients of [`Builder::oauth_client`] get tokens.
    pub fn token_url(&self) -> String {
        format!("{}/oauth2/token", self.base_url)
    }

    /// The business that [`client`](Layer::client) is for.
    pub fn business_id(&self) -> Uuid {
        self.business
    }

    /// A token that opens everything and doesn't expire.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A client for [`business_id`](Layer::business_id) with the default settings. All that are given share their
    /// connections.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The settings of a client for [`business_id`](Layer::business_id), to change before it is built.
    pub fn client_builder(&self) -> layer_payments_client::Builder {
        client_builder(&self.base_url, self.business, &self.token)
    }

    /// Says what goes wrong from now on, instead of what was said before. The first rule that strikes a request decides;
    /// an empty list lets everything go right again. A rule is a [`FaultRule`] or the text of one, such as `"cut=after"`.
    ///
    /// # Errors
    ///
    /// If a rule isn't right; the error says which and why, and those before stay.
    pub fn faults<R: Into<FaultRule>>(
        &self,
        rules: impl IntoIterator<Item = R>,
    ) -> Result<(), Error> {
        self.faults_by_chance(0, rules)
    }

    /// As [`faults`](Layer::faults), with the seed that decides which requests are struck by rules with a
    /// [`probability`](FaultRule::probability) below 1. The same seed, rules and requests, one after another, make the
    /// same faults in every run; of requests at the same time the network decides which comes first.
    ///
    /// # Errors
    ///
    /// If a rule isn't right, or the seed is above 2^53 - 1.
    pub fn faults_by_chance<R: Into<FaultRule>>(
        &self,
        seed: u64,
        rules: impl IntoIterator<Item = R>,
    ) -> Result<(), Error> {
        self.handle.set_faults(seed, rules).map_err(Error::faults)
    }

    /// How many requests each rule has struck since the rules were set, so that a test can tell that its faults took
    /// place.
    pub fn faults_struck(&self) -> Vec<u64> {
        self.handle.faults_struck()
    }

    /// The server's counters as `/metrics` gives them: requests by operation and status, refusals of the rate limit,
    /// faults. In the text form of Prometheus.
    pub fn metrics(&self) -> String {
        self.handle.metrics()
    }

    /// Works out anew what the payments make of the journal, the balances, the invoices and the replies.
    ///
    /// # Errors
    ///
    /// If the books aren't in order ([`Error::book_faults`]) or can't be read.
    pub async fn check_books(&self) -> Result<(), Error> {
        Error::of_books(self.handle.check_books().await)
    }

    /// Checks the books as [`check_books`](Layer::check_books) does, answers the requests that were taken, and ends. The
    /// port is free and the database closed when this returns.
    ///
    /// # Errors
    ///
    /// If the books aren't in order or can't be read, or the server broke off before.
    pub async fn stop(self) -> Result<(), Error> {
        let Layer { stop, ended, .. } = self;
        // It may have broken off; then it says so.
        let _ = stop.send(());
        ended.await.unwrap_or_else(|_| Err(Error::broken_off()))
    }
}

/// Shows no token.
impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer")
            .field("base_url", &self.base_url)
            .field("business", &self.business)
            .finish_non_exhaustive()
    }
}

fn client_builder(base_url: &str, business: Uuid, token: &str) -> layer_payments_client::Builder {
    Client::builder()
        .base_url(base_url)
        .token(token)
        .business_id(business)
}
