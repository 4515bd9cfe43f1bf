//! The published schemas, each against the examples of its type.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::{Draft, Registry, Validator};
use serde_json::{Map, Value, json};

use crate::{dist, files};

/// Values of every type, of which each property with a type of its own refuses one.
fn strangers() -> [Value; 6] {
    [
        json!(false),
        json!("\u{0}not this"),
        json!(-1.5),
        json!([{ "no": "such" }]),
        json!({ "no": ["such"] }),
        Value::Null,
    ]
}

/// An instance of a published schema.
struct Instance {
    /// Where it stands.
    place: String,
    /// The schema's file.
    schema: String,
    value: Value,
}

/// All schemas by their path in the folder.
fn schemas() -> BTreeMap<String, Value> {
    let schemas = files(&dist().join("schemas"))
        .into_iter()
        .map(|(path, text)| {
            let path = path.to_str().expect("names are UTF-8").replace('\\', "/");
            let schema = serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{path}: {e}"));
            (path, schema)
        })
        .collect::<BTreeMap<_, _>>();
    assert!(schemas.len() > 80, "only {} schemas", schemas.len());
    schemas
}

fn registry(schemas: &BTreeMap<String, Value>) -> Registry<'static> {
    let mut registry = Registry::new();
    for schema in schemas.values() {
        let id = schema["$id"].as_str().expect("a schema has a name");
        registry = registry.add(id, schema.clone()).expect("the name is a URI");
    }
    registry
        .prepare()
        .expect("all references between the schemas lead somewhere")
}

/// A validator of a schema, or with a pointer of a part of it.
fn validator(registry: &Registry<'static>, schema: &Value, pointer: &str) -> Validator {
    let id = schema["$id"].as_str().expect("a schema has a name");
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .with_registry(registry)
        .build(&json!({ "$ref": format!("{id}{pointer}") }))
        .unwrap_or_else(|e| panic!("{id}{pointer}: {e}"))
}

/// The payloads of Layer's pages.
fn documented() -> Vec<Instance> {
    let index = crate::json("examples/index.json");
    let mut instances = Vec::new();
    for entry in index.as_array().expect("the index is a list") {
        let file = entry["file"].as_str().expect("an entry names a file");
        let schema = entry["schema"].as_str().expect("an entry names a schema");
        let value = crate::json(&format!("examples/{file}"));
        let values = match value {
            Value::Array(values) if entry["array"] == true => values,
            value => vec![value],
        };
        instances.extend(values.into_iter().map(|value| Instance {
            place: file.to_owned(),
            schema: format!("{schema}.json"),
            value,
        }));
    }
    instances
}

/// The examples of a document's requests and replies.
fn specified(document: &Value, folder: &str) -> Vec<Instance> {
    let public = crate::json("openapi/layer-payments.json");
    let resolve = |value: &Value| resolved(document, &public, value);
    let mut instances = Vec::new();
    let paths = document["paths"].as_object().expect("there are paths");
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().expect("a path is an object") {
            let bodies = operation.get("requestBody").map(|body| ("request", body));
            let replies = operation.get("responses").and_then(Value::as_object);
            let replies = replies
                .into_iter()
                .flatten()
                .map(|(status, reply)| (status.as_str(), reply));
            for (name, body) in bodies.into_iter().chain(replies) {
                let shared = body["$ref"].as_str().is_some_and(|it| !it.starts_with('#'));
                let body = resolve(body);
                let contents = body["content"].as_object().into_iter().flatten();
                for (media_type, content) in contents {
                    let Some(reference) = content["schema"]["$ref"].as_str() else {
                        continue;
                    };
                    let own = reference.starts_with('#') && !shared;
                    let folder = if own { folder } else { "" };
                    let schema = reference.rsplit('/').next().expect("there is a name");
                    for (key, example) in content["examples"].as_object().into_iter().flatten() {
                        instances.push(Instance {
                            place: format!("{method} {path} {name} {media_type} {key}"),
                            schema: format!("{folder}{schema}.json"),
                            value: resolve(example)["value"].clone(),
                        });
                    }
                }
            }
        }
    }
    instances
}

/// What stands behind a reference of a document, which may lead into the public one, and on from there.
fn resolved(document: &Value, public: &Value, value: &Value) -> Value {
    let (mut within, mut value) = (document, value);
    while let Some(reference) = value["$ref"].as_str() {
        let (file, pointer) = reference.split_once('#').expect("there is a pointer");
        if !file.is_empty() {
            within = public;
        }
        value = within.pointer(pointer).expect("references lead somewhere");
    }
    value.clone()
}

/// Every whole example there is.
fn instances() -> Vec<Instance> {
    let mut instances = documented();
    assert!(instances.len() >= 7, "only {} of pages", instances.len());
    for (name, folder, least) in [("layer-payments", "", 20), ("local", "local/", 30)] {
        let document = crate::json(&format!("openapi/{name}.json"));
        let found = specified(&document, folder);
        assert!(found.len() >= least, "only {} in {name}", found.len());
        instances.extend(found);
    }
    instances
}

#[test]
fn the_schemas_are_schemas_whose_references_are_files() {
    let schemas = schemas();
    for (path, schema) in &schemas {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{path}");
        let id = schema["$id"].as_str().expect("a schema has a name");
        assert!(id.ends_with(&format!("/schemas/{path}")), "{id}");
        crate::see_references(schema, &mut |reference| {
            let mut folders = path.split('/').collect::<Vec<_>>();
            folders.pop();
            for part in reference.split('/') {
                match part {
                    ".." => drop(folders.pop()),
                    part => folders.push(part),
                }
            }
            let target = folders.join("/");
            assert!(
                schemas.contains_key(&target),
                "{path} refers to {reference}"
            );
        });
    }
    // One a type, in both documents.
    for (name, folder) in [("layer-payments", ""), ("local", "local/")] {
        let document = crate::json(&format!("openapi/{name}.json"));
        let types = document["components"]["schemas"]
            .as_object()
            .expect("there are schemas");
        for name in types.keys() {
            assert!(
                schemas.contains_key(&format!("{folder}{name}.json")),
                "{name}"
            );
        }
    }
}

#[test]
fn every_example_is_valid_by_the_schema_of_its_type() {
    let schemas = schemas();
    let registry = registry(&schemas);
    let mut used = BTreeSet::new();
    for Instance {
        place,
        schema,
        value,
    } in instances()
    {
        let errors = validator(&registry, &schemas[&schema], "")
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect::<Vec<_>>();
        assert!(errors.is_empty(), "{place} by {schema}: {errors:?}");
        used.insert(schema);
    }
    assert!(used.len() > 20, "{used:?}");

    // And those of single values, by the part of a schema that they stand in.
    let mut seen = 0;
    for schema in schemas.values() {
        see_examples(schema, "#", &mut |pointer, example| {
            let valid = validator(&registry, schema, pointer).is_valid(example);
            assert!(valid, "{}{pointer}: {example}", schema["$id"]);
            seen += 1;
        });
    }
    assert!(seen > 80, "only {seen} examples of values");
}

/// Calls `see` with each example inside of a schema and the place of the schema that it is for.
fn see_examples(schema: &Value, at: &str, see: &mut impl FnMut(&str, &Value)) {
    match schema {
        Value::Object(keys) => {
            for (key, value) in keys {
                if key == "examples" && value.is_array() {
                    for example in value.as_array().into_iter().flatten() {
                        see(at, example);
                    }
                } else {
                    let token = key.replace('~', "~0").replace('/', "~1");
                    see_examples(value, &format!("{at}/{token}"), see);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                see_examples(item, &format!("{at}/{index}"), see);
            }
        }
        _ => {}
    }
}

#[test]
fn broken_examples_are_refused() {
    let schemas = schemas();
    let registry = registry(&schemas);
    let mut broken = [0, 0, 0];
    for Instance {
        place,
        schema: name,
        value,
    } in instances()
    {
        let schema = &schemas[&name];
        let validator = validator(&registry, schema, "");
        let refused = strangers().iter().any(|it| !validator.is_valid(it));
        assert!(refused, "{name} takes anything");
        let (Value::Object(object), Some(properties)) = (value, schema["properties"].as_object())
        else {
            continue;
        };
        // Without what it needs.
        for needed in schema["required"].as_array().into_iter().flatten() {
            let needed = needed.as_str().expect("a property has a name");
            let mut object = object.clone();
            assert!(object.remove(needed).is_some(), "{place} lacks {needed}");
            assert!(
                !validator.is_valid(&object.into()),
                "{place} without {needed}"
            );
            broken[0] += 1;
        }
        // With another value in the place of one.
        for property in object.keys().filter(|it| properties.contains_key(*it)) {
            let refused = strangers().into_iter().any(|stranger| {
                let changed = with(&object, property, stranger);
                !validator.is_valid(&changed)
            });
            assert!(refused, "{place} with anything as {property}");
            broken[1] += 1;
        }
        // With what it doesn't know, which requests refuse and replies take.
        let closed = schema["additionalProperties"] == false;
        let more = with(&object, "no_such_property", json!(1));
        assert_eq!(
            validator.is_valid(&more),
            !closed,
            "{place} with another property"
        );
        broken[2] += usize::from(closed);
    }
    assert!(
        broken[0] > 50 && broken[1] > 100 && broken[2] > 10,
        "{broken:?}"
    );
}

fn with(object: &Map<String, Value>, property: &str, value: Value) -> Value {
    let mut object = object.clone();
    object.insert(property.to_owned(), value);
    Value::Object(object)
}
