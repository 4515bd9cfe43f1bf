//! The builders of requests make the requests that the documentation and the spec show.

use std::collections::BTreeMap;

use layer_payments_tests::{json_file, spec};
use layer_payments_types::{
    AccountIdentifier, AdditionalFeeInput, CreateInvoicePayment, DedicatedRefundInput,
    InvoiceAllocationInput, LedgerAccountAllocationInput, Metadata, PaymentMethod,
    RefundLineItemInput, RefundedPaymentFeeInput, TagKeyValue, UpdateInvoicePayment,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

/// The requests of Layer's pages, by the name of their file.
fn documented() -> BTreeMap<String, Value> {
    let index = json_file("spec/examples/index.json");
    let entries = index.as_array().expect("the index is a list").iter();
    entries
        .filter(|entry| entry["kind"] == "request")
        .map(|entry| {
            let file = entry["file"].as_str().expect("an entry has a file");
            (file.to_owned(), json_file(&format!("spec/examples/{file}")))
        })
        .collect()
}

/// Both directions: what is built is written as the example, and the example is read as what is built.
#[track_caller]
fn same<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(built: &T, example: &Value) {
    assert_eq!(
        &serde_json::to_value(built).expect("it is written"),
        example
    );
    let read: T = serde_json::from_str(&example.to_string()).expect("the example is read");
    assert_eq!(built, &read);
}

fn stable_name(name: &str) -> AccountIdentifier {
    AccountIdentifier::stable_name(name.to_owned())
}

fn card_payment() -> CreateInvoicePayment {
    let part = InvoiceAllocationInput::builder()
        .invoice_id(
            "3a9c378e-dc02-4700-9158-f629d632a83b"
                .parse()
                .expect("a UUID"),
        )
        .amount(90)
        .tags([TagKeyValue::builder()
            .key("payment-source")
            .dimension_display_name("Payment Source")
            .value("online-portal")
            .value_display_name("Online Portal")
            .build()]);
    let fee = AdditionalFeeInput::builder()
        .account(stable_name("MERCHANT_CASH_ADVANCE"))
        .description("MCA Fee")
        .fee_amount(2);
    let channel = TagKeyValue::builder()
        .key("payment-channel")
        .dimension_display_name("Payment Channel")
        .value("in-store")
        .value_display_name("In Store");
    let department = TagKeyValue::builder().key("department").value("sales");
    CreateInvoicePayment::builder()
        .external_id("payment-1")
        .paid_at("2024-02-27T02:22:55.163005Z".parse().expect("a time"))
        .method(PaymentMethod::CreditCard)
        .fee(20)
        .amount(90)
        .processor("STRIPE")
        .invoice_payments([part.build().into()])
        .additional_fees([fee.build()])
        .tags([channel.build(), department.build()])
        .build()
}

fn update() -> UpdateInvoicePayment {
    let id: Uuid = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
        .parse()
        .expect("a UUID");
    let account = AccountIdentifier::account_id(id);
    let at = "2023-11-07T05:31:56Z".parse().expect("a time");
    let metadata: Metadata = serde_json::from_value(json!({
        "custom_field": "value",
        "any valid json": "below 1kb",
        "nested": {"meaning of life": 42, "array": []},
    }))
    .expect("metadata");
    let tag = TagKeyValue::builder()
        .key("department")
        .value("sales")
        .dimension_display_name("Department")
        .value_display_name("Sales Department")
        .build();

    let fee = AdditionalFeeInput::builder()
        .fee_amount(123)
        .description("<string>")
        .account(account.clone())
        .is_passed_to_customer(true);
    let part = InvoiceAllocationInput::builder()
        .invoice_id(id)
        .invoice_external_id(id.to_string())
        .amount(123)
        .tags([tag.clone()])
        .memo("<string>")
        .metadata(metadata.clone())
        .reference_number("<string>");
    let line = RefundLineItemInput::builder()
        .amount(123)
        .external_id("<string>")
        .account_identifier(account.clone())
        .prepayment_account_identifier(account.clone())
        .tags([tag.clone()])
        .memo("<string>")
        .metadata(metadata.clone())
        .reference_number("<string>");
    let refunded_fee = RefundedPaymentFeeInput::builder()
        .account(account.clone())
        .fee_amount(123)
        .description("<string>");
    let refund = DedicatedRefundInput::builder()
        .external_id("31415926535")
        .account_identifier(account.clone())
        .line_items([line.build()])
        .completed_at(at)
        .refund_processing_fee(123)
        .processor("<string>")
        .refunded_payment_fees([refunded_fee.build()])
        .tags([tag.clone()])
        .memo("<string>")
        .metadata(metadata.clone())
        .reference_number("<string>")
        .payment_clearing_account_identifier(account.clone());
    UpdateInvoicePayment::builder()
        .external_id(
            "Unique ID of the invoice payment in an external system for linking and idempotency.",
        )
        .paid_at(at)
        .amount(123)
        .fee(123)
        .additional_fees([fee.build()])
        .processor("STRIPE")
        .payment_clearing_account_identifier(account)
        .invoice_payments([part.build().into()])
        .dedicated_refunds([refund.build()])
        .tags([tag])
        .memo("<string>")
        .metadata(metadata)
        .reference_number("<string>")
        .build()
}

#[test]
fn the_documents_requests_can_be_built() {
    for (file, example) in documented() {
        match file.as_str() {
            "record_invoice_payment.request.json" => same(&card_payment(), &example),
            "update_invoice_payment.request.json" => same(&update(), &example),
            other => panic!("{other} has no place in this test; add it"),
        }
    }
}

#[test]
fn requests_of_the_spec_with_a_mixed_list_and_with_null_can_be_built() {
    let spec = spec();
    let example = |name: &str| &spec["components"]["examples"][name]["value"];

    let part = |invoice: &str, amount| {
        InvoiceAllocationInput::builder()
            .invoice_external_id(invoice)
            .amount(amount)
            .build()
            .into()
    };
    let deposit = LedgerAccountAllocationInput::builder()
        .account(stable_name("UNEARNED_REVENUE"))
        .amount(2500)
        .memo("Deposit for March")
        .build();
    let split = CreateInvoicePayment::builder()
        .external_id("payment-2")
        .paid_at("2024-03-01T16:00:00Z".parse().expect("a time"))
        .method(PaymentMethod::Check)
        .amount(25000)
        .invoice_payments([
            part("invoice-1001", 15000),
            part("invoice-1002", 7500),
            deposit.into(),
        ])
        .reference_number("CHK-1001")
        .build();
    same(&split, example("CreateSplitPayment"));

    let clear = UpdateInvoicePayment::builder()
        .clear_memo()
        .tags([])
        .build();
    same(&clear, example("UpdateClear"));
}
