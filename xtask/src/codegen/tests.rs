//! Tests of the whole way from a document to the files.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::*;

fn generate(text: &str) -> Generated {
    match from_document(SPEC, text) {
        Ok(generated) => generated,
        Err(mistakes) => panic!("{mistakes}"),
    }
}

fn contents<'a>(generated: &'a Generated, path: &str) -> &'a str {
    let output = generated.outputs.iter().find(|output| output.path == path);
    &output.expect("the file is generated").contents
}

#[test]
fn the_same_document_makes_the_same_bytes() {
    let text = fixture::payments();
    let first = generate(&text);
    assert_eq!(first.outputs, generate(&text).outputs);
    // Line ends make no difference either, so that a checkout on Windows agrees.
    assert_eq!(first.outputs, generate(&text.replace('\n', "\r\n")).outputs);
}

#[test]
fn files_start_with_the_command_and_the_hash_of_the_document() {
    let text = fixture::payments();
    let outputs = generate(&text).outputs;
    // JSON takes no comments.
    for output in outputs.iter().filter(|output| output.path != NEWER) {
        let mut lines = output.contents.lines();
        let banner = lines.next().unwrap();
        assert!(banner.starts_with(TASK.banner.unwrap()), "{banner}");
        assert!(
            banner.contains("`cargo xtask codegen` from spec/layer-payments.yaml"),
            "{banner}"
        );
        let hash = lines
            .next()
            .unwrap()
            .strip_prefix("// sha256 of the document: ")
            .unwrap();
        assert_eq!(hash, hex(&Sha256::digest(text.as_bytes())));
    }
}

#[test]
fn a_changed_description_changes_code_and_hash() {
    let (text, _) = fixture::with("description: In cents.", "description: In whole cents.");
    let (before, after) = (generate(fixture::PARCELS), generate(&text));
    assert!(!contents(&before, TYPES).contains("/// In whole cents."));
    assert!(contents(&after, TYPES).contains("/// In whole cents."));
    assert_ne!(
        contents(&before, CLIENT),
        contents(&after, CLIENT),
        "the hash differs"
    );
}

#[test]
fn mistakes_of_all_checks_are_reported_together_in_the_order_of_the_file() {
    let text = fixture::PARCELS
        .replace("summary: Send a parcel.", "sumary: Send a parcel.")
        .replace("required: [has_more]", "required: [have_more]");
    let error = from_document("spec.yaml", &text).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 3, "{error}");
    assert!(
        lines[0].contains("has no key `sumary`; did you mean `summary`?"),
        "{error}"
    );
    assert!(
        lines[1].ends_with(
            ": /components/schemas/Paging/required/0: names `have_more`, which is not a property; the properties are \
             cursor, has_more"
        ),
        "{error}"
    );
    assert_eq!(lines[2], "2 mistakes in spec.yaml; nothing was generated");
}

#[test]
fn broken_yaml_is_reported_and_not_more() {
    let (text, line) = fixture::with("  title: Parcels", "  title: [Parcels");
    let error = from_document("spec.yaml", &text).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("spec.yaml:{}:", line + 1)),
        "{error}"
    );
    assert!(error.contains("not YAML"), "{error}");
    assert_eq!(error.lines().count(), 2, "{error}");
}

/// What each pass has to do in a document, counted in the document itself without any of the generator's code but the
/// reader of YAML. If an upgrade of progenitor changes the shape of its code, a pass that silently does less shows here.
fn expected_counts(text: &str) -> BTreeMap<&'static str, usize> {
    let document = yaml::parse(text).unwrap().to_json();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut requests = BTreeSet::new();
    let mut replies = BTreeSet::new();
    let mut patches = BTreeSet::new();
    let mut envelopes = BTreeSet::new();
    let mut error_codes = 0;
    let mut operations = 0;
    let mut list_bodies = 0;
    let mut path_ids = 0;
    let mut statuses = 0;
    for path in document["paths"].as_object().unwrap().values() {
        for (method, operation) in path
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, _)| *key != "parameters")
        {
            operations += 1;
            let of_path = path.get("parameters").and_then(Value::as_array);
            let of_operation = operation.get("parameters").and_then(Value::as_array);
            path_ids += of_path
                .into_iter()
                .chain(of_operation)
                .flatten()
                .map(|parameter| match parameter["$ref"].as_str() {
                    Some(reference) => document.pointer(&reference[1..]).unwrap(),
                    None => parameter,
                })
                .filter(|parameter| {
                    parameter["in"] == "path" && parameter["schema"]["format"] == "uuid"
                })
                .count();
            let codes: BTreeSet<String> = operation["responses"]
                .as_object()
                .unwrap()
                .keys()
                // Errors are told apart by their first digit alone.
                .map(|code| {
                    if code.starts_with('2') {
                        code.clone()
                    } else {
                        code[..1].to_owned()
                    }
                })
                .collect();
            statuses += codes.len();
            requests.extend(references(&operation["parameters"]));
            let body = references(&operation["requestBody"]);
            list_bodies += body
                .iter()
                .filter(|name| schemas[*name]["type"] == "array")
                .count();
            if method == "patch" {
                patches.extend(body.clone());
            }
            requests.extend(body);
            for (code, response) in operation["responses"].as_object().unwrap() {
                let mut found = references(response);
                for name in component_references(response, "responses") {
                    found.extend(references(&document["components"]["responses"][&name]));
                }
                if code.starts_with('2') {
                    envelopes.extend(found.clone());
                } else {
                    error_codes += 1;
                }
                replies.extend(found);
            }
        }
    }
    let requests = closure(requests, schemas);
    let replies: BTreeSet<String> = closure(replies, schemas)
        .difference(&requests)
        .cloned()
        .collect();

    let is = |name: &String, key: &str| schemas[name].get(key).is_some();
    let members: BTreeSet<String> = schemas
        .values()
        .filter(|schema| schema.get("discriminator").is_some())
        .flat_map(|schema| references(&schema["oneOf"]))
        .collect();
    let optional = |name: &String| -> Vec<Value> {
        let schema = &schemas[name];
        let required = schema
            .get("required")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        schema["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| !required.contains(&Value::String((*name).clone())))
            .map(|(_, property)| property.clone())
            .collect()
    };
    let count = |names: &mut dyn Iterator<Item = &String>| names.count();
    let objects: Vec<&String> = schemas
        .keys()
        .filter(|name| is(name, "properties"))
        .collect();
    BTreeMap::from([
        ("merge_error_statuses", error_codes),
        ("inline_discriminated_members", members.len()),
        (
            "optional_lists",
            objects
                .iter()
                .flat_map(|name| optional(name))
                .filter(|property| property["type"] == "array" && property["nullable"] != true)
                .count(),
        ),
        (
            "three_state_fields",
            replies
                .iter()
                .chain(&patches)
                .filter(|name| is(name, "properties"))
                .flat_map(optional)
                .filter(|property| property["nullable"] == true)
                .count(),
        ),
        (
            "refuse_null",
            requests
                .iter()
                .filter(|name| is(name, "properties") && !members.contains(*name))
                .flat_map(optional)
                .filter(|property| property["nullable"] != true)
                .count(),
        ),
        (
            "null_lists",
            replies
                .iter()
                .filter(|name| !envelopes.contains(*name))
                .flat_map(|name| {
                    let required = schemas[name]["required"].as_array().into_iter().flatten();
                    required.map(|key| &schemas[name]["properties"][key.as_str().unwrap()])
                })
                .filter(|property| property["type"] == "array" && property["nullable"] != true)
                .count(),
        ),
        (
            "deprecated_enum_values",
            schemas
                .values()
                .filter_map(|schema| schema["x-deprecated-values"].as_object())
                .map(Map::len)
                .sum(),
        ),
        (
            "name_expected_values",
            count(&mut schemas.keys().filter(|name| is(name, "enum"))),
        ),
        (
            "keep_unknown_fields",
            count(&mut replies.iter().filter(|name| is(name, "properties"))),
        ),
        (
            "open_unions",
            count(&mut replies.iter().filter(|name| is(name, "oneOf"))),
        ),
        (
            "open_enums",
            count(&mut replies.iter().filter(|name| is(name, "enum"))),
        ),
        ("derive_json_schema", schemas.len() - members.len()),
        ("tolerant_envelopes", envelopes.len()),
        (
            "guided_unions",
            count(
                &mut requests
                    .iter()
                    .filter(|name| is(name, "oneOf") && !is(name, "discriminator")),
            ),
        ),
        // A discriminated member requires at least its discriminator.
        (
            "constructors",
            count(&mut objects.iter().copied().filter(|name| {
                is(name, "required") && (members.contains(*name) || !requests.contains(*name))
            })),
        ),
        (
            "builders",
            count(
                &mut objects
                    .into_iter()
                    .filter(|name| requests.contains(*name) && !members.contains(*name)),
            ),
        ),
        ("slice_bodies", list_bodies),
        ("plain_path_ids", path_ids),
        ("decode_replies", statuses),
        // Prose names them between backticks.
        (
            "drop_extensions",
            text.matches("x-").count() - text.matches("`x-").count(),
        ),
        ("drop_api_version_header", operations),
        ("drop_panicking_constructor", 1),
        ("drop_prelude", 1),
        ("operation_index", operations),
        (
            "shapes",
            count(
                &mut requests
                    .iter()
                    .filter(|name| is(name, "properties") || is(name, "enum") || is(name, "oneOf")),
            ),
        ),
    ])
}

/// The component schemas that a value refers to anywhere.
fn references(value: &Value) -> BTreeSet<String> {
    component_references(value, "schemas")
}

fn component_references(value: &Value, section: &str) -> BTreeSet<String> {
    match value {
        Value::Object(map) => {
            let own = map.get("$ref").and_then(Value::as_str);
            let prefix = format!("#/components/{section}/");
            let own = own
                .and_then(|reference| reference.strip_prefix(&prefix))
                .map(str::to_owned);
            map.values()
                .flat_map(|value| component_references(value, section))
                .chain(own)
                .collect()
        }
        Value::Array(items) => items
            .iter()
            .flat_map(|value| component_references(value, section))
            .collect(),
        _ => BTreeSet::new(),
    }
}

fn closure(mut names: BTreeSet<String>, schemas: &Map<String, Value>) -> BTreeSet<String> {
    loop {
        let more: BTreeSet<String> = names
            .iter()
            .flat_map(|name| references(&schemas[name]))
            .collect();
        let before = names.len();
        names.extend(more);
        if names.len() == before {
            return names;
        }
    }
}

fn check_counts(text: &str) {
    let Counts(counts) = generate(text).counts;
    let made: BTreeMap<&str, usize> = counts.into_iter().collect();
    for (pass, expected) in expected_counts(text) {
        assert_eq!(made.get(pass), Some(&expected), "{pass}");
    }
}

#[test]
fn every_pass_changes_as_much_of_the_real_document_as_it_has_to() {
    check_counts(&fixture::payments());
}

#[test]
fn every_pass_changes_as_much_of_the_fixture_as_it_has_to() {
    check_counts(fixture::PARCELS);
    // The same once more in plain numbers, so that a fault in the counting can't hide a fault in the passes.
    let Counts(counts) = generate(fixture::PARCELS).counts;
    assert_eq!(
        counts,
        [
            ("merge_error_statuses", 6),
            ("inline_discriminated_members", 4),
            ("drop_types_beside_all_of", 7),
            ("drop_constraints", 1),
            ("drop_extensions", 2),
            ("drop_examples", 0),
            ("split_types_module", 36),
            ("document_order", 5),
            ("optional_lists", 3),
            ("three_state_fields", 15),
            ("refuse_null", 4),
            ("null_lists", 1),
            ("name_expected_values", 2),
            ("variant_docs", 10),
            ("deprecated_enum_values", 2),
            ("keep_unknown_fields", 11),
            ("open_unions", 2),
            ("open_enums", 1),
            ("derive_json_schema", 20),
            ("tolerant_envelopes", 2),
            ("guided_unions", 1),
            ("constructors", 11),
            ("builders", 4),
            ("drop_api_version_header", 3),
            ("drop_panicking_constructor", 1),
            ("drop_prelude", 1),
            ("slice_bodies", 0),
            ("plain_path_ids", 4),
            ("decode_replies", 8),
            ("line_docs", 34),
            ("operation_index", 3),
            ("shapes", 9),
        ]
    );
}

/// What no check forbids and no pass can do is reported with the schema, and nothing is generated.
#[test]
fn trouble_of_the_passes_names_the_schema() {
    for (from, to, schema, message) in [
        (
            "        stops:\n",
            "        extra: {type: string}\n        stops:\n",
            "Parcel",
            "it has a property `extra`, which is the name of the map of unknown properties",
        ),
        (
            "      description: Who carried the parcel.\n      type: string\n      enum: [TRAIN",
            "      description: Who carried the parcel.\n      type: string\n      enum: [UNKNOWN, TRAIN",
            "CarrierName",
            "it has a variant Unknown of its own, which is the name of the one for all others",
        ),
        (
            "      description: One parcel.\n      type: object\n      required: [data]\n      properties:\n",
            "      description: One parcel.\n      type: object\n      required: [data]\n      properties:\n        \
             warnings: {type: string}\n",
            "ParcelReply",
            "an envelope has `data` and `meta` and no other property; found warnings, data, meta, extra",
        ),
        (
            "        note: {type: string, nullable: true}\n",
            "        box: {type: string, nullable: true}\n",
            "Item",
            "no required property tells BoxedItem from the members after it; give it one, or change the order",
        ),
        (
            "        labels:\n          type: array\n          items: {type: string}\n        destination:\n",
            "        labels:\n          type: array\n          items: {$ref: '#/components/schemas/PlaceById'}\n        \
             destination:\n",
            "PlaceById",
            "a request uses it outside of the union PlaceIdentifier too, for which there is no shape",
        ),
        (
            "        note: {type: string, nullable: true}\n",
            "        build: {type: string, nullable: true}\n",
            "LooseItem",
            "its builder would have two functions `build`",
        ),
        (
            "        sent_at: {type: string, format: date-time, nullable: true, x-null-keeps: true}\n",
            "        sent_at: {type: string, nullable: true}\n        clear_sent_at: {type: boolean}\n",
            "UpdateParcel",
            "its builder would have two functions `clear_sent_at`",
        ),
        (
            "        note: {type: string, nullable: true}\n",
            "        note: {type: string, nullable: true}\n        \
             within: {type: array, items: {$ref: '#/components/schemas/LooseItem'}}\n",
            "LooseItem",
            "it refers to itself, so that its depth has no bound; a request has one",
        ),
        (
            "        weight: {type: integer, format: int64, minimum: 0}\n",
            "        weight: {type: integer, format: int64, nullable: true}\n",
            "Item",
            "its members disagree on what `weight` may be",
        ),
        (
            "          allOf: [{$ref: '#/components/schemas/BoxedItem'}]\n",
            "          allOf: [{$ref: '#/components/schemas/BoxedItem'}]\n        - title: Parcel\n          allOf: [{$ref: \
             '#/components/schemas/SendParcel'}]\n",
            "Item",
            "a union without discriminator has a shape only if it has two members",
        ),
    ] {
        let (text, _) = fixture::with(from, to);
        let line = yaml::parse(&text)
            .unwrap()
            .position(&format!("/components/schemas/{schema}"))
            .line;
        let error = from_document("spec.yaml", &text).unwrap_err().to_string();
        assert_eq!(
            error.lines().next(),
            Some(
                format!(
                    "spec.yaml:{line}:5: /components/schemas/{schema}: the code generated for this is not as expected: \
                     {message}"
                )
                .as_str()
            )
        );
    }
}

#[test]
fn an_object_has_as_many_properties_as_a_walk_can_mark() {
    let note = "        note: {type: string, nullable: true}\n";
    let arrival = "        external_id: {type: string, nullable: true}\n        carrier: {$ref: \
                   '#/components/schemas/Carrier'}\n        sent_at";
    for (before, more, fault) in [
        // BoxedItem and LooseItem, the members of Item, have two each.
        (note, 60, None),
        (note, 61, Some("Item")),
        // UpdateParcel has seven.
        (arrival, 57, None),
        (arrival, 58, Some("UpdateParcel")),
    ] {
        let mut properties = String::new();
        for index in 0..more {
            properties.push_str(&format!("        note_{index}: {{type: string}}\n"));
        }
        let (text, _) = fixture::with(before, &(properties + before));
        let error = from_document("spec.yaml", &text)
            .err()
            .map(|error| error.to_string());
        assert_eq!(error.is_some(), fault.is_some(), "{error:?}");
        if let (Some(error), Some(schema)) = (error, fault) {
            assert!(
                error.contains(&format!("/components/schemas/{schema}: "))
                    && error.contains("it has more than 64 properties"),
                "{error}"
            );
        }
    }
}

/// The item that starts with `start` in the generated types or client of the fixture.
fn item(path: &str, start: &str) -> String {
    let generated = generate(fixture::PARCELS);
    let text = contents(&generated, path);
    let from = text
        .find(start)
        .unwrap_or_else(|| panic!("no `{start}` in {path}"));
    let to = text[from..]
        .find("\n}")
        .map_or(text.len(), |length| from + length + 2);
    text[from..to].to_owned()
}

#[test]
fn an_update_tells_absent_null_and_value_apart() {
    assert_eq!(
        item(TYPES, "pub struct UpdateParcel"),
        r#"pub struct UpdateParcel {
    #[serde(default, skip_serializing_if = "crate::Field::is_absent")]
    pub external_id: crate::Field<::std::string::String>,
    #[serde(
        skip_serializing_if = "::std::option::Option::is_none",
        default,
        deserialize_with = "crate::field::not_null"
    )]
    #[cfg_attr(feature = "schemars", schemars(with = "Carrier"))]
    pub carrier: ::std::option::Option<Carrier>,
    #[serde(default, skip_serializing_if = "crate::Field::is_absent")]
    pub sent_at: crate::Field<::jiff::Timestamp>,
    #[serde(default, skip_serializing_if = "crate::Field::is_absent")]
    pub labels: crate::Field<::std::vec::Vec<::std::string::String>>,
    #[serde(
        skip_serializing_if = "::std::option::Option::is_none",
        default,
        deserialize_with = "crate::field::not_null"
    )]
    #[cfg_attr(feature = "schemars", schemars(with = "::std::vec::Vec<Item>"))]
    pub items: ::std::option::Option<::std::vec::Vec<Item>>,
    #[serde(default, skip_serializing_if = "crate::Field::is_absent")]
    pub destination: crate::Field<PlaceIdentifier>,
    #[serde(default, skip_serializing_if = "crate::Field::is_absent")]
    pub metadata: crate::Field<Metadata>,
}"#
    );
}

#[test]
fn the_setter_of_a_required_property_is_there_only_until_it_is_set() {
    // The parameter isn't called as the type `Carrier`, which it would hide.
    assert_eq!(
        item(TYPES, "pub struct SendParcelBuilder"),
        "pub struct SendParcelBuilder<Carrier_, Items, SentAt> {
    external_id: ::std::option::Option<::std::string::String>,
    carrier: Carrier_,
    sent_at: SentAt,
    items: Items,
    labels: ::std::option::Option<::std::vec::Vec<::std::string::String>>,
    destination: ::std::option::Option<PlaceIdentifier>,
    metadata: ::std::option::Option<Metadata>,
}"
    );
    assert_eq!(
        item(
            TYPES,
            "impl<Items, SentAt> SendParcelBuilder<missing::Carrier,"
        ),
        "impl<Items, SentAt> SendParcelBuilder<missing::Carrier, Items, SentAt> {
    /// Sets `carrier`.
    pub fn carrier(self, carrier: Carrier) -> SendParcelBuilder<Carrier, Items, SentAt> {
        SendParcelBuilder {
            external_id: self.external_id,
            carrier,
            sent_at: self.sent_at,
            items: self.items,
            labels: self.labels,
            destination: self.destination,
            metadata: self.metadata,
        }
    }
}"
    );
    let built = item(
        TYPES,
        "impl<Carrier_, Items, SentAt> SendParcelBuilder<Carrier_, Items, SentAt>",
    );
    assert!(
        built.ends_with(
            "
    /// Makes the [`SendParcel`].
    pub fn build(self) -> SendParcel
    where
        Carrier_: crate::Given<Carrier>,
        Items: crate::Given<::std::vec::Vec<Item>>,
        SentAt: crate::Given<::jiff::Timestamp>,
    {
        SendParcel {
            external_id: self.external_id,
            carrier: self.carrier.given(),
            sent_at: self.sent_at.given(),
            items: self.items.given(),
            labels: self.labels,
            destination: self.destination,
            metadata: self.metadata,
        }
    }
}"
        ),
        "{built}"
    );
    let missing = item(TYPES, "pub mod missing");
    for marker in ["Box", "Carrier", "Items", "SentAt", "Weight"] {
        assert!(
            missing.contains(&format!("pub struct {marker};")),
            "{missing}"
        );
    }
    // A type of replies has `new` instead, and no type has both.
    let types = generate(fixture::PARCELS);
    let types = contents(&types, TYPES);
    assert!(!types.contains("ParcelReplyBuilder"), "{types}");
    assert!(!item(TYPES, "impl SendParcel {").contains("fn new("));
    assert!(item(TYPES, "impl ParcelReply {").contains("fn new("));
}

#[test]
fn the_other_setters_take_values_and_clear_what_null_clears() {
    let setters = item(TYPES, "impl UpdateParcelBuilder");
    for setter in [
        "    pub fn external_id(
        mut self,
        external_id: impl ::std::convert::Into<::std::string::String>,
    ) -> Self {
        self.external_id = crate::Field::Value(external_id.into());
        self
    }
    /// Sends null for [`external_id`](Self::external_id).
    pub fn clear_external_id(mut self) -> Self {
        self.external_id = crate::Field::Null;
        self
    }
    /// Sets `carrier`.
    pub fn carrier(mut self, carrier: Carrier) -> Self {
        self.carrier = ::std::option::Option::Some(carrier);
        self
    }
    /// Sets `sent_at`.
    pub fn sent_at(mut self, sent_at: ::jiff::Timestamp) -> Self {
        self.sent_at = crate::Field::Value(sent_at);
        self
    }
",
        "    pub fn items(mut self, items: impl ::std::iter::IntoIterator<Item = Item>) -> Self {
        self.items = ::std::option::Option::Some(items.into_iter().collect());
        self
    }
",
    ] {
        assert!(setters.contains(setter), "{setter}\nin\n{setters}");
    }
    // Null keeps the one and is refused for the others.
    for setter in ["clear_sent_at", "clear_carrier", "clear_items"] {
        assert!(!setters.contains(setter), "{setters}");
    }
    // Where null isn't told from absent, there is nothing to clear.
    assert!(!item(TYPES, "impl<Weight> LooseItemBuilder<Weight>").contains("clear_"));
}

#[test]
fn a_property_may_be_a_word_of_rust() {
    let (text, _) = fixture::with(
        "      required: [weight]\n      properties:\n        weight: {type: integer, format: int64}\n        note",
        "      required: [type, self]\n      properties:\n        self: {type: boolean}\n        type: {type: integer, \
         format: int64}\n        weight: {type: integer, format: int64}\n        note",
    );
    let error = from_document("spec.yaml", &text).unwrap_err().to_string();
    assert!(
        error.contains("LooseItem: the code generated for this is not as expected: `self_` gives no type's name"),
        "{error}"
    );
    let generated = generate(&text.replace("self", "move"));
    let types = contents(&generated, TYPES);
    assert!(
        types.contains("pub struct LooseItemBuilder<Type, Move>")
            && types.contains("/// Required: `type_`, `move_`.")
            && types.contains("pub fn type_(self, type_: i64) -> LooseItemBuilder<i64, Move> {"),
        "{types}"
    );
}

#[test]
fn the_example_of_a_builder_sets_what_is_required_and_one_thing_more() {
    let docs = |start: &str| {
        let types = generate(fixture::PARCELS);
        let types = contents(&types, TYPES);
        let end = types.find(start).expect("the builder is there");
        let docs = &types[..end];
        docs[docs.rfind("/// ```\n/// use").unwrap()..].to_owned()
    };
    assert!(
        docs("#[derive(Clone, Debug)]\n#[must_use = \"a builder makes nothing until `build` is called\"]\npub struct SendParcelBuilder")
            .contains(
                "/// use layer_payments_types::{Carrier, SendParcel};
///
/// let send_parcel = SendParcel::builder()
///     .carrier(Carrier::Train)
///     .items([])
///     .sent_at(\"2024-02-27T02:22:55Z\".parse()?)
///     .external_id(\"text\")
///     .build();
/// # Ok::<(), Box<dyn std::error::Error>>(())
"
            )
    );
    assert!(docs("pub struct BoxedItemBuilder").contains(
        "///     .box_(PlaceIdentifier::place_id(\"3a9c378e-dc02-4700-9158-f629d632a83b\".parse()?))\n"
    ));
    let update = docs("pub struct UpdateParcelBuilder");
    assert!(
        update.contains(
            "///     .external_id(\"text\")\n///     .clear_metadata()\n///     .build();\n/// ```"
        ),
        "{update}"
    );
}

#[test]
fn other_requests_read_null_as_absent() {
    let request = item(TYPES, "pub struct SendParcel");
    assert!(!request.contains("Field<"), "{request}");
    assert!(
        request.contains("pub external_id: ::std::option::Option<::std::string::String>"),
        "{request}"
    );
}

#[test]
fn reply_enumerations_are_open_and_request_enumerations_closed() {
    assert_eq!(
        item(TYPES, "pub enum CarrierName"),
        r#"pub enum CarrierName {
    /// `TRAIN`.
    #[serde(rename = "TRAIN")]
    Train,
    /// `BIKE`.
    #[serde(rename = "BIKE")]
    Bike,
    /// `OTHER`.
    #[serde(rename = "OTHER")]
    Other,
    /// A value that this version doesn't know, as it was sent. Never one of the values above when it was
    /// read from JSON or text.
    #[serde(untagged)]
    Unknown(::std::string::String),
}"#
    );
    let display = item(TYPES, "impl ::std::fmt::Display for CarrierName");
    assert!(
        display.contains("match self {")
            && display.contains("Self::Unknown(value) => f.write_str(value),")
    );
    let from_str = item(TYPES, "impl ::std::str::FromStr for CarrierName");
    assert!(
        from_str.contains("_ => Ok(Self::Unknown(value.to_owned())),"),
        "{from_str}"
    );

    let request = item(TYPES, "pub enum Carrier ");
    assert!(!request.contains("Unknown"), "{request}");
    assert!(
        request.contains(r#"#[serde(rename = "BIKE", alias = "BICYCLE")]"#),
        "{request}"
    );
    let from_str = item(TYPES, "impl ::std::str::FromStr for Carrier ");
    assert!(
        from_str.contains(r#""BIKE" | "BICYCLE" => Ok(Self::Bike),"#),
        "{from_str}"
    );
    assert!(
        from_str.contains(r#""expected `TRAIN`, `BIKE` or `OTHER`""#),
        "{from_str}"
    );
}

#[test]
fn discriminated_unions_are_tagged_and_those_of_replies_open() {
    assert_eq!(
        item(TYPES, "pub enum PlaceIdentifier"),
        "pub enum PlaceIdentifier {
    /// PlaceId
    PlaceId { id: ::uuid::Uuid },
    /// PlaceName
    PlaceName {
        /// The name.
        name: ::std::string::String,
    },
}"
    );
    let reply = item(TYPES, "pub enum FoundPlace");
    assert_eq!(reply.matches("#[serde(flatten)]").count(), 2, "{reply}");
    assert!(
        reply.ends_with("#[serde(untagged)]\n    Unknown(::serde_json::Value),\n}"),
        "{reply}"
    );
    // The members are part of the union now.
    let types = generate(fixture::PARCELS);
    assert!(!contents(&types, TYPES).contains("struct PlaceById"));
}

#[test]
fn the_union_of_a_request_is_chosen_by_the_property_that_only_one_member_has() {
    let read = item(TYPES, "impl<'de> ::serde::Deserialize<'de> for Item");
    let words: Vec<&str> = read.split_whitespace().collect();
    assert!(
        words.join(" ").contains(
            r#"if value.contains_key("box") { crate::union::member(value).map(Self::Boxed) } else { crate::union::member(value).map(Self::Loose) }"#
        ),
        "{read}"
    );
}

#[test]
fn no_request_carries_the_header_that_nobody_asked_for() {
    let client = generate(fixture::PARCELS);
    let client = contents(&client, CLIENT);
    assert!(client.contains("fn list_parcels<'a>") && client.contains("fn update_parcel<'a>"));
    assert!(
        !client.contains("api-version") && !client.contains("header_map"),
        "{client}"
    );
    assert!(!client.contains("unwrap()"), "{client}");
    assert!(
        client.contains("use layer_payments_types as types;") && !client.contains("pub mod types")
    );
}

#[test]
fn a_body_that_is_a_list_is_taken_as_a_slice() {
    let generated = generate(&fixture::payments());
    let client = contents(&generated, CLIENT);
    assert!(
        client.contains("body: &'a [types::CreateInvoicePayment],")
            && client.contains("body: &'a types::CreateInvoicePayment,"),
        "{client}"
    );
}

#[test]
fn a_header_of_the_document_is_still_sent() {
    let (text, _) = fixture::with(
        "        - name: sent_since\n          in: query\n",
        "        - name: X-Depot-Key\n          in: header\n",
    );
    let generated = generate(&text);
    let client = contents(&generated, CLIENT);
    assert!(!client.contains("api-version"), "{client}");
    assert!(
        client.contains("\"X-Depot-Key\"") && client.contains(".headers(header_map)"),
        "{client}"
    );
}

#[test]
fn the_task_writes_then_checks_and_shows_what_an_edit_of_the_document_changes() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("spec")).unwrap();
    std::fs::write(root.path().join(SPEC), fixture::PARCELS).unwrap();
    std::fs::write(root.path().join("spec/local.yaml"), "openapi: 3.0.3\n").unwrap();
    let missing = run(root.path(), Mode::Check, false)
        .unwrap_err()
        .to_string();
    assert!(
        missing.contains("--- /dev/null\n+++ crates/types/src/generated.rs\n"),
        "{missing}"
    );
    assert_eq!(
        run(root.path(), Mode::Write, false).unwrap().written,
        [TYPES, CLIENT, NEWER, PUBLISHED[0].1, PUBLISHED[1].1]
    );
    assert_eq!(run(root.path(), Mode::Check, false).unwrap().unchanged, 5);
    for (document, copy) in PUBLISHED {
        let read = |path| std::fs::read_to_string(root.path().join(path)).unwrap();
        assert_eq!(read(copy), read(document));
    }

    let (edited, _) = fixture::with(
        "        price: {type: integer, format: int64, description: In cents.}\n",
        "        price: {type: integer, format: int64, nullable: true, description: In cents.}\n",
    );
    std::fs::write(root.path().join(SPEC), edited).unwrap();
    let stale = run(root.path(), Mode::Check, false)
        .unwrap_err()
        .to_string();
    assert!(
        stale.contains("-    pub price: ::std::option::Option<i64>,\n"),
        "{stale}"
    );
    assert!(
        stale.contains("+    pub price: crate::Field<i64>,\n"),
        "{stale}"
    );
    assert!(
        stale.contains("+++ crates/server/src/http/docs/layer-payments.yaml\n"),
        "{stale}"
    );
    assert!(
        stale.contains("run `cargo xtask codegen` and commit the result"),
        "{stale}"
    );

    std::fs::write(root.path().join("left-over.rs"), TASK.banner.unwrap()).unwrap();
    let orphan = run(root.path(), Mode::Write, false)
        .unwrap_err()
        .to_string();
    assert!(orphan.ends_with("delete them:\n  left-over.rs"), "{orphan}");
}
