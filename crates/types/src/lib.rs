//! The data types of the invoice-payments part of Layer's embedded-accounting API.
//!
//! They are generated from the OpenAPI document `spec/layer-payments.yaml` by `cargo xtask codegen`. This crate does no
//! input or output: whoever calls the API, serves it, or reads files of it brings that along.
//!
//! ```
//! use layer_payments_types::{Allocation, InvoicePaymentMethod, InvoicePaymentReply};
//!
//! let reply: InvoicePaymentReply = serde_json::from_str(
//!     r#"{
//!         "data": {
//!             "type": "Invoice_Payment",
//!             "id": "e67c216b-28f4-4a0e-9a21-7f05c19e4c66",
//!             "external_id": "payment-1",
//!             "at": "2024-02-27T02:22:55Z",
//!             "method": "WIRE",
//!             "fee": 20,
//!             "amount": 9000,
//!             "imported_at": "2024-02-27T02:23:01Z",
//!             "allocations": [
//!                 {"invoice_id": "3a9c378e-dc02-4700-9158-f629d632a83b", "amount": 9000}
//!             ],
//!             "memo": null,
//!             "settled": true
//!         },
//!         "meta": {}
//!     }"#,
//! )?;
//! let payment = reply.data;
//! assert_eq!(payment.amount, 9000);
//! assert!(matches!(&payment.allocations[..], [Allocation::Invoice(part)] if part.amount == 9000));
//!
//! // What this version doesn't know is kept.
//! assert_eq!(payment.method, Some(InvoicePaymentMethod::Unknown("WIRE".to_owned())));
//! assert_eq!(payment.extra["settled"], true);
//! // Null and absent are told apart.
//! assert!(payment.memo.is_null() && payment.processor.is_absent());
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! # Units
//!
//! - **Money** is a whole number of cents, the minor unit of the business's only currency, in an `i64`. No amount is ever
//!   a floating-point number.
//! - **Times** are [`jiff::Timestamp`]s: points in time, read from RFC 3339 with any offset and written in UTC.
//! - **Ids** that Layer gives are [`uuid::Uuid`]s; ids of your own system are text.
//!
//! # Requests are strict, replies are tolerant
//!
//! In the types of **requests** ([`CreateInvoicePayment`], [`UpdateInvoicePayment`] and what they hold) an unknown
//! property or enumeration value is an error. Null means the same as absent, except in an update, where [`Field::Null`]
//! clears what is there.
//!
//! The types of **replies** lose nothing: reading one and writing it again gives the same JSON, but for times, which come
//! out in UTC, and for null where the document says "never null". That is read as absent, or as an empty list where the
//! list is required. Therefore
//!
//! - an enumeration has a variant `Unknown` for values that this version doesn't know, and so has a union of forms;
//! - an object has a map `extra` of the properties that this version doesn't know;
//! - a property that may be null or absent is a [`Field`], and a list that may be absent is an `Option<Vec<_>>`, so that
//!   absent, null and empty stay apart;
//! - the envelopes [`InvoicePaymentReply`], [`InvoicePaymentBulkReply`] and [`InvoicePaymentListReply`] also read a
//!   payload without an envelope, as older generations of the API send it. They write the envelope.
//!
//! # Making values
//!
//! Every type of a request has a builder with a setter for each property:
//!
//! ```
//! use layer_payments_types::{CreateInvoicePayment, InvoiceAllocationInput, PaymentMethod, TagKeyValue};
//!
//! let part = InvoiceAllocationInput::builder()
//!     .amount(9000)
//!     .invoice_external_id("invoice-1001")
//!     .build();
//! let payment = CreateInvoicePayment::builder()
//!     .paid_at("2024-02-27T02:22:55Z".parse()?)
//!     .method(PaymentMethod::Cash)
//!     .amount(9000)
//!     .invoice_payments([part.into()])
//!     .external_id("payment-1")
//!     .tags([TagKeyValue::builder().key("department").value("sales").build()])
//!     .build();
//! assert_eq!(payment.external_id.as_deref(), Some("payment-1"));
//! assert_eq!(payment.memo, None);
//! # Ok::<(), jiff::Error>(())
//! ```
//!
//! A required property that is forgotten is an error of the compiler, "a required property isn't set: `missing::Amount`":
//!
//! ```compile_fail,E0277
//! # use layer_payments_types::{CreateInvoicePayment, PaymentMethod};
//! # let paid_at = jiff::Timestamp::UNIX_EPOCH;
//! let payment = CreateInvoicePayment::builder()
//!     .paid_at(paid_at)
//!     .method(PaymentMethod::Cash)
//!     .invoice_payments([])
//!     .build();
//! ```
//!
//! And so is one that is set twice, whose setter is gone after the first time:
//!
//! ```compile_fail,E0599
//! # use layer_payments_types::TagKeyValue;
//! let tag = TagKeyValue::builder().key("department").key("team").value("sales").build();
//! ```
//!
//! In an update, what isn't set stays as it is, and `clear_..` sends null:
//!
//! ```
//! use layer_payments_types::UpdateInvoicePayment;
//!
//! let update = UpdateInvoicePayment::builder().fee(290).clear_memo().build();
//! assert_eq!(serde_json::to_string(&update)?, r#"{"fee":290,"memo":null}"#);
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! The fields are public, so that what you hold as an `Option` can be given to them afterwards. The types of replies with
//! required properties have a `new` that takes just those.
//!
//! # Shapes
//!
//! What a request's body and parameters may be is also there as plain data, for whoever has to say everything that is wrong
//! with one and not only that it can't be read: [`Operation::body`] and [`Parameter::shape`].
//!
//! ```
//! use layer_payments_types::{Operation, Shape};
//!
//! let Some(Shape::Object(payment)) = Operation::RecordInvoicePayment.body() else {
//!     panic!("a payment is an object");
//! };
//! let (_, fee) = payment.property("fee").expect("a payment may have a fee");
//! assert!(fee.shape == Shape::Integer && fee.nullable && !fee.required);
//! ```
//!
//! # Features
//!
//! - `schemars`: JSON Schemas of every type by the crate of that name (version 1), and the function `json_schemas`, which
//!   lists them. Off by default.

mod builder;
mod convert;
mod envelope;
mod field;
#[rustfmt::skip]
#[allow(
    clippy::large_enum_variant,
    clippy::too_many_arguments,
    reason = "how many properties an object has, and which it requires, is up to the document"
)]
mod generated;
mod operation;
mod shape;
mod union;

pub use builder::Given;
pub use convert::UnknownPaymentMethod;
pub use field::Field;
pub use generated::*;
pub use operation::{Parameter, ParameterLocation};
pub use shape::{Enumeration, GuidedUnion, Object, Property, Shape, TaggedUnion};
