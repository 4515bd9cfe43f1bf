//! What a request does to a payment: no I/O and no clock.
//!
//! A request is first resolved ([`resolve`]): every name in it (stable names, external ids of invoices, tag keys)
//! becomes an id, and what is left is a list of [`Changes`](change::Changes). Applying these to the payment there is
//! ([`change`]), or to a new one, is a pure function, and "unchanged" is nothing but equality before and after: two
//! requests that mean the same compare equal, however they spell it. [`books`] ties both together for one business;
//! the database stands behind its trait [`Books`](books::Books), the time and new ids come in as values.
//!
//! What a payment posts follows from the payment alone ([`ledger`]). [`consequences`] compares what is posted with what
//! ought to be, and the invoices before with those after.

pub(crate) mod books;
pub(crate) mod change;
pub(crate) mod chart;
pub(crate) mod consequences;
pub(crate) mod ledger;
pub(crate) mod local;
pub(crate) mod payment;
pub(crate) mod reply;
pub(crate) mod resolve;
