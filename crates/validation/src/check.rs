//! The checks of whole payments: to record, to record together, to update.

use jiff::Timestamp;
use layer_payments_types::{
    AccountIdentifier, AdditionalFeeInput, AllocationInput, CreateInvoicePayment,
    DedicatedRefundInput, Field, Metadata, PaymentMethod, TagKeyValue, UpdateInvoicePayment,
};

use crate::bulk::{ExternalIds, check_count};
use crate::context::{Context, Existing};
use crate::message::quoted;
use crate::parts::{Checker, Listing, Quiet, Sink, allocated, is_plausible, refunded, total};
use crate::pointer::Pointer;
use crate::repeat::{Seen, slots_for};
use crate::rule::Rule;
use crate::violation::Violation;

/// Checks one payment to record. Gives every violation, each object's before those of its properties, and these in the
/// order of the spec. None means that the payment is valid as far as it can be told from the request alone.
pub fn validate_create(payment: &CreateInvoicePayment, context: &Context) -> Vec<Violation> {
    let mut found = Vec::new();
    check_create(&Pointer::Root, payment, None, context, &mut found);
    found
}

/// Checks a request to record a payment whose external id a payment has already: by the rules of [`validate_create`],
/// and where the request leaves out what the payment keeps, against that. Recording is an upsert (decision D52), so a
/// new method has to go with the processor that stays.
pub fn validate_repeat(
    payment: &CreateInvoicePayment,
    existing: &Existing,
    context: &Context,
) -> Vec<Violation> {
    let mut found = Vec::new();
    check(
        &Pointer::Root,
        || Body::of_create(payment),
        Some(existing),
        None,
        context,
        &mut found,
    );
    found
}

/// Checks a bulk request: each payment by the rules of [`validate_create`], with pointers that start with the
/// payment's index (`/3/amount`), and the list itself: its length, and no `external_id` twice.
pub fn validate_bulk(payments: &[CreateInvoicePayment], context: &Context) -> Vec<Violation> {
    let mut found = Vec::new();
    check_count(payments.len(), context, &mut found);
    let key = |index: usize| {
        let external_id = payments.get(index)?.external_id.as_deref();
        external_id.filter(|text| !text.is_empty())
    };
    let mut slots = slots_for(payments.len());
    let mut seen = Seen::new(&mut slots);
    let mut are_distinct = true;
    for (index, payment) in payments.iter().enumerate() {
        are_distinct &= key(index).is_none_or(|id| seen.is_new(index, id, key));
        let place = Pointer::Root;
        check_create(&place.index(index), payment, None, context, &mut found);
    }
    if !are_distinct {
        found.clear();
        list_bulk(payments, context, &mut found);
    }
    found
}

/// Checks a bulk request in which an external id stands twice.
#[cold]
fn list_bulk(payments: &[CreateInvoicePayment], context: &Context, found: &mut Vec<Violation>) {
    check_count(payments.len(), context, found);
    let mut ids = ExternalIds::with_capacity(payments.len());
    for (index, payment) in payments.iter().enumerate() {
        let place = Pointer::Root;
        let ids = Some((&mut ids, index));
        check_create(&place.index(index), payment, ids, context, found);
    }
}

/// Checks an update: alone as far as it goes, and with `existing` also against the payment that it changes. A rule on
/// two values is checked if the update sets one of them and the other is known.
pub fn validate_update(
    update: &UpdateInvoicePayment,
    existing: Option<&Existing>,
    context: &Context,
) -> Vec<Violation> {
    let mut found = Vec::new();
    check_update(&Pointer::Root, update, existing, context, &mut found);
    found
}

/// Checks a payment to record that stands at `place` of a body, and adds what it finds. In a bulk request, `ids` are
/// the external ids before it and its index.
pub(crate) fn check_create<'a>(
    place: &Pointer<'_>,
    payment: &'a CreateInvoicePayment,
    ids: Option<(&mut ExternalIds<'a>, usize)>,
    context: &Context,
    found: &mut Vec<Violation>,
) {
    let repeated = match payment.external_id.as_deref() {
        Some(external_id) => ids.and_then(|(ids, index)| ids.repeated(index, external_id)),
        None => {
            Listing(found).add(Rule::ExternalIdMissing, place, || {
                "The payment has no `external_id`, so that sending it again may record it twice; give its id in your \
                 own system."
                    .to_owned()
            });
            None
        }
    };
    let body = || Body::of_create(payment);
    check(place, body, None, repeated, context, found);
}

/// Checks an update that stands at `place` of a body, and adds what it finds.
pub(crate) fn check_update(
    place: &Pointer<'_>,
    update: &UpdateInvoicePayment,
    existing: Option<&Existing>,
    context: &Context,
    found: &mut Vec<Violation>,
) {
    let body = || Body::of_update(update);
    if body().is_empty() {
        Listing(found).add(Rule::UpdateEmpty, place, || {
            "The update holds no property, so that it changes nothing; give those to change."
                .to_owned()
        });
        return;
    }
    check(place, body, existing, None, context, found);
}

/// Checks every property, and the properties with each other, and adds what it finds. `repeated` is what was found
/// about the external id in its bulk request.
///
/// `body` is what to check. It is asked for where it is used, so that no valid one has to be put together in memory.
#[inline(always)]
fn check<'a>(
    place: &Pointer<'_>,
    body: impl Fn() -> Body<'a>,
    existing: Option<&Existing>,
    repeated: Option<Violation>,
    context: &Context,
    found: &mut Vec<Violation>,
) {
    let now = context.now;
    if repeated.is_none() {
        let sink = Quiet::default();
        let mut checker = Checker { sink, now };
        check_payment(place, &body(), existing, |_| {}, &mut checker);
        if !checker.sink.found_any {
            return;
        }
    }
    list(place, body, existing, repeated, now, found);
}

/// Checks a payment that isn't valid, for good.
#[cold]
#[inline(never)]
fn list<'a>(
    place: &Pointer<'_>,
    body: impl Fn() -> Body<'a>,
    existing: Option<&Existing>,
    repeated: Option<Violation>,
    now: Timestamp,
    found: &mut Vec<Violation>,
) {
    let sink = Listing(found);
    let mut checker = Checker { sink, now };
    let at_external_id = |checker: &mut Checker<Listing<'_>>| checker.sink.0.extend(repeated);
    check_payment(place, &body(), existing, at_external_id, &mut checker);
}

/// What a request says about a payment, the same way for one to record and for an update. What the request to record
/// has as null or not at all is absent here.
struct Body<'a> {
    external_id: Field<&'a str>,
    paid_at: Field<Timestamp>,
    method: Option<PaymentMethod>,
    amount: Field<i64>,
    fee: Field<i64>,
    additional_fees: Option<&'a [AdditionalFeeInput]>,
    processor: Field<&'a str>,
    clearing_account: Field<&'a AccountIdentifier>,
    redemption_account: Option<&'a AccountIdentifier>,
    allocations: Option<&'a [AllocationInput]>,
    refunds: Option<&'a [DedicatedRefundInput]>,
    tags: Option<&'a [TagKeyValue]>,
    memo: Field<&'a str>,
    metadata: Field<&'a Metadata>,
    reference_number: Field<&'a str>,
}

impl<'a> Body<'a> {
    #[inline(always)]
    fn of_create(payment: &'a CreateInvoicePayment) -> Body<'a> {
        // Taking the struct apart makes a property that is added later an error here until it has its checks.
        let CreateInvoicePayment {
            external_id,
            paid_at,
            method,
            amount,
            fee,
            additional_fees,
            processor,
            payment_clearing_account_identifier,
            redemption_account,
            invoice_payments,
            dedicated_refunds,
            tags,
            memo,
            metadata,
            reference_number,
        } = payment;
        Body {
            external_id: present(external_id.as_deref()),
            paid_at: Field::Value(*paid_at),
            method: Some(*method),
            amount: Field::Value(*amount),
            fee: present(*fee),
            additional_fees: additional_fees.as_deref(),
            processor: present(processor.as_deref()),
            clearing_account: present(payment_clearing_account_identifier.as_ref()),
            redemption_account: redemption_account.as_ref(),
            allocations: Some(invoice_payments),
            refunds: dedicated_refunds.as_deref(),
            tags: tags.as_deref(),
            memo: present(memo.as_deref()),
            metadata: present(metadata.as_ref()),
            reference_number: present(reference_number.as_deref()),
        }
    }

    #[inline(always)]
    fn of_update(update: &'a UpdateInvoicePayment) -> Body<'a> {
        let UpdateInvoicePayment {
            external_id,
            paid_at,
            amount,
            fee,
            additional_fees,
            method,
            processor,
            payment_clearing_account_identifier,
            invoice_payments,
            dedicated_refunds,
            tags,
            memo,
            metadata,
            reference_number,
        } = update;
        Body {
            external_id: borrowed(external_id),
            paid_at: *paid_at,
            method: *method,
            amount: *amount,
            fee: *fee,
            additional_fees: additional_fees.as_deref(),
            processor: borrowed(processor),
            clearing_account: as_ref(payment_clearing_account_identifier),
            redemption_account: None,
            allocations: invoice_payments.as_deref(),
            refunds: dedicated_refunds.as_deref(),
            tags: tags.as_deref(),
            memo: borrowed(memo),
            metadata: as_ref(metadata),
            reference_number: borrowed(reference_number),
        }
    }

    /// Whether the request says nothing at all.
    #[inline(always)]
    fn is_empty(&self) -> bool {
        let Body {
            external_id,
            paid_at,
            method,
            amount,
            fee,
            additional_fees,
            processor,
            clearing_account,
            redemption_account,
            allocations,
            refunds,
            tags,
            memo,
            metadata,
            reference_number,
        } = self;
        external_id.is_absent()
            && paid_at.is_absent()
            && method.is_none()
            && amount.is_absent()
            && fee.is_absent()
            && additional_fees.is_none()
            && processor.is_absent()
            && clearing_account.is_absent()
            && redemption_account.is_none()
            && allocations.is_none()
            && refunds.is_none()
            && tags.is_none()
            && memo.is_absent()
            && metadata.is_absent()
            && reference_number.is_absent()
    }
}

#[inline(always)]
fn present<T>(value: Option<T>) -> Field<T> {
    value.map_or(Field::Absent, Field::Value)
}

#[inline(always)]
fn as_ref<T>(field: &Field<T>) -> Field<&T> {
    match field {
        Field::Absent => Field::Absent,
        Field::Null => Field::Null,
        Field::Value(value) => Field::Value(value),
    }
}

#[inline(always)]
fn borrowed(field: &Field<String>) -> Field<&str> {
    match field {
        Field::Absent => Field::Absent,
        Field::Null => Field::Null,
        Field::Value(text) => Field::Value(text),
    }
}

/// A value of the payment as it is after the request, and whether the request sets it.
#[derive(Clone, Copy)]
struct Outcome<T> {
    value: T,
    is_set: bool,
}

impl<T> Outcome<T> {
    /// What the request sets, or what it leaves as it is. `None` if neither is known.
    #[inline(always)]
    fn of(set: Option<T>, kept: Option<T>) -> Option<Outcome<T>> {
        let is_set = set.is_some();
        let value = set.or(kept)?;
        Some(Outcome { value, is_set })
    }

    /// For a message: tells a value that stays from one that the request sets.
    fn present(&self) -> &'static str {
        if self.is_set { "" } else { "present " }
    }
}

/// Checks a request's body, part by part. `at_external_id` is done where the external id has its turn.
#[inline(always)]
fn check_payment<S: Sink>(
    place: &Pointer<'_>,
    body: &Body<'_>,
    existing: Option<&Existing>,
    at_external_id: impl FnOnce(&mut Checker<S>),
    checker: &mut Checker<S>,
) {
    let whole = Whole { body, existing };
    checker.external_id(
        &place.field("external_id"),
        body.external_id.as_option().copied(),
    );
    at_external_id(checker);
    match body.paid_at {
        Field::Absent => {}
        Field::Null => null_changes_nothing(&place.field("paid_at"), "paid_at", checker),
        Field::Value(time) => {
            checker.time(&place.field("paid_at"), time);
        }
    }
    if body.method.is_some() && body.processor.is_absent() {
        whole.processor(&place.field("method"), checker);
    }
    whole.amount(&place.field("amount"), checker);
    if let Field::Value(fee) = body.fee {
        let place = place.field("fee");
        checker.cents(&place, fee);
        whole.fee_sum(&place, checker);
    }
    if let Some(fees) = body.additional_fees {
        let place = place.field("additional_fees");
        if body.fee.as_option().is_none() {
            whole.fee_sum(&place, checker);
        }
        checker.additional_fees(&place, fees);
    }
    if body.processor.as_option().is_some() {
        whole.processor(&place.field("processor"), checker);
    }
    checker.account(
        &place.field("payment_clearing_account_identifier"),
        body.clearing_account.as_option().copied(),
    );
    if let Some(account) = body.redemption_account {
        let place = place.field("redemption_account");
        whole.redemption(&place, checker);
        checker.account(&place, Some(account));
    }
    if let Some(list) = body.allocations {
        let place = place.field("invoice_payments");
        whole.allocation_sum(&place, checker);
        checker.allocations(&place, list);
    }
    if let Some(list) = body.refunds {
        let place = place.field("dedicated_refunds");
        whole.refund_sum(&place, checker);
        checker.refunds(&place, list, whole.paid_at());
    }
    checker.tags(&place.field("tags"), body.tags);
    checker.metadata(&place.field("metadata"), body.metadata.as_option().copied());
    if let Field::Value(text) = body.reference_number
        && text.as_bytes().contains(&b',')
    {
        checker.add(
            Rule::ReferenceNumberComma,
            &place.field("reference_number"),
            || {
                format!(
                    "The reference number {} holds a comma, and no list can be filtered by it then; separate its \
                     parts otherwise.",
                    quoted(text)
                )
            },
        );
    }
}

fn null_changes_nothing(place: &Pointer<'_>, name: &str, checker: &mut Checker<impl Sink>) {
    checker.add(Rule::NullChangesNothing, place, || {
        format!(
            "Null leaves `{name}` as it is, since every payment has one; give a value, or leave the property out."
        )
    });
}

/// A payment as it is after the request: what the request sets, and what it leaves as it is, where that is known.
#[derive(Clone, Copy)]
struct Whole<'a> {
    body: &'a Body<'a>,
    existing: Option<&'a Existing>,
}

impl Whole<'_> {
    /// When the payment was made, if that is known and plausible.
    #[inline(always)]
    fn paid_at(&self) -> Option<Timestamp> {
        match self.body.paid_at {
            Field::Value(time) => Some(time),
            Field::Absent | Field::Null => self.existing.map(|existing| existing.paid_at),
        }
        .filter(|time| is_plausible(*time))
    }

    /// The amount by itself, and what has to fit it where the request leaves that as it is.
    #[inline(always)]
    fn amount(&self, place: &Pointer<'_>, checker: &mut Checker<impl Sink>) {
        let body = self.body;
        match body.amount {
            Field::Absent => {}
            Field::Null => null_changes_nothing(place, "amount", checker),
            Field::Value(cents) => {
                checker.cents(place, cents);
                if cents == 0 {
                    checker.add(Rule::AmountZero, place, || {
                        "The amount is 0 cents, a payment of nothing; give what the customer paid."
                            .to_owned()
                    });
                }
                if body.allocations.is_none() {
                    self.allocation_sum(place, checker);
                }
                if body.fee.as_option().is_none() && body.additional_fees.is_none() {
                    self.fee_sum(place, checker);
                }
                if body.refunds.is_none() {
                    self.refund_sum(place, checker);
                }
            }
        }
    }

    /// The amount that sums are compared with: if it is known and isn't negative.
    #[inline(always)]
    fn most(&self) -> Option<Outcome<i128>> {
        let set = self.body.amount.as_option().copied();
        let kept = self.existing.map(|existing| existing.amount);
        Outcome::of(set.map(i128::from), kept.map(i128::from)).filter(|amount| amount.value >= 0)
    }

    /// That a sum, if it is known, isn't more than the amount.
    #[inline(always)]
    fn sum(
        &self,
        rule: Rule,
        place: &Pointer<'_>,
        sum: Option<Outcome<i128>>,
        checker: &mut Checker<impl Sink>,
        what: &str,
        advice: &str,
    ) {
        if let (Some(most), Some(sum)) = (self.most(), sum)
            && sum.value > most.value
        {
            checker.add(rule, place, || {
                format!(
                    "The {}{what} add up to {} cents, which is more than the payment's {}amount of {} cents; {advice}.",
                    sum.present(),
                    sum.value,
                    most.present(),
                    most.value,
                )
            });
        }
    }

    #[inline(always)]
    fn allocation_sum(&self, place: &Pointer<'_>, checker: &mut Checker<impl Sink>) {
        let set = self.body.allocations;
        let sum = Outcome::of(
            set.map(|list| total(list.iter().map(allocated))),
            self.existing.map(|existing| existing.allocated),
        );
        let advice = "allocate at most the amount";
        self.sum(
            Rule::AllocationsExceedAmount,
            place,
            sum,
            checker,
            "allocations",
            advice,
        );
    }

    #[inline(always)]
    fn refund_sum(&self, place: &Pointer<'_>, checker: &mut Checker<impl Sink>) {
        let set = self.body.refunds;
        let sum = Outcome::of(
            set.map(|list| list.iter().map(refunded).sum()),
            self.existing.map(|existing| existing.refunded),
        );
        let advice = "give back at most the amount";
        self.sum(
            Rule::RefundsExceedAmount,
            place,
            sum,
            checker,
            "refunds",
            advice,
        );
    }

    /// Fees that aren't known count as 0.
    #[inline(always)]
    fn fee_sum(&self, place: &Pointer<'_>, checker: &mut Checker<impl Sink>) {
        let (body, existing) = (self.body, self.existing);
        let fee = match body.fee {
            Field::Value(fee) => fee,
            Field::Null => 0,
            Field::Absent => existing.map_or(0, |existing| existing.fee),
        };
        let additional = match body.additional_fees {
            Some(fees) => total(fees.iter().map(|fee| fee.fee_amount)),
            None => existing.map_or(0, |existing| existing.additional_fees),
        };
        let sum = Outcome {
            value: additional.saturating_add(i128::from(fee)),
            is_set: true,
        };
        let what = "fee and the additional fees";
        let advice = "give each of them in cents";
        self.sum(
            Rule::FeesExceedAmount,
            place,
            Some(sum),
            checker,
            what,
            advice,
        );
    }

    /// The processor against the method, whichever of the two the request sets.
    #[inline(always)]
    fn processor(&self, place: &Pointer<'_>, checker: &mut Checker<impl Sink>) {
        let existing = self.existing;
        let method = Outcome::of(
            self.body.method,
            existing.and_then(|existing| existing.method),
        );
        let processor = match self.body.processor {
            Field::Value(name) => Outcome::of(Some(name), None),
            Field::Null => None,
            Field::Absent => Outcome::of(
                None,
                existing.and_then(|existing| existing.processor.as_deref()),
            ),
        };
        let (Some(method), Some(processor)) = (method, processor) else {
            return;
        };
        match method.value {
            PaymentMethod::CreditCard
            | PaymentMethod::Ach
            | PaymentMethod::CreditBalance
            | PaymentMethod::Other => {}
            PaymentMethod::Cash | PaymentMethod::Check => {
                checker.add(Rule::ProcessorNotAllowedForMethod, place, || {
                    format!(
                        "The {}processor is {}, but the {}method {} takes none; use CREDIT_CARD, ACH, \
                         CREDIT_BALANCE or OTHER, or {}.",
                        processor.present(),
                        quoted(processor.value),
                        method.present(),
                        method.value,
                        if processor.is_set {
                            "leave `processor` out"
                        } else {
                            "clear the processor"
                        }
                    )
                });
            }
        }
    }

    #[inline(always)]
    fn redemption(&self, place: &Pointer<'_>, checker: &mut Checker<impl Sink>) {
        if let Some(method) = self.body.method
            && method != PaymentMethod::CreditBalance
        {
            checker.add(Rule::RedemptionAccountNotAllowedForMethod, place, || {
                format!(
                    "The method is {method}, and only CREDIT_BALANCE redeems credit; use that method, or leave \
                     `redemption_account` out."
                )
            });
        }
    }
}
