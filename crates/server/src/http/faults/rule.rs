//! Fault rules as a program in the same process writes them.

use std::time::Duration;

use serde::Serialize;

/// A fault and the requests that meet it, for [`Handle::set_faults`](crate::Handle::set_faults).
///
/// Strikes every request unless told otherwise. It is read when it is set, so a mistake in it is an error there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FaultRule {
    fault: String,
    probability: f64,
    times: Option<u64>,
    operations: Option<Vec<String>>,
}

/// Why fault rules can't be set: what is wrong, with its place, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidFaults(pub(super) String);

impl FaultRule {
    /// A fault in the words of the header `X-Fault`, such as `status=503; html`, that `spec/local.yaml` describes.
    #[must_use]
    pub fn new(fault: impl Into<String>) -> FaultRule {
        FaultRule {
            fault: fault.into(),
            probability: 1.0,
            times: None,
            operations: None,
        }
    }

    /// The request isn't handled, and its connection is reset.
    #[must_use]
    pub fn cut_before() -> FaultRule {
        FaultRule::new("cut=before")
    }

    /// The request is handled and what it writes is kept; then its connection is reset instead of a reply.
    #[must_use]
    pub fn cut_after() -> FaultRule {
        FaultRule::new("cut=after")
    }

    /// The request isn't handled and gets this status in the envelope: 429, 500, 502, 503 or 504. With 429 and 503 comes
    /// `Retry-After: 1`, unless [`retry_after`](FaultRule::retry_after) says otherwise.
    #[must_use]
    pub fn status(status: u16) -> FaultRule {
        FaultRule::new(format!("status={status}"))
    }

    /// The request waits, up to 300 seconds, and is handled then. In whole milliseconds.
    #[must_use]
    pub fn latency(time: Duration) -> FaultRule {
        FaultRule::new(format!("latency={}ms", time.as_millis()))
    }

    /// Makes the reply of a status a page of HTML, as from a proxy, without `Retry-After` unless it is given.
    #[must_use]
    pub fn html(self) -> FaultRule {
        self.with("html")
    }

    /// Sets `Retry-After` of a status, in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> FaultRule {
        self.with(&format!("retry-after={seconds}"))
    }

    /// Lets the request wait, up to 300 seconds, before the fault happens. In whole milliseconds.
    #[must_use]
    pub fn delayed(self, time: Duration) -> FaultRule {
        self.with(&format!("latency={}ms", time.as_millis()))
    }

    /// The share of the requests that it strikes, from 0 to 1. Which ones they are is decided by the seed.
    #[must_use]
    pub fn probability(mut self, share: f64) -> FaultRule {
        self.probability = share;
        self
    }

    /// How many requests it strikes at most; at least 1.
    #[must_use]
    pub fn times(mut self, requests: u64) -> FaultRule {
        self.times = Some(requests);
        self
    }

    /// Strikes an operation, by its `operationId` such as `record_invoice_payment`; said again, that one too. Without it,
    /// all are struck.
    #[must_use]
    pub fn on(mut self, operation: impl Into<String>) -> FaultRule {
        self.operations
            .get_or_insert_default()
            .push(operation.into());
        self
    }

    fn with(mut self, part: &str) -> FaultRule {
        self.fault.push_str("; ");
        self.fault.push_str(part);
        self
    }
}

/// The fault in the words of `X-Fault`, for every request.
impl From<&str> for FaultRule {
    fn from(fault: &str) -> FaultRule {
        FaultRule::new(fault)
    }
}
