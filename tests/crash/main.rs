//! What was acknowledged survives `kill -9`, whenever it comes.
//!
//! Several clients record, record in bulk and update payments, each its own, as fast as they are answered. At a random
//! moment the server is killed. It is started again on the same file, and then each payment has to be there once and
//! as the last reply showed it. Of a request that wasn't answered, all or nothing may have been done.
//!
//! The kernel keeps what a killed process wrote, so this shows that the server answers only after its writes and that
//! SQLite's log brings the file into order. That the writes are on disk by then is `synchronous=FULL`'s part, which
//! only a loss of power could test.
//!
//! `LAYER_TEST_SEED` repeats the choices of a run (not its timing), `LAYER_CRASH_ROUNDS` makes a longer one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use layer_payments_tests::books;
use layer_payments_tests::process::{Served, TOKEN};
use layer_payments_tests::random::{Random, seed, setting};
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

const CLIENTS: u64 = 6;
/// A server is killed once it has answered up to this many requests, ...
const MOST_ANSWERS: u64 = 60;
/// ... and then up to this many microseconds later. So a slow machine makes the test slow, and no weaker.
const LONGEST_WAIT: u64 = 20_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kills() {
    let seed = seed(0xc0ffee);
    let rounds = setting("LAYER_CRASH_ROUNDS", 50);
    println!("seed {seed}, {rounds} rounds");
    let started = Instant::now();
    let scratch = tempfile::tempdir().expect("a temporary folder can be made");
    let file = |round: u64| scratch.path().join(format!("payments-{round}.db"));
    let mut database = file(0);
    let mut chance = Random::of(seed, 1_000);
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|number| Client::new(seed, number))
        .collect();
    let mut total = Tally::default();
    let mut server = Served::start(&database);
    let mut kept = 0;
    for round in 0..rounds {
        if round % 10 == 9 {
            // A new file now and then: a larger one is killed no better, and takes longer to look through.
            database = file(round);
            server = Served::start(&database);
            for client in &mut clients {
                kept += std::mem::take(&mut client.payments).len();
            }
        }
        let answers = chance.below(MOST_ANSWERS);
        let moment = Duration::from_micros(chance.below(LONGEST_WAIT));
        let url = server.payments_url();
        let answered = Arc::new(AtomicU64::new(0));
        let running: Vec<_> = clients
            .into_iter()
            .map(|client| tokio::spawn(client.run(url.clone(), Arc::clone(&answered))))
            .collect();
        while answered.load(Ordering::Relaxed) < answers {
            assert!(
                !running.iter().any(JoinHandle::is_finished),
                "round {round}: a client ended while the server runs"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(moment).await;
        let said = server.kill();
        assert!(!said.contains("ERROR"), "round {round}: {said}");
        clients = Vec::new();
        for client in running {
            clients.push(client.await.expect("a client found a fault; see above"));
        }
        if chance.once_in(4) {
            // Killed while it brings the file into order, too.
            let recovering = Served::start(&database);
            tokio::time::sleep(Duration::from_micros(chance.below(5_000))).await;
            recovering.kill();
        }
        server = Served::start(&database);
        verify(&server, &database, &mut clients, &mut total)
            .await
            .unwrap_or_else(|fault| {
                panic!(
                    "seed {seed}, round {round}, killed {moment:?} after {answers} answers: {fault}"
                )
            });
    }
    kept += clients
        .iter()
        .map(|client| client.payments.len())
        .sum::<usize>();
    println!(
        "{rounds} kills in {} s: {} acknowledged requests, {kept} payments; of the unanswered requests {} were done and \
         {} were not",
        started.elapsed().as_secs(),
        total.acknowledged,
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
        "the server was killed while it had nothing to do"
    );
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
    /// What a request that wasn't answered wanted its payments to be.
    unanswered: Vec<Value>,
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
        }
    }

    /// Sends requests until one isn't answered.
    async fn run(mut self, url: String, answered: Arc<AtomicU64>) -> Client {
        // A reply that got lost on the way mustn't stop the test; a request that takes so long counts as unanswered.
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .build()
            .expect("a client can be made");
        loop {
            let (request, wanted) = self.choose(&http, &url);
            match answer(request).await {
                Some((status, reply)) => {
                    self.take(status, &reply, wanted);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                None => {
                    self.unanswered = wanted;
                    return self;
                }
            }
        }
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

/// Compares what a restarted server has with what the clients were told.
async fn verify(
    server: &Served,
    database: &Path,
    clients: &mut [Client],
    tally: &mut Tally,
) -> Result<(), String> {
    let listed = list(server).await?;
    for client in clients.iter_mut() {
        client.settle(&listed, tally)?;
    }
    let mut known = 0;
    for (name, payment) in clients.iter().flat_map(|client| &client.payments) {
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
    books::check(database);
    Ok(())
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
