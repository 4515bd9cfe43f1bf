//! Recording more payments than one request takes: the input cut into chunks, a few of them under
//! way at once, and one result a chunk in the order of the input.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::stream::{self, FuturesOrdered};
use layer_payments_types::{CreateInvoicePayment, ErrorDetail, InvoicePaymentBulkReply, Operation};

use crate::client::Client;
use crate::error::Error;
use crate::outgoing::{Outgoing, Unchecked};
use crate::reply::Reply;

/// The most payments that a chunk of [`Client::bulk_all`] holds unless [`BulkAll::max_payments`]
/// says otherwise.
///
/// Layer documents no limit for payments, but one of 25 for its bulk operation of invoices.
/// What is refused is refused a whole chunk at a time, too. Where the server is known to take more,
/// as this project's does, larger chunks save round trips.
pub const DEFAULT_CHUNK_PAYMENTS: usize = 25;

/// The most bytes of JSON that a chunk of [`Client::bulk_all`] has unless [`BulkAll::max_bytes`]
/// says otherwise: 1 MiB.
///
/// Layer documents no limit. Some proxies refuse longer bodies unless they are told otherwise;
/// this project's server takes 10 MiB.
pub const DEFAULT_CHUNK_BYTES: usize = 1024 * 1024;

/// How many chunks of [`Client::bulk_all`] are under way at once unless [`BulkAll::concurrency`]
/// says otherwise.
pub const DEFAULT_CONCURRENCY: usize = 4;

const OPERATION: Operation = Operation::BulkCreateInvoicePayments;

impl Client {
    /// Begins to record a stream of payments of any length, in chunks that are each one
    /// [`Client::bulk`]: set limits, then [`stream`](BulkAll::stream) for the results.
    /// [`Client::bulk_all_iter`] takes an iterator.
    ///
    /// Each payment is one that was checked, or [`Unchecked`]; owned ones aren't copied on their
    /// way into a chunk.
    ///
    /// ```no_run
    /// # use layer_payments_client::types::CreateInvoicePayment;
    /// # async fn example(
    /// #     client: layer_payments_client::Client,
    /// #     payments: impl futures_core::Stream<Item = CreateInvoicePayment>,
    /// # ) {
    /// use futures_util::StreamExt;
    /// use layer_payments_client::Unchecked;
    ///
    /// let mut chunks = client
    ///     .bulk_all(payments.map(Unchecked))
    ///     .concurrency(8)
    ///     .stream();
    /// let mut again = Vec::new();
    /// while let Some(chunk) = chunks.next().await {
    ///     match chunk {
    ///         Ok(chunk) => println!("recorded {:?}", chunk.range()),
    ///         Err(failed) => {
    ///             println!("{failed}");
    ///             for fault in failed.error().errors() {
    ///                 println!("{:?}: {}", failed.index_of(fault), fault.description);
    ///             }
    ///             again.extend(failed.into_parts().1);
    ///         }
    ///     }
    /// }
    /// # }
    /// ```
    pub fn bulk_all<S>(&self, payments: S) -> BulkAll<S>
    where
        S: Stream,
        S::Item: Outgoing<CreateInvoicePayment>,
    {
        BulkAll {
            client: self.clone(),
            payments,
            limits: Limits {
                payments: DEFAULT_CHUNK_PAYMENTS,
                bytes: DEFAULT_CHUNK_BYTES,
                concurrency: DEFAULT_CONCURRENCY,
            },
        }
    }

    /// [`Client::bulk_all`] of an iterator. It's only asked for the next payment when there is room
    /// for it, so it may be longer than the memory; it shouldn't block.
    ///
    /// ```no_run
    /// # #[cfg(feature = "validation")]
    /// # async fn example(
    /// #     client: layer_payments_client::Client,
    /// #     payments: Vec<layer_payments_client::types::CreateInvoicePayment>,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::SystemTime;
    ///
    /// use layer_payments_client::validation::{Context, Validated};
    ///
    /// let context = Context::at(SystemTime::now().try_into()?);
    /// let checked: Vec<_> = payments
    ///     .into_iter()
    ///     .map(|payment| Validated::create(payment, &context))
    ///     .collect::<Result<_, _>>()?;
    /// let mut chunks = client.bulk_all_iter(checked).stream();
    /// while let Some(chunk) = chunks.next().await {
    ///     println!("recorded {:?}", chunk?.range());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn bulk_all_iter<I>(&self, payments: I) -> BulkAll<impl Stream<Item = I::Item> + use<I>>
    where
        I: IntoIterator,
        I::Item: Outgoing<CreateInvoicePayment>,
    {
        self.bulk_all(stream::iter(payments))
    }
}

/// Many payments to record in chunks, made by [`Client::bulk_all`].
#[must_use = "nothing is recorded until `stream` is called and its results are taken"]
pub struct BulkAll<S> {
    client: Client,
    payments: S,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    payments: usize,
    bytes: usize,
    concurrency: usize,
}

impl<S> BulkAll<S> {
    /// The most payments that a chunk holds, at least 1; [`DEFAULT_CHUNK_PAYMENTS`] unless set.
    pub fn max_payments(mut self, payments: usize) -> BulkAll<S> {
        self.limits.payments = payments;
        self
    }

    /// The most bytes that a chunk's body has, the JSON as it's sent, at least 1;
    /// [`DEFAULT_CHUNK_BYTES`] unless set. A payment that is longer goes alone, since only the
    /// server knows what it takes.
    pub fn max_bytes(mut self, bytes: usize) -> BulkAll<S> {
        self.limits.bytes = bytes;
        self
    }

    /// The most chunks that are under way at once, at least 1; [`DEFAULT_CONCURRENCY`] unless set.
    pub fn concurrency(mut self, chunks: usize) -> BulkAll<S> {
        self.limits.concurrency = chunks;
        self
    }

    /// Gives the results, one a chunk, in the order of the input. A limit of 0 is reported as the
    /// only item.
    ///
    /// See [`BulkStream`] for what happens when.
    pub fn stream(self) -> BulkStream<S> {
        BulkStream {
            client: self.client,
            limits: self.limits,
            input: Some(Box::pin(self.payments)),
            filling: Filling::default(),
            held: None,
            in_flight: FuturesOrdered::new(),
            ids_in_flight: HashSet::new(),
        }
    }
}

impl<S> fmt::Debug for BulkAll<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkAll")
            .field("client", &self.client)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The results of [`Client::bulk_all`], made by [`BulkAll::stream`].
///
/// It's a [`Stream`] of `Result<BulkChunk, BulkChunkError>`; [`next`](BulkStream::next) takes from
/// it without any further crate.
///
/// - **It's moved by whoever takes from it**, and spawns nothing. While nobody waits for a result,
///   nothing is sent and replies aren't read, although the time limits of the calls run on: don't
///   pause for long between two results.
/// - **A failed chunk doesn't end it.** The error gives the chunk's payments back, and the others go
///   on. To stop at the first failure, drop the stream.
/// - **A chunk leaves when it's full or the input ends.** An input that pauses keeps a chunk that
///   isn't full waiting, but not those under way.
/// - **Memory is bounded.** At most as many chunks as [`BulkAll::concurrency`] says are sent and not
///   given out yet; beside them one more chunk and one payment are taken from the input.
/// - **The same external id twice** is recorded in the order of the input, so that the last values
///   stay. Layer refuses a request that holds an id twice, and of two requests at once the later
///   could come first. So a payment whose id is in the chunk before it closes that chunk, and a
///   chunk waits while one of its ids is in a chunk that is under way.
///
/// # When a chunk fails, and when the stream is dropped
///
/// All payments of a chunk are recorded or none. Where
/// [`is_outcome_unknown`](Error::is_outcome_unknown) says so it can be either, and so it is with
/// the chunks that were under way when the stream was dropped, which are among those after the last
/// result. Payments with an external id can be sent again all the same: then it's an upsert and
/// finds what is there. Those without one are recorded a second time.
///
/// Of several payments with the same external id only the last should be sent again: an earlier
/// one would bring the earlier values back. A chunk whose reply was lost may do so even by itself,
/// where the server is still at it when the next one arrives.
pub struct BulkStream<S> {
    client: Client,
    limits: Limits,
    /// `None` once it has ended, since a stream mustn't be asked again then.
    input: Option<Pin<Box<S>>>,
    filling: Filling,
    /// The payment that didn't fit into the chunk being filled. It begins the next one.
    held: Option<Item>,
    in_flight: FuturesOrdered<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    /// The external ids of all payments in flight, each in one chunk only.
    ids_in_flight: HashSet<String>,
}

/// A payment on its way into a chunk.
struct Item {
    payment: CreateInvoicePayment,
    /// How long its JSON is, with the comma or bracket behind it.
    bytes: usize,
}

/// The chunk that is being filled.
#[derive(Default)]
struct Filling {
    /// The index of its first payment in the input.
    first: usize,
    payments: Vec<CreateInvoicePayment>,
    /// The bytes of all of them.
    bytes: usize,
    ids: HashSet<String>,
}

/// What became of a chunk.
struct Answer {
    first: usize,
    payments: Vec<CreateInvoicePayment>,
    result: Result<Reply<InvoicePaymentBulkReply>, Error>,
}

impl Filling {
    /// How long the body is: an opening bracket stands before the payments.
    fn body_bytes(&self) -> usize {
        1 + self.bytes
    }

    fn takes(&self, item: &Item, limits: &Limits) -> bool {
        let repeats = |id: &String| self.ids.contains(id);
        self.payments.is_empty()
            || self.body_bytes() + item.bytes <= limits.bytes
                && !item.payment.external_id.as_ref().is_some_and(repeats)
    }

    fn push(&mut self, item: Item) {
        self.bytes += item.bytes;
        self.ids.extend(item.payment.external_id.clone());
        self.payments.push(item.payment);
    }

    /// Whether it takes nothing more. A chunk without payments is never full, whatever the limits.
    fn is_full(&self, limits: &Limits) -> bool {
        !self.payments.is_empty()
            && (self.payments.len() >= limits.payments || self.body_bytes() >= limits.bytes)
    }
}

impl Limits {
    fn check(&self) -> Result<(), Error> {
        let limits = [
            ("max_payments", self.payments),
            ("max_bytes", self.bytes),
            ("concurrency", self.concurrency),
        ];
        match limits.into_iter().find(|(_, limit)| *limit == 0) {
            Some((name, _)) => Err(Error::argument(
                OPERATION,
                format!("{name}: is 0, so that nothing could be sent; give at least 1"),
            )),
            None => Ok(()),
        }
    }
}

impl<S> BulkStream<S>
where
    S: Stream,
    S::Item: Outgoing<CreateInvoicePayment>,
{
    /// The next chunk's result, or `None` after the last one.
    pub async fn next(&mut self) -> Option<Result<BulkChunk, BulkChunkError>> {
        std::future::poll_fn(|context| self.poll_chunk(context)).await
    }

    fn poll_chunk(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BulkChunk, BulkChunkError>>> {
        if self.input.is_some()
            && let Err(error) = self.limits.check()
        {
            self.input = None;
            return Poll::Ready(Some(Err(BulkChunkError {
                first: 0,
                payments: Vec::new(),
                error,
            })));
        }
        loop {
            // A call begins when it's polled, so each chunk is on its way before the next is filled.
            let launched = self.launch(context);
            match Pin::new(&mut self.in_flight).poll_next(context) {
                Poll::Ready(Some(answer)) => return Poll::Ready(Some(self.settle(answer))),
                Poll::Ready(None) if self.is_done() => return Poll::Ready(None),
                Poll::Ready(None) | Poll::Pending if launched => {}
                // With nothing in flight it's the input that is waited for: a chunk that is ready
                // has nothing to wait for then.
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Fills a chunk and sends it. False where the input or a chunk in flight has to be waited for,
    /// and at the end.
    fn launch(&mut self, context: &mut Context<'_>) -> bool {
        loop {
            if self.held.is_some()
                || self.filling.is_full(&self.limits)
                || (self.input.is_none() && !self.filling.payments.is_empty())
            {
                let may_go = self.in_flight.len() < self.limits.concurrency
                    && self.filling.ids.is_disjoint(&self.ids_in_flight);
                if may_go {
                    self.send();
                }
                return may_go;
            }
            let Some(input) = &mut self.input else {
                return false;
            };
            match input.as_mut().poll_next(context) {
                Poll::Pending => return false,
                Poll::Ready(None) => self.input = None,
                Poll::Ready(Some(payment)) => {
                    let payment = payment.into_request();
                    let bytes = json_bytes(&payment) + 1;
                    let item = Item { payment, bytes };
                    if self.filling.takes(&item, &self.limits) {
                        self.filling.push(item);
                    } else {
                        self.held = Some(item);
                    }
                }
            }
        }
    }

    /// Sends the chunk being filled, and begins the next.
    fn send(&mut self) {
        let mut next = Filling {
            first: self.filling.first + self.filling.payments.len(),
            ..Filling::default()
        };
        if let Some(item) = self.held.take() {
            next.push(item);
        }
        let Filling {
            first,
            payments,
            ids,
            ..
        } = std::mem::replace(&mut self.filling, next);
        self.ids_in_flight.extend(ids);
        let client = self.client.clone();
        self.in_flight.push_back(Box::pin(async move {
            let result = client.bulk(Unchecked(&payments)).await;
            Answer {
                first,
                payments,
                result,
            }
        }));
    }

    /// Takes a chunk out of those in flight.
    fn settle(&mut self, answer: Answer) -> Result<BulkChunk, BulkChunkError> {
        let Answer {
            first,
            payments,
            result,
        } = answer;
        for payment in &payments {
            if let Some(id) = &payment.external_id {
                self.ids_in_flight.remove(id);
            }
        }
        match result {
            Ok(reply) => Ok(BulkChunk {
                range: first..first + payments.len(),
                reply,
            }),
            Err(error) => Err(BulkChunkError {
                first,
                payments,
                error,
            }),
        }
    }

    /// Whether there is nothing left to send; what's in flight isn't looked at.
    fn is_done(&self) -> bool {
        self.input.is_none() && self.filling.payments.is_empty()
    }
}

impl<S> Stream for BulkStream<S>
where
    S: Stream,
    S::Item: Outgoing<CreateInvoicePayment>,
{
    type Item = Result<BulkChunk, BulkChunkError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_chunk(context)
    }
}

impl<S> fmt::Debug for BulkStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkStream")
            .field("client", &self.client)
            .field("limits", &self.limits)
            .field("in_flight", &self.in_flight.len())
            .finish_non_exhaustive()
    }
}

/// How long a payment's JSON is, as it's sent.
fn json_bytes(payment: &CreateInvoicePayment) -> usize {
    struct Count(usize);

    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    // What can't be written is reported by the call that sends it.
    let _ = serde_json::to_writer(&mut count, payment);
    count.0
}

/// A chunk of [`Client::bulk_all`] that was recorded.
#[derive(Clone, Debug)]
pub struct BulkChunk {
    range: Range<usize>,
    reply: Reply<InvoicePaymentBulkReply>,
}

impl BulkChunk {
    /// Which payments of the input they are, counted from 0.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// What the API answered; it lists the payments in the order of the input.
    pub fn reply(&self) -> &Reply<InvoicePaymentBulkReply> {
        &self.reply
    }

    /// What the API answered, to keep.
    pub fn into_reply(self) -> Reply<InvoicePaymentBulkReply> {
        self.reply
    }
}

/// A chunk of [`Client::bulk_all`] that failed, with its payments; or a limit of [`BulkAll`] that
/// can't be, with none.
///
/// `Display` names the payments by their indices in the input and says what [`Error`] says.
/// `Debug` doesn't show the payments.
pub struct BulkChunkError {
    first: usize,
    payments: Vec<CreateInvoicePayment>,
    error: Error,
}

impl BulkChunkError {
    /// Which payments of the input they are, counted from 0.
    pub fn range(&self) -> Range<usize> {
        self.first..self.first + self.payments.len()
    }

    /// Why the chunk failed. The pointers of its [`errors`](Error::errors) count from the chunk's
    /// first payment; [`index_of`](BulkChunkError::index_of) counts from the input's.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The index in the input of the payment that one of Layer's faults points to. `None` for a
    /// fault that points to none of the chunk's payments; Layer doesn't document pointers, but this
    /// project's server gives them.
    pub fn index_of(&self, fault: &ErrorDetail) -> Option<usize> {
        let pointer = fault.meta.as_option()?.pointer.as_option()?;
        let index = pointer.strip_prefix('/')?.split('/').next()?;
        // `parse` alone would read a sign, too.
        if !index.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let index: usize = index.parse().ok()?;
        (index < self.payments.len()).then(|| self.first + index)
    }

    /// The chunk's payments, in the order of the input.
    pub fn payments(&self) -> &[CreateInvoicePayment] {
        &self.payments
    }

    /// Why the chunk failed, and its payments to keep.
    pub fn into_parts(self) -> (Error, Vec<CreateInvoicePayment>) {
        (self.error, self.payments)
    }
}

impl fmt::Display for BulkChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.payments.is_empty() {
            write!(f, "payments {:?} of the input: ", self.range())?;
        }
        write!(f, "{}", self.error)
    }
}

impl fmt::Debug for BulkChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkChunkError")
            .field("range", &self.range())
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl StdError for BulkChunkError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // The error itself is in the line already.
        self.error.source()
    }
}
