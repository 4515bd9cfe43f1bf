//! What the checks cost, beside what it costs to parse the same payload and to check it by JSON Schema.
//!
//! `cargo bench -p layer-payments-validation` prints, for the documents' requests and for bulks, how long one call takes
//! and three ratios. The goals: a check of a valid request takes at most a tenth of the time of parsing it, JSON Schema
//! takes at least 20 times as long as a check, and checking the text takes at most twice the time of parsing it to the
//! type. The program ends with an error if one isn't met.
//!
//! Rows in parentheses have no goal, and don't all meet it:
//!
//! - the spec's own examples, some so small that a check is hardly more than the call;
//! - a bulk of 1,000, which says how it goes on between the bulks that have one;
//! - the update page's request as it is printed. Its fees are above its amount, so a check writes the warning, which takes
//!   longer than all the rest, while JSON Schema can't tell and finds nothing. Without the fee it is valid, and has its
//!   goals.
//!
//! - "check" is a call of this crate on the parsed type.
//! - "parse" is `serde_json::from_slice`, to the request's type or to a `Value`, result dropped: the faster of the two
//!   counts.
//! - "schema" is the `jsonschema` crate's validator, built beforehand from the spec's schema, formats included. It looks
//!   for all errors in the parsed `Value`, as a check looks for all violations. "is_valid" is the same validator's
//!   answer in one bit, which it is a little quicker to give.
//! - "json" is a call of this crate on the text, which looks for all faults of the text, parses it and checks the result.
//!
//! A text after `--` picks the rows that have it in their name: `cargo bench -p layer-payments-validation -- page`.
//!
//! A busy machine disturbs the large bulk most, whose payments fit into the last cache only if nobody else uses it.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jsonschema::Validator;
use layer_payments_tests::{json_file, json_schema, spec};
use layer_payments_types::{
    BulkCreateInvoicePayments, CreateInvoicePayment, Operation, UpdateInvoicePayment,
};
use layer_payments_validation::{
    Context, Violation, has_errors, validate_bulk, validate_create, validate_json, validate_update,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A check takes at most this part of the time of parsing.
const MOST_OF_PARSING: f64 = 0.1;
/// JSON Schema takes at least so many times as long as a check.
const LEAST_BY_SCHEMA: f64 = 20.0;
/// Checking the text takes at most so many times as long as parsing it to the type.
const MOST_FOR_TEXT: f64 = 2.0;

fn main() -> ExitCode {
    let spec = spec();
    let context = Context::at("2026-01-01T00:00:00Z".parse().expect("a time"));
    let example = |name: &str| spec["components"]["examples"][name]["value"].clone();
    let documented = json_file("spec/examples/record_invoice_payment.request.json");
    let creates = [
        ("record page", documented),
        ("(spec: card)", example("CreateCardPayment")),
        ("(spec: split)", example("CreateSplitPayment")),
        ("(spec: credit)", example("CreateCreditBalancePayment")),
    ];
    let documented = json_file("spec/examples/update_invoice_payment.request.json");
    // As it is printed, its fees are twice its amount.
    let mut without_fee = documented.clone();
    without_fee["fee"] = json!(0);
    let updates = [
        ("update page, fee 0", without_fee),
        ("(update page)", documented),
        ("(spec: reallocate)", example("UpdateReallocate")),
        ("(spec: clear)", example("UpdateClear")),
    ];
    let validator = |name: &str| {
        jsonschema::options()
            .should_validate_formats(true)
            .build(&json_schema(&spec, name, false))
            .expect("the spec's schemas are schemas")
    };

    println!(
        "{:<18} {:>9} {:>11} {:>11} {:>11} {:>11} {:>11} {:>11} {:>12} {:>12} {:>10}",
        "payload",
        "bytes",
        "check",
        "parse typed",
        "parse Value",
        "is_valid",
        "schema",
        "json",
        "check/parse",
        "schema/check",
        "json/parse"
    );
    let mut met = true;
    let create_schema = validator("CreateInvoicePayment");
    for (name, payload) in &creates {
        let check = |payment: &CreateInvoicePayment| validate_create(payment, &context);
        let json = |text: &[u8]| validate_json(Operation::RecordInvoicePayment, text, &context);
        met &= row(name, payload, &create_schema, check, json);
    }
    let update_schema = validator("UpdateInvoicePayment");
    for (name, payload) in &updates {
        let check = |update: &UpdateInvoicePayment| validate_update(update, None, &context);
        let json = |text: &[u8]| validate_json(Operation::UpdateInvoicePayment, text, &context);
        met &= row(name, payload, &update_schema, check, json);
    }
    let bulk_schema = validator("BulkCreateInvoicePayments");
    for (name, count) in [
        ("bulk of 1", 1),
        ("bulk of 100", 100),
        ("(bulk of 1000)", 1_000),
        ("bulk of 10000", 10_000),
    ] {
        let payments =
            creates
                .iter()
                .cycle()
                .take(count)
                .enumerate()
                .map(|(index, (_, payment))| {
                    let mut payment = payment.clone();
                    payment["external_id"] = json!(format!("payment-{index}"));
                    payment
                });
        let payload = Value::Array(payments.collect());
        let check = |payments: &BulkCreateInvoicePayments| validate_bulk(&payments.0, &context);
        let json =
            |text: &[u8]| validate_json(Operation::BulkCreateInvoicePayments, text, &context);
        met &= row(name, &payload, &bulk_schema, check, json);
    }
    let goals = format!(
        "check/parse <= {MOST_OF_PARSING}, schema/check >= {LEAST_BY_SCHEMA}, json/parse <= {MOST_FOR_TEXT}"
    );
    if met {
        println!("\nAll goals are met: {goals}.");
        ExitCode::SUCCESS
    } else {
        println!("\nA goal is missed: {goals}.");
        ExitCode::FAILURE
    }
}

/// Measures one payload and prints its row. Says whether all goals are met, or it has none.
fn row<T: DeserializeOwned>(
    name: &str,
    payload: &Value,
    schema: &Validator,
    check: impl Fn(&T) -> Vec<Violation>,
    json: impl Fn(&[u8]) -> Vec<Violation>,
) -> bool {
    let mut filters = std::env::args()
        .skip(1)
        .filter(|text| !text.starts_with('-'));
    if filters.next().is_some_and(|filter| !name.contains(&filter)) {
        return true;
    }
    let text = serde_json::to_vec(payload).expect("a value is JSON");
    let typed: T = serde_json::from_slice(&text).expect("the payload fits its type");
    assert!(!has_errors(&check(&typed)), "{name} has errors");
    assert!(!has_errors(&json(&text)), "{name} has errors as a text");
    assert!(schema.is_valid(payload), "{name} doesn't fit the schema");

    let [check, parse_typed, parse_value, is_valid, by_schema, json] = times([
        &mut || drop(black_box(check(black_box(&typed)))),
        &mut || drop(black_box(serde_json::from_slice::<T>(black_box(&text)))),
        &mut || drop(black_box(serde_json::from_slice::<Value>(black_box(&text)))),
        &mut || {
            black_box(schema.is_valid(black_box(payload)));
        },
        &mut || {
            black_box(schema.iter_errors(black_box(payload)).count());
        },
        &mut || drop(black_box(json(black_box(&text)))),
    ]);
    let of_parsing = check / parse_typed.min(parse_value);
    let times_schema = by_schema / check;
    let of_typed = json / parse_typed;
    println!(
        "{name:<18} {:>9} {:>11} {:>11} {:>11} {:>11} {:>11} {:>11} {of_parsing:>12.3} {times_schema:>12.1} \
         {of_typed:>10.2}",
        text.len(),
        shown(check),
        shown(parse_typed),
        shown(parse_value),
        shown(is_valid),
        shown(by_schema),
        shown(json),
    );
    let is_met = of_parsing <= MOST_OF_PARSING
        && times_schema >= LEAST_BY_SCHEMA
        && of_typed <= MOST_FOR_TEXT;
    is_met || name.starts_with('(')
}

/// How long one call of each takes, in seconds: the best of many rounds, in which they take turns, so that a busy machine
/// slows down all of them alike. The rounds are short, so that some of them fall between what else it does.
fn times<const N: usize>(mut calls: [&mut dyn FnMut(); N]) -> [f64; N] {
    const ROUNDS: u32 = 100;
    const ROUND: Duration = Duration::from_millis(3);
    let repeats = calls.each_mut().map(|call| {
        // As many calls as take about a round.
        let mut repeats = 1_u32;
        loop {
            let time = time(*call, repeats);
            if time >= ROUND.as_secs_f64() || repeats >= 1 << 24 {
                return repeats;
            }
            repeats *= 2;
        }
    });
    let mut best = [f64::INFINITY; N];
    for _ in 0..ROUNDS {
        for (index, call) in calls.iter_mut().enumerate() {
            // The one before has left other things in the caches.
            call();
            let one = time(*call, repeats[index]) / f64::from(repeats[index]);
            best[index] = best[index].min(one);
        }
    }
    best
}

fn time(call: &mut dyn FnMut(), repeats: u32) -> f64 {
    let start = Instant::now();
    for _ in 0..repeats {
        call();
    }
    start.elapsed().as_secs_f64()
}

fn shown(seconds: f64) -> String {
    if seconds < 1e-6 {
        format!("{:.1} ns", seconds * 1e9)
    } else if seconds < 1e-3 {
        format!("{:.2} us", seconds * 1e6)
    } else {
        format!("{:.2} ms", seconds * 1e3)
    }
}
