//! A server with a database that goes away, and clients that note what they are told.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use layer_payments_test_postgres::{Cluster, Database, Proxy};
use layer_payments_tests::books;
use layer_payments_tests::engine;
use layer_payments_tests::pages;
use layer_payments_tests::process::{Served, TOKEN};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// The longest that a request may take, whatever becomes of the database: a write waits for the one before it and then
/// for its own end, and for each of them the server has its time limits.
const LONGEST: Duration = Duration::from_secs(60);

/// How soon everything has to work again once the database does.
const RECOVERY: Duration = Duration::from_secs(15);

/// A server on a database behind a proxy.
pub(crate) struct Site<'c> {
    pub(crate) proxy: Proxy,
    pub(crate) database: Database<'c>,
    server: Served,
    http: reqwest::Client,
    runtime: Runtime,
    payments: AtomicU64,
    /// What became of each payment, by its memo.
    told: Mutex<BTreeMap<String, Told>>,
    slowest: Mutex<Duration>,
}

/// What a client was told of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Recorded,
    Unavailable,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl<'c> Site<'c> {
    pub(crate) fn start(cluster: &'c Cluster) -> Site<'c> {
        let database = cluster.database();
        let proxy = Proxy::start(cluster);
        let server = Served::start(&engine::Database::Postgres(proxy.url(&database)));
        Site {
            proxy,
            database,
            server,
            http: reqwest::Client::builder()
                .timeout(LONGEST)
                .build()
                .expect("a client can be made"),
            runtime: Runtime::new().expect("a runtime can be made"),
            payments: AtomicU64::new(0),
            told: Mutex::default(),
            slowest: Mutex::default(),
        }
    }

    pub(crate) fn business(&self) -> &'static str {
        self.server.business()
    }

    pub(crate) fn said(&self) -> String {
        self.server.said()
    }

    /// Sends a request, which has to end in time: well, or as the client's own fault, or with 503 and a `Retry-After`.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        let url = format!("http://{}{path}", self.server.address());
        let mut request = self.http.request(method.clone(), url).bearer_auth(TOKEN);
        if let Some(body) = body {
            request = request.json(body);
        }
        let started = Instant::now();
        let answer = async {
            let reply = request.send().await?;
            let status = reply.status().as_u16();
            let again = reply.headers().contains_key("retry-after");
            Ok::<_, reqwest::Error>((status, again, reply.json::<Value>().await?))
        };
        let (status, again, body) = answer.await.unwrap_or_else(|error| {
            panic!(
                "{method} {path} isn't answered after {:?}: {error:?}\n{}",
                started.elapsed(),
                self.end_of_log()
            )
        });
        {
            let mut slowest = self.slowest.lock().expect("comparing doesn't panic");
            *slowest = slowest.max(started.elapsed());
        }
        assert!(
            status < 500 || (status == 503 && again),
            "{method} {path}: {status}, Retry-After: {again}: {body}\n{}",
            self.end_of_log()
        );
        Reply { status, body }
    }

    /// Sends a request about payments of a business.
    pub(crate) async fn payments(
        &self,
        method: Method,
        business: &str,
        below: &str,
        body: Option<&Value>,
    ) -> Reply {
        let path = format!("/v1/businesses/{business}/invoices/payments{below}");
        self.send(method, &path, body).await
    }

    /// Records a payment that has no external id, so that nothing but the store keeps it from being there twice.
    pub(crate) async fn record(&self) -> Told {
        let number = self.payments.fetch_add(1, Ordering::Relaxed);
        let memo = format!("memo-{number}");
        let body = json!({
            "paid_at": "2024-02-27T02:22:55Z",
            "method": "CASH",
            "amount": 1_000 + number,
            "invoice_payments": [{"invoice_external_id": format!("invoice-{}", number % 7), "amount": 10}],
            "tags": [{"key": "key", "value": format!("value-{}", number % 3)}],
            "memo": memo,
        });
        let reply = self
            .payments(Method::POST, self.business(), "", Some(&body))
            .await;
        let told = match reply.status {
            201 => {
                assert_eq!(reply.body["data"]["memo"], memo, "{}", reply.body);
                Told::Recorded
            }
            503 => Told::Unavailable,
            status => panic!("{status}: {}", reply.body),
        };
        let mut all = self.told.lock().expect("noting doesn't panic");
        all.insert(memo, told);
        told
    }

    /// How often clients were told something.
    pub(crate) fn count(&self, told: Told) -> usize {
        let all = self.told.lock().expect("noting doesn't panic");
        all.values().filter(|other| **other == told).count()
    }

    /// Waits until everything works again.
    pub(crate) fn recovers(&self) {
        let started = Instant::now();
        let mut in_a_row = 0;
        while in_a_row < 5 {
            let well = self.run(async {
                self.record().await == Told::Recorded
                    && self.send(Method::GET, "/healthz", None).await.status == 200
            });
            in_a_row = if well { in_a_row + 1 } else { 0 };
            assert!(
                started.elapsed() < RECOVERY,
                "the database is back, and the server isn't: {}",
                self.end_of_log()
            );
        }
    }

    /// Compares what there is with what the clients were told: each payment that was acknowledged is there once, one that
    /// wasn't is there once or not at all, and the books are in order.
    pub(crate) fn verify(&self, what: &str) {
        let mut found = self.run(self.memos());
        let told = self.told.lock().expect("noting doesn't panic").clone();
        let mut done = 0;
        for (memo, told) in &told {
            let times = found.remove(memo).unwrap_or_default();
            match told {
                Told::Recorded => assert_eq!(times, 1, "{what}: {memo} was acknowledged"),
                Told::Unavailable => {
                    assert!(times <= 1, "{what}: {memo} is there {times} times");
                    done += times;
                }
            }
        }
        assert!(found.is_empty(), "{what}: nobody sent these: {found:?}");
        self.run(self.no_entry_is_missing());
        books::check(&engine::Database::Postgres(self.database.url()));
        println!(
            "{what}: {} payments recorded, {} answered with 503, of which {done} are there; {} connections cut; the \
             slowest request took {:?}",
            self.count(Told::Recorded),
            self.count(Told::Unavailable),
            self.proxy.cuts(),
            self.slowest.lock().expect("comparing doesn't panic")
        );
    }

    /// How often each memo is there.
    async fn memos(&self) -> BTreeMap<String, u64> {
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        let listed = pages::payments(1_000, async |query| {
            let page = self
                .payments(Method::GET, self.business(), &query, None)
                .await;
            assert_eq!(page.status, 200, "{}", page.body);
            page.body
        });
        for payment in listed.await {
            let memo = payment["memo"].as_str().unwrap_or_default();
            *found.entry(memo.to_owned()).or_default() += 1;
        }
        found
    }

    async fn no_entry_is_missing(&self) {
        pages::journal(async |query| {
            let path = format!(
                "/local/businesses/{}/journal-entries{query}",
                self.business()
            );
            self.send(Method::GET, &path, None).await.body
        })
        .await;
    }

    fn end_of_log(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said
            .lines()
            .filter(|line| !line.contains(" INFO "))
            .collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Lets clients record payments, and others read, while something is done to the database.
    pub(crate) fn under_load(&self, meanwhile: impl FnOnce()) {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                let writers = (0..8).map(|_| self.keep_writing(&over));
                let readers = (0..2).map(|_| self.keep_reading(&over));
                let all = join(join_all(writers), join_all(readers));
                self.runtime.block_on(all);
            });
            {
                // The load ends however this does.
                let _end = End(&over);
                meanwhile();
            }
            if load.join().is_err() {
                panic!("a client found a fault; see above");
            }
        });
    }

    async fn keep_writing(&self, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            let told = self.record().await;
            pause(told == Told::Recorded).await;
        }
    }

    async fn keep_reading(&self, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            let page = self
                .payments(Method::GET, self.business(), "?limit=10", None)
                .await;
            pause(page.status == 200).await;
        }
    }

    /// Waits for a future.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Ends the server, which must not have panicked.
    pub(crate) fn end(self) {
        let said = self.server.kill();
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// Tells clients to stop when it is dropped.
struct End<'o>(&'o AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn pause(is_well: bool) {
    // As long as `Retry-After` asks for would make the tests long.
    let pause = if is_well { 2 } else { 50 };
    tokio::time::sleep(Duration::from_millis(pause)).await;
}
