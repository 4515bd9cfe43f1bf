//! Compares what two documents mean: operation by operation, requests and replies apart, references followed.
//!
//! A schema that several operations reach is compared once for each side, and the change names all of them. `allOf` is
//! merged into the schema that has it, so that a reference and an `allOf` of one reference are the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Number, Value};

use super::change::{Change, Effect, Side};
use crate::codegen::mistake::child_pointer;
use crate::codegen::yaml::{Kind, Node};

/// How deep schemas and references may nest; nobody writes more, and a circle ends here.
const DEPTH: usize = 32;

/// A change and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) change: Change,
    pub(crate) side: Side,
    /// What people call the place.
    pub(crate) place: String,
    /// JSON Pointer into the earlier document; where nothing stands there, to where it would stand.
    pub(crate) old: Option<String>,
    /// The same for the later document.
    pub(crate) new: Option<String>,
    /// The operations that it concerns, in alphabetical order.
    pub(crate) operations: BTreeSet<String>,
    /// Further places that differ because of it.
    pub(super) also: Vec<String>,
}

/// A value and its JSON Pointer.
#[derive(Clone, Debug)]
pub(super) struct At<'a> {
    pub(super) node: &'a Node,
    pub(super) pointer: String,
}

impl<'a> At<'a> {
    pub(super) fn root(node: &'a Node) -> Self {
        Self {
            node,
            pointer: String::new(),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<Self> {
        Some(Self {
            node: self.node.get(key)?,
            pointer: child_pointer(&self.pointer, key),
        })
    }

    pub(super) fn entries(&self) -> Vec<(&'a str, Self)> {
        let entries = self.node.entries().iter();
        entries
            .map(|entry| {
                let at = Self {
                    node: &entry.value,
                    pointer: child_pointer(&self.pointer, &entry.key),
                };
                (entry.key.as_str(), at)
            })
            .collect()
    }

    pub(super) fn items(&self) -> Vec<Self> {
        let items = self.node.items().iter().enumerate();
        items
            .map(|(index, node)| Self {
                node,
                pointer: child_pointer(&self.pointer, &index.to_string()),
            })
            .collect()
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.node.get(key).and_then(Node::text)
    }

    fn truth(&self, key: &str) -> bool {
        self.node.get(key).and_then(Node::truth) == Some(true)
    }

    fn list(&self, key: &str) -> Vec<Self> {
        self.get(key).map_or_else(Vec::new, |at| at.items())
    }

    fn map(&self, key: &str) -> Vec<(&'a str, Self)> {
        self.get(key).map_or_else(Vec::new, |at| at.entries())
    }

    /// Where `key` stands or would stand.
    fn place(&self, key: &str) -> String {
        child_pointer(&self.pointer, key)
    }
}

/// A schema with its `allOf` merged into it. What the schema says itself comes before what its members say.
struct View<'a> {
    /// The component's name, if it is one.
    name: Option<&'a str>,
    at: At<'a>,
    facets: BTreeMap<&'a str, At<'a>>,
    properties: Vec<(&'a str, At<'a>)>,
    /// Where each required property is called so.
    required: BTreeMap<&'a str, String>,
}

impl<'a> View<'a> {
    fn text(&self, key: &str) -> Option<&'a str> {
        self.facets.get(key).and_then(|at| at.node.text())
    }

    fn truth(&self, key: &str) -> bool {
        self.facets.get(key).and_then(|at| at.node.truth()) == Some(true)
    }

    fn number(&self, key: &str) -> Option<&'a Number> {
        match self.facets.get(key).map(|at| &at.node.kind) {
            Some(Kind::Number(number)) => Some(number),
            _ => None,
        }
    }

    /// Where a key stands or would stand.
    fn place(&self, key: &str) -> String {
        self.facets
            .get(key)
            .map_or_else(|| self.at.place(key), |at| at.pointer.clone())
    }

    fn property(&self, name: &str) -> Option<&At<'a>> {
        self.properties
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, at)| at)
    }

    fn property_place(&self, name: &str) -> String {
        self.property(name).map_or_else(
            || child_pointer(&self.at.place("properties"), name),
            |at| at.pointer.clone(),
        )
    }

    fn required_place(&self, name: &str) -> String {
        self.required
            .get(name)
            .cloned()
            .unwrap_or_else(|| self.at.place("required"))
    }
}

/// Follows a reference as far as it leads; gives the name of the last component on the way.
pub(super) fn resolve<'a>(root: &'a Node, at: &At<'a>) -> (At<'a>, Option<&'a str>) {
    let mut at = at.clone();
    let mut name = None;
    for _ in 0..DEPTH {
        let Some(pointer) = at.text("$ref").and_then(|text| text.strip_prefix('#')) else {
            break;
        };
        let Some(node) = root.find(pointer) else {
            break;
        };
        name = pointer.rsplit('/').next();
        at = At {
            node,
            pointer: pointer.to_owned(),
        };
    }
    (at, name)
}

/// Where a parameter is sent, and its name there.
type Key = (String, String);

/// An operation of a document.
struct Operation<'a> {
    at: At<'a>,
    item: At<'a>,
    method: &'a str,
    path: &'a str,
}

impl<'a> Operation<'a> {
    fn id(&self) -> Option<&'a str> {
        self.at.text("operationId")
    }

    /// What people call it.
    fn name(&self) -> String {
        self.id().map_or_else(|| self.title(), str::to_owned)
    }

    fn title(&self) -> String {
        format!("{} {}", self.method.to_uppercase(), self.path)
    }

    /// Its method and path, whatever the path's parameters are called.
    fn route(&self) -> (String, String) {
        let mut path = String::new();
        let mut inside = false;
        for letter in self.path.chars() {
            if letter == '}' {
                inside = false;
            }
            if !inside {
                path.push(letter);
            }
            if letter == '{' {
                inside = true;
            }
        }
        (self.method.to_owned(), path)
    }

    /// The names in braces, in the order of the path.
    fn path_names(&self) -> Vec<&'a str> {
        let parts = self.path.split('{').skip(1);
        parts.filter_map(|part| part.split('}').next()).collect()
    }

    /// Its parameters by what the wire knows them by; those of the path by their place in it. They are in the order of
    /// the document, with those that all operations of the path share first.
    fn parameters(&self, root: &'a Node) -> Vec<(Key, At<'a>)> {
        let names = self.path_names();
        let mut all: Vec<(Key, At<'a>)> = Vec::new();
        for list in [&self.item, &self.at] {
            for written in list.list("parameters") {
                let (at, _) = resolve(root, &written);
                let (place, name) = (
                    at.text("in").unwrap_or_default(),
                    at.text("name").unwrap_or_default(),
                );
                let name = match (place, names.iter().position(|known| *known == name)) {
                    ("path", Some(index)) => index.to_string(),
                    ("header", _) => name.to_lowercase(),
                    _ => name.to_owned(),
                };
                let key = (place.to_owned(), name);
                match all.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, shared)) => *shared = written,
                    None => all.push((key, written)),
                }
            }
        }
        all
    }
}

fn operations(root: &Node) -> Vec<Operation<'_>> {
    let mut all = Vec::new();
    for (path, item) in At::root(root).map("paths") {
        if path.starts_with("x-") {
            continue;
        }
        for method in [
            "get", "put", "post", "delete", "options", "head", "patch", "trace",
        ] {
            if let Some(at) = item.get(method) {
                all.push(Operation {
                    at,
                    item: item.clone(),
                    method,
                    path,
                });
            }
        }
    }
    all
}

/// The changes in what the documents mean. Both follow the grammar of OpenAPI; what doesn't is passed over.
pub(super) fn compare(old: &Node, new: &Node) -> Vec<Found> {
    let mut comparison = Comparison {
        old,
        new,
        clean: clean(old, new),
        operation: None,
        compared: BTreeSet::new(),
        found: Vec::new(),
    };
    comparison.document();
    comparison.found
}

struct Comparison<'a> {
    old: &'a Node,
    new: &'a Node,
    /// The components that are the same in both, with all that they refer to.
    clean: BTreeSet<String>,
    /// The operation that is being compared.
    operation: Option<String>,
    /// The schemas that were compared on behalf of this operation.
    compared: BTreeSet<(String, String, Side)>,
    found: Vec<Found>,
}

impl<'a> Comparison<'a> {
    fn report(
        &mut self,
        change: Change,
        side: Side,
        place: &str,
        old: impl Into<Option<String>>,
        new: impl Into<Option<String>>,
    ) -> &mut Found {
        let (old, new) = (old.into(), new.into());
        let known = self.found.iter().position(|found| {
            found.change == change && found.side == side && found.old == old && found.new == new
        });
        let index = known.unwrap_or_else(|| {
            self.found.push(Found {
                change,
                side,
                place: place.to_owned(),
                old,
                new,
                operations: BTreeSet::new(),
                also: Vec::new(),
            });
            self.found.len() - 1
        });
        let found = &mut self.found[index];
        found.operations.extend(self.operation.clone());
        found
    }

    /// Whether two values are the same, with all that they refer to. Most are, so that this saves most of the work.
    fn untouched(&self, old: &At<'a>, new: &At<'a>) -> bool {
        let mut references = Vec::new();
        refers(old.node, &mut references);
        same(old.node, new.node) && references.iter().all(|to| self.clean.contains(*to))
    }

    fn document(&mut self) {
        let (old, new) = (At::root(self.old), At::root(self.new));
        if let (Some(from), Some(to)) = (old.text("openapi"), new.text("openapi"))
            && from != to
        {
            let (from, to) = (from.to_owned(), to.to_owned());
            let place = "/openapi".to_owned();
            self.report(
                Change::OpenApiVersionChanged { from, to },
                Side::Elsewhere,
                "the document",
                place.clone(),
                place,
            );
        }
        let version = |root: &Node| {
            root.find("/info/version")
                .and_then(Node::text)
                .unwrap_or_default()
                .to_owned()
        };
        let (from, to) = (version(self.old), version(self.new));
        if from != to {
            let place = "/info/version".to_owned();
            self.report(
                Change::VersionChanged { from, to },
                Side::Elsewhere,
                "the document",
                place.clone(),
                place,
            );
        }
        self.servers(&old, &new);
        let (mut before, mut after) = (operations(self.old), operations(self.new));
        let mut pairs = Vec::new();
        // First by what the wire knows them by, then by their names.
        for same in [
            |a: &Operation<'_>, b: &Operation<'_>| a.route() == b.route(),
            |a: &Operation<'_>, b: &Operation<'_>| a.id().is_some() && a.id() == b.id(),
        ] {
            let mut rest = Vec::new();
            for one in before {
                match after.iter().position(|other| same(&one, other)) {
                    Some(index) => pairs.push((one, after.remove(index))),
                    None => rest.push(one),
                }
            }
            before = rest;
        }
        for (one, other) in &pairs {
            self.operation = Some(other.name());
            self.compared.clear();
            self.operation(one, other);
        }
        for one in before {
            self.operation = Some(one.name());
            let place = format!("operation {} ({})", one.name(), one.title());
            self.report(
                Change::OperationRemoved,
                Side::Elsewhere,
                &place,
                one.at.pointer.clone(),
                one.at.pointer.clone(),
            );
        }
        for other in after {
            self.operation = Some(other.name());
            let place = format!("operation {} ({})", other.name(), other.title());
            self.report(
                Change::OperationAdded,
                Side::Elsewhere,
                &place,
                other.at.pointer.clone(),
                other.at.pointer.clone(),
            );
        }
        self.operation = None;
    }

    fn servers(&mut self, old: &At<'a>, new: &At<'a>) {
        let (before, after) = (old.list("servers"), new.list("servers"));
        let url = |at: &At<'a>| at.text("url").unwrap_or_default();
        for at in &before {
            match after.iter().find(|other| url(other) == url(at)) {
                None => {
                    self.report(
                        Change::ServerRemoved,
                        Side::Elsewhere,
                        &format!("server {}", url(at)),
                        at.pointer.clone(),
                        None,
                    );
                }
                Some(other) => {
                    let variables = |at: &At<'a>| {
                        let mut all = BTreeMap::new();
                        for (name, variable) in at.map("variables") {
                            all.insert(
                                name.to_owned(),
                                (
                                    variable.text("default").map(str::to_owned),
                                    variable.get("enum").map(|list| list.node.to_json()),
                                ),
                            );
                        }
                        all
                    };
                    let (from, to) = (variables(at), variables(other));
                    let names: BTreeSet<_> = from.keys().chain(to.keys()).collect();
                    for name in names {
                        if from.get(name) != to.get(name) {
                            self.report(
                                Change::ServerVariableChanged,
                                Side::Elsewhere,
                                &format!("server {}, variable {name}", url(at)),
                                child_pointer(&at.place("variables"), name),
                                child_pointer(&other.place("variables"), name),
                            );
                        }
                    }
                }
            }
        }
        for at in &after {
            if !before.iter().any(|other| url(other) == url(at)) {
                self.report(
                    Change::ServerAdded,
                    Side::Elsewhere,
                    &format!("server {}", url(at)),
                    None,
                    at.pointer.clone(),
                );
            }
        }
        if let (Some(from), Some(to)) = (before.first(), after.first())
            && url(from) != url(to)
        {
            let change = Change::FirstServerChanged {
                from: url(from).to_owned(),
                to: url(to).to_owned(),
            };
            self.report(
                change,
                Side::Elsewhere,
                "servers",
                from.place("url"),
                to.place("url"),
            );
        }
    }

    fn operation(&mut self, old: &Operation<'a>, new: &Operation<'a>) {
        let place = format!("operation {}", new.name());
        let (a, b) = (&old.at, &new.at);
        if old.route() != new.route() {
            let change = Change::OperationMoved {
                from: old.title(),
                to: new.title(),
            };
            self.report(
                change,
                Side::Elsewhere,
                &place,
                a.pointer.clone(),
                b.pointer.clone(),
            );
        }
        if old.id() != new.id() {
            let change = Change::OperationRenamed {
                from: old.name(),
                to: new.name(),
            };
            self.report(
                change,
                Side::Elsewhere,
                &place,
                a.place("operationId"),
                b.place("operationId"),
            );
        }
        let names = old.path_names().into_iter().zip(new.path_names());
        for (index, (from, to)) in names.enumerate() {
            if from != to {
                let key = ("path".to_owned(), index.to_string());
                let declared = [(self.old, old), (self.new, new)].map(|(root, operation)| {
                    let mut all = operation.parameters(root).into_iter();
                    let (_, written) = all.find(|(known, _)| *known == key)?;
                    Some(resolve(root, &written).0.place("name"))
                });
                let (from, to) = (from.to_owned(), to.to_owned());
                self.report(
                    Change::PathParameterRenamed { from, to },
                    Side::Request,
                    &place,
                    old.item.pointer.clone(),
                    new.item.pointer.clone(),
                )
                .also
                .extend(declared.into_iter().flatten());
            }
        }
        let tags = |at: &At<'a>| at.get("tags").map(|tags| tags.node.to_json());
        if tags(a).unwrap_or_else(|| Value::Array(Vec::new()))
            != tags(b).unwrap_or_else(|| Value::Array(Vec::new()))
        {
            self.report(
                Change::TagsChanged,
                Side::Elsewhere,
                &place,
                a.place("tags"),
                b.place("tags"),
            );
        }
        self.deprecation(a, b, Side::Elsewhere, &place);
        self.security(a, b, &place);
        self.parameters(old, new);
        self.body(a, b);
        self.responses(a, b);
    }

    fn deprecation(&mut self, old: &At<'a>, new: &At<'a>, side: Side, place: &str) {
        let change = match (old.truth("deprecated"), new.truth("deprecated")) {
            (false, true) => Change::Deprecated,
            (true, false) => Change::NoLongerDeprecated,
            _ => return,
        };
        self.report(
            change,
            side,
            place,
            old.place("deprecated"),
            new.place("deprecated"),
        );
    }

    fn security(&mut self, old: &At<'a>, new: &At<'a>, place: &str) {
        let alternatives = |root: &'a Node, at: &At<'a>| {
            let root = At::root(root);
            let list = at.get("security").or_else(|| root.get("security"));
            let place = list
                .as_ref()
                .map_or_else(|| root.place("security"), |list| list.pointer.clone());
            let mut all = BTreeMap::new();
            let mut names = BTreeSet::new();
            for item in list.map_or_else(Vec::new, |list| list.items()) {
                let mut parts = Vec::new();
                for (name, scopes) in item.entries() {
                    names.insert(name);
                    let scopes: BTreeSet<&str> =
                        scopes.node.items().iter().filter_map(Node::text).collect();
                    let scopes: Vec<&str> = scopes.into_iter().collect();
                    parts.push(if scopes.is_empty() {
                        name.to_owned()
                    } else {
                        format!("{name} ({})", scopes.join(", "))
                    });
                }
                parts.sort();
                let text = if parts.is_empty() {
                    "none".to_owned()
                } else {
                    parts.join(" and ")
                };
                all.insert(text, item.pointer);
            }
            if all.is_empty() {
                all.insert("none".to_owned(), place.clone());
            }
            (all, names, place)
        };
        let (before, from, old_place) = alternatives(self.old, old);
        let (after, to, new_place) = alternatives(self.new, new);
        for (text, pointer) in &before {
            if !after.contains_key(text) {
                self.report(
                    Change::SecurityAlternativeRemoved(text.clone()),
                    Side::Elsewhere,
                    place,
                    pointer.clone(),
                    new_place.clone(),
                );
            }
        }
        for (text, pointer) in &after {
            if !before.contains_key(text) {
                self.report(
                    Change::SecurityAlternativeAdded(text.clone()),
                    Side::Elsewhere,
                    place,
                    old_place.clone(),
                    pointer.clone(),
                );
            }
        }
        for name in from.intersection(&to) {
            let scheme = |root: &'a Node| {
                let pointer = child_pointer("/components/securitySchemes", name);
                let node = root.find(&pointer)?;
                Some(resolve(root, &At { node, pointer }).0)
            };
            let (Some(one), Some(other)) = (scheme(self.old), scheme(self.new)) else {
                continue;
            };
            let keys: BTreeSet<&str> = one
                .entries()
                .into_iter()
                .chain(other.entries())
                .map(|(key, _)| key)
                .collect();
            for key in keys {
                let differs =
                    one.node.get(key).map(Node::to_json) != other.node.get(key).map(Node::to_json);
                if differs
                    && !matches!(key, "description" | "bearerFormat")
                    && !key.starts_with("x-")
                {
                    self.report(
                        Change::SecuritySchemeChanged(key.to_owned()),
                        Side::Elsewhere,
                        &format!("security scheme {name}"),
                        one.place(key),
                        other.place(key),
                    );
                }
            }
        }
    }

    fn parameters(&mut self, old: &Operation<'a>, new: &Operation<'a>) {
        let (one, other) = (old.parameters(self.old), new.parameters(self.new));
        let place_of = |key: &Key| other.iter().position(|(known, _)| known == key);
        let mut before: BTreeMap<_, _> = one.iter().cloned().collect();
        let mut after: BTreeMap<_, _> = other.iter().cloned().collect();
        // The places of the parameters that stay, by the earlier order.
        let mut stay: BTreeMap<Key, usize> = BTreeMap::new();
        let name = |root: &'a Node, at: &At<'a>| {
            let (at, _) = resolve(root, at);
            (
                at.text("in").unwrap_or_default(),
                at.text("name").unwrap_or_default(),
            )
        };
        let keys: Vec<_> = before.keys().cloned().collect();
        for key in &keys {
            if let Some(other) = after.remove(key)
                && let Some(one) = before.remove(key)
            {
                stay.extend(place_of(key).map(|index| (key.clone(), index)));
                let (place, name) = name(self.new, &other);
                let place = format!("{place} parameter {name}");
                self.parameter(&one, &other, Side::Request, &place);
            }
        }
        for (key, one) in before {
            let (from, text) = name(self.old, &one);
            let place = format!("{from} parameter {text}");
            let elsewhere = after.keys().find(|(_, other)| *other == key.1).cloned();
            let index = elsewhere.as_ref().and_then(place_of);
            let Some(other) = elsewhere.and_then(|other| after.remove(&other)) else {
                self.report(
                    Change::ParameterRemoved,
                    Side::Request,
                    &place,
                    one.pointer,
                    None,
                );
                continue;
            };
            stay.extend(index.map(|index| (key, index)));
            let (to, _) = name(self.new, &other);
            let change = Change::ParameterMoved {
                from: from.to_owned(),
                to: to.to_owned(),
            };
            let (a, _) = resolve(self.old, &one);
            let (b, _) = resolve(self.new, &other);
            self.report(change, Side::Request, &place, a.place("in"), b.place("in"));
            self.parameter(&one, &other, Side::Request, &place);
        }
        let kept: Vec<(&At<'a>, usize)> = one
            .iter()
            .filter_map(|(key, at)| Some((at, *stay.get(key)?)))
            .collect();
        if let Some(pair) = kept.windows(2).find(|pair| pair[0].1 > pair[1].1) {
            // The change is one of the lists in which they stand.
            let list = |at: &At<'a>| at.pointer.rsplit_once('/').map(|(list, _)| list.to_owned());
            let (old, new) = (list(pair[1].0), list(&other[pair[1].1].1));
            let change = Change::ParametersReordered;
            self.report(change, Side::Request, "the parameters", old, new);
        }
        let last = kept.iter().map(|(_, index)| *index).max();
        for (key, other) in after {
            let (to, text) = name(self.new, &other);
            let (at, _) = resolve(self.new, &other);
            let required = at.truth("required");
            let change = if !required && place_of(&key) < last {
                Change::ParameterInserted
            } else {
                Change::ParameterAdded { required }
            };
            self.report(
                change,
                Side::Request,
                &format!("{to} parameter {text}"),
                None,
                other.pointer,
            );
        }
    }

    /// A parameter of a request or a header of a reply.
    fn parameter(&mut self, old: &At<'a>, new: &At<'a>, side: Side, place: &str) {
        if self.untouched(old, new) {
            return;
        }
        let (old, _) = resolve(self.old, old);
        let (new, _) = resolve(self.new, new);
        self.necessity(&old, &new, side, place);
        self.deprecation(&old, &new, side, place);
        let location = |at: &At<'a>| at.text("in").unwrap_or("header").to_owned();
        let style = |at: &At<'a>| {
            at.text("style").map_or_else(
                || match location(at).as_str() {
                    "query" | "cookie" => "form".to_owned(),
                    _ => "simple".to_owned(),
                },
                str::to_owned,
            )
        };
        let explode = |at: &At<'a>| {
            at.node
                .get("explode")
                .and_then(Node::truth)
                .unwrap_or_else(|| style(at) == "form")
        };
        if style(&old) != style(&new) {
            let change = Change::SerializationChanged("style");
            self.report(change, side, place, old.place("style"), new.place("style"));
        }
        if explode(&old) != explode(&new) {
            // Text and numbers are written in one way, whatever this key says.
            let simple = |root: &'a Node, at: &At<'a>| {
                at.get("schema").is_some_and(|schema| {
                    let kind = kind(root, &view(root, &schema), 0);
                    matches!(kind, Some("string" | "integer" | "number" | "boolean"))
                })
            };
            if !(simple(self.old, &old) && simple(self.new, &new)) {
                let change = Change::SerializationChanged("explode");
                self.report(
                    change,
                    side,
                    place,
                    old.place("explode"),
                    new.place("explode"),
                );
            }
        }
        for key in ["allowReserved", "allowEmptyValue"] {
            if old.truth(key) != new.truth(key) {
                let change = Change::SerializationChanged(key);
                self.report(change, side, place, old.place(key), new.place(key));
            }
        }
        match (old.get("schema"), new.get("schema")) {
            (Some(one), Some(other)) => self.schema(&one, &other, side, place),
            (None, None) => self.contents(&old, &new, side, place),
            _ => {
                let change = Change::SerializationChanged("content");
                let key = |at: &At<'a>| {
                    let key = if at.get("schema").is_some() {
                        "schema"
                    } else {
                        "content"
                    };
                    at.place(key)
                };
                let found = self.report(change, side, place, key(&old), key(&new));
                for at in [&old, &new] {
                    found.also.extend([at.place("schema"), at.place("content")]);
                }
            }
        }
    }

    fn necessity(&mut self, old: &At<'a>, new: &At<'a>, side: Side, place: &str) {
        let change = match (old.truth("required"), new.truth("required")) {
            (false, true) => Change::BecameRequired,
            (true, false) => Change::BecameOptional,
            _ => return,
        };
        self.report(
            change,
            side,
            place,
            old.place("required"),
            new.place("required"),
        );
    }

    fn body(&mut self, old: &At<'a>, new: &At<'a>) {
        let place = "request body";
        match (old.get("requestBody"), new.get("requestBody")) {
            (Some(one), Some(other)) => {
                let (one, _) = resolve(self.old, &one);
                let (other, _) = resolve(self.new, &other);
                self.necessity(&one, &other, Side::Request, place);
                self.contents(&one, &other, Side::Request, place);
            }
            (Some(one), None) => {
                let there = new.place("requestBody");
                self.report(
                    Change::BodyRemoved,
                    Side::Request,
                    place,
                    one.pointer,
                    there,
                );
            }
            (None, Some(other)) => {
                let (at, _) = resolve(self.new, &other);
                let required = at.truth("required");
                let there = old.place("requestBody");
                self.report(
                    Change::BodyAdded { required },
                    Side::Request,
                    place,
                    there,
                    other.pointer,
                );
            }
            (None, None) => {}
        }
    }

    fn contents(&mut self, old: &At<'a>, new: &At<'a>, side: Side, place: &str) {
        let (before, after) = (old.map("content"), new.map("content"));
        let find = |list: &[(&'a str, At<'a>)], name: &str| {
            list.iter()
                .find(|(other, _)| other.eq_ignore_ascii_case(name))
                .map(|(_, at)| at.clone())
        };
        for (name, one) in &before {
            let place = format!("{place} ({name})");
            let Some(other) = find(&after, name) else {
                let there = child_pointer(&new.place("content"), name);
                self.report(
                    Change::MediaTypeRemoved,
                    side,
                    &place,
                    one.pointer.clone(),
                    there,
                );
                continue;
            };
            match (one.get("schema"), other.get("schema")) {
                (Some(a), Some(b)) => self.schema(&a, &b, side, &place),
                (None, None) => {}
                (a, _) => {
                    let word = |there: bool| if there { "a schema" } else { "anything" };
                    let change = Change::TypeChanged {
                        effect: if a.is_some() {
                            Effect::Widened
                        } else {
                            Effect::Narrowed
                        },
                        from: word(a.is_some()).to_owned(),
                        to: word(a.is_none()).to_owned(),
                    };
                    self.report(
                        change,
                        side,
                        &place,
                        one.place("schema"),
                        other.place("schema"),
                    );
                }
            }
        }
        for (name, other) in &after {
            if find(&before, name).is_none() {
                self.report(
                    Change::MediaTypeAdded,
                    side,
                    &format!("{place} ({name})"),
                    child_pointer(&old.place("content"), name),
                    other.pointer.clone(),
                );
            }
        }
    }

    fn responses(&mut self, old: &At<'a>, new: &At<'a>) {
        let (before, after) = (old.map("responses"), new.map("responses"));
        let find = |list: &[(&'a str, At<'a>)], code: &str| {
            list.iter()
                .find(|(other, _)| *other == code)
                .map(|(_, at)| at.clone())
        };
        // An unknown `default` may be a success.
        let success = |code: &str| !code.starts_with(['4', '5']);
        for (code, one) in before.iter().filter(|(code, _)| !code.starts_with("x-")) {
            let place = format!("status {code}");
            let Some(other) = find(&after, code) else {
                let there = child_pointer(&new.place("responses"), code);
                let success = success(code);
                self.report(
                    Change::StatusRemoved { success },
                    Side::Reply,
                    &place,
                    one.pointer.clone(),
                    there,
                );
                continue;
            };
            if self.untouched(one, &other) {
                continue;
            }
            let (one, _) = resolve(self.old, one);
            let (other, _) = resolve(self.new, &other);
            self.headers(&one, &other, &place);
            self.contents(&one, &other, Side::Reply, &place);
        }
        for (code, other) in after.iter().filter(|(code, _)| !code.starts_with("x-")) {
            if find(&before, code).is_none() {
                let success = success(code);
                self.report(
                    Change::StatusAdded { success },
                    Side::Reply,
                    &format!("status {code}"),
                    child_pointer(&old.place("responses"), code),
                    other.pointer.clone(),
                );
            }
        }
    }

    fn headers(&mut self, old: &At<'a>, new: &At<'a>, place: &str) {
        let (before, after) = (old.map("headers"), new.map("headers"));
        for (name, one) in &before {
            let place = format!("{place}, header {name}");
            match after
                .iter()
                .find(|(other, _)| other.eq_ignore_ascii_case(name))
            {
                Some((_, other)) => self.parameter(one, other, Side::Reply, &place),
                None => {
                    self.report(
                        Change::HeaderRemoved,
                        Side::Reply,
                        &place,
                        one.pointer.clone(),
                        child_pointer(&new.place("headers"), name),
                    );
                }
            }
        }
        for (name, other) in &after {
            if !before
                .iter()
                .any(|(known, _)| known.eq_ignore_ascii_case(name))
            {
                let required = resolve(self.new, other).0.truth("required");
                self.report(
                    Change::HeaderAdded { required },
                    Side::Reply,
                    &format!("{place}, header {name}"),
                    child_pointer(&old.place("headers"), name),
                    other.pointer.clone(),
                );
            }
        }
    }

    fn schema(&mut self, old: &At<'a>, new: &At<'a>, side: Side, place: &str) {
        if self.untouched(old, new) {
            return;
        }
        let (a, b) = (view(self.old, old), view(self.new, new));
        if !self
            .compared
            .insert((old.pointer.clone(), new.pointer.clone(), side))
        {
            return;
        }
        if a.at.pointer != old.pointer || b.at.pointer != new.pointer {
            let resolved = (a.at.pointer.clone(), b.at.pointer.clone(), side);
            if !self.compared.insert(resolved) {
                self.name(old, new, &a, &b, side, place);
                return;
            }
        }
        self.name(old, new, &a, &b, side, place);
        let place = b.name.unwrap_or(place);

        // What is left of references leads to another document, which is compared by itself.
        if a.text("$ref") != b.text("$ref") {
            let word = |view: &View<'a>| {
                view.text("$ref")
                    .unwrap_or("a schema of its own")
                    .to_owned()
            };
            let change = Change::TypeChanged {
                effect: Effect::Replaced,
                from: word(&a),
                to: word(&b),
            };
            let (old, new) = (a.at.pointer.clone(), b.at.pointer.clone());
            self.report(change, side, place, old, new);
            return;
        }

        let unions = ["oneOf", "anyOf"];
        let has = |view: &View<'a>| unions.map(|key| view.facets.contains_key(key));
        let (from, to) = (kind(self.old, &a, 0), kind(self.new, &b, 0));
        let effect = match (from, to) {
            _ if has(&a) != has(&b) => {
                self.report(
                    Change::AlternativesReplaced,
                    side,
                    place,
                    a.at.pointer.clone(),
                    b.at.pointer.clone(),
                );
                return;
            }
            (from, to) if from == to => None,
            (None, _) | (Some("number"), Some("integer")) => Some(Effect::Narrowed),
            (_, None) | (Some("integer"), Some("number")) => Some(Effect::Widened),
            _ => Some(Effect::Replaced),
        };
        if let Some(effect) = effect {
            let word = |kind: Option<&str>| kind.unwrap_or("any type").to_owned();
            let change = Change::TypeChanged {
                effect,
                from: word(from),
                to: word(to),
            };
            if effect == Effect::Replaced {
                // Nothing inside can be compared.
                let (old, new) = (a.at.pointer.clone(), b.at.pointer.clone());
                self.report(change, side, place, old, new);
                return;
            }
            self.report(change, side, place, a.place("type"), b.place("type"));
        }
        self.format(&a, &b, side, place);
        self.null(&a, &b, side, place);
        self.enumeration(&a, &b, side, place);
        self.old_spellings(&a, &b, side, place);
        self.default(&a, &b, side, place);
        self.limits(&a, &b, side, place);
        let change = match (a.truth("deprecated"), b.truth("deprecated")) {
            (false, true) => Some(Change::Deprecated),
            (true, false) => Some(Change::NoLongerDeprecated),
            _ => None,
        };
        if let Some(change) = change {
            self.report(
                change,
                side,
                place,
                a.place("deprecated"),
                b.place("deprecated"),
            );
        }
        self.properties(&a, &b, side, place);
        self.further_properties(&a, &b, side, place);
        match (a.facets.get("items"), b.facets.get("items")) {
            (Some(one), Some(other)) => self.schema(one, other, side, &format!("{place}[]")),
            (None, None) => {}
            (one, _) => {
                let effect = if one.is_some() {
                    Effect::Widened
                } else {
                    Effect::Narrowed
                };
                self.limit("items", effect, &a, &b, side, place);
            }
        }
        for key in unions {
            self.alternatives(key, &a, &b, side, place);
        }
        self.discriminator(&a, &b, side, place);
    }

    /// The names of components that are used here.
    fn name(
        &mut self,
        old: &At<'a>,
        new: &At<'a>,
        a: &View<'a>,
        b: &View<'a>,
        side: Side,
        place: &str,
    ) {
        if a.name == b.name {
            return;
        }
        let word = |name: Option<&str>| name.unwrap_or("no name").to_owned();
        let Some(name) = a.name else {
            let change = Change::SchemaNamed(word(b.name));
            self.report(
                change,
                side,
                place,
                old.pointer.clone(),
                new.pointer.clone(),
            )
            .also
            .push(b.at.pointer.clone());
            return;
        };
        let change = Change::SchemaRenamed {
            from: name.to_owned(),
            to: word(b.name),
        };
        let component = |root: &Node, name: Option<&str>| {
            let pointer = child_pointer("/components/schemas", name?);
            root.find(&pointer).map(|_| pointer)
        };
        // If the old name is gone, the component was renamed, wherever it is used; otherwise this place uses another.
        let gone = component(self.new, a.name).is_none() && component(self.old, b.name).is_none();
        match (component(self.old, a.name), component(self.new, b.name)) {
            (Some(from), Some(to)) if gone => {
                self.report(change, side, &format!("schema {name}"), from, to);
            }
            _ => {
                self.report(
                    change,
                    side,
                    place,
                    old.pointer.clone(),
                    new.pointer.clone(),
                );
            }
        }
    }

    fn format(&mut self, a: &View<'a>, b: &View<'a>, side: Side, place: &str) {
        let (from, to) = (a.text("format"), b.text("format"));
        let effect = match (from, to) {
            (from, to) if from == to => return,
            (None, _) | (Some("int64"), Some("int32")) | (Some("double"), Some("float")) => {
                Effect::Narrowed
            }
            (_, None) | (Some("int32"), Some("int64")) | (Some("float"), Some("double")) => {
                Effect::Widened
            }
            _ => Effect::Replaced,
        };
        let word = |format: Option<&str>| format.unwrap_or("none").to_owned();
        let change = Change::FormatChanged {
            effect,
            from: word(from),
            to: word(to),
        };
        self.report(change, side, place, a.place("format"), b.place("format"));
    }

    fn null(&mut self, a: &View<'a>, b: &View<'a>, side: Side, place: &str) {
        let change = match (a.truth("nullable"), b.truth("nullable")) {
            (false, true) => Some(Change::NullAllowed),
            (true, false) => Some(Change::NullRefused),
            _ => None,
        };
        if let Some(change) = change {
            self.report(
                change,
                side,
                place,
                a.place("nullable"),
                b.place("nullable"),
            );
        }
        let key = "x-null-keeps";
        if a.truth(key) != b.truth(key) {
            self.report(
                Change::NullKeepsChanged,
                side,
                place,
                a.place(key),
                b.place(key),
            );
        }
    }

    fn enumeration(&mut self, a: &View<'a>, b: &View<'a>, side: Side, place: &str) {
        let (from, to) = (a.facets.get("enum"), b.facets.get("enum"));
        let (one, other) = match (from, to) {
            (Some(one), Some(other)) => (one.items(), other.items()),
            (None, None) => return,
            (one, _) => {
                let change = if one.is_some() {
                    Change::EnumerationRemoved
                } else {
                    Change::EnumerationAdded
                };
                self.report(change, side, place, a.place("enum"), b.place("enum"));
                return;
            }
        };
        let has = |list: &[At<'a>], at: &At<'a>| {
            list.iter()
                .any(|other| other.node.to_json() == at.node.to_json())
        };
        for value in one.iter().filter(|value| !has(&other, value)) {
            self.report(
                Change::ValueRemoved(shown(value.node)),
                side,
                place,
                value.pointer.clone(),
                None,
            );
        }
        for value in other.iter().filter(|value| !has(&one, value)) {
            self.report(
                Change::ValueAdded(shown(value.node)),
                side,
                place,
                None,
                value.pointer.clone(),
            );
        }
    }

    fn old_spellings(&mut self, a: &View<'a>, b: &View<'a>, side: Side, place: &str) {
        let key = "x-deprecated-values";
        let spellings = |view: &View<'a>| -> BTreeMap<&'a str, String> {
            let entries = view.facets.get(key).map_or_else(Vec::new, At::entries);
            let shown = entries.into_iter().map(|(name, at)| (name, shown(at.node)));
            shown.collect()
        };
        let (from, to) = (spellings(a), spellings(b));
        let names: BTreeSet<_> = from.keys().chain(to.keys()).copied().collect();
        for name in names {
            let change = match (from.get(name), to.get(name)) {
                (one, other) if one == other => continue,
                (None, Some(now)) => Change::OldSpellingAdded(format!("{name}, now {now}")),
                (Some(_), None) => Change::OldSpellingRemoved(name.to_owned()),
                (one, other) => {
                    let word = |value: Option<&String>| value.cloned().unwrap_or_default();
                    Change::OldSpellingChanged(format!(
                        "{name} from {} to {}",
                        word(one),
                        word(other)
                    ))
                }
            };
            self.report(
                change,
                side,
                place,
                child_pointer(&a.place(key), name),
                child_pointer(&b.place(key), name),
            );
        }
    }

    fn default(&mut self, a: &View<'a>, b: &View<'a>, side: Side, place: &str) {
        let (from, to) = (a.facets.get("default"), b.facets.get("default"));
        if from.map(|at| at.node.to_json()) == to.map(|at| at.node.to_json()) {
            return;
        }
        let word = |at: Option<&At<'a>>| at.map_or_else(|| "none".to_owned(), |at| shown(at.node));
        let change = Change::DefaultChanged {
            from: word(from),
            to: word(to),
        };
        self.report(change, side, place, a.place("default"), b.place("default"));
    }

    fn limit(
        &mut self,
        key: &'static str,
        effect: Effect,
        a: &View<'a>,
        b: &View<'a>,
        side: Side,
        place: &str,
    ) {
        let word = |view: &View<'a>| match view.facets.get(key) {
            None => "none".to_owned(),
            Some(at) if matches!(at.node.kind, Kind::Map(_)) => "a schema".to_owned(),
            Some(at) => shown(at.node),
        };
        let change = Change::LimitChanged {
            effect,
            key,
            from: word(a),
            to: word(b),
        };
        self.report(change, side, place, a.place(key), b.place(key));
    }

    fn limits(&mut self, a: &View<'a>, b: &View<'a>, side: Side, place: &str) {
        use std::cmp::Ordering::{Equal, Greater, Less};
        for (key, is_least) in [
            ("minLength", true),
            ("maxLength", false),
            ("minItems", true),
            ("maxItems", false),
            ("minProperties", true),
            ("maxProperties", false),
            ("minimum", true),
            ("maximum", false),
        ] {
            // At least 0 of something is no limit.
            let is_count = !matches!(key, "minimum" | "maximum");
            let limit = |view: &View<'a>| {
                view.number(key)
                    .filter(|number| !(is_least && is_count && number.as_u64() == Some(0)))
            };
            let effect = match (limit(a), limit(b)) {
                (None, None) => continue,
                (None, Some(_)) => Effect::Narrowed,
                (Some(_), None) => Effect::Widened,
                (Some(from), Some(to)) => match (order(from, to), is_least) {
                    (Some(Equal), _) => continue,
                    (Some(Less), true) | (Some(Greater), false) => Effect::Narrowed,
                    (Some(Greater), true) | (Some(Less), false) => Effect::Widened,
                    (None, _) => Effect::Replaced,
                },
            };
            self.limit(key, effect, a, b, side, place);
        }
        for (key, beside) in [
            ("exclusiveMinimum", "minimum"),
            ("exclusiveMaximum", "maximum"),
            ("uniqueItems", ""),
        ] {
            let counts = |view: &View<'a>| beside.is_empty() || view.facets.contains_key(beside);
            let is = |view: &View<'a>| view.truth(key) && counts(view);
            match (is(a), is(b)) {
                (false, true) if counts(a) => self.limit(key, Effect::Narrowed, a, b, side, place),
                (true, false) if counts(b) => self.limit(key, Effect::Widened, a, b, side, place),
                _ => {}
            }
        }
        match (a.number("multipleOf"), b.number("multipleOf")) {
            (None, None) => {}
            (None, Some(_)) => self.limit("multipleOf", Effect::Narrowed, a, b, side, place),
            (Some(_), None) => self.limit("multipleOf", Effect::Widened, a, b, side, place),
            (Some(from), Some(to)) if from == to => {}
            (Some(from), Some(to)) => {
                let divides =
                    |small: &Number, large: &Number| match (small.as_u64(), large.as_u64()) {
                        (Some(small), Some(large)) => small != 0 && large % small == 0,
                        _ => false,
                    };
                let effect = if divides(from, to) {
                    Effect::Narrowed
                } else if divides(to, from) {
                    Effect::Widened
                } else {
                    Effect::Replaced
                };
                self.limit("multipleOf", effect, a, b, side, place);
            }
        }
        let effect = match (a.text("pattern"), b.text("pattern")) {
            (from, to) if from == to => return,
            (None, _) => Effect::Narrowed,
            (_, None) => Effect::Widened,
            _ => Effect::Replaced,
        };
        self.limit("pattern", effect, a, b, side, place);
    }

    fn properties(&mut self, a: &View<'a>, b: &View<'a>, side: Side, place: &str) {
        let mut names: Vec<&str> = Vec::new();
        let all = a.properties.iter().chain(&b.properties);
        for name in all
            .map(|(name, _)| *name)
            .chain(a.required.keys().copied())
            .chain(b.required.keys().copied())
        {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for name in names {
            let place = format!("{place}.{name}");
            let (old, new) = (a.property_place(name), b.property_place(name));
            let required = (a.required.contains_key(name), b.required.contains_key(name));
            let called = [a.required_place(name), b.required_place(name)];
            let mut also = Vec::new();
            for (view, required) in [(a, required.0), (b, required.1)] {
                if required {
                    also.push(view.required_place(name));
                }
            }
            match (a.property(name), b.property(name)) {
                (Some(_), None) => {
                    self.report(Change::PropertyRemoved, side, &place, old, new)
                        .also = also;
                }
                (None, Some(_)) => {
                    let required = required.1;
                    self.report(Change::PropertyAdded { required }, side, &place, old, new)
                        .also = also;
                }
                (one, other) => {
                    let change = match required {
                        (false, true) => Some(Change::BecameRequired),
                        (true, false) => Some(Change::BecameOptional),
                        _ => None,
                    };
                    if let Some(change) = change {
                        let [old, new] = called;
                        self.report(change, side, &place, old, new);
                    }
                    if let (Some(one), Some(other)) = (one, other) {
                        self.schema(one, other, side, &place);
                    }
                }
            }
        }
    }

    fn further_properties(&mut self, a: &View<'a>, b: &View<'a>, side: Side, place: &str) {
        let key = "additionalProperties";
        let truth = |view: &View<'a>| match view.facets.get(key).map(|at| &at.node.kind) {
            Some(Kind::Bool(open)) => Some(*open),
            Some(Kind::Map(_)) => None,
            _ => Some(true),
        };
        let effect = match (truth(a), truth(b)) {
            (None, None) => {
                if let (Some(one), Some(other)) = (a.facets.get(key), b.facets.get(key)) {
                    self.schema(one, other, side, &format!("{place}.*"));
                }
                return;
            }
            (from, to) if from == to => return,
            (_, Some(false)) => {
                self.report(Change::Closed, side, place, a.place(key), b.place(key));
                return;
            }
            (_, Some(true)) => {
                self.report(Change::Opened, side, place, a.place(key), b.place(key));
                return;
            }
            (Some(false), None) => Effect::Widened,
            (_, None) => Effect::Narrowed,
        };
        self.limit(key, effect, a, b, side, place);
    }

    fn alternatives(
        &mut self,
        key: &'static str,
        a: &View<'a>,
        b: &View<'a>,
        side: Side,
        place: &str,
    ) {
        let (Some(old), Some(new)) = (a.facets.get(key), b.facets.get(key)) else {
            return;
        };
        let identity = |root: &'a Node, at: &At<'a>| {
            let name = view(root, at).name;
            name.or_else(|| at.text("title")).map(str::to_owned)
        };
        let (before, after) = (old.items(), new.items());
        let one: Vec<_> = before.iter().map(|at| identity(self.old, at)).collect();
        let other: Vec<_> = after.iter().map(|at| identity(self.new, at)).collect();
        let mut pairs: Vec<(usize, usize)> = Vec::new();
        for (index, identity) in one.iter().enumerate() {
            let found = (0..other.len()).find(|there| {
                identity.is_some()
                    && other[*there] == *identity
                    && !pairs.iter().any(|(_, taken)| taken == there)
            });
            pairs.extend(found.map(|there| (index, there)));
        }
        for index in 0..before.len().min(after.len()) {
            if !pairs.iter().any(|(i, j)| *i == index || *j == index) {
                pairs.push((index, index));
            }
        }
        pairs.sort_unstable();
        if !pairs.is_sorted_by_key(|(_, there)| *there) {
            self.report(
                Change::AlternativesReordered,
                side,
                place,
                old.pointer.clone(),
                new.pointer.clone(),
            );
        }
        for (index, at) in before.iter().enumerate() {
            let name = one[index].clone().unwrap_or_else(|| index.to_string());
            let place = format!("{place}, alternative {name}");
            let Some((_, there)) = pairs.iter().find(|(known, _)| *known == index) else {
                self.report(
                    Change::AlternativeRemoved,
                    side,
                    &place,
                    at.pointer.clone(),
                    None,
                );
                continue;
            };
            let to = &after[*there];
            let titles = (at.text("title"), to.text("title"));
            if titles.0 != titles.1 {
                let word = |title: Option<&str>| title.unwrap_or("no title").to_owned();
                let change = Change::AlternativeRenamed {
                    from: word(titles.0),
                    to: word(titles.1),
                };
                self.report(change, side, &place, at.place("title"), to.place("title"));
            }
            self.schema(at, to, side, &place);
        }
        for (index, at) in after.iter().enumerate() {
            if !pairs.iter().any(|(_, known)| *known == index) {
                let name = other[index].clone().unwrap_or_else(|| index.to_string());
                self.report(
                    Change::AlternativeAdded,
                    side,
                    &format!("{place}, alternative {name}"),
                    None,
                    at.pointer.clone(),
                );
            }
        }
    }

    fn discriminator(&mut self, a: &View<'a>, b: &View<'a>, side: Side, place: &str) {
        let key = "discriminator";
        let (one, other) = match (a.facets.get(key), b.facets.get(key)) {
            (Some(one), Some(other)) => (one, other),
            (None, None) => return,
            _ => {
                let change = Change::DiscriminatorChanged;
                self.report(change, side, place, a.place(key), b.place(key));
                return;
            }
        };
        if one.text("propertyName") != other.text("propertyName") {
            self.report(
                Change::DiscriminatorChanged,
                side,
                place,
                one.place("propertyName"),
                other.place("propertyName"),
            );
        }
        let mapping = |at: &At<'a>| -> BTreeMap<&'a str, String> {
            let entries = at.map("mapping").into_iter();
            entries.map(|(value, to)| (value, shown(to.node))).collect()
        };
        let (from, to) = (mapping(one), mapping(other));
        let values: BTreeSet<_> = from.keys().chain(to.keys()).copied().collect();
        for value in values {
            let change = match (from.get(value), to.get(value)) {
                (one, other) if one == other => continue,
                (None, _) => Change::DiscriminatorValueAdded(value.to_owned()),
                (_, None) => Change::DiscriminatorValueRemoved(value.to_owned()),
                _ => Change::DiscriminatorChanged,
            };
            self.report(
                change,
                side,
                place,
                child_pointer(&one.place("mapping"), value),
                child_pointer(&other.place("mapping"), value),
            );
        }
    }
}

/// Whether two values are the same, the order of their keys included.
pub(super) fn same(old: &Node, new: &Node) -> bool {
    match (&old.kind, &new.kind) {
        (Kind::Null, Kind::Null) => true,
        (Kind::Bool(one), Kind::Bool(other)) => one == other,
        (Kind::Number(one), Kind::Number(other)) => one == other,
        (Kind::Text(one), Kind::Text(other)) => one == other,
        (Kind::List(one), Kind::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b))
        }
        (Kind::Map(one), Kind::Map(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(a, b)| a.key == b.key && same(&a.value, &b.value))
        }
        _ => false,
    }
}

/// Collects the pointers that a value refers to.
fn refers<'a>(node: &'a Node, to: &mut Vec<&'a str>) {
    for entry in node.entries() {
        match &entry.value.kind {
            Kind::Text(text) if entry.key == "$ref" => to.extend(text.strip_prefix('#')),
            _ => refers(&entry.value, to),
        }
    }
    for item in node.items() {
        refers(item, to);
    }
}

/// The components that are the same in both documents, with all that they refer to.
fn clean(old: &Node, new: &Node) -> BTreeSet<String> {
    let mut clean: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (section, components) in At::root(old).map("components") {
        for (name, one) in components.entries() {
            let other = new
                .get("components")
                .and_then(|all| all.get(section)?.get(name));
            if other.is_some_and(|other| same(one.node, other)) {
                let mut references = Vec::new();
                refers(one.node, &mut references);
                clean.insert(one.pointer, references);
            }
        }
    }
    loop {
        let touched: Vec<String> = clean
            .iter()
            .filter(|(_, references)| references.iter().any(|to| !clean.contains_key(*to)))
            .map(|(pointer, _)| pointer.clone())
            .collect();
        if touched.is_empty() {
            return clean.into_keys().collect();
        }
        for pointer in touched {
            clean.remove(&pointer);
        }
    }
}

/// A value as the report shows it.
fn shown(node: &Node) -> String {
    match &node.kind {
        Kind::Text(text) => text.clone(),
        _ => node.to_json().to_string(),
    }
}

/// How two numbers are ordered; `None` if they differ by less than can be told.
fn order(a: &Number, b: &Number) -> Option<std::cmp::Ordering> {
    let whole = |number: &Number| {
        number
            .as_i64()
            .map(i128::from)
            .or_else(|| number.as_u64().map(i128::from))
    };
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => {
            let order = a.as_f64()?.partial_cmp(&b.as_f64()?)?;
            (order.is_ne() || a == b || whole(a).is_none() == whole(b).is_none()).then_some(order)
        }
    }
}

/// The type of what a schema allows: its own, or the one that all its alternatives share.
fn kind<'a>(root: &'a Node, schema: &View<'a>, depth: usize) -> Option<&'a str> {
    if let Some(own) = schema.text("type") {
        return Some(own);
    }
    let alternatives = ["oneOf", "anyOf"]
        .iter()
        .find_map(|key| schema.facets.get(key))?;
    if depth > DEPTH {
        return None;
    }
    let mut kinds = alternatives
        .items()
        .into_iter()
        .map(|at| kind(root, &view(root, &at), depth + 1));
    let first = kinds.next()??;
    kinds.all(|other| other == Some(first)).then_some(first)
}

fn view<'a>(root: &'a Node, at: &At<'a>) -> View<'a> {
    let (at, name) = resolve(root, at);
    let mut view = View {
        name,
        at: at.clone(),
        facets: BTreeMap::new(),
        properties: Vec::new(),
        required: BTreeMap::new(),
    };
    merge(root, &at, &mut view, 0);
    view
}

fn merge<'a>(root: &'a Node, at: &At<'a>, view: &mut View<'a>, depth: usize) {
    if depth > DEPTH {
        return;
    }
    for (key, value) in at.entries() {
        match key {
            "allOf" => {}
            "properties" => {
                for (name, property) in value.entries() {
                    if view.property(name).is_none() {
                        view.properties.push((name, property));
                    }
                }
            }
            "required" => {
                for item in value.items() {
                    if let Some(name) = item.node.text() {
                        view.required.entry(name).or_insert(item.pointer);
                    }
                }
            }
            _ => {
                view.facets.entry(key).or_insert(value);
            }
        }
    }
    let members = at.list("allOf");
    let alone = members.len() == 1 && view.name.is_none() && view.properties.is_empty();
    for member in members {
        let (member, name) = resolve(root, &member);
        if alone {
            view.name = name;
        }
        merge(root, &member, view, depth + 1);
    }
}
