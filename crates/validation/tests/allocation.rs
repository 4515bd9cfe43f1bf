//! That a valid request costs no memory, counted by an allocator.
//!
//! The allocator counts for the whole program and what one thread does, so these tests are a program of their own.

use allocation_counter::measure;
use layer_payments_tests::{json_file, spec};
use layer_payments_types::{CreateInvoicePayment, Field, InvoicePayment, UpdateInvoicePayment};
use layer_payments_validation::{
    Context, Existing, METADATA_LIMIT, Violation, validate_bulk, validate_create, validate_update,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn context() -> Context {
    Context::at("2026-01-01T00:00:00Z".parse().unwrap())
}

fn decoded<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// How often a check allocates. It has to find nothing.
fn allocations(check: impl Fn() -> Vec<Violation>) -> u64 {
    let mut found = Vec::new();
    let info = measure(|| found = check());
    assert_eq!(found, []);
    info.count_total
}

/// The documents' payments and those of the spec, and one that has everything to the limits.
fn payments() -> Vec<CreateInvoicePayment> {
    let spec = spec();
    let example = |name: &str| spec["components"]["examples"][name]["value"].clone();
    let tags = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|index| json!({"key": format!("key {index}"), "value": "v", "value_display_name": "V"}))
            .collect()
    };
    let metadata = json!({"m": "\n".repeat(505), "": []});
    assert_eq!(metadata.to_string().len(), METADATA_LIMIT);
    let account = json!({"type": "StableName", "stable_name": "BANK_FEES"});
    let longest = 2_048;
    let full = json!({
        "external_id": "payment-1",
        "paid_at": "2024-02-27T02:22:55Z",
        "method": "CREDIT_BALANCE",
        "amount": 4_096,
        "fee": 20,
        "additional_fees": [{"account": account, "fee_amount": 4_076}],
        "processor": "STRIPE",
        "payment_clearing_account_identifier": account,
        "redemption_account": account,
        "invoice_payments": (0..longest)
            .map(|index| json!({
                "invoice_id": format!("00000000-0000-4000-8000-{index:012}"),
                "invoice_external_id": format!("invoice-{index}"),
                "amount": 2,
                "tags": tags(9),
                "metadata": metadata,
            }))
            .collect::<Vec<_>>(),
        "dedicated_refunds": (0..longest)
            .map(|index| json!({
                "external_id": format!("refund-{index}"),
                "refunded_amount": 1,
                "line_items": [{"amount": 1, "tags": tags(1)}],
                "completed_at": "2024-02-27T02:22:55Z",
            }))
            .collect::<Vec<_>>(),
        "tags": tags(longest),
        "metadata": metadata,
        "reference_number": "CHK-1001",
    });
    [
        json_file("spec/examples/record_invoice_payment.request.json"),
        example("CreateCardPayment"),
        example("CreateSplitPayment"),
        example("CreateCreditBalancePayment"),
        full,
    ]
    .into_iter()
    .map(decoded)
    .collect()
}

#[test]
fn a_valid_payment_is_checked_without_an_allocation() {
    for payment in payments() {
        assert_eq!(allocations(|| validate_create(&payment, &context())), 0);
    }
}

#[test]
fn a_valid_update_is_checked_without_an_allocation() {
    let spec = spec();
    let example = |name: &str| spec["components"]["examples"][name]["value"].clone();
    let mut documented: UpdateInvoicePayment = decoded(json_file(
        "spec/examples/update_invoice_payment.request.json",
    ));
    // The page's fees are twice its amount, which is warned of.
    documented.fee = Field::Value(0);
    let updates = [
        documented,
        decoded(example("UpdateReallocate")),
        decoded(example("UpdateClear")),
    ];
    let reply: InvoicePayment = decoded(json!({
        "id": "e67c216b-28f4-4a0e-9a21-7f05c19e4c66", "at": "2023-11-07T05:31:56Z", "fee": 1, "amount": 90,
        "method": "ACH", "processor": "STRIPE", "imported_at": "2024-02-27T02:22:55Z", "allocations": []
    }));
    let existing = Existing::from(&reply);
    for update in &updates {
        for existing in [None, Some(&existing)] {
            let check = || validate_update(update, existing, &context());
            assert_eq!(allocations(check), 0);
        }
    }
}

#[test]
fn a_bulk_allocates_the_table_of_its_ids_alone() {
    let of_each = payments();
    let of_each = &of_each[..4];
    for count in [1, 100, 10_000] {
        let payments: Vec<_> = of_each
            .iter()
            .cycle()
            .take(count)
            .enumerate()
            .map(|(index, payment)| CreateInvoicePayment {
                external_id: Some(format!("payment-{index}")),
                ..payment.clone()
            })
            .collect();
        let check = || validate_bulk(&payments, &context());
        assert_eq!(allocations(check), u64::from(count > 1), "{count} payments");
    }
}

#[test]
fn the_allocator_does_count() {
    let mut payment = payments().remove(0);
    payment.amount = -1;
    let info = measure(|| drop(validate_create(&payment, &context())));
    assert!(info.count_total > 0);
}
