//! Sends operations to a server and compares its replies with what the model predicts.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use layer_payments_server::{Config, Database, Server, Token};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::model::{Fault, Model, Prediction};
use crate::operations::Operation;

const TOKEN: &str = "a-token-for-tests";

/// A server with its data in memory, and businesses to use up.
pub(crate) struct Api {
    base: String,
    client: reqwest::Client,
    businesses: u64,
    used: AtomicU64,
    /// How often each kind of reply was predicted and came.
    met: Mutex<BTreeMap<String, u64>>,
}

/// The id of a business by its number.
fn business(number: u64) -> Uuid {
    Uuid::from_u128(0xb051_0000_0000_4000_8000_0000_0000_0000 | u128::from(number))
}

impl Api {
    /// Starts a server that knows so many businesses.
    pub(crate) async fn start(businesses: u64) -> Api {
        let token = Token::new(TOKEN).expect("the token is sendable");
        let mut config = Config::new(Database::Memory, token);
        for number in 0..businesses {
            config = config.business(business(number));
        }
        let server = Server::bind(config, "127.0.0.1:0".parse().expect("an address"))
            .await
            .expect("a port of this machine is free");
        let base = format!("http://{}/v1/businesses", server.local_addr());
        tokio::spawn(server.run(std::future::pending()));
        Api {
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
        business: Uuid,
        below: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value), String> {
        let url = format!("{}/{business}/invoices/payments{below}", self.base);
        let mut request = self.client.request(method, url).bearer_auth(TOKEN);
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
                let (status, reply) = self.send(Method::POST, business, "", Some(payment)).await?;
                self.compare(model, prediction, true, status, &reply)
            }
            Operation::Bulk(payments) => {
                let prediction = model.record(payments, true);
                let body = json!(payments);
                let (status, reply) = self
                    .send(Method::POST, business, "/bulk", Some(&body))
                    .await?;
                self.compare(model, prediction, false, status, &reply)
            }
            Operation::Update(_, changes) if model.len() == 0 => {
                let id = Uuid::from_u128(1);
                let (status, reply) = self
                    .send(Method::PATCH, business, &format!("/{id}"), Some(changes))
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
                    .send(Method::PATCH, business, &below, Some(changes))
                    .await?;
                if status == 200 {
                    self.meet("update");
                }
                self.compare(model, prediction, false, status, &reply)
            }
            Operation::List(query) => self.list(business, model, query).await,
        }
    }

    fn compare(
        &self,
        model: &mut Model,
        prediction: Prediction,
        single: bool,
        status: u16,
        reply: &Value,
    ) -> Result<(), String> {
        let done = match prediction {
            Prediction::Refused(mut expected) => {
                let mut told = faults(reply);
                told.sort();
                expected.sort();
                if status != 400 || told != expected {
                    return Err(format!(
                        "predicted 400 for {expected:?}, got {status}: {reply}"
                    ));
                }
                expected.iter().for_each(|(_, code)| self.meet(code));
                return Ok(());
            }
            Prediction::Done(done) => done,
        };
        let created = done
            .iter()
            .any(|(_, _, outcome)| outcome.name() == "created");
        let expected = if single && created { 201 } else { 200 };
        if status != expected {
            return Err(format!("predicted {expected}, got {status}: {reply}"));
        }
        let outcomes: Vec<&str> = done.iter().map(|(_, _, outcome)| outcome.name()).collect();
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
        for ((known, values, outcome), shown) in done.into_iter().zip(&shown) {
            if told.is_array() {
                self.meet(outcome.name());
            }
            model.keep(known, values, shown)?;
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
            let (status, reply) = self.send(Method::GET, business, &below, None).await?;
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
                business,
                "?limit=1&show_total_count=true",
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
            .send(Method::POST, business, "", Some(&payment))
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
