//! The rate limit, seen by clients.

use std::time::Duration;

use layer_payments_server::RateLimit;
use reqwest::Method;
use serde_json::json;

use crate::engine::fresh;
use crate::harness::{Reply, TOKEN, TestClock, TestServer, config, payment, send};

/// The limit's headers: limit, remaining, reset.
#[track_caller]
fn told(reply: &Reply) -> [u64; 3] {
    ["limit", "remaining", "reset"].map(|name| {
        let value = &reply.headers[format!("x-ratelimit-{name}")];
        value.to_str().unwrap().parse().unwrap()
    })
}

async fn server(clock: &TestClock, limit: RateLimit) -> TestServer {
    let config = config(fresh()).rate_limit(limit).clock(clock.clock());
    TestServer::start(config).await
}

#[tokio::test]
async fn requests_beyond_the_limit_wait_for_the_next_second() {
    let clock = TestClock::at(1_700_000_000_400);
    let server = server(&clock, RateLimit::new(3, 2)).await;
    let reset = 1_700_000_001;
    assert_eq!(
        told(&server.record(&payment("a")).await.ok()),
        [3, 1, reset]
    );
    assert_eq!(told(&server.list("").await.ok()), [3, 0, reset]);
    let refused = server.record(&payment("b")).await;
    assert_eq!(refused.faults(429)[0].1, "rate-limit-exceeded");
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(told(&refused), [3, 0, reset]);

    // As long as `Retry-After` says is long enough.
    clock.advance(Duration::from_secs(1));
    let created = server.record(&payment("b")).await.ok();
    assert_eq!(created.status, 201, "the refused request wrote something");
    assert_eq!(told(&created), [3, 2, reset + 1]);
}

#[tokio::test]
async fn every_reply_tells_the_limit_and_takes_a_token() {
    let clock = TestClock::at(5_000);
    let server = server(&clock, RateLimit::new(100, 100)).await;
    let mut remaining = 100;
    for (request, status) in [
        (server.client.get(server.payments_url()), 401),
        (
            server
                .client
                .get(server.payments_url())
                .bearer_auth("wrong"),
            401,
        ),
        (server.request(Method::POST, "").json(&json!({})), 400),
        (server.request(Method::DELETE, ""), 405),
        (server.request(Method::GET, "?x=1"), 400),
        (server.request(Method::POST, "").body("x"), 415),
        (
            server
                .client
                .get(format!("{}/nothing", server.base))
                .bearer_auth(TOKEN),
            404,
        ),
    ] {
        let reply = send(request).await;
        reply.faults(status);
        remaining -= 1;
        assert_eq!(told(&reply), [100, remaining, 6], "{reply:#?}");
    }
    let token = server.client.post(format!("{}/oauth2/token", server.base));
    assert_eq!(told(&send(token).await)[1], remaining - 1);
}

#[tokio::test]
async fn a_large_body_beyond_the_limit_still_gets_its_reply() {
    let server = server(&TestClock::at(0), RateLimit::new(0, 0)).await;
    let request = server
        .request(Method::POST, "/bulk")
        .header("content-type", "application/json")
        .body("x".repeat(5 << 20));
    send(request).await.faults(429);
}

#[tokio::test]
async fn without_a_limit_nothing_is_told() {
    let server = TestServer::fresh().await;
    let headers = server.list("").await.ok().headers;
    assert!(!headers.keys().any(|name| name.as_str().contains("rate")));
}
