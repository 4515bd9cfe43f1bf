//! Several servers on one database are one server to their clients.
//!
//! Many clients write to the same payments through servers that are processes of their own: one by one, in bulks, and by
//! updates of some of their properties. Each request's start, end and answer is noted, and `history.rs` looks for an order
//! of the requests in which all answers are right, for each payment. Where there is none, a write was lost, a payment was
//! made twice, or somebody was shown what wasn't so any more. What is named for the first time by several at once
//! (payments, invoices, tags, accounts, businesses) has to be one thing, and a closing date has to hold for all of them
//! at once. At the end the list is what was written last, the books are in order, and no request has failed.
//!
//! `LAYER_TEST_SEED` repeats the choices of a run (not its timing), `LAYER_MANY_REQUESTS` makes a longer one.

mod closing;
mod firsts;
mod history;
mod payment;
mod servers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use layer_payments_test_postgres::Cluster;
use layer_payments_tests::engine::Engine;
use layer_payments_tests::random::{Random, seed, setting};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::history::{Call, order};
use crate::payment::{Answer, Names, Operation, Outcome, Shown, request};
use crate::servers::{Reply, Servers};

const CLIENTS: u64 = 64;
/// Payments that clients write to one by one, in bulks and by updates. Half of the requests are about the first few.
const PAYMENTS: u64 = 200;
const HOT: u64 = 12;
/// Payments that are written and read together, and so are one.
const GROUPS: u64 = 8;
const MEMBERS: u64 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_are_one_on_postgres() {
    servers_are_one(Engine::Postgres, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_servers_are_one_on_postgres() {
    servers_are_one(Engine::Postgres, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_are_one_on_sqlite() {
    servers_are_one(Engine::Sqlite, 2).await;
}

/// What isn't answered because the database is gone may have been done or not, and all else is as if nothing had happened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_are_one_while_postgres_is_killed() {
    // It ends with the process.
    let cluster: &Cluster = Box::leak(Box::new(Cluster::start()));
    let servers = Servers::start_at(cluster.database().into(), 2).that_lose_their_database();
    let is_over = Arc::new(AtomicBool::new(false));
    let kills = {
        let is_over = Arc::clone(&is_over);
        tokio::task::spawn_blocking(move || {
            let mut kills = 0;
            while !is_over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(700));
                cluster.kill();
                cluster.start_again();
                kills += 1;
            }
            kills
        })
    };
    let what = "2 servers while PostgreSQL is killed";
    let (world, seed) = load(servers, what).await;
    is_over.store(true, Ordering::Relaxed);
    let kills = kills.await.expect("PostgreSQL comes back");
    println!("{what}: {kills} kills");
    assert!(kills >= 3, "only {kills} kills");
    let met = judge(world, what, seed).await;
    assert!(met.contains_key("unanswered"), "{met:?}");
}

async fn servers_are_one(engine: Engine, count: usize) {
    let what = format!("{count} servers on {engine:?}");
    let (world, seed) = load(Servers::start(engine, count), &what).await;
    judge(world, &what, seed).await;
}

/// Lets clients do their requests.
async fn load(servers: Servers, what: &str) -> (Arc<World>, u64) {
    let seed = seed(20_240_227);
    let requests = setting("LAYER_MANY_REQUESTS", 30);
    println!("{what}: seed {seed}, {CLIENTS} clients, {requests} requests each");
    let world = Arc::new(World::new(servers));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let client = Client {
            world: Arc::clone(&world),
            chance: Random::of(seed, number),
        };
        clients.spawn(client.run(requests));
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("a client found a fault; see above");
    }
    (world, seed)
}

/// Looks at what there is, and judges all that was answered. Gives how often each kind of answer came.
async fn judge(world: Arc<World>, what: &str, seed: u64) -> BTreeMap<String, u64> {
    // What each server has at the end is a read of every payment, after all else.
    for server in 0..world.servers.count() {
        world.read_everything(server).await;
    }
    let business = world.servers.business();
    let entries = world.servers.books_are_in_order(business).await;
    let world = Arc::into_inner(world).expect("the clients have ended");
    world.judge(what, seed, entries)
}

/// What the clients share.
struct World {
    servers: Servers,
    /// What was asked of each payment, and of each group, by its name.
    histories: Mutex<BTreeMap<String, Vec<Call<Operation>>>>,
    /// The ids of payments, as far as they are known.
    ids: Mutex<BTreeMap<String, String>>,
    names: Names,
    amounts: AtomicU64,
}

struct Client {
    world: Arc<World>,
    chance: Random,
}

/// The members of a group.
fn members(group: &str) -> Vec<String> {
    (0..MEMBERS)
        .map(|member| format!("{group}-{member}"))
        .collect()
}

impl World {
    fn new(servers: Servers) -> World {
        World {
            servers,
            histories: Mutex::default(),
            ids: Mutex::default(),
            names: Names::default(),
            amounts: AtomicU64::new(1_000),
        }
    }

    fn note(&self, name: &str, reply: &Reply, operation: Operation) {
        let call = Call {
            operation,
            began: reply.began,
            ended: reply.ended,
        };
        let mut histories = self
            .histories
            .lock()
            .expect("no other client found a fault");
        histories.entry(name.to_owned()).or_default().push(call);
    }

    fn know(&self, name: &str, shown: &Shown) {
        let mut ids = self.ids.lock().expect("no other client found a fault");
        ids.entry(name.to_owned())
            .or_insert_with(|| shown.id.clone());
    }

    /// An amount that no other request has.
    fn new_amount(&self) -> u64 {
        self.amounts.fetch_add(1, Ordering::Relaxed)
    }

    /// The payments of a group as one, of which all have to be of the same write.
    fn as_one(&self, payments: &[Value]) -> Option<Shown> {
        let mut whole: Option<Shown> = None;
        for payment in payments {
            let shown = self.names.shown(payment);
            match &mut whole {
                None => whole = Some(shown),
                Some(whole) => {
                    assert_eq!(
                        (whole.amount, &whole.memo),
                        (shown.amount, &shown.memo),
                        "half of a bulk is seen: {payments:?}"
                    );
                    whole.id.push_str(&shown.id);
                }
            }
        }
        whole
    }

    /// Reads all payments from a server, at different page sizes.
    async fn read_everything(&self, server: usize) {
        let began = self.servers.now();
        let listed = self.servers.list(server, 1_000).await;
        let by_pages = self.servers.list(server, 17).await;
        assert_eq!(
            listed, by_pages,
            "pages of another size show something else"
        );
        let reply = Reply {
            status: 200,
            body: Value::Null,
            began,
            ended: self.servers.now(),
        };
        let mut found: BTreeMap<&str, &Value> = BTreeMap::new();
        for payment in &listed {
            let name = payment["external_id"].as_str().expect("all have names");
            let other = found.insert(name, payment);
            assert!(
                other.is_none(),
                "{name} is there twice: {other:?}, {payment}"
            );
        }
        let ids: BTreeSet<&str> = listed.iter().filter_map(|p| p["id"].as_str()).collect();
        assert_eq!(ids.len(), listed.len(), "an id is there twice");
        for number in 0..PAYMENTS {
            let name = format!("payment-{number}");
            let shown = found
                .remove(&*name)
                .map(|payment| self.names.shown(payment));
            self.note(&name, &reply, Operation::Read(shown));
        }
        for number in 0..GROUPS {
            let group = format!("group-{number}");
            let payments: Vec<Value> = members(&group)
                .iter()
                .filter_map(|name| found.remove(&**name).cloned())
                .collect();
            assert!(
                payments.is_empty() || payments.len() == members(&group).len(),
                "half of a bulk is there: {payments:?}"
            );
            self.note(&group, &reply, Operation::Read(self.as_one(&payments)));
        }
        assert!(found.is_empty(), "nobody recorded these: {found:?}");
        // What was named has one id, here too.
        let business = self.servers.business();
        let invoices = self
            .servers
            .local(server, Method::GET, business, "invoices", None)
            .await;
        for invoice in invoices.body["data"].as_array().into_iter().flatten() {
            let name = invoice["external_id"].as_str().expect("all have names");
            self.names.note(name.to_owned(), &invoice["id"]);
        }
    }

    /// Checks the history of each payment.
    fn judge(self, what: &str, seed: u64, entries: u64) -> BTreeMap<String, u64> {
        let histories = self
            .histories
            .into_inner()
            .expect("no client found a fault");
        let started = Instant::now();
        let mut met: BTreeMap<String, u64> = BTreeMap::new();
        let (mut calls, mut longest, mut most_at_once) = (0, 0, 0);
        for (name, history) in &histories {
            for call in history {
                *met.entry(kind(&call.operation)).or_default() += 1;
            }
            calls += history.len();
            longest = longest.max(history.len());
            most_at_once = most_at_once.max(at_once(history));
            if let Err(fault) = order(None, history) {
                panic!("{what}: seed {seed}, {name}: {fault}");
            }
        }
        println!(
            "{what}: {calls} calls about {} payments, up to {longest} of one and {most_at_once} of it at once, judged in \
             {:.1} s: {met:?}; {entries} journal entries",
            histories.len(),
            started.elapsed().as_secs_f32()
        );
        for kind in [
            "created",
            "updated",
            "unchanged",
            "update",
            "read",
            "absent",
        ] {
            assert!(met.contains_key(kind), "nothing was {kind}: {met:?}");
        }
        // Histories in which nothing happens at once would prove nothing.
        assert!(most_at_once >= 4, "only {most_at_once} requests at once");
        self.servers.end(what);
        met
    }
}

fn kind(operation: &Operation) -> String {
    let name = match operation {
        Operation::Record {
            answer: Some(answer),
            ..
        } => match answer.outcome {
            Outcome::Created => "created",
            Outcome::Updated => "updated",
            Outcome::Unchanged => "unchanged",
        },
        Operation::Record { answer: None, .. } => "unanswered",
        Operation::Update { shown: Some(_), .. } => "update",
        Operation::Update { shown: None, .. } => "unanswered",
        Operation::Read(Some(_)) => "read",
        Operation::Read(None) => "absent",
    };
    name.to_owned()
}

/// The most calls that were on their way at the same time.
fn at_once(history: &[Call<Operation>]) -> usize {
    let mut events: Vec<(u64, bool)> = Vec::new();
    for call in history {
        events.push((call.began, true));
        events.push((call.ended, false));
    }
    events.sort_unstable();
    let (mut now, mut most) = (0_usize, 0);
    for (_, begins) in events {
        if begins {
            now += 1;
            most = most.max(now);
        } else {
            now -= 1;
        }
    }
    most
}

impl Client {
    async fn run(mut self, requests: u64) {
        for _ in 0..requests {
            match self.chance.below(20) {
                0..=7 => self.record().await,
                8..=10 => self.bulk().await,
                11..=13 => self.update().await,
                14..=15 => self.record_group().await,
                16..=17 => self.read().await,
                _ => self.read_group().await,
            }
        }
    }

    fn server(&mut self) -> usize {
        self.world.servers.any(&mut self.chance)
    }

    fn payment(&mut self) -> String {
        let number = if self.chance.once_in(2) {
            self.chance.below(HOT)
        } else {
            self.chance.below(PAYMENTS)
        };
        format!("payment-{number}")
    }

    fn group(&mut self) -> String {
        format!("group-{}", self.chance.below(GROUPS))
    }

    fn memo(&mut self, amount: u64) -> Option<String> {
        self.chance.once_in(2).then(|| format!("memo-{amount}"))
    }

    /// Records a payment; at times two do it at once, as a client and its retry might.
    async fn record(&mut self) {
        let (name, amount) = (self.payment(), self.world.new_amount());
        let memo = self.memo(amount);
        let body = request(&name, amount, memo.as_deref());
        let world = Arc::clone(&self.world);
        let send = async |server: usize| {
            let reply = world
                .servers
                .payments(server, Method::POST, "", Some(&body))
                .await;
            if reply.status == 503 {
                let operation = Operation::Record {
                    amount,
                    memo: memo.clone(),
                    answer: None,
                };
                return world.note(&name, &reply, operation);
            }
            let outcome = Outcome::named(&reply.body["meta"]["idempotency"]["outcomes"][0]);
            let expected = if outcome == Outcome::Created {
                201
            } else {
                200
            };
            assert_eq!(reply.status, expected, "{}", reply.body);
            let shown = world.names.shown(&reply.body["data"]);
            world.know(&name, &shown);
            let operation = Operation::Record {
                amount,
                memo: memo.clone(),
                answer: Some(Answer { outcome, shown }),
            };
            world.note(&name, &reply, operation);
        };
        let (one, other) = (self.server(), self.server());
        if self.chance.once_in(4) {
            tokio::join!(send(one), send(other));
        } else {
            send(one).await;
        }
    }

    /// Records several payments in one request.
    async fn bulk(&mut self) {
        let count = 2 + self.chance.below(8);
        let names: BTreeSet<String> = (0..count).map(|_| self.payment()).collect();
        let sent: Vec<(String, u64, Option<String>)> = names
            .into_iter()
            .map(|name| {
                let amount = self.world.new_amount();
                (name, amount, self.memo(amount))
            })
            .collect();
        let (reply, answers) = self.send_bulk(&sent).await;
        let mut answers = answers.into_iter();
        for (name, amount, memo) in sent {
            let answer = answers.next().map(|(answer, _)| answer);
            if let Some(answer) = &answer {
                self.world.know(&name, &answer.shown);
            }
            let operation = Operation::Record {
                amount,
                memo,
                answer,
            };
            self.world.note(&name, &reply, operation);
        }
    }

    /// Sends a bulk, and gives what is answered about each payment: nothing, if the database is gone.
    async fn send_bulk(
        &mut self,
        sent: &[(String, u64, Option<String>)],
    ) -> (Reply, Vec<(Answer, Value)>) {
        let body: Value = sent
            .iter()
            .map(|(name, amount, memo)| request(name, *amount, memo.as_deref()))
            .collect();
        let server = self.server();
        let reply = self
            .world
            .servers
            .payments(server, Method::POST, "/bulk", Some(&body))
            .await;
        if reply.status == 503 {
            return (reply, Vec::new());
        }
        assert_eq!(reply.status, 200, "{}", reply.body);
        let payments = reply.body["data"].as_array().expect("a bulk is a list");
        assert_eq!(payments.len(), sent.len(), "{}", reply.body);
        let outcomes = &reply.body["meta"]["idempotency"]["outcomes"];
        let answers = payments
            .iter()
            .enumerate()
            .map(|(place, payment)| {
                let answer = Answer {
                    outcome: Outcome::named(&outcomes[place]),
                    shown: self.world.names.shown(payment),
                };
                (answer, payment.clone())
            })
            .collect();
        (reply, answers)
    }

    /// Records all payments of a group with the same amount and memo.
    async fn record_group(&mut self) {
        let (group, amount) = (self.group(), self.world.new_amount());
        let memo = self.memo(amount);
        let sent: Vec<_> = members(&group)
            .into_iter()
            .map(|name| (name, amount, memo.clone()))
            .collect();
        let (reply, answers) = self.send_bulk(&sent).await;
        let outcomes: Vec<Outcome> = answers.iter().map(|(answer, _)| answer.outcome).collect();
        assert!(
            outcomes.iter().all(|outcome| *outcome == outcomes[0]),
            "half of the group was there: {outcomes:?}"
        );
        let payments: Vec<Value> = answers.into_iter().map(|(_, payment)| payment).collect();
        let answer = self.world.as_one(&payments).map(|shown| Answer {
            outcome: outcomes[0],
            shown,
        });
        let operation = Operation::Record {
            amount,
            memo,
            answer,
        };
        self.world.note(&group, &reply, operation);
    }

    /// Changes what only updates change, or what records change, too, or both.
    async fn update(&mut self) {
        let name = self.payment();
        let id = {
            let ids = self
                .world
                .ids
                .lock()
                .expect("no other client found a fault");
            ids.get(&name).cloned()
        };
        let Some(id) = id else {
            return;
        };
        let number = self.world.new_amount();
        let which = self.chance.below(3);
        let memo = (which != 0).then(|| format!("memo-{number}"));
        let reference = (which != 1).then(|| format!("reference-{number}"));
        let mut body = json!({});
        for (key, value) in [("memo", &memo), ("reference_number", &reference)] {
            if let Some(value) = value {
                body[key] = json!(value);
            }
        }
        let server = self.server();
        let reply = self
            .world
            .servers
            .payments(server, Method::PATCH, &format!("/{id}"), Some(&body))
            .await;
        let shown = if reply.status == 503 {
            None
        } else {
            assert_eq!(reply.status, 200, "{}", reply.body);
            Some(self.world.names.shown(&reply.body["data"]))
        };
        let operation = Operation::Update {
            memo,
            reference,
            shown,
        };
        self.world.note(&name, &reply, operation);
    }

    async fn read(&mut self) {
        let name = self.payment();
        let found = self.found(&format!("?external_id={name}")).await;
        let Some((reply, payments)) = found else {
            return;
        };
        assert!(payments.len() <= 1, "{name} is there twice: {payments:?}");
        let shown = payments
            .first()
            .map(|payment| self.world.names.shown(payment));
        self.world.note(&name, &reply, Operation::Read(shown));
    }

    /// Reads a group from a page of all payments, which is of one moment.
    async fn read_group(&mut self) {
        let group = self.group();
        let Some((reply, listed)) = self.found("?limit=1000").await else {
            return;
        };
        let names = members(&group);
        let mut payments: Vec<Value> = listed
            .into_iter()
            .filter(|payment| names.iter().any(|name| payment["external_id"] == **name))
            .collect();
        assert!(
            payments.is_empty() || payments.len() == names.len(),
            "half of a bulk is seen: {payments:?}"
        );
        payments.sort_by_key(|payment| payment["external_id"].as_str().map(str::to_owned));
        let shown = self.world.as_one(&payments);
        self.world.note(&group, &reply, Operation::Read(shown));
    }

    /// What is listed, unless the database is gone.
    async fn found(&mut self, query: &str) -> Option<(Reply, Vec<Value>)> {
        let server = self.server();
        let reply = self
            .world
            .servers
            .payments(server, Method::GET, query, None)
            .await;
        if reply.status == 503 {
            return None;
        }
        assert_eq!(reply.status, 200, "{}", reply.body);
        let payments = reply.body["data"].as_array().cloned().unwrap_or_default();
        Some((reply, payments))
    }
}
