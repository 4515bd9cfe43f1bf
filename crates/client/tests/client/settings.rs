//! Settings: what is right works, what is wrong is an error that names it, and nothing shows the
//! token.

use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

use layer_payments_client::{
    Builder, Client, DEFAULT_CONNECT_TIMEOUT, DEFAULT_TIMEOUT, Environment, Error, Token,
};
use serde_json::json;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{BUSINESS, PAYMENTS_PATH, TOKEN, builder};

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
        (DEFAULT_CONNECT_TIMEOUT, DEFAULT_TIMEOUT),
        (Duration::from_secs(10), Duration::from_secs(60))
    );
    let complete = || builder().base_url("http://localhost");
    wrong(complete().timeout(Duration::ZERO), "timeout");
    wrong(
        complete().connect_timeout(Duration::ZERO),
        "connect_timeout",
    );
    wrong(complete().user_agent("two\nlines"), "user_agent");
    let shown = format!("{:?}", complete().build().expect("right settings"));
    assert!(
        shown.contains(" timeout: 60s, attempt_timeout: 30s")
            && shown.contains("connect_timeout: 10s"),
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
