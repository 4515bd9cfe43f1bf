//! Clients that stop sending: they are answered or cut off, and hold nothing up.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::engine::fresh;
use crate::harness::{BUSINESS, TOKEN, TestServer, config, payment};

/// Long enough for a slow machine, and far below the limits that aren't under test.
const SOON: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);

async fn connect(server: &TestServer) -> TcpStream {
    let address = server.base.strip_prefix("http://").unwrap();
    TcpStream::connect(address).await.unwrap()
}

/// Sends a request to record a payment, without the last byte of its body.
async fn send_all_but_a_byte(stream: &mut TcpStream) {
    let body = payment("slow").to_string();
    let request = format!(
        "POST /v1/businesses/{BUSINESS}/invoices/payments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
        body.len(),
        &body[..body.len() - 1]
    );
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// What the server sends until it closes the connection.
async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    tokio::time::timeout(SOON, stream.read_to_string(&mut answer))
        .await
        .expect("the server neither answers nor closes")
        .unwrap();
    answer
}

#[tokio::test]
async fn a_body_that_does_not_end_is_given_up() {
    let server = TestServer::start(config(fresh()).body_timeout(SHORT)).await;
    let mut stream = connect(&server).await;
    send_all_but_a_byte(&mut stream).await;
    let answer = answer(&mut stream).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    assert!(
        head.to_lowercase().contains("\r\nconnection: close"),
        "{head}"
    );
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["errors"][0]["type"], "Timeout");
    assert_eq!(body["errors"][0]["meta"]["code"], "body-timeout");
    assert!(body["meta"]["request_id"].is_string());
    assert!(server.listed("").await.is_empty());
}

#[tokio::test]
async fn headers_that_do_not_end_are_given_up() {
    let server = TestServer::start(config(fresh()).head_timeout(SHORT)).await;
    let mut silent = connect(&server).await;
    let mut half = connect(&server).await;
    half.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    // There is no whole request, so there is nothing to answer.
    assert_eq!(answer(&mut half).await, "");
    assert_eq!(answer(&mut silent).await, "");
    // One that goes on sending within the time is served.
    let mut whole = connect(&server).await;
    whole
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    whole.write_all(b"\r\n").await.unwrap();
    let text = answer(&mut whole).await;
    assert!(text.starts_with("HTTP/1.1 404 "), "{text}");
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_client_that_stopped_sending() {
    let server = TestServer::start(config(fresh()).shutdown_timeout(SHORT)).await;
    let mut stream = connect(&server).await;
    send_all_but_a_byte(&mut stream).await;
    // The server has it once it answers something that was sent later.
    server.list("").await.ok();
    let started = Instant::now();
    server.stop().await;
    assert!(started.elapsed() >= SHORT);
    assert!(started.elapsed() < SOON);
    let mut rest = Vec::new();
    // Cut off: an end or a reset, and no reply.
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut rest))
        .await
        .expect("the connection stays open");
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn stopping_closes_connections_that_are_idle_at_once() {
    let server = TestServer::fresh().await;
    // Leaves a connection in the client's pool.
    server.list("").await.ok();
    let started = Instant::now();
    server.stop().await;
    assert!(started.elapsed() < SOON);
}

#[tokio::test]
async fn idle_clients_lock_nobody_out() {
    let config = config(fresh()).connections(4);
    let server = TestServer::start(config.body_timeout(SOON * 2)).await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        idle.push(connect(&server).await);
    }
    // One has sent half of its head, which makes it no less idle.
    idle[0].write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let mut busy = connect(&server).await;
    send_all_but_a_byte(&mut busy).await;
    let more = connect(&server).await;
    idle.push(more);
    // All four places are taken, and the clients wait that have none; the usual time for idle ones is a minute.
    let started = Instant::now();
    server.list("").await.ok();
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    for stream in &mut idle[..3] {
        assert_eq!(answer(stream).await, "");
    }
    // The one that was sending a request has lost nothing, and is served to its end.
    busy.write_all(b"}").await.unwrap();
    let mut start = [0; 13];
    tokio::time::timeout(SOON, busy.read_exact(&mut start))
        .await
        .expect("the request isn't answered")
        .unwrap();
    assert_eq!(&start, b"HTTP/1.1 201 ");
}

#[tokio::test]
async fn idle_clients_stay_where_there_is_room() {
    let server = TestServer::start(config(fresh()).connections(4)).await;
    let mut idle = connect(&server).await;
    server.list("").await.ok();
    // Longer than an idle client has where others want its place.
    tokio::time::sleep(Duration::from_secs(3)).await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let answer = answer(&mut idle).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}
