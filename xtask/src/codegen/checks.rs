//! Checks of what the document means: what its grammar allows, but the generator, the passes or common sense don't.
//!
//! Each check reports every place where its rule is broken. The rules that OpenAPI itself doesn't have are what the
//! passes rely on; each message says what to write instead.

use std::collections::{BTreeMap, BTreeSet};

use super::mistake::{Mistake, child_pointer};
use super::model::{Model, Operation, Role, SCHEMA_PREFIX, referenced_schema, resolve, subschemas};
use super::yaml::Node;

/// Runs all checks.
pub(crate) fn check(model: &Model<'_>) -> Vec<Mistake> {
    let mut checker = Checker {
        model,
        mistakes: Vec::new(),
    };
    checker.operation_ids();
    for operation in &model.operations {
        checker.parameters(operation);
        checker.responses(operation);
    }
    checker.schemas();
    checker.mistakes
}

struct Checker<'a> {
    model: &'a Model<'a>,
    mistakes: Vec<Mistake>,
}

impl<'a> Checker<'a> {
    fn report(&mut self, pointer: &str, message: impl Into<String>) {
        let at = self.model.root.position(pointer);
        self.mistakes.push(Mistake::new(at, pointer, message));
    }

    /// Each operation has an id of its own, of which the generated names are made.
    fn operation_ids(&mut self) {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for operation in &self.model.operations {
            let pointer = child_pointer(&operation.pointer, "operationId");
            if operation.node.get("operationId").is_none() {
                self.report(
                    &operation.pointer,
                    "`operationId` is missing; generated names are made of it",
                );
            } else if !is_snake_case(operation.id) {
                self.report(
                    &pointer,
                    format!(
                        "`{}`: expected lower-case words joined by `_`, such as `list_things`",
                        operation.id
                    ),
                );
            } else if let Some(first) = seen.insert(operation.id, &operation.pointer) {
                let line = self.model.root.position(first).line;
                self.report(
                    &pointer,
                    format!("`{}` is already the operation in line {line}", operation.id),
                );
            }
        }
    }

    /// The parameters in the path and those declared for it are the same; no other kind is declared that the generator
    /// refuses or sends wrongly.
    fn parameters(&mut self, operation: &Operation<'_>) {
        let in_path: Vec<&str> = template_names(operation.path);
        for (index, name) in in_path.iter().enumerate() {
            if in_path[..index].contains(name) {
                self.report(
                    &operation.pointer,
                    format!("`{{{name}}}` stands twice in the path"),
                );
            }
            let declared = operation
                .parameters
                .iter()
                .any(|parameter| parameter.location == "path" && parameter.name == *name);
            if !declared {
                self.report(
                    &operation.pointer,
                    format!(
                        "the path has `{{{name}}}`, and no parameter with `in: path` has this name"
                    ),
                );
            }
        }
        let mut seen = BTreeSet::new();
        for parameter in &operation.parameters {
            let name = parameter.name;
            if !seen.insert((parameter.location, name)) {
                self.report(
                    &parameter.pointer,
                    format!("a second parameter `{name}` in {}", parameter.location),
                );
            }
            match parameter.location {
                "path" => {
                    if !in_path.contains(&name) {
                        self.report(
                            &parameter.pointer,
                            format!("`{name}` is not in the path {}", operation.path),
                        );
                    }
                    if !parameter.required {
                        self.report(
                            &parameter.pointer,
                            format!("`{name}` is in the path; it needs `required: true`"),
                        );
                    }
                }
                "query" => {
                    let schema = parameter
                        .node
                        .get("schema")
                        .map(|node| resolve(self.model.root, node));
                    if schema
                        .and_then(|schema| schema.get("type"))
                        .and_then(Node::text)
                        == Some("array")
                    {
                        self.report(
                            &parameter.pointer,
                            format!(
                                "`{name}` is a list, which the generator sends as repeated parameters whatever the \
                                 document says; use text and describe how it is joined"
                            ),
                        );
                    }
                }
                _ => {}
            }
        }
    }

    /// The errors of an operation share one body: the generator gives each operation one error type.
    fn responses(&mut self, operation: &Operation<'_>) {
        let responses_pointer = child_pointer(&operation.pointer, "responses");
        let mut first: Option<(&str, &str)> = None;
        for entry in operation
            .node
            .get("responses")
            .map_or(&[][..], Node::entries)
        {
            let pointer = child_pointer(&responses_pointer, &entry.key);
            if entry.key == "default" {
                self.report(
                    &pointer,
                    "the generator takes `default` for a success; list the codes instead",
                );
            }
            if !entry.key.starts_with(['4', '5']) {
                continue;
            }
            let body = resolve(self.model.root, &entry.value)
                .get("content")
                .and_then(|content| content.get("application/json"))
                .and_then(|media| media.get("schema"))
                .and_then(referenced_schema);
            match (body, first) {
                (None, _) => self.report(
                    &pointer,
                    "an error without a JSON body whose schema is a reference; all errors of an operation share one",
                ),
                (Some(body), None) => first = Some((&entry.key, body)),
                (Some(body), Some((code, expected))) if body != expected => self.report(
                    &pointer,
                    format!("the body is {body}, but that of {code} is {expected}; all errors of an operation share one"),
                ),
                _ => {}
            }
        }
    }

    fn schemas(&mut self) {
        for entry in self.model.schemas() {
            let pointer = child_pointer("/components/schemas", &entry.key);
            let role = self.model.role(&entry.key);
            if !is_upper_camel_case(&entry.key) {
                self.report(
                    &pointer,
                    format!(
                        "`{}`: expected words joined with a capital each, such as `InvoiceId`, as the generator renames all \
                         others",
                        entry.key
                    ),
                );
            }
            if entry.value.get("nullable").and_then(Node::truth) == Some(true) {
                self.report(
                    &child_pointer(&pointer, "nullable"),
                    "a component that is null by itself; write `nullable` where it is used",
                );
            }
            self.component(&entry.key, &entry.value, &role, &pointer);
            self.schema(&entry.value, &role, &pointer, Inherited::default());
        }
        for operation in &self.model.operations {
            self.inline(operation.node, &operation.pointer);
        }
    }

    /// What holds for a component as a whole.
    fn component(&mut self, name: &str, schema: &Node, role: &Role, pointer: &str) {
        let closed = schema.get("additionalProperties").and_then(Node::truth) == Some(false);
        let is_object = schema.get("properties").is_some();
        let is_enum = schema.get("enum").is_some();
        let is_union = schema.get("oneOf").is_some();
        if let (Some(request), Some(reply)) = (&role.request, &role.reply)
            && (is_object || is_enum || is_union)
        {
            self.report(
                pointer,
                format!(
                    "the requests of {request} and the replies of {reply} share {name}; requests are closed and replies \
                     are open, so each needs a schema of its own"
                ),
            );
        } else if is_object && role.request.is_some() && !closed {
            self.report(
                pointer,
                "an object of requests without `additionalProperties: false`; an unknown property would be lost",
            );
        } else if is_object && role.reply.is_some() && closed {
            self.report(
                &child_pointer(pointer, "additionalProperties"),
                "a closed object in replies; clients must accept properties that they don't know",
            );
        }
        if let Some(old_values) = schema.get("x-deprecated-values") {
            self.deprecated_values(
                schema,
                old_values,
                role,
                &child_pointer(pointer, "x-deprecated-values"),
            );
        }
        for entry in schema.get("properties").map_or(&[][..], Node::entries) {
            let Some(keeps) = entry.value.get("x-null-keeps") else {
                continue;
            };
            let truth = |node: Option<&Node>| node.and_then(Node::truth) == Some(true);
            if !truth(Some(keeps)) || !truth(entry.value.get("nullable")) || !role.patch {
                let pointer = child_pointer(&child_pointer(pointer, "properties"), &entry.key)
                    + "/x-null-keeps";
                self.report(
                    &pointer,
                    "expected `true`, on a nullable property of an update: that null leaves it as it is",
                );
            }
        }
    }

    fn deprecated_values(&mut self, schema: &Node, old_values: &Node, role: &Role, pointer: &str) {
        if role.reply.is_some() {
            self.report(
                pointer,
                "deprecated spellings in replies would be rewritten; list them in `enum`",
            );
        }
        let values: Vec<&str> = enum_texts(schema);
        for entry in old_values.entries() {
            let pointer = child_pointer(pointer, &entry.key);
            if values.contains(&entry.key.as_str()) {
                self.report(&pointer, format!("`{}` stands in `enum` too", entry.key));
            }
            if !entry.value.text().is_some_and(|new| values.contains(&new)) {
                self.report(
                    &pointer,
                    "expected the value of `enum` that this spelling means now",
                );
            }
        }
    }

    /// What holds for a schema wherever it stands.
    fn schema(&mut self, schema: &Node, role: &Role, pointer: &str, inherited: Inherited<'_>) {
        let own: BTreeSet<&str> = self.property_names(schema, 0);
        let known: BTreeSet<&str> = own.union(&inherited.properties).copied().collect();
        self.required(schema, &known, pointer);
        self.kinds(schema, pointer);
        if let Some(discriminator) = schema.get("discriminator") {
            self.discriminator(schema, discriminator, pointer);
        } else if schema.get("oneOf").is_some() {
            self.titles(schema, pointer);
        }
        if schema.get("anyOf").is_some() {
            self.report(
                &child_pointer(pointer, "anyOf"),
                "the generator makes a type of this that can never be read; use `oneOf`",
            );
        }
        let depth = inherited.depth + 1;
        if depth > 1 {
            self.unnamed(schema, role, pointer);
        }
        for (step, inner) in subschemas(schema) {
            // Members of `allOf` may require each other's properties, and an inline member is no type of its own.
            let (properties, depth) = if step.starts_with("/allOf/") {
                (known.clone(), depth - 1)
            } else {
                (BTreeSet::new(), depth)
            };
            let inherited = Inherited { properties, depth };
            self.schema(inner, role, &format!("{pointer}{step}"), inherited);
        }
    }

    fn required(&mut self, schema: &Node, known: &BTreeSet<&str>, pointer: &str) {
        let mut seen = BTreeSet::new();
        for (index, node) in schema
            .get("required")
            .map_or(&[][..], Node::items)
            .iter()
            .enumerate()
        {
            let Some(name) = node.text() else { continue };
            let pointer = format!("{pointer}/required/{index}");
            if !seen.insert(name) {
                self.report(&pointer, format!("`{name}` stands here twice"));
            } else if !known.contains(name) {
                self.report(
                    &pointer,
                    format!(
                        "names `{name}`, which is not a property; the properties are {}",
                        list(known)
                    ),
                );
            }
        }
    }

    /// Types that would come out as something else than they look.
    fn kinds(&mut self, schema: &Node, pointer: &str) {
        let kind = schema.get("type").and_then(Node::text);
        let format = schema.get("format").and_then(Node::text);
        if kind == Some("integer") && !matches!(format, Some("int64" | "int32")) {
            self.report(
                pointer,
                "an integer without `format: int64`; the generator would choose a type by its limits",
            );
        }
        if kind == Some("array") && schema.get("items").is_none() {
            self.report(pointer, "a list without `items`");
        }
        let anything = schema.entries().iter().all(|entry| {
            matches!(
                entry.key.as_str(),
                "nullable" | "description" | "example" | "title" | "deprecated"
            )
        });
        if schema.get("nullable").is_some() && kind.is_none() && !anything {
            self.report(
                &child_pointer(pointer, "nullable"),
                "OpenAPI takes `nullable` only beside a `type`; add the type of what is nullable",
            );
        }
        let texts = enum_texts(schema);
        let mut seen = BTreeSet::new();
        if let Some(twice) = texts.iter().find(|text| !seen.insert(**text)) {
            self.report(
                &child_pointer(pointer, "enum"),
                format!("`{twice}` stands here twice"),
            );
        }
        if schema.get("enum").map_or(&[][..], Node::items).len() != texts.len() {
            self.report(
                &child_pointer(pointer, "enum"),
                "only enumerations of text are supported; put text in quotes if it looks like something else",
            );
        }
    }

    /// A discriminator's mapping covers the members of `oneOf`, and each member requires the property with that value.
    fn discriminator(&mut self, schema: &Node, discriminator: &Node, pointer: &str) {
        let root = self.model.root;
        let discriminator_pointer = child_pointer(pointer, "discriminator");
        let property = discriminator
            .get("propertyName")
            .and_then(Node::text)
            .unwrap_or_default();
        let members: Vec<Option<&str>> = schema
            .get("oneOf")
            .map_or(&[][..], Node::items)
            .iter()
            .map(referenced_schema)
            .collect();
        if members.is_empty() {
            self.report(
                &discriminator_pointer,
                "a discriminator without `oneOf`, which nothing here makes use of",
            );
        }
        let mapping = discriminator.get("mapping").map_or(&[][..], Node::entries);
        for entry in mapping {
            let pointer = child_pointer(
                &child_pointer(&discriminator_pointer, "mapping"),
                &entry.key,
            );
            let target = entry.value.text().unwrap_or_default();
            let Some(name) = target.strip_prefix(SCHEMA_PREFIX) else {
                self.report(
                    &pointer,
                    format!("`{target}`: expected `{SCHEMA_PREFIX}` and a name"),
                );
                continue;
            };
            let Some(member) = root.find(&child_pointer("/components/schemas", name)) else {
                self.report(&pointer, format!("there is no `{target}`"));
                continue;
            };
            if !members.contains(&Some(name)) {
                self.report(&pointer, format!("{name} is not a member of `oneOf`"));
                continue;
            }
            let value = member
                .get("properties")
                .and_then(|properties| properties.get(property));
            if value.map(enum_texts) != Some(vec![entry.key.as_str()])
                || !is_required(member, property)
            {
                self.report(
                    &pointer,
                    format!(
                        "{name} doesn't require `{property}` with `enum: [{}]`",
                        entry.key
                    ),
                );
            }
        }
        for (index, member) in members.iter().enumerate() {
            let pointer = format!("{pointer}/oneOf/{index}");
            match member {
                None => self.report(
                    &pointer,
                    "a member of a discriminated `oneOf` must be a reference",
                ),
                Some(name) => {
                    let target = format!("{SCHEMA_PREFIX}{name}");
                    if !mapping
                        .iter()
                        .any(|entry| entry.value.text() == Some(&target))
                    {
                        self.report(
                            &pointer,
                            format!("the discriminator's mapping has no value for {name}"),
                        );
                    }
                }
            }
        }
    }

    /// Members of a `oneOf` without discriminator have titles, which name the variants.
    fn titles(&mut self, schema: &Node, pointer: &str) {
        for (index, member) in schema
            .get("oneOf")
            .map_or(&[][..], Node::items)
            .iter()
            .enumerate()
        {
            let reference = member.get("allOf").map_or(&[][..], Node::items);
            let titled = member
                .get("title")
                .and_then(Node::text)
                .is_some_and(is_upper_camel_case);
            if !titled || reference.len() != 1 || referenced_schema(&reference[0]).is_none() {
                self.report(
                    &format!("{pointer}/oneOf/{index}"),
                    "expected `title: VariantName` and `allOf` with one reference: the title names the variant",
                );
            }
        }
    }

    /// Objects and enumerations that are not components would get names that nobody chose, and no pass would find them.
    fn unnamed(&mut self, schema: &Node, role: &Role, pointer: &str) {
        if schema.get("properties").is_some() {
            self.report(
                pointer,
                "an object without a name; make it a component and refer to it",
            );
        }
        if role.reply.is_some() && schema.get("enum").is_some() {
            // The one-value enumeration that tells the members of a union apart is not a type.
            let tag = enum_texts(schema).len() == 1;
            if !tag {
                self.report(
                    pointer,
                    "an enumeration without a name; make it a component and refer to it",
                );
            }
        }
    }

    /// The schemas in an operation are references, or plain values.
    fn inline(&mut self, operation: &Node, pointer: &str) {
        let bodies = operation
            .get("requestBody")
            .into_iter()
            .map(|body| (body, "/requestBody".to_owned()));
        let responses = operation.get("responses").map_or(&[][..], Node::entries);
        let responses = responses
            .iter()
            .map(|entry| (&entry.value, child_pointer("/responses", &entry.key)));
        for (body, step) in bodies.chain(responses) {
            for media in body.get("content").map_or(&[][..], Node::entries) {
                let Some(schema) = media.value.get("schema") else {
                    continue;
                };
                if schema.get("properties").is_some() || schema.get("oneOf").is_some() {
                    let content = child_pointer(&format!("{pointer}{step}/content"), &media.key);
                    self.report(
                        &child_pointer(&content, "schema"),
                        "an object or union without a name; make it a component and refer to it",
                    );
                }
            }
        }
    }

    /// The names of a schema's properties, those of its `allOf` members included.
    fn property_names<'n>(&self, schema: &'n Node, depth: usize) -> BTreeSet<&'n str>
    where
        'a: 'n,
    {
        let mut names: BTreeSet<&str> = schema
            .get("properties")
            .map_or(&[][..], Node::entries)
            .iter()
            .map(|entry| entry.key.as_str())
            .collect();
        if depth < 16 {
            for member in schema.get("allOf").map_or(&[][..], Node::items) {
                names.extend(self.property_names(resolve(self.model.root, member), depth + 1));
            }
        }
        names
    }
}

/// What a schema gets from the one around it.
#[derive(Default)]
struct Inherited<'n> {
    /// The properties of the other members of the same `allOf`.
    properties: BTreeSet<&'n str>,
    /// How deep it stands in its component.
    depth: usize,
}

fn is_required(schema: &Node, property: &str) -> bool {
    let required = schema.get("required").map_or(&[][..], Node::items);
    required.iter().any(|name| name.text() == Some(property))
}

fn enum_texts(schema: &Node) -> Vec<&str> {
    let values = schema.get("enum").map_or(&[][..], Node::items);
    values.iter().filter_map(Node::text).collect()
}

/// The names between braces in a path.
fn template_names(path: &str) -> Vec<&str> {
    path.split('{')
        .skip(1)
        .filter_map(|part| part.split_once('}'))
        .map(|(name, _)| name)
        .collect()
}

fn is_snake_case(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('_')
        && !name.contains("__")
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn is_upper_camel_case(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
        && !name
            .as_bytes()
            .windows(2)
            .any(|pair| pair.iter().all(u8::is_ascii_uppercase))
}

fn list(names: &BTreeSet<&str>) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, yaml};
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let root = yaml::parse(text).unwrap();
        let mut all = check(&Model::new(&root));
        all.sort();
        all.iter().map(|mistake| mistake.in_file("f")).collect()
    }

    /// Changes one part of the fixture and expects just these mistakes, in the order of the file, one of them in the
    /// line of the change.
    #[track_caller]
    fn expect(from: &str, to: &str, expected: &[&str]) {
        let (text, line) = fixture::with(from, to);
        let found = mistakes(&text);
        let same = found.len() == expected.len()
            && found
                .iter()
                .zip(expected)
                .all(|(found, expected)| found.contains(expected));
        assert!(same, "expected {expected:#?}, found {found:#?}");
        let prefix = format!("f:{line}:");
        assert!(
            found.iter().any(|mistake| mistake.starts_with(&prefix)),
            "expected one in line {line}, found {found:#?}"
        );
    }

    #[test]
    fn both_documents_pass() {
        assert_eq!(mistakes(fixture::PARCELS), [""; 0]);
        assert_eq!(mistakes(&fixture::payments()), [""; 0]);
    }

    #[test]
    fn operation_ids() {
        expect(
            "operationId: send_parcel",
            "operationId: list_parcels",
            &["/post/operationId: `list_parcels` is already the operation in line 15"],
        );
        expect(
            "operationId: send_parcel",
            "operationId: sendParcel",
            &[
                "/post/operationId: `sendParcel`: expected lower-case words joined by `_`, such as `list_things`",
            ],
        );
        let (text, line) = fixture::with("      operationId: send_parcel\n", "");
        assert_eq!(
            mistakes(&text),
            [format!(
                "f:{}:5: /paths/~1v1~1depots~1{{depotId}}~1parcels/post: `operationId` is missing; generated names are \
                 made of it",
                line - 1
            )]
        );
    }

    #[test]
    fn path_parameters() {
        expect(
            "      - name: parcelId\n",
            "      - name: parcelID\n",
            &[
                "/parameters/1: `parcelID` is not in the path /v1/depots/{depotId}/parcels/{parcelId}",
                "/patch: the path has `{parcelId}`, and no parameter with `in: path` has this name",
            ],
        );
        expect(
            "      - name: parcelId\n        in: path\n        required: true\n",
            "      - in: path\n        name: parcelId\n        required: false\n",
            &["/parameters/1: `parcelId` is in the path; it needs `required: true`"],
        );
        expect(
            "        - name: sent_since\n",
            "        - name: carrier\n",
            &["/get/parameters/1: a second parameter `carrier` in query"],
        );
        expect(
            "        - name: sent_since\n          in: query\n          schema: {type: string, format: date-time}\n",
            "        - in: query\n          name: sent_since\n          schema: {type: array, items: {type: string}}\n",
            &[
                "/get/parameters/1: `sent_since` is a list, which the generator sends as repeated parameters",
            ],
        );
    }

    #[test]
    fn error_bodies() {
        let failure = "        '500': {$ref: '#/components/responses/Failure'}\n";
        expect(
            failure,
            "        '500': {description: Broken.}\n",
            &["/get/responses/500: an error without a JSON body whose schema is a reference"],
        );
        expect(
            failure,
            "        default: {$ref: '#/components/responses/Failure'}\n",
            &[
                "/get/responses/default: the generator takes `default` for a success; list the codes instead",
            ],
        );
        let other = "{content: {application/json: {schema: {$ref: '#/components/schemas/ParcelPage'}}}, description: x}";
        expect(
            failure,
            &format!("        '500': {other}\n"),
            &[
                "/get/responses/500: the body is ParcelPage, but that of 400 is ErrorReply; all errors of an operation",
            ],
        );
    }

    #[test]
    fn required_names() {
        expect(
            "      required: [carrier, items, sent_at]",
            "      required: [carrier, itens, items, items, sent_at]",
            &[
                "/components/schemas/SendParcel/required/1: names `itens`, which is not a property; the properties are \
                 carrier, destination, external_id, items, labels, metadata, sent_at",
                "/components/schemas/SendParcel/required/3: `items` stands here twice",
            ],
        );
        // A member of an `allOf` may require what another one has.
        let requires = |name: &str| {
            let (text, _) = fixture::with(
                "    Paging:\n",
                &format!(
                    "    Paging:\n      allOf:\n        - {{$ref: '#/components/schemas/Pager'}}\n        - {{required: \
                     [{name}]}}\n    Pager:\n"
                ),
            );
            mistakes(&text)
        };
        assert_eq!(requires("cursor"), [""; 0]);
        let found = requires("curser");
        assert_eq!(found.len(), 1);
        assert!(
            found[0].contains("/Paging/allOf/1/required/0: names `curser`"),
            "{found:?}"
        );
    }

    #[test]
    fn discriminators() {
        let mapped = "          PlaceName: '#/components/schemas/PlaceByName'\n";
        let place = "/components/schemas/PlaceIdentifier";
        expect(
            mapped,
            "          PlaceName: '#/components/schemas/PlaceByNames'\n",
            &[
                &format!(
                    "{place}/oneOf/1: the discriminator's mapping has no value for PlaceByName"
                ),
                &format!(
                    "{place}/discriminator/mapping/PlaceName: there is no `#/components/schemas/PlaceByNames`"
                ),
            ],
        );
        expect(
            mapped,
            &format!("{mapped}          Item: '#/components/schemas/Item'\n"),
            &["/discriminator/mapping/Item: Item is not a member of `oneOf`"],
        );
        expect(
            mapped,
            "          NameOfPlace: '#/components/schemas/PlaceByName'\n",
            &[
                "/mapping/NameOfPlace: PlaceByName doesn't require `type` with `enum: [NameOfPlace]`",
            ],
        );
        expect(
            mapped,
            "          PlaceName: PlaceByName\n",
            &[
                "/oneOf/1: the discriminator's mapping has no value for PlaceByName",
                "/mapping/PlaceName: `PlaceByName`: expected `#/components/schemas/` and a name",
            ],
        );
        expect(
            "    Carrier:\n",
            "    Carrier:\n      discriminator: {propertyName: type}\n",
            &["/components/schemas/Carrier/discriminator: a discriminator without `oneOf`"],
        );
    }

    #[test]
    fn unions_without_discriminator_have_titles() {
        expect(
            "        - title: Loose\n          allOf: [{$ref: '#/components/schemas/LooseItem'}]\n",
            "        - $ref: '#/components/schemas/LooseItem'\n",
            &[
                "/components/schemas/Item/oneOf/1: expected `title: VariantName` and `allOf` with one reference",
            ],
        );
    }

    #[test]
    fn requests_and_replies_share_only_what_is_neither_closed_nor_open() {
        let (text, _) = fixture::with(
            "carrier: {$ref: '#/components/schemas/CarrierName'}",
            "carrier: {$ref: '#/components/schemas/Carrier'}",
        );
        let found = mistakes(&text);
        assert!(
            found[0].contains(
                "/components/schemas/Carrier: the requests of list_parcels and the replies of list_parcels share Carrier;"
            ),
            "{found:?}"
        );
        // The values of `x-deprecated-values` may not be in replies either. Nothing is said of Metadata, which both share.
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn requests_are_closed_and_replies_open() {
        expect(
            "    UpdateParcel:\n      description: A change of a parcel.\n      type: object\n      additionalProperties: false\n",
            "    UpdateParcel: # open\n      description: A change of a parcel.\n      type: object\n",
            &[
                "/components/schemas/UpdateParcel: an object of requests without `additionalProperties: false`",
            ],
        );
        expect(
            "    Paging:\n      type: object\n",
            "    Paging:\n      additionalProperties: false\n      type: object\n",
            &["/components/schemas/Paging/additionalProperties: a closed object in replies"],
        );
    }

    #[test]
    fn deprecated_values() {
        let values = "      x-deprecated-values: {BICYCLE: BIKE, Other: OTHER}\n";
        expect(
            values,
            "      x-deprecated-values: {BICYCLE: BYKE, OTHER: BIKE, Other: OTHER}\n",
            &[
                "/x-deprecated-values/BICYCLE: expected the value of `enum` that this spelling means now",
                "/x-deprecated-values/OTHER: `OTHER` stands in `enum` too",
            ],
        );
        expect(
            "      description: Who carried the parcel.\n",
            "      x-deprecated-values: {Other: OTHER}\n",
            &[
                "/CarrierName/x-deprecated-values: deprecated spellings in replies would be rewritten; list them in `enum`",
            ],
        );
    }

    #[test]
    fn null_keeps_only_in_an_update() {
        let sent_at = "        sent_at: {type: string, format: date-time, nullable: true, x-null-keeps: true}\n";
        let note = "        note: {type: string, nullable: true}\n";
        for (from, to, place) in [
            (
                sent_at,
                sent_at.replace("nullable: true, ", ""),
                "/UpdateParcel/properties/sent_at",
            ),
            (
                sent_at,
                sent_at.replace("keeps: true", "keeps: false"),
                "/UpdateParcel/properties/sent_at",
            ),
            (
                note,
                note.replace("true}", "true, x-null-keeps: true}"),
                "/LooseItem/properties/note",
            ),
        ] {
            let mistake = format!(
                "{place}/x-null-keeps: expected `true`, on a nullable property of an update: that null leaves it as it is"
            );
            expect(from, &to, &[&mistake]);
        }
    }

    #[test]
    fn types_come_out_as_they_look() {
        let price = "        price: {type: integer, format: int64, description: In cents.}\n";
        for (to, expected) in [
            (
                "{type: integer, minimum: 1}",
                "/price: an integer without `format: int64`",
            ),
            ("{type: array}", "/price: a list without `items`"),
            (
                "{nullable: true, allOf: [{$ref: '#/components/schemas/Paging'}]}",
                "/price/nullable: OpenAPI takes `nullable` only beside a `type`",
            ),
            (
                "{anyOf: [{type: string}, {type: boolean}]}",
                "/price/anyOf: the generator makes a type of this that can never be read",
            ),
            (
                "{type: string, enum: [A, B]}",
                "/price: an enumeration without a name",
            ),
            (
                "{type: object, properties: {a: {type: string}}}",
                "/price: an object without a name",
            ),
        ] {
            expect(price, &format!("        price: {to}\n"), &[expected]);
        }
        expect(
            "enum: [TRAIN, BIKE, OTHER]\n      x-deprecated",
            "enum: [TRAIN, BIKE, OTHER, BIKE, on, no, 1]\n      x-deprecated",
            &[
                "/components/schemas/Carrier/enum: `BIKE` stands here twice",
                "/components/schemas/Carrier/enum: only enumerations of text are supported",
            ],
        );
    }

    #[test]
    fn components_have_names_that_the_generator_keeps() {
        let text = fixture::PARCELS.replace("ApiError", "APIError");
        let found = mistakes(&text);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].contains(
                "/components/schemas/APIError: `APIError`: expected words joined with a capital"
            ),
            "{found:?}"
        );
        expect(
            "    Paging:\n      type: object\n",
            "    Paging:\n      nullable: true\n      type: object\n",
            &["/components/schemas/Paging/nullable: a component that is null by itself"],
        );
    }

    #[test]
    fn bodies_are_named() {
        expect(
            "            schema: {$ref: '#/components/schemas/SendParcel'}",
            "            schema: {type: object, properties: {a: {type: string}}}",
            &[
                "/post/requestBody/content/application~1json/schema: an object or union without a name",
            ],
        );
    }
}
