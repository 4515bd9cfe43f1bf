//! Random operations. They name payments by their place among those that there are, so that a sequence can be run again
//! with some of them left out.

use std::collections::BTreeMap;
use std::fmt;

use layer_payments_tests::random::Random;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::books::UNKNOWN_ACCOUNT;

/// One request, or the requests for all pages of a list.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Record(Value),
    Bulk(Vec<Value>),
    /// Of the payment at this place, counted around; of one that isn't there if there is none.
    Update(usize, Value),
    /// Creates an invoice, or gives one another total.
    Invoice(Value),
    /// Of the invoice at this place, counted around; of one that isn't there if there is none.
    Void(usize),
    /// Compares the books with the model's.
    Books,
    /// With the properties of a query but `cursor`.
    List(BTreeMap<&'static str, String>),
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Record(payment) => write!(f, "record {payment}"),
            Operation::Bulk(payments) => write!(f, "bulk {}", json!(payments)),
            Operation::Update(place, changes) => write!(f, "update {place}: {changes}"),
            Operation::Invoice(invoice) => write!(f, "create invoice {invoice}"),
            Operation::Void(place) => write!(f, "void invoice {place}"),
            Operation::Books => write!(f, "look at the books"),
            Operation::List(query) => write!(f, "list {query:?}"),
        }
    }
}

/// What the payments of a sequence may be called.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    prefix: String,
    number: u64,
    /// Whether others use the business, too, so that a list has to ask for one's own payments.
    shared: bool,
}

impl Scope {
    /// A business of one's own.
    pub(crate) fn alone() -> Scope {
        Scope {
            prefix: String::new(),
            number: 0,
            shared: false,
        }
    }

    /// One of several clients.
    pub(crate) fn of_client(number: u64) -> Scope {
        Scope {
            prefix: format!("client-{number}-"),
            number,
            shared: true,
        }
    }

    fn all_references(&self) -> String {
        let all: Vec<String> = (0..4)
            .map(|n| format!("{}reference-{n}", self.prefix))
            .collect();
        all.join(",")
    }
}

/// A sequence of 4 to 23 operations.
pub(crate) fn sequence(random: &mut Random, scope: &Scope) -> Vec<Operation> {
    let length = 4 + random.below(20);
    let mut operations: Vec<Operation> = Vec::new();
    for _ in 0..length {
        let next = match operations.is_empty() || !random.once_in(8) {
            true => operation(random, scope),
            // As a client does that lost the reply.
            false => random.pick(&operations).clone(),
        };
        operations.push(next);
    }
    operations
}

fn operation(random: &mut Random, scope: &Scope) -> Operation {
    match random.below(14) {
        10 | 11 => Operation::Invoice(invoice(random, scope)),
        12 => Operation::Void(usize::try_from(random.below(1_000)).expect("a small number")),
        // The books of a business hold what others do, too.
        13 if random.once_in(2) && !scope.shared => Operation::Books,
        0..=3 => Operation::Record(record(random, scope)),
        4 => {
            let count = random.below(5) + 1;
            Operation::Bulk((0..count).map(|_| record(random, scope)).collect())
        }
        5..=7 => {
            let place = usize::try_from(random.below(1_000)).expect("a small number");
            Operation::Update(place, update(random, scope))
        }
        _ => Operation::List(list(random, scope)),
    }
}

fn record(random: &mut Random, scope: &Scope) -> Value {
    let mut payment = Map::new();
    // Few names, so that they come again.
    if !random.once_in(8) {
        payment.insert("external_id".to_owned(), external_id(random, scope));
    }
    payment.insert("paid_at".to_owned(), time(random));
    payment.insert("method".to_owned(), method(random));
    payment.insert("amount".to_owned(), amount(random));
    payment.insert("invoice_payments".to_owned(), parts(random, scope));
    further(random, scope, &mut payment, 3);
    if scope.shared {
        payment.insert("reference_number".to_owned(), reference(random, scope));
    }
    // Credit is redeemed from an account.
    let redeems = payment["method"] == "CREDIT_BALANCE";
    if random.once_in(if redeems { 2 } else { 40 }) {
        let named = one_of(random, &["SALES", "TIPS"]);
        payment.insert("redemption_account".to_owned(), named);
    }
    for key in [
        "external_id",
        "fee",
        "processor",
        "memo",
        "metadata",
        "tags",
        "reference_number",
        "additional_fees",
        "dedicated_refunds",
        "redemption_account",
        "payment_clearing_account_identifier",
    ] {
        if random.once_in(30) && !(scope.shared && key == "reference_number") {
            payment.insert(key.to_owned(), Value::Null);
        }
    }
    spoil(random, &mut payment, true);
    Value::Object(payment)
}

fn update(random: &mut Random, scope: &Scope) -> Value {
    let mut changes = Map::new();
    if random.once_in(5) {
        changes.insert("external_id".to_owned(), external_id(random, scope));
    }
    if random.once_in(5) {
        changes.insert("paid_at".to_owned(), time(random));
    }
    if random.once_in(4) {
        changes.insert("method".to_owned(), method(random));
    }
    if random.once_in(3) {
        changes.insert("amount".to_owned(), amount(random));
    }
    if random.once_in(3) {
        changes.insert("invoice_payments".to_owned(), parts(random, scope));
    }
    further(random, scope, &mut changes, 5);
    for key in [
        "external_id",
        "paid_at",
        "amount",
        "fee",
        "processor",
        "memo",
        "metadata",
        "reference_number",
        "payment_clearing_account_identifier",
    ] {
        // Others couldn't find a payment of theirs without its reference number.
        if random.once_in(12) && !(scope.shared && key == "reference_number") {
            changes.insert(key.to_owned(), Value::Null);
        }
    }
    spoil(random, &mut changes, false);
    Value::Object(changes)
}

/// Adds properties that both kinds of request have, each once in so many times.
fn further(random: &mut Random, scope: &Scope, payment: &mut Map<String, Value>, times: u64) {
    let mut add = |key: &str, value: Value| payment.insert(key.to_owned(), value);
    if random.once_in(times) {
        add("fee", json!(random.below(100)));
    }
    if random.once_in(2 * times) {
        add("processor", json!(*random.pick(&["STRIPE", "SHOPIFY"])));
    }
    if random.once_in(times) {
        add(
            "memo",
            json!(*random.pick(&["", "Paid at the counter", "Grüße, \"Łukasz\" \u{1f600}"])),
        );
    }
    if random.once_in(times) {
        let metadata = [
            json!({}),
            json!({"order": "A-1"}),
            json!({"nested": {"list": [1, 2.5, null, true]}}),
        ];
        add("metadata", random.pick(&metadata).clone());
    }
    if random.once_in(times) {
        add("reference_number", reference(random, scope));
    }
    if random.once_in(times) {
        add("tags", tags(random));
    }
    if random.once_in(times) {
        let count = random.below(3);
        let fees: Vec<Value> = (0..count)
            .map(|_| {
                let mut fee =
                    json!({"account": one_of(random, &["BANK_FEES", "FEES"]), "fee_amount": random.below(9) * 25});
                if random.once_in(2) {
                    fee["description"] = json!("Cross-border fee");
                }
                if random.once_in(2) {
                    fee["is_passed_to_customer"] = json!(random.once_in(2));
                }
                fee
            })
            .collect();
        add("additional_fees", json!(fees));
    }
    if random.once_in(2 * times) {
        add(
            "payment_clearing_account_identifier",
            one_of(random, &["CASH", "UNDEPOSITED_FUNDS", "STRIPE_CLEARING"]),
        );
    }
    if random.once_in(times) {
        let count = random.below(3);
        let refunds: Vec<Value> = (0..count).map(|_| refund(random)).collect();
        add("dedicated_refunds", json!(refunds));
    }
}

/// A refund of a part of a payment, at times of more than it has.
fn refund(random: &mut Random) -> Value {
    let mut refund = json!({});
    if random.once_in(2) {
        refund["external_id"] = json!(format!("refund-{}", random.below(5)));
    }
    let accounts = ["COGS", "SALES"];
    if random.once_in(2) {
        let lines: Vec<Value> = (0..1 + random.below(2))
            .map(|_| {
                let mut line = json!({"amount": random.below(5) * 150});
                if random.once_in(3) {
                    line["account_identifier"] = one_of(random, &accounts);
                }
                if random.once_in(4) {
                    line["prepayment_account_identifier"] = one_of(random, &accounts);
                }
                if random.once_in(6) {
                    line["memo"] = Value::Null;
                }
                line
            })
            .collect();
        refund["line_items"] = json!(lines);
    } else if !random.once_in(8) {
        refund["refunded_amount"] = json!(random.below(6) * 150);
    }
    if random.once_in(4) {
        refund["account_identifier"] = one_of(random, &accounts);
    }
    if random.once_in(3) {
        refund["completed_at"] = time(random);
    }
    if random.once_in(3) {
        refund["refund_processing_fee"] = json!(random.below(3) * 10);
    }
    if random.once_in(3) {
        refund["method"] = method(random);
    }
    if random.once_in(4) {
        refund["processor"] = json!(*random.pick(&["STRIPE", "SHOPIFY"]));
    }
    if random.once_in(3) {
        let fee = json!({"account": account("FEES"), "fee_amount": random.below(3) * 25});
        refund["refunded_payment_fees"] = json!([fee]);
    }
    if random.once_in(6) {
        refund["payment_clearing_account_identifier"] = account("CASH");
    }
    if random.once_in(4) {
        refund["memo"] = random.pick(&[json!("Sent back"), Value::Null]).clone();
    }
    refund
}

/// An invoice by some of its names.
fn invoice(random: &mut Random, scope: &Scope) -> Value {
    let number = random.below(4);
    let mut invoice = json!({"total_amount": random.below(6) * 400});
    let names = random.below(3);
    if names != 0 {
        invoice["id"] = json!(invoice_id(scope, number));
    }
    if names != 1 {
        let number = if random.once_in(8) {
            random.below(4)
        } else {
            number
        };
        invoice["external_id"] = json!(invoice_name(scope, number));
    }
    invoice
}

fn invoice_name(scope: &Scope, number: u64) -> String {
    format!("{}invoice-{number}", scope.prefix)
}

/// The id that a client has for its invoice of that number.
fn invoice_id(scope: &Scope, number: u64) -> Uuid {
    Uuid::from_u128(
        0x1b01_0000_0000_4000_8000_0000_0000_0000 | u128::from(scope.number << 8 | number),
    )
}

/// Makes a request wrong, once in a while.
fn spoil(random: &mut Random, request: &mut Map<String, Value>, create: bool) {
    if !random.once_in(8) {
        return;
    }
    match random.below(6) {
        5 => request.insert(
            "payment_clearing_account_identifier".to_owned(),
            account(UNKNOWN_ACCOUNT),
        ),
        0 => request.insert("colour".to_owned(), json!("red")),
        1 => request.insert("amount".to_owned(), json!(-5)),
        2 => request.insert("external_id".to_owned(), json!("")),
        3 => {
            let tag = json!({"key": "department", "value": "sales"});
            request.insert("tags".to_owned(), json!([tag, tag]))
        }
        _ if create => request.remove("amount"),
        _ => request.insert("fee".to_owned(), json!(-1)),
    };
}

fn external_id(random: &mut Random, scope: &Scope) -> Value {
    json!(format!("{}payment-{}", scope.prefix, random.below(6)))
}

fn reference(random: &mut Random, scope: &Scope) -> Value {
    json!(format!("{}reference-{}", scope.prefix, random.below(4)))
}

fn time(random: &mut Random) -> Value {
    json!(format!("2024-0{}-01T12:00:00Z", 1 + random.below(5)))
}

fn method(random: &mut Random) -> Value {
    json!(*random.pick(&[
        "CASH",
        "CHECK",
        "CREDIT_CARD",
        "ACH",
        "OTHER",
        "CREDIT_BALANCE"
    ]))
}

fn amount(random: &mut Random) -> Value {
    json!(random.below(6) * 1_000)
}

fn one_of(random: &mut Random, accounts: &[&str]) -> Value {
    let name = *random.pick(accounts);
    account(name)
}

fn account(stable_name: &str) -> Value {
    json!({"type": "StableName", "stable_name": stable_name})
}

fn parts(random: &mut Random, scope: &Scope) -> Value {
    let count = random.below(3);
    (0..count)
        .map(|_| {
            let mut part = json!({"amount": random.below(4) * 400});
            let is_unknown = random.once_in(40);
            if random.once_in(4) {
                part["account"] = one_of(
                    random,
                    if is_unknown {
                        &[UNKNOWN_ACCOUNT]
                    } else {
                        &["UNEARNED_REVENUE", "TIPS"]
                    },
                );
            } else {
                // By its external id, its id, or both; at times by those of two invoices.
                let number = random.below(4);
                let names = random.below(6);
                if names < 2 {
                    part["invoice_id"] = json!(invoice_id(scope, number));
                }
                if names > 0 {
                    let number = if random.once_in(12) {
                        random.below(4)
                    } else {
                        number
                    };
                    part["invoice_external_id"] = json!(invoice_name(scope, number));
                }
            }
            if random.once_in(3) {
                part["memo"] = json!("A part");
            }
            if random.once_in(4) {
                part["tags"] = tags(random);
            }
            if random.once_in(4) {
                part["metadata"] = json!({"part": true});
            }
            part
        })
        .collect()
}

fn tags(random: &mut Random) -> Value {
    ["department", "channel"]
        .iter()
        .filter_map(|key| {
            let value = *random.pick(&["sales", "support"]);
            (!random.once_in(3)).then(|| json!({"key": key, "value": value}))
        })
        .collect()
}

fn list(random: &mut Random, scope: &Scope) -> BTreeMap<&'static str, String> {
    let mut query = BTreeMap::new();
    let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
    if random.once_in(4) {
        query.insert("method", text(method(random)));
    }
    if random.once_in(4) {
        query.insert("paid_at_start", "2024-02-01T12:00:00Z".to_owned());
    }
    if random.once_in(4) {
        query.insert("paid_at_end", "2024-04-01T12:00:00Z".to_owned());
    }
    if random.once_in(6) {
        query.insert("external_id", text(external_id(random, scope)));
    }
    if random.once_in(4) {
        let (one, other) = (
            text(reference(random, scope)),
            text(reference(random, scope)),
        );
        query.insert("reference_numbers", format!("{one},{other}"));
    } else if scope.shared {
        query.insert("reference_numbers", scope.all_references());
    }
    for name in ["included_in_payout", "is_matched"] {
        if random.once_in(8) {
            query.insert(name, random.once_in(3).to_string());
        }
    }
    if random.once_in(2) {
        query.insert(
            "sort_by",
            (*random.pick(&["paid_at", "imported_at", "amount"])).to_owned(),
        );
    }
    if random.once_in(2) {
        query.insert("sort_order", (*random.pick(&["ASC", "DESC"])).to_owned());
    }
    if random.once_in(2) {
        query.insert("limit", (1 + random.below(4)).to_string());
    }
    if random.once_in(2) {
        query.insert("show_total_count", "true".to_owned());
    }
    query
}
