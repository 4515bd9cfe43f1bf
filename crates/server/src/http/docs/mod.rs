//! The specifications, for people and programs: pages of HTML and the documents themselves.
//!
//! The pages are made from the specifications that are compiled in, at their first request, by a few hundred lines here.
//! The known viewers are megabytes of script for a page that has to be read and not to be run; these need no script,
//! nothing from the network, and no step of the build.

mod node;
mod page;

use std::sync::LazyLock;

use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use self::node::Node;
use super::query;
use super::refusal::Refusal;

/// The public API's.
static PUBLIC: LazyLock<Document> =
    LazyLock::new(|| Document::new(include_str!("layer-payments.yaml")));

/// That of the routes beside it.
static LOCAL: LazyLock<Document> = LazyLock::new(|| Document::new(include_str!("local.yaml")));

/// A specification in its forms.
struct Document {
    yaml: &'static str,
    /// The others, or why there are none. The tests see to it that there are.
    made: Result<Made, String>,
}

struct Made {
    json: String,
    page: String,
}

impl Document {
    fn new(yaml: &'static str) -> Document {
        let made = serde_saphyr::from_str::<Node>(yaml)
            .map_err(|error| error.to_string())
            .and_then(|spec| {
                let json =
                    serde_json::to_string_pretty(&spec).map_err(|error| error.to_string())?;
                let page = page::write(&spec);
                Ok(Made { json, page })
            });
        Document { yaml, made }
    }

    fn made(&self) -> Result<&Made, Refusal> {
        self.made
            .as_ref()
            .map_err(|error| Refusal::panicked(error.clone()))
    }
}

/// `docs`
pub(super) async fn public_page(request: Request) -> Result<Response, Refusal> {
    page(&request, &PUBLIC)
}

/// `docs_local`
pub(super) async fn local_page(request: Request) -> Result<Response, Refusal> {
    page(&request, &LOCAL)
}

/// `openapi_yaml`
pub(super) async fn public_yaml(request: Request) -> Result<Response, Refusal> {
    yaml(&request, &PUBLIC)
}

/// `openapi_local_yaml`
pub(super) async fn local_yaml(request: Request) -> Result<Response, Refusal> {
    yaml(&request, &LOCAL)
}

/// `openapi_json`
pub(super) async fn public_json(request: Request) -> Result<Response, Refusal> {
    json(&request, &PUBLIC)
}

/// `openapi_local_json`
pub(super) async fn local_json(request: Request) -> Result<Response, Refusal> {
    json(&request, &LOCAL)
}

fn page(request: &Request, document: &'static Document) -> Result<Response, Refusal> {
    let made = document.made()?;
    let mut response = give(request, "text/html; charset=utf-8", &made.page)?;
    // The page has its style in itself and needs nothing else; so nothing else is allowed.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                  frame-ancestors 'none'";
    let policy = axum::http::HeaderValue::from_static(policy);
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

fn yaml(request: &Request, document: &'static Document) -> Result<Response, Refusal> {
    give(request, "application/yaml; charset=utf-8", document.yaml)
}

fn json(request: &Request, document: &'static Document) -> Result<Response, Refusal> {
    give(request, "application/json", &document.made()?.json)
}

fn give(
    request: &Request,
    media_type: &'static str,
    text: &'static str,
) -> Result<Response, Refusal> {
    query::none(request.uri())?;
    // Another release of the server may say something else.
    let headers = [(CONTENT_TYPE, media_type), (CACHE_CONTROL, "no-cache")];
    Ok((headers, text).into_response())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// Both specifications and their pages.
    fn all() -> [(Value, &'static str); 2] {
        [&*PUBLIC, &*LOCAL].map(|document| {
            let made = document.made.as_ref().unwrap();
            let spec: Value = serde_json::from_str(&made.json).unwrap();
            (spec, made.page.as_str())
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
        for document in [&*PUBLIC, &*LOCAL] {
            let read: Value = serde_saphyr::from_str(document.yaml).unwrap();
            let json = &document.made.as_ref().unwrap().json;
            assert_eq!(serde_json::from_str::<Value>(json).unwrap(), read);
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
        for (_, page) in all() {
            let ids: Vec<&str> = values(page, " id=\"").collect();
            let unique: BTreeSet<&str> = ids.iter().copied().collect();
            assert_eq!(ids.len(), unique.len(), "an id stands there twice");
            for link in values(page, "href=\"") {
                if let Some(id) = link.strip_prefix("/docs#") {
                    let there = format!(" id=\"{id}\"");
                    assert!(
                        PUBLIC.made.as_ref().unwrap().page.contains(&there),
                        "{link}"
                    );
                }
                match link.strip_prefix('#') {
                    Some(id) => assert!(unique.contains(id), "{link}"),
                    None => assert!(
                        link.starts_with('/') || link.starts_with("https://opensource.org/"),
                        "{link}"
                    ),
                }
            }
            for loading in [
                "<script", "<link", "<img", "<iframe", "src=", "url(", "@import",
            ] {
                assert!(!page.contains(loading), "{loading}");
            }
        }
    }

    /// The values of an attribute.
    fn values<'a>(page: &'a str, attribute: &str) -> impl Iterator<Item = &'a str> {
        page.split(attribute)
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
    }
}
