//! A payment as replies show it.

use std::collections::HashSet;

use layer_payments_types as types;
use layer_payments_types::Field;
use serde_json::Map;
use uuid::Uuid;

use super::chart::{self, AccountKind};
use super::payment::{
    AdditionalFee, Allocation, Metadata, Notes, Payment, Refund, RefundLine, Tags, Target,
};

/// A ledger account as the books know it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Account {
    pub(crate) id: Uuid,
    pub(crate) stable_name: Option<String>,
    pub(crate) account_number: Option<String>,
    pub(crate) kind: AccountKind,
}

/// Shows a payment. `clearing` is the account of [`Payment::clearing_account`], `payouts` those that the payment is in.
/// Every property of the schema is there, null or empty where there is nothing to say: some clients require the keys.
pub(crate) fn reply(
    payment: &Payment,
    clearing: Option<&Account>,
    payouts: Vec<types::Payout>,
) -> types::InvoicePayment {
    types::InvoicePayment {
        type_: Some("Invoice_Payment".to_owned()),
        id: payment.id,
        external_id: payment.external_id.clone().into(),
        at: payment.paid_at,
        method: Some(method(payment.method)),
        fee: payment.fee,
        prepayment_account: payment.prepayment_account.map(account_id).into(),
        payment_clearing_account: clearing.map(chart_account).into(),
        additional_fees: Some(payment.additional_fees.iter().map(additional_fee).collect()),
        amount: payment.amount,
        processor: payment.processor.clone().into(),
        imported_at: payment.imported_at,
        allocations: allocations(payment),
        refund_allocations: Some(refund_allocations(payment)),
        payouts: Some(payouts),
        transaction_tags: Some(tags(&payment.tags)),
        memo: payment.memo.clone().into(),
        metadata: metadata(&payment.metadata),
        reference_number: payment.reference_number.clone().into(),
        extra: Map::new(),
    }
}

/// A method by the name that replies have for it.
fn method(method: types::PaymentMethod) -> types::InvoicePaymentMethod {
    match method {
        types::PaymentMethod::Cash => types::InvoicePaymentMethod::Cash,
        types::PaymentMethod::Check => types::InvoicePaymentMethod::Check,
        types::PaymentMethod::CreditCard => types::InvoicePaymentMethod::CreditCard,
        types::PaymentMethod::Ach => types::InvoicePaymentMethod::Ach,
        types::PaymentMethod::CreditBalance => types::InvoicePaymentMethod::CreditBalance,
        types::PaymentMethod::Other => types::InvoicePaymentMethod::Other,
    }
}

fn account_id(id: Uuid) -> types::AccountReference {
    types::AccountReference::account_id(id)
}

/// An account as it stands in the chart.
pub(crate) fn chart_account(account: &Account) -> types::SingleChartAccount {
    let AccountKind { name, class } = &account.kind;
    types::SingleChartAccount {
        type_: Some("Single_Chart_Account".to_owned()),
        id: account_id(account.id),
        name: name.clone(),
        account_number: account.account_number.clone().into(),
        stable_name: account
            .stable_name
            .clone()
            .map(types::AccountReference::stable_name)
            .into(),
        normality: Some(class.normality.clone()),
        account_type: Some(types::AccountTypeLabel {
            display_name: Some(chart::for_people(&class.account_type.to_string())),
            value: Some(class.account_type.clone()),
            extra: Map::new(),
        }),
        account_subtype: class
            .subtype
            .as_deref()
            .map(|subtype| types::AccountSubtypeLabel {
                value: Some(subtype.to_owned()),
                display_name: Some(chart::for_people(subtype)),
                extra: Map::new(),
            })
            .into(),
        extra: Map::new(),
    }
}

fn additional_fee(fee: &AdditionalFee) -> types::AdditionalFee {
    types::AdditionalFee {
        account: account_id(fee.account),
        fee_amount: fee.fee_amount,
        description: fee.description.clone().into(),
        is_passed_to_customer: Field::Value(fee.is_passed_to_customer),
        extra: Map::new(),
    }
}

/// The allocations, each invoice's part with what is left of it.
fn allocations(payment: &Payment) -> Vec<types::Allocation> {
    payment
        .allocations
        .iter()
        .zip(payment.net_of_refunds())
        .map(|(allocation, net)| allocation_reply(payment.id, allocation, net))
        .collect()
}

fn allocation_reply(payment_id: Uuid, allocation: &Allocation, net: i64) -> types::Allocation {
    let Notes {
        tags: own_tags,
        memo,
        metadata: own_metadata,
        reference_number,
    } = &allocation.notes;
    match allocation.target {
        Target::LedgerAccount(account) => {
            types::Allocation::LedgerAccount(types::LedgerAccountAllocation {
                account: account_id(account),
                payment_id: Some(payment_id),
                amount: allocation.amount,
                transaction_tags: Some(tags(own_tags)),
                memo: memo.clone().into(),
                metadata: metadata(own_metadata),
                reference_number: reference_number.clone().into(),
                extra: Map::new(),
            })
        }
        Target::Invoice(invoice_id) => types::Allocation::Invoice(types::InvoiceAllocation {
            invoice_id,
            payment_id: Some(payment_id),
            amount: allocation.amount,
            amount_net_of_refunds: Some(net),
            transaction_tags: Some(tags(own_tags)),
            memo: memo.clone().into(),
            metadata: metadata(own_metadata),
            reference_number: reference_number.clone().into(),
            extra: Map::new(),
        }),
    }
}

fn refund_allocations(payment: &Payment) -> Vec<types::RefundAllocation> {
    let mut list = Vec::new();
    let invoice_id = only_invoice(payment);
    for refund in &payment.refunds {
        for line in &refund.lines {
            list.push(refund_line(payment, invoice_id, refund, line));
        }
        if let (true, Some(amount)) = (refund.lines.is_empty(), refund.refunded_amount) {
            list.push(refund_allocation(
                payment,
                invoice_id,
                refund.id.0,
                amount,
                refund.account,
                &refund.notes,
            ));
        }
    }
    list
}

fn refund_line(
    payment: &Payment,
    invoice_id: Option<Uuid>,
    refund: &Refund,
    line: &RefundLine,
) -> types::RefundAllocation {
    refund_allocation(
        payment,
        invoice_id,
        line.id.0,
        line.amount,
        line.account.or(refund.account),
        &line.notes,
    )
}

fn refund_allocation(
    payment: &Payment,
    invoice_id: Option<Uuid>,
    id: Uuid,
    amount: i64,
    account: Option<Uuid>,
    notes: &Notes,
) -> types::RefundAllocation {
    types::RefundAllocation {
        id,
        invoice_id: invoice_id.into(),
        invoice_external_id: Field::Null,
        invoice_line_item_id: Field::Null,
        invoice_line_item_external_id: Field::Null,
        invoice_payment_id: Field::Value(payment.id),
        invoice_payment_external_id: payment.external_id.clone().into(),
        amount,
        account_identifier: account.map(account_id).into(),
        customer: Field::Null,
        transaction_tags: Some(tags(&notes.tags)),
        memo: notes.memo.clone().into(),
        metadata: metadata(&notes.metadata),
        reference_number: notes.reference_number.clone().into(),
        extra: Map::new(),
    }
}

/// The invoice that the whole payment is about, if it is one.
fn only_invoice(payment: &Payment) -> Option<Uuid> {
    let invoices: HashSet<Uuid> = payment.invoices().collect();
    match invoices.len() {
        1 => invoices.into_iter().next(),
        _ => None,
    }
}

fn tags(list: &Tags) -> Vec<types::TransactionTag> {
    list.0
        .iter()
        .map(|tag| types::TransactionTag {
            id: tag.id,
            key: tag.definition.key.clone(),
            value: tag.definition.value.clone(),
            dimension_id: Field::Value(tag.definition.dimension_id),
            definition_id: Field::Value(tag.definition.id),
            dimension_display_name: tag.definition.dimension_display_name.clone().into(),
            value_display_name: tag.definition.value_display_name.clone().into(),
            created_at: Field::Value(tag.created_at),
            // A tag that is set doesn't change: another value is another tag.
            updated_at: Field::Value(tag.created_at),
            deleted_at: Field::Null,
            archived_at: Field::Null,
            extra: Map::new(),
        })
        .collect()
}

fn metadata(metadata: &Metadata) -> Field<types::Metadata> {
    Field::Value(types::Metadata::from(metadata.clone()))
}
