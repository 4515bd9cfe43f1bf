//! What whoever runs the server asks it: whether it is well, and what it counts.

use layer_payments_server::RateLimit;
use reqwest::Method;
use serde_json::json;

use crate::engine::{Place, fresh};
use crate::harness::{BUSINESS, TOKEN, TestClock, TestServer, config, payment, send};

async fn metrics(server: &TestServer) -> String {
    let request = server
        .client
        .get(format!("{}/metrics", server.base))
        .bearer_auth(TOKEN);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    response.text().await.unwrap()
}

/// The value of a series.
#[track_caller]
fn value(metrics: &str, series: &str) -> f64 {
    let mut lines = metrics.lines();
    let line = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{metrics}"))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn a_server_that_is_well_says_so_to_everyone() {
    let place = Place::new();
    for server in [TestServer::fresh().await, TestServer::at(&place).await] {
        let reply = send(server.client.get(format!("{}/healthz", server.base))).await;
        assert_eq!(reply.status, 200);
        assert_eq!(
            reply.body,
            json!({"data": {"type": "Health", "status": "ok"}, "meta": {}})
        );
    }
}

#[tokio::test]
async fn requests_are_counted_by_operation_and_status() {
    let clock = TestClock::at(0);
    let config = config(fresh())
        .faults(true)
        .rate_limit(RateLimit::new(6, 6))
        .clock(clock.clock());
    let server = TestServer::start(config).await;
    server.record(&payment("a")).await.ok();
    server.record(&payment("b")).await.ok();
    server.record(&json!({})).await.faults(400);
    let path = format!("{}/nothing/{BUSINESS}", server.base);
    send(server.client.get(path)).await.faults(404);
    let cut = server
        .request(Method::GET, "")
        .header("x-fault", "cut=after");
    cut.send().await.unwrap_err();
    server.list("").await.ok();
    server.list("").await.faults(429);

    let text = metrics(&server).await;
    let requests = "layer_payments_http_requests_total";
    for (operation, status, count) in [
        ("record_invoice_payment", 201, 2.0),
        ("record_invoice_payment", 400, 1.0),
        ("(none)", 404, 1.0),
        ("list_invoice_payments", 0, 1.0),
        ("list_invoice_payments", 200, 1.0),
        ("list_invoice_payments", 429, 1.0),
    ] {
        let series = format!("{requests}{{operation=\"{operation}\",status=\"{status}\"}}");
        assert_eq!(value(&text, &series), count, "{series}");
    }
    let durations = "layer_payments_http_request_duration_seconds";
    let recorded = "operation=\"record_invoice_payment\"";
    assert_eq!(
        value(&text, &format!("{durations}_count{{{recorded}}}")),
        3.0
    );
    assert!(value(&text, &format!("{durations}_sum{{{recorded}}}")) > 0.0);
    let all = format!("{durations}_bucket{{{recorded},le=\"+Inf\"}}");
    assert_eq!(value(&text, &all), 3.0);
    // The one that asks.
    assert_eq!(value(&text, "layer_payments_http_requests_in_flight"), 1.0);
    assert_eq!(
        value(&text, "layer_payments_http_requests_rate_limited_total"),
        1.0
    );
    let faults = "layer_payments_faults_total{operation=\"list_invoice_payments\"}";
    assert_eq!(value(&text, faults), 1.0);
    // Neither paths nor tokens.
    assert!(!text.contains(BUSINESS) && !text.contains(TOKEN), "{text}");
}

#[tokio::test]
async fn metrics_need_a_token_of_everything() {
    let server = TestServer::fresh().await;
    let url = format!("{}/metrics", server.base);
    send(server.client.get(&url)).await.faults(401);
    let token = format!("{}/v1/businesses/{BUSINESS}/auth-token", server.base);
    let granted = send(server.client.post(token).bearer_auth(TOKEN))
        .await
        .ok();
    let token = granted.body["access_token"].as_str().unwrap();
    send(server.client.get(&url).bearer_auth(token))
        .await
        .faults(401);
}

#[tokio::test]
async fn the_rate_limit_does_not_count_these() {
    let config = config(fresh())
        .rate_limit(RateLimit::new(0, 0))
        .clock(TestClock::at(0).clock());
    let server = TestServer::start(config).await;
    server.list("").await.faults(429);
    let reply = send(server.client.get(format!("{}/healthz", server.base))).await;
    assert_eq!(reply.ok().headers["x-ratelimit-remaining"], "0");
    metrics(&server).await;
}
