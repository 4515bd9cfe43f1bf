//! What is wrong with a request: by itself, and against the payment that it changes. These are the rules that the requests
//! of this test break.

use serde_json::{Map, Value};

use crate::ledger::{amount_of_refund, items};
use crate::model::Fault;

/// What is wrong with a request whatever is stored, of the rules that this test's requests break.
pub(crate) fn faults_of_request(request: &Value, create: bool, place: &str) -> Vec<Fault> {
    let mut faults = faults_of_form(request, create, place);
    // What hasn't the form of a payment isn't judged as one.
    if !faults.is_empty() {
        return faults;
    }
    let mut add =
        |pointer: &str, code: &str| faults.push((format!("{place}{pointer}"), code.to_owned()));
    for key in ["amount", "fee"] {
        if request[key].as_i64().is_some_and(|number| number < 0) {
            add(&format!("/{key}"), "amount-negative");
        }
    }
    if request["external_id"] == "" {
        add("/external_id", "external-id-empty");
    }
    if !request["redemption_account"].is_null() && request["method"] != "CREDIT_BALANCE" {
        add(
            "/redemption_account",
            "redemption-account-not-allowed-for-method",
        );
    }
    let refunds: Vec<&Value> = request["dedicated_refunds"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    for (index, refund) in refunds.iter().enumerate() {
        let name = &refund["external_id"];
        if name.is_string()
            && refunds[..index]
                .iter()
                .any(|other| other["external_id"] == *name)
        {
            add(
                &format!("/dedicated_refunds/{index}/external_id"),
                "duplicate-refund-external-id",
            );
        }
    }
    let tags: Vec<&Value> = request["tags"].as_array().into_iter().flatten().collect();
    for (index, tag) in tags.iter().enumerate() {
        if tags[..index].iter().any(|other| other["key"] == tag["key"]) {
            add(&format!("/tags/{index}/key"), "duplicate-tag-key");
        }
    }
    // Where the request holds both of the values that a rule compares, it needs no stored payment.
    let values = request.as_object().cloned().unwrap_or_default();
    faults.extend(against_payment(&values, request, place));
    faults
}

/// Properties that are unknown, or missing from a record.
pub(crate) fn faults_of_form(request: &Value, create: bool, place: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    if request.get("colour").is_some() {
        faults.push((format!("{place}/colour"), "property-unknown".to_owned()));
    }
    if create && request.get("amount").is_none() {
        faults.push((format!("{place}/amount"), "property-missing".to_owned()));
    }
    faults
}

/// What is wrong with the payment that a request makes of another one, where the request has a part in it (D13, D24).
pub(crate) fn against_payment(
    values: &Map<String, Value>,
    request: &Value,
    place: &str,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    let sent = |key: &str| request.get(key).is_some_and(|value| !value.is_null());
    let parts = values.get("invoice_payments").and_then(Value::as_array);
    let allocated: i64 = parts
        .into_iter()
        .flatten()
        .filter_map(|part| part["amount"].as_i64())
        .sum();
    let refunded = items(values, "dedicated_refunds")
        .iter()
        .map(amount_of_refund)
        .sum();
    // An amount below zero is one fault, and not two (D70).
    let amount = values
        .get("amount")
        .and_then(Value::as_i64)
        .filter(|amount| *amount >= 0);
    for (list, sum, code) in [
        ("invoice_payments", allocated, "allocations-exceed-amount"),
        ("dedicated_refunds", refunded, "refunds-exceed-amount"),
    ] {
        let at = if sent(list) { list } else { "amount" };
        if amount.is_some_and(|amount| sum > amount) && sent(at) {
            faults.push((format!("{place}/{at}"), code.to_owned()));
        }
    }
    let takes_none = ["CASH", "CHECK"]
        .iter()
        .any(|method| values.get("method").is_some_and(|m| m == method));
    let processor = values
        .get("processor")
        .is_some_and(|processor| !processor.is_null());
    if takes_none && processor && (sent("processor") || sent("method")) {
        let at = if sent("processor") {
            "/processor"
        } else {
            "/method"
        };
        faults.push((
            format!("{place}{at}"),
            "processor-not-allowed-for-method".to_owned(),
        ));
    }
    faults
}
