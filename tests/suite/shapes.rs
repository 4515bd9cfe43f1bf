//! The shapes of requests, compared with the spec that they came from.
//!
//! Both are brought into one plain form, in which every reference is followed, so that a body is a tree without names.

use layer_payments_tests::{differences, resolve, spec};
use layer_payments_types::{Object, Operation, Property, Shape};
use serde_json::{Map, Value, json};

#[test]
fn the_shape_of_each_body_is_the_schema_of_the_spec() {
    let spec = spec();
    let mut bodies = 0;
    let mut values = 0;
    for operation in Operation::ALL {
        let schema = specified(&spec, operation)
            .pointer("/requestBody/content/application~1json/schema")
            .cloned();
        let expected = schema.map(|schema| of_spec(&spec, &schema));
        let actual = operation.body().map(|shape| of_shape(*shape));
        assert_eq!(actual.is_some(), expected.is_some(), "{}", operation.id());
        let (Some(expected), Some(actual)) = (expected, actual) else {
            continue;
        };
        let found = differences(&expected, &actual);
        assert!(found.is_empty(), "{}: {found:#?}", operation.id());
        bodies += 1;
        values += count(&actual);
    }
    // The comparison looked at something.
    assert_eq!(bodies, 3);
    assert!(values > 500, "{values} values");
}

#[test]
fn the_shape_of_each_parameter_is_the_schema_of_the_spec() {
    let spec = spec();
    let mut compared = 0;
    for operation in Operation::ALL {
        let path = &spec["paths"][operation.path()];
        let lists = [
            &path["parameters"],
            &specified(&spec, operation)["parameters"],
        ];
        let listed = lists.into_iter().filter_map(Value::as_array).flatten();
        for (parameter, specified) in operation.parameters().iter().zip(listed) {
            let specified = resolve(&spec, specified);
            assert_eq!(specified["name"], parameter.name);
            let found = differences(
                &of_spec(&spec, &specified["schema"]),
                &of_shape(parameter.shape),
            );
            assert!(found.is_empty(), "{}: {found:#?}", parameter.name);
            compared += 1;
        }
    }
    assert_eq!(compared, 17);
}

/// What a walk along the shapes takes for granted, and its messages say.
#[test]
fn whole_numbers_in_bodies_are_cents_and_unions_are_the_two_known() {
    fn look(properties: &[Property], found: &mut Vec<&'static str>) {
        assert!(properties.len() <= Object::MOST_PROPERTIES);
        for property in properties {
            look_at(property.shape, found);
        }
    }
    fn look_at(shape: Shape, found: &mut Vec<&'static str>) {
        match shape {
            Shape::Object(object) => look(object.properties, found),
            Shape::List(items) => look_at(*items, found),
            Shape::Tagged(union) => {
                found.push(union.name);
                let members = union.members.iter();
                members.for_each(|(_, member)| look(member.properties, found));
            }
            Shape::Guided(union) => {
                found.push(union.name);
                look(union.marked.properties, found);
                look(union.unmarked.properties, found);
            }
            _ => {}
        }
    }
    let mut unions = Vec::new();
    for operation in Operation::ALL {
        operation
            .body()
            .into_iter()
            .for_each(|shape| look_at(*shape, &mut unions));
    }
    unions.sort_unstable();
    unions.dedup();
    assert_eq!(unions, ["AccountIdentifier", "AllocationInput"]);

    let spec = spec();
    let schemas = spec["components"]["schemas"].as_object().unwrap();
    let requests = schemas
        .values()
        .filter(|schema| schema["additionalProperties"] == false);
    let mut numbers = 0;
    for (name, property) in requests.flat_map(|schema| schema["properties"].as_object().unwrap()) {
        if property["type"] == "integer" {
            let description = property["description"].as_str().unwrap();
            assert!(description.contains("Cents"), "{name}: {description}");
            numbers += 1;
        }
    }
    assert!(numbers >= 8, "{numbers} whole numbers");
}

fn specified(spec: &Value, operation: Operation) -> &Value {
    &spec["paths"][operation.path()][operation.method().to_lowercase()]
}

fn of_spec(spec: &Value, schema: &Value) -> Value {
    let target = resolve(spec, schema);
    if !std::ptr::eq(target, schema) {
        return of_spec(spec, target);
    }
    if let Some(parts) = schema.get("allOf") {
        let [only] = parts.as_array().unwrap().as_slice() else {
            panic!("requests have no allOf but those of one reference: {schema}");
        };
        return of_spec(spec, only);
    }
    if let Some(members) = schema["oneOf"].as_array() {
        let Some(mapping) = schema["discriminator"]["mapping"].as_object() else {
            let members: Vec<Value> = members.iter().map(|member| of_spec(spec, member)).collect();
            return json!({ "one of": members });
        };
        let tag = schema["discriminator"]["propertyName"].as_str().unwrap();
        let mut members = Map::new();
        for (value, reference) in mapping {
            let mut member = of_spec(spec, &json!({ "$ref": reference }));
            let removed = member["object"].as_object_mut().unwrap().remove(tag);
            assert_eq!(
                removed.unwrap()["is"]["one of the texts"],
                json!([value]),
                "the tag of {reference}"
            );
            members.insert(value.clone(), member);
        }
        return json!({ "tag": tag, "members": members });
    }
    if schema.get("enum").is_some() {
        let deprecated = schema.get("x-deprecated-values");
        return json!({
            "one of the texts": schema["enum"],
            "deprecated": deprecated.cloned().unwrap_or_else(|| json!({})),
        });
    }
    if let Some(properties) = schema["properties"].as_object() {
        assert_eq!(schema["additionalProperties"], false, "{schema}");
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let properties: Map<String, Value> = properties
            .iter()
            .map(|(name, property)| {
                let value = json!({
                    "is": of_spec(spec, property),
                    "required": required.iter().any(|required| required == name),
                    "nullable": property["nullable"] == true,
                });
                (name.clone(), value)
            })
            .collect();
        return json!({ "object": properties });
    }
    if schema["type"] == "array" {
        return json!({ "list": of_spec(spec, &schema["items"]) });
    }
    json!([schema["type"], schema["format"]])
}

fn of_shape(shape: Shape) -> Value {
    match shape {
        Shape::Text => json!(["string", null]),
        Shape::Integer => json!(["integer", "int64"]),
        Shape::Boolean => json!(["boolean", null]),
        Shape::Timestamp => json!(["string", "date-time"]),
        Shape::Uuid => json!(["string", "uuid"]),
        Shape::FreeObject => json!(["object", null]),
        Shape::Enumeration(values) => {
            let deprecated: Map<String, Value> = values
                .deprecated
                .iter()
                .map(|(old, new)| ((*old).to_owned(), json!(new)))
                .collect();
            json!({ "one of the texts": values.values, "deprecated": deprecated })
        }
        Shape::List(items) => json!({ "list": of_shape(*items) }),
        Shape::Object(object) => of_properties(object.properties),
        Shape::Tagged(union) => {
            let members: Map<String, Value> = union
                .members
                .iter()
                .map(|(value, member)| ((*value).to_owned(), of_properties(member.properties)))
                .collect();
            json!({ "tag": union.tag, "members": members })
        }
        Shape::Guided(union) => {
            let has = |properties: &[Property]| properties.iter().any(|p| p.name == union.mark);
            assert!(has(union.marked.properties) && !has(union.unmarked.properties));
            json!({ "one of": [of_properties(union.marked.properties), of_properties(union.unmarked.properties)] })
        }
    }
}

fn of_properties(properties: &[Property]) -> Value {
    let properties: Map<String, Value> = properties
        .iter()
        .map(|property| {
            let value = json!({
                "is": of_shape(property.shape),
                "required": property.required,
                "nullable": property.nullable,
            });
            (property.name.to_owned(), value)
        })
        .collect();
    json!({ "object": properties })
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(count).sum::<usize>() + 1,
        Value::Object(keys) => keys.values().map(count).sum::<usize>() + 1,
        _ => 1,
    }
}
