//! Writing: one transaction at a time for each business, with all requests that wait for it.
//!
//! A business's first request starts a task; what comes for the business while its transaction runs waits, and the
//! payments of it are the next one together. So the wait for the database's disk is shared, as it is in SQLite, a business
//! takes one connection however many requests it gets, and businesses don't wait for each other.
//!
//! A transaction locks its business's row before it reads anything (`FOR NO KEY UPDATE`, at READ COMMITTED, where each
//! statement sees what was committed before it began). Whatever another server's transaction wrote to the business is
//! therefore seen, and nobody writes to it until COMMIT. A business's transactions are in one order, which is that of
//! their locks, and its payments, entries and balances follow from the one before.
//!
//! Without the lock this goes wrong: two servers get a payment with the same new external id. Both look for it, neither
//! finds it, both insert it. The unique index refuses the second, but by then it was told that it creates what was there.
//! `SELECT .. FOR UPDATE` on the payment doesn't help, as there is no row to lock yet. REPEATABLE READ doesn't either: the
//! snapshot would be of the time before the lock was had, and every wait for it would end in an error.
//!
//! Requests that make or remove businesses lock the row of `store` first, and then the businesses that they touch; all
//! others lock one business and nothing else. Nobody who waits for a second lock can hold what another one waits for, so
//! there is no deadlock.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::{Error, Policy, Scope, Unit, Wants, panic_text};
use super::books::{Header, PostgresBooks, State};
use super::connect::{self, IsGood, Pool};
use super::load::{Link, get};
use super::names::{Name, text};
use super::{on_link, read, save};
use crate::domain::local::{
    Business, IsNew, LocalBooks, NewBusiness, business_name_taken, not_empty,
};
use crate::domain::payment::whole_microseconds;

/// Requests that may wait. Beyond it a request waits before it enters a queue, which slows its client down.
const QUEUE: usize = 1_024;
/// The most requests of one transaction.
const BATCH: usize = 256;
/// Businesses of which something stays in memory; with more, all are forgotten and read again as they are used.
const REMEMBERED: usize = 64;
/// How often a transaction is run that was lost before it was committed.
const ATTEMPTS: u32 = 4;
/// How long the database is asked what became of a transaction.
const FINDING_OUT: Duration = Duration::from_secs(6);

/// The way to the transactions.
#[derive(Clone, Debug)]
pub(super) struct Writer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: Pool,
    policy: Policy,
    runtime: Handle,
    /// A place for each request that waits or is being done.
    places: Arc<Semaphore>,
    /// What waits for each business that a transaction runs for.
    queues: Mutex<HashMap<Uuid, Queue>>,
    /// What is known of businesses, for transactions that find them as this server left them.
    remembered: Mutex<HashMap<Uuid, State>>,
}

struct Queue(VecDeque<Waiting>);

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue({})", self.0.len())
    }
}

/// A request that waits.
struct Waiting {
    job: Box<dyn Job>,
    /// What it names, if others may be in its transaction.
    wants: Option<Wants>,
}

/// Work that may have to be done again, when its transaction was lost.
trait Job: Send {
    fn run(&mut self, unit: &mut dyn Unit) -> Ran;

    /// Answers: with the work's own result, or, if its transaction was lost, with that.
    fn settle(self: Box<Self>, lost: Option<Error>);
}

/// How a request's work ended.
enum Ran {
    /// Its effects are to be kept.
    Well,
    /// It was refused, or it panicked; its effects are to be dropped.
    Refused,
    /// The database failed, and with it the transaction.
    Lost(Error),
}

struct Task<T, F> {
    work: F,
    result: Option<Result<T, Error>>,
    answer: oneshot::Sender<Result<T, Error>>,
    _place: tokio::sync::OwnedSemaphorePermit,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnMut(&mut dyn Unit) -> Result<T, Error> + Send,
{
    fn run(&mut self, unit: &mut dyn Unit) -> Ran {
        // What a panic leaves half-done is dropped with the request's other changes.
        let result = catch_unwind(AssertUnwindSafe(|| (self.work)(unit)))
            .unwrap_or_else(|panic| Err(Error::Panicked(panic_text(panic.as_ref()))));
        let ran = match result {
            Ok(_) => Ran::Well,
            Err(error @ (Error::Postgres(_) | Error::Silent)) => return Ran::Lost(error),
            Err(_) => Ran::Refused,
        };
        self.result = Some(result);
        ran
    }

    fn settle(self: Box<Self>, lost: Option<Error>) {
        let answer = match (lost, self.result) {
            // A refusal is lost, too: it may be for what another request of the transaction did.
            (Some(lost), _) => Err(lost),
            (None, Some(result)) => result,
            (None, None) => Err(Error::Closed),
        };
        // Whoever asked may have gone; the work is done all the same.
        let _ = self.answer.send(answer);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    pub(super) fn new(pool: Pool, policy: Policy) -> Writer {
        Writer(Arc::new(Inner {
            pool,
            policy,
            runtime: Handle::current(),
            places: Arc::new(Semaphore::new(QUEUE)),
            queues: Mutex::new(HashMap::new()),
            remembered: Mutex::new(HashMap::new()),
        }))
    }

    /// Runs `work` in a transaction. It may be run more than once, of which only the last run counts.
    pub(super) async fn run<T, F>(&self, scope: Scope, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Unit) -> Result<T, Error> + Send + 'static,
    {
        let place = Arc::clone(&self.0.places)
            .acquire_owned()
            .await
            .map_err(|_| Error::Closed)?;
        let (answer, result) = oneshot::channel();
        let job: Box<dyn Job> = Box::new(Task {
            work,
            result: None,
            answer,
            _place: place,
        });
        let inner = Arc::clone(&self.0);
        let (business, wants) = match scope {
            Scope::Payments(business, wants) => (business, Some(wants)),
            Scope::Business(business) => (business, None),
            Scope::Store => {
                let alone = vec![Waiting { job, wants: None }];
                tokio::spawn(inner.transact(None, alone));
                return result.await.map_err(|_| Error::Closed)?;
            }
        };
        let waiting = Waiting { job, wants };
        let is_first = match lock(&inner.queues).entry(business) {
            Entry::Occupied(mut queue) => {
                queue.get_mut().0.push_back(waiting);
                false
            }
            Entry::Vacant(none) => {
                none.insert(Queue(VecDeque::from([waiting])));
                true
            }
        };
        if is_first {
            tokio::spawn(inner.serve(business));
        }
        result.await.map_err(|_| Error::Closed)?
    }

    /// Takes no more requests, and waits until those that were taken are done.
    pub(super) async fn close(&self) {
        // Never refused, as there are so many places.
        let all = u32::try_from(QUEUE).unwrap_or(u32::MAX);
        let _all = self.0.places.acquire_many(all).await;
        self.0.places.close();
        self.0.pool.close().await;
    }
}

impl Inner {
    /// Runs transactions for a business until nothing waits for it any more.
    async fn serve(self: Arc<Self>, business: Uuid) {
        loop {
            let batch = match lock(&self.queues).entry(business) {
                Entry::Occupied(mut queue) => {
                    let waiting = &mut queue.get_mut().0;
                    if waiting.is_empty() {
                        queue.remove();
                        return;
                    }
                    let together = waiting
                        .iter()
                        .take(BATCH)
                        .take_while(|waiting| waiting.wants.is_some());
                    let count = together.count().max(1);
                    waiting.drain(..count).collect::<Vec<_>>()
                }
                Entry::Vacant(_) => return,
            };
            let lost = Arc::clone(&self).transact(Some(business), batch).await;
            if let Some(lost) = lost.filter(|lost| concerns_all(lost)) {
                // Whoever waits behind it would wait as long, and one after another.
                let waiting = match lock(&self.queues).entry(business) {
                    Entry::Occupied(mut queue) => std::mem::take(&mut queue.get_mut().0),
                    Entry::Vacant(_) => VecDeque::new(),
                };
                for Waiting { job, .. } in waiting {
                    job.settle(Some(Error::Lost(Arc::clone(&lost))));
                }
            }
        }
    }

    /// Runs requests in one transaction and answers them. Gives what it was lost for, if it was.
    async fn transact(
        self: Arc<Self>,
        business: Option<Uuid>,
        batch: Vec<Waiting>,
    ) -> Option<Arc<Error>> {
        let mut batch = batch;
        let mut attempt = 1;
        let lost = loop {
            let connection = match self.pool.get().await {
                Ok(connection) => connection,
                Err(error) => break Some(Error::from(error)),
            };
            let inner = Arc::clone(&self);
            let work = move || {
                connect::on(connection, |connection| {
                    let link = Link::new(connection, &inner.runtime, inner.pool.patience());
                    let mut transaction = Transaction {
                        inner: &inner,
                        link,
                        write: Uuid::now_v7(),
                        committing: None,
                    };
                    let result = transaction.run(business, &mut batch);
                    let is_good = match &result {
                        Ok(()) => IsGood(true),
                        Err(_) => link.end(&result),
                    };
                    ((batch, result, transaction.committing), is_good)
                })
            };
            // The work catches the panics of requests; one of its own loses the requests, which are told so.
            let Ok((returned, result, committing)) = tokio::task::spawn_blocking(work).await else {
                return None;
            };
            batch = returned;
            let error = match result {
                Ok(()) => break None,
                Err(error) => error,
            };
            if let Some(business) = business {
                lock(&self.remembered).remove(&business);
            } else {
                lock(&self.remembered).clear();
            }
            let outcome = match committing {
                Some(write) if !took_another_side(&error) => self.find_out(business, write).await,
                _ => Outcome::Lost,
            };
            match outcome {
                Outcome::Committed => break None,
                Outcome::Lost if attempt < ATTEMPTS && may_run_again(&error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        attempt,
                        "a transaction was lost and is run again"
                    );
                    tokio::time::sleep(pause(attempt)).await;
                    attempt += 1;
                }
                Outcome::Lost => break Some(error),
                Outcome::Unknown => break Some(Error::Unknown(Arc::new(error))),
            }
        };
        let lost = lost.map(Arc::new);
        for Waiting { job, .. } in batch {
            job.settle(lost.as_ref().map(|error| Error::Lost(Arc::clone(error))));
        }
        lost
    }

    /// What became of a transaction whose connection was lost at its COMMIT.
    ///
    /// The row that it had locked tells, once it can be locked again: the transaction is over then. PostgreSQL's own
    /// number of a transaction wouldn't do: after a crash it gives those again of which nothing had come to the disk.
    async fn find_out(&self, business: Option<Uuid>, write: Write) -> Outcome {
        let started = Instant::now();
        let mut attempt = 1;
        loop {
            let asked = on_link(&self.pool, move |link| ask(link, business, write));
            match asked.await {
                Ok(outcome) => return outcome,
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "can't ask what became of a transaction"
                ),
            }
            // The other side may notice after this one that the connection is gone, and holds the lock until then.
            tokio::time::sleep(pause(attempt)).await;
            attempt += 1;
            if started.elapsed() > FINDING_OUT {
                return Outcome::Unknown;
            }
        }
    }
}

/// A write that is about to be committed, and the version that its row has by it.
#[derive(Clone, Copy, Debug)]
struct Write {
    id: Uuid,
    version: i64,
}

/// Looks for a write in the row that it locked.
fn ask(link: Link<'_>, business: Option<Uuid>, write: Write) -> Result<Outcome, Error> {
    link.run("BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '2s'")?;
    let row = match business {
        Some(business) => link.query_opt(
            "SELECT version, $2 = ANY (writes) FROM businesses WHERE id = $1 FOR NO KEY UPDATE",
            &[&business, &write.id],
        )?,
        None => link.query_opt(
            "SELECT version, $1 = ANY (writes) FROM store FOR UPDATE",
            &[&write.id],
        )?,
    };
    let Some(row) = row else {
        // The business was removed since, and what was written to it with it.
        return Ok(Outcome::Unknown);
    };
    let (version, is_there): (i64, bool) = (get(&row, 0)?, get(&row, 1)?);
    Ok(if is_there {
        Outcome::Committed
    } else if version - write.version < save::WRITES {
        Outcome::Lost
    } else {
        // So many others wrote since that it may have fallen off.
        Outcome::Unknown
    })
}

#[derive(Debug)]
enum Outcome {
    Committed,
    Lost,
    Unknown,
}

/// Twice as long each time, since what was in the way may take a while: a database restarts in seconds.
fn pause(attempt: u32) -> Duration {
    Duration::from_millis(25 << attempt.min(6))
}

/// Whether a transaction was lost for what others of the business will meet, too: no connection, no answer, or somebody
/// else's lock.
fn concerns_all(lost: &Error) -> bool {
    match lost {
        Error::Pool(_) | Error::Silent | Error::Unknown(_) => true,
        Error::Postgres(error) => {
            error.code() == Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE)
        }
        _ => false,
    }
}

/// Whether what was lost with this error can be run again.
fn may_run_again(error: &Error) -> bool {
    match error {
        Error::Postgres(error) => is_lost_by_chance(error),
        Error::Pool(_) => true,
        _ => false,
    }
}

/// Whether a statement failed for what it isn't to blame for: the connection broke, the database is on its way down or
/// up, or it took another transaction's side.
fn is_lost_by_chance(error: &tokio_postgres::Error) -> bool {
    use tokio_postgres::error::SqlState;

    match error.code() {
        Some(code) => {
            [
                SqlState::T_R_SERIALIZATION_FAILURE,
                SqlState::T_R_DEADLOCK_DETECTED,
                SqlState::ADMIN_SHUTDOWN,
                SqlState::CRASH_SHUTDOWN,
                SqlState::CANNOT_CONNECT_NOW,
            ]
            .contains(code)
                // Connection exceptions.
                || code.code().starts_with("08")
        }
        None => {
            error.is_closed()
                || std::error::Error::source(error)
                    .is_some_and(|source| source.is::<std::io::Error>())
        }
    }
}

/// Whether the database says that it took back the transaction for another one's sake, as some engines do at COMMIT.
fn took_another_side(error: &Error) -> bool {
    use tokio_postgres::error::SqlState;

    let Error::Postgres(error) = error else {
        return false;
    };
    error.code().is_some_and(|code| {
        [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
        ]
        .contains(code)
    })
}

/// Whether the same may succeed a little later.
pub(super) fn is_passing(error: &tokio_postgres::Error) -> bool {
    use tokio_postgres::error::SqlState;

    let waited_too_long = [
        SqlState::QUERY_CANCELED,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::DISK_FULL,
        SqlState::OUT_OF_MEMORY,
        // A server that takes no writes, as one does that gave its place to another.
        SqlState::READ_ONLY_SQL_TRANSACTION,
    ];
    is_lost_by_chance(error)
        || error
            .code()
            .is_some_and(|code| waited_too_long.contains(code))
}

struct Transaction<'a> {
    inner: &'a Inner,
    link: Link<'a>,
    /// The id of what it writes.
    write: Uuid,
    /// What COMMIT is sent for, once it is.
    committing: Option<Write>,
}

impl Transaction<'_> {
    /// Runs requests about a business, or about the store, which are kept if this gives `Ok`.
    fn run(&mut self, business: Option<Uuid>, batch: &mut [Waiting]) -> Result<(), Error> {
        let link = self.link;
        let mut wants = Wants::default();
        for named in batch.iter().filter_map(|waiting| waiting.wants.as_ref()) {
            wants.extend(named);
        }
        let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
        let mut unit = PostgresUnit {
            link,
            states: HashMap::new(),
            has_written: false,
            write: self.write,
            now: whole_microseconds(Timestamp::now()),
            policy: self.inner.policy,
            remembered: &self.inner.remembered,
        };
        match business {
            Some(business) => {
                let row = link.begin(begin, LOCK, &[&business])?;
                let state = row.map(|row| unit.locked(business, &row)).transpose()?;
                unit.states.insert(business, state);
                if let Some(state) = unit.state(business)? {
                    state.read(link, &wants)?;
                }
            }
            None => {
                link.begin(begin, "SELECT is_only FROM store FOR UPDATE", &[])?;
            }
        }
        let is_alone = batch.len() == 1;
        for waiting in batch {
            match waiting.job.run(&mut unit) {
                Ran::Well => unit.states.values_mut().flatten().for_each(State::keep),
                Ran::Refused if is_alone => return link.run("ROLLBACK"),
                Ran::Refused => unit
                    .states
                    .values_mut()
                    .flatten()
                    .for_each(State::drop_changes),
                Ran::Lost(error) => return Err(error),
            }
        }
        let (id, now) = (self.write, unit.now);
        let mut has_written = unit.has_written;
        let mut states = unit.states;
        for state in states.values_mut().flatten() {
            if state.has_changes() {
                save::save(link, state, id, now)?;
            }
            has_written |= state.written.is_some();
        }
        let version = match business {
            Some(business) => states
                .get(&business)
                .and_then(|state| state.as_ref()?.written),
            None if has_written => {
                let row = link.query_opt(
                    concat!(
                        "UPDATE store SET version = version + 1, ",
                        save::writes!("$1"),
                        " RETURNING version"
                    ),
                    &[&id],
                )?;
                row.map(|row| get(&row, 0)).transpose()?
            }
            None => None,
        };
        // What wrote nothing can simply be run again.
        self.committing = version.map(|version| Write { id, version });
        link.run("COMMIT")?;
        let mut remembered = lock(&self.inner.remembered);
        if remembered.len() + states.len() > REMEMBERED {
            remembered.clear();
        }
        for (business, state) in states {
            if let Some(state) = state.and_then(State::remembered) {
                remembered.insert(business, state);
            }
        }
        Ok(())
    }
}

/// What requests may do in a transaction.
struct PostgresUnit<'a> {
    link: Link<'a>,
    /// The businesses that are locked; `None` for one that isn't there.
    states: HashMap<Uuid, Option<State>>,
    /// Whether anything was written beside what the states have.
    has_written: bool,
    /// The id of what is written.
    write: Uuid,
    now: Timestamp,
    policy: Policy,
    remembered: &'a Mutex<HashMap<Uuid, State>>,
}

/// Locks a business's row and reads what [`PostgresUnit::locked`] takes.
const LOCK: &str =
    "SELECT version, closing_date, last_payment, last_entry, written_at, writes[1] FROM businesses
     WHERE id = $1 FOR NO KEY UPDATE";

impl PostgresUnit<'_> {
    /// What is known of a business, which is locked from now on. `None` if it isn't there.
    fn state(&mut self, business: Uuid) -> Result<Option<&mut State>, Error> {
        if !self.states.contains_key(&business) {
            let state = self.lock(business)?;
            self.states.insert(business, state);
        }
        Ok(self.states.get_mut(&business).and_then(Option::as_mut))
    }

    fn lock(&mut self, business: Uuid) -> Result<Option<State>, Error> {
        let row = self.link.query_opt(LOCK, &[&business])?;
        row.map(|row| self.locked(business, &row)).transpose()
    }

    /// What is known of a business whose row was just locked.
    fn locked(&mut self, business: Uuid, row: &Row) -> Result<State, Error> {
        let header = Header {
            version: get(row, 0)?,
            last_write: get(row, 5)?,
            closing_date: get(row, 1)?,
            last_payment: get(row, 2)?,
            last_entry: get(row, 3)?,
        };
        // A clock that is behind another server's, or was set back, must not put a later payment before an earlier one
        // in the order of import.
        self.now = self.now.max(get(row, 4)?);
        let remembered = lock(self.remembered).remove(&business);
        Ok(remembered
            .filter(|state| state.header == header)
            .unwrap_or_else(|| State::new(business, header)))
    }
}

impl Unit for PostgresUnit<'_> {
    fn create_business(&mut self, request: &NewBusiness) -> Result<(Business, IsNew), Error> {
        not_empty::<Error>("/external_id", request.external_id.as_deref())?;
        let name = request.external_id.as_deref().map(Name::of);
        let indexed = name.as_ref().map(|name| &*name.indexed);
        let known = self.link.query_opt(
            concat!(
                "SELECT ",
                read::business_columns!(),
                " FROM businesses WHERE id = $1 OR id = (SELECT business_id FROM business_names WHERE external_id = $2)
                 ORDER BY id = $1 DESC"
            ),
            &[&request.id, &indexed],
        )?;
        if let Some(known) = known {
            let known = read::business(&known)?;
            if request.id.is_some_and(|id| id != known.id) {
                return Err(Error::Refused(vec![business_name_taken(known.id)]));
            }
            return Ok((known, IsNew(false)));
        }
        let new = Business {
            type_: Business::TYPE,
            id: request.id.unwrap_or_else(Uuid::now_v7),
            external_id: request.external_id.clone(),
            name: request.name.clone(),
            closing_date: request.closing_date.map(whole_microseconds),
        };
        let number: i64 = match self.link.query_opt(
            "UPDATE store SET last_business = last_business + 1 RETURNING last_business",
            &[],
        )? {
            Some(row) => get(&row, 0)?,
            None => {
                return Err(Error::Corrupt(
                    "the row of the store isn't there".to_owned(),
                ));
            }
        };
        // Versions begin where no business with this id that was removed can have ended.
        self.link.execute(
            "INSERT INTO businesses (id, number, external_id, name, closing_date, created_at, written_at, version, writes)
             VALUES ($1, $2, $3, $4, $5, $6, $6, $7, ARRAY[$8::uuid])",
            &[
                &new.id,
                &number,
                &new.external_id.as_deref().map(text),
                &new.name.as_deref().map(text),
                &new.closing_date,
                &self.now,
                &Timestamp::now().as_microsecond(),
                &self.write,
            ],
        )?;
        if let Some(indexed) = indexed {
            self.link.execute(
                "INSERT INTO business_names (external_id, business_id) VALUES ($1, $2)",
                &[&indexed, &new.id],
            )?;
        }
        self.states.remove(&new.id);
        self.has_written = true;
        Ok((new, IsNew(true)))
    }

    fn close_until(
        &mut self,
        business: Uuid,
        closing_date: Option<Timestamp>,
    ) -> Result<Business, Error> {
        let write = self.write;
        let Some(state) = self.state(business)? else {
            return Err(Error::NoBusiness(business));
        };
        let version = state.close_until(closing_date, write).version;
        let row = self.link.query_opt(
            concat!(
                "UPDATE businesses SET closing_date = $2, version = $3, ",
                save::writes!("$4"),
                " WHERE id = $1 RETURNING ",
                read::business_columns!()
            ),
            &[&business, &closing_date, &version, &self.write],
        )?;
        match row {
            Some(row) => read::business(&row),
            None => Err(Error::NoBusiness(business)),
        }
    }

    fn reset(&mut self) -> Result<(), Error> {
        self.states.clear();
        self.has_written = true;
        lock(self.remembered).clear();
        // Whoever writes to a business is waited for, and none begins anew. Each table before those that it refers to.
        self.link.run(
            "SELECT id FROM businesses ORDER BY id FOR UPDATE;
             DELETE FROM matches;
             DELETE FROM payout_payments;
             DELETE FROM payouts;
             DELETE FROM journal_lines;
             DELETE FROM journal_entries;
             DELETE FROM payment_invoices;
             DELETE FROM payments;
             DELETE FROM tag_values;
             DELETE FROM tag_dimensions;
             DELETE FROM invoices;
             DELETE FROM accounts;
             DELETE FROM business_names;
             DELETE FROM businesses;",
        )
    }

    fn books(&mut self, business: Uuid) -> Result<Box<dyn LocalBooks<Error = Error> + '_>, Error> {
        let (link, write, policy) = (self.link, self.write, self.policy);
        if self.state(business)?.is_none() {
            return Err(Error::NoBusiness(business));
        }
        let now = self.now;
        match self.states.get_mut(&business).and_then(Option::as_mut) {
            Some(state) => Ok(Box::new(PostgresBooks::new(
                link, state, write, now, policy,
            ))),
            None => Err(Error::NoBusiness(business)),
        }
    }
}

#[cfg(test)]
mod tests {
    use layer_payments_test_postgres as test_postgres;

    use super::super::super::{Store, View};
    use super::*;
    use crate::config::Database;
    use crate::domain::resolve::InvoiceName;

    const BUSINESS: Uuid = Uuid::from_u128(1);

    struct Opened {
        store: Store,
        database: test_postgres::Database<'static>,
    }

    async fn open() -> Opened {
        let database = test_postgres::shared().database();
        let store = opened(&database).await;
        let register = store.write(Scope::Store, |unit| unit.register_business(BUSINESS));
        register.await.unwrap();
        Opened { store, database }
    }

    async fn opened(database: &test_postgres::Database<'_>) -> Store {
        let url = crate::Postgres::from_url(&database.url()).unwrap();
        Store::open(Database::from(url.migrate(true)), Policy::default())
            .await
            .unwrap()
    }

    fn payments() -> Scope {
        Scope::Payments(BUSINESS, Wants::default())
    }

    /// Names an invoice, which registers it.
    fn name(unit: &mut dyn Unit, invoice: &str) -> Result<Uuid, Error> {
        match unit.books(BUSINESS)?.invoice(None, Some(invoice))? {
            InvoiceName::Is(id) => Ok(id),
            other => panic!("{other:?}"),
        }
    }

    impl Opened {
        async fn invoices(&self) -> Vec<String> {
            let read = |view: &mut dyn View| view.invoices(BUSINESS, None);
            let invoices = self.store.read(read).await.unwrap();
            let mut names: Vec<String> = invoices
                .into_iter()
                .filter_map(|invoice| invoice.external_id)
                .collect();
            names.sort();
            names
        }
    }

    /// Holds up a business's first transaction until all requests wait, so that those behind it are one transaction.
    async fn together<T>(opened: &Opened, requests: impl Future<Output = T>) -> T {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let first = opened.store.write(payments(), move |unit| {
            let _ = lock(&wait).recv();
            name(unit, "first").map(drop)
        });
        let requests = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let release = async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                go.send(()).unwrap();
            };
            tokio::join!(requests, release).0
        };
        let (first, result) = tokio::join!(first, requests);
        first.unwrap();
        result
    }

    async fn versions(opened: &Opened) -> i64 {
        let version = opened.database.sql("SELECT version FROM businesses");
        version.parse().unwrap()
    }

    #[tokio::test]
    async fn a_failing_request_takes_back_its_own_work_only() {
        let opened = open().await;
        let before = versions(&opened).await;
        let good = |invoice: &'static str| {
            opened
                .store
                .write(payments(), move |unit| name(unit, invoice).map(drop))
        };
        let refused = opened.store.write(payments(), |unit| {
            name(unit, "refused")?;
            Err::<(), _>(Error::NoPayment)
        });
        let panicking = opened.store.write(payments(), |unit| {
            name(unit, "panicking")?;
            panic!("on purpose");
            #[expect(unreachable_code, reason = "it says what the work gives")]
            Ok(())
        });
        let requests = async { tokio::join!(good("a"), refused, panicking, good("b")) };
        let (a, refused, panicking, b) = together(&opened, requests).await;
        a.unwrap();
        b.unwrap();
        assert!(matches!(refused, Err(Error::NoPayment)));
        assert!(matches!(panicking, Err(Error::Panicked(text)) if text == "on purpose"));
        assert_eq!(opened.invoices().await, ["a", "b", "first"]);
        // The four were one transaction behind the first.
        assert_eq!(versions(&opened).await, before + 2);
    }

    #[tokio::test]
    async fn requests_of_one_transaction_see_what_those_before_them_did() {
        let opened = open().await;
        let same = || opened.store.write(payments(), |unit| name(unit, "same"));
        let requests = async { tokio::join!(same(), same(), same()) };
        let (a, b, c) = together(&opened, requests).await;
        let a = a.unwrap();
        assert_eq!((b.unwrap(), c.unwrap()), (a, a));
        assert_eq!(opened.invoices().await, ["first", "same"]);
    }

    #[tokio::test]
    async fn what_is_remembered_is_forgotten_when_another_server_writes() {
        let opened = open().await;
        let other = self::opened(&opened.database).await;
        let account = async |store: &Store| {
            let found = store.write(payments(), |unit| {
                unit.books(BUSINESS)?.chart_account("CASH")
            });
            found.await.unwrap()
        };
        let first = account(&opened.store).await;
        assert_eq!(account(&opened.store).await, first);
        other
            .write(Scope::Store, |unit| {
                unit.reset()?;
                unit.register_business(BUSINESS)
            })
            .await
            .unwrap();
        let second = account(&other).await;
        assert_ne!(second, first);
        assert_eq!(account(&opened.store).await, second);
    }

    #[tokio::test]
    async fn time_does_not_go_back_whatever_the_clocks_say() {
        let opened = open().await;
        let ahead = "UPDATE businesses SET written_at = '2100-01-01T00:00:00Z'";
        opened.database.sql(ahead);
        let now = opened
            .store
            .write(payments(), |unit| Ok(unit.books(BUSINESS)?.now()));
        let expected: Timestamp = "2100-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(now.await.unwrap(), expected);
    }

    #[tokio::test]
    async fn a_lost_transaction_is_run_again_and_counts_once() {
        let opened = open().await;
        let database = opened.database.name().to_owned();
        let mut runs = 0;
        let counted = opened.store.write(payments(), move |unit| {
            name(unit, "lost")?;
            runs += 1;
            if runs == 1 {
                test_postgres::shared().sql(&database, test_postgres::CUT_CONNECTIONS);
            }
            // Notices that the connection is gone.
            name(unit, "kept")?;
            Ok(runs)
        });
        assert_eq!(counted.await.unwrap(), 2);
        assert_eq!(opened.invoices().await, ["kept", "lost"]);
    }

    #[tokio::test]
    async fn closing_finishes_what_waits_and_refuses_what_comes_later() {
        let opened = open().await;
        let writes = (1..=20).map(|n| {
            opened
                .store
                .write(payments(), move |unit| name(unit, &format!("i{n}")))
        });
        let (results, ()) =
            tokio::join!(futures_util::future::join_all(writes), opened.store.close());
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let late = opened.store.write(payments(), |unit| name(unit, "late"));
        assert!(matches!(late.await, Err(Error::Closed)));
        let count = opened.database.sql("SELECT count(*) FROM invoices");
        assert_eq!(count, "20");
    }
}
