//! What a check has to know beside the request: the time, the limit in force, the payment that an update changes.

use jiff::Timestamp;
use layer_payments_types::{Allocation, InvoicePayment, PaymentMethod};
use serde_json::Value;

use crate::parts::total;

/// What a check has to know beside the request. The caller gives it, since this crate asks neither a clock nor a
/// configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The present time, against which "in the future" is measured.
    pub now: Timestamp,
    /// The most payments that a bulk request may hold. Without a limit, as in the documentation, any number.
    pub bulk_limit: Option<usize>,
}

impl Context {
    /// A context at this time, without a limit on bulk requests.
    pub const fn at(now: Timestamp) -> Context {
        Context {
            now,
            bulk_limit: None,
        }
    }

    /// The same context with a limit on the payments of a bulk request.
    #[must_use]
    pub const fn with_bulk_limit(mut self, limit: usize) -> Context {
        self.bulk_limit = Some(limit);
        self
    }
}

/// What an update has to be checked against: of the payment that it changes, the values that it may leave as they are.
///
/// It comes from a reply, or is made field by field where payments are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    /// When the customer paid; replies call it `at`.
    pub paid_at: Timestamp,
    /// How the customer paid. `None` if that isn't known, which leaves the rules on it unchecked.
    pub method: Option<PaymentMethod>,
    /// The amount, in cents.
    pub amount: i64,
    /// The fee, in cents.
    pub fee: i64,
    /// The sum of the additional fees, in cents; 0 if it isn't known. In 128 bits, as all sums here, since a list of
    /// 64-bit amounts may add up to more than fits into 64.
    pub additional_fees: i128,
    /// Who processed the payment.
    pub processor: Option<String>,
    /// The sum of the allocations, in cents.
    pub allocated: i128,
    /// The sum of the refunds, in cents; 0 if it isn't known.
    pub refunded: i128,
}

impl From<&InvoicePayment> for Existing {
    /// Takes the values from a reply. `REDEEMED_PREPAYMENT` is taken for `CREDIT_BALANCE`, and a method that can't be
    /// sent for an unknown one. An allocation of an unknown form counts with its `amount`, if it has one.
    fn from(payment: &InvoicePayment) -> Existing {
        let allocations = payment
            .allocations
            .iter()
            .map(|allocation| match allocation {
                Allocation::LedgerAccount(ledger) => ledger.amount,
                Allocation::Invoice(invoice) => invoice.amount,
                Allocation::Unknown(value) => value
                    .get("amount")
                    .and_then(Value::as_i64)
                    .unwrap_or_default(),
            });
        let additional_fees = payment.additional_fees.iter().flatten();
        let refunds = payment.refund_allocations.iter().flatten();
        Existing {
            paid_at: payment.at,
            method: payment
                .method
                .clone()
                .and_then(|method| PaymentMethod::try_from(method).ok()),
            amount: payment.amount,
            fee: payment.fee,
            additional_fees: total(additional_fees.map(|fee| fee.fee_amount)),
            processor: payment.processor.as_option().cloned(),
            allocated: total(allocations),
            refunded: total(refunds.map(|refund| refund.amount)),
        }
    }
}
