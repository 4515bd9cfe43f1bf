//! What the published vectors can't say: the messages, the order of violations, lists of every length, what an update is
//! compared with, and the type of checked requests.

use layer_payments_types::{
    CreateInvoicePayment, InvoicePayment, PaymentMethod, UpdateInvoicePayment,
};
use layer_payments_validation::{
    Context, Existing, ExternalIds, ListFilters, Rule, Validated, Violation, has_errors,
    validate_bulk, validate_create, validate_list, validate_query, validate_repeat,
    validate_update,
};
use serde_json::{Value, json};

fn context() -> Context {
    Context::at("2026-01-01T00:00:00Z".parse().unwrap())
}

fn with(mut value: Value, properties: Value) -> Value {
    let (Value::Object(map), Value::Object(properties)) = (&mut value, properties) else {
        panic!("both are objects");
    };
    map.extend(properties);
    value
}

/// A valid payment of 90 cents, with these properties.
fn payment(properties: Value) -> CreateInvoicePayment {
    let payment = json!({"external_id": "payment-1", "paid_at": "2024-02-27T02:22:55Z", "method": "CREDIT_CARD",
        "amount": 90, "invoice_payments": []});
    serde_json::from_value(with(payment, properties)).unwrap()
}

fn create(properties: Value) -> Vec<Violation> {
    validate_create(&payment(properties), &context())
}

fn update(properties: Value) -> UpdateInvoicePayment {
    serde_json::from_value(properties).unwrap()
}

/// A payment of 90 cents that is stored, as a reply shows it, with these properties.
fn existing(properties: Value) -> Existing {
    let reply = json!({"id": "e67c216b-28f4-4a0e-9a21-7f05c19e4c66", "at": "2024-02-27T02:22:55Z", "fee": 0,
        "amount": 90, "imported_at": "2024-02-27T02:22:55Z", "allocations": []});
    let reply: InvoicePayment = serde_json::from_value(with(reply, properties)).unwrap();
    Existing::from(&reply)
}

fn found(violations: &[Violation]) -> Vec<(&str, &str)> {
    violations
        .iter()
        .map(|violation| (violation.pointer.as_str(), violation.rule.code()))
        .collect()
}

/// The only violation, as one line.
#[track_caller]
fn only(violations: &[Violation]) -> String {
    assert_eq!(violations.len(), 1, "{violations:#?}");
    violations[0].to_string()
}

#[test]
fn messages_name_the_values_and_what_would_be_right() {
    let invoice = "3a9c378e-dc02-4700-9158-f629d632a83b";
    for (properties, line) in [
        (
            json!({"external_id": null}),
            "(whole body): The payment has no `external_id`, so that sending it again may record it twice; give its \
             id in your own system. (external-id-missing)",
        ),
        (
            json!({"external_id": ""}),
            "/external_id: The external id is empty; give the id in your own system, or leave the property out. \
             (external-id-empty)",
        ),
        (
            json!({"paid_at": "1969-12-31T23:59:59.5Z"}),
            "/paid_at: The time 1969-12-31T23:59:59.5Z lies before 1970-01-01T00:00:00Z, when no such payment was \
             made; give the right year. (date-implausible)",
        ),
        (
            json!({"paid_at": "2200-01-01T00:00:00Z"}),
            "/paid_at: The time 2200-01-01T00:00:00Z isn't before 2200-01-01T00:00:00Z; give the right year. \
             (date-implausible)",
        ),
        (
            json!({"paid_at": "2026-01-01T01:00:01+01:00"}),
            "/paid_at: The time 2026-01-01T00:00:01Z lies in the future: it is 2026-01-01T00:00:00Z now; give the \
             time when it happened. (date-in-future)",
        ),
        (
            json!({"amount": -7}),
            "/amount: The value is -7 cents; it must be 0 or more. (amount-negative)",
        ),
        (
            json!({"amount": 0}),
            "/amount: The amount is 0 cents, a payment of nothing; give what the customer paid. (amount-zero)",
        ),
        (
            json!({"fee": 80, "additional_fees": [
                {"account": {"type": "StableName", "stable_name": "BANK_FEES"}, "fee_amount": 11}]}),
            "/fee: The fee and the additional fees add up to 91 cents, which is more than the payment's amount of 90 \
             cents; give each of them in cents. (fees-exceed-amount)",
        ),
        (
            json!({"method": "CASH", "processor": "STRIPE"}),
            "/processor: The processor is \"STRIPE\", but the method CASH takes none; use CREDIT_CARD, ACH, \
             CREDIT_BALANCE or OTHER, or leave `processor` out. (processor-not-allowed-for-method)",
        ),
        (
            json!({"redemption_account": {"type": "AccountId", "id": invoice}}),
            "/redemption_account: The method is CREDIT_CARD, and only CREDIT_BALANCE redeems credit; use that method, \
             or leave `redemption_account` out. (redemption-account-not-allowed-for-method)",
        ),
        (
            json!({"payment_clearing_account_identifier": {"type": "StableName", "stable_name": ""}}),
            "/payment_clearing_account_identifier/stable_name: The stable name is empty; give that of a ledger \
             account, such as `BANK_FEES`. (stable-name-empty)",
        ),
        (
            json!({"invoice_payments": [{"amount": 1}]}),
            "/invoice_payments/0: The allocation doesn't say where the money goes; give `invoice_id`, \
             `invoice_external_id` or `account`. (allocation-target-missing)",
        ),
        (
            json!({"invoice_payments": [{"invoice_id": invoice, "amount": 91}]}),
            "/invoice_payments: The allocations add up to 91 cents, which is more than the payment's amount of 90 \
             cents; allocate at most the amount. (allocations-exceed-amount)",
        ),
        (
            json!({"invoice_payments": [{"invoice_id": invoice, "amount": 1}, {"invoice_id": invoice, "amount": 2}]}),
            "/invoice_payments/1/invoice_id: The allocations at index 0 and index 1 go to the same invoice \
             3a9c378e-dc02-4700-9158-f629d632a83b; give one allocation with the sum, unless two are meant. \
             (duplicate-invoice-allocation)",
        ),
        (
            json!({"invoice_payments": [
                {"invoice_external_id": "i", "amount": 1}, {"invoice_external_id": "i", "amount": 2}]}),
            "/invoice_payments/1/invoice_external_id: The allocations at index 0 and index 1 go to the same invoice \
             \"i\"; give one allocation with the sum, unless two are meant. (duplicate-invoice-allocation)",
        ),
        (
            json!({"dedicated_refunds": [{"external_id": "r"}]}),
            "/dedicated_refunds/0: The refund doesn't say how much was given back; give `line_items` with their \
             amounts. (refund-amount-missing)",
        ),
        (
            json!({"dedicated_refunds": [{"refunded_amount": 4, "line_items": [{"amount": 2}, {"amount": 3}]}]}),
            "/dedicated_refunds/0/refunded_amount: The refund's amount is 4 cents, but its line items add up to 5 \
             cents; leave `refunded_amount` out, or give the sum. (refund-amount-mismatch)",
        ),
        (
            json!({"dedicated_refunds": [{"refunded_amount": 60}, {"refunded_amount": 31}]}),
            "/dedicated_refunds: The refunds add up to 91 cents, which is more than the payment's amount of 90 cents; \
             give back at most the amount. (refunds-exceed-amount)",
        ),
        (
            json!({"dedicated_refunds": [
                {"external_id": "r", "refunded_amount": 1}, {"external_id": "r", "refunded_amount": 1}]}),
            "/dedicated_refunds/1/external_id: The refunds at index 0 and index 1 have the same external id \"r\"; \
             give each refund its own. (duplicate-refund-external-id)",
        ),
        (
            json!({"dedicated_refunds": [{"refunded_amount": 1, "completed_at": "2024-02-27T02:22:54Z"}]}),
            "/dedicated_refunds/0/completed_at: The refund was completed at 2024-02-27T02:22:54Z, before the payment \
             was made at 2024-02-27T02:22:55Z; give a time after that. (refund-before-payment)",
        ),
        (
            json!({"tags": [{"key": "", "value": "v"}]}),
            "/tags/0/key: The tag's key is empty; a tag has a key and a value. (tag-empty)",
        ),
        (
            json!({"tags": [{"key": "k", "value": " \u{2003}"}]}),
            "/tags/0/value: The tag's value \" \\u{2003}\" is nothing but blanks; a tag has a key and a value. \
             (tag-empty)",
        ),
        (
            json!({"tags": [{"key": "k", "value": "\tv "}]}),
            "/tags/0/value: The tag's value \"\\tv \" has blanks around it; give \"v\". (tag-outer-blanks)",
        ),
        (
            json!({"tags": [{"key": "k", "value": "v", "value_display_name": ""}]}),
            "/tags/0/value_display_name: The display name is empty; give the name that people are to see, or leave \
             the property out. (tag-display-name-empty)",
        ),
        (
            json!({"tags": [{"key": "k", "value": "v"}, {"key": "l", "value": "v"}, {"key": "k", "value": "w"}]}),
            "/tags/2/key: The tags at index 0 and index 2 have the same key \"k\"; give each key one value. \
             (duplicate-tag-key)",
        ),
        (
            json!({"metadata": {"m": "x".repeat(1_017)}}),
            "/metadata: The metadata takes 1025 bytes as compact JSON in UTF-8; it may take at most 1024. \
             (metadata-too-large)",
        ),
        (
            json!({"reference_number": "A,B"}),
            "/reference_number: The reference number \"A,B\" holds a comma, and no list can be filtered by it then; \
             separate its parts otherwise. (reference-number-comma)",
        ),
    ] {
        assert_eq!(only(&create(properties)), line);
    }
}

#[test]
fn messages_of_bulks_updates_and_filters() {
    let two = [payment(json!({})), payment(json!({}))];
    let at_most_one = context().with_bulk_limit(1);
    let lines: Vec<_> = validate_bulk(&two, &at_most_one)
        .iter()
        .map(Violation::to_string)
        .collect();
    assert_eq!(
        lines,
        [
            "(whole body): The list holds 2 payments, and the limit is 1; send at most 1 in a request. \
             (bulk-too-large)",
            "/1/external_id: The payments at index 0 and index 1 have the same external id \"payment-1\"; an \
             external id may stand in a request once. (duplicate-external-id)",
        ]
    );
    assert_eq!(
        only(&validate_bulk(&[], &context())),
        "(whole body): The list holds no payment; send at least one. (bulk-empty)"
    );
    let alone = |properties| only(&validate_update(&update(properties), None, &context()));
    assert_eq!(
        alone(json!({})),
        "(whole body): The update holds no property, so that it changes nothing; give those to change. (update-empty)"
    );
    assert_eq!(
        alone(json!({"amount": null})),
        "/amount: Null leaves `amount` as it is, since every payment has one; give a value, or leave the property \
         out. (null-changes-nothing)"
    );
    assert_eq!(
        alone(json!({"paid_at": null})),
        "/paid_at: Null leaves `paid_at` as it is, since every payment has one; give a value, or leave the property \
         out. (null-changes-nothing)"
    );
    for (query, line) in [
        (
            vec![
                ("paid_at_start", "2024-01-02"),
                ("paid_at_end", "2024-01-01"),
            ],
            "?paid_at_start: The start 2024-01-02T00:00:00Z is later than `paid_at_end`, \
             2024-01-01T23:59:59.999999999Z, so that no payment could pass; swap them. (filter-range-reversed)",
        ),
        (
            vec![("external_id", "")],
            "?external_id: The external id is empty, so that no payment could pass; give one, or leave the parameter \
             out. (external-id-empty)",
        ),
        (
            vec![("reference_numbers", ",")],
            "?reference_numbers: The value \",\" names no reference number, so that no payment could pass; give \
             some, with commas between them, or leave the parameter out. (reference-numbers-empty)",
        ),
        (
            vec![("limit", "1001")],
            "?limit: The limit is 1001; give a whole number from 1 to 1000. (limit-out-of-range)",
        ),
        (
            vec![("limit", "10.0")],
            "?limit: The value \"10.0\" is no whole number; give one in digits, such as 100. (type-mismatch)",
        ),
        (
            vec![("is_matched", "yes")],
            "?is_matched: The value \"yes\" is no truth value; give `true` or `false`. (type-mismatch)",
        ),
        (
            vec![("paid_at_end", "today")],
            "?paid_at_end: The value \"today\" is no time; give an RFC 3339 timestamp such as \
             `2024-01-31T00:00:00Z` (with `+` written as `%2B`), or a date such as `2024-01-31`. \
             (timestamp-malformed)",
        ),
        (
            vec![("method", "Other")],
            "?method: `Other` is an older spelling; write `OTHER`. (method-deprecated)",
        ),
        (
            vec![("sortby", "amount")],
            "?sortby: There is no parameter \"sortby\"; did you mean `sort_by`? (property-unknown)",
        ),
    ] {
        assert_eq!(only(&validate_query(query)), line);
    }
}

#[test]
fn what_an_update_leaves_as_it_is_is_told_from_what_it_sets() {
    let check = |properties, of_existing| {
        only(&validate_update(
            &update(properties),
            Some(&existing(of_existing)),
            &context(),
        ))
    };
    let allocations = json!([
        {"account": {"type": "StableName", "stable_name": "X"}, "amount": 40},
        {"invoice_id": "3a9c378e-dc02-4700-9158-f629d632a83b", "amount": 45}
    ]);
    assert_eq!(
        check(json!({"amount": 84}), json!({"allocations": allocations})),
        "/amount: The present allocations add up to 85 cents, which is more than the payment's amount of 84 cents; \
         allocate at most the amount. (allocations-exceed-amount)"
    );
    assert_eq!(
        check(
            json!({"invoice_payments": [{"invoice_external_id": "i", "amount": 91}]}),
            json!({})
        ),
        "/invoice_payments: The allocations add up to 91 cents, which is more than the payment's present amount of 90 \
         cents; allocate at most the amount. (allocations-exceed-amount)"
    );
    assert_eq!(
        check(
            json!({"method": "CHECK"}),
            json!({"method": "ACH", "processor": "STRIPE"})
        ),
        "/method: The present processor is \"STRIPE\", but the method CHECK takes none; use CREDIT_CARD, ACH, \
         CREDIT_BALANCE or OTHER, or clear the processor. (processor-not-allowed-for-method)"
    );
    assert_eq!(
        check(json!({"processor": "STRIPE"}), json!({"method": "CASH"})),
        "/processor: The processor is \"STRIPE\", but the present method CASH takes none; use CREDIT_CARD, ACH, \
         CREDIT_BALANCE or OTHER, or leave `processor` out. (processor-not-allowed-for-method)"
    );
}

#[test]
fn a_reply_is_read_as_far_as_it_is_known() {
    let of_reply = existing(json!({
        "method": "REDEEMED_PREPAYMENT",
        "fee": 3,
        "processor": "STRIPE",
        "additional_fees": [
            {"account": {"type": "AccountId", "id": "3a9c378e-dc02-4700-9158-f629d632a83b"}, "fee_amount": 4},
            {"account": {"type": "AccountId", "id": "3a9c378e-dc02-4700-9158-f629d632a83b"}, "fee_amount": 5}
        ],
        "allocations": [
            {"invoice_id": "3a9c378e-dc02-4700-9158-f629d632a83b", "amount": i64::MAX},
            {"invoice_id": 7, "amount": 2},
            {"invoice_id": 7}
        ],
        "refund_allocations": [{"id": "3a9c378e-dc02-4700-9158-f629d632a83b", "amount": 6}]
    }));
    assert_eq!(
        of_reply,
        Existing {
            paid_at: "2024-02-27T02:22:55Z".parse().unwrap(),
            method: Some(PaymentMethod::CreditBalance),
            amount: 90,
            fee: 3,
            additional_fees: 9,
            processor: Some("STRIPE".to_owned()),
            allocated: i128::from(i64::MAX) + 2,
            refunded: 6,
        }
    );
    let least = existing(json!({"method": "WIRE", "processor": null}));
    assert_eq!(
        least,
        Existing {
            method: None,
            fee: 0,
            additional_fees: 0,
            processor: None,
            allocated: 0,
            refunded: 0,
            ..of_reply
        }
    );
}

#[test]
fn a_repeated_record_is_checked_with_what_stays() {
    let stored = existing(json!({"method": "CREDIT_CARD", "processor": "STRIPE", "fee": 80}));
    let check = |properties| {
        let payment = payment(properties);
        validate_repeat(&payment, &stored, &context())
    };
    assert_eq!(check(json!({})), []);
    assert_eq!(
        found(&check(json!({"method": "CASH", "amount": 70}))),
        [
            ("/method", "processor-not-allowed-for-method"),
            ("/amount", "fees-exceed-amount")
        ]
    );
    // What the request says itself counts.
    assert_eq!(check(json!({"amount": 70, "fee": 1})), []);
    assert_eq!(
        found(&check(json!({"method": "CASH", "processor": "SQUARE"}))),
        [("/processor", "processor-not-allowed-for-method")]
    );
}

#[test]
fn violations_come_in_the_order_of_the_spec() {
    let tags = json!([{"value": " v", "key": "", "dimension_display_name": ""}]);
    let account = json!({"type": "StableName", "stable_name": ""});
    let large = json!({"m": "x".repeat(1_024)});
    let all = json!({
        "external_id": "",
        "paid_at": "2030-01-01T00:00:00Z",
        "method": "CASH",
        "amount": 10,
        "fee": -1,
        "additional_fees": [{"account": account, "fee_amount": -1}, {"account": account, "fee_amount": 100}],
        "processor": "",
        "payment_clearing_account_identifier": account,
        "redemption_account": account,
        "invoice_payments": [
            {"amount": -1, "tags": tags, "metadata": large},
            {"account": account, "amount": 100}
        ],
        "dedicated_refunds": [{
            "external_id": "",
            "account_identifier": account,
            "line_items": [{
                "amount": 100, "external_id": "", "account_identifier": account,
                "prepayment_account_identifier": account, "tags": tags, "metadata": large
            }],
            "refunded_amount": -1,
            "completed_at": "2029-01-01T00:00:00Z",
            "refund_processing_fee": -1,
            "refunded_payment_fees": [{"account": account, "fee_amount": -1}],
            "tags": tags,
            "metadata": large,
            "payment_clearing_account_identifier": account
        }],
        "tags": tags,
        "metadata": large,
        "reference_number": ","
    });
    let expected = [
        ("/external_id", "external-id-empty"),
        ("/paid_at", "date-in-future"),
        ("/fee", "amount-negative"),
        ("/fee", "fees-exceed-amount"),
        (
            "/additional_fees/0/account/stable_name",
            "stable-name-empty",
        ),
        ("/additional_fees/0/fee_amount", "amount-negative"),
        (
            "/additional_fees/1/account/stable_name",
            "stable-name-empty",
        ),
        ("/processor", "processor-not-allowed-for-method"),
        (
            "/payment_clearing_account_identifier/stable_name",
            "stable-name-empty",
        ),
        (
            "/redemption_account",
            "redemption-account-not-allowed-for-method",
        ),
        ("/redemption_account/stable_name", "stable-name-empty"),
        ("/invoice_payments", "allocations-exceed-amount"),
        ("/invoice_payments/0", "allocation-target-missing"),
        ("/invoice_payments/0/amount", "amount-negative"),
        ("/invoice_payments/0/tags/0/key", "tag-empty"),
        ("/invoice_payments/0/tags/0/value", "tag-outer-blanks"),
        (
            "/invoice_payments/0/tags/0/dimension_display_name",
            "tag-display-name-empty",
        ),
        ("/invoice_payments/0/metadata", "metadata-too-large"),
        (
            "/invoice_payments/1/account/stable_name",
            "stable-name-empty",
        ),
        ("/dedicated_refunds", "refunds-exceed-amount"),
        ("/dedicated_refunds/0/external_id", "external-id-empty"),
        (
            "/dedicated_refunds/0/account_identifier/stable_name",
            "stable-name-empty",
        ),
        (
            "/dedicated_refunds/0/line_items/0/external_id",
            "external-id-empty",
        ),
        (
            "/dedicated_refunds/0/line_items/0/account_identifier/stable_name",
            "stable-name-empty",
        ),
        (
            "/dedicated_refunds/0/line_items/0/prepayment_account_identifier/stable_name",
            "stable-name-empty",
        ),
        ("/dedicated_refunds/0/line_items/0/tags/0/key", "tag-empty"),
        (
            "/dedicated_refunds/0/line_items/0/tags/0/value",
            "tag-outer-blanks",
        ),
        (
            "/dedicated_refunds/0/line_items/0/tags/0/dimension_display_name",
            "tag-display-name-empty",
        ),
        (
            "/dedicated_refunds/0/line_items/0/metadata",
            "metadata-too-large",
        ),
        ("/dedicated_refunds/0/refunded_amount", "amount-negative"),
        (
            "/dedicated_refunds/0/refunded_amount",
            "refund-amount-mismatch",
        ),
        ("/dedicated_refunds/0/completed_at", "date-in-future"),
        ("/dedicated_refunds/0/completed_at", "refund-before-payment"),
        (
            "/dedicated_refunds/0/refund_processing_fee",
            "amount-negative",
        ),
        (
            "/dedicated_refunds/0/refunded_payment_fees/0/account/stable_name",
            "stable-name-empty",
        ),
        (
            "/dedicated_refunds/0/refunded_payment_fees/0/fee_amount",
            "amount-negative",
        ),
        ("/dedicated_refunds/0/tags/0/key", "tag-empty"),
        ("/dedicated_refunds/0/tags/0/value", "tag-outer-blanks"),
        (
            "/dedicated_refunds/0/tags/0/dimension_display_name",
            "tag-display-name-empty",
        ),
        ("/dedicated_refunds/0/metadata", "metadata-too-large"),
        (
            "/dedicated_refunds/0/payment_clearing_account_identifier/stable_name",
            "stable-name-empty",
        ),
        ("/tags/0/key", "tag-empty"),
        ("/tags/0/value", "tag-outer-blanks"),
        ("/tags/0/dimension_display_name", "tag-display-name-empty"),
        ("/metadata", "metadata-too-large"),
        ("/reference_number", "reference-number-comma"),
    ];
    assert_eq!(found(&create(all.clone())), expected);
    // An update has the same rules but for the redemption account, which it can't have.
    let mut changes = all.clone();
    changes
        .as_object_mut()
        .unwrap()
        .remove("redemption_account");
    let violations = validate_update(&update(changes), None, &context());
    let without_redemption: Vec<_> = expected
        .iter()
        .copied()
        .filter(|(pointer, _)| !pointer.starts_with("/redemption_account"))
        .collect();
    assert_eq!(found(&violations), without_redemption);
    // In a bulk request they stand under the payment's index, and those before and behind are in order.
    let mut faulty = payment(all);
    let mut first = payment(json!({}));
    let mut last = faulty.clone();
    faulty.external_id = Some("a".to_owned());
    first.external_id = Some("a".to_owned());
    last.external_id = None;
    let violations = validate_bulk(&[first, faulty, last], &context());
    let mut in_bulk = vec![("/1/external_id".to_owned(), "duplicate-external-id")];
    for (index, missing) in [(1, None), (2, Some("external-id-missing"))] {
        in_bulk.extend(missing.map(|code| (format!("/{index}"), code)));
        let rest = expected[1..].iter();
        in_bulk.extend(rest.map(|(pointer, code)| (format!("/{index}{pointer}"), *code)));
    }
    let in_bulk: Vec<_> = in_bulk
        .iter()
        .map(|(pointer, code)| (pointer.as_str(), *code))
        .collect();
    assert_eq!(found(&violations), in_bulk);
}

#[test]
fn what_stands_twice_is_found_in_lists_of_every_length() {
    for len in [2, 8, 9, 64, 65, 2_048, 2_049, 3_000] {
        let tags: Vec<Value> = (0..len)
            .map(|index| json!({"key": format!("k{}", index % (len - 1)), "value": "v"}))
            .collect();
        let last = format!("/tags/{}/key", len - 1);
        assert_eq!(
            found(&create(json!({ "tags": tags }))),
            [(last.as_str(), "duplicate-tag-key")],
            "{len} tags"
        );
        let allocations: Vec<Value> = (0..len)
            .map(|index| json!({"invoice_external_id": format!("i{}", index % (len - 1)), "amount": 0}))
            .collect();
        let last = format!("/invoice_payments/{}/invoice_external_id", len - 1);
        assert_eq!(
            found(&create(json!({ "invoice_payments": allocations }))),
            [(last.as_str(), "duplicate-invoice-allocation")],
            "{len} allocations"
        );
        let refunds: Vec<Value> = (0..len)
            .map(|index| json!({"external_id": format!("r{}", index % (len - 1)), "refunded_amount": 0}))
            .collect();
        let last = format!("/dedicated_refunds/{}/external_id", len - 1);
        assert_eq!(
            found(&create(json!({ "dedicated_refunds": refunds }))),
            [(last.as_str(), "duplicate-refund-external-id")],
            "{len} refunds"
        );
        let mut payments: Vec<_> = (0..len)
            .map(|index| payment(json!({"external_id": format!("p{}", index % (len - 1))})))
            .collect();
        let last = format!("/{}/external_id", len - 1);
        assert_eq!(
            found(&validate_bulk(&payments, &context())),
            [(last.as_str(), "duplicate-external-id")],
            "{len} payments"
        );
        // Payment by payment comes to the same.
        let mut ids = ExternalIds::new();
        let repeated: Vec<_> = payments
            .iter()
            .enumerate()
            .filter_map(|(index, payment)| {
                ids.repeated(index, payment.external_id.as_deref().unwrap())
            })
            .collect();
        assert_eq!(repeated, validate_bulk(&payments, &context()));
        payments.pop();
        assert_eq!(validate_bulk(&payments, &context()), []);
    }
}

#[test]
fn sums_of_any_size_do_not_overflow() {
    let most = i64::MAX;
    let list = json!([
        {"invoice_external_id": "a", "amount": most},
        {"invoice_external_id": "b", "amount": most},
        {"invoice_external_id": "c", "amount": most}
    ]);
    let violations = create(json!({"amount": most, "invoice_payments": list}));
    assert_eq!(
        found(&violations),
        [("/invoice_payments", "allocations-exceed-amount")]
    );
    assert!(
        violations[0].message.contains("27670116110564327421 cents"),
        "{}",
        violations[0]
    );
    let negative = i64::MIN;
    let violations = create(
        json!({"amount": negative, "fee": negative, "invoice_payments": [
        {"invoice_external_id": "a", "amount": negative}]}),
    );
    assert_eq!(
        found(&violations),
        [
            ("/amount", "amount-negative"),
            ("/fee", "amount-negative"),
            ("/invoice_payments/0/amount", "amount-negative")
        ]
    );
    // Sums that the caller gives may be anything.
    for extreme in [i128::MAX, i128::MIN] {
        let stored = Existing {
            additional_fees: extreme,
            allocated: extreme,
            refunded: extreme,
            fee: if extreme > 0 { i64::MAX } else { i64::MIN },
            ..existing(json!({}))
        };
        let violations = validate_update(&update(json!({"amount": 1})), Some(&stored), &context());
        let expected: &[_] = if extreme > 0 {
            &[
                ("/amount", "allocations-exceed-amount"),
                ("/amount", "fees-exceed-amount"),
                ("/amount", "refunds-exceed-amount"),
            ]
        } else {
            &[]
        };
        assert_eq!(found(&violations), expected);
    }
}

#[test]
fn long_values_are_cut_in_messages() {
    let long = "x".repeat(100_000);
    for violations in [
        create(json!({"method": "CASH", "processor": long})),
        create(json!({"reference_number": format!("{long},")})),
        create(json!({"tags": [{"key": "k", "value": format!(" {long}")}]})),
        validate_query([(long.as_str(), "x")]),
        validate_query([("method", long.as_str())]),
    ] {
        let message = &violations[0].message;
        assert!(message.len() < 500, "{} bytes", message.len());
        assert!(message.contains('…'), "{message}");
    }
}

#[test]
fn only_requests_without_errors_are_validated() {
    let context = context();
    let valid = payment(json!({}));
    let warned = payment(json!({"external_id": null}));
    let wrong = payment(json!({"external_id": null, "amount": -1}));

    let validated = Validated::create(valid.clone(), &context).unwrap();
    assert_eq!(validated.warnings(), []);
    assert_eq!(validated.external_id.as_deref(), Some("payment-1"));
    assert_eq!(validated.into_inner(), valid);
    let validated = Validated::create(warned.clone(), &context).unwrap();
    assert_eq!(found(validated.warnings()), [("", "external-id-missing")]);

    let invalid = Validated::create(wrong.clone(), &context).unwrap_err();
    assert_eq!(
        found(invalid.violations()),
        [("", "external-id-missing"), ("/amount", "amount-negative")]
    );
    assert_eq!(
        invalid.to_string(),
        format!("{}\n{}", invalid.violations()[0], invalid.violations()[1])
    );
    let debug = format!("{invalid:?}");
    assert!(debug.contains("CreateInvoicePayment") && debug.contains("AmountNegative"));
    let (value, violations) = invalid.into_parts();
    assert_eq!(value, wrong);
    assert!(has_errors(&violations) && !has_errors(&violations[..1]) && !has_errors(&[]));

    let bulk = Validated::bulk(vec![valid.clone(), warned.clone()], &context).unwrap();
    assert_eq!(found(bulk.warnings()), [("/1", "external-id-missing")]);
    let invalid = Validated::bulk(vec![valid.clone(), valid.clone()], &context).unwrap_err();
    assert_eq!(invalid.into_inner(), [valid.clone(), valid]);

    let changes = update(json!({"amount": 10}));
    assert!(Validated::update(changes.clone(), None, &context).is_ok());
    let stored = Existing {
        allocated: 11,
        ..existing(json!({}))
    };
    let invalid = Validated::update(changes, Some(&stored), &context).unwrap_err();
    assert_eq!(invalid.violations()[0].rule, Rule::AllocationsExceedAmount);
}

#[test]
fn filters_are_checked_as_values_too() {
    let mut filters = ListFilters::default();
    assert_eq!(validate_list(&filters), []);
    filters.paid_at_start = Some("2024-01-01T00:00:00Z".parse().unwrap());
    filters.paid_at_end = filters.paid_at_start;
    filters.reference_numbers = Some(",CHK-1".to_owned());
    for limit in [1, 1_000] {
        filters.limit = Some(limit);
        assert_eq!(validate_list(&filters), []);
    }
    filters.paid_at_end = Some("2023-12-31T23:59:59.999999999Z".parse().unwrap());
    filters.reference_numbers = Some(String::new());
    filters.external_id = Some(String::new());
    filters.limit = Some(0);
    assert_eq!(
        found(&validate_list(&filters)),
        [
            ("?paid_at_start", "filter-range-reversed"),
            ("?external_id", "external-id-empty"),
            ("?reference_numbers", "reference-numbers-empty"),
            ("?limit", "limit-out-of-range")
        ]
    );
}
