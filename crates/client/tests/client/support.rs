//! Servers, clients and payloads that the tests share.

use std::time::Duration;

use layer_payments_client::types::{CreateInvoicePayment, UpdateInvoicePayment};
use layer_payments_client::{Builder, Client, RetryPolicy};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

pub(crate) const TOKEN: &str = "tok_5ecret-0f-the-tests";
pub(crate) const BUSINESS: Uuid = Uuid::from_u128(0x738ec216_e8e5_48f2_b7f2_cdc89c96b3d4);
pub(crate) const PAYMENT: Uuid = Uuid::from_u128(0xe67c216b_28f4_4a0e_9a21_7f05c19e4c66);
pub(crate) const PAYMENTS_PATH: &str =
    "/v1/businesses/738ec216-e8e5-48f2-b7f2-cdc89c96b3d4/invoices/payments";

/// A builder with everything but the base URL. It repeats nothing: most tests are about one request.
pub(crate) fn builder() -> Builder {
    Client::builder()
        .token(TOKEN)
        .business_id(BUSINESS)
        .retry(RetryPolicy::never())
}

pub(crate) fn client(base_url: &str) -> Client {
    builder()
        .base_url(base_url)
        .build()
        .expect("the settings are right")
}

/// A client that gives up soon, for the tests that wait for it.
pub(crate) fn hasty_client(base_url: &str) -> Client {
    let client = builder()
        .base_url(base_url)
        .timeout(Duration::from_millis(200))
        .build();
    client.expect("the settings are right")
}

/// A payment to record, with something in each kind of property.
pub(crate) fn create(external_id: &str) -> (CreateInvoicePayment, Value) {
    let json = json!({
        "external_id": external_id,
        "paid_at": "2024-02-27T02:22:55.163005Z",
        "method": "CREDIT_CARD",
        "amount": 9000,
        "fee": 290,
        "processor": "STRIPE",
        "invoice_payments": [
            {"invoice_external_id": "invoice-1001", "amount": 8000},
            {"account": {"type": "StableName", "stable_name": "UNEARNED_REVENUE"}, "amount": 1000},
        ],
        "tags": [],
        "memo": "Zahlung für März, ½ \"bar\"",
        "metadata": {"order": ["A", 1, null]},
    });
    (
        serde_json::from_value(json.clone()).expect("a payment to record"),
        json,
    )
}

/// Changes with all three meanings: a value, null, and an emptied list.
pub(crate) fn changes() -> (UpdateInvoicePayment, Value) {
    let json = json!({"amount": 9500, "memo": null, "tags": []});
    (
        serde_json::from_value(json.clone()).expect("changes to a payment"),
        json,
    )
}

/// A payment as the API gives it back.
pub(crate) fn payment(id: Uuid, external_id: &str) -> Value {
    json!({
        "type": "Invoice_Payment",
        "id": id,
        "external_id": external_id,
        "at": "2024-02-27T02:22:55.163005Z",
        "method": "CREDIT_CARD",
        "fee": 290,
        "amount": 9000,
        "processor": "STRIPE",
        "imported_at": "2024-02-27T02:23:01.5Z",
        "allocations": [{"invoice_id": "3a9c378e-dc02-4700-9158-f629d632a83b", "amount": 9000}],
        "transaction_tags": [],
        "memo": null,
    })
}

/// Layer's error envelope with one fault.
pub(crate) fn envelope(description: &str) -> Value {
    json!({"errors": [{"type": "Validation", "description": description, "error_enum": "SpecifiedBadRequest"}]})
}

/// What a [`raw_server`] does after it has sent its bytes.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    Close,
    KeepOpen,
}

/// A server that reads each request whole and answers with exactly these bytes, well-formed or not.
pub(crate) async fn raw_server(reply: impl Into<Vec<u8>>, then: Then) -> String {
    let reply = reply.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            read_request(&mut stream).await;
            // A client that has seen enough may close the connection before it has read everything.
            let _ = stream.write_all(&reply).await;
            match then {
                Then::Close => drop(stream),
                Then::KeepOpen => open.push(stream),
            }
        }
    });
    format!("http://{address}")
}

/// Reads a request to the end of its body, so that closing the connection afterwards is no reset.
/// Gives its text.
pub(crate) async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end + 2]).into_owned();
            let lower = head.to_ascii_lowercase();
            let length = lower
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().expect("a length"));
            if bytes.len() >= end + 4 + length {
                break;
            }
        }
        let count = stream.read(&mut buffer).await.expect("the client writes");
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An address on this machine where nobody listens.
pub(crate) async fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    format!("http://{}", listener.local_addr().expect("an address"))
}
