//! Recording in chunks: how the input is cut, that the results keep its order, that nothing runs
//! ahead of what was allowed, and that no payment is lost.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use layer_payments_client::types::{CreateInvoicePayment, ErrorDetail};
use layer_payments_client::{BulkAll, BulkChunk, BulkChunkError, Outgoing, Unchecked};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::support::{
    PAYMENTS_PATH, Then, client, create, envelope, payment, raw_server, read_request,
};

type Chunk = Result<BulkChunk, BulkChunkError>;

/// The payment of this number, as the tests tell payments apart by their external ids.
fn numbered(number: usize) -> CreateInvoicePayment {
    create(&format!("payment-{number}")).0
}

/// A payment without external id.
fn nameless(number: usize) -> CreateInvoicePayment {
    CreateInvoicePayment {
        external_id: None,
        ..numbered(number)
    }
}

fn ids(payments: &[CreateInvoicePayment]) -> Vec<&str> {
    payments
        .iter()
        .map(|payment| payment.external_id.as_deref().expect("an external id"))
        .collect()
}

/// How long the body is that holds these payments.
fn body_bytes(payments: &[CreateInvoicePayment]) -> usize {
    serde_json::to_vec(payments).expect("JSON").len()
}

/// The reply to a bulk request that was recorded.
fn recorded(body: &[u8]) -> Value {
    let sent: Vec<CreateInvoicePayment> = serde_json::from_slice(body).expect("payments");
    let data: Vec<Value> = sent
        .iter()
        .map(|sent| payment(Uuid::nil(), sent.external_id.as_deref().unwrap_or_default()))
        .collect();
    json!({ "data": data })
}

/// A server that records whatever it is sent.
async fn willing_server() -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path(format!("{PAYMENTS_PATH}/bulk")))
        .respond_with(|request: &Request| {
            ResponseTemplate::new(200).set_body_json(recorded(&request.body))
        })
        .mount(&server)
        .await;
    server
}

/// The bodies that a server has got, in the order of their arrival.
async fn bodies(server: &MockServer) -> Vec<Vec<u8>> {
    let requests = server.received_requests().await;
    requests
        .expect("requests are recorded")
        .into_iter()
        .map(|request| request.body)
        .collect()
}

/// A server whose replies wait until the test gives them.
struct Desk {
    url: String,
    requests: mpsc::UnboundedReceiver<Held>,
}

/// A request that waits for its reply.
struct Held {
    body: String,
    reply: oneshot::Sender<(u16, Value)>,
}

impl Desk {
    async fn open() -> Desk {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let sender = sender.clone();
                tokio::spawn(async move {
                    let request = read_request(&mut socket).await;
                    let Some((_, body)) = request.split_once("\r\n\r\n") else {
                        return;
                    };
                    let body = body.to_owned();
                    let (reply, answer) = oneshot::channel();
                    if sender.send(Held { body, reply }).is_err() {
                        return;
                    }
                    let mut rest = [0; 1];
                    let answer = tokio::select! {
                        answer = answer => answer,
                        // A client that has given up closes the connection.
                        _ = socket.read(&mut rest) => return,
                    };
                    if let Ok((status, body)) = answer {
                        let body = body.to_string();
                        let reply = format!(
                            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n\
                             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                            body.len()
                        );
                        let _ = socket.write_all(reply.as_bytes()).await;
                    }
                });
            }
        });
        Desk {
            url: format!("http://{address}"),
            requests,
        }
    }

    async fn next(&mut self) -> Held {
        soon(self.requests.recv()).await.expect("the desk is open")
    }

    /// This many requests, in the order of their chunks.
    async fn take(&mut self, count: usize) -> Vec<Held> {
        let mut held = Vec::new();
        for _ in 0..count {
            held.push(self.next().await);
        }
        held.sort_by_key(|held| held.ids());
        held
    }

    /// Whether nothing has come, and nothing comes after everybody had time to send it.
    async fn is_idle(&mut self) -> bool {
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.requests.try_recv().is_err()
    }
}

impl Held {
    fn ids(&self) -> Vec<String> {
        let sent: Vec<CreateInvoicePayment> = serde_json::from_str(&self.body).expect("payments");
        ids(&sent).into_iter().map(str::to_owned).collect()
    }

    fn record(self) {
        let body = recorded(self.body.as_bytes());
        self.refuse(200, body);
    }

    fn refuse(self, status: u16, body: Value) {
        self.reply.send((status, body)).expect("the client waits");
    }
}

/// What happens well within 20 seconds unless it hangs.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(Duration::from_secs(20), future).await;
    ended.expect("it comes to an end")
}

/// Takes all results in a task of its own, and passes them on.
fn driven<S>(all: BulkAll<S>) -> mpsc::UnboundedReceiver<Chunk>
where
    S: Stream + Send + 'static,
    S::Item: Outgoing<CreateInvoicePayment>,
{
    let mut chunks = all.stream();
    let (sender, results) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(chunk) = chunks.next().await {
            if sender.send(chunk).is_err() {
                return;
            }
        }
    });
    results
}

/// A stream of what is sent into a channel.
fn channel_stream<T>(receiver: mpsc::UnboundedReceiver<T>) -> impl Stream<Item = T> {
    stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    })
}

/// Counts what is taken from an iterator.
fn counted<I: Iterator>(items: I) -> (Arc<AtomicUsize>, impl Iterator<Item = I::Item>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let items = items.inspect(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    (taken, items)
}

#[tokio::test]
async fn the_input_is_cut_by_count_and_by_bytes() {
    // Payments whose JSON has the same length, and one that is longer.
    let short = |number: usize| numbered(10 + number);
    let long = |number: usize| CreateInvoicePayment {
        memo: Some("x".repeat(2000)),
        ..short(number)
    };
    let one = body_bytes(&[short(0)]);
    let three = body_bytes(&[short(0), short(1), short(2)]);
    assert!(body_bytes(&[long(0)]) > three);
    let all_short = |count: usize| (0..count).map(short).collect::<Vec<_>>();
    let many = usize::MAX;

    // What there is, the limits, and the chunks.
    let cases: [(Vec<CreateInvoicePayment>, usize, usize, &[usize]); 15] = [
        (all_short(0), 3, many, &[]),
        (all_short(1), 3, many, &[1]),
        (all_short(3), 3, many, &[3]),
        (all_short(4), 3, many, &[3, 1]),
        (all_short(9), 3, many, &[3, 3, 3]),
        (all_short(3), 1, many, &[1, 1, 1]),
        (all_short(40), many, many, &[40]),
        (all_short(7), many, three, &[3, 3, 1]),
        (all_short(7), many, three - 1, &[2, 2, 2, 1]),
        (all_short(7), many, three + 1, &[3, 3, 1]),
        (all_short(7), 2, three, &[2, 2, 2, 1]),
        (all_short(3), many, one, &[1, 1, 1]),
        (all_short(3), many, 1, &[1, 1, 1]),
        (
            vec![short(0), short(1), long(2), short(3), short(4)],
            many,
            three,
            &[2, 1, 2],
        ),
        (vec![long(0), long(1), short(2)], 9, three, &[1, 1, 1]),
    ];
    for (number, (payments, max_payments, max_bytes, expected)) in cases.into_iter().enumerate() {
        let server = willing_server().await;
        // One at a time, so that the requests arrive in the order of the chunks.
        let chunks = client(&server.uri())
            .bulk_all_iter(payments.clone().into_iter().map(Unchecked))
            .max_payments(max_payments)
            .max_bytes(max_bytes)
            .concurrency(1)
            .stream();
        let chunks: Vec<Chunk> = soon(chunks.collect()).await;

        let mut first = 0;
        for (chunk, &count) in chunks.iter().zip(expected) {
            let chunk = chunk.as_ref().expect("it's recorded");
            assert_eq!(chunk.range(), first..first + count, "case {number}");
            assert_eq!(chunk.reply().data.len(), count, "case {number}");
            first += count;
        }
        let bodies = bodies(&server).await;
        let sent: Vec<Vec<CreateInvoicePayment>> = bodies
            .iter()
            .map(|body| serde_json::from_slice(body).expect("payments"))
            .collect();
        let sizes: Vec<usize> = sent.iter().map(Vec::len).collect();
        assert_eq!((sizes.as_slice(), chunks.len()), (expected, expected.len()));
        assert_eq!(sent.concat(), payments, "case {number}");
        for (body, sent) in bodies.iter().zip(&sent) {
            assert!(
                body.len() <= max_bytes || sent.len() == 1,
                "case {number} sends {} bytes",
                body.len()
            );
        }
    }
}

#[tokio::test]
async fn the_defaults_are_small_chunks() {
    let server = willing_server().await;
    let payments = (0..60).map(numbered).map(Unchecked);
    let all = client(&server.uri()).bulk_all_iter(payments);
    let ranges: Vec<_> = soon(all.stream().collect::<Vec<Chunk>>())
        .await
        .into_iter()
        .map(|chunk| chunk.expect("it's recorded").range())
        .collect();
    assert_eq!(ranges, [0..25, 25..50, 50..60]);
}

#[tokio::test]
async fn results_come_in_the_order_of_the_input() {
    let mut desk = Desk::open().await;
    let payments = (0..6).map(numbered).map(Unchecked);
    let all = client(&desk.url).bulk_all_iter(payments).max_payments(2);
    let mut results = driven(all);
    for held in desk.take(3).await.into_iter().rev() {
        assert!(
            results.try_recv().is_err(),
            "the first chunk is answered last"
        );
        held.record();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for range in [0..2, 2..4, 4..6] {
        let chunk = soon(results.recv()).await.expect("a result");
        let chunk = chunk.expect("it's recorded");
        assert_eq!(chunk.range(), range);
        let first = chunk.into_reply().into_inner().data.remove(0).external_id;
        assert_eq!(
            first.as_option().map(String::as_str),
            Some(format!("payment-{}", range.start).as_str())
        );
    }
    assert!(soon(results.recv()).await.is_none());
}

#[tokio::test]
async fn no_more_is_sent_or_taken_than_was_allowed() {
    let mut desk = Desk::open().await;
    // An input without end, of which only a little is ever needed.
    let (taken, payments) = counted((10..).map(numbered).map(Unchecked));
    let all = client(&desk.url)
        .bulk_all_iter(payments)
        .max_payments(3)
        .concurrency(2);
    let mut results = driven(all);

    let mut held = desk.take(2).await;
    assert!(desk.is_idle().await);
    let in_flight_and_one_more = 2 * 3 + 3;
    assert_eq!(taken.load(Ordering::Relaxed), in_flight_and_one_more);

    // A reply that can't be given out yet takes room, too.
    held.remove(1).record();
    assert!(desk.is_idle().await);
    assert_eq!(taken.load(Ordering::Relaxed), in_flight_and_one_more);
    assert!(results.try_recv().is_err());

    // With the first both are given out, and two more go.
    held.remove(0).record();
    for range in [0..3, 3..6] {
        let chunk = soon(results.recv()).await.expect("a result");
        assert_eq!(chunk.expect("it's recorded").range(), range);
    }
    let held = desk.take(2).await;
    assert_eq!(held[0].ids(), ["payment-16", "payment-17", "payment-18"]);
    assert_eq!(held[1].ids(), ["payment-19", "payment-20", "payment-21"]);
    assert!(desk.is_idle().await);
    assert_eq!(taken.load(Ordering::Relaxed), 6 + in_flight_and_one_more);
}

#[tokio::test]
async fn nothing_is_taken_or_sent_before_the_first_result_is_asked_for() {
    let server = willing_server().await;
    let (taken, payments) = counted((0..5).map(numbered).map(Unchecked));
    let stream = client(&server.uri()).bulk_all_iter(payments).stream();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(taken.load(Ordering::Relaxed), 0);
    drop(stream);
    assert!(bodies(&server).await.is_empty());
}

#[tokio::test]
async fn an_input_that_pauses_holds_up_nothing_that_was_sent() {
    let mut desk = Desk::open().await;
    let (input, payments) = mpsc::unbounded_channel();
    let give = |number| input.send(Unchecked(numbered(number))).expect("it's read");
    let all = client(&desk.url)
        .bulk_all(channel_stream(payments))
        .max_payments(2);
    let mut results = driven(all);

    for number in 0..3 {
        give(number);
    }
    let first = desk.next().await;
    assert_eq!(first.ids(), ["payment-0", "payment-1"]);
    assert!(desk.is_idle().await, "a chunk that isn't full waits");
    first.record();
    let chunk = soon(results.recv()).await.expect("a result");
    assert_eq!(chunk.expect("it's recorded").range(), 0..2);

    give(3);
    let second = desk.next().await;
    assert_eq!(second.ids(), ["payment-2", "payment-3"]);
    // More is read while that one is under way, and the end of the input sends what there is.
    give(4);
    assert!(desk.is_idle().await);
    drop(input);
    let third = desk.next().await;
    assert_eq!(third.ids(), ["payment-4"]);
    second.record();
    third.record();
    for range in [2..4, 4..5] {
        let chunk = soon(results.recv()).await.expect("a result");
        assert_eq!(chunk.expect("it's recorded").range(), range);
    }
    assert!(soon(results.recv()).await.is_none());
}

#[tokio::test]
async fn a_failed_chunk_gives_its_payments_back_and_the_others_land() {
    let mut desk = Desk::open().await;
    let payments = (0..8).map(numbered).map(Unchecked);
    let all = client(&desk.url).bulk_all_iter(payments).max_payments(3);
    let mut results = driven(all);

    let mut held = desk.take(3).await;
    let mut faults = envelope("The amount is negative.");
    faults["errors"][0]["meta"] = json!({"pointer": "/1/amount"});
    held.remove(1).refuse(400, faults);
    for held in held {
        held.record();
    }

    let first = soon(results.recv()).await.expect("a result");
    assert_eq!(first.expect("it's recorded").range(), 0..3);
    let failed = soon(results.recv()).await.expect("a result");
    let failed = failed.expect_err("it's refused");
    let last = soon(results.recv()).await.expect("a result");
    assert_eq!(last.expect("it's recorded").range(), 6..8);
    assert!(soon(results.recv()).await.is_none());

    assert_eq!(failed.range(), 3..6);
    assert!(failed.error().is_bad_request());
    assert_eq!(failed.index_of(&failed.error().errors()[0]), Some(4));
    assert_eq!(
        failed.to_string(),
        "payments 3..6 of the input: bulk_create_invoice_payments: HTTP 400 Bad Request: \
         The amount is negative. (at /1/amount)"
    );
    assert!(failed.source().is_none(), "a refusal has no cause beneath");
    assert!(!format!("{failed:?}").contains("invoice-1001"));
    let expected: Vec<_> = (3..6).map(numbered).collect();
    assert_eq!(failed.payments(), expected);
    let (error, payments) = failed.into_parts();
    assert_eq!((error.status(), payments), (Some(400), expected));
}

#[tokio::test]
async fn an_index_is_only_told_for_a_payment_of_the_chunk() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(400).set_body_json(envelope("No.")))
        .mount(&server)
        .await;
    let payments = (0..4).map(numbered).map(Unchecked);
    let all = client(&server.uri())
        .bulk_all_iter(payments)
        .max_payments(2);
    let chunks: Vec<Chunk> = soon(all.stream().collect()).await;
    let failed = chunks[1].as_ref().expect_err("it's refused");
    let cases = [
        (json!({"pointer": "/0"}), Some(2)),
        (json!({"pointer": "/1/invoice_payments/0/amount"}), Some(3)),
        (json!({"pointer": "/2/amount"}), None),
        (json!({"pointer": "/18446744073709551616/amount"}), None),
        (json!({"pointer": "/+1/amount"}), None),
        (json!({"pointer": "/amount"}), None),
        (json!({"pointer": "1/amount"}), None),
        (json!({"pointer": "/"}), None),
        (json!({"pointer": ""}), None),
        (json!({"pointer": "?limit"}), None),
        (json!({"pointer": null}), None),
        (json!({}), None),
        (json!(null), None),
    ];
    for (meta, index) in cases {
        let fault = json!({"type": "Validation", "description": "No.", "meta": meta});
        let fault: ErrorDetail = serde_json::from_value(fault).expect("a fault");
        assert_eq!(failed.index_of(&fault), index, "{meta}");
    }
}

#[tokio::test]
async fn a_lost_reply_leaves_the_outcome_open_and_the_stream_goes_on() {
    let url = raw_server("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", Then::Close).await;
    let payments: Vec<_> = (0..5).map(nameless).collect();
    let all = client(&url)
        .bulk_all_iter(payments.iter().map(Unchecked))
        .max_payments(2);
    let chunks: Vec<Chunk> = soon(all.stream().collect()).await;
    let mut given_back = Vec::new();
    for chunk in chunks {
        let failed = chunk.expect_err("the reply is lost");
        assert!(failed.error().is_outcome_unknown());
        assert!(failed.source().is_some());
        given_back.extend(failed.into_parts().1);
    }
    assert_eq!(given_back, payments);
}

#[tokio::test]
async fn an_external_id_stands_once_in_a_chunk() {
    let server = willing_server().await;
    let names = ["a", "b", "a", "c", "c", "c", "b", "a", "c"];
    let mut payments: Vec<_> = names.iter().map(|name| create(name).0).collect();
    // Those without an id are never the same.
    payments.push(nameless(0));
    payments.push(nameless(0));
    let all = client(&server.uri()).bulk_all_iter(payments.iter().map(Unchecked));
    let chunks: Vec<Chunk> = soon(all.stream().collect()).await;
    let ranges: Vec<_> = chunks
        .into_iter()
        .map(|chunk| chunk.expect("it's recorded").range())
        .collect();
    assert_eq!(ranges, [0..2, 2..4, 4..5, 5..8, 8..11]);
}

#[tokio::test]
async fn a_chunk_waits_for_the_one_that_shares_an_external_id() {
    // Whether the earlier chunk is recorded or refused, it's out of the way.
    for status in [200, 400] {
        let mut desk = Desk::open().await;
        let names = ["a", "b", "c", "d", "e", "a", "f", "g"];
        let payments = names.map(|name| Unchecked(create(name).0));
        let all = client(&desk.url).bulk_all_iter(payments).max_payments(2);
        let mut results = driven(all);

        let mut held = desk.take(2).await;
        assert_eq!(held[1].ids(), ["c", "d"]);
        assert!(
            desk.is_idle().await,
            "the third holds an id of the first, and the fourth is behind it"
        );
        held.remove(1).record();
        assert!(desk.is_idle().await, "the second isn't in its way");
        let first = held.remove(0);
        match status {
            200 => first.record(),
            _ => first.refuse(status, envelope("No.")),
        }
        let first = soon(results.recv()).await.expect("a result");
        assert_eq!(first.is_ok(), status == 200);

        let held = desk.take(2).await;
        assert_eq!(held[0].ids(), ["e", "a"]);
        assert_eq!(held[1].ids(), ["f", "g"]);
        for held in held {
            held.record();
        }
        for range in [2..4, 4..6, 6..8] {
            let chunk = soon(results.recv()).await.expect("a result");
            assert_eq!(chunk.expect("it's recorded").range(), range);
        }
        assert!(soon(results.recv()).await.is_none());
    }
}

#[tokio::test]
async fn dropping_the_stream_drops_its_calls_and_its_input() {
    let mut desk = Desk::open().await;
    let (input, payments) = mpsc::unbounded_channel();
    for number in 0..7 {
        input.send(Unchecked(numbered(number))).expect("it's read");
    }
    let mut chunks = client(&desk.url)
        .bulk_all(channel_stream(payments))
        .max_payments(2)
        .concurrency(2)
        .stream();
    let mut held = {
        let next = chunks.next();
        tokio::select! {
            _ = next => panic!("nothing was answered"),
            held = desk.take(2) => held,
        }
    };
    // Waiting for a result can be given up and taken up again.
    held.remove(0).record();
    let chunk = soon(chunks.next()).await.expect("a result");
    assert_eq!(chunk.expect("it's recorded").range(), 0..2);

    drop(chunks);
    let mut second = held.remove(0);
    soon(second.reply.closed()).await;
    soon(input.closed()).await;
    assert!(desk.is_idle().await);
}

#[tokio::test]
async fn a_limit_of_nothing_is_an_error_before_anything_is_taken() {
    let server = willing_server().await;
    let client = client(&server.uri());
    for name in ["max_payments", "max_bytes", "concurrency"] {
        let (taken, payments) = counted((0..5).map(numbered).map(Unchecked));
        let all = client.bulk_all_iter(payments);
        let all = match name {
            "max_payments" => all.max_payments(0),
            "max_bytes" => all.max_bytes(0),
            _ => all.concurrency(0),
        };
        let chunks: Vec<Chunk> = soon(all.stream().collect()).await;
        assert_eq!(chunks.len(), 1);
        let failed = chunks[0].as_ref().expect_err("it can't be");
        assert!(failed.error().is_argument() && !failed.error().is_outcome_unknown());
        assert!(failed.range().is_empty() && failed.payments().is_empty());
        assert_eq!(
            failed.to_string(),
            format!(
                "bulk_create_invoice_payments: {name}: is 0, so that nothing could be sent; give at least 1"
            )
        );
        assert_eq!(taken.load(Ordering::Relaxed), 0);
    }
    assert!(bodies(&server).await.is_empty());
}

#[tokio::test]
async fn ten_thousand_payments_land_once_and_in_order() {
    let server = willing_server().await;
    let payments = (0..10_000).map(numbered).map(Unchecked);
    let all = client(&server.uri())
        .bulk_all_iter(payments)
        .max_payments(300)
        .concurrency(8);
    let mut next = 0;
    let mut chunks = all.stream();
    while let Some(chunk) = soon(chunks.next()).await {
        let chunk = chunk.expect("it's recorded");
        assert_eq!(chunk.range().start, next);
        for payment in &chunk.reply().data {
            let id = payment.external_id.as_option().expect("an external id");
            assert_eq!(*id, format!("payment-{next}"));
            next += 1;
        }
        assert_eq!(chunk.range().end, next);
    }
    assert_eq!(next, 10_000);
    assert!(
        soon(chunks.next()).await.is_none(),
        "an ended stream stays ended"
    );
    assert_eq!(bodies(&server).await.len(), 34);
}

#[cfg(feature = "validation")]
#[tokio::test]
async fn checked_payments_go_by_value_and_by_reference() {
    use layer_payments_client::validation::{Context, Validated};

    let server = willing_server().await;
    let client = client(&server.uri());
    let context = Context::at("2026-01-01T00:00:00Z".parse().expect("a time"));
    let payments: Vec<_> = (0..3).map(numbered).collect();
    let checked: Vec<_> = payments
        .iter()
        .map(|payment| Validated::create(payment.clone(), &context).expect("it's valid"))
        .collect();
    let by_reference: Vec<Chunk> = soon(client.bulk_all_iter(&checked).stream().collect()).await;
    let by_value: Vec<Chunk> = soon(client.bulk_all_iter(checked).stream().collect()).await;
    assert!(by_reference.iter().chain(&by_value).all(Result::is_ok));
    let bodies = bodies(&server).await;
    let json = serde_json::to_vec(&payments).expect("JSON");
    assert_eq!(bodies, [json.clone(), json]);
}
