//! What the generated types read and write: the promises of the crate's documentation.

use layer_payments_types::{
    AccountIdentifier, AccountReference, Allocation, AllocationInput, CreateInvoicePayment, Field,
    InvoicePayment, InvoicePaymentMethod, Operation, ParameterLocation, PaymentMethod,
    UpdateInvoicePayment,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A payment with a bit of everything that this version doesn't know.
fn strange_payment() -> Value {
    json!({
        "type": "Invoice_Payment",
        "id": "e67c216b-28f4-4a0e-9a21-7f05c19e4c66",
        "external_id": null,
        "at": "2024-02-27T02:22:55.163005Z",
        "method": "WIRE",
        "fee": 20,
        "prepayment_account": "UNEARNED_REVENUE",
        "payment_clearing_account": {
            "id": {"type": "AccountId", "id": "50448df3-6f86-445e-b48f-0e80153e5d42", "ledger": 3},
            "name": "Cash",
            "stable_name": {"type": "Nickname", "nickname": "till"},
            "normality": "BOTH",
            "account_type": {"display_name": "Asset", "colour": "green"}
        },
        "additional_fees": [],
        "amount": 9000,
        "imported_at": "2024-02-27T02:23:01.5Z",
        "allocations": [
            {"account": {"type": "StableName", "stable_name": "TIPS"}, "amount": 500, "note": {"a": [1, null]}},
            {"invoice_id": "3a9c378e-dc02-4700-9158-f629d632a83b", "amount": 8500, "memo": null},
            {"voucher": 7}
        ],
        "metadata": {"order": "A-1", "deep": {"er": [1.5, true, null]}},
        "settled": true
    })
}

#[track_caller]
fn unchanged<T: DeserializeOwned + Serialize>(value: &Value) -> T {
    let read: T = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(&serde_json::to_value(&read).unwrap(), value);
    read
}

fn error<T: DeserializeOwned>(value: Value) -> String {
    match serde_json::from_value::<T>(value.clone()) {
        Ok(_) => panic!("{value} was read"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_reply_is_written_as_it_was_read() {
    let payment: InvoicePayment = unchanged(&strange_payment());
    assert_eq!(
        payment.method,
        Some(InvoicePaymentMethod::Unknown("WIRE".to_owned()))
    );
    assert_eq!(payment.external_id, Field::Null);
    assert_eq!(payment.processor, Field::Absent);
    assert_eq!(
        (
            payment.additional_fees.as_deref(),
            payment.payouts.as_deref()
        ),
        (Some(&[][..]), None)
    );
    assert_eq!(
        payment.prepayment_account,
        Field::Value(AccountReference::Unknown(json!("UNEARNED_REVENUE")))
    );
    assert!(matches!(
        &payment.allocations[..],
        [
            Allocation::LedgerAccount(_),
            Allocation::Invoice(_),
            Allocation::Unknown(_)
        ]
    ));
    assert_eq!(payment.extra["settled"], true);
}

#[test]
fn the_order_of_properties_is_that_of_the_document() {
    let payment: InvoicePayment = serde_json::from_value(strange_payment()).unwrap();
    let text = serde_json::to_string(&payment).unwrap();
    assert!(text.starts_with(r#"{"type":"Invoice_Payment","id":"e67c216b-28f4-4a0e-9a21-7f05c19e4c66","external_id":null,"at":"#));
}

#[test]
fn an_update_says_absent_null_and_value() {
    for update in [
        json!({}),
        json!({"memo": null, "tags": []}),
        json!({"memo": "x", "amount": 5, "invoice_payments": [], "metadata": null}),
        json!({"payment_clearing_account_identifier": null, "method": "CHECK"}),
    ] {
        unchanged::<UpdateInvoicePayment>(&update);
    }
    let update: UpdateInvoicePayment =
        serde_json::from_value(json!({"memo": null, "tags": []})).unwrap();
    assert_eq!(
        (update.memo, update.processor),
        (Field::Null, Field::Absent)
    );
    assert_eq!(update.tags.as_deref(), Some(&[][..]));
}

#[test]
fn requests_are_strict() {
    let good = json!({
        "paid_at": "2024-02-27T03:22:55+01:00",
        "method": "CASH",
        "amount": 1,
        "invoice_payments": [],
        "memo": null
    });
    let request: CreateInvoicePayment = serde_json::from_value(good.clone()).unwrap();
    assert_eq!(
        request.memo, None,
        "in a request that creates, null is the same as absent"
    );
    assert_eq!(request.paid_at.to_string(), "2024-02-27T02:22:55Z");

    let with = |key: &str, value: Value| {
        let mut request = good.clone();
        request[key] = value;
        request
    };
    for (request, expected) in [
        (with("memmo", json!("x")), "unknown field `memmo`"),
        (
            with("method", json!("WIRE")),
            "unknown variant `WIRE`, expected one of `CASH`",
        ),
        (
            with("amount", json!(1.5)),
            "invalid type: floating point `1.5`, expected i64",
        ),
        (
            with("amount", json!("1")),
            "invalid type: string \"1\", expected i64",
        ),
        (
            with("amount", json!(9_223_372_036_854_775_808_u64)),
            "invalid value: integer `9223372036854775808`",
        ),
        (with("paid_at", json!("yesterday")), "failed to parse"),
    ] {
        let message = error::<CreateInvoicePayment>(request);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn an_allocation_with_an_account_goes_to_that_account_or_nowhere() {
    let read = |value: Value| serde_json::from_value::<AllocationInput>(value).unwrap();
    assert!(matches!(
        read(json!({"account": {"type": "StableName", "stable_name": "TIPS"}, "amount": 1})),
        AllocationInput::LedgerAccount(_)
    ));
    assert!(matches!(
        read(json!({"amount": 1})),
        AllocationInput::Invoice(_)
    ));

    for (value, expected) in [
        (
            json!({"account": {"type": "Bogus"}, "amount": 1}),
            "unknown variant `Bogus`, expected `AccountId` or `StableName`",
        ),
        (
            json!({"account": {"type": "StableName", "stable_name": "TIPS"}}),
            "missing field `amount`",
        ),
        (
            json!({"account": {"type": "StableName", "stable_name": "TIPS"}, "amount": 1, "invoice_id": "x"}),
            "unknown field `invoice_id`",
        ),
        (
            json!({"invoice_id": "x", "amount": 1}),
            "UUID parsing failed",
        ),
        (json!("x"), "invalid type: string \"x\", expected a map"),
    ] {
        let message = error::<AllocationInput>(value);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn deprecated_spellings_are_read_and_new_ones_written() {
    for (old, new) in [
        ("REDEEMED_PREPAYMENT", "CREDIT_BALANCE"),
        ("Other", "OTHER"),
    ] {
        let read: PaymentMethod = serde_json::from_value(json!(old)).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), new);
        assert_eq!(old.parse::<PaymentMethod>().unwrap(), read);
        assert_eq!(read.to_string(), new);
    }
    let message = "cash".parse::<PaymentMethod>().unwrap_err().to_string();
    assert_eq!(
        message,
        "expected `CASH`, `CHECK`, `CREDIT_CARD`, `ACH`, `CREDIT_BALANCE` or `OTHER`"
    );
}

#[test]
fn open_enumerations_are_text() {
    for text in ["CASH", "REDEEMED_PREPAYMENT", "WIRE", ""] {
        let parsed: InvoicePaymentMethod = text.parse().unwrap();
        assert_eq!(parsed.to_string(), text);
        assert_eq!(parsed, serde_json::from_value(json!(text)).unwrap());
        assert_eq!(
            matches!(parsed, InvoicePaymentMethod::Unknown(_)),
            ["WIRE", ""].contains(&text)
        );
    }
    assert!(error::<InvoicePaymentMethod>(json!(3)).contains("did not match any variant"));
}

#[test]
fn account_identifiers_are_tagged() {
    let account = AccountIdentifier::stable_name("FEES".to_owned());
    assert_eq!(
        serde_json::to_value(&account).unwrap(),
        json!({"type": "StableName", "stable_name": "FEES"})
    );
    assert!(
        error::<AccountIdentifier>(json!({"stable_name": "FEES"})).contains("missing field `type`")
    );
    assert!(
        error::<AccountIdentifier>(json!({"type": "StableName", "stable_name": "FEES", "id": 1}))
            .contains("unknown field `id`")
    );
}

#[test]
fn operations() {
    let payments = "/v1/businesses/{businessId}/invoices/payments";
    let told: Vec<_> = Operation::ALL
        .into_iter()
        .map(|operation| {
            (
                operation.id(),
                operation.method(),
                operation.path().to_owned(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("list_invoice_payments", "GET", payments.to_owned()),
            ("record_invoice_payment", "POST", payments.to_owned()),
            (
                "bulk_create_invoice_payments",
                "POST",
                format!("{payments}/bulk")
            ),
            (
                "update_invoice_payment",
                "PATCH",
                format!("{payments}/{{paymentId}}")
            ),
        ]
    );
    for operation in Operation::ALL {
        let in_path = operation
            .parameters()
            .iter()
            .filter(|parameter| parameter.location == ParameterLocation::Path);
        for parameter in in_path.clone() {
            assert!(
                parameter.required
                    && operation
                        .path()
                        .contains(&format!("{{{}}}", parameter.name))
            );
        }
        assert_eq!(in_path.count(), operation.path().matches('{').count());
        assert!(!operation.summary().is_empty());
        assert!(
            operation
                .parameters()
                .iter()
                .all(|parameter| !parameter.description.is_empty())
        );
    }
    let update: Vec<_> = Operation::UpdateInvoicePayment
        .parameters()
        .iter()
        .map(|parameter| parameter.name)
        .collect();
    assert_eq!(update, ["businessId", "paymentId"]);
}

#[cfg(feature = "schemars")]
mod schemas {
    use std::collections::BTreeMap;

    use layer_payments_types::json_schemas;
    use serde_json::{Value, json};

    fn schema(name: &str) -> Value {
        let all: BTreeMap<_, _> = json_schemas().into_iter().collect();
        serde_json::to_value(&all[name]).unwrap()
    }

    #[test]
    fn every_type_is_listed_once_in_order() {
        let names: Vec<_> = json_schemas().into_iter().map(|(name, _)| name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        assert!(
            names.contains(&"AccountIdentifier") && names.contains(&"UpdateInvoicePayment"),
            "{names:?}"
        );
    }

    #[test]
    fn fields_are_optional_and_nullable() {
        let update = schema("UpdateInvoicePayment");
        assert!(update.get("required").is_none(), "{update:#}");
        assert_eq!(
            update["properties"]["memo"]["type"],
            json!(["string", "null"])
        );
        assert_eq!(update["additionalProperties"], json!(false));
    }

    #[test]
    fn replies_are_open_and_requests_closed() {
        assert_eq!(
            schema("InvoicePayment")["additionalProperties"],
            json!(true)
        );
        let open = schema("InvoicePaymentMethod");
        assert!(
            open["anyOf"].as_array().is_some_and(|forms| forms
                .iter()
                .any(|form| form["type"] == "string"
                    && form.get("const").is_none()
                    && form.get("enum").is_none())),
            "{open:#}"
        );
        let closed = schema("PaymentMethod").to_string();
        assert!(!closed.contains("anyOf"), "{closed}");
    }
}
