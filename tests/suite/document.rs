//! What this project asks of both documents beyond OpenAPI, and beyond what linters and `cargo xtask codegen` check: that
//! everything is described, shown by an example that's valid, and says its unit, its limits and whether it can be null.
//!
//! Whole numbers are money or something else, by lists that have to name every one, so that nobody adds an amount without
//! thinking of it.

use std::collections::{BTreeMap, BTreeSet};

use layer_payments_tests::{closed, json_schema, local_spec, resolve, spec, violations};
use serde_json::{Map, Value};

/// Properties that are money.
const CENTS: [&str; 7] = [
    "amount",
    "amount_net_of_refunds",
    "fee",
    "fee_amount",
    "paid_out_amount",
    "refund_processing_fee",
    "refunded_amount",
];
/// Properties that are numbers of something else.
const NUMBERS: [&str; 1] = ["total_count"];
/// Properties that name something, but not by a UUID.
const TEXT_IDS: [&str; 7] = [
    "external_id",
    "invoice_external_id",
    "invoice_line_item_external_id",
    "invoice_payment_external_id",
    "request_id",
    "source_account_id",
    "source_transaction_id",
];

/// What the second document has beside that.
const LOCAL_CENTS: [&str; 9] = [
    "credit_balance",
    "credits",
    "debit_balance",
    "debits",
    "outstanding_balance",
    "paid_amount",
    "total_amount",
    "total_credits",
    "total_debits",
];
const LOCAL_NUMBERS: [&str; 10] = [
    "entry_number",
    "expires_in",
    "probability",
    "requests",
    "reversal_of",
    "reversed_by",
    "seed",
    "session_duration",
    "struck",
    "times",
];
const LOCAL_TEXT_IDS: [&str; 3] = ["clientId", "client_id", "payout_external_id"];

/// A document and the exceptions that it is granted, each of which it has to need.
struct Document {
    spec: Value,
    cents: Vec<&'static str>,
    numbers: Vec<&'static str>,
    text_ids: Vec<&'static str>,
    /// Operations and statuses whose errors aren't in the envelope.
    other_errors: Vec<(&'static str, &'static str)>,
    /// Objects of requests that take properties which aren't listed.
    open_requests: Vec<&'static str>,
}

fn payments() -> Document {
    Document {
        spec: spec(),
        cents: CENTS.to_vec(),
        numbers: NUMBERS.to_vec(),
        text_ids: [&TEXT_IDS[..], &["X-Request-Id"]].concat(),
        other_errors: Vec::new(),
        open_requests: Vec::new(),
    }
}

fn local() -> Document {
    let mut document = local_spec();
    // It says of the schemas that it shares that the other document describes them.
    let shared = format!("{} {}", prose(&spec()["info"]), prose(&document["info"]));
    document["info"]["description"] = Value::from(shared);
    Document {
        spec: document,
        cents: [&CENTS[..], &LOCAL_CENTS].concat(),
        numbers: [&NUMBERS[..], &LOCAL_NUMBERS].concat(),
        text_ids: [&TEXT_IDS[..], &LOCAL_TEXT_IDS].concat(),
        // RFC 6749 says how a token is refused, and that parameters which aren't known are ignored.
        other_errors: vec![("issue_token", "400"), ("issue_token", "401")],
        open_requests: vec!["TokenRequest"],
    }
}

#[test]
fn the_spec_keeps_the_rules() {
    let document = payments();
    assert_eq!(faults(&document), [""; 0]);
    let (_, examples) = examples(&document.spec);
    assert!(examples >= 30, "{examples} examples");
}

#[test]
fn the_document_of_the_local_server_keeps_the_rules() {
    let document = local();
    assert_eq!(faults(&document), [""; 0]);
    let (_, examples) = examples(&document.spec);
    assert!(examples > 100, "{examples} examples");
}

/// Every place where a document breaks a rule.
fn faults(document: &Document) -> Vec<String> {
    let spec = &document.spec;
    let mut faults = operations(spec);
    faults.extend(examples(spec).0);
    faults.extend(parameters_and_headers(spec));
    faults.extend(descriptions(spec));
    faults.extend(numbers(document));
    faults.extend(formats(document));
    faults.extend(limits(spec));
    faults.extend(errors(document));
    faults.extend(closed_and_open(document));
    faults.extend(extensions(spec));
    faults
}

/// Each operation has an id of its own in snake case, a short summary, a description, and one of the declared tags.
fn operations(spec: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let mut ids = BTreeSet::new();
    let mut unused: BTreeSet<&str> = list(&spec["tags"])
        .iter()
        .filter_map(|tag| tag["name"].as_str())
        .collect();
    let declared = unused.clone();
    for (place, operation) in each_operation(spec) {
        let id = text(&operation["operationId"]);
        let words = id.split('_');
        if words.into_iter().any(|word| {
            word.is_empty()
                || !word
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        }) {
            faults.push(format!("{place}: operationId `{id}` isn't in snake case"));
        }
        if !ids.insert(id) {
            faults.push(format!("{place}: operationId `{id}` is there twice"));
        }
        let summary = text(&operation["summary"]);
        if summary.is_empty() || summary.ends_with('.') || summary.len() > 60 {
            faults.push(format!(
                "{place}: summary `{summary}` isn't a short line without a full stop"
            ));
        }
        faults.extend(sentence(&place, operation));
        match list(&operation["tags"]).as_slice() {
            [tag] if declared.contains(text(tag)) => {
                unused.remove(text(tag));
            }
            tags => faults.push(format!(
                "{place}: tags {tags:?} aren't one of the declared ones"
            )),
        }
    }
    faults.extend(
        unused
            .iter()
            .map(|tag| format!("no operation has tag {tag}")),
    );
    faults
}

/// Each body of a request and each reply, of every status and form, is described and has examples. All examples, those of
/// schemas too, are valid and without a property that the document doesn't have. Also gives how many bodies have.
fn examples(spec: &Value) -> (Vec<String>, usize) {
    let mut faults = Vec::new();
    let mut count = 0;
    // By schema, since a validator costs more than what it validates.
    let mut named: BTreeMap<&str, Vec<(String, &Value)>> = BTreeMap::new();
    for (place, operation) in each_operation(spec) {
        let mut bodies = Vec::new();
        if let Some(body) = operation.get("requestBody") {
            bodies.push((format!("{place} request"), resolve(spec, body)));
        }
        let replies = operation["responses"].as_object();
        for (status, reply) in replies.into_iter().flatten() {
            bodies.push((format!("{place} {status}"), resolve(spec, reply)));
        }
        for (place, body) in bodies {
            faults.extend(sentence(&place, body));
            let content = body["content"].as_object();
            if content.is_none_or(Map::is_empty) {
                faults.push(format!("{place}: there is no content"));
            }
            for (media_type, media) in content.into_iter().flatten() {
                let place = format!("{place} {media_type}");
                let examples = media["examples"].as_object();
                if examples.is_none_or(Map::is_empty) {
                    faults.push(format!("{place}: there is no example"));
                }
                for (name, example) in examples.into_iter().flatten() {
                    let place = format!("{place}, {name}");
                    let example = resolve(spec, example);
                    if text(&example["summary"]).is_empty() {
                        faults.push(format!("{place}: the example has no summary"));
                    }
                    count += 1;
                    let value = &example["value"];
                    match media["schema"]["$ref"].as_str() {
                        Some(reference) => {
                            let name = reference.rsplit('/').next().unwrap_or_default();
                            named.entry(name).or_default().push((place, value));
                        }
                        None => {
                            let invalid = violations(&media["schema"], value);
                            faults.extend(invalid.iter().map(|fault| format!("{place}: {fault}")));
                        }
                    }
                }
            }
        }
    }
    for (name, schema) in components(spec, "schemas") {
        if let Some(example) = schema.get("example") {
            named
                .entry(name)
                .or_default()
                .push((name.to_owned(), example));
        }
    }
    for (place, property) in each_property(spec) {
        // What refers to other schemas is shown by the examples of the bodies.
        if let Some(example) = property.get("example")
            && !property.to_string().contains("$ref")
        {
            let invalid = violations(property, example);
            faults.extend(invalid.iter().map(|fault| format!("{place}: {fault}")));
        }
    }
    for (name, examples) in named {
        let schema = closed(json_schema(spec, name, true));
        let values = examples.iter().map(|(_, value)| (*value).clone()).collect();
        for fault in violations(&schema, &Value::Array(values)) {
            let index = fault[1..].split(['/', ':']).next().unwrap_or_default();
            let place = index.parse().ok().and_then(|i: usize| examples.get(i));
            let place = place.map_or("an example", |(place, _)| place);
            faults.push(format!("{place}: {fault}"));
        }
    }
    (faults, count)
}

/// Each parameter and each header is described, says that it's never null, and has a valid example.
fn parameters_and_headers(spec: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for (place, part) in each_parameter_and_header(spec) {
        faults.extend(sentence(&place, part));
        if !prose(part).contains("Never null.") {
            faults.push(format!(
                "{place}: the description doesn't say `Never null.`"
            ));
        }
        match part.get("example") {
            None => faults.push(format!("{place}: there is no example")),
            Some(example) => {
                let invalid = violations(resolve(spec, &part["schema"]), example);
                faults.extend(invalid.iter().map(|fault| format!("{place}: {fault}")));
            }
        }
    }
    faults
}

/// Each schema and each property is described by whole sentences; a property says whether it can be null.
fn descriptions(spec: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, schema) in components(spec, "schemas") {
        faults.extend(sentence(name, schema));
    }
    for (place, property) in each_property(spec) {
        // A bare reference is described where it points, and that is no less a component.
        if property.get("$ref").is_some() {
            continue;
        }
        faults.extend(sentence(&place, property));
        let description = prose(property);
        let never = description.contains("Never null") || description.contains("never null");
        let nullable = property["nullable"] == true;
        if nullable && (never || !description.to_lowercase().contains("null")) {
            faults.push(format!(
                "{place}: the description doesn't say what null means"
            ));
        }
        if !nullable && !never {
            faults.push(format!("{place}: the description doesn't say `Never null`"));
        }
    }
    faults
}

/// Each number is money or something else. Money is whole cents, and says so.
fn numbers(document: &Document) -> Vec<String> {
    let mut faults = Vec::new();
    let mut unneeded: BTreeSet<&str> = document.cents.iter().copied().collect();
    unneeded.extend(&document.numbers);
    for (place, property) in each_property(&document.spec) {
        let kind = text(&property["type"]);
        if !matches!(kind, "integer" | "number") {
            continue;
        }
        let name = place.rsplit('.').next().unwrap_or_default();
        unneeded.remove(name);
        let says_cents = prose(property)
            .split(|c: char| !c.is_alphanumeric())
            .any(|word| word.eq_ignore_ascii_case("cents"));
        let cents = document.cents.contains(&name);
        if !cents && !document.numbers.contains(&name) {
            faults.push(format!(
                "{place}: is this money? Add it to one of the lists"
            ));
        }
        if cents && kind != "integer" {
            faults.push(format!("{place}: money is `type: integer`"));
        }
        if cents != says_cents {
            let verb = if cents { "doesn't say" } else { "says" };
            faults.push(format!("{place}: the description {verb} `cents`"));
        }
        if kind == "integer" && property["format"] != "int64" {
            faults.push(format!("{place}: whole numbers are `format: int64`"));
        }
    }
    for (place, part) in each_parameter_and_header(&document.spec) {
        if part["schema"]["type"] == "integer" {
            let description = prose(part);
            if part["schema"]["format"] != "int64" {
                faults.push(format!("{place}: whole numbers are `format: int64`"));
            }
            if !["count", "Cents", "Seconds", "tokens", "number"]
                .iter()
                .any(|unit| description.contains(unit))
            {
                faults.push(format!("{place}: the description has no unit"));
            }
        }
    }
    faults.extend(
        unneeded
            .iter()
            .map(|name| format!("no number is called {name}")),
    );
    faults
}

/// Times are RFC 3339 timestamps and ids are UUIDs, by format and by description.
fn formats(document: &Document) -> Vec<String> {
    let mut faults = Vec::new();
    let mut unneeded: BTreeSet<&str> = document.text_ids.iter().copied().collect();
    let spec = &document.spec;
    let mut values: Vec<(String, &Value, String)> = each_property(spec)
        .into_iter()
        .map(|(place, property)| (place, property, prose(property)))
        .collect();
    values.extend(
        each_parameter_and_header(spec)
            .into_iter()
            .map(|(place, part)| (place, resolve(spec, &part["schema"]), prose(part))),
    );
    for (place, schema, description) in values {
        let name = place.rsplit(['.', ' ']).next().unwrap_or_default();
        if schema["type"] != "string" {
            continue;
        }
        let format = text(&schema["format"]);
        let time = ["at", "date"].contains(&name)
            || ["_at", "_date", "_at_start", "_at_end"]
                .iter()
                .any(|end| name.ends_with(end));
        if time != (format == "date-time") {
            faults.push(format!(
                "{place}: a time has `format: date-time`, and a name that tells"
            ));
        }
        if (format == "date-time") != description.contains("RFC 3339 timestamp") {
            faults.push(format!(
                "{place}: a time's description says `RFC 3339 timestamp`"
            ));
        }
        let id = name == "id" || ["_id", "Id"].iter().any(|end| name.ends_with(end));
        let by_text = document.text_ids.contains(&name);
        if by_text {
            unneeded.remove(name);
        }
        if (id && !by_text) != (format == "uuid") {
            faults.push(format!(
                "{place}: an id has `format: uuid`, or is in the list of those that are text"
            ));
        }
        if (format == "uuid") != description.contains("A UUID") {
            faults.push(format!("{place}: a UUID's description says `A UUID`"));
        }
    }
    faults.extend(
        unneeded
            .iter()
            .map(|name| format!("no text is called {name}")),
    );
    faults
}

/// A limit or a default is also said in words: in most languages nothing else is left of it.
fn limits(spec: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let mut values: Vec<(String, &Value, String)> = Vec::new();
    for (place, property) in each_property(spec) {
        values.push((place, property, prose(property)));
    }
    for (name, schema) in components(spec, "schemas") {
        values.push((name.to_owned(), schema, prose(schema)));
    }
    for (place, part) in each_parameter_and_header(spec) {
        values.push((place, &part["schema"], prose(part)));
    }
    for (place, schema, description) in values {
        let said = description.to_lowercase();
        for key in [
            "minimum",
            "maximum",
            "minLength",
            "maxLength",
            "minItems",
            "maxItems",
            "default",
        ] {
            let Some(limit) = schema.get(key) else {
                continue;
            };
            let number = limit.as_i64().map_or_else(
                || {
                    limit
                        .as_str()
                        .map_or_else(|| limit.to_string(), str::to_owned)
                },
                thousands,
            );
            let phrases = match key {
                "minimum" => vec![format!("{number} or more"), format!("at least {number}")],
                "minLength" | "minItems" if number == "1" => {
                    vec!["not empty".to_owned(), "at least one".to_owned()]
                }
                "minLength" | "minItems" => vec![format!("at least {number}")],
                "default" => vec![format!("default {number}"), format!("default `{number}`")],
                _ => vec![format!("at most {number}"), format!("to {number}")],
            };
            if !phrases.iter().any(|phrase| said.contains(phrase)) {
                faults.push(format!(
                    "{place}: the description doesn't say {key} {number}; write one of {phrases:?}"
                ));
            }
        }
    }
    faults
}

/// Errors share the envelope, and those that pass say when to come back.
fn errors(document: &Document) -> Vec<String> {
    let spec = &document.spec;
    let mut faults = Vec::new();
    let mut unneeded: BTreeSet<_> = document.other_errors.iter().copied().collect();
    for (place, operation) in each_operation(spec) {
        let replies = operation["responses"].as_object();
        for (status, reply) in replies.into_iter().flatten() {
            if !status.starts_with(['4', '5']) {
                continue;
            }
            let reply = resolve(spec, reply);
            let schema = &reply["content"]["application/json"]["schema"]["$ref"];
            if schema != "#/components/schemas/ErrorReply"
                && !unneeded.remove(&(text(&operation["operationId"]), status.as_str()))
            {
                faults.push(format!("{place} {status}: the body isn't an ErrorReply"));
            }
            if matches!(status.as_str(), "429" | "503")
                && reply["headers"].get("Retry-After").is_none()
            {
                faults.push(format!("{place} {status}: there is no Retry-After"));
            }
        }
    }
    faults.extend(
        unneeded
            .iter()
            .map(|(id, status)| format!("{id} {status}: the body is an ErrorReply")),
    );
    faults
}

/// Objects of requests take no other properties. Enumerations of the public API's replies may have further values, and
/// say so; those of requests don't.
fn closed_and_open(document: &Document) -> Vec<String> {
    let spec = &document.spec;
    let mut faults = Vec::new();
    let mut unneeded: BTreeSet<_> = document.open_requests.iter().copied().collect();
    let (mut requests, mut replies) = (BTreeSet::new(), BTreeSet::new());
    for (_, operation) in each_operation(spec) {
        reach(spec, &operation["requestBody"], &mut requests);
        reach(spec, &operation["parameters"], &mut requests);
        reach(spec, &operation["responses"], &mut replies);
    }
    for (name, schema) in components(spec, "schemas") {
        if requests.contains(name)
            && schema.get("properties").is_some()
            && schema["additionalProperties"] != false
            && !unneeded.remove(name)
        {
            faults.push(format!(
                "{name}: an object of requests has `additionalProperties: false`"
            ));
        }
        if list(&schema["enum"]).len() > 1 {
            let open = prose(schema).split_whitespace().any(|word| word == "Open.");
            if requests.contains(name) && open {
                faults.push(format!("{name}: an enumeration of requests isn't open"));
            } else if replies.contains(name) && !requests.contains(name) && !open {
                faults.push(format!("{name}: an enumeration of replies says `Open.`"));
            }
        }
    }
    faults.extend(
        unneeded
            .iter()
            .map(|name| format!("{name}: is no open object of requests")),
    );
    faults
}

/// The extensions that a document uses are those that its description explains.
fn extensions(spec: &Value) -> Vec<String> {
    fn used(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(keys) => {
                for (key, value) in keys {
                    if key.starts_with("x-") {
                        found.insert(key.clone());
                    }
                    // What is in these is data.
                    if !["example", "examples", "default"].contains(&key.as_str()) {
                        used(value, found);
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| used(item, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    used(spec, &mut found);
    let explained: BTreeSet<String> = prose(&spec["info"])
        .split('`')
        .filter(|word| word.starts_with("x-"))
        .filter_map(|word| word.split(':').next())
        .map(str::to_owned)
        .collect();
    let unexplained = found
        .difference(&explained)
        .map(|key| format!("info.description doesn't explain {key}"));
    let unused = explained
        .difference(&found)
        .map(|key| format!("nothing has {key}, which info.description explains"));
    unexplained.chain(unused).collect()
}

/// A fault unless something is described by whole sentences.
fn sentence(place: &str, described: &Value) -> Option<String> {
    let description = prose(described);
    let whole = description.ends_with('.') && description.len() > 1;
    (!whole).then(|| format!("{place}: no description, or not in whole sentences"))
}

/// A description in one line.
fn prose(described: &Value) -> String {
    let words: Vec<&str> = text(&described["description"]).split_whitespace().collect();
    words.join(" ")
}

/// All operations, each with its method and path.
fn each_operation(spec: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for (path, item) in spec["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            if operation.is_object() {
                found.push((format!("{method} {path}"), operation));
            }
        }
    }
    found
}

/// All parameters and headers, each with its name at the end of its place.
fn each_parameter_and_header(spec: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    let mut add = |place: &str, name: &str, part| {
        let part: &Value = resolve(spec, part);
        let name = part["name"].as_str().unwrap_or(name);
        found.push((format!("{place} {name}"), part));
    };
    for (path, item) in spec["paths"].as_object().into_iter().flatten() {
        for parameter in list(&item["parameters"]) {
            add(path, "", parameter);
        }
    }
    for (place, operation) in each_operation(spec) {
        for parameter in list(&operation["parameters"]) {
            add(&place, "", parameter);
        }
        let replies = operation["responses"].as_object();
        for (status, reply) in replies.into_iter().flatten() {
            let headers = resolve(spec, reply)["headers"].as_object();
            for (name, header) in headers.into_iter().flatten() {
                add(&format!("{place} {status}"), name, header);
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// All properties of all schemas, each with its name at the end of its place.
fn each_property(spec: &Value) -> Vec<(String, &Value)> {
    fn below<'s>(place: &str, schema: &'s Value, found: &mut Vec<(String, &'s Value)>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let place = format!("{place}.{name}");
            below(&place, property, found);
            found.push((place, property));
        }
        for key in ["items", "additionalProperties", "not"] {
            if let Some(inner) = schema.get(key) {
                below(place, inner, found);
            }
        }
        for key in ["allOf", "oneOf", "anyOf"] {
            for member in list(&schema[key]) {
                below(place, member, found);
            }
        }
    }
    let mut found = Vec::new();
    for (name, schema) in components(spec, "schemas") {
        below(name, schema, &mut found);
    }
    found
}

fn components<'s>(spec: &'s Value, kind: &str) -> impl Iterator<Item = (&'s str, &'s Value)> {
    let named = spec["components"][kind].as_object();
    named
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
}

/// Collects the names of the schemas that a part of the document leads to.
fn reach<'s>(spec: &'s Value, part: &'s Value, found: &mut BTreeSet<&'s str>) {
    match part {
        Value::Object(keys) => {
            if let Some(reference) = part["$ref"].as_str() {
                let name = reference.strip_prefix("#/components/schemas/");
                if name.is_none_or(|name| found.insert(name)) {
                    reach(spec, resolve(spec, part), found);
                }
            }
            keys.values().for_each(|value| reach(spec, value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| reach(spec, item, found)),
        _ => {}
    }
}

fn list(value: &Value) -> &Vec<Value> {
    const NONE: &Vec<Value> = &Vec::new();
    value.as_array().unwrap_or(NONE)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A number with commas, as descriptions write it.
fn thousands(number: i64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

mod each_rule_can_be_broken {
    use serde_json::json;

    use super::*;

    /// A document that keeps all rules.
    const PARCELS: &str = include_str!("document/parcels.yaml");

    /// Changes one place of the document and expects just these faults.
    #[track_caller]
    fn expect(pointer: &str, value: Value, expected: &[&str]) {
        let mut document = parcels();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer has a parent");
        let parent = document
            .spec
            .pointer_mut(parent)
            .and_then(Value::as_object_mut)
            .unwrap_or_else(|| panic!("{parent} isn't an object"));
        let key = key.replace("~1", "/");
        if value.is_null() {
            parent.remove(&key).expect("what is removed is there");
        } else {
            parent.insert(key, value);
        }
        let found = faults(&document);
        let same =
            found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| f.contains(e));
        assert!(same, "expected {expected:#?}, found {found:#?}");
    }

    fn parcels() -> Document {
        Document {
            spec: serde_saphyr::from_str(PARCELS).expect("the document is YAML"),
            cents: vec!["price"],
            numbers: vec!["weight"],
            text_ids: vec!["external_id"],
            other_errors: Vec::new(),
            open_requests: Vec::new(),
        }
    }

    const POST: &str = "/paths/~1parcels~1{parcelId}/post";
    const SENT: &str = "/components/schemas/SendParcel/properties";

    #[test]
    fn the_document_keeps_all_rules() {
        assert_eq!(faults(&parcels()), [""; 0]);
    }

    #[test]
    fn operations() {
        let at = |key: &str| format!("{POST}/{key}");
        expect(
            &at("operationId"),
            json!("sendParcel"),
            &["isn't in snake case"],
        );
        expect(&at("operationId"), Value::Null, &["isn't in snake case"]);
        expect(&at("operationId"), json!("get_parcel"), &["is there twice"]);
        expect(&at("summary"), Value::Null, &["isn't a short line"]);
        expect(&at("summary"), json!("Sends."), &["isn't a short line"]);
        expect(&at("description"), Value::Null, &["no description"]);
        expect(&at("description"), json!("Sends it"), &["whole sentences"]);
        expect(
            &at("tags"),
            json!(["Parcel"]),
            &["aren't one of the declared ones"],
        );
        expect(
            &at("tags"),
            json!(["Parcels", "Parcels"]),
            &["aren't one of the"],
        );
        let tags = json!([{"name": "Parcels"}, {"name": "Letters"}]);
        expect("/tags", tags, &["no operation has tag Letters"]);
    }

    #[test]
    fn examples() {
        let body = format!("{POST}/requestBody/content/application~1json/examples");
        expect(
            &body,
            Value::Null,
            &["post /parcels/{parcelId} request application/json: there is no example"],
        );
        expect(&body, json!({}), &["there is no example"]);
        let reply = format!("{POST}/responses/200/content/application~1json/examples");
        expect(
            &reply,
            Value::Null,
            &["200 application/json: there is no example"],
        );
        expect(
            &format!("{reply}/sent/summary"),
            Value::Null,
            &["sent: the example has no summary"],
        );
        expect(
            &format!("{reply}/sent/value/price"),
            json!("much"),
            &["post /parcels/{parcelId} 200 application/json, sent: /0/price"],
        );
        // Replies are open, but the document's own examples have nothing that it doesn't describe.
        expect(
            &format!("{reply}/sent/value/colour"),
            json!("red"),
            &["colour"],
        );
        expect(
            "/components/responses/NotFound/content",
            Value::Null,
            &[
                "get /parcels/{parcelId} 404: there is no content",
                "get /parcels/{parcelId} 404: the body isn't an ErrorReply",
            ],
        );
        expect(
            "/components/responses/NotFound/description",
            Value::Null,
            &["404: no description"],
        );
        expect(
            &format!("{POST}/requestBody/description"),
            Value::Null,
            &["request: no description"],
        );
        expect(
            &format!("{SENT}/price/example"),
            json!("much"),
            &["SendParcel.price: : \"much\""],
        );
        let example = json!({"id": "738ec216-e8e5-48f2-b7f2-cdc89c96b3d4", "price": "much"});
        expect(
            "/components/schemas/Parcel/example",
            example,
            &["Parcel: /1/price"],
        );
    }

    #[test]
    fn parameters_and_headers() {
        let parameter = "/components/parameters/ParcelId";
        let place = "/parcels/{parcelId} parcelId";
        expect(
            &format!("{parameter}/example"),
            Value::Null,
            &[&format!("{place}: there is no example")],
        );
        expect(&format!("{parameter}/example"), json!("p1"), &[place]);
        expect(
            &format!("{parameter}/description"),
            json!("The parcel. A UUID."),
            &["doesn't say `Never null.`"],
        );
        let header = "/components/headers/Retry-After";
        expect(
            &format!("{header}/example"),
            Value::Null,
            &["503 Retry-After: there is no example"],
        );
        expect(
            &format!("{header}/description"),
            json!("Never null."),
            &["has no unit"],
        );
        expect(
            &format!("{header}/schema/format"),
            Value::Null,
            &["`format: int64`"],
        );
    }

    #[test]
    fn descriptions() {
        expect(
            "/components/schemas/Parcel/description",
            Value::Null,
            &["Parcel: no description"],
        );
        expect(
            &format!("{SENT}/note/description"),
            Value::Null,
            &["SendParcel.note: no description", "what null means"],
        );
        expect(
            &format!("{SENT}/note/description"),
            json!("A note."),
            &["what null means"],
        );
        expect(
            &format!("{SENT}/note/description"),
            json!("A note. Never null."),
            &["what null means"],
        );
        expect(
            &format!("{SENT}/note/nullable"),
            Value::Null,
            &["doesn't say `Never null`"],
        );
        // In the schema of a list's items, too.
        expect(
            "/components/schemas/Parcel/properties/stops",
            json!({"type": "array", "description": "Never null.", "items": {
                "type": "object", "properties": {"town": {"type": "string"}}}}),
            &[
                "Parcel.stops.town: no description",
                "doesn't say `Never null`",
            ],
        );
    }

    #[test]
    fn numbers() {
        let price = format!("{SENT}/price");
        expect(
            &format!("{price}/description"),
            json!("The price. 0 or more. Never null."),
            &["SendParcel.price: the description doesn't say `cents`"],
        );
        expect(
            &format!("{price}/format"),
            Value::Null,
            &["`format: int64`"],
        );
        expect(
            &format!("{price}/type"),
            json!("number"),
            &["money is `type: integer`"],
        );
        let weight = format!("{SENT}/weight/description");
        expect(&weight, json!("Cents. Never null."), &["says `cents`"]);
        expect(
            &format!("{SENT}/insured"),
            json!({"type": "integer", "format": "int64", "description": "What for. Never null."}),
            &["SendParcel.insured: is this money?"],
        );
        expect(
            &format!("{SENT}/weight"),
            Value::Null,
            &["no number is called weight"],
        );
    }

    #[test]
    fn formats() {
        expect(
            &format!("{SENT}/sent_at/format"),
            Value::Null,
            &["a time has", "a time's description"],
        );
        expect(
            &format!("{SENT}/sent_at/description"),
            json!("When. Never null."),
            &["says `RFC 3339 timestamp`"],
        );
        let id = "/components/schemas/Parcel/properties/id";
        expect(
            &format!("{id}/format"),
            Value::Null,
            &["an id has", "a UUID's description"],
        );
        expect(
            &format!("{id}/description"),
            json!("Which. Never null."),
            &["says `A UUID`"],
        );
        expect(
            &format!("{SENT}/external_id"),
            Value::Null,
            &["no text is called external_id"],
        );
    }

    #[test]
    fn limits() {
        let price = format!("{SENT}/price");
        expect(
            &format!("{price}/description"),
            json!("The price. Cents. Never null."),
            &["SendParcel.price: the description doesn't say minimum 0"],
        );
        expect(
            &format!("{price}/maximum"),
            json!(5000),
            &["doesn't say maximum 5,000"],
        );
        expect(
            &format!("{price}/default"),
            json!(12),
            &["doesn't say default 12"],
        );
        expect(
            &format!("{SENT}/note/minLength"),
            json!(1),
            &["doesn't say minLength 1"],
        );
        let parameter = "/components/parameters/ParcelId/schema/maxLength";
        expect(
            parameter,
            json!(36),
            &["parcelId: the description doesn't say maxLength 36"],
        );
    }

    #[test]
    fn errors() {
        let busy = format!("{POST}/responses/503");
        let schema = format!("{busy}/content/application~1json/schema");
        expect(
            &schema,
            json!({"type": "object"}),
            &["503: the body isn't an ErrorReply"],
        );
        expect(
            &format!("{busy}/headers"),
            Value::Null,
            &["503: there is no Retry-After"],
        );
        let mut document = parcels();
        document.other_errors = vec![("send_parcel", "503")];
        assert_eq!(
            faults(&document),
            ["send_parcel 503: the body is an ErrorReply"]
        );
    }

    #[test]
    fn closed_requests_and_open_replies() {
        let sent = "/components/schemas/SendParcel/additionalProperties";
        expect(
            sent,
            Value::Null,
            &["SendParcel: an object of requests has"],
        );
        let speed = "/components/schemas/Speed/description";
        expect(
            speed,
            json!("How fast. Open."),
            &["Speed: an enumeration of requests isn't open"],
        );
        let state = "/components/schemas/ParcelState/description";
        expect(
            state,
            json!("Where it is."),
            &["ParcelState: an enumeration of replies says `Open.`"],
        );
        let mut document = parcels();
        document.open_requests = vec!["SendParcel"];
        assert_eq!(
            faults(&document),
            ["SendParcel: is no open object of requests"]
        );
    }

    #[test]
    fn extensions() {
        expect(
            &format!("{SENT}/note/x-new"),
            json!(true),
            &["doesn't explain x-new"],
        );
        expect(
            &format!("{SENT}/note/x-secret"),
            Value::Null,
            &["nothing has x-secret"],
        );
    }
}
