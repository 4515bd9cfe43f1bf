//! What the builders of requests make.

use layer_payments_types::{
    AccountIdentifier, AdditionalFeeInput, CreateInvoicePayment, CreateInvoicePaymentBuilder,
    DedicatedRefundInput, InvoiceAllocationInput, LedgerAccountAllocationInput, Metadata,
    Operation, PaymentMethod, RefundLineItemInput, RefundedPaymentFeeInput, Shape, TagKeyValue,
    UpdateInvoicePayment, missing,
};
use serde_json::{Value, json};
use uuid::Uuid;

fn account() -> AccountIdentifier {
    AccountIdentifier::stable_name("BANK_FEES".to_owned())
}

fn tag() -> TagKeyValue {
    TagKeyValue::builder()
        .key("department")
        .value("sales")
        .dimension_display_name("Department")
        .value_display_name(String::from("Sales Team"))
        .build()
}

fn metadata() -> Metadata {
    serde_json::from_value(json!({"order": "A-1"})).unwrap()
}

fn fee() -> AdditionalFeeInput {
    AdditionalFeeInput::builder()
        .account(account())
        .fee_amount(25)
        .description("Cross-border fee")
        .is_passed_to_customer(true)
        .build()
}

fn allocations() -> [layer_payments_types::AllocationInput; 2] {
    let invoice = InvoiceAllocationInput::builder()
        .invoice_id(Uuid::from_u128(7))
        .invoice_external_id("invoice-1")
        .amount(8000)
        .tags([tag()])
        .memo("first half")
        .metadata(metadata())
        .reference_number("R-1");
    let ledger = LedgerAccountAllocationInput::builder()
        .amount(1000)
        .tags(vec![tag()])
        .memo("deposit")
        .metadata(metadata())
        .reference_number("R-2")
        .account(account());
    [invoice.build().into(), ledger.build().into()]
}

fn refund() -> DedicatedRefundInput {
    let line = RefundLineItemInput::builder()
        .amount(100)
        .external_id("line-1")
        .account_identifier(account())
        .prepayment_account_identifier(account())
        .tags([tag()])
        .memo("line")
        .metadata(metadata())
        .reference_number("R-3")
        .build();
    let fee = RefundedPaymentFeeInput::builder()
        .account(account())
        .fee_amount(3)
        .description("fee")
        .build();
    DedicatedRefundInput::builder()
        .external_id("refund-1")
        .account_identifier(account())
        .line_items([line])
        .refunded_amount(100)
        .completed_at("2024-03-01T00:00:00Z".parse().unwrap())
        .refund_processing_fee(2)
        .method(PaymentMethod::Ach)
        .processor("STRIPE")
        .refunded_payment_fees([fee])
        .tags([tag()])
        .memo("refund")
        .metadata(metadata())
        .reference_number("R-4")
        .payment_clearing_account_identifier(account())
        .build()
}

/// The properties that a recorded payment and an update share, each with a value.
fn shared() -> Value {
    let account = json!({"type": "StableName", "stable_name": "BANK_FEES"});
    let tags = json!([{
        "key": "department",
        "value": "sales",
        "dimension_display_name": "Department",
        "value_display_name": "Sales Team",
    }]);
    let metadata = json!({"order": "A-1"});
    json!({
        "external_id": "payment-1",
        "paid_at": "2024-02-27T02:22:55Z",
        "method": "CREDIT_BALANCE",
        "amount": 9000,
        "fee": 290,
        "additional_fees": [{
            "account": account,
            "fee_amount": 25,
            "description": "Cross-border fee",
            "is_passed_to_customer": true,
        }],
        "processor": "STRIPE",
        "payment_clearing_account_identifier": account,
        "invoice_payments": [
            {
                "invoice_id": "00000000-0000-0000-0000-000000000007",
                "invoice_external_id": "invoice-1",
                "amount": 8000,
                "tags": tags,
                "memo": "first half",
                "metadata": metadata,
                "reference_number": "R-1",
            },
            {
                "account": account,
                "amount": 1000,
                "tags": tags,
                "memo": "deposit",
                "metadata": metadata,
                "reference_number": "R-2",
            },
        ],
        "dedicated_refunds": [{
            "external_id": "refund-1",
            "account_identifier": account,
            "line_items": [{
                "amount": 100,
                "external_id": "line-1",
                "account_identifier": account,
                "prepayment_account_identifier": account,
                "tags": tags,
                "memo": "line",
                "metadata": metadata,
                "reference_number": "R-3",
            }],
            "refunded_amount": 100,
            "completed_at": "2024-03-01T00:00:00Z",
            "refund_processing_fee": 2,
            "method": "ACH",
            "processor": "STRIPE",
            "refunded_payment_fees": [{"account": account, "fee_amount": 3, "description": "fee"}],
            "tags": tags,
            "memo": "refund",
            "metadata": metadata,
            "reference_number": "R-4",
            "payment_clearing_account_identifier": account,
        }],
        "tags": tags,
        "memo": "Paid at the counter",
        "metadata": metadata,
        "reference_number": "CHK-1001",
    })
}

/// Fails for an object without one of the properties that it may have, so that a new property can't be forgotten here.
#[track_caller]
fn is_full(shape: &Shape, value: &Value) {
    match shape {
        Shape::Object(object) => {
            for property in object.properties {
                let name = property.name;
                let value = value.get(name);
                is_full(
                    &property.shape,
                    value.unwrap_or_else(|| panic!("{} has no {name}", object.name)),
                );
            }
        }
        Shape::Guided(union) => {
            let is_marked = value.get(union.mark).is_some();
            let member = if is_marked {
                union.marked
            } else {
                union.unmarked
            };
            is_full(&Shape::Object(member), value);
        }
        Shape::List(of) => {
            let list = value.as_array().expect("a list");
            assert!(!list.is_empty(), "an empty list hides its elements");
            list.iter().for_each(|value| is_full(of, value));
        }
        _ => {}
    }
}

#[test]
fn a_payment_with_every_property_is_the_literal_one() {
    let payment = CreateInvoicePayment::builder()
        .external_id("payment-1")
        .paid_at("2024-02-27T02:22:55Z".parse().unwrap())
        .method(PaymentMethod::CreditBalance)
        .amount(9000)
        .fee(290)
        .additional_fees([fee()])
        .processor("STRIPE")
        .payment_clearing_account_identifier(account())
        .redemption_account(account())
        .invoice_payments(allocations())
        .dedicated_refunds([refund()])
        .tags([tag()])
        .memo("Paid at the counter")
        .metadata(metadata())
        .reference_number("CHK-1001")
        .build();
    let mut expected = shared();
    expected["redemption_account"] = json!({"type": "StableName", "stable_name": "BANK_FEES"});
    is_full(Operation::RecordInvoicePayment.body().unwrap(), &expected);
    assert_eq!(serde_json::to_value(&payment).unwrap(), expected);
    assert_eq!(
        payment,
        serde_json::from_value::<CreateInvoicePayment>(expected).unwrap()
    );
}

#[test]
fn an_update_with_every_property_is_the_literal_one() {
    let update = UpdateInvoicePayment::builder()
        .external_id("payment-1")
        .paid_at("2024-02-27T02:22:55Z".parse().unwrap())
        .method(PaymentMethod::CreditBalance)
        .amount(9000)
        .fee(290)
        .additional_fees([fee()])
        .processor("STRIPE")
        .payment_clearing_account_identifier(account())
        .invoice_payments(allocations())
        .dedicated_refunds([refund()])
        .tags([tag()])
        .memo("Paid at the counter")
        .metadata(metadata())
        .reference_number("CHK-1001")
        .build();
    let expected = shared();
    is_full(Operation::UpdateInvoicePayment.body().unwrap(), &expected);
    assert_eq!(serde_json::to_value(&update).unwrap(), expected);
}

#[test]
fn an_update_clears_what_null_clears_and_leaves_the_rest() {
    let update = UpdateInvoicePayment::builder()
        .clear_external_id()
        .clear_fee()
        .clear_processor()
        .clear_payment_clearing_account_identifier()
        .clear_memo()
        .clear_metadata()
        .clear_reference_number()
        .additional_fees([])
        .build();
    assert_eq!(
        serde_json::to_value(&update).unwrap(),
        json!({
            "external_id": null,
            "fee": null,
            "additional_fees": [],
            "processor": null,
            "payment_clearing_account_identifier": null,
            "memo": null,
            "metadata": null,
            "reference_number": null,
        })
    );
    assert_eq!(
        UpdateInvoicePayment::builder().build(),
        UpdateInvoicePayment::default()
    );
}

#[test]
fn of_a_property_that_is_set_twice_the_last_value_counts() {
    let update = UpdateInvoicePayment::builder().memo("a").clear_memo();
    assert!(update.clone().build().memo.is_null());
    let memo = update.memo("b").build().memo;
    assert_eq!(memo.as_option().map(String::as_str), Some("b"));
}

/// What many payments have in common can be set once; the order of the setters doesn't matter.
#[test]
fn a_builder_can_be_kept_and_cloned() {
    let base: CreateInvoicePaymentBuilder<
        missing::PaidAt,
        PaymentMethod,
        missing::Amount,
        Vec<layer_payments_types::AllocationInput>,
    > = CreateInvoicePayment::builder()
        .memo("march")
        .invoice_payments([])
        .method(PaymentMethod::Cash);
    let paid_at = "2024-02-27T02:22:55Z".parse().unwrap();
    let payments = [1, 2].map(|amount| base.clone().amount(amount).paid_at(paid_at).build());
    for (payment, amount) in payments.iter().zip([1, 2]) {
        assert_eq!(
            serde_json::to_value(payment).unwrap(),
            json!({
                "paid_at": "2024-02-27T02:22:55Z",
                "method": "CASH",
                "amount": amount,
                "invoice_payments": [],
                "memo": "march",
            })
        );
    }
}
