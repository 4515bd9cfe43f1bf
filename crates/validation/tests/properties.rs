//! Properties of the checks, on generated payments: a valid one has no violation, one mistake is one violation, and an
//! update comes to the same as the payment that it makes.
//!
//! The generator's seed is fixed, so that a run is like any other.

use std::cell::RefCell;
use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan};
use layer_payments_types::{
    AccountIdentifier, AdditionalFeeInput, AllocationInput, CreateInvoicePayment,
    DedicatedRefundInput, Field, InvoiceAllocationInput, LedgerAccountAllocationInput, Metadata,
    PaymentMethod, RefundLineItemInput, RefundedPaymentFeeInput, TagKeyValue, UpdateInvoicePayment,
};
use layer_payments_validation::{
    Context, Existing, ExternalIds, METADATA_LIMIT, Rule, Violation, validate_bulk,
    validate_create, validate_repeat, validate_update,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};
use uuid::Uuid;

const NOW: Timestamp = Timestamp::constant(1_767_225_600, 0);

fn context() -> Context {
    Context::at(NOW)
}

/// Runs a property on so many generated values.
fn check<S: Strategy>(cases: u32, strategy: &S, property: impl Fn(S::Value)) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(strategy, |value| {
        property(value);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

fn pairs(violations: &[Violation]) -> Vec<(Rule, String)> {
    violations
        .iter()
        .map(|violation| (violation.rule, violation.pointer.clone()))
        .collect()
}

// ---- Valid payments -----------------------------------------------------------------------------------------------

/// Text with a visible character at either end.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,12}",
        "[!-~]( {0,2}[!-~]){0,8}",
        "\\PC{0,10}".prop_map(|text| format!("ü{text}😀")),
    ]
}

fn account() -> impl Strategy<Value = AccountIdentifier> {
    prop_oneof![
        any::<u128>().prop_map(|id| AccountIdentifier::account_id(Uuid::from_u128(id))),
        text().prop_map(AccountIdentifier::stable_name),
    ]
}

fn method() -> impl Strategy<Value = PaymentMethod> {
    prop::sample::select(vec![
        PaymentMethod::Cash,
        PaymentMethod::Check,
        PaymentMethod::CreditCard,
        PaymentMethod::Ach,
        PaymentMethod::CreditBalance,
        PaymentMethod::Other,
    ])
}

/// Tags whose keys are all different, since they begin with their place.
fn tags() -> impl Strategy<Value = Option<Vec<TagKeyValue>>> {
    let tag = (text(), text(), option::of(text()));
    option::of(vec(tag, 0..12)).prop_map(|tags| {
        let tags = tags?.into_iter().enumerate();
        let tags = tags.map(|(place, (key, value, name))| {
            let key = format!("{place}{key}");
            let mut tag = TagKeyValue::builder().key(key).value(value).build();
            tag.value_display_name = name;
            tag
        });
        Some(tags.collect())
    })
}

fn metadata() -> impl Strategy<Value = Option<Metadata>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e18..1e18).prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        "[\"\\\\\u{0}-\u{1f}a]{0,20}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec(("\\PC{0,8}", inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    });
    let entries = vec(("\\PC{0,8}", value), 0..5);
    option::of(entries).prop_map(|entries| {
        let object: Map<String, Value> = entries?.into_iter().collect();
        // The limit has properties of its own.
        let fits = Value::Object(object.clone()).to_string().len() <= METADATA_LIMIT;
        Some(Metadata(if fits { object } else { Map::new() }))
    })
}

/// Parts of a sum: so many cents that they add up to at most `amount`.
fn parts(amount: i64, shares: &[u8]) -> Vec<i64> {
    let mut left = amount;
    shares
        .iter()
        .map(|share| {
            let part = if *share == u8::MAX {
                left
            } else {
                left / 256 * i64::from(*share)
            };
            left -= part;
            part
        })
        .collect()
}

fn allocation() -> impl Strategy<Value = AllocationInput> {
    let invoice = (
        option::of(any::<u128>()),
        option::of(text()),
        tags(),
        metadata(),
    );
    let ledger = (account(), tags(), metadata());
    prop_oneof![
        3 => invoice.prop_map(|(id, external_id, tags, metadata)| {
            let mut allocation = InvoiceAllocationInput::builder().amount(0).build();
            // Without either it would go nowhere.
            allocation.invoice_id = id.or(external_id.is_none().then_some(7)).map(Uuid::from_u128);
            allocation.invoice_external_id = external_id;
            allocation.tags = tags;
            allocation.metadata = metadata;
            allocation.into()
        }),
        1 => ledger.prop_map(|(account, tags, metadata)| {
            let mut allocation = LedgerAccountAllocationInput::builder()
                .account(account)
                .amount(0)
                .build();
            allocation.tags = tags;
            allocation.metadata = metadata;
            allocation.into()
        }),
    ]
}

fn amount_of(allocation: &mut AllocationInput) -> &mut i64 {
    match allocation {
        AllocationInput::LedgerAccount(ledger) => &mut ledger.amount,
        AllocationInput::Invoice(invoice) => &mut invoice.amount,
    }
}

fn allocations(amount: i64) -> impl Strategy<Value = Vec<AllocationInput>> {
    vec((allocation(), any::<u8>()), 0..5).prop_map(move |list| {
        let (mut allocations, shares): (Vec<_>, Vec<_>) = list.into_iter().unzip();
        let amounts = parts(amount, &shares);
        for (place, (allocation, part)) in allocations.iter_mut().zip(amounts).enumerate() {
            *amount_of(allocation) = part;
            if let AllocationInput::Invoice(invoice) = allocation {
                // No invoice twice.
                let place = place as u128;
                invoice.invoice_id = invoice
                    .invoice_id
                    .map(|id| Uuid::from_u128((id.as_u128() & !0xff) | place));
                invoice.invoice_external_id = invoice
                    .invoice_external_id
                    .take()
                    .map(|id| format!("{place}{id}"));
            }
        }
        allocations
    })
}

fn refunds(amount: i64, paid_at: Timestamp) -> impl Strategy<Value = Vec<DedicatedRefundInput>> {
    let since = NOW.as_second() - paid_at.as_second();
    let refund = (
        option::of(text()),
        option::of(account()),
        vec(any::<u8>(), 0..4),
        any::<u8>(),
        any::<bool>(),
        option::of(0..=since),
        option::of(0..=i64::MAX),
        tags(),
        metadata(),
    );
    vec(refund, 0..4).prop_map(move |list| {
        let shares: Vec<u8> = list.iter().map(|refund| refund.3).collect();
        let amounts = parts(amount, &shares);
        let refunds = list.into_iter().zip(amounts).enumerate();
        refunds
            .map(|(place, (refund, amount))| {
                let (external_id, account, shares, _, single, since, fee, tags, metadata) = refund;
                let lines: Vec<_> = parts(amount, &shares)
                    .into_iter()
                    .map(|amount| RefundLineItemInput::builder().amount(amount).build())
                    .collect();
                let of_lines = lines.iter().map(|line| line.amount).sum();
                DedicatedRefundInput {
                    external_id: external_id.map(|id| format!("{place}{id}")),
                    account_identifier: account,
                    // The sum, or nothing, or the amount alone.
                    refunded_amount: if lines.is_empty() {
                        Some(amount)
                    } else {
                        single.then_some(of_lines)
                    },
                    line_items: Some(lines),
                    completed_at: since
                        .map(|since| paid_at.checked_add(since.seconds()).unwrap().min(NOW)),
                    refund_processing_fee: fee,
                    refunded_payment_fees: fee.map(|fee| {
                        let account = AccountIdentifier::stable_name("BANK_FEES".to_owned());
                        let fee = RefundedPaymentFeeInput::builder().fee_amount(fee);
                        vec![fee.account(account).build()]
                    }),
                    tags,
                    metadata,
                    ..DedicatedRefundInput::default()
                }
            })
            .collect()
    })
}

/// Payments that break no rule, in every shape.
fn payments() -> impl Strategy<Value = CreateInvoicePayment> {
    let amounts = prop_oneof![1..=100_000_i64, 1..=i64::MAX, Just(1), Just(i64::MAX)];
    let times = (0..=NOW.as_second(), 0..=999_999_999_i32)
        .prop_map(|(second, nanosecond)| Timestamp::new(second, nanosecond).unwrap().min(NOW));
    (amounts, times).prop_flat_map(|(amount, paid_at)| {
        let fees = vec((any::<u8>(), account()), 0..4);
        let named = (text(), option::of(text()), option::of(text()));
        let accounts = (option::of(account()), option::of(account()));
        (
            named,
            method(),
            accounts,
            (option::of(any::<u8>()), fees),
            allocations(amount),
            option::of(refunds(amount, paid_at)),
            tags(),
            metadata(),
        )
            .prop_map(
                move |(named, method, accounts, fees, allocations, refunds, tags, metadata)| {
                    let (external_id, processor, reference_number) = named;
                    let (clearing, redemption) = accounts;
                    let (fee, additional) = fees;
                    let shares: Vec<u8> = fee
                        .into_iter()
                        .chain(additional.iter().map(|fee| fee.0))
                        .collect();
                    let mut cents = parts(amount, &shares).into_iter();
                    let takes_processor =
                        !matches!(method, PaymentMethod::Cash | PaymentMethod::Check);
                    let redeems = method == PaymentMethod::CreditBalance;
                    let fee = fee.and_then(|_| cents.next());
                    let additional =
                        additional
                            .into_iter()
                            .zip(cents)
                            .map(|((_, account), cents)| {
                                let fee = AdditionalFeeInput::builder().fee_amount(cents);
                                fee.account(account).build()
                            });
                    let mut payment = CreateInvoicePayment::builder()
                        .paid_at(paid_at)
                        .method(method)
                        .amount(amount)
                        .invoice_payments(allocations)
                        .external_id(external_id)
                        .additional_fees(additional)
                        .build();
                    payment.fee = fee;
                    payment.processor = processor.filter(|_| takes_processor);
                    payment.payment_clearing_account_identifier = clearing;
                    payment.redemption_account = redemption.filter(|_| redeems);
                    payment.dedicated_refunds = refunds;
                    payment.tags = tags;
                    payment.metadata = metadata;
                    payment.reference_number =
                        reference_number.map(|number| number.replace(',', ";"));
                    payment
                },
            )
    })
}

#[test]
fn a_valid_payment_has_no_violation() {
    check(200, &payments(), |payment| {
        assert_eq!(validate_create(&payment, &context()), []);
        let update = update_of(&payment, u16::MAX);
        assert_eq!(validate_update(&update, None, &context()), []);
    });
}

// ---- One mistake --------------------------------------------------------------------------------------------------

/// A mistake: makes it, and gives the violations that it has to have. `None` where the payment has no place for it.
type Mistake = fn(&mut CreateInvoicePayment) -> Option<Vec<(Rule, String)>>;

fn one(rule: Rule, pointer: &str) -> Option<Vec<(Rule, String)>> {
    Some(vec![(rule, pointer.to_owned())])
}

fn last<T>(list: &mut Option<Vec<T>>) -> Option<(usize, &mut T)> {
    let list = list.as_mut()?;
    Some((list.len().checked_sub(1)?, list.last_mut()?))
}

/// The last allocation to an invoice.
fn last_invoice(
    payment: &mut CreateInvoicePayment,
) -> Option<(usize, &mut InvoiceAllocationInput)> {
    let list = payment.invoice_payments.iter_mut().enumerate().rev();
    list.filter_map(|(index, allocation)| match allocation {
        AllocationInput::Invoice(invoice) => Some((index, invoice)),
        AllocationInput::LedgerAccount(_) => None,
    })
    .next()
}

/// Metadata above the limit.
fn too_large() -> Metadata {
    Metadata(Map::from_iter([(
        "m".to_owned(),
        json!("é".repeat(METADATA_LIMIT / 2)),
    )]))
}

const MISTAKES: &[(&str, Mistake)] = &[
    ("no external id", |payment| {
        payment.external_id = None;
        one(Rule::ExternalIdMissing, "")
    }),
    ("an empty external id", |payment| {
        payment.external_id = Some(String::new());
        one(Rule::ExternalIdEmpty, "/external_id")
    }),
    ("long ago", |payment| {
        payment.paid_at = Timestamp::constant(0, 0).checked_sub(1.nanosecond()).ok()?;
        one(Rule::DateImplausible, "/paid_at")
    }),
    ("a far future", |payment| {
        payment.paid_at = Timestamp::constant(7_258_118_400, 0);
        one(Rule::DateImplausible, "/paid_at")
    }),
    ("a near future", |payment| {
        payment.paid_at = NOW.checked_add(1.nanosecond()).ok()?;
        let mut expected = one(Rule::DateInFuture, "/paid_at")?;
        let refunds = payment.dedicated_refunds.iter().flatten().enumerate();
        expected.extend(
            refunds
                .filter(|(_, refund)| refund.completed_at.is_some())
                .map(|(index, _)| {
                    (
                        Rule::RefundBeforePayment,
                        format!("/dedicated_refunds/{index}/completed_at"),
                    )
                }),
        );
        Some(expected)
    }),
    ("a negative amount", |payment| {
        payment.amount = -1;
        one(Rule::AmountNegative, "/amount")
    }),
    ("an amount of nothing", |payment| {
        payment.amount = 0;
        payment.fee = None;
        payment.additional_fees = None;
        payment.invoice_payments.clear();
        payment.dedicated_refunds = None;
        one(Rule::AmountZero, "/amount")
    }),
    ("a negative fee", |payment| {
        payment.fee = Some(-1);
        one(Rule::AmountNegative, "/fee")
    }),
    ("a fee that is too high", |payment| {
        payment.fee = Some(payment.amount.checked_add(1)?);
        one(Rule::FeesExceedAmount, "/fee")
    }),
    ("an additional fee that is too high", |payment| {
        payment.fee = None;
        let (_, fee) = last(&mut payment.additional_fees)?;
        fee.fee_amount = payment.amount.checked_add(1)?;
        one(Rule::FeesExceedAmount, "/additional_fees")
    }),
    ("a negative additional fee", |payment| {
        let (index, fee) = last(&mut payment.additional_fees)?;
        fee.fee_amount = i64::MIN;
        one(
            Rule::AmountNegative,
            &format!("/additional_fees/{index}/fee_amount"),
        )
    }),
    ("an additional fee to nowhere", |payment| {
        let (index, fee) = last(&mut payment.additional_fees)?;
        fee.account = AccountIdentifier::stable_name(String::new());
        one(
            Rule::StableNameEmpty,
            &format!("/additional_fees/{index}/account/stable_name"),
        )
    }),
    ("a processor of cash", |payment| {
        payment.method = PaymentMethod::Cash;
        payment.redemption_account = None;
        payment.processor = Some("STRIPE".to_owned());
        one(Rule::ProcessorNotAllowedForMethod, "/processor")
    }),
    ("credit redeemed by card", |payment| {
        payment.method = PaymentMethod::CreditCard;
        payment.redemption_account = Some(AccountIdentifier::account_id(Uuid::nil()));
        one(
            Rule::RedemptionAccountNotAllowedForMethod,
            "/redemption_account",
        )
    }),
    ("a clearing account without a name", |payment| {
        payment.payment_clearing_account_identifier =
            Some(AccountIdentifier::stable_name(String::new()));
        one(
            Rule::StableNameEmpty,
            "/payment_clearing_account_identifier/stable_name",
        )
    }),
    ("allocations a cent too high", |payment| {
        let allocated: i64 = payment
            .invoice_payments
            .iter_mut()
            .map(|part| *amount_of(part))
            .sum();
        for part in [payment.amount - allocated, 1] {
            let account = AccountIdentifier::account_id(Uuid::nil());
            let ledger = LedgerAccountAllocationInput::builder()
                .account(account)
                .amount(part)
                .build();
            payment.invoice_payments.push(ledger.into());
        }
        one(Rule::AllocationsExceedAmount, "/invoice_payments")
    }),
    ("a negative allocation", |payment| {
        let index = payment.invoice_payments.len().checked_sub(1)?;
        *amount_of(payment.invoice_payments.last_mut()?) = -1;
        one(
            Rule::AmountNegative,
            &format!("/invoice_payments/{index}/amount"),
        )
    }),
    ("an allocation to nothing", |payment| {
        let (index, invoice) = last_invoice(payment)?;
        invoice.invoice_id = None;
        invoice.invoice_external_id = None;
        one(
            Rule::AllocationTargetMissing,
            &format!("/invoice_payments/{index}"),
        )
    }),
    ("an invoice without a name", |payment| {
        let (index, invoice) = last_invoice(payment)?;
        invoice.invoice_external_id = Some(String::new());
        one(
            Rule::ExternalIdEmpty,
            &format!("/invoice_payments/{index}/invoice_external_id"),
        )
    }),
    ("an invoice twice", |payment| {
        let (_, invoice) = last_invoice(payment)?;
        let mut again = InvoiceAllocationInput::builder().amount(0).build();
        again.invoice_id = invoice.invoice_id;
        again.invoice_external_id = invoice.invoice_external_id.clone();
        let name = if again.invoice_id.is_some() {
            "invoice_id"
        } else {
            "invoice_external_id"
        };
        let index = payment.invoice_payments.len();
        payment.invoice_payments.push(again.into());
        one(
            Rule::DuplicateInvoiceAllocation,
            &format!("/invoice_payments/{index}/{name}"),
        )
    }),
    ("large metadata of an allocation", |payment| {
        let (index, invoice) = last_invoice(payment)?;
        invoice.metadata = Some(too_large());
        one(
            Rule::MetadataTooLarge,
            &format!("/invoice_payments/{index}/metadata"),
        )
    }),
    ("large metadata", |payment| {
        payment.metadata = Some(too_large());
        one(Rule::MetadataTooLarge, "/metadata")
    }),
    ("a comma in the reference number", |payment| {
        let number = payment.reference_number.get_or_insert_default();
        number.push(',');
        one(Rule::ReferenceNumberComma, "/reference_number")
    }),
    ("a key twice", |payment| {
        let (index, tag) = last(&mut payment.tags)?;
        let again = tag.clone();
        payment.tags.as_mut()?.push(again);
        one(Rule::DuplicateTagKey, &format!("/tags/{}/key", index + 1))
    }),
    ("a key of blanks", |payment| {
        let (index, tag) = last(&mut payment.tags)?;
        tag.key = "\u{a0}".to_owned();
        one(Rule::TagEmpty, &format!("/tags/{index}/key"))
    }),
    ("a blank before a value", |payment| {
        let (index, tag) = last(&mut payment.tags)?;
        tag.value.insert(0, '\u{3000}');
        one(Rule::TagOuterBlanks, &format!("/tags/{index}/value"))
    }),
    ("a blank behind a key", |payment| {
        let (index, tag) = last(&mut payment.tags)?;
        tag.key.push('\n');
        one(Rule::TagOuterBlanks, &format!("/tags/{index}/key"))
    }),
    ("an empty display name", |payment| {
        let (index, tag) = last(&mut payment.tags)?;
        tag.dimension_display_name = Some(String::new());
        one(
            Rule::TagDisplayNameEmpty,
            &format!("/tags/{index}/dimension_display_name"),
        )
    }),
    ("refunds a cent too high", |payment| {
        let amount = payment.amount;
        let refund = |cents| DedicatedRefundInput {
            refunded_amount: Some(cents),
            ..DedicatedRefundInput::default()
        };
        payment.dedicated_refunds = Some(vec![refund(amount), refund(1)]);
        one(Rule::RefundsExceedAmount, "/dedicated_refunds")
    }),
    ("a refund of nothing", |payment| {
        let (index, refund) = last(&mut payment.dedicated_refunds)?;
        refund.line_items = None;
        refund.refunded_amount = None;
        one(
            Rule::RefundAmountMissing,
            &format!("/dedicated_refunds/{index}"),
        )
    }),
    ("a refund of two amounts", |payment| {
        let (index, refund) = last(&mut payment.dedicated_refunds)?;
        let sum: i64 = refund
            .line_items
            .iter()
            .flatten()
            .map(|line| line.amount)
            .sum();
        if refund.line_items.as_ref()?.is_empty() {
            return None;
        }
        refund.refunded_amount = Some(sum.checked_add(1)?);
        one(
            Rule::RefundAmountMismatch,
            &format!("/dedicated_refunds/{index}/refunded_amount"),
        )
    }),
    ("a refund before the payment", |payment| {
        let before = payment.paid_at.checked_sub(1.nanosecond()).ok()?;
        let (index, refund) = last(&mut payment.dedicated_refunds)?;
        refund.completed_at = Some(before).filter(|time| *time >= Timestamp::UNIX_EPOCH);
        refund.completed_at?;
        one(
            Rule::RefundBeforePayment,
            &format!("/dedicated_refunds/{index}/completed_at"),
        )
    }),
    ("a refund twice", |payment| {
        let (index, refund) = last(&mut payment.dedicated_refunds)?;
        refund.external_id.as_ref()?;
        let again = DedicatedRefundInput {
            external_id: refund.external_id.clone(),
            refunded_amount: Some(0),
            ..DedicatedRefundInput::default()
        };
        payment.dedicated_refunds.as_mut()?.push(again);
        one(
            Rule::DuplicateRefundExternalId,
            &format!("/dedicated_refunds/{}/external_id", index + 1),
        )
    }),
];

#[test]
fn one_mistake_is_one_violation() {
    let made = RefCell::new(BTreeMap::<&str, usize>::new());
    let rules = RefCell::new(Vec::new());
    check(150, &payments(), |valid| {
        for (name, mistake) in MISTAKES {
            let mut payment = valid.clone();
            let Some(expected) = mistake(&mut payment) else {
                continue;
            };
            let violations = validate_create(&payment, &context());
            assert_eq!(pairs(&violations), expected, "{name}: {payment:#?}");
            *made.borrow_mut().entry(name).or_default() += 1;
            rules.borrow_mut().push(expected[0].0);
        }
    });
    for (name, _) in MISTAKES {
        let times = made.borrow().get(name).copied().unwrap_or_default();
        assert!(times >= 20, "{name}: made {times} times");
    }
    // Every rule on one payment's values is among them.
    let of_one_value = Rule::ALL.iter().filter(|rule| {
        let elsewhere = matches!(
            rule,
            Rule::DuplicateExternalId
                | Rule::BulkEmpty
                | Rule::BulkTooLarge
                | Rule::UpdateEmpty
                | Rule::NullChangesNothing
                | Rule::FilterRangeReversed
                | Rule::LimitOutOfRange
                | Rule::ReferenceNumbersEmpty
        );
        !rule.is_raw() && !elsewhere
    });
    for rule in of_one_value {
        assert!(rules.borrow().contains(rule), "{rule} has no mistake");
    }
}

// ---- Bulks --------------------------------------------------------------------------------------------------------

/// A payment, valid or with a mistake.
fn judged() -> impl Strategy<Value = CreateInvoicePayment> {
    (payments(), option::of(0..MISTAKES.len())).prop_map(|(mut payment, mistake)| {
        if let Some(mistake) = mistake {
            let (_, make) = MISTAKES[mistake];
            // Where there is no place for it, the payment may be valid or not.
            let _ = make(&mut payment);
        }
        payment
    })
}

#[test]
fn a_bulk_is_its_payments_and_their_ids() {
    let bulks = vec((judged(), 0..4_usize), 1..12);
    check(40, &bulks, |list| {
        let mut payments = Vec::new();
        for (mut payment, earlier) in list {
            // Some have the id of an earlier one.
            if let Some(other) = payments.get(earlier) {
                let other: &CreateInvoicePayment = other;
                payment.external_id = other.external_id.clone();
            }
            payments.push(payment);
        }
        let mut ids = ExternalIds::new();
        let mut expected: Vec<Violation> = Vec::new();
        for (index, payment) in payments.iter().enumerate() {
            let of_payment = validate_create(payment, &context());
            expected.extend(
                of_payment
                    .into_iter()
                    .map(|violation| violation.under(&format!("/{index}"))),
            );
            if let Some(id) = payment.external_id.as_deref() {
                expected.extend(ids.repeated(index, id));
            }
        }
        let mut found = validate_bulk(&payments, &context());
        let order = |violation: &Violation| (violation.pointer.clone(), violation.rule);
        expected.sort_by_key(order);
        found.sort_by_key(order);
        assert_eq!(found, expected);
    });
}

// ---- Updates ------------------------------------------------------------------------------------------------------

/// An update that sets the properties of a payment that `which` has bits for.
fn update_of(payment: &CreateInvoicePayment, which: u16) -> UpdateInvoicePayment {
    fn set<T: Clone>(is_set: bool, value: &Option<T>) -> Field<T> {
        match value {
            Some(value) if is_set => Field::Value(value.clone()),
            _ => Field::Absent,
        }
    }
    let mut bits = (0..16).map(|bit| which >> bit & 1 == 1);
    let mut next = || bits.next().unwrap_or_default();
    UpdateInvoicePayment {
        external_id: set(next(), &payment.external_id),
        paid_at: set(next(), &Some(payment.paid_at)),
        amount: set(next(), &Some(payment.amount)),
        fee: set(next(), &Some(payment.fee.unwrap_or(0))),
        additional_fees: next().then(|| payment.additional_fees.clone().unwrap_or_default()),
        method: next().then_some(payment.method),
        processor: if next() {
            payment.processor.clone().map_or(Field::Null, Field::Value)
        } else {
            Field::Absent
        },
        payment_clearing_account_identifier: set(
            next(),
            &payment.payment_clearing_account_identifier,
        ),
        invoice_payments: next().then(|| payment.invoice_payments.clone()),
        dedicated_refunds: next().then(|| payment.dedicated_refunds.clone().unwrap_or_default()),
        tags: next().then(|| payment.tags.clone().unwrap_or_default()),
        memo: set(next(), &payment.memo),
        metadata: set(next(), &payment.metadata),
        reference_number: set(next(), &payment.reference_number),
    }
}

fn existing_of(payment: &CreateInvoicePayment) -> Existing {
    let additional_fees = payment.additional_fees.iter().flatten();
    let mut allocations = payment.invoice_payments.clone();
    let refunded = |refund: &DedicatedRefundInput| -> i128 {
        match refund.line_items.as_deref() {
            Some(lines) if !lines.is_empty() => {
                lines.iter().map(|line| i128::from(line.amount)).sum()
            }
            _ => i128::from(refund.refunded_amount.unwrap_or(0)),
        }
    };
    Existing {
        paid_at: payment.paid_at,
        method: Some(payment.method),
        amount: payment.amount,
        fee: payment.fee.unwrap_or(0),
        additional_fees: additional_fees.map(|fee| i128::from(fee.fee_amount)).sum(),
        processor: payment.processor.clone(),
        allocated: allocations
            .iter_mut()
            .map(|allocation| i128::from(*amount_of(allocation)))
            .sum(),
        refunded: payment
            .dedicated_refunds
            .iter()
            .flatten()
            .map(refunded)
            .sum(),
    }
}

/// The payment after an update.
fn updated(payment: &CreateInvoicePayment, update: &UpdateInvoicePayment) -> CreateInvoicePayment {
    fn set<T: Clone>(kept: &Option<T>, set: &Field<T>) -> Option<T> {
        match set {
            Field::Absent => kept.clone(),
            Field::Null => None,
            Field::Value(value) => Some(value.clone()),
        }
    }
    CreateInvoicePayment {
        external_id: set(&payment.external_id, &update.external_id),
        paid_at: *update.paid_at.as_option().unwrap_or(&payment.paid_at),
        method: update.method.unwrap_or(payment.method),
        amount: *update.amount.as_option().unwrap_or(&payment.amount),
        fee: set(&payment.fee, &update.fee),
        additional_fees: update
            .additional_fees
            .clone()
            .or(payment.additional_fees.clone()),
        processor: set(&payment.processor, &update.processor),
        payment_clearing_account_identifier: set(
            &payment.payment_clearing_account_identifier,
            &update.payment_clearing_account_identifier,
        ),
        // An update can't set it, and its rule doesn't hold for updates.
        redemption_account: None,
        invoice_payments: update
            .invoice_payments
            .clone()
            .unwrap_or_else(|| payment.invoice_payments.clone()),
        dedicated_refunds: update
            .dedicated_refunds
            .clone()
            .or(payment.dedicated_refunds.clone()),
        tags: update.tags.clone().or(payment.tags.clone()),
        memo: set(&payment.memo, &update.memo),
        metadata: set(&payment.metadata, &update.metadata),
        reference_number: set(&payment.reference_number, &update.reference_number),
    }
}

#[test]
fn an_update_is_checked_like_the_payment_that_it_makes() {
    let cases = (payments(), judged(), any::<u16>());
    let broken = RefCell::new(BTreeMap::<Rule, usize>::new());
    check(200, &cases, |(stored, other, which)| {
        let update = update_of(&other, which);
        let whole = updated(&stored, &update);
        let rules = |violations: Vec<Violation>| {
            let mut rules: Vec<Rule> = violations
                .into_iter()
                .map(|violation| violation.rule)
                .filter(|rule| match rule {
                    // Rules of one operation alone.
                    Rule::UpdateEmpty | Rule::ExternalIdMissing => false,
                    // A refund that stays isn't looked at.
                    Rule::RefundBeforePayment => update.dedicated_refunds.is_some(),
                    _ => true,
                })
                .collect();
            rules.sort();
            rules
        };
        let existing = existing_of(&stored);
        let of_update = rules(validate_update(&update, Some(&existing), &context()));
        let of_whole = rules(validate_create(&whole, &context()));
        assert_eq!(of_update, of_whole, "{update:#?}");
        for rule in of_update {
            *broken.borrow_mut().entry(rule).or_default() += 1;
        }
        // A payment that is recorded again is an update of another form.
        let mut again = other.clone();
        again.redemption_account = None;
        let (processor, additional_fees) = (&stored.processor, &stored.additional_fees);
        let merged = CreateInvoicePayment {
            processor: again.processor.clone().or(processor.clone()),
            fee: again.fee.or(stored.fee),
            additional_fees: again.additional_fees.clone().or(additional_fees.clone()),
            dedicated_refunds: again
                .dedicated_refunds
                .clone()
                .or(stored.dedicated_refunds.clone()),
            ..again.clone()
        };
        let again = rules(validate_repeat(&again, &existing, &context()));
        let merged = rules(validate_create(&merged, &context()));
        let of_request = |rules: Vec<Rule>| -> Vec<Rule> {
            let refunds = other.dedicated_refunds.is_some();
            let holds = |rule: &Rule| refunds || *rule != Rule::RefundBeforePayment;
            rules.into_iter().filter(holds).collect()
        };
        assert_eq!(of_request(again), of_request(merged));
    });
    for rule in [
        Rule::AllocationsExceedAmount,
        Rule::FeesExceedAmount,
        Rule::RefundsExceedAmount,
        Rule::ProcessorNotAllowedForMethod,
        Rule::RefundBeforePayment,
    ] {
        let times = broken.borrow().get(&rule).copied().unwrap_or_default();
        assert!(times >= 5, "{rule}: broken {times} times");
    }
}
