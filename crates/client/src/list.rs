//! Listing payments: the filters, one page, the streams of all pages and all payments, and how to
//! go on where a stream stopped.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use jiff::Timestamp;
use layer_payments_types::{
    InvoicePayment, InvoicePaymentListReply, Operation, PaymentMethod, SortKey, SortOrder,
};
use uuid::Uuid;

use crate::client::Client;
use crate::error::Error;
use crate::reply::Reply;

/// A list of payments to ask for, made by [`Client::list`].
///
/// Filters combine with AND; one that isn't set doesn't filter. What can't be asked for is reported
/// by [`send`](ListPayments::send), or as the stream's first item.
#[derive(Clone, Debug)]
#[must_use = "a list does nothing until `send`, `stream` or `pages` is called"]
pub struct ListPayments {
    client: Client,
    query: Query,
    /// The payments that [`ListPayments::resume`] says were taken before.
    taken_before: BTreeSet<Uuid>,
    /// The first value that can't be sent.
    fault: Option<String>,
}

/// The query parameters of one page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pub(crate) method: Option<PaymentMethod>,
    pub(crate) paid_at_start: Option<Timestamp>,
    pub(crate) paid_at_end: Option<Timestamp>,
    pub(crate) external_id: Option<String>,
    pub(crate) reference_numbers: Option<String>,
    pub(crate) included_in_payout: Option<bool>,
    pub(crate) is_matched: Option<bool>,
    pub(crate) sort_by: Option<SortKey>,
    pub(crate) sort_order: Option<SortOrder>,
    pub(crate) cursor: Option<String>,
    pub(crate) limit: Option<i64>,
    pub(crate) show_total_count: Option<bool>,
}

impl ListPayments {
    pub(crate) fn new(client: Client) -> ListPayments {
        ListPayments {
            client,
            query: Query::default(),
            taken_before: BTreeSet::new(),
            fault: None,
        }
    }

    /// Only payments made by this method.
    pub fn method(mut self, method: PaymentMethod) -> ListPayments {
        self.query.method = Some(method);
        self
    }

    /// Only payments made at this time or later.
    pub fn paid_at_start(mut self, time: Timestamp) -> ListPayments {
        self.query.paid_at_start = Some(time);
        self
    }

    /// Only payments made at this time or earlier.
    pub fn paid_at_end(mut self, time: Timestamp) -> ListPayments {
        self.query.paid_at_end = Some(time);
        self
    }

    /// Only the payment that has this external id: the list holds one payment or none.
    pub fn external_id(mut self, id: impl Into<String>) -> ListPayments {
        self.query.external_id = Some(id.into());
        self
    }

    /// Only payments that have one of these reference numbers.
    ///
    /// The API takes them in one text, separated by commas, so a reference number that holds a
    /// comma can't be asked for. Neither can an empty one, nor one of none at all: where there are
    /// none, don't set the filter.
    pub fn reference_numbers<I>(mut self, numbers: I) -> ListPayments
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut joined = String::new();
        let mut count = 0_usize;
        for number in numbers {
            let number = number.as_ref();
            let fault = if number.is_empty() {
                "is empty"
            } else if number.contains(',') {
                "holds a comma, which the API takes for a separator"
            } else {
                ""
            };
            if !fault.is_empty() {
                self.note(format!(
                    "reference_numbers: number {} ({number:?}) {fault}; leave it out",
                    count + 1
                ));
            }
            if count > 0 {
                joined.push(',');
            }
            joined.push_str(number);
            count += 1;
        }
        if count == 0 {
            self.note(
                "reference_numbers: there are none, which no payment could match; \
                 don't set the filter"
                    .to_owned(),
            );
        }
        self.query.reference_numbers = Some(joined);
        self
    }

    /// True: only payments that are part of a payout. False: only those that are in none.
    pub fn included_in_payout(mut self, included: bool) -> ListPayments {
        self.query.included_in_payout = Some(included);
        self
    }

    /// True: only payments matched with a bank transaction, directly or through their payout.
    /// False: only the others.
    pub fn is_matched(mut self, matched: bool) -> ListPayments {
        self.query.is_matched = Some(matched);
        self
    }

    /// What orders the list; the time of payment unless set.
    pub fn sort_by(mut self, key: SortKey) -> ListPayments {
        self.query.sort_by = Some(key);
        self
    }

    /// Whether the list ascends or descends; it ascends unless set.
    pub fn sort_order(mut self, order: SortOrder) -> ListPayments {
        self.query.sort_order = Some(order);
        self
    }

    /// Begins where this cursor points: the `meta.pagination.cursor` of an earlier page, with the
    /// same filters and order. Of this and [`ListPayments::resume`] the last call counts.
    pub fn cursor(self, cursor: impl Into<String>) -> ListPayments {
        self.resume(ListPosition {
            cursor: Some(cursor.into()),
            taken: Vec::new(),
        })
    }

    /// Goes on where an earlier stream stood, by its [`position`](PaymentStream::position), with
    /// the same filters and order: [`stream`](ListPayments::stream) asks for that page again and
    /// leaves out what was taken. A single page and [`pages`](ListPayments::pages) begin with the
    /// whole of that page.
    ///
    /// Nothing that was taken of the page is given twice, and everything that was there and wasn't
    /// taken is given, even if the page's size is another now or payments were recorded in between:
    /// payments are told apart by their ids. New ones are given where they sort behind the page's
    /// cursor. A payment that was changed so that it sorts before the cursor is missed, and one
    /// from an earlier page that now sorts behind it comes again, as in any list that is read page
    /// by page.
    ///
    /// This takes a cursor for a place in the order, as this project's server does, and not for a
    /// count of payments to pass over. Layer says nothing about it, nor how long a cursor is good.
    ///
    /// ```no_run
    /// # use layer_payments_client::Error;
    /// # async fn example(client: layer_payments_client::Client) -> Result<(), Error> {
    /// use layer_payments_client::ListPosition;
    ///
    /// // Kept by the program, in a file or a database, so that it outlives a crash.
    /// let mut position = ListPosition::default();
    /// let mut payments = client.list().resume(position.clone()).stream();
    /// let error = loop {
    ///     match payments.next().await {
    ///         None => return Ok(()),
    ///         Some(Err(error)) => break error,
    ///         Some(Ok(payment)) => println!("{} {} cents", payment.id, payment.amount),
    ///     }
    ///     position = payments.position();
    /// };
    ///
    /// println!("{error}; going on");
    /// let mut payments = client.list().resume(position).stream();
    /// while let Some(payment) = payments.next().await {
    ///     println!("{}", payment?.id);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn resume(mut self, position: ListPosition) -> ListPayments {
        self.query.cursor = position.cursor;
        self.taken_before = position.taken.into_iter().collect();
        self
    }

    /// The most payments that a page may hold, from 1 to 1,000; the server takes 100 unless set. A
    /// stream gives all payments whatever this is; it only decides in how many requests.
    pub fn limit(mut self, limit: u32) -> ListPayments {
        if limit == 0 {
            self.note(
                "limit: is 0, so that no page could hold anything; give at least 1".to_owned(),
            );
        }
        self.query.limit = Some(i64::from(limit));
        self
    }

    /// Whether to ask for `meta.pagination.total_count`, which costs the server a count of all
    /// payments that pass.
    pub fn show_total_count(mut self, show: bool) -> ListPayments {
        self.query.show_total_count = Some(show);
        self
    }

    /// Asks for one page.
    ///
    /// # Errors
    /// Where a value can't be sent, and whatever [`Error`] lists.
    pub async fn send(self) -> Result<Reply<InvoicePaymentListReply>, Error> {
        self.check()?;
        self.client.list_page(&self.query).await
    }

    /// Asks for all pages, one after the other as the payments are taken, and gives the payments in
    /// order.
    ///
    /// The stream ends after its first error. It can't run for ever on a server that loses its way:
    /// a page that says that more follow but gives no cursor, or a cursor that was there before, is
    /// an error after that page's payments.
    pub fn stream(mut self) -> PaymentStream {
        let skip = std::mem::take(&mut self.taken_before);
        PaymentStream {
            cursor: self.query.cursor.clone(),
            pages: self.pages(),
            page: Vec::new().into_iter(),
            taken: Vec::new(),
            skip,
        }
    }

    /// Asks for all pages, one after the other as they are taken, for whoever needs their headers
    /// or their `meta`. Ends as [`ListPayments::stream`] does.
    pub fn pages(self) -> PageStream {
        let asked = self.query.cursor.iter().cloned().collect();
        PageStream {
            list: ListPayments {
                taken_before: BTreeSet::new(),
                ..self
            },
            next: Next::Page,
            asked,
            call: None,
        }
    }

    fn check(&self) -> Result<(), Error> {
        match &self.fault {
            Some(fault) => Err(Error::argument(OPERATION, fault.clone())),
            None => Ok(()),
        }
    }

    fn note(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }
}

const OPERATION: Operation = Operation::ListInvoicePayments;

/// A place in a list, to go on from by [`ListPayments::resume`]. The default is the list's begin.
///
/// Its parts are public so that a program can keep them as it likes. Between two pages it's a
/// cursor alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPosition {
    /// The cursor of the page; `None` for the first one.
    pub cursor: Option<String>,
    /// The ids of the payments of that page that were taken: at most as many as a page holds.
    pub taken: Vec<Uuid>,
}

/// All payments of a list, page after page; made by [`ListPayments::stream`].
///
/// It's a [`Stream`] of `Result<InvoicePayment, Error>`; [`next`](PaymentStream::next) takes from
/// it without any further crate. Nothing is asked for before the first payment is taken, and no
/// page before the one before it is used up.
pub struct PaymentStream {
    pages: PageStream,
    /// What is left of the page that was read last.
    page: std::vec::IntoIter<InvoicePayment>,
    /// The cursor of that page.
    cursor: Option<String>,
    /// The payments of that page that were taken, now or before.
    taken: Vec<Uuid>,
    /// What was taken before and hasn't come again yet. It may come on a later page, where new
    /// payments have taken its place.
    skip: BTreeSet<Uuid>,
}

impl PaymentStream {
    /// The next payment, or `None` after the last one and after an error.
    pub async fn next(&mut self) -> Option<Result<InvoicePayment, Error>> {
        std::future::poll_fn(|context| self.poll_payment(context)).await
    }

    /// Where the stream stands: behind the payment that was taken last. It's as good after an error
    /// as before, so that it has to be asked for at each payment only where it must outlive a
    /// crash.
    ///
    /// After the last payment it's the end of the last page, so that a list resumed there gives
    /// what has been added behind it since.
    pub fn position(&self) -> ListPosition {
        let (cursor, taken) = if self.page.as_slice().is_empty() && self.pages.has_next() {
            (&self.pages.list.query.cursor, &[][..])
        } else {
            (&self.cursor, &self.taken[..])
        };
        ListPosition {
            cursor: cursor.clone(),
            taken: taken.iter().chain(&self.skip).copied().collect(),
        }
    }

    fn poll_payment(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<InvoicePayment, Error>>> {
        loop {
            for payment in self.page.by_ref() {
                self.taken.push(payment.id);
                if !self.skip.remove(&payment.id) {
                    return Poll::Ready(Some(Ok(payment)));
                }
            }
            // Once the page is there, the query is that of the page behind it.
            let cursor = self.pages.list.query.cursor.clone();
            match ready!(self.pages.poll_page(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(page)) => {
                    self.cursor = cursor;
                    self.taken.clear();
                    self.page = page.into_inner().data.into_iter();
                }
            }
        }
    }
}

impl Stream for PaymentStream {
    type Item = Result<InvoicePayment, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_payment(context)
    }
}

impl fmt::Debug for PaymentStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaymentStream").finish_non_exhaustive()
    }
}

/// All pages of a list; made by [`ListPayments::pages`].
///
/// It's a [`Stream`] of `Result<Reply<InvoicePaymentListReply>, Error>`;
/// [`next`](PageStream::next) takes from it without any further crate. No page is asked for before
/// it's taken.
pub struct PageStream {
    /// Its query asks for the next page.
    list: ListPayments,
    next: Next,
    /// Every cursor that was asked for, since a server could also go round in a longer circle than
    /// one page.
    asked: HashSet<String>,
    /// The call under way.
    call: Option<PageCall>,
}

type Page = Reply<InvoicePaymentListReply>;
type PageCall = Pin<Box<dyn Future<Output = Result<Page, Error>> + Send>>;

/// What comes after the page that was read last.
enum Next {
    /// The page that the list's query asks for.
    Page,
    /// The same page, but asking for it has failed, and that ends the stream.
    Failed,
    Fault(String),
    End,
}

impl PageStream {
    /// The next page, or `None` after the last one and after an error.
    pub async fn next(&mut self) -> Option<Result<Reply<InvoicePaymentListReply>, Error>> {
        std::future::poll_fn(|context| self.poll_page(context)).await
    }

    /// Whether there is a page that the list's query asks for.
    fn has_next(&self) -> bool {
        matches!(self.next, Next::Page | Next::Failed)
    }

    fn poll_page(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Page, Error>>> {
        match &self.next {
            Next::End | Next::Failed => return Poll::Ready(None),
            Next::Fault(fault) => {
                let error = Error::paging(OPERATION, fault.clone());
                self.next = Next::End;
                return Poll::Ready(Some(Err(error)));
            }
            Next::Page => {}
        }
        let list = &self.list;
        let call = self.call.get_or_insert_with(|| {
            let list = list.clone();
            Box::pin(list.send())
        });
        let result = ready!(call.as_mut().poll(context));
        self.call = None;
        self.next = match &result {
            Ok(page) => self.after(page),
            Err(_) => Next::Failed,
        };
        Poll::Ready(Some(result))
    }

    /// Decides what follows a page, and makes the query ask for it.
    fn after(&mut self, page: &InvoicePaymentListReply) -> Next {
        let pagination = page
            .meta
            .as_option()
            .and_then(|meta| meta.pagination.as_option());
        // A page without pagination is a whole list: older generations of the API answer with all
        // payments at once.
        let Some(pagination) = pagination.filter(|pagination| pagination.has_more) else {
            return Next::End;
        };
        match pagination
            .cursor
            .as_option()
            .filter(|cursor| !cursor.is_empty())
        {
            None => Next::Fault(
                "the page says that more follow, but gives no cursor; the list is incomplete"
                    .to_owned(),
            ),
            Some(cursor) if !self.asked.insert(cursor.clone()) => Next::Fault(format!(
                "the page gives the cursor {cursor:?}, which was asked for before; \
                 the list would never end"
            )),
            Some(cursor) => {
                self.list.query.cursor = Some(cursor.clone());
                Next::Page
            }
        }
    }
}

impl Stream for PageStream {
    type Item = Result<Reply<InvoicePaymentListReply>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_page(context)
    }
}

impl fmt::Debug for PageStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageStream").finish_non_exhaustive()
    }
}
