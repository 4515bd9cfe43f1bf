//! A specification as a page of HTML: operations with their parameters, bodies, replies and examples, then the schemas.

use pulldown_cmark::{Event, Parser, html};

use crate::Links;
use crate::node::Node;

/// The keywords of a schema that the page shows. A test holds the specifications against them.
#[cfg(test)]
pub(crate) const KEYWORDS: [&str; 27] = [
    "$ref",
    "additionalProperties",
    "allOf",
    "default",
    "deprecated",
    "description",
    "discriminator",
    "enum",
    "example",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "nullable",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
    "x-deprecated-values",
    "x-null-keeps",
];

/// Those that limit a value, each with what stands before and after it on the page.
const LIMITS: [(&str, &str, &str); 8] = [
    ("minimum", "at least ", ""),
    ("maximum", "at most ", ""),
    ("minLength", "at least ", " in length"),
    ("maxLength", "at most ", " in length"),
    ("minItems", "at least ", " of them"),
    ("maxItems", "at most ", " of them"),
    ("minProperties", "at least ", " of the properties"),
    ("pattern", "matches ", ""),
];

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Writes the page.
pub(crate) fn write(spec: &Node, links: &Links<'_>) -> String {
    let mut page = Page {
        spec,
        links,
        html: String::with_capacity(256 << 10),
    };
    page.all();
    page.html
}

/// Markdown as HTML. Tags in it are shown and not obeyed.
pub(crate) fn markdown(text: &str) -> String {
    let events = Parser::new(text).map(|event| match event {
        Event::Html(tag) | Event::InlineHtml(tag) => Event::Text(tag),
        event => event,
    });
    let mut html = String::new();
    html::push_html(&mut html, events);
    html
}

/// Text as HTML, also for the value of an attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn code(text: &str) -> String {
    format!("<code>{}</code>", escaped(text))
}

/// A value as it stands in JSON, or a text as it is.
fn plain(value: &Node) -> String {
    match value {
        Node::Text(text) => text.clone(),
        value => value.line(),
    }
}

/// The last part of a reference, which names what it refers to.
fn name_of(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or(reference)
}

struct Page<'a> {
    spec: &'a Node,
    links: &'a Links<'a>,
    html: String,
}

impl<'a> Page<'a> {
    fn push(&mut self, html: &str) {
        self.html.push_str(html);
    }

    /// What stands behind a reference, or the node itself.
    fn resolved(&self, node: &'a Node) -> &'a Node {
        let Some(path) = node.text("$ref").and_then(|it| it.strip_prefix("#/")) else {
            return node;
        };
        let mut found = Some(self.spec);
        for part in path.split('/') {
            found = found.and_then(|node| node.get(part));
        }
        found.unwrap_or(node)
    }

    fn component(&self, kind: &str) -> &'a [(String, Node)] {
        self.spec
            .get("components")
            .map_or(&[], |components| components.entries_of(kind))
    }

    /// The operations under a tag: path, method, the path's own node and the operation's.
    fn operations(&self, tag: &str) -> Vec<(&'a str, &'static str, &'a Node, &'a Node)> {
        let mut found = Vec::new();
        for (path, item) in self.spec.entries_of("paths") {
            for method in METHODS {
                if let Some(operation) = item.get(method)
                    && operation
                        .items_of("tags")
                        .contains(&Node::Text(tag.to_owned()))
                {
                    found.push((path.as_str(), method, item, operation));
                }
            }
        }
        found
    }

    fn all(&mut self) {
        let info = self.spec.get("info").unwrap_or(&Node::Null);
        let title = escaped(info.text("title").unwrap_or("API"));
        let version = escaped(info.text("version").unwrap_or(""));
        self.push(&format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
             <style>\n{}</style>\n</head>\n<body>\n",
            include_str!("style.css")
        ));
        self.contents(&title);
        self.push(&format!(
            "<main>\n<header id=\"top\">\n<h1>{title} <small>{version}</small></h1>\n"
        ));
        self.description(info);
        self.servers();
        self.security();
        self.push("</header>\n");
        for (index, tag) in self.spec.items_of("tags").iter().enumerate() {
            let name = tag.text("name").unwrap_or_default();
            self.push(&format!(
                "<section id=\"tag-{index}\">\n<h2>{}</h2>\n",
                escaped(name)
            ));
            self.description(tag);
            for (path, method, item, operation) in self.operations(name) {
                self.operation(path, method, item, operation);
            }
            self.push("</section>\n");
        }
        self.push("<section id=\"schemas\">\n<h2>Schemas</h2>\n");
        for (name, schema) in self.component("schemas") {
            self.schema(name, schema);
        }
        self.push("</section>\n");
        if let Some(license) = info.get("license") {
            let name = escaped(license.text("name").unwrap_or_default());
            let url = escaped(license.text("url").unwrap_or_default());
            self.push(&format!(
                "<footer>Licence: <a href=\"{url}\">{name}</a></footer>\n"
            ));
        }
        self.push("</main>\n</body>\n</html>\n");
    }

    /// The list beside the page, or above it on a phone.
    fn contents(&mut self, title: &str) {
        self.push(&format!(
            "<input type=\"checkbox\" id=\"menu\"><label for=\"menu\">Contents</label>\n<nav>\n\
             <a class=\"title\" href=\"#top\">{title}</a>\n<p class=\"pages\">"
        ));
        for (name, address) in self.links.pages {
            self.anchor(name, address);
        }
        self.push("</p>\n");
        for (index, tag) in self.spec.items_of("tags").iter().enumerate() {
            let name = tag.text("name").unwrap_or_default();
            self.push(&format!(
                "<h3><a href=\"#tag-{index}\">{}</a></h3>\n<ul>\n",
                escaped(name)
            ));
            for (path, method, _, operation) in self.operations(name) {
                let id = escaped(operation.text("operationId").unwrap_or_default());
                let summary = escaped(operation.text("summary").unwrap_or(path));
                self.push(&format!(
                    "<li><a href=\"#{id}\"><b class=\"{method}\">{method}</b> <span>{summary}</span></a></li>\n"
                ));
            }
            self.push("</ul>\n");
        }
        self.push("<h3><a href=\"#schemas\">Schemas</a></h3>\n<ul>\n");
        for (name, _) in self.component("schemas") {
            let name = escaped(name);
            self.push(&format!(
                "<li><a href=\"#schema-{name}\"><span>{name}</span></a></li>\n"
            ));
        }
        self.push("</ul>\n<h3>The document itself</h3>\n<ul>\n");
        for (name, address) in self.links.documents {
            self.push("<li>");
            self.anchor(name, address);
            self.push("</li>\n");
        }
        self.push("</ul>\n</nav>\n");
    }

    fn anchor(&mut self, text: &str, address: &str) {
        let (text, address) = (escaped(text), escaped(address));
        self.push(&format!("<a href=\"{address}\">{text}</a>\n"));
    }

    fn description(&mut self, node: &Node) {
        if let Some(text) = node.text("description") {
            self.push(&markdown(text));
        }
    }

    fn servers(&mut self) {
        self.push("<h3>Servers</h3>\n<dl>\n");
        for server in self.spec.items_of("servers") {
            self.push(&format!(
                "<dt>{}</dt><dd>",
                code(server.text("url").unwrap_or_default())
            ));
            self.description(server);
            for (name, variable) in server.entries_of("variables") {
                let default = code(variable.text("default").unwrap_or_default());
                self.push(&format!("<div class=\"note\">{} = {default} ", code(name)));
                self.description(variable);
                self.push("</div>");
            }
            self.push("</dd>\n");
        }
        self.push("</dl>\n");
    }

    fn security(&mut self) {
        self.push("<h3>Authentication</h3>\n<dl>\n");
        for (_, scheme) in self.component("securitySchemes") {
            // A document may write it small, as the registry of these schemes does not.
            let kind = match scheme.text("scheme").unwrap_or_default() {
                "bearer" => "Bearer",
                "basic" => "Basic",
                kind => kind,
            };
            self.push(&format!(
                "<dt>{}</dt><dd>",
                code(&format!("Authorization: {kind} …"))
            ));
            self.description(scheme);
            self.push("</dd>\n");
        }
        self.push("</dl>\n");
    }

    fn operation(&mut self, path: &str, method: &str, item: &'a Node, operation: &'a Node) {
        let id = escaped(operation.text("operationId").unwrap_or_default());
        let summary = escaped(operation.text("summary").unwrap_or_default());
        self.push(&format!(
            "<article id=\"{id}\" class=\"operation\">\n<h3><a href=\"#{id}\">{summary}</a></h3>\n\
             <p class=\"route\"><b class=\"{method}\">{method}</b> <span>{}</span></p>\n",
            breakable(path)
        ));
        self.push(&format!("<p class=\"note\">{}", code(&id)));
        if operation.get("security") == Some(&Node::List(Vec::new())) {
            self.push(" · needs no token");
        }
        self.push("</p>\n");
        self.description(operation);
        let parameters: Vec<&'a Node> = [item, operation]
            .into_iter()
            .flat_map(|node| node.items_of("parameters"))
            .map(|parameter| self.resolved(parameter))
            .collect();
        if !parameters.is_empty() {
            self.push("<h4>Parameters</h4>\n<dl>\n");
            for parameter in parameters {
                self.parameter(parameter);
            }
            self.push("</dl>\n");
        }
        if let Some(body) = operation.get("requestBody") {
            let body = self.resolved(body);
            let needed = if body.is("required") {
                ""
            } else {
                ", optional"
            };
            self.push(&format!("<h4>Request body{needed}</h4>\n"));
            self.description(body);
            self.content(body);
        }
        self.push("<h4>Replies</h4>\n<dl class=\"replies\">\n");
        for (status, reply) in operation.entries_of("responses") {
            let reply = self.resolved(reply);
            let class = status.get(..1).unwrap_or_default();
            self.push(&format!("<dt class=\"s{class}\">{}</dt><dd>", code(status)));
            self.description(reply);
            self.content(reply);
            self.headers(reply);
            self.push("</dd>\n");
        }
        self.push("</dl>\n");
        self.call(path, method, item, operation);
        self.push("</article>\n");
    }

    fn parameter(&mut self, parameter: &'a Node) {
        let schema = parameter.get("schema").unwrap_or(&Node::Null);
        let place = escaped(parameter.text("in").unwrap_or_default());
        self.push(&format!(
            "<dt>{}<span class=\"type\">{} · {place}</span>{}</dt><dd>",
            code(parameter.text("name").unwrap_or_default()),
            self.kind(schema),
            required(parameter.is("required"))
        ));
        self.description(parameter);
        self.facts(schema);
        if let Some(example) = parameter.get("example") {
            self.example_line(example);
        }
        self.push("</dd>\n");
    }

    /// The media types of a body, each with its schema and examples.
    fn content(&mut self, body: &'a Node) {
        for (media_type, content) in body.entries_of("content") {
            let kind = content.get("schema").map(|schema| self.kind(schema));
            self.push(&format!(
                "<p class=\"content\">{} {}</p>\n",
                code(media_type),
                kind.unwrap_or_default()
            ));
            for (_, example) in content.entries_of("examples") {
                let example = self.resolved(example);
                let Some(value) = example.get("value") else {
                    continue;
                };
                let text = match value {
                    Node::Text(text) => text.clone(),
                    value => value.pretty(),
                };
                self.push(&format!(
                    "<details><summary>Example: {}</summary><pre>{}</pre></details>\n",
                    escaped(example.text("summary").unwrap_or("a reply")),
                    escaped(&text)
                ));
            }
        }
    }

    fn headers(&mut self, reply: &'a Node) {
        let headers = reply.entries_of("headers");
        if headers.is_empty() {
            return;
        }
        let names: Vec<String> = headers.iter().map(|(name, _)| code(name)).collect();
        self.push(&format!(
            "<details><summary>Headers: {}</summary><dl>\n",
            names.join(", ")
        ));
        for (name, header) in headers {
            let header = self.resolved(header);
            let kind = header.get("schema").map(|schema| self.kind(schema));
            self.push(&format!(
                "<dt>{}<span class=\"type\">{}</span></dt><dd>",
                code(name),
                kind.unwrap_or_default()
            ));
            self.description(header);
            if let Some(example) = header.get("example") {
                self.example_line(example);
            }
            self.push("</dd>\n");
        }
        self.push("</dl></details>\n");
    }

    /// The operation as a command for a terminal, with the documents' own examples.
    fn call(&mut self, path: &str, method: &str, item: &'a Node, operation: &'a Node) {
        let mut path = path.to_owned();
        for parameter in item.items_of("parameters") {
            let parameter = self.resolved(parameter);
            if let (Some(name), Some(example)) = (parameter.text("name"), parameter.get("example"))
            {
                path = path.replace(&format!("{{{name}}}"), &plain(example));
            }
        }
        let mut command = format!(
            "curl -X {} http://127.0.0.1:8080{path}",
            method.to_uppercase()
        );
        if operation.get("security").is_none() {
            command.push_str(" \\\n  -H \"Authorization: Bearer $LAYER_TOKEN\"");
        } else if method == "post" {
            command.push_str(" \\\n  -u \"my-app:$LAYER_CLIENT_SECRET\"");
        }
        let body = operation.get("requestBody").map(|body| self.resolved(body));
        let content = body.and_then(|body| body.entries_of("content").first());
        if let Some((media_type, content)) = content
            && let Some((_, example)) = content.entries_of("examples").first()
            && let Some(value) = self.resolved(example).get("value")
        {
            if media_type == "application/json" {
                let json = value.pretty();
                let json = json.replace('\'', "'\\''");
                command.push_str(" \\\n  -H 'Content-Type: application/json' \\\n  -d '");
                command.push_str(&json);
                command.push('\'');
            } else {
                for (name, value) in value.entries() {
                    command.push_str(&format!(
                        " \\\n  --data-urlencode '{name}={}'",
                        plain(value)
                    ));
                }
            }
        }
        self.push(&format!(
            "<details><summary>Call it</summary><pre>{}</pre></details>\n",
            escaped(&command)
        ));
    }

    fn schema(&mut self, name: &str, schema: &'a Node) {
        let name = escaped(name);
        self.push(&format!(
            "<article id=\"schema-{name}\" class=\"schema\">\n<h3><a href=\"#schema-{name}\">{name}</a> \
             <span class=\"type\">{}</span></h3>\n",
            self.kind(schema)
        ));
        self.description(schema);
        self.facts(schema);
        if let Some(example) = schema.get("example") {
            self.example_line(example);
        }
        self.properties(schema);
        self.push("</article>\n");
    }

    fn properties(&mut self, schema: &'a Node) {
        let properties = schema.entries_of("properties");
        if properties.is_empty() {
            return;
        }
        let needed = schema.items_of("required");
        self.push("<dl>\n");
        for (name, property) in properties {
            self.push(&format!(
                "<dt>{}<span class=\"type\">{}</span>{}</dt><dd>",
                code(name),
                self.kind(property),
                required(needed.contains(&Node::Text(name.clone())))
            ));
            self.description(property);
            self.facts(property);
            if let Some(example) = property.get("example") {
                self.example_line(example);
            }
            self.properties(property);
            self.push("</dd>\n");
        }
        self.push("</dl>\n");
    }

    /// What kind of value a schema is of, in a few words, with links to other schemas.
    fn kind(&self, schema: &Node) -> String {
        let mut kind = if let Some(reference) = schema.text("$ref") {
            self.link(reference)
        } else if let [only, ..] = schema.items_of("allOf") {
            self.kind(only)
        } else if !schema.items_of("oneOf").is_empty() {
            let variants = schema.items_of("oneOf").iter();
            variants
                .map(|variant| self.kind(variant))
                .collect::<Vec<_>>()
                .join(" or ")
        } else if let Some(items) = schema.get("items") {
            format!("array of {}", self.kind(items))
        } else {
            let kind = escaped(schema.text("type").unwrap_or("any value"));
            match schema.text("format") {
                Some(format) => format!("{kind} ({})", escaped(format)),
                None => kind,
            }
        };
        if schema.is("nullable") {
            kind.push_str(" or null");
        }
        kind
    }

    /// What else is to be known of a value: which ones there are, and their limits.
    fn facts(&mut self, schema: &'a Node) {
        let mut facts = Vec::new();
        if schema.is("deprecated") {
            facts.push("Deprecated".to_owned());
        }
        let values = schema.items_of("enum");
        if !values.is_empty() {
            let values: Vec<String> = values.iter().map(|value| code(&plain(value))).collect();
            facts.push(format!("One of {}", values.join(", ")));
        }
        for (keyword, before, after) in LIMITS {
            if let Some(value) = schema.get(keyword) {
                facts.push(format!("{before}{}{after}", code(&plain(value))));
            }
        }
        if let Some(value) = schema.get("default") {
            facts.push(format!("default {}", code(&plain(value))));
        }
        match schema.get("additionalProperties") {
            Some(Node::Bool(false)) => facts.push("no other properties".to_owned()),
            Some(Node::Bool(true)) => facts.push("any other properties".to_owned()),
            Some(of) => facts.push(format!("any properties, each {}", self.kind(of))),
            None => {}
        }
        for (old, new) in schema.entries_of("x-deprecated-values") {
            let new = code(&plain(new));
            facts.push(format!("deprecated {}, now {new}", code(old)));
        }
        if schema.get("x-null-keeps").is_some() {
            facts.push("null leaves it as it is".to_owned());
        }
        if let Some(discriminator) = schema.get("discriminator") {
            let mapping = discriminator.entries_of("mapping").iter();
            let mapping: Vec<String> = mapping
                .map(|(value, schema)| format!("{} is {}", code(value), self.link(&plain(schema))))
                .collect();
            facts.push(format!(
                "told apart by {}: {}",
                code(discriminator.text("propertyName").unwrap_or_default()),
                mapping.join(", ")
            ));
        }
        // Variants that have a name of their own in place of a schema's.
        for variant in schema.items_of("oneOf") {
            if let Some(title) = variant.text("title") {
                facts.push(format!("{}: {}", escaped(title), self.kind(variant)));
            }
        }
        if !facts.is_empty() {
            self.push(&format!("<p class=\"facts\">{}</p>", facts.join(" · ")));
        }
    }

    /// A link to a schema.
    fn link(&self, reference: &str) -> String {
        let name = escaped(name_of(reference));
        let page = match reference.starts_with('#') {
            true => String::new(),
            false => escaped(self.links.schemas),
        };
        format!("<a href=\"{page}#schema-{name}\">{name}</a>")
    }

    fn example_line(&mut self, example: &Node) {
        self.push(&format!(
            "<p class=\"facts\">Example: {}</p>",
            code(&plain(example))
        ));
    }
}

fn required(required: bool) -> &'static str {
    if required {
        "<span class=\"required\">required</span>"
    } else {
        ""
    }
}

/// A path that may be broken before each slash, since it is longer than a phone is wide.
fn breakable(path: &str) -> String {
    escaped(path).replace('/', "<wbr>/")
}
