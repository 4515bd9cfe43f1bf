//! Recording and updating payments in the books of one business.

use layer_payments_types::{
    CreateInvoicePayment, IdempotencyOutcome, InvoicePayment, UpdateInvoicePayment,
};
use layer_payments_validation::validate_allocations;
use uuid::Uuid;

use super::change::{self, Birth};
use super::payment::{Payment, whole_microseconds};
use super::reply::{Account, reply};
use super::resolve::{self, Refusal, Registry};
use crate::text::shortened;

/// The books of one business within one transaction: what is kept, and what becomes of it only if the whole
/// transaction does.
pub(crate) trait Books: Registry {
    /// The payment with this external id.
    fn by_external_id(&mut self, external_id: &str) -> Result<Option<Kept>, Self::Error>;

    /// The payment with this id.
    fn by_id(&mut self, id: Uuid) -> Result<Option<Kept>, Self::Error>;

    /// A ledger account that [`Registry::account`] gave the id of.
    fn account_by_id(&mut self, id: Uuid) -> Result<Account, Self::Error>;

    /// Keeps a new payment. Gives the document: the reply as JSON.
    fn insert(&mut self, payment: &Payment, reply: &InvoicePayment) -> Result<String, Self::Error>;

    /// Keeps a payment in place of the one with the same id. Gives the document.
    fn replace(
        &mut self,
        kept: &Kept,
        payment: &Payment,
        reply: &InvoicePayment,
    ) -> Result<String, Self::Error>;
}

/// A payment as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// The store's own handle of it.
    pub(crate) key: i64,
    pub(crate) payment: Payment,
    /// The payment as replies show it, in JSON.
    pub(crate) document: String,
}

/// What became of one payment that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// The payment as replies show it, in JSON.
    pub(crate) document: String,
    pub(crate) outcome: IdempotencyOutcome,
}

/// Records a payment by its external id: creates it, or updates the one that there is to have the values sent.
pub(crate) fn record<B: Books>(
    books: &mut B,
    request: CreateInvoicePayment,
) -> Result<Recorded, B::Error> {
    let existing = match request.external_id.as_deref() {
        Some(external_id) => books.by_external_id(external_id)?,
        None => None,
    };
    let Some(existing) = existing else {
        let birth = Birth {
            id: books.new_id(),
            imported_at: books.now(),
            paid_at: whole_microseconds(request.paid_at),
            method: request.method,
            amount: request.amount,
        };
        let changes = resolve::create(books, request)?;
        let payment = change::create(birth, changes);
        let reply = show(books, &payment)?;
        return Ok(Recorded {
            document: books.insert(&payment, &reply)?,
            outcome: IdempotencyOutcome::Created,
        });
    };
    let changes = resolve::create(books, request)?;
    match change::update(&existing.payment, changes) {
        None => Ok(Recorded {
            document: existing.document,
            outcome: IdempotencyOutcome::Unchanged,
        }),
        Some(payment) => {
            let reply = show(books, &payment)?;
            Ok(Recorded {
                document: books.replace(&existing, &payment, &reply)?,
                outcome: IdempotencyOutcome::Updated,
            })
        }
    }
}

/// Updates the payment with this id and gives its document. `None` if there is no such payment.
///
/// The request was validated by itself. What only shows against the payment is checked here: that the allocations fit
/// the amount, whichever of the two is new, and that no other payment has the external id.
pub(crate) fn update<B: Books>(
    books: &mut B,
    id: Uuid,
    request: UpdateInvoicePayment,
) -> Result<Option<String>, B::Error> {
    let Some(existing) = books.by_id(id)? else {
        return Ok(None);
    };
    let sum_pointer = if request.invoice_payments.is_some() {
        "/invoice_payments"
    } else {
        "/amount"
    };
    let changes = resolve::update(books, request)?;
    let Some(payment) = change::update(&existing.payment, changes) else {
        return Ok(Some(existing.document));
    };
    if let Some(violation) = validate_allocations(payment.amount, payment.allocated(), sum_pointer)
    {
        return Err(Refusal::from(violation).into());
    }
    if payment.external_id != existing.payment.external_id
        && let Some(external_id) = payment.external_id.as_deref()
        && let Some(other) = books.by_external_id(external_id)?
    {
        return Err(Refusal {
            code: "external-id-taken",
            pointer: "/external_id".to_owned(),
            message: format!(
                "The payment {} of this business has the external id {:?} already; give one that no payment has.",
                other.payment.id,
                shortened(external_id)
            ),
        }
        .into());
    }
    let reply = show(books, &payment)?;
    books.replace(&existing, &payment, &reply).map(Some)
}

fn show<B: Books>(books: &mut B, payment: &Payment) -> Result<InvoicePayment, B::Error> {
    let clearing = payment
        .clearing_account
        .map(|id| books.account_by_id(id))
        .transpose()?;
    Ok(reply(payment, clearing.as_ref()))
}
