//! The four operations: what is sent, and that whatever comes back is kept.

use layer_payments_client::types::{self, IdempotencyOutcome, Operation};
use layer_payments_client::{Client, Error, Unchecked};
use serde_json::{Value, json};
use uuid::Uuid;
use wiremock::matchers::{any, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::support::{
    BUSINESS, PAYMENT, PAYMENTS_PATH, TOKEN, changes, client, create, envelope, payment,
};

/// A server that answers everything with this reply.
async fn server(status: u16, body: &Value) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(status).set_body_json(body))
        .mount(&server)
        .await;
    server
}

/// The one request that the server got.
async fn request(server: &MockServer) -> Request {
    let mut requests = server
        .received_requests()
        .await
        .expect("requests are recorded");
    assert_eq!(requests.len(), 1, "{requests:?}");
    requests.remove(0)
}

/// Calls the operation with the shared payloads.
async fn call(client: &Client, operation: Operation) -> Result<(), Error> {
    let payment = create("payment-1").0;
    match operation {
        Operation::ListInvoicePayments => client.list().send().await.map(drop),
        Operation::RecordInvoicePayment => client.record(Unchecked(&payment)).await.map(drop),
        Operation::BulkCreateInvoicePayments => client.bulk(Unchecked(&[payment])).await.map(drop),
        Operation::UpdateInvoicePayment => client
            .update(PAYMENT, Unchecked(&changes().0))
            .await
            .map(drop),
    }
}

#[tokio::test]
async fn every_operation_has_a_method_that_calls_it() {
    for operation in Operation::ALL {
        let server = server(404, &envelope("There is no such business.")).await;
        let error = call(&client(&server.uri()), operation)
            .await
            .expect_err("a 404 is an error");
        let request = request(&server).await;

        let path = operation.path();
        let path = path
            .replace("{businessId}", &BUSINESS.to_string())
            .replace("{paymentId}", &PAYMENT.to_string());
        assert_eq!(request.url.path(), path, "{operation:?}");
        assert_eq!(request.method.as_str(), operation.method(), "{operation:?}");
        assert_eq!(error.operation(), Some(operation));
        assert!(error.to_string().starts_with(operation.id()), "{error}");
    }
}

#[tokio::test]
async fn each_call_carries_the_token_and_no_header_that_nobody_asked_for() {
    for operation in Operation::ALL {
        let server = server(200, &json!({"data": []})).await;
        let client = Client::builder()
            .base_url(server.uri())
            .token(TOKEN)
            .business_id(BUSINESS)
            .user_agent("billing/2.4")
            .build()
            .expect("the settings are right");
        // A bulk reply of no payments is no payment for a record, but the request is what counts
        // here.
        let _ = call(&client, operation).await;
        let request = request(&server).await;

        assert_eq!(request.headers["authorization"], format!("Bearer {TOKEN}"));
        let product = concat!(
            "billing/2.4 layer-payments-client/",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(request.headers["user-agent"], product);
        let mut names: Vec<&str> = request.headers.keys().map(|name| name.as_str()).collect();
        names.retain(|name| !["content-type", "content-length"].contains(name));
        names.sort_unstable();
        assert_eq!(
            names,
            ["accept", "authorization", "host", "user-agent"],
            "{operation:?}"
        );
    }
}

#[tokio::test]
async fn a_record_sends_the_payment_as_it_is_and_tells_new_from_known() {
    let reply = json!({"data": payment(PAYMENT, "payment-1"), "meta": {"idempotency": {"outcomes": ["created"]}}});
    let server = MockServer::start().await;
    let response = ResponseTemplate::new(201)
        .set_body_json(&reply)
        .insert_header("X-Request-Id", "req-1")
        .insert_header("X-RateLimit-Limit", "100")
        .insert_header("X-RateLimit-Remaining", "97")
        .insert_header("X-RateLimit-Reset", "1709000576");
    Mock::given(method("POST"))
        .and(path(PAYMENTS_PATH))
        .respond_with(response)
        .mount(&server)
        .await;

    let (payment, json) = create("payment-1");
    let recorded = client(&server.uri())
        .record(Unchecked(&payment))
        .await
        .expect("it's recorded");

    assert_eq!(
        request(&server).await.body_json::<Value>().expect("JSON"),
        json
    );
    assert_eq!(recorded.status(), 201);
    assert_eq!(recorded.request_id(), Some("req-1"));
    assert_eq!(recorded.headers().rate_limit(), Some(100));
    assert_eq!(recorded.headers().rate_limit_remaining(), Some(97));
    assert_eq!(recorded.headers().rate_limit_reset(), Some(1_709_000_576));
    assert_eq!(recorded.data.id, PAYMENT);
    assert_eq!(recorded.data.amount, 9000);
    let outcomes = recorded
        .meta
        .as_option()
        .and_then(|meta| meta.idempotency.as_option());
    assert_eq!(
        outcomes.expect("our server tells").outcomes.as_deref(),
        Some(&[IdempotencyOutcome::Created][..])
    );
    assert_eq!(
        serde_json::to_value(recorded.into_inner()).expect("JSON"),
        reply
    );
}

#[tokio::test]
async fn a_bulk_sends_an_array_and_keeps_the_order_of_the_reply() {
    let second = Uuid::from_u128(2);
    let reply = json!({"data": [payment(PAYMENT, "payment-1"), payment(second, "payment-2")]});
    let server = server(200, &reply).await;
    let (first, first_json) = create("payment-1");
    let (other, other_json) = create("payment-2");

    let recorded = client(&server.uri())
        .bulk(Unchecked(&[first, other]))
        .await
        .expect("they're recorded");

    let request = request(&server).await;
    assert_eq!(request.url.path(), format!("{PAYMENTS_PATH}/bulk"));
    assert_eq!(
        request.body_json::<Value>().expect("JSON"),
        json!([first_json, other_json])
    );
    assert_eq!(
        recorded
            .data
            .iter()
            .map(|payment| payment.id)
            .collect::<Vec<_>>(),
        [PAYMENT, second]
    );
}

#[cfg(feature = "validation")]
#[tokio::test]
async fn what_was_checked_is_sent_as_it_is() {
    use layer_payments_client::validation::{Context, Validated};

    let context = Context::at("2026-01-01T00:00:00Z".parse().expect("a time"));
    let (first, first_json) = create("payment-1");
    let (other, other_json) = create("payment-2");
    let (changes, changes_json) = changes();
    let reply = json!({"data": payment(PAYMENT, "payment-1")});

    let one = Validated::create(first.clone(), &context).expect("it's valid");
    let server_of_one = server(201, &reply).await;
    let recorded = client(&server_of_one.uri()).record(&one).await;
    assert_eq!(recorded.expect("it's recorded").status(), 201);
    let sent = request(&server_of_one).await.body_json::<Value>();
    assert_eq!(sent.expect("JSON"), first_json);

    // A list of several is sent from any form of list.
    let both = vec![first, other];
    let checked = Validated::bulk(both.clone(), &context).expect("they're valid");
    let server_of_many = server(200, &json!({"data": []})).await;
    let many = client(&server_of_many.uri());
    many.bulk(&checked).await.expect("they're recorded");
    many.bulk(Unchecked(&both)).await.expect("so are these");
    many.bulk(Unchecked(&both[..])).await.expect("and these");
    let requests = server_of_many.received_requests().await;
    let requests = requests.expect("requests are recorded");
    assert_eq!(requests.len(), 3);
    for request in requests {
        let sent = request.body_json::<Value>().expect("JSON");
        assert_eq!(sent, json!([first_json, other_json]));
    }

    let changes = Validated::update(changes, None, &context).expect("they're valid");
    let server_of_update = server(200, &reply).await;
    let updated = client(&server_of_update.uri())
        .update(PAYMENT, &changes)
        .await;
    updated.expect("it's updated");
    let sent = request(&server_of_update).await.body_json::<Value>();
    assert_eq!(sent.expect("JSON"), changes_json);
}

#[tokio::test]
async fn an_empty_bulk_is_refused_before_it_is_sent() {
    let server = server(200, &json!({"data": []})).await;
    let error = client(&server.uri())
        .bulk(Unchecked(&[]))
        .await
        .expect_err("there is nothing to record");
    assert!(error.is_argument() && !error.is_outcome_unknown());
    assert_eq!(
        error.to_string(),
        "bulk_create_invoice_payments: there are no payments to record; give at least one"
    );
    assert!(
        server
            .received_requests()
            .await
            .expect("requests are recorded")
            .is_empty()
    );
}

#[tokio::test]
async fn an_update_tells_absent_null_and_empty_apart() {
    let server = server(200, &json!({"data": payment(PAYMENT, "payment-1")})).await;
    let (changes, json) = changes();
    let updated = client(&server.uri())
        .update(PAYMENT, Unchecked(&changes))
        .await
        .expect("it's changed");

    let request = request(&server).await;
    assert_eq!(request.url.path(), format!("{PAYMENTS_PATH}/{PAYMENT}"));
    assert_eq!(request.body_json::<Value>().expect("JSON"), json);
    assert_eq!(
        updated.data.external_id.as_option().map(String::as_str),
        Some("payment-1")
    );
}

#[tokio::test]
async fn another_business_is_a_clone_away() {
    let server = server(200, &json!({"data": []})).await;
    let other = Uuid::from_u128(7);
    let client = client(&server.uri());
    client
        .with_business_id(other)
        .list()
        .send()
        .await
        .expect("a page");
    assert_eq!(
        request(&server).await.url.path(),
        format!("/v1/businesses/{other}/invoices/payments")
    );
    assert_eq!(client.business_id(), BUSINESS);
}

#[tokio::test]
async fn calls_can_be_spawned_and_clones_share_a_client() {
    let server = server(200, &json!({"data": payment(PAYMENT, "payment-1")})).await;
    let client = client(&server.uri());
    let calls = (0..8).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            let (payment, _) = create(&format!("payment-{number}"));
            client.record(Unchecked(&payment)).await
        })
    });
    for call in calls.collect::<Vec<_>>() {
        let reply: types::InvoicePaymentReply =
            call.await.expect("no panic").expect("a reply").into_inner();
        assert_eq!(reply.data.id, PAYMENT);
    }
    assert_eq!(
        server
            .received_requests()
            .await
            .expect("requests are recorded")
            .len(),
        8
    );
}
