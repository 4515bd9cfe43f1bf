//! Settings: what is right works, what is wrong is an error that names it, and nothing shows the
//! token.

use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

use layer_payments_client::{
    Builder, Client, ClientCredentials, DEFAULT_ATTEMPT_TIMEOUT, DEFAULT_CONNECT_TIMEOUT,
    DEFAULT_TIMEOUT, Environment, Error, IssuedToken, ListPayments, Reply, RetryPolicy, Token,
    Unchecked, reqwest,
};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{
    BUSINESS, PAYMENT, PAYMENTS_PATH, TOKEN, Then, builder, changes, create, raw_server,
    read_request,
};

/// The error of settings that are wrong in this setting.
fn wrong(builder: Builder, setting: &str) -> Error {
    let error = builder.build().expect_err("the settings are wrong");
    assert!(error.is_setting() && error.operation().is_none() && error.status().is_none());
    assert_eq!(error.setting(), Some(setting), "{error}");
    assert!(
        error
            .to_string()
            .starts_with(&format!("the setting `{setting}`")),
        "{error}"
    );
    assert!(
        !format!("{error} {error:?}").contains("5ecret"),
        "{error:?}"
    );
    error
}

#[cfg(feature = "rustls")]
#[test]
fn layers_hosts_have_names() {
    let hosts = [
        (Environment::Sandbox, "https://sandbox.layerfi.com"),
        (Environment::Production, "https://api.layerfi.com"),
        (Environment::ProductionCanada, "https://api-ca.layerfi.com"),
        (Environment::Local, "http://127.0.0.1:8080"),
    ];
    for (environment, url) in hosts {
        let built = |builder: Builder| builder.build().expect("right settings");
        let client = built(builder().environment(environment));
        assert_eq!(client.base_url(), url);
        assert_eq!(
            environment.name().parse::<Environment>().ok(),
            Some(environment)
        );
        // A base URL of one's own counts, whichever is set first.
        let gateway = "https://gateway.example";
        let first = built(builder().base_url(gateway).environment(environment));
        let last = built(builder().environment(environment).base_url(gateway));
        assert_eq!([first.base_url(), last.base_url()], [gateway; 2]);
    }
    let error = "staging"
        .parse::<Environment>()
        .expect_err("it isn't Layer's to give");
    assert_eq!(
        error.to_string(),
        "the setting `environment` (variable LAYER_ENVIRONMENT) is \"staging\"; it must be one of \
         sandbox, production, production-canada, local"
    );
}

#[test]
fn what_is_missing_is_named_with_its_variable() {
    let complete = || builder().base_url("http://localhost");
    complete().build().expect("the settings are right");
    let without_url = wrong(builder(), "base_url");
    assert_eq!(
        without_url.to_string(),
        "the setting `base_url` (variable LAYER_BASE_URL) isn't given; call `base_url` or `environment`"
    );
    let without_token = wrong(
        Client::builder()
            .base_url("http://localhost")
            .business_id(BUSINESS),
        "token",
    );
    assert!(without_token.to_string().contains("LAYER_TOKEN"));
    let without_business = wrong(
        Client::builder().base_url("http://localhost").token(TOKEN),
        "business_id",
    );
    assert!(without_business.to_string().contains("LAYER_BUSINESS_ID"));
}

#[test]
fn a_base_url_that_cannot_be_right_is_refused() {
    let cases = [
        ("", "isn't an address"),
        ("sandbox.layerfi.com", "isn't an address"),
        ("ftp://sandbox.layerfi.com", "whose scheme is ftp"),
        (
            "https://user:5ecret@sandbox.layerfi.com",
            "holds a user name or password",
        ),
        (
            "https://5ecret@sandbox.layerfi.com",
            "holds a user name or password",
        ),
        (
            "https://sandbox.layerfi.com/?key=5ecret",
            "has a `?` or `#` part",
        ),
        ("https://sandbox.layerfi.com/#top", "has a `?` or `#` part"),
        (
            "https://sandbox.layerfi.com/v1/",
            "leave out /v1, which every path begins with",
        ),
        (
            "http://sandbox.layerfi.com",
            "over which secrets would cross the network unencrypted",
        ),
        ("http://10.0.0.7:8080", "set `allow_plain_http`"),
        ("http://localhost.example", "set `allow_plain_http`"),
        ("http://[2001:db8::1]", "set `allow_plain_http`"),
    ];
    for (url, fault) in cases {
        let error = wrong(builder().base_url(url), "base_url");
        assert!(error.to_string().contains(fault), "{url}: {error}");
    }
}

#[cfg(not(feature = "rustls"))]
#[test]
fn https_needs_a_build_that_has_it() {
    let error = wrong(builder().environment(Environment::Sandbox), "base_url");
    assert!(
        error.to_string().contains("turn on the feature `rustls`"),
        "{error}"
    );
}

#[test]
fn plain_http_is_for_this_machine_or_on_demand() {
    for url in [
        "http://localhost:8080",
        "http://api.localhost",
        "http://127.0.0.1:1",
        "http://127.9.9.9",
        "http://[::1]:80",
    ] {
        builder().base_url(url).build().expect("this machine");
    }
    let client = builder()
        .base_url("http://server:8080")
        .allow_plain_http(true)
        .build()
        .expect("it's allowed");
    assert_eq!(client.base_url(), "http://server:8080");
}

#[test]
fn a_token_that_cannot_be_right_is_refused() {
    let cases = [
        ("", "is empty"),
        ("Bearer tok_5ecret", "holds a space"),
        ("tok_5ecret\n", "holds a line break"),
        ("tok_5ecrét", "another character that a token can't have"),
    ];
    for (token, fault) in cases {
        let error = wrong(builder().base_url("http://localhost").token(token), "token");
        assert!(error.to_string().contains(fault), "{error}");
        assert!(
            error
                .to_string()
                .contains("give the access token alone, without `Bearer`"),
            "{error}"
        );
    }
}

#[test]
fn times_and_names_are_checked() {
    assert_eq!(
        [
            DEFAULT_CONNECT_TIMEOUT,
            DEFAULT_ATTEMPT_TIMEOUT,
            DEFAULT_TIMEOUT
        ],
        [10, 30, 60].map(Duration::from_secs)
    );
    let complete = || builder().base_url("http://localhost");
    let day = Duration::from_secs(24 * 60 * 60);
    type Set = fn(Builder, Duration) -> Builder;
    let settings: [(&str, Set); 3] = [
        ("timeout", Builder::timeout),
        ("attempt_timeout", Builder::attempt_timeout),
        ("connect_timeout", Builder::connect_timeout),
    ];
    for (setting, set) in settings {
        let zero = wrong(set(complete(), Duration::ZERO), setting);
        assert!(zero.to_string().contains("is zero"), "{zero}");
        for no_limit in [day + Duration::from_nanos(1), Duration::MAX] {
            let error = wrong(set(complete(), no_limit), setting);
            assert!(error.to_string().contains("which is no limit"), "{error}");
        }
        for limit in [Duration::from_nanos(1), day] {
            set(complete(), limit).build().expect("a limit");
        }
    }
    wrong(complete().user_agent("two\nlines"), "user_agent");
    let shown = format!("{:?}", complete().build().expect("right settings"));
    assert!(
        shown.contains(" timeout: 60s, attempt_timeout: 30s")
            && shown.contains("connect_timeout: Some(10s)"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_path_before_v1_and_a_slash_at_the_end_are_fine() {
    for (prefix, given) in [
        ("", ""),
        ("", "/"),
        ("/layer/api", "/layer/api"),
        ("/layer/api", "/layer/api//"),
    ] {
        let server = MockServer::start().await;
        let page = ResponseTemplate::new(200).set_body_json(json!({"data": []}));
        Mock::given(method("GET"))
            .and(path(format!("{prefix}{PAYMENTS_PATH}")))
            .respond_with(page)
            .mount(&server)
            .await;
        let client = builder()
            .base_url(format!("{}{given}", server.uri()))
            .build()
            .expect("right settings");
        client.list().send().await.expect("the path is right");
    }
}

#[test]
fn nothing_shows_the_token() {
    let builder = builder().base_url("http://localhost");
    let client = builder.clone().build().expect("right settings");
    let shown = format!(
        "{:?} {:#?} {:?} {:#?} {:?} {:?}",
        builder,
        builder,
        client,
        client,
        client.list().limit(1),
        Token::from(TOKEN)
    );
    assert!(shown.contains("redacted"));
    assert!(
        !shown.contains(TOKEN) && !shown.contains("Bearer"),
        "{shown}"
    );
}

/// All settings, with a password or secret wherever one may be or may be put by mistake.
#[test]
fn nothing_shows_a_password() {
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("x-key", "5ecret".parse().expect("a header"));
    let http = reqwest::Client::builder().default_headers(headers).build();
    let credentials = ClientCredentials::new("client-1", "5ecret")
        .token_url("https://user:5ecret@auth.example/token?key=5ecret");
    let builder = builder()
        .environment(Environment::Sandbox)
        .base_url("https://5ecret@gateway.example/?key=5ecret")
        .proxy("http://user:5ecret@proxy.example:3128")
        .http_client(http.expect("an HTTP client"))
        .credentials(credentials.clone());
    for shown in [
        format!("{builder:?} {credentials:?}"),
        format!("{builder:#?} {credentials:#?}"),
    ] {
        assert!(!shown.contains("5ecret"), "{shown}");
        for part in [
            "Sandbox",
            "client-1",
            "proxy.example:3128",
            "auth.example/token",
        ] {
            assert!(shown.contains(part), "{shown}");
        }
    }
}

#[test]
fn clients_can_be_shared_and_calls_sent_to_other_threads() {
    fn is_shared<T: Send + Sync + Clone + 'static>() {}
    is_shared::<Client>();
    is_shared::<Builder>();
    is_shared::<ClientCredentials>();
    is_shared::<IssuedToken>();
    is_shared::<ListPayments>();
    fn is_sent<T: Send + Sync + 'static>() {}
    is_sent::<Error>();
    is_sent::<Reply<()>>();

    fn moves<T: Send>(_: T) {}
    let client = builder().base_url("http://localhost").build();
    let client = client.expect("right settings");
    let (create, changes) = (create("payment-1").0, changes().0);
    moves(client.record(Unchecked(&create)));
    moves(client.bulk(Unchecked(std::slice::from_ref(&create))));
    moves(client.update(PAYMENT, Unchecked(&changes)));
    moves(client.list().send());
    let mut stream = client.list().stream();
    moves(stream.next());
    moves(stream);
}

#[test]
fn environments_say_where_tokens_are_had_and_how_many_calls_they_take() {
    let layers = "https://auth.layerfi.com/oauth2/token";
    let facts = [
        (
            Environment::Sandbox,
            layers,
            Some("https://sandbox.layerfi.com/sandbox"),
            Some(100),
        ),
        (
            Environment::Production,
            layers,
            Some("https://api.layerfi.com/production"),
            Some(500),
        ),
        (
            Environment::ProductionCanada,
            layers,
            Some("https://api-ca.layerfi.com/production"),
            Some(500),
        ),
        (
            Environment::Local,
            "http://127.0.0.1:8080/oauth2/token",
            None,
            None,
        ),
    ];
    for (environment, token_url, scope, rate_limit) in facts {
        let found = (
            environment.token_url(),
            environment.scope(),
            environment.rate_limit(),
        );
        assert_eq!(found, (token_url, scope, rate_limit));
    }
}

/// Credentials with an address that gives tokens, of an API on this machine.
fn with_token_url(url: &str) -> Builder {
    builder()
        .base_url("http://localhost")
        .credentials(ClientCredentials::new("client-1", "tok_5ecret-of-client-1").token_url(url))
}

#[test]
fn the_address_that_gives_tokens_is_given_and_safe() {
    let credentials = || ClientCredentials::new("client-1", "tok_5ecret-of-client-1");
    let alone = builder()
        .base_url("http://localhost")
        .credentials(credentials());
    let error = wrong(alone, "credentials.token_url");
    assert_eq!(
        error.to_string(),
        "the setting `credentials.token_url` (variable LAYER_TOKEN_URL) isn't given, and without \
         an environment it must be; call `ClientCredentials::token_url`"
    );
    let local = builder().environment(Environment::Local);
    local
        .credentials(credentials())
        .build()
        .expect("it's the environment's");

    let cases = [
        ("", "isn't an address"),
        (
            "auth.example",
            "isn't an address (relative URL without a base); give one such as https://auth.layerfi.com/oauth2/token",
        ),
        ("ftp://auth.example/?key=5ecret", "has a `?` or `#` part"),
        (
            "https://user:5ecret@auth.example/",
            "holds a user name or password",
        ),
        (
            "https://auth.example/token?key=5ecret",
            "has a `?` or `#` part",
        ),
        (
            "http://auth.example/token",
            "over which secrets would cross the network unencrypted",
        ),
    ];
    for (url, fault) in cases {
        let error = wrong(with_token_url(url), "credentials.token_url");
        assert!(error.to_string().contains(fault), "{url}: {error}");
    }
    let allowed = with_token_url("http://auth.example/token").allow_plain_http(true);
    allowed.build().expect("it's allowed");
    with_token_url("http://localhost/token")
        .build()
        .expect("this machine");
}

#[test]
fn credentials_that_cannot_be_right_are_refused() {
    let cases = [
        ("", "5ecret", "credentials.id", "is empty"),
        ("client:1", "5ecret", "credentials.id", "holds a colon"),
        (
            "client 1",
            "5ecret",
            "credentials.id",
            "holds a colon, a blank",
        ),
        (
            "client-1\n",
            "5ecret",
            "credentials.id",
            "another character",
        ),
        ("client-1", "", "credentials.secret", "is empty"),
        ("client-1", "5ecret\n", "credentials.secret", "a line break"),
        (
            "client-1",
            "5ecret 5ecret",
            "credentials.secret",
            "holds a blank",
        ),
        (
            "client-1",
            "5ecrét",
            "credentials.secret",
            "another character",
        ),
    ];
    for (id, secret, setting, fault) in cases {
        let credentials = ClientCredentials::new(id, secret).token_url("http://localhost/token");
        let error = wrong(
            builder()
                .base_url("http://localhost")
                .credentials(credentials),
            setting,
        );
        assert!(error.to_string().contains(fault), "{error}");
        assert!(
            error.to_string().contains("(variable LAYER_CLIENT_"),
            "{error}"
        );
    }
}

/// A proxy that answers each request with `reply`, and tells what it was asked.
async fn proxy(reply: &'static str) -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = read_request(&mut stream).await;
            let _ = stream.write_all(reply.as_bytes()).await;
            let _ = sender.send(head);
        }
    });
    (address.to_string(), receiver)
}

/// The requests that a proxy was sent, each with its first line and its credentials for the proxy.
fn asked(requests: &mut mpsc::UnboundedReceiver<String>) -> Vec<(String, Option<String>)> {
    std::iter::from_fn(|| requests.try_recv().ok())
        .map(|head| {
            let line = head.lines().next().unwrap_or_default().to_owned();
            let given = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("proxy-authorization")
                    .then(|| value.to_owned())
            });
            (line, given)
        })
        .collect()
}

#[tokio::test]
async fn all_connections_are_made_through_the_proxy() {
    // An answer that will do for both an authorization server and the API.
    let (address, mut requests) = proxy(
        "HTTP/1.1 200 OK\r\nContent-Length: 55\r\nConnection: close\r\n\r\n\
         {\"access_token\": \"tok_5ecret-by-the-proxy\", \"data\": []}",
    )
    .await;
    for (host, auth) in [
        ("layer.example", "auth.example"),
        ("127.0.0.1:1", "localhost:1"),
    ] {
        let client = builder()
            .base_url(format!("http://{host}"))
            .credentials(
                ClientCredentials::new("client-1", "tok_5ecret-of-client-1")
                    .token_url(format!("http://{auth}/token")),
            )
            .allow_plain_http(true)
            .proxy(format!("http://user:5ecret@{address}"))
            .build()
            .expect("right settings");
        client.list().send().await.expect("the proxy answers");
        let credentials = Some("Basic dXNlcjo1ZWNyZXQ=".to_owned());
        assert_eq!(
            asked(&mut requests),
            [
                (
                    format!("POST http://{auth}/token HTTP/1.1"),
                    credentials.clone()
                ),
                (
                    format!("GET http://{host}{PAYMENTS_PATH} HTTP/1.1"),
                    credentials
                ),
            ]
        );
        assert!(!format!("{client:?}").contains("5ecret"));
    }
}

#[cfg(feature = "rustls")]
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_sees_of_https_only_where_it_goes() {
    let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
    let (address, mut requests) = proxy(refusal).await;
    let client = builder()
        .environment(Environment::Sandbox)
        .proxy(format!("http://user:5ecret@{address}"))
        .build();
    let error = client.expect("right settings").list().send().await;
    let error = error.expect_err("the proxy refuses");
    assert!(error.is_connect(), "{error}");
    assert!(
        !format!("{error} {error:?}").contains("5ecret"),
        "{error:?}"
    );
    let head = requests.recv().await.expect("a request");
    assert!(
        head.starts_with("CONNECT sandbox.layerfi.com:443 HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(!head.contains("Bearer") && !head.contains(TOKEN), "{head}");

    // Without a setting it's that of the environment.
    let business = BUSINESS.to_string();
    let proxy = format!("http://{address}");
    let shown = run_with(&[
        ("LAYER_ENVIRONMENT", "sandbox"),
        ("LAYER_TOKEN", TOKEN),
        ("LAYER_BUSINESS_ID", &business),
        ("HTTPS_PROXY", &proxy),
        ("https_proxy", &proxy),
    ]);
    assert!(
        shown.contains("\nfailed: list_invoice_payments: can't connect"),
        "{shown}"
    );
    let head = requests.recv().await.expect("a request");
    assert!(
        head.starts_with("CONNECT sandbox.layerfi.com:443 HTTP/1.1\r\n"),
        "{head}"
    );
}

#[test]
fn a_proxy_that_cannot_be_right_is_refused_and_not_shown() {
    for url in [
        "",
        "proxy.example:3128",
        "user:5ecret@proxy.example:3128",
        "http://user:5ecret@",
        "http://user:5ecret@proxy.example:port",
        "socks5://user:5ecret@proxy.example:1080",
        "ftp://user:5ecret@proxy.example",
    ] {
        let error = wrong(builder().base_url("http://localhost").proxy(url), "proxy");
        assert_eq!(
            error.to_string(),
            "the setting `proxy` isn't a proxy's address; give one such as \
             http://proxy.example:3128"
        );
    }
}

#[test]
fn what_an_http_client_of_ones_own_decides_is_not_set_beside_it() {
    for complete in [
        builder().base_url("http://localhost"),
        with_token_url("http://localhost/token"),
    ] {
        let complete = complete.http_client(reqwest::Client::new());
        let client = complete.clone().build().expect("right settings");
        assert!(
            format!("{client:?}").contains("connect_timeout: None"),
            "{client:?}"
        );
        let error = wrong(
            complete.clone().proxy("http://user:5ecret@proxy.example"),
            "proxy",
        );
        assert!(
            error.to_string().contains("is given beside `http_client`"),
            "{error}"
        );
        let limit = DEFAULT_CONNECT_TIMEOUT;
        let error = wrong(complete.connect_timeout(limit), "connect_timeout");
        assert!(
            error.to_string().contains("is given beside `http_client`"),
            "{error}"
        );
    }
}

/// A server that takes connections and requests and answers none. It tells when it was asked.
async fn silent_server() -> (String, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut first = [0];
            let _ = stream.peek(&mut first).await;
            if first != [0x16] {
                // It isn't a TLS greeting.
                read_request(&mut stream).await;
            }
            open.push(stream);
            let _ = sender.send(());
        }
    });
    (format!("http://{address}"), receiver)
}

/// How a list ends that is never answered: after so many seconds of a clock that is stopped once
/// the server was asked, and then put forward to whatever is waited for.
async fn unanswered(
    client: Client,
    asked: &mut mpsc::UnboundedReceiver<()>,
    seconds: u64,
) -> Error {
    let limit = Duration::from_secs(seconds);
    let before = Instant::now();
    let call = tokio::spawn(async move { client.list().send().await });
    asked.recv().await.expect("the server is asked");
    tokio::time::pause();
    let stopped = Instant::now();
    let ended = call.await.expect("it ends");
    // The limit began to run between the two, and timers are rounded up to milliseconds.
    assert!(before.elapsed() >= limit, "{:?}", before.elapsed());
    let most = limit + Duration::from_millis(10);
    assert!(stopped.elapsed() <= most, "{:?}", stopped.elapsed());
    tokio::time::resume();
    ended.expect_err("nobody answers")
}

#[tokio::test]
async fn every_request_has_a_time_limit_that_nobody_has_to_set() {
    let (url, mut asked) = silent_server().await;
    // The second HTTP client has no limit of its own.
    for own in [None, Some(reqwest::Client::new())] {
        let with_own = |builder: Builder| match &own {
            None => builder,
            Some(http) => builder.http_client(http.clone()),
        };
        let of_the_api = with_own(builder().base_url(&url));
        let of_the_token = with_own(with_token_url(&format!("{url}/oauth2/token")));
        let client = of_the_api.build().expect("right settings");
        let error = unanswered(client, &mut asked, 30).await;
        assert!(error.is_timeout(), "{error}");
        assert_eq!(
            error.to_string(),
            "list_invoice_payments: no complete reply within 30s"
        );
        let client = of_the_token.build().expect("right settings");
        let error = unanswered(client, &mut asked, 30).await;
        assert!(
            error.is_token() && error.to_string().contains("didn't answer in time"),
            "{error}"
        );
    }
}

#[cfg(feature = "rustls")]
#[tokio::test]
async fn connecting_has_a_time_limit_that_nobody_has_to_set() {
    let (url, mut asked) = silent_server().await;
    let secure = url.replace("http:", "https:");
    let client = builder().base_url(&secure).build().expect("right settings");
    let error = unanswered(client, &mut asked, 10).await;
    assert!(error.is_connect() && error.is_timeout(), "{error}");
    let client = with_token_url(&secure).build().expect("right settings");
    let error = unanswered(client, &mut asked, 10).await;
    assert!(
        error.is_token() && error.to_string().contains("can't be reached"),
        "{error}"
    );

    // An HTTP client of one's own has its own limit of connecting, or that of an attempt.
    let http = || reqwest::Client::builder();
    let own = http().build().expect("an HTTP client");
    let client = builder().base_url(&secure).http_client(own).build();
    let error = unanswered(client.expect("right settings"), &mut asked, 30).await;
    assert!(error.is_timeout(), "{error}");
    let own = http().connect_timeout(Duration::from_secs(3)).build();
    let own = own.expect("an HTTP client");
    let client = builder().base_url(&secure).http_client(own).build();
    let error = unanswered(client.expect("right settings"), &mut asked, 3).await;
    assert!(error.is_connect() && error.is_timeout(), "{error}");
    let line = format!("can't connect to {secure} in time; nothing was sent");
    assert!(error.to_string().ends_with(&line), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_whole_call_has_a_time_limit_that_nobody_has_to_set() {
    let start = Instant::now();
    let client = builder()
        .base_url("http://localhost")
        .token_source(std::future::pending::<Result<IssuedToken, std::io::Error>>)
        .retry(RetryPolicy::new())
        .build();
    let call = client.expect("right settings").list().send().await;
    assert!(call.expect_err("there is no token").is_timeout());
    assert_eq!(start.elapsed(), DEFAULT_TIMEOUT);
}

#[tokio::test]
async fn time_limits_hold_for_an_http_client_of_ones_own() {
    let url = raw_server("", Then::KeepOpen).await;
    let short = Duration::from_millis(200);
    let own = || builder().base_url(&url).http_client(reqwest::Client::new());
    for builder in [own().timeout(short), own().attempt_timeout(short)] {
        let call = builder.build().expect("right settings").list().send().await;
        let error = call.expect_err("nobody answers");
        assert!(error.is_timeout(), "{error}");
        assert!(
            error.to_string().contains("no complete reply within 200ms"),
            "{error}"
        );
    }
}

/// Runs `in_an_environment` below in a process with these variables, since a process can't safely
/// change its own.
fn run_with(variables: &[(&str, impl AsRef<OsStr>)]) -> String {
    let mut command = Command::new(std::env::current_exe().expect("this test's program"));
    command.args([
        "--exact",
        "settings::in_an_environment",
        "--ignored",
        "--nocapture",
    ]);
    for name in [
        "LAYER_ENVIRONMENT",
        "LAYER_BASE_URL",
        "LAYER_TOKEN",
        "LAYER_CLIENT_ID",
        "LAYER_CLIENT_SECRET",
        "LAYER_SCOPE",
        "LAYER_TOKEN_URL",
        "LAYER_BUSINESS_ID",
        "NO_PROXY",
        "no_proxy",
    ] {
        command.env_remove(name);
    }
    for (name, value) in variables {
        command.env(name, value);
    }
    let output = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
    text
}

#[tokio::test]
#[ignore = "run by the tests around it, in a process with an environment of its own"]
async fn in_an_environment() {
    match Client::from_env() {
        Ok(client) => match client.list().send().await {
            Ok(page) => println!("\nlisted {} for {}", page.data.len(), client.business_id()),
            Err(error) => println!("\nfailed: {error}"),
        },
        Err(error) => println!("\nwrong {:?}: {error}", error.setting()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_gives_a_client() {
    let server = MockServer::start().await;
    let page = ResponseTemplate::new(200).set_body_json(json!({"data": []}));
    Mock::given(method("GET"))
        .and(path(PAYMENTS_PATH))
        .respond_with(page)
        .mount(&server)
        .await;
    let business = BUSINESS.to_string();
    let url = format!("{}/", server.uri());
    let right = [
        ("LAYER_BASE_URL", url.as_str()),
        ("LAYER_TOKEN", TOKEN),
        ("LAYER_BUSINESS_ID", business.as_str()),
    ];
    assert!(run_with(&right).contains(&format!("\nlisted 0 for {business}")));
    let requests = server
        .received_requests()
        .await
        .expect("requests are recorded");
    assert_eq!(
        requests[0].headers["authorization"],
        format!("Bearer {TOKEN}")
    );

    // What is meant for this machine doesn't go through a proxy: port 1 would answer nobody.
    let proxied = [
        right[0],
        right[1],
        right[2],
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("http_proxy", "http://127.0.0.1:1"),
    ];
    assert!(run_with(&proxied).contains("\nlisted 0"));
}

#[test]
fn a_wrong_environment_is_named_by_variable() {
    let right = [
        ("LAYER_BASE_URL", "http://localhost"),
        ("LAYER_TOKEN", TOKEN),
        ("LAYER_BUSINESS_ID", "738ec216-e8e5-48f2-b7f2-cdc89c96b3d4"),
    ];
    for (index, setting) in ["base_url", "token", "business_id"].into_iter().enumerate() {
        let variable = right[index].0;
        let mut without = right.to_vec();
        without.remove(index);
        let shown = run_with(&without);
        let line = format!(
            "\nwrong Some(\"{setting}\"): the setting `{setting}` (variable {variable}) isn't given"
        );
        assert!(shown.contains(&line), "{shown}");

        let mut wrong = right;
        wrong[index].1 = "a b";
        let shown = run_with(&wrong);
        assert!(
            shown.contains(&format!("\nwrong Some(\"{setting}\")")) && shown.contains(variable),
            "{shown}"
        );
        assert!(!shown.contains(TOKEN), "{shown}");
    }
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_unicode_is_named_and_not_shown() {
    use std::os::unix::ffi::OsStrExt;

    let token = OsStr::from_bytes(b"tok_5ecret\xff");
    let shown = run_with(&[
        ("LAYER_BASE_URL", OsStr::new("http://localhost")),
        ("LAYER_TOKEN", token),
    ]);
    assert!(
        shown.contains("the setting `token` (variable LAYER_TOKEN) isn't Unicode; set LAYER_TOKEN to the access token"),
        "{shown}"
    );
    assert!(!shown.contains("5ecret"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_gives_credentials() {
    let authority = MockServer::start().await;
    let token = json!({"access_token": "tok_5ecret-had", "token_type": "Bearer"});
    Mock::given(method("POST"))
        .and(path("/oauth2/token"))
        .respond_with(ResponseTemplate::new(200).set_body_json(token))
        .mount(&authority)
        .await;
    let api = MockServer::start().await;
    let page = ResponseTemplate::new(200).set_body_json(json!({"data": []}));
    Mock::given(wiremock::matchers::header(
        "authorization",
        "Bearer tok_5ecret-had",
    ))
    .respond_with(page)
    .mount(&api)
    .await;
    let (business, url) = (BUSINESS.to_string(), api.uri());
    let token_url = format!("{}/oauth2/token", authority.uri());
    let mut variables = vec![
        ("LAYER_ENVIRONMENT", ""),
        ("LAYER_BASE_URL", url.as_str()),
        ("LAYER_TOKEN", ""),
        ("LAYER_CLIENT_ID", "client-1"),
        ("LAYER_CLIENT_SECRET", "tok_5ecret-of-client-1"),
        ("LAYER_SCOPE", ""),
        ("LAYER_TOKEN_URL", token_url.as_str()),
        ("LAYER_BUSINESS_ID", business.as_str()),
    ];
    let scopes = [
        ("", "", None),
        (
            "sandbox",
            "",
            Some("https%3A%2F%2Fsandbox.layerfi.com%2Fsandbox"),
        ),
        ("sandbox", "payments", Some("payments")),
    ];
    for (environment, scope, _) in scopes {
        variables[0].1 = environment;
        variables[5].1 = scope;
        assert!(run_with(&variables).contains("\nlisted 0"));
    }
    let asked = authority
        .received_requests()
        .await
        .expect("they are recorded");
    assert_eq!(asked.len(), scopes.len());
    for (asked, (_, _, scope)) in asked.iter().zip(scopes) {
        let form = String::from_utf8_lossy(&asked.body);
        let found = form.split('&').find_map(|pair| pair.strip_prefix("scope="));
        assert_eq!(found, scope);
    }
}

#[test]
fn variables_that_do_not_go_together_are_named() {
    let right = [
        ("LAYER_BASE_URL", "http://localhost"),
        ("LAYER_BUSINESS_ID", "738ec216-e8e5-48f2-b7f2-cdc89c96b3d4"),
    ];
    let id = ("LAYER_CLIENT_ID", "client-1");
    let secret = ("LAYER_CLIENT_SECRET", "tok_5ecret-of-client-1");
    let token = ("LAYER_TOKEN", TOKEN);
    let token_url = ("LAYER_TOKEN_URL", "http://localhost/token");
    let empty = ("LAYER_TOKEN", "");
    type Variables<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Variables<'_>, &str, &str, &str); 16] = [
        (
            &[token, token_url],
            "credentials.token_url",
            "LAYER_TOKEN_URL",
            "is given beside LAYER_TOKEN,",
        ),
        (
            &[token, ("LAYER_SCOPE", "payments")],
            "credentials.scope",
            "LAYER_SCOPE",
            "is given beside LAYER_TOKEN,",
        ),
        (
            &[id, secret, token_url, ("LAYER_SCOPE", " ")],
            "credentials.scope",
            "LAYER_SCOPE",
            "is empty",
        ),
        (
            &[token, id],
            "token",
            "LAYER_TOKEN",
            "is given beside LAYER_CLIENT_ID or",
        ),
        (
            &[token, secret],
            "token",
            "LAYER_TOKEN",
            "is given beside LAYER_CLIENT_ID or",
        ),
        (
            &[token, id, secret],
            "token",
            "LAYER_TOKEN",
            "is given beside LAYER_CLIENT_ID or",
        ),
        (
            &[id],
            "credentials.secret",
            "LAYER_CLIENT_SECRET",
            "isn't given, but LAYER_CLIENT_ID is",
        ),
        (
            &[id, empty, ("LAYER_CLIENT_SECRET", "")],
            "credentials.secret",
            "LAYER_CLIENT_SECRET",
            "isn't given, but LAYER_CLIENT_ID is",
        ),
        (
            &[secret],
            "credentials.id",
            "LAYER_CLIENT_ID",
            "isn't given, but LAYER_CLIENT_SECRET is",
        ),
        (
            &[],
            "token",
            "LAYER_TOKEN",
            "isn't given; set LAYER_TOKEN to the access token, or",
        ),
        (
            &[empty],
            "token",
            "LAYER_TOKEN",
            "isn't given; set LAYER_TOKEN to the access token, or",
        ),
        (
            &[id, secret],
            "credentials.token_url",
            "LAYER_TOKEN_URL",
            "isn't given, and without an",
        ),
        (
            &[id, secret, ("LAYER_TOKEN_URL", "http://auth.example")],
            "credentials.token_url",
            "LAYER_TOKEN_URL",
            "is http://auth.example/, over which secrets would cross",
        ),
        (
            &[("LAYER_CLIENT_ID", "client 1"), secret, token_url],
            "credentials.id",
            "LAYER_CLIENT_ID",
            "holds a colon, a blank",
        ),
        (
            &[id, ("LAYER_CLIENT_SECRET", "5ecret 5ecret"), token_url],
            "credentials.secret",
            "LAYER_CLIENT_SECRET",
            "holds a blank",
        ),
        (
            &[token, ("LAYER_ENVIRONMENT", "Sandbox")],
            "environment",
            "LAYER_ENVIRONMENT",
            "is \"Sandbox\"; it must be one of sandbox,",
        ),
    ];
    for (variables, setting, variable, fault) in cases {
        let shown = run_with(&[&right, variables].concat());
        let line = format!(
            "\nwrong Some(\"{setting}\"): the setting `{setting}` (variable {variable}) {fault}"
        );
        assert!(shown.contains(&line), "{variables:?}: {shown}");
        assert!(!shown.contains("5ecret"), "{shown}");
    }
}
