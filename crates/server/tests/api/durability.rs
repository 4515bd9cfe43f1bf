//! What was acknowledged stays.

use layer_payments_server::Server;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::engine::{Place, fresh};
use crate::harness::{BUSINESS, TOKEN, TestServer, config, payment, with};

#[tokio::test]
async fn a_database_keeps_everything() {
    let place = Place::new();
    let server = TestServer::at(&place).await;
    let rich = with(
        payment("p1"),
        json!({
            "metadata": {"a": 1},
            "tags": [{"key": "k", "value": "v", "value_display_name": "V"}],
            "invoice_payments": [{"invoice_external_id": "invoice-1", "amount": 5}],
            "additional_fees": [{"account": {"type": "StableName", "stable_name": "BANK_FEES"}, "fee_amount": 2}],
            "dedicated_refunds": [{"external_id": "r", "line_items": [{"amount": 1}]}],
        }),
    );
    let first = server.record(&rich).await.ok();
    let page = server
        .bulk(&json!([payment("p2"), payment("p3")]))
        .await
        .ok();
    let cursor = server.list("?limit=1").await.ok().body["meta"]["pagination"]["cursor"].clone();
    server.stop().await;

    let server = TestServer::at(&place).await;
    assert_eq!(server.listed("").await, ["p1", "p2", "p3"]);
    // Every part was kept: the same request changes nothing, and names mean what they meant.
    let again = server.record(&rich).await;
    assert_eq!(again.outcomes(), json!(["unchanged"]));
    assert_eq!(again.payment(), first.payment());
    // A cursor outlives the server, too.
    let next = server
        .list(&format!("?cursor={}", cursor.as_str().unwrap()))
        .await
        .ok();
    assert_eq!(next.body["data"], page.body["data"]);
    server.stop().await;
}

#[tokio::test]
async fn two_servers_on_one_database_share_it() {
    let place = Place::new();
    let (a, b) = (TestServer::at(&place).await, TestServer::at(&place).await);
    let tagged = |external_id: &str| {
        with(
            payment(external_id),
            json!({
                "method": "CREDIT_BALANCE",
                "tags": [{"key": "k", "value": external_id}],
                "redemption_account": {"type": "StableName", "stable_name": "UNEARNED_REVENUE"},
            }),
        )
    };
    let mut accounts = Vec::new();
    for round in 0..10 {
        let (x, y) = (format!("x{round}"), format!("y{round}"));
        let (x, y) = (tagged(&x), tagged(&y));
        let (first, second) = tokio::join!(a.record(&x), b.record(&y));
        for reply in [first.ok(), second.ok()] {
            accounts.push(reply.payment()["prepayment_account"].clone());
        }
        // What one created the other finds.
        assert_eq!(b.record(&x).await.outcomes(), json!(["unchanged"]));
        assert_eq!(a.record(&y).await.outcomes(), json!(["unchanged"]));
    }
    assert!(accounts.iter().all(|account| account == &accounts[0]));
    assert_eq!(a.listed("").await.len(), 20);
}

#[tokio::test]
async fn stopping_finishes_what_was_taken() {
    let place = Place::new();
    let server = TestServer::at(&place).await;
    let address = server.base.strip_prefix("http://").unwrap().to_owned();
    let body = payment("slow").to_string();
    let (half, rest) = body.split_at(body.len() / 2);
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /v1/businesses/{BUSINESS}/invoices/payments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{half}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server has the first half once it answers something that was sent later.
    server.list("").await.ok();
    let stopping = tokio::spawn(server.stop());
    // It takes no further connection, and still finishes this one.
    while TcpStream::connect(&address).await.is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    stream.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    stopping.await.unwrap();
    let server = TestServer::at(&place).await;
    assert_eq!(server.listed("").await, ["slow"]);
}

#[tokio::test]
async fn an_address_in_use_is_told() {
    let server = TestServer::fresh().await;
    let address = server.base.strip_prefix("http://").unwrap();
    let error = Server::bind(config(fresh()), address.parse().unwrap())
        .await
        .unwrap_err();
    assert!(error.to_string().contains(address), "{error}");
}

#[tokio::test]
async fn many_writers_and_readers_at_once() {
    let place = Place::new();
    let server = TestServer::at(&place).await;
    let writes = (0..200).map(|index| {
        let request = payment(&format!("p{index:03}"));
        let server = &server;
        async move { server.record(&request).await.status.as_u16() }
    });
    let reads = (0..50).map(|_| async {
        let page: Value = server
            .list("?limit=1000&show_total_count=true")
            .await
            .ok()
            .body;
        // A page and its count are of one moment.
        assert_eq!(
            page["data"].as_array().unwrap().len(),
            page["meta"]["pagination"]["total_count"]
        );
    });
    let (statuses, _) = tokio::join!(
        futures_util::future::join_all(writes),
        futures_util::future::join_all(reads)
    );
    assert!(statuses.iter().all(|status| *status == 201));
    assert_eq!(server.listed("?limit=1000").await.len(), 200);
}
