//! PostgreSQL goes away, and nothing that was said is wrong.
//!
//! Clients record payments without external ids, which the store alone keeps from being there twice, while connections
//! are cut before and after their COMMITs, the database is restarted and killed, doesn't answer, and has no connection
//! left. Each request ends in time: well, or with 503 and a `Retry-After`. What was acknowledged is there once; what was
//! answered with 503 is there once or not at all. When the database is back, everything works again, and the server was
//! never started anew.

mod site;

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use layer_payments_test_postgres::{Cluster, Cut, shared};
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
            site.database.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            );
        }
    });
    site.recovers();
    site.verify("restarts and kills");
    assert!(site.count(Told::Unavailable) > 0);
    site.end();
}

/// Somebody else's transaction on a row of the business, which ends when this is dropped.
struct Held(Child);

impl Held {
    fn of(site: &Site<'_>, business: &str) -> Held {
        let sql = format!(
            "BEGIN; SELECT id FROM businesses WHERE id = '{business}' FOR UPDATE; SELECT pg_sleep(300); COMMIT"
        );
        let child = site
            .database
            .psql()
            .args(["-c", &sql])
            .stdout(Stdio::null())
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

/// Requests about a business that somebody else holds wait, each with a connection, until none is left for others.
#[test]
fn a_database_without_free_connections_is_waited_for_and_not_for_ever() {
    let site = Site::start(shared());
    let other = "b0000000-0000-4000-8000-000000000000";
    let made = site.run(site.send(
        Method::POST,
        "/local/businesses",
        Some(&json!({"id": other})),
    ));
    assert_eq!(made.status, 201, "{}", made.body);
    let held = Held::of(&site, site.business());
    let account = |number: usize| json!({"stable_name": format!("OWN_{number}"), "name": "Own", "account_type": "ASSET"});
    let accounts = format!("/local/businesses/{}/ledger-accounts", site.business());
    let payment = |number: usize| -> Value {
        json!({
            "external_id": format!("payment-{number}"), "paid_at": "2024-02-27T02:22:55Z", "method": "CASH",
            "amount": 1, "invoice_payments": [],
        })
    };
    let started = Instant::now();
    let (of_held, of_other, read) = site.run(async {
        let records = join_all((0..5).map(|_| site.record()));
        // Each of these has a transaction of its own.
        let creations = join_all((0..25).map(|number| {
            let (site, accounts, account) = (&site, &accounts, account(number));
            async move {
                site.send(Method::POST, accounts, Some(&account))
                    .await
                    .status
            }
        }));
        let others = join_all((0..10).map(|number| {
            let (site, payment) = (&site, payment(number));
            async move {
                let reply = site.payments(Method::POST, other, "", Some(&payment)).await;
                reply.status
            }
        }));
        let reads = join_all((0..10).map(|_| async {
            let reply = site.payments(Method::GET, other, "", None).await;
            reply.status
        }));
        let ((records, creations), (others, reads)) =
            join(join(records, creations), join(others, reads)).await;
        assert!(records.iter().all(|told| *told == Told::Unavailable));
        (creations, others, reads)
    });
    println!(
        "a row held by somebody else: {:?}, after {:?}: {of_held:?}, of another business {of_other:?}, reads {read:?}",
        "all are answered",
        started.elapsed()
    );
    assert!(of_held.iter().all(|status| *status == 503), "{of_held:?}");
    for status in of_other.iter().chain(&read) {
        assert!(matches!(status, 200 | 201 | 503), "{status}");
    }
    held.release(&site);
    site.recovers();
    // All connections are free again.
    let statuses = site.run(join_all((0..25).map(|number| {
        let (site, accounts, account) = (&site, &accounts, account(number));
        async move {
            site.send(Method::POST, accounts, Some(&account))
                .await
                .status
        }
    })));
    assert!(statuses.iter().all(|status| *status == 201), "{statuses:?}");
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
