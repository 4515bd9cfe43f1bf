//! The client against an API that fails: every payment lands exactly once, and the books balance.
//!
//! The server runs in this process and strikes a fifth of all requests: 429, 500, 502 and 503, some as a proxy's page,
//! connections cut before the request is handled, and connections cut after its payments were written. The client is
//! used as a program would use it, with nothing but its settings to help it.
//!
//! `LAYER_TEST_SEED` repeats the choice of the requests that are struck (not which of the tasks sends them).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream;
use layer_payments_client::types::{
    AllocationInput, CreateInvoicePayment, InvoiceAllocationInput, InvoicePayment, PaymentMethod,
    UpdateInvoicePayment,
};
use layer_payments_client::{
    Attempt, Client, ClientCredentials, Observer, RateLimiter, RetryPolicy, Unchecked,
};
use layer_payments_local::{FaultRule, Layer, RateLimit};
use layer_payments_tests::engine::{Engine, Place};
use layer_payments_tests::random::seed;
use tokio::task::JoinSet;
use uuid::Uuid;

const PAYMENTS: u64 = 10_000;
/// Tasks that send at the same time.
const TASKS: u64 = 16;

/// What strikes a request, and its share of all requests in per cent.
const FAULTS: [(&str, f64); 7] = [
    ("cut=after", 5.0),
    ("cut=before", 4.0),
    ("status=429; retry-after=0", 4.0),
    ("status=503; retry-after=0", 3.0),
    ("status=503; html", 2.0),
    ("status=502; html", 1.0),
    ("status=500", 1.0),
];

fn payment(number: u64) -> CreateInvoicePayment {
    let amount = 1_000 + i64::try_from(number % 9_000).expect("a small number");
    let part = InvoiceAllocationInput::builder()
        .invoice_external_id(format!("invoice-{}", number / 3))
        .amount(amount - 10)
        .build();
    let payment = CreateInvoicePayment::builder()
        .paid_at("2024-02-27T02:22:55Z".parse().expect("a time"))
        .method(PaymentMethod::CreditCard)
        .amount(amount)
        .invoice_payments([AllocationInput::from(part)])
        .external_id(external_id(number))
        .fee(29);
    payment.processor("STRIPE").build()
}

fn external_id(number: u64) -> String {
    format!("payment-{number}")
}

/// What the client tells of its attempts.
#[derive(Default)]
struct Seen {
    attempts: AtomicU64,
    failures: AtomicU64,
}

impl Observer for Seen {
    fn attempt(&self, attempt: &Attempt<'_>) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        if attempt.error.is_some() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A server that fails, and a client that is up to it: more attempts than the default, as a backfill has the time.
async fn failing(place: &Place, seed: u64) -> (Layer, Client, Arc<Seen>) {
    let layer = Layer::builder().database(place.database().for_server());
    let layer = layer.start().await.expect("the server starts");
    // The first rule that strikes a request decides, so what is left of all requests gets smaller from rule to rule.
    let mut left = 100.0;
    let rules = FAULTS.map(|(fault, share)| {
        let rule = FaultRule::new(fault).probability(share / left);
        left -= share;
        rule
    });
    layer
        .faults_by_chance(seed, rules)
        .expect("the rules are right");
    let seen = Arc::new(Seen::default());
    let client = layer
        .client_builder()
        .retry(
            RetryPolicy::new()
                .attempts(20)
                .base_delay(Duration::from_millis(5)),
        )
        .timeout(Duration::from_secs(300))
        .observer(Arc::clone(&seen))
        .build()
        .expect("the settings are right");
    (layer, client, seen)
}

/// Reads all payments while requests go on failing. Each must be there once, as `expected` says.
async fn everything_is_there_once(
    client: &Client,
    expected: impl Fn(u64) -> CreateInvoicePayment,
) -> BTreeMap<String, Uuid> {
    let mut found = BTreeMap::new();
    let mut payments = client.list().limit(100).stream();
    while let Some(payment) = payments.next().await {
        let payment: InvoicePayment = payment.expect("the list goes on");
        let id = payment.external_id.as_option().expect("an external id");
        let earlier = found.insert(id.clone(), payment.clone());
        assert!(earlier.is_none(), "{id} is there twice");
    }
    assert_eq!(found.len() as u64, PAYMENTS);
    for number in 0..PAYMENTS {
        let id = external_id(number);
        let payment = found.get(&id).unwrap_or_else(|| panic!("{id} is missing"));
        let expected = expected(number);
        assert_eq!(payment.amount, expected.amount, "{id}");
        assert_eq!(payment.memo.as_option(), expected.memo.as_ref(), "{id}");
        assert_eq!(payment.allocations.len(), 1, "{id}");
    }
    found
        .into_iter()
        .map(|(id, payment)| (id, payment.id))
        .collect()
}

/// That a fifth failed, by each fault, and says so.
fn a_fifth_failed(layer: &Layer, seen: &Seen, what: &str, started: Instant) {
    let struck = layer.faults_struck();
    let attempts = seen.attempts.load(Ordering::Relaxed);
    let failures = seen.failures.load(Ordering::Relaxed);
    println!(
        "{what}: {attempts} requests, {failures} failed ({:.1} %), by fault {struck:?}, {:.1} s",
        failures as f64 / attempts as f64 * 100.0,
        started.elapsed().as_secs_f64()
    );
    assert!(struck.iter().all(|count| *count > 0), "{struck:?}");
    assert_eq!(struck.iter().sum::<u64>(), failures, "nothing else failed");
    assert!(
        failures * 100 > attempts * 15 && failures * 100 < attempts * 25,
        "{failures} of {attempts}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_records_land_exactly_once_on_sqlite() {
    ten_thousand_records_land_exactly_once(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_records_land_exactly_once_on_postgres() {
    ten_thousand_records_land_exactly_once(Engine::Postgres).await;
}

async fn ten_thousand_records_land_exactly_once(engine: Engine) {
    let place = engine.place();
    let seed = seed(20_240_227);
    println!("{engine:?}: seed {seed}");
    let started = Instant::now();
    let (layer, client, seen) = failing(&place, seed).await;
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let client = client.clone();
        tasks.spawn(async move {
            let (mut new, mut known) = (0, 0);
            for number in (task..PAYMENTS).step_by(usize::try_from(TASKS).expect("it's small")) {
                let reply = client
                    .record(Unchecked(&payment(number)))
                    .await
                    .expect("it lands");
                match reply.status() {
                    201 => new += 1,
                    // A lost reply had brought it there.
                    200 if reply.attempts() > 1 => known += 1,
                    status => panic!("{status} after {} attempts", reply.attempts()),
                }
            }
            (new, known)
        });
    }
    let (mut new, mut known) = (0_u64, 0_u64);
    while let Some(ended) = tasks.join_next().await {
        let (of_task_new, of_task_known) = ended.expect("no panic");
        new += of_task_new;
        known += of_task_known;
    }
    assert_eq!(new + known, PAYMENTS);
    assert!(known > 0, "no reply was lost after a write");
    a_fifth_failed(&layer, &seen, &format!("{engine:?}, records"), started);

    let ids = everything_is_there_once(&client, payment).await;
    // Updates through the same faults: a value that is set twice is set.
    let started = Instant::now();
    let ids: Arc<Vec<(String, Uuid)>> = Arc::new(ids.into_iter().collect());
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (client, ids) = (client.clone(), Arc::clone(&ids));
        tasks.spawn(async move {
            let step = usize::try_from(TASKS).expect("it's small");
            for (external_id, id) in ids
                .iter()
                .skip(usize::try_from(task).expect("it's small"))
                .step_by(step * 10)
            {
                let changes = UpdateInvoicePayment::builder()
                    .memo(format!("Memo of {external_id}"))
                    .build();
                let reply = client
                    .update(*id, Unchecked(&changes))
                    .await
                    .expect("it's updated");
                let memo = reply.data.memo.as_option().map(String::as_str);
                assert_eq!(memo, Some(format!("Memo of {external_id}").as_str()));
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no panic");
    }
    println!(
        "{engine:?}, updates: {:.1} s",
        started.elapsed().as_secs_f64()
    );
    layer.stop().await.expect("the books are in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_payments_in_bulks_land_exactly_once_on_sqlite() {
    ten_thousand_payments_in_bulks_land_exactly_once(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_payments_in_bulks_land_exactly_once_on_postgres() {
    ten_thousand_payments_in_bulks_land_exactly_once(Engine::Postgres).await;
}

async fn ten_thousand_payments_in_bulks_land_exactly_once(engine: Engine) {
    let place = engine.place();
    let seed = seed(20_240_228);
    println!("{engine:?}: seed {seed}");
    let started = Instant::now();
    let (layer, client, seen) = failing(&place, seed).await;
    let input = stream::iter((0..PAYMENTS).map(|number| Unchecked(payment(number))));
    let mut chunks = client
        .bulk_all(input)
        .max_payments(10)
        .concurrency(8)
        .stream();
    let mut next = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.expect("it lands");
        assert_eq!(chunk.range().start, next, "in the input's order");
        next = chunk.range().end;
        let ids: Vec<Option<&String>> = chunk
            .reply()
            .data
            .iter()
            .map(|payment| payment.external_id.as_option())
            .collect();
        let expected: Vec<String> = chunk
            .range()
            .map(|number| external_id(number as u64))
            .collect();
        assert_eq!(ids, expected.iter().map(Some).collect::<Vec<_>>());
    }
    assert_eq!(next as u64, PAYMENTS);
    a_fifth_failed(&layer, &seen, &format!("{engine:?}, bulks"), started);
    everything_is_there_once(&client, payment).await;
    layer.stop().await.expect("the books are in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_without_an_external_id_is_never_there_twice_on_sqlite() {
    a_record_without_an_external_id_is_never_there_twice(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_without_an_external_id_is_never_there_twice_on_postgres() {
    a_record_without_an_external_id_is_never_there_twice(Engine::Postgres).await;
}

async fn a_record_without_an_external_id_is_never_there_twice(engine: Engine) {
    let place = engine.place();
    let seed = seed(20_240_229);
    println!("{engine:?}: seed {seed}");
    let (layer, client, _) = failing(&place, seed).await;
    let mut unknown = 0;
    let (mut landed, mut refused) = (0, 0);
    for number in 0..1_000 {
        let mut payment = payment(number);
        payment.external_id = None;
        match client.record(Unchecked(&payment)).await {
            Ok(reply) => {
                assert_eq!((reply.status(), reply.attempts()), (201, 1));
                landed += 1;
            }
            Err(error) => {
                assert_eq!(error.attempts(), 1, "{error}");
                if error.is_outcome_unknown() {
                    unknown += 1;
                } else {
                    refused += 1;
                }
            }
        }
    }
    let mut there = 0;
    let mut payments = client.list().stream();
    while let Some(payment) = payments.next().await {
        payment.expect("the list goes on");
        there += 1;
    }
    println!(
        "{engine:?}: {landed} landed, {refused} refused, {unknown} unknown; {there} are there"
    );
    assert!(unknown > 0 && refused > 0);
    assert!(
        landed <= there && there <= landed + unknown,
        "each unknown one is there once or not at all"
    );
    assert!(there > landed, "some of the unknown ones are there");
    layer.stop().await.expect("the books are in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_renewed_on_the_way() {
    let layer = Layer::builder()
        .oauth_client("backfill", "a-secret-of-the-tests")
        .token_lifetime(Duration::from_secs(1))
        .start()
        .await
        .expect("the server starts");
    let credentials =
        ClientCredentials::new("backfill", "a-secret-of-the-tests").token_url(layer.token_url());
    let client = layer
        .client_builder()
        .credentials(credentials)
        .build()
        .expect("the settings are right");
    let started = Instant::now();
    let recorded = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (client, recorded) = (client.clone(), Arc::clone(&recorded));
        tasks.spawn(async move {
            while started.elapsed() < Duration::from_secs(4) {
                let number = recorded.fetch_add(1, Ordering::Relaxed);
                client
                    .record(Unchecked(&payment(number)))
                    .await
                    .expect("there's always a token");
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no panic");
    }
    let asked = requests(&layer, "issue_token");
    let seconds = started.elapsed().as_secs();
    println!(
        "{} records, {asked} tokens in {seconds} s",
        recorded.load(Ordering::Relaxed)
    );
    // One that lives for a second is renewed after three quarters of it, and not by each of the tasks.
    assert!(asked >= 3, "{asked} tokens");
    assert!(asked <= (seconds + 1) * 2, "{asked} tokens in {seconds} s");
    layer.stop().await.expect("the books are in order");
}

/// How many requests the server has answered of this operation.
fn requests(layer: &Layer, operation: &str) -> u64 {
    let metrics = layer.metrics();
    let lines = metrics.lines().filter(|line| {
        line.starts_with("layer_payments_http_requests_total{")
            && line.contains(&format!("\"{operation}\""))
    });
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_stay_below_the_rate_limit() {
    let layer = Layer::builder()
        .rate_limit(RateLimit::SANDBOX)
        .start()
        .await
        .expect("the server starts");
    let mut refused = Vec::new();
    for limiter in [RateLimiter::per_second(100), RateLimiter::unlimited()] {
        let seen = Arc::new(Seen::default());
        let client = layer
            .client_builder()
            .rate_limiter(limiter)
            .observer(Arc::clone(&seen))
            .timeout(Duration::from_secs(300))
            .retry(RetryPolicy::new().attempts(100))
            .build()
            .expect("the settings are right");
        let mut tasks = JoinSet::new();
        for _ in 0..30 {
            let client = client.clone();
            tasks.spawn(async move {
                for _ in 0..10 {
                    client.list().send().await.expect("it's listed");
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.expect("no panic");
        }
        refused.push(seen.failures.load(Ordering::Relaxed));
    }
    println!("refused with a limiter and without: {refused:?}");
    // The machine may hold requests up and let them go all at once, so a few may be refused all the same.
    assert!(refused[0] <= 15, "of 300 requests: {refused:?}");
    assert!(refused[1] > refused[0], "{refused:?}");
    layer.stop().await.expect("the books are in order");
}
