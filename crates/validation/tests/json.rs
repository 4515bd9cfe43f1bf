//! The checks of bodies as they are sent: what their messages say, what is handed out, and what hostile bodies cost.
//! Which violation belongs to which body is the vectors' business.

use layer_payments_types::{Operation, PaymentMethod};
use layer_payments_validation::{
    Context, Existing, Rule, Violation, read_bulk, read_create, read_update, validate_json,
};

fn context() -> Context {
    Context::at("2026-01-01T00:00:00Z".parse().unwrap())
}

/// Checks the body of a request to record a payment.
fn record(body: impl AsRef<[u8]>) -> Vec<Violation> {
    validate_json(Operation::RecordInvoicePayment, body.as_ref(), &context())
}

/// A payment without violations, with one more property.
fn payment(property: &str) -> String {
    format!(
        "{{\"external_id\":\"p\",\"paid_at\":\"2024-02-27T02:22:55Z\",\"method\":\"CREDIT_BALANCE\",\"amount\":90,\
         \"invoice_payments\":[],{property}}}"
    )
}

/// The only violation's message.
fn message(body: impl AsRef<[u8]>) -> String {
    let found = record(body);
    assert_eq!(found.len(), 1, "{found:#?}");
    found[0].message.clone()
}

#[test]
fn a_body_that_is_not_json_is_told_why_and_where() {
    for (body, expected) in [
        (&b""[..], "The body is empty; send one JSON document."),
        (b" \r\n\t", "The body is empty; send one JSON document."),
        (
            b"\xef\xbb\xbf{}",
            "The body begins with a byte order mark, which JSON doesn't have; send it without.",
        ),
        (
            b"{\n  \"memo\": \"\xe4\"}",
            "The body isn't UTF-8, as JSON has to be: the byte 0xe4 can't stand at line 2 column 12.",
        ),
        (
            b"{}\n{}",
            "The body goes on behind its end at line 2 column 1; send one JSON document and nothing after it.",
        ),
        (
            b"{\n\"memo\": nope}",
            "The body isn't JSON: expected ident at line 2 column 10.",
        ),
        (
            b"{\"memo\": \"\\ud800\"}",
            "The body isn't JSON: unexpected end of hex escape at line 1 column 17.",
        ),
        (
            b"{\"metadata\": {\"a\": 1e400}}",
            "The number at line 1 column 24 fits into no 64-bit floating-point number; send it as a text.",
        ),
    ] {
        let found = record(body);
        let text = String::from_utf8_lossy(body);
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        assert_eq!(found[0].rule, Rule::JsonMalformed, "{text}");
        assert_eq!(found[0].pointer, "");
        assert_eq!(found[0].message, expected, "{text}");
    }
}

/// What stands in a value that isn't looked at has to be JSON all the same.
#[test]
fn malformed_json_is_found_wherever_it_stands() {
    for wrong in [
        r#""unknown":"\ud800""#,
        r#""unknown":{"\udc00":1}"#,
        r#""unknown":[1,]"#,
        r#""amount":"\ud800""#,
        r#""fee":["\ud800"]"#,
        r#""fee":[1 2]"#,
        r#""memo":["\ud800"]"#,
        r#""memo":"a","memo":"\ud800""#,
        r#""redemption_account":{"type":["\ud800"]}"#,
        r#""fee":01"#,
        r#""fee":+1"#,
        r#""fee":1."#,
        r#""fee":NaN"#,
    ] {
        let found = record(payment(wrong));
        assert_eq!(found.len(), 1, "{wrong}: {found:#?}");
        assert_eq!(found[0].rule, Rule::JsonMalformed, "{wrong}");
    }
}

#[test]
fn messages_say_what_was_found_and_what_would_be_right() {
    for (property, expected) in [
        (
            r#""fee":"12""#,
            "The value is the text \"12\"; it must be a whole number of cents (no quotes, point or \
             exponent) or null.",
        ),
        (
            r#""fee":1e3"#,
            "The value is the number 1e3; it must be a whole number of cents (no quotes, point or \
             exponent) or null.",
        ),
        (
            r#""fee":-9223372036854775809"#,
            "The value is -9223372036854775809; it must be from -9223372036854775808 to 9223372036854775807, which is \
             what fits into 64 bits.",
        ),
        (
            r#""memo":7"#,
            "The value is the number 7; it must be a text or null.",
        ),
        (
            r#""tags":"a=b""#,
            "The value is the text \"a=b\"; it must be a list or null.",
        ),
        (
            r#""metadata":{"order":-123456789012345678901}"#,
            "The number is kept as -1.2345678901234568e20, to about 17 digits, since it takes more than 64 bits; send it \
             as a text if every digit counts.",
        ),
        (
            r#""metadata":[]"#,
            "The value is a list; it must be an object or null.",
        ),
        (
            r#""memmo":"x""#,
            "There is no property \"memmo\" here; did you mean `memo`?",
        ),
        (
            r#""externalId":"x""#,
            "There is no property \"externalId\" here; did you mean `external_id`?",
        ),
        (
            r#""allocations":[]"#,
            "There is no property \"allocations\" here; did you mean `invoice_payments`?",
        ),
        (
            r#""tags":[{"key":"k","value":"v","label":"l"}]"#,
            "There is no property \"label\" here; the properties are `dimension_display_name`, `key`, `value` and \
             `value_display_name`.",
        ),
        (
            r#""tags":[{"value":"v"}]"#,
            "The property `key` is missing; it is required, and is a text.",
        ),
        (
            r#""memo":"a","memo":"b""#,
            "The key stands more than once in its object, and which of its values counts is anybody's guess; give it \
             once.",
        ),
        (
            r#""dedicated_refunds":[{"refunded_amount":1,"completed_at":"2025-01-01","method":"CASH"}]"#,
            "The value is \"2025-01-01\"; it must be an RFC 3339 timestamp such as \"2024-02-27T02:22:55Z\". The time \
             of day and its offset are missing.",
        ),
        (
            r#""dedicated_refunds":[{"refunded_amount":1,"method":"Cash"}]"#,
            "The value is \"Cash\"; it must be `CASH`, `CHECK`, `CREDIT_CARD`, `ACH`, `CREDIT_BALANCE` or `OTHER`. Did \
             you mean `CASH`?",
        ),
        (
            r#""dedicated_refunds":[{"refunded_amount":1,"method":"Other"}]"#,
            "The value `Other` is an older name; write `OTHER`, which means the same.",
        ),
        (
            r#""redemption_account":{"stable_name":"X"}"#,
            "The account identifier has no `type`. An account is named by {\"type\":\"AccountId\",\"id\":\"…\"} or by \
             {\"type\":\"StableName\",\"stable_name\":\"…\"}.",
        ),
        (
            r#""redemption_account":{"type":"Stable_Name","stable_name":"X"}"#,
            "The `type` is \"Stable_Name\"; it must be `AccountId` or `StableName`. An account is named by \
             {\"type\":\"AccountId\",\"id\":\"…\"} or by {\"type\":\"StableName\",\"stable_name\":\"…\"}.",
        ),
        (
            r#""redemption_account":{"id":null,"stable_name":"X","type":"StableName"}"#,
            "The `type` is `StableName`, to which the `id` doesn't belong. An account is named by \
             {\"type\":\"AccountId\",\"id\":\"…\"} or by {\"type\":\"StableName\",\"stable_name\":\"…\"}.",
        ),
    ] {
        assert_eq!(message(payment(property)), expected, "{property}");
    }
    let both = r#"{"external_id":"p","paid_at":"2024-02-27T02:22:55Z","method":"CASH","amount":90,"invoice_payments":
        [{"invoice_id":null,"amount":1,"account":5}]}"#;
    assert_eq!(
        message(both),
        "The allocation has both `account` and `invoice_id`, so that it doesn't say whether the money goes to a ledger \
         account or to an invoice; leave one of them out."
    );
}

/// That an object's form isn't known makes its properties' values moot, and nothing else about it.
#[test]
fn an_object_of_no_known_form_is_still_looked_at() {
    let found = |property: &str| -> Vec<(String, &str)> {
        record(payment(property))
            .into_iter()
            .map(|violation| (violation.pointer, violation.rule.code()))
            .collect()
    };
    let account = "/redemption_account";
    assert_eq!(
        found(r#""redemption_account":{"id":5,"type":"x","nam":1,"id":6,"stable_name":[],"id":7}"#),
        [
            (format!("{account}/nam"), "property-unknown"),
            (format!("{account}/id"), "duplicate-key"),
            (account.to_owned(), "account-identifier-malformed"),
        ]
    );
    let body = payment(r#""memo":7"#).replace(
        r#""invoice_payments":[]"#,
        r#""invoice_payments":[{"invoice_id":5,"tags":{},"account":{"type":1},"account":null}]"#,
    );
    let found: Vec<(String, &str)> = record(body)
        .into_iter()
        .map(|violation| (violation.pointer, violation.rule.code()))
        .collect();
    let allocation = "/invoice_payments/0";
    assert_eq!(
        found,
        [
            (format!("{allocation}/tags"), "type-mismatch"),
            (format!("{allocation}/account"), "duplicate-key"),
            (allocation.to_owned(), "allocation-target-ambiguous"),
            (format!("{allocation}/amount"), "property-missing"),
            ("/memo".to_owned(), "type-mismatch"),
        ]
    );
}

#[test]
fn what_can_be_sent_is_handed_out_with_its_warnings() {
    let body = r#"{"paid_at":"2024-02-27T02:22:55Z","method":"REDEEMED_PREPAYMENT","amount":90,"invoice_payments":[]}"#;
    let payment = read_create(body.as_bytes(), &context()).unwrap();
    assert_eq!(payment.method, PaymentMethod::CreditBalance);
    let rules: Vec<_> = payment
        .warnings()
        .iter()
        .map(|warning| warning.rule)
        .collect();
    assert_eq!(rules, [Rule::MethodDeprecated, Rule::ExternalIdMissing]);

    let bulk = format!("[{body},{}]", self::payment("\"memo\":null"));
    let payments = read_bulk(bulk.as_bytes(), &context()).unwrap();
    assert_eq!(payments.len(), 2);
    let pointers: Vec<_> = payments
        .warnings()
        .iter()
        .map(|warning| warning.pointer.as_str())
        .collect();
    assert_eq!(pointers, ["/0/method", "/0"]);

    let existing = Existing {
        paid_at: "2024-02-27T02:22:55Z".parse().unwrap(),
        method: None,
        amount: 90,
        fee: 0,
        additional_fees: 0,
        processor: None,
        allocated: 90,
        refunded: 0,
    };
    let body = br#"{"amount":80}"#;
    assert_eq!(read_update(body, None, &context()).unwrap().warnings(), []);
    let found = read_update(body, Some(&existing), &context()).unwrap_err();
    assert_eq!(found[0].rule, Rule::AllocationsExceedAmount);
}

/// A reader that takes a short cut misses the nearest floating-point number for some of those with many digits, and what
/// is stored isn't what was sent.
#[test]
fn numbers_in_metadata_are_handed_out_as_they_were_sent() {
    // The same numbers in each run: a linear congruential generator.
    let mut bits = 0x2545_f491_4f6c_dd1d_u64;
    let mut numbers = vec![f64::MAX, f64::MIN_POSITIVE, 5e-324, -0.1, 1e23, 0.3];
    while numbers.len() < 10_000 {
        bits = bits
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        numbers.extend(Some(f64::from_bits(bits)).filter(|number| number.is_finite()));
    }
    for number in numbers {
        let body = payment(&format!("\"metadata\":{{\"n\":{number:e}}}"));
        // So many of them are more than metadata may hold, so each has its own payment.
        let payment = read_create(body.as_bytes(), &context()).unwrap();
        let read = payment.metadata.as_ref().unwrap().0["n"].as_f64().unwrap();
        assert_eq!(read.to_bits(), number.to_bits(), "{number:e} is {read:e}");
    }
}

#[test]
fn a_list_has_no_body_to_check() {
    for body in [&b""[..], b"nonsense", b"{}"] {
        assert_eq!(
            validate_json(Operation::ListInvoicePayments, body, &context()),
            []
        );
    }
}

/// Nesting, lengths and numbers of faults that nobody writes by mistake: they are refused, in time and memory that grow
/// with the body and no faster.
#[test]
fn hostile_bodies_are_refused_in_bounded_time_and_memory() {
    for open in ["[", "{\"a\":", "[{\"a\":"] {
        let bomb = open.repeat(100_000);
        for property in ["metadata", "memo", "amount", "unknown", "invoice_payments"] {
            let found = record(format!("{{\"{property}\":{bomb}"));
            assert_eq!(found[0].rule, Rule::JsonMalformed, "{property} {open}");
        }
    }
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let within = format!("\"metadata\":{{\"a\":{}}}", nested(125));
    assert_eq!(record(payment(&within)), []);
    let beyond = format!("\"metadata\":{{\"a\":{}}}", nested(126));
    assert!(
        message(payment(&beyond)).starts_with("The body is nested deeper than 127 levels"),
        "{}",
        message(payment(&beyond))
    );

    // A number, a key and a text of a megabyte each.
    let long = "9".repeat(1 << 20);
    for property in [
        format!("\"fee\":{long}"),
        format!("\"{long}\":1"),
        format!("\"dedicated_refunds\":[{{\"refunded_amount\":1,\"method\":\"{long}\"}}]"),
        format!("\"dedicated_refunds\":[{{\"refunded_amount\":1,\"completed_at\":\"{long}\"}}]"),
    ] {
        let found = record(payment(&property));
        assert_eq!(found.len(), 1);
        assert!(found[0].message.len() < 500, "{}", found[0].message);
    }

    // A fault every two bytes, and the same long pointer again and again.
    let zeros = format!("[0{}]", ",0".repeat(150_000));
    let found = validate_json(
        Operation::BulkCreateInvoicePayments,
        zeros.as_bytes(),
        &context(),
    );
    assert_eq!(found.len(), 100_000);
    let keys: Vec<String> = (0..20_000)
        .map(|index| format!("\"{index}\":1,\"{index}\":2"))
        .collect();
    let twice = format!("\"metadata\":{{\"{long}\":{{{}}}}}", keys.join(","));
    let found = record(payment(&twice));
    assert!((1..=33).contains(&found.len()), "{}", found.len());
    assert!(
        found
            .iter()
            .all(|violation| violation.rule == Rule::DuplicateKey)
    );
    let unknown: Vec<String> = (0..20_000).map(|index| format!("\"u{index}\":1")).collect();
    assert_eq!(record(payment(&unknown.join(","))).len(), 20_000);
}
