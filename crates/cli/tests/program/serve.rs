//! `serve` as a server of its own: what its flags turn on, seen from a socket.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{BUSINESS, Scratch, Served, program, ran};

const TOKEN: &str = "hush-hush-hush";

/// Sends a request and gives the whole answer as it came.
fn ask(served: &Served, request: &str, headers: &[&str], body: &str) -> String {
    let address = served.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut text = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(text.as_bytes()).unwrap();
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(60)))
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The path of the payments of a business.
fn payments() -> String {
    format!("GET /v1/businesses/{BUSINESS}/invoices/payments")
}

#[test]
fn a_client_gets_tokens() {
    let scratch = Scratch::new();
    let served = Served::new(&scratch.db, |command| {
        command
            .args(["--token", TOKEN, "--client-id", "my-app"])
            .args(["--token-lifetime", "7"])
            .env("LAYER_CLIENT_SECRET", "hush-secret");
    });
    let said = served.said.join("\n");
    assert!(!said.contains("hush"), "{said}");
    // my-app:hush-secret
    let basic = "Authorization: Basic bXktYXBwOmh1c2gtc2VjcmV0";
    let form = "Content-Type: application/x-www-form-urlencoded";
    let answer = ask(
        &served,
        "POST /oauth2/token",
        &[basic, form],
        "grant_type=client_credentials",
    );
    assert!(answer.contains("\"expires_in\":7"), "{answer}");
    let (_, rest) = answer.split_once("\"access_token\":\"").unwrap();
    let (token, _) = rest.split_once('"').unwrap();
    let bearer = format!("Authorization: Bearer {token}");
    let answer = ask(&served, &payments(), &[&bearer], "");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let (code, rest) = served.terminate();
    assert_eq!(code, Some(0));
    assert!(!rest.contains("hush") && !rest.contains(token), "{rest}");
}

#[test]
fn a_log_that_nobody_reads_holds_up_nothing() {
    let scratch = Scratch::new();
    let served = Served::new(&scratch.db, |command| {
        command.args(["--token", TOKEN]);
    });
    // A pipe holds 64 KiB, and each of these requests is a line of more than 100 bytes in the log.
    for _ in 0..1_000 {
        let answer = ask(&served, "GET /whoami", &[], "");
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
    let (code, rest) = served.terminate();
    assert_eq!(code, Some(0));
    assert!(rest.len() > 64 << 10, "{} bytes of log", rest.len());
}

#[test]
fn a_client_without_a_secret_is_refused() {
    let scratch = Scratch::new();
    let mut command = program(&["serve", "--db", &scratch.db, "--client-id", "my-app"]);
    let refused = ran(command.env("LAYER_CLIENT_SECRET", ""));
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("LAYER_CLIENT_SECRET"),
        "{}",
        refused.stderr
    );
}

#[test]
fn the_rate_limit_is_a_preset_and_off_by_default() {
    let bearer = format!("Authorization: Bearer {TOKEN}");
    for (flags, limit) in [
        (&[][..], None),
        (&["--rate-limit", "off"], None),
        (&["--rate-limit", "sandbox"], Some("100")),
        (&["--rate-limit", "production"], Some("500")),
    ] {
        let scratch = Scratch::new();
        let served = Served::new(&scratch.db, |command| {
            command.args(["--token", TOKEN]).args(flags);
        });
        let answer = ask(&served, &payments(), &[&bearer], "");
        let mut headers = answer.lines();
        let told = headers.find_map(|line| line.strip_prefix("x-ratelimit-limit: "));
        assert_eq!(told, limit, "{answer}");
    }
}

#[test]
fn an_idle_client_gives_way_where_connections_are_few() {
    let scratch = Scratch::new();
    let served = Served::new(&scratch.db, |command| {
        command.args(["--token", TOKEN, "--connections", "1"]);
    });
    let address = served.url.strip_prefix("http://").unwrap();
    let mut idle = TcpStream::connect(address).unwrap();
    // It has the only place there is, and would keep it for a minute.
    let started = Instant::now();
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let answer = ask(&served, &payments(), &[&bearer], "");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
}

#[test]
fn faults_are_made_only_where_they_are_allowed() {
    let headers = [
        &format!("Authorization: Bearer {TOKEN}"),
        "X-Fault: status=503; html",
    ];
    for (flags, status) in [(&[][..], "400"), (&["--faults"], "503")] {
        let scratch = Scratch::new();
        let served = Served::new(&scratch.db, |command| {
            command.args(["--token", TOKEN]).args(flags);
        });
        let answer = ask(&served, &payments(), &headers, "");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}

#[test]
fn the_log_is_text_or_json_and_names_requests_as_their_replies_do() {
    for (flags, json) in [(&[][..], false), (&["--log-format", "json"], true)] {
        let scratch = Scratch::new();
        let served = Served::new(&scratch.db, |command| {
            command.args(["--token", TOKEN]).args(flags);
        });
        let answer = ask(&served, &payments(), &[], "");
        let mut headers = answer.lines();
        let id = headers
            .find_map(|line| line.strip_prefix("x-request-id: "))
            .unwrap()
            .to_owned();
        let (_, log) = served.terminate();
        let line = log.lines().find(|line| line.contains(&id)).unwrap();
        let read = serde_json::from_str::<Value>(line);
        assert_eq!(read.is_ok(), json, "{line}");
        if let Ok(read) = read {
            assert_eq!(read["request_id"], id);
            assert_eq!(read["operation"], "list_invoice_payments");
            assert_eq!(read["status"], 401);
        }
    }
}
