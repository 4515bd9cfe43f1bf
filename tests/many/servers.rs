//! Several servers on one database, and requests to any of them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use layer_payments_tests::books;
use layer_payments_tests::engine::{Engine, Place};
use layer_payments_tests::pages;
use layer_payments_tests::process::{Served, TOKEN};
use layer_payments_tests::random::Random;
use reqwest::Method;
use serde_json::Value;

/// Longer than any of these requests takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Servers that share a database.
#[derive(Debug)]
pub(crate) struct Servers {
    place: Place,
    served: Vec<Served>,
    http: reqwest::Client,
    started: Instant,
    loses_its_database: bool,
    /// How often each answer came from each server.
    tally: Mutex<BTreeMap<(usize, String), u64>>,
}

/// An answer, and when it was asked for and came, in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) began: u64,
    pub(crate) ended: u64,
}

impl Servers {
    /// Starts so many servers on a new database, all at once: one of them lays out the tables.
    pub(crate) fn start(engine: Engine, count: usize) -> Servers {
        Servers::start_at(engine.place(), count)
    }

    /// The same, on a database that is there.
    pub(crate) fn start_at(place: Place, count: usize) -> Servers {
        let database = place.database();
        let served = std::thread::scope(|scope| {
            let starting: Vec<_> = (0..count)
                .map(|_| scope.spawn(|| Served::start(&database)))
                .collect();
            starting
                .into_iter()
                .map(|server| server.join().expect("a server doesn't start; see above"))
                .collect()
        });
        Servers {
            place,
            served,
            http: reqwest::Client::builder()
                .timeout(PATIENCE)
                .build()
                .expect("a client can be made"),
            started: Instant::now(),
            loses_its_database: false,
            tally: Mutex::default(),
        }
    }

    /// Lets requests be answered with 503, as the database goes away at times.
    pub(crate) fn that_lose_their_database(mut self) -> Servers {
        self.loses_its_database = true;
        self
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.served.len()
    }

    /// The business that there is from the start.
    pub(crate) fn business(&self) -> &'static str {
        self.served[0].business()
    }

    /// One of the servers.
    pub(crate) fn any(&self, chance: &mut Random) -> usize {
        let count = u64::try_from(self.count()).expect("a small number");
        usize::try_from(chance.below(count)).expect("a small number")
    }

    /// The time since the start.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).expect("a test is over before that")
    }

    /// Sends a request to a server.
    ///
    /// # Panics
    ///
    /// If it isn't answered, or the server says that it failed.
    pub(crate) async fn send(
        &self,
        server: usize,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Reply {
        let served = &self.served[server];
        let url = format!("http://{}{path}", served.address());
        let mut request = self.http.request(method.clone(), url).bearer_auth(TOKEN);
        if let Some(body) = body {
            request = request.json(body);
        }
        let began = self.now();
        let answer = async {
            let reply = request.send().await?;
            let status = reply.status().as_u16();
            Ok::<_, reqwest::Error>((status, reply.json::<Value>().await?))
        };
        let (status, body) = answer.await.unwrap_or_else(|error| {
            panic!(
                "{method} {path} isn't answered by server {server}: {error:?}\n{}",
                end_of(&served.said())
            )
        });
        let ended = self.now();
        assert!(
            status < 500 || (status == 503 && self.loses_its_database),
            "{method} {path}: {status} of server {server}: {body}\n{}",
            end_of(&served.said())
        );
        let mut tally = self.tally.lock().expect("counting doesn't panic");
        let path = path.split('?').next().unwrap_or_default();
        let below = path.rsplit('/').next().unwrap_or_default();
        let kind = if below.len() == 36 { "{id}" } else { below };
        *tally
            .entry((server, format!("{method} {kind} {status}")))
            .or_default() += 1;
        Reply {
            status,
            body,
            began,
            ended,
        }
    }

    /// Sends a request about payments of the business that there is from the start.
    pub(crate) async fn payments(
        &self,
        server: usize,
        method: Method,
        below: &str,
        body: Option<&Value>,
    ) -> Reply {
        let path = format!(
            "/v1/businesses/{}/invoices/payments{below}",
            self.business()
        );
        self.send(server, method, &path, body).await
    }

    /// Sends a request about a business to what the public API doesn't have.
    pub(crate) async fn local(
        &self,
        server: usize,
        method: Method,
        business: &str,
        below: &str,
        body: Option<&Value>,
    ) -> Reply {
        let path = format!("/local/businesses/{business}/{below}");
        self.send(server, method, &path, body).await
    }

    /// All payments of a business, page by page.
    pub(crate) async fn list(&self, server: usize, limit: u32) -> Vec<Value> {
        pages::payments(limit, async |query| {
            let page = self.payments(server, Method::GET, &query, None).await;
            assert_eq!(page.status, 200, "{}", page.body);
            page.body
        })
        .await
    }

    /// Checks the books at the end: by the program, and that no entry of the journal is missing. Gives how many there are.
    pub(crate) async fn books_are_in_order(&self, business: &str) -> u64 {
        books::check(&self.place.database());
        let entries = pages::journal(async |query| {
            let below = format!("journal-entries{query}");
            self.local(0, Method::GET, business, &below, None)
                .await
                .body
        })
        .await;
        let balance = self
            .local(0, Method::GET, business, "trial-balance", None)
            .await;
        assert_eq!(balance.body["data"]["is_balanced"], true);
        entries
    }

    /// Ends the servers, each of which has to have had some of the requests, and says what was answered.
    pub(crate) fn end(self, what: &str) {
        let tally = self.tally.into_inner().expect("counting doesn't panic");
        let mut sums: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let count = self.served.len();
        for ((server, kind), times) in tally {
            sums.entry(kind).or_insert_with(|| vec![0; count])[server] += times;
        }
        println!(
            "{what}: {:.1} s, by server: {sums:?}",
            self.started.elapsed().as_secs_f32()
        );
        for (number, server) in self.served.into_iter().enumerate() {
            assert!(
                sums.values().any(|times| times[number] > 0),
                "server {number} had nothing to do"
            );
            let said = server.kill();
            let failed = said.contains("ERROR") && !self.loses_its_database;
            assert!(
                !failed && !said.contains("panicked"),
                "server {number}: {}",
                end_of(&said)
            );
        }
    }
}

/// The end of what a server said.
fn end_of(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
