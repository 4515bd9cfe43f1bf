//! The journal: what recording and updating payments posts, what posts nothing, and what the closing date refuses.

use reqwest::Method;
use serde_json::{Value, json};

use crate::engine::Place;
use crate::harness::{INVOICE, TOKEN, TestServer, config, payment, send, with};

fn card(external_id: &str) -> Value {
    with(
        payment(external_id),
        json!({
            "method": "CREDIT_CARD",
            "processor": "STRIPE",
            "fee": 300,
            "invoice_payments": [{"invoice_id": INVOICE, "amount": 9000}],
        }),
    )
}

const FIRST: &str =
    "1 INVOICE_PAYMENT 2024-02-27: STRIPE_CLEARING 8700 BANK_FEES 300 / ACCOUNTS_RECEIVABLE 9000";
const UNDONE: &str =
    "2 REVERSAL of 1 2024-02-27: ACCOUNTS_RECEIVABLE 9000 / STRIPE_CLEARING 8700 BANK_FEES 300";

#[tokio::test]
async fn each_change_of_what_was_posted_reverses_and_posts_anew() {
    let cases = [
        (
            json!({"amount": 10000}),
            "3 INVOICE_PAYMENT 2024-02-27: STRIPE_CLEARING 9700 BANK_FEES 300 / ACCOUNTS_RECEIVABLE 9000 \
             UNEARNED_REVENUE 1000",
        ),
        (
            json!({"paid_at": "2024-03-05T00:00:00Z"}),
            "3 INVOICE_PAYMENT 2024-03-05: STRIPE_CLEARING 8700 BANK_FEES 300 / ACCOUNTS_RECEIVABLE 9000",
        ),
        (
            json!({"method": "CASH", "processor": null}),
            "3 INVOICE_PAYMENT 2024-02-27: CASH 8700 BANK_FEES 300 / ACCOUNTS_RECEIVABLE 9000",
        ),
        (
            json!({"processor": "ADYEN"}),
            "3 INVOICE_PAYMENT 2024-02-27: ADYEN_CLEARING 8700 BANK_FEES 300 / ACCOUNTS_RECEIVABLE 9000",
        ),
        (
            json!({"fee": 0}),
            "3 INVOICE_PAYMENT 2024-02-27: STRIPE_CLEARING 9000 / ACCOUNTS_RECEIVABLE 9000",
        ),
        (
            json!({"invoice_payments": [
                {"account": {"type": "StableName", "stable_name": "TIPS"}, "amount": 1000},
                {"invoice_id": INVOICE, "amount": 7000},
            ]}),
            "3 INVOICE_PAYMENT 2024-02-27: STRIPE_CLEARING 8700 BANK_FEES 300 / ACCOUNTS_RECEIVABLE 7000 \
             TIPS 1000 UNEARNED_REVENUE 1000",
        ),
        (
            json!({"payment_clearing_account_identifier": {"type": "StableName", "stable_name": "CASH"}}),
            "3 INVOICE_PAYMENT 2024-02-27: CASH 8700 BANK_FEES 300 / ACCOUNTS_RECEIVABLE 9000",
        ),
        (
            json!({"additional_fees": [{
                "account": {"type": "StableName", "stable_name": "MERCHANT_CASH_ADVANCE"},
                "fee_amount": 200,
            }]}),
            "3 INVOICE_PAYMENT 2024-02-27: STRIPE_CLEARING 8500 BANK_FEES 300 MERCHANT_CASH_ADVANCE 200 / \
             ACCOUNTS_RECEIVABLE 9000",
        ),
    ];
    for (change, posted) in cases {
        let server = TestServer::fresh().await;
        let id = server.record(&card("p")).await.ok().id();
        server.update(&id, &change).await.ok();
        assert_eq!(server.journal().await, [FIRST, UNDONE, posted], "{change}");
    }
}

#[tokio::test]
async fn what_is_not_posted_changes_nothing_in_the_journal() {
    let server = TestServer::fresh().await;
    let recorded = with(
        card("p"),
        json!({"invoice_payments": [
            {"invoice_id": INVOICE, "amount": 5000},
            {"account": {"type": "StableName", "stable_name": "TIPS"}, "amount": 1000},
            {"account": {"type": "StableName", "stable_name": "DISCOUNTS"}, "amount": 1000},
        ]}),
    );
    let id = server.record(&recorded).await.ok().id();
    let before = server.journal().await;
    assert_eq!(before.len(), 1);
    for change in [
        json!({"memo": "m"}),
        json!({"tags": [{"key": "k", "value": "v"}]}),
        json!({"metadata": {"a": 1}}),
        json!({"reference_number": "R-1"}),
        json!({"external_id": "q"}),
        // The same lines in another order.
        json!({"invoice_payments": [
            {"account": {"type": "StableName", "stable_name": "DISCOUNTS"}, "amount": 1000},
            {"account": {"type": "StableName", "stable_name": "TIPS"}, "amount": 1000},
            {"invoice_id": INVOICE, "amount": 5000},
        ]}),
        // The account that the method leads to anyway.
        json!({"payment_clearing_account_identifier": {"type": "StableName", "stable_name": "STRIPE_CLEARING"}}),
        json!({}),
    ] {
        server.update(&id, &change).await.ok();
        assert_eq!(server.journal().await, before, "{change}");
    }
    let again = with(
        card("q"),
        json!({"invoice_payments": [
            {"invoice_id": INVOICE, "amount": 5000},
            {"account": {"type": "StableName", "stable_name": "TIPS"}, "amount": 1000},
            {"account": {"type": "StableName", "stable_name": "DISCOUNTS"}, "amount": 1000},
        ]}),
    );
    for _ in 0..2 {
        server.record(&again).await.ok();
        server.bulk(&json!([again])).await.ok();
    }
    assert_eq!(server.journal().await, before);
}

#[tokio::test]
async fn a_change_back_and_forth_leaves_a_trail_and_no_difference() {
    let server = TestServer::fresh().await;
    let id = server.record(&card("p")).await.ok().id();
    let before = server.look("/trial-balance").await;
    server.update(&id, &json!({"amount": 10000})).await.ok();
    server.update(&id, &json!({"amount": 9000})).await.ok();
    let journal = server.journal().await;
    assert_eq!(journal.len(), 5);
    assert_eq!(
        journal[3..],
        [
            "4 REVERSAL of 3 2024-02-27: ACCOUNTS_RECEIVABLE 9000 UNEARNED_REVENUE 1000 / STRIPE_CLEARING 9700 \
             BANK_FEES 300",
            "5 INVOICE_PAYMENT 2024-02-27: STRIPE_CLEARING 8700 BANK_FEES 300 / ACCOUNTS_RECEIVABLE 9000",
        ]
    );
    let after = server.look("/trial-balance").await;
    assert_eq!(after["is_balanced"], true);
    for (sum, cents) in [("total_debits", 9000), ("total_credits", 9000)] {
        assert_eq!(before[sum], cents);
        assert_eq!(after[sum], cents);
    }
    // The entries know of each other.
    let entries = server
        .look(&format!("/journal-entries?payment_id={id}"))
        .await;
    let of = |key: &str| -> Vec<Value> {
        let entries = entries.as_array().unwrap();
        entries.iter().map(|entry| entry[key].clone()).collect()
    };
    assert_eq!(
        of("reversed_by"),
        [json!(2), json!(null), json!(4), json!(null), json!(null)]
    );
    assert_eq!(
        of("reversal_of"),
        [json!(null), json!(1), json!(null), json!(3), json!(null)]
    );
    assert!(
        of("invoice_payment_id")
            .iter()
            .all(|payment| *payment == json!(id))
    );
}

#[tokio::test]
async fn a_refund_posts_its_own_entries_alone() {
    let server = TestServer::fresh().await;
    let id = server.record(&card("p")).await.ok().id();
    let first = json!({"external_id": "r1", "completed_at": "2024-03-01T00:00:00Z", "line_items": [{"amount": 1000}]});
    let second = json!({"external_id": "r2", "completed_at": "2024-03-02T00:00:00Z", "line_items": [{"amount": 500}]});
    server
        .update(&id, &json!({"dedicated_refunds": [first]}))
        .await
        .ok();
    assert_eq!(
        server.journal().await,
        [
            FIRST,
            "2 REFUND_ALLOCATION 2024-03-01: CUSTOMER_REFUNDS 1000 / REFUND_LIABILITIES 1000",
            "3 REFUND_PAYMENT 2024-03-01: REFUND_LIABILITIES 1000 / STRIPE_CLEARING 1000",
        ]
    );
    server
        .update(&id, &json!({"dedicated_refunds": [first, second]}))
        .await
        .ok();
    assert_eq!(
        server.journal_after(3).await,
        [
            "4 REFUND_ALLOCATION 2024-03-02: CUSTOMER_REFUNDS 500 / REFUND_LIABILITIES 500",
            "5 REFUND_PAYMENT 2024-03-02: REFUND_LIABILITIES 500 / STRIPE_CLEARING 500",
        ]
    );
    // The other order is the same; without the first, the second stays.
    server
        .update(&id, &json!({"dedicated_refunds": [second, first]}))
        .await
        .ok();
    assert_eq!(server.journal().await.len(), 5);
    server
        .update(&id, &json!({"dedicated_refunds": [second]}))
        .await
        .ok();
    assert_eq!(
        server.journal_after(5).await,
        [
            "6 REVERSAL of 2 2024-03-01: REFUND_LIABILITIES 1000 / CUSTOMER_REFUNDS 1000",
            "7 REVERSAL of 3 2024-03-01: STRIPE_CLEARING 1000 / REFUND_LIABILITIES 1000",
        ]
    );
}

#[tokio::test]
async fn books_that_are_closed_take_no_entry_of_that_time() {
    let server = TestServer::fresh().await;
    let early = |external_id: &str| {
        with(
            payment(external_id),
            json!({"paid_at": "2023-12-31T23:59:59.999999Z"}),
        )
    };
    let late = |external_id: &str| {
        with(
            payment(external_id),
            json!({"paid_at": "2024-01-01T00:00:00Z"}),
        )
    };
    let old = server.record(&early("old")).await.ok().id();
    let new = server.record(&late("new")).await.ok().id();
    server.close_until(Some("2024-01-01")).await;
    let before = server.journal().await;

    let closed = |pointer: &str| vec![(pointer.to_owned(), "books-closed".to_owned())];
    assert_eq!(
        server.record(&early("p")).await.faults(400),
        closed("/paid_at")
    );
    let bulk = json!([late("p1"), early("p2"), late("p3")]);
    assert_eq!(server.bulk(&bulk).await.faults(400), closed("/1/paid_at"));
    // Out of the closed time, into it, and within it.
    let moved = json!({"paid_at": "2024-02-01T00:00:00Z"});
    assert_eq!(server.update(&old, &moved).await.faults(400), closed(""));
    let moved = json!({"paid_at": "2023-02-01T00:00:00Z"});
    assert_eq!(
        server.update(&new, &moved).await.faults(400),
        closed("/paid_at")
    );
    let reply = server.update(&old, &json!({"amount": 1})).await;
    assert_eq!(reply.faults(400), [closed(""), closed("")].concat());
    let refund = |at: &str| json!({"dedicated_refunds": [{"completed_at": at, "line_items": [{"amount": 1}]}]});
    let reply = server.update(&new, &refund("2023-12-01T00:00:00Z")).await;
    let refused = closed("/dedicated_refunds");
    assert_eq!(reply.faults(400), [refused.clone(), refused].concat());
    assert_eq!(server.journal().await, before);
    assert_eq!(server.listed("").await, ["old", "new"]);

    // What posts nothing is taken, and a refund in the open time of a payment in the closed one.
    assert_eq!(
        server.record(&early("old")).await.ok().outcomes(),
        json!(["unchanged"])
    );
    server.update(&old, &json!({"memo": "m"})).await.ok();
    server.record(&late("p")).await.ok();
    server
        .update(&old, &refund("2024-01-02T00:00:00Z"))
        .await
        .ok();
    assert_eq!(server.journal_after(2).await.len(), 3);

    server.close_until(None).await;
    server.record(&early("p4")).await.ok();
}

/// A name that is joined posts nothing, so it may touch payments of the closed time.
#[tokio::test]
async fn names_are_joined_while_the_books_are_closed() {
    let server = TestServer::fresh().await;
    let named = |external_id: &str, target: Value| {
        with(
            payment(external_id),
            json!({"invoice_payments": [with(json!({"amount": 10}), target)]}),
        )
    };
    server
        .record(&named("old", json!({"invoice_external_id": "i"})))
        .await
        .ok();
    server.close_until(Some("2025-01-01")).await;
    let both = json!({"invoice_id": INVOICE, "invoice_external_id": "i"});
    let later = with(
        named("new", both),
        json!({"paid_at": "2025-01-01T00:00:00Z"}),
    );
    server.record(&later).await.ok();
    let invoices = server.look("/invoices").await;
    assert_eq!(invoices[0]["id"], INVOICE);
    assert_eq!(invoices[0]["paid_amount"], 20);
    assert_eq!(invoices.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn identical_requests_at_the_same_moment_post_one_entry() {
    let place = Place::new();
    let server = TestServer::at(&place).await;
    let payment = card("same");
    let replies = futures_util::future::join_all((0..20).map(|_| server.record(&payment))).await;
    let created = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(created, 1);
    assert!(replies.iter().all(|reply| reply.status.is_success()));
    assert_eq!(server.journal().await, [FIRST]);
}

#[tokio::test]
async fn the_trial_balance_balances_and_shows_each_account_on_its_side() {
    let server = TestServer::fresh().await;
    server.record(&card("p")).await.ok();
    let balance = server.look("/trial-balance").await;
    let lines: Vec<String> = balance["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            let name = &line["account"]["stable_name"]["stable_name"];
            format!(
                "{} {} {}",
                name.as_str().unwrap(),
                line["debit_balance"],
                line["credit_balance"]
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "ACCOUNTS_RECEIVABLE 0 9000",
            "BANK_FEES 300 0",
            "STRIPE_CLEARING 8700 0"
        ]
    );
    assert_eq!(balance["total_debits"], 9000);
    assert_eq!(balance["total_credits"], 9000);
    assert_eq!(balance["is_balanced"], true);
}

#[tokio::test]
async fn sums_that_the_ledger_cannot_hold_are_refused_and_leave_the_books_in_order() {
    let server = TestServer::fresh().await;
    let largest = |external_id: &str, more: Value| {
        with(
            with(payment(external_id), json!({"amount": i64::MAX})),
            more,
        )
    };
    let on_invoice = json!({"invoice_payments": [{"invoice_id": INVOICE, "amount": i64::MAX}]});
    let id = server
        .record(&largest("p1", on_invoice.clone()))
        .await
        .ok()
        .id();
    let code = |code: &str| vec![(String::new(), code.to_owned())];
    assert_eq!(
        server.record(&payment("p2")).await.faults(400),
        code("ledger-out-of-range")
    );
    let one_cent = json!([payment("p3"), payment("p4")]);
    assert_eq!(
        server.bulk(&one_cent).await.faults(400),
        code("ledger-out-of-range")
    );
    // The invoice would be paid with more than there are numbers, which shows first.
    let other_way = with(
        payment("p5"),
        json!({"method": "CHECK", "invoice_payments": [{"invoice_id": INVOICE, "amount": 1}]}),
    );
    assert_eq!(
        server.record(&other_way).await.faults(400),
        [(
            "/invoice_payments/0".to_owned(),
            "amounts-out-of-range".to_owned()
        )]
    );
    // Fees whose sum no line holds.
    let fees = json!({"method": "CHECK", "amount": 0, "fee": i64::MAX, "additional_fees": [{
        "account": {"type": "StableName", "stable_name": "MERCHANT_CASH_ADVANCE"}, "fee_amount": 1,
    }]});
    assert_eq!(
        server.record(&with(payment("p6"), fees)).await.faults(400),
        code("amounts-out-of-range")
    );
    // A change would reverse the entry, and with it the account's credits reach their end.
    assert_eq!(
        server
            .update(&id, &json!({"paid_at": "2024-03-01T00:00:00Z"}))
            .await
            .faults(400),
        code("ledger-out-of-range")
    );
    assert_eq!(server.journal().await.len(), 1);
    assert_eq!(server.listed("").await, ["p1"]);
}

/// A refunded fee that was passed on paid nothing on the invoice, so it isn't refunded there, however often.
#[tokio::test]
async fn refunds_of_passed_on_fees_stay_within_what_is_paid() {
    let server = TestServer::fresh().await;
    let fee = i64::MAX / 2;
    let refunded = |external_id: &str| {
        with(
            payment(external_id),
            json!({
                "amount": fee + 10,
                "additional_fees": [{
                    "account": {"type": "StableName", "stable_name": "MERCHANT_CASH_ADVANCE"},
                    "fee_amount": fee,
                    "is_passed_to_customer": true,
                }],
                "invoice_payments": [{"invoice_id": INVOICE, "amount": fee + 10}],
                "dedicated_refunds": [{"line_items": [{"amount": fee + 10}]}],
            }),
        )
    };
    server.record(&refunded("p1")).await.ok();
    assert_eq!(
        server.record(&refunded("p2")).await.faults(400),
        [(String::new(), "ledger-out-of-range".to_owned())]
    );
    let invoice = &server.look("/invoices").await[0];
    assert_eq!(invoice["paid_amount"], 10);
    assert_eq!(invoice["refunded_amount"], 10);
    assert_eq!(invoice["status"], "REFUNDED");
}

#[tokio::test]
async fn the_journal_is_read_in_pages() {
    let server = TestServer::fresh().await;
    let payments: Vec<Value> = (0..7).map(|n| payment(&format!("p{n}"))).collect();
    server.bulk(&json!(payments)).await.ok();
    let mut numbers = Vec::new();
    let mut after = 0;
    loop {
        let page = server
            .local(
                Method::GET,
                &format!("/journal-entries?limit=3&after={after}"),
                None,
            )
            .await
            .ok();
        let entries = page.body["data"].as_array().unwrap();
        numbers.extend(
            entries
                .iter()
                .map(|entry| entry["entry_number"].as_i64().unwrap()),
        );
        after = *numbers.last().unwrap();
        if page.body["meta"]["pagination"]["has_more"] == false {
            break;
        }
        assert_eq!(entries.len(), 3);
    }
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
    for (query, name) in [
        ("limit=0", "?limit"),
        ("limit=1001", "?limit"),
        ("limit=x", "?limit"),
        ("after=-1", "?after"),
        ("payment_id=1", "?payment_id"),
        ("page=1", "?page"),
    ] {
        let reply = server
            .local(Method::GET, &format!("/journal-entries?{query}"), None)
            .await;
        assert_eq!(reply.faults(400)[0].0, name, "{query}");
    }
    let nobody = server
        .look(&format!("/journal-entries?payment_id={INVOICE}"))
        .await;
    assert_eq!(nobody, json!([]));
}

/// What one process knows of a business is forgotten when the other one writes.
#[tokio::test]
async fn two_servers_on_one_database_keep_one_journal() {
    let place = Place::new();
    let first = TestServer::start(config(place.database())).await;
    let second = TestServer::at(&place).await;
    for n in 0..5 {
        first.record(&payment(&format!("a{n}"))).await.ok();
        second.record(&payment(&format!("b{n}"))).await.ok();
    }
    let journal = first.journal().await;
    assert_eq!(journal.len(), 10);
    assert_eq!(journal, second.journal().await);
    second.close_until(Some("2025-01-01")).await;
    assert_eq!(
        first.record(&payment("late")).await.faults(400)[0].1,
        "books-closed"
    );
    send(
        second
            .client
            .post(format!("{}/local/reset", second.base))
            .bearer_auth(TOKEN),
    )
    .await
    .ok();
    first.record(&payment("anew")).await.ok();
    assert_eq!(
        second.journal().await,
        ["1 INVOICE_PAYMENT 2024-02-27: CASH 9000 / UNEARNED_REVENUE 9000"]
    );
}
