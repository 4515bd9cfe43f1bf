//! The posting rules: from a payment to journal entries.
//!
//! Layer documents that payments post to a ledger, that the method decides the clearing account, that a fee is a cost of
//! the business and that a change reverses and posts anew; it documents no lines. These rules are this project's own,
//! and balance by construction:
//!
//! | entry | debit | credit |
//! |---|---|---|
//! | `INVOICE_PAYMENT`, at the time of payment | the clearing account: the amount less all fees; `BANK_FEES`: the processing fee; each additional fee's account: the fee | `ACCOUNTS_RECEIVABLE`: what pays invoices; each ledger allocation's account; each passed-on fee's account: what the customer paid of it; `UNEARNED_REVENUE`: the rest |
//! | the same, `CREDIT_BALANCE` | the redemption account: the amount; `BANK_FEES` and the fees' accounts: the fees | as above, and the clearing account: the fees, since no money came in that they could be kept from; the rest goes back to the redemption account |
//! | `REFUND_ALLOCATION`, one a refund, at its completion | each line's account, or the refund's; without one, `CUSTOMER_REFUNDS`, and `UNEARNED_REVENUE` for what was credit | `REFUND_LIABILITIES`: the sum |
//! | `REFUND_PAYMENT`, one a refund, at its completion | `REFUND_LIABILITIES`: the sum; `BANK_FEES`: its processing fee | each returned fee's account; the clearing account: the rest |
//! | `REVERSAL`, at the time of the entry that it undoes | its credits | its debits |
//!
//! - **Net clearing.** A processor keeps its fees and pays out the rest, so the clearing account holds what will arrive
//!   at the bank, and a payout brings it to zero. Where fees exceed the amount, the clearing account is credited.
//! - **Clearing account.** The one that the request names; else by the method: cash is `CASH`, a check
//!   `UNDEPOSITED_FUNDS` until it is deposited, a card or ACH payment the account of its processor
//!   (`STRIPE_CLEARING`) or, without one, `PAYMENT_PROCESSOR_CLEARING`, and so the fees of redeemed credit, which only a
//!   processor takes; `OTHER` goes by its processor, too, or else to `UNDEPOSITED_FUNDS`.
//! - **Credit.** Money that isn't allocated is owed to the customer: `UNEARNED_REVENUE` until it is redeemed by a
//!   payment with the method `CREDIT_BALANCE`. What such a payment doesn't allocate stays the credit that it was, in the
//!   redemption account.
//! - **Refunds** are taken off the invoices' allocations in their order, as replies show it (`amount_net_of_refunds`), and
//!   then off the credit that the payment left: money that is given back is no longer owed to the customer, and never was
//!   revenue. Neither matters where the refund names an account.
//! - **The way of a refund** is the payment's own (method, processor, clearing account) where the refund names no other
//!   method and no other processor. An account that was given for one processor isn't used for another. A refund by
//!   `CREDIT_BALANCE` gives credit and moves no money; only its fees go the payment's way.
//! - **Passed-on fees.** The customer paid them on top of the invoices. They are met from what isn't allocated, then from
//!   the invoices' allocations in proportion; ledger allocations stay whole. So neither a payment of 103.00 that
//!   allocates 103.00 nor one that allocates 100.00 overpays an invoice of 100.00 when 3.00 are a passed-on fee. The fee's
//!   account is debited like any fee's and credited with what the customer paid, so that it comes to zero.
//! - **Zero** posts no line, and an entry without lines isn't posted.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use jiff::Timestamp;
use layer_payments_types::PaymentMethod;
use uuid::Uuid;

use super::chart;
use super::payment::{Payment, Refund, Target};

/// What an entry records. The names are those that Layer's ledger entries have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum EntryType {
    InvoicePayment,
    RefundAllocation,
    RefundPayment,
    Payout,
    Match,
    Reversal,
}

/// The account of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// One that a request named.
    Given(Uuid),
    /// One of the chart, by its stable name.
    Named(Cow<'static, str>),
}

/// The side of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    Debit,
    Credit,
}

/// A line of an entry. The amount is in cents and above zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line<A = Account> {
    pub(crate) account: A,
    pub(crate) side: Side,
    pub(crate) amount: i64,
}

/// An entry to post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft<A = Account> {
    pub(crate) entry_type: EntryType,
    /// The payment, the refund, the payout or the match.
    pub(crate) source: Uuid,
    /// When it counts.
    pub(crate) at: Timestamp,
    pub(crate) lines: Vec<Line<A>>,
}

/// What can't be posted: an amount of an entry that 64 bits don't hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfRange;

/// What a payment pays on an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The place of the allocation among the payment's.
    pub(crate) allocation: usize,
    pub(crate) invoice: Uuid,
    /// Without fees that were passed on, in cents.
    pub(crate) paid: i64,
    /// How much of that was refunded, in cents.
    pub(crate) refunded: i64,
}

impl EntryType {
    const ALL: [EntryType; 6] = [
        EntryType::InvoicePayment,
        EntryType::RefundAllocation,
        EntryType::RefundPayment,
        EntryType::Payout,
        EntryType::Match,
        EntryType::Reversal,
    ];

    /// The name on the wire and in the store.
    pub(crate) fn name(self) -> &'static str {
        match self {
            EntryType::InvoicePayment => "INVOICE_PAYMENT",
            EntryType::RefundAllocation => "REFUND_ALLOCATION",
            EntryType::RefundPayment => "REFUND_PAYMENT",
            EntryType::Payout => "PAYOUT",
            EntryType::Match => "MATCH",
            EntryType::Reversal => "REVERSAL",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<EntryType> {
        EntryType::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Side {
    /// The name on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Side::Debit => "DEBIT",
            Side::Credit => "CREDIT",
        }
    }

    pub(crate) fn other(self) -> Side {
        match self {
            Side::Debit => Side::Credit,
            Side::Credit => Side::Debit,
        }
    }
}

/// The entries that a payment posts, those of its refunds included.
///
/// # Errors
///
/// [`OutOfRange`] if one of their lines would be.
pub(crate) fn drafts(payment: &Payment) -> Result<Vec<Draft>, OutOfRange> {
    let mut drafts = Vec::with_capacity(1 + 2 * payment.refunds.len());
    let split = split(payment);
    drafts.extend(payment_entry(payment, &split)?);
    let mut refunded = Refunded::of(&split);
    for refund in &payment.refunds {
        drafts.extend(refund_entry(payment, refund, &mut refunded)?);
        drafts.extend(refund_payment_entry(payment, refund)?);
    }
    Ok(drafts)
}

/// What the payment pays on each invoice that it is allocated to, in the order of its allocations.
pub(crate) fn parts(payment: &Payment) -> Vec<Part> {
    split(payment).parts
}

/// Where the money of a payment goes.
struct Split {
    parts: Vec<Part>,
    /// What is allocated to invoices.
    to_invoices: i128,
    /// What the customer paid of the fees that were passed on.
    recovered: i128,
    /// What is left for the customer.
    credit: i128,
}

fn split(payment: &Payment) -> Split {
    let allocated = |wanted: fn(&Target) -> bool| -> i128 {
        payment
            .allocations
            .iter()
            .filter(|allocation| wanted(&allocation.target))
            .map(|allocation| i128::from(allocation.amount))
            .sum()
    };
    let to_invoices = allocated(|target| matches!(target, Target::Invoice(_)));
    let to_accounts = allocated(|target| matches!(target, Target::LedgerAccount(_)));
    let unallocated = i128::from(payment.amount) - to_invoices - to_accounts;
    let passed_on: i128 = payment
        .additional_fees
        .iter()
        .filter(|fee| fee.is_passed_to_customer)
        .map(|fee| i128::from(fee.fee_amount))
        .sum();
    let from_unallocated = passed_on.min(unallocated);
    let from_invoices = (passed_on - from_unallocated).min(to_invoices);
    // The share of the allocations up to some point is rounded down, so the shares of all of them add up exactly, and
    // none is above its allocation. Both factors are below 2^63 times a few thousand allocations; a product that 128
    // bits don't hold can't come from a payment that was accepted, whose allocations add up to its amount at most.
    let share_up_to = |allocated: i128| match from_invoices {
        0 => 0,
        share => share.saturating_mul(allocated) / to_invoices,
    };
    let mut parts = Vec::new();
    let mut before = 0;
    for (index, (allocation, net)) in payment
        .allocations
        .iter()
        .zip(payment.net_of_refunds())
        .enumerate()
    {
        if let Target::Invoice(invoice) = allocation.target {
            let after = before + i128::from(allocation.amount);
            let share = share_up_to(after) - share_up_to(before);
            // The share is between 0 and the amount, so the fallback is never taken.
            let paid = i64::try_from(i128::from(allocation.amount) - share).unwrap_or(0);
            parts.push(Part {
                allocation: index,
                invoice,
                paid,
                // A refund may also give back a fee that was passed on, which paid nothing on the invoice.
                refunded: (allocation.amount - net).min(paid),
            });
            before = after;
        }
    }
    Split {
        parts,
        to_invoices,
        recovered: from_unallocated + from_invoices,
        credit: unallocated - from_unallocated,
    }
}

fn payment_entry(payment: &Payment, split: &Split) -> Result<Option<Draft>, OutOfRange> {
    let mut lines = Lines::default();
    if payment.method == PaymentMethod::CreditBalance {
        lines.debit(credit_account(payment), payment.amount.into())?;
    }
    lines.debit(money_account(payment), arriving(payment))?;
    lines.debit(named("BANK_FEES"), payment.fee.into())?;
    let mut recovered = split.recovered;
    let mut returned = Vec::new();
    for fee in &payment.additional_fees {
        lines.debit(Account::Given(fee.account), fee.fee_amount.into())?;
        if fee.is_passed_to_customer {
            let part = recovered.min(fee.fee_amount.into());
            recovered -= part;
            returned.push((fee.account, part));
        }
    }
    let paid = split.parts.iter().map(|part| i128::from(part.paid)).sum();
    lines.credit(named("ACCOUNTS_RECEIVABLE"), paid)?;
    for allocation in &payment.allocations {
        if let Target::LedgerAccount(account) = allocation.target {
            lines.credit(Account::Given(account), allocation.amount.into())?;
        }
    }
    for (account, part) in returned {
        lines.credit(Account::Given(account), part)?;
    }
    lines.credit(remaining_credit_account(payment), split.credit)?;
    Ok(lines.draft(EntryType::InvoicePayment, payment.id, payment.paid_at))
}

/// How much of a payment its refunds have taken back so far.
struct Refunded {
    /// What they take off invoices before they take anything off the credit.
    before_credit: i128,
    /// What they can take off the credit.
    credit: i128,
}

impl Refunded {
    fn of(split: &Split) -> Refunded {
        Refunded {
            before_credit: split.to_invoices,
            credit: split.credit,
        }
    }

    /// Takes back some more. Gives how much of it was credit.
    fn take(&mut self, amount: i128) -> i128 {
        let beyond = (amount - self.before_credit).max(0);
        self.before_credit -= amount - beyond;
        let credit = beyond.min(self.credit);
        self.credit -= credit;
        credit
    }
}

/// What a refund takes back, owed until it is paid.
fn refund_entry(
    payment: &Payment,
    refund: &Refund,
    refunded: &mut Refunded,
) -> Result<Option<Draft>, OutOfRange> {
    let mut lines = Lines::default();
    let mut take_back = |account: Option<Uuid>, amount: i128| {
        let credit = refunded.take(amount);
        if let Some(account) = account.or(refund.account) {
            return lines.debit(Account::Given(account), amount);
        }
        lines.debit(named("CUSTOMER_REFUNDS"), amount - credit)?;
        lines.debit(remaining_credit_account(payment), credit)
    };
    for line in &refund.lines {
        take_back(line.prepayment_account.or(line.account), line.amount.into())?;
    }
    if refund.lines.is_empty() {
        take_back(None, refund.amount())?;
    }
    lines.credit(named("REFUND_LIABILITIES"), refund.amount())?;
    Ok(lines.draft(
        EntryType::RefundAllocation,
        refund.id.0,
        completed(payment, refund),
    ))
}

/// The payment of a refund.
fn refund_payment_entry(payment: &Payment, refund: &Refund) -> Result<Option<Draft>, OutOfRange> {
    let mut lines = Lines::default();
    let amount = refund.amount();
    let fee = i128::from(refund.processing_fee);
    let returned: i128 = refund
        .refunded_fees
        .iter()
        .map(|fee| i128::from(fee.fee_amount))
        .sum();
    let method = refund.method.unwrap_or(payment.method);
    let as_credit = method == PaymentMethod::CreditBalance;
    // A refund goes back the way that the payment came, unless it says otherwise. One that is given as credit moves no
    // money; its fees go the payment's way.
    let same_way = (as_credit || method == payment.method)
        && (refund.processor.is_none() || refund.processor == payment.processor);
    let money = if let Some(account) = refund.clearing_account {
        Account::Given(account)
    } else if same_way {
        money_account(payment)
    } else {
        default_money_account(method, refund.processor.as_deref())
    };
    lines.debit(named("REFUND_LIABILITIES"), amount)?;
    lines.debit(named("BANK_FEES"), fee)?;
    for fee in &refund.refunded_fees {
        lines.credit(Account::Given(fee.account), fee.fee_amount.into())?;
    }
    if as_credit {
        lines.credit(remaining_credit_account(payment), amount)?;
        lines.credit(money, fee - returned)?;
    } else {
        lines.credit(money, amount + fee - returned)?;
    }
    Ok(lines.draft(
        EntryType::RefundPayment,
        refund.id.0,
        completed(payment, refund),
    ))
}

fn completed(payment: &Payment, refund: &Refund) -> Timestamp {
    refund.completed_at.unwrap_or(payment.paid_at)
}

/// What arrives in the clearing account, in cents: the amount less all fees. Of redeemed credit nothing arrives, so the
/// fees alone are taken from it.
pub(crate) fn arriving(payment: &Payment) -> i128 {
    let fees = payment
        .additional_fees
        .iter()
        .map(|fee| i128::from(fee.fee_amount))
        .sum::<i128>()
        + i128::from(payment.fee);
    match payment.method {
        PaymentMethod::CreditBalance => -fees,
        _ => i128::from(payment.amount) - fees,
    }
}

/// Where redeemed credit comes from.
fn credit_account(payment: &Payment) -> Account {
    payment
        .prepayment_account
        .map_or_else(|| named("UNEARNED_REVENUE"), Account::Given)
}

/// Where credit is owed that the payment leaves. What was credit before stays where it was.
fn remaining_credit_account(payment: &Payment) -> Account {
    match payment.method {
        PaymentMethod::CreditBalance => credit_account(payment),
        _ => named("UNEARNED_REVENUE"),
    }
}

/// Where the payment's money arrives: the clearing account.
pub(crate) fn money_account(payment: &Payment) -> Account {
    payment.clearing_account.map_or_else(
        || default_money_account(payment.method, payment.processor.as_deref()),
        Account::Given,
    )
}

/// The clearing account of a method, where the request names none.
fn default_money_account(method: PaymentMethod, processor: Option<&str>) -> Account {
    let by_processor = processor.map(chart::clearing_account);
    Account::Named(match method {
        PaymentMethod::Cash => Cow::Borrowed("CASH"),
        PaymentMethod::Check => Cow::Borrowed("UNDEPOSITED_FUNDS"),
        PaymentMethod::CreditCard | PaymentMethod::Ach | PaymentMethod::CreditBalance => {
            by_processor.unwrap_or(Cow::Borrowed(chart::PROCESSOR_CLEARING))
        }
        PaymentMethod::Other => by_processor.unwrap_or(Cow::Borrowed("UNDEPOSITED_FUNDS")),
    })
}

/// An account of the chart.
pub(crate) fn named(stable_name: &'static str) -> Account {
    Account::Named(Cow::Borrowed(stable_name))
}

/// Lines as they are written down, none of zero.
#[derive(Debug, Default)]
pub(crate) struct Lines(Vec<Line>);

impl Lines {
    /// Adds to the debit of an account; an amount below zero goes to its credit.
    pub(crate) fn debit(&mut self, account: Account, amount: i128) -> Result<(), OutOfRange> {
        self.add(account, Side::Debit, amount)
    }

    /// Adds to the credit of an account; an amount below zero goes to its debit.
    pub(crate) fn credit(&mut self, account: Account, amount: i128) -> Result<(), OutOfRange> {
        self.add(account, Side::Credit, amount)
    }

    fn add(&mut self, account: Account, side: Side, amount: i128) -> Result<(), OutOfRange> {
        let side = if amount < 0 { side.other() } else { side };
        let amount = i64::try_from(amount.unsigned_abs()).map_err(|_| OutOfRange)?;
        if amount > 0 {
            self.0.push(Line {
                account,
                side,
                amount,
            });
        }
        Ok(())
    }

    /// The entry of these lines, if there are any.
    pub(crate) fn draft(self, entry_type: EntryType, source: Uuid, at: Timestamp) -> Option<Draft> {
        (!self.0.is_empty()).then_some(Draft {
            entry_type,
            source,
            at,
            lines: self.0,
        })
    }
}

impl Draft {
    /// The same entry with the accounts that `resolve` gives, and one line an account and side. Gives `None` in place
    /// of an entry with a line that 64 bits don't hold.
    pub(crate) fn resolved<E>(
        self,
        mut resolve: impl FnMut(Account) -> Result<Uuid, E>,
    ) -> Result<Option<Draft<Uuid>>, E> {
        let mut lines: Vec<Line<Uuid>> = Vec::with_capacity(self.lines.len());
        let mut places = HashMap::new();
        for line in self.lines {
            let account = resolve(line.account)?;
            match places.entry((account, line.side)) {
                Entry::Vacant(place) => {
                    place.insert(lines.len());
                    lines.push(Line {
                        account,
                        side: line.side,
                        amount: line.amount,
                    });
                }
                Entry::Occupied(place) => {
                    let amount = &mut lines[*place.get()].amount;
                    match amount.checked_add(line.amount) {
                        Some(sum) => *amount = sum,
                        None => return Ok(None),
                    }
                }
            }
        }
        Ok(Some(Draft {
            entry_type: self.entry_type,
            source: self.source,
            at: self.at,
            lines,
        }))
    }
}

impl Draft<Uuid> {
    /// Whether both say the same of the same thing. The order of lines says nothing.
    pub(crate) fn is_same(&self, other: &Draft<Uuid>) -> bool {
        // An account stands on a side once, so sorting by both leaves nothing to chance.
        let sorted = |entry: &Draft<Uuid>| {
            let mut lines = entry.lines.clone();
            lines.sort_unstable_by_key(|line| (line.account, line.side.name(), line.amount));
            lines
        };
        (self.entry_type, self.source, self.at) == (other.entry_type, other.source, other.at)
            && (self.lines == other.lines || sorted(self) == sorted(other))
    }

    /// The entry that undoes this one.
    pub(crate) fn reversed(&self) -> Draft<Uuid> {
        Draft {
            entry_type: EntryType::Reversal,
            source: self.source,
            at: self.at,
            lines: self
                .lines
                .iter()
                .map(|line| Line {
                    account: line.account,
                    side: line.side.other(),
                    amount: line.amount,
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
