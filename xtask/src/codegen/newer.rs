//! The document as OpenAPI 3.1, for generators that read null well only there.
//!
//! OpenAPI 3.0 can't say "this schema or null" of a reference (D7 in `spec/decisions.md`), and generators of other
//! languages read the idiom that stands for it in several ways: some lose the null, some the account identifier's `type`.
//! In OpenAPI 3.1 there is one plain way. Nothing but the way of writing differs between the two documents.

use super::yaml::{Entry, Kind, Node};

/// What a value is, as far as it matters where schemas are.
#[derive(Clone, Copy)]
enum Place {
    /// Any part of the document that isn't one of the others.
    Document,
    /// A schema.
    Schema,
    /// A mapping of names to schemas.
    Schemas,
    /// An example, a default or another value that only looks as if it could be a schema.
    Data,
}

/// The text of the 3.1 document, as JSON in the order of the original.
pub(crate) fn newer(root: &Node) -> String {
    let mut document = rewrite(root, Place::Document);
    if let Kind::Map(entries) = &mut document.kind {
        for entry in entries.iter_mut().filter(|entry| entry.key == "openapi") {
            entry.value = text(root, "3.1.0");
        }
    }
    let mut json = serde_json::to_string_pretty(&document).expect("a tree of JSON can be written");
    json.push('\n');
    json
}

fn rewrite(node: &Node, place: Place) -> Node {
    let kind = match (&node.kind, place) {
        (_, Place::Data) => node.kind.clone(),
        (Kind::List(items), _) => {
            Kind::List(items.iter().map(|item| rewrite(item, place)).collect())
        }
        (Kind::Map(entries), Place::Schema) => Kind::Map(schema(node, entries)),
        (Kind::Map(entries), _) => Kind::Map(
            entries
                .iter()
                .map(|entry| Entry {
                    value: rewrite(&entry.value, below(place, &entry.key)),
                    ..entry.clone()
                })
                .collect(),
        ),
        (kind, _) => kind.clone(),
    };
    Node { at: node.at, kind }
}

/// What stands under a key.
fn below(place: Place, key: &str) -> Place {
    match (place, key) {
        (Place::Document, "schema") | (Place::Schemas, _) => Place::Schema,
        (Place::Document, "schemas") | (Place::Schema, "properties") => Place::Schemas,
        (Place::Document, "example" | "examples") => Place::Data,
        (Place::Document, _) => Place::Document,
        (Place::Schema, "items" | "additionalProperties" | "allOf" | "oneOf" | "anyOf") => {
            Place::Schema
        }
        (Place::Schema | Place::Data, _) => Place::Data,
    }
}

/// A schema's keys in the words of 3.1.
fn schema(node: &Node, entries: &[Entry]) -> Vec<Entry> {
    let nullable = node.get("nullable").and_then(Node::truth) == Some(true);
    let reference = match node.get("allOf").map(Node::items) {
        Some([only]) if only.get("$ref").is_some() => Some(only),
        _ => None,
    };
    let mut rewritten = Vec::new();
    for entry in entries {
        let mut entry = entry.clone();
        match (entry.key.as_str(), reference) {
            ("nullable", _) => continue,
            // It only carried the `nullable`; the reference tells the type.
            ("type", Some(_)) => continue,
            ("allOf", Some(reference)) if nullable => {
                let null = Node {
                    at: node.at,
                    kind: Kind::Map(vec![Entry {
                        key: "type".to_owned(),
                        key_at: node.at,
                        value: text(node, "null"),
                    }]),
                };
                entry.key = "anyOf".to_owned();
                entry.value.kind = Kind::List(vec![reference.clone(), null]);
            }
            // A reference takes siblings now.
            ("allOf", Some(reference)) => {
                rewritten.extend(reference.entries().iter().cloned());
                continue;
            }
            ("type", None) if nullable => {
                entry.value.kind = Kind::List(vec![entry.value.clone(), text(node, "null")]);
            }
            ("enum", _) if nullable => {
                let mut values = entry.value.items().to_vec();
                if !values.iter().any(|value| matches!(value.kind, Kind::Null)) {
                    values.push(Node {
                        at: node.at,
                        kind: Kind::Null,
                    });
                }
                entry.value.kind = Kind::List(values);
            }
            (key, _) => entry.value = rewrite(&entry.value, below(Place::Schema, key)),
        }
        rewritten.push(entry);
    }
    rewritten
}

fn text(near: &Node, text: &str) -> Node {
    Node {
        at: near.at,
        kind: Kind::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::yaml;
    use super::*;

    fn newer_schema(schema: &str) -> Value {
        let document = format!("openapi: 3.0.3\ncomponents:\n  schemas:\n    T: {schema}\n");
        let root = yaml::parse(&document).expect("the document is YAML");
        let newer: Value = serde_json::from_str(&newer(&root)).expect("it is JSON");
        assert_eq!(newer["openapi"], "3.1.0");
        newer["components"]["schemas"]["T"].clone()
    }

    #[test]
    fn null_becomes_a_type() {
        assert_eq!(
            newer_schema("{type: string, nullable: true, enum: [A], description: x}"),
            json!({"type": ["string", "null"], "enum": ["A", null], "description": "x"})
        );
        assert_eq!(
            newer_schema("{type: object, nullable: true, allOf: [{$ref: '#/R'}], description: x}"),
            json!({"anyOf": [{"$ref": "#/R"}, {"type": "null"}], "description": "x"})
        );
    }

    #[test]
    fn a_reference_stands_for_itself() {
        assert_eq!(
            newer_schema("{type: object, allOf: [{$ref: '#/R'}], title: x}"),
            json!({"$ref": "#/R", "title": "x"})
        );
    }

    #[test]
    fn only_schemas_are_rewritten() {
        assert_eq!(
            newer_schema(
                "{properties: {example: {type: string, nullable: true}}, \
                 example: {type: string, nullable: true}}"
            ),
            json!({
                "properties": {"example": {"type": ["string", "null"]}},
                "example": {"type": "string", "nullable": true}
            })
        );
    }

    #[test]
    fn keys_keep_their_order() {
        let root = yaml::parse("openapi: 3.0.3\nb: 1\na: 2\n").expect("the document is YAML");
        assert_eq!(
            newer(&root),
            "{\n  \"openapi\": \"3.1.0\",\n  \"b\": 1,\n  \"a\": 2\n}\n"
        );
    }
}
