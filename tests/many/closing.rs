//! A closing date holds for all servers at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use layer_payments_tests::engine::Engine;
use layer_payments_tests::random::{Random, seed};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::history::{self, Call, order};
use crate::servers::Servers;

const WRITERS: u64 = 8;
/// How often the books are closed and opened again.
const CHANGES: u64 = 20;
/// Payments of a bulk.
const PAYMENTS: u64 = 5;

/// What is asked of the books, and answered.
#[derive(Clone, Debug)]
enum Operation {
    Close,
    Open,
    /// A bulk that is dated before the closing date, and whether it was taken.
    Record(bool),
}

impl history::Operation for Operation {
    /// Whether the books are closed.
    type State = bool;

    fn apply(&self, closed: &bool) -> Option<bool> {
        match self {
            Operation::Close => Some(true),
            Operation::Open => Some(false),
            Operation::Record(taken) => (*taken != *closed).then_some(*closed),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closing_date_holds_for_all_servers_on_postgres() {
    a_closing_date_holds_for_all_servers(Engine::Postgres, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closing_date_holds_for_all_servers_on_sqlite() {
    a_closing_date_holds_for_all_servers(Engine::Sqlite, 2).await;
}

async fn a_closing_date_holds_for_all_servers(engine: Engine, count: usize) {
    let what = format!("closing dates, {count} servers on {engine:?}");
    let seed = seed(20_240_227);
    let books = Arc::new(Books {
        servers: Servers::start(engine, count),
        history: Mutex::default(),
        bulks: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    });
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        writers.spawn(Arc::clone(&books).write(Random::of(seed, number)));
    }
    let mut chance = Random::of(seed, WRITERS);
    for change in 0..CHANGES {
        // Writers get something done in between.
        let pause = 5 + chance.below(40);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        books.change(change % 2 == 0, &mut chance).await;
    }
    books.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = writers.join_next().await {
        ended.expect("a writer found a fault; see above");
    }

    let books = Arc::into_inner(books).expect("the writers have ended");
    let history = books.history.into_inner().expect("no writer found a fault");
    if let Err(fault) = order(false, &history) {
        panic!("{what}: seed {seed}: {fault}");
    }
    let mut met: BTreeMap<String, usize> = BTreeMap::new();
    for call in &history {
        *met.entry(format!("{:?}", call.operation)).or_default() += 1;
    }
    println!("{what}: {met:?}");
    for kind in ["Record(true)", "Record(false)"] {
        assert!(met.contains_key(kind), "{met:?}");
    }
    // What was taken is there, and nothing of what was refused.
    let taken = met["Record(true)"] * usize::try_from(PAYMENTS).expect("a small number");
    for server in 0..count {
        assert_eq!(books.servers.list(server, 1_000).await.len(), taken);
    }
    let entries = books
        .servers
        .books_are_in_order(books.servers.business())
        .await;
    assert_eq!(usize::try_from(entries).expect("a small number"), taken);
    books.servers.end(&what);
}

struct Books {
    servers: Servers,
    history: Mutex<Vec<Call<Operation>>>,
    bulks: AtomicU64,
    is_over: AtomicBool,
}

impl Books {
    fn note(&self, began: u64, ended: u64, operation: Operation) {
        let mut history = self.history.lock().expect("no other writer found a fault");
        history.push(Call {
            operation,
            began,
            ended,
        });
    }

    async fn change(&self, close: bool, chance: &mut Random) {
        let body = json!({"closing_date": close.then_some("2024-06-01T00:00:00Z")});
        let path = format!("/local/businesses/{}", self.servers.business());
        let server = self.servers.any(chance);
        let reply = self
            .servers
            .send(server, Method::PATCH, &path, Some(&body))
            .await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let operation = if close {
            Operation::Close
        } else {
            Operation::Open
        };
        self.note(reply.began, reply.ended, operation);
    }

    async fn write(self: Arc<Books>, mut chance: Random) {
        while !self.is_over.load(Ordering::Relaxed) {
            let bulk = self.bulks.fetch_add(1, Ordering::Relaxed);
            let body: Value = (0..PAYMENTS)
                .map(|payment| {
                    json!({
                        "external_id": format!("payment-{bulk}-{payment}"),
                        "paid_at": "2024-02-27T02:22:55Z",
                        "method": "CASH",
                        "amount": 100,
                        "invoice_payments": [],
                    })
                })
                .collect();
            let server = self.servers.any(&mut chance);
            let reply = self
                .servers
                .payments(server, Method::POST, "/bulk", Some(&body))
                .await;
            let taken = reply.status == 200;
            assert!(
                taken
                    || (reply.status == 400
                        && reply.body["errors"][0]["meta"]["code"] == "books-closed"),
                "{}",
                reply.body
            );
            self.note(reply.began, reply.ended, Operation::Record(taken));
        }
    }
}
