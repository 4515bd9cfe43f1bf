//! What several test suites share: the spec as JSON, its schemas as JSON Schema, a comparison of JSON values that says
//! where they differ, the program as a process, the databases that it runs on and a check of them, random numbers from a
//! seed, and tools of other languages.

pub mod books;
pub mod engine;
pub mod pages;
pub mod process;
pub mod random;
pub mod tools;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use layer_payments_reference::Document;
use serde_json::{Map, Value, json};

/// What the names of schemas begin with in these tests.
const BASE: &str = "https://tests.invalid/";

/// The top of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests crate lies in a folder of the workspace")
        .to_path_buf()
}

/// The spec, as JSON.
///
/// # Panics
///
/// When the spec can't be read, which no test survives.
#[must_use]
pub fn spec() -> Value {
    document("spec/layer-payments.yaml")
}

/// The document of the routes beside the public API, as JSON, with the schemas of the spec that it refers to.
///
/// # Panics
///
/// When one of both can't be read, which no test survives.
#[must_use]
pub fn local_spec() -> Value {
    let mut local = document("spec/local.yaml");
    within(&mut local);
    let schemas = local["components"]["schemas"]
        .as_object_mut()
        .expect("the document has schemas");
    let Value::Object(shared) = spec()["components"]["schemas"].take() else {
        panic!("the spec has schemas");
    };
    for (name, schema) in shared {
        // Where both have a schema of the same name, each document means its own.
        schemas.entry(name).or_insert(schema);
    }
    local
}

/// Turns references to the spec into references inside the document.
fn within(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(pointer) = text.strip_prefix("layer-payments.yaml#") {
                *text = format!("#{pointer}");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(within),
        Value::Object(keys) => keys.values_mut().for_each(within),
        _ => {}
    }
}

/// A YAML file of the workspace, by its path from the top.
fn document(path: &str) -> Value {
    let text = fs::read_to_string(root().join(path)).expect("the document is readable");
    serde_saphyr::from_str(&text).expect("the document is YAML")
}

/// Follows a reference inside the spec, if the value is one.
///
/// # Panics
///
/// When the reference points nowhere.
#[must_use]
pub fn resolve<'a>(spec: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => spec
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("{reference} points nowhere")),
        None => value,
    }
}

/// A JSON file of the workspace, by its path from the top.
///
/// # Panics
///
/// When the file can't be read or isn't JSON.
#[must_use]
pub fn json_file(path: &str) -> Value {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// One of the spec's schemas as a JSON Schema, as it is published, with all others at hand for its references. With
/// `array`, the schema of a list of it.
///
/// # Panics
///
/// When the spec isn't one.
#[must_use]
pub fn json_schema(spec: &Value, name: &str, array: bool) -> Value {
    let schemas = json_schemas(spec.to_string());
    let reference = json!({ "$ref": format!("{name}.json") });
    let mut schema = if array {
        json!({ "type": "array", "items": reference })
    } else {
        reference
    };
    schema["$id"] = Value::from(BASE);
    schema["$defs"] = Value::Object(schemas);
    schema
}

/// All schemas of a spec, by name. They are kept: a test of many values asks for them as often.
fn json_schemas(spec: String) -> Map<String, Value> {
    static KNOWN: Mutex<BTreeMap<String, Map<String, Value>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(schemas) = known.get(&spec) {
        return schemas.clone();
    }
    let document = Document::from_yaml(&spec).expect("the spec was read before");
    let schemas = document
        .json_schemas(BASE, "")
        .into_iter()
        .map(|(name, text)| {
            let schema = serde_json::from_str(&text).expect("a schema is JSON");
            (name, schema)
        })
        .collect::<Map<String, Value>>();
    known.insert(spec, schemas.clone());
    schemas
}

/// Checks a value against a JSON Schema, formats included, and gives each fault with its place.
///
/// # Panics
///
/// When the schema itself is broken.
#[must_use]
pub fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(schema)
        .unwrap_or_else(|e| panic!("the schema is broken: {e}"));
    validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// The schema with every object closed: the spec leaves replies open for Layer's sake, but this server has no excuse for
/// a property that isn't in the spec.
#[must_use]
pub fn closed(mut schema: Value) -> Value {
    fn close(schema: &mut Value) {
        if schema.get("properties").is_some_and(Value::is_object) {
            schema["additionalProperties"] = Value::Bool(false);
        }
        match schema {
            Value::Array(items) => items.iter_mut().for_each(close),
            Value::Object(keys) => keys.values_mut().for_each(close),
            _ => {}
        }
    }
    close(&mut schema["$defs"]);
    schema
}

/// How `actual` differs from `expected`, key by key, each difference with its JSON pointer; empty when they are equal.
#[must_use]
pub fn differences(expected: &Value, actual: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(expected, actual, &mut String::new(), &mut found);
    found
}

/// Adds the differences at and below one place.
fn compare(expected: &Value, actual: &Value, at: &mut String, found: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            for (key, value) in expected {
                let length = at.len();
                push_token(at, key);
                match actual.get(key) {
                    Some(other) => compare(value, other, at, found),
                    None => found.push(format!("{at}: lost, was {value}")),
                }
                at.truncate(length);
            }
            for (key, value) in actual {
                if !expected.contains_key(key) {
                    let length = at.len();
                    push_token(at, key);
                    found.push(format!("{at}: added, is {value}"));
                    at.truncate(length);
                }
            }
        }
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            for (index, (value, other)) in expected.iter().zip(actual).enumerate() {
                let length = at.len();
                push_token(at, &index.to_string());
                compare(value, other, at, found);
                at.truncate(length);
            }
        }
        _ if expected == actual => {}
        _ => found.push(format!("{at}: changed from {expected} to {actual}")),
    }
}

/// Appends a reference token to a JSON pointer, escaped as RFC 6901 asks.
fn push_token(pointer: &mut String, token: &str) {
    pointer.push('/');
    pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
}

/// README's Rust samples, compiled as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_their_place() {
        let expected = json!({ "a/b": [{ "kept": 1, "lost": null }], "n": 1 });
        let actual = json!({ "a/b": [{ "kept": 2, "new": true }], "n": 1 });
        assert_eq!(
            differences(&expected, &actual),
            [
                "/a~1b/0/kept: changed from 1 to 2",
                "/a~1b/0/lost: lost, was null",
                "/a~1b/0/new: added, is true"
            ]
        );
        assert!(differences(&expected, &expected).is_empty());
    }

    #[test]
    fn a_shorter_list_is_a_difference() {
        assert_eq!(
            differences(&json!([1, 2]), &json!([1])),
            [": changed from [1,2] to [1]"]
        );
    }

    #[test]
    fn null_passes_only_where_the_spec_allows_it() {
        let spec = json!({ "components": { "schemas": {
            "T": { "type": "object", "required": ["a"], "properties": {
                "a": { "type": "string" }, "b": { "type": "string", "nullable": true } } } } } });
        let schema = json_schema(&spec, "T", false);
        assert!(violations(&schema, &json!({ "a": "x", "b": null })).is_empty());
        assert_eq!(violations(&schema, &json!({ "a": null })).len(), 1);
        assert_eq!(violations(&schema, &json!({})).len(), 1);
        assert_eq!(
            violations(&json_schema(&spec, "T", true), &json!([{ "a": 1 }])).len(),
            1
        );
    }
}
