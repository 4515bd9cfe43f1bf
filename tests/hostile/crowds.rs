//! Many clients at once, each of which alone would do no harm.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::attack::{Reply, Target, open_files, payment_with, read};

/// How long slow clients are watched.
const WATCHED: Duration = Duration::from_secs(4);

/// As many clients as wanted, or as this process can have files for, which it says. These tests run side by side, and
/// each of them takes its share.
fn at_most(wanted: usize) -> usize {
    const SIDE_BY_SIDE: usize = 6;
    const OTHER_FILES: usize = 100;
    let room = open_files().saturating_sub(OTHER_FILES) / SIDE_BY_SIDE;
    if room < wanted {
        println!(
            "{room} clients instead of {wanted}: the system lets a process open no more files"
        );
    }
    assert!(room >= 50, "{room} clients are no crowd");
    room.min(wanted)
}

/// Connections that each begin with these bytes.
fn crowd(target: &Target, count: usize, beginning: &[u8]) -> Vec<TcpStream> {
    (0..count)
        .map(|index| {
            let mut stream = target.connect();
            stream
                .write_all(beginning)
                .unwrap_or_else(|e| panic!("connection {index}: {e}"));
            stream
        })
        .collect()
}

/// Sends a little on each connection for a while, and meanwhile ordinary requests.
fn drip(target: &Target, streams: &mut [TcpStream], drop: &[u8], name: &str) {
    let started = Instant::now();
    while started.elapsed() < WATCHED {
        for stream in &mut *streams {
            // One that the server has given up may fail.
            let _ = stream.write_all(drop);
        }
        target.is_well(name);
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn two_thousand_idle_connections() {
    let target = Target::new();
    let idle = crowd(&target, at_most(2_000), b"");
    target.is_well("connections that say nothing");
    drop(idle);
    target.is_well("their end");
    target.end();
}

#[test]
fn slow_heads() {
    let target = Target::new();
    let head = target.head("GET", "");
    let mut slow = crowd(&target, at_most(500), head.as_bytes());
    drip(&target, &mut slow, b"X: y\r\n", "slow heads");
    target.end();
}

#[test]
fn slow_bodies() {
    let target = Target::new();
    let head = target.head("POST", "");
    let head = format!("{head}Content-Type: application/json\r\nContent-Length: 10485760\r\n\r\n");
    let mut slow = crowd(&target, at_most(500), head.as_bytes());
    drip(&target, &mut slow, &[b' '; 100], "slow bodies");
    target.end();
}

/// A thousand clients whose heads are large and don't end.
#[test]
fn large_heads_that_do_not_end() {
    let target = Target::new();
    let head = format!("{}X: {}", target.head("GET", ""), "x".repeat(400_000));
    let mut clients = Vec::new();
    for _ in 0..at_most(1_000) {
        let mut stream = target.connect();
        // The server may have had enough before the end.
        let _ = stream.write_all(head.as_bytes());
        clients.push(stream);
    }
    target.is_well("large heads");
    target.end();
}

/// Bodies whose values take the most memory, several at once.
#[test]
fn bodies_that_grow_when_they_are_read() {
    let target = Target::new();
    let part = "{\"amount\":0}";
    let parts = vec![part; (10 << 20) / (part.len() + 1) - 100].join(",");
    let body = payment_with("invoice_payments", format!("[{parts}]").as_bytes());
    let request = target.post("", &body);
    let statuses = all_at_once(&target, &request, 3);
    assert!(
        statuses.iter().all(|status| matches!(status, 400 | 503)) && statuses.contains(&400),
        "{statuses:?}"
    );
    target.is_well("bodies that grow");
    target.end();
}

/// Sends a request on so many connections at once; gives the status of each reply.
fn all_at_once(target: &Target, request: &[u8], count: usize) -> Vec<u16> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..count)
            .map(|_| {
                scope.spawn(|| {
                    let mut stream = target.connect();
                    let long = Some(Duration::from_secs(120));
                    stream.set_read_timeout(long).expect("a time can be set");
                    stream.set_write_timeout(long).expect("a time can be set");
                    // A server that refuses early may not read it all.
                    let _ = stream.write_all(request);
                    Reply::first(&read(&mut stream)).status
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        target.is_well("the start of a flood of bodies");
        let statuses = clients.into_iter().map(|client| client.join());
        statuses
            .map(|status| status.expect("a client panicked"))
            .collect()
    })
}

/// 2 GB of bodies on their way at once.
#[test]
fn a_flood_of_large_bodies() {
    let target = Target::new();
    let mut body = b"[".to_vec();
    body.resize((10 << 20) - 1, b' ');
    body.push(b']');
    let request = target.post("/bulk", &body);
    let (started, count) = (Instant::now(), at_most(200));
    let statuses = all_at_once(&target, &request, count);
    let refused = |status: u16| statuses.iter().filter(|other| **other == status).count();
    println!(
        "{count} bodies of 10 MiB in {:?}: {} were judged, {} found no room, {} took too long",
        started.elapsed(),
        refused(400),
        refused(503),
        refused(408)
    );
    assert_eq!(
        refused(400) + refused(503) + refused(408),
        count,
        "{statuses:?}"
    );
    // They aren't all turned away, and most of them are.
    assert!(refused(400) > 0 && refused(503) > 0, "{statuses:?}");
    target.is_well("a flood of bodies");
    target.end();
}
