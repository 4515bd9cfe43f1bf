//! What the API has to answer, worked out from `spec/decisions.md`.
//!
//! [`Model::record`], [`Model::update`] and [`Model::list`] are the operations. A change is judged in three steps: the
//! request by itself ([`faults_of_request`]), the request against the payment that it changes ([`against_payment`]), and
//! the payment that results. What follows from payments, such as the balances of invoices, belongs behind
//! [`Model::keep`], through which every change goes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A place and the code of a rule.
pub(crate) type Fault = (String, String);

/// A payment as the model knows it. Values that the server chooses are noted when it first tells them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Payment {
    pub(crate) id: String,
    pub(crate) imported_at: String,
    /// By the names that requests have for them; what isn't set isn't there.
    pub(crate) values: Map<String, Value>,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Prediction {
    /// The payments as they are afterwards, and for records what became of each.
    Done(Vec<(Option<usize>, Map<String, Value>, Outcome)>),
    Refused(Vec<Fault>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Created,
    Updated,
    Unchanged,
}

impl Outcome {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Outcome::Created => "created",
            Outcome::Updated => "updated",
            Outcome::Unchanged => "unchanged",
        }
    }
}

/// The payments of one business.
#[derive(Debug, Default)]
pub(crate) struct Model {
    payments: Vec<Payment>,
    /// Which id the server gave to what: an invoice by its external id, an account by its stable name, a tag.
    ids: BTreeMap<(&'static str, String), String>,
}

/// Properties of requests that a payment has unless they are cleared, with what they are when they aren't set.
const LISTS: [&str; 3] = ["invoice_payments", "additional_fees", "tags"];

impl Model {
    pub(crate) fn new() -> Model {
        Model::default()
    }

    pub(crate) fn len(&self) -> usize {
        self.payments.len()
    }

    pub(crate) fn payment(&self, index: usize) -> &Payment {
        &self.payments[index]
    }

    fn by_external_id(&self, external_id: &str) -> Option<usize> {
        self.payments.iter().position(|payment| {
            payment
                .values
                .get("external_id")
                .is_some_and(|id| id == external_id)
        })
    }

    /// Predicts what recording these payments does: one by itself, or all of a bulk (D52, D54, D55).
    pub(crate) fn record(&self, requests: &[Value], bulk: bool) -> Prediction {
        let mut faults = Vec::new();
        let place = |index: usize| {
            if bulk {
                format!("/{index}")
            } else {
                String::new()
            }
        };
        for (index, request) in requests.iter().enumerate() {
            faults.extend(faults_of_request(request, true, &place(index)));
            let name = &request["external_id"];
            let takes_part = |request: &Value| faults_of_form(request, true, "").is_empty();
            let same = |other: &Value| other["external_id"] == *name && takes_part(other);
            if bulk
                && name.as_str().is_some_and(|name| !name.is_empty())
                && takes_part(request)
                && requests[..index].iter().any(same)
            {
                faults.push((
                    format!("/{index}/external_id"),
                    "duplicate-external-id".to_owned(),
                ));
            }
        }
        if !faults.is_empty() {
            return Prediction::Refused(faults);
        }
        let mut done = Vec::new();
        for (index, request) in requests.iter().enumerate() {
            let known = request["external_id"]
                .as_str()
                .and_then(|id| self.by_external_id(id));
            // What a record leaves out or gives as null stays as it was.
            let given = |key: &str| request.get(key).filter(|value| !value.is_null());
            let mut values =
                known.map_or_else(new_payment, |known| self.payments[known].values.clone());
            for (key, _) in request.as_object().into_iter().flatten() {
                if let Some(value) = given(key) {
                    values.insert(key.clone(), settled(key, value));
                }
            }
            faults.extend(against_payment(&values, request, &place(index)));
            let outcome = match known {
                None => Outcome::Created,
                Some(known) if self.payments[known].values == values => Outcome::Unchanged,
                Some(_) => Outcome::Updated,
            };
            done.push((known, values, outcome));
        }
        if faults.is_empty() {
            Prediction::Done(done)
        } else {
            Prediction::Refused(faults)
        }
    }

    /// What is wrong with an update whatever it changes.
    pub(crate) fn faults_of_update(&self, request: &Value) -> Vec<Fault> {
        faults_of_request(request, false, "")
    }

    /// Predicts what an update does (D21, D22, D56).
    pub(crate) fn update(&self, index: usize, request: &Value) -> Prediction {
        let faults = self.faults_of_update(request);
        if !faults.is_empty() {
            return Prediction::Refused(faults);
        }
        let mut values = self.payments[index].values.clone();
        let mut faults = Vec::new();
        for (key, value) in request.as_object().into_iter().flatten() {
            match (key.as_str(), value) {
                // These can't be empty, and null leaves them.
                ("paid_at" | "amount", Value::Null) => {}
                ("fee", Value::Null) => {
                    values.insert("fee".to_owned(), json!(0));
                }
                ("metadata", Value::Null) => {
                    values.insert("metadata".to_owned(), json!({}));
                }
                (_, Value::Null) => {
                    values.remove(key);
                }
                _ => {
                    values.insert(key.clone(), settled(key, value));
                }
            }
        }
        if let Some(name) = request["external_id"].as_str()
            && self
                .by_external_id(name)
                .is_some_and(|other| other != index)
        {
            faults.push(("/external_id".to_owned(), "external-id-taken".to_owned()));
        }
        faults.extend(against_payment(&values, request, ""));
        if faults.is_empty() {
            let outcome = if values == self.payments[index].values {
                Outcome::Unchanged
            } else {
                Outcome::Updated
            };
            Prediction::Done(vec![(Some(index), values, outcome)])
        } else {
            Prediction::Refused(faults)
        }
    }

    /// Predicts a list: the payments in their order, all pages together (D47 to D51).
    pub(crate) fn list(&self, query: &BTreeMap<&'static str, String>) -> Vec<usize> {
        let get =
            |payment: &Payment, key: &str| payment.values.get(key).cloned().unwrap_or_default();
        let passes = |payment: &Payment| {
            query.iter().all(|(name, wanted)| match *name {
                "method" | "external_id" => get(payment, name) == **wanted,
                // All times of this test have the same form, so that they compare as text.
                "paid_at_start" => get(payment, "paid_at").as_str() >= Some(wanted),
                "paid_at_end" => get(payment, "paid_at").as_str() <= Some(wanted),
                "reference_numbers" => get(payment, "reference_number")
                    .as_str()
                    .is_some_and(|number| wanted.split(',').any(|wanted| wanted == number)),
                // There are no payouts and no matches here.
                "included_in_payout" | "is_matched" => wanted == "false",
                _ => true,
            })
        };
        let mut listed: Vec<usize> = (0..self.payments.len())
            .filter(|index| passes(&self.payments[*index]))
            .collect();
        let key = |index: &usize| {
            let payment = &self.payments[*index];
            let value = match query.get("sort_by").map(String::as_str) {
                Some("amount") => format!(
                    "{:020}",
                    get(payment, "amount").as_i64().unwrap_or_default()
                ),
                Some("imported_at") => comparable(&payment.imported_at),
                _ => get(payment, "paid_at")
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            };
            (value, payment.id.clone())
        };
        listed.sort_by_key(key);
        if query.get("sort_order").is_some_and(|order| order == "DESC") {
            listed.reverse();
        }
        listed
    }

    /// Takes over what was predicted and took place. `shown` is the payment in the reply, and has to be the one that was
    /// predicted.
    pub(crate) fn keep(
        &mut self,
        known: Option<usize>,
        values: Map<String, Value>,
        shown: &Value,
    ) -> Result<(), String> {
        let text = |key: &str| shown[key].as_str().unwrap_or_default().to_owned();
        let payment = Payment {
            id: text("id"),
            imported_at: text("imported_at"),
            values,
        };
        let index = match known {
            Some(index) => {
                self.payments[index].values = payment.values;
                index
            }
            None => {
                if self.payments.iter().any(|other| other.id == payment.id) {
                    return Err(format!("{} is another payment's id", payment.id));
                }
                self.payments.push(payment);
                self.payments.len() - 1
            }
        };
        self.check(index, shown)
    }

    /// Compares a payment in a reply with what it has to be, and its ids with those of earlier replies.
    pub(crate) fn check(&mut self, index: usize, shown: &Value) -> Result<(), String> {
        let payment = self.payments[index].clone();
        let values = &payment.values;
        let get = |key: &str| values.get(key).cloned().unwrap_or_default();
        let mut expected = json!({
            "type": "Invoice_Payment",
            "id": payment.id,
            "imported_at": payment.imported_at,
            "at": get("paid_at"),
            "prepayment_account": null,
            "payment_clearing_account": null,
            "refund_allocations": [],
            "payouts": [],
        });
        for key in [
            "external_id",
            "method",
            "amount",
            "fee",
            "processor",
            "memo",
            "metadata",
            "reference_number",
        ] {
            expected[key] = get(key);
        }
        let list = |key: &str| {
            values
                .get(key)
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default()
        };
        let fees = list("additional_fees");
        let parts = list("invoice_payments");
        let tags = list("tags");
        expected["additional_fees"] = fees
            .iter()
            .zip(shown["additional_fees"].as_array().into_iter().flatten())
            .map(|(fee, shown)| {
                let id = self.id("account", name_of_account(fee), &shown["account"]["id"])?;
                Ok(json!({
                    "account": {"type": "AccountId", "id": id},
                    "fee_amount": fee["fee_amount"],
                    "description": fee["description"],
                    "is_passed_to_customer": fee["is_passed_to_customer"].as_bool().unwrap_or(false),
                }))
            })
            .collect::<Result<_, String>>()?;
        expected["allocations"] = parts
            .iter()
            .zip(shown["allocations"].as_array().into_iter().flatten())
            .map(|(part, shown)| {
                let mut expected = json!({
                    "payment_id": payment.id,
                    "amount": part["amount"],
                    "transaction_tags": self.tags(&part["tags"], &shown["transaction_tags"])?,
                    "memo": part["memo"],
                    "metadata": part.get("metadata").filter(|m| !m.is_null()).cloned().unwrap_or(json!({})),
                    "reference_number": part["reference_number"],
                });
                if part.get("account").is_some() {
                    let id = self.id("account", name_of_account(part), &shown["account"]["id"])?;
                    expected["account"] = json!({"type": "AccountId", "id": id});
                } else {
                    let name = part["invoice_external_id"].as_str().unwrap_or_default();
                    expected["invoice_id"] = json!(self.id("invoice", name, &shown["invoice_id"])?);
                    // Nothing is refunded here.
                    expected["amount_net_of_refunds"] = part["amount"].clone();
                }
                Ok(expected)
            })
            .collect::<Result<_, String>>()?;
        expected["transaction_tags"] =
            self.tags(&Value::Array(tags), &shown["transaction_tags"])?;
        let found = layer_payments_tests::differences(&expected, shown);
        if found.is_empty() {
            Ok(())
        } else {
            Err(format!("{shown:#} isn't as predicted: {found:#?}"))
        }
    }

    /// Tags as replies show them: what is the server's own is taken from what it shows, the rest is predicted.
    fn tags(&mut self, wanted: &Value, shown: &Value) -> Result<Value, String> {
        let mut expected = Vec::new();
        for (wanted, shown) in wanted
            .as_array()
            .into_iter()
            .flatten()
            .zip(shown.as_array().into_iter().flatten())
        {
            let mut tag = shown.clone();
            let key = wanted["key"].as_str().unwrap_or_default();
            let value = wanted["value"].as_str().unwrap_or_default();
            self.id("dimension", key, &shown["dimension_id"])?;
            self.id(
                "definition",
                &format!("{key}={value}"),
                &shown["definition_id"],
            )?;
            for name in ["key", "value"] {
                tag[name] = wanted[name].clone();
            }
            for name in [
                "dimension_display_name",
                "value_display_name",
                "deleted_at",
                "archived_at",
            ] {
                tag[name] = Value::Null;
            }
            expected.push(tag);
        }
        // A tag too many or too few shows as a list of another length.
        let wanted = wanted.as_array().map_or(0, Vec::len);
        if expected.len() != wanted {
            return Err(format!(
                "{wanted} tags were set, and these are there: {shown}"
            ));
        }
        Ok(Value::Array(expected))
    }

    /// The id that the server gave to something. It tells it once, and has to keep to it; no two things share one.
    fn id(&mut self, kind: &'static str, name: &str, shown: &Value) -> Result<String, String> {
        let shown = shown
            .as_str()
            .ok_or_else(|| format!("the {kind} {name} has no id"))?;
        let key = (kind, name.to_owned());
        if let Some(known) = self.ids.get(&key) {
            return Ok(known.clone());
        }
        if let Some((other, _)) = self.ids.iter().find(|(_, id)| *id == shown) {
            return Err(format!("{shown} is the id of {other:?} and of {key:?}"));
        }
        self.ids.insert(key, shown.to_owned());
        Ok(shown.to_owned())
    }
}

fn name_of_account(holder: &Value) -> &str {
    holder["account"]["stable_name"]
        .as_str()
        .unwrap_or_default()
}

/// What a payment has before anything is set.
fn new_payment() -> Map<String, Value> {
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
                    || (key == "metadata" && *value == json!({}))
                    || (key == "tags" && *value == json!([]));
                !says_nothing
            });
        }
        item
    });
    items.collect()
}

/// What is wrong with a request whatever is stored, of the rules that this test's requests break.
fn faults_of_request(request: &Value, create: bool, place: &str) -> Vec<Fault> {
    let mut faults = faults_of_form(request, create, place);
    // What hasn't the form of a payment isn't judged as one.
    if !faults.is_empty() {
        return faults;
    }
    let mut add =
        |pointer: &str, code: &str| faults.push((format!("{place}{pointer}"), code.to_owned()));
    for key in ["amount", "fee"] {
        if request[key].as_i64().is_some_and(|number| number < 0) {
            add(&format!("/{key}"), "amount-negative");
        }
    }
    if request["external_id"] == "" {
        add("/external_id", "external-id-empty");
    }
    let tags: Vec<&Value> = request["tags"].as_array().into_iter().flatten().collect();
    for (index, tag) in tags.iter().enumerate() {
        if tags[..index].iter().any(|other| other["key"] == tag["key"]) {
            add(&format!("/tags/{index}/key"), "duplicate-tag-key");
        }
    }
    // Where the request holds both of the values that a rule compares, it needs no stored payment.
    let values = request.as_object().cloned().unwrap_or_default();
    faults.extend(against_payment(&values, request, place));
    faults
}

/// Properties that are unknown, or missing from a record.
fn faults_of_form(request: &Value, create: bool, place: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    if request.get("colour").is_some() {
        faults.push((format!("{place}/colour"), "property-unknown".to_owned()));
    }
    if create && request.get("amount").is_none() {
        faults.push((format!("{place}/amount"), "property-missing".to_owned()));
    }
    faults
}

/// What is wrong with the payment that a request makes of another one, where the request has a part in it (D13, D24).
fn against_payment(values: &Map<String, Value>, request: &Value, place: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let sent = |key: &str| request.get(key).is_some_and(|value| !value.is_null());
    let parts = values.get("invoice_payments").and_then(Value::as_array);
    let allocated: i64 = parts
        .into_iter()
        .flatten()
        .filter_map(|part| part["amount"].as_i64())
        .sum();
    // An amount below zero is one fault, and not two (D70).
    let amount = values
        .get("amount")
        .and_then(Value::as_i64)
        .filter(|amount| *amount >= 0);
    if amount.is_some_and(|amount| allocated > amount)
        && (sent("invoice_payments") || sent("amount"))
    {
        let at = if sent("invoice_payments") {
            "/invoice_payments"
        } else {
            "/amount"
        };
        faults.push((
            format!("{place}{at}"),
            "allocations-exceed-amount".to_owned(),
        ));
    }
    let takes_none = ["CASH", "CHECK"]
        .iter()
        .any(|method| values.get("method").is_some_and(|m| m == method));
    let processor = values
        .get("processor")
        .is_some_and(|processor| !processor.is_null());
    if takes_none && processor && (sent("processor") || sent("method")) {
        let at = if sent("processor") {
            "/processor"
        } else {
            "/method"
        };
        faults.push((
            format!("{place}{at}"),
            "processor-not-allowed-for-method".to_owned(),
        ));
    }
    faults
}

/// A time with all six digits of its fraction, so that times compare as text.
fn comparable(time: &str) -> String {
    let time = time.trim_end_matches('Z');
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    format!("{seconds}.{fraction:0<6}")
}
