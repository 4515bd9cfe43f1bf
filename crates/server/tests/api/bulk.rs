//! `bulk_create_invoice_payments`: all or nothing, in the order of the request.

use serde_json::{Value, json};

use crate::engine::fresh;
use crate::harness::{INVOICE, TestServer, config, payment, with};

#[tokio::test]
async fn payments_are_recorded_in_order_with_their_outcomes() {
    let server = TestServer::fresh().await;
    server.bulk(&json!([payment("b"), payment("a")])).await.ok();
    let changed = with(payment("a"), json!({"memo": "new"}));
    let mut anonymous = payment("x");
    anonymous["external_id"] = Value::Null;
    let reply = server
        .bulk(&json!([payment("c"), changed, anonymous, payment("b")]))
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.external_ids(), ["c", "a", "", "b"]);
    assert_eq!(
        reply.outcomes(),
        json!(["created", "updated", "created", "unchanged"])
    );
    assert_eq!(reply.body["data"][1]["memo"], "new");
    assert_eq!(server.listed("").await.len(), 4);
}

#[tokio::test]
async fn a_bulk_of_new_payments_is_answered_with_200() {
    let server = TestServer::fresh().await;
    assert_eq!(server.bulk(&json!([payment("a")])).await.status, 200);
}

#[tokio::test]
async fn a_refused_payment_refuses_all() {
    let server = TestServer::fresh().await;
    server.record(&payment("old")).await.ok();
    let other = "11111111-2222-3333-4444-555555555555";
    let allocated = |external_id: &str, target: Value| {
        let allocation = with(json!({"amount": 1}), target);
        with(
            payment(external_id),
            json!({ "invoice_payments": [allocation] }),
        )
    };
    // Valid by themselves, so the second one is refused in the middle of the transaction.
    let reply = server
        .bulk(&json!([
            with(payment("old"), json!({"memo": "changed"})),
            allocated(
                "new",
                json!({"invoice_id": INVOICE, "invoice_external_id": "invoice-1"})
            ),
            allocated(
                "bad",
                json!({"invoice_id": other, "invoice_external_id": "invoice-1"})
            ),
            payment("later"),
        ]))
        .await;
    assert_eq!(
        reply.faults(400),
        [(
            "/2/invoice_payments/0/invoice_external_id".to_owned(),
            "invoice-ids-disagree".to_owned()
        )]
    );
    let list = server.list("").await.ok();
    assert_eq!(list.external_ids(), ["old"]);
    assert_eq!(list.body["data"][0]["memo"], Value::Null);
    // The invoice's name wasn't kept either.
    let free = allocated(
        "free",
        json!({"invoice_id": other, "invoice_external_id": "invoice-1"}),
    );
    server.record(&free).await.ok();
}

#[tokio::test]
async fn every_refusal_of_the_books_is_told_in_order() {
    let server = TestServer::fresh().await;
    let other = "11111111-2222-3333-4444-555555555555";
    let to =
        |id: &str, name: &str| json!({"amount": 1, "invoice_id": id, "invoice_external_id": name});
    let allocated = |external_id: &str, allocations: Value| {
        with(
            payment(external_id),
            json!({ "invoice_payments": allocations }),
        )
    };
    let first = allocated("known", json!([to(INVOICE, "invoice-1")]));
    server.record(&first).await.ok();
    let reply = server
        .bulk(&json!([
            allocated(
                "a",
                json!([to(other, "invoice-1"), to(INVOICE, "invoice-2")])
            ),
            allocated("b", json!([to(INVOICE, "invoice-1")])),
            // One that there is already is looked through like a new one.
            allocated("known", json!([to(other, "invoice-1")])),
        ]))
        .await;
    let expected = [
        "/0/invoice_payments/0/invoice_external_id",
        "/0/invoice_payments/1/invoice_external_id",
        "/2/invoice_payments/0/invoice_external_id",
    ];
    assert_eq!(
        reply.faults(400),
        expected.map(|pointer| (pointer.to_owned(), "invoice-ids-disagree".to_owned()))
    );
    assert_eq!(server.listed("").await, ["known"]);

    let many: Value = (0..300)
        .map(|index| allocated(&index.to_string(), json!([to(other, "invoice-1")])))
        .collect();
    let reply = server.bulk(&many).await;
    let faults = reply.faults(400);
    assert_eq!(faults.len(), 101);
    assert_eq!(faults[99].0, "/99/invoice_payments/0/invoice_external_id");
    assert_eq!(faults[100].1, "more-faults");
    let text = reply.body["errors"][100]["description"].as_str().unwrap();
    assert!(text.starts_with("200 more"), "{text}");
}

#[tokio::test]
async fn every_violation_is_told_with_the_payments_index() {
    let server = TestServer::fresh().await;
    let reply = server
        .bulk(&json!([
            payment("a"),
            with(payment("b"), json!({"amount": -1})),
            with(
                payment("a"),
                json!({"invoice_payments": [{"amount": 9001}], "metadata": {"m": "x".repeat(1024)}})
            ),
        ]))
        .await;
    let expected = [
        ("/1/amount", "amount-negative"),
        ("/2/external_id", "duplicate-external-id"),
        ("/2/invoice_payments", "allocations-exceed-amount"),
        ("/2/invoice_payments/0", "allocation-target-missing"),
        ("/2/metadata", "metadata-too-large"),
    ];
    assert_eq!(
        reply.faults(400),
        expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned()))
    );
    let duplicate = reply.body["errors"][1]["description"].as_str().unwrap();
    assert!(
        duplicate.contains("index 0") && duplicate.contains("index 2"),
        "{duplicate}"
    );
    assert_eq!(server.listed("").await.len(), 0);
}

#[tokio::test]
async fn an_empty_list_and_one_above_the_limit_are_refused() {
    let server = TestServer::start(config(fresh()).bulk_limit(2)).await;
    assert_eq!(
        server.bulk(&json!([])).await.faults(400),
        [(String::new(), "bulk-empty".to_owned())]
    );
    let payments = |count: usize| -> Value {
        (0..count)
            .map(|index| payment(&index.to_string()))
            .collect()
    };
    assert_eq!(
        server.bulk(&payments(3)).await.faults(400),
        [(String::new(), "bulk-too-large".to_owned())]
    );
    assert_eq!(server.listed("").await.len(), 0);
    server.bulk(&payments(2)).await.ok();
}

#[tokio::test]
async fn two_bulks_with_the_same_payments_create_them_once() {
    let server = TestServer::fresh().await;
    let payments: Value = (0..200)
        .map(|index| payment(&format!("payment-{index}")))
        .collect();
    let (a, b) = tokio::join!(server.bulk(&payments), server.bulk(&payments));
    let count = |outcomes: &Value, outcome: &str| {
        outcomes
            .as_array()
            .unwrap()
            .iter()
            .filter(|known| *known == outcome)
            .count()
    };
    let (a, b) = (a.ok().outcomes(), b.ok().outcomes());
    assert_eq!(count(&a, "created") + count(&b, "created"), 200);
    assert_eq!(count(&a, "unchanged") + count(&b, "unchanged"), 200);
    assert_eq!(server.listed("?limit=1000").await.len(), 200);
}
