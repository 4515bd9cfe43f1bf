//! Invoices by their two names, the id and the external id, which requests may give in any order.

use serde_json::{Value, json};

use crate::engine::Place;
use crate::harness::{INVOICE, Reply, TestServer, payment, with};

const OTHER: &str = "11111111-2222-3333-4444-555555555555";

/// A payment with an allocation of 10 cents to each target.
fn allocate(external_id: &str, targets: &[Value]) -> Value {
    let allocations: Vec<Value> = targets
        .iter()
        .map(|target| with(json!({"amount": 10}), target.clone()))
        .collect();
    with(
        payment(external_id),
        json!({ "invoice_payments": allocations }),
    )
}

fn by_name(external_id: &str) -> Value {
    json!({ "invoice_external_id": external_id })
}

fn by_id(id: &str) -> Value {
    json!({ "invoice_id": id })
}

fn by_both(id: &str, external_id: &str) -> Value {
    json!({"invoice_id": id, "invoice_external_id": external_id})
}

/// The invoices of a payment's allocations.
fn invoices(payment: &Value) -> Vec<String> {
    payment["allocations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|allocation| allocation["invoice_id"].as_str().unwrap_or("").to_owned())
        .collect()
}

async fn listed(server: &TestServer) -> Vec<Vec<String>> {
    let list = server.list("").await.ok();
    list.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(invoices)
        .collect()
}

#[track_caller]
fn disagrees(reply: &Reply) {
    assert_eq!(
        reply.faults(400),
        [(
            "/invoice_payments/0/invoice_external_id".to_owned(),
            "invoice-ids-disagree".to_owned()
        )]
    );
}

#[tokio::test]
async fn an_invented_id_gives_way_to_the_true_one_everywhere() {
    let place = Place::new();
    let server = TestServer::at(&place).await;
    let refunded = with(
        allocate("p1", &[by_name("invoice-1")]),
        json!({"dedicated_refunds": [{"line_items": [{"amount": 1}]}]}),
    );
    let first = server.record(&refunded).await.ok();
    let invented = invoices(first.payment())[0].clone();
    server
        .record(&allocate(
            "p2",
            &[by_name("invoice-2"), by_name("invoice-1")],
        ))
        .await
        .ok();
    let true_names = allocate("p3", &[by_both(INVOICE, "invoice-1")]);
    let third = server.record(&true_names).await;
    assert_eq!(third.outcomes(), json!(["created"]));
    assert_eq!(invoices(third.payment()), [INVOICE]);
    // The payments before show it, in their refunds too, and nothing of the invented id is left.
    let list = server.list("").await.ok();
    assert_eq!(invoices(&list.body["data"][0]), [INVOICE]);
    assert_eq!(
        list.body["data"][0]["refund_allocations"][0]["invoice_id"],
        INVOICE
    );
    assert_eq!(invoices(&list.body["data"][1])[1], INVOICE);
    assert!(!list.body.to_string().contains(&invented));
    // The columns say the same as the documents: sent again, nothing changes.
    let all = json!([
        refunded,
        allocate("p2", &[by_name("invoice-2"), by_name("invoice-1")]),
        true_names
    ]);
    for _ in 0..2 {
        let again = server.bulk(&all).await.ok();
        assert_eq!(
            again.outcomes(),
            json!(["unchanged", "unchanged", "unchanged"])
        );
        assert_eq!(again.body["data"], list.body["data"]);
    }
    server.stop().await;
    let server = TestServer::at(&place).await;
    let again = server.bulk(&all).await.ok();
    assert_eq!(again.body["data"], list.body["data"]);
    // The id isn't invented any more, so another one is refused.
    disagrees(
        &server
            .record(&allocate("p4", &[by_both(OTHER, "invoice-1")]))
            .await,
    );
}

#[tokio::test]
async fn a_payment_that_comes_with_the_true_id_is_updated_once() {
    let server = TestServer::fresh().await;
    let tags = json!({"tags": [{"key": "k", "value": "v"}]});
    let before = allocate("p1", &[with(by_name("invoice-1"), tags.clone())]);
    let first = server.record(&before).await.ok();
    let after = allocate("p1", &[with(by_both(INVOICE, "invoice-1"), tags)]);
    let second = server.record(&after).await.ok();
    assert_eq!(second.outcomes(), json!(["updated"]));
    let mut expected = first.payment().clone();
    // All else stays, the ids of the tags too.
    expected["allocations"][0]["invoice_id"] = json!(INVOICE);
    assert_eq!(second.payment(), &expected);
    for again in [&after, &before] {
        let again = server.record(again).await.ok();
        assert_eq!(again.outcomes(), json!(["unchanged"]));
        assert_eq!(again.payment(), &expected);
    }
}

#[tokio::test]
async fn one_bulk_may_name_an_invoice_in_either_way_first() {
    let server = TestServer::fresh().await;
    let old = allocate("old", &[by_name("invoice-1")]);
    server.record(&old).await.ok();
    let file = json!([
        allocate("p1", &[by_name("invoice-1")]),
        allocate("p2", &[by_name("invoice-2")]),
        allocate(
            "p3",
            &[by_both(INVOICE, "invoice-1"), by_both(OTHER, "invoice-2")]
        ),
        old,
    ]);
    let reply = server.bulk(&file).await.ok();
    assert_eq!(
        reply.outcomes(),
        json!(["created", "created", "created", "updated"])
    );
    // What was answered is what is kept.
    let list = server.list("").await.ok();
    let answered = reply.body["data"].as_array().unwrap();
    for payment in list.body["data"].as_array().unwrap() {
        assert!(answered.contains(payment), "{payment}");
    }
    assert_eq!(
        listed(&server).await,
        [
            vec![INVOICE],
            vec![INVOICE],
            vec![OTHER],
            vec![INVOICE, OTHER]
        ]
    );
    let again = server.bulk(&file).await.ok();
    assert_eq!(
        again.outcomes(),
        json!(["unchanged", "unchanged", "unchanged", "unchanged"])
    );
}

#[tokio::test]
async fn an_update_can_bring_the_true_id() {
    let server = TestServer::fresh().await;
    server
        .record(&allocate("p1", &[by_name("invoice-1")]))
        .await
        .ok();
    let second = server.record(&payment("p2")).await.ok();
    let change =
        json!({"invoice_payments": [with(by_both(INVOICE, "invoice-1"), json!({"amount": 5}))]});
    let reply = server.update(&second.id(), &change).await.ok();
    assert_eq!(invoices(reply.payment()), [INVOICE]);
    assert_eq!(listed(&server).await, [[INVOICE], [INVOICE]]);
}

#[tokio::test]
async fn an_invoice_that_was_known_by_both_names_apart_becomes_one() {
    let server = TestServer::fresh().await;
    server
        .record(&allocate("p1", &[by_name("invoice-1")]))
        .await
        .ok();
    server
        .record(&allocate("p2", &[by_id(INVOICE), by_name("invoice-1")]))
        .await
        .ok();
    server
        .record(&allocate("p3", &[by_both(INVOICE, "invoice-1")]))
        .await
        .ok();
    assert_eq!(
        listed(&server).await,
        [vec![INVOICE], vec![INVOICE, INVOICE], vec![INVOICE]]
    );
}

#[tokio::test]
async fn an_id_that_gave_way_can_be_given_anew_in_the_same_bulk() {
    let server = TestServer::fresh().await;
    for round in 0..10 {
        let name = format!("invoice-{round}");
        let id = format!("00000000-0000-4000-8000-{round:012}");
        let first = allocate(&format!("a{round}"), &[by_name(&name)]);
        let invented = invoices(server.record(&first).await.ok().payment())[0].clone();
        // The name goes to its own id, and the invented one is the id of another invoice, which has no name.
        let bulk = json!([
            allocate(&format!("b{round}"), &[by_both(&id, &name)]),
            allocate(&format!("c{round}"), &[by_id(&invented)]),
        ]);
        let bulk = server.bulk(&bulk).await.ok();
        assert_eq!(invoices(&bulk.body["data"][0]), [id.as_str()]);
        assert_eq!(invoices(&bulk.body["data"][1]), [invented.as_str()]);
        let again = server.record(&first).await;
        assert_eq!(again.outcomes(), json!(["unchanged"]));
        assert_eq!(invoices(again.payment()), [id.as_str()]);
    }
}

#[tokio::test]
async fn an_id_that_a_client_relies_on_stays() {
    let server = TestServer::fresh().await;
    let first = server
        .record(&allocate("p1", &[by_name("invoice-1")]))
        .await
        .ok();
    let invented = invoices(first.payment())[0].clone();
    // It was told in a reply, and is used now.
    server
        .record(&allocate("p2", &[by_id(&invented)]))
        .await
        .ok();
    disagrees(
        &server
            .record(&allocate("p3", &[by_both(INVOICE, "invoice-1")]))
            .await,
    );
    // Given together with its own external id it does as well.
    let second = server
        .record(&allocate("p4", &[by_name("invoice-2")]))
        .await
        .ok();
    let invented = invoices(second.payment())[0].clone();
    server
        .record(&allocate("p5", &[by_both(&invented, "invoice-2")]))
        .await
        .ok();
    disagrees(
        &server
            .record(&allocate("p6", &[by_both(OTHER, "invoice-2")]))
            .await,
    );
    // An invoice with an external id of its own doesn't take another one's place.
    server
        .record(&allocate("p7", &[by_name("invoice-3")]))
        .await
        .ok();
    disagrees(
        &server
            .record(&allocate("p8", &[by_both(&invented, "invoice-3")]))
            .await,
    );
}

#[tokio::test]
async fn a_refused_request_leaves_the_invented_id() {
    let server = TestServer::fresh().await;
    let first = server
        .record(&allocate("p1", &[by_name("invoice-1")]))
        .await
        .ok();
    server
        .bulk(&json!([
            allocate("p2", &[by_both(INVOICE, "invoice-1")]),
            allocate("p3", &[by_both(OTHER, "invoice-1")]),
        ]))
        .await
        .faults(400);
    assert_eq!(&server.list("").await.ok().body["data"][0], first.payment());
}

#[tokio::test]
async fn payments_that_left_the_invoice_are_left_alone() {
    let server = TestServer::fresh().await;
    let first = server
        .record(&allocate("p1", &[by_name("invoice-1")]))
        .await
        .ok();
    let elsewhere = json!({"invoice_payments": [with(by_id(OTHER), json!({"amount": 5}))]});
    let moved = server.update(&first.id(), &elsewhere).await.ok();
    server
        .record(&allocate("p2", &[by_both(INVOICE, "invoice-1")]))
        .await
        .ok();
    assert_eq!(&server.list("").await.ok().body["data"][0], moved.payment());
    assert_eq!(listed(&server).await, [[OTHER], [INVOICE]]);
}
