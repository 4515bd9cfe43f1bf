//! Bytes that are no HTTP, or not the HTTP of this server.

use layer_payments_tests::engine::Engine;

use crate::attack::{Reply, Target};

#[test]
fn paths_and_queries_of_any_bytes_on_sqlite() {
    paths_and_queries_of_any_bytes(Engine::Sqlite);
}

#[test]
fn paths_and_queries_of_any_bytes_on_postgres() {
    paths_and_queries_of_any_bytes(Engine::Postgres);
}

fn paths_and_queries_of_any_bytes(engine: Engine) {
    let target = Target::on(engine);
    let get = |path: &[u8]| {
        let head = target.head("GET", "HERE");
        let (before, after) = head.split_once("HERE").expect("the mark is there");
        [
            before.as_bytes(),
            path,
            after.as_bytes(),
            b"Connection: close\r\n\r\n",
        ]
        .concat()
    };
    for (query, codes) in [
        (&b"?memo=%FF"[..], &["parameter-malformed"][..]),
        (b"?external_id=%FF", &["parameter-malformed"]),
        (b"?external_id=%", &["parameter-malformed"]),
        (b"?%FF=1", &["parameter-malformed"]),
        (
            b"?limit=99999999999999999999999999",
            &[
                "integer-out-of-range",
                "limit-out-of-range",
                "type-mismatch",
            ],
        ),
        (b"?limit=1&limit=2", &["parameter-repeated"]),
        (b"?cursor=%00%01%02", &["cursor-invalid"]),
        (b"?x=1", &["property-unknown"]),
    ] {
        Reply::first(&target.exchange(&get(query))).refuses(400, codes);
    }
    for path in [&b"/%FF"[..], b"/%00", b"/..%2f..%2fetc%2fpasswd", b"/x/y/z"] {
        let reply = Reply::first(&target.exchange(&get(path)));
        assert!(matches!(reply.status, 404 | 405), "{reply:?}");
    }
    // Bytes that no address may hold: whatever the layer that finds them, it is the client's fault.
    for path in [
        &b"?external_id=\xff\xfe"[..],
        b"/\xff",
        b"?a b",
        b"?\x01",
        b"/\x7f",
    ] {
        let reply = Reply::first(&target.exchange(&get(path)));
        assert!((400..500).contains(&reply.status), "{reply:?}");
    }
    for length in [60_000, 1 << 20] {
        let long = [b"?external_id=", "x".repeat(length).as_bytes()].concat();
        let reply = Reply::first(&target.exchange(&get(&long)));
        assert!(
            matches!(reply.status, 200 | 400 | 414 | 431),
            "{length}: {}",
            reply.status
        );
    }
    let many = (0..5_000)
        .map(|n| format!("p{n}=1"))
        .collect::<Vec<_>>()
        .join("&");
    let reply = Reply::first(&target.exchange(&get(format!("?{many}").as_bytes())));
    assert!(matches!(reply.status, 400 | 414 | 431), "{}", reply.status);
    target.is_well("paths and queries of any bytes");
    target.end();
}

#[test]
fn headers_of_any_bytes_and_any_number() {
    let target = Target::new();
    let with = |headers: &[u8]| {
        [
            target.head("GET", "").as_bytes(),
            headers,
            b"Connection: close\r\n\r\n",
        ]
        .concat()
    };
    // Bytes above 127 are allowed in a value, though they mean nothing here.
    let odd = Reply::first(&target.exchange(&with(b"X-Odd: \xff\xfe\r\n")));
    assert_eq!(odd.status, 200, "{odd:?}");
    let again = Reply::first(&target.exchange(&with(b"Authorization: Bearer \xff\r\n")));
    again.refuses(401, &[""]);
    for bad in [
        &b"X: \x00\r\n"[..],
        b"X\xff: 1\r\n",
        b"no colon\r\n",
        b": no name\r\n",
        b"X : 1\r\n",
        b"X: a\x01b\r\n",
    ] {
        let reply = Reply::first(&target.exchange(&with(bad)));
        assert_eq!(reply.status, 400, "{:?}", String::from_utf8_lossy(bad));
    }
    let many: String = (0..10_000).map(|n| format!("X-{n}: 1\r\n")).collect();
    let few_and_long = format!("X: {}\r\n", "x".repeat(1 << 20));
    for flood in [many.as_bytes(), few_and_long.as_bytes()] {
        let reply = Reply::first(&target.exchange(&with(flood)));
        assert_eq!(reply.status, 431);
    }
    target.is_well("header floods");
    target.end();
}

#[test]
fn other_protocols_are_turned_away() {
    let target = Target::new();
    // The first message of a TLS handshake, as far as it matters: record type, version, length, ClientHello.
    let mut hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    hello.extend([0x5a; 505]);
    for (name, bytes) in [
        ("HTTP/0.9", &b"GET /\r\n"[..]),
        (
            "HTTP/2",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0",
        ),
        ("TLS", &hello),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n"),
        ("SMTP", b"EHLO x\r\n"),
        ("nothing", b""),
        ("an empty line", b"\r\n\r\n"),
        ("zeros", &[0; 10_000]),
        ("HTTP/1.7", b"GET / HTTP/1.7\r\n\r\n"),
        ("no version", b"GET / \r\n\r\n"),
        ("no method", b" / HTTP/1.1\r\n\r\n"),
    ] {
        let answer = target.abandoned(bytes);
        // A short refusal or a closed connection, and nothing of what HTTP/1.1 would be answered.
        if !answer.is_empty() {
            let reply = Reply::first(&answer);
            assert!(matches!(reply.status, 400 | 505), "{name}: {reply:?}");
            assert!(answer.len() < 1_000, "{name}");
        }
        target.is_well(name);
    }
    target.end();
}
