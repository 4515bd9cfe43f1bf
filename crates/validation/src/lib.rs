//! Offline checks of the rules that Layer documents for invoice payments.
//!
//! A payment that the API would refuse is refused here first, with no network and no account. All rules are checked, and
//! *every* fault is told, each as a [`Violation`]: which [`Rule`] is broken, where (a JSON Pointer), what is wrong with
//! the values there and what would be right. Of a payment whose JSON doesn't fit its type, that is told first and whole;
//! what its values mean is judged once they can be read.
//!
//! ```
//! use layer_payments_types::CreateInvoicePayment;
//! use layer_payments_validation::{Context, Rule, validate_create};
//!
//! let payment: CreateInvoicePayment = serde_json::from_str(
//!     r#"{"external_id": "payment-1", "paid_at": "2024-02-27T02:22:55Z", "method": "CASH", "amount": 90,
//!         "invoice_payments": [{"invoice_external_id": "invoice-1", "amount": 100}]}"#,
//! )?;
//! let context = Context::at("2024-03-01T00:00:00Z".parse()?);
//! let violations = validate_create(&payment, &context);
//! assert_eq!(violations.len(), 1);
//! assert_eq!(violations[0].rule, Rule::AllocationsExceedAmount);
//! assert_eq!(violations[0].pointer, "/invoice_payments");
//! assert_eq!(
//!     violations[0].message,
//!     "The allocations add up to 100 cents, which is more than the payment's amount of 90 cents; \
//!      allocate at most the amount."
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What there is
//!
//! | what is checked | as a value | as text |
//! |---|---|---|
//! | a payment to record | [`validate_create`] | [`read_create`] |
//! | many of them | [`validate_bulk`] | [`read_bulk`] |
//! | an update | [`validate_update`] | [`read_update`] |
//! | any of these bodies | | [`validate_json`] |
//! | a list's filters | [`validate_list`] | [`validate_query`] |
//!
//! A [`Context`] brings along what the request doesn't say, first of all the present time: this crate has no clock. An
//! update is checked alone as far as it goes, and whole with the values of the payment that it changes
//! ([`Existing`]).
//!
//! Violations are of two [severities](Severity). A request with an error is refused by Layer; one with nothing but
//! warnings is taken, but is likely a mistake. [`Validated`] holds a request without errors, which only these checks can
//! make, so that a function can ask for a checked request by its type.
//!
//! As text, a request is also checked for what no value can have: wrong types, missing and misspelt properties, keys that
//! stand twice, allocations with two meanings.
//!
//! The rules are published with the API's description: `spec/rules` has them as a catalogue for programs, with test
//! vectors for implementations in other languages. This crate's tests run all of them.
//!
//! # Cost
//!
//! A valid payment is checked without an allocation, unless one of its lists has more than 2,048 elements: sums are added
//! up in 128 bits, metadata is measured without being written, and pointers and messages are only made for violations.
//! A bulk request allocates one table of its external ids. `cargo bench -p layer-payments-validation` compares the time
//! with that of parsing and of a check by JSON Schema.
//!
//! # Where it runs
//!
//! Anywhere: there is no I/O, no clock, no thread and no random number in it or in what it depends on. It builds for
//! `wasm32-unknown-unknown`, which its tests show wherever the toolchain has that target.
//!
//! # What is not checked
//!
//! What needs more than the request and the payment that it changes can only be checked where the payments are kept:
//! whether another payment has an `external_id`, whether two names of an invoice mean the same, what an invoice is owed.

mod bulk;
mod check;
mod context;
mod json;
mod message;
mod nearest;
mod parts;
mod pointer;
mod query;
mod repeat;
mod rule;
mod size;
mod timestamp;
mod validated;
mod violation;

pub use bulk::ExternalIds;
pub use check::{validate_bulk, validate_create, validate_repeat, validate_update};
pub use context::{Context, Existing};
pub use json::{read_bulk, read_create, read_update, validate_json};
pub use query::{LIST_LIMIT, ListFilters, validate_list, validate_query};
pub use rule::{Rule, Severity};
pub use size::{METADATA_LIMIT, metadata_len};
pub use validated::{Invalid, Validated, has_errors};
pub use violation::Violation;
