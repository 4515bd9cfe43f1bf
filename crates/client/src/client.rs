//! The client and its replies: one method an operation.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, slice};

use layer_payments_types::{
    CreateInvoicePayment, InvoicePaymentBulkReply, InvoicePaymentListReply, InvoicePaymentReply,
    Operation, UpdateInvoicePayment,
};
use reqwest::header::HeaderValue;
use uuid::Uuid;

use crate::auth::Tokens;
use crate::builder::Builder;
use crate::call::Call;
use crate::error::Error;
use crate::list::{ListPayments, Query};
use crate::observe::Watch;
use crate::outgoing::Outgoing;
use crate::pace::RateLimiter;
use crate::reply::Reply;
use crate::retry::{Budget, RetryPolicy};

/// A client of one business's invoice payments.
///
/// Cloning is cheap, and clones share connections, token, rate limit and retry budget: make one
/// client and clone it. Every call ends within the client's timeout and follows no redirect; what is
/// sent again, and when, is told by [`RetryPolicy`].
///
/// Calls are made on a Tokio runtime with time and network enabled; on any other thread they panic.
/// Each call in flight takes a connection of its own, so a program with thousands of payments bounds
/// how many are: [`Client::bulk_all`] does, and so does a semaphore.
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
    pub(crate) tokens: Tokens,
    pub(crate) user_agent: HeaderValue,
    /// Of a whole call, and of one attempt.
    pub(crate) timeout: Duration,
    pub(crate) attempt_timeout: Duration,
    /// None where it's the matter of an HTTP client that the caller made.
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) retry: RetryPolicy,
    pub(crate) budget: Budget,
    pub(crate) limiter: RateLimiter,
    pub(crate) watch: Watch,
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

    /// A client with the settings that [`Builder::from_env`] reads from environment variables. For
    /// further settings begin there.
    ///
    /// # Errors
    /// Where a variable isn't set or can't be right; the error names it.
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

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
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
        let (business_id, payment) = (&self.business_id, payment.request());
        let call = Call::of_payments(Operation::RecordInvoicePayment, slice::from_ref(payment));
        self.run(
            call,
            |reply: &InvoicePaymentReply| &reply.extra,
            |api| async move { api.record_invoice_payment(business_id, payment).await },
        )
        .await
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
        let business_id = &self.business_id;
        self.run(
            Call::of_payments(operation, payments),
            |reply: &InvoicePaymentBulkReply| &reply.extra,
            |api| async move {
                api.bulk_create_invoice_payments(business_id, payments)
                    .await
            },
        )
        .await
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
        let (business_id, changes) = (&self.business_id, changes.request());
        self.run(
            Call::of_update(payment_id),
            |reply: &InvoicePaymentReply| &reply.extra,
            |api| async move {
                api.update_invoice_payment(business_id, &payment_id, changes)
                    .await
            },
        )
        .await
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
        let business_id = &self.business_id;
        self.run(
            Call::of_list(),
            |reply: &InvoicePaymentListReply| &reply.extra,
            |api| async move {
                api.list_invoice_payments(
                    business_id,
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
                .await
            },
        )
        .await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = &*self.shared;
        f.debug_struct("Client")
            .field("base_url", &shared.base_url)
            .field("business_id", &self.business_id)
            .field("token", &shared.tokens)
            .field("timeout", &shared.timeout)
            .field("attempt_timeout", &shared.attempt_timeout)
            .field("connect_timeout", &shared.connect_timeout)
            .field("retry", &shared.retry)
            .field("rate_limiter", &shared.limiter)
            .finish()
    }
}
