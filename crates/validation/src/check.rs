//! The checks themselves: one pass over a request that visits every value a rule speaks of.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use layer_payments_types::{
    AccountIdentifier, AdditionalFeeInput, AllocationInput, CreateInvoicePayment,
    DedicatedRefundInput, Field, InvoiceAllocationInput, Metadata, RefundLineItemInput,
    RefundedPaymentFeeInput, TagKeyValue, UpdateInvoicePayment,
};
use serde_json::Value;

use crate::pointer::Pointer;
use crate::size::{METADATA_LIMIT, compact_len};
use crate::violation::{Rule, Violation};

/// Checks one payment to record. Gives every violation, in the order of the request's properties as the documentation
/// lists them; none means that the payment is valid as far as it can be told from the request alone.
pub fn validate_create(payment: &CreateInvoicePayment) -> Vec<Violation> {
    let mut findings = Findings::default();
    findings.create(&Pointer::Root, payment);
    findings.0
}

/// Checks a bulk request: each payment by the rules of [`validate_create`], with pointers that start with the
/// payment's index (`/3/amount`), and the list itself: not empty, and no `external_id` twice.
pub fn validate_bulk(payments: &[CreateInvoicePayment]) -> Vec<Violation> {
    let mut findings = Findings::default();
    if payments.is_empty() {
        findings.add(
            Rule::BulkEmpty,
            &Pointer::Root,
            "The list holds no payment; send at least one.".to_owned(),
        );
    }
    let mut first_places = HashMap::with_capacity(payments.len());
    for (index, payment) in payments.iter().enumerate() {
        let place = Pointer::Root;
        let place = place.index(index);
        findings.create(&place, payment);
        let Some(external_id) = payment.external_id.as_deref() else {
            continue;
        };
        match first_places.entry(external_id) {
            Entry::Vacant(vacant) => {
                vacant.insert(index);
            }
            Entry::Occupied(first) => findings.add(
                Rule::DuplicateExternalId,
                &place.field("external_id"),
                format!(
                    "The payments at index {} and index {index} have the same external id {:?}; an external id \
                     may stand once in a request.",
                    first.get(),
                    shortened(external_id)
                ),
            ),
        }
    }
    findings.0
}

/// Checks an update as far as it can be told from the request alone. What it does to the payment's amount and
/// allocations together is for [`validate_allocations`] to check once both are known.
pub fn validate_update(update: &UpdateInvoicePayment) -> Vec<Violation> {
    let mut findings = Findings::default();
    findings.update(&Pointer::Root, update);
    findings.0
}

/// Checks the allocations' sum against a payment's amount, both in cents, where the two don't come from one request:
/// an update that changes one of them has to fit the other. `pointer` is where the violation is to point to.
pub fn validate_allocations(
    amount: i64,
    allocations: impl IntoIterator<Item = i64>,
    pointer: &str,
) -> Option<Violation> {
    let sum = sum(allocations);
    (sum > i128::from(amount)).then(|| Violation {
        rule: Rule::AllocationsExceedAmount,
        pointer: pointer.to_owned(),
        message: exceed_message(sum, amount),
    })
}

/// Checks what an allocation in raw JSON is for: exactly one of a ledger account (`account`) and an invoice
/// (`invoice_id`, `invoice_external_id`). Decoding would take neither or both for a mere mismatch of types.
pub fn validate_allocation_target(allocation: &Value, pointer: &str) -> Option<Violation> {
    let named = |name| allocation.get(name).is_some_and(|value| !value.is_null());
    let invoice = named("invoice_id") || named("invoice_external_id");
    let (rule, message) = match (named("account"), invoice) {
        (true, true) => (Rule::AllocationTargetAmbiguous, AMBIGUOUS_MESSAGE),
        (false, false) => (Rule::AllocationTargetMissing, MISSING_MESSAGE),
        (true, false) | (false, true) => return None,
    };
    Some(Violation {
        rule,
        pointer: pointer.to_owned(),
        message: message.to_owned(),
    })
}

const AMBIGUOUS_MESSAGE: &str = "The allocation names both a ledger account and an invoice; give `account`, or \
                                 `invoice_id` or `invoice_external_id`, and not both.";
const MISSING_MESSAGE: &str = "The allocation doesn't say where the money goes; give `invoice_id`, \
                               `invoice_external_id` or `account`.";

/// A text for use in a message: not longer than a person reads.
fn shortened(text: &str) -> &str {
    const MOST: usize = 100;
    text.char_indices()
        .nth(MOST)
        .map_or(text, |(end, _)| &text[..end])
}

/// Adds up cents. In 128 bits, which a list that fits into memory can't overflow.
fn sum(cents: impl IntoIterator<Item = i64>) -> i128 {
    cents.into_iter().map(i128::from).sum()
}

fn exceed_message(sum: i128, amount: i64) -> String {
    format!(
        "The allocations add up to {sum} cents, which is more than the payment's amount of {amount} cents; \
         allocate at most the amount."
    )
}

/// What was found so far. An empty list allocates nothing.
#[derive(Default)]
struct Findings(Vec<Violation>);

impl Findings {
    fn add(&mut self, rule: Rule, place: &Pointer<'_>, message: String) {
        self.0.push(Violation {
            rule,
            pointer: place.render(),
            message,
        });
    }

    fn create(&mut self, place: &Pointer<'_>, payment: &CreateInvoicePayment) {
        self.external_id(&place.field("external_id"), payment.external_id.as_deref());
        self.cents(&place.field("amount"), payment.amount);
        self.optional_cents(&place.field("fee"), payment.fee);
        self.additional_fees(
            &place.field("additional_fees"),
            payment.additional_fees.as_deref(),
        );
        self.account(
            &place.field("payment_clearing_account_identifier"),
            payment.payment_clearing_account_identifier.as_ref(),
        );
        self.account(
            &place.field("redemption_account"),
            payment.redemption_account.as_ref(),
        );
        let allocations = place.field("invoice_payments");
        self.allocations(&allocations, &payment.invoice_payments);
        self.allocation_sum(&allocations, payment.amount, &payment.invoice_payments);
        self.refunds(
            &place.field("dedicated_refunds"),
            payment.dedicated_refunds.as_deref(),
        );
        self.tags(&place.field("tags"), payment.tags.as_deref());
        self.metadata(&place.field("metadata"), payment.metadata.as_ref());
    }

    fn update(&mut self, place: &Pointer<'_>, update: &UpdateInvoicePayment) {
        self.external_id(
            &place.field("external_id"),
            update.external_id.as_option().map(String::as_str),
        );
        self.optional_cents(&place.field("amount"), update.amount.as_option().copied());
        self.optional_cents(&place.field("fee"), update.fee.as_option().copied());
        self.additional_fees(
            &place.field("additional_fees"),
            update.additional_fees.as_deref(),
        );
        self.account(
            &place.field("payment_clearing_account_identifier"),
            update.payment_clearing_account_identifier.as_option(),
        );
        if let Some(list) = &update.invoice_payments {
            let allocations = place.field("invoice_payments");
            self.allocations(&allocations, list);
            if let Field::Value(amount) = update.amount {
                self.allocation_sum(&allocations, amount, list);
            }
        }
        self.refunds(
            &place.field("dedicated_refunds"),
            update.dedicated_refunds.as_deref(),
        );
        self.tags(&place.field("tags"), update.tags.as_deref());
        self.metadata(&place.field("metadata"), update.metadata.as_option());
    }

    fn account(&mut self, place: &Pointer<'_>, identifier: Option<&AccountIdentifier>) {
        if let Some(AccountIdentifier::StableName { stable_name }) = identifier
            && stable_name.is_empty()
        {
            self.add(
                Rule::StableNameEmpty,
                &place.field("stable_name"),
                "The stable name is empty; give that of a ledger account, such as `BANK_FEES`."
                    .to_owned(),
            );
        }
    }

    fn tags(&mut self, place: &Pointer<'_>, tags: Option<&[TagKeyValue]>) {
        for (index, tag) in tags.unwrap_or_default().iter().enumerate() {
            let place = place.index(index);
            for (name, text) in [("key", &tag.key), ("value", &tag.value)] {
                if text.is_empty() {
                    self.add(
                        Rule::TagEmpty,
                        &place.field(name),
                        format!("The tag's {name} is empty; a tag has a key and a value."),
                    );
                }
            }
        }
    }

    fn external_id(&mut self, place: &Pointer<'_>, external_id: Option<&str>) {
        if external_id == Some("") {
            self.add(
                Rule::ExternalIdEmpty,
                place,
                "The external id is empty; give the id in your own system, or leave the property out."
                    .to_owned(),
            );
        }
    }

    fn cents(&mut self, place: &Pointer<'_>, cents: i64) {
        if cents < 0 {
            self.add(
                Rule::AmountNegative,
                place,
                format!("The value is {cents} cents; it must be 0 or more."),
            );
        }
    }

    fn optional_cents(&mut self, place: &Pointer<'_>, cents: Option<i64>) {
        if let Some(cents) = cents {
            self.cents(place, cents);
        }
    }

    fn additional_fees(&mut self, place: &Pointer<'_>, fees: Option<&[AdditionalFeeInput]>) {
        for (index, fee) in fees.unwrap_or_default().iter().enumerate() {
            let place = place.index(index);
            self.account(&place.field("account"), Some(&fee.account));
            self.cents(&place.field("fee_amount"), fee.fee_amount);
        }
    }

    fn allocations(&mut self, place: &Pointer<'_>, allocations: &[AllocationInput]) {
        for (index, allocation) in allocations.iter().enumerate() {
            let place = place.index(index);
            let (amount, tags, metadata) = match allocation {
                AllocationInput::LedgerAccount(ledger) => {
                    self.account(&place.field("account"), Some(&ledger.account));
                    (ledger.amount, &ledger.tags, &ledger.metadata)
                }
                AllocationInput::Invoice(invoice) => {
                    self.invoice_target(&place, invoice);
                    (invoice.amount, &invoice.tags, &invoice.metadata)
                }
            };
            self.cents(&place.field("amount"), amount);
            self.tags(&place.field("tags"), tags.as_deref());
            self.metadata(&place.field("metadata"), metadata.as_ref());
        }
    }

    /// An empty `invoice_external_id` names no invoice: no system gives its invoices empty ids.
    fn invoice_target(&mut self, place: &Pointer<'_>, allocation: &InvoiceAllocationInput) {
        let external_id = allocation.invoice_external_id.as_deref();
        if allocation.invoice_id.is_none() && external_id.is_none_or(str::is_empty) {
            self.add(
                Rule::AllocationTargetMissing,
                place,
                MISSING_MESSAGE.to_owned(),
            );
        }
    }

    fn allocation_sum(&mut self, place: &Pointer<'_>, amount: i64, list: &[AllocationInput]) {
        let sum = sum(list.iter().map(|allocation| match allocation {
            AllocationInput::LedgerAccount(ledger) => ledger.amount,
            AllocationInput::Invoice(invoice) => invoice.amount,
        }));
        if sum > i128::from(amount) {
            self.add(
                Rule::AllocationsExceedAmount,
                place,
                exceed_message(sum, amount),
            );
        }
    }

    fn refunds(&mut self, place: &Pointer<'_>, refunds: Option<&[DedicatedRefundInput]>) {
        for (index, refund) in refunds.unwrap_or_default().iter().enumerate() {
            let place = place.index(index);
            self.external_id(&place.field("external_id"), refund.external_id.as_deref());
            self.account(
                &place.field("account_identifier"),
                refund.account_identifier.as_ref(),
            );
            self.refund_lines(&place.field("line_items"), refund.line_items.as_deref());
            self.optional_cents(&place.field("refunded_amount"), refund.refunded_amount);
            self.optional_cents(
                &place.field("refund_processing_fee"),
                refund.refund_processing_fee,
            );
            self.refunded_fees(
                &place.field("refunded_payment_fees"),
                refund.refunded_payment_fees.as_deref(),
            );
            self.tags(&place.field("tags"), refund.tags.as_deref());
            self.metadata(&place.field("metadata"), refund.metadata.as_ref());
            self.account(
                &place.field("payment_clearing_account_identifier"),
                refund.payment_clearing_account_identifier.as_ref(),
            );
        }
    }

    fn refund_lines(&mut self, place: &Pointer<'_>, lines: Option<&[RefundLineItemInput]>) {
        for (index, line) in lines.unwrap_or_default().iter().enumerate() {
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

    fn refunded_fees(&mut self, place: &Pointer<'_>, fees: Option<&[RefundedPaymentFeeInput]>) {
        for (index, fee) in fees.unwrap_or_default().iter().enumerate() {
            let place = place.index(index);
            self.account(&place.field("account"), Some(&fee.account));
            self.cents(&place.field("fee_amount"), fee.fee_amount);
        }
    }

    fn metadata(&mut self, place: &Pointer<'_>, metadata: Option<&Metadata>) {
        let Some(length) = metadata.and_then(compact_len) else {
            return;
        };
        if length > METADATA_LIMIT {
            self.add(
                Rule::MetadataTooLarge,
                place,
                format!(
                    "The metadata takes {length} bytes as compact JSON in UTF-8; it may take at most {METADATA_LIMIT}."
                ),
            );
        }
    }
}
