//! The published rules against this crate: the catalogue and the test vectors of `spec/rules`.
//!
//! Every vector is checked as it is sent, as text. One that the types can hold is also checked as a value, which must
//! come to the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use layer_payments_types::{CreateInvoicePayment, InvoicePayment, Operation, UpdateInvoicePayment};
use layer_payments_validation::{
    Context, Existing, Rule, Severity, Violation, has_errors, read_update, validate_bulk,
    validate_create, validate_json, validate_query, validate_update,
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// An entry of the catalogue.
#[derive(Deserialize)]
struct Entry {
    code: String,
    severity: String,
    operations: Vec<String>,
    #[serde(default)]
    raw_only: bool,
}

/// A test vector.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    operation: String,
    payload: Option<Value>,
    text: Option<String>,
    #[serde(default)]
    context: Given,
    violations: Vec<Expected>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    now: Option<String>,
    bulk_limit: Option<usize>,
    existing: Option<InvoicePayment>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    code: String,
    pointer: String,
}

/// Code and pointer.
type Pairs = BTreeSet<(String, String)>;

impl Vector {
    fn operation(&self) -> Operation {
        Operation::ALL
            .into_iter()
            .find(|operation| operation.id() == self.operation)
            .unwrap_or_else(|| panic!("{}: no such operation", self.operation))
    }

    fn context(&self) -> Context {
        let now = self.context.now.as_deref();
        Context {
            now: now.unwrap_or("2026-01-01T00:00:00Z").parse().unwrap(),
            bulk_limit: self.context.bulk_limit,
        }
    }

    fn existing(&self) -> Option<Existing> {
        self.context.existing.as_ref().map(Existing::from)
    }

    /// The request's body.
    fn body(&self) -> String {
        match (&self.payload, &self.text) {
            (Some(payload), None) => payload.to_string(),
            (None, Some(text)) => text.clone(),
            _ => panic!("{}: either a payload or a text", self.name),
        }
    }

    fn expected(&self) -> Pairs {
        let pairs: Pairs = self
            .violations
            .iter()
            .map(|expected| (expected.code.clone(), expected.pointer.clone()))
            .collect();
        assert_eq!(pairs.len(), self.violations.len(), "{}", self.name);
        pairs
    }
}

fn rules_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/rules")
}

fn catalogue() -> Vec<Entry> {
    let text = fs::read(rules_folder().join("catalogue.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The vectors, by the code that their file is named after.
fn vectors() -> BTreeMap<String, Vec<Vector>> {
    fs::read_dir(rules_folder().join("vectors"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let code = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let vectors = serde_json::from_slice(&fs::read(&path).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (code, vectors)
        })
        .collect()
}

fn rule(code: &str) -> Rule {
    Rule::ALL
        .iter()
        .copied()
        .find(|rule| rule.code() == code)
        .unwrap_or_else(|| panic!("{code}: no such rule"))
}

fn pairs(violations: &[Violation]) -> Pairs {
    let pairs: Pairs = violations
        .iter()
        .map(|violation| (violation.rule.code().to_owned(), violation.pointer.clone()))
        .collect();
    assert_eq!(
        pairs.len(),
        violations.len(),
        "found twice: {violations:#?}"
    );
    pairs
}

/// A query's parameters in the order of the payload.
fn parameters(payload: &Map<String, Value>) -> Vec<(&str, &str)> {
    payload
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect()
}

/// The request as it is sent.
fn check_text(vector: &Vector) -> Vec<Violation> {
    let context = vector.context();
    let body = vector.body();
    match vector.operation() {
        Operation::ListInvoicePayments => {
            let payload = vector.payload.as_ref().unwrap().as_object().unwrap();
            validate_query(parameters(payload))
        }
        Operation::UpdateInvoicePayment => {
            let existing = vector.existing();
            let read = read_update(body.as_bytes(), existing.as_ref(), &context);
            read.map_or_else(|violations| violations, |update| update.warnings().to_vec())
        }
        operation => validate_json(operation, body.as_bytes(), &context),
    }
}

/// The request as a value, if the types can hold it.
fn check_typed(vector: &Vector) -> Option<Vec<Violation>> {
    let context = vector.context();
    let body = vector.body();
    match vector.operation() {
        Operation::ListInvoicePayments => None,
        Operation::RecordInvoicePayment => {
            let payment: CreateInvoicePayment = serde_json::from_str(&body).ok()?;
            Some(validate_create(&payment, &context))
        }
        Operation::BulkCreateInvoicePayments => {
            let payments: Vec<CreateInvoicePayment> = serde_json::from_str(&body).ok()?;
            Some(validate_bulk(&payments, &context))
        }
        Operation::UpdateInvoicePayment => {
            let update: UpdateInvoicePayment = serde_json::from_str(&body).ok()?;
            Some(validate_update(
                &update,
                vector.existing().as_ref(),
                &context,
            ))
        }
    }
}

#[test]
fn the_catalogue_and_the_rules_are_the_same() {
    let entries = catalogue();
    let listed: Vec<_> = entries.iter().map(|entry| entry.code.as_str()).collect();
    let known: Vec<_> = Rule::ALL.iter().map(|rule| rule.code()).collect();
    assert_eq!(known, listed, "the same rules in the same order");
    for entry in &entries {
        let rule = rule(&entry.code);
        assert_eq!(rule.severity().as_str(), entry.severity, "{rule}");
        assert_eq!(rule.is_raw(), entry.raw_only, "{rule}");
        let operations: Vec<_> = rule
            .operations()
            .iter()
            .map(|operation| operation.id())
            .collect();
        assert_eq!(operations, entry.operations, "{rule}");
    }
}

#[test]
fn every_rule_has_vectors_that_keep_it_and_that_break_it() {
    let vectors = vectors();
    let files: BTreeSet<_> = vectors.keys().map(String::as_str).collect();
    let codes: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.code()).collect();
    assert_eq!(files, codes);
    for (code, vectors) in &vectors {
        let breaks = |vector: &&Vector| {
            let mut violations = vector.violations.iter();
            violations.any(|expected| expected.code == *code)
        };
        let broken: Vec<_> = vectors.iter().filter(breaks).collect();
        assert!(!broken.is_empty(), "{code}: no vector breaks the rule");
        assert!(
            broken.len() < vectors.len(),
            "{code}: no vector keeps the rule"
        );
        let operations: BTreeSet<_> = broken
            .iter()
            .map(|vector| vector.operation.as_str())
            .collect();
        let of_rule: BTreeSet<_> = rule(code)
            .operations()
            .iter()
            .map(|operation| operation.id())
            .collect();
        assert_eq!(
            operations, of_rule,
            "{code}: broken in each of its operations"
        );
    }
}

#[test]
fn every_vector_has_exactly_its_violations() {
    let mut faults = Vec::new();
    let mut fault = |code: &str, vector: &Vector, how: &str, found: &[Violation]| {
        let expected = vector.expected();
        faults.push(format!(
            "{code}: {:?} as {how}:\n  expected {expected:?}\n  found {found:#?}",
            vector.name
        ));
    };
    let mut typed = BTreeSet::new();
    for (code, vectors) in &vectors() {
        for vector in vectors {
            let expected = vector.expected();
            let found = check_text(vector);
            if pairs(&found) != expected {
                fault(code, vector, "text", &found);
            }
            for violation in &found {
                assert!(
                    violation.message.ends_with(['.', '?']) && violation.message.len() > 20,
                    "{violation}: whole sentences"
                );
            }
            // The types refuse what a raw rule calls an error, or read it as something else, and say nothing of what
            // such a rule only warns of.
            let (raw, other): (Pairs, Pairs) = expected
                .into_iter()
                .partition(|(code, _)| rule(code).is_raw());
            if raw
                .iter()
                .any(|(code, _)| rule(code).severity() == Severity::Error)
            {
                continue;
            }
            let Some(found) = check_typed(vector) else {
                assert_eq!(
                    vector.operation(),
                    Operation::ListInvoicePayments,
                    "{code}: {:?} doesn't decode",
                    vector.name
                );
                continue;
            };
            if pairs(&found) != other {
                fault(code, vector, "a value", &found);
            }
            assert_eq!(
                has_errors(&found),
                other
                    .iter()
                    .any(|(code, _)| rule(code).severity() == Severity::Error)
            );
            typed.extend(found.into_iter().map(|violation| violation.rule.code()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // All rules on values were broken by values, but for those on queries.
    for rule in Rule::ALL {
        let of_values = !rule.is_raw() && rule.operations() != [Operation::ListInvoicePayments];
        assert_eq!(typed.contains(rule.code()), of_values, "{rule}");
    }
}
