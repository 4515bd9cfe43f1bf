//! A client for the invoice-payments part of Layer's embedded-accounting API.
//!
//! ```no_run
//! use std::time::SystemTime;
//!
//! use layer_payments_client::types::{CreateInvoicePayment, PaymentMethod};
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
//!     // The external id makes the call repeatable: sent again, it finds what is there.
//!     let payment: CreateInvoicePayment = serde_json::from_str(
//!         r#"{
//!             "external_id": "payment-1",
//!             "paid_at": "2024-02-27T02:22:55Z",
//!             "method": "CASH",
//!             "amount": 9000,
//!             "invoice_payments": [{"invoice_external_id": "invoice-1001", "amount": 9000}]
//!         }"#,
//!     )?;
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
//! # What a call does
//!
//! - **It ends.** Connecting may take 10 seconds and a whole call 30, unless [`Builder`] says
//!   otherwise; there is no way to make a client that waits for ever.
//! - **It is sent once.** A request that has left isn't repeated, whatever becomes of it. This
//!   version doesn't retry, doesn't renew tokens and doesn't pace itself to the rate limit.
//!   [`Error`] tells what a caller needs to do so: [`Error::retry_after`],
//!   [`Error::is_rate_limited`] and [`Error::is_outcome_unknown`].
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
//! A write whose reply doesn't come back may have taken place; [`Error::is_outcome_unknown`] says
//! when. Send it again only where each payment has an `external_id`: then it's an upsert and finds
//! what is there. Without one, a second call records a second payment, so list first and look. An
//! update sets what it sets a second time just the same.
//!
//! # What comes back
//!
//! Replies are read with patience: a bare body as well as one in Layer's `data` envelope, an
//! enumeration value that this version doesn't know (`Unknown`), a property that it doesn't know
//! (`extra`), and a property that is null or missing. Requests are written strictly. The types are
//! those of [`types`], generated from the API description.
//!
//! # Features
//!
//! `rustls` (on by default) is the TLS that `https` needs. Without it the client can call plain
//! `http` only, as in tests against a local server.
//!
//! `validation` (on by default) brings the module of that name, the crate
//! `layer_payments_validation`, along. Without it all requests are [`Unchecked`].

mod builder;
mod bulk;
mod client;
mod error;
// The generator's text is kept as it comes: it's checked against the API description byte for byte,
// and nothing of it is public.
#[rustfmt::skip]
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports, clippy::all)]
mod generated;
mod hooks;
mod list;
mod outgoing;

/// The data types of the API, generated from its description.
pub use layer_payments_types as types;
/// The checks of requests before they are sent.
#[cfg(feature = "validation")]
pub use layer_payments_validation as validation;

pub use crate::builder::{Builder, DEFAULT_CONNECT_TIMEOUT, DEFAULT_TIMEOUT, Environment, Token};
pub use crate::bulk::{
    BulkAll, BulkChunk, BulkChunkError, BulkStream, DEFAULT_CHUNK_BYTES, DEFAULT_CHUNK_PAYMENTS,
    DEFAULT_CONCURRENCY,
};
pub use crate::client::{Client, Headers, Reply};
pub use crate::error::{Error, MAX_KEPT_BODY_BYTES};
pub use crate::list::{ListPayments, ListPosition, PageStream, PaymentStream};
pub use crate::outgoing::{Outgoing, Unchecked};
