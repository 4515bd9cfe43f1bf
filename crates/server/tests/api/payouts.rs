//! Payouts and matches: in the payments that they hold, in the list's filters, and in the journal.

use serde_json::{Value, json};

use crate::harness::{Reply, TestServer, payment, with};

/// A card payment of 90.00 with a fee of 3.00.
fn card(external_id: &str) -> Value {
    with(
        payment(external_id),
        json!({"method": "CREDIT_CARD", "processor": "STRIPE", "fee": 300}),
    )
}

fn payout(external_id: &str, cents: i64, payments: &[&str]) -> Value {
    let payments: Vec<Value> = payments
        .iter()
        .map(|name| json!({"invoice_payment_external_id": name}))
        .collect();
    json!({
        "external_id": external_id,
        "paid_out_amount": cents,
        "completed_at": "2024-02-28T00:00:00Z",
        "processor": "STRIPE",
        "payments": payments,
    })
}

fn bank(target: Value, cents: i64) -> Value {
    with(
        json!({"bank_transaction": {"date": "2024-03-01T00:00:00Z", "amount": cents}}),
        target,
    )
}

async fn of_payment(server: &TestServer, external_id: &str, cents: i64) -> Reply {
    let target = json!({"invoice_payment_external_id": external_id});
    server.create("/matches", &bank(target, cents)).await
}

async fn of_payout(server: &TestServer, external_id: &str, cents: i64) -> Reply {
    let target = json!({"payout_external_id": external_id});
    server.create("/matches", &bank(target, cents)).await
}

#[track_caller]
fn fault(reply: &Reply, pointer: &str, code: &str) {
    assert_eq!(reply.faults(400), [(pointer.to_owned(), code.to_owned())]);
}

async fn shown(server: &TestServer, external_id: &str) -> Value {
    let list = server
        .list(&format!("?external_id={external_id}"))
        .await
        .ok();
    list.body["data"][0].clone()
}

#[tokio::test]
async fn a_payout_is_shown_in_its_payments_and_its_match_in_it() {
    let server = TestServer::fresh().await;
    server
        .bulk(&json!([card("p1"), card("p2"), card("p3")]))
        .await
        .ok();
    let before = shown(&server, "p3").await;
    let request = with(
        payout("out", 17_300, &["p1", "p2"]),
        json!({"fee": 100, "memo": "m"}),
    );
    let created = server.create("/payouts", &request).await;
    assert_eq!(created.status, 201);
    let created = &created.body["data"];
    assert_eq!(created["paid_out_amount"], 17_300);
    assert_eq!(created["fee"], 100);
    assert_eq!(created["memo"], "m");
    assert_eq!(created["match"], Value::Null);
    let account = &created["payment_clearing_account"]["stable_name"]["stable_name"];
    assert_eq!(account, "STRIPE_CLEARING");
    for name in ["p1", "p2"] {
        assert_eq!(shown(&server, name).await["payouts"], json!([created]));
    }
    assert_eq!(shown(&server, "p3").await, before);
    let posted = ["4 PAYOUT 2024-02-28: BANK_FEES 100 / STRIPE_CLEARING 100"];
    assert_eq!(server.journal_after(3).await, posted);

    // Once more, and in other words: it is the same.
    let other = with(
        request.clone(),
        json!({"paid_out_amount": 1, "payments": [{"invoice_payment_external_id": "p3"}]}),
    );
    for again in [&request, &other] {
        let found = server.create("/payouts", again).await;
        assert_eq!(found.status, 200);
        assert_eq!(&found.body["data"], created);
    }
    assert_eq!(server.journal_after(3).await, posted);

    let matched = of_payout(&server, "out", 17_300).await;
    assert_eq!(matched.status, 201);
    let matched = &matched.body["data"];
    assert_eq!(matched["match_type"], "PAYOUT");
    assert_eq!(matched["bank_transaction"]["amount"], 17_300);
    assert_eq!(matched["details"]["id"], created["id"]);
    for name in ["p1", "p2"] {
        assert_eq!(&shown(&server, name).await["payouts"][0]["match"], matched);
    }
    assert_eq!(
        server.journal_after(4).await,
        ["5 MATCH 2024-03-01: BANK_ACCOUNTS 17300 / STRIPE_CLEARING 17300"]
    );
    let again = of_payout(&server, "out", 1).await;
    assert_eq!(again.status, 200);
    assert_eq!(&again.body["data"], matched);
    assert_eq!(server.journal().await.len(), 5);
    // The clearing account holds p3 alone, and nothing of the others.
    let balance = server.look("/trial-balance").await;
    let clearing = balance["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|line| line["account"]["stable_name"]["stable_name"] == "STRIPE_CLEARING")
        .unwrap();
    assert_eq!(clearing["debit_balance"], 8_700);
}

#[tokio::test]
async fn filters_find_what_was_paid_out_and_matched() {
    let server = TestServer::fresh().await;
    let cash = payment("cash");
    let names = ["none", "in-payout", "in-matched-1", "in-matched-2"];
    let cards: Vec<Value> = names.iter().map(|name| card(name)).collect();
    server.bulk(&json!(cards)).await.ok();
    server.record(&cash).await.ok();
    server
        .create("/payouts", &payout("a", 8_700, &["in-payout"]))
        .await
        .ok();
    let two = payout("b", 17_400, &["in-matched-1", "in-matched-2"]);
    server.create("/payouts", &two).await.ok();
    of_payout(&server, "b", 17_400).await.ok();
    of_payment(&server, "cash", 9_000).await.ok();

    let cases: [(&str, &[&str]); 9] = [
        (
            "",
            &["none", "in-payout", "in-matched-1", "in-matched-2", "cash"],
        ),
        (
            "included_in_payout=true",
            &["in-payout", "in-matched-1", "in-matched-2"],
        ),
        ("included_in_payout=false", &["none", "cash"]),
        ("is_matched=true", &["in-matched-1", "in-matched-2", "cash"]),
        ("is_matched=false", &["none", "in-payout"]),
        (
            "included_in_payout=true&is_matched=true",
            &["in-matched-1", "in-matched-2"],
        ),
        ("included_in_payout=true&is_matched=false", &["in-payout"]),
        ("included_in_payout=false&is_matched=true", &["cash"]),
        ("included_in_payout=false&is_matched=false", &["none"]),
    ];
    for (query, expected) in cases {
        let mut cursor = String::new();
        let mut found = Vec::new();
        // A page holds one, so that each border between pages is crossed.
        loop {
            let page = server
                .list(&format!("?{query}&limit=1&show_total_count=true{cursor}"))
                .await
                .ok();
            let pagination = &page.body["meta"]["pagination"];
            assert_eq!(pagination["total_count"], expected.len(), "{query}");
            found.extend(page.external_ids());
            match pagination["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        found.sort();
        let mut expected: Vec<&str> = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{query}");
    }
    let other_filter = server.listed("?is_matched=true&method=CASH").await;
    assert_eq!(other_filter, ["cash"]);
}

#[tokio::test]
async fn payouts_that_cannot_be_are_refused_whole() {
    let server = TestServer::fresh().await;
    let adyen = with(card("adyen"), json!({"processor": "ADYEN"}));
    server
        .bulk(&json!([card("p1"), adyen, payment("cash")]))
        .await
        .ok();
    let before = (server.list("").await.body, server.journal().await);
    for (request, pointer, code) in [
        (
            payout("o", 1, &["p1", "adyen"]),
            "/payments/1",
            "payout-processor-mismatch",
        ),
        (
            payout("o", 1, &["cash"]),
            "/payments/0",
            "payout-processor-mismatch",
        ),
        (
            payout("o", 1, &["p1", "nobody"]),
            "/payments/1",
            "payment-unknown",
        ),
        (
            payout("o", 1, &["p1", "p1"]),
            "/payments/1",
            "payment-twice",
        ),
        (
            payout("o", -1, &["p1"]),
            "/paid_out_amount",
            "amount-negative",
        ),
        (
            with(payout("o", 1, &["p1"]), json!({"fee": -1})),
            "/fee",
            "amount-negative",
        ),
        (payout("", 1, &["p1"]), "/external_id", "name-empty"),
        (
            with(payout("o", 1, &[]), json!({"payments": [{}]})),
            "/payments/0",
            "payment-unknown",
        ),
        (
            with(
                payout("o", 1, &[]),
                json!({"payment_clearing_account_identifier": {"type": "StableName", "stable_name": "NO"}}),
            ),
            "/payment_clearing_account_identifier",
            "account-unknown",
        ),
    ] {
        fault(&server.create("/payouts", &request).await, pointer, code);
    }
    let id = shown(&server, "p1").await["id"].clone();
    let both = json!([{"invoice_payment_id": id, "invoice_payment_external_id": "cash"}]);
    let request = with(payout("o", 1, &[]), json!({ "payments": both }));
    fault(
        &server.create("/payouts", &request).await,
        "/payments/0",
        "payment-unknown",
    );
    server.close_until(Some("2024-02-29")).await;
    let with_fee = with(payout("o", 1, &["p1"]), json!({"fee": 1}));
    fault(
        &server.create("/payouts", &with_fee).await,
        "",
        "books-closed",
    );
    assert_eq!(before, (server.list("").await.body, server.journal().await));

    // Without a processor, it may hold payments of any; without a fee, it posts nothing.
    let any = with(
        payout("o", 1, &["p1", "adyen", "cash"]),
        json!({"processor": null}),
    );
    let created = server.create("/payouts", &any).await.ok();
    let account = &created.body["data"]["payment_clearing_account"]["stable_name"];
    assert_eq!(account["stable_name"], "PAYMENT_PROCESSOR_CLEARING");
    let named = with(any, json!({"id": "11111111-2222-3333-4444-555555555555"}));
    fault(
        &server.create("/payouts", &named).await,
        "/external_id",
        "payout-ids-disagree",
    );
}

#[tokio::test]
async fn matches_that_cannot_be_are_refused() {
    let server = TestServer::fresh().await;
    let credit = with(payment("credit"), json!({"method": "CREDIT_BALANCE"}));
    let eaten = with(card("eaten"), json!({"amount": 300}));
    let all = json!([card("p1"), card("p2"), credit, eaten, payment("cash")]);
    server.bulk(&all).await.ok();
    server
        .create("/payouts", &payout("out", 8_700, &["p1"]))
        .await
        .ok();
    let before = (server.list("").await.body, server.journal().await);
    let amount = "/bank_transaction/amount";
    let name = "/invoice_payment_external_id";
    fault(
        &of_payout(&server, "out", 8_699).await,
        amount,
        "match-amount-mismatch",
    );
    fault(
        &of_payment(&server, "p2", 9_000).await,
        amount,
        "match-amount-mismatch",
    );
    fault(
        &of_payment(&server, "eaten", 0).await,
        amount,
        "match-amount-mismatch",
    );
    fault(
        &of_payment(&server, "credit", 9_000).await,
        name,
        "match-target",
    );
    fault(
        &of_payment(&server, "nobody", 1).await,
        name,
        "payment-unknown",
    );
    fault(
        &of_payout(&server, "nobody", 1).await,
        "/payout_external_id",
        "payout-unknown",
    );
    // Its money comes with the payout.
    fault(
        &of_payment(&server, "p1", 8_700).await,
        name,
        "payment-in-payout",
    );
    for target in [
        json!({}),
        json!({"payout_external_id": "out", "invoice_payment_external_id": "p2"}),
    ] {
        let reply = server.create("/matches", &bank(target, 8_700)).await;
        fault(&reply, "", "match-target");
    }
    server.close_until(Some("2024-03-02")).await;
    fault(&of_payout(&server, "out", 8_700).await, "", "books-closed");
    server.close_until(None).await;
    assert_eq!(before, (server.list("").await.body, server.journal().await));

    // What was matched by itself doesn't come with a payout.
    of_payment(&server, "p2", 8_700).await.ok();
    let late = payout("late", 1, &["p2"]);
    fault(
        &server.create("/payouts", &late).await,
        "/payments/0",
        "payment-matched",
    );
}

#[tokio::test]
async fn what_the_bank_has_shown_does_not_change() {
    let server = TestServer::fresh().await;
    let id = server.record(&card("p")).await.ok().id();
    of_payment(&server, "p", 8_700).await.ok();
    let posted = server.journal().await;
    assert_eq!(
        posted[1],
        "2 MATCH 2024-03-01: BANK_ACCOUNTS 8700 / STRIPE_CLEARING 8700"
    );
    for change in [
        json!({"amount": 9_001}),
        json!({"fee": 299}),
        json!({"processor": "ADYEN"}),
        json!({"method": "CHECK", "processor": null}),
        json!({"method": "CREDIT_BALANCE"}),
        json!({"payment_clearing_account_identifier": {"type": "StableName", "stable_name": "CASH"}}),
        json!({"additional_fees": [{
            "account": {"type": "StableName", "stable_name": "MERCHANT_CASH_ADVANCE"}, "fee_amount": 1,
        }]}),
    ] {
        fault(&server.update(&id, &change).await, "", "payment-matched");
    }
    fault(
        &server
            .record(&with(card("p"), json!({"amount": 9_001})))
            .await,
        "",
        "payment-matched",
    );
    assert_eq!(server.journal().await, posted);
    // The same money in other words, where it goes, and when it was paid.
    for change in [
        json!({"amount": 9_100, "fee": 400}),
        json!({"payment_clearing_account_identifier": {"type": "StableName", "stable_name": "STRIPE_CLEARING"}}),
        json!({"processor": "ADYEN"}),
        json!({"paid_at": "2024-02-26T00:00:00Z"}),
        json!({"invoice_payments": [{"invoice_external_id": "i", "amount": 9_000}]}),
        json!({"memo": "m"}),
    ] {
        server.update(&id, &change).await.ok();
    }
    assert_eq!(server.listed("?is_matched=true").await, ["p"]);
}

#[tokio::test]
async fn a_payment_stays_with_the_processor_of_its_payout() {
    let server = TestServer::fresh().await;
    let id = server.record(&card("p")).await.ok().id();
    server
        .create("/payouts", &payout("out", 8_700, &["p"]))
        .await
        .ok();
    of_payout(&server, "out", 8_700).await.ok();
    for change in [json!({"processor": "ADYEN"}), json!({"processor": null})] {
        fault(
            &server.update(&id, &change).await,
            "/processor",
            "payment-in-payout",
        );
    }
    // What it was worth may be mended; the difference shows in the clearing account. The payout stays in it.
    let updated = server.update(&id, &json!({"amount": 9_500})).await.ok();
    assert_eq!(updated.payment()["payouts"][0]["external_id"], "out");
    assert_eq!(
        updated.payment()["payouts"][0]["match"]["match_type"],
        "PAYOUT"
    );
    let again = server
        .record(&with(card("p"), json!({"amount": 9_500})))
        .await
        .ok();
    assert_eq!(again.payment(), updated.payment());
    assert_eq!(
        server
            .listed("?included_in_payout=true&is_matched=true")
            .await,
        ["p"]
    );
}

#[tokio::test]
async fn money_arrives_once() {
    let server = TestServer::fresh().await;
    let credit = with(payment("credit"), json!({"method": "CREDIT_BALANCE"}));
    server
        .bulk(&json!([card("p1"), card("p2"), card("p3"), credit]))
        .await
        .ok();
    server
        .create("/payouts", &payout("out", 8_700, &["p1"]))
        .await
        .ok();
    // Neither in two payouts, nor as credit that is redeemed.
    let reply = server
        .create("/payouts", &payout("again", 17_400, &["p2", "p1"]))
        .await;
    fault(&reply, "/payments/1", "payment-in-payout");
    let no_processor = with(
        payout("credit", 9_000, &["credit"]),
        json!({"processor": null}),
    );
    let reply = server.create("/payouts", &no_processor).await;
    fault(&reply, "/payments/0", "payout-target");
    // Nor by one bank transaction for two payments.
    let matched = |name: &str| {
        json!({
            "invoice_payment_external_id": name,
            "bank_transaction": {
                "id": "11111111-2222-3333-4444-555555555555", "date": "2024-03-01T00:00:00Z", "amount": 8_700,
            },
        })
    };
    server.create("/matches", &matched("p2")).await.ok();
    let reply = server.create("/matches", &matched("p3")).await;
    fault(&reply, "/bank_transaction/id", "bank-transaction-matched");
    let again = server.create("/matches", &matched("p2")).await;
    assert_eq!(again.status, 200);
}
