//! Sends operations to a server and compares its replies with what the model predicts.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use layer_payments_server::{Config, Database, Server, Token};
use layer_payments_tests::engine::{Engine, Place};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::ledger::{Entry, Lines};
use crate::model::{Fault, Model, Outcomes, Prediction};
use crate::operations::Operation;

const TOKEN: &str = "a-token-for-tests";

/// A server, and businesses to use up.
pub(crate) struct Api {
    _place: Option<Place>,
    base: String,
    client: reqwest::Client,
    businesses: u64,
    used: AtomicU64,
    /// How often each kind of reply was predicted and came.
    met: Mutex<BTreeMap<String, u64>>,
}

/// The path of a business's payments, and of what is below.
fn payments_of(business: Uuid, below: &str) -> String {
    format!("/v1/businesses/{business}/invoices/payments{below}")
}

/// The path of what the public API doesn't have.
fn local_of(business: Uuid, below: &str) -> String {
    format!("/local/businesses/{business}/{below}")
}

/// The id of a business by its number.
fn business(number: u64) -> Uuid {
    Uuid::from_u128(0xb051_0000_0000_4000_8000_0000_0000_0000 | u128::from(number))
}

impl Api {
    /// Starts a server that knows so many businesses. SQLite has its data in memory, and waits for no disk.
    pub(crate) async fn start(engine: Engine, businesses: u64) -> Api {
        let (place, database) = match engine {
            Engine::Sqlite => (None, Database::Memory),
            Engine::Postgres => {
                let place = engine.place();
                let database = place.database().for_server();
                (Some(place), database)
            }
        };
        let token = Token::new(TOKEN).expect("the token is sendable");
        let mut config = Config::new(database, token);
        for number in 0..businesses {
            config = config.business(business(number));
        }
        let server = Server::bind(config, "127.0.0.1:0".parse().expect("an address"))
            .await
            .expect("a port of this machine is free");
        let base = format!("http://{}", server.local_addr());
        tokio::spawn(server.run(std::future::pending()));
        Api {
            _place: place,
            base,
            client: reqwest::Client::new(),
            businesses,
            used: AtomicU64::new(0),
            met: Mutex::default(),
        }
    }

    /// A business that nothing has been sent to.
    pub(crate) fn new_business(&self) -> Uuid {
        let number = self.used.fetch_add(1, Ordering::Relaxed);
        assert!(
            number < self.businesses,
            "more businesses are used than were made"
        );
        business(number)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value), String> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(TOKEN);
        if let Some(body) = body {
            request = request.json(body);
        }
        let reply = request.send().await.map_err(|e| e.to_string())?;
        let status = reply.status().as_u16();
        Ok((status, reply.json().await.map_err(|e| e.to_string())?))
    }

    fn meet(&self, kind: &str) {
        let mut met = self.met.lock().expect("nothing panics with it");
        *met.entry(kind.to_owned()).or_default() += 1;
    }

    /// How often each kind of reply came.
    pub(crate) fn tally(&self) -> String {
        format!("{:?}", self.met.lock().expect("nothing panics with it"))
    }

    /// Sequences that never get to some kind of reply would prove nothing of it.
    pub(crate) fn assert_all_kinds_were_met(&self) {
        let met = self.met.lock().expect("nothing panics with it");
        for kind in [
            "created",
            "updated",
            "unchanged",
            "update",
            "bulk",
            "page",
            "next page",
            "payment-unknown",
            "allocations-exceed-amount",
            "processor-not-allowed-for-method",
            "external-id-taken",
            "duplicate-external-id",
            "duplicate-tag-key",
            "property-unknown",
            "property-missing",
            "amount-negative",
            "external-id-empty",
            "refunds-exceed-amount",
            "duplicate-refund-external-id",
            "redemption-account-not-allowed-for-method",
            "account-unknown",
            "invoice-ids-disagree",
            "invoice-overpaid",
            "invoice-paid",
            "invoice-void",
            "invoice-unknown",
            "invoice created",
            "invoice found",
            "SENT",
            "PARTIALLY_PAID",
            "PAID",
            "REFUNDED",
            "VOIDED",
            "INVOICE_PAYMENT",
            "REFUND_ALLOCATION",
            "REFUND_PAYMENT",
            "REVERSAL",
            "nothing posted",
        ] {
            assert!(met.contains_key(kind), "no reply was {kind}: {met:?}");
        }
    }

    /// Performs an operation, compares the reply with the prediction, and takes over what was done.
    pub(crate) async fn perform(
        &self,
        business: Uuid,
        model: &mut Model,
        operation: &Operation,
    ) -> Result<(), String> {
        match operation {
            Operation::Record(payment) => {
                let prediction = model.record(std::slice::from_ref(payment), false);
                let (status, reply) = self
                    .send(Method::POST, &payments_of(business, ""), Some(payment))
                    .await?;
                self.compare(model, prediction, true, status, &reply)
            }
            Operation::Bulk(payments) => {
                let prediction = model.record(payments, true);
                let body = json!(payments);
                let (status, reply) = self
                    .send(Method::POST, &payments_of(business, "/bulk"), Some(&body))
                    .await?;
                self.compare(model, prediction, false, status, &reply)
            }
            Operation::Update(_, changes) if model.len() == 0 => {
                let id = Uuid::from_u128(1);
                let (status, reply) = self
                    .send(
                        Method::PATCH,
                        &payments_of(business, &format!("/{id}")),
                        Some(changes),
                    )
                    .await?;
                // The request is judged by itself first.
                let faults = model.faults_of_update(changes);
                if !faults.is_empty() {
                    return self.compare(model, Prediction::Refused(faults), false, status, &reply);
                }
                if status == 404 && reply["errors"][0]["meta"]["code"] == "payment-unknown" {
                    self.meet("payment-unknown");
                    return Ok(());
                }
                Err(format!("predicted 404, got {status}: {reply}"))
            }
            Operation::Update(place, changes) => {
                let index = place % model.len();
                let prediction = model.update(index, changes);
                let below = format!("/{}", model.payment(index).id);
                let (status, reply) = self
                    .send(Method::PATCH, &payments_of(business, &below), Some(changes))
                    .await?;
                if status == 200 {
                    self.meet("update");
                }
                self.compare(model, prediction, false, status, &reply)
            }
            Operation::List(query) => self.list(business, model, query).await,
            Operation::Invoice(invoice) => {
                let prediction = model.create_invoice(invoice);
                let reply = self
                    .send(Method::POST, &local_of(business, "invoices"), Some(invoice))
                    .await?;
                self.compare_invoice(model, prediction, reply)
            }
            Operation::Void(place) => {
                let places = model.books.invoices.places();
                let invoice = (!places.is_empty()).then(|| places[place % places.len()]);
                let id = invoice.and_then(|place| model.books.invoices.0[place].id.clone());
                let Some((invoice, id)) = invoice.zip(id) else {
                    let below = format!("invoices/{}/void", Uuid::from_u128(1));
                    let (status, reply) = self
                        .send(Method::POST, &local_of(business, &below), None)
                        .await?;
                    if status == 404 && faults(&reply)[0].1 == "invoice-unknown" {
                        self.meet("invoice-unknown");
                        return Ok(());
                    }
                    return Err(format!("predicted 404, got {status}: {reply}"));
                };
                let prediction = model.void_invoice(invoice);
                let below = format!("invoices/{id}/void");
                let reply = self
                    .send(Method::POST, &local_of(business, &below), None)
                    .await?;
                self.compare_invoice(model, prediction, reply)
            }
            Operation::Books => self.books(business, std::slice::from_mut(model)).await,
        }
    }

    /// Compares a refusal with the places and codes that were predicted.
    fn refused(&self, mut expected: Vec<Fault>, status: u16, reply: &Value) -> Result<(), String> {
        let mut told = faults(reply);
        told.sort();
        expected.sort();
        if status != 400 || told != expected {
            return Err(format!(
                "predicted 400 for {expected:?}, got {status}: {reply}"
            ));
        }
        expected.iter().for_each(|(_, code)| self.meet(code));
        Ok(())
    }

    fn compare_invoice(
        &self,
        model: &mut Model,
        prediction: Prediction<(usize, bool)>,
        (status, reply): (u16, Value),
    ) -> Result<(), String> {
        match prediction {
            Prediction::Refused(expected) => self.refused(expected, status, &reply),
            Prediction::Done(books, (place, is_new)) => {
                let expected = if is_new { 201 } else { 200 };
                if status != expected {
                    return Err(format!("predicted {expected}, got {status}: {reply}"));
                }
                self.meet(if is_new {
                    "invoice created"
                } else {
                    "invoice found"
                });
                model.books = *books;
                self.check_invoice(model, place, &reply["data"])
            }
        }
    }

    fn check_invoice(&self, model: &mut Model, place: usize, shown: &Value) -> Result<(), String> {
        model.invoice_id(place, &shown["id"])?;
        let paid = model.books.paid(place);
        let expected = model.books.invoices.expected(place, paid, shown);
        let found = layer_payments_tests::differences(&expected, shown);
        if !found.is_empty() {
            return Err(format!("{shown:#} isn't as predicted: {found:#?}"));
        }
        self.meet(shown["status"].as_str().unwrap_or_default());
        Ok(())
    }

    /// Compares the journal, the trial balance and the invoices of a business with what the models say that there is.
    /// Each of the models is of a client, which all of the business's clients have.
    pub(crate) async fn books(&self, business: Uuid, models: &mut [Model]) -> Result<(), String> {
        self.journal(business, models).await?;
        let (_, reply) = self
            .send(Method::GET, &local_of(business, "trial-balance"), None)
            .await?;
        let mut expected = BTreeMap::new();
        models
            .iter()
            .for_each(|model| model.balances(&mut expected));
        let accounts = reply["data"]["accounts"].as_array();
        let shown: BTreeMap<String, (i64, i64)> = accounts
            .into_iter()
            .flatten()
            .map(|account| {
                let name = &account["account"]["stable_name"]["stable_name"];
                let sum = |side: &str| account[side].as_i64().unwrap_or(-1);
                let name = name.as_str().unwrap_or_default().to_owned();
                (name, (sum("debits"), sum("credits")))
            })
            // One that was named and never posted to is there, too.
            .filter(|(_, sums)| *sums != (0, 0))
            .collect();
        if shown != expected || reply["data"]["is_balanced"] != true {
            return Err(format!(
                "predicted balances {expected:?}, got {shown:?} in {reply}"
            ));
        }
        let (_, reply) = self
            .send(Method::GET, &local_of(business, "invoices"), None)
            .await?;
        let shown = reply["data"].as_array().cloned().unwrap_or_default();
        let mut count = 0;
        for model in models {
            for place in model.books.invoices.places() {
                count += 1;
                let id = model.books.invoices.0[place].id.clone();
                let shown = shown
                    .iter()
                    .find(|invoice| invoice["id"].as_str() == id.as_deref());
                let shown = shown.ok_or_else(|| format!("there is no invoice {id:?}: {reply}"))?;
                self.check_invoice(model, place, shown)?;
            }
        }
        if count != shown.len() {
            return Err(format!("predicted {count} invoices: {reply}"));
        }
        Ok(())
    }

    /// Compares what was posted for each payment, request by request.
    async fn journal(&self, business: Uuid, models: &[Model]) -> Result<(), String> {
        let mut posted: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        let mut after = 0;
        loop {
            let below = format!("journal-entries?limit=1000&after={after}");
            let (status, reply) = self
                .send(Method::GET, &local_of(business, &below), None)
                .await?;
            let entries = reply["data"].as_array();
            let entries = entries.ok_or_else(|| format!("{status}: {reply}"))?;
            for entry in entries {
                after += 1;
                if entry["entry_number"] != after {
                    return Err(format!("entry {after} is missing: {entry}"));
                }
                let payment = entry["invoice_payment_id"].as_str().unwrap_or_default();
                posted
                    .entry(payment.to_owned())
                    .or_default()
                    .push(shown_entry(entry)?);
            }
            if reply["meta"]["pagination"]["has_more"] != true {
                break;
            }
        }
        for payment in models.iter().flat_map(|model| &model.books.payments) {
            let shown = posted.remove(&payment.id).unwrap_or_default();
            let mut rest = shown.as_slice();
            for batch in &payment.journal {
                let (now, later) = rest.split_at(batch.len().min(rest.len()));
                rest = later;
                let mut now = now.to_vec();
                now.sort();
                let mut batch: Vec<Entry> = batch.clone();
                batch.iter_mut().for_each(|entry| entry.refund = None);
                batch.sort();
                if now != batch {
                    return Err(format!(
                        "for payment {}: predicted {batch:#?}, got {now:#?}",
                        payment.id
                    ));
                }
                batch.iter().for_each(|entry| self.meet(entry.kind));
            }
            if !rest.is_empty() {
                return Err(format!(
                    "nothing more was to be posted for {}: {rest:#?}",
                    payment.id
                ));
            }
        }
        if posted.is_empty() {
            Ok(())
        } else {
            Err(format!("these entries are about no payment: {posted:#?}"))
        }
    }

    /// The faults that the server's own check of its books finds.
    pub(crate) async fn faults_of_books(&self) -> Value {
        let reply = self.send(Method::GET, "/local/books-check", None).await;
        let (status, reply) = reply.expect("the server answers");
        assert_eq!(status, 200, "{reply}");
        reply["data"]["faults"].clone()
    }

    fn compare(
        &self,
        model: &mut Model,
        prediction: Prediction<Outcomes>,
        single: bool,
        status: u16,
        reply: &Value,
    ) -> Result<(), String> {
        let (books, done) = match prediction {
            Prediction::Refused(expected) => return self.refused(expected, status, reply),
            Prediction::Done(books, done) => (books, done),
        };
        let created = done.iter().any(|(_, outcome)| outcome.name() == "created");
        let expected = if single && created { 201 } else { 200 };
        if status != expected {
            return Err(format!("predicted {expected}, got {status}: {reply}"));
        }
        let outcomes: Vec<&str> = done.iter().map(|(_, outcome)| outcome.name()).collect();
        let told = &reply["meta"]["idempotency"]["outcomes"];
        // An update doesn't tell.
        if !told.is_null() && *told != json!(outcomes) {
            return Err(format!("predicted {outcomes:?}, got {told}"));
        }
        let shown: Vec<Value> = match &reply["data"] {
            Value::Array(payments) => {
                self.meet("bulk");
                payments.clone()
            }
            payment => vec![payment.clone()],
        };
        if shown.len() != done.len() {
            return Err(format!(
                "{} payments were sent, and the reply has {}",
                done.len(),
                shown.len()
            ));
        }
        let entries = |model: &Model| -> usize {
            let batches = model
                .books
                .payments
                .iter()
                .flat_map(|payment| &payment.journal);
            batches.map(Vec::len).sum()
        };
        let before = entries(model);
        model.books = *books;
        let is_update = done.iter().any(|(_, outcome)| outcome.name() == "updated");
        if is_update && entries(model) == before {
            self.meet("nothing posted");
        }
        for ((payment, outcome), shown) in done.into_iter().zip(&shown) {
            if told.is_array() {
                self.meet(outcome.name());
            }
            model.learn(payment, shown)?;
        }
        Ok(())
    }

    /// Reads all pages of a list and compares them with the prediction.
    async fn list(
        &self,
        business: Uuid,
        model: &mut Model,
        query: &BTreeMap<&'static str, String>,
    ) -> Result<(), String> {
        let expected = model.list(query);
        let limit = query
            .get("limit")
            .map_or(100, |limit| limit.parse().unwrap_or(100));
        let parameters: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut cursor = String::new();
        let mut pages = expected.chunks(limit);
        let mut listed = 0;
        loop {
            let page = pages.next().unwrap_or_default();
            listed += page.len();
            let below = format!("?{}{cursor}", parameters.join("&"));
            let (status, reply) = self
                .send(Method::GET, &payments_of(business, &below), None)
                .await?;
            let shown = reply["data"].as_array().cloned().unwrap_or_default();
            let ids = |payments: &[Value]| -> Vec<String> {
                payments
                    .iter()
                    .map(|payment| payment["id"].as_str().unwrap_or_default().to_owned())
                    .collect()
            };
            let wanted: Vec<String> = page
                .iter()
                .map(|index| model.payment(*index).id.clone())
                .collect();
            if status != 200 || ids(&shown) != wanted {
                return Err(format!(
                    "{below}: predicted {wanted:?}, got {status} with {:?}",
                    ids(&shown)
                ));
            }
            for (index, shown) in page.iter().zip(&shown) {
                model.check(*index, shown)?;
            }
            let pagination = &reply["meta"]["pagination"];
            let more = listed < expected.len();
            let count = match query.contains_key("show_total_count") {
                true => json!(expected.len()),
                false => Value::Null,
            };
            let by = |name: &str, usual: &str| json!(query.get(name).map_or(usual, String::as_str));
            if pagination["has_more"] != more
                || pagination["cursor"].is_string() != more
                || pagination["total_count"] != count
                || pagination["sort_by"] != by("sort_by", "paid_at")
                || pagination["sort_order"] != by("sort_order", "ASC")
            {
                return Err(format!(
                    "{below}: {} payments of {} so far, and {pagination}",
                    listed,
                    expected.len()
                ));
            }
            self.meet(if cursor.is_empty() {
                "page"
            } else {
                "next page"
            });
            match pagination["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(()),
            }
        }
    }

    /// How many payments there are.
    pub(crate) async fn count(&self, business: Uuid) -> usize {
        let (status, reply) = self
            .send(
                Method::GET,
                &payments_of(business, "?limit=1&show_total_count=true"),
                None,
            )
            .await
            .expect("the server answers");
        let count = reply["meta"]["pagination"]["total_count"].as_u64();
        let count = count.unwrap_or_else(|| panic!("{status}: {reply}"));
        usize::try_from(count).expect("a small number")
    }

    /// Records a payment. Gives what became of it, and its id.
    pub(crate) async fn record_plain(&self, business: Uuid, external_id: &str) -> (String, String) {
        let payment = json!({
            "external_id": external_id, "paid_at": "2024-01-01T12:00:00Z", "method": "CASH", "amount": 1,
            "invoice_payments": [{"invoice_external_id": external_id, "amount": 1}],
        });
        let (status, reply) = self
            .send(Method::POST, &payments_of(business, ""), Some(&payment))
            .await
            .expect("the server answers");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let outcome = text(&reply["meta"]["idempotency"]["outcomes"][0]);
        assert_eq!(
            status,
            if outcome == "created" { 201 } else { 200 },
            "{reply}"
        );
        (outcome, text(&reply["data"]["id"]))
    }
}

/// An entry as a reply shows it, in the model's form.
fn shown_entry(entry: &Value) -> Result<Entry, String> {
    let kinds = [
        "INVOICE_PAYMENT",
        "REFUND_ALLOCATION",
        "REFUND_PAYMENT",
        "REVERSAL",
    ];
    let kind = kinds.into_iter().find(|kind| entry["entry_type"] == *kind);
    let mut lines = Lines::new();
    for line in entry["line_items"].as_array().into_iter().flatten() {
        let account = line["account"]["stable_name"].as_str().unwrap_or_default();
        let side = ["DEBIT", "CREDIT"]
            .into_iter()
            .find(|side| line["direction"] == *side);
        let side = side.ok_or_else(|| format!("a line without a side: {entry}"))?;
        *lines.entry((account.to_owned(), side)).or_default() +=
            line["amount"].as_i64().unwrap_or_default();
    }
    Ok(Entry {
        kind: kind.ok_or_else(|| format!("an entry of another kind: {entry}"))?,
        refund: None,
        at: entry["entry_at"].as_str().unwrap_or_default().to_owned(),
        lines,
    })
}

/// The places and codes of a refusal.
fn faults(reply: &Value) -> Vec<Fault> {
    let errors = reply["errors"].as_array().into_iter().flatten();
    errors
        .map(|error| {
            let text = |key: &str| error["meta"][key].as_str().unwrap_or_default().to_owned();
            (text("pointer"), text("code"))
        })
        .collect()
}
