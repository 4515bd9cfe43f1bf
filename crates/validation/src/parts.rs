//! The checks of a payment's parts: accounts, amounts, times, tags, metadata, allocations, refunds.

use jiff::Timestamp;
use layer_payments_types::{
    AccountIdentifier, AdditionalFeeInput, AllocationInput, DedicatedRefundInput,
    InvoiceAllocationInput, Metadata, RefundLineItemInput, RefundedPaymentFeeInput, TagKeyValue,
};
use uuid::Uuid;

use crate::message::quoted;
use crate::pointer::Pointer;
use crate::repeat::{Firsts, Key, repeats};
use crate::rule::Rule;
use crate::size::{METADATA_LIMIT, excess_len};
use crate::violation::Violation;

/// The first plausible time: 1970-01-01T00:00:00Z.
const EARLIEST: Timestamp = Timestamp::UNIX_EPOCH;
/// The first time that is implausible again: 2200-01-01T00:00:00Z.
const TOO_LATE: Timestamp = Timestamp::constant(7_258_118_400, 0);

/// Adds up cents. In 128 bits, which no list that fits into memory can overflow.
pub(crate) fn total(cents: impl IntoIterator<Item = i64>) -> i128 {
    cents.into_iter().map(i128::from).sum()
}

/// What an allocation takes of the payment, in cents.
pub(crate) fn allocated(allocation: &AllocationInput) -> i64 {
    match allocation {
        AllocationInput::LedgerAccount(ledger) => ledger.amount,
        AllocationInput::Invoice(invoice) => invoice.amount,
    }
}

/// What a refund gives back, in cents: its line items, or the single amount of the earlier documentation.
pub(crate) fn refunded(refund: &DedicatedRefundInput) -> i128 {
    match refund.line_items.as_deref() {
        Some(lines @ [_, ..]) => total(lines.iter().map(|line| line.amount)),
        _ => refund.refunded_amount.map_or(0, i128::from),
    }
}

/// Where the checks report what they find.
///
/// They are compiled twice: with [`Quiet`], which makes them a quick answer to whether there is anything, and with
/// [`Listing`], which writes down all of it. The rules themselves are there once.
pub(crate) trait Sink {
    /// Takes a violation. The pointer and the message are only made if somebody reads them.
    fn add(&mut self, rule: Rule, place: &Pointer<'_>, message: impl FnOnce() -> String);
}

/// Remembers only whether anything was found.
#[derive(Default)]
pub(crate) struct Quiet {
    pub(crate) found_any: bool,
}

impl Sink for Quiet {
    #[inline(always)]
    fn add(&mut self, _: Rule, _: &Pointer<'_>, _: impl FnOnce() -> String) {
        self.found_any = true;
    }
}

/// Writes down every violation, in the order in which the checks come to it.
pub(crate) struct Listing<'a>(pub(crate) &'a mut Vec<Violation>);

impl Sink for Listing<'_> {
    #[cold]
    #[inline(never)]
    fn add(&mut self, rule: Rule, place: &Pointer<'_>, message: impl FnOnce() -> String) {
        self.0.push(Violation {
            rule,
            pointer: place.render(),
            message: message(),
        });
    }
}

/// The checks of the parts. They go through an object before its properties, and through these in the order of the
/// spec.
pub(crate) struct Checker<S> {
    pub(crate) sink: S,
    pub(crate) now: Timestamp,
}

impl<S: Sink> Checker<S> {
    #[inline(always)]
    pub(crate) fn add(
        &mut self,
        rule: Rule,
        place: &Pointer<'_>,
        message: impl FnOnce() -> String,
    ) {
        self.sink.add(rule, place, message);
    }

    /// Cents that must not be negative.
    #[inline(always)]
    pub(crate) fn cents(&mut self, place: &Pointer<'_>, cents: i64) {
        if cents < 0 {
            self.add(Rule::AmountNegative, place, || {
                format!("The value is {cents} cents; it must be 0 or more.")
            });
        }
    }

    #[inline(always)]
    fn optional_cents(&mut self, place: &Pointer<'_>, cents: Option<i64>) {
        if let Some(cents) = cents {
            self.cents(place, cents);
        }
    }

    /// Says whether the time is plausible at all.
    #[inline(always)]
    pub(crate) fn time(&mut self, place: &Pointer<'_>, time: Timestamp) -> bool {
        if time < EARLIEST {
            self.add(Rule::DateImplausible, place, || {
                format!(
                    "The time {time} lies before {EARLIEST}, when no such payment was made; give the right year."
                )
            });
            return false;
        }
        if time >= TOO_LATE {
            self.add(Rule::DateImplausible, place, || {
                format!("The time {time} isn't before {TOO_LATE}; give the right year.")
            });
            return false;
        }
        let now = self.now;
        if time > now {
            self.add(Rule::DateInFuture, place, || {
                format!(
                    "The time {time} lies in the future: it is {now} now; give the time when it happened."
                )
            });
        }
        true
    }

    /// An id in the sender's own system, if there is one.
    #[inline(always)]
    pub(crate) fn external_id(&mut self, place: &Pointer<'_>, external_id: Option<&str>) {
        if external_id.is_some_and(str::is_empty) {
            self.add(Rule::ExternalIdEmpty, place, || {
                "The external id is empty; give the id in your own system, or leave the property out."
                    .to_owned()
            });
        }
    }

    #[inline(always)]
    pub(crate) fn account(&mut self, place: &Pointer<'_>, identifier: Option<&AccountIdentifier>) {
        if let Some(AccountIdentifier::StableName { stable_name }) = identifier
            && stable_name.is_empty()
        {
            self.add(Rule::StableNameEmpty, &place.field("stable_name"), || {
                "The stable name is empty; give that of a ledger account, such as `BANK_FEES`."
                    .to_owned()
            });
        }
    }

    #[inline(always)]
    pub(crate) fn metadata(&mut self, place: &Pointer<'_>, metadata: Option<&Metadata>) {
        if let Some(metadata) = metadata
            && let Some(length) = excess_len(metadata)
        {
            self.add(Rule::MetadataTooLarge, place, || {
                format!(
                    "The metadata takes {length} bytes as compact JSON in UTF-8; it may take at most \
                     {METADATA_LIMIT}."
                )
            });
        }
    }

    #[inline(always)]
    pub(crate) fn tags(&mut self, place: &Pointer<'_>, tags: Option<&[TagKeyValue]>) {
        let Some(tags) = tags else { return };
        let repeats = repeats(tags.len(), |index| Some(tags.get(index)?.key.as_str()));
        for (index, tag) in tags.iter().enumerate() {
            let place = place.index(index);
            self.tag_text(&place, "key", &tag.key);
            if let Some(first) = before(&repeats, index, tag.key.as_str())
                && !tag.key.trim().is_empty()
            {
                self.add(Rule::DuplicateTagKey, &place.field("key"), || {
                    format!(
                        "The tags at index {first} and index {index} have the same key {}; give each key one \
                         value.",
                        quoted(&tag.key)
                    )
                });
            }
            self.tag_text(&place, "value", &tag.value);
            self.display_name(
                &place.field("dimension_display_name"),
                tag.dimension_display_name.as_deref(),
            );
            self.display_name(
                &place.field("value_display_name"),
                tag.value_display_name.as_deref(),
            );
        }
    }

    /// A tag's key or value.
    #[inline(always)]
    fn tag_text(&mut self, tag: &Pointer<'_>, name: &'static str, text: &str) {
        // Nearly every text begins and ends with a visible character of ASCII, which is no blank.
        if let [first, .., last] | [first @ last] = text.as_bytes()
            && first.is_ascii_graphic()
            && last.is_ascii_graphic()
        {
            return;
        }
        let trimmed = trimmed(text);
        if trimmed.is_empty() {
            self.add(Rule::TagEmpty, &tag.field(name), || {
                if text.is_empty() {
                    format!("The tag's {name} is empty; a tag has a key and a value.")
                } else {
                    format!(
                        "The tag's {name} {} is nothing but blanks; a tag has a key and a value.",
                        quoted(text)
                    )
                }
            });
        } else if trimmed.len() < text.len() {
            self.add(Rule::TagOuterBlanks, &tag.field(name), || {
                format!(
                    "The tag's {name} {} has blanks around it; give {}.",
                    quoted(text),
                    quoted(trimmed)
                )
            });
        }
    }

    #[inline(always)]
    fn display_name(&mut self, place: &Pointer<'_>, name: Option<&str>) {
        if name.is_some_and(str::is_empty) {
            self.add(Rule::TagDisplayNameEmpty, place, || {
                "The display name is empty; give the name that people are to see, or leave the property out."
                    .to_owned()
            });
        }
    }

    #[inline(always)]
    pub(crate) fn additional_fees(&mut self, place: &Pointer<'_>, fees: &[AdditionalFeeInput]) {
        for (index, fee) in fees.iter().enumerate() {
            let place = place.index(index);
            self.account(&place.field("account"), Some(&fee.account));
            self.cents(&place.field("fee_amount"), fee.fee_amount);
        }
    }

    #[inline(always)]
    pub(crate) fn allocations(&mut self, place: &Pointer<'_>, list: &[AllocationInput]) {
        let invoice = |index: usize| match list.get(index) {
            Some(AllocationInput::Invoice(invoice)) => Some(invoice),
            _ => None,
        };
        let by_id = repeats(list.len(), |index| invoice(index)?.invoice_id.as_ref());
        let by_external_id = repeats(list.len(), |index| {
            named(invoice(index)?.invoice_external_id.as_deref())
        });
        for (index, allocation) in list.iter().enumerate() {
            let place = place.index(index);
            let (amount, tags, metadata) = match allocation {
                AllocationInput::LedgerAccount(ledger) => {
                    self.account(&place.field("account"), Some(&ledger.account));
                    (ledger.amount, &ledger.tags, &ledger.metadata)
                }
                AllocationInput::Invoice(invoice) => {
                    self.invoice(&place, invoice, index, &by_id, &by_external_id);
                    (invoice.amount, &invoice.tags, &invoice.metadata)
                }
            };
            self.cents(&place.field("amount"), amount);
            self.tags(&place.field("tags"), tags.as_deref());
            self.metadata(&place.field("metadata"), metadata.as_ref());
        }
    }

    /// The invoice that the allocation at `index` goes to: that there is one, and that none before it is the same.
    #[inline(always)]
    fn invoice(
        &mut self,
        place: &Pointer<'_>,
        invoice: &InvoiceAllocationInput,
        index: usize,
        by_id: &Option<Firsts<'_, Uuid>>,
        by_external_id: &Option<Firsts<'_, str>>,
    ) {
        let id = invoice.invoice_id.as_ref();
        let external_id = invoice.invoice_external_id.as_deref();
        if id.is_none() && external_id.is_none() {
            self.add(Rule::AllocationTargetMissing, place, || {
                "The allocation doesn't say where the money goes; give `invoice_id`, `invoice_external_id` or \
                 `account`."
                    .to_owned()
            });
        }
        let again = |first: usize, invoice: &dyn std::fmt::Display| {
            format!(
                "The allocations at index {first} and index {index} go to the same invoice {invoice}; give one \
                 allocation with the sum, unless two are meant."
            )
        };
        let first_by_id = id.and_then(|id| before(by_id, index, id));
        if let (Some(first), Some(id)) = (first_by_id, id) {
            self.add(
                Rule::DuplicateInvoiceAllocation,
                &place.field("invoice_id"),
                || again(first, id),
            );
        }
        let place = place.field("invoice_external_id");
        self.external_id(&place, external_id);
        if let Some(text) = external_id
            && first_by_id.is_none()
            && let Some(first) = before(by_external_id, index, text)
        {
            self.add(Rule::DuplicateInvoiceAllocation, &place, || {
                again(first, &quoted(text))
            });
        }
    }

    /// `paid_at` is the payment's time, if it is known and plausible.
    #[inline(always)]
    pub(crate) fn refunds(
        &mut self,
        place: &Pointer<'_>,
        list: &[DedicatedRefundInput],
        paid_at: Option<Timestamp>,
    ) {
        let repeats = repeats(list.len(), |index| {
            named(list.get(index)?.external_id.as_deref())
        });
        for (index, refund) in list.iter().enumerate() {
            let external_id = refund.external_id.as_deref().unwrap_or_default();
            let first = before(&repeats, index, external_id);
            self.refund(
                &place.index(index),
                refund,
                paid_at,
                first.map(|first| (first, index)),
            );
        }
    }

    /// `repeated` are the index of the first refund with the same external id, and this one's.
    #[inline(always)]
    fn refund(
        &mut self,
        place: &Pointer<'_>,
        refund: &DedicatedRefundInput,
        paid_at: Option<Timestamp>,
        repeated: Option<(usize, usize)>,
    ) {
        let lines = refund.line_items.as_deref().unwrap_or_default();
        if lines.is_empty() && refund.refunded_amount.is_none() {
            self.add(Rule::RefundAmountMissing, place, || {
                "The refund doesn't say how much was given back; give `line_items` with their amounts."
                    .to_owned()
            });
        }
        let external_id = refund.external_id.as_deref();
        self.external_id(&place.field("external_id"), external_id);
        if let Some((first, index)) = repeated {
            self.add(
                Rule::DuplicateRefundExternalId,
                &place.field("external_id"),
                || {
                    format!(
                        "The refunds at index {first} and index {index} have the same external id {}; give each \
                         refund its own.",
                        quoted(external_id.unwrap_or_default())
                    )
                },
            );
        }
        self.account(
            &place.field("account_identifier"),
            refund.account_identifier.as_ref(),
        );
        self.refund_lines(&place.field("line_items"), lines);
        if let Some(amount) = refund.refunded_amount {
            let place = place.field("refunded_amount");
            self.cents(&place, amount);
            let sum = refunded(refund);
            if sum != i128::from(amount) {
                self.add(Rule::RefundAmountMismatch, &place, || {
                    format!(
                        "The refund's amount is {amount} cents, but its line items add up to {sum} cents; leave \
                         `refunded_amount` out, or give the sum."
                    )
                });
            }
        }
        if let Some(completed_at) = refund.completed_at {
            let place = place.field("completed_at");
            let plausible = self.time(&place, completed_at);
            if let Some(paid_at) = paid_at
                && plausible
                && completed_at < paid_at
            {
                self.add(Rule::RefundBeforePayment, &place, || {
                    format!(
                        "The refund was completed at {completed_at}, before the payment was made at {paid_at}; \
                         give a time after that."
                    )
                });
            }
        }
        self.optional_cents(
            &place.field("refund_processing_fee"),
            refund.refund_processing_fee,
        );
        self.refunded_fees(
            &place.field("refunded_payment_fees"),
            refund.refunded_payment_fees.as_deref().unwrap_or_default(),
        );
        self.tags(&place.field("tags"), refund.tags.as_deref());
        self.metadata(&place.field("metadata"), refund.metadata.as_ref());
        self.account(
            &place.field("payment_clearing_account_identifier"),
            refund.payment_clearing_account_identifier.as_ref(),
        );
    }

    #[inline(always)]
    fn refund_lines(&mut self, place: &Pointer<'_>, lines: &[RefundLineItemInput]) {
        for (index, line) in lines.iter().enumerate() {
            let place = place.index(index);
            self.cents(&place.field("amount"), line.amount);
            self.external_id(&place.field("external_id"), line.external_id.as_deref());
            self.account(
                &place.field("account_identifier"),
                line.account_identifier.as_ref(),
            );
            self.account(
                &place.field("prepayment_account_identifier"),
                line.prepayment_account_identifier.as_ref(),
            );
            self.tags(&place.field("tags"), line.tags.as_deref());
            self.metadata(&place.field("metadata"), line.metadata.as_ref());
        }
    }

    #[inline(always)]
    fn refunded_fees(&mut self, place: &Pointer<'_>, fees: &[RefundedPaymentFeeInput]) {
        for (index, fee) in fees.iter().enumerate() {
            let place = place.index(index);
            self.account(&place.field("account"), Some(&fee.account));
            self.cents(&place.field("fee_amount"), fee.fee_amount);
        }
    }
}

/// A text without blanks around it. They are the characters with Unicode's property White_Space.
#[cold]
#[inline(never)]
fn trimmed(text: &str) -> &str {
    text.trim()
}

/// Whether a time is one that [`Checker::time`] finds plausible.
pub(crate) fn is_plausible(time: Timestamp) -> bool {
    (EARLIEST..TOO_LATE).contains(&time)
}

/// An id that identifies something, for comparison with others.
#[inline(always)]
fn named(external_id: Option<&str>) -> Option<&str> {
    external_id.filter(|text| !text.is_empty())
}

/// Where a value of a list stands before `index`, if it does.
#[inline(always)]
fn before<K: Key + ?Sized>(
    repeats: &Option<Firsts<'_, K>>,
    index: usize,
    key: &K,
) -> Option<usize> {
    repeats.as_ref()?.before(index, key)
}
