//! Recording and updating payments in the books of one business.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use layer_payments_types::{
    AllocationInput, CreateInvoicePayment, IdempotencyOutcome, InvoicePayment, Payout,
    UpdateInvoicePayment,
};
use layer_payments_validation::{Context, Severity, Violation, validate_repeat, validate_update};
use uuid::Uuid;

use super::change::{self, Birth};
use super::consequences::{self, Owed, Posted};
use super::ledger::Draft;
use super::payment::{Payment, Target, whole_microseconds};
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

    /// The payment with this key, which [`Books::payments_of_invoice`] gave.
    fn by_key(&mut self, key: i64) -> Result<Kept, Self::Error>;

    /// Notes that an invoice has this id and this external id, unless one of them is another invoice's. Gives the id
    /// that was invented for the invoice when only its external id was known, if one was: whatever refers to that has
    /// to refer to `id` from now on, and then the books can [forget](Books::forget_invoice) it.
    fn name_invoice(&mut self, id: Uuid, external_id: &str) -> Result<Option<Uuid>, Self::Error>;

    /// The keys of the payments that have an allocation to this invoice.
    fn payments_of_invoice(&mut self, id: Uuid) -> Result<Vec<i64>, Self::Error>;

    /// Removes an invoice that no payment refers to. Gives what was paid on it and refunded of that, in cents.
    fn forget_invoice(&mut self, id: Uuid) -> Result<(i64, i64), Self::Error>;

    /// Adds to what is paid on an invoice and to what is refunded of that, in cents; either may be below zero. If more is
    /// paid than can be, because the invoice is void or would be overpaid, nothing changes, and what is owed is given.
    fn pay_invoice(
        &mut self,
        id: Uuid,
        paid: i64,
        refunded: i64,
    ) -> Result<Option<Owed>, Self::Error>;

    /// A ledger account that [`Registry::account`] gave the id of.
    fn account_by_id(&mut self, id: Uuid) -> Result<Account, Self::Error>;

    /// The id of an account of the chart.
    fn chart_account(&mut self, stable_name: &str) -> Result<Uuid, Self::Error>;

    /// The payouts that a payment is in, as replies show them.
    fn payouts_of(&mut self, kept: &Kept) -> Result<Vec<Payout>, Self::Error>;

    /// Whether a bank transaction was matched with the payment itself.
    fn is_matched_itself(&mut self, key: i64) -> Result<bool, Self::Error>;

    /// What is dated before this time can't be posted any more.
    fn closing_date(&mut self) -> Result<Option<Timestamp>, Self::Error>;

    /// The entries of a payment that count.
    fn posted(&mut self, key: i64) -> Result<Vec<Posted>, Self::Error>;

    /// Posts an entry, which is about the payment with the given key if there is one, and undoes the entry with the given
    /// number if there is one.
    fn post(
        &mut self,
        payment: Option<i64>,
        entry: &Draft<Uuid>,
        reversal_of: Option<i64>,
    ) -> Result<(), Self::Error>;

    /// Carries what was posted over to the accounts' balances. Called once, after the last entry.
    fn carry_balances(&mut self) -> Result<(), Self::Error>;

    /// Keeps a new payment. Gives its key and the document: the reply as JSON.
    fn insert(
        &mut self,
        payment: &Payment,
        reply: &InvoicePayment,
    ) -> Result<(i64, String), Self::Error>;

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
    /// Whether it is in a payout.
    pub(crate) in_payout: bool,
    /// Whether a bank transaction was matched with it or with a payout that it is in.
    pub(crate) is_matched: bool,
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
pub(crate) fn record<B: Books + ?Sized>(
    books: &mut B,
    request: CreateInvoicePayment,
) -> Result<Recorded, B::Error> {
    let mut refusals = Vec::new();
    let rewritten = join_names(books, [(None, &*request.invoice_payments)], &mut refusals)?;
    let recorded = record_one(books, request, &rewritten, &mut refusals)?;
    books.carry_balances()?;
    recorded.ok_or_else(|| refusals.into())
}

/// Records payments in their order, all or none: what the books refuse of any of them is told together, with pointers
/// that start with the payment's index.
pub(crate) fn record_all<B: Books + ?Sized>(
    books: &mut B,
    requests: Vec<CreateInvoicePayment>,
) -> Result<Vec<Recorded>, B::Error> {
    record_at(books, requests, |index| index)
}

/// The same for payments that are a part of a list; `place` gives the index there.
pub(crate) fn record_at<B: Books + ?Sized>(
    books: &mut B,
    requests: Vec<CreateInvoicePayment>,
    place: impl Fn(usize) -> usize,
) -> Result<Vec<Recorded>, B::Error> {
    let mut refusals = Vec::new();
    // Before any payment is recorded, so that none is answered with an id that a later one replaces.
    let named = requests
        .iter()
        .enumerate()
        .map(|(index, request)| (Some(place(index)), &*request.invoice_payments));
    let rewritten = join_names(books, named, &mut refusals)?;
    let mut recorded = Vec::with_capacity(requests.len());
    for (index, request) in requests.into_iter().enumerate() {
        let before = refusals.len();
        recorded.extend(record_one(books, request, &rewritten, &mut refusals)?);
        place_in(place(index), &mut refusals[before..]);
    }
    books.carry_balances()?;
    if refusals.is_empty() {
        Ok(recorded)
    } else {
        Err(refusals.into())
    }
}

/// Moves refusals of one payment to its place in a bulk.
fn place_in(index: usize, refusals: &mut [Refusal]) {
    for refusal in refusals {
        refusal.pointer.insert_str(0, &format!("/{index}"));
    }
}

/// Records a payment, unless something was refused: then all is taken back anyway, and the payment is only looked
/// through for more. `rewritten` are the payments that the request has changed already.
fn record_one<B: Books + ?Sized>(
    books: &mut B,
    request: CreateInvoicePayment,
    rewritten: &HashSet<i64>,
    refusals: &mut Vec<Refusal>,
) -> Result<Option<Recorded>, B::Error> {
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
        let changes = resolve::create(books, request, refusals)?;
        if !refusals.is_empty() {
            return Ok(None);
        }
        let payment = change::create(birth, changes);
        let postings = consequences::of(books, None, &payment, refusals)?;
        if !refusals.is_empty() {
            return Ok(None);
        }
        let reply = show(books, None, &payment)?;
        let (key, document) = books.insert(&payment, &reply)?;
        consequences::post(books, key, &postings)?;
        return Ok(Some(Recorded {
            document,
            outcome: IdempotencyOutcome::Created,
        }));
    };
    // The request is valid by itself, but not all of the payment need be in it.
    let kept = existing.payment.existing();
    let context = Context::at(books.now());
    refusals.extend(errors(validate_repeat(&request, &kept, &context)));
    let changes = resolve::create(books, request, refusals)?;
    if !refusals.is_empty() {
        return Ok(None);
    }
    let outcome = |changed: bool| {
        if changed || rewritten.contains(&existing.key) {
            IdempotencyOutcome::Updated
        } else {
            IdempotencyOutcome::Unchanged
        }
    };
    let Some(payment) = change::update(&existing.payment, changes) else {
        return Ok(Some(Recorded {
            outcome: outcome(false),
            document: existing.document,
        }));
    };
    let document = replace(books, &existing, &payment, refusals)?;
    Ok(document.map(|document| Recorded {
        document,
        outcome: outcome(true),
    }))
}

/// Puts a changed payment in place of the one that there is, with all that follows from it. Gives the document, or
/// `None` if something was refused.
fn replace<B: Books + ?Sized>(
    books: &mut B,
    existing: &Kept,
    payment: &Payment,
    refusals: &mut Vec<Refusal>,
) -> Result<Option<String>, B::Error> {
    let postings = consequences::of(books, Some(existing), payment, refusals)?;
    if !refusals.is_empty() {
        return Ok(None);
    }
    let reply = show(books, Some(existing), payment)?;
    let document = books.replace(existing, payment, &reply)?;
    consequences::post(books, existing.key, &postings)?;
    Ok(Some(document))
}

/// Updates the payment with this id and gives its document. `None` if there is no such payment.
///
/// The request was validated by itself. What only shows against the payment is checked here: the rules that need both,
/// and that no other payment has the external id. All that is wrong is told.
pub(crate) fn update<B: Books + ?Sized>(
    books: &mut B,
    id: Uuid,
    request: UpdateInvoicePayment,
) -> Result<Option<String>, B::Error> {
    let mut refusals = Vec::new();
    if let Some(allocations) = &request.invoice_payments {
        join_names(books, [(None, &**allocations)], &mut refusals)?;
    }
    let Some(existing) = books.by_id(id)? else {
        return Ok(None);
    };
    refusals.extend(check(&existing.payment, &request, books.now()));
    if let Some(external_id) = request.external_id.as_option()
        && existing.payment.external_id.as_ref() != Some(external_id)
        && let Some(other) = books.by_external_id(external_id)?
    {
        refusals.push(Refusal {
            code: "external-id-taken",
            pointer: "/external_id".to_owned(),
            message: format!(
                "The payment {} of this business has the external id {:?} already; give one that no payment has.",
                other.payment.id,
                shortened(external_id)
            ),
        });
    }
    let changes = resolve::update(books, request, &mut refusals)?;
    if !refusals.is_empty() {
        return Err(refusals.into());
    }
    let Some(payment) = change::update(&existing.payment, changes) else {
        return Ok(Some(existing.document));
    };
    let Some(document) = replace(books, &existing, &payment, &mut refusals)? else {
        return Err(refusals.into());
    };
    books.carry_balances()?;
    Ok(Some(document))
}

/// Checks an update by the rules that need the payment that it changes, such as that the allocations fit the amount,
/// whichever of the two is new. What the rules only warn of is left out.
fn check(payment: &Payment, request: &UpdateInvoicePayment, now: Timestamp) -> Vec<Refusal> {
    errors(validate_update(
        request,
        Some(&payment.existing()),
        &Context::at(now),
    ))
    .collect()
}

/// The errors among violations, without the warnings.
fn errors(violations: Vec<Violation>) -> impl Iterator<Item = Refusal> {
    violations
        .into_iter()
        .filter(|violation| violation.rule.severity() == Severity::Error)
        .map(Refusal::from)
}

/// An invoice whose invented id gives way to its own.
pub(crate) struct Joined {
    pub(crate) invented: Uuid,
    pub(crate) id: Uuid,
    /// Where the request names both.
    pub(crate) pointer: String,
}

/// Lets the books know both names of the invoices that the payments of a request give with both, each payment with its
/// place in a bulk. Gives the keys of the payments that were changed by it, as [`join`] does. Names that can't belong
/// together are left for [`resolve`] to refuse.
fn join_names<'a, B: Books + ?Sized>(
    books: &mut B,
    payments: impl IntoIterator<Item = (Option<usize>, &'a [AllocationInput])>,
    refusals: &mut Vec<Refusal>,
) -> Result<HashSet<i64>, B::Error> {
    let mut joined = Vec::new();
    for (place, allocations) in payments {
        for (index, allocation) in allocations.iter().enumerate() {
            let AllocationInput::Invoice(invoice) = allocation else {
                continue;
            };
            let (Some(id), Some(external_id)) = resolve::invoice_names(invoice) else {
                continue;
            };
            if let Some(invented) = books.name_invoice(id, external_id)? {
                let place = place.map(|place| format!("/{place}")).unwrap_or_default();
                joined.push(Joined {
                    invented,
                    id,
                    pointer: format!("{place}/invoice_payments/{index}/invoice_id"),
                });
            }
        }
    }
    join(books, &joined, refusals)
}

/// Puts the own ids of invoices in place of those that were invented, in all payments that show them. Gives the keys of
/// these payments. Each is changed once, however many of its invoices get their id: a payment may have thousands.
pub(crate) fn join<B: Books + ?Sized>(
    books: &mut B,
    joined: &[Joined],
    refusals: &mut Vec<Refusal>,
) -> Result<HashSet<i64>, B::Error> {
    let mut keys = HashSet::new();
    for invoice in joined {
        keys.extend(books.payments_of_invoice(invoice.invented)?);
    }
    let ids: HashMap<Uuid, Uuid> = joined
        .iter()
        .map(|invoice| (invoice.invented, invoice.id))
        .collect();
    for &key in &keys {
        let kept = books.by_key(key)?;
        let mut payment = kept.payment.clone();
        for allocation in &mut payment.allocations {
            if let Target::Invoice(target) = &mut allocation.target
                && let Some(&id) = ids.get(target)
            {
                *target = id;
            }
        }
        let reply = show(books, Some(&kept), &payment)?;
        books.replace(&kept, &payment, &reply)?;
    }
    for invoice in joined {
        // The ledger shows receivables as a whole, so nothing is posted.
        let (paid, refunded) = books.forget_invoice(invoice.invented)?;
        if (paid, refunded) != (0, 0)
            && let Some(owed) = books.pay_invoice(invoice.id, paid, refunded)?
        {
            refusals.push(consequences::unpayable(owed, paid, invoice.pointer.clone()));
        }
    }
    Ok(keys)
}

/// The payment as replies show it. `kept` is what is there of it, if anything is.
pub(crate) fn show<B: Books + ?Sized>(
    books: &mut B,
    kept: Option<&Kept>,
    payment: &Payment,
) -> Result<InvoicePayment, B::Error> {
    let clearing = payment
        .clearing_account
        .map(|id| books.account_by_id(id))
        .transpose()?;
    let payouts = match kept {
        Some(kept) if kept.in_payout => books.payouts_of(kept)?,
        _ => Vec::new(),
    };
    Ok(reply(payment, clearing.as_ref(), payouts))
}
