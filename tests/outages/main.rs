//! PostgreSQL goes away, and nothing that was said is wrong.
//!
//! Clients record payments without external ids, which the store alone keeps from being there twice, while connections
//! are cut before and after their COMMITs, the database is restarted and killed, doesn't answer, and has no connection
//! left. Each request ends in time: well, or with 503 and a `Retry-After`. What was acknowledged is there once; what was
//! answered with 503 is there once or not at all. When the database is back, everything works again, and the server was
//! never started anew.

mod site;

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use layer_payments_test_postgres::{CUT_CONNECTIONS, Cluster, Cut, shared};
use reqwest::Method;
use serde_json::{Value, json};

use crate::site::{Site, Told};

/// Long enough for what happens at once on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn becomes(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "it takes too long: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A connection that is lost at its COMMIT is no reason for a client to try again: the server finds out what became of
/// it, and does again what was lost.
#[test]
fn connections_that_are_cut_at_a_commit_are_made_good_for() {
    const CUTS: usize = 60;
    let site = Site::start(shared());
    site.under_load(|| {
        for cut in 0..CUTS {
            site.proxy.cut_next(if cut % 2 == 0 {
                Cut::BeforeCommit
            } else {
                Cut::AfterCommit
            });
            becomes("a cut", || site.proxy.cuts() > cut);
            thread::sleep(Duration::from_millis(10));
        }
    });
    site.verify("single cuts");
    assert_eq!(site.count(Told::Unavailable), 0);
    assert!(site.count(Told::Recorded) >= CUTS);
    site.end();
}

/// Of so many in a row, some are more than the server tries to make good for.
#[test]
fn connections_that_are_cut_again_and_again_lose_nothing_that_was_acknowledged() {
    const BURSTS: usize = 8;
    const CUTS: usize = 7;
    let site = Site::start(shared());
    site.under_load(|| {
        for burst in 0..BURSTS {
            for cut in 0..CUTS {
                // The last attempt of some is one that is committed.
                let is_after = burst % 2 == 1 && cut == 3;
                site.proxy.cut_next(if is_after {
                    Cut::AfterCommit
                } else {
                    Cut::BeforeCommit
                });
            }
            becomes("the cuts", || site.proxy.cuts() >= (burst + 1) * CUTS);
            thread::sleep(Duration::from_millis(100));
        }
    });
    site.recovers();
    site.verify("cuts in a row");
    assert!(site.count(Told::Unavailable) > 0);
    site.end();
}

/// The server asks what became of a COMMIT until it is told, as long as a client may wait, and then says that it doesn't
/// know.
#[test]
fn what_became_of_a_commit_is_asked_until_the_database_is_back() {
    let site = Site::start(shared());
    let stored = || -> u64 {
        let count = site.database.sql("SELECT count(*) FROM payments");
        count.parse().expect("a count is a number")
    };
    assert_eq!(site.run(site.record()), Told::Recorded);
    for cut in [Cut::BeforeCommit, Cut::AfterCommit] {
        // Back in time: the request is as good as any other.
        let before = stored();
        let told = thread::scope(|scope| {
            site.proxy.refuse();
            site.proxy.cut_next(cut);
            scope.spawn(|| {
                becomes("the cut", || site.proxy.cuts() % 2 == 1);
                thread::sleep(Duration::from_millis(700));
                site.proxy.go_on();
            });
            site.run(site.record())
        });
        assert_eq!(told, Told::Recorded, "{cut:?}");
        assert_eq!(stored(), before + 1, "{cut:?}");

        // Too late.
        let before = stored();
        site.proxy.refuse();
        site.proxy.cut_next(cut);
        assert_eq!(site.run(site.record()), Told::Unavailable, "{cut:?}");
        let kept = u64::from(cut == Cut::AfterCommit);
        assert_eq!(stored(), before + kept, "{cut:?}");
        site.proxy.go_on();
        site.recovers();
    }
    site.verify("commits of which nothing is known");
    site.end();
}

/// A crash takes away what wasn't written yet, and with it that a transaction's number was ever given. It is given again,
/// to another transaction, and what becomes of that says nothing about the first one.
#[test]
fn what_became_of_a_commit_is_not_mistaken_for_that_of_another_after_a_crash() {
    let cluster = Cluster::start();
    let site = Site::start(&cluster);
    assert_eq!(site.run(site.record()), Told::Recorded);
    for _ in 0..4 {
        site.proxy.refuse();
        site.proxy.cut_next(Cut::BeforeCommit);
        let cuts = site.proxy.cuts();
        let told = thread::scope(|scope| {
            scope.spawn(|| {
                becomes("the cut", || site.proxy.cuts() > cuts);
                cluster.kill();
                cluster.start_again();
                // Others come first, and each takes a number.
                for _ in 0..10 {
                    site.database.sql("SELECT pg_current_xact_id()");
                }
                site.proxy.go_on();
            });
            site.run(site.record())
        });
        println!("after a crash: {told:?}");
        site.recovers();
        site.verify("commits that a crash took away");
    }
    site.end();
}

#[test]
fn a_database_that_is_restarted_and_killed_under_load_comes_back() {
    let cluster = Cluster::start();
    let site = Site::start(&cluster);
    site.under_load(|| {
        let some_time = || thread::sleep(Duration::from_millis(500));
        for _ in 0..3 {
            some_time();
            cluster.restart();
            some_time();
            cluster.kill();
            some_time();
            cluster.start_again();
            some_time();
            // The crash of one connection's process, after which PostgreSQL begins anew by itself.
            let backends = "SELECT pid FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
                LIMIT 1";
            let mut backend = String::new();
            becomes("a connection", || {
                backend = site.database.sql(backends);
                !backend.is_empty()
            });
            let status = Command::new("kill").args(["-KILL", &backend]).status();
            assert!(status.expect("kill can be run").success());
            becomes("PostgreSQL's recovery", || {
                let mut psql = site.database.psql();
                let asked = psql.args(["-c", "SELECT 1"]).stderr(Stdio::null());
                let asked = asked.stdout(Stdio::null()).status();
                asked.expect("psql can be run").success()
            });
            some_time();
            site.database.sql(CUT_CONNECTIONS);
        }
    });
    site.recovers();
    site.verify("restarts and kills");
    assert!(site.count(Told::Unavailable) > 0);
    site.end();
}

/// Somebody else's transaction on the rows of businesses, which ends when this is dropped.
struct Held(Child);

impl Held {
    fn of(site: &Site<'_>, businesses: &[String]) -> Held {
        let sql = format!(
            "BEGIN; SELECT id FROM businesses WHERE id IN ('{}') FOR UPDATE; SELECT pg_sleep(300); COMMIT",
            businesses.join("', '")
        );
        let child = site
            .database
            .psql()
            .args(["-c", &sql])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("psql can be run");
        let sleeping = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event = 'PgSleep'";
        becomes("the lock", || site.database.sql(sleeping) == "1");
        Held(child)
    }

    fn release(self, site: &Site<'_>) {
        site.database.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event = 'PgSleep'",
        );
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes businesses, and gives their ids.
fn businesses(site: &Site<'_>, count: usize) -> Vec<String> {
    let ids: Vec<String> = (0..count)
        .map(|number| format!("b0000000-0000-4000-8000-{number:012}"))
        .collect();
    for id in &ids {
        let new = json!({ "id": id });
        let made = site.run(site.send(Method::POST, "/local/businesses", Some(&new)));
        assert_eq!(made.status, 201, "{}", made.body);
    }
    ids
}

/// Writes to businesses in every way at once, reads them, and gives how often each status came.
fn everything_at_once(site: &Site<'_>, businesses: &[String], round: &str) -> BTreeMap<u16, usize> {
    let requests = businesses.iter().flat_map(|business| {
        let payments = format!("/v1/businesses/{business}/invoices/payments");
        let accounts = format!("/local/businesses/{business}/ledger-accounts");
        (0..12).map(move |number| {
            let (path, body) = match number % 3 {
                0 => (
                    payments.clone(),
                    Some(payment(&format!("{round}-{number}"))),
                ),
                1 => {
                    let name = format!("OWN_{round}_{number}");
                    let account =
                        json!({"stable_name": name, "name": "Own", "account_type": "ASSET"});
                    (accounts.clone(), Some(account))
                }
                _ => (payments.clone(), None),
            };
            async move {
                let method = if body.is_some() {
                    Method::POST
                } else {
                    Method::GET
                };
                site.send(method, &path, body.as_ref()).await.status
            }
        })
    });
    let mut counts = BTreeMap::new();
    for status in site.run(join_all(requests)) {
        *counts.entry(status).or_default() += 1;
    }
    counts
}

fn payment(external_id: &str) -> Value {
    json!({
        "external_id": external_id, "paid_at": "2024-02-27T02:22:55Z", "method": "CASH", "amount": 1,
        "invoice_payments": [],
    })
}

/// A business that somebody else holds keeps its own requests waiting, for a while, and nobody else's.
#[test]
fn a_business_that_is_held_is_no_other_businesss_affair() {
    let site = Site::start(shared());
    let all = businesses(&site, 2);
    let held = Held::of(&site, &all[..1]);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| everything_at_once(&site, &all[..1], "held"));
        for round in 0..10 {
            let others = everything_at_once(&site, &all[1..], &format!("r{round}"));
            assert_eq!(
                others.keys().collect::<Vec<_>>(),
                [&200, &201],
                "{others:?}"
            );
        }
        let waiting = waiting.join().expect("a client found a fault; see above");
        // It is still read.
        assert_eq!(waiting, BTreeMap::from([(200, 4), (503, 8)]));
    });
    held.release(&site);
    let again = everything_at_once(&site, &all, "released");
    assert_eq!(again, BTreeMap::from([(200, 8), (201, 16)]));
    site.recovers();
    site.verify("a business that is held");
    site.end();
}

/// A request that is refused for what another one did in the same transaction isn't refused any more when that is lost.
#[test]
fn no_request_is_refused_for_what_was_lost() {
    let site = Site::start(shared());
    let business = site.business();
    let known = site.run(site.payments(Method::POST, business, "", Some(&payment("known"))));
    assert_eq!(known.status, 201, "{}", known.body);
    let id = known.body["data"]["id"]
        .as_str()
        .expect("a payment has an id");
    let held = Held::of(&site, &[business.to_owned()]);
    // The first one waits for the row, so the next two wait together, and are one transaction.
    let send_after = async |milliseconds, method, below: &str, body: Value| {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        site.payments(method, business, below, Some(&body)).await
    };
    let renamed = format!("/{id}");
    let (first, taking, renaming) = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_secs(1));
            // All attempts of both transactions.
            for _ in 0..8 {
                site.proxy.cut_next(Cut::BeforeCommit);
            }
            held.release(&site);
        });
        site.run(async {
            tokio::join!(
                send_after(0, Method::POST, "", payment("first")),
                send_after(200, Method::POST, "", payment("taken")),
                send_after(
                    400,
                    Method::PATCH,
                    &renamed,
                    json!({"external_id": "taken"})
                ),
            )
        })
    });
    assert_eq!(site.proxy.cuts(), 8);
    assert_eq!((first.status, taking.status), (503, 503));
    assert_eq!(renaming.status, 503, "{}", renaming.body);
    // Nobody has the name.
    let again = site.run(send_after(
        0,
        Method::PATCH,
        &renamed,
        json!({"external_id": "taken"}),
    ));
    assert_eq!(again.status, 200, "{}", again.body);
    site.end();
}

/// Requests about more businesses than there are connections, all of them held by somebody else.
#[test]
fn a_database_without_free_connections_is_waited_for_and_not_for_ever() {
    let site = Site::start(shared());
    let all = businesses(&site, 20);
    let held = Held::of(&site, &all);
    let started = Instant::now();
    let counts = everything_at_once(&site, &all, "held");
    println!(
        "no free connection: {counts:?} after {:?}",
        started.elapsed()
    );
    assert!(
        counts.keys().all(|status| matches!(status, 200 | 503)),
        "{counts:?}"
    );
    assert!(counts[&503] >= 160, "{counts:?}");
    held.release(&site);
    let again = everything_at_once(&site, &all, "released");
    assert_eq!(again, BTreeMap::from([(200, 80), (201, 160)]));
    site.recovers();
    site.verify("no free connection");
    site.end();
}

/// What is sent gets no answer, as through a network that drops it: the server gives up and says so.
#[test]
fn a_database_that_does_not_answer_is_given_up() {
    let site = Site::start(shared());
    // A short while is waited for.
    site.under_load(|| {
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(200));
            site.proxy.stall();
            thread::sleep(Duration::from_millis(500));
            site.proxy.go_on();
        }
    });
    assert_eq!(site.count(Told::Unavailable), 0);
    // And a long one isn't.
    site.under_load(|| {
        thread::sleep(Duration::from_millis(200));
        site.proxy.stall();
        becomes("an answer in spite of it", || {
            site.count(Told::Unavailable) >= 16
        });
        site.proxy.go_on();
    });
    site.recovers();
    site.verify("a database that doesn't answer");
    site.end();
}
