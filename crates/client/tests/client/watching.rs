//! Watching: what the log and the observer are told of each call, and what they never are.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use layer_payments_client::types::{CreateInvoicePayment, Metadata, Operation};
use layer_payments_client::{
    Attempt, Builder, Client, ClientCredentials, Error, IssuedToken, Observer, RetryPolicy,
    Unchecked,
};
use serde_json::{Map, Value, json};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::support::{
    BUSINESS, PAYMENT, Then, changes, closed_port, create, envelope, payment, raw_server,
};

const ID: &str = "client-1";
const SECRET: &str = "tok_watched-5ecret-of-client-1";
/// Id and secret as HTTP Basic has them.
const BASIC: &str = "Y2xpZW50LTE6dG9rX3dhdGNoZWQtNWVjcmV0LW9mLWNsaWVudC0x";

/// The token that is given first, second, and so on.
fn nth_token(number: usize) -> String {
    format!("tok_watched-5ecret-number-{number}")
}

/// What no line may hold: tokens, secrets, and what [`watched`] sends.
const HIDDEN: [&str; 5] = [
    "5ecret",
    BASIC,
    "918273",
    "memo-of-the-request",
    "order-of-the-request",
];

/// What only the line of an error may hold, for whoever has to look into it: the external id, and
/// how a reply begins that can't be read.
const IN_ERRORS: [&str; 2] = ["payment-of-the-request", "-of-the-reply"];

/// A payment whose values are found in no other text.
fn watched() -> CreateInvoicePayment {
    let (mut payment, _) = create("payment-of-the-request");
    payment.amount = 918_273;
    payment.memo = Some("memo-of-the-request".to_owned());
    let metadata = Map::from_iter([("order-of-the-request".to_owned(), json!(1))]);
    payment.metadata = Some(Metadata(metadata));
    payment
}

/// What is written, line by line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes().clone()).expect("text")
    }

    fn events(&self) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().expect("JSON")
    }

    /// The events of this crate but those of the spans, less what each has in common: its level and
    /// its fields.
    fn own(&self) -> Vec<(String, Value)> {
        let events = self.events().into_iter();
        events
            .filter(|event| {
                event["target"]
                    .as_str()
                    .is_some_and(|target| target.starts_with("layer_payments"))
            })
            .filter(|event| {
                let message = event["fields"]["message"].as_str();
                !["new", "enter", "exit", "close"]
                    .map(Some)
                    .contains(&message)
            })
            .map(|mut event| {
                assert_eq!(
                    event["span"]["name"], "layer_payments",
                    "it's within the call's span"
                );
                let level = event["level"].as_str().expect("a level").to_owned();
                (level, event["fields"].take())
            })
            .collect()
    }

    /// The fields of the calls' spans as they were in the end.
    fn spans(&self) -> Vec<Value> {
        let events = self.events().into_iter();
        events
            .filter(|event| event["fields"]["message"] == "close")
            .map(|mut event| event["span"].take())
            .filter(|span| span["name"] == "layer_payments")
            .collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Lines;

    fn make_writer(&self) -> Lines {
        self.clone()
    }
}

/// Takes down all that this thread writes into the log, on every level, until the guard is dropped.
/// A test's client runs on the thread of the test, the servers don't.
fn watch() -> (Lines, tracing::subscriber::DefaultGuard) {
    // While there's only one subscriber, `tracing` asks the thread that comes by first whether an
    // event matters, and remembers a no of a thread that nobody watches. Everybody is watched, then.
    static EVERYBODY: std::sync::Once = std::sync::Once::new();
    EVERYBODY.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_writer(std::io::sink)
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("there was none");
    });
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_writer(lines.clone())
        .finish();
    (lines, tracing::subscriber::set_default(subscriber))
}

/// What the HTTP library writes by way of the crate `log`, of all tests of this process.
struct Logged(Mutex<Vec<String>>);

static LOGGED: Logged = Logged(Mutex::new(Vec::new()));

impl log::Log for Logged {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}", record.target(), record.args());
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    }

    fn flush(&self) {}
}

/// Takes down all that is logged from now on.
fn watch_log() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        log::set_logger(&LOGGED).expect("there's no other");
        log::set_max_level(log::LevelFilter::Trace);
    });
}

async fn server(answer: impl Respond + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

/// An API that gives these replies in turn, and then successes.
async fn api(replies: Vec<ResponseTemplate>) -> MockServer {
    let called = AtomicUsize::new(0);
    server(move |request: &Request| {
        let number = called.fetch_add(1, Ordering::Relaxed);
        if let Some(reply) = replies.get(number) {
            return reply.clone();
        }
        let mut payment = payment(PAYMENT, "payment-of-the-reply");
        payment["memo"] = "memo-of-the-reply".into();
        payment["amount"] = 918_273.into();
        let (status, data) = match request.method.as_str() {
            "GET" => (200, json!([payment])),
            "POST" if request.url.path().ends_with("/bulk") => (200, json!([payment])),
            "POST" => (201, payment),
            _ => (200, payment),
        };
        ResponseTemplate::new(status)
            .insert_header("X-Request-Id", format!("req-{}", number + 1))
            .set_body_json(json!({"data": data}))
    })
    .await
}

/// An authorization server that gives these replies in turn, and then tokens.
async fn authority(replies: Vec<ResponseTemplate>) -> MockServer {
    let asked = AtomicUsize::new(0);
    server(move |_: &Request| {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        replies.get(number).cloned().unwrap_or_else(|| {
            let token = nth_token(number + 1 - replies.len());
            ResponseTemplate::new(200)
                .set_body_json(json!({"access_token": token, "expires_in": 3600}))
        })
    })
    .await
}

/// A builder with credentials that makes up to three attempts and hardly waits.
fn builder(api: &str, authority: &str) -> Builder {
    let policy = RetryPolicy::new()
        .attempts(3)
        .base_delay(Duration::from_millis(1));
    Client::builder()
        .base_url(api)
        .business_id(BUSINESS)
        .credentials(ClientCredentials::new(ID, SECRET).token_url(format!("{authority}/token")))
        .retry(policy.max_retry_after(Duration::from_millis(20)))
}

fn client(api: &MockServer, authority: &MockServer) -> Client {
    let client = builder(&api.uri(), &authority.uri()).build();
    client.expect("the settings are right")
}

/// A page that repeats the token of its request, as some proxies do.
fn page_with(token: &str) -> ResponseTemplate {
    ResponseTemplate::new(503)
        .insert_header("Retry-After", "1")
        .insert_header("X-Echo", token)
        .set_body_raw(
            format!("<html>\nAuthorization: Bearer {token}</html>"),
            "text/html",
        )
}

fn refusal(status: u16, description: &str) -> ResponseTemplate {
    ResponseTemplate::new(status)
        .insert_header("X-Request-Id", "req-refused")
        .set_body_json(envelope(description))
}

/// Takes a number of milliseconds out, which is none that a test knows.
fn take_millis(value: &mut Value, name: &str) -> u64 {
    let taken = value.as_object_mut().and_then(|fields| fields.remove(name));
    taken
        .as_ref()
        .and_then(Value::as_u64)
        .expect("milliseconds")
}

#[tokio::test]
async fn each_call_has_a_span_and_each_attempt_an_event() {
    let (api, authority) = (api(Vec::new()).await, authority(Vec::new()).await);
    let client = client(&api, &authority);
    let (lines, _guard) = watch();
    let payments = [watched(), watched()];
    client.list().send().await.expect("it succeeds");
    client
        .record(Unchecked(&payments[0]))
        .await
        .expect("it succeeds");
    client
        .bulk(Unchecked(&payments))
        .await
        .expect("it succeeds");
    client
        .update(PAYMENT, Unchecked(&changes().0))
        .await
        .expect("it succeeds");

    let calls = [
        ("list_invoice_payments", 0, 200),
        ("record_invoice_payment", 1, 201),
        ("bulk_create_invoice_payments", 2, 200),
        ("update_invoice_payment", 0, 200),
    ];
    let (mut spans, mut events) = (lines.spans(), lines.own());
    assert_eq!((spans.len(), events.len()), (4, 4));
    let told = spans.iter_mut().zip(&mut events).zip(calls).enumerate();
    for (index, ((span, (level, event)), (operation, payments, status))) in told {
        let request_id = format!("req-{}", index + 1);
        let of_the_call = take_millis(span, "latency_ms");
        let of_the_attempt = take_millis(event, "latency_ms");
        assert!(of_the_attempt <= of_the_call);
        assert_eq!(
            *span,
            json!({
                "name": "layer_payments",
                "operation": operation,
                "business_id": BUSINESS,
                "payments": payments,
                "attempts": 1,
                "status": status,
                "request_id": request_id,
            })
        );
        assert_eq!(level, "DEBUG");
        assert_eq!(
            *event,
            json!({
                "message": "a request succeeded",
                "operation": operation,
                "attempt": 1,
                "status": status,
                "request_id": request_id,
            })
        );
    }
}

#[tokio::test]
async fn what_is_sent_again_is_a_warning_and_what_fails_for_good_is_none() {
    let replies = vec![
        refusal(401, "The token has expired."),
        page_with(&nth_token(2)),
        refusal(400, "The fee is too high."),
    ];
    let (api, authority) = (api(replies).await, authority(Vec::new()).await);
    let client = client(&api, &authority);
    let (lines, _guard) = watch();
    let failed = client.record(Unchecked(&watched())).await;
    let error = failed.expect_err("it fails in the end");

    let mut spans = lines.spans();
    let of_the_call = take_millis(&mut spans[0], "latency_ms");
    assert!(of_the_call >= 20, "the wait is part of it");
    assert_eq!(
        spans,
        [json!({
            "name": "layer_payments",
            "operation": "record_invoice_payment",
            "business_id": BUSINESS,
            "payments": 1,
            "attempts": 3,
            "status": 400,
            "request_id": "req-refused",
        })]
    );
    let events: Vec<_> = lines
        .own()
        .into_iter()
        .map(|(level, mut event)| {
            if level != "TRACE" {
                take_millis(&mut event, "latency_ms");
            }
            (level, event)
        })
        .collect();
    let [refused, page, last] = events.as_slice() else {
        panic!("{events:#?}");
    };
    let operation = "record_invoice_payment";
    assert_eq!(
        *refused,
        (
            "WARN".to_owned(),
            json!({
                "message": "a request failed and is sent again",
                "operation": operation,
                "attempt": 1,
                "status": 401,
                "request_id": "req-refused",
                "retry_in_ms": 0,
                "error": "record_invoice_payment: HTTP 401 Unauthorized: The token has expired. [request req-refused]",
            })
        )
    );
    let (level, mut page) = page.clone();
    let wait = take_millis(&mut page, "retry_in_ms");
    assert!((20..=21).contains(&wait), "{wait}");
    let said = page["error"].take();
    let said = said.as_str().expect("text");
    assert!(
        said.starts_with(
            "record_invoice_payment: HTTP 503 Service Unavailable with the body (text/html) \
             <html> Authorization: Bearer [redacted]</html> (after 2 attempts)"
        ),
        "{said}"
    );
    assert_eq!(level, "WARN");
    assert_eq!(
        page,
        json!({
            "message": "a request failed and is sent again",
            "operation": operation,
            "attempt": 2,
            "status": 503,
            "error": null,
        })
    );
    assert_eq!(
        *last,
        (
            "DEBUG".to_owned(),
            json!({
                "message": "a request failed",
                "operation": operation,
                "attempt": 3,
                "status": 400,
                "request_id": "req-refused",
                "error": error.to_string(),
            })
        )
    );
}

#[tokio::test]
async fn what_lies_below_an_error_is_in_the_log() {
    let client = crate::support::client(&closed_port().await);
    let (lines, _guard) = watch();
    let error = client.list().send().await.expect_err("nobody is there");
    assert!(error.is_connect());
    let events = lines.own();
    let causes = events[0].1["causes"].as_str().expect("text");
    assert!(causes.contains("refused"), "{causes}");
}

#[tokio::test]
async fn a_renewal_that_fails_is_a_warning_while_the_call_goes_on() {
    let api = api(Vec::new()).await;
    let asked = AtomicUsize::new(0);
    let builder = builder(&api.uri(), &api.uri()).token_source(move || {
        let number = asked.fetch_add(1, Ordering::Relaxed) + 1;
        async move {
            if number > 1 {
                return Err("the vault is sealed");
            }
            Ok(IssuedToken::new(nth_token(number)).expires_in(Duration::from_secs(3_600)))
        }
    });
    let client = builder.build().expect("right settings");
    client.list().send().await.expect("it succeeds");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3_400)).await;
    tokio::time::resume();
    let (lines, _guard) = watch();
    client.list().send().await.expect("the old token serves");
    let events = lines.own();
    assert_eq!(
        events[0],
        (
            "WARN".to_owned(),
            json!({
                "message": "the access token couldn't be renewed ahead of its end",
                "fault": "the vault is sealed",
            })
        )
    );
    assert_eq!((events[1].0.as_str(), events.len()), ("DEBUG", 2));
}

#[tokio::test]
async fn no_line_of_any_crate_holds_a_secret_or_what_a_payment_holds() {
    watch_log();
    let (lines, guard) = watch();
    let payments = [watched(), watched()];
    let echo = page_with(SECRET);
    let replies = vec![
        refusal(401, "The token has expired."),
        page_with(&nth_token(2)),
        ResponseTemplate::new(429).insert_header("X-Request-Id", nth_token(2)),
    ];
    let (api, authority) = (
        api(replies).await,
        authority(vec![echo.clone(), echo]).await,
    );
    let client = client(&api, &authority);
    // No token at first, then one that is refused, then a page, with which the attempts are used
    // up; then a limit and successes.
    let call = client.record(Unchecked(&payments[0])).await;
    assert!(call.expect_err("that is enough").is_server_error());
    client
        .record(Unchecked(&payments[0]))
        .await
        .expect("it succeeds");
    client
        .bulk(Unchecked(&payments))
        .await
        .expect("it succeeds");
    let (mut changes, _) = changes();
    changes.amount = 918_273.into();
    client
        .update(PAYMENT, Unchecked(&changes))
        .await
        .expect("it succeeds");
    let mut stream = client.list().stream();
    while let Some(payment) = stream.next().await {
        payment.expect("it succeeds");
    }
    // Replies that are cut, can't be read or don't come, tokens that can't be sent or had.
    let cut = "HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{\"data\": {\"memo\": \"memo-of-the-reply\"";
    let unreadable =
        "HTTP/1.1 201 Created\r\nContent-Length: 29\r\n\r\n{\"memo\": \"memo-of-the-reply\"}";
    for reply in [cut, unreadable, "", "SSH-2.0-OpenSSH_9.6\r\n"] {
        let url = raw_server(reply, Then::Close).await;
        let client = builder(&url, &authority.uri())
            .build()
            .expect("right settings");
        client
            .record(Unchecked(&payments[0]))
            .await
            .expect_err("it fails");
        let client = builder(&api.uri(), &url).build().expect("right settings");
        client.list().send().await.expect_err("it fails");
    }
    let builder = builder(&api.uri(), &api.uri());
    let unusable = builder.token_source(async || {
        Ok::<_, io::Error>(IssuedToken::new("tok_watched-5ecret with a blank"))
    });
    let unusable = unusable.build().expect("right settings");
    unusable.list().send().await.expect_err("it fails");
    drop(guard);

    let text = lines.text();
    let logged = LOGGED
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .join("\n");
    // They are there at all.
    assert!(text.contains("a request failed and is sent again"));
    assert!(text.contains("\"target\":\"hyper_util::"), "{text}");
    assert!(logged.contains("starting new connection"), "{logged}");
    for line in text.lines().chain(logged.lines()) {
        for hidden in HIDDEN {
            assert!(!line.contains(hidden), "{hidden}: {line}");
        }
        for hidden in IN_ERRORS {
            let is_error = line.contains("\"error\":\"record_invoice_payment: ");
            assert!(is_error || !line.contains(hidden), "{hidden}: {line}");
        }
    }
}

/// What an observer was told of an attempt.
#[derive(Debug, PartialEq)]
struct Told {
    operation: Operation,
    number: u32,
    status: Option<u16>,
    request_id: Option<String>,
    error: Option<String>,
    is_last: bool,
}

/// What an observer was told, with the latency and the wait that follows.
type Note = (Told, Duration, Option<Duration>);

/// Keeps what it's told.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<Note>>>);

impl Observer for Notes {
    fn attempt(&self, attempt: &Attempt<'_>) {
        let shown = format!("{attempt:?}");
        assert!(!shown.contains("5ecret"), "{shown}");
        let told = Told {
            operation: attempt.operation,
            number: attempt.number,
            status: attempt.status,
            request_id: attempt.request_id.map(str::to_owned),
            error: attempt.error.map(Error::to_string),
            is_last: attempt.retry_in.is_none(),
        };
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push((told, attempt.latency, attempt.retry_in));
    }
}

impl Notes {
    /// What was told since the last time.
    fn take(&self) -> Vec<Note> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[tokio::test]
async fn an_observer_is_told_of_each_attempt() {
    let slow = Duration::from_millis(30);
    let replies = vec![
        refusal(401, "The token has expired."),
        refusal(503, "Later.")
            .insert_header("Retry-After", "9")
            .set_delay(slow),
    ];
    let (api, authority) = (api(replies).await, authority(Vec::new()).await);
    let notes = Notes::default();
    let client = builder(&api.uri(), &authority.uri()).observer(notes.clone());
    let client = client.build().expect("right settings");
    let start = Instant::now();
    client
        .record(Unchecked(&watched()))
        .await
        .expect("it succeeds");
    let elapsed = start.elapsed();
    let (mut told, mut latencies, mut waits) = (Vec::new(), Vec::new(), Vec::new());
    for (attempt, latency, wait) in notes.take() {
        told.push(attempt);
        latencies.push(latency);
        waits.push(wait);
    }
    let attempt = |number: u32, status: u16, request_id: &str| Told {
        operation: Operation::RecordInvoicePayment,
        number,
        status: Some(status),
        request_id: Some(request_id.to_owned()),
        error: None,
        is_last: false,
    };
    let line = "record_invoice_payment: HTTP 401 Unauthorized: The token has expired. [request req-refused]";
    assert_eq!(
        told[0],
        Told {
            error: Some(line.to_owned()),
            ..attempt(1, 401, "req-refused")
        }
    );
    let line = told[1].error.clone().expect("an error");
    assert!(
        line.starts_with("record_invoice_payment: HTTP 503 Service Unavailable: Later."),
        "{line}"
    );
    assert_eq!(
        told[1],
        Told {
            error: Some(line),
            ..attempt(2, 503, "req-refused")
        }
    );
    assert_eq!(
        told[2],
        Told {
            is_last: true,
            ..attempt(3, 201, "req-3")
        }
    );
    assert_eq!(told.len(), 3);
    assert_eq!(waits[0], Some(Duration::ZERO));
    // As long as the policy allows to be asked for, and a little by chance.
    let asked = Duration::from_millis(20);
    let wait = waits[1].expect("a wait");
    assert!(
        wait >= asked && wait <= asked + Duration::from_millis(1),
        "{wait:?}"
    );
    assert!(latencies[1] >= slow, "{latencies:?}");
    assert!(
        latencies.iter().sum::<Duration>() + wait <= elapsed,
        "{latencies:?} {elapsed:?}"
    );
}

#[tokio::test]
async fn an_observer_is_told_of_attempts_that_had_no_token_and_not_of_calls_that_are_none() {
    let api = api(Vec::new()).await;
    let authority = authority(vec![ResponseTemplate::new(503); 3]).await;
    let notes = Notes::default();
    let client = builder(&api.uri(), &authority.uri()).observer(notes.clone());
    let client = client.build().expect("right settings");
    let none: [CreateInvoicePayment; 0] = [];
    client.bulk(Unchecked(&none)).await.expect_err("it's empty");
    client
        .list()
        .limit(0)
        .send()
        .await
        .expect_err("no page could hold anything");
    assert_eq!(notes.take(), []);
    let error = client.list().send().await.expect_err("there is no token");
    let told = notes.take();
    assert_eq!(told.len(), 3);
    for ((told, _, _), number) in told.iter().zip(1..) {
        assert_eq!(
            (told.number, told.status, &told.request_id),
            (number, None, &None)
        );
        assert_eq!(told.is_last, number == 3);
        assert!(
            told.error
                .as_ref()
                .is_some_and(|line| line.contains("no access token"))
        );
    }
    assert_eq!(told[2].0.error, Some(error.to_string()));
    // Clones have the same observer.
    client.clone().list().send().await.expect("it succeeds");
    assert_eq!(notes.take().len(), 1);
}
