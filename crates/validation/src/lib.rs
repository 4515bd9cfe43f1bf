//! Offline checks of the rules that Layer documents for invoice payments.
//!
//! A payment that the API would refuse is refused here first, with no network and no account. The functions take the
//! types of [`layer_payments_types`] and give *every* fault they find, each as a [`Violation`]: which [`Rule`] is
//! broken, where (a JSON Pointer), what is wrong with the value and what would be right.
//!
//! ```
//! use layer_payments_types::CreateInvoicePayment;
//! use layer_payments_validation::{Rule, validate_create};
//!
//! let payment: CreateInvoicePayment = serde_json::from_str(
//!     r#"{"paid_at": "2024-02-27T02:22:55Z", "method": "CASH", "amount": 90,
//!         "invoice_payments": [{"invoice_external_id": "invoice-1", "amount": 100}]}"#,
//! )?;
//! let violations = validate_create(&payment);
//! assert_eq!(violations[0].rule, Rule::AllocationsExceedAmount);
//! assert_eq!(violations[0].pointer, "/invoice_payments");
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! # Cost
//!
//! Checking a valid payment allocates nothing: pointers are built only for faults, sums are added up in 128 bits, and
//! the size of metadata is counted while it is written to nowhere. A bulk allocates one map of its external ids.
//!
//! # What is not checked
//!
//! Types, required properties and unknown properties are the business of decoding, which the types do strictly. What
//! needs more than the request (an `external_id` that another payment has, two names of different invoices) can only
//! be checked where the payments are kept. Rules about which processor goes with which method, about tags, dates and
//! refunds are not here yet.

mod check;
mod pointer;
mod size;
mod violation;

pub use check::{
    validate_allocation_target, validate_allocations, validate_bulk, validate_create,
    validate_update,
};
pub use size::{METADATA_LIMIT, compact_len};
pub use violation::{Rule, Violation};
