//! One call from its start to its end: a token, a place in the row, an attempt, and what follows
//! from what became of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use layer_payments_types::{self as types, CreateInvoicePayment, Operation};
use progenitor_client::ResponseValue;
use serde_json::{Map, Value};
use tokio::time::Instant;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::auth::Bearer;
use crate::client::Client;
use crate::error::{Error, Limits, Past};
use crate::generated;
use crate::hooks::Inner;
use crate::observe::{Attempt, millis};
use crate::pace::{TooLate, Waited};
use crate::reply::{Headers, Reply};
use crate::retry::{self, Circumstances, Decision, Subject};

/// The most of a call's time that is kept for the answer.
const MAX_ANSWERING_TIME: Duration = Duration::from_secs(1);

/// The last moment at which a request may leave: what is sent when the call's time is all but over
/// can only fail, and a write would then have taken place without anybody knowing. A tenth of the
/// call's time is kept for the answer.
fn latest(deadline: Instant, timeout: Duration) -> Instant {
    let kept = (timeout / 10).min(MAX_ANSWERING_TIME);
    deadline.checked_sub(kept).unwrap_or(deadline)
}

/// The longest time for which an empty bucket holds up all calls. Layer's is filled up each second.
const MAX_EMPTY_BUCKET: Duration = Duration::from_secs(2);

/// What is called, as far as it matters around the request itself.
pub(crate) struct Call<'a> {
    operation: Operation,
    /// What a record or bulk sends.
    payments: &'a [CreateInvoicePayment],
    /// What an update changes.
    payment_id: Option<Uuid>,
}

impl<'a> Call<'a> {
    pub(crate) fn of_list() -> Call<'a> {
        Call {
            operation: Operation::ListInvoicePayments,
            payments: &[],
            payment_id: None,
        }
    }

    pub(crate) fn of_payments(
        operation: Operation,
        payments: &'a [CreateInvoicePayment],
    ) -> Call<'a> {
        Call {
            operation,
            payments,
            payment_id: None,
        }
    }

    pub(crate) fn of_update(payment_id: Uuid) -> Call<'a> {
        Call {
            operation: Operation::UpdateInvoicePayment,
            payments: &[],
            payment_id: Some(payment_id),
        }
    }

    fn subject(&self) -> Subject {
        // An empty id is none: Layer would refuse it, and nothing would keep a second payment away.
        let has_id = |payment: &CreateInvoicePayment| {
            payment
                .external_id
                .as_deref()
                .is_some_and(|id| !id.is_empty())
        };
        Subject {
            operation: self.operation,
            has_external_ids: self.payments.iter().all(has_id),
        }
    }

    /// Puts what was sent into an error.
    fn tell(&self, error: Error) -> Error {
        let ids = self
            .payments
            .iter()
            .filter_map(|payment| payment.external_id.clone())
            .collect();
        error.about(ids, self.payment_id)
    }
}

type Result<T> = std::result::Result<T, Error>;
type Generated<T> =
    std::result::Result<ResponseValue<T>, progenitor_client::Error<types::ErrorReply>>;

impl Client {
    /// Makes a call: attempts until one succeeds or the policy says that it's enough. `send` makes
    /// one request with the generated client, and `extra` gives a reply's undocumented properties.
    pub(crate) async fn run<T, F>(
        &self,
        call: Call<'_>,
        extra: fn(&T) -> &Map<String, Value>,
        send: impl Fn(generated::Client) -> F,
    ) -> Result<Reply<T>>
    where
        F: Future<Output = Generated<T>>,
    {
        let span = tracing::info_span!(
            "layer_payments",
            operation = call.operation.id(),
            business_id = %self.business_id(),
            payments = call.payments.len(),
            attempts = tracing::field::Empty,
            status = tracing::field::Empty,
            request_id = tracing::field::Empty,
            latency_ms = tracing::field::Empty,
        );
        let started = (!span.is_disabled()).then(Instant::now);
        let called = self.attempts(&call, extra, &send);
        let result = called.instrument(span.clone()).await;
        if let Some(started) = started {
            let (attempts, status, id) = match &result {
                Ok(reply) => (reply.attempts(), Some(reply.status()), reply.request_id()),
                Err(error) => (error.attempts(), error.status(), error.request_id()),
            };
            span.record("attempts", attempts);
            span.record("status", status);
            span.record("request_id", id);
            span.record("latency_ms", millis(started.elapsed()));
        }
        result
    }

    async fn attempts<T, F>(
        &self,
        call: &Call<'_>,
        extra: fn(&T) -> &Map<String, Value>,
        send: &impl Fn(generated::Client) -> F,
    ) -> Result<Reply<T>>
    where
        F: Future<Output = Generated<T>>,
    {
        let shared = self.shared();
        let mut started = Instant::now();
        let deadline = started + shared.timeout;
        let mut number = 0;
        let mut is_renewed = false;
        let mut past = Past::default();
        loop {
            number += 1;
            let (result, bearer) = self
                .attempt(call.operation, started, deadline, extra, send)
                .await;
            let mut error = match result {
                Ok(mut reply) => {
                    shared.budget.give(number > 1);
                    self.heed(reply.status(), &reply.headers);
                    reply.attempts = number;
                    shared.watch.attempt(|| Attempt {
                        operation: call.operation,
                        number,
                        latency: started.elapsed(),
                        status: Some(reply.status()),
                        request_id: reply.request_id(),
                        error: None,
                        retry_in: None,
                    });
                    return Ok(reply);
                }
                Err(error) => error,
            };
            if let (Some(status), Some(headers)) = (error.status(), error.headers()) {
                self.heed(status, headers);
            }
            past.add(&error);
            let subject = call.subject();
            error = call.tell(error).after(number, past, subject, &shared.retry);
            let with_new_token = error.is_unauthorized()
                && !is_renewed
                && bearer.is_some_and(|bearer| shared.tokens.refuse(&bearer));
            let decision = if with_new_token {
                is_renewed = true;
                Decision::Again(Duration::ZERO)
            } else {
                let circumstances = Circumstances {
                    // A token that was renewed is no retry.
                    attempt: number - u32::from(is_renewed),
                    left: latest(deadline, shared.timeout)
                        .saturating_duration_since(Instant::now()),
                    now: SystemTime::now(),
                    in_budget: shared.budget.has_one(),
                    chance: fastrand::f64(),
                };
                retry::decide(
                    &shared.retry,
                    subject,
                    error.outcome(),
                    error.headers(),
                    circumstances,
                )
            };
            let retry_in = match decision {
                Decision::Again(wait) => Some(wait),
                Decision::Stop(reason) => {
                    error = error.stopped(reason);
                    None
                }
            };
            shared.watch.attempt(|| Attempt {
                operation: call.operation,
                number,
                latency: started.elapsed(),
                status: error.status(),
                request_id: error.request_id(),
                error: Some(&error),
                retry_in,
            });
            let Some(wait) = retry_in else {
                return Err(error);
            };
            if !with_new_token {
                shared.budget.take();
            }
            tokio::time::sleep(wait).await;
            started = Instant::now();
        }
    }

    /// One attempt, which starts now, with the token that it was made with.
    async fn attempt<T, F>(
        &self,
        operation: Operation,
        started: Instant,
        deadline: Instant,
        extra: fn(&T) -> &Map<String, Value>,
        send: &impl Fn(generated::Client) -> F,
    ) -> (Result<Reply<T>>, Option<Arc<Bearer>>)
    where
        F: Future<Output = Generated<T>>,
    {
        let shared = self.shared();
        // The place comes after the token: calls that had their places and then waited for the same
        // token would leave all at once.
        let mut now = started;
        let mut bearer = match shared.tokens.at_hand() {
            Some(bearer) => bearer,
            None => {
                let asked = shared.tokens.bearer(deadline);
                match tokio::time::timeout_at(deadline, asked).await {
                    Ok(Ok(bearer)) => {
                        now = Instant::now();
                        bearer
                    }
                    Ok(Err(fault)) => return (Err(Error::no_token(operation, fault)), None),
                    Err(_) => {
                        return (Err(Error::token_too_late(operation, shared.timeout)), None);
                    }
                }
            }
        };
        match shared
            .limiter
            .wait(now, latest(deadline, shared.timeout))
            .await
        {
            Ok(Waited(false)) => {}
            Ok(Waited(true)) => {
                now = Instant::now();
                bearer = shared.tokens.newest(bearer);
            }
            Err(TooLate { paused_for }) => {
                let error = Error::no_place(operation, shared.timeout, paused_for);
                return (Err(error), None);
            }
        }
        let left = deadline.saturating_duration_since(now);
        // Our own HTTP client has the limit of an attempt; a caller's has whatever the caller chose.
        let has_limit = shared.connect_timeout.is_some() && left >= shared.attempt_timeout;
        let timeout = (!has_limit).then(|| left.min(shared.attempt_timeout));
        let inner = Inner::new(bearer.header.clone(), shared.user_agent.clone(), timeout);
        let http = shared.http.clone();
        let api = generated::Client::new_with_client(&shared.base_url, http, inner.clone());
        let result = send(api).await;
        let limits = Limits {
            base_url: &shared.base_url,
            // The one of the two that ended it, as it was set.
            timeout: if left < shared.attempt_timeout {
                shared.timeout
            } else {
                shared.attempt_timeout
            },
            connect_timeout: shared.connect_timeout,
            token: &bearer.token,
        };
        let result = finish(operation, &inner, result, extra, &limits);
        (result, Some(bearer))
    }

    /// Lets the other calls know what a reply says about the rate limit.
    fn heed(&self, status: u16, headers: &Headers) {
        let shared = self.shared();
        // Only what refuses a request for now can speak for others.
        if matches!(status, 429 | 500..)
            && let Some(wait) = headers.retry_after()
        {
            shared
                .limiter
                .pause(wait.min(shared.retry.longest_retry_after()));
        } else if let Some(wait) = headers.bucket_is_empty_for() {
            shared.limiter.pause(wait.min(MAX_EMPTY_BUCKET));
        }
    }
}

/// Turns what the generated code made of a reply into ours, with what the hooks remembered of it.
fn finish<T>(
    operation: Operation,
    attempt: &Inner,
    result: Generated<T>,
    extra: fn(&T) -> &Map<String, Value>,
    limits: &Limits<'_>,
) -> Result<Reply<T>> {
    use progenitor_client::Error as Generated;

    let exchange = attempt.take_exchange();
    let (cause, exchange) = match (result, exchange) {
        (Ok(value), Some(exchange)) => {
            // Layer's own browser client takes a success that lists errors for a failure, and so
            // does this one.
            let errors = extra(&value).get("errors").and_then(Value::as_array);
            if errors.is_none_or(Vec::is_empty) {
                let headers = Headers::new(exchange.headers, limits.token);
                return Ok(Reply {
                    status: exchange.status.as_u16(),
                    headers,
                    attempts: 1,
                    value: Box::new(value.into_inner()),
                });
            }
            (None, exchange)
        }
        (Err(Generated::InvalidResponsePayload(_, cause)), Some(exchange)) => {
            (Some(cause), exchange)
        }
        (Err(Generated::ErrorResponse(_) | Generated::UnexpectedResponse(_)), Some(exchange)) => {
            (None, exchange)
        }
        (
            Err(
                Generated::CommunicationError(source)
                | Generated::ResponseBodyError(source)
                | Generated::InvalidUpgrade(source),
            ),
            exchange,
        ) => return Err(Error::transport(operation, source, exchange, limits)),
        (Err(Generated::InvalidRequest(fault) | Generated::Custom(fault)), _) => {
            return Err(Error::argument(operation, fault));
        }
        // No reply can be decoded without an exchange before it. If a change of the hooks ever made
        // it so, this is an error and not a panic.
        (Ok(_) | Err(_), None) => {
            return Err(Error::argument(
                operation,
                "the call ended without a request",
            ));
        }
    };
    Err(Error::reply(operation, exchange, cause, limits.token))
}
