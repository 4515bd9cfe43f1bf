//! The routes below `/local`: what they create, what they refuse, who may use them; reset and fixtures.

use layer_payments_server::{Fixtures, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::engine::{Place, fresh};
use crate::harness::{BUSINESS, INVOICE, Reply, TOKEN, TestServer, config, payment, send, with};

const OTHER: &str = "11111111-2222-3333-4444-555555555555";

async fn ask(server: &TestServer, method: Method, path: &str, body: Option<&Value>) -> Reply {
    ask_as(server, TOKEN, method, path, body).await
}

async fn ask_as(
    server: &TestServer,
    token: &str,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Reply {
    let url = format!("{}{path}", server.base);
    let mut request = server.client.request(method, url).bearer_auth(token);
    if let Some(body) = body {
        request = request.json(body);
    }
    send(request).await
}

#[track_caller]
fn fault(reply: &Reply, pointer: &str, code: &str) {
    assert_eq!(reply.faults(400), [(pointer.to_owned(), code.to_owned())]);
}

#[tokio::test]
async fn times_before_our_era_are_refused() {
    let server = TestServer::fresh().await;
    for early in ["0000-12-31T23:59:59Z", "-004800-01-01T00:00:00Z"] {
        let update = json!({"closing_date": early});
        let payout = json!({"paid_out_amount": 1, "completed_at": early, "payments": []});
        let matched = json!({"payout_id": OTHER, "bank_transaction": {"date": early, "amount": 1}});
        for (method, below, body, pointer) in [
            (Method::PATCH, "", update.clone(), "/closing_date"),
            (Method::POST, "/payouts", payout, "/completed_at"),
            (Method::POST, "/matches", matched, "/bank_transaction/date"),
        ] {
            fault(
                &server.local(method, below, Some(&body)).await,
                pointer,
                "body-invalid",
            );
        }
        let created = ask(&server, Method::POST, "/local/businesses", Some(&update)).await;
        fault(&created, "/closing_date", "body-invalid");
    }
    let first = json!({"closing_date": "0001-01-01T00:00:00Z"});
    let taken = server.local(Method::PATCH, "", Some(&first)).await.ok();
    assert_eq!(taken.body["data"]["closing_date"], first["closing_date"]);
}

#[tokio::test]
async fn businesses_are_created_once_and_found() {
    let server = TestServer::fresh().await;
    let create =
        async |body: Value| ask(&server, Method::POST, "/local/businesses", Some(&body)).await;
    let whole = json!({
        "id": OTHER, "external_id": "b-1", "name": "Acme", "closing_date": "2024-01-01T00:00:00.1234567Z",
    });
    let created = create(whole.clone()).await;
    assert_eq!(created.status, 201);
    let expected = json!({
        "type": "Business", "id": OTHER, "external_id": "b-1", "name": "Acme",
        "closing_date": "2024-01-01T00:00:00.123456Z",
    });
    assert_eq!(created.body["data"], expected);
    for again in [
        json!({"id": OTHER, "name": "Other"}),
        json!({"external_id": "b-1"}),
        whole,
    ] {
        let found = create(again).await;
        assert_eq!(found.status, 200);
        assert_eq!(found.body["data"], expected);
    }
    let third = "22222222-2222-3333-4444-555555555555";
    let reply = create(json!({"id": third, "external_id": "b-1"})).await;
    fault(&reply, "/external_id", "external-id-taken");
    fault(
        &create(json!({"external_id": ""})).await,
        "/external_id",
        "name-empty",
    );
    fault(&create(json!({"nmae": ""})).await, "/nmae", "body-invalid");
    fault(&create(json!({"id": "1"})).await, "/id", "body-invalid");
    assert_eq!(create(json!({})).await.status, 201);

    let list = ask(&server, Method::GET, "/local/businesses", None)
        .await
        .ok();
    let ids: Vec<&Value> = list.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(ids[..2], [BUSINESS, OTHER]);
    let one = ask(
        &server,
        Method::GET,
        &format!("/local/businesses/{OTHER}"),
        None,
    )
    .await
    .ok();
    assert_eq!(one.body["data"], expected);
    for (method, below) in [
        (Method::GET, ""),
        (Method::GET, "/ledger-accounts"),
        (Method::GET, "/invoices"),
        (Method::GET, "/journal-entries"),
        (Method::GET, "/trial-balance"),
        (Method::POST, "/ledger-accounts"),
        (Method::POST, "/invoices"),
        (Method::POST, "/payouts"),
        (Method::POST, "/matches"),
        (Method::PATCH, ""),
    ] {
        let body = match below {
            "/ledger-accounts" => json!({"name": "n", "account_type": "ASSET"}),
            "/invoices" => json!({"total_amount": 1}),
            "/payouts" => {
                json!({"paid_out_amount": 1, "completed_at": "2024-01-01T00:00:00Z", "payments": []})
            }
            "/matches" => {
                json!({"payout_id": OTHER, "bank_transaction": {"date": "2024-01-01T00:00:00Z", "amount": 1}})
            }
            _ => json!({"closing_date": null}),
        };
        let body = (method != Method::GET).then_some(&body);
        let path = format!("/local/businesses/{third}{below}");
        let faults = ask(&server, method.clone(), &path, body).await.faults(404);
        assert_eq!(
            faults,
            [(String::new(), "business-unknown".to_owned())],
            "{method} {path}"
        );
        let queried = ask(&server, method.clone(), &format!("{path}?x=1"), body).await;
        assert_eq!(queried.faults(400)[0].0, "?x", "{method} {path}");
        let nowhere = ask(
            &server,
            method,
            &format!("/local/businesses/x{below}"),
            body,
        )
        .await;
        fault(&nowhere, "", "path-malformed");
    }
}

#[tokio::test]
async fn ledger_accounts_are_created_once_and_used() {
    let server = TestServer::fresh().await;
    let till = json!({"id": OTHER, "stable_name": "TILL", "name": "Till", "account_type": "ASSET", "account_number": "7"});
    let created = server.create("/ledger-accounts", &till).await;
    assert_eq!(created.status, 201);
    let account = &created.body["data"];
    assert_eq!(account["normality"], "DEBIT");
    assert_eq!(account["account_type"]["value"], "ASSET");
    assert_eq!(account["account_number"], "7");
    for again in [
        till.clone(),
        json!({"stable_name": "TILL", "name": "Other", "account_type": "EQUITY"}),
        json!({"id": OTHER, "name": "Other", "account_type": "EQUITY"}),
    ] {
        let found = server.create("/ledger-accounts", &again).await;
        assert_eq!(found.status, 200);
        assert_eq!(&found.body["data"], account);
    }
    let recorded = with(
        payment("p"),
        json!({"payment_clearing_account_identifier": {"type": "StableName", "stable_name": "TILL"}}),
    );
    let recorded = server.record(&recorded).await.ok();
    assert_eq!(&recorded.payment()["payment_clearing_account"], account);
    assert_eq!(
        server.journal().await,
        ["1 INVOICE_PAYMENT 2024-02-27: TILL 9000 / UNEARNED_REVENUE 9000"]
    );
    let listed = server.look("/ledger-accounts").await;
    assert_eq!(&listed[0], account);
    assert_eq!(listed[1]["name"], "Unearned Revenue");

    let account = |change: Value| with(json!({"name": "n", "account_type": "ASSET"}), change);
    for (request, pointer, code) in [
        (
            account(json!({"id": OTHER, "stable_name": "BOX"})),
            "/stable_name",
            "account-ids-disagree",
        ),
        (
            account(json!({"id": INVOICE, "stable_name": "TILL"})),
            "/stable_name",
            "account-ids-disagree",
        ),
        (
            account(json!({"account_type": "asset"})),
            "/account_type",
            "value-unknown",
        ),
        (
            account(json!({"normality": "LEFT"})),
            "/normality",
            "value-unknown",
        ),
        (account(json!({"name": ""})), "/name", "name-empty"),
        (
            account(json!({"stable_name": ""})),
            "/stable_name",
            "name-empty",
        ),
    ] {
        fault(
            &server.create("/ledger-accounts", &request).await,
            pointer,
            code,
        );
    }
}

#[tokio::test]
async fn bodies_are_read_strictly() {
    let server = TestServer::fresh().await;
    let url = format!("{}/local/businesses", server.base);
    let post = |media: &str, body: &'static str| {
        let request = server.client.post(&url).bearer_auth(TOKEN).body(body);
        send(request.header("content-type", media))
    };
    fault(&post("application/json", "").await, "", "body-missing");
    fault(&post("application/json", "{").await, "", "json-malformed");
    fault(
        &post("application/json", "{} {}").await,
        "",
        "json-malformed",
    );
    // A list isn't an object, whatever its elements are.
    fault(&post("application/json", "[]").await, "", "body-invalid");
    let invoice = server.create("/invoices", &json!([null, "i", 1])).await;
    fault(&invoice, "", "body-invalid");
    let payout = json!({
        "paid_out_amount": 1, "completed_at": "2024-01-01T00:00:00Z", "payments": [[null, "p"]],
    });
    fault(
        &server.create("/payouts", &payout).await,
        "/payments/0",
        "body-invalid",
    );
    let account = json!({
        "paid_out_amount": 1, "completed_at": "2024-01-01T00:00:00Z", "payments": [],
        "payment_clearing_account_identifier": ["StableName", "CASH"],
    });
    let pointer = "/payment_clearing_account_identifier";
    fault(
        &server.create("/payouts", &account).await,
        pointer,
        "body-invalid",
    );
    let bank = json!({"payout_id": OTHER, "bank_transaction": [null, "2024-01-01T00:00:00Z", 1]});
    fault(
        &server.create("/matches", &bank).await,
        "/bank_transaction",
        "body-invalid",
    );
    assert_eq!(
        post("text/plain", "{}").await.faults(415)[0].1,
        "media-type-unsupported"
    );
    let closing = server.local(Method::PATCH, "", Some(&json!({}))).await;
    assert_eq!(closing.faults(400)[0].1, "body-invalid");
}

#[tokio::test]
async fn tokens_of_a_business_open_nothing_below_local() {
    let server = TestServer::fresh().await;
    let path = format!("/v1/businesses/{BUSINESS}/auth-token");
    let token = ask(&server, Method::POST, &path, None).await.ok().body["access_token"].clone();
    let token = token.as_str().unwrap();
    let own = format!("/local/businesses/{BUSINESS}");
    for (method, path) in [
        (Method::GET, "/local/businesses".to_owned()),
        (Method::POST, "/local/businesses".to_owned()),
        (Method::GET, own.clone()),
        (Method::PATCH, own.clone()),
        (Method::GET, format!("{own}/ledger-accounts")),
        (Method::POST, format!("{own}/ledger-accounts")),
        (Method::GET, format!("{own}/invoices")),
        (Method::POST, format!("{own}/invoices")),
        (Method::POST, format!("{own}/invoices/{INVOICE}/void")),
        (Method::POST, format!("{own}/payouts")),
        (Method::POST, format!("{own}/matches")),
        (Method::GET, format!("{own}/journal-entries")),
        (Method::GET, format!("{own}/trial-balance")),
        (Method::GET, "/local/books-check".to_owned()),
        (Method::POST, "/local/reset".to_owned()),
    ] {
        let reply = ask_as(&server, token, method.clone(), &path, Some(&json!({}))).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        reply.faults(401);
        let reply = ask_as(&server, "wrong", method.clone(), &path, Some(&json!({}))).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{method} {path}");
    }
    assert_eq!(server.look("").await["id"], BUSINESS);
}

#[tokio::test]
async fn a_reset_leaves_what_there_was_at_the_start() {
    let server = TestServer::start(config(fresh()).fixtures(fixtures())).await;
    let state = async || {
        let list = server.listed("").await;
        (list, server.journal().await, server.look("").await)
    };
    let before = state().await;
    assert_eq!(before.0, ["p1", "p2"]);
    let late = with(payment("p3"), json!({"paid_at": "2024-03-01T00:00:00Z"}));
    let id = server.record(&late).await.ok().id();
    server
        .update(
            &id,
            &json!({"amount": 1, "tags": [{"key": "k", "value": "v"}]}),
        )
        .await
        .ok();
    let other = json!({"id": OTHER});
    ask(&server, Method::POST, "/local/businesses", Some(&other))
        .await
        .ok();
    server.close_until(Some("2025-01-01")).await;
    ask(&server, Method::POST, "/local/reset", None).await.ok();
    assert_eq!(state().await, before);
    let list = ask(&server, Method::GET, "/local/businesses", None)
        .await
        .ok();
    assert_eq!(list.body["data"].as_array().unwrap().len(), 1);
    // Nor is anything of it remembered: the tag's key is registered anew.
    let tagged = json!({"paid_at": "2024-03-01T00:00:00Z", "tags": [{"key": "k", "value": "v"}]});
    server.record(&with(payment("p4"), tagged)).await.ok();
}

fn fixtures() -> Fixtures {
    let text = json!({"businesses": [{
        "id": BUSINESS,
        "ledger_accounts": [{"stable_name": "TILL", "name": "Till", "account_type": "ASSET"}],
        "invoices": [{"external_id": "i", "total_amount": 9000}],
        "payments": [
            with(payment("p1"), json!({
                "payment_clearing_account_identifier": {"type": "StableName", "stable_name": "TILL"},
                "invoice_payments": [{"invoice_external_id": "i", "amount": 4000}],
            })),
            payment("p2"),
        ],
        "payouts": [{
            "external_id": "o", "paid_out_amount": 5, "fee": 1, "completed_at": "2024-02-28T00:00:00Z",
            "payments": [{"invoice_payment_external_id": "p1"}],
        }],
        "matches": [{
            "payout_external_id": "o",
            "bank_transaction": {"date": "2024-02-28T00:00:00Z", "amount": 5},
        }],
        "closing_date": "2024-02-29T00:00:00Z",
    }]});
    Fixtures::from_json(text.to_string().as_bytes()).unwrap()
}

async fn start(place: &Place) -> TestServer {
    TestServer::start(config(place.database()).fixtures(fixtures())).await
}

#[tokio::test]
async fn fixtures_that_the_books_refuse_are_told_with_their_place() {
    let place = Place::new();
    let payment = |name: &str, day: &str| {
        json!({"external_id": name, "paid_at": format!("{day}T00:00:00Z"), "method": "CASH", "amount": 1,
               "invoice_payments": []})
    };
    let file = |payments: Value| {
        let text = json!({"businesses": [
            {"id": "22222222-2222-4222-8222-222222222222"},
            {"id": BUSINESS, "payments": payments, "closing_date": "2024-02-01T00:00:00Z"},
        ]});
        let fixtures = Fixtures::from_json(text.to_string().as_bytes()).unwrap();
        config(place.database()).fixtures(fixtures)
    };
    let first = payment("p1", "2024-02-02");
    let server = TestServer::start(file(json!([first]))).await;
    server.stop().await;
    let late = file(json!([first, payment("p2", "2024-01-31")]));
    let error = Server::bind(late, "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("/businesses/1/payments/1/paid_at: "),
        "{text}"
    );
}

#[tokio::test]
async fn fixtures_fill_a_server_once_and_leave_what_clients_changed() {
    let place = Place::new();
    let server = start(&place).await;
    let journal = server.journal().await;
    assert_eq!(
        journal,
        [
            "1 INVOICE_PAYMENT 2024-02-27: TILL 9000 / ACCOUNTS_RECEIVABLE 4000 UNEARNED_REVENUE 5000",
            "2 INVOICE_PAYMENT 2024-02-27: CASH 9000 / UNEARNED_REVENUE 9000",
            "3 PAYOUT 2024-02-28: BANK_FEES 1 / PAYMENT_PROCESSOR_CLEARING 1",
            "4 MATCH 2024-02-28: BANK_ACCOUNTS 5 / PAYMENT_PROCESSOR_CLEARING 5",
        ]
    );
    assert_eq!(
        server.look("").await["closing_date"],
        "2024-02-29T00:00:00Z"
    );
    let list = server.list("").await.ok().body;
    server.stop().await;

    let server = start(&place).await;
    assert_eq!(server.journal().await, journal);
    assert_eq!(server.list("").await.ok().body, list);
    // A client changes what the file says, also what the closing date would forbid to change back.
    server.close_until(None).await;
    let id = list["data"][1]["id"].as_str().unwrap();
    server
        .update(id, &json!({"amount": 1, "memo": "mine"}))
        .await
        .ok();
    let total = json!({"external_id": "i", "total_amount": 4000});
    server.create("/invoices", &total).await.ok();
    server.close_until(Some("2024-03-01")).await;
    let list = server.list("").await.ok().body;
    server.stop().await;

    let server = start(&place).await;
    assert_eq!(server.list("").await.ok().body, list);
    assert_eq!(server.look("/invoices").await[0]["status"], "PAID");
    assert_eq!(
        server.look("").await["closing_date"],
        "2024-03-01T00:00:00Z"
    );
}
