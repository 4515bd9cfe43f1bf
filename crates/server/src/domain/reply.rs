//! A payment as replies show it.

use std::collections::HashSet;

use layer_payments_types as types;
use layer_payments_types::Field;
use serde_json::Map;
use uuid::Uuid;

use super::chart;
use super::payment::{
    AdditionalFee, Allocation, Metadata, Notes, Payment, Refund, RefundLine, Tags, Target,
};

/// A ledger account as the books know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) id: Uuid,
    /// `None` for an account that was only ever named by id.
    pub(crate) stable_name: Option<String>,
}

/// Shows a payment. `clearing` is the account of [`Payment::clearing_account`]. Every property of the schema is there,
/// null or empty where there is nothing to say: some clients require the keys.
pub(crate) fn reply(payment: &Payment, clearing: Option<&Account>) -> types::InvoicePayment {
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
        payouts: Some(Vec::new()),
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

fn chart_account(account: &Account) -> types::SingleChartAccount {
    let kind = account.stable_name.as_deref().map(chart::kind_of);
    let (name, class) = match kind {
        Some(kind) => (kind.name, kind.class),
        None => (format!("Account {}", account.id), None),
    };
    types::SingleChartAccount {
        type_: Some("Single_Chart_Account".to_owned()),
        id: account_id(account.id),
        name,
        account_number: Field::Null,
        stable_name: account
            .stable_name
            .clone()
            .map(types::AccountReference::stable_name)
            .into(),
        normality: class.as_ref().map(|class| class.normality.clone()),
        account_type: class.as_ref().map(|class| types::AccountTypeLabel {
            display_name: Some(chart::for_people(&class.account_type.to_string())),
            value: Some(class.account_type.clone()),
            extra: Map::new(),
        }),
        account_subtype: class
            .map(|class| types::AccountSubtypeLabel {
                value: Some(class.subtype.to_owned()),
                display_name: Some(chart::for_people(class.subtype)),
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

/// The allocations, each invoice's part with what is left of it. Refunds name no invoice, so they are taken off the
/// invoices' parts in their order until they are used up; with one invoice there is nothing to choose.
fn allocations(payment: &Payment) -> Vec<types::Allocation> {
    let mut refunded: i128 = payment.refunded_amounts().map(i128::from).sum();
    payment
        .allocations
        .iter()
        .map(|allocation| allocation_reply(payment.id, allocation, &mut refunded))
        .collect()
}

fn allocation_reply(
    payment_id: Uuid,
    allocation: &Allocation,
    refunded: &mut i128,
) -> types::Allocation {
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
        Target::Invoice(invoice_id) => {
            let net = (i128::from(allocation.amount) - *refunded).max(0);
            // `net` is between 0 and the amount, so the fallback is never taken.
            let net = i64::try_from(net).unwrap_or(allocation.amount);
            *refunded -= i128::from(allocation.amount - net);
            types::Allocation::Invoice(types::InvoiceAllocation {
                invoice_id,
                payment_id: Some(payment_id),
                amount: allocation.amount,
                amount_net_of_refunds: Some(net),
                transaction_tags: Some(tags(own_tags)),
                memo: memo.clone().into(),
                metadata: metadata(own_metadata),
                reference_number: reference_number.clone().into(),
                extra: Map::new(),
            })
        }
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
