//! A payment as its clients see it: what they ask of it, and what may be answered.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::history;

/// What a record did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Created,
    Updated,
    Unchanged,
}

impl Outcome {
    pub(crate) fn named(name: &Value) -> Outcome {
        match name.as_str() {
            Some("created") => Outcome::Created,
            Some("updated") => Outcome::Updated,
            Some("unchanged") => Outcome::Unchanged,
            _ => panic!("{name} is no outcome"),
        }
    }
}

/// What of a payment is told apart. The rest of it follows from the amount, of which no two writes have the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) amount: u64,
    pub(crate) memo: Option<String>,
    pub(crate) reference: Option<String>,
}

/// What a record is answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    pub(crate) shown: Shown,
}

/// What is asked of a payment. `None` in place of what was answered stands for no answer, and elsewhere for what wasn't
/// sent.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Record {
        amount: u64,
        memo: Option<String>,
        answer: Option<Answer>,
    },
    Update {
        memo: Option<String>,
        reference: Option<String>,
        shown: Option<Shown>,
    },
    Read(Option<Shown>),
}

/// A payment that is there; its id is unknown as long as nobody was told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    id: Option<String>,
    amount: u64,
    memo: Option<String>,
    reference: Option<String>,
}

impl State {
    /// The same, if it is shown like that.
    fn seen(self, shown: &Shown) -> Option<State> {
        let is_right = self.id.as_ref().is_none_or(|id| *id == shown.id)
            && (self.amount, &self.memo, &self.reference)
                == (shown.amount, &shown.memo, &shown.reference);
        is_right.then(|| State {
            id: Some(shown.id.clone()),
            ..self
        })
    }
}

impl history::Operation for Operation {
    type State = Option<State>;

    fn is_answered(&self) -> bool {
        !matches!(
            self,
            Operation::Record { answer: None, .. } | Operation::Update { shown: None, .. }
        )
    }

    fn apply(&self, state: &Option<State>) -> Option<Option<State>> {
        match self {
            Operation::Record {
                amount,
                memo,
                answer,
            } => {
                let after = match state {
                    None => State {
                        id: None,
                        amount: *amount,
                        memo: memo.clone(),
                        reference: None,
                    },
                    Some(before) => State {
                        amount: *amount,
                        memo: memo.clone().or_else(|| before.memo.clone()),
                        ..before.clone()
                    },
                };
                let outcome = match state {
                    None => Outcome::Created,
                    Some(before) if *before == after => Outcome::Unchanged,
                    Some(_) => Outcome::Updated,
                };
                match answer {
                    None => Some(Some(after)),
                    Some(answer) if answer.outcome == outcome => {
                        after.seen(&answer.shown).map(Some)
                    }
                    Some(_) => None,
                }
            }
            Operation::Update {
                memo,
                reference,
                shown,
            } => {
                // Nobody knows the id of a payment that isn't there.
                let before = state.as_ref()?;
                let after = State {
                    memo: memo.clone().or_else(|| before.memo.clone()),
                    reference: reference.clone().or_else(|| before.reference.clone()),
                    ..before.clone()
                };
                match shown {
                    None => Some(Some(after)),
                    Some(shown) => after.seen(shown).map(Some),
                }
            }
            Operation::Read(None) => state.is_none().then_some(None),
            Operation::Read(Some(shown)) => state.clone()?.seen(shown).map(Some),
        }
    }
}

/// What clients name, and how often: some names are new to all of them now and then.
const TAG_KEYS: u64 = 7;
const TAG_VALUES: u64 = 11;
const INVOICES: u64 = 13;

/// A request to record a payment. All of it but the memo follows from the amount.
pub(crate) fn request(external_id: &str, amount: u64, memo: Option<&str>) -> Value {
    let mut request = json!({
        "external_id": external_id,
        "paid_at": paid_at(amount),
        "method": "CASH",
        "amount": amount,
        "tags": [{"key": tag_key(amount), "value": tag_value(amount)}],
        "invoice_payments": [{"invoice_external_id": invoice(amount), "amount": amount / 2}],
    });
    if let Some(memo) = memo {
        request["memo"] = json!(memo);
    }
    request
}

fn paid_at(amount: u64) -> String {
    format!(
        "2024-{:02}-{:02}T12:00:00Z",
        amount % 12 + 1,
        amount % 28 + 1
    )
}

fn tag_key(amount: u64) -> String {
    format!("key-{}", amount % TAG_KEYS)
}

fn tag_value(amount: u64) -> String {
    format!("value-{}", amount % TAG_VALUES)
}

fn invoice(amount: u64) -> String {
    format!("invoice-{}", amount % INVOICES)
}

/// The ids that replies have shown, each of which belongs to one name, and each name to one of them.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<BTreeMap<String, String>>);

impl Names {
    /// Notes an id.
    ///
    /// # Panics
    ///
    /// If the name has another one.
    pub(crate) fn note(&self, name: String, id: &Value) {
        let id = id
            .as_str()
            .unwrap_or_else(|| panic!("{name} has the id {id}"));
        let mut names = self.0.lock().expect("no other client found a fault");
        let known = names.entry(name.clone()).or_insert_with(|| id.to_owned());
        assert_eq!(known, id, "{name} has two ids");
    }

    /// All of them.
    pub(crate) fn all(&self) -> BTreeMap<String, String> {
        self.0.lock().expect("no client found a fault").clone()
    }

    /// Reads a payment in a reply, whose parts have to be those of one request.
    ///
    /// # Panics
    ///
    /// If they aren't.
    pub(crate) fn shown(&self, payment: &Value) -> Shown {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let amount = payment["amount"]
            .as_u64()
            .unwrap_or_else(|| panic!("a payment without an amount: {payment}"));
        let (tag, allocation) = (&payment["transaction_tags"][0], &payment["allocations"][0]);
        assert_eq!(
            (
                &payment["at"],
                &tag["key"],
                &tag["value"],
                &allocation["amount"],
                &payment["transaction_tags"][1],
                &payment["allocations"][1],
            ),
            (
                &json!(paid_at(amount)),
                &json!(tag_key(amount)),
                &json!(tag_value(amount)),
                &json!(amount / 2),
                &Value::Null,
                &Value::Null,
            ),
            "parts of different requests: {payment}"
        );
        self.note(format!("tag {}", tag_key(amount)), &tag["dimension_id"]);
        let value = format!("tag {} {}", tag_key(amount), tag_value(amount));
        self.note(value, &tag["definition_id"]);
        self.note(invoice(amount), &allocation["invoice_id"]);
        Shown {
            id: text(&payment["id"]).expect("a payment has an id"),
            amount,
            memo: text(&payment["memo"]),
            reference: text(&payment["reference_number"]),
        }
    }
}
