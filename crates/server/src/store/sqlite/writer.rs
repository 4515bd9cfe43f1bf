//! The one thread that writes.
//!
//! Requests wait in a queue. The thread takes the first and all that came with it, runs each in one transaction (from
//! the second on in a savepoint), commits, and only then answers them: one wait for the disk serves them all, and what
//! was answered is on disk. While it waits for the disk, the next requests gather.
//!
//! A request that fails takes back its own work and nothing else. A commit that fails takes back all of its batch,
//! and each of them is told; the thread goes on with the next. A panic in a request's work is caught and fails that
//! request alone.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::super::{Error, Policy, Unit, panic_text};
use super::books::{Names, SqliteBooks};
use super::businesses;
use crate::domain::local::{Business, IsNew, LocalBooks, NewBusiness};
use crate::domain::payment::whole_microseconds;

/// Requests that may wait. Beyond it a request waits before it enters the queue, which slows its client down.
const QUEUE: usize = 256;
/// The most requests of one transaction, and the longest that the first of them waits for the others' work.
const BATCH: usize = 256;
const BATCH_TIME: Duration = Duration::from_millis(50);
/// Businesses whose names stay in memory; with more, all are forgotten and read again as they are used.
const REMEMBERED: usize = 64;

/// The way to the thread that writes.
#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Message {
    Run(Box<dyn Job>),
    Close,
}

/// What a request may do in its transaction.
pub(in crate::store) struct SqliteUnit<'a> {
    connection: &'a Connection,
    names: &'a mut HashMap<Uuid, Names>,
    now: Timestamp,
    policy: Policy,
}

impl<'a> SqliteUnit<'a> {
    /// The connection, within the transaction.
    pub(super) fn connection(&self) -> &'a Connection {
        self.connection
    }

    /// The books of a business.
    pub(super) fn open_books(&mut self, business: Uuid) -> Result<SqliteBooks<'_>, Error> {
        if self.names.len() >= REMEMBERED && !self.names.contains_key(&business) {
            self.names.clear();
        }
        SqliteBooks::open(self.connection, self.names, business, self.now, self.policy)
    }
}

impl Unit for SqliteUnit<'_> {
    fn create_business(&mut self, business: &NewBusiness) -> Result<(Business, IsNew), Error> {
        businesses::create(self.connection, business, self.now)
    }

    fn close_until(
        &mut self,
        business: Uuid,
        closing_date: Option<Timestamp>,
    ) -> Result<Business, Error> {
        self.names.remove(&business);
        businesses::close_until(self.connection, business, closing_date)
    }

    fn reset(&mut self) -> Result<(), Error> {
        self.names.clear();
        businesses::reset(self.connection)
    }

    fn books(&mut self, business: Uuid) -> Result<Box<dyn LocalBooks<Error = Error> + '_>, Error> {
        Ok(Box::new(self.open_books(business)?))
    }
}

impl Writer {
    pub(super) fn start(connection: Connection, policy: Policy) -> Result<Writer, std::io::Error> {
        let (queue, messages) = mpsc::channel(QUEUE);
        let session = Session {
            connection,
            names: HashMap::new(),
            data_version: None,
            last_now: Timestamp::MIN,
            policy,
        };
        let thread = thread::Builder::new()
            .name("payments-writer".to_owned())
            .spawn(move || session.serve(messages))?;
        Ok(Writer {
            queue,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteUnit<'_>) -> Result<T, Error> + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        let task = Task {
            work: Some(work),
            result: None,
            answer,
        };
        self.queue
            .send(Message::Run(Box::new(task)))
            .await
            .map_err(|_| Error::Closed)?;
        result.await.map_err(|_| Error::Closed)?
    }

    /// Lets the thread finish what waits, and waits for its end.
    pub(super) async fn close(&self) {
        // The queue is closed already if the thread is gone.
        let _ = self.queue.send(Message::Close).await;
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // The thread catches the panics of its work; nothing is left to do about another one at its end.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

/// Work that waits for its turn and then for the commit.
trait Job: Send {
    /// Does the work. Whether its effects are to be kept.
    fn run(&mut self, unit: &mut SqliteUnit<'_>) -> bool;

    /// Answers: with the work's own result, or, if its transaction was lost, with that.
    fn settle(self: Box<Self>, lost: Option<Error>);
}

struct Task<T, F> {
    work: Option<F>,
    result: Option<Result<T, Error>>,
    answer: oneshot::Sender<Result<T, Error>>,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnOnce(&mut SqliteUnit<'_>) -> Result<T, Error> + Send,
{
    fn run(&mut self, unit: &mut SqliteUnit<'_>) -> bool {
        let Some(work) = self.work.take() else {
            return false;
        };
        // The savepoint is taken back after a panic and the names are forgotten, so nothing half-done is seen again.
        let result = catch_unwind(AssertUnwindSafe(|| work(unit)))
            .unwrap_or_else(|panic| Err(Error::Panicked(panic_text(panic.as_ref()))));
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn settle(self: Box<Self>, lost: Option<Error>) {
        let answer = match (lost, self.result) {
            // A request that failed anyway isn't concerned by the loss of the others' work.
            (_, Some(Err(error))) => Err(error),
            (Some(lost), _) => Err(lost),
            (None, Some(Ok(value))) => Ok(value),
            (None, None) => Err(Error::Closed),
        };
        // Whoever asked may have gone; the work is done all the same.
        let _ = self.answer.send(answer);
    }
}

/// The thread's own state.
struct Session {
    connection: Connection,
    /// Ids of names that are committed, or registered by the transaction at hand. Forgotten whenever anything is
    /// taken back.
    names: HashMap<Uuid, Names>,
    /// Tells whether another process wrote since; see SQLite's `PRAGMA data_version`.
    data_version: Option<i64>,
    last_now: Timestamp,
    policy: Policy,
}

impl Session {
    fn serve(mut self, mut messages: mpsc::Receiver<Message>) {
        while let Some(message) = messages.blocking_recv() {
            match message {
                Message::Run(job) => self.batch(job, &mut messages),
                // What waits already is still received, and done.
                Message::Close => messages.close(),
            }
        }
    }

    /// Runs `first` and what waits behind it in one transaction.
    fn batch(&mut self, first: Box<dyn Job>, messages: &mut mpsc::Receiver<Message>) {
        if let Err(error) = self.begin() {
            self.forget();
            first.settle(Some(Error::Sqlite(error)));
            return;
        }
        let started = Instant::now();
        let mut done = Vec::new();
        let mut next = Some(first);
        let mut lost = None;
        while let Some(mut job) = next {
            let result = self.run(job.as_mut(), done.is_empty());
            done.push(job);
            if let Err(error) = result {
                lost = Some(error);
                break;
            }
            next = None;
            if done.len() < BATCH && started.elapsed() < BATCH_TIME {
                match messages.try_recv() {
                    Ok(Message::Run(job)) => next = Some(job),
                    Ok(Message::Close) => messages.close(),
                    Err(_) => {}
                }
            }
        }
        let lost = match lost {
            Some(error) => Some(error),
            None => self.execute("COMMIT").err(),
        };
        let lost = lost.map(|error| {
            self.abandon();
            Arc::new(error)
        });
        for job in done {
            job.settle(
                lost.as_ref()
                    .map(|error| Error::RolledBack(Arc::clone(error))),
            );
        }
    }

    fn begin(&mut self) -> rusqlite::Result<()> {
        // IMMEDIATE takes the right to write at once, so that no read of this transaction can be outdated by another
        // process's write.
        self.execute("BEGIN IMMEDIATE")?;
        let version = self
            .connection
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))
            .inspect_err(|_| self.abandon_quietly())?;
        if self.data_version.replace(version) != Some(version) {
            self.names.clear();
        }
        Ok(())
    }

    /// Runs one job so that its work alone can be taken back. An error means that the whole transaction is lost.
    ///
    /// The first job needs no savepoint, for which SQLite would copy each page before it is changed: nothing but its own
    /// work is in the transaction yet.
    fn run(&mut self, job: &mut dyn Job, is_first: bool) -> rusqlite::Result<()> {
        if !is_first {
            self.execute("SAVEPOINT request")?;
        }
        // A clock that is set back must not put a later payment before an earlier one in the order of import.
        self.last_now = self.last_now.max(whole_microseconds(Timestamp::now()));
        let mut unit = SqliteUnit {
            connection: &self.connection,
            names: &mut self.names,
            now: self.last_now,
            policy: self.policy,
        };
        let keep = job.run(&mut unit);
        if self.connection.is_autocommit() {
            // Some errors (a full disk, a failed write) make SQLite give up the whole transaction by itself.
            return Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK),
                None,
            ));
        }
        if is_first {
            if keep {
                return Ok(());
            }
            self.names.clear();
            self.execute("ROLLBACK")?;
            return self.begin();
        }
        if !keep {
            self.names.clear();
            self.execute("ROLLBACK TO request")?;
        }
        self.execute("RELEASE request")
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// Takes back the transaction, if there still is one.
    fn abandon(&mut self) {
        self.forget();
        self.abandon_quietly();
    }

    fn abandon_quietly(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            // The next BEGIN fails then and is answered; there is nothing better to do here than to say so.
            tracing::error!(error = &error as &dyn std::error::Error, "rollback failed");
        }
    }

    fn forget(&mut self) {
        self.names.clear();
        self.data_version = None;
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::params;

    use super::super::Sqlite;
    use super::*;

    fn store() -> Sqlite {
        Sqlite::open_in_memory(Policy::default()).unwrap()
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    async fn businesses(store: &Sqlite) -> i64 {
        store
            .read(|connection| {
                Ok(
                    connection
                        .query_row("SELECT count(*) FROM businesses", [], |row| row.get(0))?,
                )
            })
            .await
            .unwrap()
    }

    #[test]
    fn a_failing_request_takes_back_its_own_work_only() {
        runtime().block_on(async {
            let store = store();
            let good = store.write(|unit| unit.register_business(Uuid::from_u128(1)));
            let bad = store.write(|unit| {
                unit.register_business(Uuid::from_u128(2))?;
                Err::<(), _>(Error::NoPayment)
            });
            let (good, bad) = tokio::join!(good, bad);
            good.unwrap();
            assert!(matches!(bad, Err(Error::NoPayment)));
            assert_eq!(businesses(&store).await, 1);
        });
    }

    #[test]
    fn a_panic_fails_its_request_and_leaves_the_writer_alive() {
        runtime().block_on(async {
            let store = store();
            let result = store
                .write(|unit| {
                    unit.register_business(Uuid::from_u128(1))?;
                    if businesses_in(unit) == 1 {
                        panic!("on purpose");
                    }
                    Ok(())
                })
                .await;
            assert!(matches!(&result, Err(Error::Panicked(text)) if text == "on purpose"));
            assert_eq!(businesses(&store).await, 0);
            store
                .write(|unit| unit.register_business(Uuid::from_u128(1)))
                .await
                .unwrap();
            assert_eq!(businesses(&store).await, 1);
        });
    }

    fn businesses_in(unit: &SqliteUnit<'_>) -> i64 {
        unit.connection()
            .query_row("SELECT count(*) FROM businesses", [], |row| row.get(0))
            .unwrap()
    }

    /// Makes the transaction's COMMIT fail: a deferred foreign key that is broken at its end.
    fn break_commit(unit: &mut SqliteUnit<'_>) -> Result<(), Error> {
        unit.connection()
            .execute_batch("PRAGMA defer_foreign_keys = ON")?;
        unit.connection().execute(
            "INSERT INTO invoices (business_id, id, invented, created_at) VALUES (99, ?1, 0, 0)",
            params![Uuid::from_u128(7).as_bytes()],
        )?;
        Ok(())
    }

    #[test]
    fn a_failed_commit_fails_its_whole_batch_and_leaves_the_writer_alive() {
        runtime().block_on(async {
            let store = store();
            // The first request keeps the thread busy until the others are in the queue, so all are one batch.
            let (go, wait) = std::sync::mpsc::channel::<()>();
            let first = store.write(move |unit| {
                wait.recv().unwrap();
                unit.register_business(Uuid::from_u128(1))
            });
            let breaking = store.write(break_commit);
            let refused = store.write(|_| Err::<(), _>(Error::NoPayment));
            let release = async {
                tokio::task::yield_now().await;
                go.send(()).unwrap();
            };
            let (first, breaking, refused, ()) = tokio::join!(first, breaking, refused, release);
            assert!(matches!(first, Err(Error::RolledBack(_))), "{first:?}");
            assert!(
                matches!(breaking, Err(Error::RolledBack(_))),
                "{breaking:?}"
            );
            assert!(matches!(refused, Err(Error::NoPayment)), "{refused:?}");
            assert_eq!(businesses(&store).await, 0);
            // The names of the lost transaction are forgotten, so the business is registered anew.
            store
                .write(|unit| unit.register_business(Uuid::from_u128(1)))
                .await
                .unwrap();
            assert_eq!(businesses(&store).await, 1);
        });
    }

    #[test]
    fn a_transaction_that_ends_by_itself_fails_its_batch() {
        runtime().block_on(async {
            let store = store();
            let result = store
                .write(|unit| {
                    unit.register_business(Uuid::from_u128(1))?;
                    // What SQLite does by itself after some errors.
                    unit.connection().execute_batch("ROLLBACK")?;
                    Ok(())
                })
                .await;
            assert!(matches!(result, Err(Error::RolledBack(_))), "{result:?}");
            assert_eq!(businesses(&store).await, 0);
        });
    }

    #[test]
    fn closing_finishes_what_waits_and_refuses_what_comes_later() {
        runtime().block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let database = directory.path().join("payments.db");
            let store = Sqlite::open_file(&database, Policy::default()).unwrap();
            let writes = (1..=20)
                .map(|n| store.write(move |unit| unit.register_business(Uuid::from_u128(n))));
            let (results, ()) = tokio::join!(futures_util::future::join_all(writes), store.close());
            assert!(results.iter().all(Result::is_ok), "{results:?}");
            let late = store.write(|unit| unit.register_business(Uuid::from_u128(100)));
            assert!(matches!(late.await, Err(Error::Closed)));
            drop(store);
            let reopened = Sqlite::open_file(&database, Policy::default()).unwrap();
            assert_eq!(businesses(&reopened).await, 20);
        });
    }

    #[test]
    fn time_does_not_go_back() {
        runtime().block_on(async {
            let store = store();
            let mut last = Timestamp::MIN;
            for _ in 0..100 {
                let now = store.write(|unit| Ok(unit.now)).await.unwrap();
                assert!(now >= last);
                last = now;
            }
        });
    }
}
