//! What a change of a payment means for the ledger and for invoices.

use std::collections::HashMap;

use jiff::Timestamp;
use layer_payments_types::Field;
use uuid::Uuid;

use super::books::{Books, Kept};
use super::ledger::{self, Account, Draft, EntryType, OutOfRange, Part};
use super::payment::Payment;
use super::resolve::Refusal;
use crate::text::shortened;

/// An entry that was posted, and neither is a reversal nor was reversed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Posted {
    pub(crate) number: i64,
    pub(crate) entry: Draft<Uuid>,
}

/// What is owed on an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owed {
    /// `None` for an invoice of which nothing is known but its name.
    pub(crate) total: Option<i64>,
    pub(crate) paid: i64,
    pub(crate) is_void: bool,
}

/// What is to be posted for a payment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Postings {
    reverse: Vec<Posted>,
    post: Vec<Draft<Uuid>>,
}

/// Carries the change of a payment over to its invoices, and tells what is to be posted for it. `before` is the payment
/// that is there, if there is one. What can't be is added to `refusals`.
pub(crate) fn of<B: Books + ?Sized>(
    books: &mut B,
    before: Option<&Kept>,
    after: &Payment,
    refusals: &mut Vec<Refusal>,
) -> Result<Postings, B::Error> {
    pay_invoices(books, before.map(|kept| &kept.payment), after, refusals)?;
    let postings = postings(books, before, after, refusals)?;
    check_closing(books, before, after, &postings, refusals)?;
    if let Some(kept) = before {
        check_settled(books, kept, after, refusals)?;
    }
    Ok(postings)
}

/// Posts what [`of`] told, for the payment with this key.
pub(crate) fn post<B: Books + ?Sized>(
    books: &mut B,
    key: i64,
    postings: &Postings,
) -> Result<(), B::Error> {
    for posted in &postings.reverse {
        books.post(Some(key), &posted.entry.reversed(), Some(posted.number))?;
    }
    for entry in &postings.post {
        books.post(Some(key), entry, None)?;
    }
    Ok(())
}

fn resolved<B: Books + ?Sized>(
    books: &mut B,
    drafts: Vec<Draft>,
) -> Result<Option<Vec<Draft<Uuid>>>, B::Error> {
    let mut entries = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let entry = draft.resolved(|account| match account {
            Account::Given(id) => Ok(id),
            Account::Named(stable_name) => books.chart_account(&stable_name),
        })?;
        match entry {
            Some(entry) => entries.push(entry),
            None => return Ok(None),
        }
    }
    Ok(Some(entries))
}

fn postings<B: Books + ?Sized>(
    books: &mut B,
    before: Option<&Kept>,
    after: &Payment,
    refusals: &mut Vec<Refusal>,
) -> Result<Postings, B::Error> {
    let drafts = ledger::drafts(after);
    // Most updates don't touch what was posted, which shows without a look into the ledger.
    if let (Some(kept), Ok(drafts)) = (before, &drafts)
        && ledger::drafts(&kept.payment).as_ref() == Ok(drafts)
    {
        return Ok(Postings::default());
    }
    let entries = match drafts {
        Ok(drafts) => resolved(books, drafts)?,
        Err(OutOfRange) => None,
    };
    let Some(mut post) = entries else {
        refusals.push(Refusal {
            code: "amounts-out-of-range",
            pointer: String::new(),
            message: format!(
                "The amounts and fees of the payment add up to more than {} cents, which the ledger can't hold; mend \
                 the amounts.",
                i64::MAX
            ),
        });
        return Ok(Postings::default());
    };
    let mut reverse = Vec::new();
    if let Some(kept) = before {
        // An entry's kind and source stand once in what a payment posts.
        let mut there: HashMap<_, _> = books
            .posted(kept.key)?
            .into_iter()
            .map(|posted| ((posted.entry.entry_type, posted.entry.source), posted))
            .collect();
        // What is there already stays.
        post.retain(|entry| {
            let key = (entry.entry_type, entry.source);
            let stays = there
                .get(&key)
                .is_some_and(|posted| posted.entry.is_same(entry));
            if stays {
                there.remove(&key);
            }
            !stays
        });
        reverse.extend(there.into_values());
        reverse.sort_unstable_by_key(|posted| posted.number);
    }
    Ok(Postings { reverse, post })
}

/// Refuses what would post before the books' closing date.
fn check_closing<B: Books + ?Sized>(
    books: &mut B,
    before: Option<&Kept>,
    after: &Payment,
    postings: &Postings,
    refusals: &mut Vec<Refusal>,
) -> Result<(), B::Error> {
    let Some(closing_date) = books.closing_date()? else {
        return Ok(());
    };
    let mut refuse = |pointer: &str, what: &str, at: Timestamp| {
        refusals.push(Refusal {
            code: "books-closed",
            pointer: pointer.to_owned(),
            message: format!(
                "The books are closed for everything before {closing_date}, and {what} at {at}; date it later, or leave \
                 the closed period as it is."
            ),
        });
    };
    for entry in &postings.post {
        if entry.at >= closing_date {
            continue;
        }
        let is_dated_here = before.is_none_or(|kept| kept.payment.paid_at != after.paid_at);
        match entry.entry_type {
            EntryType::InvoicePayment if is_dated_here => {
                refuse("/paid_at", "the payment would be posted", entry.at);
            }
            EntryType::InvoicePayment => refuse("", "the payment would be posted", entry.at),
            _ => refuse("/dedicated_refunds", "a refund would be posted", entry.at),
        }
    }
    for posted in &postings.reverse {
        if posted.entry.at < closing_date {
            refuse("", "an entry would be reversed", posted.entry.at);
        }
    }
    Ok(())
}

/// Refuses what contradicts money that was seen: what a bank transaction brought for the payment, and whose payout it came
/// with.
fn check_settled<B: Books + ?Sized>(
    books: &mut B,
    kept: &Kept,
    after: &Payment,
    refusals: &mut Vec<Refusal>,
) -> Result<(), B::Error> {
    let before = &kept.payment;
    if kept.is_matched
        && arrival(books, before)? != arrival(books, after)?
        && books.is_matched_itself(kept.key)?
    {
        refusals.push(Refusal {
            code: "payment-matched",
            pointer: String::new(),
            message: format!(
                "A bank transaction of {} cents was matched with the payment, so what arrives of it, and in which \
                 account it clears, can't change; leave the amount, the fees, the method, the processor and the \
                 clearing account as they are.",
                ledger::arriving(before)
            ),
        });
    }
    if kept.in_payout && before.processor != after.processor {
        for payout in books.payouts_of(kept)? {
            if let Field::Value(processor) = &payout.processor
                && after.processor.as_ref() != Some(processor)
            {
                refusals.push(Refusal {
                    code: "payment-in-payout",
                    pointer: "/processor".to_owned(),
                    message: format!(
                        "The payment is in a payout of {}, which pays out its own payments only; leave the processor \
                         as it is.",
                        shortened(processor)
                    ),
                });
            }
        }
    }
    Ok(())
}

/// What arrives of a payment, in cents, and in which account.
fn arrival<B: Books + ?Sized>(books: &mut B, payment: &Payment) -> Result<(i128, Uuid), B::Error> {
    let account = match ledger::money_account(payment) {
        Account::Given(id) => id,
        Account::Named(stable_name) => books.chart_account(&stable_name)?,
    };
    Ok((ledger::arriving(payment), account))
}

/// Carries what a payment pays over to its invoices. More paid on an invoice is refused where it can't be paid, or not
/// so much.
fn pay_invoices<B: Books + ?Sized>(
    books: &mut B,
    before: Option<&Payment>,
    after: &Payment,
    refusals: &mut Vec<Refusal>,
) -> Result<(), B::Error> {
    let before = before.map(ledger::parts).unwrap_or_default();
    let after = ledger::parts(after);
    for change in changes(&before, &after) {
        if change.paid == 0 && change.refunded == 0 {
            continue;
        }
        let Some(owed) = books.pay_invoice(change.invoice, change.paid, change.refunded)? else {
            continue;
        };
        refusals.push(unpayable(
            owed,
            change.paid,
            format!("/invoice_payments/{}", change.allocation.unwrap_or(0)),
        ));
    }
    Ok(())
}

/// Why an invoice can't be paid, or not so much.
pub(crate) fn unpayable(owed: Owed, more: i64, pointer: String) -> Refusal {
    let outstanding = owed.total.map(|total| total.saturating_sub(owed.paid));
    let (code, message) = match (owed.is_void, outstanding) {
        (true, _) => (
            "invoice-void",
            "The invoice is void, so nothing can be paid on it; allocate the money elsewhere.".to_owned(),
        ),
        (false, Some(0)) => (
            "invoice-paid",
            "The invoice is fully paid already; allocate the money to another invoice, to a ledger account, or not at \
             all, as the customer's credit."
                .to_owned(),
        ),
        (false, Some(outstanding)) => (
            "invoice-overpaid",
            format!(
                "The payment pays {more} cents on the invoice that it didn't before, and only {outstanding} cents are \
                 outstanding; allocate at most these, and the rest to a ledger account, or not at all, as the customer's credit."
            ),
        ),
        (false, None) => (
            "amounts-out-of-range",
            format!(
                "What is paid on the invoice would add up to more than {} cents; mend the amounts.",
                i64::MAX
            ),
        ),
    };
    Refusal {
        code,
        pointer,
        message,
    }
}

/// How what is paid on an invoice changes.
struct Change {
    invoice: Uuid,
    /// The first allocation to it that there is now.
    allocation: Option<usize>,
    paid: i64,
    refunded: i64,
}

fn changes(before: &[Part], after: &[Part]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::with_capacity(before.len() + after.len());
    let mut places = HashMap::with_capacity(before.len() + after.len());
    let mut add = |part: &Part, allocation: Option<usize>, sign: i64| {
        let place = *places.entry(part.invoice).or_insert_with(|| {
            changes.push(Change {
                invoice: part.invoice,
                allocation: None,
                paid: 0,
                refunded: 0,
            });
            changes.len() - 1
        });
        let change = &mut changes[place];
        change.allocation = change.allocation.or(allocation);
        // The parts of a payment add up to its amount at most, so neither sum leaves 64 bits.
        change.paid = change.paid.saturating_add(sign * part.paid);
        change.refunded = change.refunded.saturating_add(sign * part.refunded);
    };
    for part in after {
        add(part, Some(part.allocation), 1);
    }
    for part in before {
        add(part, None, -1);
    }
    changes
}
