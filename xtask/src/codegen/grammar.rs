//! The grammar of OpenAPI 3.0.3: which keys each object may have, which it must have, and of what kind their values are.
//!
//! The typed model of the `openapiv3` crate ignores keys that it doesn't know, so that a mistyped `desciption` or
//! `requried` would silently do nothing. This table doesn't. Extensions (`x-...`) are allowed wherever OpenAPI allows
//! them.

use std::collections::BTreeSet;

use super::mistake::{Mistake, child_pointer};
use super::yaml::{Entry, Kind, Node};

/// An object of the specification.
struct Object {
    /// Its name in the specification.
    name: &'static str,
    /// The section of the components that a reference to it must lead to; empty if it can't be referred to.
    section: &'static str,
    required: &'static [&'static str],
    /// Keys of which it must have one, if there are any.
    either: &'static [&'static str],
    keys: &'static [(&'static str, Shape)],
}

/// What a value must be.
enum Shape {
    Any,
    Text,
    /// One of some words.
    Word(&'static [&'static str]),
    Truth,
    Number,
    Count,
    Object(&'static Object),
    /// The object or a reference to one in the components.
    Referable(&'static Object),
    List(&'static Shape),
    /// A list with at least one item.
    NonEmpty(&'static Shape),
    /// A mapping with any keys.
    Map(&'static Shape),
    /// The components of one section, whose names have their own rule.
    Named(&'static Shape),
    TruthOr(&'static Shape),
    /// A mapping from paths.
    Paths(&'static Shape),
    /// A mapping from status codes.
    Responses(&'static Shape),
}

static DOCUMENT: Object = Object {
    name: "OpenAPI Object",
    section: "",
    required: &["openapi", "info", "paths"],
    either: &[],
    keys: &[
        ("openapi", Shape::Text),
        ("info", Shape::Object(&INFO)),
        ("servers", Shape::List(&Shape::Object(&SERVER))),
        ("paths", Shape::Paths(&Shape::Object(&PATH_ITEM))),
        ("components", Shape::Object(&COMPONENTS)),
        ("security", SECURITY),
        ("tags", Shape::List(&Shape::Object(&TAG))),
        ("externalDocs", Shape::Object(&EXTERNAL_DOCS)),
    ],
};

const SECURITY: Shape = Shape::List(&Shape::Map(&Shape::List(&Shape::Text)));

static INFO: Object = Object {
    name: "Info Object",
    section: "",
    required: &["title", "version"],
    either: &[],
    keys: &[
        ("title", Shape::Text),
        ("description", Shape::Text),
        ("termsOfService", Shape::Text),
        ("contact", Shape::Object(&CONTACT)),
        ("license", Shape::Object(&LICENSE)),
        ("version", Shape::Text),
    ],
};

static CONTACT: Object = Object {
    name: "Contact Object",
    section: "",
    required: &[],
    either: &[],
    keys: &[
        ("name", Shape::Text),
        ("url", Shape::Text),
        ("email", Shape::Text),
    ],
};

static LICENSE: Object = Object {
    name: "License Object",
    section: "",
    required: &["name"],
    either: &[],
    keys: &[("name", Shape::Text), ("url", Shape::Text)],
};

static SERVER: Object = Object {
    name: "Server Object",
    section: "",
    required: &["url"],
    either: &[],
    keys: &[
        ("url", Shape::Text),
        ("description", Shape::Text),
        ("variables", Shape::Map(&Shape::Object(&SERVER_VARIABLE))),
    ],
};

static SERVER_VARIABLE: Object = Object {
    name: "Server Variable Object",
    section: "",
    required: &["default"],
    either: &[],
    keys: &[
        ("enum", Shape::NonEmpty(&Shape::Text)),
        ("default", Shape::Text),
        ("description", Shape::Text),
    ],
};

static TAG: Object = Object {
    name: "Tag Object",
    section: "",
    required: &["name"],
    either: &[],
    keys: &[
        ("name", Shape::Text),
        ("description", Shape::Text),
        ("externalDocs", Shape::Object(&EXTERNAL_DOCS)),
    ],
};

static EXTERNAL_DOCS: Object = Object {
    name: "External Documentation Object",
    section: "",
    required: &["url"],
    either: &[],
    keys: &[("description", Shape::Text), ("url", Shape::Text)],
};

static COMPONENTS: Object = Object {
    name: "Components Object",
    section: "",
    required: &[],
    either: &[],
    keys: &[
        ("schemas", Shape::Named(&Shape::Referable(&SCHEMA))),
        ("responses", Shape::Named(&Shape::Referable(&RESPONSE))),
        ("parameters", Shape::Named(&Shape::Referable(&PARAMETER))),
        ("examples", Shape::Named(&Shape::Referable(&EXAMPLE))),
        (
            "requestBodies",
            Shape::Named(&Shape::Referable(&REQUEST_BODY)),
        ),
        ("headers", Shape::Named(&Shape::Referable(&HEADER))),
        (
            "securitySchemes",
            Shape::Named(&Shape::Referable(&SECURITY_SCHEME)),
        ),
        ("links", Shape::Named(&Shape::Referable(&LINK))),
        ("callbacks", Shape::Named(&Shape::Any)),
    ],
};

static PATH_ITEM: Object = Object {
    name: "Path Item Object",
    section: "",
    required: &[],
    either: &[],
    keys: &[
        ("summary", Shape::Text),
        ("description", Shape::Text),
        ("get", Shape::Object(&OPERATION)),
        ("put", Shape::Object(&OPERATION)),
        ("post", Shape::Object(&OPERATION)),
        ("delete", Shape::Object(&OPERATION)),
        ("options", Shape::Object(&OPERATION)),
        ("head", Shape::Object(&OPERATION)),
        ("patch", Shape::Object(&OPERATION)),
        ("trace", Shape::Object(&OPERATION)),
        ("servers", Shape::List(&Shape::Object(&SERVER))),
        ("parameters", Shape::List(&Shape::Referable(&PARAMETER))),
    ],
};

static OPERATION: Object = Object {
    name: "Operation Object",
    section: "",
    required: &["responses"],
    either: &[],
    keys: &[
        ("tags", Shape::List(&Shape::Text)),
        ("summary", Shape::Text),
        ("description", Shape::Text),
        ("externalDocs", Shape::Object(&EXTERNAL_DOCS)),
        ("operationId", Shape::Text),
        ("parameters", Shape::List(&Shape::Referable(&PARAMETER))),
        ("requestBody", Shape::Referable(&REQUEST_BODY)),
        ("responses", Shape::Responses(&Shape::Referable(&RESPONSE))),
        ("callbacks", Shape::Any),
        ("deprecated", Shape::Truth),
        ("security", SECURITY),
        ("servers", Shape::List(&Shape::Object(&SERVER))),
    ],
};

static PARAMETER: Object = Object {
    name: "Parameter Object",
    section: "parameters",
    required: &["name", "in"],
    either: &["schema", "content"],
    keys: &[
        ("name", Shape::Text),
        ("in", Shape::Word(&["path", "query", "header", "cookie"])),
        ("description", Shape::Text),
        ("required", Shape::Truth),
        ("deprecated", Shape::Truth),
        ("allowEmptyValue", Shape::Truth),
        ("style", STYLE),
        ("explode", Shape::Truth),
        ("allowReserved", Shape::Truth),
        ("schema", Shape::Referable(&SCHEMA)),
        ("example", Shape::Any),
        ("examples", Shape::Map(&Shape::Referable(&EXAMPLE))),
        ("content", Shape::Map(&Shape::Object(&MEDIA_TYPE))),
    ],
};

const STYLE: Shape = Shape::Word(&[
    "matrix",
    "label",
    "form",
    "simple",
    "spaceDelimited",
    "pipeDelimited",
    "deepObject",
]);

static HEADER: Object = Object {
    name: "Header Object",
    section: "headers",
    required: &[],
    either: &["schema", "content"],
    keys: &[
        ("description", Shape::Text),
        ("required", Shape::Truth),
        ("deprecated", Shape::Truth),
        ("allowEmptyValue", Shape::Truth),
        ("style", Shape::Word(&["simple"])),
        ("explode", Shape::Truth),
        ("allowReserved", Shape::Truth),
        ("schema", Shape::Referable(&SCHEMA)),
        ("example", Shape::Any),
        ("examples", Shape::Map(&Shape::Referable(&EXAMPLE))),
        ("content", Shape::Map(&Shape::Object(&MEDIA_TYPE))),
    ],
};

static REQUEST_BODY: Object = Object {
    name: "Request Body Object",
    section: "requestBodies",
    required: &["content"],
    either: &[],
    keys: &[
        ("description", Shape::Text),
        ("content", Shape::Map(&Shape::Object(&MEDIA_TYPE))),
        ("required", Shape::Truth),
    ],
};

static MEDIA_TYPE: Object = Object {
    name: "Media Type Object",
    section: "",
    required: &[],
    either: &[],
    keys: &[
        ("schema", Shape::Referable(&SCHEMA)),
        ("example", Shape::Any),
        ("examples", Shape::Map(&Shape::Referable(&EXAMPLE))),
        ("encoding", Shape::Map(&Shape::Object(&ENCODING))),
    ],
};

static ENCODING: Object = Object {
    name: "Encoding Object",
    section: "",
    required: &[],
    either: &[],
    keys: &[
        ("contentType", Shape::Text),
        ("headers", Shape::Map(&Shape::Referable(&HEADER))),
        ("style", STYLE),
        ("explode", Shape::Truth),
        ("allowReserved", Shape::Truth),
    ],
};

static RESPONSE: Object = Object {
    name: "Response Object",
    section: "responses",
    required: &["description"],
    either: &[],
    keys: &[
        ("description", Shape::Text),
        ("headers", Shape::Map(&Shape::Referable(&HEADER))),
        ("content", Shape::Map(&Shape::Object(&MEDIA_TYPE))),
        ("links", Shape::Map(&Shape::Referable(&LINK))),
    ],
};

static EXAMPLE: Object = Object {
    name: "Example Object",
    section: "examples",
    required: &[],
    either: &[],
    keys: &[
        ("summary", Shape::Text),
        ("description", Shape::Text),
        ("value", Shape::Any),
        ("externalValue", Shape::Text),
    ],
};

static LINK: Object = Object {
    name: "Link Object",
    section: "links",
    required: &[],
    either: &[],
    keys: &[
        ("operationRef", Shape::Text),
        ("operationId", Shape::Text),
        ("parameters", Shape::Map(&Shape::Any)),
        ("requestBody", Shape::Any),
        ("description", Shape::Text),
        ("server", Shape::Object(&SERVER)),
    ],
};

static SCHEMA: Object = Object {
    name: "Schema Object",
    section: "schemas",
    required: &[],
    either: &[],
    keys: &[
        ("title", Shape::Text),
        ("multipleOf", Shape::Number),
        ("maximum", Shape::Number),
        ("exclusiveMaximum", Shape::Truth),
        ("minimum", Shape::Number),
        ("exclusiveMinimum", Shape::Truth),
        ("maxLength", Shape::Count),
        ("minLength", Shape::Count),
        ("pattern", Shape::Text),
        ("maxItems", Shape::Count),
        ("minItems", Shape::Count),
        ("uniqueItems", Shape::Truth),
        ("maxProperties", Shape::Count),
        ("minProperties", Shape::Count),
        ("required", Shape::NonEmpty(&Shape::Text)),
        ("enum", Shape::NonEmpty(&Shape::Any)),
        (
            "type",
            Shape::Word(&["object", "array", "string", "integer", "number", "boolean"]),
        ),
        ("allOf", Shape::NonEmpty(&Shape::Referable(&SCHEMA))),
        ("oneOf", Shape::NonEmpty(&Shape::Referable(&SCHEMA))),
        ("anyOf", Shape::NonEmpty(&Shape::Referable(&SCHEMA))),
        ("not", Shape::Referable(&SCHEMA)),
        ("items", Shape::Referable(&SCHEMA)),
        ("properties", Shape::Map(&Shape::Referable(&SCHEMA))),
        (
            "additionalProperties",
            Shape::TruthOr(&Shape::Referable(&SCHEMA)),
        ),
        ("description", Shape::Text),
        ("format", Shape::Text),
        ("default", Shape::Any),
        ("nullable", Shape::Truth),
        ("discriminator", Shape::Object(&DISCRIMINATOR)),
        ("readOnly", Shape::Truth),
        ("writeOnly", Shape::Truth),
        ("xml", Shape::Any),
        ("externalDocs", Shape::Object(&EXTERNAL_DOCS)),
        ("example", Shape::Any),
        ("deprecated", Shape::Truth),
    ],
};

static DISCRIMINATOR: Object = Object {
    name: "Discriminator Object",
    section: "",
    required: &["propertyName"],
    either: &[],
    keys: &[
        ("propertyName", Shape::Text),
        ("mapping", Shape::Map(&Shape::Text)),
    ],
};

static SECURITY_SCHEME: Object = Object {
    name: "Security Scheme Object",
    section: "securitySchemes",
    required: &["type"],
    either: &[],
    keys: &[
        (
            "type",
            Shape::Word(&["apiKey", "http", "oauth2", "openIdConnect"]),
        ),
        ("description", Shape::Text),
        ("name", Shape::Text),
        ("in", Shape::Word(&["query", "header", "cookie"])),
        ("scheme", Shape::Text),
        ("bearerFormat", Shape::Text),
        ("flows", Shape::Object(&OAUTH_FLOWS)),
        ("openIdConnectUrl", Shape::Text),
    ],
};

static OAUTH_FLOWS: Object = Object {
    name: "OAuth Flows Object",
    section: "",
    required: &[],
    either: &[],
    keys: &[
        ("implicit", Shape::Object(&OAUTH_FLOW)),
        ("password", Shape::Object(&OAUTH_FLOW)),
        ("clientCredentials", Shape::Object(&OAUTH_FLOW)),
        ("authorizationCode", Shape::Object(&OAUTH_FLOW)),
    ],
};

static OAUTH_FLOW: Object = Object {
    name: "OAuth Flow Object",
    section: "",
    required: &["scopes"],
    either: &[],
    keys: &[
        ("authorizationUrl", Shape::Text),
        ("tokenUrl", Shape::Text),
        ("refreshUrl", Shape::Text),
        ("scopes", Shape::Map(&Shape::Text)),
    ],
};

/// Finds every place where the document breaks the grammar, every reference that leads nowhere, and every component
/// that nothing refers to.
pub(crate) fn check(root: &Node) -> Vec<Mistake> {
    let mut checker = Checker {
        root,
        references: BTreeSet::new(),
        mistakes: Vec::new(),
    };
    checker.object(&DOCUMENT, root, "");
    checker.version();
    checker.unused();
    checker.mistakes
}

struct Checker<'a> {
    root: &'a Node,
    /// The pointers that references lead to.
    references: BTreeSet<String>,
    mistakes: Vec<Mistake>,
}

impl Checker<'_> {
    fn report(&mut self, pointer: &str, message: impl Into<String>) {
        let at = self.root.position(pointer);
        self.mistakes.push(Mistake::new(at, pointer, message));
    }

    fn version(&mut self) {
        let version = self.root.get("openapi").and_then(Node::text);
        if version.is_some_and(|version| !version.starts_with("3.0.")) {
            self.report(
                "/openapi",
                "expected a version 3.0.x: the generator reads no other",
            );
        }
    }

    fn unused(&mut self) {
        let sections = self.root.get("components").map_or(&[][..], Node::entries);
        for section in sections
            .iter()
            .filter(|section| section.key != "securitySchemes")
        {
            for component in section.value.entries() {
                let pointer =
                    child_pointer(&child_pointer("/components", &section.key), &component.key);
                if !self.references.contains(&pointer) && !component.key.starts_with("x-") {
                    self.report(
                        &pointer,
                        "nothing refers to this component; use it or delete it",
                    );
                }
            }
        }
    }

    fn object(&mut self, object: &'static Object, node: &Node, pointer: &str) {
        if !matches!(node.kind, Kind::Map(_)) {
            self.report(
                pointer,
                format!(
                    "expected a mapping ({}), found {}",
                    object.name,
                    node.kind_name()
                ),
            );
            return;
        }
        for key in object.required {
            if node.get(key).is_none() {
                self.report(
                    pointer,
                    format!("`{key}` is missing; the {} needs it", object.name),
                );
            }
        }
        if !object.either.is_empty() && object.either.iter().all(|key| node.get(key).is_none()) {
            let keys = object.either.join("` or `");
            self.report(pointer, format!("the {} needs `{keys}`", object.name));
        }
        for entry in node.entries() {
            let child = child_pointer(pointer, &entry.key);
            match object.keys.iter().find(|(key, _)| *key == entry.key) {
                Some((_, shape)) => self.value(shape, &entry.value, &child),
                None if entry.key.starts_with("x-") => {}
                None => {
                    let known = object.keys.iter().map(|(key, _)| *key);
                    let hint = closest(&entry.key, known)
                        .map(|key| format!("; did you mean `{key}`?"))
                        .unwrap_or_default();
                    self.report(
                        &child,
                        format!("the {} has no key `{}`{hint}", object.name, entry.key),
                    );
                }
            }
        }
    }

    fn value(&mut self, shape: &'static Shape, node: &Node, pointer: &str) {
        let expected = match (shape, &node.kind) {
            (Shape::Any, _)
            | (Shape::Text, Kind::Text(_))
            | (Shape::Truth | Shape::TruthOr(_), Kind::Bool(_))
            | (Shape::Number, Kind::Number(_)) => return,
            (Shape::Count, Kind::Number(number)) if number.is_u64() => return,
            (Shape::Word(words), Kind::Text(text)) => {
                if !words.contains(&text.as_str()) {
                    self.report(pointer, format!("`{text}` is none of {}", words.join(", ")));
                }
                return;
            }
            (Shape::Object(object), _) => return self.object(object, node, pointer),
            (Shape::Referable(object), _) => return self.referable(object, node, pointer),
            (Shape::TruthOr(other), Kind::Map(_)) => return self.value(other, node, pointer),
            (Shape::List(item) | Shape::NonEmpty(item), Kind::List(items)) => {
                if items.is_empty() && matches!(shape, Shape::NonEmpty(_)) {
                    self.report(pointer, "this list may not be empty");
                }
                for (index, node) in items.iter().enumerate() {
                    self.value(item, node, &child_pointer(pointer, &index.to_string()));
                }
                return;
            }
            (Shape::Map(value), Kind::Map(entries)) => {
                return self.map(value, entries, pointer, |_| None);
            }
            (Shape::Named(value), Kind::Map(entries)) => {
                return self.map(value, entries, pointer, |key| {
                    (!key
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)))
                    .then_some("a component's name may hold only letters, digits, `.`, `_` and `-`")
                });
            }
            (Shape::Paths(value), Kind::Map(entries)) => {
                return self.map(value, entries, pointer, |key| {
                    (!key.starts_with('/')).then_some("a path starts with `/`")
                });
            }
            (Shape::Responses(value), Kind::Map(entries)) => {
                if entries.is_empty() {
                    self.report(pointer, "an operation has at least one response");
                }
                return self.map(value, entries, pointer, |key| {
                    (!is_status(key)).then_some(
                        "expected a status code (100 to 599), a range such as 4XX, or `default`",
                    )
                });
            }
            (Shape::Text | Shape::Word(_), _) => "text",
            (Shape::Truth, _) => "true or false",
            (Shape::TruthOr(_), _) => "true, false or a mapping",
            (Shape::Number, _) => "a number",
            (Shape::Count, _) => "a whole number, 0 or more",
            (Shape::List(_) | Shape::NonEmpty(_), _) => "a list",
            (Shape::Map(_) | Shape::Named(_) | Shape::Paths(_) | Shape::Responses(_), _) => {
                "a mapping"
            }
        };
        self.report(
            pointer,
            format!("expected {expected}, found {}", node.kind_name()),
        );
    }

    fn map(
        &mut self,
        value: &'static Shape,
        entries: &[Entry],
        pointer: &str,
        wrong_key: impl Fn(&str) -> Option<&'static str>,
    ) {
        for entry in entries {
            let child = child_pointer(pointer, &entry.key);
            // Only paths, responses and components may be extended; a property may well be called `x-y`.
            match wrong_key(&entry.key) {
                Some(_) if entry.key.starts_with("x-") => continue,
                Some(message) => self.report(&child, message),
                None => {}
            }
            self.value(value, &entry.value, &child);
        }
    }

    fn referable(&mut self, object: &'static Object, node: &Node, pointer: &str) {
        let Some(reference) = node.get("$ref") else {
            return self.object(object, node, pointer);
        };
        for entry in node.entries().iter().filter(|entry| entry.key != "$ref") {
            let hint = if object.section == "schemas" {
                "; write `allOf` with the reference in it"
            } else {
                ""
            };
            self.report(
                &child_pointer(pointer, &entry.key),
                format!("OpenAPI ignores `{}` beside `$ref`{hint}", entry.key),
            );
        }
        let pointer = child_pointer(pointer, "$ref");
        let Some(text) = reference.text() else {
            self.report(
                &pointer,
                format!("expected text, found {}", reference.kind_name()),
            );
            return;
        };
        let prefix = format!("#/components/{}/", object.section);
        let Some(target) = text.strip_prefix('#').filter(|_| text.starts_with(&prefix)) else {
            self.report(
                &pointer,
                format!(
                    "`{text}` is no reference to a {}: expected `{prefix}` and a name",
                    object.name
                ),
            );
            return;
        };
        self.references.insert(target.to_owned());
        if self.root.find(target).is_none() {
            let section = self.root.find(&format!("/components/{}", object.section));
            let names = section
                .map_or(&[][..], Node::entries)
                .iter()
                .map(|entry| entry.key.as_str());
            let hint = closest(text.strip_prefix(&prefix).unwrap_or_default(), names)
                .map(|name| format!("; did you mean `{name}`?"))
                .unwrap_or_default();
            self.report(&pointer, format!("there is no `{text}`{hint}"));
        }
    }
}

/// A key on the way of a JSON Pointer, and the object of the specification that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step<'a> {
    /// The object's name in the specification, such as `Schema Object`.
    pub(crate) object: &'static str,
    /// The key as the pointer writes it.
    pub(crate) key: &'a str,
    /// How long the pointer is up to the end of this key.
    pub(crate) end: usize,
}

/// The keys of the specification's own objects on the way of a JSON Pointer, from the root. Names that the document
/// gives, such as that of a property, aren't among them, so that a property called `description` is told from a
/// description. The way ends where the specification takes any value.
pub(crate) fn trail(pointer: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let mut shape = &Shape::Object(&DOCUMENT);
    let mut end = 0;
    for key in pointer.split('/').skip(1) {
        end += 1 + key.len();
        let extended = key.starts_with("x-");
        shape = match shape {
            Shape::Object(object)
            | Shape::Referable(object)
            | Shape::TruthOr(Shape::Referable(object)) => {
                let object: &'static Object = object;
                steps.push(Step {
                    object: object.name,
                    key,
                    end,
                });
                match object.keys.iter().find(|(known, _)| *known == key) {
                    Some((_, shape)) => shape,
                    None => return steps,
                }
            }
            Shape::Paths(_) | Shape::Responses(_) | Shape::Named(_) if extended => {
                steps.push(Step {
                    object: "",
                    key,
                    end,
                });
                return steps;
            }
            Shape::Paths(inner)
            | Shape::Responses(inner)
            | Shape::Named(inner)
            | Shape::Map(inner)
            | Shape::List(inner)
            | Shape::NonEmpty(inner) => inner,
            _ => return steps,
        };
    }
    steps
}

fn is_status(key: &str) -> bool {
    let bytes = key.as_bytes();
    key == "default"
        || (bytes.len() == 3
            && (b'1'..=b'5').contains(&bytes[0])
            && (&bytes[1..] == b"XX" || bytes[1..].iter().all(u8::is_ascii_digit)))
}

/// The known word that `word` is most likely meant to be, if any is near enough.
fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (distance(word, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| distance * 3 <= candidate.len().max(3))
        .map(|(_, candidate)| candidate)
}

/// How many letters must be inserted, deleted or changed to get from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, yaml};
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let root = yaml::parse(text).unwrap();
        let mut all = check(&root);
        all.sort();
        all.iter().map(|mistake| mistake.in_file("f")).collect()
    }

    #[test]
    fn both_documents_follow_the_grammar() {
        assert_eq!(mistakes(fixture::PARCELS), [""; 0]);
        assert_eq!(mistakes(&fixture::payments()), [""; 0]);
    }

    #[test]
    fn one_changed_word_is_found_where_it_stands() {
        for (from, to, expected) in [
            (
                "      description: Who carries the parcel.",
                "      desciption: Who carries the parcel.",
                "/components/schemas/Carrier/desciption: the Schema Object has no key `desciption`; did you \
                 mean `description`?",
            ),
            (
                "required: [box, weight]\n      properties:\n        box: {$ref: '#/components/schemas/PlaceIdentifier'}",
                "required: true\n      properties:\n        box: {$ref: '#/components/schemas/PlaceIdentifier'}",
                "/components/schemas/BoxedItem/required: expected a list, found a truth value",
            ),
            (
                "          schema: {$ref: '#/components/schemas/Carrier'}",
                "          schema: {$ref: '#/components/schemas/Carier'}",
                "/paths/~1v1~1depots~1{depotId}~1parcels/get/parameters/0/schema/$ref: there is no \
                 `#/components/schemas/Carier`; did you mean `Carrier`?",
            ),
            (
                "      summary: List parcels.",
                "      summary: 12",
                "/paths/~1v1~1depots~1{depotId}~1parcels/get/summary: expected text, found a number",
            ),
            (
                "          in: query\n          description: Only",
                "          in: quary\n          description: Only",
                "/paths/~1v1~1depots~1{depotId}~1parcels/get/parameters/0/in: `quary` is none of path, query, \
                 header, cookie",
            ),
            (
                "openapi: 3.0.3",
                "openapi: 3.1.0",
                "/openapi: expected a version 3.0.x: the generator reads no other",
            ),
            (
                "        '201':",
                "        '2O1':",
                "/paths/~1v1~1depots~1{depotId}~1parcels/post/responses/2O1: expected a status code (100 to 599), \
                 a range such as 4XX, or `default`",
            ),
            (
                "        '400': {$ref: '#/components/responses/Failure'}\n        '401'",
                "        '400': {$ref: '#/components/schemas/ErrorReply'}\n        '401'",
                "/paths/~1v1~1depots~1{depotId}~1parcels/get/responses/400/$ref: \
                 `#/components/schemas/ErrorReply` is no reference to a Response Object: expected \
                 `#/components/responses/` and a name",
            ),
            (
                "        metadata: {$ref: '#/components/schemas/Metadata'}\n    UpdateParcel",
                "        metadata: {$ref: '#/components/schemas/Metadata', nullable: true}\n    UpdateParcel",
                "/components/schemas/SendParcel/properties/metadata/nullable: OpenAPI ignores `nullable` beside \
                 `$ref`; write `allOf` with the reference in it",
            ),
            (
                "    Carrier:\n",
                "    Spare: {type: string}\n    Carrier:\n",
                "/components/schemas/Spare: nothing refers to this component; use it or delete it",
            ),
        ] {
            let (text, line) = fixture::with(from, to);
            let found = mistakes(&text);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].starts_with(&format!("f:{line}:")),
                "line {line}: {found:?}"
            );
            assert!(found[0].ends_with(&format!(": {expected}")), "{found:?}");
        }
    }

    #[test]
    fn a_missing_key_is_reported_at_its_object() {
        let (text, _) = fixture::with(
            "          description: Only parcels of this carrier.\n          schema: {$ref: '#/components/schemas/Carrier'}\n",
            "          description: Only parcels of this carrier.\n",
        );
        assert_eq!(
            mistakes(&text),
            [
                "f:19:11: /paths/~1v1~1depots~1{depotId}~1parcels/get/parameters/0: the Parameter Object needs `schema` or \
                 `content`"
            ]
        );
        let (text, _) = fixture::with("  version: 1.0.0\n", "");
        assert_eq!(
            mistakes(&text),
            ["f:3:1: /info: `version` is missing; the Info Object needs it"]
        );
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let text = fixture::PARCELS
            .replace("summary: ", "sumary: ")
            .replace("nullable: true", "nullable: yes");
        let expected = fixture::PARCELS.matches("summary: ").count()
            + fixture::PARCELS.matches("nullable: true").count();
        assert_eq!(mistakes(&text).len(), expected);
    }

    #[test]
    fn extensions_are_allowed_and_properties_may_look_like_them() {
        let text = fixture::PARCELS
            .replace("paths:\n", "x-a: 1\npaths:\n  x-b: 2\n")
            .replace(
                "        labels:\n",
                "        x-label: {tipe: string}\n        labels:\n",
            );
        let found = mistakes(&text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found
                .iter()
                .all(|mistake| mistake.contains("/x-label/tipe: ")),
            "{found:?}"
        );
    }

    #[test]
    fn the_trail_of_a_pointer_tells_a_key_from_a_name() {
        let trail = |pointer| {
            super::trail(pointer)
                .iter()
                .map(|step| format!("{} {}", step.object, step.key))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            trail("/components/schemas/description/properties/description/description"),
            [
                "OpenAPI Object components",
                "Components Object schemas",
                "Schema Object properties",
                "Schema Object description"
            ]
        );
        assert_eq!(
            trail("/paths/~1a/get/responses/200/x-b/c").last().unwrap(),
            "Response Object x-b"
        );
        assert_eq!(trail("/paths/x-b/get").last().unwrap(), " x-b");
        assert_eq!(
            trail("/components/examples/A/value/x-b").last().unwrap(),
            "Example Object value"
        );
        assert_eq!(
            trail("/components/schemas/A/additionalProperties/type")
                .last()
                .unwrap(),
            "Schema Object type"
        );
    }

    #[test]
    fn distances() {
        assert_eq!(distance("desciption", "description"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(closest("zzz", ["type", "title"].into_iter()), None);
    }
}
