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
///   finds what is there. A payment without one is sent once, whatever becomes of it, unless it was
///   refused for its token;
/// - an **update**, unless [`RetryPolicy::updates`] says otherwise: it sets values rather than
///   adding to them, so that twice is the same as once. What can happen is that another writer
///   changes the same payment between a lost reply and the repetition, and is overwritten.
///
/// The waits grow: a random part ("full jitter") of [`base_delay`](RetryPolicy::base_delay),
/// doubled with each attempt up to [`max_delay`](RetryPolicy::max_delay). Where the API says how
/// long to wait (`Retry-After`, in seconds or as a date), that long instead, but at most
/// [`max_retry_after`](RetryPolicy::max_retry_after). A wait that would end beyond the call's time
/// ([`Builder::timeout`](crate::Builder::timeout)), less a tenth of it and a second at most, which
/// the answer needs, isn't begun.
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

#[cfg(test)]
mod tests {
    use layer_payments_types::Operation::{
        BulkCreateInvoicePayments as Bulk, ListInvoicePayments as List,
        RecordInvoicePayment as Record, UpdateInvoicePayment as Update,
    };
    use reqwest::header::HeaderMap;

    use super::*;
    use crate::auth::Token;

    const POLICY: RetryPolicy = RetryPolicy::new();

    /// Of a first attempt with time, budget and chance at their largest.
    const FIRST: Circumstances = Circumstances {
        attempt: 1,
        left: Duration::from_secs(3_600),
        now: SystemTime::UNIX_EPOCH,
        in_budget: true,
        chance: 1.0,
    };

    fn subject(operation: Operation, has_external_ids: bool) -> Subject {
        Subject {
            operation,
            has_external_ids,
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> Headers {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a header's value"));
        }
        Headers::new(headers, &Token::new("t"))
    }

    fn decided(subject: Subject, outcome: Outcome) -> Decision {
        decide(&POLICY, subject, outcome, None, FIRST)
    }

    /// What every outcome leads to: a letter for each of list, record with and without external id,
    /// bulk with and without, and update. `y` is sent again, `n` is not since it could take place
    /// twice, `-` is not since it would be of no use.
    #[test]
    fn every_outcome_of_every_operation() {
        use Outcome::{Lasting, Lost, NoToken, NotConnected, Page, Status};

        let table = [
            (NotConnected, "y yn yn y"),
            (Lost, "y yn yn y"),
            (Page, "y yn yn y"),
            // Nothing was sent, so nothing can take place twice.
            (NoToken { is_transient: true }, "y yy yy y"),
            (
                NoToken {
                    is_transient: false,
                },
                "- -- -- -",
            ),
            (Lasting, "- -- -- -"),
            // A success that isn't the operation's own.
            (Status(202), "- -- -- -"),
            (Status(301), "- -- -- -"),
            (Status(303), "- -- -- -"),
            (Status(304), "- -- -- -"),
            (Status(400), "- -- -- -"),
            (Status(401), "- -- -- -"),
            (Status(403), "- -- -- -"),
            (Status(404), "- -- -- -"),
            (Status(408), "y yn yn y"),
            (Status(409), "- -- -- -"),
            (Status(413), "- -- -- -"),
            (Status(415), "- -- -- -"),
            (Status(422), "- -- -- -"),
            (Status(425), "- -- -- -"),
            (Status(429), "y yn yn y"),
            (Status(499), "- -- -- -"),
            (Status(500), "y yn yn y"),
            (Status(501), "- -- -- -"),
            (Status(502), "y yn yn y"),
            (Status(503), "y yn yn y"),
            (Status(504), "y yn yn y"),
            (Status(505), "- -- -- -"),
            (Status(520), "y yn yn y"),
            (Status(599), "y yn yn y"),
        ];
        let subjects = [
            subject(List, true),
            subject(Record, true),
            subject(Record, false),
            subject(Bulk, true),
            subject(Bulk, false),
            subject(Update, true),
        ];
        for (outcome, expected) in table {
            let mut letters: String = subjects
                .map(|subject| match decided(subject, outcome) {
                    Decision::Again(_) => 'y',
                    Decision::Stop(Reason::NotRepeatable) => 'n',
                    Decision::Stop(Reason::Lasting) => '-',
                    Decision::Stop(reason) => panic!("{outcome:?}: {reason:?}"),
                })
                .iter()
                .collect();
            for blank in [1, 4, 7] {
                letters.insert(blank, ' ');
            }
            assert_eq!(letters, expected, "{outcome:?}");
        }
    }

    #[test]
    fn updates_are_repeated_unless_the_policy_forbids_it() {
        let policy = RetryPolicy::new().updates(false);
        let decision = |operation| {
            let subject = subject(operation, true);
            decide(&policy, subject, Outcome::Lost, None, FIRST)
        };
        assert_eq!(decision(Update), Decision::Stop(Reason::NotRepeatable));
        assert!(matches!(decision(Record), Decision::Again(_)));
    }

    #[test]
    fn waits_double_up_to_the_longest_and_chance_takes_a_part_of_them() {
        let wait = |attempt, chance| {
            let policy = RetryPolicy::new().attempts(u32::MAX);
            let circumstances = Circumstances {
                attempt,
                chance,
                ..FIRST
            };
            let subject = subject(List, true);
            match decide(&policy, subject, Outcome::Lost, None, circumstances) {
                Decision::Again(wait) => wait.as_millis(),
                Decision::Stop(reason) => panic!("{reason:?}"),
            }
        };
        let longest: Vec<u128> = (1..=8).map(|attempt| wait(attempt, 1.0)).collect();
        assert_eq!(
            longest,
            [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]
        );
        assert_eq!([wait(3, 0.0), wait(3, 0.25), wait(3, 0.5)], [0, 200, 400]);
        for attempt in [31, 32, 33, 34, u32::MAX - 1] {
            assert_eq!(wait(attempt, 1.0), 10_000, "attempt {attempt}");
        }
    }

    #[test]
    fn retry_after_is_honoured_in_seconds_and_dates_and_capped() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let now = httpdate::parse_http_date(date).expect("a date");
        // The documented form is first; the three that follow are those of RFC 9110 for a date.
        let cases = [
            (vec![("retry-after", "7")], Some(7)),
            (vec![("retry-after", " 7 ")], Some(7)),
            (vec![("retry-after", "0")], Some(0)),
            (
                vec![("retry-after", "Sun, 06 Nov 1994 08:49:44 GMT")],
                Some(7),
            ),
            (
                vec![("retry-after", "Sunday, 06-Nov-94 08:49:44 GMT")],
                Some(7),
            ),
            (vec![("retry-after", "Sun Nov  6 08:49:44 1994")], Some(7)),
            // The server's own clock counts where it tells the time: this machine's may be wrong.
            (
                vec![
                    ("retry-after", "Tue, 07 Nov 2034 08:00:09 GMT"),
                    ("date", "Tue, 07 Nov 2034 08:00:00 GMT"),
                ],
                Some(9),
            ),
            // A date that has passed is no wait.
            (
                vec![("retry-after", "Sun, 06 Nov 1994 08:49:30 GMT")],
                Some(0),
            ),
            // The longest wait, unless the policy says otherwise.
            (vec![("retry-after", "61")], Some(60)),
            (vec![("retry-after", "18446744073709551615")], Some(60)),
            (
                vec![("retry-after", "Mon, 07 Nov 1994 08:49:37 GMT")],
                Some(60),
            ),
            // What can't be read counts as if it weren't there.
            (vec![("retry-after", "soon")], None),
            (vec![("retry-after", "-1")], None),
            (vec![("retry-after", "1.5")], None),
            (vec![("retry-after", "18446744073709551616")], None),
            (vec![("retry-after", "")], None),
            (vec![], None),
        ];
        for (pairs, seconds) in cases {
            let headers = headers(&pairs);
            let circumstances = Circumstances {
                now,
                chance: 0.0,
                ..FIRST
            };
            let decision = decide(
                &POLICY,
                subject(List, true),
                Outcome::Status(429),
                Some(&headers),
                circumstances,
            );
            let expected = Duration::from_secs(seconds.unwrap_or_default());
            assert_eq!(decision, Decision::Again(expected), "{pairs:?}");
            assert_eq!(headers.retry_after_at(now).is_some(), seconds.is_some());
        }
    }

    #[test]
    fn those_who_were_told_the_same_time_are_spread_out() {
        let headers = headers(&[("retry-after", "2")]);
        let waits = [0.0, 0.5, 1.0].map(|chance| {
            let circumstances = Circumstances { chance, ..FIRST };
            let subject = subject(List, true);
            let outcome = Outcome::Status(503);
            decide(&POLICY, subject, outcome, Some(&headers), circumstances)
        });
        let expected = [2_000, 2_100, 2_200];
        assert_eq!(
            waits,
            expected.map(|wait| Decision::Again(Duration::from_millis(wait)))
        );
    }

    #[test]
    fn attempts_budget_and_time_end_it() {
        let decision = |policy: &RetryPolicy, circumstances| {
            let subject = subject(Record, true);
            decide(policy, subject, Outcome::Lost, None, circumstances)
        };
        let attempt = |attempt| Circumstances { attempt, ..FIRST };
        assert!(matches!(decision(&POLICY, attempt(5)), Decision::Again(_)));
        let used_up = Decision::Stop(Reason::Attempts);
        assert_eq!(decision(&POLICY, attempt(6)), used_up);
        assert_eq!(decision(&POLICY, attempt(7)), used_up);
        assert_eq!(decision(&RetryPolicy::never(), attempt(1)), used_up);
        assert_eq!(
            decision(&RetryPolicy::new().attempts(0), attempt(1)),
            used_up
        );
        let spent = Circumstances {
            in_budget: false,
            ..FIRST
        };
        assert_eq!(decision(&POLICY, spent), Decision::Stop(Reason::Budget));
        // The wait would be 200 ms.
        for (left, expected) in [
            (200, Decision::Stop(Reason::Time)),
            (201, Decision::Again(Duration::from_millis(200))),
        ] {
            let circumstances = Circumstances {
                left: Duration::from_millis(left),
                ..FIRST
            };
            assert_eq!(decision(&POLICY, circumstances), expected);
        }
    }

    #[test]
    fn the_longest_times_do_not_overflow() {
        let policy = RetryPolicy::new()
            .base_delay(Duration::MAX)
            .max_delay(Duration::MAX)
            .max_retry_after(Duration::MAX);
        let headers = headers(&[("retry-after", "18446744073709551615")]);
        for chance in [0.0, 0.999_999] {
            for headers in [None, Some(&headers)] {
                let circumstances = Circumstances {
                    chance,
                    attempt: 5,
                    ..FIRST
                };
                let subject = subject(List, true);
                decide(&policy, subject, Outcome::Lost, headers, circumstances);
            }
        }
    }

    #[test]
    fn a_budget_lasts_while_a_fifth_of_all_requests_fails_but_not_when_all_do() {
        let budget = Budget::new();
        let mut retries = 0;
        while budget.has_one() {
            budget.take();
            retries += 1;
        }
        assert_eq!(retries, 100, "a full budget's retries");
        for _ in 0..9 {
            budget.give(false);
        }
        assert!(!budget.has_one());
        budget.give(false);
        assert!(budget.has_one(), "ten successes give one");
        budget.take();
        budget.give(true);
        assert!(
            budget.has_one(),
            "a retry that succeeded gives its own back"
        );

        let budget = Budget::new();
        for call in 0..100_000_u32 {
            // Every fifth request fails, and so does every fifth that is sent again.
            let mut failures = u32::from(call % 5 == 0) + u32::from(call % 25 == 0);
            let by_retry = failures > 0;
            while failures > 0 {
                assert!(budget.has_one(), "call {call}");
                budget.take();
                failures -= 1;
            }
            budget.give(by_retry);
        }
        for _ in 0..10_000 {
            budget.give(false);
        }
        assert_eq!(
            *budget.tenths(),
            Budget::FULL,
            "it doesn't grow without end"
        );
    }
}
