//! Moving a SQLite store over.

use std::path::{Path, PathBuf};
use std::sync::mpsc;

use layer_payments_server::{Config, CopyStep, Database, Fixtures, copy};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::engine::Place;
use crate::harness::{BUSINESS, INVOICE, TestServer, config, payment, with};

const OTHER: &str = "22222222-2222-4222-8222-222222222222";

fn file(path: &Path) -> Config {
    config(Database::File(path.to_owned()))
        .business(OTHER.parse::<Uuid>().unwrap())
        .fixtures(fixtures())
}

/// Something in every table.
fn fixtures() -> Fixtures {
    let text = json!({"businesses": [{
        "id": BUSINESS,
        "external_id": "a business",
        "invoices": [{"id": INVOICE, "external_id": "known", "total_amount": 100_000}],
        "payments": [{
            "external_id": "card", "paid_at": "2024-02-27T00:00:00Z", "method": "CREDIT_CARD", "processor": "STRIPE",
            "amount": 9000, "fee": 300, "invoice_payments": [{"invoice_external_id": "known", "amount": 9000}],
        }],
        "payouts": [{
            "external_id": "payout", "completed_at": "2024-02-28T00:00:00Z", "processor": "STRIPE",
            "paid_out_amount": 8600, "fee": 100, "payments": [{"invoice_payment_external_id": "card"}],
        }],
        "matches": [{
            "payout_external_id": "payout",
            "bank_transaction": {"date": "2024-02-29T00:00:00Z", "amount": 8600},
        }],
    }]});
    Fixtures::from_json(text.to_string().as_bytes()).unwrap()
}

/// A file with payments of which the texts are as awkward as they can be, one of them changed after it was recorded.
async fn filled(directory: &Path) -> PathBuf {
    let path = directory.join("payments.db");
    let server = TestServer::start(file(&path)).await;
    let awkward = [
        "\u{0}",
        "\u{1a}0",
        "a\u{0}b\u{1a}",
        "ü €\u{1F600}",
        "\\N",
        "a\t\nb",
    ];
    let mut payments: Vec<Value> = awkward
        .iter()
        .enumerate()
        .map(|(number, text)| {
            with(
                payment(&format!("{text}-{number}")),
                json!({
                    "memo": text,
                    "reference_number": format!("{text}{}", "r".repeat(3_000 * number)),
                    "metadata": {*text: text},
                    "tags": [{"key": format!("k{text}"), "value": text, "value_display_name": text}],
                    "invoice_payments": [{"invoice_external_id": format!("i{text}"), "amount": 1}],
                }),
            )
        })
        .collect();
    payments.push(payment(&"long".repeat(2_000)));
    let bulk = server.bulk(&json!(payments)).await.ok();
    let id = bulk.body["data"][0]["id"].as_str().unwrap().to_owned();
    server
        .update(&id, &json!({"amount": 9_999, "memo": null}))
        .await
        .ok();
    let others = format!("{}/v1/businesses/{OTHER}/invoices/payments", server.base);
    let reply = server
        .client
        .post(others)
        .bearer_auth(crate::harness::TOKEN)
        .json(&payment("of another"))
        .send();
    assert_eq!(reply.await.unwrap().status(), 201);
    server.stop().await;
    path
}

/// Everything that a server shows.
async fn shown(server: &TestServer) -> Value {
    let mut shown = Vec::new();
    for path in [
        "/local/businesses".to_owned(),
        format!("/local/businesses/{BUSINESS}/ledger-accounts"),
        format!("/local/businesses/{BUSINESS}/invoices"),
        format!("/local/businesses/{BUSINESS}/journal-entries?limit=1000"),
        format!("/local/businesses/{BUSINESS}/trial-balance"),
        format!("/v1/businesses/{BUSINESS}/invoices/payments?limit=1000&sort_by=imported_at"),
        format!("/v1/businesses/{OTHER}/invoices/payments?show_total_count=true"),
    ] {
        let request = server
            .client
            .request(Method::GET, format!("{}{path}", server.base))
            .bearer_auth(crate::harness::TOKEN);
        let reply = request.send().await.unwrap();
        assert_eq!(reply.status(), 200, "{path}");
        shown.push(reply.json().await.unwrap());
    }
    Value::Array(shown)
}

async fn migrated() -> Place {
    let place = Place::new();
    // A server brings the schema up to date.
    let place_config = Config::new(
        place.database(),
        layer_payments_server::Token::new("t").unwrap(),
    );
    TestServer::start(place_config).await.stop().await;
    place
}

#[tokio::test]
async fn a_copy_shows_what_the_file_shows_and_goes_on_from_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = filled(directory.path()).await;
    let place = migrated().await;
    let (told, steps) = mpsc::channel();
    let copied = copy(&path, &place.postgres(), move |progress| {
        let _ = told.send(progress);
    })
    .await
    .unwrap();
    assert_eq!((copied.businesses, copied.payments), (2, 9));
    let steps: Vec<_> = steps.iter().collect();
    assert_eq!(steps.first().unwrap().step, CopyStep::CheckSource);
    let last = steps.last().unwrap();
    assert_eq!((last.step, last.rows), (CopyStep::Compare, last.total));

    let before = TestServer::start(file(&path)).await;
    let after = TestServer::at(&place).await;
    assert_eq!(shown(&before).await, shown(&after).await);
    // Names mean what they meant, and numbers go on.
    let again = with(
        payment(&"long".repeat(2_000)),
        json!({"memo": "changed", "tags": [{"key": "k\u{0}", "value": "\u{0}"}]}),
    );
    for server in [&before, &after] {
        assert_eq!(server.record(&again).await.outcomes(), json!(["updated"]));
        assert_eq!(
            server.record(&payment("new")).await.outcomes(),
            json!(["created"])
        );
    }
    assert_eq!(before.journal().await, after.journal().await);
}

#[tokio::test]
async fn a_database_that_holds_something_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = filled(directory.path()).await;
    let place = Place::new();
    let server = TestServer::at(&place).await;
    server.record(&payment("mine")).await.ok();
    let error = copy(&path, &place.postgres(), |_| {}).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("has businesses already"), "{cause}");
    assert_eq!(server.listed("").await, ["mine"]);
}

#[tokio::test]
async fn books_that_are_not_in_order_are_not_copied() {
    let directory = tempfile::tempdir().unwrap();
    let path = filled(directory.path()).await;
    let spoil = rusqlite::Connection::open(&path).unwrap();
    spoil
        .execute_batch("UPDATE accounts SET debits = debits + 1 WHERE debits > 0")
        .unwrap();
    let place = migrated().await;
    let error = copy(&path, &place.postgres(), |_| {}).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("has debits"), "{cause}");
    assert_eq!(place.sql("SELECT count(*) FROM businesses"), "0");
}

#[tokio::test]
async fn a_copy_that_is_cut_off_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = filled(directory.path()).await;
    let place = migrated().await;
    let cut = place.sql_later(layer_payments_test_postgres::CUT_CONNECTIONS);
    // Cut off when the rows are written and not committed yet.
    let result = copy(&path, &place.postgres(), move |progress| {
        if progress.step == CopyStep::CheckTarget {
            cut();
        }
    })
    .await;
    assert!(result.is_err());
    assert_eq!(place.sql("SELECT count(*) FROM payments"), "0");
    // And the file can be written to again.
    let server = TestServer::start(file(&path)).await;
    server.record(&payment("later")).await.ok();
}
