//! The specifications as the server gives them, and the routes that they promise.

use reqwest::Method;
use serde_json::Value;

use crate::harness::{BUSINESS, INVOICE, TOKEN, TestServer};

async fn get(server: &TestServer, path: &str) -> (String, String) {
    // Without a token.
    let request = server.client.get(format!("{}{path}", server.base));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    let media_type = response.headers()["content-type"].to_str().unwrap();
    (media_type.to_owned(), response.text().await.unwrap())
}

#[tokio::test]
async fn the_documents_are_those_of_the_repository() {
    let server = TestServer::fresh().await;
    for (path, file) in [
        (
            "/openapi",
            include_str!("../../../../spec/layer-payments.yaml"),
        ),
        (
            "/local/openapi",
            include_str!("../../../../spec/local.yaml"),
        ),
    ] {
        let (media_type, yaml) = get(&server, &format!("{path}.yaml")).await;
        assert_eq!(media_type, "application/yaml; charset=utf-8");
        assert!(yaml == file, "{path}.yaml is another document");
        let (media_type, json) = get(&server, &format!("{path}.json")).await;
        assert_eq!(media_type, "application/json");
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["openapi"], "3.0.3");
    }
}

#[tokio::test]
async fn the_pages_may_load_nothing() {
    let server = TestServer::fresh().await;
    for (path, id) in [
        ("/docs", "record_invoice_payment"),
        ("/docs/local", "put_faults"),
    ] {
        let url = format!("{}{path}", server.base);
        let headers = server.client.get(&url).send().await.unwrap();
        let policy = headers.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'unsafe-inline';"));
        let (media_type, page) = get(&server, path).await;
        assert_eq!(media_type, "text/html; charset=utf-8");
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        assert!(page.contains(&format!("id=\"{id}\"")), "{path}");
    }
}

#[tokio::test]
async fn every_operation_of_the_documents_is_there() {
    let server = TestServer::fresh().await;
    let mut operations = 0;
    for document in ["/openapi.json", "/local/openapi.json"] {
        let spec: Value = serde_json::from_str(&get(&server, document).await.1).unwrap();
        for (path, item) in spec["paths"].as_object().unwrap() {
            let methods = item.as_object().unwrap().keys();
            for method in methods.filter(|method| *method != "parameters") {
                let path = path
                    .replace("{businessId}", BUSINESS)
                    .replace("{paymentId}", INVOICE)
                    .replace("{invoiceId}", INVOICE);
                assert!(!path.contains('{'), "{path}");
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let url = format!("{}{path}", server.base);
                // No operation has this parameter, so each refuses it and changes nothing.
                let request = server
                    .client
                    .request(method.clone(), url)
                    .bearer_auth(TOKEN);
                let response = request.query(&[("unknown", "1")]).send().await.unwrap();
                let status = response.status();
                assert!(status.is_client_error(), "{method} {path}: {status}");
                let text = response.text().await.unwrap();
                for missing in ["route-unknown", "method-not-allowed"] {
                    assert!(!text.contains(missing), "{method} {path}: {text}");
                }
                operations += 1;
            }
        }
    }
    assert!(operations > 10, "{operations}");
}
