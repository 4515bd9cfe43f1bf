//! Failures: whatever goes wrong, the error says what and keeps what came back.

use std::error::Error as _;
use std::fmt::Debug;
use std::time::Duration;

use layer_payments_client::types::Operation;
use layer_payments_client::{Client, Error, MAX_KEPT_BODY_BYTES, Unchecked};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{
    PAYMENT, TOKEN, Then, changes, client, closed_port, create, envelope, hasty_client, payment,
    raw_server,
};

/// Waits for a call that fails, within a time that no test needs unless the client waits for ever.
async fn failure<T: Debug>(call: impl Future<Output = Result<T, Error>>) -> Error {
    let ended = tokio::time::timeout(Duration::from_secs(20), call).await;
    let result = ended.expect("the call ends");
    checked(result.expect_err("the call fails"))
}

/// Records a payment, which fails.
async fn record(client: &Client) -> Error {
    failure(client.record(Unchecked(&create("payment-1").0))).await
}

/// Lists payments, which fails.
async fn list(client: &Client) -> Error {
    failure(client.list().send()).await
}

/// What holds for every error: one line, and no token in whatever can be printed of it.
fn checked(error: Error) -> Error {
    let line = error.to_string();
    assert!(
        !line.chars().any(char::is_control),
        "more than a line: {line:?}"
    );
    assert!(line.chars().count() < 2_000, "{line}");
    let mut shown = format!("{line} {error:?} {error:#?}");
    let mut cause = error.source();
    while let Some(source) = cause {
        shown.push_str(&format!("{source} {source:?}"));
        cause = source.source();
    }
    shown.push_str(error.body().unwrap_or_default());
    assert!(!shown.contains(TOKEN), "{shown}");
    assert!(!shown.to_lowercase().contains("bearer"), "{shown}");
    error
}

/// A client of a server that answers everything so.
async fn answering(response: ResponseTemplate) -> (Client, MockServer) {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(response)
        .mount(&server)
        .await;
    (client(&server.uri()), server)
}

#[tokio::test]
async fn layers_errors_are_kept_with_status_and_headers() {
    let body = json!({
        "errors": [
            {
                "type": "Validation",
                "description": "The allocations add up to 100 cents,\nwhich is more than 90.",
                "error_enum": "SpecifiedBadRequest",
                "meta": {"pointer": "/invoice_payments", "code": "allocations-exceed-amount", "rule": 7},
                "severity": "high",
            },
            {"type": "Validation", "description": "The processor isn't allowed with CASH."},
        ],
        "meta": {"request_id": "req-in-the-body"},
    });
    let response = ResponseTemplate::new(400)
        .set_body_json(&body)
        .insert_header("X-Trace", "abc");
    let (client, _server) = answering(response).await;
    let error = record(&client).await;

    assert_eq!(error.status(), Some(400));
    assert!(error.is_bad_request() && !error.is_server_error() && !error.is_decode());
    assert_eq!(error.operation(), Some(Operation::RecordInvoicePayment));
    assert_eq!(error.request_id(), Some("req-in-the-body"));
    let headers = error.headers().expect("there was a reply");
    assert_eq!(headers.get("X-TRACE"), Some("abc"));
    assert!(
        headers
            .iter()
            .any(|(name, value)| (name, value) == ("x-trace", "abc"))
    );
    assert_eq!(
        serde_json::from_str::<Value>(error.body().expect("a body")).expect("JSON"),
        body
    );
    assert_eq!(
        serde_json::to_value(error.errors()).expect("JSON"),
        body["errors"],
        "each fault is kept whole"
    );
    assert!(
        !error.is_outcome_unknown(),
        "what was refused wasn't written"
    );
    assert_eq!(
        error.to_string(),
        "record_invoice_payment: HTTP 400 Bad Request: The allocations add up to 100 cents, which is more than 90. \
         (at /invoice_payments); The processor isn't allowed with CASH. [request req-in-the-body]"
    );
}

#[tokio::test]
async fn statuses_have_predicates() {
    type Predicate = fn(&Error) -> bool;
    let cases: [(u16, Predicate); 5] = [
        (400, Error::is_bad_request),
        (401, Error::is_unauthorized),
        (404, Error::is_not_found),
        (429, Error::is_rate_limited),
        (503, Error::is_server_error),
    ];
    for (status, holds) in cases {
        let (client, _server) =
            answering(ResponseTemplate::new(status).set_body_json(envelope("No."))).await;
        let error = list(&client).await;
        assert_eq!(error.status(), Some(status));
        let held: Vec<bool> = cases
            .iter()
            .map(|(_, predicate)| predicate(&error))
            .collect();
        assert_eq!(held.iter().filter(|held| **held).count(), 1, "{status}");
        assert!(holds(&error), "{status}");
        assert!(
            !error.is_timeout()
                && !error.is_connect()
                && !error.is_argument()
                && !error.is_setting()
        );
    }
}

#[tokio::test]
async fn a_status_tells_whether_a_write_may_have_taken_place() {
    let known = [301, 303, 400, 401, 403, 404, 409, 413, 415, 422, 429];
    let unknown = [200, 203, 206, 408, 500, 502, 503, 504, 599];
    let statuses = known.map(|status| (status, false));
    for (status, is_unknown) in statuses
        .into_iter()
        .chain(unknown.map(|status| (status, true)))
    {
        let (client, _server) = answering(ResponseTemplate::new(status)).await;
        let writes = [
            record(&client).await,
            failure(client.bulk(Unchecked(&[create("payment-1").0]))).await,
            failure(client.update(PAYMENT, Unchecked(&changes().0))).await,
        ];
        for error in writes {
            assert_eq!(error.status(), Some(status));
            assert_eq!(error.is_outcome_unknown(), is_unknown, "{error}");
            let says_so = error
                .to_string()
                .contains("whether the write took place is unknown");
            assert_eq!(says_so, is_unknown, "{error}");
        }
        assert!(
            !list(&client).await.is_outcome_unknown(),
            "a list writes nothing"
        );
    }
}

#[tokio::test]
async fn a_rate_limit_tells_how_long_to_wait() {
    let response = ResponseTemplate::new(429)
        .set_body_json(envelope("Slow down."))
        .insert_header("Retry-After", "3")
        .insert_header("X-RateLimit-Remaining", "0")
        .insert_header("X-Request-Id", "req-9");
    let (client, _server) = answering(response).await;
    let error = record(&client).await;
    assert!(error.is_rate_limited() && !error.is_outcome_unknown());
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
    assert_eq!(
        error
            .headers()
            .and_then(|headers| headers.rate_limit_remaining()),
        Some(0)
    );
    assert_eq!(
        error.to_string(),
        "record_invoice_payment: HTTP 429 Too Many Requests: Slow down. [request req-9]"
    );
}

#[tokio::test]
async fn a_proxys_page_keeps_its_status_and_its_text() {
    // 500 is a status that the API describes, 502 and 520 are not: both must come out the same.
    for status in [500, 502, 520] {
        let page = "<html>\r\n<head><title>Bad Gateway</title></head>\n\n</html>";
        let response = ResponseTemplate::new(status).set_body_raw(page, "text/html");
        let (client, server) = answering(response).await;
        let error = record(&client).await;
        let requests = server.received_requests().await;
        assert_eq!(
            requests.expect("requests are recorded").len(),
            1,
            "it isn't repeated"
        );
        assert_eq!(error.status(), Some(status));
        assert_eq!(error.body(), Some(page));
        assert!(error.errors().is_empty() && error.is_server_error() && error.is_outcome_unknown());
        let line = error.to_string();
        assert!(
            line.starts_with(&format!("record_invoice_payment: HTTP {status}")),
            "{line}"
        );
        assert!(
            line.ends_with(
                " with the body (text/html) <html> <head><title>Bad Gateway</title></head> </html>; \
                 whether the write took place is unknown: list with the external_id \"payment-1\" to see, \
                 or send the same again, which the external_id makes safe"
            ),
            "{line}"
        );
    }
}

#[tokio::test]
async fn faults_of_every_generation_are_read() {
    let body = json!({
        "errors": [
            {"description": "No type."},
            {"type": "OnlyAType", "description": null},
            {"type": "Validation", "description": "Odd meta.", "meta": "not an object"},
            "Only a text.",
            17,
        ],
    });
    let (client, _server) = answering(ResponseTemplate::new(422).set_body_json(&body)).await;
    let error = record(&client).await;
    let faults: Vec<(&str, &str)> = error
        .errors()
        .iter()
        .map(|fault| (fault.type_.as_str(), fault.description.as_str()))
        .collect();
    assert_eq!(
        faults,
        [
            ("", "No type."),
            ("OnlyAType", ""),
            ("Validation", "Odd meta."),
            ("", "Only a text.")
        ]
    );
    assert_eq!(
        error.to_string(),
        "record_invoice_payment: HTTP 422 Unprocessable Entity: No type.; OnlyAType; Odd meta.; and 1 more"
    );
}

#[tokio::test]
async fn an_empty_body_is_said_to_be_empty() {
    let (client, _server) = answering(ResponseTemplate::new(401)).await;
    let error = list(&client).await;
    assert_eq!((error.status(), error.body()), (Some(401), Some("")));
    assert_eq!(
        error.to_string(),
        "list_invoice_payments: HTTP 401 Unauthorized with an empty body"
    );
}

#[tokio::test]
async fn a_long_body_is_cut_but_its_faults_are_all_read() {
    let faults: Vec<Value> = (0..2_000)
        .map(|index| {
            let pointer = format!("/{index}/amount");
            json!({"type": "Validation", "description": "Größer als 0, bitte: ½", "meta": {"pointer": pointer}})
        })
        .collect();
    let body = json!({ "errors": faults }).to_string();
    assert!(body.len() > 2 * MAX_KEPT_BODY_BYTES);
    let (client, _server) =
        answering(ResponseTemplate::new(400).set_body_raw(body.clone(), "application/json")).await;
    let error = failure(client.bulk(Unchecked(&[create("payment-1").0]))).await;
    let kept = error.body().expect("a body");
    assert!(error.is_body_cut() && body.starts_with(kept));
    assert!(
        (MAX_KEPT_BODY_BYTES - 3..=MAX_KEPT_BODY_BYTES).contains(&kept.len()),
        "{}",
        kept.len()
    );
    assert_eq!(error.errors().len(), 2_000);
    assert!(
        error.to_string().ends_with("(at /2/amount); and 1997 more"),
        "{error}"
    );
}

#[tokio::test]
async fn a_success_that_cannot_be_read_keeps_its_status_and_body() {
    let mut no_id = payment(PAYMENT, "payment-1");
    no_id.as_object_mut().expect("an object").remove("id");
    let unreadable = [
        (200, "not JSON at all".to_owned(), "text/plain"),
        (
            201,
            "<html>Sign in to the guest network</html>".to_owned(),
            "text/html",
        ),
        (
            200,
            r#"{"data": {"id": "e67c216b-28f4"#.to_owned(),
            "application/json",
        ),
        (
            200,
            json!({ "data": no_id }).to_string(),
            "application/json",
        ),
        (
            202,
            json!({"data": payment(PAYMENT, "payment-1")}).to_string(),
            "application/json",
        ),
        (204, String::new(), "application/json"),
    ];
    for (status, body, kind) in unreadable {
        let (client, _server) =
            answering(ResponseTemplate::new(status).set_body_raw(body.clone(), kind)).await;
        let error = record(&client).await;
        assert!(error.is_decode(), "{error}");
        assert_eq!(
            (error.status(), error.body()),
            (Some(status), Some(body.as_str()))
        );
        assert!(
            error.is_outcome_unknown(),
            "the server may well have recorded it: {error}"
        );
        assert!(
            !list(&client).await.is_outcome_unknown(),
            "a list writes nothing"
        );
    }
}

#[tokio::test]
async fn the_cause_of_an_unreadable_success_is_its_source() {
    let (client, _server) =
        answering(ResponseTemplate::new(200).set_body_raw("[1", "application/json")).await;
    let error = list(&client).await;
    assert_eq!(
        error.to_string(),
        "list_invoice_payments: HTTP 200 OK, but the reply can't be read as this operation's \
         with the body (application/json) [1"
    );
    let source = error.source().expect("a cause").to_string();
    assert!(source.contains("line 1 column 2"), "{source}");
}

#[tokio::test]
async fn a_success_that_lists_errors_is_a_failure() {
    for body in [
        json!({"errors": [{"type": "Internal", "description": "The ledger is closed."}]}),
        json!({"data": payment(PAYMENT, "payment-1"), "errors": [{"type": "Internal", "description": "The ledger is closed."}]}),
    ] {
        let (client, _server) = answering(ResponseTemplate::new(200).set_body_json(&body)).await;
        let error = record(&client).await;
        assert_eq!(error.status(), Some(200));
        assert_eq!(error.errors()[0].description, "The ledger is closed.");
        assert!(error.is_outcome_unknown() && !error.is_decode());
        assert!(
            error
                .to_string()
                .contains("HTTP 200 OK: The ledger is closed."),
            "{error}"
        );
    }
    let fine = json!({"data": payment(PAYMENT, "payment-1"), "errors": []});
    let (client, _server) = answering(ResponseTemplate::new(200).set_body_json(&fine)).await;
    client
        .record(Unchecked(&create("payment-1").0))
        .await
        .expect("an empty list of errors is no error");
}

#[tokio::test]
async fn a_body_cut_short_keeps_its_status_and_what_arrived() {
    for (status, unknown) in [
        ("200 OK", true),
        ("500 Internal Server Error", true),
        ("400 Bad Request", false),
    ] {
        let head =
            format!("HTTP/1.1 {status}\r\nX-Request-Id: req-1\r\nContent-Length: 500\r\n\r\n");
        let url = raw_server(format!("{head}{{\"data\": {{\"id\""), Then::Close).await;
        let error = record(&client(&url)).await;
        assert_eq!(
            error
                .status()
                .map(|code| status.starts_with(&code.to_string())),
            Some(true)
        );
        assert_eq!(error.body(), Some("{\"data\": {\"id\""));
        assert_eq!(error.request_id(), Some("req-1"));
        assert_eq!(error.is_outcome_unknown(), unknown, "{error}");
        assert!(!error.is_timeout() && !error.is_connect() && !error.is_decode());
        assert!(
            error.to_string().contains("the reply was cut short"),
            "{error}"
        );
        assert!(error.source().is_some());
    }
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_reply_leaves_the_outcome_open() {
    let url = raw_server("", Then::Close).await;
    let error = record(&client(&url)).await;
    assert_eq!((error.status(), error.body()), (None, None));
    assert!(error.is_outcome_unknown() && !error.is_connect() && !error.is_timeout());
    assert_eq!(
        error.to_string(),
        "record_invoice_payment: the connection broke before there was a reply; whether the write took place is \
         unknown: list with the external_id \"payment-1\" to see, or send the same again, which the external_id makes safe"
    );
    assert!(error.source().is_some());
    let error = list(&client(&url)).await;
    assert!(!error.is_outcome_unknown());
    assert_eq!(
        error.to_string(),
        "list_invoice_payments: the connection broke before there was a reply"
    );
}

#[tokio::test]
async fn a_server_that_never_answers_is_a_timeout() {
    let url = raw_server("", Then::KeepOpen).await;
    let client = hasty_client(&url);
    let error = record(&client).await;
    assert!(error.is_timeout() && error.is_outcome_unknown() && !error.is_connect());
    assert_eq!(error.status(), None);
    assert!(
        error.to_string().starts_with(
            "record_invoice_payment: no complete reply within 200ms; whether the write took place is unknown: "
        ),
        "{error}"
    );
    let error = failure(client.update(PAYMENT, Unchecked(&changes().0))).await;
    assert!(error.is_timeout() && error.is_outcome_unknown());
    let error = failure(client.bulk(Unchecked(&[create("payment-1").0]))).await;
    assert!(error.is_timeout() && error.is_outcome_unknown());
    let error = list(&client).await;
    assert!(error.is_timeout() && !error.is_outcome_unknown());
}

#[tokio::test]
async fn a_body_that_stalls_is_a_timeout_that_keeps_the_status() {
    let url = raw_server(
        "HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n{\"data\":",
        Then::KeepOpen,
    )
    .await;
    let error = record(&hasty_client(&url)).await;
    assert!(error.is_timeout() && error.is_outcome_unknown());
    assert_eq!(
        (error.status(), error.body()),
        (Some(201), Some("{\"data\":"))
    );
    assert!(
        error
            .to_string()
            .starts_with("record_invoice_payment: HTTP 201 Created, but no complete reply within"),
        "{error}"
    );
}

#[tokio::test]
async fn what_could_not_connect_was_not_sent() {
    let url = closed_port().await;
    let error = record(&client(&url)).await;
    assert!(error.is_connect() && !error.is_timeout() && !error.is_outcome_unknown());
    assert_eq!(
        error.to_string(),
        format!("record_invoice_payment: can't connect to {url}; nothing was sent")
    );
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(source) = cause {
        causes.push(source.to_string());
        cause = source.source();
    }
    assert!(
        causes.iter().any(|cause| cause.contains("refused")),
        "{causes:?}"
    );
}

#[cfg(feature = "rustls")]
#[tokio::test]
async fn connecting_has_a_limit_of_its_own() {
    // The socket takes the connection but never answers the TLS greeting.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    let client = crate::support::builder()
        .base_url(&url)
        .connect_timeout(Duration::from_millis(150))
        .build()
        .expect("right settings");
    let error = record(&client).await;
    assert!(error.is_connect() && error.is_timeout() && !error.is_outcome_unknown());
    assert_eq!(
        error.to_string(),
        format!("record_invoice_payment: can't connect to {url} within 150ms; nothing was sent")
    );
}

#[tokio::test]
async fn what_is_no_http_is_an_error() {
    let url = raw_server("SSH-2.0-OpenSSH_9.6\r\n", Then::Close).await;
    let error = record(&client(&url)).await;
    assert!(error.is_outcome_unknown() && error.status().is_none());
    assert!(error.source().is_some());
}

#[tokio::test]
async fn a_redirect_is_reported_and_not_followed() {
    let elsewhere = MockServer::start().await;
    let response = ResponseTemplate::new(307).insert_header("Location", elsewhere.uri());
    let (client, _server) = answering(response).await;
    let error = record(&client).await;
    assert_eq!(error.status(), Some(307));
    assert_eq!(
        error.headers().and_then(|headers| headers.get("location")),
        Some(elsewhere.uri().as_str())
    );
    assert!(!error.is_outcome_unknown());
    assert!(
        elsewhere
            .received_requests()
            .await
            .expect("requests are recorded")
            .is_empty(),
        "the token stays here"
    );
}

#[tokio::test]
async fn a_page_that_echoes_the_request_does_not_leak_the_token() {
    let echo = format!("POST /v1\nAuthorization: Bearer {TOKEN}\n");
    let response = ResponseTemplate::new(502)
        .set_body_raw(echo.replace("Bearer ", ""), "text/plain")
        .insert_header("X-Echo", format!("auth={TOKEN}"))
        .insert_header("Set-Cookie", "session=secret");
    let (client, _server) = answering(response).await;
    let error = record(&client).await;
    assert_eq!(error.body(), Some("POST /v1\nAuthorization: [redacted]\n"));
    let headers = error.headers().expect("there was a reply");
    assert_eq!(
        (headers.get("x-echo"), headers.get("set-cookie")),
        (None, None)
    );

    let body = envelope(&format!("Unknown token {TOKEN}."));
    let (client, _server) = answering(ResponseTemplate::new(401).set_body_json(&body)).await;
    let error = list(&client).await;
    assert_eq!(error.errors()[0].description, "Unknown token [redacted].");
}

#[tokio::test]
async fn what_is_not_unicode_is_replaced_and_not_lost() {
    let url = raw_server(
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 6\r\n\r\nno\xff\xfe!!",
        Then::Close,
    )
    .await;
    let error = record(&client(&url)).await;
    assert_eq!(error.body(), Some("no\u{fffd}\u{fffd}!!"));
}

#[tokio::test]
async fn a_reply_without_an_end_is_given_up() {
    // 65 MiB, which is more than any page of payments, of JSON that never closes.
    let mut reply = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[".to_vec();
    reply.resize(reply.len() + 65 * 1024 * 1024, b' ');
    let url = raw_server(reply, Then::KeepOpen).await;
    let error = record(&client(&url)).await;
    assert_eq!(error.status(), Some(200));
    assert!(error.is_decode() && error.is_outcome_unknown() && error.is_body_cut());
    assert!(
        error
            .to_string()
            .contains("but the reply is longer than 67108864 bytes"),
        "{error}"
    );
}

#[test]
fn errors_and_futures_can_cross_threads() {
    fn crosses<T: Send + 'static>(_: &T) {}
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Client>();
    is_shared::<Error>();
    let client = client("http://localhost");
    crosses(&client.list().stream());
    crosses(&client.list().send());
}
