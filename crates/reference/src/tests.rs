//! The specifications of this project, in their forms.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{Document, Links, page};

const LINKS: Links<'_> = Links {
    pages: &[("Payments", "index.html"), ("Server", "local.html")],
    schemas: "index.html",
    documents: &[("layer-payments.yaml", "../openapi/layer-payments.yaml")],
};

/// Both specifications, as text.
fn texts() -> [String; 2] {
    ["layer-payments.yaml", "local.yaml"].map(|name| {
        let path = format!("{}/../../spec/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    })
}

/// Both specifications and their pages.
fn all() -> [(Value, String); 2] {
    texts().map(|text| {
        let document = Document::from_yaml(&text).unwrap();
        (
            serde_json::from_str(&document.json()).unwrap(),
            document.page(&LINKS),
        )
    })
}

/// Calls `see` with each object of a document, the name that it has there, and whether it is a schema.
fn walk(name: &str, value: &Value, schema: bool, see: &mut impl FnMut(&str, &Value, bool)) {
    match value {
        Value::Object(map) => {
            see(name, value, schema);
            for (key, value) in map {
                // What is an example may look like anything.
                if ["example", "examples", "default", "mapping"].contains(&key.as_str()) {
                    continue;
                }
                let map_of_schemas = name == "schemas" || (schema && name == "properties");
                let is_schema = map_of_schemas
                    || ["schema", "items"].contains(&key.as_str())
                    || (schema && key == "properties");
                walk(key, value, is_schema, see);
            }
        }
        Value::Array(values) => {
            for value in values {
                walk(name, value, ["allOf", "oneOf"].contains(&name), see);
            }
        }
        _ => {}
    }
}

#[test]
fn the_json_is_the_yaml() {
    for text in texts() {
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        let json = Document::from_yaml(&text).unwrap().json();
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), read);
        // In the order of the document.
        assert!(json.starts_with("{\n  \"openapi\": \"3.0.3\",\n  \"info\": {"));
    }
}

#[test]
fn a_page_has_all_that_its_specification_says() {
    for (spec, page) in all() {
        let mut described = 0;
        walk("", &spec, false, &mut |name, object, _| {
            if let Some(id) = object.get("operationId").and_then(Value::as_str) {
                assert!(page.contains(&format!("<article id=\"{id}\"")), "{id}");
            }
            if let Some(name) = object.get("in").and(object.get("name")) {
                let name = name.as_str().unwrap();
                assert!(page.contains(&format!("<code>{name}</code>")), "{name}");
            }
            if let Some(description) = object.get("description").and_then(Value::as_str) {
                let html = page::markdown(description);
                assert!(page.contains(html.trim()), "{name}: {description}");
                described += 1;
            }
            if name == "properties" {
                for name in object.as_object().unwrap().keys() {
                    assert!(page.contains(&format!("<code>{name}</code>")), "{name}");
                }
            }
            for value in object
                .get("enum")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let value = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                assert!(page.contains(&format!("<code>{value}</code>")), "{value}");
            }
        });
        assert!(described > 20);
        for name in spec["components"]["schemas"].as_object().unwrap().keys() {
            assert!(page.contains(&format!("id=\"schema-{name}\"")), "{name}");
        }
    }
}

#[test]
fn no_keyword_of_a_schema_is_passed_over() {
    for (spec, _) in all() {
        walk("", &spec, false, &mut |name, object, schema| {
            if !schema || name == "properties" || name == "schemas" {
                return;
            }
            for keyword in object.as_object().unwrap().keys() {
                assert!(
                    page::KEYWORDS.contains(&keyword.as_str()),
                    "the page doesn't show `{keyword}` of {name}"
                );
            }
        });
    }
}

#[test]
fn links_lead_somewhere_and_nothing_is_loaded() {
    let [(_, public), _] = all();
    for (_, page) in all() {
        let ids: Vec<&str> = values(&page, " id=\"").collect();
        let unique: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), unique.len(), "an id stands there twice");
        for link in values(&page, "href=\"") {
            if let Some(id) = link.strip_prefix('#') {
                assert!(unique.contains(id), "{link}");
            } else if let Some(id) = link.strip_prefix("index.html#") {
                assert!(public.contains(&format!(" id=\"{id}\"")), "{link}");
            } else {
                assert!(
                    LINKS
                        .pages
                        .iter()
                        .chain(LINKS.documents)
                        .any(|(_, address)| *address == link)
                        || link.starts_with("https://opensource.org/"),
                    "{link}"
                );
            }
        }
        for loading in [
            "<script", "<link", "<img", "<iframe", "src=", "url(", "@import",
        ] {
            assert!(!page.contains(loading), "{loading}");
        }
    }
}

#[test]
fn text_in_a_specification_is_shown_and_not_obeyed() {
    let text = r#"{ info: { title: "<b>", description: "a <script>b</script> c" },
        components: { schemas: { '"><i>': { type: string } } } }"#;
    let page = Document::from_yaml(text).unwrap().page(&LINKS);
    for tag in ["<script", "<i>", "<title><b>", "<h1><b>"] {
        assert!(!page.contains(tag), "{tag}");
    }
    assert!(page.contains("&lt;script&gt;b&lt;/script&gt;"));
}

#[test]
fn what_is_no_specification_is_refused_or_an_empty_page() {
    assert!(Document::from_yaml("a: [").is_err());
    assert!(Document::from_yaml("a: 18446744073709551615").is_err());
    let empty = Document::from_yaml("[]").unwrap();
    assert_eq!(empty.version(), None);
    assert!(empty.json_schemas("", "").is_empty());
    assert!(empty.page(&LINKS).ends_with("</html>\n"));
}

/// The values of an attribute.
fn values<'a>(page: &'a str, attribute: &str) -> impl Iterator<Item = &'a str> {
    page.split(attribute)
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
}
