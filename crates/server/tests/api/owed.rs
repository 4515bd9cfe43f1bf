//! What is owed on invoices: their status and outstanding balance follow the payments, and nobody pays more than that.

use reqwest::Method;
use serde_json::{Value, json};

use crate::engine::{Place, fresh};
use crate::harness::{INVOICE, Reply, TestServer, config, payment, with};

const OTHER: &str = "11111111-2222-3333-4444-555555555555";

/// A server with the invoice of 90.00.
async fn server() -> TestServer {
    let server = TestServer::fresh().await;
    invoice(&server, INVOICE, 9000).await.ok();
    server
}

async fn invoice(server: &TestServer, id: &str, total: i64) -> Reply {
    server
        .create("/invoices", &json!({"id": id, "total_amount": total}))
        .await
}

/// A payment of so many cents to each invoice.
fn pays(external_id: &str, parts: &[(&str, i64)]) -> Value {
    let allocations: Vec<Value> = parts
        .iter()
        .map(|(id, amount)| json!({"invoice_id": id, "amount": amount}))
        .collect();
    let amount: i64 = parts.iter().map(|(_, amount)| amount).sum();
    with(
        payment(external_id),
        json!({"amount": amount, "invoice_payments": allocations}),
    )
}

/// Status, paid, refunded and outstanding.
async fn state(server: &TestServer, id: &str) -> String {
    let invoices = server.look("/invoices").await;
    let invoice = invoices
        .as_array()
        .unwrap()
        .iter()
        .find(|invoice| invoice["id"] == id)
        .unwrap_or_else(|| panic!("no {id} in {invoices:#}"));
    format!(
        "{} {} {} {}",
        invoice["status"].as_str().unwrap(),
        invoice["paid_amount"],
        invoice["refunded_amount"],
        invoice["outstanding_balance"]
    )
}

#[track_caller]
fn fault(reply: &Reply, pointer: &str, code: &str) {
    assert_eq!(
        reply.faults(400),
        [(pointer.to_owned(), code.to_owned())],
        "{reply:#?}"
    );
}

fn description(reply: &Reply) -> &str {
    reply.body["errors"][0]["description"].as_str().unwrap()
}

#[tokio::test]
async fn the_status_follows_the_payments() {
    let server = server().await;
    assert_eq!(state(&server, INVOICE).await, "SENT 0 0 9000");
    let first = server
        .record(&pays("p1", &[(INVOICE, 4000)]))
        .await
        .ok()
        .id();
    assert_eq!(state(&server, INVOICE).await, "PARTIALLY_PAID 4000 0 5000");
    let second = server
        .record(&pays("p2", &[(INVOICE, 5000)]))
        .await
        .ok()
        .id();
    assert_eq!(state(&server, INVOICE).await, "PAID 9000 0 0");
    // Back by updates.
    let less = json!({"invoice_payments": [{"invoice_id": INVOICE, "amount": 1000}]});
    server.update(&second, &less).await.ok();
    assert_eq!(state(&server, INVOICE).await, "PARTIALLY_PAID 5000 0 4000");
    let none = json!({"invoice_payments": []});
    server.update(&second, &none).await.ok();
    server.update(&first, &none).await.ok();
    assert_eq!(state(&server, INVOICE).await, "SENT 0 0 9000");
    server.record(&pays("p1", &[(INVOICE, 9000)])).await.ok();
    assert_eq!(state(&server, INVOICE).await, "PAID 9000 0 0");
    let refunds = |cents: i64| json!({"dedicated_refunds": [{"line_items": [{"amount": cents}]}]});
    server.update(&first, &refunds(8999)).await.ok();
    assert_eq!(state(&server, INVOICE).await, "PAID 9000 8999 0");
    server.update(&first, &refunds(9000)).await.ok();
    assert_eq!(state(&server, INVOICE).await, "REFUNDED 9000 9000 0");
    server
        .update(&first, &json!({"dedicated_refunds": []}))
        .await
        .ok();
    assert_eq!(state(&server, INVOICE).await, "PAID 9000 0 0");
}

#[tokio::test]
async fn more_than_is_outstanding_is_refused_with_what_is() {
    let server = server().await;
    server.record(&pays("p1", &[(INVOICE, 4000)])).await.ok();
    let reply = server.record(&pays("p2", &[(INVOICE, 5001)])).await;
    fault(&reply, "/invoice_payments/0", "invoice-overpaid");
    assert!(description(&reply).contains("5001 cents"), "{reply:#?}");
    assert!(
        description(&reply).contains("5000 cents are outstanding"),
        "{reply:#?}"
    );
    // Both allocations to it count, whichever is the second.
    let twice = pays("p3", &[(INVOICE, 2500), (OTHER, 1), (INVOICE, 2501)]);
    fault(
        &server.record(&twice).await,
        "/invoice_payments/0",
        "invoice-overpaid",
    );
    let exactly = server
        .record(&pays("p2", &[(INVOICE, 5000)]))
        .await
        .ok()
        .id();
    let reply = server
        .record(&pays("p4", &[(OTHER, 1), (INVOICE, 1)]))
        .await;
    fault(&reply, "/invoice_payments/1", "invoice-paid");
    // An update counts what the payment itself has paid as free.
    let swapped = json!({"amount": 5001, "invoice_payments": [
        {"invoice_id": OTHER, "amount": 1}, {"invoice_id": INVOICE, "amount": 5000},
    ]});
    server.update(&exactly, &swapped).await.ok();
    let too_much = json!({"invoice_payments": [{"invoice_id": INVOICE, "amount": 5001}]});
    let reply = server.update(&exactly, &too_much).await;
    fault(&reply, "/invoice_payments/0", "invoice-paid");
    assert_eq!(state(&server, INVOICE).await, "PAID 9000 0 0");
    assert_eq!(state(&server, OTHER).await, "PARTIALLY_PAID 1 0 null");
}

#[tokio::test]
async fn fees_that_were_passed_on_pay_nothing() {
    let server = server().await;
    let fee = json!({
        "amount": 9300,
        "additional_fees": [{
            "account": {"type": "StableName", "stable_name": "MERCHANT_CASH_ADVANCE"},
            "fee_amount": 300,
            "is_passed_to_customer": true,
        }],
    });
    let whole = json!({"invoice_payments": [{"invoice_id": INVOICE, "amount": 9300}]});
    let net = json!({"invoice_payments": [{"invoice_id": INVOICE, "amount": 9000}]});
    let id = server
        .record(&with(with(payment("p"), fee), whole.clone()))
        .await
        .ok()
        .id();
    assert_eq!(state(&server, INVOICE).await, "PAID 9000 0 0");
    server.update(&id, &net).await.ok();
    assert_eq!(state(&server, INVOICE).await, "PAID 9000 0 0");
    assert_eq!(
        server.journal().await,
        [
            "1 INVOICE_PAYMENT 2024-02-27: CASH 9000 MERCHANT_CASH_ADVANCE 300 / ACCOUNTS_RECEIVABLE 9000 \
             MERCHANT_CASH_ADVANCE 300"
        ]
    );
    // Without the fee, all of it pays, which is too much.
    let borne = with(json!({"additional_fees": []}), whole);
    fault(
        &server.update(&id, &borne).await,
        "/invoice_payments/0",
        "invoice-paid",
    );
}

#[tokio::test]
async fn a_bulk_counts_what_it_has_paid_itself() {
    let server = server().await;
    let bulk = |last: i64| {
        json!([
            pays("p1", &[(INVOICE, 4000)]),
            pays("p2", &[(OTHER, 1)]),
            pays("p3", &[(INVOICE, last)]),
        ])
    };
    let reply = server.bulk(&bulk(5001)).await;
    fault(&reply, "/2/invoice_payments/0", "invoice-overpaid");
    assert!(description(&reply).contains("5000 cents are outstanding"));
    assert_eq!(state(&server, INVOICE).await, "SENT 0 0 9000");
    assert_eq!(server.journal().await, Vec::<String>::new());
    server.bulk(&bulk(5000)).await.ok();
    assert_eq!(state(&server, INVOICE).await, "PAID 9000 0 0");
    // Sent again, nothing is paid twice.
    server.bulk(&bulk(5000)).await.ok();
    assert_eq!(state(&server, INVOICE).await, "PAID 9000 0 0");
}

/// An amount may leave an invoice with one payment of a bulk and come back with a later one.
#[tokio::test]
async fn a_bulk_is_judged_in_its_order() {
    let server = server().await;
    server.record(&pays("p1", &[(INVOICE, 9000)])).await.ok();
    let moved = pays("p1", &[(OTHER, 9000)]);
    let comes = pays("p2", &[(INVOICE, 9000)]);
    let reply = server.bulk(&json!([comes, moved])).await;
    fault(&reply, "/0/invoice_payments/0", "invoice-paid");
    server.bulk(&json!([moved, comes])).await.ok();
    assert_eq!(state(&server, INVOICE).await, "PAID 9000 0 0");
    assert_eq!(state(&server, OTHER).await, "PARTIALLY_PAID 9000 0 null");
}

#[tokio::test]
async fn an_allocation_moves_from_one_invoice_to_another() {
    let server = server().await;
    invoice(&server, OTHER, 5000).await.ok();
    let id = server
        .record(&pays("p", &[(INVOICE, 4000), (OTHER, 1000)]))
        .await
        .ok()
        .id();
    let moved = |first: i64, second: i64| {
        json!({"invoice_payments": [
            {"invoice_id": OTHER, "amount": second}, {"invoice_id": INVOICE, "amount": first},
        ]})
    };
    server.update(&id, &moved(500, 4500)).await.ok();
    assert_eq!(state(&server, INVOICE).await, "PARTIALLY_PAID 500 0 8500");
    assert_eq!(state(&server, OTHER).await, "PARTIALLY_PAID 4500 0 500");
    // Receivables are the same as before.
    assert_eq!(server.journal().await.len(), 1);
    let only = json!({"invoice_payments": [{"invoice_id": OTHER, "amount": 5000}]});
    server.update(&id, &only).await.ok();
    assert_eq!(state(&server, INVOICE).await, "SENT 0 0 9000");
    assert_eq!(state(&server, OTHER).await, "PAID 5000 0 0");
}

#[tokio::test]
async fn void_invoices_take_nothing_and_paid_ones_are_not_voided() {
    let server = server().await;
    let id = server.record(&pays("p", &[(INVOICE, 1)])).await.ok().id();
    let void = format!("/invoices/{INVOICE}/void");
    fault(
        &server.local(Method::POST, &void, None).await,
        "",
        "invoice-paid",
    );
    server
        .update(&id, &json!({"invoice_payments": []}))
        .await
        .ok();
    let voided = server.local(Method::POST, &void, None).await.ok();
    assert_eq!(voided.body["data"]["status"], "VOIDED");
    assert_eq!(state(&server, INVOICE).await, "VOIDED 0 0 0");
    let again = server.local(Method::POST, &void, None).await.ok();
    assert_eq!(again.body["data"], voided.body["data"]);
    let reply = server
        .record(&pays("p2", &[(OTHER, 1), (INVOICE, 1)]))
        .await;
    fault(&reply, "/invoice_payments/1", "invoice-void");
    // Nothing of it may be paid.
    server.record(&pays("p3", &[(INVOICE, 0)])).await.ok();
    let unknown = format!("/invoices/{OTHER}/void");
    let faults = server.local(Method::POST, &unknown, None).await.faults(404);
    assert_eq!(faults, [(String::new(), "invoice-unknown".to_owned())]);
}

#[tokio::test]
async fn a_total_may_change_but_not_below_what_is_paid() {
    let server = server().await;
    server.record(&pays("p", &[(INVOICE, 4000)])).await.ok();
    let reply = invoice(&server, INVOICE, 4000).await;
    assert_eq!(reply.status, 200);
    assert_eq!(state(&server, INVOICE).await, "PAID 4000 0 0");
    let reply = invoice(&server, INVOICE, 3999).await;
    fault(&reply, "/total_amount", "invoice-overpaid");
    assert!(description(&reply).contains("4000 cents"));
    invoice(&server, INVOICE, 10_000).await.ok();
    assert_eq!(state(&server, INVOICE).await, "PARTIALLY_PAID 4000 0 6000");
    fault(
        &invoice(&server, INVOICE, -1).await,
        "/total_amount",
        "amount-negative",
    );
    // One that a payment has named first gets its total later.
    server.record(&pays("p2", &[(OTHER, 10)])).await.ok();
    assert_eq!(state(&server, OTHER).await, "PARTIALLY_PAID 10 0 null");
    fault(
        &invoice(&server, OTHER, 9).await,
        "/total_amount",
        "invoice-overpaid",
    );
    assert_eq!(invoice(&server, OTHER, 10).await.status, 200);
    assert_eq!(state(&server, OTHER).await, "PAID 10 0 0");
}

#[tokio::test]
async fn names_are_joined_with_an_invoice_of_which_the_total_is_known() {
    let server = server().await;
    let named = |external_id: &str, target: Value, cents: i64| {
        with(
            payment(external_id),
            json!({"invoice_payments": [with(json!({"amount": cents}), target)]}),
        )
    };
    let by_name = json!({"invoice_external_id": "i"});
    let by_both = json!({"invoice_id": INVOICE, "invoice_external_id": "i"});
    server
        .record(&named("p1", by_name.clone(), 8000))
        .await
        .ok();
    assert_eq!(state(&server, INVOICE).await, "SENT 0 0 9000");
    let reply = server.record(&named("p2", by_both.clone(), 1001)).await;
    fault(&reply, "/invoice_payments/0", "invoice-overpaid");
    assert_eq!(state(&server, INVOICE).await, "SENT 0 0 9000");
    server
        .record(&named("p2", by_both.clone(), 1000))
        .await
        .ok();
    assert_eq!(state(&server, INVOICE).await, "PAID 9000 0 0");

    // What is paid under the name is too much for the invoice with the id.
    invoice(&server, OTHER, 50).await.ok();
    let (by_name, by_both) = (
        json!({"invoice_external_id": "j"}),
        json!({"invoice_id": OTHER, "invoice_external_id": "j"}),
    );
    server.record(&named("p3", by_name, 51)).await.ok();
    let bulk = json!([payment("p4"), named("p5", by_both, 0)]);
    let faults = server.bulk(&bulk).await.faults(400);
    assert_eq!(
        faults[0],
        (
            "/1/invoice_payments/0/invoice_id".to_owned(),
            "invoice-overpaid".to_owned()
        )
    );
    assert_eq!(state(&server, OTHER).await, "SENT 0 0 50");
}

#[tokio::test]
async fn an_invoice_is_created_with_the_name_that_payments_have_used() {
    let server = TestServer::fresh().await;
    let named = with(
        payment("p"),
        json!({"invoice_payments": [{"invoice_external_id": "i", "amount": 100}]}),
    );
    let invented =
        server.record(&named).await.ok().payment()["allocations"][0]["invoice_id"].clone();
    let too_small = json!({"id": INVOICE, "external_id": "i", "total_amount": 99});
    fault(
        &server.create("/invoices", &too_small).await,
        "/total_amount",
        "invoice-overpaid",
    );
    assert_eq!(
        server.list("").await.body["data"][0]["allocations"][0]["invoice_id"],
        invented
    );
    let known = json!({"id": INVOICE, "external_id": "i", "total_amount": 100});
    let reply = server.create("/invoices", &known).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body["data"]["status"], "PAID");
    assert_eq!(
        server.list("").await.body["data"][0]["allocations"][0]["invoice_id"],
        INVOICE
    );
    assert_eq!(
        server.record(&named).await.ok().outcomes(),
        json!(["unchanged"])
    );
    // What was paid under both names counts against the total that comes with them.
    let by = |target: Value, name: &str| {
        let allocation = with(target, json!({"amount": 80}));
        with(payment(name), json!({"invoice_payments": [allocation]}))
    };
    let third = "33333333-3333-4333-8333-333333333333";
    let first = json!({"id": third, "total_amount": 100});
    server.create("/invoices", &first).await.ok();
    server
        .bulk(&json!([
            by(json!({"invoice_id": third}), "q"),
            by(json!({"invoice_external_id": "t"}), "r"),
        ]))
        .await
        .ok();
    let joined = |total: i64| json!({"id": third, "external_id": "t", "total_amount": total});
    fault(
        &server.create("/invoices", &joined(159)).await,
        "/total_amount",
        "invoice-overpaid",
    );
    server.create("/invoices", &joined(160)).await.ok();
    assert_eq!(state(&server, third).await, "PAID 160 0 0");
    // Its names are settled now.
    let other = json!({"id": OTHER, "external_id": "i", "total_amount": 100});
    fault(
        &server.create("/invoices", &other).await,
        "/external_id",
        "invoice-ids-disagree",
    );
    let other = json!({"id": INVOICE, "external_id": "j", "total_amount": 100});
    fault(
        &server.create("/invoices", &other).await,
        "/external_id",
        "invoice-ids-disagree",
    );
    let found = server.look("/invoices?external_id=i").await;
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(server.look("/invoices?external_id=j").await, json!([]));
}

#[tokio::test]
async fn an_invoice_that_was_created_gets_its_other_name_later() {
    let server = server().await;
    let both = json!({"id": INVOICE, "external_id": "i", "total_amount": 8000});
    let reply = server.create("/invoices", &both).await;
    assert_eq!(reply.status, 200, "{reply:#?}");
    assert_eq!(reply.body["data"]["external_id"], "i");
    assert_eq!(reply.body["data"]["total_amount"], 8000);
    // Now it is the name of this invoice and of no other.
    let other = json!({"id": OTHER, "external_id": "i", "total_amount": 1});
    let reply = server.create("/invoices", &other).await;
    fault(&reply, "/external_id", "invoice-ids-disagree");
}

#[tokio::test]
async fn strict_servers_refuse_invoices_that_were_not_created() {
    let server = TestServer::start(config(fresh()).strict_invoices(true)).await;
    let named = |target: Value| {
        let allocation = with(json!({"amount": 10}), target);
        with(payment("p"), json!({"invoice_payments": [allocation]}))
    };
    let by_id = named(json!({"invoice_id": INVOICE}));
    let by_name = named(json!({"invoice_external_id": "i"}));
    let by_both = named(json!({"invoice_id": INVOICE, "invoice_external_id": "i"}));
    for unknown in [&by_id, &by_name, &by_both] {
        let faults = server.record(unknown).await.faults(400);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!(faults[0].1, "invoice-unknown", "{unknown}");
    }
    assert_eq!(server.look("/invoices").await, json!([]));
    let both = json!({"id": INVOICE, "external_id": "i", "total_amount": 30});
    assert_eq!(server.create("/invoices", &both).await.status, 201);
    assert_eq!(server.record(&by_id).await.outcomes(), json!(["created"]));
    let misnamed = named(json!({"invoice_id": INVOICE, "invoice_external_id": "j"}));
    fault(
        &server.record(&misnamed).await,
        "/invoice_payments/0/invoice_external_id",
        "invoice-ids-disagree",
    );
    for known in [&by_name, &by_both] {
        assert_eq!(server.record(known).await.outcomes(), json!(["unchanged"]));
    }
    let other = named(json!({"invoice_id": OTHER, "invoice_external_id": "i"}));
    assert_eq!(
        server.record(&other).await.faults(400)[0].1,
        "invoice-ids-disagree"
    );
    assert_eq!(state(&server, INVOICE).await, "PARTIALLY_PAID 10 0 20");
}

/// Thousands of invoices of one payment get their own ids at once; the payment is written once, not once for each.
#[tokio::test]
async fn many_names_are_joined_in_one_go() {
    const COUNT: usize = 4_000;
    let server = TestServer::fresh().await;
    let named = |external_id: &str, with_ids: bool| {
        let allocations: Vec<Value> = (0..COUNT)
            .map(|n| {
                let mut allocation = json!({"invoice_external_id": format!("i{n}"), "amount": 1});
                if with_ids {
                    allocation["invoice_id"] = json!(format!("00000000-0000-4000-8000-{n:012}"));
                }
                allocation
            })
            .collect();
        with(
            payment(external_id),
            json!({"invoice_payments": allocations}),
        )
    };
    server.record(&named("p1", false)).await.ok();
    let started = std::time::Instant::now();
    server.record(&named("p2", true)).await.ok();
    // Once for each of them would take minutes.
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    let first = server.list("?external_id=p1").await.ok();
    assert_eq!(
        first.body["data"][0]["allocations"][7]["invoice_id"],
        "00000000-0000-4000-8000-000000000007"
    );
    assert_eq!(server.look("/invoices").await[7]["paid_amount"], 2);
}

/// What a refused request has registered on its way is gone, in the database and in what the server remembers.
#[tokio::test]
async fn a_refused_request_leaves_no_account_and_no_number_behind() {
    let server = server().await;
    let through = |external_id: &str, cents: i64| {
        with(
            pays(external_id, &[(INVOICE, cents)]),
            json!({"method": "CREDIT_CARD", "processor": "ADYEN"}),
        )
    };
    let refused = json!([through("p1", 9000), through("p2", 1)]);
    fault(
        &server.bulk(&refused).await,
        "/1/invoice_payments/0",
        "invoice-paid",
    );
    assert_eq!(server.look("/ledger-accounts").await, json!([]));
    server.record(&through("p1", 9000)).await.ok();
    assert_eq!(
        server.journal().await,
        ["1 INVOICE_PAYMENT 2024-02-27: ADYEN_CLEARING 9000 / ACCOUNTS_RECEIVABLE 9000"]
    );
}

/// Refused requests share their transaction with others, of which nothing is lost.
#[tokio::test]
async fn an_invoice_is_paid_once_however_many_pay_at_the_same_moment() {
    let place = Place::new();
    let server = TestServer::at(&place).await;
    invoice(&server, INVOICE, 9000).await.ok();
    let payments: Vec<Value> = (0..40)
        .map(|n| pays(&format!("p{n}"), &[(INVOICE, 1000)]))
        .collect();
    let replies =
        futures_util::future::join_all(payments.iter().map(|one| server.record(one))).await;
    let created = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(created, 9);
    for refused in replies.iter().filter(|reply| reply.status != 201) {
        fault(refused, "/invoice_payments/0", "invoice-paid");
    }
    assert_eq!(state(&server, INVOICE).await, "PAID 9000 0 0");
    assert_eq!(server.journal().await.len(), 9);
}
