//! The public surface of the generated code: pinned by snapshots, and compared with the spec that it came from.
//!
//! The comparison brings both sides, the spec's schemas and the JSON Schemas of the Rust types, into one plain form
//! that holds what matters on the wire: property names, types, what is required, what may be null, the values of
//! enumerations, and whether unknown properties and values are accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use layer_payments_tests::{differences, resolve, root, spec};
use layer_payments_types::{self as types, Operation};
use serde_json::{Map, Value, json};

#[test]
fn the_schema_of_each_type_is_pinned() {
    for (name, schema) in types::json_schemas() {
        insta::with_settings!({ snapshot_path => "snapshots/types", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_json_snapshot!(name, schema);
        });
    }
}

#[test]
fn the_operations_are_pinned() {
    let generated = fs::read_to_string(root().join("crates/client/src/generated.rs"))
        .expect("the client is generated");
    let mut text = String::new();
    for operation in Operation::ALL {
        text.push_str(&format!(
            "{}: {} {}\n",
            operation.id(),
            operation.method(),
            operation.path()
        ));
        for parameter in operation.parameters() {
            let required = if parameter.required {
                "required"
            } else {
                "optional"
            };
            text.push_str(&format!(
                "  {:?} {} ({required})\n",
                parameter.location, parameter.name
            ));
        }
        // The signature of the generated function has the types of parameters, request and reply.
        let name = format!("    pub async fn {}<", operation.id());
        let start = generated
            .find(&name)
            .expect("each operation has a function");
        let end = generated[start..]
            .find(" {\n")
            .expect("a function has a body");
        text.push_str(&generated[start..start + end]);
        text.push_str("\n\n");
    }
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("operations", text);
    });
}

#[test]
fn the_operations_are_those_of_the_spec() {
    let spec = spec();
    let mut expected = BTreeMap::new();
    for (path, item) in spec["paths"].as_object().expect("the spec has paths") {
        let shared = item.get("parameters").and_then(Value::as_array);
        for (method, operation) in item.as_object().expect("a path is an object") {
            let Some(id) = operation.get("operationId").and_then(Value::as_str) else {
                continue;
            };
            let own = operation.get("parameters").and_then(Value::as_array);
            let parameters = shared
                .into_iter()
                .chain(own)
                .flatten()
                .map(|parameter| {
                    resolve(&spec, parameter)["name"]
                        .as_str()
                        .expect("a parameter has a name")
                        .to_owned()
                })
                .collect::<BTreeSet<_>>();
            expected.insert(
                id.to_owned(),
                (method.to_uppercase(), path.clone(), parameters),
            );
        }
    }
    let actual = Operation::ALL
        .iter()
        .map(|operation| {
            let parameters = operation
                .parameters()
                .iter()
                .map(|p| p.name.to_owned())
                .collect();
            (
                operation.id().to_owned(),
                (
                    operation.method().to_owned(),
                    operation.path().to_owned(),
                    parameters,
                ),
            )
        })
        .collect::<BTreeMap<_, _>>();
    assert_eq!(actual, expected);
}

#[test]
fn types_and_spec_say_the_same() {
    let spec = spec();
    let requests = reachable(&spec, "requestBody");
    let specified = spec["components"]["schemas"]
        .as_object()
        .expect("the spec has schemas");
    let typed = types::json_schemas()
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), undescribed(schema.to_value())))
        .collect::<BTreeMap<_, _>>();

    let mut faults = Vec::new();
    for (name, schema) in specified {
        let reply = !requests.contains(name);
        let mut expected = of_spec(specified, schema, reply);
        if reply {
            expected = tolerate_null(expected);
        }
        match typed.get(name) {
            Some(schema) => faults.extend(
                differences(&expected, &of_type(schema))
                    .into_iter()
                    .map(|difference| format!("{name}{difference}")),
            ),
            // The members of a tagged union live on as its variants.
            None if is_union_member(specified, name) => {}
            None => faults.push(format!("{name}: is in the spec and has no type")),
        }
    }
    for name in typed.keys().filter(|name| !specified.contains_key(*name)) {
        faults.push(format!("{name}: is a type and not in the spec"));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The schemas that a part of any operation (`requestBody` or `responses`) leads to, parameters counted as requests.
fn reachable(spec: &Value, part: &str) -> BTreeSet<String> {
    fn walk(spec: &Value, value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| walk(spec, item, found)),
            Value::Object(keys) => {
                if let Some(name) = reference(value) {
                    if value["$ref"]
                        .as_str()
                        .is_some_and(|r| r.starts_with("#/components/schemas/"))
                        && !found.insert(name.to_owned())
                    {
                        return;
                    }
                    walk(spec, resolve(spec, value), found);
                }
                keys.values().for_each(|value| walk(spec, value, found));
            }
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    for item in spec["paths"].as_object().into_iter().flat_map(Map::values) {
        walk(spec, &item["parameters"], &mut found);
        for operation in item.as_object().into_iter().flat_map(Map::values) {
            for part in ["parameters", part] {
                if let Some(value) = operation.get(part) {
                    walk(spec, value, &mut found);
                }
            }
        }
    }
    found
}

/// The last name of a `$ref`, if the value is one.
fn reference(value: &Value) -> Option<&str> {
    value.get("$ref")?.as_str()?.rsplit('/').next()
}

/// Whether a schema is a member of a tagged union.
fn is_union_member(specified: &Map<String, Value>, name: &str) -> bool {
    specified.values().any(|schema| {
        schema.get("discriminator").is_some()
            && schema["oneOf"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|member| reference(member) == Some(name))
    })
}

/// The plain form of a schema of the spec. `open` says that it belongs to replies.
fn of_spec(specified: &Map<String, Value>, schema: &Value, open: bool) -> Value {
    if let Some(members) = schema.get("oneOf").and_then(Value::as_array) {
        if let Some(mapping) = schema["discriminator"]["mapping"].as_object() {
            let tag = schema["discriminator"]["propertyName"]
                .as_str()
                .expect("a discriminator has a name");
            let variants = mapping
                .iter()
                .map(|(value, target)| {
                    let name = target
                        .as_str()
                        .and_then(|t| t.rsplit('/').next())
                        .expect("a mapping names a schema");
                    let mut member = properties_of_spec(&specified[name]);
                    member.remove(tag);
                    (value.clone(), Value::Object(member))
                })
                .collect::<Map<_, _>>();
            return json!({ "tagged by": tag, "variants": variants, "open": open });
        }
        let variants = members.iter().map(kind_of_spec).collect::<Vec<_>>();
        return json!({ "one of": variants, "open": open });
    }
    if schema.get("enum").is_some() {
        return json!({ "values": schema["enum"], "open": open });
    }
    if schema["type"] == "array" {
        return json!({ "list of": kind_of_spec(&schema["items"]) });
    }
    if schema.get("properties").is_none() && schema["additionalProperties"] == true {
        return json!("any object");
    }
    json!({ "properties": properties_of_spec(schema), "open": schema["additionalProperties"] != false })
}

/// The properties of an object of the spec.
fn properties_of_spec(schema: &Value) -> Map<String, Value> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    schema["properties"]
        .as_object()
        .expect("an object has properties")
        .iter()
        .map(|(name, property)| {
            let shape = json!({
                "kind": kind_of_spec(property),
                "nullable": property["nullable"] == true,
                "required": required.iter().any(|r| r == name),
            });
            (name.clone(), shape)
        })
        .collect()
}

/// What a property or item holds: a scalar, the name of a schema, or a list.
fn kind_of_spec(schema: &Value) -> Value {
    if let Some(name) = reference(schema) {
        return json!(name);
    }
    if let Some([only]) = schema["allOf"].as_array().map(Vec::as_slice) {
        return kind_of_spec(only);
    }
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("array"), _) => json!({ "list of": kind_of_spec(&schema["items"]) }),
        (Some(kind), None) => json!(kind),
        (Some(kind), Some(format)) => json!(format!("{kind} {format}")),
        (None, _) => panic!("no type in {schema}"),
    }
}

/// A JSON Schema without the descriptions of its parts, which say nothing about the wire. A property that is itself
/// called `description` is an object, not text, and stays.
fn undescribed(schema: Value) -> Value {
    match schema {
        Value::Object(keys) => keys
            .into_iter()
            .filter(|(key, value)| !(key == "description" && value.is_string()))
            .map(|(key, value)| (key, undescribed(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(undescribed).collect(),
        scalar => scalar,
    }
}

/// The plain form of the JSON Schema of a generated type.
fn of_type(schema: &Value) -> Value {
    let any_of = |key: &str| schema.get(key).and_then(Value::as_array).map(Vec::as_slice);
    if let Some(members) = any_of("oneOf").or_else(|| any_of("anyOf")) {
        // An open type ends with a member that takes everything of its kind.
        let (known, open) = match members {
            [known @ .., last] if *last == json!({}) || *last == json!({ "type": "string" }) => {
                (known, true)
            }
            closed => (closed, false),
        };
        if known.iter().all(|member| reference(member).is_some()) {
            let variants = known.iter().map(kind_of_type).collect::<Vec<_>>();
            return json!({ "one of": variants, "open": open });
        }
        if known.iter().all(|member| member["type"] == "string") {
            let values = known
                .iter()
                .flat_map(|member| match member["enum"].as_array() {
                    Some(values) => values.clone(),
                    None => vec![member["const"].clone()],
                })
                .collect::<Vec<_>>();
            return json!({ "values": values, "open": open });
        }
        let variants = known
            .iter()
            .map(|member| {
                let mut properties = properties_of_type(member);
                properties.remove("type");
                let value = member["properties"]["type"]["const"]
                    .as_str()
                    .expect("a variant has its tag");
                (value.to_owned(), Value::Object(properties))
            })
            .collect::<Map<_, _>>();
        return json!({ "tagged by": "type", "variants": variants, "open": open });
    }
    if let Some(values) = schema.get("enum") {
        return json!({ "values": values, "open": false });
    }
    if schema["type"] == "array" {
        return json!({ "list of": kind_of_type(&schema["items"]) });
    }
    if schema.get("properties").is_none() && schema["additionalProperties"] == true {
        return json!("any object");
    }
    json!({ "properties": properties_of_type(schema), "open": schema["additionalProperties"] != false })
}

/// The properties of a struct.
fn properties_of_type(schema: &Value) -> Map<String, Value> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    schema["properties"]
        .as_object()
        .expect("a struct has properties")
        .iter()
        .map(|(name, property)| {
            let shape = json!({
                "kind": kind_of_type(property),
                "nullable": takes_null(property),
                "required": required.iter().any(|r| r == name),
            });
            (name.clone(), shape)
        })
        .collect()
}

/// Whether null is among what a property takes.
fn takes_null(schema: &Value) -> bool {
    schema["type"]
        .as_array()
        .is_some_and(|kinds| kinds.contains(&json!("null")))
        || schema["anyOf"]
            .as_array()
            .is_some_and(|members| members.contains(&json!({ "type": "null" })))
}

/// What a field holds besides null: a scalar, the name of a type, or a list.
fn kind_of_type(schema: &Value) -> Value {
    if let Some(name) = reference(schema) {
        return json!(name);
    }
    if let Some(members) = schema["anyOf"].as_array() {
        let mut values = members
            .iter()
            .filter(|member| **member != json!({ "type": "null" }));
        return match (values.next(), values.next()) {
            (Some(only), None) => kind_of_type(only),
            _ => panic!("no single kind in {schema}"),
        };
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| **kind != "null"),
        kind => Some(kind),
    };
    match (kind.and_then(Value::as_str), schema["format"].as_str()) {
        (Some("array"), _) => json!({ "list of": kind_of_type(&schema["items"]) }),
        (Some(kind), None) => json!(kind),
        (Some(kind), Some(format)) => json!(format!("{kind} {format}")),
        (None, _) => panic!("no type in {schema}"),
    }
}

/// What the types do on purpose beyond the spec: where a reply's property is optional and the spec says "never null",
/// they read null as missing, since Layer's replies differ from generation to generation.
fn tolerate_null(mut shape: Value) -> Value {
    let properties = match &mut shape {
        Value::Object(keys) if keys.contains_key("properties") => {
            keys["properties"].as_object_mut()
        }
        _ => None,
    };
    for property in properties.into_iter().flat_map(Map::values_mut) {
        if property["required"] == false {
            property["nullable"] = json!(true);
        }
    }
    shape
}
