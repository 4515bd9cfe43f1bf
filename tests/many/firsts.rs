//! What is named for the first time by several at once is one thing.

use std::sync::Arc;

use layer_payments_tests::engine::Engine;
use layer_payments_tests::random::{Random, seed};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::payment::Names;
use crate::servers::{Reply, Servers};

/// Each has a business of its own, as only the first request of a business finds nothing there.
const ROUNDS: u64 = 12;
/// Requests of each kind at once.
const AT_ONCE: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_named_first_by_many_at_once_is_one_on_postgres() {
    what_is_named_first_by_many_at_once_is_one(Engine::Postgres, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_named_first_by_many_at_once_is_one_on_sqlite() {
    what_is_named_first_by_many_at_once_is_one(Engine::Sqlite, 2).await;
}

async fn what_is_named_first_by_many_at_once_is_one(engine: Engine, count: usize) {
    let what = format!("first names, {count} servers on {engine:?}");
    let mut chance = Random::new(seed(20_240_227));
    let servers = Arc::new(Servers::start(engine, count));
    for round in 0..ROUNDS {
        let business = business(&servers, round, &mut chance).await;
        names(&servers, &business, round, &mut chance).await;
        let entries = servers.books_are_in_order(&business).await;
        // One for each payment, of which two requests at once made one.
        assert_eq!(
            usize::try_from(entries).expect("a small number"),
            AT_ONCE + 1
        );
    }
    let servers = Arc::into_inner(servers).expect("the requests have ended");
    servers.end(&what);
}

/// Sends requests at once, each to any of the servers, and gives the answers in the requests' order.
async fn all_at_once(
    servers: &Arc<Servers>,
    chance: &mut Random,
    requests: Vec<(String, Value)>,
) -> Vec<Reply> {
    let mut running = JoinSet::new();
    for (place, (path, body)) in requests.into_iter().enumerate() {
        let (servers, server) = (Arc::clone(servers), servers.any(chance));
        running.spawn(async move {
            let reply = servers.send(server, Method::POST, &path, Some(&body)).await;
            (place, reply)
        });
    }
    let mut replies = running.join_all().await;
    replies.sort_by_key(|(place, _)| *place);
    replies.into_iter().map(|(_, reply)| reply).collect()
}

/// Makes a business by several requests at once. Some rounds name it by its id, some by its external id, some by both.
async fn business(servers: &Arc<Servers>, round: u64, chance: &mut Random) -> String {
    let id = format!("b0000000-0000-4000-8000-{round:012}");
    let mut body = json!({});
    if !round.is_multiple_of(3) {
        body["id"] = json!(id);
    }
    if round % 3 != 1 {
        body["external_id"] = json!(format!("business-{round}"));
    }
    let requests = (0..AT_ONCE)
        .map(|_| ("/local/businesses".to_owned(), body.clone()))
        .collect();
    let replies = all_at_once(servers, chance, requests).await;
    only_one_created(&replies);
    let business = replies[0].body["data"]["id"]
        .as_str()
        .expect("a business has an id");
    assert!(round.is_multiple_of(3) || business == id, "{business}");
    business.to_owned()
}

/// Checks that one of the replies is about something new, and all are about the same.
fn only_one_created(replies: &[Reply]) {
    let shown: Vec<(u16, &Value)> = replies
        .iter()
        .map(|reply| (reply.status, &reply.body["data"]["id"]))
        .collect();
    let created = shown.iter().filter(|(status, _)| *status == 201).count();
    let found = shown.iter().filter(|(status, _)| *status == 200).count();
    assert!(
        created == 1 && created + found == shown.len(),
        "{:?}",
        replies
    );
    assert!(shown.iter().all(|(_, id)| *id == shown[0].1), "{shown:?}");
}

/// Names an invoice, tags and accounts by several requests at once, which are the first that the business gets.
async fn names(servers: &Arc<Servers>, business: &str, round: u64, chance: &mut Random) {
    let payments = format!("/v1/businesses/{business}/invoices/payments");
    let local = |below: &str| format!("/local/businesses/{business}/{below}");
    let payment = |external_id: &str| {
        json!({
            "external_id": external_id,
            "paid_at": "2024-02-27T02:22:55Z",
            "method": "CREDIT_CARD",
            "processor": "STRIPE",
            "payment_clearing_account_identifier": {"type": "StableName", "stable_name": "CASH"},
            "amount": 1_000,
            "fee": 30,
            "invoice_payments": [{"invoice_external_id": "invoice", "amount": 900}],
            "tags": [{"key": "key", "value": "value"}],
            "additional_fees": [
                {"account": {"type": "StableName", "stable_name": "BANK_FEES"}, "fee_amount": 5},
            ],
        })
    };
    let account = json!({"stable_name": "OWN", "name": "Own", "account_type": "ASSET"});
    let invoice = json!({"external_id": "invoice", "total_amount": 1_000_000});
    let mut requests = Vec::new();
    for number in 0..AT_ONCE {
        requests.push((payments.clone(), payment(&format!("payment-{number}"))));
        requests.push((payments.clone(), payment("same")));
        requests.push((local("ledger-accounts"), account.clone()));
        requests.push((local("invoices"), invoice.clone()));
    }
    let replies = all_at_once(servers, chance, requests).await;
    let kind =
        |kind: usize| -> Vec<Reply> { replies.iter().skip(kind).step_by(4).cloned().collect() };
    only_one_created(&kind(1));
    only_one_created(&kind(2));

    let names = Names::default();
    for reply in kind(0).iter().chain(&kind(1)) {
        let shown = &reply.body["data"];
        assert!(matches!(reply.status, 200 | 201), "{}", reply.body);
        let tag = &shown["transaction_tags"][0];
        names.note("dimension".to_owned(), &tag["dimension_id"]);
        names.note("tag".to_owned(), &tag["definition_id"]);
        let invoice = &shown["allocations"][0]["invoice_id"];
        names.note("invoice".to_owned(), invoice);
        let clearing = &shown["payment_clearing_account"];
        names.note("clearing account".to_owned(), &clearing["id"]["id"]);
        let fees = &shown["additional_fees"][0]["account"];
        names.note("account of fees".to_owned(), &fees["id"]);
    }
    for reply in kind(3) {
        assert!(matches!(reply.status, 200 | 201), "{}", reply.body);
        names.note("invoice".to_owned(), &reply.body["data"]["id"]);
    }

    // What each server lists has each of them once.
    for server in 0..servers.count() {
        let list = async |below: &str| -> Vec<Value> {
            let reply = servers
                .local(server, Method::GET, business, below, None)
                .await;
            reply.body["data"].as_array().cloned().unwrap_or_default()
        };
        let accounts = list("ledger-accounts").await;
        for (name, id) in [
            ("OWN", kind(2)[0].body["data"]["id"]["id"].clone()),
            ("BANK_FEES", json!(names.all()["account of fees"])),
            ("CASH", json!(names.all()["clearing account"])),
        ] {
            let found: Vec<&Value> = accounts
                .iter()
                .filter(|account| account["stable_name"]["stable_name"] == name)
                .map(|account| &account["id"]["id"])
                .collect();
            assert_eq!(found, [&id], "round {round}: {name}");
        }
        let invoices = list("invoices").await;
        assert_eq!(invoices.len(), 1, "round {round}: {invoices:?}");
        assert_eq!(invoices[0]["id"], json!(names.all()["invoice"]));
    }
}
