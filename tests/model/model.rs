//! What the API has to answer, worked out from `spec/decisions.md`.
//!
//! [`Model::record`], [`Model::update`], [`Model::list`], [`Model::create_invoice`] and [`Model::void_invoice`] are the
//! operations. A change is judged in four steps: the request by itself ([`faults_of_request`]), the names in it
//! ([`Books::named`]), the request against the payment that it changes ([`against_payment`]), and what follows from the
//! payment that results ([`Books::put`]): what it pays on invoices, and what it posts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::books::{Books, Payment, new_payment};
use crate::ledger::{self, account, items};
use crate::rules::{against_payment, faults_of_form, faults_of_request};

/// A place and the code of a rule.
pub(crate) type Fault = (String, String);

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(crate) enum Prediction<T> {
    /// The books as they are afterwards, and what the reply shows of them.
    Done(Box<Books>, T),
    Refused(Vec<Fault>),
}

/// The payments that a reply shows, and for records what became of each.
pub(crate) type Outcomes = Vec<(usize, Outcome)>;

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

/// The model of one business.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) books: Books,
    /// Which id the server gave to what: an account by its stable name, a tag.
    ids: BTreeMap<(&'static str, String), String>,
}

impl Model {
    pub(crate) fn new() -> Model {
        Model::default()
    }

    pub(crate) fn len(&self) -> usize {
        self.books.payments.len()
    }

    pub(crate) fn payment(&self, index: usize) -> &Payment {
        &self.books.payments[index]
    }

    /// Predicts what recording these payments does: one by itself, or all of a bulk (D52, D54, D55).
    pub(crate) fn record(&self, requests: &[Value], bulk: bool) -> Prediction<Outcomes> {
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
        let mut books = self.books.clone();
        // A request settles its invoices' names before it records the first payment.
        let mut rewritten = Vec::new();
        for (index, request) in requests.iter().enumerate() {
            faults.extend(books.settle_all(request, &place(index), &mut rewritten));
        }
        let mut done = Vec::new();
        for (index, request) in requests.iter().enumerate() {
            let place = place(index);
            let known = request["external_id"]
                .as_str()
                .and_then(|id| books.by_external_id(id));
            let before =
                known.map_or_else(new_payment, |known| books.payments[known].values.clone());
            let mut values = before.clone();
            for (key, value) in request.as_object().into_iter().flatten() {
                // What a record leaves out or gives as null stays as it was.
                if !value.is_null() {
                    values.insert(key.clone(), books.named(key, value, &place, &mut faults));
                }
            }
            faults.extend(against_payment(&values, request, &place));
            // What would follow from a payment isn't looked at any more once something is refused: it would follow from
            // payments that aren't there.
            if !faults.is_empty() {
                continue;
            }
            let outcome = match known {
                None => Outcome::Created,
                Some(known) if before == values && !rewritten.contains(&known) => {
                    Outcome::Unchanged
                }
                Some(_) => Outcome::Updated,
            };
            match books.put(known, values, &place) {
                Ok(payment) => done.push((payment, outcome)),
                Err(found) => faults.extend(found),
            }
        }
        if faults.is_empty() {
            Prediction::Done(Box::new(books), done)
        } else {
            Prediction::Refused(faults)
        }
    }

    /// What is wrong with an update whatever it changes.
    pub(crate) fn faults_of_update(&self, request: &Value) -> Vec<Fault> {
        faults_of_request(request, false, "")
    }

    /// Predicts what an update does (D21, D22, D56).
    pub(crate) fn update(&self, index: usize, request: &Value) -> Prediction<Outcomes> {
        let faults = self.faults_of_update(request);
        if !faults.is_empty() {
            return Prediction::Refused(faults);
        }
        let mut books = self.books.clone();
        let mut faults = books.settle_all(request, "", &mut Vec::new());
        let before = books.payments[index].values.clone();
        let mut values = before.clone();
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
                    values.insert(key.clone(), books.named(key, value, "", &mut faults));
                }
            }
        }
        if let Some(name) = request["external_id"].as_str()
            && books
                .by_external_id(name)
                .is_some_and(|other| other != index)
        {
            faults.push(("/external_id".to_owned(), "external-id-taken".to_owned()));
        }
        faults.extend(against_payment(&values, request, ""));
        if !faults.is_empty() {
            return Prediction::Refused(faults);
        }
        let outcome = if values == before {
            Outcome::Unchanged
        } else {
            Outcome::Updated
        };
        match books.put(Some(index), values, "") {
            Ok(payment) => Prediction::Done(Box::new(books), vec![(payment, outcome)]),
            Err(faults) => Prediction::Refused(faults),
        }
    }

    /// Predicts what creating an invoice does. Tells its place, and whether it is new.
    pub(crate) fn create_invoice(&self, request: &Value) -> Prediction<(usize, bool)> {
        let mut books = self.books.clone();
        let mut faults = Vec::new();
        if let (Some(id), Some(name)) = (request["id"].as_str(), request["external_id"].as_str()) {
            let is_known = books.invoices.places().into_iter().any(|place| {
                let invoice = &books.invoices.0[place];
                invoice.id.as_deref() == Some(id) || invoice.external_id.as_deref() == Some(name)
            });
            if is_known {
                // What is paid under both names counts against the total that comes with them.
                let total = request["total_amount"].as_i64();
                if let Some(place) = books.invoices.by_id(id)
                    && Some(books.paid(place).paid) <= total
                {
                    books.invoices.set_total(place, total);
                }
                books.settle((id, name), "/id".to_owned(), &mut Vec::new(), &mut faults);
                for (at, code) in &mut faults {
                    if code != "invoice-void" {
                        (*at, *code) = ("/total_amount".to_owned(), "invoice-overpaid".to_owned());
                    }
                }
            }
        }
        if !faults.is_empty() {
            return Prediction::Refused(faults);
        }
        let now = books.clone();
        match books.invoices.create(request, |place| now.paid(place).paid) {
            Ok(created) => Prediction::Done(Box::new(books), created),
            Err((at, code)) => Prediction::Refused(vec![(at.to_owned(), code.to_owned())]),
        }
    }

    /// Predicts what voiding an invoice does.
    pub(crate) fn void_invoice(&self, place: usize) -> Prediction<(usize, bool)> {
        let mut books = self.books.clone();
        let paid = books.paid(place).paid;
        match books.invoices.void(place, paid) {
            Ok(()) => Prediction::Done(Box::new(books), (place, false)),
            Err(code) => Prediction::Refused(vec![(String::new(), code.to_owned())]),
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
        let mut listed: Vec<usize> = (0..self.books.payments.len())
            .filter(|index| passes(&self.books.payments[*index]))
            .collect();
        let key = |index: &usize| {
            let payment = &self.books.payments[*index];
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

    /// Notes what the server chose for a payment, which a reply shows, and checks the rest of it.
    pub(crate) fn learn(&mut self, index: usize, shown: &Value) -> Result<(), String> {
        let text = |key: &str| shown[key].as_str().unwrap_or_default().to_owned();
        let (id, imported_at) = (text("id"), text("imported_at"));
        if self.books.payments[index].id.is_empty() {
            if self.books.payments.iter().any(|other| other.id == id) {
                return Err(format!("{id:?} is another payment's id"));
            }
            let payment = &mut self.books.payments[index];
            (payment.id, payment.imported_at) = (id, imported_at);
        }
        self.check(index, shown)
    }

    /// Compares a payment in a reply with what it has to be, and its ids with those of earlier replies.
    pub(crate) fn check(&mut self, index: usize, shown: &Value) -> Result<(), String> {
        let payment = self.books.payments[index].clone();
        let values = &payment.values;
        let get = |key: &str| values.get(key).cloned().unwrap_or_default();
        let mut expected = json!({
            "type": "Invoice_Payment",
            "id": payment.id,
            "imported_at": payment.imported_at,
            "at": get("paid_at"),
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
        expected["prepayment_account"] = self.account(
            values.get("redemption_account"),
            &shown["prepayment_account"],
        )?;
        expected["payment_clearing_account"] =
            match values.get("payment_clearing_account_identifier") {
                Some(given) => {
                    let shown = &shown["payment_clearing_account"];
                    // The account's type and its like are the chart's.
                    let mut account = shown.clone();
                    account["id"] = self.account(Some(given), &shown["id"])?;
                    account["stable_name"]["stable_name"] = given["stable_name"].clone();
                    account
                }
                None => Value::Null,
            };
        let fees = items(values, "additional_fees").iter().enumerate();
        expected["additional_fees"] = fees
            .map(|(index, fee)| {
                let shown = &shown["additional_fees"][index];
                Ok(json!({
                    "account": self.account(fee.get("account"), &shown["account"])?,
                    "fee_amount": fee["fee_amount"],
                    "description": fee["description"],
                    "is_passed_to_customer": fee["is_passed_to_customer"].as_bool().unwrap_or(false),
                }))
            })
            .collect::<Result<_, String>>()?;
        let parts = ledger::parts(values);
        let allocations = items(values, "invoice_payments").iter().enumerate();
        expected["allocations"] = allocations
            .map(|(index, allocation)| {
                let shown = &shown["allocations"][index];
                let mut expected = self.notes(allocation, shown)?;
                expected["payment_id"] = json!(payment.id);
                expected["amount"] = allocation["amount"].clone();
                match parts.iter().find(|part| part.allocation == index) {
                    Some(part) => {
                        expected["invoice_id"] =
                            self.invoice_id(part.invoice, &shown["invoice_id"])?;
                        expected["amount_net_of_refunds"] = json!(part.net);
                    }
                    None => {
                        expected["account"] =
                            self.account(allocation.get("account"), &shown["account"])?;
                    }
                }
                Ok(expected)
            })
            .collect::<Result<_, String>>()?;
        let invoice = parts
            .first()
            .filter(|first| parts.iter().all(|part| part.invoice == first.invoice));
        let mut refunds = Vec::new();
        for refund in items(values, "dedicated_refunds") {
            let lines = refund["line_items"]
                .as_array()
                .filter(|lines| !lines.is_empty());
            let whole = [refund.clone()];
            let has_amount = lines.is_some() || refund.get("refunded_amount").is_some();
            let lines = lines.map_or(whole.as_slice(), Vec::as_slice);
            for line in lines.iter().filter(|_| has_amount) {
                let shown = &shown["refund_allocations"][refunds.len()];
                let named = line
                    .get("account_identifier")
                    .or(refund.get("account_identifier"));
                let mut expected = self.notes(line, shown)?;
                expected["id"] = shown["id"].clone();
                expected["amount"] = line
                    .get("amount")
                    .unwrap_or(&refund["refunded_amount"])
                    .clone();
                expected["account_identifier"] =
                    self.account(named, &shown["account_identifier"])?;
                expected["invoice_payment_id"] = json!(payment.id);
                expected["invoice_payment_external_id"] = get("external_id");
                expected["invoice_id"] = match invoice {
                    Some(part) => self.invoice_id(part.invoice, &shown["invoice_id"])?,
                    None => Value::Null,
                };
                for key in [
                    "invoice_external_id",
                    "invoice_line_item_id",
                    "invoice_line_item_external_id",
                    "customer",
                ] {
                    expected[key] = Value::Null;
                }
                refunds.push(expected);
            }
        }
        expected["refund_allocations"] = json!(refunds);
        expected["transaction_tags"] = self.tags(&get("tags"), &shown["transaction_tags"])?;
        let found = layer_payments_tests::differences(&expected, shown);
        if found.is_empty() {
            Ok(())
        } else {
            Err(format!("{shown:#} isn't as predicted: {found:#?}"))
        }
    }

    /// What people and programs noted down on a part of a payment.
    fn notes(&mut self, part: &Value, shown: &Value) -> Result<Value, String> {
        Ok(json!({
            "transaction_tags": self.tags(&part["tags"], &shown["transaction_tags"])?,
            "memo": part["memo"],
            "metadata": part.get("metadata").cloned().unwrap_or(json!({})),
            "reference_number": part["reference_number"],
        }))
    }

    /// An account as replies refer to it; null if none is named.
    fn account(&mut self, named: Option<&Value>, shown: &Value) -> Result<Value, String> {
        match account(named) {
            Some(name) => {
                let id = self.id("account", name, &shown["id"])?;
                Ok(json!({"type": "AccountId", "id": id}))
            }
            None => Ok(Value::Null),
        }
    }

    /// The id of an invoice, which no other has. If the server chose it, it is noted when it is first told.
    pub(crate) fn invoice_id(&mut self, place: usize, shown: &Value) -> Result<Value, String> {
        let invoices = &mut self.books.invoices.0;
        if invoices[place].id.is_none() {
            let id = shown.as_str().ok_or("an invoice has no id")?;
            if invoices.iter().any(|other| other.id.as_deref() == Some(id)) {
                return Err(format!("{id} is another invoice's id"));
            }
            invoices[place].id = Some(id.to_owned());
        }
        Ok(json!(invoices[place].id))
    }

    /// The balances of all accounts: debits and credits.
    pub(crate) fn balances(&self, sums: &mut BTreeMap<String, (i64, i64)>) {
        let batches = self
            .books
            .payments
            .iter()
            .flat_map(|payment| &payment.journal);
        for entry in batches.flatten() {
            for ((account, side), amount) in &entry.lines {
                let (debits, credits) = sums.entry(account.clone()).or_default();
                *(if *side == "DEBIT" { debits } else { credits }) += amount;
            }
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

/// A time with all six digits of its fraction, so that times compare as text.
fn comparable(time: &str) -> String {
    let time = time.trim_end_matches('Z');
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    format!("{seconds}.{fraction:0<6}")
}
