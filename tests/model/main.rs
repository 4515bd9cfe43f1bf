//! Random sequences of all operations against a model that predicts every reply.
//!
//! The model (`model.rs` and what it uses: `rules.rs`, `books.rs`, `invoices.rs`, `ledger.rs`) is plain Rust, written from
//! `spec/decisions.md` and the posting rules in the server's documentation, and shares no code with the server. It also
//! predicts what each request posts, what each account's balance is and what is owed on each invoice, which is compared
//! at the end of a sequence and at times before. Each sequence has a business of its own and is sent one request after
//! another, several sequences at a time; a second test has many clients in one business. What fails is run again with
//! ever fewer of its operations, and the shortest sequence that still fails is printed.
//!
//! `LAYER_TEST_SEED` repeats a run, `LAYER_MODEL_SEQUENCES` makes a longer one.

mod books;
mod exchange;
mod invoices;
mod ledger;
mod model;
mod operations;
mod rules;

use std::sync::Arc;
use std::time::Instant;

use layer_payments_tests::engine::Engine;
use layer_payments_tests::random::{Random, seed, setting};
use serde_json::json;
use tokio::task::JoinSet;

use crate::exchange::Api;
use crate::model::Model;
use crate::operations::{Operation, Scope, sequence};

/// Sequences on their way at the same time.
const AT_ONCE: u64 = 8;
/// A failing sequence is run again that often at most, to make it shorter.
const ATTEMPTS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reply_is_the_one_predicted_on_sqlite() {
    every_reply_is_the_one_predicted(Engine::Sqlite, 1_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reply_is_the_one_predicted_on_postgres() {
    every_reply_is_the_one_predicted(Engine::Postgres, 300).await;
}

async fn every_reply_is_the_one_predicted(engine: Engine, count: u64) {
    let seed = seed(20_240_227);
    let count = setting("LAYER_MODEL_SEQUENCES", count);
    println!("{engine:?}: seed {seed}, {count} sequences");
    let started = Instant::now();
    // A sequence that fails is run again in further businesses.
    let spare = u64::try_from(ATTEMPTS).expect("a small number");
    let api = Arc::new(Api::start(engine, count + spare).await);
    let mut running = JoinSet::new();
    let mut next = 0;
    let mut operations = 0;
    loop {
        while next < count && running.len() < usize::try_from(AT_ONCE).expect("a small number") {
            let (api, number) = (Arc::clone(&api), next);
            running.spawn(async move {
                let sequence = sequence(&mut Random::of(seed, number), &Scope::alone());
                let result = run(&api, &sequence).await;
                (number, sequence, result)
            });
            next += 1;
        }
        let Some(ended) = running.join_next().await else {
            break;
        };
        let (number, sequence, result) = ended.expect("a sequence panicked");
        operations += sequence.len();
        if let Err((step, fault)) = result {
            let (shortest, fault) = shorten(&api, sequence[..=step].to_vec(), fault).await;
            let steps: Vec<String> = shortest.iter().map(|step| format!("  {step}")).collect();
            panic!(
                "{engine:?}: seed {seed}, sequence {number}, shortened to {} operations:\n{}\n{fault}",
                steps.len(),
                steps.join("\n")
            );
        }
    }
    assert_eq!(api.faults_of_books().await, json!([]));
    println!(
        "{engine:?}: {operations} operations in {count} sequences took {:.1} s: {}",
        started.elapsed().as_secs_f32(),
        api.tally()
    );
    api.assert_all_kinds_were_met();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_at_once_dont_get_in_each_others_way_on_sqlite() {
    clients_at_once_dont_get_in_each_others_way(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_at_once_dont_get_in_each_others_way_on_postgres() {
    clients_at_once_dont_get_in_each_others_way(Engine::Postgres).await;
}

/// Clients that share a business, each with payments, invoices and reference numbers of its own, get what the model
/// predicts for each of them, and at the end all that they made is there.
async fn clients_at_once_dont_get_in_each_others_way(engine: Engine) {
    let seed = seed(20_240_227);
    println!("{engine:?}: seed {seed}");
    let api = Arc::new(Api::start(engine, 1).await);
    let business = api.new_business();
    let mut clients = JoinSet::new();
    for number in 0..AT_ONCE {
        let api = Arc::clone(&api);
        clients.spawn(async move {
            let scope = Scope::of_client(number);
            let mut random = Random::of(seed, 1_000_000 + number);
            let mut model = Model::new();
            for part in 0..20 {
                for (step, operation) in sequence(&mut random, &scope).iter().enumerate() {
                    if let Err(fault) = api.perform(business, &mut model, operation).await {
                        panic!("seed {seed}, client {number}, {part}/{step}: {operation}\n{fault}");
                    }
                }
            }
            model
        });
    }
    let mut models = Vec::new();
    while let Some(model) = clients.join_next().await {
        models.push(model.expect("a client found a fault; see above"));
    }
    let expected = models.iter().map(Model::len).sum::<usize>();
    assert_eq!(api.count(business).await, expected);
    if let Err(fault) = api.books(business, &mut models).await {
        panic!("seed {seed}: {fault}");
    }
    assert_eq!(api.faults_of_books().await, json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identical_requests_at_once_make_one_payment_on_sqlite() {
    identical_requests_at_once_make_one_payment(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identical_requests_at_once_make_one_payment_on_postgres() {
    identical_requests_at_once_make_one_payment(Engine::Postgres).await;
}

/// Two, or many, identical first requests at the same moment make one payment.
async fn identical_requests_at_once_make_one_payment(engine: Engine) {
    let api = Arc::new(Api::start(engine, 1).await);
    let business = api.new_business();
    for round in 0..20 {
        let mut requests = JoinSet::new();
        for _ in 0..AT_ONCE {
            let api = Arc::clone(&api);
            requests.spawn(async move { api.record_plain(business, &format!("p{round}")).await });
        }
        let mut outcomes = Vec::new();
        let mut ids = Vec::new();
        while let Some(reply) = requests.join_next().await {
            let (outcome, id) = reply.expect("no request panics");
            outcomes.push(outcome);
            ids.push(id);
        }
        outcomes.sort();
        assert_eq!(outcomes[0], "created", "{outcomes:?}");
        assert!(
            outcomes[1..].iter().all(|outcome| outcome == "unchanged"),
            "{outcomes:?}"
        );
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
    assert_eq!(api.count(business).await, 20);
}

/// Sends a sequence to a new business, and compares the books at its end. An error is the step that failed, and how.
async fn run(api: &Api, sequence: &[Operation]) -> Result<(), (usize, String)> {
    let business = api.new_business();
    let mut model = Model::new();
    for (step, operation) in sequence.iter().enumerate() {
        api.perform(business, &mut model, operation)
            .await
            .map_err(|fault| (step, fault))?;
    }
    let last = sequence.len().saturating_sub(1);
    let books = api.books(business, std::slice::from_mut(&mut model));
    books.await.map_err(|fault| (last, fault))
}

/// Leaves out of a failing sequence whatever it fails without.
async fn shorten(
    api: &Api,
    mut sequence: Vec<Operation>,
    mut fault: String,
) -> (Vec<Operation>, String) {
    let mut attempts = 0;
    let mut at = 0;
    while at < sequence.len() && attempts < ATTEMPTS {
        let mut shorter = sequence.clone();
        shorter.remove(at);
        attempts += 1;
        match run(api, &shorter).await {
            Err((step, other)) => {
                shorter.truncate(step + 1);
                (sequence, fault) = (shorter, other);
            }
            Ok(()) => at += 1,
        }
    }
    (sequence, fault)
}
