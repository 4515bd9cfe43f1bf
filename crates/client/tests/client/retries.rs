//! What is sent again, over real sockets: each cause that the documentation names, and what must
//! not be sent twice.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use layer_payments_client::types::CreateInvoicePayment;
use layer_payments_client::{Client, Error, RateLimiter, RetryPolicy, Unchecked, reqwest};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use crate::support::{
    PAYMENT, builder, changes, closed_port, create, envelope, payment, read_request,
};

/// What a server does with a request.
#[derive(Clone, Debug)]
enum Step {
    /// Sends these bytes and closes the connection.
    Send(String),
    /// Resets the connection, so that the client's system reports an error.
    Reset,
    /// Closes the connection without a word.
    Close,
    /// Says nothing, and keeps the connection open.
    Stall,
    /// Answers as the API does.
    Answer,
}

/// A server that does one step a request, the last one for all that follow, and keeps what it read.
struct Script {
    url: String,
    requests: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Script {
    async fn of(steps: impl IntoIterator<Item = Step>) -> Script {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Script::on(listener, steps)
    }

    fn on(listener: TcpListener, steps: impl IntoIterator<Item = Step>) -> Script {
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::<Mutex<Vec<_>>>::default();
        let steps: Arc<Mutex<VecDeque<Step>>> = Arc::new(Mutex::new(steps.into_iter().collect()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (steps, seen) = (Arc::clone(&steps), Arc::clone(&seen));
                tokio::spawn(async move {
                    let request = read_request(&mut stream).await;
                    if request.is_empty() {
                        return;
                    }
                    let step = {
                        let mut steps = steps.lock().expect("no panic");
                        match steps.len() {
                            0 => Step::Answer,
                            1 => steps[0].clone(),
                            _ => steps.pop_front().expect("a step"),
                        }
                    };
                    let answer = answer(&request);
                    seen.lock()
                        .expect("no panic")
                        .push((Instant::now(), request));
                    act(step, stream, answer).await;
                });
            }
        });
        Script { url, requests }
    }

    fn requests(&self) -> Vec<String> {
        let requests = self.requests.lock().expect("no panic");
        requests.iter().map(|(_, text)| text.clone()).collect()
    }

    fn times(&self) -> Vec<Instant> {
        let requests = self.requests.lock().expect("no panic");
        requests.iter().map(|(time, _)| *time).collect()
    }
}

async fn act(step: Step, mut stream: TcpStream, answer: String) {
    match step {
        Step::Send(bytes) => drop(stream.write_all(bytes.as_bytes()).await),
        Step::Answer => drop(stream.write_all(answer.as_bytes()).await),
        Step::Reset => drop(stream.set_zero_linger()),
        Step::Close => {}
        Step::Stall => {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
        }
    }
}

/// The reply that the API would give to this request.
fn answer(request: &str) -> String {
    let body = match request {
        _ if request.starts_with("GET") => json!({"data": []}),
        _ if request.contains("/bulk ") => {
            json!({"data": [payment(PAYMENT, "payment-1"), payment(Uuid::from_u128(2), "payment-2")]})
        }
        _ => json!({"data": payment(PAYMENT, "payment-1")}),
    };
    http(200, "application/json", &body.to_string())
}

fn http(status: u16, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

fn error(status: u16) -> Step {
    Step::Send(http(
        status,
        "application/json",
        &envelope("Not now.").to_string(),
    ))
}

/// Retries with hardly a wait.
fn quick() -> RetryPolicy {
    RetryPolicy::new().base_delay(Duration::from_millis(1))
}

fn client(url: &str, policy: RetryPolicy) -> Client {
    let client = builder()
        .base_url(url)
        .retry(policy)
        .attempt_timeout(Duration::from_millis(500));
    client.build().expect("right settings")
}

/// A payment that could be recorded twice.
fn nameless() -> CreateInvoicePayment {
    let mut payment = create("x").0;
    payment.external_id = None;
    payment
}

/// The calls that there are, by name, and whether they're repeated.
const CALLS: [(&str, bool); 6] = [
    ("list", true),
    ("record", true),
    ("record without an external id", false),
    ("bulk", true),
    ("bulk with one without an external id", false),
    ("update", true),
];

async fn call(client: &Client, name: &str) -> Result<u32, Error> {
    let (one, two) = (create("payment-1").0, create("payment-2").0);
    match name {
        "list" => client.list().send().await.map(|reply| reply.attempts()),
        "record" => client
            .record(Unchecked(&one))
            .await
            .map(|reply| reply.attempts()),
        "record without an external id" => client
            .record(Unchecked(&nameless()))
            .await
            .map(|reply| reply.attempts()),
        "bulk" => client
            .bulk(Unchecked(&[one, two]))
            .await
            .map(|reply| reply.attempts()),
        "bulk with one without an external id" => client
            .bulk(Unchecked(&[one, nameless()]))
            .await
            .map(|reply| reply.attempts()),
        "update" => client
            .update(PAYMENT, Unchecked(&changes().0))
            .await
            .map(|reply| reply.attempts()),
        _ => unreachable!("{name} isn't a call"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cause_is_repeated_where_it_can_do_no_harm() {
    let html = "<html><body>Bad Gateway</body></html>";
    let whole = answer("GET");
    let causes = [
        ("reset", Step::Reset),
        ("closed", Step::Close),
        ("timeout", Step::Stall),
        ("408", error(408)),
        ("429", error(429)),
        ("500", error(500)),
        ("502 in HTML", Step::Send(http(502, "text/html", html))),
        ("503", error(503)),
        (
            "503 without a body",
            Step::Send(http(503, "text/plain", "")),
        ),
        ("504", error(504)),
        ("520", error(520)),
        ("200 in HTML", Step::Send(http(200, "text/html", html))),
        (
            "cut before the headers' end",
            Step::Send("HTTP/1.1 200 OK\r\nContent-".to_owned()),
        ),
        ("cut body", Step::Send(whole[..whole.len() - 4].to_owned())),
        (
            "cut body of unknown length",
            Step::Send(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"data\": ".to_owned(),
            ),
        ),
        (
            "cut error",
            Step::Send("HTTP/1.1 503 No\r\nContent-Length: 500\r\n\r\n{\"errors\":".to_owned()),
        ),
    ];
    for (cause, step) in causes {
        for (name, is_repeated) in CALLS {
            let server = Script::of([step.clone(), Step::Answer]).await;
            let result = call(&client(&server.url, quick()), name).await;
            let requests = server.requests();
            if is_repeated {
                assert_eq!(
                    result.unwrap_or_else(|error| panic!("{cause}, {name}: {error:?}")),
                    2,
                    "{cause}, {name}"
                );
                assert_eq!(requests.len(), 2, "{cause}, {name}");
                assert_eq!(requests[0], requests[1], "{cause}, {name}: the same again");
            } else {
                let error = result.expect_err("it isn't repeated");
                assert_eq!(error.attempts(), 1, "{cause}, {name}");
                assert_eq!(requests.len(), 1, "{cause}, {name}");
                assert_eq!(
                    error.is_outcome_unknown(),
                    cause != "429",
                    "{cause}, {name}: {error}"
                );
                // A 429 was refused, so whoever calls again does no harm.
                assert_eq!(error.is_retryable(), cause == "429", "{cause}, {name}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_up_late_is_found() {
    for (name, is_repeated) in CALLS {
        let address = closed_port().await;
        let policy = quick().attempts(1_000).max_delay(Duration::from_millis(20));
        let client = client(&address, policy);
        if !is_repeated {
            let error = call(&client, name).await.expect_err("nobody is there");
            assert!(error.is_connect() && error.is_retryable() && error.attempts() == 1);
            assert!(!error.is_outcome_unknown(), "{error}");
            continue;
        }
        let (result, server) = tokio::join!(call(&client, name), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let host = address.trim_start_matches("http://");
            let listener = TcpListener::bind(host).await.expect("the same port");
            Script::on(listener, [Step::Answer])
        });
        assert!(result.expect("it's found") > 1, "{name}");
        assert_eq!(server.requests().len(), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_come_to_the_same_is_not_repeated() {
    let unreadable = "{\"data\": 7}";
    let steps = [
        error(400),
        error(401),
        error(403),
        error(404),
        error(409),
        error(413),
        error(422),
        error(501),
        error(505),
        Step::Send("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n".to_owned()),
        Step::Send(http(200, "application/json", unreadable)),
        Step::Send(http(200, "application/json", "no JSON")),
    ];
    for step in steps {
        for (name, _) in CALLS {
            let server = Script::of([step.clone()]).await;
            let error = call(&client(&server.url, quick()), name)
                .await
                .expect_err("it fails");
            assert_eq!(server.requests().len(), 1, "{step:?}, {name}");
            assert!(
                error.attempts() == 1 && !error.is_retryable(),
                "{step:?}, {name}: {error}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_end_and_the_last_error_tells_how_many_there_were() {
    let server = Script::of([error(503)]).await;
    let error = call(&client(&server.url, quick().attempts(4)), "record")
        .await
        .expect_err("it never succeeds");
    assert_eq!((server.requests().len(), error.attempts()), (4, 4));
    assert!(error.is_retryable() && error.is_outcome_unknown() && error.is_server_error());
    assert_eq!(error.external_ids(), ["payment-1"]);
    assert_eq!(
        error.to_string(),
        "record_invoice_payment: HTTP 503 Service Unavailable: Not now. (after 4 attempts); whether the write took \
         place is unknown: list with the external_id \"payment-1\" to see, or send the same again, which the \
         external_id makes safe"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_setting_switches_it_off() {
    for (name, _) in CALLS {
        let server = Script::of([error(503)]).await;
        let result = call(&client(&server.url, RetryPolicy::never()), name).await;
        assert_eq!(result.expect_err("it fails").attempts(), 1);
        assert_eq!(server.requests().len(), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_can_be_left_out() {
    let server = Script::of([Step::Close]).await;
    let policy = quick().updates(false);
    let error = call(&client(&server.url, policy), "update")
        .await
        .expect_err("it fails");
    assert_eq!(server.requests().len(), 1);
    assert!(!error.is_retryable() && error.is_outcome_unknown());
    assert_eq!(error.payment_id(), Some(PAYMENT));
    assert!(
        error.to_string().ends_with(
            "whether the write took place is unknown: look at the payment in a list, or send the same again, \
             which leaves the same"
        ),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_attempt_left_open_stays_open() {
    // The reply to the first attempt is lost; what the second one comes to says nothing about it.
    let cases = [
        (vec![Step::Reset, error(400)], 2),
        (vec![Step::Reset, error(401)], 2),
        (vec![error(503), error(429), error(404)], 3),
    ];
    for (steps, attempts) in cases {
        for name in ["record", "bulk", "update"] {
            let server = Script::of(steps.clone()).await;
            let error = call(&client(&server.url, quick()), name)
                .await
                .expect_err("it fails");
            assert_eq!(error.attempts(), attempts, "{error}");
            assert!(
                error.is_outcome_unknown() && !error.is_retryable(),
                "{error}"
            );
            assert!(
                error
                    .to_string()
                    .contains("; an earlier attempt may have taken place: "),
                "{error}"
            );
        }
    }
    // What was refused for sure leaves nothing open.
    let server = Script::of([error(429), error(400)]).await;
    let error = call(&client(&server.url, quick()), "record")
        .await
        .expect_err("it fails");
    assert!(
        error.attempts() == 2 && !error.is_outcome_unknown(),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_write_without_an_external_id_says_what_to_do() {
    let server = Script::of([Step::Close]).await;
    for name in [
        "record without an external id",
        "bulk with one without an external id",
    ] {
        let error = call(&client(&server.url, quick()), name)
            .await
            .expect_err("it fails");
        assert!(
            error.to_string().ends_with(
                "whether the write took place is unknown: list and look before sending again, since a payment \
                 without an external_id would be recorded twice"
            ),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_external_id_is_none() {
    let server = Script::of([error(503)]).await;
    let client = client(&server.url, quick());
    let payment = create("").0;
    let error = client
        .record(Unchecked(&payment))
        .await
        .expect_err("it fails");
    assert_eq!((error.attempts(), server.requests().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_decides_how_long_to_wait() {
    // Of these waits only the least is certain: a busy machine makes them longer.
    let asks = [
        "Retry-After: 1\r\n",
        "Date: Tue, 07 Nov 2034 08:00:00 GMT\r\nRetry-After: Tue, 07 Nov 2034 08:00:01 GMT\r\n",
    ];
    for ask in asks {
        for status in [429, 503] {
            let refusal = format!(
                "HTTP/1.1 {status} No\r\n{ask}Content-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let server = Script::of([Step::Send(refusal), Step::Answer]).await;
            let attempts = call(&client(&server.url, quick()), "record").await;
            assert_eq!(attempts.expect("it succeeds"), 2);
            let times = server.times();
            assert!(times[1] - times[0] >= Duration::from_secs(1), "{ask}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_wait_than_allowed_is_cut_and_one_beyond_the_calls_time_is_not_begun() {
    let refusal =
        "HTTP/1.1 429 No\r\nRetry-After: 3600\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let server = Script::of([Step::Send(refusal.to_owned()), Step::Answer]).await;
    let policy = quick().max_retry_after(Duration::from_millis(50));
    let attempts = call(&client(&server.url, policy), "record").await;
    assert_eq!(attempts.expect("it succeeds"), 2);

    // An hour doesn't fit into the call's minute, so the call ends now.
    let server = Script::of([Step::Send(refusal.to_owned())]).await;
    let patient = quick().max_retry_after(Duration::from_secs(7_200));
    let client = client(&server.url, patient);
    let error = tokio::time::timeout(Duration::from_secs(50), call(&client, "record"))
        .await
        .expect("it doesn't wait")
        .expect_err("it's refused");
    assert!(error.is_rate_limited() && error.is_retryable() && error.attempts() == 1);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3_600)));
    // Nor does any other call set out before the hour has passed.
    let error = call(&client, "list").await.expect_err("there's no place");
    assert!(error.is_timeout() && error.is_retryable() && !error.is_outcome_unknown());
    assert_eq!(
        error.to_string(),
        "list_invoice_payments: no place under the rate limit within 60s: the API has asked to wait for 3600.0s yet; \
         nothing was sent"
    );
    assert!(error.retry_after() > Some(Duration::from_secs(3_500)));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_call_is_told_all_calls_heed() {
    let refusal =
        "HTTP/1.1 429 No\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let server = Script::of([Step::Send(refusal.to_owned()), Step::Answer]).await;
    let client = client(&server.url, RetryPolicy::never());
    let error = call(&client, "record").await.expect_err("it's refused");
    assert!(error.is_rate_limited());
    let others: Vec<_> = (0..5)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { call(&client, "list").await })
        })
        .collect();
    for other in others {
        other.await.expect("no panic").expect("it succeeds");
    }
    let times = server.times();
    assert_eq!(times.len(), 6);
    for time in &times[1..] {
        assert!(*time - times[0] >= Duration::from_secs(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_bucket_is_waited_for() {
    let drained = "HTTP/1.1 200 OK\r\nDate: Tue, 07 Nov 2034 08:00:00 GMT\r\nX-RateLimit-Limit: 100\r\n\
                   X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 2046499201\r\nContent-Length: 11\r\n\
                   Connection: close\r\n\r\n{\"data\":[]}";
    let server = Script::of([Step::Send(drained.to_owned()), Step::Answer]).await;
    let client = client(&server.url, RetryPolicy::never());
    for _ in 0..2 {
        call(&client, "list").await.expect("it succeeds");
    }
    let times = server.times();
    assert!(times[1] - times[0] >= Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_comes_too_late_is_not_waited_for() {
    let server = Script::of([Step::Answer]).await;
    let limiter = RateLimiter::per_second(1);
    let client = builder()
        .base_url(&server.url)
        .rate_limiter(limiter.clone())
        .timeout(Duration::from_millis(900));
    let client = client.build().expect("right settings");
    call(&client, "record")
        .await
        .expect("the first has a place");
    let error = call(&client, "record").await.expect_err("there's none");
    assert!(error.is_timeout() && !error.is_outcome_unknown(), "{error}");
    assert_eq!(server.requests().len(), 1);
    // Another client with the same limiter has no better luck; one with its own has.
    let other = builder()
        .base_url(&server.url)
        .timeout(Duration::from_millis(50));
    let sharing = other.clone().rate_limiter(limiter).build();
    let error = call(&sharing.expect("right settings"), "list").await;
    assert!(error.expect_err("there's none").is_timeout());
    let own = other.timeout(Duration::from_secs(30)).build();
    call(&own.expect("right settings"), "list")
        .await
        .expect("it has a place");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calls_time_ends_it_all() {
    // More attempts and shorter waits than the time has room for.
    for step in [error(503), Step::Stall] {
        let server = Script::of([step]).await;
        let client = builder()
            .base_url(&server.url)
            .timeout(Duration::from_millis(400))
            .attempt_timeout(Duration::from_millis(100))
            .retry(
                quick()
                    .attempts(1_000_000)
                    .max_delay(Duration::from_millis(20)),
            )
            .build()
            .expect("right settings");
        let ended = tokio::time::timeout(Duration::from_secs(60), call(&client, "record")).await;
        let error = ended.expect("it ends").expect_err("it fails");
        assert!(error.attempts() > 1 && error.is_retryable(), "{error}");
        assert!(error.is_outcome_unknown(), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_is_down_is_not_pressed() {
    let server = Script::of([error(503)]).await;
    let policy = RetryPolicy::new().base_delay(Duration::ZERO).attempts(3);
    let client = client(&server.url, policy);
    for number in 0..100 {
        // Clones share the budget.
        let client = client.clone();
        let error = call(&client, "list").await.expect_err("it's down");
        let expected = if number < 50 { 3 } else { 1 };
        assert_eq!(error.attempts(), expected, "call {number}");
        let line = error.to_string();
        let is_told = line.contains("not sent again, since the budget of retries is used up");
        assert_eq!(is_told, number >= 50, "{line}");
    }
    assert_eq!(server.requests().len(), 200);
}

/// A record that could be there twice, the number of requests that it took, and its error.
async fn record_nameless(client: &Client, server: &Script) -> (usize, Error) {
    let result = client.record(Unchecked(&nameless())).await;
    (server.requests().len(), result.expect_err("it fails"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_client_of_ones_own_sends_no_payment_twice() {
    // It would repeat what answers 503, and follow redirects.
    let host = |url: &str| url.trim_start_matches("http://").to_owned();
    let server = Script::of([error(503)]).await;
    let policy = reqwest::retry::for_host(host(&server.url))
        .max_retries_per_request(3)
        .classify_fn(|attempt| match attempt.status() {
            Some(status) if status.is_server_error() => attempt.retryable(),
            _ => attempt.success(),
        });
    let http = reqwest::Client::builder().retry(policy).build();
    let client = builder()
        .base_url(&server.url)
        .http_client(http.expect("right settings"))
        .build()
        .expect("right settings");
    let (requests, error) = record_nameless(&client, &server).await;
    assert_eq!((requests, error.attempts()), (1, 1), "{error}");
    assert!(error.is_outcome_unknown());

    let target = Script::of([Step::Answer]).await;
    let redirect = format!(
        "HTTP/1.1 307 Elsewhere\r\nLocation: {}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        target.url
    );
    let server = Script::of([Step::Send(redirect)]).await;
    let client = builder()
        .base_url(&server.url)
        .http_client(reqwest::Client::new())
        .build()
        .expect("right settings");
    let (requests, error) = record_nameless(&client, &server).await;
    assert_eq!((requests, target.requests().len()), (1, 0), "{error}");
    assert_eq!(error.status(), Some(307), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_used_again_and_lost_sends_no_payment_twice() {
    // The first request of each connection is answered and the connection kept; the second one is
    // read, and then the connection closed.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let requests = Arc::<Mutex<usize>>::default();
    let seen = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                for number in 0..2 {
                    let request = read_request(&mut stream).await;
                    if request.is_empty() {
                        return;
                    }
                    *seen.lock().expect("no panic") += 1;
                    if number == 0 {
                        let answer = answer(&request).replace("Connection: close\r\n", "");
                        drop(stream.write_all(answer.as_bytes()).await);
                    }
                }
            });
        }
    });
    let client = client(&url, quick());
    let count = || *requests.lock().expect("no panic");
    call(&client, "record without an external id")
        .await
        .expect("the first is answered");
    let error = call(&client, "record without an external id")
        .await
        .expect_err("the second is lost");
    assert!(
        error.is_outcome_unknown() && error.attempts() == 1,
        "{error}"
    );
    assert_eq!(count(), 2);
    // One with an external id is sent again, over another connection.
    call(&client, "list").await.expect("a new connection");
    assert_eq!(call(&client, "record").await.expect("it's repeated"), 2);
    assert_eq!(count(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_refuses_for_now_speaks_for_other_calls() {
    for status in [200, 400] {
        let reply = format!(
            "HTTP/1.1 {status} Whatever\r\nRetry-After: 3600\r\nContent-Length: 11\r\nConnection: close\r\n\r\n\
             {{\"data\":[]}}"
        );
        let server = Script::of([Step::Send(reply), Step::Answer]).await;
        let client = client(&server.url, RetryPolicy::never());
        let first = call(&client, "list").await;
        assert_eq!(first.is_ok(), status == 200);
        call(&client, "list").await.expect("it isn't held back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaves_when_there_is_no_time_left_for_an_answer() {
    // After the first refusal the wait would end within the call's time, but only just.
    let refusal =
        "HTTP/1.1 429 No\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let server = Script::of([Step::Send(refusal.to_owned()), Step::Answer]).await;
    let client = builder()
        .base_url(&server.url)
        .retry(quick())
        .timeout(Duration::from_millis(1_050))
        .build()
        .expect("right settings");
    let error = call(&client, "record").await.expect_err("it's refused");
    assert!(error.is_rate_limited() && error.is_retryable(), "{error}");
    assert!(
        error
            .to_string()
            .contains("not sent again, since the call's time would be over"),
        "{error}"
    );
    let error = call(&client, "record").await.expect_err("there's no place");
    assert!(error.is_timeout() && !error.is_outcome_unknown(), "{error}");
    assert!(error.retry_after() <= Some(Duration::from_secs(1)));
    assert_eq!(server.requests().len(), 1);
}
