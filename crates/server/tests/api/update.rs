//! `update_invoice_payment`: absent, null and values.

use serde_json::{Value, json};

use crate::harness::{INVOICE, TestServer, payment, send, with};

fn rich() -> Value {
    with(
        payment("payment-1"),
        json!({
            "method": "CREDIT_CARD",
            "fee": 20,
            "processor": "STRIPE",
            "memo": "memo",
            "metadata": {"a": 1},
            "reference_number": "R-1",
            "payment_clearing_account_identifier": {"type": "StableName", "stable_name": "UNDEPOSITED_FUNDS"},
            "additional_fees": [{"account": {"type": "StableName", "stable_name": "BANK_FEES"}, "fee_amount": 2}],
            "invoice_payments": [{"invoice_id": INVOICE, "amount": 5000}],
            "tags": [{"key": "k", "value": "v"}],
            "dedicated_refunds": [{"line_items": [{"amount": 5}]}],
        }),
    )
}

#[tokio::test]
async fn what_is_left_out_stays() {
    let server = TestServer::fresh().await;
    let created = server.record(&rich()).await.ok();
    let reply = server.update(&created.id(), &json!({})).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.payment(), created.payment());
    assert_eq!(reply.body["meta"], json!({}));
}

#[tokio::test]
async fn values_are_set() {
    let server = TestServer::fresh().await;
    let created = server.record(&rich()).await.ok();
    for (change, property, value) in [
        (
            json!({"external_id": "payment-2"}),
            "external_id",
            json!("payment-2"),
        ),
        (
            json!({"paid_at": "2025-01-01T00:00:00+01:00"}),
            "at",
            json!("2024-12-31T23:00:00Z"),
        ),
        (json!({"amount": 9500}), "amount", json!(9500)),
        (json!({"fee": 30}), "fee", json!(30)),
        (json!({"method": "ACH"}), "method", json!("ACH")),
        (json!({"processor": "ADYEN"}), "processor", json!("ADYEN")),
        (json!({"memo": "other"}), "memo", json!("other")),
        (json!({"metadata": {"b": 2}}), "metadata", json!({"b": 2})),
        (
            json!({"reference_number": "R-2"}),
            "reference_number",
            json!("R-2"),
        ),
    ] {
        let before = server.list("").await.ok().body["data"][0].clone();
        let reply = server.update(&created.id(), &change).await;
        assert_eq!(reply.status, 200);
        let mut expected = before;
        expected[property] = value;
        if property == "external_id" {
            expected["refund_allocations"][0]["invoice_payment_external_id"] = json!("payment-2");
        }
        assert_eq!(reply.payment(), &expected, "{change}");
        assert_eq!(&server.list("").await.ok().body["data"][0], reply.payment());
    }
    // Recording it again by its new external id finds it.
    let again = server
        .record(&with(rich(), json!({"external_id": "payment-2"})))
        .await;
    assert_eq!(again.outcomes(), json!(["updated"]));
    assert_eq!(again.id(), created.id());
}

#[tokio::test]
async fn null_clears_what_can_be_cleared() {
    let server = TestServer::fresh().await;
    let created = server.record(&rich()).await.ok();
    for (change, property, value) in [
        (json!({"external_id": null}), "external_id", json!(null)),
        (
            json!({"paid_at": null}),
            "at",
            created.payment()["at"].clone(),
        ),
        (json!({"amount": null}), "amount", json!(9000)),
        (json!({"fee": null}), "fee", json!(0)),
        (json!({"processor": null}), "processor", json!(null)),
        (
            json!({"payment_clearing_account_identifier": null}),
            "payment_clearing_account",
            json!(null),
        ),
        (json!({"memo": null}), "memo", json!(null)),
        (json!({"metadata": null}), "metadata", json!({})),
        (
            json!({"reference_number": null}),
            "reference_number",
            json!(null),
        ),
        (json!({"additional_fees": []}), "additional_fees", json!([])),
        (json!({"invoice_payments": []}), "allocations", json!([])),
        (
            json!({"dedicated_refunds": []}),
            "refund_allocations",
            json!([]),
        ),
        (json!({"tags": []}), "transaction_tags", json!([])),
    ] {
        let reply = server.update(&created.id(), &change).await.ok();
        assert_eq!(reply.payment()[property], value, "{change}");
    }
    // The external id is free again.
    assert_eq!(server.record(&payment("payment-1")).await.status, 201);
}

#[tokio::test]
async fn allocations_are_replaced_as_a_whole() {
    let server = TestServer::fresh().await;
    let created = server.record(&rich()).await.ok();
    let reply = server
        .update(
            &created.id(),
            &json!({"amount": 100, "invoice_payments": [
                {"account": {"type": "StableName", "stable_name": "UNEARNED_REVENUE"}, "amount": 40},
                {"invoice_external_id": "invoice-7", "amount": 60},
            ]}),
        )
        .await
        .ok();
    let allocations = reply.payment()["allocations"].as_array().unwrap();
    assert_eq!(allocations.len(), 2);
    assert_eq!(allocations[0]["amount"], 40);
    assert_eq!(allocations[1]["amount"], 60);
    // 5 of it were refunded before.
    assert_eq!(allocations[1]["amount_net_of_refunds"], 55);
}

#[tokio::test]
async fn amount_and_allocations_must_fit_whichever_is_new() {
    let server = TestServer::fresh().await;
    let created = server.record(&rich()).await.ok();
    for (change, pointer) in [
        (json!({"amount": 4999}), "/amount"),
        (
            json!({"invoice_payments": [{"invoice_id": INVOICE, "amount": 9001}]}),
            "/invoice_payments",
        ),
        (
            json!({"amount": 10, "invoice_payments": [{"invoice_id": INVOICE, "amount": 11}]}),
            "/invoice_payments",
        ),
    ] {
        let reply = server.update(&created.id(), &change).await;
        assert_eq!(
            reply.faults(400),
            [(pointer.to_owned(), "allocations-exceed-amount".to_owned())]
        );
    }
    assert_eq!(
        &server.list("").await.ok().body["data"][0],
        created.payment()
    );
    server
        .update(&created.id(), &json!({"amount": 5000}))
        .await
        .ok();
}

#[tokio::test]
async fn an_external_id_that_another_payment_has_is_refused() {
    let server = TestServer::fresh().await;
    let created = server.record(&rich()).await.ok();
    let other = server.record(&payment("payment-2")).await.ok();
    let reply = server
        .update(&other.id(), &json!({"external_id": "payment-1"}))
        .await;
    assert_eq!(
        reply.faults(400),
        [("/external_id".to_owned(), "external-id-taken".to_owned())]
    );
    let text = reply.body["errors"][0]["description"].as_str().unwrap();
    assert!(text.contains(&created.id()), "{text}");
    // Its own is no other's.
    server
        .update(&other.id(), &json!({"external_id": "payment-2"}))
        .await
        .ok();
}

#[tokio::test]
async fn all_that_the_books_refuse_of_an_update_is_told() {
    let server = TestServer::fresh().await;
    let created = server.record(&rich()).await.ok();
    server
        .record(&with(
            payment("payment-2"),
            json!({"invoice_payments": [
                {"invoice_id": INVOICE, "invoice_external_id": "invoice-1", "amount": 1}
            ]}),
        ))
        .await
        .ok();
    let fault = |pointer: &str, code: &str| (pointer.to_owned(), code.to_owned());
    let reply = server
        .update(
            &created.id(),
            &json!({"amount": 4999, "external_id": "payment-2"}),
        )
        .await;
    assert_eq!(
        reply.faults(400),
        [
            fault("/amount", "allocations-exceed-amount"),
            fault("/external_id", "external-id-taken")
        ]
    );
    let reply = server
        .update(
            &created.id(),
            &json!({"external_id": "payment-2", "invoice_payments": [
                {"invoice_id": INVOICE, "invoice_external_id": "invoice-2", "amount": 9001}
            ]}),
        )
        .await;
    assert_eq!(
        reply.faults(400),
        [
            fault("/invoice_payments", "allocations-exceed-amount"),
            fault("/external_id", "external-id-taken"),
            fault(
                "/invoice_payments/0/invoice_external_id",
                "invoice-ids-disagree"
            )
        ]
    );
    assert_eq!(
        &server.list("").await.ok().body["data"][0],
        created.payment()
    );
}

#[tokio::test]
async fn an_unknown_payment_is_not_found() {
    let server = TestServer::fresh().await;
    let created = server.record(&rich()).await.ok();
    let unknown = server.update(INVOICE, &json!({"memo": "x"})).await;
    assert_eq!(unknown.faults(404)[0].1, "payment-unknown");
    assert_eq!(
        unknown.body["errors"][0]["error_enum"],
        "SpecifiedIdNotFound"
    );
    // Another business's payment is none of this one's.
    let url = server.payments_url().replace("738ec216", "00000000") + "/" + &created.id();
    let request = server
        .client
        .patch(url)
        .bearer_auth(crate::harness::TOKEN)
        .json(&json!({"memo": "x"}));
    send(request).await.faults(404);
    assert_eq!(server.list("").await.ok().body["data"][0]["memo"], "memo");
}

#[tokio::test]
async fn what_an_update_does_not_have_is_refused() {
    let server = TestServer::fresh().await;
    let created = server.record(&rich()).await.ok();
    for (change, pointer) in [
        (
            json!({"redemption_account": {"type": "StableName", "stable_name": "X"}}),
            "/redemption_account",
        ),
        (json!({"id": INVOICE}), "/id"),
        (json!({"memo": 7}), "/memo"),
        // What null can't clear.
        (json!({"method": null}), "/method"),
        (json!({"tags": null}), "/tags"),
        (json!({"invoice_payments": null}), "/invoice_payments"),
        (json!({"additional_fees": null}), "/additional_fees"),
        (json!({"dedicated_refunds": null}), "/dedicated_refunds"),
    ] {
        let reply = server.update(&created.id(), &change).await;
        assert_eq!(reply.faults(400)[0].0, pointer, "{change}");
    }
    assert_eq!(
        &server.list("").await.ok().body["data"][0],
        created.payment()
    );
}
