//! The specifications, for people and programs: pages of HTML and the documents themselves.
//!
//! The pages are made from the specifications that are compiled in, at their first request, by the crate that also makes
//! those that the project publishes.

use std::sync::LazyLock;

use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use layer_payments_reference::{self as reference, Links};

use super::query;
use super::refusal::Refusal;

/// The public API's.
static PUBLIC: LazyLock<Document> =
    LazyLock::new(|| Document::new(include_str!("layer-payments.yaml")));

/// That of the routes beside it.
static LOCAL: LazyLock<Document> = LazyLock::new(|| Document::new(include_str!("local.yaml")));

/// Where the server has the pages and documents, as its routes say.
const LINKS: Links<'_> = Links {
    pages: &[("Payments", "/docs"), ("This server", "/docs/local")],
    schemas: "/docs",
    documents: &[
        ("/openapi.yaml", "/openapi.yaml"),
        ("/openapi.json", "/openapi.json"),
        ("/local/openapi.yaml", "/local/openapi.yaml"),
        ("/local/openapi.json", "/local/openapi.json"),
    ],
};

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
        let made = reference::Document::from_yaml(yaml)
            .map(|document| Made {
                json: document.json(),
                page: document.page(&LINKS),
            })
            .map_err(|error| error.to_string());
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
    use super::*;
    use crate::http::routes;

    #[test]
    fn what_a_page_links_to_is_there() {
        for document in [&*PUBLIC, &*LOCAL] {
            let page = &document.made.as_ref().unwrap().page;
            let links: Vec<&str> = page
                .split("href=\"/")
                .skip(1)
                .map(|rest| rest.split('"').next().unwrap())
                .collect();
            assert!(links.len() >= 6, "{links:?}");
            for link in links {
                let (path, id) = link.split_once('#').unwrap_or((link, ""));
                let path = format!("/{path}");
                assert!(routes::all().any(|route| route.path == path), "{link}");
                let public = &PUBLIC.made.as_ref().unwrap().page;
                assert!(
                    id.is_empty() || public.contains(&format!(" id=\"{id}\"")),
                    "{link}"
                );
            }
        }
    }
}
