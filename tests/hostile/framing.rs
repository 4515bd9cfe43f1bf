//! Bodies whose lengths don't agree with what is said about them, and many requests in one go.

use std::io::Write;

use layer_payments_tests::engine::Engine;

use crate::attack::{Reply, Target, payment, read};

fn request(target: &Target, headers: &str, body: &str) -> Vec<u8> {
    let head = target.head("POST", "");
    format!("{head}Content-Type: application/json\r\n{headers}\r\n{body}").into_bytes()
}

#[test]
fn lengths_that_contradict_each_other() {
    let target = Target::new();
    let body = payment("framing").to_string();
    let length = body.len();
    let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    for (name, headers, body) in [
        (
            "two lengths",
            format!("Content-Length: {length}\r\nContent-Length: 3\r\n"),
            &body,
        ),
        (
            "a list of lengths",
            format!("Content-Length: {length}, 3\r\n"),
            &body,
        ),
        (
            "a negative length",
            "Content-Length: -1\r\n".to_owned(),
            &body,
        ),
        ("no number", "Content-Length: x\r\n".to_owned(), &body),
        (
            "a length beyond 64 bits",
            "Content-Length: 99999999999999999999999\r\n".to_owned(),
            &body,
        ),
        (
            "an unknown coding",
            "Transfer-Encoding: gzip\r\n".to_owned(),
            &body,
        ),
        (
            "chunks that aren't last",
            "Transfer-Encoding: chunked, gzip\r\n".to_owned(),
            &chunked,
        ),
    ] {
        let answer = target.exchange(&request(&target, &headers, body));
        let replies = Reply::all(&answer);
        assert_eq!(replies.len(), 1, "{name}: {replies:?}");
        assert_eq!(replies[0].status, 400, "{name}: {replies:?}");
        target.is_well(name);
    }
    // Both ways at once: the one message must not be read as two requests (RFC 9112, 6.1), whichever way wins.
    let smuggled =
        format!("{chunked}GET /smuggled HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    for headers in [
        format!(
            "Content-Length: {}\r\nTransfer-Encoding: chunked\r\n",
            chunked.len()
        ),
        format!(
            "Transfer-Encoding: chunked\r\nContent-Length: {}\r\n",
            smuggled.len()
        ),
    ] {
        let answer = target.exchange(&request(&target, &headers, &smuggled));
        let replies = Reply::all(&answer);
        println!(
            "both: {:?}",
            replies.iter().map(|reply| reply.status).collect::<Vec<_>>()
        );
        assert_eq!(replies.len(), 1, "{replies:?}");
        target.is_well("a length beside chunks");
    }
    target.end();
}

#[test]
fn bodies_longer_or_shorter_than_announced() {
    let target = Target::new();
    let body = payment("framing").to_string();
    let longer = request(
        &target,
        &format!("Content-Length: {}\r\n", body.len() + 5),
        &body,
    );
    // Its client is gone before it is complete, so there may be nobody to answer; nothing of it is recorded.
    let answer = target.abandoned(&longer);
    assert!(
        answer.is_empty() || Reply::first(&answer).status == 400,
        "{answer:?}"
    );
    // What comes after the announced length is the next request, and no good one.
    let shorter = request(
        &target,
        &format!("Content-Length: {}\r\n", body.len() - 10),
        &body,
    );
    let replies = Reply::all(&target.exchange(&shorter));
    replies[0].refuses(400, &["json-malformed"]);
    assert!(
        replies.len() == 2 && replies[1].status == 400,
        "{replies:?}"
    );
    let none = request(&target, "Connection: close\r\n", "");
    Reply::first(&target.exchange(&none)).refuses(400, &["json-malformed"]);
    target.is_well("bodies of another length than announced");
    target.end();
}

#[test]
fn chunks_that_are_garbage() {
    let target = Target::new();
    let extensions = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a=b;".repeat(50_000));
    let trailers = format!("1\r\n1\r\n0\r\n{}\r\n", "X: y\r\n".repeat(50_000));
    let headers = "Transfer-Encoding: chunked\r\nConnection: close\r\n";
    for (name, body) in [
        ("no size", "hello\r\n0\r\n\r\n"),
        ("a size beyond 64 bits", "fffffffffffffffff\r\nx"),
        ("a negative size", "-1\r\nx\r\n0\r\n\r\n"),
        ("no line end", "1\r\nxx0\r\n\r\n"),
        ("long extensions", &extensions),
        ("long trailers", &trailers),
    ] {
        let answer = target.exchange(&request(&target, headers, body));
        Reply::first(&answer).refuses(400, &["body-incomplete", "json-malformed"]);
        target.is_well(name);
    }
    for (name, body) in [
        ("an endless size", "ffffffffffffffff\r\nx"),
        ("an early end", "100\r\nabc"),
        ("no last chunk", "1\r\n1\r\n"),
    ] {
        // The client is gone before its request is complete, so there may be nobody to answer.
        let answer = target.abandoned(&request(&target, headers, body));
        assert!(
            answer.is_empty() || Reply::first(&answer).status == 400,
            "{answer:?}"
        );
        target.is_well(name);
    }
    // A body in chunks of one byte each is a body all the same.
    let body = payment("crumbs").to_string();
    let crumbs: String = body.chars().map(|c| format!("1\r\n{c}\r\n")).collect();
    let headers = "Transfer-Encoding: chunked\r\nConnection: close\r\n";
    let answer = target.exchange(&request(&target, headers, &format!("{crumbs}0\r\n\r\n")));
    assert_eq!(Reply::first(&answer).status, 201);
    target.end();
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on_or_not() {
    let target = Target::new();
    let body = payment("expects").to_string();
    let mut stream = target.connect();
    let headers = format!(
        "Content-Length: {}\r\nConnection: close\r\nExpect: 100-continue\r\n",
        body.len()
    );
    stream
        .write_all(&request(&target, &headers, ""))
        .expect("the server reads");
    let mut told = [0; 25];
    std::io::Read::read_exact(&mut stream, &mut told).expect("the server answers before the body");
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).expect("the server reads");
    assert_eq!(Reply::first(&read(&mut stream)).status, 201);
    // Too much: the reply comes instead of the permission.
    let headers = "Content-Length: 999999999999\r\nExpect: 100-continue\r\n";
    let mut stream = target.connect();
    stream
        .write_all(&request(&target, headers, ""))
        .expect("the server reads");
    Reply::first(&read(&mut stream)).refuses(413, &["body-too-large"]);
    target.is_well("requests that ask first");
    target.end();
}

#[test]
fn requests_in_one_go_are_answered_in_their_order_on_sqlite() {
    requests_in_one_go_are_answered_in_their_order(Engine::Sqlite);
}

#[test]
fn requests_in_one_go_are_answered_in_their_order_on_postgres() {
    requests_in_one_go_are_answered_in_their_order(Engine::Postgres);
}

fn requests_in_one_go_are_answered_in_their_order(engine: Engine) {
    let target = Target::on(engine);
    let mut requests = Vec::new();
    for n in 0..1_000 {
        let body = payment(&format!("p{n}")).to_string();
        let headers = format!("Content-Length: {}\r\n", body.len());
        requests.extend(request(&target, &headers, &body));
    }
    requests.extend(b"GET /end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut stream = target.connect();
    let mut writing = stream.try_clone().expect("a socket can be shared");
    let writer = std::thread::spawn(move || writing.write_all(&requests));
    let replies = Reply::all(&read(&mut stream));
    writer.join().expect("no panic").expect("the server reads");
    assert_eq!(replies.len(), 1_001);
    for (n, reply) in replies[..1_000].iter().enumerate() {
        assert_eq!(reply.status, 201);
        let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
        assert_eq!(body["data"]["external_id"], format!("p{n}"));
    }
    assert_eq!(replies[1_000].status, 404);

    // A client that asks for all of it again and again and reads nothing: the server stops reading, too.
    let mut greedy = Vec::new();
    for _ in 0..20 {
        let mut stream = target.connect();
        stream
            .set_nonblocking(true)
            .expect("a socket can be set so");
        let request = format!("{}\r\n", target.head("GET", "?limit=1000")).repeat(500);
        // What doesn't fit isn't taken.
        let _ = stream.write(request.as_bytes());
        greedy.push(stream);
    }
    std::thread::sleep(std::time::Duration::from_secs(2));
    target.is_well("clients that ask and don't read");
    drop(greedy);
    target.end();
}
