//! A client for the invoice-payments part of Layer's embedded-accounting API.
//!
#![cfg_attr(feature = "validation", doc = "```no_run")]
#![cfg_attr(not(feature = "validation"), doc = "```ignore")]
//! use std::time::SystemTime;
//!
//! use layer_payments_client::types::{CreateInvoicePayment, InvoiceAllocationInput, PaymentMethod};
//! use layer_payments_client::validation::{Context, Validated};
//! use layer_payments_client::{Client, Environment};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let client = Client::builder()
//!         .environment(Environment::Sandbox)
//!         .token(std::env::var("LAYER_TOKEN")?)
//!         .business_id("738ec216-e8e5-48f2-b7f2-cdc89c96b3d4".parse()?)
//!         .build()?;
//!
//!     // 90.00: money is whole cents, everywhere.
//!     let part = InvoiceAllocationInput::builder()
//!         .invoice_external_id("invoice-1001")
//!         .amount(9000)
//!         .build();
//!     // Without one of the required properties this doesn't compile.
//!     let payment = CreateInvoicePayment::builder()
//!         .paid_at("2024-02-27T02:22:55Z".parse()?)
//!         .method(PaymentMethod::Cash)
//!         .amount(9000)
//!         .invoice_payments([part.into()])
//!         // The external id makes the call repeatable: sent again, it finds what is there.
//!         .external_id("payment-1")
//!         .build();
//!     // What Layer would refuse doesn't leave; the error says all that is wrong with it.
//!     let context = Context::at(SystemTime::now().try_into()?);
//!     let payment = Validated::create(payment, &context)?;
//!     let recorded = client.record(&payment).await?;
//!     println!("{} answered with status {}", recorded.data.id, recorded.status());
//!
//!     let mut payments = client.list().method(PaymentMethod::Cash).stream();
//!     while let Some(payment) = payments.next().await {
//!         let payment = payment?;
//!         println!("{} {} cents", payment.at, payment.amount);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! That is a whole program: with this crate and `tokio` it compiles as it stands. Without an account
//! it runs against the server of this project: start `layer-payments serve`, take
//! [`Environment::Local`], and set `LAYER_TOKEN` to the token that `serve` was given. In tests,
//! `layer-payments-local` starts that server in the test's own process, in one line.
//!
//! # What a call does
//!
//! - **It ends.** Connecting may take 10 seconds, an attempt 30 and a whole call 60, unless
//!   [`Builder`] says otherwise; there is no way to make a client that waits for ever.
//! - **It is repeated where that does no harm**, after a lost connection, a time limit, 408, 429, a
//!   5xx or a proxy's page: lists always, updates unless told otherwise, records and bulks only if
//!   every payment has an `external_id`. [`RetryPolicy`] has the table and the switch,
//!   [`docs::idempotency_and_retries`] the reasons.
//! - **It keeps to the rate limit.** All clones of a client share a [`RateLimiter`], which holds them
//!   below the environment's rate, and holds all of them back when the API asks one to wait.
//! - **It has a token that is good.** [`Builder::token`] takes one; with [`Builder::credentials`] the
//!   client gets them from Layer's authorization server and renews them ahead of their end, and
//!   [`Builder::token_source`] takes any other source. After a 401 the token is renewed and the
//!   request sent once more.
//! - **It goes where it was told.** Redirects aren't followed, and plain `http` to another machine
//!   is refused unless [`Builder::allow_plain_http`] allows it. The proxy that the environment
//!   names is used, but never for this machine.
//!
//! # Checked before it is sent
//!
//! A write takes a [`Validated`](validation::Validated) request, which only the checks of
//! [`validation`] can make: every documented rule, without network or account. One that wasn't
//! checked can be sent too, as [`Unchecked`], so that the call shows it.
//!
//! # More than fits into one request
//!
//! [`Client::bulk_all`] records a stream of payments of any length, in chunks and in order, and
//! gives those of a failed chunk back. [`ListPayments::stream`] gives all payments of a list, and
//! [`PaymentStream::position`] tells where another one can go on, after an error or a crash.
//!
//! # When a reply is lost
//!
//! A write whose reply doesn't come back may have taken place. Where the client can't repeat it, or
//! has done so in vain, [`Error::is_outcome_unknown`] is true and the error's line says how to find
//! out. [`docs::idempotency_and_retries`] tells the whole story.
//!
//! # What comes back
//!
//! Replies are read with patience: a bare body as well as one in Layer's `data` envelope, an
//! enumeration value that this version doesn't know (`Unknown`), a property that it doesn't know
//! (`extra`), and a property that is null or missing. Requests are written strictly. The types are
//! those of [`types`], generated from the API description. A [`Reply`] keeps its status and headers,
//! among them the request id and what is left of the rate limit.
//!
//! There is one [`Error`]. It keeps the status, the headers, the body and Layer's own errors, whatever
//! the reply looked like, and what was sent: operation, external ids, attempts. No error type of
//! another crate is in its way, and no token is in any text.
//!
//! # Watching it
//!
//! Each call is a [`tracing`] span named `layer_payments` with operation, business, attempts, status,
//! request id and latency; each attempt is an event: at debug level, or a warning where it failed and
//! is made again. They hold ids and what the API said (the beginning of a body that isn't Layer's, and
//! Layer's own words, which may name amounts), but neither token nor request. For metrics,
//! [`Builder::observer`] takes an [`Observer`], which is told of each attempt.
//!
//! # Features
//!
//! | Feature | On by default | What it brings |
//! |---|---|---|
//! | `rustls` | yes | TLS by rustls with aws-lc-rs and the platform's root certificates |
//! | `rustls-no-provider` | no | the same without aws-lc-rs; the program installs a cryptography provider, such as ring, before it builds a client |
//! | `native-tls` | no | TLS by the platform's own library |
//! | `validation` | yes | the module [`validation`], the crate `layer_payments_validation`; without it all requests are [`Unchecked`] |
//!
//! Without any TLS the client can call plain `http` only, as in tests against a local server.

mod auth;
mod builder;
mod bulk;
mod call;
mod client;
mod error;
// The generator's text is kept as it comes: it's checked against the API description byte for byte,
// and nothing of it is public.
#[rustfmt::skip]
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports, clippy::all)]
mod generated;
mod hooks;
mod list;
mod observe;
mod outgoing;
mod pace;
mod reply;
mod retry;

/// Pages that tell more than one type's documentation can.
pub mod docs {
    #[doc = include_str!("../docs/idempotency-and-retries.md")]
    pub mod idempotency_and_retries {}
}

/// The data types of the API, generated from its description.
pub use layer_payments_types as types;
/// The checks of requests before they are sent.
#[cfg(feature = "validation")]
pub use layer_payments_validation as validation;
/// The HTTP library, of which [`Builder::http_client`] takes a client.
pub use reqwest;
/// The library of times and that of ids, whose types the data types hold.
pub use {jiff, uuid};

pub use crate::auth::{ClientCredentials, IssuedToken, Token};
pub use crate::builder::{
    Builder, DEFAULT_ATTEMPT_TIMEOUT, DEFAULT_CONNECT_TIMEOUT, DEFAULT_TIMEOUT, Environment,
};
pub use crate::bulk::{
    BulkAll, BulkChunk, BulkChunkError, BulkStream, DEFAULT_CHUNK_BYTES, DEFAULT_CHUNK_PAYMENTS,
    DEFAULT_CONCURRENCY,
};
pub use crate::client::Client;
pub use crate::error::{Error, MAX_KEPT_BODY_BYTES};
pub use crate::list::{ListPayments, ListPosition, PageStream, PaymentStream};
pub use crate::observe::{Attempt, Observer};
pub use crate::outgoing::{Outgoing, Unchecked};
pub use crate::pace::RateLimiter;
pub use crate::reply::{Headers, Reply};
pub use crate::retry::RetryPolicy;
