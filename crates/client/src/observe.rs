//! Watching the client: an event in the log and a call of the observer for each attempt.
//!
//! The log holds no token, no secret and nothing of a payment, with one exception: an error's line
//! stands in its event as the caller gets it, and may name an external id and show how a reply
//! begins that isn't Layer's. Without that a proxy's fault couldn't be told from Layer's.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use layer_payments_types::Operation;

use crate::error::{Error, one_line};

/// Is told of each attempt, for metrics; given to
/// [`Builder::observer`](crate::Builder::observer).
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use layer_payments_client::{Attempt, Observer};
///
/// #[derive(Default)]
/// struct Metrics {
///     requests: AtomicU64,
///     retries: AtomicU64,
/// }
///
/// impl Observer for Metrics {
///     fn attempt(&self, attempt: &Attempt<'_>) {
///         self.requests.fetch_add(1, Ordering::Relaxed);
///         if attempt.retry_in.is_some() {
///             self.retries.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// An attempt has ended. It's called on the task that made the call and holds it up, so it
    /// should be quick. If it panics, so does the call, although a write may have taken place.
    fn attempt(&self, attempt: &Attempt<'_>);
}

/// So that the program can keep what it gives away.
impl<T: Observer + ?Sized> Observer for Arc<T> {
    fn attempt(&self, attempt: &Attempt<'_>) {
        (**self).attempt(attempt);
    }
}

/// What an attempt was and how it ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Attempt<'a> {
    /// What was called.
    pub operation: Operation,
    /// Which attempt of its call it was; the first is 1.
    pub number: u32,
    /// How long it took, waiting for a place under the rate limit and for a token included.
    pub latency: Duration,
    /// The reply's HTTP status, if one came.
    pub status: Option<u16>,
    /// What names the request in the server's log.
    pub request_id: Option<&'a str>,
    /// Why it failed; `None` for a success.
    pub error: Option<&'a Error>,
    /// After what wait the next attempt of the same call follows; `None` where this was the last.
    pub retry_in: Option<Duration>,
}

impl Attempt<'_> {
    /// Writes the event. What failed and is tried again is a warning, since somebody may want to
    /// know before it fails for good; an error that the caller gets is the caller's to report.
    pub(crate) fn log(&self) {
        let operation = self.operation.id();
        let Attempt {
            number,
            status,
            request_id,
            ..
        } = *self;
        let latency_ms = millis(self.latency);
        let causes = self.error.map(causes).filter(|causes| !causes.is_empty());
        match (self.error, self.retry_in) {
            (None, _) => tracing::debug!(
                operation,
                attempt = number,
                status,
                latency_ms,
                request_id,
                "a request succeeded"
            ),
            (Some(error), Some(wait)) => tracing::warn!(
                operation,
                attempt = number,
                status,
                latency_ms,
                request_id,
                retry_in_ms = millis(wait),
                %error,
                causes,
                "a request failed and is sent again"
            ),
            (Some(error), None) => tracing::debug!(
                operation,
                attempt = number,
                status,
                latency_ms,
                request_id,
                %error,
                causes,
                "a request failed"
            ),
        }
    }
}

/// The observer of a client, if it has one.
#[derive(Clone, Default)]
pub(crate) struct Watch(pub(crate) Option<Arc<dyn Observer>>);

impl Watch {
    /// Tells of an attempt, which is looked at only if somebody watches.
    pub(crate) fn attempt<'a>(&self, attempt: impl FnOnce() -> Attempt<'a>) {
        let is_logged = tracing::enabled!(tracing::Level::WARN);
        if !is_logged && self.0.is_none() {
            return;
        }
        let attempt = attempt();
        attempt.log();
        if let Some(observer) = &self.0 {
            observer.attempt(&attempt);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Some(_) => "Observer",
            None => "None",
        })
    }
}

/// What lies below an error, in one line, for the log: that a connection was refused, say, or a
/// certificate.
fn causes(error: &Error) -> String {
    let mut line = String::new();
    let mut cause = error.source();
    while let Some(source) = cause {
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&one_line(&source.to_string(), SHOWN_CAUSE_CHARS));
        cause = source.source();
    }
    line
}

/// How much of each cause the log shows, in characters.
const SHOWN_CAUSE_CHARS: usize = 200;

/// Whole milliseconds, for the log.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
