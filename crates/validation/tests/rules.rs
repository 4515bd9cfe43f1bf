//! Every rule, with payloads that keep it, break it, and stand at its boundary.

use layer_payments_types::{CreateInvoicePayment, UpdateInvoicePayment};
use layer_payments_validation::{
    METADATA_LIMIT, Rule, Violation, validate_allocation_target, validate_allocations,
    validate_bulk, validate_create, validate_update,
};
use serde_json::{Value, json};

fn with(mut value: Value, properties: Value) -> Value {
    let (Value::Object(map), Value::Object(properties)) = (&mut value, properties) else {
        panic!("both are objects");
    };
    map.extend(properties);
    value
}

fn payment(properties: Value) -> Value {
    with(
        json!({"paid_at": "2024-02-27T02:22:55Z", "method": "CASH", "amount": 90, "invoice_payments": []}),
        properties,
    )
}

fn found(violations: &[Violation]) -> Vec<(&str, &str)> {
    violations
        .iter()
        .map(|violation| {
            assert!(!violation.message.is_empty());
            (violation.pointer.as_str(), violation.rule.code())
        })
        .collect()
}

#[track_caller]
fn create(payload: Value) -> Vec<Violation> {
    let payment: CreateInvoicePayment = serde_json::from_value(payload).unwrap();
    validate_create(&payment)
}

#[track_caller]
fn bulk(payload: Value) -> Vec<Violation> {
    let payments: Vec<CreateInvoicePayment> = serde_json::from_value(payload).unwrap();
    validate_bulk(&payments)
}

#[track_caller]
fn update(payload: Value) -> Vec<Violation> {
    let update: UpdateInvoicePayment = serde_json::from_value(payload).unwrap();
    validate_update(&update)
}

/// Metadata that takes this many bytes as compact JSON.
fn metadata(bytes: usize) -> Value {
    let metadata = json!({ "m": "x".repeat(bytes - 8) });
    assert_eq!(metadata.to_string().len(), bytes);
    metadata
}

/// A payment that uses everything and breaks nothing.
fn full() -> Value {
    let tags = json!([{"key": "department", "value": "sales"}]);
    let account = json!({"type": "StableName", "stable_name": "BANK_FEES"});
    payment(json!({
        "external_id": "payment-1",
        "fee": 20,
        "processor": "STRIPE",
        "method": "CREDIT_BALANCE",
        "payment_clearing_account_identifier": account,
        "redemption_account": {"type": "AccountId", "id": "50448df3-6f86-445e-b48f-0e80153e5d42"},
        "additional_fees": [{"account": account, "fee_amount": 2}],
        "invoice_payments": [
            {"invoice_id": "3a9c378e-dc02-4700-9158-f629d632a83b", "amount": 50, "tags": tags, "metadata": metadata(1024)},
            {"invoice_external_id": "invoice-2", "amount": 30},
            {"account": account, "amount": 10, "tags": tags, "metadata": {}},
        ],
        "dedicated_refunds": [{
            "external_id": "refund-1",
            "account_identifier": account,
            "line_items": [{"amount": 5, "external_id": "l", "account_identifier": account,
                "prepayment_account_identifier": account, "tags": tags, "metadata": {"a": 1}}],
            "refund_processing_fee": 0,
            "refunded_payment_fees": [{"account": account, "fee_amount": 1}],
            "tags": tags,
            "metadata": {"a": 1},
            "payment_clearing_account_identifier": account,
        }],
        "tags": tags,
        "metadata": metadata(1024),
    }))
}

/// The same properties as an update.
fn full_update() -> Value {
    let mut update = full();
    update.as_object_mut().unwrap().remove("redemption_account");
    update
}

#[test]
fn valid_requests_have_no_violation() {
    assert_eq!(create(full()), []);
    assert_eq!(create(payment(json!({}))), []);
    assert_eq!(
        bulk(json!([full(), payment(json!({})), payment(json!({}))])),
        []
    );
    assert_eq!(update(full_update()), []);
    assert_eq!(update(json!({})), []);
    assert_eq!(
        update(
            json!({"external_id": null, "amount": null, "fee": null, "metadata": null,
            "payment_clearing_account_identifier": null})
        ),
        []
    );
}

#[test]
fn each_value_is_checked_wherever_it_occurs() {
    let negative = json!(-1);
    let empty = json!("");
    let large = metadata(METADATA_LIMIT + 1);
    let mut covered = Vec::new();
    for (pointer, value, rule) in [
        ("/external_id", &empty, Rule::ExternalIdEmpty),
        (
            "/dedicated_refunds/0/external_id",
            &empty,
            Rule::ExternalIdEmpty,
        ),
        (
            "/dedicated_refunds/0/line_items/0/external_id",
            &empty,
            Rule::ExternalIdEmpty,
        ),
        ("/fee", &negative, Rule::AmountNegative),
        (
            "/additional_fees/0/fee_amount",
            &negative,
            Rule::AmountNegative,
        ),
        (
            "/invoice_payments/0/amount",
            &negative,
            Rule::AmountNegative,
        ),
        (
            "/invoice_payments/2/amount",
            &negative,
            Rule::AmountNegative,
        ),
        (
            "/dedicated_refunds/0/line_items/0/amount",
            &negative,
            Rule::AmountNegative,
        ),
        (
            "/dedicated_refunds/0/refunded_amount",
            &negative,
            Rule::AmountNegative,
        ),
        (
            "/dedicated_refunds/0/refund_processing_fee",
            &negative,
            Rule::AmountNegative,
        ),
        (
            "/dedicated_refunds/0/refunded_payment_fees/0/fee_amount",
            &negative,
            Rule::AmountNegative,
        ),
        ("/metadata", &large, Rule::MetadataTooLarge),
        (
            "/invoice_payments/0/metadata",
            &large,
            Rule::MetadataTooLarge,
        ),
        (
            "/invoice_payments/2/metadata",
            &large,
            Rule::MetadataTooLarge,
        ),
        (
            "/dedicated_refunds/0/metadata",
            &large,
            Rule::MetadataTooLarge,
        ),
        (
            "/dedicated_refunds/0/line_items/0/metadata",
            &large,
            Rule::MetadataTooLarge,
        ),
        ("/tags/0/key", &empty, Rule::TagEmpty),
        ("/tags/0/value", &empty, Rule::TagEmpty),
        ("/invoice_payments/0/tags/0/value", &empty, Rule::TagEmpty),
        ("/invoice_payments/2/tags/0/key", &empty, Rule::TagEmpty),
        ("/dedicated_refunds/0/tags/0/key", &empty, Rule::TagEmpty),
        (
            "/dedicated_refunds/0/line_items/0/tags/0/value",
            &empty,
            Rule::TagEmpty,
        ),
        (
            "/payment_clearing_account_identifier/stable_name",
            &empty,
            Rule::StableNameEmpty,
        ),
        (
            "/additional_fees/0/account/stable_name",
            &empty,
            Rule::StableNameEmpty,
        ),
        (
            "/invoice_payments/2/account/stable_name",
            &empty,
            Rule::StableNameEmpty,
        ),
        (
            "/dedicated_refunds/0/account_identifier/stable_name",
            &empty,
            Rule::StableNameEmpty,
        ),
        (
            "/dedicated_refunds/0/line_items/0/account_identifier/stable_name",
            &empty,
            Rule::StableNameEmpty,
        ),
        (
            "/dedicated_refunds/0/line_items/0/prepayment_account_identifier/stable_name",
            &empty,
            Rule::StableNameEmpty,
        ),
        (
            "/dedicated_refunds/0/refunded_payment_fees/0/account/stable_name",
            &empty,
            Rule::StableNameEmpty,
        ),
        (
            "/dedicated_refunds/0/payment_clearing_account_identifier/stable_name",
            &empty,
            Rule::StableNameEmpty,
        ),
    ] {
        for mut payload in [full(), full_update()] {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            payload.pointer_mut(parent).unwrap()[name] = value.clone();
            let violations = if payload.get("redemption_account").is_some() {
                create(payload)
            } else {
                update(payload)
            };
            assert_eq!(found(&violations), [(pointer, rule.code())]);
        }
        covered.push(rule);
    }
    // The amount itself takes the allocations' sum with it.
    assert_eq!(
        found(&create(payment(json!({"amount": -1})))),
        [
            ("/amount", "amount-negative"),
            ("/invoice_payments", "allocations-exceed-amount")
        ]
    );
    assert_eq!(
        found(&update(json!({"amount": -1}))),
        [("/amount", "amount-negative")]
    );
    assert_eq!(
        found(&create(payment(json!({
            "method": "CREDIT_BALANCE",
            "redemption_account": {"type": "StableName", "stable_name": ""},
        })))),
        [("/redemption_account/stable_name", "stable-name-empty")]
    );
    // Rules with a test of their own below.
    covered.extend([
        Rule::AllocationsExceedAmount,
        Rule::AllocationTargetMissing,
        Rule::AllocationTargetAmbiguous,
        Rule::DuplicateExternalId,
        Rule::BulkEmpty,
    ]);
    for rule in Rule::ALL {
        assert!(covered.contains(rule), "{rule} has no test");
    }
}

#[test]
fn zero_is_not_negative_and_the_limits_are_no_overflow() {
    let allocations = |amount: i64, parts: &[i64]| {
        let list: Vec<Value> = parts
            .iter()
            .map(|part| json!({"invoice_external_id": "i", "amount": part}))
            .collect();
        payment(json!({"amount": amount, "invoice_payments": list}))
    };
    for (amount, parts) in [
        (0, &[][..]),
        (0, &[0]),
        (90, &[90]),
        (90, &[89]),
        (90, &[45, 45]),
        (i64::MAX, &[i64::MAX]),
        (i64::MAX, &[i64::MAX - 1, 1]),
    ] {
        assert_eq!(create(allocations(amount, parts)), [], "{amount} {parts:?}");
    }
    for (amount, parts, sum) in [
        (0, &[1][..], "1"),
        (90, &[91], "91"),
        (90, &[45, 46], "91"),
        (i64::MAX, &[i64::MAX, 1], "9223372036854775808"),
        (
            i64::MAX,
            &[i64::MAX, i64::MAX, i64::MAX],
            "27670116110564327421",
        ),
    ] {
        let violations = create(allocations(amount, parts));
        assert_eq!(
            found(&violations),
            [("/invoice_payments", "allocations-exceed-amount")]
        );
        let message = &violations[0].message;
        assert!(message.contains(&format!("{sum} cents")), "{message}");
        assert!(message.contains(&format!("{amount} cents")), "{message}");
    }
}

#[test]
fn an_update_is_checked_as_far_as_it_goes() {
    let list = json!([{"invoice_external_id": "i", "amount": 91}]);
    assert_eq!(update(json!({"invoice_payments": list})), []);
    assert_eq!(
        update(json!({"invoice_payments": list, "amount": null})),
        []
    );
    assert_eq!(update(json!({"invoice_payments": list, "amount": 91})), []);
    assert_eq!(
        found(&update(json!({"invoice_payments": list, "amount": 90}))),
        [("/invoice_payments", "allocations-exceed-amount")]
    );
    // The rest is checked where the payment is known.
    assert_eq!(validate_allocations(91, [91], "/amount"), None);
    let violation = validate_allocations(90, [i64::MAX, i64::MAX], "/amount").unwrap();
    assert_eq!(violation.pointer, "/amount");
    assert_eq!(violation.rule, Rule::AllocationsExceedAmount);
}

#[test]
fn metadata_is_measured_as_compact_utf_8() {
    for (value, fits) in [
        (metadata(1024), true),
        (metadata(1025), false),
        // Two bytes a letter.
        (json!({"m": "ü".repeat(508)}), true),
        (json!({"m": "ü".repeat(509)}), false),
        // An escape of two bytes.
        (json!({"m": "\n".repeat(508)}), true),
        (json!({"m": "\n".repeat(509)}), false),
    ] {
        let violations = create(payment(json!({ "metadata": value })));
        assert_eq!(violations.is_empty(), fits, "{violations:?}");
    }
    let violations = create(payment(json!({"metadata": metadata(1025)})));
    let message = &violations[0].message;
    assert!(
        message.contains("1025") && message.contains("1024"),
        "{message}"
    );
}

#[test]
fn an_invoice_allocation_names_its_invoice() {
    let target = |allocation: Value| {
        let allocation = with(allocation, json!({"amount": 1}));
        create(payment(
            json!({ "invoice_payments": [{"invoice_external_id": "i", "amount": 1}, allocation] }),
        ))
    };
    let id = "3a9c378e-dc02-4700-9158-f629d632a83b";
    for named in [
        json!({"invoice_id": id}),
        json!({"invoice_external_id": "i"}),
        json!({"invoice_id": id, "invoice_external_id": "i"}),
        json!({"invoice_id": id, "invoice_external_id": null}),
        json!({"invoice_id": id, "invoice_external_id": ""}),
        json!({"account": {"type": "StableName", "stable_name": "UNEARNED_REVENUE"}}),
    ] {
        assert_eq!(target(named), []);
    }
    for unnamed in [
        json!({}),
        json!({"invoice_id": null, "invoice_external_id": null}),
        json!({"invoice_external_id": ""}),
    ] {
        assert_eq!(
            found(&target(unnamed)),
            [("/invoice_payments/1", "allocation-target-missing")]
        );
    }
}

#[test]
fn the_target_of_a_raw_allocation() {
    for (allocation, code) in [
        (json!({"account": {}}), None),
        (json!({"invoice_id": 1}), None),
        (json!({"invoice_external_id": "x", "account": null}), None),
        (json!({"account": {}, "invoice_id": null}), None),
        (
            json!({"account": {}, "invoice_id": "x"}),
            Some(Rule::AllocationTargetAmbiguous),
        ),
        (
            json!({"account": {}, "invoice_external_id": "x"}),
            Some(Rule::AllocationTargetAmbiguous),
        ),
        (json!({"amount": 1}), Some(Rule::AllocationTargetMissing)),
        (json!(7), Some(Rule::AllocationTargetMissing)),
    ] {
        let violation = validate_allocation_target(&allocation, "/invoice_payments/0");
        assert_eq!(
            violation.map(|violation| violation.rule),
            code,
            "{allocation}"
        );
    }
}

#[test]
fn an_external_id_stands_once_in_a_bulk() {
    let named = |external_id: &str| payment(json!({ "external_id": external_id }));
    let violations = bulk(json!([
        named("a"),
        named("b"),
        named("a"),
        named("A"),
        named("a")
    ]));
    assert_eq!(
        found(&violations),
        [
            ("/2/external_id", "duplicate-external-id"),
            ("/4/external_id", "duplicate-external-id")
        ]
    );
    assert!(
        violations[1].message.contains("index 0 and index 4"),
        "{}",
        violations[1]
    );
}

#[test]
fn a_bulk_is_not_empty() {
    assert_eq!(found(&bulk(json!([]))), [("", "bulk-empty")]);
}

#[test]
fn all_violations_of_a_bulk_are_told_in_order() {
    let violations = bulk(json!([
        payment(
            json!({"external_id": "", "amount": -5, "fee": -1, "tags": [{"key": "", "value": ""}]})
        ),
        payment(json!({})),
        payment(json!({"metadata": metadata(1025)})),
    ]));
    assert_eq!(
        found(&violations),
        [
            ("/0/external_id", "external-id-empty"),
            ("/0/amount", "amount-negative"),
            ("/0/fee", "amount-negative"),
            ("/0/invoice_payments", "allocations-exceed-amount"),
            ("/0/tags/0/key", "tag-empty"),
            ("/0/tags/0/value", "tag-empty"),
            ("/2/metadata", "metadata-too-large"),
        ]
    );
}
