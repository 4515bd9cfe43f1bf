//! Tokens: how they are asked for, when they are renewed, and that neither they nor the secret that
//! they are had for shows anywhere.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use layer_payments_client::reqwest::Url;
use layer_payments_client::{
    Builder, Client, ClientCredentials, Environment, Error, IssuedToken, RateLimiter, RetryPolicy,
    Unchecked,
};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::support::{
    BUSINESS, PAYMENT, Then, changes, closed_port, create, envelope, payment, raw_server,
    read_request,
};

const ID: &str = "client-1";
const SECRET: &str = "tok_5ecret/of+the=client";
/// Id and secret as HTTP Basic has them.
const BASIC: &str = "Y2xpZW50LTE6dG9rXzVlY3JldC9vZit0aGU9Y2xpZW50";

/// The token that the authorization server gives first, second, and so on.
fn nth_token(number: usize) -> String {
    format!("tok_5ecret-number-{number}")
}

/// A server that answers everything so.
async fn server(answer: impl Respond + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

async fn requests(server: &MockServer) -> Vec<Request> {
    server.received_requests().await.expect("they are recorded")
}

async fn count(server: &MockServer) -> usize {
    requests(server).await.len()
}

/// An authorization server whose answers have these properties beside a new token.
async fn authority(properties: Value) -> MockServer {
    let asked = AtomicUsize::new(0);
    server(move |_: &Request| {
        let mut answer = properties.clone();
        answer["access_token"] = nth_token(asked.fetch_add(1, Ordering::Relaxed) + 1).into();
        ResponseTemplate::new(200).set_body_json(answer)
    })
    .await
}

async fn good_authority() -> MockServer {
    authority(json!({"token_type": "Bearer", "expires_in": 3600})).await
}

/// What the API answers to each operation.
fn success(request: &Request) -> ResponseTemplate {
    let payment = payment(PAYMENT, "payment-1");
    let (status, data) = match request.method.as_str() {
        "GET" => (200, json!([payment])),
        "POST" if request.url.path().ends_with("/bulk") => (200, json!([payment])),
        "POST" => (201, payment),
        _ => (200, payment),
    };
    ResponseTemplate::new(status).set_body_json(json!({"data": data}))
}

/// An API that refuses each token up to the one of this number.
async fn api_refusing(up_to: usize) -> MockServer {
    server(move |request: &Request| {
        let refused = (1..=up_to).map(|number| format!("Bearer {}", nth_token(number)));
        let given = &request.headers["authorization"];
        if refused.into_iter().any(|token| *given == token) {
            ResponseTemplate::new(401).set_body_json(envelope("The token has expired."))
        } else {
            success(request)
        }
    })
    .await
}

async fn api() -> MockServer {
    server(success).await
}

/// A builder with credentials. It repeats nothing.
fn builder(api: &str, authority: &str) -> Builder {
    Client::builder()
        .base_url(api)
        .business_id(BUSINESS)
        .credentials(
            ClientCredentials::new(ID, SECRET).token_url(format!("{authority}/oauth2/token")),
        )
        .retry(RetryPolicy::never())
}

fn client(api: &MockServer, authority: &MockServer) -> Client {
    builder(&api.uri(), &authority.uri())
        .build()
        .expect("the settings are right")
}

/// Up to three attempts that hardly wait.
fn thrice() -> RetryPolicy {
    RetryPolicy::new()
        .attempts(3)
        .base_delay(Duration::from_millis(1))
}

/// Records a payment without an external id, which is never sent twice.
async fn record(client: &Client) -> Result<u32, Error> {
    let mut payment = create("payment-1").0;
    payment.external_id = None;
    let call = client.record(Unchecked(&payment));
    let ended = tokio::time::timeout(Duration::from_secs(20), call).await;
    ended.expect("the call ends").map(|reply| reply.attempts())
}

/// The error of such a record, in which nothing secret shows.
async fn failure(client: &Client) -> Error {
    checked(record(client).await.expect_err("the call fails"))
}

/// Everything that can be printed of an error.
fn shown(error: &Error) -> String {
    let mut shown = format!("{error} {error:?} {error:#?}");
    let mut cause = StdError::source(error);
    while let Some(source) = cause {
        shown.push_str(&format!(" {source} {source:?}"));
        cause = source.source();
    }
    for (name, value) in error
        .headers()
        .into_iter()
        .flat_map(|headers| headers.iter())
    {
        shown.push_str(&format!(" {name}: {value}"));
    }
    shown.push_str(error.body().unwrap_or_default());
    shown.push_str(&format!(" {:?} {:?}", error.errors(), error.request_id()));
    shown
}

fn checked(error: Error) -> Error {
    let shown = shown(&error);
    assert!(
        !shown.contains("5ecret") && !shown.contains(BASIC),
        "{shown}"
    );
    assert!(!error.to_string().contains('\n'));
    error
}

#[tokio::test]
async fn a_token_is_asked_for_as_documented() {
    let credentials = ClientCredentials::new(ID, SECRET);
    let sandbox = Some(Environment::Sandbox);
    let own = credentials.clone().scope("payments/write payments/read");
    let cases = [
        (None, credentials.clone(), None),
        (
            sandbox,
            credentials,
            Some("https://sandbox.layerfi.com/sandbox"),
        ),
        (sandbox, own.clone(), Some("payments/write payments/read")),
        (None, own, Some("payments/write payments/read")),
        (
            Some(Environment::Local),
            ClientCredentials::new(ID, SECRET),
            None,
        ),
    ];
    for (environment, credentials, scope) in cases {
        let (api, authority) = (api().await, good_authority().await);
        let mut builder = builder(&api.uri(), &authority.uri())
            .credentials(credentials.token_url(format!("{}/oauth2/token", authority.uri())))
            .user_agent("billing/2.4");
        if let Some(environment) = environment {
            builder = builder.environment(environment);
        }
        let client = builder.build().expect("right settings");
        // The token is kept, and shared by whatever comes from this client.
        for client in [&client, &client.clone(), &client.with_business_id(PAYMENT)] {
            client.list().send().await.expect("it has a token");
        }

        let asked = requests(&authority).await;
        let [asked] = asked.as_slice() else {
            panic!("one question, not {}", asked.len());
        };
        assert_eq!(asked.method.as_str(), "POST");
        assert_eq!(asked.url.path(), "/oauth2/token");
        assert_eq!(asked.headers["authorization"], format!("Basic {BASIC}"));
        assert_eq!(
            asked.headers["content-type"],
            "application/x-www-form-urlencoded"
        );
        assert_eq!(asked.headers["accept"], "application/json");
        let product = format!(
            "billing/2.4 layer-payments-client/{}",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(asked.headers["user-agent"], product);
        let body = String::from_utf8_lossy(&asked.body);
        let form = Url::parse(&format!("http://localhost/?{body}")).expect("a form");
        let form: Vec<_> = form.query_pairs().collect();
        let mut expected = vec![
            ("grant_type".into(), "client_credentials".into()),
            ("client_id".into(), ID.into()),
        ];
        expected.extend(scope.map(|scope| ("scope".into(), scope.into())));
        assert_eq!(form, expected);

        for called in requests(&api).await {
            assert_eq!(
                called.headers["authorization"],
                format!("Bearer {}", nth_token(1))
            );
        }
        assert_eq!(count(&api).await, 3);
    }
}

#[tokio::test]
async fn the_life_of_a_token_may_be_a_number_or_a_text_or_missing() {
    let cases = [
        (json!(3600), 1),
        (json!("3600"), 1),
        (json!(" 3600 "), 1),
        (json!(u64::MAX), 1),
        (Value::Null, 1),
        (json!("soon"), 1),
        (json!(-1), 1),
        // These are over at once, so that each call asks anew.
        (json!(0), 3),
        (json!("0"), 3),
    ];
    for (lifetime, questions) in cases {
        let (api, authority) = (
            api().await,
            authority(json!({"expires_in": lifetime})).await,
        );
        let client = client(&api, &authority);
        for _ in 0..3 {
            assert_eq!(record(&client).await.expect("it has a token"), 1);
        }
        assert_eq!(count(&authority).await, questions, "{lifetime}");
    }
}

#[tokio::test]
async fn only_bearer_tokens_are_taken() {
    for kind in [
        json!("Bearer"),
        json!("bearer"),
        json!("BEARER"),
        Value::Null,
    ] {
        let (api, authority) = (api().await, authority(json!({"token_type": kind})).await);
        record(&client(&api, &authority))
            .await
            .expect("it has a token");
    }
    let (api, authority) = (api().await, authority(json!({"token_type": "mac"})).await);
    let policy = builder(&api.uri(), &authority.uri()).retry(thrice());
    let error = failure(&policy.build().expect("right settings")).await;
    assert!(error.is_token() && !error.is_retryable());
    assert!(
        error
            .to_string()
            .contains("gave a token of the type \"mac\", but Layer's are `Bearer`"),
        "{error}"
    );
    assert_eq!((count(&authority).await, count(&api).await), (1, 0));
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_call_sent_once_more() {
    let (create, _) = create("payment-1");
    let mut without_id = create.clone();
    without_id.external_id = None;
    for operation in 0..6 {
        let (api, authority) = (api_refusing(1).await, good_authority().await);
        let client = client(&api, &authority);
        let attempts = match operation {
            0 => client.list().send().await.expect("renewed").attempts(),
            1 => client
                .record(Unchecked(&create))
                .await
                .expect("renewed")
                .attempts(),
            2 => client
                .record(Unchecked(&without_id))
                .await
                .expect("renewed")
                .attempts(),
            3 => {
                let payments = [create.clone(), without_id.clone()];
                client
                    .bulk(Unchecked(&payments))
                    .await
                    .expect("renewed")
                    .attempts()
            }
            4 => {
                let changes = changes().0;
                client
                    .update(PAYMENT, Unchecked(&changes))
                    .await
                    .expect("renewed")
                    .attempts()
            }
            _ => {
                let mut payments = client.list().stream();
                payments.next().await.expect("a payment").expect("renewed");
                2
            }
        };
        assert_eq!(attempts, 2);
        let tokens: Vec<_> = requests(&api)
            .await
            .iter()
            .map(|called| {
                called.headers["authorization"]
                    .to_str()
                    .expect("text")
                    .to_owned()
            })
            .collect();
        assert_eq!(
            tokens,
            [1, 2].map(|number| format!("Bearer {}", nth_token(number)))
        );
        assert_eq!(count(&authority).await, 2);
        // The new one is kept.
        assert_eq!(record(&client).await.expect("it has a token"), 1);
    }
}

#[tokio::test]
async fn a_second_refusal_is_the_error() {
    for policy in [RetryPolicy::never(), thrice()] {
        let (api, authority) = (api_refusing(9).await, good_authority().await);
        let builder = builder(&api.uri(), &authority.uri()).retry(policy);
        let error = failure(&builder.build().expect("right settings")).await;
        assert!(error.is_unauthorized() && !error.is_retryable() && !error.is_token());
        assert!(!error.is_outcome_unknown());
        assert_eq!(error.attempts(), 2);
        assert_eq!(
            error.to_string(),
            "record_invoice_payment: HTTP 401 Unauthorized: The token has expired. (after 2 attempts)"
        );
        assert_eq!((count(&authority).await, count(&api).await), (2, 2));
    }
}

#[tokio::test]
async fn a_given_token_is_not_renewed() {
    let api = api_refusing(1).await;
    let builder = builder(&api.uri(), &api.uri())
        .token(nth_token(1))
        .retry(thrice());
    let error = failure(&builder.build().expect("right settings")).await;
    assert!(error.is_unauthorized() && !error.is_retryable());
    assert_eq!((error.attempts(), count(&api).await), (1, 1));
}

#[tokio::test]
async fn many_refusals_at_once_make_one_renewal() {
    let (api, authority) = (api_refusing(1).await, good_authority().await);
    let client = client(&api, &authority);
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { record(&client).await })
        })
        .collect();
    for call in calls {
        call.await.expect("it ends").expect("renewed");
    }
    assert_eq!(count(&authority).await, 2);
    assert!(count(&api).await <= 100);
}

#[tokio::test]
async fn wrong_credentials_are_told_and_nothing_is_sent() {
    let api = api().await;
    let refusal = json!({"error": "invalid_client", "error_description": "No such\nclient."});
    let authority = server(ResponseTemplate::new(400).set_body_json(refusal)).await;
    let builder = builder(&api.uri(), &authority.uri()).retry(thrice());
    let error = failure(&builder.build().expect("right settings")).await;
    assert!(error.is_token() && !error.is_retryable() && !error.is_outcome_unknown());
    assert!(!error.is_bad_request(), "it isn't the payment's fault");
    assert_eq!((error.status(), error.attempts()), (None, 1));
    assert_eq!(
        error.to_string(),
        format!(
            "record_invoice_payment: no access token: {}/oauth2/token answered HTTP 400 Bad \
             Request: invalid_client: No such client.; nothing was sent",
            authority.uri()
        )
    );
    assert_eq!((count(&authority).await, count(&api).await), (1, 0));
}

/// An authorization server that gives these replies, one a connection, and then a token.
async fn raw_authority(replies: Vec<Option<String>>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let asked = Arc::new(AtomicUsize::new(0));
    let questions = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut replies = replies.into_iter();
        let mut silent = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            read_request(&mut stream).await;
            questions.fetch_add(1, Ordering::Relaxed);
            let token = format!(r#"{{"access_token": "{}"}}"#, nth_token(1));
            match replies.next().unwrap_or(Some(ok(&token))) {
                Some(reply) => {
                    let _ = stream.write_all(reply.as_bytes()).await;
                }
                None => silent.push(stream),
            }
        }
    });
    (format!("http://{address}"), asked)
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

#[tokio::test]
async fn what_may_pass_is_asked_again_even_for_a_payment_that_is_never_sent_twice() {
    let status = |status: &str| {
        Some(format!(
            "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ))
    };
    let cases = [
        (
            "answered HTTP 503 Service Unavailable",
            status("503 Service Unavailable"),
        ),
        ("answered HTTP 500 Internal Server Error", status("500 Oh")),
        (
            "answered HTTP 429 Too Many Requests",
            status("429 Too Many Requests"),
        ),
        (
            "answered HTTP 408 Request Timeout",
            status("408 Request Timeout"),
        ),
        (
            "gave an answer without an `access_token`",
            Some(ok("<html>Please wait</html>")),
        ),
        ("gave an answer without an `access_token`", Some(ok("{}"))),
        (
            "gave an answer that is too long for a token",
            Some(ok(&" ".repeat(300 * 1024))),
        ),
        (
            "broke off its answer",
            Some(
                "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"access_token\": \"tok_5ecret\""
                    .to_owned(),
            ),
        ),
        ("broke off its answer", Some(String::new())),
        ("didn't answer in time", None),
    ];
    for (fault, reply) in cases {
        let api = api().await;
        let (authority, asked) = raw_authority(vec![reply.clone(), reply.clone()]).await;
        let hasty = |policy| {
            builder(&api.uri(), &authority)
                .attempt_timeout(Duration::from_millis(500))
                .retry(policy)
                .build()
                .expect("right settings")
        };
        // The first reply.
        let error = failure(&hasty(RetryPolicy::never())).await;
        assert!(
            error.is_token() && error.is_retryable() && !error.is_outcome_unknown(),
            "{error}"
        );
        let line = format!("no access token: {authority}/oauth2/token {fault}; nothing was sent");
        assert!(error.to_string().ends_with(&line), "{error}");
        assert_eq!((error.attempts(), count(&api).await), (1, 0));
        // The second one, and a token.
        assert_eq!(
            record(&hasty(thrice())).await.expect("it has a token"),
            2,
            "{fault}"
        );
        assert_eq!((asked.load(Ordering::Relaxed), count(&api).await), (3, 1));
    }
}

#[tokio::test]
async fn an_authorization_server_that_is_not_there_is_tried_as_often_as_the_policy_says() {
    let (api, authority) = (api().await, closed_port().await);
    let builder = builder(&api.uri(), &authority).retry(thrice());
    let error = failure(&builder.build().expect("right settings")).await;
    assert!(error.is_token() && error.is_retryable() && !error.is_connect());
    assert_eq!((error.attempts(), count(&api).await), (3, 0));
    let line =
        format!("{authority}/oauth2/token can't be reached (after 3 attempts); nothing was sent");
    assert!(error.to_string().ends_with(&line), "{error}");
}

#[tokio::test]
async fn the_time_of_a_call_holds_while_it_waits_for_a_token() {
    let api = api().await;
    let authority = raw_server("", Then::KeepOpen).await;
    let hasty = |builder: Builder| {
        let builder = builder.timeout(Duration::from_millis(200)).retry(thrice());
        builder.build().expect("right settings")
    };
    let of_a_server = hasty(builder(&api.uri(), &authority));
    let of_a_source = hasty(
        builder(&api.uri(), &authority)
            .token_source(std::future::pending::<Result<IssuedToken, fmt::Error>>),
    );
    for client in [of_a_server, of_a_source] {
        let error = failure(&client).await;
        assert!(error.is_timeout() && error.is_retryable() && !error.is_outcome_unknown());
        assert!(!error.is_token() && !error.is_connect());
        assert_eq!(
            error.to_string(),
            "record_invoice_payment: no access token within 200ms; nothing was sent"
        );
    }
    assert_eq!(count(&api).await, 0);
}

#[tokio::test]
async fn the_secret_is_not_taken_elsewhere() {
    let elsewhere = api().await;
    for status in [301, 302, 303, 307, 308] {
        let redirect = ResponseTemplate::new(status).insert_header("Location", elsewhere.uri());
        let (api, authority) = (api().await, server(redirect).await);
        let error = failure(&client(&api, &authority)).await;
        assert!(error.is_token() && !error.is_retryable(), "{error}");
        assert!(
            error
                .to_string()
                .contains(&format!("answered HTTP {status}")),
            "{error}"
        );
    }
    assert_eq!(count(&elsewhere).await, 0);
}

#[tokio::test]
async fn an_authorization_server_that_repeats_what_it_was_sent_makes_nothing_show() {
    let api = api().await;
    // The second text would be cut within the secret.
    for before in [0, 195, 190, 170] {
        let authority = server(move |request: &Request| {
            let header = request.headers["authorization"].to_str().expect("text");
            let said = format!("{} {SECRET} {header}", "x".repeat(before));
            let answer = json!({"error": SECRET, "error_description": said});
            ResponseTemplate::new(400).set_body_json(answer)
        })
        .await;
        let error = failure(&client(&api, &authority)).await;
        for part in 8..SECRET.len() {
            assert!(!shown(&error).contains(&SECRET[..part]), "{error}");
            assert!(!shown(&error).contains(&BASIC[..part]), "{error}");
        }
        assert!(error.to_string().contains("[redacted]"), "{error}");
    }
    let authority = server(
        ResponseTemplate::new(200)
            .set_body_json(json!({"token_type": SECRET, "access_token": nth_token(1)})),
    )
    .await;
    let error = failure(&client(&api, &authority)).await;
    assert!(
        error.to_string().contains("of the type \"[redacted]\""),
        "{error}"
    );
}

#[tokio::test]
async fn an_api_that_repeats_what_it_was_sent_makes_nothing_show() {
    let echo = |request: &Request, status: u16| {
        let given = request.headers["authorization"].to_str().expect("text");
        let template = ResponseTemplate::new(status)
            .insert_header("X-Echo", given)
            .insert_header("X-Request-Id", given)
            .insert_header("WWW-Authenticate", given);
        if request.method.as_str() == "GET" {
            template.set_body_string(format!("<html>{given}</html>"))
        } else {
            let errors = json!([{"type": given, "description": given, "meta": {"pointer": given}}]);
            template.set_body_json(json!({"errors": errors, "meta": {"request_id": given}}))
        }
    };
    for status in [200, 400, 401, 503] {
        let (api, authority) = (
            server(move |request: &Request| echo(request, status)).await,
            good_authority().await,
        );
        let client = builder(&api.uri(), &authority.uri()).retry(thrice());
        let client = client.build().expect("right settings");
        let error = failure(&client).await;
        assert!(error.body().expect("a body").contains("[redacted]"));
        let list = client.list().send().await.expect_err("it isn't a list");
        assert!(checked(list).body().expect("a body").contains("[redacted]"));
        let shown = format!("{client:?} {client:#?} {:?}", client.list());
        assert!(
            !shown.contains("5ecret") && !shown.contains(BASIC),
            "{shown}"
        );
    }
}

#[derive(Debug)]
struct VaultIsSealed(u8);

impl fmt::Display for VaultIsSealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the vault is sealed\nby {} keys", self.0)
    }
}

impl StdError for VaultIsSealed {}

#[tokio::test]
async fn the_error_of_a_source_of_ones_own_is_among_the_causes() {
    let api = api_refusing(1).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let questions = Arc::clone(&asked);
    let sealed =
        builder(&api.uri(), &api.uri())
            .retry(thrice())
            .token_source(move || {
                let number = questions.fetch_add(1, Ordering::Relaxed);
                async move {
                    if number < 3 {
                        Err(VaultIsSealed(7))
                    } else {
                        Ok(IssuedToken::new(nth_token(number - 2))
                            .expires_in(Duration::from_secs(600)))
                    }
                }
            });
    let client = sealed.build().expect("right settings");
    let error = failure(&client).await;
    assert!(error.is_token() && error.is_retryable());
    assert_eq!((error.attempts(), asked.load(Ordering::Relaxed)), (3, 3));
    assert_eq!(
        error.to_string(),
        "record_invoice_payment: no access token: the vault is sealed by 7 keys (after 3 attempts); \
         nothing was sent"
    );
    let mut causes = std::iter::successors(StdError::source(&error), |cause| (*cause).source());
    let found = causes.find_map(|cause| cause.downcast_ref::<VaultIsSealed>());
    assert_eq!(found.expect("it's there").0, 7);

    // It gives a token now, which the API refuses, and another one.
    assert_eq!(record(&client).await.expect("renewed"), 2);
    assert_eq!(asked.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn calls_that_waited_for_a_token_do_not_leave_all_at_once() {
    let api = api().await;
    let wait = Duration::from_secs(1);
    let slow = builder(&api.uri(), &api.uri()).token_source(move || async move {
        tokio::time::sleep(wait).await;
        Ok::<_, fmt::Error>(IssuedToken::new(nth_token(1)))
    });
    // Nine places a second, and no burst.
    let slow = slow.rate_limiter(RateLimiter::per_second(10));
    let client = slow.build().expect("right settings");
    let start = Instant::now();
    let calls: Vec<_> = (0..5)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { record(&client).await })
        })
        .collect();
    for call in calls {
        call.await.expect("it ends").expect("it has a token");
    }
    assert!(
        start.elapsed() >= wait + Duration::from_millis(4 * 111),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_call_that_was_sent_does_not_say_that_nothing_was() {
    let api = api_refusing(1).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let builder = builder(&api.uri(), &api.uri()).token_source(move || {
        let is_first = asked.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            is_first
                .then(|| IssuedToken::new(nth_token(1)))
                .ok_or("sealed")
        }
    });
    let error = failure(&builder.build().expect("right settings")).await;
    assert!(error.is_token() && !error.is_outcome_unknown());
    assert_eq!(
        error.to_string(),
        "record_invoice_payment: no access token: sealed (after 2 attempts)"
    );
}

#[tokio::test]
async fn a_call_that_waits_for_its_place_leaves_with_the_newest_token() {
    let (api, authority) = (api_refusing(1).await, good_authority().await);
    let builder = builder(&api.uri(), &authority.uri());
    // The second place is a second after the first, in which the first call has its token renewed.
    let builder = builder.rate_limiter(RateLimiter::per_second(1));
    let client = builder.build().expect("right settings");
    let (first, second) = tokio::join!(record(&client), record(&client));
    let attempts = [first, second].map(|call| call.expect("renewed"));
    assert_eq!(attempts, [2, 1]);
}
