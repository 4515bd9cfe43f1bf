//! `record_invoice_payment`: what is created, what a repetition does, and the reply's form.

use std::collections::HashMap;
use std::path::Path;

use layer_payments_types::{InvoicePayment, InvoicePaymentReply};
use reqwest::Method;
use serde_json::{Value, json};

use crate::engine::fresh;
use crate::harness::{BUSINESS, INVOICE, Reply, TOKEN, TestServer, config, payment, send, with};

/// The request of the documentation's record page.
fn documented_request() -> Value {
    json!({
        "external_id": "payment-1",
        "paid_at": "2024-02-27T02:22:55.163005Z",
        "method": "CREDIT_CARD",
        "fee": 20,
        "amount": 90,
        "processor": "STRIPE",
        "invoice_payments": [{
            "invoice_id": INVOICE,
            "amount": 90,
            "tags": [{
                "key": "payment-source",
                "dimension_display_name": "Payment Source",
                "value": "online-portal",
                "value_display_name": "Online Portal",
            }],
        }],
        "additional_fees": [{
            "account": {"type": "StableName", "stable_name": "MERCHANT_CASH_ADVANCE"},
            "description": "MCA Fee",
            "fee_amount": 2,
        }],
        "tags": [
            {
                "key": "payment-channel",
                "dimension_display_name": "Payment Channel",
                "value": "in-store",
                "value_display_name": "In Store",
            },
            {"key": "department", "value": "sales"},
        ],
    })
}

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[tokio::test]
async fn the_documented_request_gets_the_documented_reply() {
    let server = TestServer::fresh().await;
    let reply = server.record(&documented_request()).await;
    assert_eq!(reply.status, 201);
    let data = reply.payment();
    let id = reply.id();

    // Every value that the request decides.
    assert_eq!(data["type"], "Invoice_Payment");
    assert_eq!(data["external_id"], "payment-1");
    assert_eq!(data["at"], "2024-02-27T02:22:55.163005Z");
    assert_eq!(data["method"], "CREDIT_CARD");
    assert_eq!(data["fee"], 20);
    assert_eq!(data["amount"], 90);
    assert_eq!(data["processor"], "STRIPE");
    let fee = &data["additional_fees"][0];
    assert_eq!(fee["account"]["type"], "AccountId");
    assert!(
        fee["account"]["id"]
            .as_str()
            .unwrap()
            .parse::<uuid::Uuid>()
            .is_ok()
    );
    assert_eq!(fee["description"], "MCA Fee");
    assert_eq!(fee["fee_amount"], 2);
    assert_eq!(fee["is_passed_to_customer"], false);
    let allocation = &data["allocations"][0];
    assert_eq!(allocation["invoice_id"], INVOICE);
    assert_eq!(allocation["payment_id"], id);
    assert_eq!(allocation["amount"], 90);
    assert_eq!(allocation["amount_net_of_refunds"], 90);
    let source = &allocation["transaction_tags"][0];
    assert_eq!(source["key"], "payment-source");
    assert_eq!(source["value"], "online-portal");
    assert_eq!(source["dimension_display_name"], "Payment Source");
    assert_eq!(source["value_display_name"], "Online Portal");
    let tags = data["transaction_tags"].as_array().unwrap();
    assert_eq!(tags.len(), 2);
    assert_eq!(tags[0]["key"], "payment-channel");
    assert_eq!(tags[1]["key"], "department");
    assert_eq!(tags[1]["dimension_display_name"], Value::Null);
    for tag in tags.iter().chain([source]) {
        for id in ["id", "dimension_id", "definition_id"] {
            assert!(
                tag[id].as_str().unwrap().parse::<uuid::Uuid>().is_ok(),
                "{tag}"
            );
        }
        assert_eq!(tag["created_at"], data["imported_at"]);
        assert_eq!(tag["updated_at"], data["imported_at"]);
        assert_eq!(tag["deleted_at"], Value::Null);
        assert_eq!(tag["archived_at"], Value::Null);
    }

    // Every property of the schema is there, also where there is nothing to say.
    assert_eq!(
        keys(data),
        [
            "additional_fees",
            "allocations",
            "amount",
            "at",
            "external_id",
            "fee",
            "id",
            "imported_at",
            "memo",
            "metadata",
            "method",
            "payment_clearing_account",
            "payouts",
            "prepayment_account",
            "processor",
            "reference_number",
            "refund_allocations",
            "transaction_tags",
            "type",
        ]
    );
    assert_eq!(
        keys(allocation),
        [
            "amount",
            "amount_net_of_refunds",
            "invoice_id",
            "memo",
            "metadata",
            "payment_id",
            "reference_number",
            "transaction_tags",
        ]
    );
    for (property, empty) in [
        ("memo", json!(null)),
        ("reference_number", json!(null)),
        ("payment_clearing_account", json!(null)),
        ("prepayment_account", json!(null)),
        ("metadata", json!({})),
        ("refund_allocations", json!([])),
        ("payouts", json!([])),
    ] {
        assert_eq!(data[property], empty, "{property}");
    }
    assert_eq!(
        reply.body["meta"],
        json!({"idempotency": {"outcomes": ["created"]}})
    );

    // The reply is one by the generated types, with nothing that they don't know.
    let typed: InvoicePaymentReply = serde_json::from_value(reply.body.clone()).unwrap();
    assert!(typed.data.extra.is_empty() && typed.extra.is_empty());
    assert_eq!(serde_json::to_value(&typed).unwrap(), reply.body);
}

#[tokio::test]
async fn a_repeated_request_changes_nothing() {
    let server = TestServer::fresh().await;
    let first = server.record(&documented_request()).await;
    let second = server.record(&documented_request()).await;
    assert_eq!(second.status, 200);
    assert_eq!(second.outcomes(), json!(["unchanged"]));
    assert_eq!(second.payment(), first.payment());
    assert_eq!(server.listed("").await.len(), 1);
}

#[tokio::test]
async fn the_same_meaning_in_other_words_is_unchanged() {
    let server = TestServer::fresh().await;
    let request = with(
        documented_request(),
        json!({
            "metadata": {"a": 1, "b": {"c": [1, 2], "d": null}},
            "payment_clearing_account_identifier": {"type": "StableName", "stable_name": "STRIPE_CLEARING"},
        }),
    );
    let first = server.record(&request).await.ok();
    let fee_account = &first.payment()["additional_fees"][0]["account"];
    let clearing = &first.payment()["payment_clearing_account"]["id"];
    let again = with(
        request.clone(),
        json!({
            // The same instant elsewhere, the same account by id, tags in another order, an object in another order.
            "paid_at": "2024-02-27T04:22:55.163005+02:00",
            "additional_fees": [{
                "account": fee_account,
                "description": "MCA Fee",
                "fee_amount": 2,
                "is_passed_to_customer": false,
            }],
            "payment_clearing_account_identifier": clearing,
            "tags": [
                {"key": "department", "value": "sales", "dimension_display_name": null},
                {"key": "payment-channel", "value": "in-store"},
            ],
            "metadata": {"b": {"d": null, "c": [1, 2]}, "a": 1},
            // Null is the same as left out.
            "memo": null,
            "dedicated_refunds": null,
        }),
    );
    let second = server.record(&again).await;
    assert_eq!(second.outcomes(), json!(["unchanged"]), "{second:#?}");
    assert_eq!(second.payment(), first.payment());
}

#[tokio::test]
async fn what_a_repeated_request_leaves_out_stays() {
    let server = TestServer::fresh().await;
    let full = with(
        documented_request(),
        json!({
            "method": "CREDIT_BALANCE", "memo": "m", "reference_number": "r", "metadata": {"a": 1},
            "payment_clearing_account_identifier": {"type": "StableName", "stable_name": "UNDEPOSITED_FUNDS"},
            "redemption_account": {"type": "StableName", "stable_name": "UNEARNED_REVENUE"},
            "dedicated_refunds": [{"external_id": "refund-1", "line_items": [{"amount": 5}]}],
        }),
    );
    let first = server.record(&full).await.ok();
    let short = json!({
        "external_id": "payment-1",
        "paid_at": "2024-02-27T02:22:55.163005Z",
        "method": "CREDIT_BALANCE",
        "amount": 90,
        "invoice_payments": full["invoice_payments"],
        "fee": null, "additional_fees": null, "processor": null, "payment_clearing_account_identifier": null,
        "redemption_account": null, "tags": null, "memo": null, "metadata": null, "reference_number": null,
    });
    let second = server.record(&short).await;
    assert_eq!(second.outcomes(), json!(["unchanged"]));
    assert_eq!(second.payment(), first.payment());
}

#[tokio::test]
async fn a_repeated_request_must_fit_what_it_leaves_out() {
    let server = TestServer::fresh().await;
    let full = with(
        documented_request(),
        json!({"dedicated_refunds": [{"external_id": "refund-1", "line_items": [{"amount": 85}]}]}),
    );
    let first = server.record(&full).await.ok();
    let short = |properties: Value| {
        let payment = with(payment("payment-1"), json!({"invoice_payments": []}));
        with(payment, properties)
    };
    let fault = |pointer: &str, code: &str| (pointer.to_owned(), code.to_owned());
    let processor = "processor-not-allowed-for-method";
    for (request, faults) in [
        // The processor and the refund stay, since the request doesn't name them.
        (
            short(json!({"method": "CASH", "amount": 90})),
            vec![fault("/method", processor)],
        ),
        (
            short(json!({"method": "CREDIT_CARD", "amount": 84})),
            vec![fault("/amount", "refunds-exceed-amount")],
        ),
        (
            short(
                json!({"method": "CASH", "amount": 84, "processor": null, "dedicated_refunds": null}),
            ),
            vec![
                fault("/method", processor),
                fault("/amount", "refunds-exceed-amount"),
            ],
        ),
    ] {
        assert_eq!(
            server.record(&request).await.faults(400),
            faults,
            "{request}"
        );
        let in_bulk: Vec<_> = faults
            .into_iter()
            .map(|(pointer, code)| (format!("/1{pointer}"), code))
            .collect();
        let bulk = server.bulk(&json!([payment("other"), request])).await;
        assert_eq!(bulk.faults(400), in_bulk);
        assert_eq!(&server.listed_payment().await, first.payment());
    }
    let reply = server
        .record(&short(
            json!({"method": "CASH", "amount": 84, "processor": "STRIPE"}),
        ))
        .await;
    assert_eq!(
        reply.faults(400),
        [fault("/processor", processor)],
        "what the request breaks by itself is told first"
    );
    let fits = short(json!({"method": "ACH", "amount": 84, "dedicated_refunds": []}));
    let reply = server.record(&fits).await.ok();
    assert_eq!(reply.outcomes(), json!(["updated"]));
    assert_eq!(reply.payment()["processor"], "STRIPE");
    assert_eq!(reply.payment()["amount"], 84);
}

#[tokio::test]
async fn other_values_update_the_payment() {
    let server = TestServer::fresh().await;
    // What the changes below touch and the documented request leaves out is named, so that it can be set back.
    let base = with(
        documented_request(),
        json!({"memo": "old", "metadata": {"old": true}, "reference_number": "R-0"}),
    );
    let first = server.record(&base).await.ok();
    for (change, property, value) in [
        (
            json!({"paid_at": "2024-03-01T00:00:00Z"}),
            "at",
            json!("2024-03-01T00:00:00Z"),
        ),
        (json!({"method": "ACH"}), "method", json!("ACH")),
        (json!({"amount": 95}), "amount", json!(95)),
        (json!({"fee": 0}), "fee", json!(0)),
        (json!({"processor": "ADYEN"}), "processor", json!("ADYEN")),
        (json!({"memo": "new"}), "memo", json!("new")),
        (json!({"metadata": {"x": 1}}), "metadata", json!({"x": 1})),
        (json!({"metadata": {}}), "metadata", json!({})),
        (
            json!({"reference_number": "R-1"}),
            "reference_number",
            json!("R-1"),
        ),
        (json!({"additional_fees": []}), "additional_fees", json!([])),
        (json!({"tags": []}), "transaction_tags", json!([])),
        (json!({"invoice_payments": []}), "allocations", json!([])),
    ] {
        let mut expected = server.listed_payment().await;
        let request = with(base.clone(), change.clone());
        let reply = server.record(&request).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.outcomes(), json!(["updated"]), "{change}");
        assert_eq!(reply.payment()[property], value, "{change}");
        assert_eq!(reply.id(), first.id());
        assert_eq!(
            reply.payment()["imported_at"],
            first.payment()["imported_at"]
        );
        // Nothing but that property changed against what was there.
        expected[property] = value;
        assert_eq!(reply.payment(), &expected, "{change}");
        // What the list shows is what the reply showed.
        assert_eq!(&server.listed_payment().await, reply.payment());
        // Back to the start, so that each change stands alone.
        server.record(&base).await.ok();
    }
}

impl TestServer {
    /// The only payment there is.
    async fn listed_payment(&self) -> Value {
        let list = self.list("").await.ok();
        assert_eq!(list.body["data"].as_array().unwrap().len(), 1);
        list.body["data"][0].clone()
    }
}

#[tokio::test]
async fn tags_that_stay_keep_their_ids() {
    let server = TestServer::fresh().await;
    let tags = |list: &[(&str, &str)]| {
        let list: Vec<Value> = list
            .iter()
            .map(|(key, value)| json!({"key": key, "value": value}))
            .collect();
        with(payment("p"), json!({ "tags": list }))
    };
    let first = server.record(&tags(&[("a", "1"), ("b", "2")])).await.ok();
    let second = server.record(&tags(&[("c", "3"), ("b", "2")])).await.ok();
    assert_eq!(second.outcomes(), json!(["updated"]));
    let id = |reply: &Reply, index: usize| reply.payment()["transaction_tags"][index]["id"].clone();
    assert_eq!(id(&second, 1), id(&first, 1));
    assert_ne!(id(&second, 0), id(&first, 0));
}

#[tokio::test]
async fn display_names_are_those_of_the_first_use() {
    let server = TestServer::fresh().await;
    let tagged = |external_id: &str, names: Value| {
        let tag = with(json!({"key": "department", "value": "sales"}), names);
        with(payment(external_id), json!({ "tags": [tag] }))
    };
    server
        .record(&tagged(
            "p1",
            json!({"dimension_display_name": "Department"}),
        ))
        .await
        .ok();
    let second = server
        .record(&tagged(
            "p2",
            json!({"dimension_display_name": "Dept", "value_display_name": "Sales Team"}),
        ))
        .await
        .ok();
    let tag = &second.payment()["transaction_tags"][0];
    assert_eq!(tag["dimension_display_name"], "Department");
    assert_eq!(tag["value_display_name"], Value::Null);
}

#[tokio::test]
async fn without_an_external_id_each_request_creates_a_payment() {
    let server = TestServer::fresh().await;
    let mut anonymous = payment("x");
    anonymous.as_object_mut().unwrap().remove("external_id");
    for _ in 0..2 {
        let reply = server.record(&anonymous).await;
        assert_eq!(reply.status, 201);
        assert_eq!(reply.payment()["external_id"], Value::Null);
    }
    assert_eq!(server.listed("").await.len(), 2);
}

#[tokio::test]
async fn identical_requests_at_the_same_moment_create_one_payment() {
    let server = TestServer::fresh().await;
    for round in 0..10 {
        let request = payment(&format!("payment-{round}"));
        let (a, b, c) = tokio::join!(
            server.record(&request),
            server.record(&request),
            server.record(&request)
        );
        let mut statuses = [a.status.as_u16(), b.status.as_u16(), c.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 200, 201]);
        assert_eq!(a.payment(), b.payment());
        assert_eq!(b.payment(), c.payment());
    }
    assert_eq!(server.listed("").await.len(), 10);
}

#[tokio::test]
async fn external_ids_are_unique_in_a_business_only() {
    let second = "11111111-2222-3333-4444-555555555555";
    let config = config(fresh()).business(second.parse().unwrap());
    let server = TestServer::start(config).await;
    server.record(&payment("p")).await.ok();
    let other = server.payments_url().replace(BUSINESS, second);
    let request = server
        .client
        .post(other)
        .bearer_auth(crate::harness::TOKEN)
        .json(&payment("p"));
    assert_eq!(send(request).await.status, 201);
    assert_eq!(server.listed("").await.len(), 1);
}

#[tokio::test]
async fn accounts_and_invoices_are_registered_once() {
    let server = TestServer::fresh().await;
    let request = |external_id: &str| {
        with(
            payment(external_id),
            json!({
                "method": "CREDIT_BALANCE",
                "redemption_account": {"type": "StableName", "stable_name": "UNEARNED_REVENUE"},
                "invoice_payments": [
                    {"invoice_external_id": "invoice-1", "amount": 10},
                    {"account": {"type": "StableName", "stable_name": "UNEARNED_REVENUE"}, "amount": 20,
                     "memo": "m", "reference_number": "r", "metadata": {"a": 1}, "tags": [{"key": "k", "value": "v"}]},
                ],
            }),
        )
    };
    let first = server.record(&request("p1")).await.ok();
    let second = server.record(&request("p2")).await.ok();
    let data = first.payment();
    assert_eq!(data["prepayment_account"]["type"], "AccountId");
    assert_eq!(
        data["prepayment_account"],
        second.payment()["prepayment_account"]
    );
    assert_eq!(
        data["allocations"][1]["account"],
        data["prepayment_account"]
    );
    assert_eq!(
        data["allocations"][0]["invoice_id"],
        second.payment()["allocations"][0]["invoice_id"]
    );
    let ledger = &data["allocations"][1];
    assert_eq!(ledger["memo"], "m");
    assert_eq!(ledger["reference_number"], "r");
    assert_eq!(ledger["metadata"], json!({"a": 1}));
    assert_eq!(ledger["transaction_tags"][0]["value"], "v");
    assert_eq!(ledger["payment_id"], first.id());
    assert!(ledger.get("amount_net_of_refunds").is_none());
}

#[tokio::test]
async fn accounts_that_the_business_does_not_have_are_refused_where_they_are_named() {
    let server = TestServer::fresh().await;
    let by_id = json!({"type": "AccountId", "id": INVOICE});
    let by_name = json!({"type": "StableName", "stable_name": "PETTY_BOX"});
    let request = with(
        payment("p"),
        json!({
            "method": "CREDIT_BALANCE",
            "redemption_account": by_id,
            "payment_clearing_account_identifier": by_name,
            "additional_fees": [{"account": {"type": "StableName", "stable_name": "BANK_FEES"}, "fee_amount": 1},
                                {"account": by_name, "fee_amount": 1}],
            "invoice_payments": [{"account": by_id, "amount": 1}],
            "dedicated_refunds": [{
                "account_identifier": by_name,
                "line_items": [{"amount": 1, "account_identifier": by_id, "prepayment_account_identifier": by_id}],
                "refunded_payment_fees": [{"account": by_id, "fee_amount": 1}],
                "payment_clearing_account_identifier": by_id,
            }],
        }),
    );
    let places = [
        "/payment_clearing_account_identifier",
        "/redemption_account",
        "/additional_fees/1/account",
        "/invoice_payments/0/account",
        "/dedicated_refunds/0/account_identifier",
        "/dedicated_refunds/0/line_items/0/account_identifier",
        "/dedicated_refunds/0/line_items/0/prepayment_account_identifier",
        "/dedicated_refunds/0/refunded_payment_fees/0/account",
        "/dedicated_refunds/0/payment_clearing_account_identifier",
    ];
    let expected = |prefix: &str| {
        let mut expected: Vec<_> = places
            .iter()
            .map(|place| (format!("{prefix}{place}"), "account-unknown".to_owned()))
            .collect();
        expected.sort();
        expected
    };
    let sorted = |reply: Reply| {
        let mut faults = reply.faults(400);
        faults.sort();
        faults
    };
    assert_eq!(sorted(server.record(&request).await), expected(""));
    let bulk = json!([payment("q"), request]);
    assert_eq!(sorted(server.bulk(&bulk).await), expected("/1"));
    assert!(server.listed("").await.is_empty());
}

#[tokio::test]
async fn a_clearing_account_is_shown_with_its_place_in_the_chart() {
    let server = TestServer::fresh().await;
    let request = with(
        payment("p"),
        json!({"payment_clearing_account_identifier": {"type": "StableName", "stable_name": "UNDEPOSITED_FUNDS"}}),
    );
    let reply = server.record(&request).await.ok();
    let mut account = reply.payment()["payment_clearing_account"].clone();
    assert!(
        account["id"]["id"]
            .as_str()
            .unwrap()
            .parse::<uuid::Uuid>()
            .is_ok()
    );
    account.as_object_mut().unwrap().remove("id");
    assert_eq!(
        account,
        json!({
            "type": "Single_Chart_Account",
            "name": "Undeposited Funds",
            "account_number": null,
            "stable_name": {"type": "StableName", "stable_name": "UNDEPOSITED_FUNDS"},
            "normality": "DEBIT",
            "account_type": {"value": "ASSET", "display_name": "Asset"},
            "account_subtype": {"value": "UNDEPOSITED_FUNDS", "display_name": "Undeposited Funds"},
        })
    );
}

#[tokio::test]
async fn an_invoice_has_one_id_and_one_external_id() {
    let server = TestServer::fresh().await;
    let allocate = |external_id: &str, target: Value| {
        with(
            payment(external_id),
            json!({"invoice_payments": [with(target, json!({"amount": 1}))]}),
        )
    };
    let other = "11111111-2222-3333-4444-555555555555";
    // Both names at once, each name alone, and a name that is learnt later.
    for (external_id, target) in [
        (
            "p1",
            json!({"invoice_id": INVOICE, "invoice_external_id": "invoice-1"}),
        ),
        ("p2", json!({"invoice_external_id": "invoice-1"})),
        ("p3", json!({"invoice_id": INVOICE})),
        (
            "p4",
            json!({"invoice_id": INVOICE, "invoice_external_id": null}),
        ),
    ] {
        let reply = server.record(&allocate(external_id, target)).await.ok();
        assert_eq!(reply.payment()["allocations"][0]["invoice_id"], INVOICE);
    }
    server
        .record(&allocate("p5", json!({"invoice_id": other})))
        .await
        .ok();
    server
        .record(&allocate(
            "p6",
            json!({"invoice_id": other, "invoice_external_id": "invoice-2"}),
        ))
        .await
        .ok();
    // Names of two invoices.
    for target in [
        json!({"invoice_id": other, "invoice_external_id": "invoice-1"}),
        json!({"invoice_id": INVOICE, "invoice_external_id": "invoice-3"}),
        json!({"invoice_id": INVOICE, "invoice_external_id": "invoice-2"}),
    ] {
        let reply = server.record(&allocate("p7", target)).await;
        assert_eq!(
            reply.faults(400),
            [(
                "/invoice_payments/0/invoice_external_id".to_owned(),
                "invoice-ids-disagree".to_owned()
            )]
        );
    }
    assert_eq!(server.listed("?external_id=p7").await.len(), 0);
}

#[tokio::test]
async fn refunds_are_kept_and_shown() {
    let server = TestServer::fresh().await;
    let request = with(
        payment("p"),
        json!({
            "amount": 100,
            "invoice_payments": [
                {"invoice_external_id": "invoice-1", "amount": 30},
                {"invoice_external_id": "invoice-2", "amount": 60},
            ],
            "dedicated_refunds": [
                {
                    "external_id": "refund-1",
                    "account_identifier": {"type": "StableName", "stable_name": "CUSTOMER_REFUNDS"},
                    "line_items": [
                        {"amount": 25, "memo": "first"},
                        {"amount": 15, "account_identifier": {"type": "StableName", "stable_name": "DISCOUNTS"}},
                    ],
                    "completed_at": "2024-03-01T09:30:00Z",
                    "refund_processing_fee": 3,
                    "refunded_payment_fees": [
                        {"account": {"type": "StableName", "stable_name": "BANK_FEES"}, "fee_amount": 1},
                    ],
                },
                {"refunded_amount": 7},
                {"memo": "no amount at all"},
            ],
        }),
    );
    let reply = server.record(&request).await.ok();
    let data = reply.payment();
    let refunds = data["refund_allocations"].as_array().unwrap();
    let amounts: Vec<i64> = refunds
        .iter()
        .map(|refund| refund["amount"].as_i64().unwrap())
        .collect();
    assert_eq!(amounts, [25, 15, 7]);
    assert_eq!(refunds[0]["memo"], "first");
    assert_ne!(
        refunds[0]["account_identifier"],
        refunds[1]["account_identifier"]
    );
    for refund in refunds {
        assert_eq!(refund["invoice_payment_id"], reply.id());
        assert_eq!(refund["invoice_payment_external_id"], "p");
        // Two invoices were paid, and none of them is named.
        assert_eq!(refund["invoice_id"], Value::Null);
    }
    // 47 refunded of 30 + 60.
    assert_eq!(data["allocations"][0]["amount_net_of_refunds"], 0);
    assert_eq!(data["allocations"][1]["amount_net_of_refunds"], 43);

    // All of it was kept: the same again is unchanged, and a change in what isn't shown is a change.
    let again = server.record(&request).await;
    assert_eq!(again.outcomes(), json!(["unchanged"]));
    assert_eq!(again.payment(), data);
    let mut other = request.clone();
    other["dedicated_refunds"][0]["refund_processing_fee"] = json!(4);
    let changed = server.record(&other).await;
    assert_eq!(changed.outcomes(), json!(["updated"]));
    // The refunds are still the same ones.
    assert_eq!(changed.payment(), data);
    let typed: InvoicePayment = serde_json::from_value(data.clone()).unwrap();
    assert_eq!(serde_json::to_value(typed).unwrap(), *data);
}

#[tokio::test]
async fn extreme_values_survive() {
    let server = TestServer::fresh().await;
    let request = with(
        payment("\u{1F600} \u{0} \"\\ 'quoted' ; DROP TABLE payments --"),
        json!({
            "amount": i64::MAX,
            "fee": i64::MAX,
            "paid_at": "1970-01-01T00:00:00.000001Z",
            "invoice_payments": [{"invoice_external_id": "ü", "amount": i64::MAX}],
            "metadata": {"min": i64::MIN, "max": u64::MAX, "float": 0.1, "deep": {"a": {"b": [[[]]]}}, "": null},
        }),
    );
    let reply = server.record(&request).await;
    assert_eq!(reply.status, 201, "{reply:#?}");
    let data = reply.payment();
    assert_eq!(data["external_id"], request["external_id"]);
    assert_eq!(data["amount"], i64::MAX);
    assert_eq!(data["fee"], i64::MAX);
    assert_eq!(data["at"], "1970-01-01T00:00:00.000001Z");
    assert_eq!(data["metadata"], request["metadata"]);
    assert_eq!(
        server.record(&request).await.outcomes(),
        json!(["unchanged"])
    );
}

#[tokio::test]
async fn deprecated_methods_are_taken_for_what_replaces_them() {
    let server = TestServer::fresh().await;
    let request = with(payment("p"), json!({"method": "REDEEMED_PREPAYMENT"}));
    assert_eq!(
        server.record(&request).await.ok().payment()["method"],
        "CREDIT_BALANCE"
    );
}

/// The status that answers a request of the test vectors, and the rules that are broken, each with its place.
async fn judged(
    server: &TestServer,
    business: usize,
    vector: &Value,
) -> (u16, Vec<(String, String)>) {
    // Each in a business of its own, so that what one records is nothing to the next.
    let payments = format!(
        "{}/v1/businesses/00000000-0000-4000-8000-{business:012}/invoices/payments",
        server.base
    );
    let unknown = "/00000000-0000-4000-8000-000000000000";
    let (method, url) = match vector["operation"].as_str().unwrap() {
        "list_invoice_payments" => (Method::GET, payments),
        "record_invoice_payment" => (Method::POST, payments),
        "bulk_create_invoice_payments" => (Method::POST, payments + "/bulk"),
        _ => (Method::PATCH, payments + unknown),
    };
    let request = server
        .client
        .request(method.clone(), url)
        .bearer_auth(TOKEN);
    let request = match (vector["text"].as_str(), &vector["payload"]) {
        (None, parameters) if method == Method::GET => request.query(parameters),
        (Some(text), _) => request.body(text.to_owned()),
        (None, payload) => request.body(payload.to_string()),
    };
    let reply = send(request.header("content-type", "application/json")).await;
    let status = reply.status.as_u16();
    let mut faults = match status {
        200..300 => Vec::new(),
        status => reply.faults(status),
    };
    faults.sort();
    (status, faults)
}

/// One set of rules: a request is refused for what the published test vectors say, in all of its places, and for nothing
/// else.
#[tokio::test]
async fn requests_are_refused_as_the_published_vectors_say() {
    let read = |path: &Path| -> Vec<Value> {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let text = |value: &Value, key: &str| value[key].as_str().unwrap().to_owned();
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/rules");
    let severities: HashMap<String, String> = read(&rules.join("catalogue.json"))
        .iter()
        .map(|rule| (text(rule, "code"), text(rule, "severity")))
        .collect();
    let server = TestServer::fresh().await;
    let (mut refused, mut taken) = (0, 0);
    for file in std::fs::read_dir(rules.join("vectors")).unwrap() {
        for vector in read(&file.unwrap().path()) {
            let context = &vector["context"];
            if context.get("existing").is_some() || context.get("bulk_limit").is_some() {
                continue;
            }
            let mut expected: Vec<_> = vector["violations"]
                .as_array()
                .unwrap()
                .iter()
                .map(|violation| (text(violation, "pointer"), text(violation, "code")))
                .filter(|(_, code)| severities[code] == "error")
                .collect();
            expected.sort();
            let (status, faults) = judged(&server, refused + taken, &vector).await;
            if expected.is_empty() {
                taken += 1;
                // The vectors' updates change a payment that there isn't, and some names of invoices contradict each
                // other, which only the books know. Neither is a rule of the catalogue.
                let by_rule = |(_, code): &(String, String)| severities.contains_key(code);
                assert!(!faults.iter().any(by_rule), "{faults:?}: {vector:#}");
                assert_eq!(faults.is_empty(), status < 300, "{faults:?}: {vector:#}");
            } else {
                refused += 1;
                assert_eq!((status, faults), (400, expected), "{vector:#}");
            }
        }
    }
    assert!(refused > 300 && taken > 300, "{refused}, {taken}");
}
