//! Whether a request is sent again, and when: a pure function of what was asked, what became of it,
//! and how often it was tried. Clock, chance and budget come in as values.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use layer_payments_types::Operation;

use crate::reply::Headers;

/// When a call that failed is tried again within [`Client`](crate::Client)'s methods.
///
/// | What happened | Sent again |
/// |---|---|
/// | no connection; connection lost; time limit of an attempt passed; reply cut short | yes |
/// | 408, 429, 500, 502, 503, 504 and other 5xx, but 501 and 505 | yes |
/// | a success that is an HTML page, which only a proxy sends | yes |
/// | no token could be had, and the cause may pass | yes: nothing was sent yet |
/// | 401, and the token can be renewed | once, with a new token; it counts as no retry |
/// | any other status; a reply that this client can't read | no |
///
/// All of it holds only for requests that can be repeated:
///
/// - a **list** always;
/// - a **record** or **bulk** only if every payment has an `external_id`: then it's an upsert and
///   finds what is there. A payment without one is sent once, whatever becomes of it;
/// - an **update**, unless [`RetryPolicy::updates`] says otherwise: it sets values rather than
///   adding to them, so that twice is the same as once. What can happen is that another writer
///   changes the same payment between a lost reply and the repetition, and is overwritten.
///
/// The waits grow: a random part ("full jitter") of [`base_delay`](RetryPolicy::base_delay),
/// doubled with each attempt up to [`max_delay`](RetryPolicy::max_delay). Where the API says how
/// long to wait (`Retry-After`, in seconds or as a date), that long instead, but at most
/// [`max_retry_after`](RetryPolicy::max_retry_after). A wait that would end beyond the call's time
/// ([`Builder::timeout`](crate::Builder::timeout)) isn't begun.
///
/// All calls of a client and its clones share a **budget**, so that an API that is down isn't
/// pressed with several times the load: it begins with 100 retries; a retry takes one, a call that
/// succeeds at once gives a tenth back, one that succeeds by a retry a whole one. Without budget a
/// call fails as if its attempts were used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    attempts: u32,
    base_delay: Duration,
    max_delay: Duration,
    max_retry_after: Duration,
    updates: bool,
}

impl RetryPolicy {
    /// Up to 6 attempts, waits from 200 ms to 10 s, a `Retry-After` of up to a minute.
    pub const fn new() -> RetryPolicy {
        RetryPolicy {
            attempts: 6,
            base_delay: Duration::from_millis(200),
            max_delay: Duration::from_secs(10),
            max_retry_after: Duration::from_secs(60),
            updates: true,
        }
    }

    /// Nothing is sent again; only a token that is refused is still renewed once.
    pub const fn never() -> RetryPolicy {
        RetryPolicy {
            attempts: 1,
            ..RetryPolicy::new()
        }
    }

    /// How many attempts a call makes at most, the first included. Zero is taken for one.
    pub const fn attempts(mut self, attempts: u32) -> RetryPolicy {
        self.attempts = attempts;
        self
    }

    /// The longest wait before the second attempt.
    pub const fn base_delay(mut self, delay: Duration) -> RetryPolicy {
        self.base_delay = delay;
        self
    }

    /// The longest wait before any attempt, where the API asks for none.
    pub const fn max_delay(mut self, delay: Duration) -> RetryPolicy {
        self.max_delay = delay;
        self
    }

    /// The longest wait that the API may ask for; of a longer one only this much is waited.
    pub const fn max_retry_after(mut self, delay: Duration) -> RetryPolicy {
        self.max_retry_after = delay;
        self
    }

    /// Whether updates are repeated; true unless set.
    pub const fn updates(mut self, repeat: bool) -> RetryPolicy {
        self.updates = repeat;
        self
    }

    /// The longest wait that the API may ask for.
    pub(crate) const fn longest_retry_after(&self) -> Duration {
        self.max_retry_after
    }
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy::new()
    }
}

/// A request, as far as repeating it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) operation: Operation,
    /// Whether each payment that it creates has an `external_id`.
    pub(crate) has_external_ids: bool,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There was no connection.
    NotConnected,
    /// A connection was there, but no complete reply.
    Lost,
    /// A complete reply with this status that isn't the one asked for.
    Status(u16),
    /// A success whose body is a page for people.
    Page,
    /// There was no token to send it with.
    NoToken { is_transient: bool },
    /// Something that repeating doesn't change.
    Lasting,
}

/// The circumstances of a decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    /// Which attempt it was; the first is 1.
    pub(crate) attempt: u32,
    /// What is left of the call's time.
    pub(crate) left: Duration,
    /// For a `Retry-After` that is a date.
    pub(crate) now: SystemTime,
    /// Whether the budget has a retry left.
    pub(crate) in_budget: bool,
    /// From 0 to 1.
    pub(crate) chance: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Send it again after this long.
    Again(Duration),
    /// Don't, for this reason.
    Stop(Reason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The same would come of it.
    Lasting,
    /// It could take place twice.
    NotRepeatable,
    Attempts,
    Budget,
    /// The wait would end beyond the call's time.
    Time,
}

/// Whether the same request may succeed another time, with nobody changing anything about it.
pub(crate) fn is_transient(outcome: Outcome) -> bool {
    match outcome {
        Outcome::NotConnected | Outcome::Lost | Outcome::Page => true,
        Outcome::NoToken { is_transient } => is_transient,
        Outcome::Status(501 | 505) => false,
        Outcome::Status(status) => matches!(status, 408 | 429 | 500..),
        Outcome::Lasting => false,
    }
}

/// Whether sending a request twice leaves the same as sending it once.
pub(crate) fn is_repeatable(policy: &RetryPolicy, subject: Subject) -> bool {
    match subject.operation {
        Operation::ListInvoicePayments => true,
        Operation::RecordInvoicePayment | Operation::BulkCreateInvoicePayments => {
            subject.has_external_ids
        }
        Operation::UpdateInvoicePayment => policy.updates,
    }
}

/// Decides whether and when a request is sent again. `headers` are those of the reply, if one came.
pub(crate) fn decide(
    policy: &RetryPolicy,
    subject: Subject,
    outcome: Outcome,
    headers: Option<&Headers>,
    circumstances: Circumstances,
) -> Decision {
    let nothing_was_sent = matches!(outcome, Outcome::NoToken { .. });
    if !is_transient(outcome) {
        return Decision::Stop(Reason::Lasting);
    }
    if !nothing_was_sent && !is_repeatable(policy, subject) {
        return Decision::Stop(Reason::NotRepeatable);
    }
    if circumstances.attempt >= policy.attempts.max(1) {
        return Decision::Stop(Reason::Attempts);
    }
    if !circumstances.in_budget {
        return Decision::Stop(Reason::Budget);
    }
    let asked = headers.and_then(|headers| headers.retry_after_at(circumstances.now));
    // The chance spreads out those that were all told the same time, too, by a little.
    let wait = match asked {
        Some(asked) => asked
            .min(policy.max_retry_after)
            .saturating_add(policy.base_delay.mul_f64(circumstances.chance)),
        None => longest_delay(policy, circumstances.attempt).mul_f64(circumstances.chance),
    };
    if wait >= circumstances.left {
        return Decision::Stop(Reason::Time);
    }
    Decision::Again(wait)
}

/// The longest wait after this attempt: doubled each time, up to the policy's longest.
fn longest_delay(policy: &RetryPolicy, attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1);
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    policy
        .base_delay
        .saturating_mul(factor)
        .min(policy.max_delay)
}

/// How many retries a client has left, shared by its clones, in tenths.
#[derive(Debug)]
pub(crate) struct Budget(Mutex<u32>);

impl Budget {
    /// Tenths that a full budget has.
    const FULL: u32 = 1_000;
    /// Tenths that a retry takes.
    const RETRY: u32 = 10;

    pub(crate) fn new() -> Budget {
        Budget(Mutex::new(Budget::FULL))
    }

    pub(crate) fn has_one(&self) -> bool {
        *self.tenths() >= Budget::RETRY
    }

    /// A request is sent again.
    pub(crate) fn take(&self) {
        let mut tenths = self.tenths();
        *tenths = tenths.saturating_sub(Budget::RETRY);
    }

    /// A call succeeded, at once or by a retry.
    pub(crate) fn give(&self, by_retry: bool) {
        let given = if by_retry { Budget::RETRY } else { 1 };
        let mut tenths = self.tenths();
        *tenths = (*tenths + given).min(Budget::FULL);
    }

    fn tenths(&self) -> std::sync::MutexGuard<'_, u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
