//! Listing payments: the filters, one page, and the stream of all pages.

use std::collections::HashSet;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::stream;
use jiff::Timestamp;
use layer_payments_types::{
    InvoicePayment, InvoicePaymentListReply, Operation, PaymentMethod, SortKey, SortOrder,
};

use crate::client::Client;
use crate::error::Error;
use crate::reply::Reply;

/// A list of payments to ask for, made by [`Client::list`].
///
/// Filters combine with AND; one that isn't set doesn't filter. What can't be asked for is reported
/// by [`send`](ListPayments::send), or as the stream's first item.
#[derive(Clone, Debug)]
#[must_use = "a list does nothing until `send` or `stream` is called"]
pub struct ListPayments {
    client: Client,
    query: Query,
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
    /// same filters and order.
    pub fn cursor(mut self, cursor: impl Into<String>) -> ListPayments {
        self.query.cursor = Some(cursor.into());
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
    pub fn stream(self) -> PaymentStream {
        PaymentStream {
            payments: Box::pin(stream::try_unfold(Pages::new(self), Pages::next_payment)),
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

/// All payments of a list, page after page; made by [`ListPayments::stream`].
///
/// It's a [`Stream`] of `Result<InvoicePayment, Error>`; [`next`](PaymentStream::next) takes from
/// it without any further crate. Nothing is asked for before the first payment is taken, and no
/// page before the one before it is used up.
pub struct PaymentStream {
    payments: Pin<Box<dyn Stream<Item = Result<InvoicePayment, Error>> + Send>>,
}

impl PaymentStream {
    /// The next payment, or `None` after the last one and after an error.
    pub async fn next(&mut self) -> Option<Result<InvoicePayment, Error>> {
        std::future::poll_fn(|context| self.payments.as_mut().poll_next(context)).await
    }
}

impl Stream for PaymentStream {
    type Item = Result<InvoicePayment, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.payments.as_mut().poll_next(context)
    }
}

impl fmt::Debug for PaymentStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaymentStream").finish_non_exhaustive()
    }
}

/// Where a stream stands.
struct Pages {
    list: ListPayments,
    /// What is left of the page that was read last.
    page: std::vec::IntoIter<InvoicePayment>,
    next: Next,
    /// Every cursor that was asked for, since a server could also go round in a longer circle than
    /// one page.
    asked: HashSet<String>,
}

/// What comes after the page in hand.
enum Next {
    /// The page that the list's query asks for.
    Page,
    End,
    Fault(String),
}

impl Pages {
    fn new(list: ListPayments) -> Pages {
        let asked = list.query.cursor.iter().cloned().collect();
        Pages {
            list,
            page: Vec::new().into_iter(),
            next: Next::Page,
            asked,
        }
    }

    async fn next_payment(mut self) -> Result<Option<(InvoicePayment, Pages)>, Error> {
        loop {
            if let Some(payment) = self.page.next() {
                return Ok(Some((payment, self)));
            }
            match std::mem::replace(&mut self.next, Next::End) {
                Next::End => return Ok(None),
                Next::Fault(fault) => return Err(Error::paging(OPERATION, fault)),
                Next::Page => {
                    self.list.check()?;
                    let reply = self
                        .list
                        .client
                        .list_page(&self.list.query)
                        .await?
                        .into_inner();
                    self.next = self.after(&reply);
                    self.page = reply.data.into_iter();
                }
            }
        }
    }

    /// Decides what follows a page, and makes the query ask for it.
    fn after(&mut self, reply: &InvoicePaymentListReply) -> Next {
        let pagination = reply
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
