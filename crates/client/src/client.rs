//! The client and its replies: one method an operation.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use layer_payments_types::{
    self as types, CreateInvoicePayment, InvoicePaymentBulkReply, InvoicePaymentListReply,
    InvoicePaymentReply, Operation, UpdateInvoicePayment,
};
use progenitor_client::{ClientInfo, ResponseValue};
use reqwest::header::{HeaderMap, HeaderValue, SET_COOKIE};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::builder::{Builder, Token};
use crate::error::{CallLimits, Error};
use crate::generated;
use crate::hooks::Inner;
use crate::list::{ListPayments, Query};
use crate::outgoing::Outgoing;

/// A client of one business's invoice payments.
///
/// Cloning is cheap, and clones share their connections: make one client and clone it. Every call
/// ends within the client's timeout, follows no redirect and is sent once; see the [crate's
/// documentation](crate) for what that means for a write.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    business_id: Uuid,
}

/// What all clones have in common.
pub(crate) struct Shared {
    pub(crate) http: reqwest::Client,
    /// Without a slash at its end, since the generated paths begin with one.
    pub(crate) base_url: String,
    pub(crate) token: Token,
    pub(crate) authorization: HeaderValue,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
}

/// Whether an operation changes anything, so that a lost reply leaves open what is there now.
///
/// The match names every operation: one that the API description gains doesn't compile until it's
/// placed here, and given a method of [`Client`] beside the others.
pub(crate) fn writes(operation: Operation) -> bool {
    match operation {
        // `Client::list`
        Operation::ListInvoicePayments => false,
        // `Client::record`
        Operation::RecordInvoicePayment => true,
        // `Client::bulk`
        Operation::BulkCreateInvoicePayments => true,
        // `Client::update`
        Operation::UpdateInvoicePayment => true,
    }
}

impl Client {
    /// Begins the settings of a client.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// A client with the settings of the environment variables `LAYER_BASE_URL`, `LAYER_TOKEN` and
    /// `LAYER_BUSINESS_ID`. For further settings begin with [`Builder::from_env`].
    ///
    /// # Errors
    /// Where one of the three isn't set or can't be right; the error names it.
    pub fn from_env() -> Result<Client, Error> {
        Builder::from_env()?.build()
    }

    pub(crate) fn new(shared: Shared, business_id: Uuid) -> Client {
        Client {
            shared: Arc::new(shared),
            business_id,
        }
    }

    /// The business whose payments are meant.
    pub fn business_id(&self) -> Uuid {
        self.business_id
    }

    /// The same client for another business: same host, same token, same connections.
    pub fn with_business_id(&self, business_id: Uuid) -> Client {
        Client {
            shared: Arc::clone(&self.shared),
            business_id,
        }
    }

    /// The API's address, without a slash at its end.
    pub fn base_url(&self) -> &str {
        &self.shared.base_url
    }

    /// Records one payment (`record_invoice_payment`).
    ///
    /// With an `external_id` this is an upsert: the payment is created, or updated to the values
    /// sent, or left as it is where it has them. Without one each call creates a payment. The
    /// status tells: 201 created, 200 was there.
    ///
    /// `payment` is a payment that was checked, or [`Unchecked`](crate::Unchecked).
    ///
    /// # Errors
    /// Whatever [`Error`] lists. Where [`Error::is_outcome_unknown`], the payment may have been
    /// recorded.
    pub async fn record(
        &self,
        payment: impl Outgoing<CreateInvoicePayment>,
    ) -> Result<Reply<InvoicePaymentReply>, Error> {
        let api = self.call();
        let result = api
            .record_invoice_payment(&self.business_id, payment.request())
            .await;
        self.finish(
            Operation::RecordInvoicePayment,
            api.inner(),
            result,
            |reply| &reply.extra,
        )
    }

    /// Records many payments in one request (`bulk_create_invoice_payments`): all of them or none,
    /// each by the rules of [`Client::record`]. The reply lists them in the order of `payments`.
    ///
    /// `payments` are a list that was checked, or [`Unchecked`](crate::Unchecked).
    ///
    /// # Errors
    /// Where `payments` is empty, and whatever [`Error`] lists. In one that a server answers, the
    /// pointers of [`Error::errors`] begin with the index of the payment. Where
    /// [`Error::is_outcome_unknown`], all of them may have been recorded.
    pub async fn bulk(
        &self,
        payments: impl Outgoing<[CreateInvoicePayment]>,
    ) -> Result<Reply<InvoicePaymentBulkReply>, Error> {
        let operation = Operation::BulkCreateInvoicePayments;
        let payments = payments.request();
        if payments.is_empty() {
            return Err(Error::argument(
                operation,
                "there are no payments to record; give at least one",
            ));
        }
        let api = self.call();
        let result = api
            .bulk_create_invoice_payments(&self.business_id, payments)
            .await;
        self.finish(operation, api.inner(), result, |reply| &reply.extra)
    }

    /// Changes a payment (`update_invoice_payment`): what `changes` leaves absent stays, null
    /// clears, an empty list empties. `payment_id` is the `id` that Layer gave the payment, not its
    /// external id.
    ///
    /// `changes` are an update that was checked, best against the payment as it is, or
    /// [`Unchecked`](crate::Unchecked).
    ///
    /// # Errors
    /// Whatever [`Error`] lists. Where [`Error::is_outcome_unknown`], the payment may have been
    /// changed.
    pub async fn update(
        &self,
        payment_id: Uuid,
        changes: impl Outgoing<UpdateInvoicePayment>,
    ) -> Result<Reply<InvoicePaymentReply>, Error> {
        let api = self.call();
        let result = api
            .update_invoice_payment(&self.business_id, &payment_id, changes.request())
            .await;
        self.finish(
            Operation::UpdateInvoicePayment,
            api.inner(),
            result,
            |reply| &reply.extra,
        )
    }

    /// Begins a list of payments (`list_invoice_payments`): set filters, then
    /// [`send`](ListPayments::send) for one page or [`stream`](ListPayments::stream) for all of
    /// them.
    pub fn list(&self) -> ListPayments {
        ListPayments::new(self.clone())
    }

    pub(crate) async fn list_page(
        &self,
        query: &Query,
    ) -> Result<Reply<InvoicePaymentListReply>, Error> {
        let api = self.call();
        let result = api
            .list_invoice_payments(
                &self.business_id,
                query.cursor.as_deref(),
                query.external_id.as_deref(),
                query.included_in_payout,
                query.is_matched,
                query.limit,
                query.method,
                query.paid_at_end.as_ref(),
                query.paid_at_start.as_ref(),
                query.reference_numbers.as_deref(),
                query.show_total_count,
                query.sort_by,
                query.sort_order,
            )
            .await;
        self.finish(
            Operation::ListInvoicePayments,
            api.inner(),
            result,
            |reply| &reply.extra,
        )
    }

    /// A generated client for one call, with state of its own.
    fn call(&self) -> generated::Client {
        let inner = Inner::new(self.shared.authorization.clone());
        generated::Client::new_with_client(&self.shared.base_url, self.shared.http.clone(), inner)
    }

    /// Turns what the generated code made of a reply into ours, with what the hooks remembered of
    /// it. `extra` gives the reply's undocumented properties.
    fn finish<T>(
        &self,
        operation: Operation,
        call: &Inner,
        result: Result<ResponseValue<T>, progenitor_client::Error<types::ErrorReply>>,
        extra: fn(&T) -> &Map<String, Value>,
    ) -> Result<Reply<T>, Error> {
        use progenitor_client::Error as Generated;

        let shared = &*self.shared;
        let exchange = call.take_exchange();
        let (cause, exchange) = match (result, exchange) {
            (Ok(value), Some(exchange)) => {
                // Layer's own browser client takes a success that lists errors for a failure, and
                // so does this one.
                let errors = extra(&value).get("errors").and_then(Value::as_array);
                if errors.is_none_or(Vec::is_empty) {
                    let headers = Headers::new(exchange.headers, &shared.token);
                    return Ok(Reply {
                        status: exchange.status.as_u16(),
                        headers,
                        value: value.into_inner(),
                    });
                }
                (None, exchange)
            }
            (Err(Generated::InvalidResponsePayload(_, cause)), Some(exchange)) => {
                (Some(cause), exchange)
            }
            (
                Err(Generated::ErrorResponse(_) | Generated::UnexpectedResponse(_)),
                Some(exchange),
            ) => (None, exchange),
            (
                Err(
                    Generated::CommunicationError(source)
                    | Generated::ResponseBodyError(source)
                    | Generated::InvalidUpgrade(source),
                ),
                exchange,
            ) => {
                let limits = CallLimits {
                    base_url: &shared.base_url,
                    timeout: shared.timeout,
                    connect_timeout: shared.connect_timeout,
                    token: &shared.token,
                };
                return Err(Error::transport(operation, source, exchange, &limits));
            }
            (Err(Generated::InvalidRequest(fault) | Generated::Custom(fault)), _) => {
                return Err(Error::argument(operation, fault));
            }
            // No reply can be decoded without an exchange before it. If a change of the hooks ever
            // made it so, this is an error and not a panic.
            (Ok(_) | Err(_), None) => {
                return Err(Error::argument(
                    operation,
                    "the call ended without a request",
                ));
            }
        };
        Err(Error::reply(operation, exchange, cause, &shared.token))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base_url", &self.shared.base_url)
            .field("business_id", &self.business_id)
            .field("token", &self.shared.token)
            .field("timeout", &self.shared.timeout)
            .field("connect_timeout", &self.shared.connect_timeout)
            .finish()
    }
}

/// A success: what the API answered, with the reply's status and headers. It derefs to the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply<T> {
    status: u16,
    headers: Headers,
    value: T,
}

impl<T> Reply<T> {
    /// The HTTP status. For a record, 201 means that the payment is new, 200 that it was there.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reply's headers.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// What names this request in the server's log, from `X-Request-Id`.
    pub fn request_id(&self) -> Option<&str> {
        self.headers.request_id()
    }

    /// The answer alone.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for Reply<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The headers of a reply, less those that can hold a secret (`Set-Cookie`, and any that repeats
/// the token).
#[derive(Clone, Debug, PartialEq)]
pub struct Headers(HeaderMap);

impl Headers {
    pub(crate) fn new(mut headers: HeaderMap, token: &Token) -> Headers {
        headers.remove(SET_COOKIE);
        while let Some(name) = headers
            .iter()
            .find(|(_, value)| token.is_in(&String::from_utf8_lossy(value.as_bytes())))
            .map(|(name, _)| name.clone())
        {
            headers.remove(name);
        }
        Headers(headers)
    }

    /// The first value of a header. Upper and lower case of the name are the same; a value that
    /// isn't visible ASCII is left out.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }

    /// All headers with their values, the names in lower case.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }

    /// `X-Request-Id`: what names the request in the server's log. This project's server sends it.
    pub fn request_id(&self) -> Option<&str> {
        self.get("x-request-id")
    }

    /// `Retry-After`, where it gives seconds (the form that Layer documents).
    pub fn retry_after(&self) -> Option<Duration> {
        self.get("retry-after")?
            .trim()
            .parse()
            .ok()
            .map(Duration::from_secs)
    }

    /// `X-RateLimit-Limit`: the capacity of the token bucket, in request tokens.
    pub fn rate_limit(&self) -> Option<u64> {
        self.get("x-ratelimit-limit")?.trim().parse().ok()
    }

    /// `X-RateLimit-Remaining`: the request tokens that are left.
    pub fn rate_limit_remaining(&self) -> Option<u64> {
        self.get("x-ratelimit-remaining")?.trim().parse().ok()
    }

    /// `X-RateLimit-Reset`: when the bucket is refilled, in seconds since 1970-01-01T00:00:00Z.
    pub fn rate_limit_reset(&self) -> Option<u64> {
        self.get("x-ratelimit-reset")?.trim().parse().ok()
    }
}
