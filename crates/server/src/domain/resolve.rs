//! From a request to [`Changes`]: every name becomes an id.

use std::sync::Arc;

use jiff::Timestamp;
use layer_payments_types::{
    AccountIdentifier, AdditionalFeeInput, AllocationInput, CreateInvoicePayment,
    DedicatedRefundInput, InvoiceAllocationInput, RefundLineItemInput, RefundedPaymentFeeInput,
    TagKeyValue, UpdateInvoicePayment,
};
use layer_payments_validation::Violation;
use uuid::Uuid;

use super::change::Changes;
use super::payment::{
    AdditionalFee, Allocation, Known, Metadata, Notes, Refund, RefundLine, RefundedFee, Tag,
    TagDefinition, Tags, Target, whole_microseconds,
};
use crate::text::shortened;

/// The names that a business uses. An invoice's or a tag's name that is new to it is registered, and so is the stable
/// name of an optional account of the chart.
pub(crate) trait Registry {
    /// What can go wrong, refusals of the request among it.
    type Error: From<Vec<Refusal>>;

    /// The id of the ledger account with this identifier. `None` if the business has no such account.
    fn account(&mut self, identifier: &AccountIdentifier) -> Result<Option<Uuid>, Self::Error>;

    /// The id of the invoice with this id, external id or both; at least one is given.
    fn invoice(
        &mut self,
        id: Option<Uuid>,
        external_id: Option<&str>,
    ) -> Result<InvoiceName, Self::Error>;

    /// The definition of a tag's value. Display names count only where the dimension or the value is new.
    fn tag(&mut self, tag: &TagKeyValue) -> Result<Arc<TagDefinition>, Self::Error>;

    /// An id that was never given before.
    fn new_id(&mut self) -> Uuid;

    /// The time of the request, in whole microseconds.
    fn now(&self) -> Timestamp;
}

/// What the names of an invoice lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvoiceName {
    /// The invoice with this id.
    Is(Uuid),
    /// There is none, and none is registered at first sight.
    Unknown,
    /// An id and an external id that aren't known to be one invoice's.
    Disagree,
}

/// Why the books refuse a request that is valid by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// A stable code in kebab-case.
    pub(crate) code: &'static str,
    /// A JSON Pointer into the request body.
    pub(crate) pointer: String,
    /// What is wrong and what would be right, for people.
    pub(crate) message: String,
}

impl Refusal {
    /// Of amounts that an account's balance can't hold.
    pub(crate) fn ledger_out_of_range() -> Refusal {
        Refusal {
            code: "ledger-out-of-range",
            pointer: String::new(),
            message: format!(
                "What was ever posted to a ledger account would add up to more than {} cents, which the ledger can't \
                 hold; mend the amounts.",
                i64::MAX
            ),
        }
    }
}

impl From<Violation> for Refusal {
    fn from(violation: Violation) -> Refusal {
        Refusal {
            code: violation.rule.code(),
            pointer: violation.pointer,
            message: violation.message,
        }
    }
}

/// What a request to record a payment changes in the payment that has its external id. Null means the same as left
/// out: the property stays as it is.
///
/// What the books refuse is added to `refusals`; the changes are whole only if nothing was.
pub(crate) fn create<R: Registry + ?Sized>(
    registry: &mut R,
    request: CreateInvoicePayment,
    refusals: &mut Vec<Refusal>,
) -> Result<Changes, R::Error> {
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
    } = request;
    Ok(Changes {
        external_id: external_id.map(Some),
        paid_at: Some(whole_microseconds(paid_at)),
        method: Some(method),
        amount: Some(amount),
        fee,
        additional_fees: maybe(additional_fees, |fees| additional(registry, fees, refusals))?,
        processor: processor.map(Some),
        clearing_account: maybe(payment_clearing_account_identifier, |identifier| {
            account(registry, &identifier, refusals, || CLEARING.to_owned())
        })?
        .map(Some),
        prepayment_account: maybe(redemption_account, |identifier| {
            account(registry, &identifier, refusals, || {
                "/redemption_account".to_owned()
            })
        })?
        .map(Some),
        allocations: Some(allocations(registry, invoice_payments, refusals)?),
        refunds: maybe(dedicated_refunds, |list| refunds(registry, list, refusals))?,
        tags: maybe(tags, |list| self::tags(registry, list))?,
        memo: memo.map(Some),
        metadata: metadata.map(Metadata::from),
        reference_number: reference_number.map(Some),
    })
}

/// What an update changes. Null clears what can be cleared; `paid_at` and `amount` can't be, and a cleared fee is 0.
///
/// What the books refuse is added to `refusals`; the changes are whole only if nothing was.
pub(crate) fn update<R: Registry + ?Sized>(
    registry: &mut R,
    request: UpdateInvoicePayment,
    refusals: &mut Vec<Refusal>,
) -> Result<Changes, R::Error> {
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
    } = request;
    Ok(Changes {
        external_id: external_id.into_change(),
        paid_at: paid_at.into_option().map(whole_microseconds),
        method,
        amount: amount.into_option(),
        fee: fee.into_change().map(Option::unwrap_or_default),
        additional_fees: maybe(additional_fees, |fees| additional(registry, fees, refusals))?,
        processor: processor.into_change(),
        clearing_account: maybe(
            payment_clearing_account_identifier.into_change(),
            |identifier| {
                maybe(identifier, |identifier| {
                    account(registry, &identifier, refusals, || CLEARING.to_owned())
                })
            },
        )?,
        // An update can't name another redemption account.
        prepayment_account: None,
        allocations: maybe(invoice_payments, |list| {
            allocations(registry, list, refusals)
        })?,
        refunds: maybe(dedicated_refunds, |list| refunds(registry, list, refusals))?,
        tags: maybe(tags, |list| self::tags(registry, list))?,
        memo: memo.into_change(),
        metadata: metadata
            .into_change()
            .map(|metadata| metadata.map(Metadata::from).unwrap_or_default()),
        reference_number: reference_number.into_change(),
    })
}

/// Applies a fallible function to what is there.
fn maybe<T, U, E>(
    value: Option<T>,
    resolve: impl FnOnce(T) -> Result<U, E>,
) -> Result<Option<U>, E> {
    value.map(resolve).transpose()
}

const CLEARING: &str = "/payment_clearing_account_identifier";

/// The id of a ledger account. One that the business doesn't have is refused, and then the id means nothing.
fn account<R: Registry + ?Sized>(
    registry: &mut R,
    identifier: &AccountIdentifier,
    refusals: &mut Vec<Refusal>,
    place: impl FnOnce() -> String,
) -> Result<Uuid, R::Error> {
    if let Some(id) = registry.account(identifier)? {
        return Ok(id);
    }
    refusals.push(Refusal {
        code: "account-unknown",
        pointer: place(),
        message: match identifier {
            AccountIdentifier::AccountId { id } => {
                format!("The business has no ledger account with the id {id}; name one that it has.")
            }
            AccountIdentifier::StableName { stable_name } => format!(
                "The business's chart of accounts has no account with the stable name {:?}; name one that it has.",
                shortened(stable_name)
            ),
        },
    });
    Ok(Uuid::nil())
}

fn additional<R: Registry + ?Sized>(
    registry: &mut R,
    fees: Vec<AdditionalFeeInput>,
    refusals: &mut Vec<Refusal>,
) -> Result<Vec<AdditionalFee>, R::Error> {
    fees.into_iter()
        .enumerate()
        .map(|(index, fee)| {
            Ok(AdditionalFee {
                account: account(registry, &fee.account, refusals, || {
                    format!("/additional_fees/{index}/account")
                })?,
                fee_amount: fee.fee_amount,
                description: fee.description,
                is_passed_to_customer: fee.is_passed_to_customer.unwrap_or(false),
            })
        })
        .collect()
}

/// The names of an allocation's invoice; an empty external id is none.
pub(crate) fn invoice_names(invoice: &InvoiceAllocationInput) -> (Option<Uuid>, Option<&str>) {
    let external_id = invoice.invoice_external_id.as_deref();
    (
        invoice.invoice_id,
        external_id.filter(|name| !name.is_empty()),
    )
}

fn allocations<R: Registry + ?Sized>(
    registry: &mut R,
    list: Vec<AllocationInput>,
    refusals: &mut Vec<Refusal>,
) -> Result<Vec<Allocation>, R::Error> {
    let mut resolved = Vec::with_capacity(list.len());
    for (index, allocation) in list.into_iter().enumerate() {
        resolved.push(match allocation {
            AllocationInput::LedgerAccount(ledger) => Allocation {
                target: Target::LedgerAccount(account(
                    registry,
                    &ledger.account,
                    refusals,
                    || format!("/invoice_payments/{index}/account"),
                )?),
                amount: ledger.amount,
                notes: notes(
                    registry,
                    ledger.tags,
                    ledger.memo,
                    ledger.metadata.map(Metadata::from),
                    ledger.reference_number,
                )?,
            },
            AllocationInput::Invoice(invoice) => {
                let (id, external_id) = invoice_names(&invoice);
                let target = match registry.invoice(id, external_id)? {
                    InvoiceName::Is(target) => target,
                    InvoiceName::Unknown => {
                        refusals.push(unknown_invoice(index, id, external_id));
                        continue;
                    }
                    InvoiceName::Disagree => {
                        refusals.push(Refusal {
                            code: "invoice-ids-disagree",
                            pointer: format!("/invoice_payments/{index}/invoice_external_id"),
                            message: format!(
                                "The invoice with the external id {:?} isn't the one with the id in `invoice_id`; \
                                 name one invoice, by either or by both of its own ids.",
                                shortened(external_id.unwrap_or_default())
                            ),
                        });
                        continue;
                    }
                };
                Allocation {
                    target: Target::Invoice(target),
                    amount: invoice.amount,
                    notes: notes(
                        registry,
                        invoice.tags,
                        invoice.memo,
                        invoice.metadata.map(Metadata::from),
                        invoice.reference_number,
                    )?,
                }
            }
        });
    }
    Ok(resolved)
}

fn unknown_invoice(index: usize, id: Option<Uuid>, external_id: Option<&str>) -> Refusal {
    let (property, name) = match (id, external_id) {
        (Some(id), _) => ("invoice_id", format!("id {id}")),
        (None, external_id) => (
            "invoice_external_id",
            format!(
                "external id {:?}",
                shortened(external_id.unwrap_or_default())
            ),
        ),
    };
    Refusal {
        code: "invoice-unknown",
        pointer: format!("/invoice_payments/{index}/{property}"),
        message: format!("The business has no invoice with the {name}; name one that it has."),
    }
}

fn refunds<R: Registry + ?Sized>(
    registry: &mut R,
    list: Vec<DedicatedRefundInput>,
    refusals: &mut Vec<Refusal>,
) -> Result<Vec<Refund>, R::Error> {
    list.into_iter()
        .enumerate()
        .map(|(index, refund)| {
            let at = |rest: &str| format!("/dedicated_refunds/{index}{rest}");
            let DedicatedRefundInput {
                external_id,
                account_identifier,
                line_items,
                refunded_amount,
                completed_at,
                refund_processing_fee,
                method,
                processor,
                refunded_payment_fees,
                tags,
                memo,
                metadata,
                reference_number,
                payment_clearing_account_identifier,
            } = refund;
            Ok(Refund {
                id: Known(registry.new_id()),
                external_id,
                account: maybe(account_identifier, |identifier| {
                    account(registry, &identifier, refusals, || {
                        at("/account_identifier")
                    })
                })?,
                lines: refund_lines(registry, line_items.unwrap_or_default(), refusals, &at)?,
                refunded_amount,
                completed_at: completed_at.map(whole_microseconds),
                processing_fee: refund_processing_fee.unwrap_or_default(),
                method,
                processor,
                refunded_fees: refunded_fees(
                    registry,
                    refunded_payment_fees.unwrap_or_default(),
                    refusals,
                    &at,
                )?,
                clearing_account: maybe(payment_clearing_account_identifier, |identifier| {
                    account(registry, &identifier, refusals, || at(CLEARING))
                })?,
                notes: notes(
                    registry,
                    tags,
                    memo,
                    metadata.map(Metadata::from),
                    reference_number,
                )?,
            })
        })
        .collect()
}

/// `at` gives the place of something within the refund.
fn refund_lines<R: Registry + ?Sized>(
    registry: &mut R,
    lines: Vec<RefundLineItemInput>,
    refusals: &mut Vec<Refusal>,
    at: &impl Fn(&str) -> String,
) -> Result<Vec<RefundLine>, R::Error> {
    lines
        .into_iter()
        .enumerate()
        .map(|(index, line)| {
            let at = |name: &str| at(&format!("/line_items/{index}/{name}"));
            let RefundLineItemInput {
                amount,
                external_id,
                account_identifier,
                prepayment_account_identifier,
                tags,
                memo,
                metadata,
                reference_number,
            } = line;
            Ok(RefundLine {
                id: Known(registry.new_id()),
                amount,
                external_id,
                account: maybe(account_identifier, |identifier| {
                    account(registry, &identifier, refusals, || at("account_identifier"))
                })?,
                prepayment_account: maybe(prepayment_account_identifier, |identifier| {
                    account(registry, &identifier, refusals, || {
                        at("prepayment_account_identifier")
                    })
                })?,
                notes: notes(
                    registry,
                    tags,
                    memo,
                    metadata.map(Metadata::from),
                    reference_number,
                )?,
            })
        })
        .collect()
}

fn refunded_fees<R: Registry + ?Sized>(
    registry: &mut R,
    fees: Vec<RefundedPaymentFeeInput>,
    refusals: &mut Vec<Refusal>,
    at: &impl Fn(&str) -> String,
) -> Result<Vec<RefundedFee>, R::Error> {
    fees.into_iter()
        .enumerate()
        .map(|(index, fee)| {
            Ok(RefundedFee {
                account: account(registry, &fee.account, refusals, || {
                    at(&format!("/refunded_payment_fees/{index}/account"))
                })?,
                fee_amount: fee.fee_amount,
                description: fee.description,
            })
        })
        .collect()
}

fn notes<R: Registry + ?Sized>(
    registry: &mut R,
    tags: Option<Vec<TagKeyValue>>,
    memo: Option<String>,
    metadata: Option<Metadata>,
    reference_number: Option<String>,
) -> Result<Notes, R::Error> {
    Ok(Notes {
        tags: self::tags(registry, tags.unwrap_or_default())?,
        memo,
        metadata: metadata.unwrap_or_default(),
        reference_number,
    })
}

fn tags<R: Registry + ?Sized>(registry: &mut R, list: Vec<TagKeyValue>) -> Result<Tags, R::Error> {
    list.iter()
        .map(|tag| {
            Ok(Tag {
                definition: registry.tag(tag)?,
                id: registry.new_id(),
                created_at: registry.now(),
            })
        })
        .collect::<Result<_, _>>()
        .map(Tags)
}
