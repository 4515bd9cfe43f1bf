//! What a payment posts, and what it pays on invoices: the rules that the documentation of `domain/ledger.rs` writes
//! down, worked out once more from its words. It reads payments in the form in which the model keeps them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The amounts of an entry by account and side, as the API names them.
pub(crate) type Lines = BTreeMap<(String, &'static str), i64>;

/// A journal entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) kind: &'static str,
    /// The refund that it is about, by the model's own number of it.
    pub(crate) refund: Option<u64>,
    pub(crate) at: String,
    pub(crate) lines: Lines,
}

/// What a payment pays on an invoice by one of its allocations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) allocation: usize,
    pub(crate) invoice: usize,
    /// Without fees that were passed on.
    pub(crate) paid: i64,
    /// How much of that was refunded.
    pub(crate) refunded: i64,
    /// What is left of the allocation without refunds.
    pub(crate) net: i64,
}

/// Where the money of a payment goes.
struct Split {
    parts: Vec<Part>,
    to_invoices: i64,
    /// What the customer paid of the fees that were passed on.
    recovered: i64,
    /// What is owed to the customer.
    credit: i64,
}

impl Entry {
    /// The entry that undoes this one.
    pub(crate) fn reversal(&self) -> Entry {
        let other = |side| if side == "DEBIT" { "CREDIT" } else { "DEBIT" };
        Entry {
            kind: "REVERSAL",
            lines: self
                .lines
                .iter()
                .map(|((account, side), amount)| ((account.clone(), other(*side)), *amount))
                .collect(),
            ..self.clone()
        }
    }
}

fn cents(holder: &Value, key: &str) -> i64 {
    holder[key].as_i64().unwrap_or_default()
}

pub(crate) fn items<'a>(values: &'a Map<String, Value>, key: &str) -> &'a [Value] {
    values
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn text<'a>(values: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    values.get(key).and_then(Value::as_str)
}

/// The account that a property names.
pub(crate) fn account(holder: Option<&Value>) -> Option<&str> {
    holder.and_then(|account| account["stable_name"].as_str())
}

fn is_passed_on(fee: &Value) -> bool {
    fee["is_passed_to_customer"] == true
}

fn number(values: &Map<String, Value>, key: &str) -> i64 {
    values.get(key).and_then(Value::as_i64).unwrap_or_default()
}

/// What a refund gives back: its lines, or its amount where it has none.
pub(crate) fn amount_of_refund(refund: &Value) -> i64 {
    match refund["line_items"]
        .as_array()
        .filter(|lines| !lines.is_empty())
    {
        Some(lines) => lines.iter().map(|line| cents(line, "amount")).sum(),
        None => cents(refund, "refunded_amount"),
    }
}

/// What a payment pays on invoices, in the order of its allocations.
pub(crate) fn parts(values: &Map<String, Value>) -> Vec<Part> {
    split(values).parts
}

/// Passed-on fees are met from what isn't allocated, then from the invoices' allocations in proportion; refunds are taken
/// off the invoices' allocations in their order.
fn split(values: &Map<String, Value>) -> Split {
    let allocations = items(values, "invoice_payments");
    let is_invoice = |allocation: &&Value| allocation.get("invoice").is_some();
    let all: i64 = allocations.iter().map(|part| cents(part, "amount")).sum();
    let to_invoices: i64 = allocations
        .iter()
        .filter(is_invoice)
        .map(|part| cents(part, "amount"))
        .sum();
    let unallocated = number(values, "amount") - all;
    let passed_on: i64 = items(values, "additional_fees")
        .iter()
        .filter(|fee| is_passed_on(fee))
        .map(|fee| cents(fee, "fee_amount"))
        .sum();
    let from_unallocated = passed_on.min(unallocated);
    let from_invoices = (passed_on - from_unallocated).min(to_invoices);
    let mut refunded: i64 = items(values, "dedicated_refunds")
        .iter()
        .map(amount_of_refund)
        .sum();
    let mut parts = Vec::new();
    // A cent that doesn't divide falls to the allocation at which the shares so far come to a whole cent more.
    let (mut allocated, mut shared) = (0, 0);
    for (index, allocation) in allocations.iter().enumerate() {
        let Some(invoice) = allocation.get("invoice").and_then(Value::as_u64) else {
            continue;
        };
        let amount = cents(allocation, "amount");
        allocated += amount;
        let share = match to_invoices {
            0 => 0,
            whole => from_invoices * allocated / whole - shared,
        };
        shared += share;
        let taken = refunded.min(amount);
        refunded -= taken;
        parts.push(Part {
            allocation: index,
            invoice: usize::try_from(invoice).expect("a small number"),
            paid: amount - share,
            refunded: taken.min(amount - share),
            net: amount - taken,
        });
    }
    Split {
        parts,
        to_invoices,
        recovered: from_unallocated + from_invoices,
        credit: unallocated - from_unallocated,
    }
}

/// Lines on their way into an entry. An amount below zero stands on the other side, and none of zero stands at all.
#[derive(Default)]
struct Draft(Lines);

impl Draft {
    fn debit(&mut self, account: &str, amount: i64) {
        let side = if amount < 0 { "CREDIT" } else { "DEBIT" };
        if amount != 0 {
            *self.0.entry((account.to_owned(), side)).or_default() += amount.abs();
        }
    }

    fn credit(&mut self, account: &str, amount: i64) {
        self.debit(account, -amount);
    }

    fn entry(self, kind: &'static str, refund: Option<u64>, at: &str) -> Option<Entry> {
        (!self.0.is_empty()).then(|| Entry {
            kind,
            refund,
            at: at.to_owned(),
            lines: self.0,
        })
    }
}

/// The clearing account where no request names one.
fn usual_clearing(method: &str, processor: Option<&str>) -> String {
    let of_processor = processor.map(|name| format!("{name}_CLEARING"));
    match method {
        "CASH" => "CASH".to_owned(),
        "CHECK" => "UNDEPOSITED_FUNDS".to_owned(),
        "CREDIT_CARD" | "ACH" | "CREDIT_BALANCE" => {
            of_processor.unwrap_or("PAYMENT_PROCESSOR_CLEARING".to_owned())
        }
        _ => of_processor.unwrap_or("UNDEPOSITED_FUNDS".to_owned()),
    }
}

/// The entries that a payment with these values posts. `refunds` are the numbers of its refunds.
pub(crate) fn entries(values: &Map<String, Value>, refunds: &[u64]) -> Vec<Entry> {
    let split = split(values);
    let method = text(values, "method").unwrap_or_default();
    let processor = text(values, "processor");
    let at = text(values, "paid_at").unwrap_or_default();
    let clearing = account(values.get("payment_clearing_account_identifier"))
        .map_or_else(|| usual_clearing(method, processor), str::to_owned);
    // Credit that is redeemed comes from its account, and what is left of it goes back there.
    let credit_account = match method {
        "CREDIT_BALANCE" => account(values.get("redemption_account")),
        _ => None,
    };
    let credit_account = credit_account.unwrap_or("UNEARNED_REVENUE");
    let mut entries = Vec::new();

    let mut draft = Draft::default();
    let fees = items(values, "additional_fees");
    let amount = number(values, "amount");
    let fee = number(values, "fee");
    let kept = fee + fees.iter().map(|fee| cents(fee, "fee_amount")).sum::<i64>();
    if method == "CREDIT_BALANCE" {
        draft.debit(credit_account, amount);
        draft.credit(&clearing, kept);
    } else {
        draft.debit(&clearing, amount - kept);
    }
    draft.debit("BANK_FEES", fee);
    let mut recovered = split.recovered;
    for fee in fees {
        let (account, amount) = (
            account(fee.get("account")).unwrap_or_default(),
            cents(fee, "fee_amount"),
        );
        draft.debit(account, amount);
        if is_passed_on(fee) {
            let part = recovered.min(amount);
            recovered -= part;
            draft.credit(account, part);
        }
    }
    let paid = split.parts.iter().map(|part| part.paid).sum();
    draft.credit("ACCOUNTS_RECEIVABLE", paid);
    for allocation in items(values, "invoice_payments") {
        if let Some(account) = account(allocation.get("account")) {
            draft.credit(account, cents(allocation, "amount"));
        }
    }
    draft.credit(credit_account, split.credit);
    entries.extend(draft.entry("INVOICE_PAYMENT", None, at));

    let (mut of_invoices, mut of_credit) = (split.to_invoices, split.credit);
    for (refund, number) in items(values, "dedicated_refunds").iter().zip(refunds) {
        let at = refund["completed_at"].as_str().unwrap_or(at);
        let given_back = amount_of_refund(refund);

        let mut draft = Draft::default();
        let whole = [refund.clone()];
        let lines = match refund["line_items"]
            .as_array()
            .filter(|lines| !lines.is_empty())
        {
            Some(lines) => lines.as_slice(),
            None => &whole,
        };
        for line in lines {
            let amount = match line.get("amount") {
                Some(_) => cents(line, "amount"),
                None => given_back,
            };
            // Off the invoices first, then off the credit; what is left was neither.
            let from_invoices = amount.min(of_invoices);
            of_invoices -= from_invoices;
            let from_credit = (amount - from_invoices).min(of_credit);
            of_credit -= from_credit;
            let named = account(line.get("prepayment_account_identifier"))
                .or(account(line.get("account_identifier")))
                .or(account(refund.get("account_identifier")));
            match named {
                Some(account) => draft.debit(account, amount),
                None => {
                    draft.debit("CUSTOMER_REFUNDS", amount - from_credit);
                    draft.debit(credit_account, from_credit);
                }
            }
        }
        draft.credit("REFUND_LIABILITIES", given_back);
        entries.extend(draft.entry("REFUND_ALLOCATION", Some(*number), at));

        let mut draft = Draft::default();
        let fee = cents(refund, "refund_processing_fee");
        draft.debit("REFUND_LIABILITIES", given_back);
        draft.debit("BANK_FEES", fee);
        let mut returned = 0;
        for fee in refund["refunded_payment_fees"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let account = account(fee.get("account")).unwrap_or_default();
            draft.credit(account, cents(fee, "fee_amount"));
            returned += cents(fee, "fee_amount");
        }
        let way = refund["method"].as_str().unwrap_or(method);
        let by = refund["processor"].as_str();
        let other_way = way != method && way != "CREDIT_BALANCE";
        let money = match account(refund.get("payment_clearing_account_identifier")) {
            Some(account) => account.to_owned(),
            None if other_way || (by.is_some() && by != processor) => usual_clearing(way, by),
            None => clearing.clone(),
        };
        if way == "CREDIT_BALANCE" {
            draft.credit(credit_account, given_back);
            draft.credit(&money, fee - returned);
        } else {
            draft.credit(&money, given_back + fee - returned);
        }
        entries.extend(draft.entry("REFUND_PAYMENT", Some(*number), at));
    }
    entries
}
