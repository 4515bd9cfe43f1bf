//! What a business has, and what a change of a payment means for it: names, what is paid on invoices, what is posted.

use serde_json::{Map, Value, json};

use crate::invoices::{Invoices, Paid, Settled};
use crate::ledger::{self, Entry, Part, account, items};
use crate::model::Fault;

/// A payment as the model knows it. Values that the server chooses are noted when it first tells them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Payment {
    /// Empty until the server tells it.
    pub(crate) id: String,
    pub(crate) imported_at: String,
    /// By the names that requests have for them; what isn't set isn't there. An allocation's invoice is the place that it
    /// has among the model's.
    pub(crate) values: Map<String, Value>,
    /// A number for each refund, which it keeps while it is the same refund.
    refunds: Vec<u64>,
    /// What was posted for it, by what each request posted.
    pub(crate) journal: Vec<Vec<Entry>>,
}

/// What a business has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    pub(crate) payments: Vec<Payment>,
    pub(crate) invoices: Invoices,
    /// How many refunds there have been.
    refunds: u64,
}

impl Books {
    pub(crate) fn by_external_id(&self, external_id: &str) -> Option<usize> {
        self.payments.iter().position(|payment| {
            payment
                .values
                .get("external_id")
                .is_some_and(|id| id == external_id)
        })
    }

    /// What payments pay on an invoice.
    pub(crate) fn paid(&self, invoice: usize) -> Paid {
        let mut sum = Paid::default();
        for payment in &self.payments {
            for part in ledger::parts(&payment.values) {
                if part.invoice == invoice {
                    sum.paid += part.paid;
                    sum.refunded += part.refunded;
                }
            }
        }
        sum
    }

    /// Takes over what a request says by giving both names of an invoice. Whether payments were changed by it is noted in
    /// `rewritten`. `place` is where the request names them.
    pub(crate) fn settle(
        &mut self,
        (id, name): (&str, &str),
        place: String,
        rewritten: &mut Vec<usize>,
        faults: &mut Vec<Fault>,
    ) {
        let (old, new) = match self.invoices.settle(id, name) {
            Settled::Nothing => return,
            Settled::Named(invoice) => (invoice, invoice),
            Settled::Joined(old, new) => (old, new),
        };
        let (moved, there) = (self.paid(old), self.paid(new));
        for (index, payment) in self.payments.iter_mut().enumerate() {
            let allocations = payment.values.get_mut("invoice_payments");
            for allocation in allocations
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                if allocation.get("invoice") == Some(&json!(old)) {
                    allocation["invoice"] = json!(new);
                    rewritten.push(index);
                }
            }
        }
        if old != new
            && let Some(code) = self.invoices.refusal(new, there.paid, moved.paid)
        {
            faults.push((place, code.to_owned()));
        }
    }

    /// Settles the names of the invoices that a request gives with both.
    pub(crate) fn settle_all(
        &mut self,
        request: &Value,
        place: &str,
        rewritten: &mut Vec<usize>,
    ) -> Vec<Fault> {
        let mut faults = Vec::new();
        let parts = request["invoice_payments"].as_array();
        for (index, part) in parts.into_iter().flatten().enumerate() {
            if let (Some(id), Some(name)) = (
                part["invoice_id"].as_str(),
                part["invoice_external_id"].as_str(),
            ) {
                let place = format!("{place}/invoice_payments/{index}/invoice_id");
                self.settle((id, name), place, rewritten, &mut faults);
            }
        }
        faults
    }

    /// A value of a request with the names in it resolved, and in the form in which two that mean the same are equal.
    pub(crate) fn named(
        &mut self,
        key: &str,
        value: &Value,
        place: &str,
        faults: &mut Vec<Fault>,
    ) -> Value {
        let mut value = settled(key, value);
        let unknown = |named: Option<&Value>, at: &str| {
            let is_unknown = account(named) == Some(UNKNOWN_ACCOUNT);
            is_unknown.then(|| (format!("{place}/{key}{at}"), "account-unknown".to_owned()))
        };
        match key {
            "payment_clearing_account_identifier" | "redemption_account" => {
                faults.extend(unknown(Some(&value), ""));
            }
            "additional_fees" => {
                for (index, fee) in value.as_array().into_iter().flatten().enumerate() {
                    faults.extend(unknown(fee.get("account"), &format!("/{index}/account")));
                }
            }
            "invoice_payments" => {
                for (index, part) in value.as_array_mut().into_iter().flatten().enumerate() {
                    let Some(part) = part.as_object_mut() else {
                        continue;
                    };
                    if part.contains_key("account") {
                        faults.extend(unknown(part.get("account"), &format!("/{index}/account")));
                        continue;
                    }
                    let (id, name) = (
                        part.remove("invoice_id"),
                        part.remove("invoice_external_id"),
                    );
                    let text = |name: &Option<Value>| name.as_ref()?.as_str().map(str::to_owned);
                    match self
                        .invoices
                        .named(text(&id).as_deref(), text(&name).as_deref())
                    {
                        Some(invoice) => {
                            part.insert("invoice".to_owned(), json!(invoice));
                        }
                        None => faults.push((
                            format!("{place}/{key}/{index}/invoice_external_id"),
                            "invoice-ids-disagree".to_owned(),
                        )),
                    }
                }
            }
            _ => {}
        }
        value
    }

    /// Puts a payment in place of the one that is known, or adds a new one, with all that follows from it. Gives its
    /// place, or what can't be paid on invoices.
    pub(crate) fn put(
        &mut self,
        known: Option<usize>,
        values: Map<String, Value>,
        place: &str,
    ) -> Result<usize, Vec<Fault>> {
        let old = known
            .map(|known| self.payments[known].clone())
            .unwrap_or_default();
        let (before, after) = (ledger::parts(&old.values), ledger::parts(&values));
        let mut faults = Vec::new();
        let mut seen = Vec::new();
        for part in &after {
            if seen.contains(&part.invoice) {
                continue;
            }
            seen.push(part.invoice);
            let sum = |parts: &[Part]| -> i64 {
                let same = parts.iter().filter(|other| other.invoice == part.invoice);
                same.map(|part| part.paid).sum()
            };
            let (more, paid) = (sum(&after) - sum(&before), self.paid(part.invoice).paid);
            if let Some(code) = self.invoices.refusal(part.invoice, paid, more) {
                let place = format!("{place}/invoice_payments/{}", part.allocation);
                faults.push((place, code.to_owned()));
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let refunds = self.numbers_of_refunds(&old, &values);
        let mut posted = Vec::new();
        let mut there = ledger::entries(&old.values, &old.refunds);
        if known.is_none() {
            there.clear();
        }
        for entry in ledger::entries(&values, &refunds) {
            match there.iter().position(|other| *other == entry) {
                // What is posted already stays.
                Some(at) => drop(there.remove(at)),
                None => posted.push(entry),
            }
        }
        posted.extend(there.iter().map(Entry::reversal));
        let mut payment = Payment {
            values,
            refunds,
            ..old
        };
        if !posted.is_empty() {
            posted.sort();
            payment.journal.push(posted);
        }
        Ok(match known {
            Some(known) => {
                self.payments[known] = payment;
                known
            }
            None => {
                self.payments.push(payment);
                self.payments.len() - 1
            }
        })
    }

    /// The numbers of a payment's refunds. One with an external id stays the one that had it; one without stays the one in
    /// its place, if that had none.
    fn numbers_of_refunds(&mut self, old: &Payment, values: &Map<String, Value>) -> Vec<u64> {
        let known = items(&old.values, "dedicated_refunds");
        let mut numbers = Vec::new();
        for (index, refund) in items(values, "dedicated_refunds").iter().enumerate() {
            let same = match refund.get("external_id") {
                Some(name) => known
                    .iter()
                    .position(|old| old.get("external_id") == Some(name)),
                None => Some(index).filter(|index| {
                    known
                        .get(*index)
                        .is_some_and(|old| old.get("external_id").is_none())
                }),
            };
            self.refunds += 1;
            numbers.push(same.map_or(self.refunds, |same| old.refunds[same]));
        }
        numbers
    }
}

/// The name of an account that no business has.
pub(crate) const UNKNOWN_ACCOUNT: &str = "NO_SUCH_ACCOUNT";

/// Properties of requests that a payment has unless they are cleared, with what they are when they aren't set.
const LISTS: [&str; 4] = [
    "invoice_payments",
    "additional_fees",
    "dedicated_refunds",
    "tags",
];

/// What a payment has before anything is set.
pub(crate) fn new_payment() -> Map<String, Value> {
    let mut values = Map::new();
    values.insert("fee".to_owned(), json!(0));
    values.insert("metadata".to_owned(), json!({}));
    for list in LISTS {
        values.insert(list.to_owned(), json!([]));
    }
    values
}

/// A value in the form in which two that mean the same are equal: inside of lists null is the same as left out, and a
/// default as its absence (D21, D28).
fn settled(key: &str, value: &Value) -> Value {
    if !LISTS.contains(&key) {
        return value.clone();
    }
    let items = value.as_array().into_iter().flatten().map(|item| {
        let mut item = item.clone();
        if let Some(item) = item.as_object_mut() {
            item.retain(|key, value| {
                let says_nothing = value.is_null()
                    || (key == "is_passed_to_customer" && *value == false)
                    || (key == "refund_processing_fee" && *value == 0)
                    || (key == "metadata" && *value == json!({}))
                    || (["tags", "line_items", "refunded_payment_fees"].contains(&key.as_str())
                        && *value == json!([]));
                !says_nothing
            });
            if let Some(lines) = item.get_mut("line_items") {
                *lines = settled("dedicated_refunds", lines);
            }
        }
        item
    });
    items.collect()
}
