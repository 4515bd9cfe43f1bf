//! What was acknowledged survives `kill -9`, whenever it comes and whomever it meets.
//!
//! Several clients record, record in bulk and update payments, each its own, as fast as they are answered. At a random
//! moment the server is killed, or PostgreSQL under it. It is started again on the same database, and then each payment
//! has to be there once and as the last reply showed it. Of a request that wasn't answered, all or nothing may have been
//! done.
//!
//! The kernel keeps what a killed process wrote, so this shows that the server answers only after its writes and that
//! the log of SQLite or PostgreSQL brings the database into order. That the writes are on disk by then is the part of
//! `synchronous=FULL` and `fsync`, which only a loss of power could test.
//!
//! `LAYER_TEST_SEED` repeats the choices of a run (not its timing), `LAYER_CRASH_ROUNDS` makes a longer one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use layer_payments_test_postgres::Cluster;
use layer_payments_tests::books;
use layer_payments_tests::engine::{Database, Engine};
use layer_payments_tests::process::{Served, TOKEN};
use layer_payments_tests::random::{Random, seed, setting};
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

const CLIENTS: u64 = 6;
/// Something is killed once the server has answered up to this many requests, ...
const MOST_ANSWERS: u64 = 60;
/// ... and then up to this many microseconds later. So a slow machine makes the test slow, and no weaker.
const LONGEST_WAIT: u64 = 20_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kills_on_sqlite() {
    kills_of_the_server(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kills_on_postgres() {
    kills_of_the_server(Engine::Postgres).await;
}

async fn kills_of_the_server(engine: Engine) {
    let mut run = Run::new(50, &format!("kills of the server on {engine:?}"));
    let mut place = engine.place();
    let mut server = Served::start(&place.database());
    for round in 0..run.rounds {
        if round % 10 == 9 {
            // A new database now and then: a larger one is killed no better, and takes longer to look through.
            drop(server);
            place = engine.place();
            server = Served::start(&place.database());
            run.begin_anew();
        }
        let load = run.load(&server, round).await;
        let said = server.kill();
        assert!(!said.contains("ERROR"), "round {round}: {said}");
        run.end(load).await;
        assert!(
            run.clients.iter().all(|client| client.unavailable == 0),
            "round {round}: a request was answered with 503: {said}"
        );
        if run.chance.once_in(4) {
            // Killed while it brings the database into order, too.
            let recovering = Served::start(&place.database());
            tokio::time::sleep(Duration::from_micros(run.chance.below(5_000))).await;
            recovering.kill();
        }
        place.wait_until_unused();
        server = Served::start(&place.database());
        run.verify(&server, &place.database(), round).await;
    }
    run.report();
}

/// Here the server lives on, and works again as soon as its database does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kills_of_postgres() {
    let mut run = Run::new(15, "kills of PostgreSQL");
    let cluster = Cluster::start();
    let mut owned = cluster.database();
    let mut database = Database::Postgres(owned.url());
    let mut server = Served::start(&database);
    for round in 0..run.rounds {
        if round % 10 == 9 {
            drop(server);
            owned = cluster.database();
            database = Database::Postgres(owned.url());
            server = Served::start(&database);
            run.begin_anew();
        }
        let load = run.load(&server, round).await;
        cluster.kill();
        load.stop.store(true, Ordering::Relaxed);
        // At times it is back before the server has given up.
        tokio::time::sleep(Duration::from_millis(run.chance.below(1_000))).await;
        cluster.start_again();
        run.end(load).await;
        for client in &run.clients {
            assert_eq!(
                client.unanswered.is_empty(),
                client.unavailable == 0,
                "round {round}: a request wasn't answered at all: {}",
                server.said()
            );
        }
        run.verify(&server, &database, round).await;
    }
    run.report();
    drop(server);
}

/// A run of many kills.
struct Run {
    what: String,
    seed: u64,
    rounds: u64,
    started: Instant,
    chance: Random,
    clients: Vec<Client>,
    total: Tally,
    kept: usize,
    /// After how many answers, and how much later, the kill of this round came.
    moment: (u64, Duration),
}

/// Clients that are sending.
struct Load {
    running: Vec<JoinHandle<Client>>,
    /// Tells them to send nothing more.
    stop: Arc<AtomicBool>,
}

impl Run {
    fn new(rounds: u64, what: &str) -> Run {
        let seed = seed(0xc0ffee);
        let rounds = setting("LAYER_CRASH_ROUNDS", rounds);
        println!("{what}: seed {seed}, {rounds} rounds");
        Run {
            what: what.to_owned(),
            seed,
            rounds,
            started: Instant::now(),
            chance: Random::of(seed, 1_000),
            clients: (0..CLIENTS)
                .map(|number| Client::new(seed, number))
                .collect(),
            total: Tally::default(),
            kept: 0,
            moment: (0, Duration::ZERO),
        }
    }

    /// Forgets what there is, as the database is another one from now on.
    fn begin_anew(&mut self) {
        for client in &mut self.clients {
            self.kept += std::mem::take(&mut client.payments).len();
        }
    }

    /// Lets the clients send, until the moment of the kill.
    async fn load(&mut self, server: &Served, round: u64) -> Load {
        let answers = self.chance.below(MOST_ANSWERS);
        let moment = Duration::from_micros(self.chance.below(LONGEST_WAIT));
        self.moment = (answers, moment);
        let url = server.payments_url();
        let answered = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let running: Vec<_> = std::mem::take(&mut self.clients)
            .into_iter()
            .map(|client| {
                tokio::spawn(client.run(url.clone(), Arc::clone(&answered), Arc::clone(&stop)))
            })
            .collect();
        while answered.load(Ordering::Relaxed) < answers {
            assert!(
                !running.iter().any(JoinHandle::is_finished),
                "round {round}: a client ended while the server runs: {}",
                server.said()
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(moment).await;
        Load { running, stop }
    }

    /// Waits for the clients.
    async fn end(&mut self, load: Load) {
        for client in load.running {
            let client = client.await.expect("a client found a fault; see above");
            self.clients.push(client);
        }
    }

    /// Compares what a server has with what the clients were told.
    async fn verify(&mut self, server: &Served, database: &Database, round: u64) {
        if let Err(fault) = self.compare(server).await {
            let (answers, moment) = self.moment;
            panic!(
                "{}: seed {}, round {round}, killed {moment:?} after {answers} answers: {fault}",
                self.what, self.seed
            );
        }
        books::check(database);
    }

    async fn compare(&mut self, server: &Served) -> Result<(), String> {
        let listed = list(server).await?;
        for client in &mut self.clients {
            client.settle(&listed, &mut self.total)?;
        }
        let mut known = 0;
        for (name, payment) in self.clients.iter().flat_map(|client| &client.payments) {
            known += 1;
            match listed.get(name) {
                None => {
                    return Err(format!(
                        "{name} was acknowledged and is gone: {}",
                        payment.shown
                    ));
                }
                Some(shown) if *shown != payment.shown => {
                    return Err(format!(
                        "{name} was acknowledged as {} and is {shown}",
                        payment.shown
                    ));
                }
                Some(_) => {}
            }
        }
        if known != listed.len() {
            return Err(format!(
                "{} payments are there, and {known} are known",
                listed.len()
            ));
        }
        Ok(())
    }

    /// Says what happened, which has to be something.
    fn report(&mut self) {
        self.begin_anew();
        let (rounds, total) = (self.rounds, &self.total);
        println!(
            "{}: {rounds} kills in {} s: {} acknowledged requests, {} payments; of the unanswered requests {} were done \
             and {} were not",
            self.what,
            self.started.elapsed().as_secs(),
            total.acknowledged,
            self.kept,
            total.done,
            total.undone
        );
        // A run in which no kill met a request on its way would prove nothing.
        assert!(
            total.acknowledged >= rounds,
            "the clients were hardly served"
        );
        assert!(
            total.done + total.undone >= rounds,
            "there was nothing to do at the kills"
        );
    }
}

/// What happened, all rounds together.
#[derive(Debug, Default)]
struct Tally {
    acknowledged: u64,
    /// Unanswered requests that were carried out all the same.
    done: u64,
    undone: u64,
}

/// A payment as its client knows it.
#[derive(Clone, Debug)]
struct Known {
    /// All that it was asked to be.
    wanted: Value,
    /// How the last reply showed it.
    shown: Value,
}

/// A client with payments of its own, so that it knows what each of them has to be.
#[derive(Debug)]
struct Client {
    number: u64,
    chance: Random,
    named: u64,
    payments: BTreeMap<String, Known>,
    acknowledged: u64,
    /// What a request that wasn't answered, or was with 503, wanted its payments to be.
    unanswered: Vec<Value>,
    /// How often a request was answered with 503 in this round.
    unavailable: u64,
}

impl Client {
    fn new(seed: u64, number: u64) -> Client {
        Client {
            number,
            chance: Random::of(seed, number),
            named: 0,
            payments: BTreeMap::new(),
            acknowledged: 0,
            unanswered: Vec::new(),
            unavailable: 0,
        }
    }

    /// Sends requests until one isn't answered, or answered with 503, or it is told to stop.
    async fn run(mut self, url: String, answered: Arc<AtomicU64>, stop: Arc<AtomicBool>) -> Client {
        // A reply that got lost on the way mustn't stop the test; a request that takes so long counts as unanswered.
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .build()
            .expect("a client can be made");
        self.unavailable = 0;
        while !stop.load(Ordering::Relaxed) {
            let (request, wanted) = self.choose(&http, &url);
            match answer(request).await {
                Some((503, _)) => {
                    self.unavailable += 1;
                    self.unanswered = wanted;
                    break;
                }
                Some((status, reply)) => {
                    self.take(status, &reply, wanted);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                None => {
                    self.unanswered = wanted;
                    break;
                }
            }
        }
        self
    }

    /// Chooses a request, and says what it wants its payments to be.
    fn choose(
        &mut self,
        http: &reqwest::Client,
        url: &str,
    ) -> (reqwest::RequestBuilder, Vec<Value>) {
        match self.chance.below(4) {
            0 if !self.payments.is_empty() => {
                let external_id = self.any_name();
                let known = self.payments[&external_id].clone();
                let mut wanted = known.wanted.clone();
                let mut changes = Map::new();
                let new = self.payment(&external_id);
                for key in ["amount", "memo", "invoice_payments", "tags", "metadata"] {
                    if key == "memo" || self.chance.once_in(2) {
                        wanted[key] = new[key].clone();
                    }
                }
                // The amount and what is allocated of it go together.
                if wanted["amount"] != known.wanted["amount"] {
                    wanted["invoice_payments"] = new["invoice_payments"].clone();
                } else if wanted["invoice_payments"] != known.wanted["invoice_payments"] {
                    wanted["amount"] = new["amount"].clone();
                }
                for (key, value) in wanted.as_object().into_iter().flatten() {
                    if known.wanted[key] != *value {
                        changes.insert(key.clone(), value.clone());
                    }
                }
                let id = known.shown["id"].as_str().expect("a payment has an id");
                (
                    http.patch(format!("{url}/{id}")).json(&changes),
                    vec![wanted],
                )
            }
            1 => {
                let count = 2 + self.chance.below(40);
                let mut names = BTreeSet::new();
                for _ in 0..count {
                    names.insert(self.name());
                }
                let wanted: Vec<Value> = names.iter().map(|name| self.payment(name)).collect();
                (http.post(format!("{url}/bulk")).json(&wanted), wanted)
            }
            _ => {
                let name = self.name();
                let wanted = self.payment(&name);
                (http.post(url).json(&wanted), vec![wanted])
            }
        }
    }

    /// A new external id, or at times one that a payment has.
    fn name(&mut self) -> String {
        if !self.payments.is_empty() && self.chance.once_in(5) {
            return self.any_name();
        }
        self.named += 1;
        format!("client-{}-payment-{}", self.number, self.named)
    }

    fn any_name(&mut self) -> String {
        let names: Vec<&String> = self.payments.keys().collect();
        (*self.chance.pick(&names)).clone()
    }

    /// A payment with a bit of everything. Each names its own invoices, so that clients don't get in each other's way.
    fn payment(&mut self, external_id: &str) -> Value {
        let chance = &mut self.chance;
        let parts: Vec<Value> = (0..chance.below(4))
            .map(|part| {
                json!({"invoice_external_id": format!("{external_id}-{part}"), "amount": 1 + chance.below(1_000)})
            })
            .collect();
        let allocated: u64 = parts
            .iter()
            .filter_map(|part| part["amount"].as_u64())
            .sum();
        let tags: Vec<Value> = (0..chance.below(3))
            .map(|tag| json!({"key": format!("key-{tag}"), "value": format!("value-{}", chance.below(5))}))
            .collect();
        json!({
            "external_id": external_id,
            "paid_at": "2024-02-27T02:22:55Z",
            "method": "CASH",
            "amount": allocated + chance.below(1_000),
            "invoice_payments": parts,
            "tags": tags,
            // No two are the same, so that an old version can't pass for a new one.
            "memo": format!("{:016x}", chance.number()),
            "metadata": {"filling": "x".repeat(usize::try_from(chance.below(300)).expect("a small number"))},
        })
    }

    /// Takes an acknowledgement: what was wanted is what there is from now on.
    fn take(&mut self, status: u16, reply: &Value, wanted: Vec<Value>) {
        assert!(
            matches!(status, 200 | 201),
            "{status}: {reply} to {wanted:?}"
        );
        self.acknowledged += 1;
        let shown = match &reply["data"] {
            Value::Array(payments) => payments.clone(),
            payment => vec![payment.clone()],
        };
        assert_eq!(shown.len(), wanted.len());
        for (shown, wanted) in shown.into_iter().zip(wanted) {
            assert!(
                shows(&shown, &wanted),
                "{shown} isn't what was sent: {wanted}"
            );
            self.payments
                .insert(name_of(&wanted).to_owned(), Known { wanted, shown });
        }
    }

    /// Settles what became of the request that wasn't answered, by what there is now. It was done in whole or not at all.
    fn settle(
        &mut self,
        listed: &BTreeMap<String, Value>,
        tally: &mut Tally,
    ) -> Result<(), String> {
        tally.acknowledged += std::mem::take(&mut self.acknowledged);
        let wanted = std::mem::take(&mut self.unanswered);
        let done = wanted
            .iter()
            .filter(|wanted| {
                listed
                    .get(name_of(wanted))
                    .is_some_and(|shown| shows(shown, wanted))
            })
            .count();
        if wanted.is_empty() {
            return Ok(());
        }
        if done == 0 {
            tally.undone += 1;
            return Ok(());
        }
        if done != wanted.len() {
            return Err(format!(
                "{done} of {} payments of a request are there: {wanted:?}",
                wanted.len()
            ));
        }
        tally.done += 1;
        for wanted in wanted {
            let name = name_of(&wanted).to_owned();
            let shown = listed[&name].clone();
            if let Some(known) = self.payments.get(&name)
                && known.shown["id"] != shown["id"]
            {
                return Err(format!("{name} has another id than before"));
            }
            self.payments.insert(name, Known { wanted, shown });
        }
        Ok(())
    }
}

fn name_of(payment: &Value) -> &str {
    payment["external_id"].as_str().unwrap_or_default()
}

/// Whether a payment in a reply is what a request wanted, in each part of it.
fn shows(shown: &Value, wanted: &Value) -> bool {
    let list = |value: &Value, keys: &[&str]| -> Vec<Value> {
        let parts = value.as_array().into_iter().flatten();
        parts
            .map(|part| keys.iter().map(|key| part[*key].clone()).collect())
            .collect()
    };
    let same = ["external_id", "method", "amount", "memo", "metadata"]
        .iter()
        .all(|key| shown[*key] == wanted[*key]);
    same && shown["at"] == wanted["paid_at"]
        && list(&shown["allocations"], &["amount"])
            == list(&wanted["invoice_payments"], &["amount"])
        && list(&shown["transaction_tags"], &["key", "value"])
            == list(&wanted["tags"], &["key", "value"])
}

/// Sends a request. `None` if the server went away before its reply was complete.
async fn answer(request: reqwest::RequestBuilder) -> Option<(u16, Value)> {
    let reply = request.bearer_auth(TOKEN).send().await.ok()?;
    let status = reply.status().as_u16();
    Some((status, reply.json().await.ok()?))
}

/// All payments by their external ids, over all pages.
async fn list(server: &Served) -> Result<BTreeMap<String, Value>, String> {
    let http = reqwest::Client::new();
    let mut listed = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let url = format!("{}?limit=1000{cursor}", server.payments_url());
        let Some((200, page)) = answer(http.get(url)).await else {
            return Err(format!("the server doesn't list: {}", server.said()));
        };
        for payment in page["data"].as_array().into_iter().flatten() {
            let name = name_of(payment).to_owned();
            if let Some(other) = listed.insert(name, payment.clone()) {
                return Err(format!("a payment is there twice: {other} and {payment}"));
            }
        }
        match page["meta"]["pagination"]["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(listed),
        }
    }
}
