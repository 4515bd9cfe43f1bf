//! What the passes need to know about the document: its operations, and which schemas requests and replies reach.

use std::collections::BTreeMap;

use super::mistake::child_pointer;
use super::yaml::{Entry, Kind, Node};

/// The HTTP methods that a path item may hold, as OpenAPI spells them.
pub(crate) const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

/// How references to components of each section start.
pub(crate) const SCHEMA_PREFIX: &str = "#/components/schemas/";

/// An operation, in the order in which the document has them.
#[derive(Clone, Debug)]
pub(crate) struct Operation<'a> {
    /// The `operationId`; empty if there is none, which a check reports.
    pub(crate) id: &'a str,
    /// In upper case, as HTTP writes it.
    pub(crate) method: String,
    /// As in the document, with `{}` around its parameters.
    pub(crate) path: &'a str,
    pub(crate) summary: &'a str,
    pub(crate) pointer: String,
    pub(crate) node: &'a Node,
    /// The path item's parameters and the operation's own, which take precedence.
    pub(crate) parameters: Vec<Parameter<'a>>,
}

/// A parameter with its reference resolved.
#[derive(Clone, Debug)]
pub(crate) struct Parameter<'a> {
    pub(crate) name: &'a str,
    /// `path`, `query`, `header` or `cookie`.
    pub(crate) location: &'a str,
    pub(crate) required: bool,
    pub(crate) description: &'a str,
    /// Where the operation lists it, which is where a mistake in its use is reported.
    pub(crate) pointer: String,
    pub(crate) node: &'a Node,
}

/// Where a component schema is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Role {
    /// The operation of the first request that reaches it.
    pub(crate) request: Option<String>,
    /// The operation of the first reply that reaches it.
    pub(crate) reply: Option<String>,
    /// It is itself the body of a PATCH request.
    pub(crate) patch: bool,
    /// It is itself the body of a successful reply.
    pub(crate) success: bool,
}

impl Role {
    /// Only replies reach it, so that it is read tolerantly.
    pub(crate) fn is_reply(&self) -> bool {
        self.reply.is_some() && self.request.is_none()
    }
}

/// A property of an object schema.
#[derive(Clone, Debug)]
pub(crate) struct Property<'a> {
    /// Its name in JSON.
    pub(crate) name: &'a str,
    /// Its place in the list of required properties, if it is required.
    pub(crate) rank: Option<usize>,
    pub(crate) nullable: bool,
    /// In an update, null leaves what is there instead of clearing it: `x-null-keeps`.
    pub(crate) null_keeps: bool,
    /// Its schema.
    pub(crate) node: &'a Node,
}

/// The operations and the roles of the schemas.
#[derive(Clone, Debug)]
pub(crate) struct Model<'a> {
    pub(crate) root: &'a Node,
    pub(crate) operations: Vec<Operation<'a>>,
    roles: BTreeMap<&'a str, Role>,
}

impl<'a> Model<'a> {
    /// Reads what can be read; whatever is missing or of the wrong kind is the checks' business.
    pub(crate) fn new(root: &'a Node) -> Self {
        let mut model = Self {
            root,
            operations: operations(root),
            roles: BTreeMap::new(),
        };
        for operation in model.operations.clone() {
            model.follow_operation(&operation);
        }
        model
    }

    /// The role of a component schema; of one that nothing reaches, the empty role.
    pub(crate) fn role(&self, schema: &str) -> Role {
        self.roles.get(schema).cloned().unwrap_or_default()
    }

    /// The component schemas with their names, in the order of the document.
    pub(crate) fn schemas(&self) -> &'a [Entry] {
        self.root
            .find("/components/schemas")
            .map_or(&[], Node::entries)
    }

    /// The properties of a component schema in the order of the document, those of its `allOf` members included.
    pub(crate) fn properties(&self, schema: &str) -> Vec<Property<'a>> {
        let mut properties = Vec::new();
        let mut required = Vec::new();
        if let Some(node) = self
            .root
            .find(&child_pointer("/components/schemas", schema))
        {
            self.collect(node, &mut properties, &mut required, 0);
        }
        for property in &mut properties {
            property.rank = required.iter().position(|name| *name == property.name);
        }
        properties
    }

    fn collect(
        &self,
        schema: &'a Node,
        properties: &mut Vec<Property<'a>>,
        required: &mut Vec<&'a str>,
        depth: usize,
    ) {
        // Nobody nests this deep; a circle of references ends here.
        if depth > 16 {
            return;
        }
        for member in schema.get("allOf").map_or(&[][..], Node::items) {
            self.collect(resolve(self.root, member), properties, required, depth + 1);
        }
        for entry in schema.get("properties").map_or(&[][..], Node::entries) {
            let is = |key| entry.value.get(key).and_then(Node::truth) == Some(true);
            properties.push(Property {
                name: &entry.key,
                rank: None,
                nullable: is("nullable"),
                null_keeps: is("x-null-keeps"),
                node: &entry.value,
            });
        }
        let names = schema.get("required").map_or(&[][..], Node::items);
        required.extend(names.iter().filter_map(Node::text));
    }

    /// The members of a component schema's `oneOf` that are references or titled references, in order.
    pub(crate) fn union_members(&self, schema: &str) -> Vec<&'a str> {
        let node = self
            .root
            .find(&child_pointer("/components/schemas", schema));
        node.and_then(|node| node.get("oneOf"))
            .map_or(&[][..], Node::items)
            .iter()
            .filter_map(|member| {
                referenced_schema(member)
                    .or_else(|| referenced_schema(member.get("allOf")?.items().first()?))
            })
            .collect()
    }

    /// The old spellings of an enumeration's values, each with the value that it means now: `x-deprecated-values`.
    pub(crate) fn deprecated_values(&self, schema: &str) -> Vec<(&'a str, &'a str)> {
        let node = self
            .root
            .find(&child_pointer("/components/schemas", schema));
        node.and_then(|node| node.get("x-deprecated-values"))
            .map_or(&[][..], Node::entries)
            .iter()
            .filter_map(|entry| Some((entry.key.as_str(), entry.value.text()?)))
            .collect()
    }

    fn follow_operation(&mut self, operation: &Operation<'a>) {
        for parameter in &operation.parameters {
            self.follow(parameter.node, operation.id, Side::Request);
        }
        if let Some(body) = operation.node.get("requestBody") {
            let body = resolve(self.root, body);
            for media in contents(body) {
                if let (true, Some(name)) = (operation.method == "PATCH", schema_name(media)) {
                    self.roles.entry(name).or_default().patch = true;
                }
                self.follow(media, operation.id, Side::Request);
            }
        }
        for entry in operation
            .node
            .get("responses")
            .map_or(&[][..], Node::entries)
        {
            let response = resolve(self.root, &entry.value);
            for media in contents(response) {
                if let (true, Some(name)) = (entry.key.starts_with('2'), schema_name(media)) {
                    self.roles.entry(name).or_default().success = true;
                }
                self.follow(media, operation.id, Side::Reply);
            }
            for header in response.get("headers").map_or(&[][..], Node::entries) {
                self.follow(resolve(self.root, &header.value), operation.id, Side::Reply);
            }
        }
    }

    /// Follows every reference of the schema of a parameter, header or media type.
    fn follow(&mut self, holder: &'a Node, operation: &str, side: Side) {
        let mut open: Vec<&Node> = holder.get("schema").into_iter().collect();
        while let Some(schema) = open.pop() {
            open.extend(subschemas(schema).into_iter().map(|(_, node)| node));
            let Some(name) = referenced_schema(schema) else {
                continue;
            };
            let role = self.roles.entry(name).or_default();
            let seen = match side {
                Side::Request => &mut role.request,
                Side::Reply => &mut role.reply,
            };
            if seen.is_none() {
                *seen = Some(operation.to_owned());
                let pointer = child_pointer("/components/schemas", name);
                open.extend(self.root.find(&pointer));
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Side {
    Request,
    Reply,
}

/// The value that a reference leads to, or the value itself. A reference that leads nowhere stays as it is.
pub(crate) fn resolve<'a>(root: &'a Node, node: &'a Node) -> &'a Node {
    let mut node = node;
    // No chain of references is longer than this; a circle ends here too, and a check reports it.
    for _ in 0..16 {
        let Some(target) = node
            .get("$ref")
            .and_then(Node::text)
            .and_then(|reference| reference.strip_prefix('#'))
            .and_then(|pointer| root.find(pointer))
        else {
            break;
        };
        node = target;
    }
    node
}

/// The name of the component schema that a reference object names.
pub(crate) fn referenced_schema(node: &Node) -> Option<&str> {
    node.get("$ref")?.text()?.strip_prefix(SCHEMA_PREFIX)
}

/// The schemas directly inside a schema, with their pointers relative to it.
pub(crate) fn subschemas(schema: &Node) -> Vec<(String, &Node)> {
    let mut found = Vec::new();
    for key in ["allOf", "oneOf", "anyOf"] {
        for (index, node) in schema
            .get(key)
            .map_or(&[][..], Node::items)
            .iter()
            .enumerate()
        {
            found.push((format!("/{key}/{index}"), node));
        }
    }
    for key in ["not", "items", "additionalProperties"] {
        if let Some(node) = schema
            .get(key)
            .filter(|node| matches!(node.kind, Kind::Map(_)))
        {
            found.push((format!("/{key}"), node));
        }
    }
    for entry in schema.get("properties").map_or(&[][..], Node::entries) {
        found.push((child_pointer("/properties", &entry.key), &entry.value));
    }
    found
}

fn contents(node: &Node) -> impl Iterator<Item = &Node> {
    node.get("content")
        .map_or(&[][..], Node::entries)
        .iter()
        .map(|entry| &entry.value)
}

fn schema_name(media: &Node) -> Option<&str> {
    referenced_schema(media.get("schema")?)
}

fn operations(root: &Node) -> Vec<Operation<'_>> {
    let mut operations = Vec::new();
    for path in root.get("paths").map_or(&[][..], Node::entries) {
        let path_pointer = child_pointer("/paths", &path.key);
        for entry in path.value.entries() {
            if !METHODS.contains(&entry.key.as_str()) {
                continue;
            }
            let pointer = child_pointer(&path_pointer, &entry.key);
            let own = parameters(root, &entry.value, &pointer);
            let mut all = parameters(root, &path.value, &path_pointer);
            all.retain(|shared| {
                !own.iter()
                    .any(|own| (own.name, own.location) == (shared.name, shared.location))
            });
            all.extend(own);
            let text = |key| {
                entry
                    .value
                    .get(key)
                    .and_then(Node::text)
                    .unwrap_or_default()
            };
            operations.push(Operation {
                id: text("operationId"),
                method: entry.key.to_uppercase(),
                path: &path.key,
                summary: text("summary"),
                pointer,
                node: &entry.value,
                parameters: all,
            });
        }
    }
    operations
}

fn parameters<'a>(root: &'a Node, holder: &'a Node, pointer: &str) -> Vec<Parameter<'a>> {
    holder
        .get("parameters")
        .map_or(&[][..], Node::items)
        .iter()
        .enumerate()
        .map(|(index, node)| {
            let node = resolve(root, node);
            let text = |key| node.get(key).and_then(Node::text).unwrap_or_default();
            Parameter {
                name: text("name"),
                location: text("in"),
                required: node.get("required").and_then(Node::truth).unwrap_or(false),
                description: text("description"),
                pointer: format!("{pointer}/parameters/{index}"),
                node,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, yaml};
    use super::*;

    #[test]
    fn operations_keep_the_order_of_the_document() {
        let root = yaml::parse(fixture::PARCELS).unwrap();
        let model = Model::new(&root);
        let ids: Vec<_> = model
            .operations
            .iter()
            .map(|operation| operation.id)
            .collect();
        assert_eq!(ids, ["list_parcels", "send_parcel", "update_parcel"]);
        let parameters: Vec<_> = model.operations[0]
            .parameters
            .iter()
            .map(|parameter| (parameter.name, parameter.location, parameter.required))
            .collect();
        assert_eq!(
            parameters,
            [
                ("depotId", "path", true),
                ("carrier", "query", false),
                ("sent_since", "query", false)
            ]
        );
    }

    #[test]
    fn roles_follow_references() {
        let root = yaml::parse(fixture::PARCELS).unwrap();
        let model = Model::new(&root);
        assert!(model.role("UpdateParcel").patch);
        assert!(!model.role("SendParcel").patch);
        assert!(model.role("ParcelPage").success);
        assert!(!model.role("ErrorReply").success);
        // Reached through `allOf`, through `items`, and through the members of a `oneOf`.
        for name in ["FoundPlace", "CarrierName", "FoundPlaceByName", "ApiError"] {
            assert!(model.role(name).is_reply(), "{name}");
        }
        for name in ["Carrier", "PlaceByName", "Item"] {
            assert_eq!(model.role(name).reply, None, "{name}");
            assert!(model.role(name).request.is_some(), "{name}");
        }
        assert!(!model.role("Metadata").is_reply());
        assert!(model.role("Metadata").reply.is_some());
        assert_eq!(model.role("Nowhere"), Role::default());
    }
}
