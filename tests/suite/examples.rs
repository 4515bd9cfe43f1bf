//! Every payload of the documentation and every example of the spec is valid against the spec, decodes through the
//! generated types, and re-encodes with nothing lost, added or changed.

use std::collections::BTreeSet;
use std::fs;

use layer_payments_tests::{differences, json_file, json_schema, resolve, root, spec, violations};
use layer_payments_types as types;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A payload that somebody documented.
pub(crate) struct Example {
    /// Where it stands, for messages and snapshot names.
    pub(crate) name: String,
    /// The schema of the spec that it is an instance of.
    pub(crate) schema: String,
    /// Whether it is a list of such instances.
    pub(crate) array: bool,
    /// The payload.
    pub(crate) value: Value,
}

/// The payloads of Layer's pages, by `spec/examples/index.json`.
pub(crate) fn documented() -> Vec<Example> {
    let index = json_file("spec/examples/index.json");
    let examples = index
        .as_array()
        .expect("the index is a list")
        .iter()
        .map(|entry| {
            let text = |key: &str| {
                entry[key]
                    .as_str()
                    .unwrap_or_else(|| panic!("{key} in {entry}"))
                    .to_owned()
            };
            let file = text("file");
            Example {
                value: json_file(&format!("spec/examples/{file}")),
                name: file.trim_end_matches(".json").to_owned(),
                schema: text("schema"),
                array: entry["array"].as_bool().expect("array is a boolean"),
            }
        })
        .collect::<Vec<_>>();
    assert!(
        examples.len() >= 5,
        "the pages have more payloads than that"
    );
    examples
}

/// The examples in the spec itself, with each place of use.
pub(crate) fn specified() -> Vec<Example> {
    let spec = spec();
    let mut examples = Vec::new();
    let paths = spec["paths"].as_object().expect("the spec has paths");
    for operation in paths.values().flat_map(|item| {
        ["get", "post", "put", "patch", "delete"]
            .into_iter()
            .filter_map(|method| item.get(method))
    }) {
        let id = operation["operationId"]
            .as_str()
            .expect("an operation has an id");
        let mut contents = Vec::new();
        if let Some(body) = operation.get("requestBody") {
            contents.push(("request".to_owned(), body));
        }
        for (status, reply) in operation["responses"]
            .as_object()
            .expect("an operation has replies")
        {
            contents.push((status.clone(), resolve(&spec, reply)));
        }
        for (place, content) in contents {
            let content = &content["content"]["application/json"];
            let schema = content["schema"]["$ref"]
                .as_str()
                .expect("bodies are named schemas");
            let named = content["examples"]
                .as_object()
                .unwrap_or_else(|| panic!("{id} has no example for {place}"));
            assert!(!named.is_empty(), "{id} has no example for {place}");
            for (key, example) in named {
                examples.push(Example {
                    name: format!("{id}.{place}.{key}"),
                    schema: schema
                        .rsplit('/')
                        .next()
                        .expect("a reference has a name")
                        .to_owned(),
                    array: false,
                    value: resolve(&spec, example)["value"].clone(),
                });
            }
        }
    }
    examples
}

/// Decodes through the generated type of a schema and encodes again, as text.
fn through_types(example: &Example) -> Result<String, String> {
    through_types_of(&example.schema, example.array, &example.value)
}

/// The same for any value; with `array`, a list of such instances.
pub(crate) fn through_types_of(schema: &str, array: bool, value: &Value) -> Result<String, String> {
    fn through<T: DeserializeOwned + Serialize>(
        array: bool,
        value: &Value,
    ) -> Result<String, String> {
        // Decoding from text, as from the wire, and not from a `Value`, takes the path that programs take.
        let text = value.to_string();
        let encoded = if array {
            serde_json::from_str::<Vec<T>>(&text)
                .and_then(|decoded| serde_json::to_string_pretty(&decoded))
        } else {
            serde_json::from_str::<T>(&text)
                .and_then(|decoded| serde_json::to_string_pretty(&decoded))
        };
        encoded.map_err(|e| e.to_string())
    }
    macro_rules! by_schema {
        ($($name:ident),* $(,)?) => {
            match schema {
                $(stringify!($name) => through::<types::$name>(array, value),)*
                other => Err(format!("{other} has no place in this test; add it")),
            }
        };
    }
    by_schema!(
        BulkCreateInvoicePayments,
        CreateInvoicePayment,
        ErrorReply,
        InvoicePayment,
        InvoicePaymentBulkReply,
        InvoicePaymentListReply,
        InvoicePaymentReply,
        Metadata,
        UpdateInvoicePayment,
    )
}

/// Checks examples and gives every fault of every one.
fn faults(examples: &[Example]) -> Vec<String> {
    let spec = spec();
    let mut faults = Vec::new();
    for example in examples {
        let schema = json_schema(&spec, &example.schema, example.array);
        let invalid = violations(&schema, &example.value);
        faults.extend(
            invalid
                .iter()
                .map(|fault| format!("{}: not valid: {fault}", example.name)),
        );
        match through_types(example) {
            Err(error) => faults.push(format!("{}: doesn't decode: {error}", example.name)),
            Ok(text) => {
                let encoded = serde_json::from_str(&text).expect("what was encoded is JSON");
                faults.extend(
                    differences(&example.value, &encoded)
                        .iter()
                        .map(|difference| format!("{}: {difference}", example.name)),
                );
            }
        }
    }
    faults
}

#[test]
fn the_documents_payloads_survive() {
    let faults = faults(&documented());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_specs_examples_survive() {
    let faults = faults(&specified());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_broken_payload_is_noticed() {
    let mut examples = documented();
    let example = examples
        .iter_mut()
        .find(|example| example.schema == "CreateInvoicePayment")
        .expect("the record page has a request");
    example.value["amount"] = Value::from("90");
    let faults = faults(&examples);
    assert!(
        faults
            .iter()
            .any(|fault| fault.contains("not valid: /amount")),
        "{faults:?}"
    );
    assert!(
        faults.iter().any(|fault| fault.contains("doesn't decode")),
        "{faults:?}"
    );
}

#[test]
fn no_example_file_is_forgotten() {
    let listed = documented()
        .into_iter()
        .map(|example| format!("{}.json", example.name))
        .collect::<BTreeSet<_>>();
    let present = fs::read_dir(root().join("spec/examples"))
        .expect("the folder is readable")
        .map(|entry| {
            entry
                .expect("the entry is readable")
                .file_name()
                .into_string()
                .expect("names are UTF-8")
        })
        .filter(|name| name.ends_with(".json") && name != "index.json")
        .collect::<BTreeSet<_>>();
    assert_eq!(
        listed, present,
        "spec/examples/index.json must list exactly the files beside it"
    );
}

#[test]
fn the_wire_form_of_each_example_is_pinned() {
    for example in documented().iter().chain(&specified()) {
        let text = through_types(example).unwrap_or_else(|e| panic!("{}: {e}", example.name));
        insta::with_settings!({ snapshot_path => "snapshots/wire", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(example.name.as_str(), text);
        });
    }
}
