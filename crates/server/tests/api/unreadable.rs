//! What isn't a request, or hardly one: written byte by byte, as no client library would.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{BUSINESS, TOKEN, TestServer, payment};

/// Writes bytes and reads all that comes back.
async fn answer(server: &TestServer, bytes: &[u8]) -> String {
    let address = server.base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// Checks the last reply of a connection: its status and that it has the envelope. Gives the code.
#[track_caller]
fn code(answer: &str, status: u16) -> String {
    let start = answer.rfind("HTTP/1.1 ").unwrap();
    let (head, body) = answer[start..].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    let head = head.to_lowercase();
    assert!(
        head.contains("\r\ncontent-type: application/json"),
        "{head}"
    );
    let length = format!("\r\ncontent-length: {}", body.len());
    assert!(head.contains(&length), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    let id = body["meta"]["request_id"].as_str().unwrap();
    assert!(head.contains(&format!("\r\nx-request-id: {id}")), "{head}");
    let error = &body["errors"][0];
    assert!(!error["description"].as_str().unwrap().is_empty());
    error["meta"]["code"].as_str().unwrap_or("").to_owned()
}

fn get(target: &str, headers: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n{headers}\r\n"
    )
}

fn payments() -> String {
    format!("/v1/businesses/{BUSINESS}/invoices/payments")
}

#[tokio::test]
async fn what_is_no_request_is_answered_in_the_envelope() {
    let server = TestServer::fresh().await;
    let post = |headers: &str| {
        format!(
            "POST {} HTTP/1.1\r\nHost: x\r\n{headers}\r\n{{}}",
            payments()
        )
    };
    for (bytes, status, expected) in [
        ("hello there\r\n\r\n".to_owned(), 400, "http-malformed"),
        (
            "\u{16}\u{3}\u{1}\0\r\n\r\n".to_owned(),
            400,
            "http-malformed",
        ),
        ("GET / HTTP/3.7\r\n\r\n".to_owned(), 400, "http-malformed"),
        (
            "GET /a b HTTP/1.1\r\n\r\n".to_owned(),
            400,
            "http-malformed",
        ),
        (get("/", "X: a\0b\r\n"), 400, "http-malformed"),
        (get("/", "X-A: 1\r\n folded\r\n"), 400, "http-malformed"),
        (
            post("Content-Length: 2\r\nContent-Length: 3\r\n"),
            400,
            "http-malformed",
        ),
        (post("Content-Length: -1\r\n"), 400, "http-malformed"),
        (post("Transfer-Encoding: gzip\r\n"), 400, "http-malformed"),
        (
            get(&format!("/?x={}", "y".repeat(70_000)), ""),
            414,
            "url-too-long",
        ),
        (
            get("/", &"X-A: y\r\n".repeat(101)),
            431,
            "headers-too-large",
        ),
        (
            get("/", &format!("X-A: {}\r\n", "y".repeat(1_000_000))),
            431,
            "headers-too-large",
        ),
    ] {
        let answer = answer(&server, bytes.as_bytes()).await;
        let start: String = bytes.chars().take(60).collect();
        assert_eq!(code(&answer, status), expected, "{start:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
    // The server is none the worse.
    server.record(&payment("p")).await.ok();
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_headers_takes_no_memory_beyond_its_limit() {
    let server = TestServer::fresh().await;
    let address = server.base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    // Never ends by itself: the server has to stop reading.
    let line = format!("X-A: {}\r\n", "y".repeat(8_000));
    let mut sent = 0;
    while stream.write_all(line.as_bytes()).await.is_ok() {
        sent += line.len();
        assert!(sent < 64 << 20, "the server reads on");
    }
    server.list("").await.ok();
}

#[tokio::test]
async fn garbage_after_a_request_is_told_apart_from_it() {
    let server = TestServer::fresh().await;
    let request = get(&payments(), "").replace("Connection: close\r\n", "");
    let answer = answer(&server, format!("{request}garbage\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(code(&answer, 400), "http-malformed");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 2, "{answer}");
}

#[tokio::test]
async fn odd_requests_are_answered_in_the_envelope() {
    let server = TestServer::fresh().await;
    let businesses = |id: &str| format!("/v1/businesses/{id}/invoices/payments");
    for (request, status, expected) in [
        (get("/%zz", ""), 404, "route-unknown"),
        (get("/%", ""), 404, "route-unknown"),
        (get("//", ""), 404, "route-unknown"),
        (get("*", ""), 404, "route-unknown"),
        (get("/v1/../whoami", ""), 404, "route-unknown"),
        (
            get(&format!("/{}", "y".repeat(60_000)), ""),
            404,
            "route-unknown",
        ),
        (get(&businesses("%zz"), ""), 400, "path-malformed"),
        (get(&businesses("%"), ""), 400, "path-malformed"),
        (get(&businesses("%00"), ""), 400, "path-malformed"),
        (get(&businesses("%FF%FE"), ""), 400, "path-malformed"),
        (
            get(&format!("{}?x={}", payments(), "y".repeat(60_000)), ""),
            400,
            "property-unknown",
        ),
        (
            get(&format!("{}?%zz", payments()), ""),
            400,
            "parameter-malformed",
        ),
        (
            get("a:80", "").replace("GET", "CONNECT"),
            404,
            "route-unknown",
        ),
        (get("*", "").replace("GET", "OPTIONS"), 404, "route-unknown"),
        (
            get(&payments(), "").replace("GET", "OPTIONS"),
            405,
            "method-not-allowed",
        ),
        (
            get(&payments(), "").replace("GET", "FROB"),
            405,
            "method-not-allowed",
        ),
        (
            get(&payments(), "").replace("GET", "TRACE"),
            405,
            "method-not-allowed",
        ),
        (
            get(
                &payments(),
                "Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n",
            )
            .replace("GET", "POST")
                + "zz\r\n{}\r\n",
            400,
            "body-incomplete",
        ),
    ] {
        let answer = answer(&server, request.as_bytes()).await;
        let start: String = request.chars().take(80).collect();
        assert_eq!(code(&answer, status), expected, "{start}");
    }
    // As many headers and as long as the limits let through.
    let headers = format!("X-A: {}\r\n", "y".repeat(100_000)) + &"X-B: y\r\n".repeat(90);
    let answer = answer(&server, get(&payments(), &headers).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_head_has_the_headers_of_its_get_and_no_body() {
    let server = TestServer::fresh().await;
    let head_of = |answer: &str| -> Vec<String> {
        let (head, _) = answer.split_once("\r\n\r\n").unwrap();
        let varying = ["x-request-id: ", "date: "];
        head.lines()
            .filter(|line| !varying.iter().any(|it| line.starts_with(it)))
            .map(str::to_owned)
            .collect()
    };
    for request in [
        get(&payments(), ""),
        get("/x", ""),
        get(&payments(), "").replace(TOKEN, "wrong"),
        get(&format!("{}?x=1", payments()), ""),
    ] {
        let with_body = answer(&server, request.as_bytes()).await;
        let without = answer(&server, request.replacen("GET", "HEAD", 1).as_bytes()).await;
        assert!(without.ends_with("\r\n\r\n"), "{without}");
        assert_eq!(head_of(&without), head_of(&with_body));
    }
}
