//! Schemas of OpenAPI 3.0 as JSON Schemas of draft 2020-12.
//!
//! OpenAPI 3.0 has a dialect of its own, which no validator of JSON Schema reads as it is meant: it writes "or null" as
//! `nullable`, has one `example`, and knows keywords of its own.

use crate::node::Node;

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// What says nothing about the values that a schema allows.
const ANNOTATIONS: [&str; 8] = [
    "title",
    "description",
    "default",
    "deprecated",
    "examples",
    "readOnly",
    "writeOnly",
    "$comment",
];

/// A schema as a file of its own; [`crate::Document::json_schemas`] says what becomes of what.
pub(crate) fn file(name: &str, schema: &Node, base: &str, other: &str) -> Node {
    let mut entries = vec![
        entry("$schema", text(DRAFT)),
        entry("$id", text(&format!("{base}{name}.json"))),
    ];
    if schema.get("title").is_none() {
        entries.push(entry("title", text(name)));
    }
    entries.extend(converted(schema, other));
    Node::Map(entries)
}

fn schema(node: &Node, other: &str) -> Node {
    match node {
        Node::Map(_) => Node::Map(converted(node, other)),
        // `additionalProperties` may be a truth value.
        node => node.clone(),
    }
}

fn converted(schema: &Node, other: &str) -> Vec<(String, Node)> {
    let mut entries = Vec::new();
    let mut extensions = Vec::new();
    for (key, value) in schema.entries() {
        match key.as_str() {
            "nullable" | "discriminator" | "xml" | "externalDocs" => {}
            extension if extension.starts_with("x-") => {
                extensions.push((key.clone(), value.clone()));
            }
            "example" => entries.push(entry("examples", Node::List(vec![value.clone()]))),
            // OpenAPI 3.0 heeds nothing beside `$ref`, hence the list of one. JSON Schema does.
            "allOf"
                if let [only] = schema.items_of("allOf")
                    && let [(key, _)] = only.entries()
                    && key == "$ref" =>
            {
                entries.extend(converted(only, other));
            }
            _ => entries.push((key.clone(), keyword(key, value, other))),
        }
    }
    bounds(&mut entries);
    if !extensions.is_empty() {
        let extensions = Node::Map(extensions).line();
        entries.push(entry("$comment", text(&extensions)));
    }
    if schema.is("nullable") {
        or_null(entries)
    } else {
        entries
    }
}

fn keyword(key: &str, value: &Node, other: &str) -> Node {
    match (key, value) {
        ("$ref", Node::Text(reference)) => text(&reference_to_file(reference, other)),
        ("properties", Node::Map(properties)) => Node::Map(
            properties
                .iter()
                .map(|(name, property)| (name.clone(), schema(property, other)))
                .collect(),
        ),
        ("allOf" | "anyOf" | "oneOf", Node::List(schemas)) => {
            Node::List(schemas.iter().map(|it| schema(it, other)).collect())
        }
        ("items" | "additionalProperties" | "not", value) => schema(value, other),
        (_, value) => value.clone(),
    }
}

/// `#/components/schemas/Name` as `Name.json`, which lies beside the file; with another document's name in front, as the
/// file that lies at `other`.
fn reference_to_file(reference: &str, other: &str) -> String {
    let folder = if reference.starts_with('#') {
        ""
    } else {
        other
    };
    let name = reference.rsplit('/').next().unwrap_or(reference);
    format!("{folder}{name}.json")
}

/// Exclusive bounds, which OpenAPI 3.0 writes as a truth value beside the bound.
fn bounds(entries: &mut Vec<(String, Node)>) {
    for (exclusive, bound) in [
        ("exclusiveMinimum", "minimum"),
        ("exclusiveMaximum", "maximum"),
    ] {
        let found = entries.iter().position(|(key, _)| key == exclusive);
        let Some((_, value)) = found.map(|index| entries.remove(index)) else {
            continue;
        };
        if value == Node::Bool(true) {
            for (key, _) in &mut *entries {
                if key == bound {
                    exclusive.clone_into(key);
                }
            }
        }
    }
}

/// Allows null beside what a schema allows.
fn or_null(mut entries: Vec<(String, Node)>) -> Vec<(String, Node)> {
    let combined = entries
        .iter()
        .any(|(key, _)| ["$ref", "allOf", "anyOf", "oneOf", "not"].contains(&key.as_str()));
    if !combined {
        for (key, value) in &mut entries {
            match (key.as_str(), value) {
                ("type", kind @ Node::Text(_)) => {
                    *kind = Node::List(vec![kind.clone(), text("null")]);
                }
                ("enum", Node::List(values)) if !values.contains(&Node::Null) => {
                    values.push(Node::Null);
                }
                _ => {}
            }
        }
        return entries;
    }
    let (mut outer, inner): (Vec<_>, Vec<_>) = entries
        .into_iter()
        .partition(|(key, _)| ANNOTATIONS.contains(&key.as_str()));
    let null = Node::Map(vec![entry("type", text("null"))]);
    outer.push(entry("anyOf", Node::List(vec![Node::Map(inner), null])));
    outer
}

fn entry(key: &str, value: Node) -> (String, Node) {
    (key.to_owned(), value)
}

fn text(text: &str) -> Node {
    Node::Text(text.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::Document;

    /// The parts of a schema that a conversion is about: all but what a file begins with.
    fn converted(schema: &str) -> String {
        let spec = format!("{{ components: {{ schemas: {{ T: {schema} }} }} }}");
        let document = Document::from_yaml(&spec).unwrap();
        let (_, text) = document.json_schemas("https://t.invalid/", "../").remove(0);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut object = value.as_object().unwrap().clone();
        for (key, begin) in [
            ("$schema", "https://json-schema.org/draft/2020-12/schema"),
            ("$id", "https://t.invalid/T.json"),
            ("title", "T"),
        ] {
            assert_eq!(object.remove(key).unwrap(), begin);
        }
        serde_json::to_string(&object).unwrap()
    }

    #[test]
    fn null_becomes_one_of_the_types() {
        assert_eq!(
            converted("{ type: string, nullable: true }"),
            r#"{"type":["string","null"]}"#
        );
        assert_eq!(
            converted("{ type: string, nullable: false }"),
            r#"{"type":"string"}"#
        );
        assert_eq!(
            converted("{ enum: [a, b], type: string, nullable: true }"),
            r#"{"enum":["a","b",null],"type":["string","null"]}"#
        );
    }

    #[test]
    fn null_beside_a_reference_becomes_a_choice_that_keeps_its_words_outside() {
        let reference = r##"allOf: [{ $ref: "#/components/schemas/U" }]"##;
        assert_eq!(
            converted(&format!(
                "{{ description: D, nullable: true, type: object, {reference} }}"
            )),
            r#"{"anyOf":[{"$ref":"U.json","type":"object"},{"type":"null"}],"description":"D"}"#
        );
        assert_eq!(
            converted(&format!("{{ description: D, {reference} }}")),
            r#"{"$ref":"U.json","description":"D"}"#
        );
    }

    #[test]
    fn what_only_openapi_knows_goes_or_becomes_a_comment() {
        assert_eq!(
            converted(
                "{ discriminator: { propertyName: type }, example: 1, x-null-keeps: true, x-a: [b] }"
            ),
            r#"{"$comment":"{\"x-null-keeps\":true,\"x-a\":[\"b\"]}","examples":[1]}"#
        );
        assert_eq!(
            converted(
                "{ minimum: 1, exclusiveMinimum: true, maximum: 2, exclusiveMaximum: false }"
            ),
            r#"{"exclusiveMinimum":1,"maximum":2}"#
        );
    }

    #[test]
    fn data_that_looks_like_a_schema_stays_as_it_is() {
        assert_eq!(
            converted(
                "{ default: { nullable: true }, properties: { nullable: { type: string }, example: { type: string } } }"
            ),
            r#"{"default":{"nullable":true},"properties":{"example":{"type":"string"},"nullable":{"type":"string"}}}"#
        );
    }

    #[test]
    fn references_lead_to_files_whatever_holds_them() {
        assert_eq!(
            converted(
                r##"{ oneOf: [{ $ref: "#/components/schemas/U" }, { items: { $ref: "o.yaml#/components/schemas/V" } }],
                      additionalProperties: false, not: { allOf: [{ $ref: "#/a/W" }, { $ref: "#/a/X" }] } }"##
            ),
            r#"{"additionalProperties":false,"not":{"allOf":[{"$ref":"W.json"},{"$ref":"X.json"}]},"oneOf":[{"$ref":"U.json"},{"items":{"$ref":"../V.json"}}]}"#
        );
    }
}
