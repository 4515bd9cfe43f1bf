//! Passes over the document before the generator sees it.
//!
//! Each one bends the document into the form that progenitor turns into the type we want; what the document means stays
//! the same. They run on plain JSON, on a document that the checks have accepted, and give back how much they changed.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Counts;
use super::model::{METHODS, SCHEMA_PREFIX};

/// Runs all passes in the order in which they build on each other.
pub(crate) fn prepare(root: &mut Value, counts: &mut Counts) {
    counts.add("merge_error_statuses", merge_error_statuses(root));
    counts.add(
        "inline_discriminated_members",
        inline_discriminated_members(root),
    );
    counts.add("drop_types_beside_all_of", drop_types_beside_all_of(root));
    counts.add("drop_constraints", drop_constraints(root));
    counts.add("drop_extensions", drop_extensions(root));
    counts.add("drop_examples", drop_examples(root));
    // serde_json keeps keys in insertion order if any crate of the build asks for that.
    root.sort_all_objects();
}

/// Merges each operation's 4xx codes into `4XX` and its 5xx codes into `5XX`.
///
/// progenitor gives an error its type only for the codes that an operation lists; any other one becomes an untyped
/// `UnexpectedResponse`. With the whole range listed, every error carries the error reply. The checks have made sure
/// that all of them share one body. The count is of the codes merged.
pub(crate) fn merge_error_statuses(root: &mut Value) -> usize {
    let mut merged = 0;
    let responses = root.pointer("/components/responses").cloned();
    for operation in operations(root) {
        let Some(statuses) = operation
            .get_mut("responses")
            .and_then(Value::as_object_mut)
        else {
            continue;
        };
        for (class, range) in [('4', "4XX"), ('5', "5XX")] {
            let codes: Vec<String> = statuses
                .keys()
                .filter(|code| code.starts_with(class) && *code != range)
                .cloned()
                .collect();
            for code in codes {
                merged += 1;
                let Some(response) = statuses.remove(&code) else {
                    continue;
                };
                statuses
                    .entry(range)
                    .or_insert_with(|| body_only(&response, responses.as_ref()));
            }
        }
    }
    merged
}

/// A response's body under a description that fits every code. Its headers differ from code to code, and progenitor
/// ignores them.
fn body_only(response: &Value, components: Option<&Value>) -> Value {
    let resolved = response
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| reference.strip_prefix("#/components/responses/"))
        .and_then(|name| components?.get(name))
        .unwrap_or(response);
    let mut merged = json!({"description": "An error."});
    if let Some(content) = resolved.get("content") {
        merged["content"] = content.clone();
    }
    merged
}

/// Puts the members of each discriminated `oneOf` in the place of the references to them, titled by the discriminator's
/// values, and drops the components that nothing refers to any more.
///
/// Members that are references come out as an untagged enum of structs whose `type_` the caller must fill; inline ones
/// as `#[serde(tag = "type")] enum AccountIdentifier { AccountId { id: Uuid }, .. }`. The count is of the members.
pub(crate) fn inline_discriminated_members(root: &mut Value) -> usize {
    let Some(schemas) = root
        .pointer("/components/schemas")
        .and_then(Value::as_object)
        .cloned()
    else {
        return 0;
    };
    let mut inlined = BTreeSet::new();
    let mut count = 0;
    for_each_schema(root, &mut |schema| {
        let Some(mapping) = schema
            .get("discriminator")
            .and_then(|discriminator| discriminator.get("mapping"))
            .and_then(Value::as_object)
            .cloned()
        else {
            return;
        };
        let Some(Value::Array(members)) = schema.get_mut("oneOf") else {
            return;
        };
        for member in members {
            let Some(reference) = member.get("$ref").and_then(Value::as_str) else {
                continue;
            };
            let Some(name) = reference.strip_prefix(SCHEMA_PREFIX) else {
                continue;
            };
            let value = mapping
                .iter()
                .find(|(_, target)| target.as_str() == Some(reference));
            let (Some((value, _)), Some(target)) = (value, schemas.get(name)) else {
                continue;
            };
            inlined.insert(name.to_owned());
            let mut target = target.clone();
            target["title"] = json!(value);
            *member = target;
            count += 1;
        }
        schema.remove("discriminator");
    });
    drop_unreferenced(root, &inlined);
    count
}

fn drop_unreferenced(root: &mut Value, candidates: &BTreeSet<String>) {
    let mut used = BTreeSet::new();
    for_each_schema(root, &mut |schema| {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str)
            && let Some(name) = reference.strip_prefix(SCHEMA_PREFIX)
        {
            used.insert(name.to_owned());
        }
    });
    if let Some(schemas) = root
        .pointer_mut("/components/schemas")
        .and_then(Value::as_object_mut)
    {
        schemas.retain(|name, _| !candidates.contains(name) || used.contains(name));
    }
}

/// Drops `type` beside `allOf`.
///
/// OpenAPI 3.0 takes `nullable` only beside a `type`, so a nullable reference is `type: object, nullable: true,
/// allOf: [..]`. progenitor reads the `type` as one more thing to merge and loses the reference's name over it.
pub(crate) fn drop_types_beside_all_of(root: &mut Value) -> usize {
    let mut count = 0;
    for_each_schema(root, &mut |schema| {
        if schema.contains_key("allOf") && schema.remove("type").is_some() {
            count += 1;
        }
    });
    count
}

/// Drops limits and defaults.
///
/// Each would become a type of its own (`NonZeroU64` for `minimum: 1`, a checked newtype for a length) or a value that
/// is always sent (a default). Limits are the validation crate's business, which names the rule that was broken;
/// defaults are applied by whoever receives the value.
pub(crate) fn drop_constraints(root: &mut Value) -> usize {
    const KEYS: [&str; 14] = [
        "default",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "pattern",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
    ];
    let mut count = 0;
    for_each_schema(root, &mut |schema| {
        for key in KEYS {
            if schema.remove(key).is_some() {
                count += 1;
            }
        }
    });
    count
}

/// Drops extensions, which are read from the document itself: with anything beside it that it doesn't know, the generator
/// no longer sees that a `date-time` is a timestamp. The count is of the extensions.
pub(crate) fn drop_extensions(root: &mut Value) -> usize {
    let mut count = 0;
    for_each_schema(root, &mut |schema| {
        let before = schema.len();
        schema.retain(|key, _| !key.starts_with("x-"));
        count += before - schema.len();
    });
    count
}

/// Drops the named examples of the components and every reference to them. They are a good part of the document, the
/// generator has no use for them, and without them it is quicker. The count is of the components.
pub(crate) fn drop_examples(root: &mut Value) -> usize {
    let dropped = root
        .pointer_mut("/components")
        .and_then(Value::as_object_mut)
        .and_then(|components| components.remove("examples"));
    let count = dropped
        .as_ref()
        .and_then(Value::as_object)
        .map_or(0, Map::len);
    for_each_media_type(root, &mut |media| {
        media.remove("examples");
        media.remove("example");
    });
    count
}

fn operations(root: &mut Value) -> impl Iterator<Item = &mut Value> {
    root.get_mut("paths")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(|paths| paths.iter_mut())
        .filter_map(|(_, item)| item.as_object_mut())
        .flat_map(|item| item.iter_mut())
        .filter(|(key, _)| METHODS.contains(&key.as_str()))
        .map(|(_, operation)| operation)
}

/// Calls `visit` with every schema of the document, references included, parents before their children.
pub(crate) fn for_each_schema(root: &mut Value, visit: &mut dyn FnMut(&mut Map<String, Value>)) {
    for_each_holder(root, &mut |holder| {
        if let Some(schema) = holder.get_mut("schema") {
            for_each_within(schema, visit);
        }
    });
    let schemas = root
        .pointer_mut("/components/schemas")
        .and_then(Value::as_object_mut);
    for (_, schema) in schemas.into_iter().flat_map(|schemas| schemas.iter_mut()) {
        for_each_within(schema, visit);
    }
}

fn for_each_within(schema: &mut Value, visit: &mut dyn FnMut(&mut Map<String, Value>)) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    visit(schema);
    for key in ["allOf", "oneOf", "anyOf"] {
        let members = schema.get_mut(key).and_then(Value::as_array_mut);
        for member in members.into_iter().flatten() {
            for_each_within(member, visit);
        }
    }
    for key in ["not", "items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(key) {
            for_each_within(inner, visit);
        }
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (_, property) in properties
        .into_iter()
        .flat_map(|properties| properties.iter_mut())
    {
        for_each_within(property, visit);
    }
}

fn for_each_media_type(root: &mut Value, visit: &mut dyn FnMut(&mut Map<String, Value>)) {
    for_each_holder(root, &mut |holder| {
        if !holder.contains_key("name") {
            visit(holder);
        }
    });
}

/// Calls `visit` with every object that may hold a `schema`: parameters, headers and media types.
fn for_each_holder(root: &mut Value, visit: &mut dyn FnMut(&mut Map<String, Value>)) {
    if let Some(components) = root.get_mut("components") {
        for section in ["parameters", "headers"] {
            for_each_value(components, section, &mut |holder| visit(holder));
        }
        for section in ["requestBodies", "responses"] {
            for_each_value(components, section, &mut |body| {
                holders_of_body(body, visit)
            });
        }
    }
    let paths = root.get_mut("paths").and_then(Value::as_object_mut);
    for (_, item) in paths.into_iter().flat_map(|paths| paths.iter_mut()) {
        holders_of_parameters(item, visit);
    }
    for operation in operations(root) {
        holders_of_parameters(operation, visit);
        if let Some(body) = operation
            .get_mut("requestBody")
            .and_then(Value::as_object_mut)
        {
            holders_of_body(body, visit);
        }
        for_each_value(operation, "responses", &mut |response| {
            holders_of_body(response, visit)
        });
    }
}

fn holders_of_parameters(item: &mut Value, visit: &mut dyn FnMut(&mut Map<String, Value>)) {
    let parameters = item.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        if let Some(parameter) = parameter.as_object_mut() {
            visit(parameter);
        }
    }
}

fn holders_of_body(body: &mut Map<String, Value>, visit: &mut dyn FnMut(&mut Map<String, Value>)) {
    for section in ["content", "headers"] {
        let holders = body.get_mut(section).and_then(Value::as_object_mut);
        for (_, holder) in holders.into_iter().flat_map(|holders| holders.iter_mut()) {
            if let Some(holder) = holder.as_object_mut() {
                visit(holder);
            }
        }
    }
}

fn for_each_value(parent: &mut Value, key: &str, visit: &mut dyn FnMut(&mut Map<String, Value>)) {
    let values = parent.get_mut(key).and_then(Value::as_object_mut);
    for (_, value) in values.into_iter().flat_map(|values| values.iter_mut()) {
        if let Some(value) = value.as_object_mut() {
            visit(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, yaml};
    use super::*;

    fn parcels() -> Value {
        yaml::parse(fixture::PARCELS).unwrap().to_json()
    }

    #[test]
    fn error_codes_are_merged_and_successes_left_alone() {
        let mut document = parcels();
        assert_eq!(merge_error_statuses(&mut document), 6);
        let get = &document["paths"]["/v1/depots/{depotId}/parcels"]["get"]["responses"];
        let codes: Vec<&String> = get.as_object().unwrap().keys().collect();
        assert_eq!(codes, ["200", "4XX", "5XX"]);
        assert_eq!(
            get["4XX"]["content"]["application/json"]["schema"]["$ref"],
            "#/components/schemas/ErrorReply"
        );
        assert_eq!(
            merge_error_statuses(&mut document),
            0,
            "a second time there is nothing to do"
        );
    }

    #[test]
    fn members_of_discriminated_unions_move_in() {
        let mut document = parcels();
        assert_eq!(inline_discriminated_members(&mut document), 4);
        let schemas = &document["components"]["schemas"];
        let place = &schemas["PlaceIdentifier"];
        assert_eq!(place["oneOf"][0]["title"], "PlaceId");
        assert_eq!(
            place["oneOf"][1]["properties"]["type"]["enum"],
            json!(["PlaceName"])
        );
        assert!(place.get("discriminator").is_none());
        assert!(schemas.get("PlaceById").is_none());
    }

    #[test]
    fn a_member_that_something_else_refers_to_stays() {
        let (text, _) = fixture::with(
            "        carrier: {$ref: '#/components/schemas/CarrierName'}\n",
            "        carrier: {$ref: '#/components/schemas/FoundPlaceById'}\n",
        );
        let mut document = yaml::parse(&text).unwrap().to_json();
        assert_eq!(inline_discriminated_members(&mut document), 4);
        let schemas = &document["components"]["schemas"];
        assert!(schemas.get("FoundPlaceById").is_some());
        assert!(schemas.get("FoundPlaceByName").is_none());
    }

    #[test]
    fn constraints_are_dropped_from_schemas_and_not_from_properties_of_that_name() {
        let (text, _) = fixture::with(
            "        labels:\n          type: array\n          items: {type: string}\n        destination",
            "        pattern: {type: string, pattern: a+, default: aa}\n        destination",
        );
        let mut document = yaml::parse(&text).unwrap().to_json();
        // `minimum` of the fixture itself, `pattern` and `default`.
        assert_eq!(drop_constraints(&mut document), 3);
        assert_eq!(
            document["components"]["schemas"]["SendParcel"]["properties"]["pattern"],
            json!({"type": "string"})
        );
    }

    #[test]
    fn extensions_are_dropped_from_schemas_and_not_from_properties_of_that_name() {
        let (text, _) = fixture::with(
            "        labels:\n          type: array\n          items: {type: string}\n        destination",
            "        x-label: {type: string, x-colour: red}\n        destination",
        );
        let mut document = yaml::parse(&text).unwrap().to_json();
        // `x-deprecated-values` and `x-null-keeps` of the fixture itself, and `x-colour`.
        assert_eq!(drop_extensions(&mut document), 3);
        assert_eq!(
            document["components"]["schemas"]["SendParcel"]["properties"]["x-label"],
            json!({"type": "string"})
        );
    }

    #[test]
    fn types_beside_all_of_are_dropped_and_nullable_stays() {
        let mut document = parcels();
        assert_eq!(drop_types_beside_all_of(&mut document), 7);
        let destination =
            &document["components"]["schemas"]["UpdateParcel"]["properties"]["destination"];
        assert_eq!(destination["nullable"], true);
        assert!(destination.get("type").is_none());
    }

    #[test]
    fn examples_are_dropped() {
        let mut document = parcels();
        document["components"]["examples"] = json!({"A": {"value": 1}, "B": {"value": 2}});
        let media =
            "/paths/~1v1~1depots~1{depotId}~1parcels/post/requestBody/content/application~1json";
        document.pointer_mut(media).unwrap()["examples"] =
            json!({"a": {"$ref": "#/components/examples/A"}});
        assert_eq!(drop_examples(&mut document), 2);
        assert!(document.pointer(media).unwrap().get("examples").is_none());
    }
}
