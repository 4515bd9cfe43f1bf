//! Runs progenitor, and says which part of the document it stumbled over when it does.
//!
//! progenitor reports what it can't do in one line without a place, and often by a panic. So a failure is traced: each
//! operation is tried alone, then each schema alone, and whatever fails alone is to blame.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use openapiv3::OpenAPI;
use progenitor::{GenerationSettings, Generator, HooksMode, InterfaceStyle, TypeImpl};
use quote::quote;
use serde_json::{Map, Value, json};
use serde_path_to_error::Segment;

use super::mistake::child_pointer;
use super::model::{METHODS, SCHEMA_PREFIX};

/// A part of the document that the generator can't handle.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Blame {
    /// The part's JSON Pointer.
    pub(crate) pointer: String,
    pub(crate) message: String,
}

/// Generates the client with its `types` module from a document that [`prepare`](super::prepare) has been over.
pub(crate) fn generate(document: &Value) -> Result<syn::File, Vec<Blame>> {
    attempt(document).map_err(|message| {
        // Where the frame fails, every schema fails alike, and where the schemas fail, every operation does.
        let schemas = without_paths(document);
        let mut blames = if attempt(&without_schemas(&schemas)).is_err() {
            Vec::new()
        } else if attempt(&schemas).is_err() {
            blame_schemas(&schemas)
        } else {
            blame_operations(document)
        };
        if blames.is_empty() {
            // Something outside of the operations and schemas fails, or only the parts together do, such as two schemas
            // whose names make the same type.
            blames.push(parse(document).err().unwrap_or_else(|| Blame {
                pointer: String::new(),
                message: format!("the generator fails on the document as a whole: {message}"),
            }));
        }
        blames
    })
}

/// Generates with no settings at all. What the generator can't do is left to it to report; only what it panics on for
/// any document of ours, several error statuses, is merged before.
pub(crate) fn plain(mut document: Value) -> Result<syn::File, String> {
    super::prepare::prepare(&mut document, &mut super::Counts::default());
    let document = parse(&document).map_err(|blame| blame.message)?;
    without_panics(|| {
        let tokens = Generator::default()
            .generate_tokens(&document)
            .map_err(|error| first_line(&error.to_string()))?;
        syn::parse2(tokens).map_err(|error| format!("the generated code is not Rust: {error}"))
    })?
}

/// How the generator is set up.
///
/// Positional, because a hand-written front wraps every operation and wants the compiler to see each argument;
/// `HooksMode::Expected`, so that a client without transport behaviour doesn't compile; and jiff's timestamps.
fn settings() -> Result<GenerationSettings, String> {
    let date_time = serde_json::from_value(json!({"type": "string", "format": "date-time"}))
        .map_err(|error| format!("the generator's schema type changed: {error}"))?;
    let mut settings = GenerationSettings::default();
    settings
        .with_interface(InterfaceStyle::Positional)
        .with_inner_type(quote!(crate::hooks::Inner))
        .with_hooks(HooksMode::Expected)
        .with_derive("PartialEq")
        .with_map_type("::std::collections::BTreeMap")
        .with_conversion(
            date_time,
            "::jiff::Timestamp",
            [TypeImpl::Display, TypeImpl::FromStr].into_iter(),
        );
    Ok(settings)
}

/// Reads the typed model that progenitor takes. The grammar has been checked; what fails here is what the model takes
/// more narrowly, such as a number that fits no 64 bits.
fn parse(document: &Value) -> Result<OpenAPI, Blame> {
    serde_path_to_error::deserialize(document).map_err(|error| {
        let mut pointer = String::new();
        for segment in error.path().iter() {
            match segment {
                Segment::Seq { index } => pointer = child_pointer(&pointer, &index.to_string()),
                Segment::Map { key } => pointer = child_pointer(&pointer, key),
                // An untagged choice or a flattened part: no step in the document.
                Segment::Enum { .. } | Segment::Unknown => {}
            }
        }
        Blame {
            pointer,
            message: format!("not an OpenAPI document: {}", error.inner()),
        }
    })
}

fn attempt(document: &Value) -> Result<syn::File, String> {
    let document = parse(document).map_err(|blame| blame.message)?;
    let settings = settings()?;
    without_panics(|| {
        let tokens = Generator::new(&settings)
            .generate_tokens(&document)
            .map_err(|error| first_line(&error.to_string()))?;
        syn::parse2(tokens).map_err(|error| format!("the generated code is not Rust: {error}"))
    })?
}

fn blame_operations(document: &Value) -> Vec<Blame> {
    let mut blames = Vec::new();
    let paths = document.get("paths").and_then(Value::as_object);
    for (path, item) in paths.into_iter().flatten() {
        let methods = METHODS.iter().filter(|method| item.get(**method).is_some());
        for method in methods {
            let mut alone = item.clone();
            if let Some(alone) = alone.as_object_mut() {
                alone.retain(|key, _| key == method || !METHODS.contains(&key.as_str()));
            }
            let mut document = document.clone();
            document["paths"] = json!({ path: alone });
            if let Err(message) = attempt(&document) {
                blames.push(Blame {
                    pointer: child_pointer(&child_pointer("/paths", path), method),
                    message: format!("the generator can't handle this operation: {message}"),
                });
            }
        }
    }
    blames
}

/// The schemas to blame in a document without paths.
fn blame_schemas(document: &Value) -> Vec<Blame> {
    let schemas = document
        .pointer("/components/schemas")
        .and_then(Value::as_object);
    let mut blames: Vec<(usize, Blame)> = Vec::new();
    for name in schemas.into_iter().flat_map(Map::keys) {
        let Some(all) = schemas else { continue };
        let needed = needed_by(name, all);
        let mut alone = document.clone();
        alone["components"]["schemas"] = Value::Object(
            all.iter()
                .filter(|(name, _)| needed.contains(name))
                .map(|(name, schema)| (name.clone(), schema.clone()))
                .collect(),
        );
        if let Err(message) = attempt(&alone) {
            let blame = Blame {
                pointer: child_pointer("/components/schemas", name),
                message: format!("the generator can't handle this schema: {message}"),
            };
            blames.push((needed.len(), blame));
        }
    }
    // Whatever refers to a broken schema fails with it; the ones that need the least are the broken ones themselves.
    let least = blames.iter().map(|(needed, _)| *needed).min();
    blames.retain(|(needed, _)| Some(*needed) == least);
    blames.into_iter().map(|(_, blame)| blame).collect()
}

fn without_paths(document: &Value) -> Value {
    let mut document = document.clone();
    document["paths"] = json!({});
    document
}

fn without_schemas(document: &Value) -> Value {
    let mut document = document.clone();
    document["components"]["schemas"] = json!({});
    document
}

/// The schema and all that it refers to, directly or not.
fn needed_by(name: &str, schemas: &Map<String, Value>) -> Vec<String> {
    let mut needed = vec![name.to_owned()];
    let mut next = 0;
    while let Some(name) = needed.get(next).cloned() {
        next += 1;
        let Some(schema) = schemas.get(&name) else {
            continue;
        };
        let mut open = vec![schema];
        while let Some(value) = open.pop() {
            match value {
                Value::Array(items) => open.extend(items),
                Value::Object(map) => open.extend(map.values()),
                Value::String(text) => {
                    if let Some(name) = text.strip_prefix(SCHEMA_PREFIX)
                        && !needed.iter().any(|known| known == name)
                    {
                        needed.push(name.to_owned());
                    }
                }
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
    }
    needed
}

/// The first line of a message: some print a whole part of the document, and the first line tells enough.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.trim_end_matches([' ', '{', '(', '[']).to_owned()
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work`; a panic in it becomes an error and prints nothing. Panics of other threads are reported as ever.
fn without_panics<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if QUIET.get() {
                let place = info.location().map_or_else(String::new, |location| {
                    let file = location
                        .file()
                        .rsplit(['/', '\\'])
                        .next()
                        .unwrap_or_default();
                    format!(" ({file}:{})", location.line())
                });
                let message = info.payload_as_str().unwrap_or("a panic without a message");
                PANIC.set(Some(format!("{}{place}", first_line(message))));
            } else {
                previous(info);
            }
        }));
    });
    QUIET.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    QUIET.set(false);
    result.map_err(|_| PANIC.take().unwrap_or_else(|| "a panic".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::{Counts, fixture, from_document, prepare, yaml};
    use super::*;

    fn prepared() -> Value {
        let mut document = yaml::parse(fixture::PARCELS).unwrap().to_json();
        prepare::prepare(&mut document, &mut Counts::default());
        document
    }

    fn blames(document: &Value) -> Vec<Blame> {
        match generate(document) {
            Ok(_) => panic!("the generator accepts the document"),
            Err(blames) => blames,
        }
    }

    /// What the generator refuses, mostly by a panic, is blamed on the operation that has it.
    #[test]
    fn operations_are_blamed_with_their_line() {
        for (from, to, operation, message) in [
            (
                // A second type of success.
                "        '200':\n          description: The parcel as it is now.\n",
                "        '204': {description: Nothing to say.}\n        '200':\n          description: The parcel.\n",
                "/paths/~1v1~1depots~1{depotId}~1parcels~1{parcelId}/patch",
                "assertion failed: response_types.len() <= 1",
            ),
            (
                // A body of two media types.
                "        required: true\n        content:\n          application/json:\n            schema: {$ref: \
                 '#/components/schemas/SendParcel'}\n",
                "        required: true\n        content:\n          text/csv: {schema: {type: string}}\n          \
                 application/json:\n            schema: {$ref: '#/components/schemas/SendParcel'}\n",
                "/paths/~1v1~1depots~1{depotId}~1parcels/post",
                "not yet implemented: more media types than expected",
            ),
            (
                "        - name: sent_since\n          in: query\n",
                "        - name: sent_since\n          in: cookie\n",
                "/paths/~1v1~1depots~1{depotId}~1parcels/get",
                "cookie parameters are not supported",
            ),
        ] {
            let (text, _) = fixture::with(from, to);
            let root = yaml::parse(&text).unwrap();
            let line = root.position(operation).line;
            let error = from_document("f.yaml", &text).unwrap_err().to_string();
            let first = error.lines().next().unwrap();
            assert!(
                first.starts_with(&format!(
                    "f.yaml:{line}:5: {operation}: the generator can't handle this operation: "
                )),
                "{error}"
            );
            assert!(first.contains(message), "{error}");
            assert_eq!(
                error.lines().count(),
                2,
                "only this operation is to blame: {error}"
            );
        }
    }

    #[test]
    fn schemas_are_blamed_and_not_what_refers_to_them() {
        let mut document = prepared();
        document["components"]["schemas"]["Paging"]["properties"]["cursor"]["default"] = json!(12);
        let blames = blames(&document);
        assert_eq!(blames.len(), 1, "{blames:?}");
        assert_eq!(blames[0].pointer, "/components/schemas/Paging");
        assert!(
            blames[0]
                .message
                .starts_with("the generator can't handle this schema: "),
            "{blames:?}"
        );
    }

    #[test]
    fn a_document_that_only_fails_as_a_whole_is_blamed_as_one() {
        let mut document = prepared();
        document["openapi"] = json!("2.0");
        let blames = blames(&document);
        assert_eq!(blames.len(), 1, "{blames:?}");
        assert!(blames[0].message.contains("invalid version"), "{blames:?}");
    }

    #[test]
    fn what_the_typed_model_refuses_is_blamed_where_it_stands() {
        let mut document = prepared();
        document["paths"]["/v1/depots/{depotId}/parcels"]["get"]["parameters"][0]["in"] =
            json!("boat");
        let in_operation = blames(&document);
        assert_eq!(in_operation.len(), 1, "{in_operation:?}");
        assert_eq!(
            in_operation[0].pointer,
            "/paths/~1v1~1depots~1{depotId}~1parcels/get"
        );
        assert!(
            in_operation[0].message.contains("unknown variant `boat`"),
            "{in_operation:?}"
        );

        let mut document = prepared();
        document["info"]["title"] = json!(12);
        let in_frame = blames(&document);
        assert_eq!(in_frame.len(), 1, "{in_frame:?}");
        assert_eq!(in_frame[0].pointer, "/info/title");
        assert!(
            in_frame[0].message.starts_with("not an OpenAPI document: "),
            "{in_frame:?}"
        );
    }

    #[test]
    fn panics_become_errors_with_their_place() {
        let error = without_panics(|| panic!("first line\nsecond line")).unwrap_err();
        assert!(error.starts_with("first line (generate.rs:"), "{error}");
        assert_eq!(without_panics(|| 7), Ok(7));
    }
}
