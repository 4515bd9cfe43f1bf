//! Everything that isn't a success comes in the same envelope.

use std::time::Duration;

use reqwest::header::{ALLOW, CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::engine::fresh;
use crate::harness::{BUSINESS, INVOICE, TOKEN, TestServer, config, payment, send, with};

fn raw(server: &TestServer, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
    server
        .request(Method::POST, "")
        .header(CONTENT_TYPE, "application/json")
        .body(body)
}

#[tokio::test]
async fn requests_without_the_token_are_refused() {
    let server = TestServer::fresh().await;
    let url = server.payments_url();
    for (authorization, challenge) in [
        (None, "Bearer"),
        (Some("Basic dGVzdA=="), "Bearer"),
        (Some("Bearer"), "Bearer"),
        (Some("Bearer test-toke"), "Bearer error=\"invalid_token\""),
        (Some("Bearer test-token2"), "Bearer error=\"invalid_token\""),
    ] {
        for request in [
            server.client.get(&url),
            server.client.post(&url).json(&payment("p")),
            server
                .client
                .patch(format!("{url}/{INVOICE}"))
                .json(&json!({})),
        ] {
            let request = match authorization {
                Some(value) => request.header("authorization", value),
                None => request,
            };
            let reply = send(request).await;
            reply.faults(401);
            assert_eq!(reply.headers[WWW_AUTHENTICATE], challenge);
            assert!(!reply.body.to_string().contains("test-toke"), "{reply:?}");
        }
    }
    let twice = server
        .client
        .get(&url)
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("authorization", format!("Bearer {TOKEN}"));
    send(twice).await.faults(401);
    // The scheme's case doesn't matter.
    let lower = server
        .client
        .get(&url)
        .header("authorization", format!("bearer {TOKEN}"));
    send(lower).await.ok();
    assert_eq!(server.listed("").await.len(), 0);
}

#[tokio::test]
async fn unknown_routes_and_wrong_methods() {
    let server = TestServer::fresh().await;
    for path in [
        "/",
        "/v1",
        "/v1/businesses",
        "/v2/x?y=z",
        "/v1/businesses/x/invoices/payments/",
    ] {
        let reply = send(
            server
                .client
                .get(format!("{}{path}", server.base))
                .bearer_auth(TOKEN),
        )
        .await;
        assert_eq!(reply.faults(404)[0].1, "route-unknown", "{path}");
    }
    for (method, below, allowed) in [
        (Method::DELETE, "", "GET,HEAD,POST"),
        (Method::PUT, "", "GET,HEAD,POST"),
        (Method::OPTIONS, "", "GET,HEAD,POST"),
        (Method::GET, "/bulk", "POST"),
        (Method::GET, &format!("/{INVOICE}"), "PATCH"),
    ] {
        let reply = send(server.request(method, below)).await;
        assert_eq!(reply.faults(405)[0].1, "method-not-allowed");
        assert_eq!(reply.headers[ALLOW], allowed, "{below}");
    }
}

#[tokio::test]
async fn malformed_ids_in_the_path() {
    let server = TestServer::fresh().await;
    for bad in [
        "x",
        "738ec216e8e548f2b7f2cdc89c96b3d4",
        "738ec216-e8e5-48f2-b7f2-cdc89c96b3dz",
        "%FF",
    ] {
        let url = format!("{}/v1/businesses/{bad}/invoices/payments", server.base);
        let reply = send(server.client.get(url).bearer_auth(TOKEN)).await;
        assert_eq!(reply.faults(400)[0].1, "path-malformed", "{bad}");
    }
    let reply = server.update("x", &json!({})).await;
    assert_eq!(reply.faults(400)[0].1, "path-malformed");
    let text = reply.body["errors"][0]["description"].as_str().unwrap();
    assert!(text.contains("paymentId"), "{text}");
    // Letters of either case.
    let upper = server
        .payments_url()
        .replace(BUSINESS, &BUSINESS.to_uppercase());
    send(server.client.get(upper).bearer_auth(TOKEN)).await.ok();
}

#[tokio::test]
async fn bodies_that_are_not_json() {
    let server = TestServer::fresh().await;
    for (body, part) in [
        (&b""[..], "is empty"),
        (b"  \n", "is empty"),
        (b"{", "line 1 column 1"),
        (b"nope", "line 1 column 2"),
        (b"{\"amount\": 1} trailing", "line 1 column 15"),
        (b"{\n\"external_id\": \"\xff\"}", "UTF-8"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
    ] {
        let reply = send(raw(&server, body)).await;
        assert_eq!(
            reply.faults(400),
            [(String::new(), "json-malformed".to_owned())],
            "{}",
            String::from_utf8_lossy(body)
        );
        let description = reply.body["errors"][0]["description"].as_str().unwrap();
        assert!(description.contains(part), "{description}");
    }
    for nested in ["[", "{\"metadata\":"] {
        let reply = send(raw(&server, nested.repeat(100_000))).await;
        assert_eq!(reply.faults(400)[0].1, "json-malformed");
    }
    let deep = format!(
        "{{\"paid_at\":\"2024-01-01T00:00:00Z\",\"method\":\"CASH\",\"amount\":1,\"invoice_payments\":[],\"metadata\":{}{}}}",
        "{\"a\":".repeat(5_000),
        "}".repeat(5_000)
    );
    assert_eq!(
        send(raw(&server, deep)).await.faults(400)[0].1,
        "json-malformed"
    );
}

#[tokio::test]
async fn media_types_other_than_json() {
    let server = TestServer::fresh().await;
    let body = payment("p").to_string();
    for content_type in [
        Some("text/plain"),
        Some("application/xml"),
        Some("application/json; charset=latin1"),
        Some("application/jsonp"),
        None,
    ] {
        let request = server.request(Method::POST, "").body(body.clone());
        let request = match content_type {
            Some(value) => request.header(CONTENT_TYPE, value),
            None => request,
        };
        let reply = send(request).await;
        assert_eq!(
            reply.faults(415)[0].1,
            "media-type-unsupported",
            "{content_type:?}"
        );
    }
    let compressed = raw(&server, body.clone()).header("content-encoding", "gzip");
    send(compressed).await.faults(415);
    for content_type in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=\"UTF-8\"",
    ] {
        let request = server
            .request(Method::POST, "")
            .header(CONTENT_TYPE, content_type)
            .body(body.clone());
        send(request).await.ok();
    }
}

#[tokio::test]
async fn bodies_that_are_too_large() {
    let server = TestServer::start(config(fresh()).body_limit(1_000)).await;
    let memo = |length: usize| {
        let empty = with(payment("p"), json!({"memo": ""})).to_string().len();
        with(payment("p"), json!({"memo": "x".repeat(length - empty)})).to_string()
    };
    assert_eq!(memo(1_000).len(), 1_000);
    send(raw(&server, memo(1_000))).await.ok();
    assert_eq!(
        send(raw(&server, memo(1_001))).await.faults(413)[0].1,
        "body-too-large"
    );
    // So large that the client is still sending when the answer is known.
    send(raw(&server, memo(20 << 20))).await.faults(413);
    // Without an announced length.
    let mut stream = TcpStream::connect(server.base.strip_prefix("http://").unwrap())
        .await
        .unwrap();
    let head = format!(
        "POST /v1/businesses/{BUSINESS}/invoices/payments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..3 {
        let chunk = "x".repeat(500);
        stream
            .write_all(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes())
            .await
            .unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("body-too-large"), "{answer}");
    assert_eq!(server.listed("").await.len(), 1);
}

#[tokio::test]
async fn bodies_that_find_no_room_are_refused_for_now() {
    let filled =
        |external_id: &str| with(payment(external_id), json!({"memo": "x".repeat(100_000)}));
    let server = TestServer::start(config(fresh()).bodies_limit(10_000)).await;
    let reply = server.record(&filled("p")).await;
    assert_eq!(reply.faults(503)[0].1, "no-room");
    assert_eq!(reply.headers["retry-after"], "1");
    // What is small finds room at any time.
    server.record(&payment("small")).await.ok();

    // What is answered makes room for the next.
    let server = TestServer::start(config(fresh()).bodies_limit(50_000)).await;
    for external_id in ["p1", "p2", "p3"] {
        server.record(&filled(external_id)).await.ok();
    }
    // And so does what is refused.
    for _ in 0..3 {
        let bad = with(filled("p4"), json!({"amount": -1}));
        server.record(&bad).await.faults(400);
    }
    server.record(&filled("p4")).await.ok();
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_not_to() {
    let server = TestServer::fresh().await;
    for (token, status) in [(TOKEN, 413), ("wrong", 401)] {
        let address = server.base.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /v1/businesses/{BUSINESS}/invoices/payments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: 20000000\r\nExpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_wrong_token_is_told_even_while_the_body_is_sent() {
    let server = TestServer::fresh().await;
    let request = server
        .client
        .post(server.payments_url())
        .bearer_auth("wrong")
        .header(CONTENT_TYPE, "application/json")
        .body("x".repeat(5 << 20));
    send(request).await.faults(401);
    // And so is a wrong address.
    let body = "x".repeat(5 << 20);
    let malformed = server.payments_url().replace("738ec216-", "");
    let url = format!("{malformed}/bulk");
    let request = server
        .client
        .post(url)
        .bearer_auth(TOKEN)
        .body(body.clone());
    send(request).await.faults(400);
    let unknown = server
        .client
        .post(format!("{}/none", server.base))
        .bearer_auth(TOKEN)
        .body(body);
    send(unknown).await.faults(404);
}

/// Checks one faulty body: where the fault is, its code, and a part of its description.
async fn fault(server: &TestServer, body: &str) -> (String, String, String) {
    let reply = send(raw(server, body.to_owned())).await;
    let faults = reply.faults(400);
    assert_eq!(faults.len(), 1, "{reply:#?}");
    let description = reply.body["errors"][0]["description"]
        .as_str()
        .unwrap()
        .to_owned();
    let (pointer, code) = faults[0].clone();
    (pointer, code, description)
}

#[tokio::test]
async fn wrong_bodies_are_told_with_place_and_remedy() {
    let server = TestServer::fresh().await;
    let fee = |fee: Value| with(payment("p"), json!({ "additional_fees": [fee] }));
    let allocation =
        |allocation: Value| with(payment("p"), json!({ "invoice_payments": [allocation] }));
    for (body, pointer, code, part) in [
        (json!([]), "", "type-mismatch", "must be an object"),
        (json!(7), "", "type-mismatch", "must be an object"),
        // By position, as serde would take them.
        (
            json!([
                "p",
                "2024-01-01T00:00:00Z",
                "CASH",
                9,
                null,
                null,
                null,
                null,
                null,
                [],
                null,
                null,
                null,
                null,
                null
            ]),
            "",
            "type-mismatch",
            "must be an object",
        ),
        (
            with(payment("p"), json!({"tags": [["k", "v", null, null]]})),
            "/tags/0",
            "type-mismatch",
            "an object",
        ),
        (
            with(
                payment("p"),
                json!({"redemption_account": ["StableName", "X"]}),
            ),
            "/redemption_account",
            "type-mismatch",
            "an object",
        ),
        (
            json!({"paid_at": "2024-01-01T00:00:00Z", "method": "CASH", "amount": 9}),
            "/invoice_payments",
            "property-missing",
            "`invoice_payments` is missing",
        ),
        (
            with(payment("p"), json!({"amount": "90"})),
            "/amount",
            "type-mismatch",
            "The value is the text \"90\"; it must be a whole number of cents",
        ),
        (
            with(payment("p"), json!({"amount": 90.5})),
            "/amount",
            "type-mismatch",
            "a whole number of cents",
        ),
        (
            with(payment("p"), json!({"amount": 9223372036854775808_u64})),
            "/amount",
            "integer-out-of-range",
            "fits into 64 bits",
        ),
        (
            with(payment("p"), json!({"amount": null})),
            "/amount",
            "type-mismatch",
            "null",
        ),
        (
            with(payment("p"), json!({"paid_at": "yesterday"})),
            "/paid_at",
            "timestamp-malformed",
            "RFC 3339",
        ),
        (
            with(payment("p"), json!({"paid_at": 5})),
            "/paid_at",
            "type-mismatch",
            "RFC 3339",
        ),
        (
            with(payment("p"), json!({"method": "cash"})),
            "/method",
            "value-unknown",
            "`CASH`",
        ),
        (
            with(payment("p"), json!({"memo": {}})),
            "/memo",
            "type-mismatch",
            "a text or null",
        ),
        (
            with(payment("p"), json!({"tags": {}})),
            "/tags",
            "type-mismatch",
            "a list",
        ),
        (
            with(payment("p"), json!({"metadata": []})),
            "/metadata",
            "type-mismatch",
            "an object",
        ),
        (
            with(payment("p"), json!({"ammount": 5})),
            "/ammount",
            "property-unknown",
            "`amount`",
        ),
        (
            with(payment("p"), json!({"a/b~c": 5})),
            "/a~1b~0c",
            "property-unknown",
            "There is no property",
        ),
        (
            with(payment("p"), json!({"tags": [{"key": "k"}]})),
            "/tags/0/value",
            "property-missing",
            "`value`",
        ),
        (
            fee(json!({"account": {"type": "StableName", "stable_name": "X"}, "fee_amount": "2"})),
            "/additional_fees/0/fee_amount",
            "type-mismatch",
            "a whole number",
        ),
        (
            fee(json!({"account": {"type": "Bogus"}, "fee_amount": 2})),
            "/additional_fees/0/account",
            "account-identifier-malformed",
            "`AccountId`",
        ),
        (
            fee(json!({"account": {"type": "AccountId", "id": "x"}, "fee_amount": 2})),
            "/additional_fees/0/account/id",
            "uuid-malformed",
            "a UUID",
        ),
        (
            fee(json!({"account": {"type": "StableName", "stable_name": 1}, "fee_amount": 2})),
            "/additional_fees/0/account/stable_name",
            "type-mismatch",
            "a text",
        ),
        (
            fee(json!({"account": {"type": "StableName"}, "fee_amount": 2})),
            "/additional_fees/0/account",
            "account-identifier-malformed",
            "`stable_name`",
        ),
        (
            fee(
                json!({"account": {"type": "StableName", "stable_name": "X", "name": "X"}, "fee_amount": 2}),
            ),
            "/additional_fees/0/account/name",
            "property-unknown",
            "\"name\"",
        ),
        (
            allocation(json!({"invoice_id": "x", "amount": 1})),
            "/invoice_payments/0/invoice_id",
            "uuid-malformed",
            "a UUID",
        ),
        (
            allocation(json!({"invoice_id": INVOICE, "amount": "1"})),
            "/invoice_payments/0/amount",
            "type-mismatch",
            "a whole number",
        ),
        (
            allocation(json!({"invoice_id": INVOICE})),
            "/invoice_payments/0/amount",
            "property-missing",
            "`amount`",
        ),
        (
            allocation(json!({"invoice": INVOICE, "amount": 1})),
            "/invoice_payments/0/invoice",
            "property-unknown",
            "`invoice_id`",
        ),
        (
            allocation(json!({"amount": 1})),
            "/invoice_payments/0",
            "allocation-target-missing",
            "`invoice_id`",
        ),
        (
            allocation(json!({"invoice_id": INVOICE, "amount": 1, "memmo": "x"})),
            "/invoice_payments/0/memmo",
            "property-unknown",
            "`memo`",
        ),
        (
            allocation(
                json!({"account": {"type": "StableName", "stable_name": "X"}, "invoice_id": INVOICE, "amount": 1}),
            ),
            "/invoice_payments/0",
            "allocation-target-ambiguous",
            "both",
        ),
        (
            allocation(json!({"account": {"type": "Bogus"}, "amount": 1})),
            "/invoice_payments/0/account",
            "account-identifier-malformed",
            "`AccountId`",
        ),
        (
            allocation(json!({"account": {"type": "AccountId", "id": 5}, "amount": 1})),
            "/invoice_payments/0/account/id",
            "type-mismatch",
            "a UUID",
        ),
        (
            allocation(json!("x")),
            "/invoice_payments/0",
            "type-mismatch",
            "an object",
        ),
        (
            with(payment(""), json!({})),
            "/external_id",
            "external-id-empty",
            "empty",
        ),
        (
            with(
                payment("p"),
                json!({"payment_clearing_account_identifier": {"type": "StableName", "stable_name": ""}}),
            ),
            "/payment_clearing_account_identifier/stable_name",
            "stable-name-empty",
            "empty",
        ),
    ] {
        let (found_pointer, found_code, description) = fault(&server, &body.to_string()).await;
        assert_eq!(
            (found_pointer.as_str(), found_code.as_str()),
            (pointer, code),
            "{body}\n{description}"
        );
        assert!(description.contains(part), "{body}: {description}");
    }
    assert_eq!(server.listed("").await.len(), 0);
}

#[tokio::test]
async fn faults_of_the_text_and_of_its_meaning_are_told_together() {
    let server = TestServer::fresh().await;
    let body = json!([
        {"external_id": "a", "paid_at": "2024-02-27", "method": "cash", "amount": "90", "invoice_payments": [{}]},
        with(payment("b"), json!({"amount": -1})),
        with(payment("c"), json!({"method": "REDEEMED_PREPAYMENT"})),
        "d",
        with(payment("b"), json!({})),
    ]);
    let expected = [
        ("/0/amount", "type-mismatch"),
        ("/0/invoice_payments/0/amount", "property-missing"),
        ("/0/method", "value-unknown"),
        ("/0/paid_at", "timestamp-malformed"),
        ("/1/amount", "amount-negative"),
        ("/3", "type-mismatch"),
        ("/4/external_id", "duplicate-external-id"),
    ];
    // The older spelling of a method is no more than a warning.
    assert_eq!(
        server.bulk(&body).await.faults(400),
        expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned()))
    );
    assert_eq!(server.listed("").await.len(), 0);
}

#[tokio::test]
async fn a_property_that_stands_twice_is_refused_wherever_it_is() {
    let server = TestServer::fresh().await;
    let whole = |inner: &str| {
        format!("{{\"paid_at\":\"2024-01-01T00:00:00Z\",\"method\":\"CASH\",\"amount\":9,{inner}}}")
    };
    for (inner, pointer) in [
        ("\"invoice_payments\":[],\"amount\":9", "/amount"),
        ("\"invoice_payments\":[],\"am\\u006funt\":9", "/amount"),
        (
            "\"invoice_payments\":[{\"invoice_external_id\":\"i\",\"amount\":1,\"amount\":2}]",
            "/invoice_payments/0/amount",
        ),
        (
            "\"invoice_payments\":[],\"metadata\":{\"a\":[0,{\"b/c\":1,\"b/c\":1}]}",
            "/metadata/a/1/b~1c",
        ),
        (
            "\"invoice_payments\":[],\"tags\":[{\"key\":\"k\",\"value\":\"v\",\"value\":\"w\"}]",
            "/tags/0/value",
        ),
    ] {
        let (found, code, _) = fault(&server, &whole(inner)).await;
        assert_eq!(
            (found.as_str(), code.as_str()),
            (pointer, "duplicate-key"),
            "{inner}"
        );
    }
    let many: Vec<String> = (0..100)
        .map(|index| format!("\"k{}\":1", index % 99))
        .collect();
    let inner = format!(
        "\"invoice_payments\":[],\"metadata\":{{{}}}",
        many.join(",")
    );
    assert_eq!(fault(&server, &whole(&inner)).await.0, "/metadata/k0");
}

#[tokio::test]
async fn long_values_are_shortened_in_errors() {
    let server = TestServer::fresh().await;
    let long = "x".repeat(100_000);
    for body in [
        with(payment("p"), json!({ "amount": long })),
        with(payment("p"), json!({ "method": long })),
        with(payment("p"), json!({ long.as_str(): 1 })),
    ] {
        let reply = send(raw(&server, body.to_string())).await;
        reply.faults(400);
        assert!(reply.body.to_string().len() < 2_000);
    }
    let twice = json!([payment(&long), payment(&long)]);
    let reply = server.bulk(&twice).await;
    reply.faults(400);
    assert!(reply.body.to_string().len() < 2_000);
    let reply = server.list(&format!("?{}=1", "y".repeat(10_000))).await;
    reply.faults(400);
    assert!(reply.body.to_string().len() < 2_000);
}

#[tokio::test]
async fn a_great_many_faults_are_told_up_to_a_number() {
    let server = TestServer::fresh().await;
    let tags = vec![json!({"key": "", "value": "v"}); 1_234];
    let reply = server
        .record(&with(payment("p"), json!({ "tags": tags })))
        .await;
    let faults = reply.faults(400);
    assert_eq!(faults.len(), 101);
    assert_eq!(
        faults[99],
        ("/tags/99/key".to_owned(), "tag-empty".to_owned())
    );
    assert_eq!(faults[100].1, "more-faults");
    let text = reply.body["errors"][100]["description"].as_str().unwrap();
    assert!(text.starts_with("1134 more"), "{text}");
    let reply = server.list(&format!("?{}", "x&".repeat(15_000))).await;
    assert_eq!(reply.faults(400).len(), 101);
    let length = reply.body.to_string().len();
    assert!(length < 64 << 10, "{length} bytes");
}

#[tokio::test]
async fn every_reply_has_a_request_id_of_its_own() {
    let server = TestServer::fresh().await;
    let id = |reply: &crate::harness::Reply| reply.headers["x-request-id"].clone();
    let sent = server
        .request(Method::GET, "")
        .header("x-request-id", "mine");
    let (a, b) = (send(sent).await, server.list("?limit=0").await);
    assert_ne!(id(&a), "mine");
    assert_ne!(id(&a), id(&b));
}

#[tokio::test]
async fn head_is_answered_without_a_body() {
    let server = TestServer::fresh().await;
    let response = server.request(Method::HEAD, "").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.bytes().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_broken_connection_leaves_the_server_well() {
    let server = TestServer::fresh().await;
    let address = server.base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/businesses/{BUSINESS}/invoices/payments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{\"amount\":"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(stream);
    server.record(&payment("p")).await.ok();
    assert_eq!(server.listed("").await, ["p"]);
}
