//! What replies may look like: every documented one, and every one that differs from it in one place, is read and
//! written again with nothing lost.
//!
//! A mutation changes one place: a property is missing, is null or is one that nobody knows; an enumeration has another
//! value; a list is empty; a time has another spelling; an account is named in another way; tags are those of another
//! generation. Places and what they may hold are taken from the spec, so a property that is added to it is mutated too.
//! A part of them also goes through the client, over HTTP.

use std::collections::{BTreeMap, BTreeSet};

use layer_payments_client::{Client, Unchecked};
use layer_payments_tests::{differences, resolve, spec};
use layer_payments_types::{CreateInvoicePayment, UpdateInvoicePayment};
use serde_json::{Map, Value, json};
use uuid::Uuid;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::examples::{documented, specified, through_types_of};

/// A reply, and what becomes of it when it is read and written again.
#[derive(Clone)]
struct Reply {
    name: String,
    schema: String,
    sent: Value,
    written: Value,
}

/// How a reply differs from one that is documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Dropped,
    Null,
    Added,
    Enumeration,
    Time,
    List,
    Account,
    Tags,
}

/// Whether a changed reply has to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is read, and nothing is lost.
    Kept,
    /// It lacks what every generation has: refused, unless what it is part of is kept as a whole for being unknown.
    MayBeRefused,
}

/// One change of one reply.
struct Mutation {
    change: Change,
    fate: Fate,
    /// The schema of the object that was changed, and the property, as `Schema.property`.
    property: String,
    reply: Reply,
}

/// The reply schemas that come in an envelope.
const ENVELOPES: [&str; 3] = [
    "InvoicePaymentReply",
    "InvoicePaymentBulkReply",
    "InvoicePaymentListReply",
];

/// Every reply that is documented, by Layer's pages or by the spec, in its envelope.
fn documented_replies() -> Vec<Reply> {
    let mut replies = Vec::new();
    for example in documented().into_iter().chain(specified()) {
        let (schema, value) = match (example.schema.as_str(), example.array) {
            ("InvoicePayment", true) => (
                "InvoicePaymentListReply".to_owned(),
                json!({ "data": example.value }),
            ),
            (schema, false) if schema == "ErrorReply" || ENVELOPES.contains(&schema) => {
                (schema.to_owned(), example.value)
            }
            _ => continue,
        };
        replies.push(Reply {
            name: example.name,
            schema,
            sent: value.clone(),
            written: value,
        });
    }
    // Of the five pages three show a reply; the spec has an example of each status.
    assert!(replies.len() > 10, "{} replies", replies.len());
    replies.extend(old_generations(&replies));
    replies
}

/// Payments of the generations of which no page shows a whole one, by the marks that `spec/decisions.md` lists.
fn old_generations(replies: &[Reply]) -> Vec<Reply> {
    let mut first = page(replies, "record_invoice_payment.reply").sent["data"].clone();
    // G1: no refunds, payouts or metadata, and the oldest name of a method.
    remove(&mut first, &["type", "transaction_tags"]);
    remove(&mut first["allocations"][0], &["transaction_tags"]);
    first["method"] = json!("REDEEMED_PREPAYMENT");
    let list = page(replies, "list_invoice_payments.reply");
    // G3: as the list page, with allocations to ledger accounts.
    let mut third = list.sent["data"][0].clone();
    third["metadata"]["any valid json"] = json!("below 1kb");
    third["allocations"]
        .as_array_mut()
        .expect("allocations are a list")
        .push(json!({"account": {"type": "StableName", "stable_name": "UNEARNED_REVENUE"}, "amount": 1}));
    // What no page shows, and the spec describes: the lists that are empty everywhere, filled.
    let mut full = list.sent["data"][0].clone();
    let tags = full["allocations"][0]["transaction_tags"].clone();
    let account = json!({"type": "StableName", "stable_name": "UNEARNED_REVENUE"});
    full["allocations"] = json!([{
        "account": account, "payment_id": full["id"], "amount": 123, "transaction_tags": tags,
        "memo": "A deposit", "metadata": {"order": "A-1"}, "reference_number": null,
    }]);
    full["refund_allocations"] = json!([{
        "id": full["id"], "invoice_id": full["id"], "invoice_external_id": "invoice-1001",
        "invoice_line_item_id": full["id"], "invoice_line_item_external_id": null, "invoice_payment_id": full["id"],
        "invoice_payment_external_id": "payment-1", "amount": 23, "account_identifier": account,
        "customer": {"id": full["id"], "external_id": "customer-1"}, "transaction_tags": tags,
        "memo": null, "metadata": {}, "reference_number": "R-1",
    }]);
    full["payouts"][0]["match"]["details"]["adjustment"] =
        json!({"amount": 1, "account": account, "description": "Rounding"});
    let reply = |name: &str, payment: Value| Reply {
        name: name.to_owned(),
        schema: "InvoicePaymentListReply".to_owned(),
        sent: json!({ "data": [payment] }),
        written: json!({ "data": [payment] }),
    };
    vec![
        reply("the first generation", first),
        reply("the third generation", third),
        reply("a payment with all lists filled", full),
    ]
}

fn page<'a>(replies: &'a [Reply], name: &str) -> &'a Reply {
    replies
        .iter()
        .find(|reply| reply.name == name)
        .unwrap_or_else(|| panic!("there is no {name}"))
}

fn remove(object: &mut Value, keys: &[&str]) {
    let object = object.as_object_mut().expect("an object");
    for key in keys {
        assert!(object.remove(*key).is_some(), "there is no {key}");
    }
}

/// The payload alone, as the older generations send it. `None` where there is no envelope to leave out.
fn bare(reply: &Reply) -> Option<Reply> {
    let payload = |value: &Value| value.get("data").cloned();
    if !ENVELOPES.contains(&reply.schema.as_str()) {
        return None;
    }
    Some(Reply {
        name: format!("{}, bare", reply.name),
        schema: reply.schema.clone(),
        sent: payload(&reply.sent)?,
        // What is written has an envelope, and nothing beside the payload.
        written: json!({ "data": payload(&reply.written)? }),
    })
}

/// How each generation names an account, and ways that none has used yet.
fn accounts() -> [Value; 5] {
    [
        json!({"type": "AccountId", "id": "50448df3-6f86-445e-b48f-0e80153e5d42"}),
        json!({"type": "StableName", "stable_name": "STRIPE_CLEARING"}),
        json!("STRIPE_CLEARING"),
        json!("50448df3-6f86-445e-b48f-0e80153e5d42"),
        json!({"type": "AccountNumber", "number": 1000}),
    ]
}

/// Walks through a reply along its schema and makes all changes.
struct Walk<'a> {
    spec: &'a Value,
    reply: &'a Reply,
    /// The tags of each generation.
    tags: &'a [Value],
    made: Vec<Mutation>,
}

impl Walk<'_> {
    fn all(spec: &Value, reply: &Reply, tags: &[Value]) -> Vec<Mutation> {
        let mut walk = Walk {
            spec,
            reply,
            tags,
            made: Vec::new(),
        };
        walk.value(&reply.schema, &schema_of(spec, &reply.schema), "");
        walk.made
    }

    /// The part of the reply at a place.
    fn at(&self, pointer: &str) -> Value {
        self.reply.sent.pointer(pointer).expect("a place").clone()
    }

    /// Makes one change. `sent` and `written` say what stands there then; `None` is nothing.
    fn make(
        &mut self,
        change: Change,
        fate: Fate,
        (owner, key): (&str, &str),
        pointer: &str,
        (sent, written): (Option<Value>, Option<Value>),
    ) {
        let changed = |mut reply: Value, value: Option<Value>| {
            match reply.pointer_mut(pointer).expect("a place") {
                Value::Object(object) => match value {
                    Some(value) => drop(object.insert(key.to_owned(), value)),
                    None => drop(object.remove(key)),
                },
                other => panic!("{pointer} is {other}"),
            }
            reply
        };
        self.made.push(Mutation {
            change,
            fate,
            property: format!("{owner}.{key}"),
            reply: Reply {
                name: format!("{}: {change:?} {pointer}/{key}", self.reply.name),
                schema: self.reply.schema.clone(),
                sent: changed(self.reply.sent.clone(), sent),
                written: changed(self.reply.written.clone(), written),
            },
        });
    }

    /// Changes what is below a value. `name` is the last named schema on the way.
    fn value(&mut self, name: &str, schema: &Value, pointer: &str) {
        let (name, schema) = chosen(self.spec, name, schema, &self.at(pointer));
        match self.at(pointer) {
            Value::Object(object) => self.object(&name, &schema, object, pointer),
            Value::Array(items) => {
                for index in 0..items.len() {
                    self.value(&name, &schema["items"], &format!("{pointer}/{index}"));
                }
            }
            _ => {}
        }
    }

    fn object(&mut self, name: &str, schema: &Value, object: Map<String, Value>, pointer: &str) {
        for value in [json!({"deep": [1.5, null, {}]}), Value::Null, json!([])] {
            self.make(
                Change::Added,
                Fate::Kept,
                (name, "property_of_tomorrow"),
                pointer,
                (Some(value.clone()), Some(value)),
            );
        }
        let required = schema["required"].as_array();
        for (key, value) in &object {
            let here = (name, key.as_str());
            let property = &schema["properties"][key];
            let is_required = required.is_some_and(|all| all.iter().any(|one| one == key));
            let (target, inner) = chosen(self.spec, "", property, value);
            // What isn't in the spec, as in metadata, may be anything.
            let is_nullable = property.is_null() || property["nullable"] == true;
            let missing = if is_required {
                Fate::MayBeRefused
            } else {
                Fate::Kept
            };
            self.make(Change::Dropped, missing, here, pointer, (None, None));
            let (fate, written) = if is_nullable {
                (Fate::Kept, Some(Value::Null))
            } else if !is_required {
                // Never null, says the spec. If it is all the same, that says no more than that it isn't there.
                (Fate::Kept, None)
            } else if value.is_array() && here.1 != "data" {
                (Fate::Kept, Some(json!([])))
            } else {
                (Fate::MayBeRefused, Some(Value::Null))
            };
            let null = (Some(Value::Null), written);
            self.make(Change::Null, fate, here, pointer, null);
            let replaced = |value: &Value| (Some(value.clone()), Some(value.clone()));
            if inner["enum"].is_array() {
                for other in ["VALUE_OF_TOMORROW", "", "cash"] {
                    let other = replaced(&json!(other));
                    self.make(Change::Enumeration, Fate::Kept, here, pointer, other);
                }
            }
            if inner["format"] == "date-time"
                && let Some(text) = value.as_str()
            {
                let spelt = json!(text.replace('Z', "+00:00").replace('T', "t"));
                let time = (Some(spelt), Some(value.clone()));
                self.make(Change::Time, Fate::Kept, here, pointer, time);
            }
            // Which of the two ways names the account doesn't matter here.
            if target.starts_with("AccountReference") {
                for account in accounts() {
                    self.make(
                        Change::Account,
                        Fate::Kept,
                        here,
                        pointer,
                        replaced(&account),
                    );
                }
            }
            if value.is_array() {
                self.make(
                    Change::List,
                    Fate::Kept,
                    here,
                    pointer,
                    replaced(&json!([])),
                );
                let items = &inner["items"];
                if items["$ref"] == "#/components/schemas/TransactionTag" {
                    for tags in self.tags {
                        self.make(Change::Tags, Fate::Kept, here, pointer, replaced(tags));
                    }
                }
                if schema_at(self.spec, items)["enum"].is_array() {
                    let unknown = replaced(&json!(["value_of_tomorrow"]));
                    self.make(Change::Enumeration, Fate::Kept, here, pointer, unknown);
                }
            }
            let below = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
            self.value(&target, property, &below);
        }
    }
}

fn schema_of(spec: &Value, name: &str) -> Value {
    spec["components"]["schemas"][name].clone()
}

/// The schema that another one stands for: by reference, or by the idiom of a reference in `allOf`.
fn schema_at<'a>(spec: &'a Value, schema: &'a Value) -> &'a Value {
    let next = schema["allOf"].get(0).unwrap_or(schema);
    let followed = resolve(spec, next);
    if std::ptr::eq(followed, schema) {
        schema
    } else {
        schema_at(spec, followed)
    }
}

/// The schema of a value, with its name: behind references, and of a union the member that the value is.
fn chosen(spec: &Value, name: &str, schema: &Value, value: &Value) -> (String, Value) {
    let inner = schema["allOf"].get(0).unwrap_or(schema);
    if let Some(reference) = inner["$ref"].as_str() {
        let name = reference.rsplit('/').next().expect("a name");
        return chosen(spec, name, resolve(spec, inner), value);
    }
    let Some(members) = inner["oneOf"].as_array() else {
        return (name.to_owned(), inner.clone());
    };
    let member = match &inner["discriminator"]["mapping"] {
        Value::Object(mapping) => mapping
            .get(value["type"].as_str().unwrap_or_default())
            .map(|reference| json!({ "$ref": reference })),
        // The union of allocations: an account makes it one to a ledger account.
        _ => members
            .iter()
            .find(|member| {
                let required = &schema_at(spec, member)["required"];
                let account = required
                    .as_array()
                    .is_some_and(|all| all.contains(&json!("account")));
                account == value.get("account").is_some()
            })
            .cloned(),
    };
    // A value that is none of them is unknown, and nothing is known of what it holds.
    member.map_or((name.to_owned(), Value::Null), |member| {
        chosen(spec, name, &member, value)
    })
}

/// The tags of each generation, from the pages that show them.
fn generations_of_tags(replies: &[Reply]) -> Vec<Value> {
    fn first(value: &Value) -> Option<&Value> {
        let tags = value.get("transaction_tags");
        if let Some(tags) = tags.filter(|tags| tags.get(0).is_some()) {
            return Some(tags);
        }
        match value {
            Value::Object(object) => object.values().find_map(first),
            Value::Array(items) => items.iter().find_map(first),
            _ => None,
        }
    }
    let pages = ["list", "record", "update"].map(|page_of| {
        let names: Vec<&Reply> = replies
            .iter()
            .filter(|reply| reply.name.starts_with(page_of) && reply.name.ends_with(".reply"))
            .collect();
        assert_eq!(names.len(), 1, "{page_of}");
        first(&names[0].sent).expect("tags").clone()
    });
    let keys = pages.each_ref().map(|tags| {
        let keys = tags[0].as_object().expect("a tag").keys();
        keys.cloned().collect::<BTreeSet<String>>()
    });
    assert!(
        keys[0] != keys[1] && keys[1] != keys[2] && keys[2] != keys[0],
        "each page has its own: {keys:?}"
    );
    pages.to_vec()
}

/// All documented replies and all mutations of them, with and without the envelope.
fn mutations() -> Vec<Mutation> {
    let spec = spec();
    let replies = documented_replies();
    let tags = generations_of_tags(&replies);
    let mut all = Vec::new();
    for reply in &replies {
        for mutation in Walk::all(&spec, reply, &tags) {
            let bare = bare(&mutation.reply).map(|reply| Mutation {
                reply,
                property: mutation.property.clone(),
                ..mutation
            });
            all.push(mutation);
            all.extend(bare);
        }
    }
    all
}

/// What is wrong with a reply that was read and written again.
fn faults(reply: &Reply) -> Vec<String> {
    match through_types_of(&reply.schema, false, &reply.sent) {
        Err(error) => vec![format!("{}: isn't read: {error}", reply.name)],
        Ok(text) => {
            let written = serde_json::from_str(&text).expect("what was written is JSON");
            let found = differences(&reply.written, &written).into_iter();
            found
                .map(|found| format!("{}: {found}", reply.name))
                .collect()
        }
    }
}

#[test]
fn documented_replies_are_read_with_and_without_their_envelope() {
    for reply in documented_replies() {
        assert_eq!(faults(&reply), Vec::<String>::new());
        if let Some(bare) = bare(&reply) {
            assert_eq!(faults(&bare), Vec::<String>::new());
        }
    }
}

#[test]
fn a_reply_that_differs_in_one_place_is_read_and_nothing_is_lost() {
    let mut counts: BTreeMap<Change, usize> = BTreeMap::new();
    let mut found = Vec::new();
    let mut refused: BTreeMap<Change, BTreeSet<String>> = BTreeMap::new();
    for mutation in mutations() {
        *counts.entry(mutation.change).or_default() += 1;
        let faults = faults(&mutation.reply);
        let is_refused = faults.iter().any(|fault| fault.contains(": isn't read: "));
        if mutation.fate == Fate::MayBeRefused && is_refused {
            let refused = refused.entry(mutation.change).or_default();
            refused.insert(mutation.property);
        } else {
            found.extend(faults);
        }
    }
    assert!(
        found.is_empty(),
        "{} faults:\n{}",
        found.len(),
        found.join("\n")
    );
    // A walk that finds nothing to change would find no fault either.
    let floors = [
        (Change::Dropped, 1_500),
        (Change::Null, 1_500),
        (Change::Added, 1_000),
        (Change::Enumeration, 250),
        (Change::Time, 120),
        (Change::List, 200),
        (Change::Account, 250),
        (Change::Tags, 100),
    ];
    for (change, floor) in floors {
        assert!(counts[&change] >= floor, "{change:?}: {counts:?}");
    }

    // What every generation has. An allocation that lacks it isn't refused but unknown, and so is an account.
    let indispensable = [
        "AdditionalFee.fee_amount",
        "BankTransaction.id",
        "ErrorDetail.description",
        "ErrorDetail.type",
        "InvoicePayment.amount",
        "InvoicePayment.at",
        "InvoicePayment.fee",
        "InvoicePayment.id",
        "InvoicePayment.imported_at",
        "InvoicePaymentBulkReply.data",
        "InvoicePaymentListReply.data",
        "InvoicePaymentReply.data",
        "Match.id",
        "MatchDetails.id",
        "Pagination.has_more",
        "Payout.id",
        "Payout.paid_out_amount",
        "RefundAllocation.amount",
        "RefundAllocation.id",
        "SingleChartAccount.name",
        "TransactionTag.id",
        "TransactionTag.key",
        "TransactionTag.value",
    ];
    let set = |names: &[&str]| -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    };
    assert_eq!(refused[&Change::Null], set(&indispensable));
    // These may be null, or anything else, but not missing.
    let mut there = set(&indispensable);
    there.extend(set(&[
        "AdditionalFee.account",
        "ErrorReply.errors",
        "InvoicePayment.allocations",
        "SingleChartAccount.id",
    ]));
    assert_eq!(refused[&Change::Dropped], there);
}

/// Every property that the spec gives a reply is in one of the documented replies, and so is mutated.
#[test]
fn no_property_of_a_reply_is_left_out() {
    fn collect(spec: &Value, name: &str, schema: &Value, all: &mut BTreeSet<String>) {
        let schema = schema_at(spec, schema);
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            if all.insert(format!("{name}.{key}")) {
                named(spec, property, all);
            }
        }
        for member in schema["oneOf"].as_array().into_iter().flatten() {
            named(spec, member, all);
        }
        if !schema["items"].is_null() {
            named(spec, &schema["items"], all);
        }
    }
    fn named(spec: &Value, schema: &Value, all: &mut BTreeSet<String>) {
        let inner = schema["allOf"].get(0).unwrap_or(schema);
        let name = inner["$ref"]
            .as_str()
            .and_then(|name| name.rsplit('/').next());
        collect(spec, name.unwrap_or_default(), inner, all);
    }
    let spec = spec();
    let mut expected = BTreeSet::new();
    for name in ENVELOPES.into_iter().chain(["ErrorReply"]) {
        collect(
            &spec,
            name,
            &spec["components"]["schemas"][name],
            &mut expected,
        );
    }
    assert!(expected.len() > 100, "{expected:?}");
    let dropped = mutations()
        .into_iter()
        .filter(|mutation| mutation.change == Change::Dropped);
    let visited: BTreeSet<String> = dropped.map(|mutation| mutation.property).collect();
    let missed: Vec<&String> = expected.difference(&visited).collect();
    assert_eq!(missed, Vec::<&String>::new());
}

/// Calls the operation whose reply this is, of a server that answers with it, and gives what the client read, written
/// again.
async fn through_client(
    server: &MockServer,
    client: &Client,
    reply: &Reply,
) -> Result<Value, String> {
    server.reset().await;
    let response =
        ResponseTemplate::new(200).set_body_raw(reply.sent.to_string(), "application/json");
    Mock::given(any())
        .respond_with(response)
        .mount(server)
        .await;
    let payment = || -> CreateInvoicePayment {
        serde_json::from_value(json!({
            "external_id": "payment-1", "paid_at": "2024-02-27T02:22:55Z", "method": "CASH", "amount": 1,
            "invoice_payments": [],
        }))
        .expect("a payment")
    };
    let written = match reply.schema.as_str() {
        "InvoicePaymentListReply" => {
            let page = client.list().send().await;
            page.map(|page| serde_json::to_value(page.into_inner()))
        }
        "InvoicePaymentBulkReply" => {
            let count = reply.written["data"]
                .as_array()
                .map_or(1, |all| all.len().max(1));
            let payments: Vec<CreateInvoicePayment> = (0..count).map(|_| payment()).collect();
            let recorded = client.bulk(Unchecked(&payments)).await;
            recorded.map(|recorded| serde_json::to_value(recorded.into_inner()))
        }
        _ if reply.name.starts_with("update") => {
            let changes = UpdateInvoicePayment::default();
            let updated = client.update(Uuid::from_u128(1), Unchecked(&changes)).await;
            updated.map(|updated| serde_json::to_value(updated.into_inner()))
        }
        _ => {
            let recorded = client.record(Unchecked(&payment())).await;
            recorded.map(|recorded| serde_json::to_value(recorded.into_inner()))
        }
    };
    Ok(written
        .map_err(|error| format!("{}: {error}", reply.name))?
        .expect("replies can be written as JSON"))
}

#[tokio::test]
async fn the_client_reads_what_the_types_read() {
    let server = MockServer::start().await;
    let client = Client::builder()
        .base_url(server.uri())
        .token("a-token-for-tests")
        .business_id(Uuid::from_u128(2))
        .build()
        .expect("the settings are complete");
    let whole = documented_replies();
    let bare = whole.iter().filter_map(bare);
    let mut replies: Vec<Reply> = whole.iter().cloned().chain(bare).collect();
    // A prime, so that all kinds of change of all replies come up.
    let some = mutations()
        .into_iter()
        .filter(|mutation| mutation.fate == Fate::Kept);
    replies.extend(some.step_by(13).map(|mutation| mutation.reply));
    replies.retain(|reply| ENVELOPES.contains(&reply.schema.as_str()));
    let mut found = Vec::new();
    let mut schemas: BTreeMap<&str, usize> = BTreeMap::new();
    for reply in &replies {
        *schemas.entry(&reply.schema).or_default() += 1;
        match through_client(&server, &client, reply).await {
            Err(error) => found.push(error),
            Ok(written) => {
                let differences = differences(&reply.written, &written).into_iter();
                found.extend(differences.map(|found| format!("{}: {found}", reply.name)));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(
        ENVELOPES.iter().all(|name| schemas[name] >= 25),
        "{schemas:?}"
    );
}
