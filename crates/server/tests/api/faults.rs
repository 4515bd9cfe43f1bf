//! Faults on demand: what a client sees of them, and what they leave in the books.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use layer_payments_server::{ApiClient, RateLimit};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::engine::fresh;
use crate::harness::{BUSINESS, Reply, TOKEN, TestClock, TestServer, config, payment, send};

async fn server() -> TestServer {
    TestServer::start(config(fresh()).faults(true)).await
}

/// Records a payment and asks for a fault.
fn asking(server: &TestServer, external_id: &str, fault: &str) -> reqwest::RequestBuilder {
    server
        .request(Method::POST, "")
        .json(&payment(external_id))
        .header("x-fault", fault)
}

fn rules_request(server: &TestServer, method: Method) -> reqwest::RequestBuilder {
    let url = format!("{}/local/faults", server.base);
    server.client.request(method, url).bearer_auth(TOKEN)
}

async fn put_rules(server: &TestServer, rules: &Value) -> Reply {
    send(rules_request(server, Method::PUT).json(rules)).await
}

/// What comes of a request: its status, or that the connection was cut.
fn outcome(result: Result<Response, reqwest::Error>) -> String {
    match result {
        Ok(response) => response.status().as_u16().to_string(),
        Err(error) => {
            assert!(error.is_request(), "{error:?}");
            "cut".to_owned()
        }
    }
}

#[tokio::test]
async fn statuses_come_in_the_envelope_and_nothing_is_written() {
    let server = server().await;
    for (fault, status, retry_after) in [
        ("status=429", 429, Some("1")),
        ("status=429; retry-after=30", 429, Some("30")),
        ("status=500", 500, None),
        ("status=502", 502, None),
        ("status=503", 503, Some("1")),
        ("status=504; retry-after=2", 504, Some("2")),
    ] {
        let reply = send(asking(&server, "p", fault)).await;
        assert_eq!(reply.faults(status)[0].1, "fault-on-demand", "{fault}");
        let told = reply.headers.get("retry-after");
        assert_eq!(told.map(|it| it.to_str().unwrap()), retry_after, "{fault}");
        assert_eq!(reply.headers["x-fault"], fault);
    }
    assert!(server.listed("").await.is_empty());
}

#[tokio::test]
async fn a_page_as_from_a_proxy() {
    let server = server().await;
    let response = asking(&server, "p", "status=503; html")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["content-type"], "text/html");
    assert!(response.headers().get("retry-after").is_none());
    let page = response.text().await.unwrap();
    assert!(
        page.starts_with("<html>") && page.contains("503 Service Unavailable"),
        "{page}"
    );
    assert!(server.listed("").await.is_empty());
}

#[tokio::test]
async fn a_cut_before_the_write_and_one_after_it_look_the_same() {
    let server = server().await;
    for (fault, outcome) in [("cut=before", "created"), ("cut=after", "unchanged")] {
        let error = asking(&server, fault, fault).send().await.unwrap_err();
        assert!(error.is_request(), "{error:?}");
        // The client repeats what it got no reply for, and only the books know the difference.
        let again = server.record(&payment(fault)).await.ok();
        assert_eq!(again.outcomes(), json!([outcome]), "{fault}");
    }
    assert_eq!(server.listed("").await.len(), 2);
}

#[tokio::test]
async fn a_cut_is_a_reset_without_a_byte_and_hits_its_connection_only() {
    let server = server().await;
    let address = server.base.strip_prefix("http://").unwrap();
    let body = payment("p").to_string();
    let request = |fault: &str| {
        format!(
            "POST /v1/businesses/{BUSINESS}/invoices/payments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n{fault}\r\n{body}",
            body.len()
        )
    };
    let mut other = TcpStream::connect(address).await.unwrap();
    other
        .write_all(&request("").as_bytes()[..100])
        .await
        .unwrap();
    for fault in ["cut=before", "cut=after"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let text = request(&format!("X-Fault: {fault}\r\n"));
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut read = Vec::new();
        let error = stream.read_to_end(&mut read).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{fault}");
        assert!(read.is_empty(), "{}", String::from_utf8_lossy(&read));
    }
    other
        .write_all(&request("Connection: close\r\n").as_bytes()[100..])
        .await
        .unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn latency_comes_before_the_rest() {
    let server = server().await;
    for (fault, status) in [("latency=60ms", 201), ("latency=60ms; status=503", 503)] {
        let started = Instant::now();
        let reply = send(asking(&server, fault, fault)).await;
        assert!(started.elapsed() >= Duration::from_millis(60));
        assert_eq!(reply.status.as_u16(), status);
        assert_eq!(reply.headers["x-fault"], fault);
    }
    assert_eq!(server.listed("").await, ["latency=60ms"]);
}

#[tokio::test]
async fn what_is_not_a_fault_is_refused_and_nothing_is_written() {
    let server = server().await;
    for fault in ["", "status=404", "cut=never", "status=503; status=503"] {
        let reply = send(asking(&server, "p", fault)).await;
        assert_eq!(reply.faults(400)[0].1, "fault-malformed", "{fault}");
    }
    let twice = asking(&server, "p", "none").header("x-fault", "none");
    assert_eq!(send(twice).await.faults(400)[0].1, "fault-malformed");
    assert!(server.listed("").await.is_empty());
    send(asking(&server, "p", "none")).await.ok();
}

#[tokio::test]
async fn a_server_that_does_not_allow_faults_makes_none() {
    let server = TestServer::fresh().await;
    let reply = send(asking(&server, "p", "cut=after")).await;
    assert_eq!(reply.faults(400)[0].1, "faults-off");
    let put = put_rules(&server, &json!({"rules": [{"fault": "status=500"}]})).await;
    assert_eq!(put.faults(400)[0].1, "faults-off");
    let shown = send(rules_request(&server, Method::GET)).await.ok();
    assert_eq!(shown.body["data"]["allowed"], false);
    assert_eq!(shown.body["data"]["rules"], json!([]));
    server.record(&payment("p")).await.ok();
}

#[tokio::test]
async fn only_who_may_send_a_request_can_break_it() {
    let config = config(fresh())
        .faults(true)
        .client(ApiClient::new("my-app", "hush").unwrap());
    let server = TestServer::start(config).await;
    let rules = json!({"rules": [{"fault": "status=500"}]});
    put_rules(&server, &rules).await.ok();
    for token in ["wrong", ""] {
        let request = server
            .client
            .get(server.payments_url())
            .bearer_auth(token)
            .header("x-fault", "cut=before");
        send(request).await.faults(401);
    }
    // A token of one business opens no rules, since they concern all.
    let url = format!("{}/v1/businesses/{BUSINESS}/auth-token", server.base);
    let request = server.client.post(url).bearer_auth(TOKEN);
    let granted = send(request.header("x-fault", "none")).await.ok();
    let token = granted.body["access_token"].as_str().unwrap();
    let url = format!("{}/local/faults", server.base);
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let request = server.client.request(method, &url).bearer_auth(token);
        send(request.json(&rules)).await.faults(401);
    }
    // And the routes of the server itself are never struck.
    send(rules_request(&server, Method::DELETE).header("x-fault", "status=500"))
        .await
        .ok();
    server.list("").await.ok();
}

/// What comes of so many requests, one after another.
async fn run(server: &TestServer, rules: &Value, requests: usize) -> Vec<String> {
    put_rules(server, rules).await.ok();
    let mut outcomes = Vec::new();
    for _ in 0..requests {
        outcomes.push(outcome(server.request(Method::GET, "").send().await));
    }
    outcomes
}

#[tokio::test]
async fn the_same_seed_strikes_the_same_requests() {
    let rules = |seed: u64| {
        json!({"seed": seed, "rules": [
            {"fault": "cut=before", "probability": 0.2},
            {"fault": "status=503; html", "probability": 0.3},
        ]})
    };
    let first = server().await;
    let outcomes = run(&first, &rules(7), 60).await;
    // Each of the three comes up, and about as often as asked.
    let count = |what: &str| outcomes.iter().filter(|it| *it == what).count();
    assert!((4..=20).contains(&count("cut")), "{outcomes:?}");
    assert!((6..=26).contains(&count("503")), "{outcomes:?}");
    assert_eq!(count("cut") + count("503") + count("200"), 60);
    let shown = send(rules_request(&first, Method::GET)).await.ok();
    let data = &shown.body["data"];
    assert_eq!(data["requests"], 60);
    assert_eq!(data["rules"][0]["struck"], count("cut"));
    assert_eq!(data["rules"][1]["struck"], count("503"));
    // Again, on this server and on another one.
    assert_eq!(run(&first, &rules(7), 60).await, outcomes);
    assert_eq!(run(&server().await, &rules(7), 60).await, outcomes);
    assert_ne!(run(&first, &rules(8), 60).await, outcomes);
}

#[tokio::test]
async fn rules_strike_the_operations_that_they_name_and_the_first_decides() {
    let server = server().await;
    let rules = json!({"rules": [
        {"fault": "status=500", "probability": 0},
        {"fault": "status=502", "operations": ["record_invoice_payment", "whoami"]},
        {"fault": "status=504", "operations": ["record_invoice_payment"]},
    ]});
    let reply = put_rules(&server, &rules).await.ok();
    assert_eq!(reply.body["data"]["type"], "Fault_Rules");
    assert_eq!(reply.body["data"]["seed"], 0);
    assert_eq!(reply.body["data"]["rules"][0]["operations"], Value::Null);
    server.record(&payment("p")).await.faults(502);
    let whoami = server.client.get(format!("{}/whoami", server.base));
    send(whoami.bearer_auth(TOKEN)).await.faults(502);
    server.list("").await.ok();
    server.bulk(&json!([payment("bulk")])).await.ok();
    // The header of a request comes before the rules.
    send(asking(&server, "spared", "none")).await.ok();
    send(asking(&server, "p", "status=503")).await.faults(503);
    let emptied = send(rules_request(&server, Method::DELETE)).await.ok();
    assert_eq!(emptied.body["data"]["rules"], json!([]));
    server.record(&payment("p")).await.ok();
    assert_eq!(server.listed("").await.len(), 3);
}

#[tokio::test]
async fn a_rule_strikes_as_often_as_it_says_and_then_lets_the_next_decide() {
    let server = server().await;
    let rules = json!({"rules": [
        {"fault": "status=500", "times": 2, "operations": ["list_invoice_payments"]},
        {"fault": "status=502", "times": 1},
        {"fault": "none", "times": null},
    ]});
    let reply = put_rules(&server, &rules).await.ok();
    let times = |rule: usize| &reply.body["data"]["rules"][rule]["times"];
    assert_eq!(
        [times(0), times(1), times(2)],
        [&json!(2), &json!(1), &json!(null)]
    );
    let mut outcomes = Vec::new();
    for _ in 0..5 {
        outcomes.push(outcome(server.request(Method::GET, "").send().await));
    }
    assert_eq!(outcomes, ["500", "500", "502", "200", "200"]);
    // Set anew, they strike anew.
    put_rules(&server, &rules).await.ok();
    server.list("").await.faults(500);
}

#[tokio::test]
async fn wrong_rules_are_told_with_their_place_and_the_old_ones_stay() {
    let server = server().await;
    let old = json!({"rules": [{"fault": "status=500"}]});
    put_rules(&server, &old).await.ok();
    let many = json!({"rules": vec![json!({"fault": "none"}); 101]});
    for (rules, pointer, part) in [
        (json!({}), "", "missing field `rules`"),
        (json!([]), "", "expected an object"),
        (json!({"rules": [{}]}), "/rules/0", "missing field `fault`"),
        (
            json!({"rules": [{"fault": "none"}, {"fault": "status=1"}]}),
            "/rules/1/fault",
            "429, 500, 502, 503 or 504",
        ),
        (
            json!({"rules": [{"fault": "none", "probability": 1.5}]}),
            "/rules/0/probability",
            "from 0 to 1",
        ),
        (
            json!({"rules": [{"fault": "none", "operations": []}]}),
            "/rules/0/operations",
            "record_invoice_payment",
        ),
        (
            json!({"rules": [{"fault": "none", "operations": ["get_faults"]}]}),
            "/rules/0/operations",
            "record_invoice_payment",
        ),
        (
            json!({"rules": [{"fault": "none", "times": 0}]}),
            "/rules/0/times",
            "from 1",
        ),
        (
            json!({"rules": [{"fault": "none", "chance": 1}]}),
            "/rules/0/chance",
            "unknown field `chance`",
        ),
        (
            json!({"rules": [], "seed": 9_007_199_254_740_992_u64}),
            "/seed",
            "9007199254740991",
        ),
        (json!({"rules": [], "seed": -1}), "/seed", "invalid value"),
        (many, "/rules", "at most 100"),
    ] {
        let reply = put_rules(&server, &rules).await;
        assert_eq!(
            reply.faults(400),
            [(pointer.to_owned(), "body-invalid".to_owned())],
            "{rules}: {reply:#?}"
        );
        let text = reply.body["errors"][0]["description"].as_str().unwrap();
        assert!(text.contains(part), "{text}");
    }
    let empty = rules_request(&server, Method::PUT);
    assert_eq!(send(empty).await.faults(400)[0].1, "json-malformed");
    server.list("").await.faults(500);
}

#[tokio::test]
async fn rules_see_what_the_rate_limit_lets_through() {
    let config = config(fresh())
        .faults(true)
        .rate_limit(RateLimit::new(2, 2))
        .clock(TestClock::at(0).clock());
    let server = TestServer::start(config).await;
    // The rules' own route isn't limited.
    for _ in 0..5 {
        put_rules(&server, &json!({"rules": [{"fault": "status=500"}]}))
            .await
            .ok();
    }
    for status in [500, 500, 429] {
        let reply = server.list("").await;
        reply.faults(status);
        assert_eq!(reply.headers["x-ratelimit-limit"], "2");
    }
}
