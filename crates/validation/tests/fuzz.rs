//! Bodies that nobody would write, by the thousand: the checks of raw JSON against serde_json and the types.
//!
//! Each case takes a body of the test vectors and breaks it in its tree (values replaced, removed, repeated, renamed,
//! nested) and then in its text (bytes put in, taken out, cut off), or it is any bytes, or pieces of JSON in any order.
//! Of the result it asks, for each operation:
//!
//! - nothing panics;
//! - a body is `json-malformed` if serde_json reads no value from it, and otherwise isn't;
//! - a body without an error of the raw rules decodes into its type, and is then judged as the decoded value is;
//! - a body that decodes has no error of the raw rules, but for what serde reads too generously (see [`generous`]);
//! - each pointer leads to a value of the body, or to where a missing one would be;
//! - a bulk request is judged as its elements are alone.
//!
//! By default it is a short run, the same each time. `FUZZ_CASES` sets how many cases it has and `FUZZ_SEED` (a number)
//! which. `FUZZ_SECONDS` goes on with one seed after the other for that time, so that an hour's worth of cases is
//!
//! ```text
//! FUZZ_SECONDS=3600 cargo test --release -p layer-payments-validation --test fuzz -- --nocapture
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use layer_payments_types::{CreateInvoicePayment, Operation, UpdateInvoicePayment};
use layer_payments_validation::{
    Context, Rule, Severity, Violation, read_bulk, read_create, read_update, validate_bulk,
    validate_create, validate_json, validate_update,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use serde::de::DeserializeOwned;
use serde_json::Value;

const WRITES: [Operation; 3] = [
    Operation::RecordInvoicePayment,
    Operation::BulkCreateInvoicePayments,
    Operation::UpdateInvoicePayment,
];

#[test]
fn odd_bodies_are_judged_consistently() {
    let number = |name: &str| -> Option<u64> {
        let text = std::env::var(name).ok()?;
        Some(
            text.parse()
                .unwrap_or_else(|_| panic!("{name} is {text:?}, which is no number")),
        )
    };
    let cases = u32::try_from(number("FUZZ_CASES").unwrap_or(2_000)).expect("FUZZ_CASES fits");
    let seconds = number("FUZZ_SECONDS");
    let mut seed = number("FUZZ_SEED").unwrap_or(1);
    let fuzz = Fuzz::new();
    let start = Instant::now();
    let mut run = 0;
    loop {
        fuzz.run(seed, cases);
        run += u64::from(cases);
        match seconds {
            Some(seconds) if start.elapsed() < Duration::from_secs(seconds) => seed += 1,
            _ => break,
        }
    }
    println!(
        "{run} cases in {:.0?}, up to seed {seed}: {} bodies that can be sent",
        start.elapsed(),
        fuzz.accepted.get()
    );
    // Whoever only makes rubbish tests only that rubbish is refused.
    assert!(fuzz.accepted.get() * 100 > run, "too few bodies are valid");
}

struct Fuzz {
    /// Bodies to start from.
    bases: Vec<Base>,
    context: Context,
    accepted: std::cell::Cell<u64>,
}

struct Base {
    operation: Operation,
    text: String,
}

/// A case.
#[derive(Clone, Debug)]
enum Case {
    /// Which body to start from, and what to do to it.
    Changed {
        base: usize,
        tree: Vec<Change>,
        text: Vec<Change>,
    },
    /// Any bytes.
    Bytes(Vec<u8>),
    /// Pieces of JSON.
    Pieces(Vec<u32>),
}

/// One change: what, where, and with what.
type Change = (u8, u32, u32);

impl Fuzz {
    fn new() -> Fuzz {
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/rules");
        let json = |path: PathBuf| -> Vec<Value> {
            serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
        };
        let mut files: Vec<_> = fs::read_dir(rules.join("vectors"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        let mut bases = Vec::new();
        for vector in files.into_iter().flat_map(json) {
            let operation = WRITES
                .into_iter()
                .find(|known| known.id() == vector["operation"]);
            let Some(operation) = operation else { continue };
            let text = match vector["text"].as_str() {
                Some(text) => text.to_owned(),
                None => vector["payload"].to_string(),
            };
            // Long ones, at the limit of metadata and such, only take time.
            if text.len() < 4_000 {
                bases.push(Base { operation, text });
            }
        }
        assert!(bases.len() > 500, "{} bodies", bases.len());
        Fuzz {
            bases,
            context: Context::at("2026-01-01T00:00:00Z".parse().unwrap()),
            accepted: std::cell::Cell::new(0),
        }
    }

    fn run(&self, seed: u64, cases: u32) {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let config = Config {
            cases,
            failure_persistence: None,
            ..Config::default()
        };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(config, rng);
        // Most cases change little, so that what else the body says is still judged.
        let changed = (
            0..self.bases.len(),
            vec(any::<Change>(), 0..6),
            prop_oneof![
                3 => Just(Vec::new()),
                1 => vec(any::<Change>(), 1..4),
            ],
        )
            .prop_map(|(base, tree, text)| Case::Changed { base, tree, text });
        let case = prop_oneof![
            18 => changed,
            1 => vec(any::<u8>(), 0..64).prop_map(Case::Bytes),
            1 => vec(any::<u32>(), 0..32).prop_map(Case::Pieces),
        ];
        let result = runner.run(&case, |case| self.check(&case));
        match result {
            Ok(()) => {}
            Err(TestError::Fail(reason, case)) => panic!(
                "seed {seed}: {reason}\n{case:?}\n{}",
                String::from_utf8_lossy(&self.make(&case).1)
            ),
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }

    /// The operation and the body of a case.
    fn make(&self, case: &Case) -> (Operation, Vec<u8>) {
        match case {
            Case::Changed { base, tree, text } => {
                let base = &self.bases[*base];
                let mut body = match serde_json::from_str::<Value>(&base.text) {
                    Ok(value) => {
                        let mut changed = Tree::from(&value);
                        for change in tree {
                            changed.change(*change);
                        }
                        changed.write().into_bytes()
                    }
                    Err(_) => base.text.as_bytes().to_vec(),
                };
                for change in text {
                    change_text(&mut body, *change);
                }
                (base.operation, body)
            }
            Case::Bytes(bytes) => (WRITES[bytes.len() % 3], bytes.clone()),
            Case::Pieces(pieces) => {
                let body: Vec<&str> = pieces
                    .iter()
                    .map(|piece| {
                        let index = (piece >> 2) as usize;
                        match piece & 3 {
                            0 => KEYS[index % KEYS.len()],
                            1 => ODD[index % ODD.len()],
                            _ => ["{", "}", "[", "]", ":", ",", " "][index % 7],
                        }
                    })
                    .collect();
                (WRITES[pieces.len() % 3], body.concat().into_bytes())
            }
        }
    }

    fn check(&self, case: &Case) -> Result<(), TestCaseError> {
        let (operation, body) = self.make(case);
        for other in WRITES {
            let found = validate_json(other, &body, &self.context);
            self.json(&body, &found)?;
            if other == operation
                && !found
                    .iter()
                    .any(|violation| violation.severity() == Severity::Error)
            {
                self.accepted.set(self.accepted.get() + 1);
            }
            let raw: Vec<&Violation> = found
                .iter()
                .filter(|violation| violation.rule.is_raw())
                .collect();
            let rest: Vec<&Violation> = found
                .iter()
                .filter(|violation| !violation.rule.is_raw())
                .collect();
            let at = &self.context;
            match other {
                Operation::RecordInvoicePayment => {
                    self.types(&body, &raw, &rest, |payment: &CreateInvoicePayment| {
                        validate_create(payment, at)
                    })?;
                    let read = read_create(&body, at);
                    let accepted = read.as_ref().ok().map(|payment| (**payment).clone());
                    agree(&body, accepted, read.as_ref().err(), &found)?;
                }
                Operation::UpdateInvoicePayment => {
                    self.types(&body, &raw, &rest, |update: &UpdateInvoicePayment| {
                        validate_update(update, None, at)
                    })?;
                    let read = read_update(&body, None, at);
                    let accepted = read.as_ref().ok().map(|update| (**update).clone());
                    agree(&body, accepted, read.as_ref().err(), &found)?;
                }
                _ => {
                    self.types(
                        &body,
                        &raw,
                        &rest,
                        |payments: &Vec<CreateInvoicePayment>| validate_bulk(payments, at),
                    )?;
                    let read = read_bulk(&body, at);
                    let accepted = read.as_ref().ok().map(|payments| (**payments).clone());
                    agree(&body, accepted, read.as_ref().err(), &found)?;
                    self.elements(&body, &found)?;
                }
            }
        }
        prop_assert!(
            validate_json(Operation::ListInvoicePayments, &body, &self.context).is_empty()
        );
        Ok(())
    }

    /// What has to hold whatever the operation is.
    fn json(&self, body: &[u8], found: &[Violation]) -> Result<(), TestCaseError> {
        let malformed = found
            .iter()
            .any(|violation| violation.rule == Rule::JsonMalformed);
        prop_assert!(!malformed || found.len() == 1, "{found:?}");
        let value = match serde_json::from_slice::<Value>(body) {
            Ok(value) => value,
            Err(error) => {
                // Where a whole number belongs, the walk looks at a number's text, and at other values one by one, so
                // that it goes on where serde_json gives up.
                let text = error.to_string();
                let gave_up = text.starts_with("number out of range")
                    || text.starts_with("recursion limit exceeded");
                prop_assert!(malformed || gave_up, "{error}: {found:?}");
                return Ok(());
            }
        };
        prop_assert!(!malformed, "{found:?}");
        for violation in found {
            prop_assert!(violation.message.ends_with(['.', '?']), "{violation}");
            // Of keys that stand twice, this value has the last.
            if found
                .iter()
                .any(|violation| violation.rule == Rule::DuplicateKey)
            {
                continue;
            }
            let pointer = violation.pointer.as_str();
            let place = match violation.rule {
                Rule::PropertyMissing => {
                    prop_assert!(value.pointer(pointer).is_none(), "{violation}");
                    pointer.rsplit_once('/').map_or("", |(parent, _)| parent)
                }
                _ => pointer,
            };
            prop_assert!(value.pointer(place).is_some(), "{violation}");
        }
        let pairs: BTreeSet<_> = found
            .iter()
            .map(|violation| (violation.rule, &violation.pointer))
            .collect();
        prop_assert_eq!(
            pairs.len(),
            found.len(),
            "a violation stands twice: {:?}",
            found
        );
        Ok(())
    }

    /// What is found, held against what the types read.
    fn types<T: DeserializeOwned>(
        &self,
        body: &[u8],
        raw: &[&Violation],
        rest: &[&Violation],
        typed: impl FnOnce(&T) -> Vec<Violation>,
    ) -> Result<(), TestCaseError> {
        let raw_error = raw
            .iter()
            .any(|violation| violation.severity() == Severity::Error);
        match serde_json::from_slice::<T>(body) {
            Ok(value) if !raw_error => {
                let typed = typed(&value);
                let typed: Vec<&Violation> = typed.iter().collect();
                prop_assert_eq!(rest, typed.as_slice());
            }
            Ok(_) => prop_assert!(generous(body, raw), "the types read it: {raw:?}"),
            Err(error) => prop_assert!(raw_error, "the types don't read it: {error}"),
        }
        Ok(())
    }

    /// A bulk request's violations, held against those of its elements.
    fn elements(&self, body: &[u8], found: &[Violation]) -> Result<(), TestCaseError> {
        let Ok(texts) = serde_json::from_slice::<Vec<&serde_json::value::RawValue>>(body) else {
            return Ok(());
        };
        if found
            .iter()
            .any(|violation| violation.rule == Rule::JsonMalformed)
        {
            return Ok(());
        }
        let mut expected = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let alone = validate_json(
                Operation::RecordInvoicePayment,
                text.get().as_bytes(),
                &self.context,
            );
            expected.extend(
                alone
                    .into_iter()
                    .map(|violation| violation.under(&format!("/{index}"))),
            );
        }
        // Levels of nesting count from the whole body on.
        if expected
            .iter()
            .any(|violation| violation.rule == Rule::JsonMalformed)
        {
            return Ok(());
        }
        let found: Vec<&Violation> = found
            .iter()
            .filter(|violation| {
                !matches!(violation.rule, Rule::BulkEmpty | Rule::DuplicateExternalId)
            })
            .collect();
        let expected: Vec<&Violation> = expected.iter().collect();
        prop_assert_eq!(found, expected);
        Ok(())
    }
}

/// Whether reading and checking came to the same.
fn agree<T: DeserializeOwned + PartialEq + std::fmt::Debug>(
    body: &[u8],
    accepted: Option<T>,
    refused: Option<&Vec<Violation>>,
    found: &[Violation],
) -> Result<(), TestCaseError> {
    let has_error = found
        .iter()
        .any(|violation| violation.severity() == Severity::Error);
    prop_assert_eq!(refused.is_some(), has_error);
    if let Some(refused) = refused {
        prop_assert_eq!(refused.as_slice(), found);
    }
    if let Some(accepted) = accepted {
        prop_assert_eq!(accepted, serde_json::from_slice::<T>(body).unwrap());
    }
    Ok(())
}

/// Whether these errors are all of those that serde doesn't see: an object's values in a list, by position; an object
/// of one key for an enumeration's value; a key that stands twice where a map is read; timestamps and UUIDs in other
/// forms than the documented ones.
fn generous(body: &[u8], raw: &[&Violation]) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return false;
    };
    // The value that counts may be another one than the one that is judged.
    raw.iter()
        .any(|violation| violation.rule == Rule::DuplicateKey)
        || raw
            .iter()
            .filter(|violation| violation.severity() == Severity::Error)
            .all(|violation| {
                let value = value.pointer(&violation.pointer);
                let text = value.and_then(Value::as_str);
                match violation.rule {
                    Rule::TypeMismatch => match value {
                        Some(Value::Array(_)) => true,
                        Some(Value::Object(keys)) => {
                            keys.len() == 1 && keys.values().all(Value::is_null)
                        }
                        _ => false,
                    },
                    Rule::TimestampMalformed => {
                        text.is_some_and(|text| text.parse::<Timestamp>().is_ok())
                    }
                    Rule::UuidMalformed => {
                        text.is_some_and(|text| text.parse::<uuid::Uuid>().is_ok())
                    }
                    _ => false,
                }
            })
}

/// JSON that can be wrong: keys may stand twice, and scalars are any text.
#[derive(Clone, Debug)]
enum Tree {
    Scalar(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl From<&Value> for Tree {
    fn from(value: &Value) -> Tree {
        match value {
            Value::Array(items) => Tree::List(items.iter().map(Tree::from).collect()),
            Value::Object(entries) => Tree::Object(
                entries
                    .iter()
                    .map(|(key, value)| (Value::from(key.as_str()).to_string(), Tree::from(value)))
                    .collect(),
            ),
            scalar => Tree::Scalar(scalar.to_string()),
        }
    }
}

impl Tree {
    fn write(&self) -> String {
        match self {
            Tree::Scalar(text) => text.clone(),
            Tree::List(items) => {
                let items: Vec<String> = items.iter().map(Tree::write).collect();
                format!("[{}]", items.join(","))
            }
            Tree::Object(entries) => {
                let entries: Vec<String> = entries
                    .iter()
                    .map(|(key, value)| format!("{key}:{}", value.write()))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }

    fn count(&self) -> usize {
        1 + match self {
            Tree::Scalar(_) => 0,
            Tree::List(items) => items.iter().map(Tree::count).sum(),
            Tree::Object(entries) => entries.iter().map(|(_, value)| value.count()).sum(),
        }
    }

    /// The value at a place in the order of the text.
    fn at(&mut self, mut place: usize) -> &mut Tree {
        if place == 0 {
            return self;
        }
        place -= 1;
        let inner: Vec<&mut Tree> = match self {
            Tree::Scalar(_) => Vec::new(),
            Tree::List(items) => items.iter_mut().collect(),
            Tree::Object(entries) => entries.iter_mut().map(|(_, value)| value).collect(),
        };
        for tree in inner {
            let count = tree.count();
            if place < count {
                return tree.at(place);
            }
            place -= count;
        }
        unreachable!("the place is below the count")
    }

    fn change(&mut self, (what, place, with): Change) {
        let count = self.count();
        let place = place as usize % count;
        let with = with as usize;
        let odd = ODD[with % ODD.len()].to_owned();
        let copy = self.at(with % count).clone();
        let tree = self.at(place);
        match (what % 12, tree) {
            (0 | 1, tree) => *tree = Tree::Scalar(odd),
            (2, tree) => *tree = copy,
            (3, tree) => *tree = Tree::List(vec![tree.clone()]),
            (4, tree) => {
                *tree = Tree::Object(vec![(KEYS[with % KEYS.len()].to_owned(), tree.clone())])
            }
            (5, Tree::Object(entries)) if !entries.is_empty() => {
                entries.remove(with % entries.len());
            }
            (6, Tree::Object(entries)) if !entries.is_empty() => {
                let entry = entries[with % entries.len()].clone();
                entries.push(entry);
            }
            (7, Tree::Object(entries)) if !entries.is_empty() => {
                let index = with % entries.len();
                entries[index].0 = KEYS[(with >> 8) % KEYS.len()].to_owned();
            }
            (8, Tree::Object(entries)) => {
                let index = with % (entries.len() + 1);
                let key = KEYS[(with >> 8) % KEYS.len()].to_owned();
                let value = ODD[(with >> 16) % ODD.len()].to_owned();
                entries.insert(index, (key, Tree::Scalar(value)));
            }
            (9, tree @ Tree::Object(_)) => {
                if let Tree::Object(entries) = tree {
                    *tree = Tree::List(entries.iter().map(|(_, value)| value.clone()).collect());
                }
            }
            (10 | 11, Tree::Object(entries)) if !entries.is_empty() => {
                let index = with % entries.len();
                let (key, value) = &mut entries[index];
                *value = Tree::Scalar(likely(key, with >> 8).to_owned());
            }
            (5 | 7, Tree::List(items)) if !items.is_empty() => {
                items.remove(with % items.len());
            }
            (6 | 8, Tree::List(items)) => items.push(copy),
            (_, tree) => *tree = Tree::Scalar(odd),
        }
    }
}

/// Changes bytes, in the middle of whatever stands there.
fn change_text(body: &mut Vec<u8>, (what, place, with): Change) {
    const BYTES: &[u8] = b"{}[]\",:\\ \n019-.eEu\0\x7f\x80\xc3\xe2\xed\xf0\xff\xef\xbb\xbf";
    let place = place as usize % (body.len() + 1);
    let byte = BYTES[with as usize % BYTES.len()];
    match what % 5 {
        0 => body.insert(place, byte),
        1 if place < body.len() => body[place] = byte,
        2 if place < body.len() => {
            body.remove(place);
        }
        3 => body.truncate(place),
        4 if place < body.len() => {
            let end = (place + with as usize % 16).min(body.len());
            let part = body[place..end].to_vec();
            body.splice(place..place, part);
        }
        _ => body.push(byte),
    }
}

/// A value that somebody could give a property of this name, right or nearly so.
fn likely(key: &str, with: usize) -> &'static str {
    let has = |part| key.contains(part);
    let with_start = |start: &[&str]| -> Vec<&'static str> {
        ODD.iter()
            .copied()
            .filter(|odd| start.iter().any(|start| odd.starts_with(start)))
            .collect()
    };
    let values = if has("account") {
        with_start(&["{\"type", "{\"id", "[\"S", "null"])
    } else if has("amount") || has("fee\"") {
        with_start(&["0", "1", "9", "-", "null"])
    } else if has("_at") {
        with_start(&["\"2", "\"9", "null"])
    } else if has("id\"") {
        with_start(&["\"3", "\"{", "\"", "null"])
    } else if has("method") {
        with_start(&["\"C", "\"c", "\"O", "\"R", "{\"C", "null"])
    } else if has("payments") || has("tags") || has("refunds") {
        with_start(&["[", "null"])
    } else {
        ODD.to_vec()
    };
    values[with % values.len()]
}

/// Keys of requests and of nothing, as they are written.
const KEYS: &[&str] = &[
    r#""external_id""#,
    r#""paid_at""#,
    r#""method""#,
    r#""amount""#,
    r#""am\u006funt""#,
    r#""fee""#,
    r#""additional_fees""#,
    r#""processor""#,
    r#""payment_clearing_account_identifier""#,
    r#""redemption_account""#,
    r#""invoice_payments""#,
    r#""dedicated_refunds""#,
    r#""tags""#,
    r#""memo""#,
    r#""metadata""#,
    r#""reference_number""#,
    r#""account""#,
    r#""fee_amount""#,
    r#""description""#,
    r#""is_passed_to_customer""#,
    r#""invoice_id""#,
    r#""invoice_external_id""#,
    r#""type""#,
    r#""id""#,
    r#""stable_name""#,
    r#""key""#,
    r#""value""#,
    r#""line_items""#,
    r#""refunded_amount""#,
    r#""completed_at""#,
    r#""account_identifier""#,
    r#""ammount""#,
    r#""a/b~c""#,
    r#""""#,
    r#""\ud800""#,
    r#""\ud83d\ude00""#,
    r#""CASH""#,
];

/// Values, as they are written.
const ODD: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "90",
    "90.0",
    "90.5",
    "1e3",
    "1E400",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "100000000000000000000000000000000000000000000000000",
    "1e30",
    r#""""#,
    r#"" ""#,
    r#""x""#,
    r#""90""#,
    r#""CASH""#,
    r#""CREDIT_CARD""#,
    r#""CREDIT_BALANCE""#,
    r#""REDEEMED_PREPAYMENT""#,
    r#""Other""#,
    r#""cash""#,
    r#""C\u0041SH""#,
    r#""2024-02-27T02:22:55Z""#,
    r#""2024-02-27T02:22:55.5+01:00""#,
    r#""2024-02-27 02:22:55Z""#,
    r#""2024-02-27T02:22Z""#,
    r#""2024-02-27T02:22:60Z""#,
    r#""2024-02-27T02:22:55Z[UTC]""#,
    r#""2024-02-27""#,
    r#""9999-12-31T23:59:59Z""#,
    r#""3a9c378e-dc02-4700-9158-f629d632a83b""#,
    r#""3A9C378E-DC02-4700-9158-F629D632A83B""#,
    r#""3a9c378edc0247009158f629d632a83b""#,
    r#""{3a9c378e-dc02-4700-9158-f629d632a83b}""#,
    r#""\ud800""#,
    r#""\ud83d\ude00""#,
    r#""\u0000""#,
    "[]",
    "{}",
    "[null]",
    "[[]]",
    "[{}]",
    r#"{"CASH":null}"#,
    r#"{"a":1,"a":2}"#,
    r#"{"a":{"b":[{"c":1,"c":1}]}}"#,
    r#"{"type":"AccountId","id":"50448df3-6f86-445e-b48f-0e80153e5d42"}"#,
    r#"{"id":"50448df3-6f86-445e-b48f-0e80153e5d42","type":"AccountId"}"#,
    r#"{"type":"StableName","stable_name":"BANK_FEES"}"#,
    r#"{"type":"StableName","stable_name":"BANK_FEES","id":null}"#,
    r#"{"type":"StableName","id":"50448df3-6f86-445e-b48f-0e80153e5d42"}"#,
    r#"{"type":"StableName","stable_name":"X","id":"50448df3-6f86-445e-b48f-0e80153e5d42"}"#,
    r#"{"stable_name":"X","id":"50448df3-6f86-445e-b48f-0e80153e5d42","type":"AccountId"}"#,
    r#"{"type":0,"id":"50448df3-6f86-445e-b48f-0e80153e5d42"}"#,
    r#"["StableName","BANK_FEES"]"#,
    r#"{"invoice_external_id":"i","amount":0}"#,
    r#"[{"invoice_external_id":"i","amount":0}]"#,
    r#"[{"key":"k","value":"v"}]"#,
    r#"[["k","v",null,null]]"#,
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
];
